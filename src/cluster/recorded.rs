//! Which versions are recorded, were recorded, and run, by environment and pacticipant: what a judgement needs of the
//! `PactDeployment`s. Synchronous, without I/O.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    api::{
        PactDeployment,
        deployment::{Member, Recorded},
        names::{ApplicationInstance, EnvironmentName, Pacticipant, Version},
    },
    broker::Running,
    decide::{LiveVersions, RecordedVersions, UnrecordedVersion},
    workload::{EnvironmentRef, RecordKey, RolloutState},
};

/// The versions. See the module.
#[derive(Debug, Default)]
pub struct RecordedIndex {
    environments: HashMap<EnvironmentRef, OfEnvironment>,
}

/// The versions in one environment.
#[derive(Debug, Default)]
struct OfEnvironment {
    /// How often something else ran than before.
    revision: u64,
    /// For each pacticipant the versions of its application instances, mostly one.
    by_pacticipant: HashMap<Pacticipant, Vec<OfInstance>>,
}

/// The versions of a key. There are as many as there are applications: sorted slices take a third of what sets do.
#[derive(Debug, Default, PartialEq, Eq)]
struct OfInstance {
    instance: Option<ApplicationInstance>,
    current: Box<[Version]>,
    former: Box<[Version]>,
    /// What its workloads run or roll out, and whether that rollout is not finished.
    running: Box<[(Version, bool)]>,
}

/// What a `PactDeployment` changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VersionsChanged {
    /// Other versions are recorded.
    pub recorded: bool,
    /// Other versions run, or roll out.
    pub running: bool,
}

impl VersionsChanged {
    /// Whether anything did.
    #[must_use]
    pub fn any(self) -> bool {
        self.recorded || self.running
    }
}

impl RecordedIndex {
    /// Takes in the object of a key, or that it is gone; answers what that changed.
    pub fn set(&mut self, key: &RecordKey, object: Option<&PactDeployment>) -> VersionsChanged {
        let environment = self.environments.entry(key.environment_ref.clone()).or_default();
        let instances = environment.by_pacticipant.entry(key.pacticipant.clone()).or_default();
        let before = instances.iter().position(|it| it.instance == key.instance);
        let before = before.map(|position| instances.swap_remove(position)).unwrap_or_default();
        let after = object.map(|object| OfInstance::of(key, object));
        let nothing = OfInstance::default();
        let now = after.as_ref().unwrap_or(&nothing);
        let changed =
            VersionsChanged { recorded: before.current != now.current, running: before.running != now.running };
        if let Some(after) = after {
            instances.reserve_exact(1);
            instances.push(after);
        } else if instances.is_empty() {
            environment.by_pacticipant.remove(&key.pacticipant);
        }
        if changed.running {
            environment.revision = environment.revision.wrapping_add(1);
        }
        changed
    }

    /// Forgets every key for which `listed` does not hold; answers which of them that changed, and how.
    pub fn retain(&mut self, listed: impl Fn(&RecordKey) -> bool) -> Vec<(RecordKey, VersionsChanged)> {
        let keys = self.environments.iter().flat_map(|(environment_ref, environment)| {
            environment.by_pacticipant.iter().flat_map(move |(pacticipant, instances)| {
                instances.iter().map(|it| RecordKey {
                    environment_ref: environment_ref.clone(),
                    pacticipant: pacticipant.clone(),
                    instance: it.instance.clone(),
                })
            })
        });
        let gone: Vec<_> = keys.filter(|key| !listed(key)).collect();
        let changed = gone.into_iter().map(|key| {
            let changed = self.set(&key, None);
            (key, changed)
        });
        changed.filter(|(_, changed)| changed.any()).collect()
    }

    /// The versions of a pacticipant in an environment, all application instances together.
    #[must_use]
    pub fn of(&self, environment_ref: &EnvironmentRef, pacticipant: &Pacticipant) -> RecordedVersions {
        let mut all = RecordedVersions::default();
        let environment = self.environments.get(environment_ref);
        for one in environment.and_then(|it| it.by_pacticipant.get(pacticipant)).into_iter().flatten() {
            all.current.extend(one.current.iter().cloned());
            all.former.extend(one.former.iter().cloned());
        }
        all
    }

    /// Every version that runs in an environment, or rolls out, and is not among those that the broker has.
    #[must_use]
    pub fn unrecorded(&self, environment_ref: &EnvironmentRef, recorded: &LiveVersions) -> Vec<UnrecordedVersion> {
        // A version that one workload runs already is not in flight, whatever the others do.
        let mut unrecorded: BTreeSet<UnrecordedVersion> = BTreeSet::new();
        let environment = self.environments.get(environment_ref);
        for (pacticipant, instances) in environment.into_iter().flat_map(|it| &it.by_pacticipant) {
            for (version, in_flight) in instances.iter().flat_map(|it| &it.running) {
                if !recorded.has(pacticipant, version) {
                    let (pacticipant, version) = (pacticipant.clone(), version.clone());
                    unrecorded.insert(UnrecordedVersion { pacticipant, version, in_flight: *in_flight });
                }
            }
        }
        let mut unrecorded: Vec<_> = unrecorded.into_iter().collect();
        unrecorded.dedup_by(|next, kept| (&next.pacticipant, &next.version) == (&kept.pacticipant, &kept.version));
        unrecorded
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
        // What would have been denied all the time that it was recorded is no way back (case 97).
        let safe = |recorded: &&Recorded| recorded.would_deny != Some(true);
        let mut history = status.into_iter().flat_map(|status| &status.history).filter(safe);
        let running: BTreeSet<_> = status.into_iter().flat_map(|status| &status.members).flat_map(running).collect();
        Self {
            instance: key.instance.clone(),
            current: versions(&mut current),
            former: versions(&mut history),
            running: running.into_iter().collect(),
        }
    }
}

/// What a member runs: its version, and those that it had while its rollout was never finished since.
fn running(member: &Member) -> impl Iterator<Item = (Version, bool)> {
    let in_flight = RolloutState::named_in_flight(&member.rollout);
    let has_pods = !RolloutState::named_without_pods(&member.rollout);
    let versions = member.version.iter().map(move |version| (version, in_flight));
    let versions = versions.chain(member.earlier_versions.iter().map(|version| (version, false)));
    let parsed = versions.filter_map(|(text, in_flight)| Some((Version::parse(text).ok()?, in_flight)));
    parsed.filter(move |_| has_pods)
}

/// The index, as far as it is about one broker.
pub struct RunningVersions {
    /// The index.
    pub index: Arc<Mutex<RecordedIndex>>,
    /// The name of the `PactBroker`.
    pub broker: String,
}

impl RunningVersions {
    fn with<T>(&self, environment: &EnvironmentName, read: impl FnOnce(&RecordedIndex, &EnvironmentRef) -> T) -> T {
        let environment_ref = EnvironmentRef { broker: self.broker.clone(), environment: environment.clone() };
        read(&self.index.lock().unwrap_or_else(PoisonError::into_inner), &environment_ref)
    }
}

impl Running for RunningVersions {
    fn revision(&self, environment: &EnvironmentName) -> u64 {
        self.with(environment, |index, at| index.environments.get(at).map_or(0, |it| it.revision))
    }

    fn unrecorded(&self, environment: &EnvironmentName, recorded: &LiveVersions) -> Vec<UnrecordedVersion> {
        self.with(environment, |index, at| index.unrecorded(at, recorded))
    }
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
