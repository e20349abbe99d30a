//! Storms: many equal reviews are one question to the broker, and a broker that hangs does not slow the answers of
//! another one.
//!
//! Speed is measured and printed, not asserted: machines that run tests are shared. What is asserted is that every
//! answer comes within its budget, and that memory stays flat.
#![allow(clippy::print_stdout, reason = "people read what was measured")]

use std::time::{Duration, Instant};

use futures::future::join_all;
use pact_operator::api::PactBroker;
use serde_json::{Value, json};

use testbed::load::overload;
use testbed::standin::{Effect, Fault, StandIn};
use testbed::test_cluster::{SOON, TestCluster};
use testbed::webhook::{Webhook, WebhookOptions};

/// How long the API server would wait, as its query says.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How slow a cached answer may be while another broker hangs: [`SLOWER`] times as slow as without it, or this slow.
const SLOW: Duration = Duration::from_millis(500);
const SLOWER: u32 = 10;
/// How much the memory of the process may grow.
const GROWTH: u64 = 20 << 20;

/// A gate that is called directly, in a cluster where no operator runs: environments only warn.
pub struct Storm {
    pub cluster: TestCluster,
    pub webhook: Webhook,
    client: reqwest::Client,
}

impl Storm {
    pub async fn start() -> Self {
        let cluster = TestCluster::without_operator().await;
        let webhook = Webhook::start(&cluster.control_plane, WebhookOptions::default()).await;
        Self { cluster, webhook, client: client() }
    }

    /// Sends a review of a creation; gives the response in it and how long that took.
    async fn review(&self, namespace: &str, pacticipant: &str, version: &str) -> (Value, Duration) {
        self.send(review(namespace, pacticipant, version)).await
    }

    pub async fn send(&self, body: String) -> (Value, Duration) {
        self.send_by(&self.client, body).await
    }

    pub async fn send_by(&self, client: &reqwest::Client, body: String) -> (Value, Duration) {
        let url = format!("{}?timeout={}s", self.webhook.url(), TIMEOUT.as_secs());
        let began = Instant::now();
        let answer = client.post(url).header("content-type", "application/json").body(body).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("no answer after {:?}: {error:?}", began.elapsed()));
        assert_eq!(answer.status(), 200, "after {:?}", began.elapsed());
        let answer: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        (answer["response"].clone(), began.elapsed())
    }

    /// Waits until the gate asks the broker about this environment.
    pub async fn warm(&self, namespace: &str) {
        testbed::eventually::eventually("the gate to ask the broker", SOON, async || {
            let (response, _) = self.review(namespace, "warm", "1").await;
            let warnings = response["warnings"].to_string();
            if warnings.contains("knows no pacticipant") { Ok(()) } else { Err(warnings) }
        })
        .await;
    }
}

/// Keeps connections as the API server does, one for each review under way and 25 of the idle ones, but does not check
/// the certificate.
pub fn client() -> reqwest::Client {
    let builder = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
    builder.pool_max_idle_per_host(25).timeout(2 * TIMEOUT).build().expect("a client")
}

/// A review of about 20 KB, the size of a usual Deployment with its managed fields.
pub fn review(namespace: &str, pacticipant: &str, version: &str) -> String {
    let managed: Vec<_> = (0..40)
        .map(|number| json!({"manager": format!("m-{number}"), "fieldsV1": {"f:spec": "x".repeat(420)}}))
        .collect();
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": uuid::Uuid::new_v4().to_string(),
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "requestKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "requestResource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": pacticipant, "namespace": namespace, "operation": "CREATE",
            "userInfo": {"username": "system:serviceaccount:people:developer", "groups": ["system:authenticated"]},
            "object": {
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": pacticipant, "namespace": namespace, "managedFields": managed,
                    "annotations": {"pact-operator.dev/pacticipant": pacticipant}},
                "spec": {"replicas": 1, "selector": {"matchLabels": {"app": pacticipant}}, "template": {
                    "metadata": {"labels": {"app": pacticipant}},
                    "spec": {"containers": [{"name": "app", "image": format!("reg.test/shop:{version}")}]}}},
            },
            "oldObject": null, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
    .to_string()
}

/// How many questions about this pacticipant in an environment came to a broker; those about pairs with what the gate
/// admitted a moment before are not among them.
fn questions(broker: &StandIn, pacticipant: &str) -> usize {
    let named = format!("={pacticipant}&");
    broker.count_requests(|request| {
        let path = &request.path_and_query;
        path.starts_with("/matrix?") && path.contains(&named) && path.contains("&environment=")
    })
}

/// Whether the API server would still wait; on an overloaded machine a late answer is no failure.
pub fn in_time(took: Duration) -> bool {
    took < TIMEOUT
        || overload().is_some_and(|load| {
            println!("not counted, the load is {load}: {took:?}");
            true
        })
}

pub fn percentile(mut times: Vec<Duration>, hundredth: usize) -> Duration {
    times.sort();
    times[(times.len() * hundredth / 100).min(times.len() - 1)]
}

