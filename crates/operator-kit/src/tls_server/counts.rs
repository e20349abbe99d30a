//! Counts of open connections and of failures between the server and its peers.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The server's counts. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct TlsServerCounts {
    pub(super) open: Gauge,
    ended: Family<Ended, Counter>,
    pub(super) accept_errors: Counter,
}

/// Why the server ended a connection that its peer would have kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutReason {
    /// The TLS handshake failed: not TLS at all, no common version, an unknown client.
    Refused,
    /// The handshake took too long.
    Handshake,
    /// The head of a request took too long.
    Header,
    /// A request took too long as a whole: its body trickled in, or its handler did not end.
    Request,
    /// The peer did not read an answer.
    Answer,
    /// The connection still existed a while after the server began to close it.
    Idle,
    /// It outlasted the server's drain.
    Drain,
    /// It was idle or stalled, and another one needed its place.
    Displaced,
    /// Its source had as many connections as one may have, each with a request under way.
    Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    why: &'static str,
}

impl CutReason {
    fn label(self) -> Ended {
        let why = match self {
            Self::Refused => "refused",
            Self::Handshake => "handshake",
            Self::Header => "header",
            Self::Request => "request",
            Self::Answer => "answer",
            Self::Idle => "idle",
            Self::Drain => "drain",
            Self::Displaced => "displaced",
            Self::Source => "source",
        };
        Ended { why }
    }
}

impl TlsServerCounts {
    /// Registers the counts as `{prefix}_connections`, `{prefix}_connections_cut` by `why`, and
    /// `{prefix}_accept_errors`.
    pub fn register(&self, registry: &mut Registry, prefix: &str) {
        let registry = registry.sub_registry_with_prefix(prefix);
        registry.register("connections", "Open connections, handshakes under way included", self.open.clone());
        registry.register("connections_cut", "Connections ended by the server for a fault, by why", self.ended.clone());
        registry.register("accept_errors", "Connections that could not be accepted", self.accept_errors.clone());
    }

    /// How many connections are open.
    #[must_use]
    pub fn open(&self) -> i64 {
        self.open.get()
    }

    /// How many connections were ended for this reason.
    #[must_use]
    pub fn ended(&self, why: CutReason) -> u64 {
        self.ended.get_or_create(&why.label()).get()
    }

    pub(super) fn end(&self, why: CutReason) {
        self.ended.get_or_create(&why.label()).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn registered_under_a_prefix_with_a_closed_set_of_labels() {
        let (counts, mut registry, mut text) = (TlsServerCounts::default(), Registry::default(), String::new());
        counts.register(&mut registry, "gate");
        counts.end(CutReason::Header);
        encode(&mut text, &registry).unwrap();
        assert!(text.contains("gate_connections_cut_total{why=\"header\"} 1\n"), "{text}");
        assert!(text.contains("gate_connections 0\n") && text.contains("gate_accept_errors_total 0\n"), "{text}");
    }
}
