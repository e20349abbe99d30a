//! The `PactRecord`s, and which of them a change may concern. Synchronous, without I/O, but for the reads and the write of
//! [`Cluster`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;

use super::{Cluster, FIELD_MANAGER};
use crate::{
    api::{PactRecord, PactRecordStatus},
    decide::{
        Explanation,
        pact_record::{Found, Seen, workload_of},
    },
    workload::{RecordKey, Workload, WorkloadRef},
};

/// A `PactRecord` by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PactRecordRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl PactRecordRef {
    /// Which object it is.
    #[must_use]
    pub fn of(object: &impl ResourceExt) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

/// The objects. See the module.
#[derive(Debug, Default)]
pub struct PactRecords {
    objects: BTreeMap<PactRecordRef, Arc<PactRecord>>,
    by_workload: HashMap<WorkloadRef, BTreeSet<PactRecordRef>>,
    /// By the keys that were looked at last: a workload may have left one since.
    by_key: HashMap<RecordKey, BTreeSet<PactRecordRef>>,
    keys: HashMap<PactRecordRef, Box<[RecordKey]>>,
}

impl PactRecords {
    /// Takes in an object that the watch reported, or the answer to a write, unless a newer state of it is known; answers
    /// whether it has to be looked at.
    pub fn apply(&mut self, object: PactRecord) -> bool {
        let number = |object: &PactRecord| object.resource_version()?.parse::<u128>().ok();
        let known = self.objects.get(&PactRecordRef::of(&object));
        let newer = known.is_some_and(|known| {
            known.uid() == object.uid()
                && matches!((number(known), number(&object)), (Some(known), Some(reported)) if known > reported)
        });
        !newer && self.set(object)
    }

    /// Takes in an object that a list holds, whatever is known; answers whether it has to be looked at.
    pub fn set(&mut self, mut object: PactRecord) -> bool {
        // Nobody here reads who wrote which field.
        object.metadata.managed_fields = None;
        let reference = PactRecordRef::of(&object);
        let before = self.objects.get(&reference);
        if before.is_some_and(|before| **before == object) {
            return false;
        }
        let workload = |object: &PactRecord| workload_of(&reference.namespace, &object.spec.workload_ref).ok();
        let (was, is) = (before.and_then(|before| workload(before)), workload(&object));
        if was != is {
            self.unlink(&reference, was.as_ref());
            if let Some(workload) = is {
                self.by_workload.entry(workload).or_default().insert(reference.clone());
            }
        }
        self.objects.insert(reference, Arc::new(object));
        true
    }

    /// Forgets an object.
    pub fn remove(&mut self, reference: &PactRecordRef) {
        let Some(object) = self.objects.remove(reference) else { return };
        let workload = workload_of(&reference.namespace, &object.spec.workload_ref).ok();
        self.unlink(reference, workload.as_ref());
        self.looked_at(reference, Vec::new());
    }

    /// The object of that name.
    #[must_use]
    pub fn get(&self, reference: &PactRecordRef) -> Option<Arc<PactRecord>> {
        self.objects.get(reference).cloned()
    }

    /// Every object.
    #[must_use]
    pub fn all(&self) -> Vec<PactRecordRef> {
        self.objects.keys().cloned().collect()
    }

    /// Those of a namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Vec<PactRecordRef> {
        let first = PactRecordRef { namespace: namespace.to_owned(), name: String::new() };
        let there = self.objects.range(first..).map(|(reference, _)| reference);
        there.take_while(|reference| reference.namespace == namespace).cloned().collect()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Those that refer to a workload.
    #[must_use]
    pub fn of_workload(&self, workload: &WorkloadRef) -> Vec<PactRecordRef> {
        self.by_workload.get(workload).into_iter().flatten().cloned().collect()
    }

    /// Those whose workload had this key when they were last looked at.
    #[must_use]
    pub fn of_key(&self, key: &RecordKey) -> Vec<PactRecordRef> {
        self.by_key.get(key).into_iter().flatten().cloned().collect()
    }

    /// An object was looked at, with these keys of its workload.
    pub fn looked_at(&mut self, reference: &PactRecordRef, keys: Vec<RecordKey>) {
        if self.keys.get(reference).map_or(&[][..], |before| before) == keys.as_slice() {
            return;
        }
        // It may have been deleted while it was looked at.
        let keys = if self.objects.contains_key(reference) { keys } else { Vec::new() };
        for key in self.keys.remove(reference).into_iter().flatten() {
            forget(&mut self.by_key, &key, reference);
        }
        for key in &keys {
            self.by_key.entry(key.clone()).or_default().insert(reference.clone());
        }
        if !keys.is_empty() {
            self.keys.insert(reference.clone(), keys.into());
        }
    }

