//! What is recorded of a real Argo Rollout, and when; what is judged of it, and what is live for others meanwhile.

use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::test_cluster::{SOON, annotated};

use crate::built::apply;
use crate::gate_setup::MappedEnvironment;
use crate::objects::Objects as _;
use crate::rollouts::{ArgoRollouts, Rollout, manifest};
use crate::team::api;

/// What a test has: an environment that enforces, and pacticipant of the Rollout's name at which each version from 1.0.0 to
/// 3.0.0 is published, without a pact.
pub async fn environment(argo: &ArgoRollouts, name: &str) -> MappedEnvironment {
    let setup = &argo.endpoint.setup;
    let environment = setup.gated(json!({"mode": "Enforce", "actions": {"yesVacuous": "Allow"}})).await;
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        setup.cluster.broker.store().publish_version(name, version);
    }
    environment
}

/// One pod of the new version, then a pause that somebody has to end.
pub fn canary() -> Value {
    json!({"canary": {"steps": [{"setWeight": 50}, {"pause": {}}]}})
}

/// Waits until a version is recorded; at that moment the Rollout must be whole with it.
pub async fn recorded_when_whole(argo: &ArgoRollouts, at: &MappedEnvironment, rollout: &Rollout<'_>, version: &str) {
    eventually(format!("{} {version} to be recorded", rollout.name), SOON, async || {
        let recorded = argo.endpoint.setup.cluster.recorded(&at.name, &rollout.name);
        let whole = rollout.whole_with(version).await;
        if recorded.as_deref() != Some(version) {
            return Err(format!("{recorded:?} is recorded, {whole:?}"));
        }
        assert_eq!(whole, Ok(()), "{} {version} is recorded", rollout.name);
        Ok(())
    })
    .await;
}

/// Checks for some seconds that nothing else is recorded.
pub async fn stays_recorded(argo: &ArgoRollouts, at: &MappedEnvironment, name: &str, version: &str, why: &str) {
    always(why, std::time::Duration::from_secs(5), async || {
        let recorded = argo.endpoint.setup.cluster.recorded(&at.name, name);
        if recorded.as_deref() == Some(version) { Ok(()) } else { Err(format!("{recorded:?}")) }
    })
    .await;
}

/// All that was ever recorded of it, in order.
pub fn writes(argo: &ArgoRollouts, at: &MappedEnvironment, name: &str) -> Vec<String> {
    argo.endpoint.setup.cluster.writes(&at.name, name)
}

#[tokio::test]
async fn a_canary_is_recorded_when_it_is_promoted_and_both_versions_are_live_until_then() {
    let argo = ArgoRollouts::shared().await;
    let name = "ar-canary";
    let at = environment(&argo, name).await;
    // A consumer that may be deployed beside 1.0.0 and not beside 2.0.0.
    let store = argo.endpoint.setup.cluster.broker.store();
    store.publish_pact("ar-web", "8", name, "what it expects");
    assert!(store.verify("ar-web", "8", name, "1.0.0", true) && store.verify("ar-web", "8", name, "2.0.0", false));
    let consumer = async |expected: &str| {
        eventually(format!("the consumer to be told {expected}"), SOON, async || {
            let told = argo.endpoint.ask("ar-web", "8", &at.name).await;
            if told["verdict"] == expected { Ok(()) } else { Err(told.to_string()) }
        })
        .await;
    };
    let rollout = argo.rollout(&at.namespace, name, &canary()).await;
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;
    consumer("Yes").await;

    rollout.set_version("2.0.0").await;
    rollout.wait_phase("Paused").await;
    consumer("No").await;
    stays_recorded(&argo, &at, name, "1.0.0", "a canary is not promoted").await;

    // Undone in the middle of it.
    rollout.set_version("1.0.0").await;
    rollout.wait_healthy("1.0.0").await;
    consumer("Yes").await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0"]);

    rollout.set_version("2.0.0").await;
    rollout.wait_phase("Paused").await;
    rollout.promote().await;
    recorded_when_whole(&argo, &at, &rollout, "2.0.0").await;
    consumer("No").await;

    // Undone after it, which is a rollback.
    rollout.set_version("1.0.0").await;
    rollout.wait_phase("Paused").await;
    rollout.set_status(json!({"promoteFull": true})).await;
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0", "Deployed 2.0.0", "Deployed 1.0.0"]);
}

