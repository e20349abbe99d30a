//! What the gate knows of the cluster: namespaces, environments' rules, and what is recorded. Synchronous, without I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::{
    api::{
        PactDeployment, PactEnvironment,
        condition::is_true,
        deployment::Recorded,
        environment::BACKFILLED,
        names::{ApplicationInstance, Pacticipant, Version},
    },
    decide::{GateRules, Remembered},
    workload::{
        BrokenRules, EnvironmentClaim, EnvironmentRef, EnvironmentRules, NamespaceMapping, RecordKey,
        environment_rules, environments_of,
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
    /// For each pacticipant the memories of its application instances, mostly one.
    remembered: HashMap<(EnvironmentRef, Pacticipant), Vec<Memory>>,
}

/// What is remembered of a key. There are as many as there are applications: sorted slices take a third of what sets do.
#[derive(Debug)]
struct Memory {
    instance: Option<ApplicationInstance>,
    recorded: Box<[Version]>,
    former: Box<[Version]>,
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
        let broken = BrokenRules { object: name.to_owned(), claim, environment_ref: None, problem: problem.to_owned() };
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
        let of_pacticipant = self.remembered.entry((key.environment_ref.clone(), key.pacticipant.clone())).or_default();
        let before = of_pacticipant.iter().position(|memory| memory.instance == key.instance);
        let before = before.map(|position| of_pacticipant.swap_remove(position));
        let after = object.map(|object| Memory::of(key, object));
        let recorded = |memory: Option<&Memory>| memory.map(|memory| memory.recorded.clone()).unwrap_or_default();
        let changed = recorded(before.as_ref()) != recorded(after.as_ref());
        if let Some(after) = after {
            of_pacticipant.reserve_exact(1);
            of_pacticipant.push(after);
        } else if of_pacticipant.is_empty() {
            self.remembered.remove(&(key.environment_ref.clone(), key.pacticipant.clone()));
        }
        changed
    }

    /// Forgets the memory of every key for which `listed` does not hold; answers the places where that changes what is
    /// recorded.
    pub fn retain_memories(&mut self, listed: impl Fn(&RecordKey) -> bool) -> Vec<EnvironmentRef> {
        let keys = self.remembered.iter().flat_map(|((environment_ref, pacticipant), records)| {
            records.iter().map(|memory| RecordKey {
                environment_ref: environment_ref.clone(),
                pacticipant: pacticipant.clone(),
                instance: memory.instance.clone(),
            })
        });
        let gone: Vec<_> = keys.filter(|key| !listed(key)).collect();
        gone.into_iter().filter(|key| self.set_memory(key, None)).map(|key| key.environment_ref).collect()
    }

    /// What is remembered of a pacticipant in an environment, all application instances together.
    #[must_use]
    pub fn remembered(&self, environment_ref: &EnvironmentRef, pacticipant: &Pacticipant) -> Remembered {
        let mut all = Remembered::default();
        // A copy of both names for one look-up: a few hundred bytes for a review.
        for one in self.remembered.get(&(environment_ref.clone(), pacticipant.clone())).into_iter().flatten() {
            all.recorded.extend(one.recorded.iter().cloned());
            all.former.extend(one.former.iter().cloned());
        }
        all
    }
}

impl Memory {
    fn of(key: &RecordKey, object: &PactDeployment) -> Self {
        let versions = |texts: &mut dyn Iterator<Item = &Recorded>| -> Box<[Version]> {
            let parsed = texts.filter_map(|recorded| Version::parse(&recorded.version).ok());
            parsed.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let status = object.status.as_ref();
        let mut current = status.into_iter().flat_map(|status| status.recorded.iter().chain(&status.supported));
        let mut history = status.into_iter().flat_map(|status| &status.history);
        Self { instance: key.instance.clone(), recorded: versions(&mut current), former: versions(&mut history) }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