#[tokio::test]
async fn five_hundred_equal_reviews_at_once_are_one_question_to_the_broker() {
    let storm = Storm::start().await;
    let namespace = storm.cluster.namespace().await;
    storm.cluster.environment(&[&namespace], json!({"gate": {"mode": "Warn"}})).await;
    storm.warm(&namespace).await;
    storm.cluster.broker.store().publish_version("orders", "1.0.0");
    // Long enough that all reviews arrive before the first answer.
    storm.cluster.broker.faults().add(Fault::delay(Duration::from_secs(1)).path("^/matrix"));
    let began = Instant::now();
    let answers = join_all((0..500).map(|_| storm.review(&namespace, "orders", "1.0.0"))).await;
    println!("500 equal reviews took {:?}", began.elapsed());
    for (response, took) in answers {
        assert_eq!(response["allowed"], true, "{response}");
        assert!(response["warnings"].to_string().contains("nothing had to be verified"), "{response}");
        assert!(in_time(took), "{took:?}");
    }
    assert_eq!(questions(&storm.cluster.broker, "orders"), 1);
    assert!(!storm.webhook.logs().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_leaves_a_thousand_questions_unanswered_barely_delays_another_one_and_barely_grows_memory() {
    let storm = Storm::start().await;
    let (good, lost) = (storm.cluster.namespace().await, storm.cluster.namespace().await);
    storm.cluster.environment(&[&good], json!({"gate": {"mode": "Warn", "actions": {"yesVacuous": "Allow"}}})).await;
    let hole = StandIn::start().await;
    hole.store().add_environment("swallowed", false);
    storm.cluster.apply::<PactBroker>("PactBroker", "hole", json!({"url": hole.url()})).await;
    let more = json!({"brokerRef": {"name": "hole"}, "gate": {"mode": "Warn"}});
    storm.cluster.map("swallowed", &[&lost], more).await;
    storm.warm(&good).await;
    storm.warm(&lost).await;
    let names: Vec<_> = (0..10).map(|number| format!("app-{number}")).collect();
    for name in &names {
        storm.cluster.broker.store().publish_version(name, "1.0.0");
    }
    // What the first requests allocate (connections, tables, arenas of the allocator) does not count as growth.
    for _ in 0..3 {
        join_all((0..250).map(|number| storm.review(&good, &names[number % names.len()], "1.0.0"))).await;
    }

    // Reviews of ten applications whose answers are cached, one every 40 ms. They are made before, so that making them
    // takes no measured time.
    let cached = |count: usize| -> Vec<_> {
        (0..count)
            .map(|number| {
                (review(&good, &names[number % names.len()], "1.0.0"), Duration::from_millis(40 * number as u64))
            })
            .collect()
    };
    let send = async |body: String, at: Duration| {
        tokio::time::sleep(at).await;
        storm.send(body).await
    };
    let floor = join_all(cached(100).into_iter().map(|(body, at)| send(body, at))).await;
    let floor = percentile(floor.into_iter().map(|(_, took)| took).collect(), 99);

    hole.faults().add(Fault::new(Effect::Hang));
    let before = storm.webhook.rss_bytes();
    // 1,000 within 20 s, all different, and meanwhile 500 whose answers are cached.
    let unanswered: Vec<_> = (0..1_000_u32)
        .map(|number| (review(&lost, "orders", &format!("{number}.0.0")), Duration::from_millis(20) * number))
        .collect();
    let steady = cached(500);
    let unanswered = join_all(unanswered.into_iter().map(|(body, at)| send(body, at)));
    let steady = join_all(steady.into_iter().map(|(body, at)| send(body, at)));
    let mut peak = before;
    let watching = async {
        loop {
            peak = peak.max(storm.webhook.rss_bytes());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let (unanswered, steady) = tokio::select! {
        both = async { tokio::join!(unanswered, steady) } => both,
        () = watching => unreachable!("the watcher never ends"),
    };

    for (response, took) in &unanswered {
        assert_eq!(response["allowed"], true, "{response}");
        assert!(response["warnings"].to_string().contains("Pact Broker"), "{response}");
        assert!(in_time(*took), "answered after the API server had given up: {took:?}");
    }
    for (response, took) in &steady {
        assert_eq!((&response["allowed"], response.get("warnings")), (&json!(true), None), "{response}");
        assert!(in_time(*took), "{took:?}");
    }
    let times: Vec<_> = steady.into_iter().map(|(_, took)| took).collect();
    let slowest = unanswered.iter().map(|(_, took)| *took).max().unwrap();
    let (p50, p99) = (percentile(times.clone(), 50), percentile(times, 99));
    let grown = peak.saturating_sub(before);
    let put = hole.count_requests(|request| request.path_and_query.starts_with("/matrix?"));
    println!(
        "cached answers: p50 {p50:?}, p99 {p99:?}, before p99 {floor:?}; unanswered ones: slowest {slowest:?}, {put} \
         put to the broker; memory {} MiB, grown by {} KiB",
        before >> 20,
        grown >> 10
    );
    assert!(grown < GROWTH, "the process grew by {grown} bytes");
    assert!(p99 < SLOW.max(SLOWER * floor), "{p99:?}, and before {floor:?}");
    // The gate pauses its questions once the broker is known to hang.
    assert!(put < 300, "{put} questions were put to a broker that never answers");
}
