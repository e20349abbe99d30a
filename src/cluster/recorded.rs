//! Which versions are recorded, were recorded, and run, by environment and pacticipant: what a judgement needs of the
//! `PactDeployment`s. Synchronous, without I/O.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::objects::{is_former, number};
use crate::{
    api::{
        PactDeployment,
        deployment::{Member, Recorded},
        names::{ApplicationInstance, Pacticipant, Version},
    },
    broker::{Revision, Running},
    decide::{LiveVersions, Question, RecordedVersions, UnrecordedVersion},
    workload::{EnvironmentRef, RecordKey, RolloutState},
};

/// The versions. See the module.
#[derive(Debug, Default)]
pub struct RecordedIndex {
    /// How many admissions there were.
    admissions: u64,
    /// How often something else ran than before, anywhere: an environment that is forgotten and comes back has a state of
    /// its own.
    revisions: u64,
    environments: HashMap<EnvironmentRef, OfEnvironment>,
}

/// The versions in one environment.
#[derive(Debug, Default)]
struct OfEnvironment {
    /// When, in that order, something else ran last than before.
    revision: u64,
    /// For each pacticipant the versions of its application instances, mostly one.
    by_pacticipant: HashMap<Pacticipant, Vec<OfInstance>>,
    /// What this process is admitting, or has just admitted, in order.
    admissions: Vec<Admission>,
}

/// How long an admission counts: until then the controller has written that the version is on its way.
const ADMISSION_COUNTS: Duration = Duration::from_secs(30);

/// A version that is being admitted. Two that break each other must not both pass because neither has arrived yet (case
/// 94): the one that came first counts for the other.
#[derive(Debug)]
struct Admission {
    number: u64,
    pacticipant: Pacticipant,
    version: Version,
    until: Instant,
}

impl Admission {
    /// Whether it is of the version in question.
    fn is_of(&self, question: &Question) -> bool {
        (&self.pacticipant, &self.version) == (&question.pacticipant, &question.version)
    }
}

impl OfEnvironment {
    /// The admissions that count for a question: those of others, before its own.
    fn before<'a>(&'a self, question: &'a Question, now: Instant) -> impl Iterator<Item = &'a Admission> {
        let end = self.admissions.iter().find(|it| it.is_of(question)).map_or(u64::MAX, |it| it.number);
        let counts = move |it: &&Admission| it.number < end && now < it.until;
        self.admissions.iter().filter(counts).filter(|it| it.pacticipant != question.pacticipant)
    }
}

/// The versions of a key. There are as many as there are applications: sorted slices take a third of what sets do.
#[derive(Debug, Default, PartialEq, Eq)]
struct OfInstance {
    instance: Option<ApplicationInstance>,
    current: Box<[Version]>,
    former: Box<[Version]>,
    /// What its workloads run or roll out, and whether that rollout is not finished.
    running: Box<[(Version, bool)]>,
    /// The repositories of the images of what is recorded; mostly none.
    images: Box<[Box<str>]>,
    source: Source,
}

/// Which object and state of it the versions are from: a key may have two objects while one of them is adopted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Source {
    former_name: bool,
    state: Option<u64>,
}

impl Source {
    fn of(key: &RecordKey, object: &PactDeployment) -> Self {
        let state = number(object).and_then(|number| u64::try_from(number).ok());
        Self { former_name: is_former(key, object), state }
    }

