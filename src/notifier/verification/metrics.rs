//! The metrics of the hooks.

use operator_kit::metrics::Metrics;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookLabels {
    hook: String,
}

type Counters = Family<HookLabels, Counter>;

/// The counters, by hook.
#[derive(Clone, Default)]
pub(super) struct HookMetrics {
    taken: Counters,
    failed: Counters,
}

impl HookMetrics {
    /// Registers the counters.
    pub(super) fn register<'a>(metrics: &Metrics, hooks: impl Iterator<Item = &'a str>) -> Self {
        let this = Self::default();
        for hook in hooks {
            for family in [&this.taken, &this.failed] {
                // So that each is there from the start.
                drop(family.get_or_create(&HookLabels { hook: hook.to_owned() }));
            }
        }
        metrics.register(|registry| {
            registry.register("verifications_requested", "Verifications that a hook was asked for", this.taken.clone());
            let help = "Tries to ask a hook for a verification that failed";
            registry.register("verification_request_failures", help, this.failed.clone());
        });
        this
    }

    pub(super) fn taken(&self, hook: &str) {
        self.taken.get_or_create(&HookLabels { hook: hook.to_owned() }).inc();
    }

    pub(super) fn failed(&self, hook: &str) {
        self.failed.get_or_create(&HookLabels { hook: hook.to_owned() }).inc();
    }
}
