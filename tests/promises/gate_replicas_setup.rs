//! Replicas of the gate behind a balancer that follows their readiness, a policy that fails closed, and a steady load of
//! admission reviews through the real API server.

use crate::objects::Objects as _;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::Request;
use http_body_util::BodyExt;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use testbed::balancer::Balancer;
use testbed::eventually::eventually;
use testbed::process::free_port;
use testbed::test_cluster::{SOON, TestCluster, annotated};
use testbed::webhook::{self, Person, Webhook, WebhookOptions};

/// How the API server introduces a denial of ours.
pub const DENIED: &str = "admission webhook \"gate.pact-operator.dev\" denied the request: ";
/// How many calls may be under way at once; the load reaches that number only when something hangs.
const AT_ONCE: usize = 256;

/// A test cluster and a balancer for replicas of the gate.
pub struct ReplicasSetup {
    pub cluster: TestCluster,
    pub balancer: Balancer,
    pub person: Person,
    pub namespace: String,
    options: WebhookOptions,
}

impl ReplicasSetup {
    /// A set-up without replicas. The broker knows `1.0.0` of `orders` as compatible and `2.0.0` as not.
    pub async fn start(options: WebhookOptions) -> Self {
        let mut cluster = TestCluster::start().await;
        let namespace = cluster.namespace().await;
        seed(&cluster, &namespace, "orders").await;
        // The recorder has made its first inventory, which a denial needs; the gate goes on without the recorder.
        cluster.operators.clear();
        let balancer = Balancer::start(Vec::new()).await;
        balancer.be_strict();
        webhook::install(&cluster.control_plane, &options, &format!("https://{}/gate", balancer.address())).await;
        let person = Person::developer(&cluster.control_plane).await;
        Self { cluster, balancer, person, namespace, options }
    }

    /// A new replica, which is not among the backends yet and may not be ready.
    pub async fn replica(&self) -> Webhook {
        Webhook::start_at(&self.cluster.control_plane, self.options.clone(), free_port()).await
    }

    /// From now on these replicas get the connections while they are ready.
    pub fn balance<'a>(&self, replicas: impl IntoIterator<Item = &'a Webhook>) {
        self.balancer.set_backends(replicas.into_iter().map(Webhook::backend).collect());
    }

    /// Waits until exactly these replicas are ready for the balancer.
    pub async fn balanced<'a>(&self, replicas: impl IntoIterator<Item = &'a Webhook>) {
        let mut wanted: Vec<_> = replicas.into_iter().map(|replica| replica.backend().address).collect();
        wanted.sort();
        eventually("the balancer to follow", SOON, async || {
            let mut ready = self.balancer.ready();
            ready.sort();
            if ready == wanted { Ok(()) } else { Err(format!("ready are {ready:?} instead of {wanted:?}")) }
        })
        .await;
    }

    /// Two replicas that are ready, also for the balancer, and that the API server trusts.
    pub async fn two_replicas(&self) -> [Webhook; 2] {
        let mut replicas = [self.replica().await, self.replica().await];
        for replica in &mut replicas {
            replica.wait_ready().await;
        }
        self.balance(&replicas);
        self.balanced(&replicas).await;
        let (client, asked) = (self.person.client(), Asked::of("orders", &self.namespace));
        eventually("the first right answers", SOON, async || {
            asked[0].ask(&client).await?;
            asked[1].ask(&client).await
        })
        .await;
        replicas
    }

    /// Starts a load of so many calls a second.
    pub fn load(&self, per_second: u32) -> Load {
        Load::start(self.person.client(), Asked::of("orders", &self.namespace), per_second)
    }
}

/// An environment with `Enforce` for this pacticipant: `1.0.0` is compatible with what runs, `2.0.0` is not. Ready to
/// deny when it returns.
pub async fn seed(cluster: &TestCluster, namespace: &str, pacticipant: &str) {
    let environment = cluster.environment(&[namespace], json!({"gate": {"mode": "Enforce"}})).await;
    let (store, consumer) = (cluster.broker.store(), format!("{pacticipant}-web"));
    store.publish_pact(&consumer, "1", pacticipant, "a");
    store.record_deployment(&consumer, "1", &environment, None);
    store.verify(&consumer, "1", pacticipant, "1.0.0", true);
    store.verify(&consumer, "1", pacticipant, "2.0.0", false);
    cluster.wait_environment(&environment, ("MembersListed", "True", "Listed")).await;
}

/// A Deployment whose creation is requested as a dry-run, and the expected answer. Nothing is ever created.
#[derive(Clone)]
pub struct Asked {
    path: String,
    body: Vec<u8>,
    admitted: bool,
}

impl Asked {
    /// One that is to be admitted, and one that is to be denied.
    pub fn of(pacticipant: &str, namespace: &str) -> [Self; 2] {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments?dryRun=All");
        [("1.0.0", true), ("2.0.0", false)].map(|(version, admitted)| {
            let manifest = annotated(pacticipant, pacticipant, version).manifest().clone();
            Self { path: path.clone(), body: serde_json::to_vec(&manifest).unwrap(), admitted }
        })
    }

