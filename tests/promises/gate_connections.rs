//! What a neighbour does to the gate's ports costs neither a review nor a probe, and barely grows the process.
//!
//! How much slower reviews get is measured and printed; what is asserted is generous, because machines that run tests
//! are shared.
#![allow(clippy::print_stdout, reason = "people read what was measured")]

use std::time::{Duration, Instant};

use operator_kit::open_files;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use super::gate_connections_attack::Attack;
use super::gate_storm::{self, Storm, in_time, percentile, review};
use testbed::load::overload;
use testbed::webhook::{WebhookOptions, configuration};

/// How long a probe may take. The kubelet gives up after five seconds.
const PROBED: Duration = Duration::from_secs(1);
/// How slow the slowest of a hundred reviews may be: [`SLOWER`] times as slow as without a neighbour, or this slow.
const SLOW: Duration = Duration::from_millis(500);
const SLOWER: u32 = 10;
/// How long a caller may take that has to connect first.
const CONNECTED: Duration = Duration::from_secs(2);
/// How much the memory of the process may grow.
const GROWTH: u64 = 32 << 20;
/// How long each kind of connections is watched once it is open.
const WATCHED: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_108_case_109_idle_stalled_and_deaf_connections_cost_no_review_no_probe_and_little_memory() {
    let gate = Gate::start().await;
    let quiet = gate.watched(tokio::time::sleep(WATCHED)).await;
    quiet.print("nobody else");
    let before = gate.storm.webhook.rss_bytes();
    for sources in [1, 50] {
        let mut attack = gate.attack(sources).await;
        assert!(!attack.is_served_http2().await, "one connection carries one request at a time");
        let mut long = Duration::ZERO;
        let attacked = gate.watched(async {
            attack.idle_probes(64).await;
            attack.idle(64).await;
            attack.stalled_bodies(10);
            attack.deaf(8);
            tokio::time::sleep(WATCHED).await;
            attack.idle_probes(1_024).await;
            attack.idle(1_024).await;
            tokio::time::sleep(WATCHED).await;
            long = gate.long_review().await;
        });
        let attacked = attacked.await;
        attacked.print(&format!("{sources} sources"));
        println!("a review of 6 MiB beside ten bodies that stall took {long:?}");
        assert!(in_time(long), "{long:?} for a review of 6 MiB");
        let grown = attacked.peak.saturating_sub(before);
        println!("memory {} MiB, grown by {} KiB; {}", before >> 20, grown >> 10, gate.cut().await);
        attacked.holds_against(&quiet);
        assert!(grown < GROWTH, "the process grew by {grown} bytes");
    }
    assert!(!gate.storm.webhook.logs().contains("panicked"));
}

/// A gate that has answered before, so that what the first requests allocate does not count as growth.
struct Gate {
    storm: Storm,
    namespace: String,
}

/// How long everything took while something else went on.
struct Watched {
    reviews: Vec<Duration>,
    newcomers: Vec<Duration>,
    probes: Vec<Duration>,
    peak: u64,
}

impl Gate {
    async fn start() -> Self {
        open_files::raise(8_192);
        let storm = Storm::start().await;
        let namespace = storm.cluster.namespace().await;
        let allowed = json!({"gate": {"mode": "Warn", "actions": {"yesVacuous": "Allow"}}});
        storm.cluster.environment(&[&namespace], allowed).await;
        storm.warm(&namespace).await;
        storm.cluster.broker.store().publish_version("orders", "1.0.0");
        let gate = Self { storm, namespace };
        for _ in 0..2 {
            futures::future::join_all((0..150).map(|_| gate.review(None))).await;
        }
        gate
    }

    async fn attack(&self, sources: usize) -> Attack {
        let name = WebhookOptions::default().configuration();
        let configured = configuration(&self.storm.cluster.client(), &name).await.webhooks.unwrap().remove(0);
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(&configured.client_config.ca_bundle.unwrap().0) {
            roots.add(authority.unwrap()).unwrap();
        }
        let [gate, probes] = [self.storm.webhook.address(), self.storm.webhook.probe_address()];
        Attack::new(gate.parse().unwrap(), probes.parse().unwrap(), roots, sources)
    }

