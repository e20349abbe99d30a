//! Several clusters share a broker: each says who it is.

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use super::gate_setup::provider_that_breaks;
use testbed::eventually::eventually;
use testbed::kubectl::kubectl_ok;
use testbed::test_cluster::{SOON, TestCluster, annotated, quick};
use testbed::webhook::{Person, Webhook, WebhookOptions};

#[tokio::test]
async fn case_106_the_brokers_log_the_events_and_the_records_name_the_cluster() {
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(quick().value("clusterName", "eu-1")).await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({"gate": {"mode": "Enforce"}})).await;
    provider_that_breaks(&cluster.broker, &environment, "orders");
    annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    let agent = format!("pact-operator/{} (cluster: eu-1)", env!("CARGO_PKG_VERSION"));
    let agents = || {
        let requests = cluster.broker.requests();
        requests.iter().map(|one| one.headers["user-agent"].to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(agents().iter().all(|one| *one == agent), "{:?}", agents());
    assert!(!cluster.broker.writes().is_empty(), "some of them wrote");

    // The gate, too.
    let before = agents().len();
    let options = WebhookOptions::default().value("clusterName", "eu-1");
    let _webhook = Webhook::start(&cluster.control_plane, options).await;
    let developer = Person::developer(&cluster.control_plane).await;
    let events = Api::<Event>::namespaced(cluster.client(), &namespace);
    eventually("a denial of the gate, and its Event", SOON, async || {
        let denied = annotated("orders", "orders", "2.0.0").try_apply(&developer.client(), &namespace).await.is_err();
        let events = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let mut instances = events.iter().filter_map(|event| event.reporting_instance.clone()).collect::<Vec<_>>();
        instances.retain(|instance| instance.starts_with("eu-1/"));
        let of_gate = events.iter().any(|event| event.reason.as_deref() == Some("RolloutDenied"));
        if denied && of_gate && instances.len() >= 2 { Ok(()) } else { Err(format!("{denied} {events:?}")) }
    })
    .await;
    assert!(agents().len() > before && agents().iter().all(|one| *one == agent), "{:?}", agents());

    let kubeconfig = cluster.control_plane.kubeconfig();
    let table = kubectl_ok(kubeconfig, &["get", "pactdep", "-o", "wide"]).await;
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert!(lines.next().unwrap().contains(&"CLUSTER"), "{table}");
    assert!(lines.next().unwrap().contains(&"eu-1"), "{table}");
}
