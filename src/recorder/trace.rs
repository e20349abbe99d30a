//! The span of a write at a broker: from the last change of the workloads, which finished the rollout, to the row.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use operator_kit::traces::{self, Traces};

use crate::{
    decide::record::{BrokerWrite, Done},
    workload::RecordKey,
};

/// Where the spans of writes go. Clones share it.
#[derive(Clone, Default)]
pub(super) struct WriteTraces {
    /// Where spans go.
    pub(super) traces: Traces,
    /// When a workload of a key last changed, since it was last written or found settled.
    changed: Arc<Mutex<HashMap<RecordKey, SystemTime>>>,
}

impl WriteTraces {
    /// Sends spans there.
    pub(super) fn new(traces: Traces) -> Self {
        Self { traces, changed: Arc::default() }
    }

    /// A workload of this key changed.
    pub(super) fn changed(&self, key: &RecordKey) {
        if self.traces.are_kept() {
            self.times().insert(key.clone(), SystemTime::now());
        }
    }

    /// Nothing is due for this key.
    pub(super) fn settled(&self, key: &RecordKey) {
        if self.traces.are_kept() {
            self.times().remove(key);
        }
    }

    /// What a standby saw is no beginning of what it does when it leads.
    pub(super) fn forget(&self) {
        self.times().clear();
    }

    /// Does a write within its span.
    pub(super) async fn write(&self, key: &RecordKey, write: &BrokerWrite, work: impl Future<Output = Done>) -> Done {
        if !self.traces.are_kept() {
            return work.await;
        }
        let began = self.times().remove(key).unwrap_or_else(SystemTime::now);
        let name = match write {
            BrokerWrite::Record { .. } => "record deployment",
            BrokerWrite::Undeploy(_) => "undeploy",
            BrokerWrite::Release { .. } => "record release",
        };
        let said = async {
            traces::add("pact.broker", key.environment_ref.broker.clone());
            traces::add("pact.environment", key.environment_ref.environment.to_string());
            traces::add("pact.pacticipant", key.pacticipant.to_string());
            if let Some(instance) = &key.instance {
                traces::add("pact.application_instance", instance.to_string());
            }
            let done = work.await;
            match &done {
                Done::Recorded { version, .. } | Done::Undeployed { version } => {
                    traces::add("pact.version", version.to_string());
                }
                Done::Released { versions } => {
                    let versions: Vec<_> = versions.iter().map(ToString::to_string).collect();
                    traces::add("pact.version", versions.join(", "));
                }
                Done::Refused(failure) => traces::fail(failure.why.message.clone()),
                Done::LeaseLost => traces::fail("another replica leads, or the record changed"),
            }
            done
        };
        self.traces.since(name, began, said).await
    }

    fn times(&self) -> std::sync::MutexGuard<'_, HashMap<RecordKey, SystemTime>> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