#[tokio::test]
async fn an_aborted_canary_is_never_recorded_until_it_is_tried_again_and_promoted() {
    let argo = ArgoRollouts::shared().await;
    let name = "ar-aborted";
    let at = environment(&argo, name).await;
    let rollout = argo.rollout(&at.namespace, name, &canary()).await;
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;
    rollout.set_version("2.0.0").await;
    rollout.wait_phase("Paused").await;
    rollout.set_status(json!({"abort": true})).await;
    rollout.wait_phase("Degraded").await;
    stays_recorded(&argo, &at, name, "1.0.0", "the spec names 2.0.0, and no pod runs it").await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0"]);

    rollout.set_status(json!({"abort": false})).await;
    rollout.wait_phase("Paused").await;
    rollout.promote().await;
    recorded_when_whole(&argo, &at, &rollout, "2.0.0").await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0", "Deployed 2.0.0"]);
}

/// The controller reports that it has seen the spec, and all else of the revision that runs.
#[tokio::test]
async fn a_version_of_which_there_is_no_revision_is_not_recorded() {
    let argo = ArgoRollouts::shared().await;
    let name = "ar-invalid";
    let at = environment(&argo, name).await;
    let rollout = argo.rollout(&at.namespace, name, &canary()).await;
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;

    // The analysis of its new step is not there yet.
    let analysis = json!({"analysis": {"templates": [{"templateName": "later"}]}});
    let strategy = json!({"canary": {"steps": [analysis, {"setWeight": 50}]}});
    apply(&argo.endpoint.setup.cluster.control_plane, &at.namespace, &[manifest(name, "2.0.0", &strategy)]).await;
    let refused = rollout.wait_phase("Degraded").await;
    let status = &refused["status"];
    assert!(status["message"].as_str().is_some_and(|it| it.starts_with("InvalidSpec")), "{status}");
    assert_eq!((&status["stableRS"], &status["updatedReplicas"]), (&status["currentPodHash"], &json!(2)), "{status}");
    stays_recorded(&argo, &at, name, "1.0.0", "no pod of 2.0.0 is there").await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0"]);
    let told = ("Ready", "False", "RolloutFailed");
    let record = argo.endpoint.setup.cluster.wait_condition(&at.name, name, told).await;
    let conditions = record.status.unwrap_or_default().conditions;
    assert!(conditions.iter().any(|it| it.message.contains("InvalidSpec")), "{conditions:?}");

    // As somebody who may create no more of them finds it, it even looks healthy.
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none-more"},
        "spec": {"hard": {"count/replicasets.apps": "1"}},
    });
    apply(&argo.endpoint.setup.cluster.control_plane, &at.namespace, &[quota]).await;
    apply(&argo.endpoint.setup.cluster.control_plane, &at.namespace, &[manifest(name, "2.0.0", &canary())]).await;
    rollout.wait_status("the quota to refuse its ReplicaSet", |it| it.to_string().contains("exceeded quota")).await;
    stays_recorded(&argo, &at, name, "1.0.0", "no pod of 2.0.0 is there").await;

    let quotas = api(&argo.endpoint.setup, "", "v1", "ResourceQuota", &at.namespace);
    quotas.delete("none-more", &DeleteParams::default()).await.unwrap();
    rollout.wait_status("its first step", |it| it["pauseConditions"].is_array()).await;
    rollout.promote().await;
    recorded_when_whole(&argo, &at, &rollout, "2.0.0").await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0", "Deployed 2.0.0"]);
}

#[tokio::test]
async fn a_blue_green_rollout_is_recorded_when_the_old_pods_are_gone() {
    let argo = ArgoRollouts::shared().await;
    let name = "ar-blue-green";
    let at = environment(&argo, name).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    });
    apply(&argo.endpoint.setup.cluster.control_plane, &at.namespace, &[service]).await;
    let strategy = json!({"blueGreen": {"activeService": name, "scaleDownDelaySeconds": 8}});
    let rollout = argo.rollout(&at.namespace, name, &strategy).await;
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;
    rollout.set_version("2.0.0").await;
    // The traffic has moved; the old pods are there, and answer whoever knows them.
    let healthy = rollout.wait_status("the old pods to be kept", |status| {
        status["phase"] == "Healthy" && status["stableRS"] == status["currentPodHash"] && status["replicas"] == 4
    });
    healthy.await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0"]);
    recorded_when_whole(&argo, &at, &rollout, "2.0.0").await;
}

