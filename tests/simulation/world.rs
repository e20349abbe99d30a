//! The world: the cluster, the broker, the API server's objects, the lease, the time; and what must never happen in it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use pact_operator::{
    api::{PactDeploymentStatus, condition::is_true},
    workload::{RecordKey, WorkloadRef},
};

use crate::{
    broker::{Broker, Writer},
    dice::Dice,
    truth::{Cluster, Truth},
};

/// How long a workload must be gone, in seconds.
pub const GRACE: i64 = 20;
/// How long a lease is held without being renewed, and for how long of that its holder believes in it, in seconds.
pub const LEASE: i64 = 15;
pub const BELIEVED: i64 = 10;

/// A check of the product that is left out, to see that the simulation notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutant {
    #[default]
    None,
    NoLiveRead,
    NoLease,
    NoGrace,
    NoObservedGeneration,
    NoPodsLeft,
    NoStrangers,
}

/// What the API server has of a workload, over time, in seconds: watches may be behind, and skip states.
pub type History = Vec<(i64, Option<Truth>)>;
/// How far a watch may be behind, in seconds. Within the grace it always catches up: a workload that nobody was ever told of
/// cannot be looked for.
pub const BEHIND: i64 = 8;

/// When something last changed, by the number of the step.
type Step = u64;

#[derive(Default)]
pub struct World {
    pub seed: u64,
    pub mutant: Mutant,
    pub now: i64,
    pub step: Step,
    pub cluster: Cluster,
    pub history: BTreeMap<WorkloadRef, History>,
    /// When each namespace moved to another environment.
    pub moved: BTreeMap<String, i64>,
    pub broker: Broker,
    pub api_down: bool,
    pub records: BTreeMap<RecordKey, (PactDeploymentStatus, u64)>,
    pub revision: u64,
    /// Who holds the lease, and until when.
    pub lease: Option<(usize, i64)>,
    pub violations: Vec<String>,
    /// The versions that were finished, each time that they changed.
    finished: BTreeMap<RecordKey, Vec<(Step, BTreeSet<String>)>>,
    /// Since when pods of each version serve: in steps and in seconds.
    serving: BTreeMap<RecordKey, BTreeMap<String, (Step, i64)>>,
    /// When the last workload went, and when it was reported that one came again.
    nobody: BTreeMap<RecordKey, (i64, Option<i64>)>,
    /// The last write of ours.
    written: BTreeMap<RecordKey, Step>,
    /// The versions that we wrote, of records that are ours.
    recorded: BTreeMap<RecordKey, BTreeSet<String>>,
    /// Corrections since something changed that entitles to another one.
    corrections: BTreeMap<RecordKey, usize>,
    /// Writes of ours, and changes that may cause one.
    pub writes: BTreeMap<RecordKey, usize>,
    pub changes: BTreeMap<RecordKey, usize>,
    /// The keys of which it is in doubt whose the row is: a process ended between its note and its write, or between its
    /// write and the answer, or etcd forgot.
    pub doubts: BTreeSet<RecordKey>,
    /// etcd was restored from a backup.
    pub restored: bool,
    /// The record is nobody's any more since our last write: the annotation was removed.
    kept: BTreeSet<RecordKey>,
    /// Another client wrote or took away rows of these keys.
    pub foreign: BTreeSet<RecordKey>,
    pub keys: Vec<RecordKey>,
    /// Whether it is told what happens.
    pub told: bool,
}

pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

pub fn key_of(environment: &str, pacticipant: &str) -> RecordKey {
    use pact_operator::{
        api::names::{EnvironmentName, Pacticipant},
        workload::EnvironmentRef,
    };
    let environment = EnvironmentName::parse(environment).unwrap();
    RecordKey {
        environment_ref: EnvironmentRef { broker: "main".into(), environment },
        pacticipant: Pacticipant::parse(pacticipant).unwrap(),
        instance: None,
    }
}

impl World {
    fn parts(key: &RecordKey) -> (String, String) {
        (key.environment_ref.environment.to_string(), key.pacticipant.to_string())
    }

