//! What waits for a person costs next to nothing, and what was published is found out all the same.

use std::time::{Duration, Instant};

use futures::future::join_all;
use futures::stream::{self, StreamExt};
use kube::Api;
use kube::api::ListParams;
use pact_operator::api::PactDeployment;
use serde_json::json;
use testbed::eventually::eventually;
use testbed::operator::OperatorOptions;
use testbed::standin::Fault;
use testbed::test_cluster::{SOON, TestCluster, annotated};

use crate::objects::Objects as _;

/// A setting of a longer look: `QUIET_KEYS=5000 QUIET_SECONDS=600 QUIET_RETRY=300`.
pub fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

/// As the chart has it, but for the quick tries, which are over within ten seconds.
fn options() -> OperatorOptions {
    let retry = setting("QUIET_RETRY", 1);
    OperatorOptions::default().value("logging.format", "text").value("controller.retrySeconds", retry)
}

/// The writes of the operator at the API server so far, but for its Lease.
fn api_writes(cluster: &TestCluster) -> Vec<String> {
    let requests = cluster.operators[0].requests(&cluster.control_plane).into_iter();
    let writes = requests.filter(|request| request.is_write() && request.resource != "leases");
    writes.map(|request| format!("{} {} {}", request.verb, request.resource, request.name)).collect()
}

/// How many records wait for this reason.
async fn waiting(cluster: &TestCluster, reason: &str) -> usize {
    let all = Api::<PactDeployment>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
    let waits = |one: &PactDeployment| {
        let conditions = one.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|it| it.type_ == "RecordPending" && it.status == "True" && it.reason == reason)
    };
    all.iter().filter(|one| waits(one)).count()
}

/// Workloads without pods: a version counts as running all the same, and no node is kept busy.
async fn roll_out_asleep(cluster: &TestCluster, namespace: &str, names: &[String]) {
    let client = cluster.client();
    stream::iter(names)
        .for_each_concurrent(16, async |name| {
            drop(annotated(name, name, "1.0.0").replicas(0).apply(&client, namespace).await);
        })
        .await;
}

/// Waits until the quick tries are over: what was tried within the last while is at most what is tried at rest.
async fn wait_quiet(cluster: &TestCluster) {
    let while_ago = Duration::from_secs(setting("QUIET_RETRY", 1).min(64) * 2);
    eventually("the quick tries to end", SOON * 20, async || {
        let tries = cluster
            .broker
            .count_requests(|it| it.at.elapsed() <= while_ago && it.path_and_query.contains("/versions/"));
        if tries as u64 <= while_ago.as_secs() * 3 / 10 + 1 {
            Ok(())
        } else {
            Err(format!("{tries} within {while_ago:?}"))
        }
    })
    .await;
    // What the last of them found out is reported a moment later.
    let (mut written, mut since) = (0, Instant::now());
    eventually("the writes about them to end", SOON, async || {
        let now = api_writes(cluster).len();
        if now != written {
            (written, since) = (now, Instant::now());
        }
        if since.elapsed() >= Duration::from_secs(2) { Ok(()) } else { Err(format!("{written} so far")) }
    })
    .await;
}

