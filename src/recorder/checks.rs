//! The checks by key, and which keys' checks mention which applications. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
};

use crate::{
    api::{deployment::Check, names::Pacticipant},
    workload::{EnvironmentRef, RecordKey},
};

/// The checks. See the module. What a change of one application affects is found without a look at all others: there may
/// be thousands in an environment, and each rollout is such a change.
#[derive(Default)]
pub(super) struct Checks {
    by_key: BTreeMap<RecordKey, Vec<Check>>,
    /// For each application the keys of others whose checks mention it.
    mentioning: HashMap<String, Vec<RecordKey>>,
}

impl Checks {
    /// The checks of a key; `None` when it is not known.
    pub(super) fn get(&self, key: &RecordKey) -> Option<&Vec<Check>> {
        self.by_key.get(key)
    }

    /// Every key with its checks.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RecordKey, &Vec<Check>)> {
        self.by_key.iter()
    }

    /// Replaces the checks of a key.
    pub(super) fn set(&mut self, key: &RecordKey, checks: Vec<Check>) {
        let before = self.by_key.get(key).map(|before| mentioned(key, before)).unwrap_or_default();
        let after = mentioned(key, &checks);
        for name in before.difference(&after) {
            self.mentions_no_longer(name, key);
        }
        for name in after.difference(&before) {
            self.mentioning.entry(name.clone()).or_default().push(key.clone());
        }
        self.by_key.insert(key.clone(), checks);
    }

    /// Drops a key.
    pub(super) fn remove(&mut self, key: &RecordKey) {
        if let Some(before) = self.by_key.remove(key) {
            for name in mentioned(key, &before) {
                self.mentions_no_longer(&name, key);
            }
        }
    }

    /// The keys of an application in an environment, one for each instance.
    pub(super) fn of(&self, environment_ref: &EnvironmentRef, pacticipant: &Pacticipant) -> Vec<RecordKey> {
        let first =
            RecordKey { environment_ref: environment_ref.clone(), pacticipant: pacticipant.clone(), instance: None };
        let is_of = |key: &&RecordKey| key.pacticipant == *pacticipant && key.environment_ref == *environment_ref;
        let from = self.by_key.range((Bound::Included(&first), Bound::Unbounded)).map(|(key, _)| key);
        from.take_while(is_of).cloned().collect()
    }

    /// The keys of other applications in an environment whose checks mention this one.
    pub(super) fn mentioning(&self, environment_ref: &EnvironmentRef, pacticipant: &str) -> Vec<RecordKey> {
        let keys = self.mentioning.get(pacticipant).map(Vec::as_slice).unwrap_or_default();
        keys.iter().filter(|key| key.environment_ref == *environment_ref).cloned().collect()
    }

    fn mentions_no_longer(&mut self, name: &str, key: &RecordKey) {
        if let Some(keys) = self.mentioning.get_mut(name) {
            keys.retain(|mentioning| mentioning != key);
            if keys.is_empty() {
                self.mentioning.remove(name);
            }
        }
    }
}

/// The applications that the checks of a key mention besides its own.
fn mentioned(key: &RecordKey, checks: &[Check]) -> BTreeSet<String> {
    let names = checks.iter().flat_map(|check| &check.pairs).flat_map(|pair| [&pair.consumer, &pair.provider]);
    names.filter(|name| *name != key.pacticipant.as_str()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::{api::deployment::CheckedPair, decide::record::fixtures::key};

    fn key_of(environment: &str, name: &str, instance: Option<&str>) -> RecordKey {
        let mut key = key(environment, name);
        key.pacticipant = Pacticipant::parse(name).unwrap();
        key.instance = instance.map(|it| crate::api::names::ApplicationInstance::parse(it).unwrap());
        key
    }

    fn check(pairs: &[(String, String)]) -> Check {
        let pair = |(consumer, provider): &(String, String)| CheckedPair {
            consumer: consumer.clone(),
            consumer_version: "1".into(),
            provider: provider.clone(),
            provider_version: None,
            result: "Verified".into(),
        };
        Check {
            version: "1".into(),
            verdict: "Yes".into(),
            vacuous: None,
            would_deny: false,
            message: String::new(),
            since: Time(Timestamp::UNIX_EPOCH),
            pairs: pairs.iter().map(pair).collect(),
            more_pairs: None,
        }
    }

    proptest! {
        /// What is found by the index is what a look at every key finds.
        #[test]
        fn the_keys_that_a_change_affects_are_found(
            steps in prop::collection::vec(
                ("[pq]", "[abc]", prop::option::of("[xy]"), prop::option::of(prop::collection::vec(("[abc]", "[abc]"), 0..3))),
                0..30,
            )
        ) {
            let mut checks = Checks::default();
            for (environment, name, instance, pairs) in steps {
                let key = key_of(&environment, &name, instance.as_deref());
                match pairs {
                    Some(pairs) => checks.set(&key, vec![check(&pairs)]),
                    None => checks.remove(&key),
                }
            }
            for (environment, name) in ["p", "q"].into_iter().flat_map(|it| ["a", "b", "c"].map(|name| (it, name))) {
                let asked = key_of(environment, name, None);
                let here = |key: &&RecordKey| key.environment_ref == asked.environment_ref;
                let all: Vec<_> = checks.iter().collect();
                let own = all.iter().map(|(key, _)| *key).filter(here);
                let own = own.filter(|key| key.pacticipant == asked.pacticipant).cloned().collect::<Vec<_>>();
                prop_assert_eq!(checks.of(&asked.environment_ref, &asked.pacticipant), own);
                let mentions = |of: &[Check]| of.iter().flat_map(|it| &it.pairs).any(|it| it.consumer == name || it.provider == name);
                let others: BTreeSet<_> = all.iter().filter(|(key, of)| here(key) && key.pacticipant != asked.pacticipant && mentions(of)).map(|(key, _)| (*key).clone()).collect();
                let found: Vec<_> = checks.mentioning(&asked.environment_ref, name);
                prop_assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), others);
                prop_assert_eq!(found.len(), found.iter().collect::<BTreeSet<_>>().len(), "each once");
            }
            let keys: Vec<_> = checks.iter().map(|(key, _)| key.clone()).collect();
            for key in &keys {
                checks.remove(key);
            }
            prop_assert!(checks.mentioning.is_empty());
        }
    }
}
