//! The process's metrics, rendered as OpenMetrics text.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The registry of this process. Clones share it.
#[derive(Clone)]
pub struct Metrics(Arc<Mutex<Registry>>);

impl Metrics {
    /// A registry whose names all begin with `prefix` and an underscore, holding `{prefix}_build_info` with the labels
    /// of `build` (version, revision and the like).
    #[must_use]
    pub fn new(prefix: &str, build: Vec<(&'static str, String)>) -> Self {
        let mut registry = Registry::with_prefix(prefix);
        registry.register("build", "What this process was built from", Info::new(build));
        Self(Arc::new(Mutex::new(registry)))
    }

    /// Registers metrics. Keep labels to closed sets: names of objects belong into logs and Events.
    pub fn register<T>(&self, register: impl FnOnce(&mut Registry) -> T) -> T {
        register(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Registers a gauge that is read at each scrape; without a value it is left out.
    pub fn observe(
        &self,
        name: &'static str,
        help: &'static str,
        value: impl Fn() -> Option<i64> + Send + Sync + 'static,
    ) {
        self.register(|registry| registry.register_collector(Box::new(Observed { name, help, value })));
    }

    /// Registers a gauge with one label that is read at each scrape: a value for each of the label's values.
    pub fn observe_by(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        values: impl Fn() -> Vec<(&'static str, i64)> + Send + Sync + 'static,
    ) {
        self.register(|registry| {
            registry.register_collector(Box::new(ObservedBy { name, help, label, values }));
        });
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// When a metric cannot be encoded, which is a fault of its collector.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

struct Observed<V> {
    name: &'static str,
    help: &'static str,
    value: V,
}

impl<V> fmt::Debug for Observed<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observed").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<V: Fn() -> Option<i64> + Send + Sync + 'static> Collector for Observed<V> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(value) = (self.value)() else { return Ok(()) };
        let metric = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(metric)
    }
}

struct ObservedBy<V> {
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: V,
}

impl<V> fmt::Debug for ObservedBy<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedBy").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<V: Fn() -> Vec<(&'static str, i64)> + Send + Sync + 'static> Collector for ObservedBy<V> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let values = (self.values)();
        if values.is_empty() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (of, value) in values {
            ConstGauge::new(value).encode(metric.encode_family(&[(self.label, of)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::metrics::counter::Counter;

    #[test]
    fn renders_what_is_registered_under_the_prefix_and_the_build() {
        let metrics = Metrics::new("some_operator", vec![("version", "1.2.3".to_owned())]);
        let counter: Counter = Counter::default();
        metrics.register(|registry| registry.register("writes", "Writes", counter.clone()));
        counter.inc_by(3);
        metrics.observe("leads", "Whether it leads", || Some(1));
        metrics.observe("ends", "When it ends", || None);
        metrics.observe_by("runs", "What runs", "mode", || vec![("Audit", 1), ("Enforce", 0)]);
        metrics.observe_by("none", "Nothing", "mode", Vec::new);
        let text = metrics.clone().render().unwrap();
        assert!(text.contains("some_operator_build_info{version=\"1.2.3\"} 1\n"), "{text}");
        assert!(text.contains("some_operator_writes_total 3\n"), "{text}");
        assert!(text.contains("# TYPE some_operator_leads gauge\nsome_operator_leads 1\n"), "{text}");
        assert!(!text.contains("some_operator_ends") && !text.contains("some_operator_none"), "{text}");
        let by_mode = "some_operator_runs{mode=\"Audit\"} 1\nsome_operator_runs{mode=\"Enforce\"} 0\n";
        assert!(text.contains(by_mode), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}
