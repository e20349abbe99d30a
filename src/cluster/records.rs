//! The `PactDeployment`s as the controller sees them: a warm copy fed by a watch and by our own writes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
};
use thiserror::Error;

use crate::{
    api::{PactDeployment, PactDeploymentSpec, PactDeploymentStatus, condition::is_true},
    decide::record::{BYPASSED, Vanished},
    workload::{EnvironmentRef, RecordKey},
};
use operator_kit::refusal;

/// Why a `PactDeployment` could not be written or deleted.
#[derive(Debug, Error)]
pub enum RecordStoreError {
    /// The API server refuses, or does not answer.
    #[error("{}", refusal::explain(.0))]
    Refused(#[from] kube::Error),
    /// Somebody made an object of the name that is the key's.
    #[error("an object of that name is there already, about {about}. Remedy: delete it; the operator makes its own")]
    Taken {
        /// What that object is about.
        about: String,
    },
}

impl RecordStoreError {
    /// Whether the object was changed or deleted since it was read: the next try will find it so.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(kube::Error::Api(status)) if status.is_conflict() || status.is_not_found())
    }
}

/// The `PactDeployment`s by record key. Cheap to clone.
#[derive(Clone)]
pub struct RecordStore {
    api: Api<PactDeployment>,
    by_key: Arc<Mutex<HashMap<RecordKey, Arc<PactDeployment>>>>,
}

