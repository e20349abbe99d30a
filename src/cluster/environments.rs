//! Which namespaces there are, and which `PactEnvironment` says what about them. Synchronous, without I/O.

use std::collections::BTreeMap;

use crate::{
    decide::{EnvironmentPolicy, GateRules},
    workload::{
        BrokenRules, EnvironmentClaim, EnvironmentRef, EnvironmentRules, NamespaceMapping, Whereabouts,
        environments_of, whereabouts_without_labels,
    },
};

/// The namespaces and the `PactEnvironment`s. See the module.
#[derive(Debug, Default)]
pub struct Environments {
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
    /// What is in force: the last good rules, or why there are none.
    policies: BTreeMap<String, Result<EnvironmentPolicy, Box<BrokenRules>>>,
    /// Why the newest rules of a `PactEnvironment` cannot be followed, whether or not it has good ones from before.
    problems: BTreeMap<String, String>,
    /// What they claim: made at each change of one, not at each look-up, for they may name thousands of namespaces.
    claims: Vec<EnvironmentClaim>,
}

/// Where a `PactEnvironment` records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedAt {
    /// There is no such `PactEnvironment`.
    Nowhere,
    /// In this environment.
    Environment(EnvironmentRef),
    /// It cannot be read: possibly in any.
    Unknown,
}

impl Environments {
    /// Takes in a namespace with its labels, or forgets it; answers whether that changed anything.
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> bool {
        if self.namespaces.get(name) == labels.as_ref() {
            return false;
        }
        match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
        true
    }

    /// The names of all namespaces.
    pub fn namespaces(&self) -> impl Iterator<Item = &String> {
        self.namespaces.keys()
    }

    /// The labels of a namespace, if it is known.
    #[must_use]
    pub fn labels(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }

    /// Takes in what a `PactEnvironment` says, or forgets it; answers whether the rules in force changed: its gate block
    /// and its status change no mapping and no member. Rules that cannot be followed leave the last good ones in force
    /// (case 76).
    pub fn set(&mut self, object: &str, policy: Option<Result<EnvironmentPolicy, Box<BrokenRules>>>) -> bool {
        match &policy {
            Some(Err(broken)) => self.problems.insert(object.to_owned(), broken.problem.clone()),
            _ => self.problems.remove(object),
        };
        let policy = policy.map(|policy| policy.or_else(|broken| self.last_good(object, &broken).ok_or(broken)));
        let before = self.policies.get(object).map(|before| before.as_ref().map(|policy| &policy.rules));
        let changed = before != policy.as_ref().map(|policy| policy.as_ref().map(|policy| &policy.rules));
        match policy {
            Some(policy) => self.policies.insert(object.to_owned(), policy),
            None => self.policies.remove(object),
        };
        if changed {
            let claims = self.policies.values().filter_map(|policy| match policy {
                Ok(policy) => Some(policy.rules.claim.clone()),
                Err(broken) => broken.claim.clone(),
            });
            self.claims = claims.collect();
        }
        changed
    }

    /// The last good rules of a `PactEnvironment`, with its gate block of now, unless it is another object of that name:
    /// where an object records never changes.
    fn last_good(&self, object: &str, broken: &BrokenRules) -> Option<EnvironmentPolicy> {
        let last = self.get(object)?.as_ref().ok()?;
        let same = broken.environment_ref.as_ref().is_none_or(|now| *now == last.rules.environment_ref);
        let gate = broken.gate.as_ref().map_or_else(|| last.gate.clone(), GateRules::parse);
        same.then(|| EnvironmentPolicy { gate, ..last.clone() })
    }

    /// Why the newest rules of a `PactEnvironment` cannot be followed, if so.
    #[must_use]
    pub fn problem(&self, object: &str) -> Option<&str> {
        self.problems.get(object).map(String::as_str)
    }

    /// What a `PactEnvironment` that cannot be read counts as: it claims, and records where, it did before.
    #[must_use]
    pub fn broken_as(&self, object: &str, problem: String) -> BrokenRules {
        let (claim, environment_ref) = match self.get(object) {
            None => (None, None),
            Some(Ok(EnvironmentPolicy { rules, .. })) => {
                (Some(rules.claim.clone()), Some(rules.environment_ref.clone()))
            }
            Some(Err(broken)) => (broken.claim.clone(), broken.environment_ref.clone()),
        };
        BrokenRules { object: object.to_owned(), claim, environment_ref, gate: None, problem }
    }

    /// What is in force for one `PactEnvironment`, or why nothing is: its rules never could be followed.
    #[must_use]
    pub fn get(&self, object: &str) -> Option<&Result<EnvironmentPolicy, Box<BrokenRules>>> {
        self.policies.get(object)
    }

    /// Where a `PactEnvironment` records.
    #[must_use]
    pub fn recorded_at(&self, object: &str) -> RecordedAt {
        match self.get(object) {
            None => RecordedAt::Nowhere,
            Some(Ok(policy)) => RecordedAt::Environment(policy.rules.environment_ref.clone()),
            Some(Err(broken)) => broken.environment_ref.clone().map_or(RecordedAt::Unknown, RecordedAt::Environment),
        }
    }

    /// The rules that are in force for one `PactEnvironment`.
    #[must_use]
    pub fn rules(&self, object: &str) -> Option<&EnvironmentRules> {
        self.get(object)?.as_ref().ok().map(|policy| &policy.rules)
    }

    /// The names of all `PactEnvironment`s, those that cannot be followed included.
    #[must_use]
    pub fn objects(&self) -> Vec<String> {
        self.policies.keys().cloned().collect()
    }

    /// The rules that are in force, by the names of their `PactEnvironment`s.
    pub fn valid_rules(&self) -> impl Iterator<Item = &EnvironmentRules> {
        self.policies.values().filter_map(|policy| policy.as_ref().ok()).map(|policy| &policy.rules)
    }

    /// Why nothing may be written to an environment: a `PactEnvironment` that records there never could be followed.
    #[must_use]
    pub fn broken_at(&self, environment_ref: &EnvironmentRef) -> Option<&BrokenRules> {
        self.broken().find(|broken| broken.environment_ref.as_ref() == Some(environment_ref))
    }

    /// Why nothing may be undeployed anywhere: it is not known where a `PactEnvironment` records, so a workload that
    /// seems to run nowhere any more may run there.
    #[must_use]
    pub fn unreadable(&self) -> Option<&BrokenRules> {
        self.broken().find(|broken| broken.environment_ref.is_none())
    }

    fn broken(&self) -> impl Iterator<Item = &BrokenRules> {
        self.policies.values().filter_map(|policy| policy.as_ref().err()).map(|broken| &**broken)
    }

    /// Which environments a namespace with these labels lies in.
    #[must_use]
    pub fn mapping(&self, namespace: &str, labels: &BTreeMap<String, String>) -> NamespaceMapping {
        environments_of(namespace, labels, &self.claims)
    }

    /// Which environments a namespace lies in, or may lie in, whose labels could not be read.
    #[must_use]
    pub fn whereabouts_without_labels(&self, namespace: &str) -> Whereabouts {
        whereabouts_without_labels(namespace, &self.claims)
    }
}

#[cfg(test)]
#[path = "environments_tests.rs"]
mod tests;
