//! A namespace that the gate cannot read may lie in every environment that selects by label: case 77.

use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::gate_setup::CommandOutput;
use testbed::eventually::eventually;
use testbed::kubectl::kubectl_reading;
use testbed::process::free_port;
use testbed::rollout::deployment;
use testbed::test_cluster::{SOON, TestCluster, annotated};
use testbed::webhook::{Person, SERVICE_ACCOUNT, Webhook, WebhookOptions, install};

#[tokio::test]
async fn case_77_a_namespace_that_cannot_be_read_is_as_a_broker_that_does_not_answer_for_each_that_selects_by_label() {
    let cluster = TestCluster::start().await;
    let namespace = &cluster.namespace().await;
    let by_label = json!({"selector": {"matchLabels": {"stage": "production"}}});
    let strict = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    let more = json!({"namespaces": by_label, "gate": strict});
    let environment = &cluster.environment(&[], more.clone()).await;
    let developer = Person::developer(&cluster.control_plane).await;
    let create = async |manifest: &str| {
        let create = ["-n", namespace, "create", "--dry-run=server", "-f", "-"];
        CommandOutput::of(&kubectl_reading(developer.kubeconfig(), &create, manifest).await)
    };
    let manifest = annotated("unread", "unread", "1.0.0").manifest().to_string();

    // A gate that may read no namespace: neither by its watch nor one by one.
    let (options, port) = (WebhookOptions::default(), free_port());
    install(&cluster.control_plane, &options, &format!("https://127.0.0.1:{port}/gate")).await;
    let roles = Api::<ClusterRole>::all(cluster.client());
    let granted = roles.get(SERVICE_ACCOUNT).await.unwrap();
    let mut blind = granted.clone();
    let of_namespaces = |resources: &Option<Vec<String>>| resources.as_ref().is_some_and(|it| it[0] == "namespaces");
    blind.rules.as_mut().unwrap().retain(|rule| !of_namespaces(&rule.resources));
    roles.replace(SERVICE_ACCOUNT, &PostParams::default(), &blind).await.unwrap();
    let webhook = Webhook::start_at(&cluster.control_plane, options, port).await;

    let denied = format!(
        "unread 1.0.0 could not be checked for {environment}: the labels of the namespace could not be read, so it may lie \
         in the environment"
    );
    eventually("the gate to deny", SOON, async || {
        let output = create(&manifest).await;
        let first = output.denial().and_then(|denial| denial.lines().next());
        if first == Some(denied.as_str()) { Ok(()) } else { Err(format!("{output:?}: {}", webhook.logs())) }
    })
    .await;
    cluster.wait_event(namespace, "unread", "RolloutDenied").await;
    create(&deployment("free").manifest().to_string()).await.silent();

    // By default it is a warning; in every mode there is an Event.
    cluster.map(environment, &[], json!({"namespaces": by_label, "gate": {"mode": "Enforce"}})).await;
    eventually("the gate to warn", SOON, async || {
        let output = create(&manifest).await;
        let &[warning] = output.warnings().as_slice() else { return Err(format!("{output:?}")) };
        assert_eq!(output.code, 0);
        if warning.contains("the labels of the namespace could not be read") { Ok(()) } else { Err(warning.to_owned()) }
    })
    .await;
    let client = developer.client();
    annotated("unread", "unread", "1.0.0").apply(&client, namespace).await;
    cluster.wait_event(namespace, "unread", "RolloutUnchecked").await;

    cluster.map(environment, &[], json!({"namespaces": by_label, "gate": {"mode": "Audit"}})).await;
    let silent = annotated("silent", "unread", "1.0.0");
    eventually("the gate to audit", SOON, async || {
        let output = create(&silent.manifest().to_string()).await;
        if output.code == 0 && output.warnings().is_empty() { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
    silent.apply(&client, namespace).await;
    cluster.wait_event(namespace, "silent", "RolloutUnchecked").await;

    // Once it can be read, it is in no environment.
    cluster.map(environment, &[], more).await;
    let mut restored = granted;
    restored.metadata.resource_version = None;
    roles.replace(SERVICE_ACCOUNT, &PostParams::default(), &restored).await.unwrap();
    let manifest = annotated("another", "another", "1.0.0").manifest().to_string();
    eventually("the gate to read the namespace", SOON, async || {
        let output = create(&manifest).await;
        if output.code == 0 && output.warnings().is_empty() { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
}
