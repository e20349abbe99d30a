//! A world in one thread, in which everything that can go wrong does, by chance that can be repeated: watches that are
//! behind, processes that end in the middle of a request, two that believe to lead, answers that are lost, other writers,
//! an etcd that is restored. The recorder's rules decide in it as in a cluster: `assess`, the index, the status.
//!
//! `make simulate SEEDS=1000000` runs so many worlds. `SIMULATION_SEED=7` repeats one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_in_result,
    clippy::print_stdout,
    reason = "a test that cannot go on says so; clippy.toml excuses only functions marked as tests, not what they call"
)]

mod broker;
mod dice;
mod process;
mod requests;
mod team;
mod truth;
mod world;

use std::{
    cell::RefCell,
    collections::BTreeMap,
    pin::Pin,
    rc::Rc,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use pact_operator::workload::RecordKey;

use self::{
    dice::Dice,
    process::{Handle, Process, Shared, pass},
    team::happens,
    world::{Mutant, empty},
};

/// How much happens before everything is left in peace.
const STEPS: usize = 300;
const PROCESSES: usize = 2;

/// A pass that is under way.
struct Task {
    process: usize,
    incarnation: usize,
    key: RecordKey,
    future: Pin<Box<dyn Future<Output = Option<i64>>>>,
}

/// One simulation.
struct Simulation {
    world: Shared,
    processes: Vec<Handle>,
    tasks: Vec<Task>,
    dice: Dice,
    /// What etcd had at some time, for a restore.
    backup: Option<BTreeMap<RecordKey, (pact_operator::api::PactDeploymentStatus, u64)>>,
}

impl Simulation {
    fn new(seed: u64, mutant: Mutant) -> Self {
        let mut dice = Dice(seed);
        let world = empty(seed, mutant, &mut dice);
        let processes = (0..PROCESSES).map(|number| {
            let clock = i64::try_from(dice.below(5)).unwrap() - 2;
            Rc::new(RefCell::new(Process::new(number, 0, clock, &world)))
        });
        let processes = processes.collect();
        Self { world: Rc::new(RefCell::new(world)), processes, tasks: Vec::new(), dice, backup: None }
    }

    /// Begins a pass of a process, if one is due.
    fn begin(&mut self, number: usize) {
        let process = Rc::clone(&self.processes[number]);
        let key = {
            let (world, mut held) = (self.world.borrow(), process.borrow_mut());
            let now = world.now;
            let ripe: Vec<_> =
                held.look_again.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
            for key in ripe {
                held.look_again.remove(&key);
                held.due.insert(key);
            }
            let free: Vec<_> = held.due.difference(&held.at_work).cloned().collect();
            if held.paused || free.is_empty() || !held.leads(&world) {
                return;
            }
            let key = free[self.dice.below(free.len())].clone();
            held.due.remove(&key);
            held.at_work.insert(key.clone());
            key
        };
        let incarnation = process.borrow().incarnation;
        let future = Box::pin(pass(Rc::clone(&self.world), process, key.clone()));
        self.tasks.push(Task { process: number, incarnation, key, future });
    }

    /// Lets one pass go on to its next request.
    fn go_on(&mut self, at: usize) {
        let task = &mut self.tasks[at];
        let process = Rc::clone(&self.processes[task.process]);
        if process.borrow().incarnation != task.incarnation {
            // Its process has ended.
            self.tasks.swap_remove(at);
            return;
        }
        if process.borrow().paused {
            return;
        }
        let mut context = Context::from_waker(Waker::noop());
        if let Poll::Ready(again) = task.future.as_mut().poll(&mut context) {
            let task = self.tasks.swap_remove(at);
            let mut process = process.borrow_mut();
            process.at_work.remove(&task.key);
            if let Some(again) = again {
                let at = self.world.borrow().now + again;
                process.look_again.insert(task.key, at);
            }
        }
    }

    /// Reads what the broker has, as the environment's task does.
    fn read_environment(&mut self, number: usize) {
        let (world, mut process) = (self.world.borrow(), self.processes[number].borrow_mut());
        if !world.broker.down && !process.paused {
            let changed = process.snapshot.as_ref().map(BTreeMap::len) != Some(world.broker.rows.len());
            process.snapshot = Some(world.broker.rows.clone());
            let keys = world.keys.iter().filter(|_| changed || process.leads(&world)).cloned().collect::<Vec<_>>();
            process.due.extend(keys);
        }
    }

    /// The process ends and begins anew.
    fn restart(&mut self, number: usize) {
        let mut world = self.world.borrow_mut();
        let (incarnation, clock) = {
            let process = self.processes[number].borrow();
            (process.incarnation, process.clock)
        };
        world.doubts.extend(self.tasks.iter().filter(|task| task.process == number).map(|task| task.key.clone()));
        for key in world.keys.clone() {
            world.excused(&key);
        }
        world.tell(|| format!("process {number} begins anew"));
        *self.processes[number].borrow_mut() = Process::new(number, incarnation + 1, clock, &world);
    }

    fn run(mut self) -> Vec<String> {
        for _ in 0..STEPS {
            happens(&mut self);
            self.world.borrow_mut().observe();
            for process in &self.processes {
                process.borrow_mut().catch_up(&self.world.borrow());
            }
            if !self.world.borrow().violations.is_empty() {
                break;
            }
        }
        self.come_to_rest();
        let mut world = self.world.borrow_mut();
        if world.violations.is_empty() {
            world.check_at_rest();
        }
        std::mem::take(&mut world.violations)
    }

    /// Nothing fails any more, and everything that is due is done.
    fn come_to_rest(&mut self) {
        {
            let mut world = self.world.borrow_mut();
            world.broker.down = false;
            world.api_down = false;
            world.cluster.left.clear();
        }
        for _ in 0..30 {
            {
                let mut world = self.world.borrow_mut();
                for truth in world.cluster.workloads.values_mut() {
                    for _ in 0..8 {
                        truth.progress();
                    }
                }
                world.observe();
                world.now += 7;
            }
            for number in 0..PROCESSES {
                let process = Rc::clone(&self.processes[number]);
                {
                    let (mut world, mut process) = (self.world.borrow_mut(), process.borrow_mut());
                    process.paused = false;
                    process.renew(&mut world);
                    process.list(&world);
                }
                self.read_environment(number);
                for _ in 0..8 {
                    self.begin(number);
                }
            }
            for _ in 0..200 {
                if self.tasks.is_empty() {
                    break;
                }
                let at = self.dice.below(self.tasks.len());
                self.go_on(at);
                self.world.borrow_mut().observe();
            }
        }
    }
}

/// The violations of one seed.
fn violations(seed: u64, mutant: Mutant) -> Vec<String> {
    Simulation::new(seed, mutant).run()
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(10_000),
    }
}

