//! The environments at the brokers as the recorder last saw them: their uuids, and what each has recorded.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    api::{
        condition::Explanation,
        names::{ApplicationInstance, EnvironmentName, Pacticipant, Version},
    },
    broker::{Broker, BrokerError, DeployedVersion, Environment, EnvironmentId, ReleasedVersion},
    workload::{EnvironmentRef, RecordKey},
};

/// The reason while an environment has not been read for the first time: what needs it is looked at once it was.
pub const NOT_READ: &str = "EnvironmentNotRead";

/// The reason when a broker does not have an environment.
pub const ENVIRONMENT_MISSING: &str = "EnvironmentMissing";

/// What a broker has recorded in one environment.
#[derive(Clone, Debug)]
pub struct View {
    /// The environment's uuid.
    pub id: EnvironmentId,
    deployed: HashMap<(Pacticipant, Option<ApplicationInstance>), DeployedVersion>,
    supported: HashMap<Pacticipant, Vec<ReleasedVersion>>,
    /// Most of what we remember was missing when it was read: see [`suspicious`].
    pub suspicious: bool,
}

impl View {
    /// The row that a key has, if any.
    #[must_use]
    pub fn row(&self, key: &RecordKey) -> Option<&DeployedVersion> {
        self.deployed.get(&(key.pacticipant.clone(), key.instance.clone()))
    }

