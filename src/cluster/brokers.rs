//! The brokers: one client for each `PactBroker`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::ResourceExt;

use super::client_factory::{BuiltClient, Fingerprint};
use crate::{
    api::PactBroker,
    broker::Broker,
    decide::{Explanation, Reason},
};

struct Entry {
    object: Arc<PactBroker>,
    fingerprint: Option<Fingerprint>,
    client: Result<Broker, Explanation>,
    /// Whether the last probe failed; `None` before the first.
    failed: Option<bool>,
    /// Why the last probe failed, if it did.
    trouble: Option<Explanation>,
}

/// The brokers by the name of their `PactBroker`. Cheap to clone.
#[derive(Clone, Default)]
pub struct Brokers {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

impl Brokers {
    /// Takes in a `PactBroker` and answers whether its spec is new: then its client has to be made.
    pub fn apply(&self, object: PactBroker) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let object = Arc::new(object);
        let entry = entries.entry(object.name_any()).or_insert_with(|| Entry {
            object: Arc::clone(&object),
            fingerprint: None,
            client: Err(Explanation::new(Reason::BrokerNotProbed, "the broker has not been asked yet")),
            failed: None,
            trouble: None,
        });
        let new = entry.fingerprint.as_ref().is_none_or(|fingerprint| !fingerprint.is_of(&object));
        entry.object = object;
        new
    }

    /// Forgets a `PactBroker`.
    pub fn remove(&self, name: &str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The names of all `PactBroker`s.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The client for a broker.
    ///
    /// # Errors
    /// When there is no such `PactBroker`, its settings cannot be used, or it is known not to answer: then nobody
    /// needs to wait for it to time out.
    pub fn get(&self, name: &str) -> Result<Broker, Explanation> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get(name) else {
            let message = format!("there is no PactBroker named {name}; create it");
            return Err(Explanation::new(Reason::BrokerMissing, message));
        };
        let client = entry.client.clone()?;
        match &entry.trouble {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(client),
        }
    }

    /// A `PactBroker`.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Arc<PactBroker>> {
        self.with(name, |entry| Arc::clone(&entry.object))
    }

    /// Whether the last probe of a broker failed; `None` before the first.
    #[must_use]
    pub fn failed(&self, name: &str) -> Option<bool> {
        self.with(name, |entry| entry.failed).flatten()
    }

    /// The client for a broker, whether or not it answered last, or what keeps it from being made.
    #[must_use]
    pub fn client(&self, name: &str) -> Option<Result<Broker, Explanation>> {
        self.with(name, |entry| entry.client.clone())
    }

    /// What a broker's client was made from.
    #[must_use]
    pub fn fingerprint(&self, name: &str) -> Option<Fingerprint> {
        self.with(name, |entry| entry.fingerprint.clone()).flatten()
    }

    /// Takes in a client that was made anew.
    pub fn set_client(&self, name: &str, built: BuiltClient) {
        self.with_mut(name, |entry| {
            entry.client = built.client;
            entry.fingerprint = Some(built.fingerprint);
        });
    }

    /// No client could be made. One that there is stays.
    pub fn set_unmade(&self, name: &str, why: Explanation) {
        self.with_mut(name, |entry| {
            if entry.client.is_err() {
                entry.client = Err(why);
            }
        });
    }

    /// Takes in how a probe ended.
    pub fn set_probed(&self, name: &str, trouble: Option<Explanation>) {
        self.with_mut(name, |entry| {
            entry.failed = Some(trouble.is_some());
            entry.trouble = trouble;
        });
    }

    /// Takes in an object that was just written, unless it is another one by now.
    pub fn written(&self, name: &str, object: PactBroker) {
        self.with_mut(name, |entry| {
            if entry.object.uid() == object.uid() {
                entry.object = Arc::new(object);
            }
        });
    }

    fn with<T>(&self, name: &str, read: impl FnOnce(&Entry) -> T) -> Option<T> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).get(name).map(read)
    }

    fn with_mut(&self, name: &str, write: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.entries.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            write(entry);
        }
    }
}
