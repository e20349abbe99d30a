//! The broker's records are compared with what runs, again and again: drift is corrected, a contested record is left
//! alone, and a broker that has lost everything is not trusted at once.

use crate::objects::Objects as _;
use std::time::Duration;

use serde_json::json;

use super::recorder_removal::deployed;
use testbed::eventually::{always, eventually};
use testbed::standin::{Effect, Fault};
use testbed::test_cluster::{SOON, TestCluster, image};

/// Several comparisons with the broker, one every three seconds.
const SEVERAL_RESYNCS: Duration = Duration::from_secs(11);

async fn wait_writes(cluster: &TestCluster, environment: &str, name: &str, expected: &[&str]) {
    eventually(format!("the writes of {name} in {environment} to be {expected:?}"), SOON, async || {
        let writes = cluster.writes(environment, name);
        if writes == expected { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
}

/// Waits until the row was corrected, read back, and the correction stored in the record. A row that is changed between
/// the write and the reading is not contested: the write did not last, and is done again.
async fn wait_corrected(cluster: &TestCluster, environment: &str, name: &str, version: &str) {
    eventually(format!("{name} {version} in {environment} to be corrected"), SOON, async || {
        let record = cluster.record(environment, name).await.ok_or("no PactDeployment")?;
        let corrected = record.status.unwrap_or_default().corrected_version;
        if corrected.as_deref() == Some(version) { Ok(()) } else { Err(format!("{corrected:?}")) }
    })
    .await;
}

/// Asserts that no further write follows during several comparisons.
async fn nothing_more(cluster: &TestCluster, environment: &str, name: &str, expected: &[&str]) {
    always(format!("no write of {name} in {environment}"), SEVERAL_RESYNCS, async || {
        let writes = cluster.writes(environment, name);
        if writes == expected { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
}

#[tokio::test]
async fn case_37_another_clients_write_is_corrected_once_and_then_left_alone_until_the_next_rollout() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let orders = deployed(&cluster, &namespace, &environment, "orders").await;
            let others = || cluster.broker.store().record_deployment("orders", "0.9.9", &environment, None);
            others();
            let corrected = ["Deployed 1.0.0", "Deployed 1.0.0"];
            wait_corrected(&cluster, &environment, "orders", "1.0.0").await;
            cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
            nothing_more(&cluster, &environment, "orders", &corrected).await;

            others();
            cluster.wait_condition(&environment, "orders", ("Contested", "True", "Contested")).await;
            let note = cluster.wait_event(&namespace, "orders", "Contested").await;
            assert!(note.contains("0.9.9") && note.contains("application instance"), "{note}");
            let counted = gauge(&cluster, "pact_operator_records_contested").await;
            assert!(counted.is_some_and(|records| records >= 1), "{counted:?}");
            nothing_more(&cluster, &environment, "orders", &corrected).await;
            assert_eq!(cluster.recorded(&environment, "orders").as_deref(), Some("0.9.9"));

            cluster.broker.store().publish_version("orders", "2.0.0");
            orders.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "orders", "2.0.0").await;
            cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
        })
        .await;
}

#[tokio::test]
async fn a_row_that_another_client_undeployed_is_recorded_again_once() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            deployed(&cluster, &namespace, &environment, "orders").await;
            let again = ["Deployed 1.0.0", "Deployed 1.0.0"];
            assert!(cluster.broker.store().undeploy("orders", &environment, None));
            wait_corrected(&cluster, &environment, "orders", "1.0.0").await;
            assert!(cluster.broker.store().undeploy("orders", &environment, None));
            cluster.wait_condition(&environment, "orders", ("Contested", "True", "Contested")).await;
            nothing_more(&cluster, &environment, "orders", &again).await;
        })
        .await;
}

#[tokio::test]
async fn case_44_an_environment_deleted_at_the_broker_is_reported_missing_and_recorded_anew_when_it_is_back() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            deployed(&cluster, &namespace, &environment, "orders").await;
            let before = cluster.broker.store().environment_uuid(&environment);
            assert!(cluster.broker.store().remove_environment(&environment));
            cluster.wait_environment(&environment, ("EnvironmentExists", "False", "EnvironmentMissing")).await;
            cluster.wait_condition(&environment, "orders", ("RecordPending", "True", "EnvironmentMissing")).await;
            assert_eq!(
                cluster.broker.store().environment_uuid(&environment),
                None,
                "the operator does not create it again"
            );
            cluster.broker.store().add_environment(&environment, false);
            assert_ne!(cluster.broker.store().environment_uuid(&environment), before);
            cluster.wait_recorded(&environment, "orders", "1.0.0").await;
            cluster.wait_environment(&environment, ("Ready", "True", "Recording")).await;
            cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
        })
        .await;
}

#[tokio::test]
async fn cases_45_and_46_a_broker_that_has_forgotten_everything_raises_an_alarm_and_nothing_is_undeployed() {
    let cluster = TestCluster::start().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({"record": {"undeployGraceSeconds": 1}})).await;
    let mut lives = Vec::new();
    let names = ["orders", "stock", "carts", "bills"];
    for name in names {
        lives.push(deployed(&cluster, &namespace, &environment, name).await);
    }

    // Case 46: an erroneous empty list, from a proxy or because a permission is missing; meanwhile a workload is
    // deleted.
    cluster.broker.faults().add(Fault::new(Effect::EmptyLists).path("currently-deployed"));
    cluster.wait_environment(&environment, ("Ready", "False", "BrokerAnomaly")).await;
    lives.pop().unwrap().delete().await;
    cluster.wait_condition(&environment, "bills", ("Ready", "False", "BrokerAnomaly")).await;
    always("nothing is written", SEVERAL_RESYNCS, async || {
        let writes: Vec<_> = names.iter().flat_map(|name| cluster.writes(&environment, name)).collect();
        (writes == ["Deployed 1.0.0"; 4]).then_some(()).ok_or(format!("{writes:?}"))
    })
    .await;
    cluster.wait_environment(&environment, ("Ready", "False", "BrokerAnomaly")).await;
    assert_eq!(gauge(&cluster, "pact_operator_environments_suspicious").await, Some(1));
    cluster.broker.faults().clear();
    cluster.wait_environment(&environment, ("Ready", "True", "Recording")).await;
    assert_eq!(gauge(&cluster, "pact_operator_environments_suspicious").await, Some(0));
    wait_writes(&cluster, &environment, "bills", &["Deployed 1.0.0", "Undeployed 1.0.0"]).await;
    for name in ["orders", "stock", "carts"] {
        cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
        assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0"]);
    }

    // Case 45: the broker was really reset, more than once. What runs is recorded anew each time.
    for times in 1..=3 {
        for name in ["orders", "stock", "carts"] {
            assert!(cluster.broker.store().undeploy(name, &environment, None));
        }
        cluster.wait_environment(&environment, ("Ready", "False", "BrokerAnomaly")).await;
        for name in ["orders", "stock", "carts"] {
            wait_writes(&cluster, &environment, name, &vec!["Deployed 1.0.0"; 1 + times]).await;
            cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
        }
        cluster.wait_environment(&environment, ("Ready", "True", "Recording")).await;
    }
    assert!(!cluster.logs().contains("panicked"), "{}", cluster.logs());
}

/// A metric of the operator.
async fn gauge(cluster: &TestCluster, name: &str) -> Option<u64> {
    let metrics = cluster.operators[0].metrics().await;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