    /// The applications of which other versions are live than in an earlier view.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> BTreeSet<String> {
        let deployed = |view: &Self| -> BTreeSet<(String, String)> {
            let rows = view.deployed.values();
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
pub struct PlaceState {
    /// What it has recorded; absent until it was read once, and again when it was not found.
    pub view: Option<View>,
    /// Why it cannot be used, if so.
    pub trouble: Option<Explanation>,
}

/// The environments by place. Cheap to clone.
#[derive(Clone, Default)]
pub struct Places {
    states: Arc<Mutex<HashMap<EnvironmentRef, PlaceState>>>,
}

impl Places {
    /// What is known of an environment.
    #[must_use]
    pub fn state(&self, environment_ref: &EnvironmentRef) -> PlaceState {
        self.with(environment_ref, |state| state.clone())
    }

    /// The uuid of an environment and the key's row in the last view.
    ///
    /// # Errors
    /// Why the environment cannot be used yet.
    pub fn look_up(&self, key: &RecordKey) -> Result<(EnvironmentId, Option<DeployedVersion>, bool), Explanation> {
        self.read_view(&key.environment_ref, |view| (view.id.clone(), view.row(key).cloned(), view.suspicious))
    }

    /// The uuid of an environment and the supported releases of the key's pacticipant in the last view.
    ///
    /// # Errors
    /// Why the environment cannot be used yet.
    pub fn look_up_releases(
        &self,
        key: &RecordKey,
    ) -> Result<(EnvironmentId, Vec<ReleasedVersion>, bool), Explanation> {
        let releases = |view: &View| view.releases(&key.pacticipant).to_vec();
        self.read_view(&key.environment_ref, |view| (view.id.clone(), releases(view), view.suspicious))
    }

    /// How many environments are [`suspicious`].
    #[must_use]
    pub fn suspicious(&self) -> usize {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.values().filter(|state| state.view.as_ref().is_some_and(|view| view.suspicious)).count()
    }

    fn read_view<T>(&self, environment_ref: &EnvironmentRef, read: impl FnOnce(&View) -> T) -> Result<T, Explanation> {
        self.with(environment_ref, |state| match (&state.view, &state.trouble) {
            (Some(view), None) => Ok(read(view)),
            (_, Some(trouble)) => Err(trouble.clone()),
            (None, None) => Err(not_read(environment_ref)),
        })
    }

    /// Takes in the row that a key was just seen to have.
    pub fn saw_row(&self, key: &RecordKey, row: Option<DeployedVersion>) {
        self.with(&key.environment_ref, |state| {
            if let Some(view) = &mut state.view {
                let at = (key.pacticipant.clone(), key.instance.clone());
                match row {
                    Some(row) => view.deployed.insert(at, row),
                    None => view.deployed.remove(&at),
                };
            }
        });
    }

    /// Takes in the releases that a key's pacticipant was just seen to have.
    pub fn saw_releases(&self, key: &RecordKey, releases: Vec<ReleasedVersion>) {
        self.with(&key.environment_ref, |state| {
            if let Some(view) = &mut state.view {
                view.supported.insert(key.pacticipant.clone(), releases);
            }
        });
    }

    /// Takes in a new view, or why there is none.
    pub fn set(&self, environment_ref: &EnvironmentRef, read: Result<View, Explanation>) {
        self.with(environment_ref, |state| match read {
            Ok(view) => *state = PlaceState { view: Some(view), trouble: None },
            Err(trouble) => {
                // What was read stays only through outages: an environment that is gone may come back with another
                // uuid and no records.
                if trouble.reason == ENVIRONMENT_MISSING {
                    state.view = None;
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

    fn with<T>(&self, environment_ref: &EnvironmentRef, act: impl FnOnce(&mut PlaceState) -> T) -> T {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        act(states.entry(environment_ref.clone()).or_default())
    }
}

fn not_read(environment_ref: &EnvironmentRef) -> Explanation {
    Explanation::new(NOT_READ, format!("what {environment_ref} has recorded has not been read yet"))
}

/// Reads what an environment has recorded.
///
/// # Errors
/// Whatever the broker said.
pub async fn read(broker: &Broker, environment: Environment, with_releases: bool) -> Result<View, BrokerError> {
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
    Ok(View { id: environment.id, deployed, supported, suspicious: false })
}

/// Why an environment cannot be used that a broker does not have, given those that it has.
#[must_use]
pub fn missing(environment_ref: &EnvironmentRef, all: &[Environment]) -> Explanation {
    let message = match nearest(&environment_ref.environment, all.iter().map(|environment| &environment.name)) {
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
    Explanation::new(ENVIRONMENT_MISSING, message)
}

/// The name that somebody may have meant: the nearest one, if it is near enough for a slip, or one that is the other's
/// beginning, as `prod` is of `production`.
fn nearest<'a>(
    wanted: &EnvironmentName,
    names: impl Iterator<Item = &'a EnvironmentName>,
) -> Option<&'a EnvironmentName> {
    let wanted = wanted.as_str().to_lowercase();
    names
        .filter_map(|name| {
            let lower = name.as_str().to_lowercase();
            let begins =
                wanted.len() >= 3 && lower.starts_with(&wanted) || lower.len() >= 3 && wanted.starts_with(&lower);
            let distance = if begins { 0 } else { strsim::damerau_levenshtein(&wanted, &lower) };
            (distance <= 1 + wanted.chars().count() / 4).then_some((distance, name))
        })
        .min_by_key(|(distance, name)| (*distance, name.as_str()))
        .map(|(_, name)| name)
}

/// How many of our records have to be missing, all of them, before an empty answer is suspicious.
const SUSPICIOUS_FROM: usize = 3;

/// Whether a view looks like a wrong tenant, a reset database or a proxy's empty answer: at least three of our records
/// should be in it, and not one is (domain cases 45 and 46).
pub fn suspicious<'a>(view: &View, ours: impl Iterator<Item = (&'a RecordKey, &'a Version)>) -> bool {
    let mut expected = 0;
    for (key, _) in ours {
        if view.row(key).is_some() || !view.releases(&key.pacticipant).is_empty() {
            return false;
        }
        expected += 1;
    }
    expected >= SUSPICIOUS_FROM
}

impl View {
    /// The same view, marked.
    #[must_use]
    pub fn marked(self, suspicious: bool) -> Self {
        Self { suspicious, ..self }
    }
}

#[cfg(test)]
#[path = "places_tests.rs"]
mod tests;
