//! Which tasks a change makes due: puts them into the queue.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    queue::{Queue, Task},
    trace::WriteTraces,
    verdicts::{Verdicts, answered},
    waiting::WaitingRoom,
};
use crate::{
    api::names::Pacticipant,
    broker::BrokerError,
    cluster::{Cluster, pact_records::PactRecordRef},
    decide::Reason,
    workload::{EnvironmentRef, RecordKey, WorkloadRef},
};

/// How long changes of the counts are collected before the status of a `PactEnvironment` is written: many rollouts
/// finish at once.
pub(super) const STATUS_DELAY: Duration = Duration::from_secs(2);
/// How long changes in an environment are collected before the verdicts that they may affect are checked again.
const GATHER: Duration = Duration::from_secs(5);
/// The same, where two rollouts may have been admitted that break each other (case 94).
const GATHER_RUNNING: Duration = Duration::from_secs(1);

/// What changed of a pacticipant in an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// Other versions run, or roll out.
    Running,
    /// Other versions are recorded.
    Recorded,
}

/// The schedule; see the module documentation. Cheap to clone.
#[derive(Clone)]
pub(super) struct Schedule {
    pub(super) queue: Queue,
    pub(super) cluster: Arc<Cluster>,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) waiting: Arc<WaitingRoom>,
    /// How often the records of an environment are read and compared.
    pub(super) resync_period: Duration,
    /// Where it is noted when a workload changed.
    pub(super) traces: WriteTraces,
}

impl Schedule {
    /// All brokers, environments and records.
    pub(super) fn everything(&self) {
        for name in self.cluster.brokers.names() {
            self.queue.now(Task::Broker(name));
        }
        for environment_ref in self.cluster.environment_refs() {
            self.queue.now(Task::Environment(environment_ref));
        }
        for object in self.cluster.environment_names() {
            self.queue.now(Task::EnvironmentStatus(object));
        }
        for key in self.cluster.keys(|_| true) {
            self.queue.now(Task::Record(key));
        }
        let pact_records = self.cluster.pact_records().all();
        self.pact_records(pact_records);
        self.holds(self.cluster.holds.all());
    }

    /// These workloads, which are held or were.
    pub(super) fn holds(&self, workloads: impl IntoIterator<Item = WorkloadRef>) {
        for workload in workloads {
            self.queue.now(Task::Hold(workload));
        }
    }

    /// These `PactRecord`s, once everything was looked at.
    pub(super) fn pact_records(&self, objects: impl IntoIterator<Item = PactRecordRef>) {
        for object in objects.into_iter().take_while(|_| self.cluster.is_complete()) {
            self.queue.now(Task::PactRecord(object));
        }
    }

