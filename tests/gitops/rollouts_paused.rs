//! What the real Argo Rollouts does with `spec.paused`: why a Rollout is denied and never held (docs/contributing/hold.md), and
//! what is recorded of one that its owner pauses.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::test_cluster::{SOON, image};

use crate::built::apply;
use crate::rollouts::{ArgoRollouts, manifest};
use crate::rollouts_recorded::{canary, environment, recorded_when_whole, stays_recorded, writes};
use crate::team::api;

/// How long something is watched that should not happen.
const A_WHILE: Duration = Duration::from_secs(5);

fn rollouts(argo: &ArgoRollouts, namespace: &str) -> Api<DynamicObject> {
    api(&argo.endpoint.setup, "argoproj.io", "v1alpha1", "Rollout", namespace)
}

async fn patch(argo: &ArgoRollouts, namespace: &str, name: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    rollouts(argo, namespace).patch(name, &PatchParams::default(), &patch).await.expect("a Rollout");
}

/// A part of a spec: another version, paused or not.
fn version(version: &str, paused: bool) -> Value {
    let containers = json!([{"name": "app", "image": image(version)}]);
    json!({"paused": paused, "template": {"spec": {"containers": containers}}})
}

/// Which versions have pods in a namespace, whoever made them, and how many.
async fn pods(argo: &ArgoRollouts, namespace: &str) -> BTreeSet<(String, i32)> {
    let sets = Api::<ReplicaSet>::namespaced(argo.endpoint.setup.cluster.client(), namespace);
    let sets = sets.list(&ListParams::default()).await.expect("the ReplicaSets").items.into_iter();
    let counted = sets.filter_map(|set| {
        let count = set.status?.replicas;
        let image = set.spec?.template?.spec?.containers.remove(0).image?;
        (count > 0).then(|| (image.rsplit(':').next().unwrap_or_default().to_owned(), count))
    });
    counted.collect()
}

fn these(pods: &[(&str, i32)]) -> BTreeSet<(String, i32)> {
    pods.iter().map(|(version, count)| ((*version).to_owned(), *count)).collect()
}

async fn comes_to(argo: &ArgoRollouts, namespace: &str, expected: &[(&str, i32)], what: &str) {
    eventually(what, SOON, async || {
        let now = pods(argo, namespace).await;
        if now == these(expected) { Ok(()) } else { Err(format!("{now:?}\n{}", argo.log())) }
    })
    .await;
}

