//! The `PactDeployment`s as the recorder sees them: a warm copy fed by a watch and by our own writes.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Preconditions},
};

use super::plan::Memory;
use crate::{
    api::{PactDeployment, PactDeploymentStatus, names::Version},
    workload::RecordKey,
};

/// The `PactDeployment`s by record key. Cheap to clone.
#[derive(Clone)]
pub struct Memories {
    api: Api<PactDeployment>,
    by_key: Arc<Mutex<HashMap<RecordKey, Arc<PactDeployment>>>>,
}

impl Memories {
    /// An empty memory, to be filled by a watch.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { api: Api::all(client), by_key: Arc::default() }
    }

    /// Takes in an object that the watch told of, unless we know a newer state of it; answers its key. Objects whose
    /// name is not the one of their key were made by somebody else and are passed over.
    pub fn apply(&self, mut object: PactDeployment) -> Option<RecordKey> {
        let key = RecordKey::of(&object).ok()?;
        // Nobody here reads who wrote which field, and it is half of the object. A write without them keeps those that
        // the API server has.
        object.metadata.managed_fields = None;
        if object.name_any() != key.object_name() {
            return None;
        }
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if by_key.get(&key).is_none_or(|known| !newer(known, &object)) {
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

    /// Writes the status of a key's object, which is made first when there is none. The write carries the resource
    /// version that `before` had, so a leader with an old view cannot overwrite a newer one.
    ///
    /// # Errors
    /// When the API server refuses. On a conflict our copy is read anew, so that the next try can go through.
    pub async fn write(
        &self,
        key: &RecordKey,
        before: Option<&PactDeployment>,
        status: PactDeploymentStatus,
    ) -> Result<(), kube::Error> {
        let params = super::as_field_manager();
        let name = key.object_name();
        let mut object = match before {
            Some(before) => before.clone(),
            None => match self.api.create(&params, &PactDeployment::new(&name, key.spec())).await {
                Err(kube::Error::Api(status)) if status.is_already_exists() => self.api.get(&name).await?,
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
                        self.apply(self.api.get(&name).await?);
                    } else if answer.is_not_found() {
                        self.by_key.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
                    }
                }
                Err(error)
            }
        }
    }

    /// Deletes the object of a key that remembers nothing worth keeping.
    ///
    /// # Errors
    /// When the API server refuses; that the object is gone or changed already is none.
    pub async fn delete(&self, object: &PactDeployment) -> Result<(), kube::Error> {
        let params = DeleteParams {
            preconditions: Some(Preconditions { uid: object.uid(), resource_version: object.resource_version() }),
            ..DeleteParams::default()
        };
        match self.api.delete(&object.name_any(), &params).await {
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
            result => result.map(drop),
        }
    }
}

/// Whether what we know is newer than what was told. Resource versions of one kind can be compared as numbers
/// (KEP-5504); where they cannot be read as such, what was told counts.
fn newer(known: &PactDeployment, told: &PactDeployment) -> bool {
    let number = |object: &PactDeployment| object.resource_version()?.parse::<u128>().ok();
    match (number(known), number(told)) {
        (Some(known), Some(told)) => known > told,
        _ => false,
    }
}

/// What an object remembers, for [`super::plan`].
#[must_use]
pub fn memory_of(object: Option<&PactDeployment>) -> Memory {
    let Some(status) = object.and_then(|object| object.status.as_ref()) else { return Memory::default() };
    let version = |text: &str| Version::parse(text).ok();
    Memory {
        recorded: status.recorded.as_ref().and_then(|recorded| version(&recorded.version)),
        corrected: status.corrected_version.as_deref().and_then(version),
        orphaned_since: status.orphaned_since.as_ref().map(|time| time.0),
    }
}

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