    /// The `PactRecord`s that the records of these keys concern.
    pub(super) fn pact_records_of<'a>(&self, keys: impl IntoIterator<Item = &'a RecordKey>) {
        self.pact_records(self.cluster.pact_records_of(keys));
    }

    /// Forgets what was found while this process led: verdicts, and what was refused.
    pub(super) fn forget_findings(&self) {
        self.traces.forget();
        self.verdicts.forget_all();
        self.waiting.forget_all();
    }

    /// These records.
    pub(super) fn records(&self, keys: impl IntoIterator<Item = RecordKey>) {
        for key in keys {
            self.queue.now(Task::Record(key));
        }
    }

    /// These records, of which a workload changed: before all others, once everything was looked at.
    pub(super) fn rollouts(&self, keys: impl IntoIterator<Item = RecordKey>) {
        if !self.cluster.is_complete() {
            return self.records(keys);
        }
        for key in keys {
            self.traces.changed(&key);
            self.queue.urgently(Task::Record(key));
        }
    }

    /// What waits at a broker for one of these reasons.
    pub(super) fn try_again(&self, broker: &str, reasons: impl Fn(Reason) -> bool) {
        for task in self.waiting.tell(broker, reasons, Instant::now()) {
            self.queue.now(task);
        }
    }

    /// What is published at a broker, as soon as that is due.
    pub(super) fn publications(&self, broker: &str) {
        let now = Instant::now();
        if let Some(at) = self.waiting.next_list(broker, now) {
            self.queue.after(at.saturating_duration_since(now), Task::Publications(broker.to_owned()));
        }
    }

    /// The verdicts of these records.
    pub(super) fn judge(&self, keys: impl IntoIterator<Item = RecordKey>) {
        for key in keys {
            self.queue.now(Task::Verdict(key));
        }
    }

    /// The statuses of all `PactEnvironment`s, soon.
    pub(super) fn environment_statuses(&self) {
        for object in self.cluster.environment_names() {
            self.queue.after(STATUS_DELAY, Task::EnvironmentStatus(object));
        }
    }

    /// The statuses of the `PactEnvironment`s that a record counts for, soon.
    pub(super) fn environment_statuses_of(&self, key: &RecordKey) {
        let objects: Vec<_> = {
            let index = self.cluster.index();
            let rules = index.environments().valid_rules().filter(|rules| rules.environment_ref == key.environment_ref);
            rules.map(|rules| rules.object.clone()).collect()
        };
        for object in objects {
            self.queue.after(STATUS_DELAY, Task::EnvironmentStatus(object));
        }
    }

    /// A broker answers again, or differently than before: schedules the tasks that wait for it.
    pub(super) fn broker_changed(&self, broker: &str) {
        let environments = self.cluster.environment_refs().into_iter();
        for environment_ref in environments.filter(|environment_ref| environment_ref.broker == broker) {
            self.queue.now(Task::Environment(environment_ref));
        }
        let unanswered = |key: &RecordKey, checks: &[_]| {
            key.environment_ref.broker == broker && checks.iter().any(|check| !answered(check))
        };
        self.judge(self.verdicts.keys(unanswered));
        // Other credentials may have other rights. What was published is read from the list.
        self.try_again(broker, |reason| !reason.waits_for_a_publication());
    }

    /// A call at the broker failed: schedules the task that can determine the cause.
    pub(super) fn look_into(&self, environment_ref: &EnvironmentRef, error: &BrokerError) {
        match error {
            BrokerError::EnvironmentMissing { .. } => self.queue.now(Task::Environment(environment_ref.clone())),
            BrokerError::PacticipantMissing { .. }
            | BrokerError::VersionMissing { .. }
            | BrokerError::Rejected { .. }
            | BrokerError::Unaddressable { .. } => {}
            _ => self.queue.now(Task::Broker(environment_ref.broker.clone())),
        }
    }

    /// The gate block of an environment changed: schedules all its verdicts.
    pub(super) fn judge_all_in(&self, environment_ref: &EnvironmentRef) {
        let keys = self.verdicts.keys(|key, _| key.environment_ref == *environment_ref);
        self.verdicts.ask_anew(&keys);
        self.judge(keys);
    }

    /// Other versions of these pacticipants are live in an environment than before: schedules the verdicts that
    /// this may change, which are those of the counterparts. Their number is bounded by the number of an application's
    /// integrations.
    pub(super) fn judge_counterparts(
        &self,
        environment_ref: &EnvironmentRef,
        pacticipants: &BTreeSet<String>,
        changed: Changed,
    ) {
        let gather = match changed {
            Changed::Running => GATHER_RUNNING,
            Changed::Recorded => GATHER,
        };
        let mut affected = BTreeSet::new();
        for name in pacticipants {
            affected.extend(self.verdicts.keys_mentioning(environment_ref, name));
            let Ok(pacticipant) = Pacticipant::parse(name) else { continue };
            let own = self.verdicts.keys_of(environment_ref, &pacticipant);
            if own.is_empty() {
                // An application that no workload here runs has no checks yet: its own question names its counterparts.
                let environment_ref = environment_ref.clone();
                affected.insert(RecordKey { environment_ref, pacticipant, instance: None });
                continue;
            }
            // A counterpart that was not needed before has no pair yet: the changed application's own checks name it.
            let checks = own.iter().flat_map(|key| self.verdicts.of(key));
            let pairs = checks.flat_map(|check| check.pairs).flat_map(|pair| [pair.consumer, pair.provider]);
            let named: BTreeSet<_> = pairs.filter(|name| !pacticipants.contains(name)).collect();
            for counterpart in named.iter().filter_map(|name| Pacticipant::parse(name).ok()) {
                affected.extend(self.verdicts.keys_of(environment_ref, &counterpart));
            }
        }
        for key in affected {
            self.queue.after(gather.min(self.resync_period), Task::Verdict(key));
        }
    }
}
