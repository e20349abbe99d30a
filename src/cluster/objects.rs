//! The `PactDeployment`s by key, where a key may have two: the one of its name, and one of the name that it had formerly,
//! until that one is adopted (case 115).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use kube::ResourceExt;

use crate::{api::PactDeployment, workload::RecordKey};

/// The objects by key. See the module.
#[derive(Default)]
pub(super) struct Objects {
    current: HashMap<RecordKey, Arc<PactDeployment>>,
    former: HashMap<RecordKey, Arc<PactDeployment>>,
}

/// The key of an object of ours. One whose name is not one of its key was made by somebody else.
#[must_use]
pub fn own_key(object: &PactDeployment) -> Option<RecordKey> {
    let key = RecordKey::of(object).ok()?;
    (object.name_any() == key.object_name() || is_former(&key, object)).then_some(key)
}

/// Whether an object has the name that its key had formerly.
pub(super) fn is_former(key: &RecordKey, object: &PactDeployment) -> bool {
    object.name_any() == key.former_object_name()
}

/// Which state of an object a resource version stands for. Those of one kind can be compared as numbers (KEP-5504).
pub(super) fn number(object: &PactDeployment) -> Option<u128> {
    object.resource_version()?.parse().ok()
}

/// Whether what we know is newer than what was reported; where they cannot be compared, what was reported counts.
fn newer(known: &PactDeployment, reported: &PactDeployment) -> bool {
    matches!((number(known), number(reported)), (Some(known), Some(reported)) if known > reported)
}

/// Whether the object of the former name counts: the other one was never written, or another version of the operator
/// wrote this one since.
fn counts(former: &PactDeployment, current: Option<&Arc<PactDeployment>>) -> bool {
    current.is_none_or(|current| current.status.is_none() || newer(former, current))
}

impl Objects {
    fn of_name(&mut self, key: &RecordKey, object: &PactDeployment) -> &mut HashMap<RecordKey, Arc<PactDeployment>> {
        if is_former(key, object) { &mut self.former } else { &mut self.current }
    }

    /// Takes in an object unless a newer state of it is known.
    pub(super) fn apply(&mut self, key: &RecordKey, object: PactDeployment) {
        let objects = self.of_name(key, &object);
        if objects.get(key).is_none_or(|known| !newer(known, &object)) {
            objects.insert(key.clone(), Arc::new(object));
        }
    }

    /// Takes in an object, whatever is known.
    pub(super) fn set(&mut self, key: &RecordKey, object: PactDeployment) {
        self.of_name(key, &object).insert(key.clone(), Arc::new(object));
    }

    /// Forgets an object, unless another one of its name is known.
    pub(super) fn remove(&mut self, key: &RecordKey, object: &PactDeployment) {
        let objects = self.of_name(key, object);
        if objects.get(key).is_some_and(|known| known.uid() == object.uid()) {
            objects.remove(key);
        }
    }

    /// Forgets the object of a key's own name.
    pub(super) fn forget(&mut self, key: &RecordKey) {
        self.current.remove(key);
    }

    /// Forgets every object whose name is not among these; answers the keys that have none any more.
    pub(super) fn retain(&mut self, listed: &HashSet<String>) -> Vec<RecordKey> {
        let before: Vec<_> = self.iter().map(|(key, _)| key.clone()).collect();
        for objects in [&mut self.current, &mut self.former] {
            objects.retain(|_, object| listed.contains(&object.name_any()));
        }
        before.into_iter().filter(|key| self.get(key).is_none()).collect()
    }

    /// The object of a key that counts.
    pub(super) fn get(&self, key: &RecordKey) -> Option<&Arc<PactDeployment>> {
        let current = self.current.get(key);
        self.former.get(key).filter(|former| counts(former, current)).or(current)
    }

    /// The object of a key's former name, and the one of its own name.
    pub(super) fn former(&self, key: &RecordKey) -> Option<(Arc<PactDeployment>, Option<Arc<PactDeployment>>)> {
        Some((Arc::clone(self.former.get(key)?), self.current.get(key).cloned()))
    }

    /// Every key with its object that counts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&RecordKey, &Arc<PactDeployment>)> {
        let former_only = self.former.iter().filter(|(key, _)| !self.current.contains_key(*key));
        let current = self.current.iter().map(|(key, current)| {
            let former = self.former.get(key).filter(|former| counts(former, Some(current)));
            (key, former.unwrap_or(current))
        });
        current.chain(former_only)
    }
}

/// Whether the status of the object of the former name has to be taken over.
pub(super) fn to_be_taken_over(former: &PactDeployment, current: Option<&Arc<PactDeployment>>) -> bool {
    former.status.is_some() && counts(former, current)
}
