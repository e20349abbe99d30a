//! What follows from a change of the view: what has to be looked at again, and what is reported at once.

use std::collections::BTreeSet;

use operator_kit::events::Regarding;

use super::{Recorder, queue::Task, schedule::Changed};
use crate::{
    cluster::{
        index::{InvalidWorkload, StrayKeys},
        watch_handlers::{Change, OnChange},
    },
    workload::{StaleSource, Workload},
};

impl OnChange for Recorder {
    fn on_change(&self, change: Change) {
        match change {
            Change::Members(touched) => {
                self.schedule.pact_records_of(&touched);
                self.schedule.records(touched);
            }
            Change::Workload { workload, touched, counted, invalid, stale, stray, held } => {
                let waiting = self.cluster.pact_records().of_workload(&workload);
                self.schedule.pact_records(waiting);
                // Also those of a workload that takes something from this one.
                self.schedule.pact_records_of(&touched);
                self.schedule.rollouts(touched);
                if counted || held.is_some() {
                    self.schedule.environment_statuses();
                }
                self.schedule.holds(held);
                self.report_workload(invalid, stale, stray);
            }
            Change::Namespaces { namespace, touched } => {
                // Also those whose workload is no member of any key, before or now.
                let there = namespace.map(|namespace| self.cluster.pact_records().in_namespace(&namespace));
                self.schedule.pact_records(there.into_iter().flatten());
                self.schedule.pact_records_of(&touched);
                self.schedule.records(touched);
                self.schedule.environment_statuses();
                if self.cluster.is_complete() {
                    self.reporter.mistaken_workloads_soon(&self.cluster);
                }
            }
            Change::Environment { touched, environment_ref, spec, readable_again } => {
                if readable_again {
                    // Nothing could be undeployed anywhere meanwhile.
                    self.schedule.everything();
                }
                // Our own writes of the status come back here, too.
                if touched.is_empty() && !spec {
                    return;
                }
                self.cluster.snapshots.retain(&self.cluster.environment_refs());
                if let Some(environment_ref) = environment_ref {
                    self.schedule.judge_all_in(&environment_ref);
                    self.schedule.queue.now(Task::Environment(environment_ref));
                }
                let waiting = self.cluster.pact_records().all();
                self.schedule.pact_records(waiting);
                self.schedule.records(touched);
                self.schedule.environment_statuses();
                self.reporter.mistaken_workloads_soon(&self.cluster);
            }
            Change::Broker(name) => self.schedule.queue.now(Task::Broker(name)),
            // What was lost is found out again from the cluster and the broker (case 53).
            Change::RecordGone(key) => {
                self.schedule.pact_records_of([&key]);
                self.schedule.queue.now(Task::Record(key));
            }
            Change::RecordWritten(key) => self.schedule.pact_records_of([&key]),
            Change::PactRecord(object) => self.schedule.pact_records([object]),
            Change::Unreadable { regarding, problem } => self.report_unreadable(regarding, problem),
            Change::Versions(key, changed) => {
                // A leader has told what it read itself.
                if changed.recorded && !self.leadership.is_leader() {
                    self.cluster.brokers.forget(&key.environment_ref);
                }
                // Before, nothing was judged that could have changed.
                if self.cluster.is_complete() && self.leadership.is_leader() {
                    self.schedule.judge_counterparts(
                        &key.environment_ref,
                        &BTreeSet::from([key.pacticipant.to_string()]),
                        if changed.running { Changed::Running } else { Changed::Recorded },
                    );
                }
            }
        }
    }
}

impl Recorder {
    fn report_workload(
        &self,
        invalid: Option<Box<InvalidWorkload>>,
        stale: Option<Box<(Workload, StaleSource)>>,
        stray: Option<Box<StrayKeys>>,
    ) {
        if (invalid.is_none() && stale.is_none() && stray.is_none()) || !self.leadership.is_leader() {
            return;
        }
        let reporter = self.reporter.clone();
        tokio::spawn(async move {
            if let Some(invalid) = invalid {
                reporter.invalid_workload(&invalid).await;
            }
            if let Some(stale) = stale {
                reporter.stale_version(&stale.0, &stale.1).await;
            }
            if let Some(stray) = stray {
                reporter.stray_keys(&stray).await;
            }
        });
    }

    /// Publishes an Event about an object that cannot be read, once this process leads.
    fn report_unreadable(&self, regarding: Regarding, problem: String) {
        let (leadership, reporter) = (self.leadership.clone(), self.reporter.clone());
        tokio::spawn(async move {
            leadership.wait_leader().await;
            reporter.unreadable(&regarding, &problem).await;
        });
    }
}
