//! What the gate knows of the cluster: namespaces, environments' rules, and what is recorded. Synchronous, without I/O.

use std::collections::{BTreeMap, HashMap};

use crate::{
    api::{
        PactDeployment, PactEnvironment,
        condition::is_true,
        environment::BACKFILLED,
        names::{ApplicationInstance, Pacticipant, Version},
    },
    policy::{GateRules, Remembered},
    workload::{
        BrokenRules, EnvironmentClaim, EnvironmentRules, NamespaceMapping, Place, RecordKey, environment_rules,
        environments_of,
    },
};

/// What one `PactEnvironment` says, parsed.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Which namespaces it claims, where it records, how versions are told.
    pub rules: EnvironmentRules,
    /// Its gate block.
    pub gate: GateRules,
    /// Whether its first inventory was recorded.
    pub backfilled: bool,
}

/// The index. See the module.
#[derive(Debug, Default)]
pub struct Index {
    namespaces: HashMap<String, BTreeMap<String, String>>,
    environments: BTreeMap<String, Result<Environment, Box<BrokenRules>>>,
    /// What they claim: made at each change of one, not at each review, for they may name thousands of namespaces.
    claims: Vec<EnvironmentClaim>,
    remembered: HashMap<(Place, Pacticipant), BTreeMap<Option<ApplicationInstance>, Remembered>>,
}

impl Index {
    /// Takes in a namespace with its labels, or forgets it.
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) {
        match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels),
            None => self.namespaces.remove(name),
        };
    }

    /// Forgets every namespace for which `listed` does not hold.
    pub fn retain_namespaces(&mut self, listed: impl Fn(&str) -> bool) {
        self.namespaces.retain(|name, _| listed(name));
    }

    /// The labels of a namespace, if it is known.
    #[must_use]
    pub fn labels(&self, namespace: &str) -> Option<&BTreeMap<String, String>> {
        self.namespaces.get(namespace)
    }

    /// Takes in a `PactEnvironment` as it is now.
    pub fn set_environment(&mut self, name: &str, object: &PactEnvironment) {
        let conditions = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
        let parsed = environment_rules::parse(object).map(|rules| Environment {
            rules,
            gate: GateRules::parse(&object.spec.gate),
            backfilled: is_true(conditions, BACKFILLED),
        });
        self.environments.insert(name.to_owned(), parsed);
        self.claim();
    }

    /// Takes in that a `PactEnvironment` cannot be read: what it claimed before, it claims still.
    pub fn break_environment(&mut self, name: &str, problem: &str) {
        let claim = match self.environments.get(name) {
            None => None,
            Some(Ok(environment)) => Some(environment.rules.claim.clone()),
            Some(Err(broken)) => broken.claim.clone(),
        };
        let broken = BrokenRules { object: name.to_owned(), claim, place: None, problem: problem.to_owned() };
        self.environments.insert(name.to_owned(), Err(Box::new(broken)));
        self.claim();
    }

    /// Forgets every `PactEnvironment` for which `listed` does not hold.
    pub fn retain_environments(&mut self, listed: impl Fn(&str) -> bool) {
        self.environments.retain(|name, _| listed(name));
        self.claim();
    }

    fn claim(&mut self) {
        let claims = self.environments.values().filter_map(|environment| match environment {
            Ok(environment) => Some(environment.rules.claim.clone()),
            Err(broken) => broken.claim.clone(),
        });
        self.claims = claims.collect();
    }

    /// Which environments a namespace with these labels lies in.
    #[must_use]
    pub fn mapping(&self, namespace: &str, labels: &BTreeMap<String, String>) -> NamespaceMapping {
        environments_of(namespace, labels, &self.claims)
    }

    /// One `PactEnvironment`, or why it cannot be followed.
    #[must_use]
    pub fn environment(&self, name: &str) -> Option<&Result<Environment, Box<BrokenRules>>> {
        self.environments.get(name)
    }

    /// Takes in the memory of a key, or that it is gone; answers whether other versions are recorded now than before.
    pub fn set_memory(&mut self, key: &RecordKey, object: Option<&PactDeployment>) -> bool {
        let of_pacticipant = self.remembered.entry((key.place.clone(), key.pacticipant.clone())).or_default();
        let after = object.map(remembered);
        let recorded = |it: Option<&Remembered>| it.map(|it| it.recorded.clone()).unwrap_or_default();
        let changed = recorded(of_pacticipant.get(&key.instance)) != recorded(after.as_ref());
        match after {
            Some(after) => of_pacticipant.insert(key.instance.clone(), after),
            None => of_pacticipant.remove(&key.instance),
        };
        if of_pacticipant.is_empty() {
            self.remembered.remove(&(key.place.clone(), key.pacticipant.clone()));
        }
        changed
    }

    /// Forgets the memory of every key for which `listed` does not hold; answers the places where that changes what is
    /// recorded.
    pub fn retain_memories(&mut self, listed: impl Fn(&RecordKey) -> bool) -> Vec<Place> {
        let keys = self.remembered.iter().flat_map(|((place, pacticipant), instances)| {
            instances.keys().map(|instance| RecordKey {
                place: place.clone(),
                pacticipant: pacticipant.clone(),
                instance: instance.clone(),
            })
        });
        let gone: Vec<_> = keys.filter(|key| !listed(key)).collect();
        gone.into_iter().filter(|key| self.set_memory(key, None)).map(|key| key.place).collect()
    }

    /// What is remembered of a pacticipant in an environment, all application instances together.
    #[must_use]
    pub fn remembered(&self, place: &Place, pacticipant: &Pacticipant) -> Remembered {
        let mut all = Remembered::default();
        // A copy of both names for one look-up: a few hundred bytes for a review.
        for one in self.remembered.get(&(place.clone(), pacticipant.clone())).into_iter().flat_map(BTreeMap::values) {
            all.recorded.extend(one.recorded.iter().cloned());
            all.former.extend(one.former.iter().cloned());
        }
        all
    }
}

fn remembered(object: &PactDeployment) -> Remembered {
    let Some(status) = &object.status else { return Remembered::default() };
    let version = |text: &str| Version::parse(text).ok();
    let current = status.recorded.iter().chain(&status.supported);
    Remembered {
        recorded: current.filter_map(|recorded| version(&recorded.version)).collect(),
        former: status.history.iter().filter_map(|recorded| version(&recorded.version)).collect(),
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
