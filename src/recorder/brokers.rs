//! The brokers as the recorder has them: one client for each `PactBroker`, made anew when its spec or Secrets change.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::jiff::Timestamp;
use kube::{Api, Client, ResourceExt};
use tracing::{info, warn};

use super::{Settings, queue::Next};
use crate::{
    api::{
        PactBroker, PactBrokerStatus,
        condition::{Explanation, Finding, Truth, conditions},
    },
    broker::{
        Broker, BrokerError, Observer,
        client_factory::{ClientFactory, Fingerprint},
    },
};
use operator_kit::{
    backoff::{Backoff, entropy},
    refusal,
};

/// The reason while a broker has not been asked for the first time: what needs it is looked at once it was.
pub const NOT_PROBED: &str = "BrokerNotProbed";

struct Entry {
    object: Arc<PactBroker>,
    origin: Option<Fingerprint>,
    client: Result<Broker, Explanation>,
    /// How often in a row the probe failed; `None` before the first.
    failures: Option<u32>,
    /// Why the last probe failed, if it did.
    trouble: Option<Explanation>,
}

/// What a probe changed for those who wait for the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It answers again, or differently than before: whatever waits should be tried now.
    TryAgain,
}

/// The brokers by the name of their `PactBroker`. Cheap to clone.
#[derive(Clone)]
pub struct Brokers {
    client: Client,
    settings: Arc<Settings>,
    client_factory: ClientFactory,
    entries: Arc<Mutex<HashMap<String, Entry>>>,
}

impl Brokers {
    /// No brokers yet.
    #[must_use]
    pub fn new(client: Client, settings: Arc<Settings>, observer: Observer) -> Self {
        let client_factory = ClientFactory {
            client: client.clone(),
            namespace: settings.namespace.clone(),
            user_agent: settings.user_agent.clone(),
            observer,
        };
        Self { client, settings, client_factory, entries: Arc::default() }
    }

