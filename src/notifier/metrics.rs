//! The metrics of the deliveries.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use operator_kit::{lease::Leadership, metrics::Metrics};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

use crate::decide::announcement::Sink;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SinkLabels {
    sink: &'static str,
}

type Counters = Family<SinkLabels, Counter>;

/// The counters, by sink.
#[derive(Clone, Default)]
pub(super) struct NotifierMetrics {
    delivered: Counters,
    failed: Counters,
    refused: Counters,
}

impl NotifierMetrics {
    /// Registers the counters, and how long the oldest announcement of a sink has waited.
    pub(super) fn register(
        metrics: &Metrics,
        leadership: &Leadership,
        waiting: &[(Sink, [Arc<AtomicI64>; 2])],
    ) -> Self {
        let this = Self::default();
        for (sink, _) in waiting {
            for family in [&this.delivered, &this.failed, &this.refused] {
                // So that each is there from the start.
                drop(family.get_or_create(&SinkLabels { sink: sink.name() }));
            }
        }
        metrics.register(|registry| {
            for (name, help, family) in [
                ("announcements_delivered", "Announcements that a sink took", &this.delivered),
                ("announcement_failures", "Tries to deliver an announcement that failed", &this.failed),
                ("announcements_refused", "Announcements that a sink will never take", &this.refused),
            ] {
                registry.register(name, help, family.clone());
            }
        });
        let (leads, waiting) = (leadership.clone(), waiting.to_vec());
        let help = "How long the oldest announcement that a sink does not have yet has waited, in seconds";
        metrics.observe_by("announcements_oldest_waiting_seconds", help, "sink", move || {
            // Only the leader delivers.
            let of = |(sink, ages): &(Sink, [Arc<AtomicI64>; 2])| {
                (sink.name(), ages.iter().map(|age| age.load(Ordering::Relaxed)).max().unwrap_or_default())
            };
            if leads.is_leader() { waiting.iter().map(of).collect() } else { Vec::new() }
        });
        this
    }

    pub(super) fn delivered(&self, sink: Sink) {
        self.delivered.get_or_create(&SinkLabels { sink: sink.name() }).inc();
    }

    pub(super) fn failed(&self, sink: Sink) {
        self.failed.get_or_create(&SinkLabels { sink: sink.name() }).inc();
    }

    pub(super) fn refused(&self, sink: Sink) {
        self.refused.get_or_create(&SinkLabels { sink: sink.name() }).inc();
    }
}
