//! What the recorder counts. Label sets are closed: names of objects belong in logs and Events.

use prometheus_client::metrics::counter::Counter;

use crate::runtime::metrics::Metrics;

/// The recorder's counters.
#[derive(Clone)]
pub(super) struct RecorderMetrics {
    /// Versions recorded, corrections included.
    pub(super) recorded: Counter,
    /// Records taken back.
    pub(super) undeployed: Counter,
    /// Passes that could not do what was due.
    pub(super) pending: Counter,
}

impl RecorderMetrics {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let this = Self { recorded: Counter::default(), undeployed: Counter::default(), pending: Counter::default() };
        metrics.register(|registry| {
            registry.register("recorded", "Versions recorded at a broker", this.recorded.clone());
            registry.register("undeployed", "Records taken back", this.undeployed.clone());
            registry.register("record_pending", "Passes that could not do what was due", this.pending.clone());
        });
        this
    }
}