#[tokio::test]
async fn with_a_workload_ref_the_deployment_is_judged_and_the_rollout_recorded() {
    let argo = ArgoRollouts::shared().await;
    let setup = &argo.endpoint.setup;
    let name = "ar-referenced";
    let at = environment(&argo, name).await;
    setup.provider_that_breaks(&at.name, name);
    assert!(setup.cluster.broker.store().verify(&format!("web-of-{name}"), "7", name, "3.0.0", true));
    let mut object = manifest(name, "1.0.0", &canary());
    object["metadata"]["annotations"] = json!({});
    let spec = object["spec"].as_object_mut().unwrap();
    spec.remove("template");
    spec.remove("selector");
    spec.insert("workloadRef".to_owned(), json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name}));
    apply(&setup.cluster.control_plane, &at.namespace, &[object]).await;
    // The annotations are where the team had them: on the Deployment.
    let deployment = annotated(name, name, "1.0.0").replicas(0).apply(&setup.cluster.client(), &at.namespace).await;
    let rollout = argo.existing(&at.namespace, name);
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;

    let said = setup.set_version(&at.namespace, name, "2.0.0", &[]).await;
    assert!(
        said.denial().is_some_and(|text| text.starts_with("ar-referenced 2.0.0 may not be deployed to")),
        "{said:?}"
    );

    let said = setup.set_version(&at.namespace, name, "3.0.0", &[]).await;
    assert_eq!(said.code, 0, "{said:?}");
    deployment.wait_complete().await;
    rollout.wait_phase("Paused").await;
    stays_recorded(&argo, &at, name, "1.0.0", "0 of 0 pods of the Deployment are finished, and nothing is promoted")
        .await;
    rollout.promote().await;
    recorded_when_whole(&argo, &at, &rollout, "3.0.0").await;
    assert_eq!(writes(&argo, &at, name), ["Deployed 1.0.0", "Deployed 3.0.0"]);
    let members = setup.cluster.record(&at.name, name).await.unwrap().status.unwrap().members.into_iter();
    let members: Vec<_> = members.map(|member| format!("{} {}", member.kind, member.name)).collect();
    assert_eq!(members, [format!("Rollout {name}")]);
}

#[tokio::test]
async fn a_rollout_is_judged_when_it_is_created_and_when_its_image_changes() {
    let argo = ArgoRollouts::shared().await;
    let setup = &argo.endpoint.setup;
    let name = "ar-judged";
    let at = environment(&argo, name).await;
    setup.provider_that_breaks(&at.name, name);
    let developer = async |version: &str| {
        let object = manifest(name, version, &canary()).to_string();
        let applied = setup.kubectl_reading(&at.namespace, &["apply", "--server-side", "-f", "-"], &object);
        applied.await
    };
    let denial = format!("{name} 2.0.0 may not be deployed to {}", at.name);
    let said = developer("2.0.0").await;
    assert!(said.denial().is_some_and(|text| text.starts_with(&denial)), "{said:?}");

    assert_eq!(developer("1.0.0").await.code, 0);
    let rollout = argo.existing(&at.namespace, name);
    recorded_when_whole(&argo, &at, &rollout, "1.0.0").await;
    let said = developer("2.0.0").await;
    assert!(said.denial().is_some_and(|text| text.starts_with(&denial)), "{said:?}");
    rollout.wait_healthy("1.0.0").await;

    // Its controller is never asked about: neither about its own writes nor about pods.
    let before = setup.webhook.reviews().await;
    let api = api(setup, "argoproj.io", "v1alpha1", "Rollout", &at.namespace);
    let scaled = Patch::Merge(json!({"spec": {"replicas": 3}}));
    api.patch(name, &PatchParams::default(), &scaled).await.unwrap();
    rollout.wait_healthy("1.0.0").await;
    assert_eq!(setup.webhook.reviews().await, before);
    api.delete(name, &DeleteParams::default()).await.unwrap();
}
