//! The Pact Broker's HTTP API as typed calls.
//!
//! The behaviour of a broker was observed on 2.120.0; the requests and answers are replayed in the tests. URLs are
//! built from the configured base, and only identifiers are taken from answers. An answer that a broker would not give
//! becomes an error that describes it.

mod answer;
mod can_i_deploy;
mod circuit;
mod client;
pub mod config;
mod deployments;
mod environment_matrix;
mod environments;
pub mod error;
pub mod fair_queue;
mod ids;
mod live;
mod matrix;
pub mod metrics;
mod operation;
mod pacticipants;
mod pacts;
pub mod pause;
mod permitted;
mod providers;
pub mod questions;
mod releases;
mod rows;
mod secret;
mod selection;
pub mod settings;
mod slots;
mod transport;
mod turns;
mod url;
mod way_to_yes;
mod webhooks;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

pub(crate) use client::chain;

pub use can_i_deploy::{Judge, NoCluster, Revision, Running, verdict_of};
pub use config::{BaseUrl, BrokerConfig, ClientCertificate, ConfigError, Credentials, SecretText, TlsSettings};
pub use deployments::DeployedVersion;
pub use environment_matrix::EnvironmentMatrix;
pub use environments::{Environment, NewEnvironment};
pub use error::{BrokerError, TransportFault};
pub use ids::{ContentId, DeploymentId, EnvironmentId, IdError, ReleaseId, WebhookId};
pub use operation::Operation;
pub use pacts::PublishedPact;
pub use permitted::Permission;
pub use releases::ReleasedVersion;
pub use rows::Rows;
pub use transport::{LONGEST_ANSWER, Observer};
pub use way_to_yes::{Considered, FoundWay};

use answer::Answer;
use transport::{Request, Sending, Transport};

/// One Pact Broker. Clones share its connections, its limit of requests in flight and its pause.
///
/// Every call is one request unless its documentation says otherwise, is limited in time and in memory, and may be
/// repeated: calling it twice has the same effect as calling it once.
#[derive(Clone)]
pub struct Broker {
    transport: Arc<Transport>,
    observer: Option<Observer>,
    writes: Option<Permission>,
    gives_way: bool,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Broker({})", self.transport.base())
    }
}

/// What a broker reports of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Its version, if it (and any proxy in front of it) reports one.
    pub broker_version: Option<String>,
}

impl Broker {
    /// Makes a client for a broker. Nothing is sent yet.
    ///
    /// # Errors
    /// When the configuration is invalid, whatever the broker would answer.
    pub fn new(config: BrokerConfig) -> Result<Self, ConfigError> {
        Ok(Self { transport: Arc::new(Transport::new(config)?), observer: None, writes: None, gives_way: false })
    }

    /// The same broker; requests through this handle (and its clones) are reported to the observer.
    #[must_use]
    pub fn with_observer(mut self, observer: Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// The same broker; of the writes through this handle (and its clones), none is sent unless it is permitted in the very
    /// moment in which it is sent. One that is not permitted fails as if the broker could not be reached.
    #[must_use]
    pub fn with_permission(&self, writes: Permission) -> Self {
        Self { writes: Some(writes), ..self.clone() }
    }

    /// The same broker; requests through this handle (and its clones) wait while any other waits for its turn, a minute at
    /// most.
    #[must_use]
    pub fn giving_way(&self) -> Self {
        Self { gives_way: true, ..self.clone() }
    }

    /// The broker's URL.
    #[must_use]
    pub fn base_url(&self) -> &BaseUrl {
        self.transport.base()
    }

    /// Checks whether a broker answers and accepts our credentials: `GET /`. The request does not use the database, so
    /// a broker whose database is down passes.
    ///
    /// # Errors
    /// [`BrokerError::NotABroker`] when what answers does not link to a broker's resources, and any other.
    pub async fn probe(&self) -> Result<Probe, BrokerError> {
        #[derive(Deserialize)]
        struct Index {
            #[serde(rename = "_links")]
            links: BTreeMap<String, serde_json::Value>,
        }
        let Some(document) = self.ask(Request::get(Operation::Probe, &[])).await? else {
            let answered = "HTTP 404".to_owned();
            return Err(BrokerError::NotABroker { operation: Operation::Probe, answered });
        };
        let index: Index = document.read()?;
        if !index.links.keys().any(|relation| relation.starts_with("pb:")) {
            return Err(document.other_shape("no link of a Pact Broker"));
        }
        Ok(Probe { broker_version: document.broker_version })
    }

    /// Sends a request; `None` is a broker's 404.
    async fn ask(&self, request: Request<'_>) -> Result<Option<answer::Document>, BrokerError> {
        let Self { writes, observer, gives_way, .. } = self;
        let sending = Sending { writes: writes.as_ref(), observer: observer.as_ref(), gives_way: *gives_way };
        match self.transport.send(request, sending).await? {
            Answer::Found(document) => Ok(Some(document)),
            Answer::NotFound => Ok(None),
        }
    }
}
