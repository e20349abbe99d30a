//! Counts of the requests at brokers. Label sets are closed.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
};

use super::Observer;
use operator_kit::metrics::Metrics;

/// One request at a broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    outcome: &'static str,
}

/// Registers the counters and returns the observer of a client's requests.
#[must_use]
pub fn observer(metrics: &Metrics) -> Observer {
    let requests = Family::<RequestLabels, Counter>::default();
    let seconds = Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
    metrics.register(|registry| {
        registry.register("broker_requests", "Requests at brokers", requests.clone());
        registry.register("broker_request_duration_seconds", "How long requests at brokers took", seconds.clone());
    });
    Arc::new(move |operation, outcome, took| {
        requests.get_or_create(&RequestLabels { operation, outcome }).inc();
        seconds.observe(took.as_secs_f64());
    })
}
