//! Which versions are and were recorded, by environment and pacticipant: what the gate needs of the `PactDeployment`s.
//! Synchronous, without I/O.

use std::collections::{BTreeSet, HashMap};

use crate::{
    api::{
        PactDeployment,
        deployment::Recorded,
        names::{ApplicationInstance, Pacticipant, Version},
    },
    decide::RecordedVersions,
    workload::{EnvironmentRef, RecordKey},
};

/// The versions. See the module.
#[derive(Debug, Default)]
pub struct RecordedIndex {
    /// For each pacticipant the versions of its application instances, mostly one.
    by_pacticipant: HashMap<(EnvironmentRef, Pacticipant), Vec<OfInstance>>,
}

/// The versions of a key. There are as many as there are applications: sorted slices take a third of what sets do.
#[derive(Debug)]
struct OfInstance {
    instance: Option<ApplicationInstance>,
    current: Box<[Version]>,
    former: Box<[Version]>,
}

impl RecordedIndex {
    /// Takes in the object of a key, or that it is gone; answers whether other versions are recorded now than before.
    pub fn set(&mut self, key: &RecordKey, object: Option<&PactDeployment>) -> bool {
        let pacticipant = (key.environment_ref.clone(), key.pacticipant.clone());
        let instances = self.by_pacticipant.entry(pacticipant).or_default();
        let before = instances.iter().position(|it| it.instance == key.instance);
        let before = before.map(|position| instances.swap_remove(position));
        let after = object.map(|object| OfInstance::of(key, object));
        let current = |it: Option<&OfInstance>| it.map(|it| it.current.clone()).unwrap_or_default();
        let changed = current(before.as_ref()) != current(after.as_ref());
        if let Some(after) = after {
            instances.reserve_exact(1);
            instances.push(after);
        } else if instances.is_empty() {
            self.by_pacticipant.remove(&(key.environment_ref.clone(), key.pacticipant.clone()));
        }
        changed
    }

    /// Forgets every key for which `listed` does not hold; answers the environments in which that changes what is
    /// recorded.
    pub fn retain(&mut self, listed: impl Fn(&RecordKey) -> bool) -> Vec<EnvironmentRef> {
        let keys = self.by_pacticipant.iter().flat_map(|((environment_ref, pacticipant), instances)| {
            instances.iter().map(|it| RecordKey {
                environment_ref: environment_ref.clone(),
                pacticipant: pacticipant.clone(),
                instance: it.instance.clone(),
            })
        });
        let gone: Vec<_> = keys.filter(|key| !listed(key)).collect();
        gone.into_iter().filter(|key| self.set(key, None)).map(|key| key.environment_ref).collect()
    }

    /// The versions of a pacticipant in an environment, all application instances together.
    #[must_use]
    pub fn of(&self, environment_ref: &EnvironmentRef, pacticipant: &Pacticipant) -> RecordedVersions {
        let mut all = RecordedVersions::default();
        // A copy of both names for one look-up: a few hundred bytes for a review.
        for one in self.by_pacticipant.get(&(environment_ref.clone(), pacticipant.clone())).into_iter().flatten() {
            all.current.extend(one.current.iter().cloned());
            all.former.extend(one.former.iter().cloned());
        }
        all
    }
}

impl OfInstance {
    fn of(key: &RecordKey, object: &PactDeployment) -> Self {
        let versions = |texts: &mut dyn Iterator<Item = &Recorded>| -> Box<[Version]> {
            let parsed = texts.filter_map(|recorded| Version::parse(&recorded.version).ok());
            parsed.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let status = object.status.as_ref();
        let mut current = status.into_iter().flat_map(|status| status.recorded.iter().chain(&status.supported));
        let mut history = status.into_iter().flat_map(|status| &status.history);
        Self { instance: key.instance.clone(), current: versions(&mut current), former: versions(&mut history) }
    }
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
