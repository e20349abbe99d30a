//! Of several operators one writes; it is followed soon when it is lost, at once when it goes, and never comes back with
//! what it had in hand.

use std::time::{Duration, Instant};

use pact_operator::api::PactBroker;
use serde_json::json;

use crate::testbed::eventually::{always, eventually};
use crate::testbed::http;
use crate::testbed::operator::{Operator, OperatorOptions};
use crate::testbed::rollout::Live;
use crate::testbed::scene::{BROKER, SOON, Scene, annotated, image, quick};
use crate::testbed::standin::{Fault, LoggedRequest};

/// So long that nothing here can be due to a Lease that ran out.
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

/// The place, among the operators, of the one that recorded something, and that nobody else did.
async fn only_writer(scene: &Scene) -> usize {
    let mut writers = Vec::new();
    for (number, operator) in scene.operators.iter().enumerate() {
        if recorded_by(operator).await > 0 {
            writers.push(number);
        }
    }
    assert_eq!(writers.len(), 1, "who recorded: {writers:?}");
    writers[0]
}

async fn to_version(scene: &Scene, orders: &Live, version: &str) {
    scene.broker.store().publish_version("orders", version);
    orders.set_image(&image(version)).await;
}

#[tokio::test]
async fn one_operator_writes_and_the_standby_goes_on_at_once_or_soon() {
    let mut scene = Scene::without_operator().await;
    let namespace = scene.namespace().await;
    let environment = scene.environment(&[&namespace], json!({})).await;
    scene.start_operator(with_lease(LONG)).await;
    scene.start_operator(with_lease(LONG)).await;
    for operator in &scene.operators {
        let (status, body) = http::get(operator.probe_address(), "/readyz").await.unwrap();
        assert_eq!(status, 200, "leader and standby are ready: {body}");
    }
    scene.broker.store().publish_version("orders", "1.0.0");
    let orders = annotated("orders", "orders", "1.0.0").apply(&scene.client(), &namespace).await;
    scene.wait_recorded(&environment, "orders", "1.0.0").await;
    scene.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
    let leader = only_writer(&scene).await;

    // SIGTERM gives the Lease back, so the other need not wait until it runs out.
    let going = Instant::now();
    assert_eq!(scene.operators[leader].terminate().await, 0);
    scene.operators.remove(leader);
    to_version(&scene, &orders, "2.0.0").await;
    scene.wait_recorded(&environment, "orders", "2.0.0").await;
    assert!(going.elapsed() < Duration::from_secs(LONG / 2), "only after {:?}", going.elapsed());
    assert_eq!(scene.operators[0].terminate().await, 0);
    scene.operators.clear();

    // SIGKILL leaves it: the other waits until it has run out, and finds what finished meanwhile.
    scene.start_operator(with_lease(SHORT)).await;
    scene.start_operator(with_lease(SHORT)).await;
    to_version(&scene, &orders, "3.0.0").await;
    scene.wait_recorded(&environment, "orders", "3.0.0").await;
    scene.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
    let leader = only_writer(&scene).await;
    scene.operators[leader].kill9();
    scene.operators.remove(leader);
    to_version(&scene, &orders, "4.0.0").await;
    scene.wait_recorded(&environment, "orders", "4.0.0").await;

    let each_once = ["1.0.0", "2.0.0", "3.0.0", "4.0.0"].map(|version| format!("Deployed {version}"));
    assert_eq!(scene.writes(&environment, "orders"), each_once);
    assert!(!scene.logs().contains("panicked"), "{}", scene.logs());
}

/// Waits for a request of this kind that has no answer yet.
async fn wait_under_way(scene: &Scene, is: impl Fn(&LoggedRequest) -> bool) {
    eventually("a request to be under way", SOON, async || {
        let found = scene.broker.count_requests(|request| is(request) && request.status.is_none());
        if found > 0 { Ok(()) } else { Err("none".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn case_29_a_leader_that_hung_with_an_old_version_in_hand_does_not_move_the_broker_back() {
    let mut scene = Scene::without_operator().await;
    // A request may take longer than the leader hangs, so that it is the Lease that stops it.
    let patient = json!({"url": scene.broker.url(), "requestTimeoutSeconds": 120});
    scene.apply::<PactBroker>("PactBroker", BROKER, patient).await;
    let namespace = scene.namespace().await;
    let environment = scene.environment(&[&namespace], json!({})).await;
    scene.start_operator(with_lease(SHORT)).await;
    scene.broker.store().publish_version("orders", "1.0.0");
    let orders = annotated("orders", "orders", "1.0.0").apply(&scene.client(), &namespace).await;
    scene.wait_recorded(&environment, "orders", "1.0.0").await;
    scene.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;

    // It has read the workload, and the answer about the row is on its way to it.
    scene.broker.clear_requests();
    let late = Fault::delay(Duration::from_secs(2)).method("GET").path(r"/currently-deployed\?pacticipant=").times(1);
    scene.broker.faults().add(late.after_acting());
    to_version(&scene, &orders, "2.0.0").await;
    wait_under_way(&scene, |request| request.path_and_query.contains("currently-deployed?pacticipant=")).await;
    scene.operators[0].signal("STOP");
    scene.start_operator(with_lease(SHORT)).await;
    scene.wait_recorded(&environment, "orders", "2.0.0").await;
    to_version(&scene, &orders, "3.0.0").await;
    scene.wait_recorded(&environment, "orders", "3.0.0").await;
    scene.operators[0].signal("CONT");
    always("3.0.0 stays recorded after the old leader woke up", Duration::from_secs(6), async || {
        let writes = scene.writes(&environment, "orders");
        (writes == ["Deployed 1.0.0", "Deployed 2.0.0", "Deployed 3.0.0"]).then_some(()).ok_or(format!("{writes:?}"))
    })
    .await;
    assert_eq!(recorded_by(&scene.operators[0]).await, 1, "the old leader is awake, and recorded 1.0.0 only");

    // What was sent before it hung can still take effect at the broker. The next leader puts that right.
    scene.operators.remove(0);
    scene.broker.clear_requests();
    scene.broker.faults().add(Fault::delay(Duration::from_secs(15)).method("POST").times(1));
    to_version(&scene, &orders, "4.0.0").await;
    wait_under_way(&scene, |request| request.method == "POST").await;
    scene.operators[0].signal("STOP");
    to_version(&scene, &orders, "5.0.0").await;
    orders.wait_complete().await;
    scene.start_operator(with_lease(SHORT)).await;
    scene.wait_recorded(&environment, "orders", "5.0.0").await;
    eventually("the late write of 4.0.0, and 5.0.0 again", SOON, async || {
        let writes = scene.writes(&environment, "orders");
        let expected = ["Deployed 5.0.0", "Deployed 4.0.0", "Deployed 5.0.0"];
        if writes.ends_with(&expected.map(str::to_owned)) { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
    scene.operators[0].signal("CONT");
    always("5.0.0 stays recorded", Duration::from_secs(5), async || {
        let recorded = scene.recorded(&environment, "orders");
        (recorded.as_deref() == Some("5.0.0")).then_some(()).ok_or(format!("{recorded:?}"))
    })
    .await;
}
