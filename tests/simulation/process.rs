//! A process of the operator: what its watches have told it, whether it believes to lead, and its passes.
//!
//! A pass is the recorder's: gather, assess, act, write the status. Every request is a point at which other things happen,
//! and at which the process may end.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use pact_operator::{
    api::{PactDeployment, PactDeploymentStatus, PactEnvironment},
    cluster::index::Index,
    decide::{
        EnvironmentPolicy,
        record::{
            Action, Assessment, Done, Facts, MemberView, RecordState, Snapshot, Suspicion, Vanished, add_strangers,
            assess, counted, noted, show_all_members, status,
        },
    },
    workload::{RecordKey, WorkloadRef},
};
use serde_json::json;

use crate::{
    broker,
    requests::{UnderWay, carry_out, find_fates, members_of, read_live, row, store},
    world::{BEHIND, BELIEVED, GRACE, LEASE, Mutant, World, time},
};

/// How long what was read live may be relied on for a write, in seconds.
const FRESH: i64 = 10;

pub type Shared = Rc<RefCell<World>>;

/// What a process holds in memory.
pub struct Process {
    pub number: usize,
    /// Another one after each restart.
    pub incarnation: usize,
    pub index: Index,
    pub records: HashMap<RecordKey, (PactDeploymentStatus, u64)>,
    pub snapshot: Option<BTreeMap<RecordKey, broker::Row>>,
    /// How much of each workload's history its watches have told.
    pub seen: BTreeMap<WorkloadRef, usize>,
    /// In which environment each namespace lies, as its watch told.
    pub stages: BTreeMap<String, String>,
    /// Until when it believes to hold the lease.
    pub leads_until: i64,
    /// How far its clock is ahead, in seconds.
    pub clock: i64,
    pub paused: bool,
    pub due: BTreeSet<RecordKey>,
    pub look_again: BTreeMap<RecordKey, i64>,
    pub at_work: BTreeSet<RecordKey>,
}

pub type Handle = Rc<RefCell<Process>>;

fn environment(name: &str, grace: i64) -> EnvironmentPolicy {
    let object: PactEnvironment = serde_json::from_value(json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": name},
        "spec": {
            "brokerRef": {"name": "main"}, "namespaces": {"selector": {"matchLabels": {"stage": name}}},
            "record": {"undeployGraceSeconds": grace},
        },
    }))
    .unwrap();
    EnvironmentPolicy::parse(&object).unwrap()
}

impl Process {
    pub fn new(number: usize, incarnation: usize, clock: i64, world: &World) -> Self {
        let mut index = Index::default();
        let grace = if world.mutant == Mutant::NoGrace { 0 } else { GRACE };
        for name in ["prod", "test"] {
            index.set_environment(name, Some(Ok(environment(name, grace))));
        }
        let mut process = Self {
            number,
            incarnation,
            index,
            records: HashMap::new(),
            snapshot: None,
            seen: BTreeMap::new(),
            stages: BTreeMap::new(),
            leads_until: i64::MIN,
            clock,
            paused: false,
            due: BTreeSet::new(),
            look_again: BTreeMap::new(),
            at_work: BTreeSet::new(),
        };
        // A process begins with a list of everything.
        process.list(world);
        process
    }

    /// Takes in the state of everything, as a list gives it.
    pub fn list(&mut self, world: &World) {
        for (namespace, stage) in &world.cluster.stages {
            self.namespace(namespace, stage);
        }
        let references: Vec<_> = world.history.keys().cloned().collect();
        for reference in references {
            let newest = world.history[&reference].len() - 1;
            self.deliver(world, &reference, newest);
        }
        self.records = world.records.iter().map(|(key, record)| (key.clone(), record.clone())).collect();
        self.due.extend(world.keys.iter().cloned());
    }

    /// Takes in what has been on its way for too long.
    pub fn catch_up(&mut self, world: &World) {
        if self.paused {
            return;
        }
        for (reference, history) in &world.history {
            let seen = self.seen.get(reference).copied().unwrap_or_default();
            // A state was on its way since the next one replaced what was seen.
            let late = history.iter().rposition(|(at, _)| *at <= world.now - BEHIND).filter(|at| *at > seen);
            if let Some(state) = late {
                self.deliver(world, reference, state);
            }
        }
        for (namespace, stage) in &world.cluster.stages {
            let late = world.moved.get(namespace).is_some_and(|at| *at <= world.now - BEHIND);
            if late && self.stages.get(namespace) != Some(stage) {
                self.namespace(namespace, stage);
            }
        }
    }

    pub fn namespace(&mut self, namespace: &str, stage: &str) {
        self.stages.insert(namespace.to_owned(), stage.to_owned());
        let labels = BTreeMap::from([("stage".to_owned(), stage.to_owned())]);
        let touched = self.index.set_namespace(namespace, Some(labels));
        self.due.extend(touched);
    }

    /// Takes in a state of a workload.
    pub fn deliver(&mut self, world: &World, reference: &WorkloadRef, state: usize) {
        self.seen.insert(reference.clone(), state);
        let blind = world.mutant == Mutant::NoObservedGeneration;
        let touched = match &world.history[reference][state].1 {
            Some(truth) => {
                self.index.apply_workload(truth.object(reference, blind).observe(time(world.now + self.clock)))
            }
            None => self.index.remove_workload(reference),
        };
        self.due.extend(touched);
    }

    pub fn leads(&self, world: &World) -> bool {
        world.now < self.leads_until
    }

    /// Whether a namespace lies elsewhere than the watch has told.
    pub fn moved(&self, world: &World, namespace: &str) -> bool {
        world.mutant != Mutant::NoLiveRead && self.stages.get(namespace) != world.cluster.stages.get(namespace)
    }