async fn stays_at(argo: &ArgoRollouts, namespace: &str, expected: &[(&str, i32)], why: &str) {
    always(why, A_WHILE, async || {
        let now = pods(argo, namespace).await;
        if now == these(expected) { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_paused_canary_makes_no_pod_and_what_serves_is_no_longer_scaled() {
    let argo = ArgoRollouts::shared().await;
    let namespace = argo.endpoint.setup.cluster.namespace().await;
    let rollout = argo.rollout(&namespace, "paused-canary", &canary()).await;
    patch(&argo, &namespace, "paused-canary", version("2.0.0", true)).await;
    rollout.wait_phase("Paused").await;
    rollout.wait_status("another revision to be the current one", |it| it["stableRS"] != it["currentPodHash"]).await;
    stays_at(&argo, &namespace, &[("1.0.0", 2)], "no pod of the new version").await;

    // As an autoscaler does it under load.
    patch(&argo, &namespace, "paused-canary", json!({"replicas": 4})).await;
    rollout.wait_phase("Paused").await;
    stays_at(&argo, &namespace, &[("1.0.0", 2)], "the old version is not scaled either").await;

    patch(&argo, &namespace, "paused-canary", json!({"paused": false})).await;
    comes_to(&argo, &namespace, &[("1.0.0", 2), ("2.0.0", 2)], "it to go on, with the pods asked for meanwhile").await;
}

#[tokio::test]
async fn a_paused_canary_makes_the_pods_of_an_experiment() {
    let argo = ArgoRollouts::shared().await;
    let namespace = argo.endpoint.setup.cluster.namespace().await;
    let templates = json!([{"name": "tried", "specRef": "canary", "replicas": 1}]);
    let experiment = json!({"experiment": {"duration": "1h", "templates": templates}});
    let strategy = json!({"canary": {"steps": [experiment, {"setWeight": 50}, {"pause": {}}]}});
    let rollout = argo.rollout(&namespace, "experimenting", &strategy).await;
    patch(&argo, &namespace, "experimenting", version("2.0.0", true)).await;
    comes_to(&argo, &namespace, &[("1.0.0", 2), ("2.0.0", 1)], "a pod of the new version").await;
    assert_eq!(rollout.wait_phase("Paused").await["spec"]["paused"], true);
}

#[tokio::test]
async fn a_first_version_that_is_paused_gets_its_pods_when_the_next_one_goes_on() {
    let argo = ArgoRollouts::shared().await;
    let namespace = argo.endpoint.setup.cluster.namespace().await;
    let mut first = manifest("paused-first", "1.0.0", &canary());
    first["spec"]["paused"] = json!(true);
    apply(&argo.endpoint.setup.cluster.control_plane, &namespace, &[first]).await;
    let rollout = argo.existing(&namespace, "paused-first");
    rollout
        .wait_status("it to be stable", |it| it["stableRS"].is_string() && it["stableRS"] == it["currentPodHash"])
        .await;
    stays_at(&argo, &namespace, &[], "it is stable, and has no pod").await;

    patch(&argo, &namespace, "paused-first", version("2.0.0", false)).await;
    comes_to(&argo, &namespace, &[("1.0.0", 1), ("2.0.0", 1)], "a pod of the version that never was resumed").await;
}

#[tokio::test]
async fn a_paused_blue_green_rollout_makes_all_pods_of_the_new_version() {
    let argo = ArgoRollouts::shared().await;
    let setup = &argo.endpoint.setup;
    let namespace = setup.cluster.namespace().await;
    let name = "paused-blue-green";
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    });
    apply(&setup.cluster.control_plane, &namespace, &[service]).await;
    let rollout = argo.rollout(&namespace, name, &json!({"blueGreen": {"activeService": name}})).await;
    let selects = async || {
        let service = Api::<Service>::namespaced(setup.cluster.client(), &namespace).get(name).await.unwrap();
        service.spec.unwrap().selector.unwrap_or_default().get("rollouts-pod-template-hash").cloned()
    };
    let before = selects().await;
    assert!(before.is_some());
    patch(&argo, &namespace, name, version("2.0.0", true)).await;
    comes_to(&argo, &namespace, &[("1.0.0", 2), ("2.0.0", 2)], "the pods of the new version").await;
    rollout.wait_phase("Paused").await;
    stays_at(&argo, &namespace, &[("1.0.0", 2), ("2.0.0", 2)], "they stay").await;
    assert_eq!(selects().await, before, "the traffic does not move");
}

/// Whether the status is about the current spec, by its generation, and yet names the revision before, as finished.
fn names_the_revision_before(rollout: &Value, hash: &str) -> bool {
    let status = &rollout["status"];
    let observed = status["observedGeneration"].as_str().map(str::to_owned);
    let available =
        |it: &Value| it["type"] == "Progressing" && it["status"] == "True" && it["reason"] == "NewReplicaSetAvailable";
    observed == rollout["metadata"]["generation"].as_u64().map(|it| it.to_string())
        && [&status["stableRS"], &status["currentPodHash"]].iter().all(|it| **it == hash)
        && status["replicas"] == status["updatedReplicas"]
        && status["conditions"].as_array().is_some_and(|all| all.iter().any(available))
}

#[tokio::test]
async fn paused_on_its_way_back_it_says_finished_of_the_revision_before_and_is_not_recorded() {
    let argo = ArgoRollouts::shared().await;
    let name = "paused-back";
    let at = environment(&argo, name).await;
    let rollout = argo.rollout(&at.namespace, name, &canary()).await;
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;
    rollout.set_version("2.0.0").await;
    rollout.wait_phase("Paused").await;
    rollout.promote().await;
    recorded_when_whole(&argo, &at, &rollout, "2.0.0").await;

    let before = rollout.get().await;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (hash, seen) = (text(&before["status"]["stableRS"]), text(&before["metadata"]["resourceVersion"]));
    patch(&argo, &at.namespace, name, version("1.0.0", true)).await;
    let only = WatchParams::default().fields(&format!("metadata.name={name}")).timeout(30);
    let mut changes = rollouts(&argo, &at.namespace).watch(&only, &seen).await.expect("a watch").boxed();
    let mut told = false;
    while let Some(Ok(WatchEvent::Modified(object))) = changes.next().await {
        let object = serde_json::to_value(object).unwrap();
        let back = object["spec"]["paused"] == true;
        told |= back && names_the_revision_before(&object, &hash);
        if back && object["status"]["currentPodHash"] != hash.as_str() {
            break;
        }
    }
    assert!(told, "the controller has said so");
    stays_recorded(&argo, &at, name, "2.0.0", "it is paused, and no pod of 1.0.0 is there").await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0", "Deployed 2.0.0"]);

    patch(&argo, &at.namespace, name, json!({"paused": false})).await;
    rollout.wait_status("its first step", |it| it["pauseConditions"].is_array()).await;
    rollout.promote().await;
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;
}
