//! The API server decides about a bypass (case 73), and requests that do not concern the gate never reach it. So both work
//! while every process of the gate is down, and the strict failurePolicy blocks nothing but changes of version.

use serde_json::json;

use super::gate_setup::{CommandOutput, GateSetup};
use testbed::eventually::eventually;
use testbed::kubectl::kubectl;
use testbed::namespace;
use testbed::rollout::deployment;
use testbed::test_cluster::{OPERATOR_NAMESPACE, SOON, annotated, image};
use testbed::webhook::{Person, WebhookOptions, install};

/// A namespace that is excluded besides those that always are.
const EXCLUDED: &str = "excluded";

#[tokio::test]
async fn case_73_a_bypass_and_everything_that_is_no_change_of_version_pass_with_the_gate_up_and_down() {
    let options = WebhookOptions::default().value("webhook.excludedNamespaces", vec![EXCLUDED]);
    let mut setup = GateSetup::start_with(options.clone()).await;
    let on_call = Person::on_call(&setup.cluster.control_plane).await;
    namespace::ensure(&setup.cluster.control_plane, &setup.cluster.client(), EXCLUDED, &[]).await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    let namespace = environment.namespace.as_str();
    for app in ["urgent", "calm"] {
        setup.provider_that_breaks(&environment.name, app);
        setup.running(&environment, app, app, "1.0.0").await;
    }
    deployment("free").apply(&setup.client(), namespace).await;
    // In one request: what states the bypass alone is a change that the gate is asked about.
    let bypasses = async |version| {
        let containers = json!([{"name": "app", "image": image(version)}]);
        let patch = json!({
            "metadata": {"annotations": {"pact-operator.dev/bypass": format!("{version} the shop is down")}},
            "spec": {"template": {"spec": {"containers": containers}}},
        });
        let patch = ["-n", namespace, "patch", "deployment/urgent", "-p", &patch.to_string()];
        CommandOutput::of(&kubectl(on_call.kubeconfig(), &patch).await)
    };

    let before = setup.webhook.reviews().await;
    bypasses("2.0.0").await.silent();
    excluded(&setup, "1.0.0").await;
    unaffected(&setup, namespace).await;
    assert_eq!(setup.webhook.reviews().await, before);
    assert!(setup.set_version(namespace, "calm", "2.0.0", &[]).await.denial().is_some());
    assert_eq!(setup.webhook.reviews().await, before + 1);

    setup.webhook.kill9();
    bypasses("3.0.0").await.silent();
    excluded(&setup, "2.0.0").await;
    unaffected(&setup, namespace).await;
    let output = setup.set_version(namespace, "calm", "2.0.0", &[]).await;
    assert!(output.code == 1 && output.denial().is_none(), "{output:?}");
    assert!(output.err.contains("failed calling webhook \"gate.pact-operator.dev\""), "{output:?}");

    // With the default policy, not even a change of version is blocked.
    let url = format!("https://{}/gate", setup.webhook.address());
    install(&setup.cluster.control_plane, &options.failure_policy("Ignore"), &url).await;
    eventually("the API server to follow the new policy", SOON, async || {
        let output = setup.set_version(namespace, "calm", "3.0.0", &[]).await;
        if output.code == 0 { Ok(()) } else { Err(output.err) }
    })
    .await;
    setup.kubectl(namespace, &["delete", "deployment", "urgent", "calm"]).await.silent();
}

/// Changes of version in the excluded namespaces.
async fn excluded(setup: &GateSetup, version: &str) {
    for namespace in [OPERATOR_NAMESPACE, "kube-system", EXCLUDED] {
        let manifest = annotated("own", "own", version).replicas(0).manifest().to_string();
        setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await.silent();
    }
}

/// Frequent changes of workloads that change no version.
async fn unaffected(setup: &GateSetup, namespace: &str) {
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
        setup.kubectl(namespace, arguments).await.silent();
    }
}