    /// Notes what changed in the cluster since the last step.
    pub fn observe(&mut self) {
        self.step += 1;
        for key in self.keys.clone() {
            let (environment, pacticipant) = Self::parts(&key);
            let finished = self.cluster.finished(&environment, &pacticipant);
            let log = self.finished.entry(key.clone()).or_default();
            if log.last().is_none_or(|(_, last)| *last != finished) {
                log.push((self.step, finished));
                *self.changes.entry(key.clone()).or_default() += 1;
                self.corrections.remove(&key);
            }
            let serves = self.cluster.serves(&environment, &pacticipant);
            let serving = self.serving.entry(key.clone()).or_default();
            serving.retain(|version, _| serves.contains(version));
            for version in serves {
                serving.entry(version).or_insert((self.step, self.now));
            }
            let nobody = self.nobody.entry(key).or_insert((self.now, None));
            if nobody.1.is_some() && self.cluster.of(&environment, &pacticipant).next().is_none() {
                *nobody = (self.now, None);
            }
        }
        for (reference, history) in &mut self.history {
            let now = self.cluster.workloads.get(reference);
            let last = history.last().and_then(|(_, last)| last.as_ref());
            let state = |it: &Truth| (it.uid, it.generation, it.observed, it.pods.clone(), it.confirmed);
            let changed =
                last.map(state) != now.map(state) || last.map(|it| &it.pacticipant) != now.map(|it| &it.pacticipant);
            if changed {
                history.push((self.now, now.cloned()));
            }
        }
    }

