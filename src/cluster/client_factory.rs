//! A broker's client, made from a `PactBroker` and the Secrets that it names, and made anew only when one of them is
//! another by now.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client, ResourceExt};

use crate::{
    api::PactBroker,
    broker::{
        Broker, BrokerConfig, Observer,
        settings::{SecretContents, SecretData, broker_config, secrets_of},
    },
    decide::{Explanation, Reason},
};
use operator_kit::refusal;

/// How long reading one Secret may take in all; kube repeats some requests by itself.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// What a client was made from; another client is needed when it differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Fingerprint {
    uid: Option<String>,
    generation: Option<i64>,
    /// By name: the Secret's uid and resource version, or `None` when there is none.
    secrets: BTreeMap<String, Option<(String, String)>>,
}

impl Fingerprint {
    fn of(object: &PactBroker, secrets: BTreeMap<String, Option<(String, String)>>) -> Self {
        Self { uid: object.uid(), generation: object.metadata.generation, secrets }
    }

    /// Whether it was this state of the `PactBroker`'s spec, whatever became of its Secrets.
    #[must_use]
    pub fn is_of(&self, object: &PactBroker) -> bool {
        self.uid == object.uid() && self.generation == object.metadata.generation
    }
}

/// A client, or why none can be made, and what it was made from.
pub struct BuiltClient {
    /// What it was made from.
    pub fingerprint: Fingerprint,
    /// The client, or what a person has to put right.
    pub client: Result<Broker, Explanation>,
}

/// Makes clients. Needs get on the named Secrets in the operator's namespace, and nothing else.
#[derive(Clone)]
pub struct ClientFactory {
    /// The API server, for the Secrets.
    pub client: Client,
    /// The operator's namespace: Secrets are read there and nowhere else.
    pub namespace: String,
    /// How the clients name themselves.
    pub user_agent: String,
    /// The longest pause that a broker may ask for.
    pub longest_pause: Duration,
    /// Told of every request of every client.
    pub observer: Observer,
}

impl ClientFactory {
    /// Makes the client, unless the spec and the Secrets are those that the present one was made from (`None`).
    ///
    /// # Errors
    /// When a Secret cannot be read for another reason than its absence: then a client that there is should stay.
    pub async fn make(
        &self,
        object: &PactBroker,
        before: Option<&Fingerprint>,
    ) -> Result<Option<BuiltClient>, Explanation> {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut versions = BTreeMap::new();
        let mut data: BTreeMap<String, SecretData> = BTreeMap::new();
        // A Secret that is not for brokers is not even read.
        let names = match secrets_of(&object.spec, &self.namespace) {
            Ok(names) => names,
            Err(why) => {
                let fingerprint = Fingerprint::of(object, versions);
                return Ok((before != Some(&fingerprint)).then(|| BuiltClient { fingerprint, client: Err(why) }));
            }
        };
        for name in &names {
            let found = match tokio::time::timeout(READ_LIMIT, secrets.get_opt(name)).await {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => return Err(self.unreadable(name, &refused(&names, &error))),
                Err(_) => return Err(self.unreadable(name, "no answer within 5 s")),
            };
            let version =
                found.as_ref().map(|s| (s.uid().unwrap_or_default(), s.resource_version().unwrap_or_default()));
            versions.insert(name.clone(), version);
            let contents = found.map(|found| SecretContents {
                type_: found.type_.unwrap_or_else(|| "Opaque".to_owned()),
                values: found.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect(),
            });
            data.insert(name.clone(), contents);
        }
        let fingerprint = Fingerprint::of(object, versions);
        if before == Some(&fingerprint) {
            return Ok(None);
        }
        let client = broker_config(&object.spec, &self.namespace, &data, &self.user_agent)
            .and_then(|config| {
                Broker::new(BrokerConfig { longest_pause: self.longest_pause, ..config })
                    .map_err(|problem| Explanation::new(Reason::InvalidSpec, problem.to_string()))
            })
            .map(|broker| broker.with_observer(self.observer.clone()));
        Ok(Some(BuiltClient { fingerprint, client }))
    }

    fn unreadable(&self, name: &str, problem: &str) -> Explanation {
        Explanation::new(
            Reason::SecretUnreadable,
            format!("Secret {}/{name} cannot be read: {problem}", self.namespace),
        )
    }
}

/// Why a Secret is not given, and the remedy. The chart grants the Secrets that its values name, and no others (case
/// 113).
fn refused(names: &BTreeSet<String>, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if refusal::is_missing_right(error) => {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            format!(
                "{}. Remedy: the chart grants the Secrets that its values name. Add those of this PactBroker: \
                 rbac.brokerSecrets: [{}]",
                status.message,
                names.join(", ")
            )
        }
        _ => error.to_string(),
    }
}