    fn unlink(&mut self, reference: &PactRecordRef, workload: Option<&WorkloadRef>) {
        if let Some(workload) = workload {
            forget(&mut self.by_workload, workload, reference);
        }
    }
}

/// Takes an object out of what it is listed under.
fn forget<K: Eq + std::hash::Hash>(
    listed: &mut HashMap<K, BTreeSet<PactRecordRef>>,
    under: &K,
    reference: &PactRecordRef,
) {
    if let Some(all) = listed.get_mut(under) {
        all.remove(reference);
        if all.is_empty() {
            listed.remove(under);
        }
    }
}

impl Cluster {
    /// The `PactRecord`s that the records of these keys may concern.
    #[must_use]
    pub fn pact_records_of<'a>(&self, keys: impl IntoIterator<Item = &'a RecordKey>) -> BTreeSet<PactRecordRef> {
        let (index, objects) = (self.index(), self.pact_records());
        let mut concerned = BTreeSet::new();
        // Where nobody has one, it costs nothing.
        for key in keys.into_iter().take_while(|_| !objects.is_empty()) {
            concerned.extend(objects.of_key(key));
            concerned.extend(index.workloads_of(key).flat_map(|workload| objects.of_workload(workload)));
        }
        concerned
    }

    /// What the watches know of a workload; `None` where only a read can tell: one that is not annotated is not kept.
    #[must_use]
    pub fn seen(&self, reference: &WorkloadRef, now: Timestamp) -> Option<Seen> {
        let workload = self.index().workload(reference).cloned()?;
        Some(self.seen_as(&workload, now))
    }

    /// A workload as the API server has it now.
    pub async fn seen_live(&self, reference: &WorkloadRef, now: Timestamp) -> Found {
        match self.live_workload(reference).await {
            Err(why) => Found::Unknown(why),
            Ok(None) => Found::Missing(reference.clone()),
            Ok(Some(workload)) => Found::Seen(self.seen_as(&workload, now)),
        }
    }

    /// Whether the records of a workload are still as they were seen, and its namespace lies where it did. What the watches
    /// have told may be of a moment ago, in which another process led, or a namespace moved.
    ///
    /// # Errors
    /// When the API server cannot be asked.
    pub async fn still_is(&self, seen: &Seen) -> Result<bool, Explanation> {
        for key in &seen.keys {
            let known = self.records.get(&key.key);
            let status = known.as_ref().and_then(|known| known.status.as_ref());
            let same = self.records.still_says(&key.key, status).await;
            let unasked = |error| Explanation::new(crate::decide::Reason::ApiServerUnavailable, format!("{error}"));
            if !same.map_err(unasked)? {
                return Ok(false);
            }
        }
        Ok(!self.has_moved(&seen.workload).await?)
    }

    /// Writes the status of a `PactRecord`, and nothing else of it. It carries the resource version, so that a process that
    /// led before cannot overwrite what was found since.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn write_pact_record(&self, object: &PactRecord, status: PactRecordStatus) -> Result<(), kube::Error> {
        let reference = PactRecordRef::of(object);
        let patch = json!({
            "apiVersion": PactRecord::api_version(&()), "kind": PactRecord::kind(&()),
            "metadata": {"uid": object.metadata.uid, "resourceVersion": object.metadata.resource_version},
            "status": status,
        });
        let api = Api::<PactRecord>::namespaced(self.client.clone(), &reference.namespace);
        let as_ours = PatchParams::apply(FIELD_MANAGER).force();
        let written = api.patch_status(&reference.name, &as_ours, &Patch::Apply(&patch)).await?;
        let mut objects = self.pact_records();
        // It may have been deleted meanwhile, and be another one by now.
        if objects.get(&reference).is_some_and(|known| known.metadata.uid == written.metadata.uid) {
            objects.apply(written);
        }
        Ok(())
    }

    fn seen_as(&self, workload: &Workload, now: Timestamp) -> Seen {
        self.index().seen(workload, now, |key, with| {
            with(self.records.get(key).as_ref().and_then(|object| object.status.as_ref()));
        })
    }
}

#[cfg(test)]
#[path = "pact_records_tests.rs"]
mod tests;
