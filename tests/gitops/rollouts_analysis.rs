//! The `AnalysisTemplate` that the page about Argo Rollouts prints, run by its controller against the verdict endpoint.

use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::test_cluster::{SOON, image};

use crate::built::apply;
use crate::gate_setup::{MappedEnvironment, consumer_of};
use crate::rollouts::{ArgoRollouts, Rollout};

/// The page whose objects are tested.
const PAGE: &str = include_str!("../../docs/argo-rollouts.md");

/// A Rollout that runs 1.0.0, of which everything is verified, with the strategy that the page prints.
async fn running<'a>(argo: &'a ArgoRollouts, name: &str) -> (MappedEnvironment, Rollout<'a>) {
    running_with(argo, name, json!({"mode": "Enforce"}), json!({})).await
}

/// The same with this gate, and this in the template's metric.
async fn running_with<'a>(
    argo: &'a ArgoRollouts,
    name: &str,
    gate: Value,
    more: Value,
) -> (MappedEnvironment, Rollout<'a>) {
    let setup = &argo.endpoint.setup;
    let environment = setup.gated(gate).await;
    consumer_of(&setup.cluster.broker, &environment.name, name);
    assert!(setup.cluster.broker.store().verify(&format!("web-of-{name}"), "7", name, "1.0.0", true));
    setup.cluster.broker.store().publish_version(name, "2.0.0");
    let mut template = argo.endpoint.printed(PAGE, "apiVersion: argoproj.io/v1alpha1");
    for (key, value) in more.as_object().into_iter().flatten() {
        template["spec"]["metrics"][0][key] = value.clone();
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pact-ask-token"},
        "stringData": {"token": argo.endpoint.token},
    });
    apply(&setup.cluster.control_plane, &environment.namespace, &[template, secret]).await;
    let mut strategy = argo.endpoint.printed(PAGE, "strategy:")["strategy"].clone();
    let steps = &mut strategy["canary"]["steps"];
    let pacticipant = &mut steps[0]["analysis"]["args"][0];
    assert_eq!(*pacticipant, json!({"name": "pacticipant", "value": "stock"}));
    pacticipant["value"] = json!(name);
    assert_eq!(steps[2]["pause"]["duration"], "10m");
    steps[2]["pause"]["duration"] = json!("1s");
    let rollout = argo.rollout(&environment.namespace, name, &strategy).await;
    (environment, rollout)
}

/// What was measured, as the endpoint answered it.
fn verdict(measured: &str) -> Value {
    let measured: Value = serde_json::from_str(measured).unwrap_or_else(|error| panic!("{error}: {measured}"));
    measured["verdict"].clone()
}

#[tokio::test]
async fn the_printed_analysis_passes_what_may_be_deployed() {
    let argo = ArgoRollouts::shared().await;
    let (_, rollout) = running(&argo, "ar-passes").await;
    assert!(argo.endpoint.setup.cluster.broker.store().verify("web-of-ar-passes", "7", "ar-passes", "2.0.0", true));
    rollout.set_version("2.0.0").await;
    let analyses = rollout.wait_analyses(1).await;
    assert_eq!((analyses[0].0.as_str(), verdict(&analyses[0].1)), ("Successful", json!("Yes")), "{analyses:?}");
    rollout.wait_healthy("2.0.0").await;
}

#[tokio::test]
async fn the_printed_analysis_aborts_what_may_not_be_deployed() {
    let argo = ArgoRollouts::shared().await;
    let (_, rollout) = running(&argo, "ar-fails").await;
    assert!(argo.endpoint.setup.cluster.broker.store().verify("web-of-ar-fails", "7", "ar-fails", "2.0.0", false));
    rollout.set_version("2.0.0").await;
    let analyses = rollout.wait_analyses(1).await;
    assert_eq!((analyses[0].0.as_str(), verdict(&analyses[0].1)), ("Failed", json!("No")), "{analyses:?}");
    assert!(analyses[0].1.contains("web-of-ar-fails"), "the reason is readable: {analyses:?}");
    let degraded = rollout.wait_phase("Degraded").await;
    assert_eq!(degraded["status"]["abort"], true, "{degraded}");
    assert_ne!(degraded["status"]["stableRS"], degraded["status"]["currentPodHash"], "{degraded}");
}

