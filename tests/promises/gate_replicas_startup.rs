//! A replica of the gate takes part only when it can answer rightly and is trusted, and says what it waits for.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use crate::gate_replicas_stage::Asked;
use testbed::control_plane::ControlPlane;
use testbed::crds::install_crds;
use testbed::eventually::eventually;
use testbed::process::free_port;
use testbed::test_cluster::SOON;
use testbed::webhook::{self, Person, SERVICE_ACCOUNT, Webhook, WebhookOptions};

/// Waits until `/readyz` says 503, and all of this of as many gates.
async fn wait_unready(webhook: &Webhook, wanted: &[&str], gates: usize) {
    let all = |text: &str| wanted.iter().all(|wanted| text.contains(wanted)) && text.lines().count() == 1 + gates;
    eventually(format!("/readyz to say {wanted:?}"), SOON, async || match webhook.probe("/readyz").await? {
        (503, text) if all(&text) => Ok(()),
        (status, text) => Err(format!("{status}: {text}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_ready_once_all_it_needs_is_there_and_says_until_then_what_is_missing() {
    // To a webhook on this machine an API server offers HTTP/2 as well; behind a Service it offers HTTP/1.1 only, as here.
    let control_plane = ControlPlane::start_with(&[("GODEBUG", "http2client=0")]).await;
    let client = control_plane.client();
    let options = WebhookOptions::default();
    let port = free_port();
    let url = format!("https://127.0.0.1:{port}/gate");
    webhook::install(&control_plane, &options, &url).await;

    // Of what it needs, only its ServiceAccount and the right to watch are there.
    let configurations = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    configurations.delete(&options.configuration(), &DeleteParams::default()).await.unwrap();
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), &options.namespace);
    let binding = bindings.get(SERVICE_ACCOUNT).await.unwrap();
    bindings.delete(SERVICE_ACCOUNT, &DeleteParams::default()).await.unwrap();
    let mut webhook = Webhook::start_at(&control_plane, options.clone(), port).await;

    let (definition, right) =
        ("the API server does not know this kind. Install its", "Remedy: grant this ServiceAccount get");
    let [brokers, memories, environments] =
        ["pactbrokers", "pactdeployments", "pactenvironments"].map(|kind| format!("\n{kind}: {definition}"));
    // It can watch namespaces; without brokers known there are no clients for them.
    let clients = "\nbroker-clients: ";
    wait_unready(&webhook, &[&brokers, &memories, &environments, clients, "\ncertificate: ", right], 5).await;

    install_crds(&control_plane).await;
    wait_unready(&webhook, &["\ncertificate: ", right], 1).await;

    // The rights, but not yet the configuration, without which nobody calls.
    let binding =
        RoleBinding { metadata: ObjectMeta { resource_version: None, uid: None, ..binding.metadata }, ..binding };
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    wait_unready(&webhook, &["\ncertificate: ", "does not exist, so nobody calls us. Install it"], 1).await;

    webhook::install(&control_plane, &options, &url).await;
    webhook.wait_ready().await;
    // Ready means trusted: once the API server has learnt of it, a review is answered, over HTTP/1.1.
    let person = Person::developer(&control_plane).await;
    let namespace = testbed::namespace::create(&control_plane, &client, &[]).await;
    let [admitted, _] = Asked::of("orders", &namespace);
    eventually("the API server to call", SOON, async || admitted.ask(&person.client()).await).await;
    assert!(webhook.reviews().await >= 1);
    assert_eq!(webhook.terminate().await, 0);
}