    /// Takes in a `PactBroker` and answers whether its spec is new: then its client is made by the next
    /// [`Self::look_after`].
    pub fn apply(&self, object: PactBroker) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let object = Arc::new(object);
        let entry = entries.entry(object.name_any()).or_insert_with(|| Entry {
            object: Arc::clone(&object),
            origin: None,
            client: Err(Explanation::new(NOT_PROBED, "the broker has not been asked yet")),
            failures: None,
            trouble: None,
        });
        let new = entry.origin.as_ref().is_none_or(|origin| !origin.is_of(&object));
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
            return Err(Explanation::new("BrokerMissing", format!("there is no PactBroker named {name}; create it")));
        };
        let client = entry.client.clone()?;
        match &entry.trouble {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(client),
        }
    }

    /// Reads a broker's Secrets, makes its client anew if needed, probes it and writes its status.
    pub async fn reconcile(&self, name: &str) -> (Change, Next) {
        let Some((object, before)) = self.with(name, |entry| (Arc::clone(&entry.object), entry.failures)) else {
            return (Change::None, None);
        };
        let renewed = self.renew(name, &object).await;
        let client = self.with(name, |entry| entry.client.clone());
        let (findings, version, trouble) = match client {
            None => return (Change::None, None),
            Some(Err(why)) => (unusable(&why), None, Some(why)),
            Some(Ok(broker)) => match broker.probe().await {
                Ok(probe) => (answered(object.spec.auth.is_some()), probe.broker_version, None),
                Err(error) => (refused(&error), None, Some(Explanation::new(error.reason(), error.to_string()))),
            },
        };
        let failed = trouble.is_some();
        let failures = if failed { before.unwrap_or(0).saturating_add(1) } else { 0 };
        if let Some(why) = &trouble
            && before.is_none_or(|before| before == 0)
        {
            warn!(broker = name, reason = why.reason, "the broker cannot be used: {}", why.message);
        } else if !failed && before.is_none_or(|before| before > 0) {
            info!(broker = name, version, "the broker answers");
        }
        self.with_mut(name, |entry| {
            entry.failures = Some(failures);
            entry.trouble = trouble;
        });
        self.write_status(&object, &findings, version).await;

        let first = before.is_none();
        let back = !failed && before.is_some_and(|before| before > 0);
        let change = if renewed || first || back { Change::TryAgain } else { Change::None };
        let next = if failed {
            Backoff { min: self.settings.retry_min, max: self.settings.probe_period }.delay(failures, entropy())
        } else {
            self.settings.probe_period
        };
        (change, Some(next))
    }

    /// Makes the client anew when the spec or a Secret differs from what the present one was made from; answers
    /// whether it did. A Secret that cannot be read for another reason than its absence leaves the client as it is.
    async fn renew(&self, name: &str, object: &PactBroker) -> bool {
        let before = self.with(name, |entry| entry.origin.clone()).flatten();
        match self.client_factory.make(object, before.as_ref()).await {
            Ok(None) => false,
            Ok(Some(made)) => {
                self.with_mut(name, |entry| {
                    entry.client = made.client;
                    entry.origin = Some(made.origin);
                });
                true
            }
            Err(why) => {
                warn!(broker = name, "{}", why.message);
                self.with_mut(name, |entry| {
                    if entry.client.is_err() {
                        entry.client = Err(why);
                    }
                });
                false
            }
        }
    }

    async fn write_status(&self, object: &PactBroker, findings: &[Finding], version: Option<String>) {
        let before = object.status.clone().unwrap_or_default();
        let generation = object.metadata.generation;
        let status = PactBrokerStatus {
            observed_generation: generation,
            broker_version: version.or_else(|| before.broker_version.clone()),
            conditions: conditions(&before.conditions, findings, generation, Timestamp::now()),
        };
        if status == before {
            return;
        }
        let mut object = object.clone();
        let name = object.name_any();
        object.status = Some(status);
        let params = super::as_field_manager();
        match Api::<PactBroker>::all(self.client.clone()).replace_status(&name, &params, &object).await {
            Ok(written) => self.with_mut(&name, |entry| {
                if entry.object.uid() == written.uid() {
                    entry.object = Arc::new(written);
                }
            }),
            // The watch brings the newer object, and the next probe writes its status.
            Err(kube::Error::Api(answer)) if answer.is_conflict() || answer.is_not_found() => {}
            Err(error) => {
                let error = refusal::explain(&error);
                warn!(broker = name, error, "the status of the PactBroker cannot be written");
            }
        }
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

fn answered(with_credentials: bool) -> Vec<Finding> {
    let authorized = if with_credentials {
        "the broker takes the credentials for reading"
    } else {
        "the broker asks for no credentials"
    };
    vec![
        Finding::new("Ready", true, "Answering", "the broker answers, and may be read"),
        Finding::new("Reachable", true, "Answering", "the broker answers"),
        Finding::new("Authorized", true, "Answering", authorized),
    ]
}

fn unusable(why: &Explanation) -> Vec<Finding> {
    ["Ready", "Reachable", "Authorized"]
        .map(|type_| {
            let truth = if type_ == "Ready" { Truth::False } else { Truth::Unknown };
            Finding::new(type_, truth, why.reason, why.message.clone())
        })
        .to_vec()
}

fn refused(error: &BrokerError) -> Vec<Finding> {
    let (reachable, authorized) = match error {
        BrokerError::Unauthorized { .. } | BrokerError::Forbidden { .. } => (Truth::True, Truth::False),
        BrokerError::RateLimited { .. } | BrokerError::Server { .. } => (Truth::True, Truth::Unknown),
        _ => (Truth::False, Truth::Unknown),
    };
    [("Ready", Truth::False), ("Reachable", reachable), ("Authorized", authorized)]
        .map(|(type_, truth)| match truth {
            Truth::True => Finding::new(type_, truth, "Answering", "the broker answers"),
            _ => Finding::new(type_, truth, error.reason(), error.to_string()),
        })
        .to_vec()
}
