//! Any interleaving of three candidates with an API server that compares resourceVersions: requests that arrive late,
//! answers that are lost, watches that lag, processes that restart, wall clocks that are wrong, clocks that run at
//! different speeds. Two candidates never lead at the same moment.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::terms;
use crate::lease::candidate::Candidate;
use crate::lease::{Decision, Terms};

/// The next event. The number is the index of the candidate.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// Time passes for all candidates.
    Wait { millis: u64 },
    /// A candidate without a request in flight does what it decides.
    Step(usize),
    /// Its request reaches the server.
    Arrives(usize),
    /// The answer reaches the candidate.
    Answered(usize),
    /// The candidate stops waiting; the request may still arrive later.
    TimesOut(usize),
    /// A request that was given up arrives.
    ArrivesLate(usize),
    /// The watch delivers a past state to the candidate.
    Shown(usize, usize),
    /// The candidate is killed and started again.
    Restarts(usize),
    /// The candidate shuts down and releases the Lease.
    Releases(usize),
    /// The regular order: decide, arrive, answer.
    Smooth(usize),
}

#[derive(Default)]
struct Server {
    version: u64,
    lease: Option<Lease>,
    history: Vec<Option<Lease>>,
}

impl Server {
    fn write(&mut self, mut lease: Lease) -> Option<Lease> {
        let current = self.lease.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        if lease.metadata.resource_version != current {
            return None;
        }
        self.version += 1;
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease = Some(lease.clone());
        self.history.push(self.lease.clone());
        Some(lease)
    }
}

enum Request {
    Read,
    Claim(Box<Lease>),
}

enum Answer {
    Read(Option<Lease>),
    Claim(Option<Lease>),
}

struct Process {
    candidate: Candidate,
    incarnation: u32,
    /// Local time = `origin` + `rate` × time; the wall clock is off by `skew`.
    origin: Instant,
    rate: f64,
    skew: i64,
    lead_until: Option<Instant>,
    request: Option<(Request, Instant)>,
    answer: Option<(Answer, Instant)>,
    given_up: Vec<Request>,
}

impl Process {
    fn local(&self, time: Duration) -> Instant {
        self.origin + time.mul_f64(self.rate)
    }

    fn leads(&self, time: Duration) -> bool {
        self.lead_until.is_some_and(|until| self.local(time) < until)
    }

    fn wall(&self, time: Duration) -> Timestamp {
        let second = 1_800_000_000 + self.skew + i64::try_from(time.as_secs()).unwrap();
        Timestamp::from_second(second).unwrap()
    }
}

struct World {
    terms: Terms,
    time: Duration,
    server: Server,
    processes: Vec<Process>,
    terms_of_office: usize,
}

impl World {
    fn new(terms: Terms, clocks: &[(f64, i64)]) -> Self {
        let processes = clocks
            .iter()
            .enumerate()
            .map(|(number, (rate, skew))| Process {
                candidate: Candidate::new(format!("{number}-0"), terms),
                incarnation: 0,
                origin: Instant::now(),
                rate: *rate,
                skew: *skew,
                lead_until: None,
                request: None,
                answer: None,
                given_up: Vec::new(),
            })
            .collect();
        Self { terms, time: Duration::ZERO, server: Server::default(), processes, terms_of_office: 0 }
    }

    fn happen(&mut self, what: Happens) {
        let time = self.time;
        match what {
            Happens::Wait { millis } => self.time += Duration::from_millis(millis),
            Happens::Step(who) => self.step(who),
            Happens::Arrives(who) => {
                if let Some((request, sent)) = self.processes[who].request.take() {
                    let answer = self.arrive(request);
                    self.processes[who].answer = Some((answer, sent));
                }
            }
            Happens::Answered(who) => self.answered(who),
            Happens::TimesOut(who) => {
                let process = &mut self.processes[who];
                if let Some((request, _)) = process.request.take() {
                    process.given_up.push(request);
                    process.candidate.forget();
                } else if process.answer.take().is_some() {
                    process.candidate.forget();
                }
            }
            Happens::ArrivesLate(who) => {
                if let Some(request) = self.processes[who].given_up.pop() {
                    self.arrive(request);
                }
            }
            Happens::Shown(who, back) => {
                let past = self.server.history.len().checked_sub(1 + back);
                let shown = past.and_then(|past| self.server.history[past].clone());
                let process = &mut self.processes[who];
                if process.request.is_none() && process.answer.is_none() {
                    let (leads, now) = (process.leads(time), process.local(time));
                    process.candidate.was_shown(shown, leads, now);
                }
            }
            Happens::Restarts(who) => {
                let terms = self.terms;
                let process = &mut self.processes[who];
                process.incarnation += 1;
                process.candidate = Candidate::new(format!("{who}-{}", process.incarnation), terms);
                process.lead_until = None;
                process.answer = None;
                process.given_up.extend(process.request.take().map(|(request, _)| request));
            }
            Happens::Releases(who) => {
                let wall = self.processes[who].wall(time);
                let process = &mut self.processes[who];
                process.lead_until = None;
                if let Some(released) = process.candidate.release(wall) {
                    self.server.write(released);
                }
                self.happen(Happens::Restarts(who));
            }
            Happens::Smooth(who) => {
                for _ in 0..3 {
                    self.happen(Happens::Step(who));
                    self.happen(Happens::Arrives(who));
                    self.happen(Happens::Answered(who));
                }
            }
        }
    }

