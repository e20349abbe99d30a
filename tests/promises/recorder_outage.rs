//! A broker that is down, slow, overloaded or cut off in the middle: nothing is lost, nothing is written twice, and no
//! broker is flooded.

use crate::objects::Objects as _;
use std::time::{Duration, Instant};

use futures::future::join_all;
use kube::Api;
use kube::api::DeleteParams;
use pact_operator::api::condition::is_true;
use pact_operator::api::{PactBroker, PactEnvironment};
use serde_json::json;

use testbed::eventually::{always, eventually};
use testbed::rollout::Live;
use testbed::standin::{Effect, Fault, LoggedRequest, StandIn};
use testbed::test_cluster::{BROKER, SOON, TestCluster, annotated, image};

const MANY: usize = 20;

fn names(number: usize) -> Vec<String> {
    (0..number).map(|number| format!("app-{number}")).collect()
}

/// Publishes the version of each and rolls it out; waits until all rollouts are complete.
async fn roll_out(cluster: &TestCluster, namespace: &str, names: &[String], version: &str) -> Vec<Live> {
    let client = cluster.client();
    let lives = join_all(names.iter().map(async |name| {
        cluster.broker.store().publish_version(name, version);
        annotated(name, name, version).apply(&client, namespace).await
    }))
    .await;
    join_all(lives.iter().map(Live::wait_complete)).await;
    lives
}

/// Waits until each record is pending for one of these reasons, with the time of the next try.
async fn wait_pending(cluster: &TestCluster, environment: &str, names: &[String], reasons: &[&str]) {
    for name in names {
        eventually(format!("{name} in {environment} to be pending"), SOON, async || {
            let status = cluster.record(environment, name).await.and_then(|it| it.status).unwrap_or_default();
            let conditions: Vec<_> =
                status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect();
            let reason_matches =
                status.conditions.iter().any(|c| c.type_ == "RecordPending" && reasons.contains(&c.reason.as_str()));
            let pending = is_true(&status.conditions, "RecordPending") && reason_matches && status.next_try.is_some();
            if pending { Ok(()) } else { Err(format!("{conditions:?}, next try {:?}", status.next_try)) }
        })
        .await;
    }
}

