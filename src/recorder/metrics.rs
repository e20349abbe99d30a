//! What the recorder counts. Label sets are closed: names of objects belong in logs and Events.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};

use crate::{broker::Observer, runtime::metrics::Metrics};

/// One request at a broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    outcome: &'static str,
}

/// The recorder's counters.
#[derive(Clone)]
pub(super) struct RecorderMetrics {
    /// Versions recorded, corrections included.
    pub(super) recorded: Counter,
    /// Records taken back.
    pub(super) undeployed: Counter,
    /// Passes that could not do what was due.
    pub(super) pending: Counter,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
}

impl RecorderMetrics {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let this = Self {
            recorded: Counter::default(),
            undeployed: Counter::default(),
            pending: Counter::default(),
            requests: Family::default(),
            request_seconds: Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
        };
        metrics.register(|registry| {
            registry.register("recorded", "Versions recorded at a broker", this.recorded.clone());
            registry.register("undeployed", "Records taken back", this.undeployed.clone());
            registry.register("record_pending", "Passes that could not do what was due", this.pending.clone());
            registry.register("broker_requests", "Requests at brokers", this.requests.clone());
            registry.register(
                "broker_request_duration_seconds",
                "How long requests at brokers took",
                this.request_seconds.clone(),
            );
        });
        this
    }

    /// Counts the requests of a broker client.
    pub(super) fn observer(&self) -> Observer {
        let (requests, seconds) = (self.requests.clone(), self.request_seconds.clone());
        Arc::new(move |operation, outcome, took| {
            requests.get_or_create(&RequestLabels { operation, outcome }).inc();
            seconds.observe(took.as_secs_f64());
        })
    }
}
