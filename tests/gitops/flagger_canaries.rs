//! Flagger around the gate: what is judged, what holds a Canary up, and what is recorded of it.

use serde_json::json;
use testbed::test_cluster::image;

use crate::flagger::Flagger;
use crate::gate_setup::consumer_of;

#[tokio::test]
async fn a_canary_waits_until_it_is_verified_and_is_recorded_when_its_primary_is_whole() {
    let flagger = Flagger::shared().await;
    let setup = &flagger.endpoint.setup;
    let environment = setup.gated(json!({"mode": "Warn"})).await;
    let store = setup.cluster.broker.store();
    consumer_of(&setup.cluster.broker, &environment.name, "fl-orders");
    let verify =
        |version: &str, works: bool| assert!(store.verify("web-of-fl-orders", "7", "fl-orders", version, works));
    verify("1.0.0", true);
    store.publish_version("fl-orders", "2.0.0");
    let canary = flagger.canary(&environment, "fl-orders").await;

    // Nobody has verified 2.0.0: its target is admitted with a warning, and the Canary waits.
    let said = setup.set_version(&environment.namespace, "fl-orders", "2.0.0", &[]).await;
    assert!(said.code == 0 && said.warnings()[0].contains("fl-orders 2.0.0"), "{said:?}");
    canary.wait_phase("Waiting").await;
    canary.wait_event("CanaryHalted", "fl-orders 2.0.0 may not be deployed to").await;
    canary.wait_event("Synced", "Halt fl-orders.").await;
    assert_eq!(canary.target.get().await.spec.unwrap().replicas, Some(0), "not a pod of it");
    assert_eq!(canary.recorded().as_deref(), Some("1.0.0"));

    verify("2.0.0", true);
    canary.recorded_when_whole("2.0.0").await;
    canary.wait_phase("Succeeded").await;
    let annotations = canary.primary().get().await.metadata.annotations.unwrap_or_default();
    assert!(
        !annotations.keys().any(|key| key.starts_with("pact-operator.dev/")),
        "Flagger wiped them: {annotations:?}"
    );

    // 3.0.0 turns out to be broken during its analysis.
    verify("3.0.0", true);
    canary.target.set_image(&image("3.0.0")).await;
    canary.wait_phase("Progressing").await;
    verify("3.0.0", false);
    canary.wait_phase("Failed").await;
    canary.wait_event("CanaryRollback", "fl-orders 3.0.0 may not be deployed to").await;
    assert_eq!(canary.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);

    // The primary says no longer what it is. It is recorded all the same.
    verify("4.0.0", true);
    canary.target.set_image(&image("4.0.0")).await;
    canary.recorded_when_whole("4.0.0").await;
    canary.wait_phase("Succeeded").await;
    assert_eq!(canary.writes(), ["Deployed 1.0.0", "Deployed 2.0.0", "Deployed 4.0.0"]);
    assert!(!flagger.log().contains(&flagger.endpoint.token), "the token is nowhere in Flagger's log");
}

#[tokio::test]
async fn the_change_of_a_target_is_judged_and_flagger_never_hears_of_one_that_is_denied() {
    let flagger = Flagger::shared().await;
    let setup = &flagger.endpoint.setup;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "fl-stock");
    let canary = flagger.canary(&environment, "fl-stock").await;
    let said = setup.set_version(&environment.namespace, "fl-stock", "2.0.0", &[]).await;
    assert!(said.denial().is_some_and(|text| text.starts_with("fl-stock 2.0.0 may not be deployed to")), "{said:?}");
    setup.wait_reported(&environment.namespace, "fl-stock", "RolloutDenied").await;
    assert_eq!(canary.phase().await, "Initialized");
    assert_eq!(canary.writes(), ["Deployed 1.0.0"]);
}
