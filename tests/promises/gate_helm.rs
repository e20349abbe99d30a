//! A release by the real helm: denied with our reason, rolled back, and what ran runs on.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::gate_stage::{EnvironmentRef, Said, Stage};
use testbed::chart::helm_as;
use testbed::rollout::Live;
use testbed::test_cluster::image;

#[tokio::test]
async fn case_03_helm_shows_the_reason_rolls_back_and_leaves_the_version_that_ran() {
    let stage = Stage::start().await;
    let place = stage.gated(json!({"mode": "Enforce"})).await;
    let store = stage.cluster.broker.store();
    stage.provider_that_breaks(&place.environment, "orders");
    assert!(store.verify("web-of-orders", "7", "orders", "1.1.0", true));
    let folder = tempfile::tempdir().unwrap();
    chart(folder.path());

    let said = upgrade(&stage, &place, folder.path(), "1.0.0").await;
    assert_eq!(said.code, 0, "{said:?}");
    stage.cluster.wait_recorded(&place.environment, "orders", "1.0.0").await;
    let said = upgrade(&stage, &place, folder.path(), "1.1.0").await;
    assert_eq!(said.code, 0, "{said:?}");
    stage.cluster.wait_recorded(&place.environment, "orders", "1.1.0").await;
    let before = stage.webhook.reviews().await;

    let said = upgrade(&stage, &place, folder.path(), "2.0.0").await;
    assert_ne!(said.code, 0, "{said:?}");
    let reason = format!(
        "orders 2.0.0 may not be deployed to {}: it failed to verify the pact of web-of-orders 7",
        place.environment
    );
    assert!(said.denial().is_some_and(|denial| denial.starts_with(&reason)), "{said:?}");
    let history = helm(&stage, &place, folder.path(), &["history", "shop"]).await.out;
    let last = history.lines().last().unwrap_or_default();
    assert!(last.contains("deployed") && last.contains("Rollback to 2"), "{history}");
    let live = Live::new(&stage.client(), &place.namespace, "orders").wait_complete().await;
    assert_eq!(live.spec.unwrap().template.spec.unwrap().containers[0].image, Some(image("1.1.0")));
    // Going back changed nothing that the gate would be asked about: the one call is the one that was denied.
    assert_eq!(stage.webhook.reviews().await, before + 1);
    assert_eq!(stage.cluster.writes(&place.environment, "orders"), ["Deployed 1.0.0", "Deployed 1.1.0"]);
    assert_eq!(stage.told(&place.namespace).await, ["orders RolloutDenied"]);

    // Once the contract is kept, the same command goes through.
    assert!(store.verify("web-of-orders", "7", "orders", "2.0.0", true));
    testbed::eventually::eventually("2.0.0 to be released", testbed::test_cluster::SOON, async || {
        let said = upgrade(&stage, &place, folder.path(), "2.0.0").await;
        if said.code == 0 { Ok(()) } else { Err(said.err) }
    })
    .await;
    stage.cluster.wait_recorded(&place.environment, "orders", "2.0.0").await;
}

async fn upgrade(stage: &Stage, place: &EnvironmentRef, folder: &Path, version: &str) -> Said {
    let chart = folder.join("chart").display().to_string();
    let version = format!("image.tag={version}");
    let how = ["--install", "--rollback-on-failure", "--wait", "--timeout", "60s", "--set-string", &version];
    helm(stage, place, folder, &[&["upgrade", "shop", &chart], &how[..]].concat()).await
}

async fn helm(stage: &Stage, place: &EnvironmentRef, folder: &Path, arguments: &[&str]) -> Said {
    Said::of(&helm_as(stage.developer.kubeconfig(), &place.namespace, folder, arguments).await)
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
