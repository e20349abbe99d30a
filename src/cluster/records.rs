//! The `PactDeployment`s as the controller sees them: a warm copy fed by a watch and by our own writes.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, Preconditions},
};
use serde_json::json;
use thiserror::Error;

use super::objects::{Objects, own_key, to_be_taken_over};
use crate::{
    api::{PactDeployment, PactDeploymentSpec, PactDeploymentStatus, condition::is_true},
    decide::{
        Reason,
        record::{BYPASSED, Vanished, merged},
    },
    workload::{EnvironmentRef, RecordKey},
};
use operator_kit::{events::Regarding, refusal};

/// How long an object of a former name is left alone that was made, and not written yet.
const TO_BE_WRITTEN: SignedDuration = SignedDuration::from_mins(1);

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
    objects: Arc<Mutex<Objects>>,
}

impl RecordStore {
    /// An empty store, to be filled by a watch.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { api: Api::all(client), objects: Arc::default() }
    }

    /// Takes in an object that the watch reported, or the answer to a write, unless we know a newer state of it; answers
    /// its key. Objects whose name is not the one of their key were made by somebody else and are passed over.
    pub fn apply(&self, object: PactDeployment) -> Option<RecordKey> {
        self.take(object, Objects::apply)
    }

    /// Takes in an object that a list holds, or the answer to a GET: that is what the API server has. It may be older than
    /// what we know, after etcd was restored from a backup (case 107). Answers its key, as [`Self::apply`] does.
    #[must_use]
    pub fn set(&self, object: PactDeployment) -> Option<RecordKey> {
        self.take(object, Objects::set)
    }

    fn take(
        &self,
        mut object: PactDeployment,
        into: impl Fn(&mut Objects, &RecordKey, PactDeployment),
    ) -> Option<RecordKey> {
        let key = own_key(&object)?;
        // Nobody here reads who wrote which field, and it is half of the object. A write without them keeps those that
        // the API server has.
        object.metadata.managed_fields = None;
        object.status.iter_mut().for_each(without_slack);
        into(&mut self.objects(), &key, object);
        Some(key)
    }

    /// Forgets an object that the watch says is deleted; answers its key.
    #[must_use]
    pub fn remove(&self, object: &PactDeployment) -> Option<RecordKey> {
        let key = RecordKey::of(object).ok()?;
        self.objects().remove(&key, object);
        Some(key)
    }

    /// Forgets every object whose name a complete list did not hold; answers the keys that have none any more.
    #[must_use]
    pub fn retain(&self, listed: &HashSet<String>) -> Vec<RecordKey> {
        self.objects().retain(listed)
    }

    /// The object of a key.
    #[must_use]
    pub fn get(&self, key: &RecordKey) -> Option<Arc<PactDeployment>> {
        self.objects().get(key).cloned()
    }

    /// Every key that has an object.
    #[must_use]
    pub fn keys(&self) -> Vec<RecordKey> {
        self.objects().iter().map(|(key, _)| key.clone()).collect()
    }

    /// Every key and object for which `wanted` holds.
    #[must_use]
    pub fn select(&self, wanted: impl Fn(&RecordKey) -> bool) -> Vec<(RecordKey, Arc<PactDeployment>)> {
        let objects = self.objects();
        let wanted = objects.iter().filter(|(key, _)| wanted(key));
        wanted.map(|(key, object)| (key.clone(), Arc::clone(object))).collect()
    }

    /// Passes every key and object to `look`.
    pub fn each(&self, mut look: impl FnMut(&RecordKey, &PactDeployment)) {
        self.objects().iter().for_each(|(key, object)| look(key, object));
    }

    /// Passes each of these keys to `look`, with its object if it has one.
    pub fn with_each<'a>(
        &self,
        keys: impl Iterator<Item = &'a RecordKey>,
        mut look: impl FnMut(&'a RecordKey, Option<&PactDeployment>),
    ) {
        let objects = self.objects();
        keys.for_each(|key| look(key, objects.get(key).map(|object| &**object)));
    }

    /// What vanished in an environment: the records that no workload runs any more and that were not taken back yet.
    #[must_use]
    pub fn vanished(
        &self,
        environment_ref: &EnvironmentRef,
        confirmed: Option<Timestamp>,
        has_members: impl Fn(&RecordKey) -> bool,
    ) -> Vanished {
        let mut vanished = Vanished { confirmed, ..Vanished::default() };
        let objects = self.objects();
        for (key, object) in objects.iter().filter(|(key, _)| key.environment_ref == *environment_ref) {
            let Some(status) = &object.status else { continue };
            if status.recorded.is_none() && status.supported.is_empty() {
                continue;
            }
            vanished.recorded += 1;
            if let Some(since) = &status.orphaned_since {
                let instance = key.instance.as_ref().map(|instance| format!(" ({instance})")).unwrap_or_default();
                vanished.orphaned.push((format!("{}{instance}", key.pacticipant), since.0));
            } else if !has_members(key) {
                vanished.unnoted += 1;
            }
        }
        drop(objects);
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

    /// How many keys stay recorded although nothing runs them, because too many of their environment are gone at once.
    #[must_use]
    pub fn undeploys_held(&self) -> usize {
        self.count(|status| {
            let held = Reason::UndeploysHeld.as_str();
            status.conditions.iter().any(|it| it.type_ == "Orphaned" && it.status == "True" && it.reason == held)
        })
    }

    fn with_condition(&self, type_: &str) -> usize {
        self.count(|status| is_true(&status.conditions, type_))
    }

    fn count(&self, counts: impl Fn(&PactDeploymentStatus) -> bool) -> usize {
        let objects = self.objects();
        objects.iter().filter_map(|(_, object)| object.status.as_ref()).filter(|status| counts(status)).count()
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
        let known = object.status.replace(status);
        let mut again = known.is_some();
        loop {
            let error = match self.api.replace_status(&name, &params, &object).await {
                Ok(written) => {
                    self.apply(written);
                    return Ok(());
                }
                Err(error) => error,
            };
            let kube::Error::Api(answer) = &error else { return Err(error.into()) };
            if answer.is_not_found() {
                self.objects().forget(key);
            } else if answer.is_conflict() {
                let found = self.api.get(&name).await?;
                // Only a label or an annotation is another one, such as that of what was announced: the status is written
                // over the one that it is about.
                let same = found.status == known && found.metadata.uid == object.metadata.uid;
                object.metadata.resource_version.clone_from(&found.metadata.resource_version);
                drop(self.set(found));
                if std::mem::take(&mut again) && same {
                    continue;
                }
            }
            return Err(error.into());
        }
    }

    /// Writes an annotation of an object. That the object is gone, or another one by now, is no error.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn annotate(&self, object: &PactDeployment, name: &str, value: &str) -> Result<(), RecordStoreError> {
        let params = PatchParams { field_manager: super::as_field_manager().field_manager, ..PatchParams::default() };
        let change = json!({"metadata": {"uid": object.metadata.uid, "annotations": {name: value}}});
        match self.api.patch(&object.name_any(), &params, &Patch::Merge(change)).await {
            Ok(written) => {
                self.apply(written);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            // It is another object, or others write this one all the time.
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                let found = self.api.get_opt(&object.name_any()).await?;
                match found.filter(|found| found.metadata.uid == object.metadata.uid) {
                    Some(_) => Err(kube::Error::Api(status).into()),
                    None => Ok(()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes over what an object of the key's former name says, and deletes that one. Whenever this is interrupted, it goes
    /// on the next time: the status is taken over before, and only a later one of another version of the operator is
    /// taken over again.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn adopt(&self, key: &RecordKey) -> Result<(), RecordStoreError> {
        let Some((former, current)) = self.objects().former(key) else { return Ok(()) };
        if let Some(later) = former.status.as_ref().filter(|_| to_be_taken_over(&former, current.as_ref())) {
            let earlier = current.as_ref().and_then(|current| current.status.as_ref());
            let status = earlier.map_or_else(|| later.clone(), |earlier| merged(earlier, later));
            self.write(key, current.as_deref(), status).await?;
        }
        let age = former.creation_timestamp().map(|made| Timestamp::now().duration_since(made.0));
        if former.status.is_none() && age.is_some_and(|age| age < TO_BE_WRITTEN) {
            return Ok(());
        }
        self.delete(&former).await?;
        self.objects().remove(key, &former);
        Ok(())
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

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A `PactDeployment` as the object of an Event.
#[must_use]
pub fn regarding(object: &PactDeployment) -> Regarding {
    Regarding {
        api_version: format!("{}/{}", crate::api::GROUP, crate::api::API_VERSION),
        kind: "PactDeployment".to_owned(),
        namespace: None,
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
    }
}

/// What an object that another client made is about; its names need not be valid ones.
fn about(object: &PactDeployment) -> String {
    let PactDeploymentSpec { broker, environment, pacticipant, application_instance } = &object.spec;
    let instance = application_instance.as_ref().map(|instance| format!(" (application instance {instance})"));
    format!("{pacticipant} in {environment} at {broker}{}", instance.unwrap_or_default())
}

/// Gives back what the lists of a status have room for beyond what is in them: a list that was read has room for four, and
/// most have one.
fn without_slack(status: &mut PactDeploymentStatus) {
    status.members.shrink_to_fit();
    status.recorded_for.shrink_to_fit();
    status.supported.shrink_to_fit();
    status.history.shrink_to_fit();
    status.checks.shrink_to_fit();
    status.checks.iter_mut().for_each(|check| check.pairs.shrink_to_fit());
    status.intended.shrink_to_fit();
    status.announcements.shrink_to_fit();
    status.conditions.shrink_to_fit();
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