#[tokio::test]
async fn the_printed_analysis_pauses_what_is_not_known_and_asks_again_when_resumed() {
    let argo = ArgoRollouts::shared().await;
    let (environment, rollout) = running(&argo, "ar-pauses").await;
    rollout.set_version("2.0.0").await;
    let analyses = rollout.wait_analyses(1).await;
    assert_eq!((analyses[0].0.as_str(), verdict(&analyses[0].1)), ("Inconclusive", json!("Unknown")), "{analyses:?}");
    let paused = rollout.wait_phase("Paused").await;
    assert_eq!(paused["status"]["pauseConditions"][0]["reason"], "InconclusiveAnalysisRun", "{paused}");

    assert!(argo.endpoint.setup.cluster.broker.store().verify("web-of-ar-pauses", "7", "ar-pauses", "2.0.0", true));
    // An answer is remembered for some seconds.
    eventually("2.0.0 to be known as verified", SOON, async || {
        let told = argo.endpoint.ask("ar-pauses", "2.0.0", &environment.name).await;
        if told["deployable"] == true { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
    rollout.promote().await;
    let analyses = rollout.wait_analyses(2).await;
    assert_eq!((analyses[1].0.as_str(), verdict(&analyses[1].1)), ("Successful", json!("Yes")), "{analyses:?}");
    rollout.wait_healthy("2.0.0").await;
}

#[tokio::test]
async fn the_printed_analysis_can_wait_for_a_verification() {
    let argo = ArgoRollouts::shared().await;
    let mut waits = argo.endpoint.printed(PAGE, "interval: 1m");
    waits["interval"] = json!("2s");
    let (_, rollout) = running_with(&argo, "ar-waits", json!({"mode": "Enforce"}), waits).await;
    rollout.set_version("2.0.0").await;
    rollout.wait_inconclusive(2).await;
    assert!(argo.endpoint.setup.cluster.broker.store().verify("web-of-ar-waits", "7", "ar-waits", "2.0.0", true));
    let analyses = rollout.wait_analyses(1).await;
    assert_eq!(analyses[0].0, "Successful", "{analyses:?}");
    rollout.wait_healthy("2.0.0").await;
}

#[tokio::test]
async fn what_is_not_verified_yet_is_admitted_by_policy_and_waits_in_its_analysis_without_a_pod() {
    let argo = ArgoRollouts::shared().await;
    let setup = &argo.endpoint.setup;
    let mut waits = argo.endpoint.printed(PAGE, "interval: 1m");
    waits["interval"] = json!("2s");
    let name = "ar-admitted";
    let (at, rollout) = running_with(&argo, name, argo.endpoint.printed(PAGE, "mode: Enforce"), waits).await;
    let change = |spec: Value| json!({"spec": spec}).to_string();
    let patch = async |spec: Value| {
        let said = setup.kubectl(&at.namespace, &["patch", "rollout", name, "--type=merge", "-p", &change(spec)]).await;
        assert_eq!(said.code, 0, "{said:?}");
        said
    };
    let containers = json!([{"name": "app", "image": image("2.0.0")}]);
    let said = patch(json!({"template": {"spec": {"containers": containers}}})).await;
    assert!(said.warnings().iter().any(|it| it.starts_with("ar-admitted 2.0.0 ")), "{said:?}");
    rollout.wait_inconclusive(2).await;

    // What serves is scaled meanwhile.
    patch(json!({"replicas": 4})).await;
    rollout.wait_status("4 pods", |it| it["availableReplicas"] == 4).await;
    rollout.wait_inconclusive(4).await;
    assert_eq!(rollout.served().await, [image("1.0.0")].into(), "no pod of what is not verified");
    assert!(setup.cluster.broker.store().verify("web-of-ar-admitted", "7", name, "2.0.0", true));
    rollout.wait_healthy("2.0.0").await;
}