impl RecordStore {
    /// An empty store, to be filled by a watch.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { api: Api::all(client), by_key: Arc::default() }
    }

    /// Takes in an object that the watch reported, or the answer to a write, unless we know a newer state of it; answers
    /// its key. Objects whose name is not the one of their key were made by somebody else and are passed over.
    pub fn apply(&self, object: PactDeployment) -> Option<RecordKey> {
        self.take(object, newer)
    }

    /// Takes in an object that a list holds, or the answer to a GET: that is what the API server has. It may be older than
    /// what we know, after etcd was restored from a backup (case 107). Answers its key, as [`Self::apply`] does.
    #[must_use]
    pub fn set(&self, object: PactDeployment) -> Option<RecordKey> {
        self.take(object, |_, _| false)
    }

    fn take(
        &self,
        mut object: PactDeployment,
        stays: impl Fn(&PactDeployment, &PactDeployment) -> bool,
    ) -> Option<RecordKey> {
        let key = own_key(&object)?;
        // Nobody here reads who wrote which field, and it is half of the object. A write without them keeps those that
        // the API server has.
        object.metadata.managed_fields = None;
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if by_key.get(&key).is_none_or(|known| !stays(known, &object)) {
            by_key.insert(key.clone(), Arc::new(object));
        }
        Some(key)
    }

    /// Forgets an object that the watch says is deleted; answers its key.
    pub fn remove(&self, object: &PactDeployment) -> Option<RecordKey> {
        let key = RecordKey::of(object).ok()?;
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if by_key.get(&key).is_some_and(|known| known.uid() == object.uid()) {
            by_key.remove(&key);
        }
        Some(key)
    }

    /// Forgets every object that a complete list did not hold; answers their keys.
    pub fn retain(&self, listed: &HashSet<RecordKey>) -> Vec<RecordKey> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = by_key.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        for key in &gone {
            by_key.remove(key);
        }
        gone
    }

    /// The object of a key.
    #[must_use]
    pub fn get(&self, key: &RecordKey) -> Option<Arc<PactDeployment>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Every key that has an object.
    #[must_use]
    pub fn keys(&self) -> Vec<RecordKey> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// Every key and object for which `wanted` holds.
    #[must_use]
    pub fn select(&self, wanted: impl Fn(&RecordKey) -> bool) -> Vec<(RecordKey, Arc<PactDeployment>)> {
        let by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        by_key.iter().filter(|(key, _)| wanted(key)).map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
    }

    /// What vanished in an environment: the records that no workload runs any more and that were not taken back yet.
    #[must_use]
    pub fn vanished(&self, environment_ref: &EnvironmentRef, confirmed: Option<Timestamp>) -> Vanished {
        let mut vanished = Vanished { confirmed, ..Vanished::default() };
        let by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, object) in by_key.iter().filter(|(key, _)| key.environment_ref == *environment_ref) {
            let Some(status) = &object.status else { continue };
            if status.recorded.is_none() && status.supported.is_empty() {
                continue;
            }
            vanished.recorded += 1;
            if let Some(since) = &status.orphaned_since {
                let instance = key.instance.as_ref().map(|instance| format!(" ({instance})")).unwrap_or_default();
                vanished.orphaned.push((format!("{}{instance}", key.pacticipant), since.0));
            }
        }
        drop(by_key);
        vanished.orphaned.sort();
        vanished
    }

    /// How many keys somebody else writes, too.
    #[must_use]
    pub fn contested(&self) -> usize {
        self.with_condition("Contested")
    }

    /// How many keys have a member that runs by its bypass statement, and no yes since.
    #[must_use]
    pub fn bypassed(&self) -> usize {
        self.with_condition(BYPASSED)
    }

    fn with_condition(&self, type_: &str) -> usize {
        let by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let statuses = by_key.values().filter_map(|object| object.status.as_ref());
        statuses.filter(|status| is_true(&status.conditions, type_)).count()
    }

    /// Reads a key's object anew; says whether its status is this one.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn still_says(
        &self,
        key: &RecordKey,
        status: Option<&PactDeploymentStatus>,
    ) -> Result<bool, RecordStoreError> {
        let found = self.api.get_opt(&key.object_name()).await?;
        let same = found.as_ref().and_then(|object| object.status.as_ref()) == status;
        if let Some(object) = found.filter(|_| !same) {
            self.apply(object);
        }
        Ok(same)
    }

    /// Writes the status of a key's object, which is made first when there is none. The write carries the resource
    /// version that `before` had, so a leader with an old view cannot overwrite a newer one.
    ///
    /// # Errors
    /// When the API server refuses, or the object of that name is another key's. On a conflict our copy is read anew, so
    /// that the next try can go through.
    pub async fn write(
        &self,
        key: &RecordKey,
        before: Option<&PactDeployment>,
        status: PactDeploymentStatus,
    ) -> Result<(), RecordStoreError> {
        let params = super::as_field_manager();
        let name = key.object_name();
        let mut object = match before {
            Some(before) => before.clone(),
            None => match self.api.create(&params, &PactDeployment::new(&name, key.spec())).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => {
                    let found = self.api.get(&name).await?;
                    if found.spec != key.spec() {
                        return Err(RecordStoreError::Taken { about: about(&found) });
                    }
                    found
                }
                created => created?,
            },
        };
        object.status = Some(status);
        match self.api.replace_status(&name, &params, &object).await {
            Ok(written) => {
                self.apply(written);
                Ok(())
            }
            Err(error) => {
                if let kube::Error::Api(answer) = &error {
                    if answer.is_conflict() {
                        drop(self.set(self.api.get(&name).await?));
                    } else if answer.is_not_found() {
                        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
                    }
                }
                Err(error.into())
            }
        }
    }

    /// Deletes the object of a key that holds nothing worth keeping.
    ///
    /// # Errors
    /// When the API server refuses; that the object is gone or changed already is none.
    pub async fn delete(&self, object: &PactDeployment) -> Result<(), RecordStoreError> {
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: object.uid(), resource_version: object.resource_version() }),
            ..DeleteParams::default()
        };
        match self.api.delete(&object.name_any(), &params).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            result => Ok(result.map(drop)?),
        }
    }
}

/// The key of an object of ours. One whose name is not the one of its key was made by somebody else.
#[must_use]
pub fn own_key(object: &PactDeployment) -> Option<RecordKey> {
    RecordKey::of(object).ok().filter(|key| object.name_any() == key.object_name())
}

/// What an object that another client made is about; its names need not be valid ones.
fn about(object: &PactDeployment) -> String {
    let PactDeploymentSpec { broker, environment, pacticipant, application_instance } = &object.spec;
    let instance = application_instance.as_ref().map(|instance| format!(" (application instance {instance})"));
    format!("{pacticipant} in {environment} at {broker}{}", instance.unwrap_or_default())
}

/// Whether what we know is newer than what was reported. Resource versions of one kind can be compared as numbers
/// (KEP-5504); where they cannot be read as such, what was reported counts.
fn newer(known: &PactDeployment, reported: &PactDeployment) -> bool {
    let number = |object: &PactDeployment| object.resource_version()?.parse::<u128>().ok();
    match (number(known), number(reported)) {
        (Some(known), Some(reported)) => known > reported,
        _ => false,
    }
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
