//! The revisions of Argo Rollouts.

use std::collections::{BTreeSet, HashSet};

use super::Index;
use crate::workload::{RecordKey, Revision, WorkloadRef};

impl Index {
    /// Takes in a revision of a Rollout, by the hash of its pod template, or that it is gone.
    pub fn set_revision(
        &mut self,
        rollout: &WorkloadRef,
        hash: &str,
        revision: Option<Revision>,
    ) -> BTreeSet<RecordKey> {
        let of = self.revisions.entry(rollout.clone()).or_default();
        let revision = revision.map(|revision| revision.continuing(of.get(hash)));
        let before = match revision {
            Some(revision) if of.get(hash) == Some(&revision) => return BTreeSet::new(),
            Some(revision) => of.insert(hash.to_owned(), revision),
            None => match of.remove(hash) {
                None => return BTreeSet::new(),
                gone => gone,
            },
        };
        drop(before);
        if of.is_empty() {
            self.revisions.remove(rollout);
        }
        self.reindex(rollout)
    }

    /// Forgets the revision whose `ReplicaSet` has this name and no longer belongs to a Rollout.
    pub fn forget_revision(&mut self, namespace: &str, name: &str) -> BTreeSet<RecordKey> {
        let is_it = |rollout: &WorkloadRef, hash: &str| {
            let rest = name.strip_prefix(rollout.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
            rollout.namespace == namespace && rest == Some(hash)
        };
        let known = self.revisions.iter().flat_map(|(rollout, of)| of.keys().map(move |hash| (rollout, hash)));
        let found: Vec<_> =
            known.filter(|(rollout, hash)| is_it(rollout, hash)).map(|(at, it)| (at.clone(), it.clone())).collect();
        found.iter().flat_map(|(rollout, hash)| self.set_revision(rollout, hash, None)).collect()
    }

    /// Forgets every revision that a complete list did not hold.
    pub fn retain_revisions(&mut self, listed: &HashSet<(WorkloadRef, String)>) -> BTreeSet<RecordKey> {
        let known =
            self.revisions.iter().flat_map(|(rollout, of)| of.keys().map(|hash| (rollout.clone(), hash.clone())));
        let gone: Vec<_> = known.filter(|known| !listed.contains(known)).collect();
        gone.iter().flat_map(|(rollout, hash)| self.set_revision(rollout, hash, None)).collect()
    }
}

#[cfg(test)]
#[path = "revisions_tests.rs"]
mod tests;
