//! The brokers as the gate has them: for each `PactBroker` the questions that are put to it. Nothing is written.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use kube::ResourceExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    api::{PactBroker, names::EnvironmentName},
    broker::questions::Questions,
    cluster::client_factory::{ClientFactory, Fingerprint},
    decide::{Explanation, Reason},
};
use operator_kit::readiness::Gate;

/// How soon a broker's Secrets are read again at the earliest, however often it refuses the credentials.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

struct Entry {
    object: Arc<PactBroker>,
    fingerprint: Option<Fingerprint>,
    questions: Result<Questions, Explanation>,
}

/// The brokers by the name of their `PactBroker`. Cheap to clone.
#[derive(Clone)]
pub struct Brokers {
    client_factory: ClientFactory,
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    /// A `PactBroker` is new or another one.
    changed: Arc<Notify>,
    /// A broker refused the credentials.
    refused: Arc<Notify>,
}

impl Brokers {
    /// No brokers yet.
    #[must_use]
    pub fn new(client_factory: ClientFactory) -> Self {
        Self { client_factory, entries: Arc::default(), changed: Arc::default(), refused: Arc::default() }
    }

    /// Takes in a `PactBroker`.
    pub fn apply(&self, object: PactBroker) {
        let object = Arc::new(object);
        let mut entries = self.entries();
        let entry = entries.entry(object.name_any()).or_insert_with(|| Entry {
            object: Arc::clone(&object),
            fingerprint: None,
            questions: Err(Explanation::new(
                Reason::BrokerNotReady,
                "the operator has not made its client for the broker yet",
            )),
        });
        let new = entry.fingerprint.as_ref().is_none_or(|fingerprint| !fingerprint.is_of(&object));
        entry.object = object;
        drop(entries);
        if new {
            self.changed.notify_one();
        }
    }

    /// Forgets every `PactBroker` for which `listed` does not hold.
    pub fn retain(&self, listed: impl Fn(&str) -> bool) {
        self.entries().retain(|name, _| listed(name));
    }

    /// What is put to a broker.
    ///
    /// # Errors
    /// When there is no such `PactBroker`, or no client can be made of it.
    pub fn questions(&self, name: &str) -> Result<Questions, Explanation> {
        match self.entries().get(name) {
            Some(entry) => entry.questions.clone(),
            None => Err(Explanation::new(Reason::BrokerMissing, format!("there is no PactBroker named {name}"))),
        }
    }

    /// The broker's address as people reach it, if there is such a `PactBroker`.
    #[must_use]
    pub fn public_url(&self, name: &str) -> Option<String> {
        let entries = self.entries();
        let spec = &entries.get(name)?.object.spec;
        Some(spec.public_url.clone().unwrap_or_else(|| spec.url.clone()))
    }

    /// Something was recorded in an environment: what was answered about it no longer counts.
    pub fn forget(&self, broker: &str, environment: &EnvironmentName) {
        if let Some(Ok(questions)) = self.entries().get(broker).map(|entry| &entry.questions) {
            questions.forget(environment);
        }
    }

    /// A broker refused the credentials: has the Secrets read again soon.
    pub fn refused(&self) {
        self.refused.notify_one();
    }

    /// Makes the clients, and anew when a `PactBroker` or a Secret changed; opens the gate once the first were made. A
    /// new `PactBroker` does not wait: until it has its client, rollouts go unchecked.
    pub async fn keep(&self, every: Duration, listed: CancellationToken, gate: Gate, shutdown: CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = listed.cancelled() => {}
        }
        loop {
            self.renew_all().await;
            gate.pass();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(every) => {}
                () = self.changed.notified() => {}
                () = self.refused.notified() => tokio::select! {
                    () = tokio::time::sleep(LEAST_PAUSE.min(every)) => {}
                    () = self.changed.notified() => {}
                },
            }
        }
    }

    async fn renew_all(&self) {
        let objects: Vec<_> = self.entries().values().map(|entry| Arc::clone(&entry.object)).collect();
        for object in objects {
            let name = object.name_any();
            let before = self.entries().get(&name).and_then(|entry| entry.fingerprint.clone());
            let built = self.client_factory.make(&object, before.as_ref()).await;
            let mut entries = self.entries();
            let Some(entry) = entries.get_mut(&name) else { continue };
            match built {
                Ok(None) => {}
                Ok(Some(built)) => {
                    let at_once = usize::try_from(object.spec.concurrency).unwrap_or(1);
                    match &built.client {
                        Ok(_) => info!(broker = name, "a client for the broker was made"),
                        Err(why) => {
                            warn!(broker = name, reason = %why.reason, "the broker cannot be used: {}", why.message);
                        }
                    }
                    entry.questions = built.client.map(|client| Questions::new(client, at_once));
                    entry.fingerprint = Some(built.fingerprint);
                }
                Err(why) => {
                    warn!(broker = name, "{}", why.message);
                    if entry.questions.is_err() {
                        entry.questions = Err(why);
                    }
                }
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
