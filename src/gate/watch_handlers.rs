//! What becomes of what the gate watches.

use std::{collections::HashSet, sync::Arc};

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    ResourceExt,
    core::{PartialObjectMeta, error_boundary::InvalidObject},
};
use tracing::error;

use super::Gate;
use crate::{
    api::{PactBroker, PactDeployment, PactEnvironment},
    workload::RecordKey,
};
use operator_kit::watch::WatchHandler;

fn unreadable(kind: &str, object: &InvalidObject) -> Option<String> {
    let name = object.metadata.name.clone();
    error!(kind, name, problem = object.error, "an object cannot be read; the others go on");
    name
}

/// Namespaces with their labels.
pub(super) struct Namespaces(pub(super) Arc<Gate>);

impl WatchHandler for Namespaces {
    type Object = PartialObjectMeta<Namespace>;
    type Id = String;

    fn apply(&self, namespace: Self::Object) -> Option<String> {
        let name = namespace.name_any();
        self.0.index().set_namespace(&name, Some(namespace.labels().clone()));
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        unreadable("Namespace", object)
    }

    fn delete(&self, namespace: Self::Object) {
        self.0.index().set_namespace(&namespace.name_any(), None);
    }

    fn retain(&self, listed: &HashSet<String>) {
        self.0.index().retain_namespaces(|name| listed.contains(name));
    }
}

/// `PactEnvironment`s, parsed.
pub(super) struct Environments(pub(super) Arc<Gate>);

impl WatchHandler for Environments {
    type Object = PactEnvironment;
    type Id = String;

    fn apply(&self, environment: PactEnvironment) -> Option<String> {
        let name = environment.name_any();
        self.0.index().set_environment(&name, &environment);
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        let name = unreadable("PactEnvironment", object)?;
        self.0.index().break_environment(&name, &format!("the object cannot be read: {}", object.error));
        Some(name)
    }

    fn undecodable_gone(&self, object: &InvalidObject) {
        let gone = object.metadata.name.as_deref();
        self.0.index().retain_environments(|name| Some(name) != gone);
    }

    fn delete(&self, environment: PactEnvironment) {
        let gone = environment.name_any();
        self.0.index().retain_environments(|name| name != gone);
    }

    fn retain(&self, listed: &HashSet<String>) {
        self.0.index().retain_environments(|name| listed.contains(name));
    }
}

/// `PactBroker`s, to their questions.
pub(super) struct Brokers(pub(super) Arc<Gate>);

impl WatchHandler for Brokers {
    type Object = PactBroker;
    type Id = String;

    fn apply(&self, broker: PactBroker) -> Option<String> {
        let name = broker.name_any();
        self.0.brokers.apply(broker);
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        unreadable("PactBroker", object)
    }

    fn undecodable_gone(&self, object: &InvalidObject) {
        let gone = object.metadata.name.as_deref();
        self.0.brokers.retain(|name| Some(name) != gone);
    }

    fn delete(&self, broker: PactBroker) {
        let gone = broker.name_any();
        self.0.brokers.retain(|name| name != gone);
    }

    fn retain(&self, listed: &HashSet<String>) {
        self.0.brokers.retain(|name| listed.contains(name));
    }
}

/// `PactDeployments`, for what is recorded; a change of that ends the life of what was answered before.
pub(super) struct RecordStore(pub(super) Arc<Gate>);

impl RecordStore {
    fn set(&self, key: &RecordKey, object: Option<&PactDeployment>) {
        if self.0.index().set_memory(key, object) {
            self.0.brokers.forget(&key.environment_ref.broker, &key.environment_ref.environment);
        }
    }
}

impl WatchHandler for RecordStore {
    type Object = PactDeployment;
    type Id = RecordKey;

    fn apply(&self, memory: PactDeployment) -> Option<RecordKey> {
        let key = RecordKey::of(&memory).ok()?;
        // One of another name was made by somebody else.
        if memory.name_any() != key.object_name() {
            return None;
        }
        self.set(&key, Some(&memory));
        Some(key)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<RecordKey> {
        unreadable("PactDeployment", object);
        None
    }

    fn delete(&self, memory: PactDeployment) {
        if let Ok(key) = RecordKey::of(&memory)
            && memory.name_any() == key.object_name()
        {
            self.set(&key, None);
        }
    }

    fn retain(&self, listed: &HashSet<RecordKey>) {
        let changed = self.0.index().retain_memories(|key| listed.contains(key));
        for environment_ref in changed {
            self.0.brokers.forget(&environment_ref.broker, &environment_ref.environment);
        }
    }
}