/// How many requests the operator has made at brokers so far, by its own count, without those that it did not send.
async fn requests_made(cluster: &TestCluster) -> f64 {
    let metrics = cluster.operators[0].metrics().await;
    let counted = metrics.lines().filter(|line| line.starts_with("pact_operator_broker_requests_total{"));
    let sent = counted.filter(|line| !line.contains("\"Paused\"") && !line.contains("\"Busy\""));
    sent.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[tokio::test]
async fn case_65_a_broker_down_during_20_rollouts_has_20_right_rows_when_it_is_back_and_was_not_flooded() {
    let cluster = TestCluster::start().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let names = names(MANY);
    roll_out(&cluster, &namespace, &names, "1.0.0").await;
    for name in &names {
        cluster.wait_recorded(&environment, name, "1.0.0").await;
    }

    cluster.broker.stop().await;
    roll_out(&cluster, &namespace, &names, "2.0.0").await;
    cluster.wait_broker(BROKER, ("Reachable", "False", "BrokerUnavailable")).await;
    wait_pending(&cluster, &environment, &names, &["BrokerUnavailable"]).await;
    // A version that is replaced while the broker is down never reaches it.
    roll_out(&cluster, &namespace, &names, "3.0.0").await;
    let note = cluster.wait_event(&namespace, "app-0", "RecordFailed").await;
    assert!(note.contains("not recorded yet"), "{note}");

    let before = requests_made(&cluster).await;
    let window = Duration::from_secs(5);
    always("everything stays pending and the old rows stay", window, async || {
        let rows = cluster.broker.store().current_in(&environment);
        let old = rows.iter().filter(|row| row.version == "1.0.0").count();
        (old == MANY).then_some(()).ok_or(format!("{rows:?}"))
    })
    .await;
    // One probe a second is allowed for all 20 together, and some slack for a machine that stalls and catches up.
    let made = requests_made(&cluster).await - before;
    assert!(made >= 1.0, "the operator does not probe whether the broker is back");
    assert!(made <= 15.0, "{made} requests within {window:?} at a broker that is down");

    cluster.broker.restart().await;
    cluster.wait_broker(BROKER, ("Reachable", "True", "Answering")).await;
    for name in &names {
        cluster.wait_recorded(&environment, name, "3.0.0").await;
        cluster.wait_condition(&environment, name, ("RecordPending", "False", "Recorded")).await;
        assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0", "Deployed 3.0.0"]);
        let record = cluster.record(&environment, name).await.unwrap().status.unwrap();
        assert_eq!(record.next_try, None);
    }
    assert_eq!(cluster.broker.store().current_in(&environment).len(), MANY);
}

/// How many requests of a kind came within the last while.
fn count(cluster: &TestCluster, method: &str, since: Instant) -> usize {
    cluster.broker.count_requests(|request| request.method == method && request.at >= since)
}

/// Waits until all have the version, and checks that each was written only once.
async fn wait_written_once(cluster: &TestCluster, environment: &str, names: &[String], version: &str) {
    for name in names {
        cluster.wait_recorded(environment, name, version).await;
        cluster.wait_condition(environment, name, ("Ready", "True", "Recorded")).await;
        let written = cluster.writes(environment, name);
        let times = written.iter().filter(|write| **write == format!("Deployed {version}")).count();
        assert_eq!(times, 1, "{name}: {written:?}");
        assert_eq!(cluster.broker.store().current(environment, name).len(), 1);
    }
}

#[tokio::test]
async fn a_broker_that_fails_throttles_is_slow_or_loses_its_answers_ends_with_one_right_row_each() {
    let cluster = TestCluster::start().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let names = names(5);
    roll_out(&cluster, &namespace, &names, "1.0.0").await;
    wait_written_once(&cluster, &environment, &names, "1.0.0").await;

    writes_that_fail(&cluster, &namespace, &environment, &names).await;
    everything_fails(&cluster, &namespace, &environment, &names).await;
    throttled(&cluster, &namespace, &environment, &names).await;
    answers_lost(&cluster, &namespace, &environment, &names).await;
    slow(&cluster, &namespace, &environment, &names).await;
    too_slow(&cluster, &namespace, &environment, &names).await;
    assert!(!cluster.logs().contains("panicked"), "{}", cluster.logs());
}

async fn writes_that_fail(cluster: &TestCluster, namespace: &str, environment: &str, names: &[String]) {
    cluster.broker.faults().add(Fault::status(500).method("POST"));
    roll_out(cluster, namespace, names, "2.0.0").await;
    wait_pending(cluster, environment, names, &["BrokerUnavailable"]).await;
    let since = Instant::now();
    always("the old rows stay", Duration::from_secs(5), async || {
        let old = names.iter().all(|name| cluster.recorded(environment, name).as_deref() == Some("1.0.0"));
        old.then_some(()).ok_or("a row changed".to_owned())
    })
    .await;
    // Each waits 1 s, then 2 s (the cap here) and more: about 3 tries in 5 s, and some slack.
    let tries = count(cluster, "POST", since);
    assert!((1..=names.len() * 6).contains(&tries), "{tries} tries in 5 s for {} rollouts", names.len());
    cluster.broker.faults().clear();
    wait_written_once(cluster, environment, names, "2.0.0").await;
}

async fn everything_fails(cluster: &TestCluster, namespace: &str, environment: &str, names: &[String]) {
    cluster.broker.faults().add(Fault::status(503));
    cluster.wait_broker(BROKER, ("Ready", "False", "BrokerUnavailable")).await;
    roll_out(cluster, namespace, names, "3.0.0").await;
    wait_pending(cluster, environment, names, &["BrokerUnavailable"]).await;
    cluster.broker.faults().clear();
    cluster.wait_broker(BROKER, ("Ready", "True", "Answering")).await;
    wait_written_once(cluster, environment, names, "3.0.0").await;
}

async fn throttled(cluster: &TestCluster, namespace: &str, environment: &str, names: &[String]) {
    let pause = Duration::from_secs(5);
    let effect = Effect::Status { status: 429, retry_after: Some(pause.as_secs().to_string()) };
    cluster.broker.clear_requests();
    cluster.broker.faults().add(Fault::new(effect).method("POST").times(1));
    roll_out(cluster, namespace, names, "4.0.0").await;
    let throttled = |request: &LoggedRequest| request.status == Some(429);
    eventually("a write to be throttled", SOON, async || {
        if cluster.broker.count_requests(throttled) > 0 { Ok(()) } else { Err("none was".to_owned()) }
    })
    .await;
    wait_written_once(cluster, environment, names, "4.0.0").await;
    let requests = cluster.broker.requests();
    let at = requests.iter().find(|request| throttled(request)).expect("it was seen").at;
    // What was on its way when the answer came may still arrive.
    let quiet = at + Duration::from_millis(700)..at + pause.mul_f64(0.98);
    let rude: Vec<_> = requests.iter().filter(|request| quiet.contains(&request.at)).collect();
    assert!(rude.is_empty(), "sent although the broker asked for {pause:?}: {rude:?}");
    assert_eq!(requests.iter().filter(|request| throttled(request)).count(), 1);
}

async fn answers_lost(cluster: &TestCluster, namespace: &str, environment: &str, names: &[String]) {
    cluster.broker.faults().add(Fault::new(Effect::CutBody).method("POST").times(names.len()));
    roll_out(cluster, namespace, names, "5.0.0").await;
    wait_written_once(cluster, environment, names, "5.0.0").await;
    cluster.broker.faults().clear();

    cluster.broker.faults().add(Fault::status(502).method("POST").after_acting().times(names.len()));
    roll_out(cluster, namespace, names, "6.0.0").await;
    wait_written_once(cluster, environment, names, "6.0.0").await;
    cluster.broker.faults().clear();

    cluster.broker.faults().add(Fault::new(Effect::CutBody).method("GET"));
    roll_out(cluster, namespace, names, "7.0.0").await;
    wait_pending(cluster, environment, names, &["BrokerUnavailable"]).await;
    cluster.broker.faults().clear();
    wait_written_once(cluster, environment, names, "7.0.0").await;
}

async fn slow(cluster: &TestCluster, namespace: &str, environment: &str, names: &[String]) {
    cluster.broker.faults().add(Fault::delay(Duration::from_millis(700)));
    roll_out(cluster, namespace, names, "8.0.0").await;
    wait_written_once(cluster, environment, names, "8.0.0").await;
    cluster.broker.faults().clear();
}

/// Slower than a request may take: every write takes effect, and no answer is ever waited for.
async fn too_slow(cluster: &TestCluster, namespace: &str, environment: &str, names: &[String]) {
    let spec = json!({"url": cluster.broker.url(), "requestTimeoutSeconds": 1});
    cluster.apply::<PactBroker>("PactBroker", BROKER, spec).await;
    cluster.wait_broker(BROKER, ("Ready", "True", "Answering")).await;
    cluster.broker.faults().add(Fault::delay(Duration::from_secs(20)).method("POST").after_acting());
    roll_out(cluster, namespace, names, "9.0.0").await;
    wait_written_once(cluster, environment, names, "9.0.0").await;
    cluster.broker.faults().clear();
}

#[tokio::test]
async fn a_broker_that_never_answers_does_not_delay_another_one() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let hole = StandIn::start().await;
            let broker = format!("hole-{namespace}");
            let spec = json!({"url": hole.url(), "requestTimeoutSeconds": 120});
            cluster.apply::<PactBroker>("PactBroker", &broker, spec).await;
            cluster.wait_broker(&broker, ("Ready", "True", "Answering")).await;
            let other = cluster.namespace().await;
            let unanswered = format!("env-{other}");
            hole.store().add_environment(&unanswered, false);
            cluster.map(&unanswered, &[&other], json!({"brokerRef": {"name": broker}})).await;
            cluster.wait_environment(&unanswered, ("Ready", "True", "Recording")).await;

            hole.faults().add(Fault::new(Effect::Hang));
            let client = cluster.client();
            let many = names(MANY);
            let lives = join_all(many.iter().map(async |name| {
                hole.store().publish_version(name, "1.0.0");
                annotated(name, name, "1.0.0").apply(&client, &other).await
            }))
            .await;
            join_all(lives.iter().map(Live::wait_complete)).await;
            eventually("requests without an answer", SOON, async || {
                let waiting = hole.count_requests(|request| request.status.is_none());
                if waiting > 0 { Ok(()) } else { Err("none".to_owned()) }
            })
            .await;

            let orders = annotated("orders", "orders", "1.0.0").apply(&client, &namespace).await;
            cluster.broker.store().publish_version("orders", "1.0.0");
            cluster.broker.store().publish_version("orders", "2.0.0");
            cluster.wait_recorded(&environment, "orders", "1.0.0").await;
            orders.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "orders", "2.0.0").await;

            hole.faults().clear();
            let now = DeleteParams::default();
            Api::<PactEnvironment>::all(client.clone()).delete(&unanswered, &now).await.unwrap();
            Api::<PactBroker>::all(client).delete(&broker, &now).await.unwrap();
        })
        .await;
}