    /// Takes or renews the lease, if that is possible.
    pub fn renew(&mut self, world: &mut World) {
        if world.api_down {
            return;
        }
        let free = world.lease.is_none_or(|(holder, until)| holder == self.number || world.now > until);
        if free {
            let led = self.leads(world);
            world.lease = Some((self.number, world.now + LEASE));
            self.leads_until = world.now + BELIEVED;
            if !led {
                self.due.extend(world.keys.iter().cloned());
            }
        }
    }
}

/// One pass over a key; gives back the time to look again, if one is known.
pub async fn pass(world: Shared, process: Handle, key: RecordKey) -> Option<i64> {
    let incarnation = process.borrow().incarnation;
    let looked_at = {
        let (world, process) = (world.borrow(), process.borrow());
        if !process.leads(&world) {
            return None;
        }
        time(world.now + process.clock)
    };
    let known = process.borrow().records.get(&key).cloned();
    let before = known.as_ref().map(|(status, _)| object(&key, status.clone()));
    let (mut facts, members) = gather(&world, &process, &key, before.as_ref(), looked_at);
    let mut read = 0;
    let mut read_at = world.borrow().now;
    let assessment = loop {
        world.borrow().tell(|| {
            let (process, members) = (process.borrow(), facts.members.len());
            let step = format!("{:?}", assess(&facts, looked_at)).chars().take(60).collect::<String>();
            format!("    process {} looks at {key}: {members} members, {step}", process.number)
        });
        match assess(&facts, looked_at) {
            Assessment::Act(Action::Write(_)) if world.borrow().now - read_at > FRESH => {
                (facts.fates, facts.live, read_at) = (None, None, world.borrow().now);
            }
            Assessment::Act(Action::FindFates) => {
                read_at = world.borrow().now;
                UnderWay(false).await;
                read = world.borrow().step;
                let fates = find_fates(&world, &process, &key, &facts);
                facts.fates = Some(fates);
            }
            Assessment::Act(Action::ReadLive) => {
                if facts.fates.is_none() {
                    read_at = world.borrow().now;
                }
                UnderWay(false).await;
                facts.live = Some(read_live(&world, &process, &key, &facts));
            }
            Assessment::Act(Action::Write(write)) => {
                if process.borrow().records.get(&key).map(|(status, _)| status) != facts.status {
                    return Some(1);
                }
                let live = facts.live.as_ref().and_then(|live| live.as_ref().ok());
                let row = live.and_then(|live| live.row.as_ref());
                if let Some(status) = noted(facts.status, row, &write, looked_at)
                    && !store(&world, &process, &key, status).await
                {
                    return Some(2);
                }
                let done = carry_out(&world, &process, &facts, &write, read).await;
                if matches!(done, Done::Recorded { .. } | Done::Undeployed { .. }) {
                    UnderWay(false).await;
                    facts.live = Some(read_live(&world, &process, &key, &facts));
                }
                facts.done = Some(done);
            }
            assessment => break assessment,
        }
    };
    debug_assert_eq!(incarnation, process.borrow().incarnation);
    let (state, again) = match assessment {
        Assessment::Act(_) | Assessment::Moved => return Some(1),
        Assessment::NotRead => {
            if !members.is_empty() {
                let after = show_all_members(before.as_ref(), &members);
                if known.as_ref().map(|(status, _)| status) != Some(&after) {
                    store(&world, &process, &key, after).await;
                }
            }
            return Some(3);
        }
        Assessment::Unchanged => return None,
        Assessment::Done { state, look_again } => {
            let again = look_again.map(|at| (at.as_second() - looked_at.as_second()).max(1));
            (state, again)
        }
        Assessment::Retry { why, version, .. } => {
            (RecordState::Pending { why, version, next_try: Some(time(world.borrow().now + 5)) }, Some(5))
        }
    };
    let latest = process.borrow().records.get(&key).map(|(status, _)| object(&key, status.clone()));
    let latest_or_before = latest.as_ref().or(before.as_ref());
    let mut after = status(latest_or_before, counted(&members), &state, looked_at);
    add_strangers(&mut after, latest_or_before, &members, looked_at);
    if latest.as_ref().and_then(|object| object.status.as_ref()) == Some(&after) {
        return again;
    }
    if store(&world, &process, &key, after).await { again } else { Some(1) }
}

fn object(key: &RecordKey, status: PactDeploymentStatus) -> PactDeployment {
    let mut object = PactDeployment::new(&key.object_name(), key.spec());
    object.metadata.generation = Some(1);
    object.status = Some(status);
    object
}

fn gather<'a>(
    world: &Shared,
    process: &Handle,
    key: &'a RecordKey,
    before: Option<&'a PactDeployment>,
    now: k8s_openapi::jiff::Timestamp,
) -> (Facts<'a>, Vec<MemberView>) {
    let process = process.borrow();
    let members: Vec<MemberView> = process.index.members(key).into_iter().map(|member| member.at(now)).collect();
    let known = before.and_then(|object| object.status.as_ref());
    let members = members_of(&world.borrow(), members, known);
    let snapshot = match &process.snapshot {
        None => Snapshot::NotRead,
        Some(rows) => Snapshot::Read { row: rows.get(key).map(row), releases: Vec::new(), suspicion: Suspicion::None },
    };
    let facts = Facts {
        key,
        rules: Ok(process.index.rules_for(key).expect("the environment's rules").clone()),
        unreadable: None,
        members: counted(&members).to_vec(),
        status: known,
        snapshot,
        refused: None,
        broker: None,
        fates: None,
        vanished: Vanished::default(),
        live: None,
        done: None,
    };
    (facts, members)
}
