//! The brokers: one client for each `PactBroker`.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use kube::ResourceExt;
use tokio::time::Instant;
use tracing::warn;

use super::{
    client_factory::{BuiltClient, ClientFactory, Fingerprint},
    recorded::{RecordedIndex, RunningVersions},
};
use crate::{
    api::{PactBroker, names::Version},
    broker::{Broker, Judge, questions::Questions},
    decide::{Explanation, Reason},
    workload::{EnvironmentRef, RecordKey},
};

struct Entry {
    object: Arc<PactBroker>,
    fingerprint: Option<Fingerprint>,
    client: Result<BrokerClient, Explanation>,
    /// Whether the last probe failed; `None` before the first.
    failed: Option<bool>,
    /// Why the last probe failed, if it did.
    trouble: Option<Explanation>,
}

/// A broker's client, and the questions that are put through it.
#[derive(Clone)]
struct BrokerClient {
    broker: Broker,
    judge: Judge,
    questions: Questions,
}

/// The brokers by the name of their `PactBroker`. Cheap to clone.
#[derive(Clone)]
pub struct Brokers {
    entries: Arc<Mutex<HashMap<String, Entry>>>,
    /// What runs, for the judgements.
    running: Arc<Mutex<RecordedIndex>>,
}

impl Brokers {
    /// No brokers yet. `running` is what a judgement takes in besides what a broker says.
    #[must_use]
    pub fn new(running: Arc<Mutex<RecordedIndex>>) -> Self {
        Self { entries: Arc::default(), running }
    }

    /// Takes in a `PactBroker` and answers whether its spec is new: then its client has to be made.
    pub fn apply(&self, object: PactBroker) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let object = Arc::new(object);
        let entry = entries.entry(object.name_any()).or_insert_with(|| Entry {
            object: Arc::clone(&object),
            fingerprint: None,
            client: Err(Explanation::new(
                Reason::BrokerNotProbed,
                "the operator has not made its client for the broker yet",
            )),
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
        let entry = entries.get(name).ok_or_else(|| missing(name))?;
        let client = entry.client.clone()?;
        match &entry.trouble {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(client.broker),
        }
    }

    /// What asks a broker whether versions may be deployed, when nothing else is asked of it.
    ///
    /// # Errors
    /// See [`Self::get`].
    pub fn judge(&self, name: &str) -> Result<Judge, Explanation> {
        self.get(name)?;
        self.with(name, |entry| entry.client.as_ref().map(|it| it.judge.giving_way()).map_err(Clone::clone))
            .unwrap_or_else(|| Err(missing(name)))
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
        self.with(name, |entry| entry.client.as_ref().map(|it| it.broker.clone()).map_err(Clone::clone))
    }

    /// The questions to a broker: clones share the answers that are kept.
    ///
    /// # Errors
    /// When there is no such `PactBroker`, or no client can be made of it.
    pub fn questions(&self, name: &str) -> Result<Questions, Explanation> {
        self.with(name, |entry| entry.client.as_ref().map(|it| it.questions.clone()).map_err(Clone::clone))
            .unwrap_or_else(|| Err(missing(name)))
    }

    /// The broker's address as people reach it, if there is such a `PactBroker`.
    #[must_use]
    pub fn public_url(&self, name: &str) -> Option<String> {
        let object = self.object(name)?;
        Some(object.spec.public_url.clone().unwrap_or_else(|| object.spec.url.clone()))
    }

    /// Something was recorded in an environment: what was answered about it no longer counts.
    pub fn forget(&self, environment_ref: &EnvironmentRef) {
        if let Ok(questions) = self.questions(&environment_ref.broker) {
            questions.forget(&environment_ref.environment);
        }
    }

    /// All that is deployed of a key's pacticipant was read, beginning at `began`.
    pub fn saw_deployed(&self, key: &RecordKey, began: Instant, versions: Vec<Version>) {
        let EnvironmentRef { broker, environment } = &key.environment_ref;
        self.with(broker, |entry| {
            if let Ok(client) = &entry.client {
                client.judge.saw_deployed(environment, &key.pacticipant, began, versions);
            }
        });
    }

    /// Makes a broker's client anew when its spec or a Secret differs from what the present one was made from; answers
    /// whether it did. A Secret that cannot be read for another reason than its absence leaves the client as it is.
    pub async fn renew(&self, name: &str, factory: &ClientFactory) -> bool {
        let Some((object, before)) = self.with(name, |it| (Arc::clone(&it.object), it.fingerprint.clone())) else {
            return false;
        };
        match factory.make(&object, before.as_ref()).await {
            Ok(None) => false,
            Ok(Some(BuiltClient { fingerprint, client })) => {
                let at_once = usize::try_from(object.spec.concurrency).unwrap_or(1);
                let running = RunningVersions { index: Arc::clone(&self.running), broker: name.to_owned() };
                let client = client.map(|broker| {
                    let judge = Judge::new(broker.clone(), Arc::new(running));
                    BrokerClient { questions: Questions::new(judge.clone(), at_once), judge, broker }
                });
                self.with_mut(name, |entry| {
                    entry.client = client;
                    entry.fingerprint = Some(fingerprint);
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

fn missing(name: &str) -> Explanation {
    Explanation::new(Reason::BrokerMissing, format!("there is no PactBroker named {name}; create it"))
}
