//! What the broker says is compared with what runs, again and again: drift is put right, strife is left alone, and a
//! broker that has forgotten everything is not believed at once.

use std::time::Duration;

use serde_json::json;

use crate::testbed::eventually::{always, eventually};
use crate::testbed::rollout::Live;
use crate::testbed::scene::{SOON, Scene, annotated, image};
use crate::testbed::standin::{Effect, Fault};

/// Several comparisons with the broker, one every three seconds.
const SEVERAL_RESYNCS: Duration = Duration::from_secs(11);

async fn deployed(scene: &Scene, namespace: &str, environment: &str, name: &str) -> Live {
    scene.broker.store().publish_version(name, "1.0.0");
    let live = annotated(name, name, "1.0.0").apply(&scene.client(), namespace).await;
    scene.wait_recorded(environment, name, "1.0.0").await;
    scene.wait_condition(environment, name, ("Ready", "True", "Recorded")).await;
    live
}

async fn wait_writes(scene: &Scene, environment: &str, name: &str, expected: &[&str]) {
    eventually(format!("the writes of {name} in {environment} to be {expected:?}"), SOON, async || {
        let writes = scene.writes(environment, name);
        if writes == expected { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
}

/// Waits until it was put right, read back and remembered. A row that is changed between the write and the reading is no
/// strife: the write did not last, and is done again.
async fn wait_corrected(scene: &Scene, environment: &str, name: &str, version: &str) {
    eventually(format!("{name} {version} in {environment} to be put right"), SOON, async || {
        let memory = scene.memory(environment, name).await.ok_or("no PactDeployment")?;
        let corrected = memory.status.unwrap_or_default().corrected_version;
        if corrected.as_deref() == Some(version) { Ok(()) } else { Err(format!("{corrected:?}")) }
    })
    .await;
}

/// The writes stay as they are for several comparisons.
async fn nothing_more(scene: &Scene, environment: &str, name: &str, expected: &[&str]) {
    always(format!("no write of {name} in {environment}"), SEVERAL_RESYNCS, async || {
        let writes = scene.writes(environment, name);
        if writes == expected { Ok(()) } else { Err(format!("{writes:?}")) }
    })
    .await;
}

#[tokio::test]
async fn case_37_somebody_elses_write_is_put_right_once_and_then_left_alone_until_the_next_rollout() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            let orders = deployed(scene, &namespace, &environment, "orders").await;
            let others = || scene.broker.store().record_deployment("orders", "0.9.9", &environment, None);
            others();
            let corrected = ["Deployed 1.0.0", "Deployed 1.0.0"];
            wait_corrected(scene, &environment, "orders", "1.0.0").await;
            scene.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
            nothing_more(scene, &environment, "orders", &corrected).await;

            others();
            scene.wait_condition(&environment, "orders", ("Contested", "True", "Contested")).await;
            let note = scene.wait_event(&namespace, "orders", "Contested").await;
            assert!(note.contains("0.9.9") && note.contains("application instance"), "{note}");
            let counted = gauge(scene, "pact_operator_records_contested").await;
            assert!(counted.is_some_and(|records| records >= 1), "{counted:?}");
            nothing_more(scene, &environment, "orders", &corrected).await;
            assert_eq!(scene.recorded(&environment, "orders").as_deref(), Some("0.9.9"));

            scene.broker.store().publish_version("orders", "2.0.0");
            orders.set_image(&image("2.0.0")).await;
            scene.wait_recorded(&environment, "orders", "2.0.0").await;
            scene.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
        })
        .await;
}

#[tokio::test]
async fn a_row_that_somebody_undeployed_is_recorded_again_once() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            deployed(scene, &namespace, &environment, "orders").await;
            let again = ["Deployed 1.0.0", "Deployed 1.0.0"];
            assert!(scene.broker.store().undeploy("orders", &environment, None));
            wait_corrected(scene, &environment, "orders", "1.0.0").await;
            assert!(scene.broker.store().undeploy("orders", &environment, None));
            scene.wait_condition(&environment, "orders", ("Contested", "True", "Contested")).await;
            nothing_more(scene, &environment, "orders", &again).await;
        })
        .await;
}

