//! What an environment's keys come to together: how many are recorded, and how many of the versions that run would be
//! denied.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::{Cluster, gate_rules, index::Index};
use crate::{
    api::{
        PactDeploymentStatus,
        condition::{Finding, is_true},
        environment::MEMBERS_LISTED,
        gate::{GateAction, GateMode},
    },
    decide::{
        Basis, GateRules, Problem, Reason,
        admission::decision::{Cause, wanted},
    },
    workload::RecordKey,
};

/// An environment's keys, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// All of them.
    pub keys: usize,
    /// Those that the broker has as they run.
    pub recorded: usize,
    /// Those of which it was not written yet what runs; by name.
    pub awaited: BTreeSet<String>,
    /// Versions that run and would be denied.
    pub would_deny: usize,
    /// Versions that run and have no verdict.
    pub unchecked: usize,
}

impl Inventory {
    /// Counts one key: its status, and whether what it runs has no version that could be asked about and is denied for
    /// that.
    pub fn count(&mut self, key: &RecordKey, status: Option<&PactDeploymentStatus>, unidentified: bool) {
        self.keys += 1;
        let conditions = status.map(|status| status.conditions.as_slice()).unwrap_or_default();
        if is_true(conditions, "Recorded") {
            self.recorded += 1;
        }
        if status.is_none() {
            self.awaited.insert(key.to_string());
        }
        let checks = status.map(|status| status.checks.as_slice()).unwrap_or_default();
        self.would_deny += checks.iter().filter(|check| check.would_deny).count() + usize::from(unidentified);
        // Nothing was found out yet: so much is unchecked, too.
        let none = checks.is_empty() && !unidentified;
        self.unchecked +=
            checks.iter().filter(|check| check.verdict == Reason::Unchecked.as_str()).count() + usize::from(none);
    }
}

/// The condition `MembersListed`: whether the gate knows all that runs in an environment. Once true, it stays so: what
/// comes later is written as it comes. Nothing has to be recorded for it (case 74).
#[must_use]
pub fn members_listed(before: &[Condition], inventory: &Inventory) -> Finding {
    if let Some(done) = before.iter().find(|condition| condition.type_ == MEMBERS_LISTED && condition.status == "True")
    {
        return Finding::new(MEMBERS_LISTED, true, Reason::Listed, done.message.clone());
    }
    let of = format!("{} of {}", inventory.keys - inventory.awaited.len(), inventory.keys);
    match inventory.awaited.first() {
        Some(first) => {
            let message = format!("{of} pacticipants are listed with what runs; waiting for {first}");
            Finding::new(MEMBERS_LISTED, false, Reason::Listing, message)
        }
        None => Finding::new(MEMBERS_LISTED, true, Reason::Listed, "what runs is known to the gate"),
    }
}

impl Cluster {
    /// How many versions run that would be denied now, by the mode of the gate that they are under (case 81).
    #[must_use]
    pub fn would_deny_by_mode(&self) -> Vec<(&'static str, i64)> {
        let mut counts = [GateMode::Off, GateMode::Audit, GateMode::Warn, GateMode::Enforce].map(|mode| (mode, 0));
        let index = self.index();
        self.records.each(|key, object| {
            let Some(rules) = gate_rules(&index, key) else { return };
            let mut inventory = Inventory::default();
            inventory.count(key, object.status.as_ref(), unidentified(&index, key, rules));
            for (_, count) in counts.iter_mut().filter(|(mode, _)| *mode == rules.mode) {
                *count += i64::try_from(inventory.would_deny).unwrap_or(i64::MAX);
            }
        });
        counts.into_iter().map(|(mode, count)| (mode.name(), count)).collect()
    }

    /// Counts the keys of a `PactEnvironment`. Each rollout has that done: without a copy of anything.
    #[must_use]
    pub fn inventory(&self, object: &str, rules: &GateRules) -> Inventory {
        let (index, mut inventory) = (self.index(), Inventory::default());
        self.records.with_each(index.keys_of_environment(object), |key, object| {
            let status = object.and_then(|object| object.status.as_ref());
            inventory.count(key, status, unidentified(&index, key, rules));
        });
        inventory
    }
}

/// Whether a member of a key has no version that could be asked about, and would be denied for that.
fn unidentified(index: &Index, key: &RecordKey, rules: &GateRules) -> bool {
    index.any_member(key, |member| {
        let Err(problem) = &member.version else { return false };
        let problem = Problem::Version { pacticipant: key.pacticipant.clone(), problem: problem.clone() };
        wanted(&Cause::Problem(problem), Basis::New, rules) == GateAction::Deny
    })
}

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
