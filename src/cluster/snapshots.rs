//! The environments at the brokers as the recorder last saw them: their uuids, and what each has recorded.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    api::names::{ApplicationInstance, Pacticipant, Version},
    broker::{Broker, BrokerError, DeployedVersion, Environment, EnvironmentId, ReleasedVersion},
    decide::{
        Explanation, Reason,
        near_miss::nearest,
        record::{ReleasedRow, Row, Snapshot, Suspicion},
    },
    workload::{EnvironmentRef, RecordKey},
};

/// What a broker has recorded in one environment.
#[derive(Clone, Debug)]
pub struct BrokerSnapshot {
    /// The environment's uuid.
    pub id: EnvironmentId,
    deployed: HashMap<(Pacticipant, Option<ApplicationInstance>), DeployedVersion>,
    supported: HashMap<Pacticipant, Vec<ReleasedVersion>>,
    /// Most of what we remember was missing when it was read: see [`suspicious`].
    pub suspicious: bool,
}

impl BrokerSnapshot {
    /// The row that a key has, if any.
    #[must_use]
    pub fn row(&self, key: &RecordKey) -> Option<&DeployedVersion> {
        self.deployed.get(&(key.pacticipant.clone(), key.instance.clone()))
    }

    /// The applications of which other versions are live than in an earlier snapshot.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> BTreeSet<String> {
        let deployed = |snapshot: &Self| -> BTreeSet<(String, String)> {
            let rows = snapshot.deployed.values();
            rows.map(|row| (row.pacticipant.to_string(), row.version.to_string())).collect()
        };
        let (now, then) = (deployed(self), deployed(before));
        now.symmetric_difference(&then).map(|(pacticipant, _)| pacticipant.clone()).collect()
    }

    /// The versions of an application that are deployed, in whatever instance.
    #[must_use]
    pub fn versions_of(&self, pacticipant: &Pacticipant) -> BTreeSet<Version> {
        let rows = self.deployed.values().filter(|row| row.pacticipant == *pacticipant);
        rows.map(|row| row.version.clone()).collect()
    }

    /// The releases of a pacticipant that are supported.
    #[must_use]
    pub fn releases(&self, pacticipant: &Pacticipant) -> &[ReleasedVersion] {
        self.supported.get(pacticipant).map_or(&[], Vec::as_slice)
    }
}

/// What is known of one environment at a broker.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentState {
    /// What it has recorded; absent until it was read once, and again when it was not found.
    pub snapshot: Option<Arc<BrokerSnapshot>>,
    /// Why it cannot be used, if so.
    pub trouble: Option<Explanation>,
    /// How often in a row none of our records was in it: see [`suspicious`].
    doubts: u32,
}

/// The snapshots by environment. Cheap to clone.
#[derive(Clone, Default)]
pub struct Snapshots {
    states: Arc<Mutex<HashMap<EnvironmentRef, EnvironmentState>>>,
}

impl Snapshots {
    /// What is known of an environment.
    #[must_use]
    pub fn state(&self, environment_ref: &EnvironmentRef) -> EnvironmentState {
        self.read(environment_ref, |state| state.cloned().unwrap_or_default())
    }

    /// The uuid of an environment, once it was read.
    #[must_use]
    pub fn id(&self, environment_ref: &EnvironmentRef) -> Option<EnvironmentId> {
        self.read(environment_ref, |state| Some(state?.snapshot.as_ref()?.id.clone()))
    }

    /// What the last snapshot says of a key.
    #[must_use]
    pub fn of(&self, key: &RecordKey) -> Snapshot {
        self.read(&key.environment_ref, |state| match state.map(|state| (state, &state.snapshot, &state.trouble)) {
            Some((state, Some(snapshot), None)) => Snapshot::Read {
                row: snapshot.row(key).map(row),
                releases: snapshot.releases(&key.pacticipant).iter().map(release).collect(),
                suspicion: match (snapshot.suspicious, state.doubts) {
                    (false, _) => Suspicion::None,
                    (true, 0 | 1) => Suspicion::Once,
                    (true, _) => Suspicion::Again,
                },
            },
            Some((_, _, Some(trouble))) if trouble.reason == Reason::EnvironmentMissing => {
                Snapshot::Missing(trouble.clone())
            }
            Some((_, _, Some(trouble))) => Snapshot::Unavailable(trouble.clone()),
            Some((_, None, None)) | None => Snapshot::NotRead,
        })
    }

    /// Counts how often in a row none of our records was in an environment; answers how often that is now.
    #[must_use]
    pub fn doubt(&self, environment_ref: &EnvironmentRef, suspicious: bool) -> u32 {
        self.with(environment_ref, |state| {
            state.doubts = if suspicious { state.doubts.saturating_add(1) } else { 0 };
            state.doubts
        })
    }

    /// How many environments are [`suspicious`].
    #[must_use]
    pub fn suspicious(&self) -> usize {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.values().filter(|state| state.snapshot.as_ref().is_some_and(|snapshot| snapshot.suspicious)).count()
    }

    /// Takes in the row that a key was just seen to have.
    pub fn saw_row(&self, key: &RecordKey, row: Option<DeployedVersion>) {
        self.with(&key.environment_ref, |state| {
            if let Some(snapshot) = state.snapshot.as_mut().map(Arc::make_mut) {
                let at = (key.pacticipant.clone(), key.instance.clone());
                match row {
                    Some(row) => snapshot.deployed.insert(at, row),
                    None => snapshot.deployed.remove(&at),
                };
            }
        });
    }

