//! A release by the real helm: denied with our reason, rolled back, and the version that ran goes on running.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::gate_setup::{CommandOutput, GateSetup, MappedEnvironment};
use testbed::chart::helm_as;
use testbed::rollout::Live;
use testbed::test_cluster::image;

#[tokio::test]
async fn case_03_helm_shows_the_reason_rolls_back_and_leaves_the_version_that_ran() {
    let setup = GateSetup::start().await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    let store = setup.cluster.broker.store();
    setup.provider_that_breaks(&environment.name, "orders");
    assert!(store.verify("web-of-orders", "7", "orders", "1.1.0", true));
    let folder = tempfile::tempdir().unwrap();
    chart(folder.path());

    let output = upgrade(&setup, &environment, folder.path(), "1.0.0").await;
    assert_eq!(output.code, 0, "{output:?}");
    setup.cluster.wait_recorded(&environment.name, "orders", "1.0.0").await;
    let output = upgrade(&setup, &environment, folder.path(), "1.1.0").await;
    assert_eq!(output.code, 0, "{output:?}");
    setup.cluster.wait_recorded(&environment.name, "orders", "1.1.0").await;
    let before = setup.webhook.reviews().await;

    let output = upgrade(&setup, &environment, folder.path(), "2.0.0").await;
    assert_ne!(output.code, 0, "{output:?}");
    let reason = format!(
        "orders 2.0.0 may not be deployed to {}: it failed to verify the pact of web-of-orders 7",
        environment.name
    );
    assert!(output.denial().is_some_and(|denial| denial.starts_with(&reason)), "{output:?}");
    let history = helm(&setup, &environment, folder.path(), &["history", "shop"]).await.out;
    let last = history.lines().last().unwrap_or_default();
    assert!(last.contains("deployed") && last.contains("Rollback to 2"), "{history}");
    let live = Live::new(&setup.client(), &environment.namespace, "orders").wait_complete().await;
    assert_eq!(live.spec.unwrap().template.spec.unwrap().containers[0].image, Some(image("1.1.0")));
    // The rollback changed nothing that the gate is asked about: the only call is the denied one.
    assert_eq!(setup.webhook.reviews().await, before + 1);
    assert_eq!(setup.cluster.writes(&environment.name, "orders"), ["Deployed 1.0.0", "Deployed 1.1.0"]);
    assert_eq!(setup.reported(&environment.namespace).await, ["orders RolloutDenied"]);

    // Once the contract is kept, the same command goes through.
    assert!(store.verify("web-of-orders", "7", "orders", "2.0.0", true));
    testbed::eventually::eventually("2.0.0 to be released", testbed::test_cluster::SOON, async || {
        let output = upgrade(&setup, &environment, folder.path(), "2.0.0").await;
        if output.code == 0 { Ok(()) } else { Err(output.err) }
    })
    .await;
    setup.cluster.wait_recorded(&environment.name, "orders", "2.0.0").await;
}

async fn upgrade(setup: &GateSetup, environment: &MappedEnvironment, folder: &Path, version: &str) -> CommandOutput {
    let chart = folder.join("chart").display().to_string();
    let version = format!("image.tag={version}");
    let how = ["--install", "--rollback-on-failure", "--wait", "--timeout", "60s", "--set-string", &version];
    helm(setup, environment, folder, &[&["upgrade", "shop", &chart], &how[..]].concat()).await
}

async fn helm(setup: &GateSetup, environment: &MappedEnvironment, folder: &Path, arguments: &[&str]) -> CommandOutput {
    CommandOutput::of(&helm_as(setup.developer.kubeconfig(), &environment.namespace, folder, arguments).await)
}

/// A chart as teams have them, with the one annotation that they add.
fn chart(folder: &Path) {
    let templates = folder.join("chart/templates");
    fs::create_dir_all(&templates).unwrap();
    fs::write(folder.join("chart/Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 1.0.0\n").unwrap();
    let values = "image:\n  repository: registry.example.com/shop\n  tag: 0.0.0\n";
    fs::write(folder.join("chart/values.yaml"), values).unwrap();
    let deployment = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: orders
  annotations:
    pact-operator.dev/pacticipant: orders
spec:
  replicas: 2
  selector:
    matchLabels: {app: orders}
  template:
    metadata:
      labels: {app: orders}
    spec:
      containers:
        - name: app
          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
"#;
    fs::write(templates.join("deployment.yaml"), deployment).unwrap();
}