    /// Sends a review whose verdict is known, by a caller that has connections or by this one.
    async fn review(&self, client: Option<&reqwest::Client>) -> Duration {
        let body = review(&self.namespace, "orders", "1.0.0");
        let (response, took) = match client {
            Some(client) => self.storm.send_by(client, body).await,
            None => self.storm.send(body).await,
        };
        assert_eq!(response["allowed"], true, "{response}");
        took
    }

    /// A review that needs the room which bodies that stall hold.
    async fn long_review(&self) -> Duration {
        let (short, long) = ("\"oldObject\":null", format!("\"oldObject\":null,\"more\":\"{}\"", "x".repeat(6 << 20)));
        let body = review(&self.namespace, "orders", "1.0.0").replace(short, &long);
        assert!(body.len() > 6 << 20);
        let (response, took) = self.storm.send(body).await;
        assert_eq!(response["allowed"], true, "{response}");
        took
    }

    async fn probe(&self, path: &str) -> Duration {
        let began = Instant::now();
        let answer = self.storm.webhook.probe(path).await;
        assert!(matches!(answer, Ok((200, _))), "{path} after {:?}: {answer:?}", began.elapsed());
        began.elapsed()
    }

    /// Sends reviews and probes for as long as something else goes on.
    async fn watched(&self, other: impl Future<Output = ()>) -> Watched {
        let (mut reviews, mut newcomers, mut probes) = (Vec::new(), Vec::new(), Vec::new());
        let mut peak = self.storm.webhook.rss_bytes();
        tokio::select! {
            () = other => {}
            () = every(25, async || reviews.push(self.review(None).await)) => {}
            () = every(250, async || newcomers.push(self.review(Some(&gate_storm::client())).await)) => {}
            () = every(50, async || {
                for path in ["/livez", "/readyz", "/metrics"] {
                    probes.push(self.probe(path).await);
                }
            }) => {}
            () = every(50, async || peak = peak.max(self.storm.webhook.rss_bytes())) => {}
        }
        Watched { reviews, newcomers, probes, peak }
    }

    /// How many connections were ended, by why.
    async fn cut(&self) -> String {
        let metrics = self.storm.webhook.metrics().await;
        let counts = metrics.lines().filter_map(|line| line.strip_prefix("pact_operator_gate_connections_cut_total"));
        counts.collect::<Vec<_>>().join(" ")
    }
}

impl Watched {
    fn p99(&self) -> Duration {
        percentile(self.reviews.clone(), 99)
    }

    fn print(&self, what: &str) {
        let slowest = |times: &[Duration]| times.iter().max().copied().unwrap_or_default();
        println!(
            "{what}: {} reviews, p50 {:?}, p99 {:?}; {} callers who connected, slowest {:?}; {} probes, slowest {:?}",
            self.reviews.len(),
            percentile(self.reviews.clone(), 50),
            self.p99(),
            self.newcomers.len(),
            slowest(&self.newcomers),
            self.probes.len(),
            slowest(&self.probes),
        );
    }

    /// Asserts that reviews and probes came in time; on an overloaded machine a late answer is no failure.
    fn holds_against(&self, quiet: &Self) {
        let (p99, floor) = (self.p99(), quiet.p99());
        println!("p99 is {:.1} times what it is without a neighbour", p99.as_secs_f64() / floor.as_secs_f64());
        let connected = self.newcomers.iter().max().expect("some connected");
        let probed = self.probes.iter().max().expect("some probed");
        if let Some(load) = overload() {
            println!("not judged, the load is {load}");
            return;
        }
        assert!(p99 < SLOW.max(SLOWER * floor), "{p99:?}, and without a neighbour {floor:?}");
        assert!(*connected < CONNECTED, "{connected:?} for a caller that had to connect");
        assert!(*probed < PROBED, "{probed:?} for a probe");
    }
}

/// Does something every so many milliseconds, for ever.
async fn every(millis: u64, mut something: impl AsyncFnMut()) {
    let mut tick = tokio::time::interval(Duration::from_millis(millis));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        something().await;
    }
}
