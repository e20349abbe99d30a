//! `PactRecord`s as they come from the watch.

use std::collections::HashSet;

use operator_kit::watch::{InvalidObject, WatchHandler};

use super::{Change, OnChange, Watched};
use crate::{
    api::PactRecord,
    cluster::pact_records::{PactRecordRef, PactRecords as Objects},
};

/// `PactRecord`s.
pub struct PactRecords<C>(pub Watched<C>);

impl<C: OnChange> PactRecords<C> {
    fn take(&self, object: PactRecord, into: fn(&mut Objects, PactRecord) -> bool) -> PactRecordRef {
        let reference = PactRecordRef::of(&object);
        let changed = into(&mut self.0.cluster.pact_records(), object);
        if changed {
            self.0.changed(Change::PactRecord(reference.clone()));
        }
        reference
    }
}

impl<C: OnChange> WatchHandler for PactRecords<C> {
    type Object = PactRecord;
    type Id = PactRecordRef;

    fn apply(&self, object: PactRecord) -> Option<PactRecordRef> {
        Some(self.take(object, Objects::apply))
    }

    fn listed(&self, object: PactRecord) -> Option<PactRecordRef> {
        Some(self.take(object, Objects::set))
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<PactRecordRef> {
        self.0.unreadable::<PactRecord>(object);
        let (namespace, name) = (object.metadata.namespace.clone()?, object.metadata.name.clone()?);
        Some(PactRecordRef { namespace, name })
    }

    fn delete(&self, object: PactRecord) {
        self.0.cluster.pact_records().remove(&PactRecordRef::of(&object));
    }

    fn retain(&self, listed: &HashSet<PactRecordRef>) {
        let mut objects = self.0.cluster.pact_records();
        for gone in objects.all().into_iter().filter(|known| !listed.contains(known)) {
            objects.remove(&gone);
        }
    }
}
