//! The admission gate: a webhook that asks can-i-deploy before a rollout begins.
//!
//! It gathers what a review is about from the view of the cluster, asks the broker, and answers; every rule is in
//! [`crate::decide::admission`]. Where it is asked to, it answers tools that ask before they act, too
//! (`verdict_endpoint`). It writes nothing but Events, and keeps no state that another replica would need: what
//! is recorded it learns from the `PactDeployment`s, what was answered it may ask again.

mod admission_review;
mod admit;
mod broker_clients;
mod deadline;
mod hold;
mod metrics;
mod primary;
mod report;
mod right;
mod server;
mod strangers;
mod template_only;
mod verdict_endpoint;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::Router;
use kube::{Api, Client};
use operator_kit::{
    events::EventSink,
    history::History,
    metrics::Metrics,
    readiness::{self, Readiness},
    review_path::ReviewPath,
    traces::Traces,
    watch::{first_lists, follow},
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use self::{broker_clients::BrokerClients, metrics::GateMetrics, report::Reported};
use crate::{
    api::PactBroker,
    broker::{metrics::observer, pause::GATES_LONGEST_PAUSE},
    cluster::{
        Cluster,
        client_factory::ClientFactory,
        recorded::VersionsChanged,
        watch_handlers::{Brokers, Change, Environments, Namespaces, OnChange, RecordedVersions, Watched},
    },
    decide::admission::ServiceAccountName,
};

pub use server::LONGEST_BODY;
pub use verdict_endpoint::{HookCallers, VerdictSettings};

pub use crate::cluster::REPORTER;

/// The settings of the gate.
#[derive(Clone)]
pub struct Settings {
    /// The operator's own namespace: Secrets are read there and nowhere else.
    pub namespace: String,
    /// How the broker client names itself.
    pub user_agent: String,
    /// How often a broker's Secrets are read again.
    pub renew_every: Duration,
    /// This process, in Events.
    pub instance: String,
    /// The service accounts whose bypass statements count.
    pub bypass_accounts: BTreeSet<ServiceAccountName>,
    /// Who calls.
    pub review_path: Arc<ReviewPath>,
    /// Whether the Event of a denial says for the controller what it is about, and who asked.
    pub announces_denials: bool,
    /// Whether rollouts are held whose environments say so: a mutating webhook is registered.
    pub holds: bool,
    /// Where the spans of reviews go.
    pub traces: Traces,
}

/// The gate: see the module.
pub struct Gate {
    cluster: Arc<Cluster>,
    broker_clients: BrokerClients,
    events: EventSink,
    metrics: GateMetrics,
    reported: Reported,
    reports: Arc<Semaphore>,
    bypass_accounts: BTreeSet<ServiceAccountName>,
    review_path: Arc<ReviewPath>,
    announces_denials: bool,
    holds: bool,
    traces: Traces,
}

impl Gate {
    /// A gate whose view of the cluster is empty: [`keep`] fills it.
    #[must_use]
    pub fn new(client: Client, settings: &Settings, metrics: &Metrics) -> Arc<Self> {
        let client_factory = ClientFactory {
            client: client.clone(),
            namespace: settings.namespace.clone(),
            user_agent: settings.user_agent.clone(),
            longest_pause: GATES_LONGEST_PAUSE,
            observer: observer(metrics),
        };
        let cluster = Arc::new(Cluster::new(client.clone()));
        Arc::new(Self {
            broker_clients: BrokerClients::new(Arc::clone(&cluster), client_factory),
            cluster,
            events: EventSink::new(client, REPORTER, &settings.instance),
            metrics: GateMetrics::register(metrics),
            reported: Reported::new(),
            reports: report::permits(),
            bypass_accounts: settings.bypass_accounts.clone(),
            review_path: Arc::clone(&settings.review_path),
            announces_denials: settings.announces_denials,
            holds: settings.holds,
            traces: settings.traces.clone(),
        })
    }

    /// What answers admission reviews at `POST /gate` and at `POST /gate/SECRET`, and at `/hold` those of the mutating webhook.
    pub fn router(self: &Arc<Self>) -> Router {
        server::router(Arc::clone(self))
    }

    /// What answers tools at `GET` and `POST /v1/can-i-deploy`, and Flagger's hooks.
    pub fn verdict_router(self: &Arc<Self>, settings: VerdictSettings) -> Router {
        verdict_endpoint::router(Arc::clone(self), settings)
    }
}

impl OnChange for Gate {
    fn on_change(&self, change: Change) {
        match change {
            Change::Broker(_) => self.broker_clients.changed(),
            Change::Versions(key, VersionsChanged { recorded: true, .. }) => {
                self.cluster.brokers.forget(&key.environment_ref);
            }
            // Each review reads the view as it is then.
            Change::Versions(..)
            | Change::Members(_)
            | Change::Workload { .. }
            | Change::Namespaces { .. }
            | Change::Environment { .. }
            | Change::RecordWritten(_)
            | Change::RecordGone(_)
            | Change::PactRecord(_)
            | Change::Unreadable { .. } => {}
        }
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

/// Keeps the gate's view of the cluster right, until shutdown.
pub async fn keep(gate: Arc<Gate>, gates: Gates, renew_every: Duration, shutdown: CancellationToken) {
    let Gates([namespaces, environments, brokers, records, clients]) = gates;
    let listed = CancellationToken::new();
    let complete = listed.clone();
    let [namespaces, environments, brokers, records] =
        first_lists([namespaces, environments, brokers, records], move || complete.cancel());
    let (client, until) = (gate.cluster.client.clone(), || shutdown.clone());
    let history = History::new();
    let [one, two, three, four] = std::array::from_fn(|_| history.restored());
    let watched = Watched { cluster: Arc::clone(&gate.cluster), changes: Arc::clone(&gate) };
    tokio::join!(
        follow(Api::all(client.clone()), Namespaces(watched.clone()), namespaces, one, until()),
        follow(Api::all(client.clone()), Environments(watched.clone()), environments, two, until()),
        follow(Api::all(client.clone()), Brokers(watched.clone()), brokers, three, until()),
        follow(Api::all(client.clone()), RecordedVersions(watched.clone()), records, four, until()),
        history.watch(Api::<PactBroker>::all(client.clone()), until()),
        gate.broker_clients.run(renew_every, listed, clients, until()),
    );
}