#[tokio::test]
async fn case_112_versions_that_nobody_published_cost_next_to_nothing_and_are_recorded_within_a_minute_of_it() {
    let mut cluster = TestCluster::without_operator().await;
    let names: Vec<_> = (0..setting("QUIET_KEYS", 120)).map(|number| format!("app-{number}")).collect();
    // A namespace speaks for a thousand at most.
    let parts = names.chunks(500);
    let namespaces = join_all(parts.clone().map(async |_| cluster.namespace().await)).await;
    let environment = cluster.environment(&namespaces.iter().map(String::as_str).collect::<Vec<_>>(), json!({})).await;
    let namespace = &namespaces[0];
    // Of every second one, the broker knows another version; the others it does not know at all.
    for name in names.iter().step_by(2) {
        cluster.broker.store().publish_version(name, "0.1.0");
    }
    for (namespace, names) in namespaces.iter().zip(parts) {
        roll_out_asleep(&cluster, namespace, names).await;
    }
    let started = Instant::now();
    cluster.start_operator(options()).await;
    eventually("all to wait", SOON * 20, async || {
        let waiting = waiting(&cluster, "VersionMissing").await + waiting(&cluster, "PacticipantMissing").await;
        if waiting == names.len() { Ok(()) } else { Err(format!("{waiting} do")) }
    })
    .await;
    println!("{} wait after {:?}: {} requests", names.len(), started.elapsed(), cluster.broker.requests().len());
    wait_quiet(&cluster).await;

    let (began, writes) = (Instant::now(), api_writes(&cluster).len());
    tokio::time::sleep(Duration::from_secs(setting("QUIET_SECONDS", 5))).await;
    let seconds = began.elapsed().as_secs();
    let asked = cluster.broker.requests().into_iter().filter(|request| request.at >= began);
    let asked: Vec<_> = asked.map(|request| request.path_and_query).collect();
    let written = api_writes(&cluster).split_off(writes);
    let (requests, many) = (asked.len(), written.len());
    let some = &written[..many.min(5)];
    println!("at rest with {}: {requests} requests and {many} writes in {seconds} s: {some:?}", names.len());
    // Half a request a second, and what may come at once: a list, a probe, and the last of the quick tries.
    assert!(requests as u64 <= seconds / 2 + 3, "{requests} requests in {seconds} s: {asked:?}");
    assert!(many as u64 <= seconds / 10, "{many} writes in {seconds} s: {written:?}");

    // One of which the broker knew another version, and one that it did not know at all.
    let published = Instant::now();
    for name in ["app-0", "app-1"] {
        cluster.broker.store().publish_version(name, "1.0.0");
    }
    let rollout = Instant::now();
    cluster.broker.store().publish_version("ordinary", "1.0.0");
    annotated("ordinary", "ordinary", "1.0.0").replicas(0).apply(&cluster.client(), namespace).await;
    cluster.wait_recorded(&environment, "ordinary", "1.0.0").await;
    println!("an ordinary rollout is recorded after {:?}", rollout.elapsed());
    // A second, and some slack for a machine that stalls.
    assert!(rollout.elapsed() < Duration::from_secs(5), "{:?}", rollout.elapsed());
    for name in ["app-0", "app-1"] {
        cluster.wait_recorded(&environment, name, "1.0.0").await;
        cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
    }
    println!("recorded {:?} after they were published", published.elapsed());
    assert!(published.elapsed() < Duration::from_secs(45), "{:?}", published.elapsed());
}

#[tokio::test]
async fn case_112_a_broker_without_a_list_is_asked_version_by_version() {
    let mut cluster = TestCluster::without_operator().await;
    cluster.broker.faults().add(Fault::status(404).path("^/pacticipants$"));
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    cluster.broker.store().publish_version("orders", "0.1.0");
    annotated("orders", "orders", "1.0.0").replicas(0).apply(&cluster.client(), &namespace).await;
    cluster.start_operator(options()).await;
    cluster.wait_condition(&environment, "orders", ("VersionMissing", "True", "VersionMissing")).await;
    // Its verdict may follow in a write of its own.
    let written = eventually("the verdict", SOON, async || {
        let record = cluster.record(&environment, "orders").await.ok_or("no record")?;
        let checks = record.status.unwrap_or_default().checks;
        let judged = checks.iter().any(|check| check.verdict == "VersionMissing");
        if judged { Ok(record.metadata.resource_version) } else { Err(format!("{checks:?}")) }
    })
    .await;
    eventually("some tries more", SOON, async || {
        let tries = cluster.broker.count_requests(|it| it.path_and_query == "/pacticipants/orders/versions/1.0.0");
        if tries >= 4 { Ok(()) } else { Err(format!("{tries}")) }
    })
    .await;
    let unchanged = cluster.record(&environment, "orders").await.unwrap().metadata.resource_version;
    assert_eq!(unchanged, written, "no try is news");
    cluster.broker.store().publish_version("orders", "1.0.0");
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
}