    /// Sends the request; any other answer than the gate's expected one is an error.
    pub async fn ask(&self, client: &Client) -> Result<(), String> {
        let request = Request::post(&self.path).header("content-type", "application/json").body(self.body.clone());
        let answer = client.send(request.unwrap().map(Into::into)).await.map_err(|error| error.to_string())?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| format!("the answer was cut off: {error}"))?.to_bytes();
        if head.status.is_success() {
            let warning = head.headers.get("warning").map(|warning| String::from_utf8_lossy(warning.as_bytes()));
            return match (self.admitted, warning) {
                (true, None) => Ok(()),
                (true, Some(warning)) => Err(format!("admitted with the warning {warning}")),
                (false, warning) => Err(format!("admitted though it is to be denied; {warning:?}")),
            };
        }
        let status: Value = serde_json::from_slice(&body).unwrap_or_default();
        let message = status["message"].as_str().unwrap_or_default();
        if !self.admitted && head.status == 403 && message.starts_with(DENIED) && message.contains("2.0.0") {
            return Ok(());
        }
        Err(format!("{}: {message}", head.status))
    }
}

/// A call without the right answer.
#[derive(Clone, Debug)]
pub struct Failure {
    pub sent: Instant,
    pub ended: Instant,
    pub message: String,
}

/// The results of a load.
#[derive(Debug)]
pub struct Tally {
    pub calls: u64,
    pub per_second: f64,
    pub slowest: Duration,
    pub failures: Vec<Failure>,
}

/// A load that goes on until it is ended.
pub struct Load {
    answered: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<Failure>>>,
    end: CancellationToken,
    running: JoinHandle<(u64, Duration, Duration)>,
}

impl Load {
    fn start(client: Client, asked: [Asked; 2], per_second: u32) -> Self {
        let (answered, failures, end) = (Arc::default(), Arc::default(), CancellationToken::new());
        let paced = Paced {
            client,
            asked: asked.map(Arc::new),
            every: Duration::from_secs(1) / per_second,
            answered: Arc::clone(&answered),
            failures: Arc::clone(&failures),
        };
        let running = tokio::spawn(paced.run(end.clone()));
        Self { answered, failures, end, running }
    }

    /// How many calls have ended.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the load, and waits for the calls under way.
    pub async fn end(self) -> Tally {
        self.end.cancel();
        let (calls, slowest, elapsed) = self.running.await.unwrap();
        let failures = std::mem::take(&mut *self.failures.lock().unwrap());
        let per_second = f64::from(u32::try_from(calls).unwrap()) / elapsed.as_secs_f64();
        Tally { calls, per_second, slowest, failures }
    }
}

struct Paced {
    client: Client,
    asked: [Arc<Asked>; 2],
    every: Duration,
    answered: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<Failure>>>,
}

impl Paced {
    /// How many calls there were, how long the slowest took, and how long it all took.
    async fn run(self, end: CancellationToken) -> (u64, Duration, Duration) {
        let mut tick = tokio::time::interval(self.every);
        // A busy machine sends late calls later, and none is left out.
        tick.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let (permits, started) = (Arc::new(Semaphore::new(AT_ONCE)), Instant::now());
        let (mut calls, mut number, mut slowest) = (JoinSet::<Duration>::new(), 0, Duration::ZERO);
        while !end.is_cancelled() {
            tick.tick().await;
            let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
            let (client, asked) = (self.client.clone(), Arc::clone(&self.asked[usize::from(number % 2 == 1)]));
            let (answered, failures) = (Arc::clone(&self.answered), Arc::clone(&self.failures));
            number += 1;
            calls.spawn(async move {
                let sent = Instant::now();
                let outcome = asked.ask(&client).await;
                let ended = Instant::now();
                drop(permit);
                answered.fetch_add(1, Ordering::Relaxed);
                if let Err(message) = outcome {
                    failures.lock().unwrap().push(Failure { sent, ended, message });
                }
                ended - sent
            });
            while let Some(took) = calls.try_join_next() {
                slowest = slowest.max(took.unwrap());
            }
        }
        let elapsed = started.elapsed();
        while let Some(took) = calls.join_next().await {
            slowest = slowest.max(took.unwrap());
        }
        (number, slowest, elapsed)
    }
}

impl Tally {
    /// A line of numbers, and a line for each kind of failure with its count.
    pub fn shown(&self) -> String {
        let Self { calls, per_second, slowest, failures } = self;
        let mut messages = BTreeMap::<String, u32>::new();
        for failure in failures {
            *messages.entry(failure.message.replace(|letter: char| letter.is_ascii_digit(), "#")).or_default() += 1;
        }
        let all = format!("{calls} calls, {per_second:.0} a second, slowest {slowest:.1?}, {} failed", failures.len());
        messages.iter().fold(all, |all, (message, times)| format!("{all}\n{times} × {message}"))
    }

    /// Asserts that the load was sufficient. A shared machine may not keep up the rate; less than a quarter of it
    /// proves nothing.
    ///
    /// # Panics
    /// When it was less.
    pub fn assert_paced(&self, per_second: u32) {
        let asked = f64::from(per_second);
        assert!(self.per_second >= asked / 4.0, "{:.0} calls a second instead of {asked}", self.per_second);
    }
}

/// Writes a file that a replica is to read.
pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
}