    /// Tells what happens, where one world is repeated.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.told {
            println!("{:>4} {:>4} s  {}", self.step, self.now, what());
        }
    }

    pub fn violated(&mut self, what: &str) {
        self.violations.push(format!("step {}, second {}: {what}", self.step, self.now));
    }

    /// A status was written that knows of no orphan: one that comes and goes while nobody looks was never there.
    pub fn reported(&mut self, key: &RecordKey, status: &PactDeploymentStatus) {
        let (now, (environment, pacticipant)) = (self.now, Self::parts(key));
        if status.conditions.iter().any(|it| it.type_ == "Ready" && it.reason == "Unmanaged") {
            self.kept.insert(key.clone());
            // What was in doubt then stays in doubt.
            self.recorded.remove(key);
        }
        if status.orphaned_since.is_none() && self.cluster.of(&environment, &pacticipant).next().is_some() {
            self.nobody.insert(key.clone(), (now, Some(now)));
        }
    }

    /// Something happened that entitles to one more correction.
    pub fn excused(&mut self, key: &RecordKey) {
        *self.changes.entry(key.clone()).or_default() += 1;
        self.corrections.remove(key);
    }

    fn check_lease(&mut self, process: usize, what: &str) {
        if !self.lease.is_some_and(|(holder, until)| holder == process && self.now <= until) {
            self.violated(&format!("process {process} {what} without the lease: {:?}", self.lease));
        }
    }

    /// A write of ours is carried out: `read` is the step of the live read before it.
    pub fn record(&mut self, process: usize, key: &RecordKey, version: &str, correction: bool) -> bool {
        self.check_lease(process, "records");
        self.tell(|| format!("process {process} records {version} of {key}"));
        let since = self.written.get(key).copied().unwrap_or_default();
        let log = self.finished.get(key).map(Vec::as_slice).unwrap_or_default();
        // The states that held at some time since our last write: the one that held then, and all after it.
        let first = log.iter().rposition(|(step, _)| *step <= since).unwrap_or_default();
        if !log[first..].iter().any(|(_, versions)| versions.contains(version)) {
            let runs = log.last().map(|(_, versions)| versions.clone());
            let (environment, pacticipant) = Self::parts(key);
            let members: Vec<_> = self.cluster.of(&environment, &pacticipant).cloned().collect();
            self.violated(&format!(
                "{key}: records {version}, which no workload finished since the last write; {runs:?}, {members:?}"
            ));
        }
        if self.is_of_strangers(key, version) {
            self.violated(&format!("{key}: records {version} of a stranger"));
        }
        if !self.broker.record(key, version, Writer::Operator) {
            return false;
        }
        self.written.insert(key.clone(), self.step);
        self.recorded.entry(key.clone()).or_default().insert(version.to_owned());
        self.kept.remove(key);
        *self.writes.entry(key.clone()).or_default() += 1;
        if correction {
            let count = self.corrections.entry(key.clone()).or_default();
            *count += 1;
            if *count > 1 {
                self.violated(&format!("{key}: corrects {version} a second time"));
            }
        }
        true
    }

    /// Whether this is another version than the recorded one, and only workloads run it for which the key is not recorded,
    /// while one of those that it is recorded for is there.
    fn is_of_strangers(&self, key: &RecordKey, version: &str) -> bool {
        let Some((status, _)) = self.records.get(key) else { return false };
        let recorded = status.recorded.as_ref().map(|recorded| recorded.version.as_str());
        let (environment, pacticipant) = Self::parts(key);
        let all = self.cluster.members(&environment, &pacticipant);
        let (known, strangers): (Vec<_>, Vec<_>) =
            all.partition(|(reference, _)| status.recorded_for.contains(&reference.namespace));
        // Also without pods, and when it has just gone on to another version.
        let has = |truth: &Truth| truth.version == version || truth.pods.contains_key(version);
        let runs = |members: &[(&WorkloadRef, &Truth)]| members.iter().any(|(_, truth)| has(truth));
        recorded.is_some_and(|recorded| recorded != version)
            && !status.recorded_for.is_empty()
            && !known.is_empty()
            && !runs(&known)
            && runs(&strangers)
    }

    /// An undeployment of ours is carried out: `read` is the step in which the pass read what became of the workloads.
    pub fn undeploy(&mut self, process: usize, key: &RecordKey, uuid: &str, read: Step) {
        self.check_lease(process, "undeploys");
        self.tell(|| format!("process {process} undeploys {key}"));
        // Strangers do not count: what is recorded is others'.
        let recorded_for = self.records.get(key).map(|(status, _)| status.recorded_for.clone()).unwrap_or_default();
        let (environment, pacticipant) = Self::parts(key);
        let is_stranger = |(reference, _): (&WorkloadRef, _)| !recorded_for.contains(&reference.namespace);
        let strangers = !recorded_for.is_empty() && self.cluster.members(&environment, &pacticipant).all(is_stranger);
        // Of what came a moment ago no watch may have told yet.
        let now = self.now;
        let known = |since: i64| now - since > BEHIND + 2;
        let version = self.broker.rows.get(key).filter(|row| row.uuid == uuid).map(|row| row.version.clone());
        let serving = version.and_then(|version| self.serving.get(key)?.get(&version));
        if serving.is_some_and(|(step, since)| *step <= read && known(*since)) {
            self.violated(&format!("{key}: undeploys what has pods"));
        }
        let gone = match self.nobody.get(key) {
            Some((_, Some(back))) if known(*back) => 0,
            Some((since, _)) => self.now - since,
            None => 0,
        };
        // Clocks differ by seconds; and what was restored may say that it was gone before.
        if gone < GRACE - 8 && !self.restored && !strangers {
            self.violated(&format!("{key}: undeploys {gone} s after the workload was gone"));
        }
        match self.broker.rows.get(key) {
            // Where a process ended between its note and its write, and somebody else wrote the very same version
            // afterwards, nobody can tell.
            Some(row) if row.uuid == uuid && row.writer == Writer::Other && !self.doubts.contains(key) => {
                self.violated(&format!("{key}: undeploys a row that somebody else wrote"));
            }
            _ => {}
        }
        self.broker.undeploy(uuid);
        self.written.insert(key.clone(), self.step);
        *self.writes.entry(key.clone()).or_default() += 1;
    }

    /// What must hold once nothing happens any more.
    pub fn check_at_rest(&mut self) {
        for key in self.keys.clone() {
            let (environment, pacticipant) = Self::parts(&key);
            let row = self.broker.rows.get(&key).cloned();
            let status = self.records.get(&key).map(|(status, _)| status.clone()).unwrap_or_default();
            let condition = |name: &str| is_true(&status.conditions, name);
            // Strangers to the record have no say in it.
            let stranger = |reference: &WorkloadRef, truth: &Truth| {
                status.recorded.as_ref().is_some_and(|recorded| recorded.version != truth.version)
                    && !status.recorded_for.is_empty()
                    && !status.recorded_for.contains(&reference.namespace)
            };
            let all = self.cluster.members(&environment, &pacticipant);
            let (strangers, known): (Vec<_>, Vec<_>) = all.partition(|(reference, truth)| stranger(reference, truth));
            // Those who are recorded have gone elsewhere, and are not recorded there: their record stays until then.
            let reserved = known.is_empty() && condition("Orphaned");
            let counted = if known.is_empty() { strangers } else { known };
            let members: Vec<Truth> = counted.into_iter().map(|(_, truth)| truth.clone()).collect();
            let with_pods: Vec<_> = members.iter().filter(|it| it.all_pods() > 0).collect();
            let voters = if with_pods.is_empty() { members.iter().collect() } else { with_pods };
            let versions: BTreeSet<_> = voters.iter().map(|it| it.version.clone()).collect();
            let expected = versions.first().filter(|_| versions.len() == 1);
            let published = |version: &String| self.broker.published.contains(&(pacticipant.clone(), version.clone()));
            let problem = match (expected, &row) {
                (Some(version), Some(row)) if row.version == *version => None,
                (Some(version), _) if !published(version) || reserved => None,
                (Some(_), _) if condition("Contested") && self.foreign.contains(&key) => None,
                (Some(version), found) => Some(format!("{version} runs, and the broker has {found:?}")),
                (None, Some(row)) if members.is_empty() && row.writer == Writer::Operator => {
                    let ready = status.conditions.iter().find(|it| it.type_ == "Ready");
                    let reason = ready.map(|it| it.reason.as_str()).unwrap_or_default();
                    let stays =
                        ["Unmanaged", "MembersUncertain", "PodsLeft", "RecordedElsewhereFirst", "UndeploysHeld"];
                    // What was noted right before a write is gone with what etcd forgot.
                    let doubtful = self.doubts.contains(&key) && (reason == "RecordedByOthers" || self.restored);
                    let known = stays.contains(&reason) || doubtful || self.kept.contains(&key);
                    (!known).then(|| format!("nobody runs it, and the broker still has {row:?} ({reason})"))
                }
                _ => None,
            };
            if let Some(problem) = problem {
                self.violated(&format!("at rest, {key}: {problem}; {:?}", status.conditions.first()));
            }
            // A row of ours that somebody else replaced before it was noted is gone, and so is what etcd forgot.
            if !self.foreign.contains(&key) && !self.restored {
                let counted = status.history.iter().chain(&status.recorded).map(|recorded| &recorded.version);
                let counted: BTreeSet<_> = counted.chain(&status.intended).collect();
                let recorded = self.recorded.get(&key).into_iter().flatten();
                let forgotten: Vec<_> = recorded.filter(|version| !counted.contains(version)).cloned().collect();
                if !forgotten.is_empty() {
                    self.violated(&format!(
                        "at rest, {key}: {forgotten:?} do not count as recorded before: {status:?}"
                    ));
                }
            }
            let (writes, changes) = (self.writes.get(&key).copied(), self.changes.get(&key).copied());
            if writes.unwrap_or_default() > 2 * changes.unwrap_or_default() + 4 {
                self.violated(&format!("{key}: {writes:?} writes for {changes:?} changes"));
            }
        }
    }
}

/// A world with these namespaces, before anything happens.
pub fn empty(seed: u64, mutant: Mutant, dice: &mut Dice) -> World {
    let told = std::env::var("SIMULATION_SEED").is_ok();
    let mut world = World { seed, mutant, told, ..World::default() };
    for (namespace, stage) in [("shop", "prod"), ("bank", "prod"), ("lab", "test")] {
        world.cluster.stages.insert(namespace.into(), stage.into());
        for name in ["x", "y"] {
            world.history.insert(crate::truth::deployment(namespace, name), vec![(0, None)]);
        }
    }
    for environment in ["prod", "test"] {
        for pacticipant in ["orders", "web"] {
            world.keys.push(key_of(environment, pacticipant));
        }
    }
    for pacticipant in ["orders", "web"] {
        for version in ["1", "2", "3"] {
            world.broker.published.insert((pacticipant.into(), version.into()));
        }
    }
    // Somebody was there before us.
    if dice.percent(20) {
        let key = dice.of(&world.keys);
        world.broker.record(&key, "1", Writer::Other);
        world.foreign.insert(key);
    }
    world
}
