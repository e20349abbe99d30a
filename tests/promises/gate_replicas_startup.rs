//! A replica of the gate becomes ready only when it can answer and the API server trusts it; until then it reports what
//! it waits for.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use crate::gate_replicas_setup::Asked;
use testbed::control_plane::ControlPlane;
use testbed::crds::install_crds;
use testbed::eventually::eventually;
use testbed::process::free_port;
use testbed::test_cluster::SOON;
use testbed::webhook::{self, Person, SERVICE_ACCOUNT, Webhook, WebhookOptions};

/// Waits until `/readyz` answers 503 with all of these texts and this number of unready gates.
async fn wait_unready(webhook: &Webhook, wanted: &[&str], gates: usize) {
    let all = |text: &str| wanted.iter().all(|wanted| text.contains(wanted)) && text.lines().count() == 1 + gates;
    eventually(format!("/readyz to report {wanted:?}"), SOON, async || match webhook.probe("/readyz").await? {
        (503, text) if all(&text) => Ok(()),
        (status, text) => Err(format!("{status}: {text}")),
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_ready_once_all_it_needs_is_there_and_reports_until_then_what_is_missing() {
    // To a webhook on this machine an API server offers HTTP/2 as well; behind a Service it offers HTTP/1.1 only, as here.
    let control_plane = ControlPlane::start_with(&[("GODEBUG", "http2client=0")]).await;
    let client = control_plane.client();
    let options = WebhookOptions::default();
    let port = free_port();
    let url = format!("https://127.0.0.1:{port}/gate");
    webhook::install(&control_plane, &options, &url).await;

    // So far only its ServiceAccount and the right to watch exist.
    let configurations = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    configurations.delete(&options.configuration(), &DeleteParams::default()).await.unwrap();
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), &options.namespace);
    let binding = bindings.get(SERVICE_ACCOUNT).await.unwrap();
    bindings.delete(SERVICE_ACCOUNT, &DeleteParams::default()).await.unwrap();
    let mut webhook = Webhook::start_at(&control_plane, options.clone(), port).await;

    let (definition, right) =
        ("the API server does not know this kind. Install its", "Remedy: grant this ServiceAccount get");
    let [brokers, records, environments] =
        ["pactbrokers", "pactdeployments", "pactenvironments"].map(|kind| format!("\n{kind}: {definition}"));
    // It can watch namespaces; without known brokers it has no clients for them.
    let clients = "\nbroker-clients: ";
    wait_unready(&webhook, &[&brokers, &records, &environments, clients, "\ncertificate: ", right], 5).await;

    install_crds(&control_plane).await;
    wait_unready(&webhook, &["\ncertificate: ", right], 1).await;

    // The rights, but not yet the configuration, without which the API server does not call.
    let binding =
        RoleBinding { metadata: ObjectMeta { resource_version: None, uid: None, ..binding.metadata }, ..binding };
    bindings.create(&PostParams::default(), &binding).await.unwrap();
    wait_unready(&webhook, &["\ncertificate: ", "does not exist, so nobody calls us. Install it"], 1).await;

    webhook::install(&control_plane, &options, &url).await;
    webhook.wait_ready().await;
    // Ready means trusted: once the API server has the bundle, a review is answered, over HTTP/1.1.
    let person = Person::developer(&control_plane).await;
    let namespace = testbed::namespace::create(&control_plane, &client, &[]).await;
    let [admitted, _] = Asked::of("orders", &namespace);
    eventually("the API server to call", SOON, async || admitted.ask(&person.client()).await).await;
    assert!(webhook.reviews().await >= 1);
    assert_eq!(webhook.terminate().await, 0);
}