    /// Whether the other object of the key, in another state, says nothing beside this one: it was written before, or was
    /// never written.
    fn outdoes(self, other: Self, object: &PactDeployment) -> bool {
        self.former_name != other.former_name
            && (object.status.is_none()
                || matches!((self.state, other.state), (Some(known), Some(other)) if known > other))
    }
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
        if let Some(object) = object
            && let Some(known) = self.instance(key)
            && known.source.outdoes(Source::of(key, object), object)
        {
            return VersionsChanged::default();
        }
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
            self.revisions = self.revisions.wrapping_add(1);
            environment.revision = self.revisions;
        }
        if environment.by_pacticipant.is_empty() && environment.admissions.is_empty() {
            self.environments.remove(&key.environment_ref);
        }
        changed
    }

    /// Whether the versions of a key are from this object, and not from another one of the same key.
    #[must_use]
    pub fn is_from(&self, key: &RecordKey, object: &PactDeployment) -> bool {
        self.instance(key).is_none_or(|known| known.source.former_name == is_former(key, object))
    }

    fn instance(&self, key: &RecordKey) -> Option<&OfInstance> {
        let instances = self.environments.get(&key.environment_ref)?.by_pacticipant.get(&key.pacticipant)?;
        instances.iter().find(|it| it.instance == key.instance)
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
            all.images.get_or_insert_default().extend(one.images.iter().map(ToString::to_string));
        }
        all
    }

    /// Takes in that the version in question is being admitted.
    pub fn begin_admission(&mut self, environment_ref: &EnvironmentRef, question: &Question, now: Instant) {
        let environment = self.environments.entry(environment_ref.clone()).or_default();
        environment.admissions.retain(|it| now < it.until);
        if environment.admissions.iter().any(|it| it.is_of(question)) {
            return;
        }
        let (pacticipant, version) = (question.pacticipant.clone(), question.version.clone());
        self.admissions += 1;
        let until = now + ADMISSION_COUNTS;
        environment.admissions.push(Admission { number: self.admissions, pacticipant, version, until });
    }

    /// Takes in that the version in question was denied.
    pub fn end_admission(&mut self, environment_ref: &EnvironmentRef, question: &Question) {
        if let Some(environment) = self.environments.get_mut(environment_ref) {
            environment.admissions.retain(|it| !it.is_of(question));
        }
    }

    /// See [`Running::revision`].
    fn revision(&self, environment_ref: &EnvironmentRef, question: &Question, now: Instant) -> Revision {
        let Some(environment) = self.environments.get(environment_ref) else { return (0, 0) };
        (environment.revision, environment.before(question, now).map(|it| it.number).max().unwrap_or_default())
    }

    /// Every version that runs in the environment of a question, rolls out, or is being admitted before it, and is not
    /// among those that the broker has.
    #[must_use]
    pub fn unrecorded(
        &self,
        environment_ref: &EnvironmentRef,
        question: &Question,
        recorded: &LiveVersions,
        now: Instant,
    ) -> Vec<UnrecordedVersion> {
        let environment = self.environments.get(environment_ref);
        let mut unrecorded = self.running_unrecorded(environment_ref, recorded);
        let admitted = environment.into_iter().flat_map(|it| it.before(question, now));
        unrecorded.extend(admitted.filter(|it| !recorded.has(&it.pacticipant, &it.version)).map(|it| {
            UnrecordedVersion { pacticipant: it.pacticipant.clone(), version: it.version.clone(), in_flight: true }
        }));
        once(unrecorded)
    }

    /// Every version that runs in an environment or rolls out, and is not among those that the broker has.
    #[must_use]
    pub fn running_beside(&self, environment_ref: &EnvironmentRef, recorded: &LiveVersions) -> Vec<UnrecordedVersion> {
        once(self.running_unrecorded(environment_ref, recorded))
    }

    fn running_unrecorded(
        &self,
        environment_ref: &EnvironmentRef,
        recorded: &LiveVersions,
    ) -> BTreeSet<UnrecordedVersion> {
        let mut unrecorded = BTreeSet::new();
        let environment = self.environments.get(environment_ref);
        for (pacticipant, instances) in environment.into_iter().flat_map(|it| &it.by_pacticipant) {
            for (version, in_flight) in instances.iter().flat_map(|it| &it.running) {
                if !recorded.has(pacticipant, version) {
                    let (pacticipant, version) = (pacticipant.clone(), version.clone());
                    unrecorded.insert(UnrecordedVersion { pacticipant, version, in_flight: *in_flight });
                }
            }
        }
        unrecorded
    }
}

/// Each version once. One that a workload runs already is not in flight, whatever the others do.
fn once(unrecorded: BTreeSet<UnrecordedVersion>) -> Vec<UnrecordedVersion> {
    let mut unrecorded: Vec<_> = unrecorded.into_iter().collect();
    unrecorded.dedup_by(|next, kept| (&next.pacticipant, &next.version) == (&kept.pacticipant, &kept.version));
    unrecorded
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
        let images = status.into_iter().flat_map(|status| &status.recorded_images);
        let running: BTreeSet<_> = status.into_iter().flat_map(|status| &status.members).flat_map(running).collect();
        Self {
            instance: key.instance.clone(),
            current: versions(&mut current),
            former: versions(&mut history),
            running: running.into_iter().collect(),
            images: images.map(|image| image.as_str().into()).collect(),
            source: Source::of(key, object),
        }
    }
}

/// What a member runs: its version, and those that it had while its rollout was never finished since.
fn running(member: &Member) -> impl Iterator<Item = (Version, bool)> {
    let in_flight = RolloutState::named_in_flight(&member.rollout);
    let runs = !RolloutState::named_idle(&member.rollout, member.without_pods);
    let versions = member.version.iter().map(move |version| (version, in_flight));
    let versions = versions.chain(member.earlier_versions.iter().map(|version| (version, false)));
    let parsed = versions.filter_map(|(text, in_flight)| Some((Version::parse(text).ok()?, in_flight)));
    parsed.filter(move |_| runs)
}

/// The index, as far as it is about one broker.
pub struct RunningVersions {
    /// The index.
    pub index: Arc<Mutex<RecordedIndex>>,
    /// The name of the `PactBroker`.
    pub broker: String,
}

impl RunningVersions {
    fn with<T>(&self, question: &Question, read: impl FnOnce(&RecordedIndex, &EnvironmentRef) -> T) -> T {
        let environment_ref = EnvironmentRef { broker: self.broker.clone(), environment: question.environment.clone() };
        read(&self.index.lock().unwrap_or_else(PoisonError::into_inner), &environment_ref)
    }
}

impl Running for RunningVersions {
    fn revision(&self, question: &Question) -> Revision {
        self.with(question, |index, at| index.revision(at, question, Instant::now()))
    }

    fn unrecorded(&self, question: &Question, recorded: &LiveVersions) -> Vec<UnrecordedVersion> {
        self.with(question, |index, at| index.unrecorded(at, question, recorded, Instant::now()))
    }
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
