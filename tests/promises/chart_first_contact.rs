//! The chart on clusters that people have: those that keep the system's priorities to themselves, those of IPv6, and those
//! that had another release of it before.
#![allow(clippy::print_stdout, reason = "what a machine without IPv6 leaves out is read by people")]

use std::net::TcpListener;

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::json;

use super::chart::ChartCluster;
use super::gate_setup::{CommandOutput, GateSetup};
use testbed::chart::{RELEASE, folder, helm, helm_ok};
use testbed::eventually::eventually;
use testbed::http;
use testbed::kubectl::{kubectl, kubectl_ok, kubectl_reading};
use testbed::operator::OperatorOptions;
use testbed::test_cluster::SOON;
use testbed::webhook::{Webhook, WebhookOptions};

#[tokio::test]
async fn case_117_the_pods_start_where_the_systems_priorities_are_kept_to_kube_system() {
    let cluster = ChartCluster::without_chart().await;
    let kubeconfig = cluster.control_plane.kubeconfig();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "critical", "namespace": RELEASE},
        "spec": {"priorityClassName": "system-cluster-critical", "containers": [{"name": "app", "image": "app"}]},
    });
    let apply = ["create", "--dry-run=server", "-f", "-"];
    let refused = CommandOutput::of(&kubectl_reading(kubeconfig, &apply, &pod.to_string()).await);
    assert!(refused.code != 0 && refused.err.contains("insufficient quota"), "such a cluster: {refused:?}");

    let started = async |replicas: i32| {
        let deployments: Api<Deployment> = Api::namespaced(cluster.control_plane.client(), RELEASE);
        for name in ["pact-operator-controller", "pact-operator-webhook"] {
            eventually(format!("the pods of {name}"), SOON, async || {
                let status = deployments.get(name).await.unwrap().status.unwrap_or_default();
                if status.updated_replicas == Some(replicas) { Ok(()) } else { Err(format!("{status:?}")) }
            })
            .await;
        }
    };
    assert_eq!(cluster.release(&json!({})).await.code, 0);
    started(2).await;
    let priority = ["-n", RELEASE, "get", "pods", "-o", "jsonpath={.items[*].spec.priority}"];
    let priorities = kubectl_ok(kubeconfig, &priority).await;
    assert!(priorities.split(' ').all(|priority| priority == "1000000000"), "{priorities}");
}

/// Whether the port of the webhook and that of its probes are reached at this host: both, or none.
async fn reached(webhook: &Webhook, host: &str) -> bool {
    let at = |address: &str| format!("{host}:{}", address.rsplit(':').next().unwrap());
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap();
    // Reviews are posted: the webhook itself refuses to have one got.
    let gate = client.get(format!("https://{}/gate", at(webhook.address()))).send().await;
    let gate = gate.map(|answer| answer.status().as_u16()).map_err(|error| format!("{error:?}"));
    let probes = http::get(&at(webhook.probe_address()), "/readyz").await;
    match (&gate, &probes) {
        (Ok(405), Ok((200, _))) => true,
        (Err(_), Err(_)) => false,
        other => panic!("{host}: {other:?}"),
    }
}

#[tokio::test]
async fn case_118_the_pods_are_reached_by_ipv6_and_ipv4_unless_the_chart_says_another_address() {
    let setup = GateSetup::shared().await;
    let cp = &setup.cluster.control_plane;
    let controller = OperatorOptions::default().deployment(cp).await.spec.unwrap().template.spec.unwrap();
    let arguments = controller.containers[0].args.clone().unwrap();
    assert!(arguments.iter().any(|it| it == "--probe-address=[::]:8080"), "{arguments:?}");

    let by_ipv6 = TcpListener::bind("[::1]:0").is_ok();
    if !by_ipv6 {
        println!("this machine has no ::1: only IPv4 is tried");
    }
    let options = WebhookOptions::as_in_chart;
    let everywhere = Webhook::start_where_described(cp, options()).await;
    assert!(reached(&everywhere, "127.0.0.1").await);
    assert!(!by_ipv6 || reached(&everywhere, "[::1]").await);
    drop(everywhere);

    let only_ipv4 = Webhook::start_where_described(cp, options().value("listenAddress", "0.0.0.0")).await;
    assert!(reached(&only_ipv4, "127.0.0.1").await);
    assert!(!by_ipv6 || !reached(&only_ipv4, "[::1]").await);
}

#[tokio::test]
async fn case_119_a_release_of_another_name_takes_over_what_was_kept_after_one_command() {
    let cluster = ChartCluster::without_chart().await;
    assert_eq!(cluster.release(&json!({})).await.code, 0);
    // From the second one on, the first objects are part of the release.
    assert_eq!(cluster.release(&json!({})).await.code, 0);
    helm_ok(&cluster.control_plane, &["uninstall", RELEASE]).await;

    let chart = folder().display().to_string();
    let broker = format!("broker.url={}", cluster.broker.url());
    let environment = "environments.production.namespaces.names={shop}";
    let install = ["install", "other", &chart, "--set", &broker, "--set", environment];
    let refused = CommandOutput::of(&helm(&cluster.control_plane, &install).await);
    let command = refused.err.split_once("then repeat: kubectl ").map(|(_, command)| command.trim());
    let command = command.unwrap_or_else(|| panic!("{refused:?}"));
    assert!(command.contains("pactenvironment/production") && command.contains("pactbroker/main"), "{command}");
    let arguments: Vec<_> = command.split_whitespace().collect();
    let handed_over = CommandOutput::of(&kubectl(cluster.control_plane.kubeconfig(), &arguments).await);
    assert_eq!(handed_over.code, 0, "{handed_over:?}");
    helm_ok(&cluster.control_plane, &install).await;
    let owner = [
        "get",
        "crd/pactbrokers.pact-operator.dev",
        "pactenvironment/production",
        "-o",
        r"jsonpath={.items[*].metadata.annotations.meta\.helm\.sh/release-name}",
    ];
    assert_eq!(kubectl_ok(cluster.control_plane.kubeconfig(), &owner).await, "other other");
}
