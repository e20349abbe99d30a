//! The admission gate: a webhook that asks can-i-deploy before a rollout begins.
//!
//! It writes nothing but Events, and keeps no state that another replica would need: what is recorded it learns from
//! the `PactDeployment`s, what was answered it may ask again.

mod admit;
pub mod brokers;
mod deadline;
pub mod index;
mod metrics;
mod report;
pub mod review;
mod server;
mod watch_handlers;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::Router;
use kube::{Api, Client};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::{brokers::Brokers, index::Index, metrics::GateMetrics, report::Told};
use crate::{broker::metrics::observer, cluster::client_factory::ClientFactory};
use operator_kit::{
    events::EventSink,
    metrics::Metrics,
    readiness::{self, Readiness},
    watch::{first_lists, follow},
};

pub use server::LONGEST_BODY;

/// The name under which the gate publishes Events.
pub const REPORTER: &str = "pact-operator.dev/webhook";

/// What the gate is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace: Secrets are read there and nowhere else.
    pub namespace: String,
    /// How the broker client names itself.
    pub user_agent: String,
    /// How often a broker's Secrets are read again.
    pub renew_every: Duration,
    /// This process, in Events.
    pub instance: String,
}

/// The gate: see the module.
pub struct Gate {
    client: Client,
    index: Mutex<Index>,
    brokers: Brokers,
    events: EventSink,
    metrics: GateMetrics,
    told: Told,
    reports: Arc<Semaphore>,
}

impl Gate {
    /// A gate that knows nothing yet: [`keep`] tells it.
    #[must_use]
    pub fn new(client: Client, settings: &Settings, metrics: &Metrics) -> Arc<Self> {
        let client_factory = ClientFactory {
            client: client.clone(),
            namespace: settings.namespace.clone(),
            user_agent: settings.user_agent.clone(),
            observer: observer(metrics),
        };
        Arc::new(Self {
            index: Mutex::default(),
            brokers: Brokers::new(client_factory),
            events: EventSink::new(client.clone(), REPORTER, &settings.instance),
            metrics: GateMetrics::register(metrics),
            told: Told::new(),
            reports: report::places(),
            client,
        })
    }

    /// What answers admission reviews at `POST /gate`.
    pub fn router(self: &Arc<Self>) -> Router {
        server::router(Arc::clone(self))
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The readiness gates, one for each kind that is watched, and one for the brokers' clients. Made before readiness is
/// served: without gates a process counts as ready.
pub struct Gates([readiness::Gate; 5]);

/// Closes the gates that [`keep`] will open.
#[must_use]
pub fn close_gates(readiness: &Readiness) -> Gates {
    let names = ["namespaces", "pactenvironments", "pactbrokers", "pactdeployments", "broker-clients"];
    Gates(names.map(|name| readiness.gate(name)))
}

/// Keeps the gate's knowledge of the cluster right, until shutdown.
pub async fn keep(gate: Arc<Gate>, gates: Gates, renew_every: Duration, shutdown: CancellationToken) {
    let Gates([namespaces, environments, brokers, records, clients]) = gates;
    let listed = CancellationToken::new();
    let complete = listed.clone();
    let [namespaces, environments, brokers, records] =
        first_lists([namespaces, environments, brokers, records], move || complete.cancel());
    let (client, until) = (gate.client.clone(), || shutdown.clone());
    tokio::join!(
        follow(Api::all(client.clone()), watch_handlers::Namespaces(Arc::clone(&gate)), namespaces, until()),
        follow(Api::all(client.clone()), watch_handlers::Environments(Arc::clone(&gate)), environments, until()),
        follow(Api::all(client.clone()), watch_handlers::Brokers(Arc::clone(&gate)), brokers, until()),
        follow(Api::all(client.clone()), watch_handlers::RecordStore(Arc::clone(&gate)), records, until()),
        gate.brokers.keep(renew_every, listed, clients, until()),
    );
}
