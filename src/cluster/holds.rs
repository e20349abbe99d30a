//! The workloads that are held, or were: those with the annotation that says so. Synchronous, without I/O.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::workload::{Held, Told, Workload, WorkloadKind, WorkloadRef};

/// The workloads, each with its hold; `None` for one that somebody resumed and whose annotation is left.
#[derive(Debug, Default)]
pub struct Holds(Mutex<BTreeMap<WorkloadRef, Option<Held>>>);

impl Holds {
    /// Takes in a workload as it is now; answers whether its hold is another one than before.
    pub fn set(&self, workload: &Workload) -> bool {
        let mut holds = self.holds();
        let before = holds.get(&workload.reference).cloned();
        // Its annotation is only ours where it can be one.
        let noted = workload.annotations.held.is_some() && Held::is_possible(workload.reference.kind);
        let now = noted.then(|| Held::of(workload));
        if before == now {
            return false;
        }
        match now {
            Some(held) => holds.insert(workload.reference.clone(), held),
            None => holds.remove(&workload.reference),
        };
        true
    }

    /// Forgets a workload that is gone; answers whether it was one of them.
    pub fn remove(&self, reference: &WorkloadRef) -> bool {
        self.holds().remove(reference).is_some()
    }

    /// Forgets every workload of a kind that a complete list of that kind did not hold.
    pub fn retain(&self, kind: WorkloadKind, listed: &HashSet<WorkloadRef>) {
        self.holds().retain(|reference, _| reference.kind != kind || listed.contains(reference));
    }

    /// Every workload with the annotation.
    #[must_use]
    pub fn all(&self) -> Vec<WorkloadRef> {
        self.holds().keys().cloned().collect()
    }

    /// The workloads that are held, by name.
    #[must_use]
    pub fn held(&self) -> Vec<(WorkloadRef, Held)> {
        self.holds().iter().filter_map(|(reference, held)| Some((reference.clone(), held.clone()?))).collect()
    }

    /// How many are held, by what was reported of them.
    #[must_use]
    pub fn counts(&self) -> Vec<(&'static str, i64)> {
        let holds = self.holds();
        let count = |told: Option<Told>| holds.values().flatten().filter(|held| held.told == told).count();
        let counts = [("Waiting", None), ("Overdue", Some(Told::Overdue)), ("Refused", Some(Told::Refused))];
        counts.map(|(name, told)| (name, i64::try_from(count(told)).unwrap_or(i64::MAX))).to_vec()
    }

    fn holds(&self) -> MutexGuard<'_, BTreeMap<WorkloadRef, Option<Held>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