    fn step(&mut self, who: usize) {
        let time = self.time;
        let process = &mut self.processes[who];
        if process.request.is_some() || process.answer.is_some() {
            return;
        }
        let now = process.local(time);
        let wall = process.wall(time);
        let request = match process.candidate.decide(now) {
            None => Request::Read,
            Some(Decision::Acquire { transitions }) => {
                Request::Claim(Box::new(process.candidate.claim("ns", "lease", transitions, wall)))
            }
            Some(Decision::Renew) => {
                Request::Claim(Box::new(process.candidate.claim("ns", "lease", process.candidate.transitions(), wall)))
            }
            Some(Decision::StepDown) => {
                process.lead_until = None;
                process.candidate.stepped_down();
                return;
            }
            Some(Decision::Hold { .. } | Decision::Follow { .. }) => return,
        };
        process.request = Some((request, now));
    }

    fn arrive(&mut self, request: Request) -> Answer {
        match request {
            Request::Read => Answer::Read(self.server.lease.clone()),
            Request::Claim(lease) => Answer::Claim(self.server.write(*lease)),
        }
    }

    fn answered(&mut self, who: usize) {
        let time = self.time;
        let process = &mut self.processes[who];
        let now = process.local(time);
        match process.answer.take() {
            None => {}
            Some((Answer::Read(lease), _)) => process.candidate.saw(lease, now),
            Some((Answer::Claim(None), _)) => process.candidate.forget(),
            Some((Answer::Claim(Some(lease)), sent)) => {
                let led = process.leads(time);
                process.lead_until = Some(process.candidate.claimed(lease, sent, now));
                if !led && process.leads(time) {
                    self.terms_of_office += 1;
                }
            }
        }
    }

    fn leaders(&self) -> Vec<usize> {
        (0..self.processes.len()).filter(|who| self.processes[*who].leads(self.time)).collect()
    }
}

/// How often a candidate began to lead; an error when two led at the same time.
fn run(terms: Terms, clocks: &[(f64, i64)], events: &[Happens]) -> Result<usize, String> {
    let mut world = World::new(terms, clocks);
    for (number, what) in events.iter().enumerate() {
        world.happen(*what);
        let leaders = world.leaders();
        if leaders.len() > 1 {
            return Err(format!("{leaders:?} lead after event {number}, {what:?}, at {:?}", world.time));
        }
    }
    Ok(world.terms_of_office)
}

const CANDIDATES: usize = 3;

fn event() -> impl Strategy<Value = Happens> {
    let who = 0..CANDIDATES;
    prop_oneof![
        4 => (0_u64..6_000).prop_map(|millis| Happens::Wait { millis }),
        4 => who.clone().prop_map(Happens::Smooth),
        4 => who.clone().prop_map(Happens::Step),
        3 => who.clone().prop_map(Happens::Arrives),
        3 => who.clone().prop_map(Happens::Answered),
        2 => who.clone().prop_map(Happens::TimesOut),
        1 => who.clone().prop_map(Happens::ArrivesLate),
        2 => (who.clone(), 0_usize..4).prop_map(|(who, back)| Happens::Shown(who, back)),
        1 => who.clone().prop_map(Happens::Restarts),
        1 => who.prop_map(Happens::Releases),
    ]
}

/// Clocks that run up to 15 % too fast or too slow, and show a time that is up to years off.
fn clocks() -> impl Strategy<Value = Vec<(f64, i64)>> {
    prop::collection::vec((0.85..1.15_f64, -100_000_000_i64..100_000_000), CANDIDATES)
}

fn sequences() -> impl Strategy<Value = Vec<Happens>> {
    prop::collection::vec(event(), 1..300)
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

#[test]
fn never_two_leaders_whatever_happens() {
    let began = std::cell::Cell::new(0);
    runner(500)
        .run(&(clocks(), sequences()), |(clocks, events)| {
            let terms_of_office = run(terms(), &clocks, &events).map_err(TestCaseError::fail)?;
            began.set(began.get() + terms_of_office);
            Ok(())
        })
        .unwrap();
    assert!(began.get() > 500, "the sequences are about elections: {} terms of office", began.get());
}

#[test]
fn the_sequences_would_find_a_holder_that_acts_for_too_long() {
    let reckless = Terms { act_for: terms().duration * 3 / 2, ..terms() };
    let found = runner(2_000).run(&(clocks(), sequences()), |(clocks, events)| {
        run(reckless, &clocks, &events).map(drop).map_err(TestCaseError::fail)
    });
    assert!(found.is_err(), "this proves nothing if it cannot fail");
}

#[test]
fn a_killed_leader_is_followed_after_its_claim_has_run_out_and_not_before() {
    let mut world = World::new(terms(), &[(1.0, 0), (1.0, 77_000)]);
    world.happen(Happens::Smooth(0));
    world.happen(Happens::Smooth(1));
    assert_eq!(world.leaders(), [0]);
    world.happen(Happens::Wait { millis: 14_900 });
    world.happen(Happens::Smooth(1));
    assert_eq!(world.leaders(), [] as [usize; 0], "the old one has stopped, the new one waits");
    world.happen(Happens::Wait { millis: 100 });
    world.happen(Happens::Smooth(1));
    assert_eq!(world.leaders(), [1]);
    let spec = world.server.lease.unwrap().spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("1-0"), Some(1)));
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut world = World::new(terms(), &[(1.0, 0), (1.0, 0)]);
    world.happen(Happens::Smooth(0));
    world.happen(Happens::Smooth(1));
    world.happen(Happens::Releases(0));
    world.happen(Happens::Shown(1, 0));
    world.happen(Happens::Smooth(1));
    assert_eq!(world.leaders(), [1]);
}
