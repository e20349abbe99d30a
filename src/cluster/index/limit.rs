//! For how many pacticipants a namespace may speak (case 120): whoever fills a namespace with annotations neither makes
//! thousands of records, nor slows down those of others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Index;
use crate::workload::{EnvironmentRef, RecordKey, WorkloadRef};

/// What waits in one namespace: keys, each with the workloads that name it.
type Waiting = BTreeMap<RecordKey, BTreeSet<WorkloadRef>>;

/// The limit, and what is beyond it.
#[derive(Debug)]
pub(super) struct KeyLimit {
    most: usize,
    /// How many keys each namespace speaks for.
    counts: HashMap<String, usize>,
    beyond: HashMap<String, Waiting>,
}

impl Default for KeyLimit {
    fn default() -> Self {
        Self { most: usize::MAX, counts: HashMap::new(), beyond: HashMap::new() }
    }
}

impl KeyLimit {
    /// Whether a namespace may speak for one more key; it does from now on, if so.
    pub(super) fn admit(&mut self, workload: &WorkloadRef, key: &RecordKey) -> bool {
        let count = self.counts.entry(workload.namespace.clone()).or_default();
        if *count < self.most {
            *count += 1;
            return true;
        }
        let beyond = self.beyond.entry(workload.namespace.clone()).or_default();
        beyond.entry(key.clone()).or_default().insert(workload.clone());
        false
    }

    /// A namespace no longer speaks for one of its keys.
    pub(super) fn leave(&mut self, namespace: &str) {
        if let Some(count) = self.counts.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(namespace);
            }
        }
    }

    /// A workload names nothing any more, or will be looked at again.
    pub(super) fn forget(&mut self, workload: &WorkloadRef) {
        let Some(beyond) = self.beyond.get_mut(&workload.namespace) else { return };
        beyond.retain(|_, workloads| {
            workloads.remove(workload);
            !workloads.is_empty()
        });
        if beyond.is_empty() {
            self.beyond.remove(&workload.namespace);
        }
    }

    /// Whether a key that a workload names is beyond the limit.
    pub(super) fn is_beyond(&self, workload: &WorkloadRef, key: &RecordKey) -> bool {
        let beyond = self.beyond.get(&workload.namespace).and_then(|beyond| beyond.get(key));
        beyond.is_some_and(|workloads| workloads.contains(workload))
    }

    /// The workloads of a namespace that may speak for a key now that others left; each has to be looked at again.
    pub(super) fn next(&self, namespace: &str) -> BTreeSet<WorkloadRef> {
        let free = self.most - self.counts.get(namespace).copied().unwrap_or_default().min(self.most);
        let beyond = self.beyond.get(namespace).into_iter().flatten();
        beyond.take(free).flat_map(|(_, workloads)| workloads).cloned().collect()
    }
}

/// What a namespace names beyond its limit in one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BeyondLimit {
    /// The namespace.
    pub namespace: String,
    /// The pacticipants for which nothing is recorded, by name; never empty.
    pub pacticipants: BTreeSet<String>,
    /// For how many keys a namespace may speak.
    pub most: usize,
}

impl Index {
    /// For how many keys a namespace may speak. To be said before the first workload comes.
    pub fn limit_keys(&mut self, most: usize) {
        self.limit.most = most;
    }

    /// What namespaces name in an environment beyond the limit.
    #[must_use]
    pub fn beyond_limit(&self, environment_ref: &EnvironmentRef) -> Vec<BeyondLimit> {
        let mut all: Vec<_> = (self.limit.beyond.iter())
            .map(|(namespace, beyond)| {
                let here = beyond.keys().filter(|key| key.environment_ref == *environment_ref);
                let pacticipants = here.map(|key| key.pacticipant.to_string()).collect();
                BeyondLimit { namespace: namespace.clone(), pacticipants, most: self.limit.most }
            })
            .filter(|beyond| !beyond.pacticipants.is_empty())
            .collect();
        all.sort_by(|one, other| one.namespace.cmp(&other.namespace));
        all
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
