//! The glass is broken in the API server, and what does not concern the gate never reaches it: so both work while every
//! process of the gate is down, and the strict failurePolicy holds up nothing but changes of version.

use serde_json::json;

use super::gate_stage::{Said, Stage};
use testbed::eventually::eventually;
use testbed::kubectl::kubectl;
use testbed::namespace;
use testbed::rollout::deployment;
use testbed::test_cluster::{OPERATOR_NAMESPACE, SOON, annotated, image};
use testbed::webhook::{Person, WebhookOptions, install};

/// A namespace that is excluded besides those that always are.
const EXCLUDED: &str = "excluded";

#[tokio::test]
async fn break_glass_and_everything_that_is_no_change_of_version_pass_with_the_gate_up_and_down() {
    let options = WebhookOptions::default().value("webhook.excludedNamespaces", vec![EXCLUDED]);
    let mut stage = Stage::start_with(options.clone()).await;
    let on_call = Person::on_call(&stage.cluster.control_plane).await;
    namespace::ensure(&stage.cluster.control_plane, &stage.cluster.client(), EXCLUDED, &[]).await;
    let place = stage.gated(json!({"mode": "Enforce"})).await;
    let namespace = place.namespace.as_str();
    for app in ["urgent", "calm"] {
        stage.provider_that_breaks(&place.environment, app);
        stage.running(&place, app, app, "1.0.0").await;
    }
    deployment("free").apply(&stage.client(), namespace).await;
    let breaks_glass = async |version| {
        let image = format!("app={}", image(version));
        let set = ["-n", namespace, "set", "image", "deployment/urgent", &image];
        Said::of(&kubectl(on_call.kubeconfig(), &set).await)
    };

    let before = stage.webhook.reviews().await;
    breaks_glass("2.0.0").await.silent();
    excluded(&stage, "1.0.0").await;
    unaffected(&stage, namespace).await;
    assert_eq!(stage.webhook.reviews().await, before);
    assert!(stage.set_version(namespace, "calm", "2.0.0", &[]).await.denial().is_some());
    assert_eq!(stage.webhook.reviews().await, before + 1);

    stage.webhook.kill9();
    breaks_glass("3.0.0").await.silent();
    excluded(&stage, "2.0.0").await;
    unaffected(&stage, namespace).await;
    let said = stage.set_version(namespace, "calm", "2.0.0", &[]).await;
    assert!(said.code == 1 && said.denial().is_none(), "{said:?}");
    assert!(said.err.contains("failed calling webhook \"gate.pact-operator.dev\""), "{said:?}");

    // With the policy that is the default, not even that is held up.
    let url = format!("https://{}/gate", stage.webhook.address());
    install(&stage.cluster.control_plane, &options.failure_policy("Ignore"), &url).await;
    eventually("the API server to follow the new policy", SOON, async || {
        let said = stage.set_version(namespace, "calm", "3.0.0", &[]).await;
        if said.code == 0 { Ok(()) } else { Err(said.err) }
    })
    .await;
    stage.kubectl(namespace, &["delete", "deployment", "urgent", "calm"]).await.silent();
}

/// Changes of version in the namespaces that are left out.
async fn excluded(stage: &Stage, version: &str) {
    for namespace in [OPERATOR_NAMESPACE, "kube-system", EXCLUDED] {
        let manifest = annotated("own", "own", version).replicas(0).manifest().to_string();
        stage.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await.silent();
    }
}

/// What is done to workloads all the time.
async fn unaffected(stage: &Stage, namespace: &str) {
    for arguments in [
        &["scale", "deployment/calm", "--replicas=2"][..],
        &["patch", "deployment/calm", "-p", r#"{"spec":{"replicas":1}}"#],
        &["rollout", "restart", "deployment/calm"],
        &["set", "env", "deployment/calm", "COLOUR=blue"],
        &["set", "env", "deployment/calm", "COLOUR-"],
        &["set", "image", "deployment/free", "app=reg.test/free:2.0.0"],
        &["set", "image", "deployment/free", "app=reg.test/free:1.0.0"],
        &["delete", "pods", "-l", "app=calm", "--wait=false"],
    ] {
        stage.kubectl(namespace, arguments).await.silent();
    }
}
