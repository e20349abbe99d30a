//! One of several operators writes. It is replaced soon when it is lost, and at once when it leaves; a former leader
//! does not continue what it had begun.

use crate::objects::Objects as _;
use std::time::{Duration, Instant};

use pact_operator::api::PactBroker;
use serde_json::json;

use testbed::eventually::{always, eventually};
use testbed::http;
use testbed::operator::{Operator, OperatorOptions};
use testbed::rollout::Live;
use testbed::standin::{Fault, LoggedRequest};
use testbed::test_cluster::{BROKER, SOON, TestCluster, annotated, image, quick};

/// So long that no Lease runs out here.
const LONG: u64 = 120;
/// The shortest that there is.
const SHORT: u64 = 3;

fn with_lease(seconds: u64) -> OperatorOptions {
    quick().value("controller.leaseSeconds", seconds)
}

/// How many versions an operator has recorded.
async fn recorded_by(operator: &Operator) -> u64 {
    let metrics = operator.metrics().await;
    let line = metrics.lines().find_map(|line| line.strip_prefix("pact_operator_recorded_total"));
    line.and_then(|rest| rest.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no such metric:\n{metrics}"))
}

/// The index of the only operator that recorded something.
async fn only_writer(cluster: &TestCluster) -> usize {
    let mut writers = Vec::new();
    for (number, operator) in cluster.operators.iter().enumerate() {
        if recorded_by(operator).await > 0 {
            writers.push(number);
        }
    }
    assert_eq!(writers.len(), 1, "operators that recorded: {writers:?}");
    writers[0]
}

async fn to_version(cluster: &TestCluster, orders: &Live, version: &str) {
    cluster.broker.store().publish_version("orders", version);
    orders.set_image(&image(version)).await;
}

#[tokio::test]
async fn one_operator_writes_and_the_standby_takes_over_at_once_or_soon() {
    let mut cluster = TestCluster::without_operator().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    cluster.start_operator(with_lease(LONG)).await;
    cluster.start_operator(with_lease(LONG)).await;
    for operator in &cluster.operators {
        let (status, body) = http::get(operator.probe_address(), "/readyz").await.unwrap();
        assert_eq!(status, 200, "leader and standby are ready: {body}");
    }
    cluster.broker.store().publish_version("orders", "1.0.0");
    let orders = annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
    let leader = only_writer(&cluster).await;

    // SIGTERM gives the Lease back, so the other need not wait until it runs out.
    let going = Instant::now();
    assert_eq!(cluster.operators[leader].terminate().await, 0);
    cluster.operators.remove(leader);
    to_version(&cluster, &orders, "2.0.0").await;
    cluster.wait_recorded(&environment, "orders", "2.0.0").await;
    assert!(going.elapsed() < Duration::from_secs(LONG / 2), "only after {:?}", going.elapsed());
    assert_eq!(cluster.operators[0].terminate().await, 0);
    cluster.operators.clear();

    // SIGKILL keeps the Lease: the other operator waits until it has run out, and then records what finished meanwhile.
    cluster.start_operator(with_lease(SHORT)).await;
    cluster.start_operator(with_lease(SHORT)).await;
    to_version(&cluster, &orders, "3.0.0").await;
    cluster.wait_recorded(&environment, "orders", "3.0.0").await;
    cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
    let leader = only_writer(&cluster).await;
    cluster.operators[leader].kill9();
    cluster.operators.remove(leader);
    to_version(&cluster, &orders, "4.0.0").await;
    cluster.wait_recorded(&environment, "orders", "4.0.0").await;

    let each_once = ["1.0.0", "2.0.0", "3.0.0", "4.0.0"].map(|version| format!("Deployed {version}"));
    assert_eq!(cluster.writes(&environment, "orders"), each_once);
    assert!(!cluster.logs().contains("panicked"), "{}", cluster.logs());
}

/// Waits for a request of this kind that has no answer yet.
async fn wait_under_way(cluster: &TestCluster, is: impl Fn(&LoggedRequest) -> bool) {
    eventually("a request to be under way", SOON, async || {
        let found = cluster.broker.count_requests(|request| is(request) && request.status.is_none());
        if found > 0 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn case_29_a_leader_that_hung_with_an_old_version_does_not_move_the_broker_back() {
    let mut cluster = TestCluster::without_operator().await;
    // A request may take longer than the leader hangs, so that only the Lease stops the leader.
    let patient = json!({"url": cluster.broker.url(), "requestTimeoutSeconds": 120});
    cluster.apply::<PactBroker>("PactBroker", BROKER, patient).await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    cluster.start_operator(with_lease(SHORT)).await;
    cluster.broker.store().publish_version("orders", "1.0.0");
    let orders = annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;

    // The leader has read the workload, and waits for the answer about the row.
    cluster.broker.clear_requests();
    let late = Fault::delay(Duration::from_secs(2)).method("GET").path(r"/currently-deployed\?pacticipant=").times(1);
    cluster.broker.faults().add(late.after_acting());
    to_version(&cluster, &orders, "2.0.0").await;
    wait_under_way(&cluster, |request| request.path_and_query.contains("currently-deployed?pacticipant=")).await;
    cluster.operators[0].signal("STOP");
    cluster.start_operator(with_lease(SHORT)).await;
    cluster.wait_recorded(&environment, "orders", "2.0.0").await;
    to_version(&cluster, &orders, "3.0.0").await;
    cluster.wait_recorded(&environment, "orders", "3.0.0").await;
    cluster.operators[0].signal("CONT");
    always("3.0.0 stays recorded after the old leader woke up", Duration::from_secs(6), async || {
        let writes = cluster.writes(&environment, "orders");
        (writes == ["Deployed 1.0.0", "Deployed 2.0.0", "Deployed 3.0.0"]).then_some(()).ok_or(format!("{writes:?}"))
    })
    .await;
    assert_eq!(recorded_by(&cluster.operators[0]).await, 1, "the old leader is awake, and recorded 1.0.0 only");

    // What was sent before it hung can still take effect at the broker. The next leader corrects that.
    cluster.operators.remove(0);
    cluster.broker.clear_requests();
    cluster.broker.faults().add(Fault::delay(Duration::from_secs(15)).method("POST").times(1));
    to_version(&cluster, &orders, "4.0.0").await;
    wait_under_way(&cluster, |request| request.method == "POST").await;
    cluster.operators[0].signal("STOP");
    to_version(&cluster, &orders, "5.0.0").await;
    orders.wait_complete().await;
    cluster.start_operator(with_lease(SHORT)).await;
    cluster.wait_recorded(&environment, "orders", "5.0.0").await;
    eventually("the late write of 4.0.0, and 5.0.0 again", SOON, async || {
        let writes = cluster.writes(&environment, "orders");
        let expected = ["Deployed 5.0.0", "Deployed 4.0.0", "Deployed 5.0.0"];
        if writes.ends_with(&expected.map(str::to_owned)) { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
    cluster.operators[0].signal("CONT");
    always("5.0.0 stays recorded", Duration::from_secs(5), async || {
        let recorded = cluster.recorded(&environment, "orders");
        (recorded.as_deref() == Some("5.0.0")).then_some(()).ok_or(format!("{recorded:?}"))
    })
    .await;
}