/// The first violation among these seeds, tried by two threads: as many as a small machine has cores.
fn first_violation(seeds: std::ops::Range<u64>, mutant: Mutant) -> Option<(u64, Vec<String>)> {
    let next = AtomicU64::new(seeds.start);
    let found = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while found.lock().unwrap().is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let violations = violations(seed, mutant);
                    if !violations.is_empty() {
                        found.lock().unwrap().get_or_insert((seed, violations));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap()
}

#[test]
fn whatever_happens_the_broker_is_right_in_the_end_and_nothing_is_lost_or_taken_on_the_way() {
    let seeds = seeds();
    let count = seeds.end - seeds.start;
    if let Some((seed, violations)) = first_violation(seeds, Mutant::None) {
        panic!("SIMULATION_SEED={seed}: {violations:#?}");
    }
    println!("{count} worlds");
}

#[test]
fn a_check_that_is_left_out_is_noticed_within_a_thousand_worlds() {
    for mutant in [
        Mutant::NoGrace,
        Mutant::NoObservedGeneration,
        Mutant::NoPodsLeft,
        Mutant::NoLiveRead,
        Mutant::NoLease,
        Mutant::NoStrangers,
    ] {
        let found = first_violation(0..1_000, mutant);
        let (seed, violations) = found.unwrap_or_else(|| panic!("{mutant:?} is not noticed"));
        println!("{mutant:?}: noticed with seed {seed}: {}", violations[0]);
    }
}