#[tokio::test]
async fn case_44_an_environment_deleted_at_the_broker_is_said_to_be_missing_and_recorded_anew_when_it_is_back() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            deployed(scene, &namespace, &environment, "orders").await;
            let before = scene.broker.store().environment_uuid(&environment);
            assert!(scene.broker.store().remove_environment(&environment));
            scene.wait_environment(&environment, ("EnvironmentExists", "False", "EnvironmentMissing")).await;
            scene.wait_condition(&environment, "orders", ("RecordPending", "True", "EnvironmentMissing")).await;
            assert_eq!(scene.broker.store().environment_uuid(&environment), None, "it is not made again by us");
            scene.broker.store().add_environment(&environment, false);
            assert_ne!(scene.broker.store().environment_uuid(&environment), before);
            scene.wait_recorded(&environment, "orders", "1.0.0").await;
            scene.wait_environment(&environment, ("Ready", "True", "Recording")).await;
            scene.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
        })
        .await;
}

#[tokio::test]
async fn cases_45_and_46_a_broker_that_has_forgotten_everything_raises_an_alarm_and_nothing_is_taken_back() {
    let scene = Scene::start().await;
    let namespace = scene.namespace().await;
    let environment = scene.environment(&[&namespace], json!({"record": {"undeployGraceSeconds": 1}})).await;
    let mut lives = Vec::new();
    let names = ["orders", "stock", "carts", "bills"];
    for name in names {
        lives.push(deployed(&scene, &namespace, &environment, name).await);
    }

    // Case 46: an empty list by error, of a proxy or for want of a permission; meanwhile a workload goes.
    scene.broker.faults().add(Fault::new(Effect::EmptyLists).path("currently-deployed"));
    scene.wait_environment(&environment, ("Ready", "False", "BrokerAnomaly")).await;
    lives.pop().unwrap().delete().await;
    scene.wait_condition(&environment, "bills", ("Ready", "False", "BrokerAnomaly")).await;
    always("nothing is written", SEVERAL_RESYNCS, async || {
        let writes: Vec<_> = names.iter().flat_map(|name| scene.writes(&environment, name)).collect();
        (writes == ["Deployed 1.0.0"; 4]).then_some(()).ok_or(format!("{writes:?}"))
    })
    .await;
    scene.wait_environment(&environment, ("Ready", "False", "BrokerAnomaly")).await;
    assert_eq!(gauge(&scene, "pact_operator_environments_suspicious").await, Some(1));
    scene.broker.faults().clear();
    scene.wait_environment(&environment, ("Ready", "True", "Recording")).await;
    assert_eq!(gauge(&scene, "pact_operator_environments_suspicious").await, Some(0));
    wait_writes(&scene, &environment, "bills", &["Deployed 1.0.0", "Undeployed 1.0.0"]).await;
    for name in ["orders", "stock", "carts"] {
        scene.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
        assert_eq!(scene.writes(&environment, name), ["Deployed 1.0.0"]);
    }

    // Case 45: the broker was really reset, more than once. What runs is recorded anew each time.
    for times in 1..=3 {
        for name in ["orders", "stock", "carts"] {
            assert!(scene.broker.store().undeploy(name, &environment, None));
        }
        scene.wait_environment(&environment, ("Ready", "False", "BrokerAnomaly")).await;
        for name in ["orders", "stock", "carts"] {
            wait_writes(&scene, &environment, name, &vec!["Deployed 1.0.0"; 1 + times]).await;
            scene.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
        }
        scene.wait_environment(&environment, ("Ready", "True", "Recording")).await;
    }
    assert!(!scene.logs().contains("panicked"), "{}", scene.logs());
}

/// What the operator says of itself.
async fn gauge(scene: &Scene, name: &str) -> Option<u64> {
    let metrics = scene.operators[0].metrics().await;
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}
