//! Keeps the brokers' clients as their `PactBroker`s and Secrets say. Nothing is written.

use std::{sync::Arc, time::Duration};

use operator_kit::readiness::Gate;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cluster::{Cluster, client_factory::ClientFactory};

/// How soon a broker's Secrets are read again at the earliest, however often it refuses the credentials.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct BrokerClients {
    cluster: Arc<Cluster>,
    client_factory: ClientFactory,
    changed: Notify,
    refused: Notify,
}

impl BrokerClients {
    pub(super) fn new(cluster: Arc<Cluster>, client_factory: ClientFactory) -> Self {
        Self { cluster, client_factory, changed: Notify::new(), refused: Notify::new() }
    }

    /// A `PactBroker` is new or has another spec: its client is made at once.
    pub(super) fn changed(&self) {
        self.changed.notify_one();
    }

    /// A broker refused the credentials: the Secrets are read again soon.
    pub(super) fn refused(&self) {
        self.refused.notify_one();
    }

    /// Makes the clients, and again when a `PactBroker` or a Secret changed; opens the gate once the first were made. A
    /// new `PactBroker` does not wait: until it has its client, rollouts go unchecked.
    pub(super) async fn run(
        &self,
        every: Duration,
        listed: CancellationToken,
        gate: Gate,
        shutdown: CancellationToken,
    ) {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = listed.cancelled() => {}
        }
        loop {
            for name in self.cluster.brokers.names() {
                self.renew(&name).await;
            }
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

    async fn renew(&self, name: &str) {
        if !self.cluster.brokers.renew(name, &self.client_factory).await {
            return;
        }
        match self.cluster.brokers.client(name) {
            Some(Ok(_)) => info!(broker = name, "a client for the broker was made"),
            Some(Err(why)) => warn!(broker = name, reason = %why.reason, "the broker cannot be used: {}", why.message),
            None => {}
        }
    }
}