    /// Takes in the releases that a key's pacticipant was just seen to have.
    pub fn saw_releases(&self, key: &RecordKey, releases: Vec<ReleasedVersion>) {
        self.with(&key.environment_ref, |state| {
            if let Some(snapshot) = state.snapshot.as_mut().map(Arc::make_mut) {
                snapshot.supported.insert(key.pacticipant.clone(), releases);
            }
        });
    }

    /// Takes in a new snapshot, or why there is none.
    pub fn set(&self, environment_ref: &EnvironmentRef, read: Result<BrokerSnapshot, Explanation>) {
        self.with(environment_ref, |state| match read {
            Ok(snapshot) => {
                state.snapshot = Some(Arc::new(snapshot));
                state.trouble = None;
            }
            Err(trouble) => {
                // What was read stays only through outages: an environment that is gone may come back with another
                // uuid and no records.
                if trouble.reason == Reason::EnvironmentMissing {
                    state.snapshot = None;
                }
                state.trouble = Some(trouble);
            }
        });
    }

    /// Forgets every environment for which `wanted` does not hold.
    pub fn retain(&self, wanted: &HashSet<EnvironmentRef>) {
        self.states
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|environment_ref, _| wanted.contains(environment_ref));
    }

    fn read<T>(&self, environment_ref: &EnvironmentRef, read: impl FnOnce(Option<&EnvironmentState>) -> T) -> T {
        read(self.states.lock().unwrap_or_else(PoisonError::into_inner).get(environment_ref))
    }

    fn with<T>(&self, environment_ref: &EnvironmentRef, act: impl FnOnce(&mut EnvironmentState) -> T) -> T {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        act(states.entry(environment_ref.clone()).or_default())
    }
}

/// A row as a decision sees it.
#[must_use]
pub fn row(deployed: &DeployedVersion) -> Row {
    Row { version: deployed.version.clone(), uuid: deployed.id.to_string() }
}

/// A release as a decision sees it.
#[must_use]
pub fn release(released: &ReleasedVersion) -> ReleasedRow {
    Row { version: released.version.clone(), uuid: released.id.to_string() }
}

/// Reads what an environment has recorded.
///
/// # Errors
/// Whatever the broker answered.
pub async fn read(
    broker: &Broker,
    environment: Environment,
    with_releases: bool,
) -> Result<BrokerSnapshot, BrokerError> {
    let rows = broker.currently_deployed(&environment.id, None).await?;
    let mut deployed = HashMap::with_capacity(rows.len());
    for row in rows {
        // Newest first: should a broker ever give two current rows for one key, the newest counts.
        deployed.entry((row.pacticipant.clone(), row.application_instance.clone())).or_insert(row);
    }
    let mut supported: HashMap<Pacticipant, Vec<ReleasedVersion>> = HashMap::new();
    if with_releases {
        for release in broker.currently_supported(&environment.id, None).await? {
            supported.entry(release.pacticipant.clone()).or_default().push(release);
        }
    }
    Ok(BrokerSnapshot { id: environment.id, deployed, supported, suspicious: false })
}

/// Why an environment cannot be used that a broker does not have, given those that it has.
#[must_use]
pub fn missing(environment_ref: &EnvironmentRef, all: &[Environment]) -> Explanation {
    let message = match nearest(
        environment_ref.environment.as_str(),
        all.iter().map(|environment| environment.name.as_str()),
    ) {
        _ if all.is_empty() => format!(
            "the broker {} shows no environments at all: create {}, or give the operator's user the permission and team \
             that lets it see environments",
            environment_ref.broker, environment_ref.environment
        ),
        Some(near) => format!(
            "the broker {} has no environment named {}; did you mean {near}? Names are case-sensitive",
            environment_ref.broker, environment_ref.environment
        ),
        None => format!(
            "the broker {} has no environment named {} that the operator's user may see; create it there, or say create: \
             in the PactEnvironment",
            environment_ref.broker, environment_ref.environment
        ),
    };
    Explanation::new(Reason::EnvironmentMissing, message)
}

/// How many of our records have to be missing, all of them, before an empty answer is suspicious.
const SUSPICIOUS_FROM: usize = 3;

/// Whether a snapshot looks like a wrong tenant, a reset database or a proxy's empty answer: at least three of our records
/// should be in it, and not one is (cases 45 and 46).
pub fn suspicious<'a>(snapshot: &BrokerSnapshot, ours: impl Iterator<Item = (&'a RecordKey, &'a Version)>) -> bool {
    let mut expected = 0;
    for (key, _) in ours {
        if snapshot.row(key).is_some() || !snapshot.releases(&key.pacticipant).is_empty() {
            return false;
        }
        expected += 1;
    }
    expected >= SUSPICIOUS_FROM
}

impl BrokerSnapshot {
    /// The same snapshot, marked.
    #[must_use]
    pub fn marked(self, suspicious: bool) -> Self {
        Self { suspicious, ..self }
    }
}

#[cfg(test)]
#[path = "snapshots_tests.rs"]
mod tests;
