//! A replica of the gate takes part only when it can answer rightly and is trusted, and says what it waits for.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::Api;
use kube::api::DeleteParams;

use crate::gate_replicas_stage::Asked;
use crate::testbed::control_plane::ControlPlane;
use crate::testbed::crds::install_crds;
use crate::testbed::eventually::eventually;
use crate::testbed::process::free_port;
use crate::testbed::scene::SOON;
use crate::testbed::webhook::{self, Person, SERVICE_ACCOUNT, Webhook, WebhookOptions};

/// Waits until `/readyz` says 503 and all of this.
async fn wait_unready(webhook: &Webhook, wanted: &[&str]) -> String {
    eventually(format!("/readyz to say {wanted:?}"), SOON, async || match webhook.probe("/readyz").await? {
        (503, text) if wanted.iter().all(|wanted| text.contains(wanted)) => Ok(text),
        (status, text) => Err(format!("{status}: {text}")),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_ready_once_all_it_needs_is_there_and_says_until_then_what_is_missing() {
    let control_plane = ControlPlane::start().await;
    let client = control_plane.client();
    let options = WebhookOptions::default();
    let port = free_port();
    let url = format!("https://127.0.0.1:{port}/gate");
    webhook::install(&control_plane, &options, &url).await;

    // Of what it needs, only its ServiceAccount and the right to watch are there.
    let configurations = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    configurations.delete(&options.configuration(), &DeleteParams::default()).await.unwrap();
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), &options.namespace);
    bindings.delete(SERVICE_ACCOUNT, &DeleteParams::default()).await.unwrap();
    let mut webhook = Webhook::start_at(&control_plane, options.clone(), port).await;

    let secret = "Remedy: grant this ServiceAccount get on it by name (RBAC)";
    let said = wait_unready(
        &webhook,
        &["pactbrokers: ", "pactdeployments: ", "pactenvironments: ", "pact-operator crds", "certificate: ", secret],
    )
    .await;
    println!("{said}");
    assert!(!said.contains("\nnamespaces: "), "these it can watch: {said}");
    assert!(said.contains("broker-clients: "), "without brokers known, no clients: {said}");

    install_crds(&control_plane).await;
    let said = wait_unready(&webhook, &["certificate: ", secret]).await;
    println!("{said}");
    eventually("what is watched to be listed", SOON, async || match webhook.probe("/readyz").await? {
        (503, text) if !text.contains("pact") => Ok(()),
        (status, text) if text.lines().count() == 2 => {
            if status == 503 { Ok(()) } else { Err(text) }
        }
        (_, text) => Err(text),
    })
    .await;

    // All at once: the rights and the configuration. But first the rights alone.
    let elsewhere = WebhookOptions { namespace: options.namespace.clone(), ..options.clone() };
    webhook::install(&control_plane, &elsewhere, &url).await;
    configurations.delete(&options.configuration(), &DeleteParams::default()).await.unwrap();
    let said = wait_unready(&webhook, &["certificate: ", "does not exist, so nobody calls us. Install it"]).await;
    println!("{said}");

    webhook::install(&control_plane, &options, &url).await;
    webhook.wait_ready().await;
    // Ready means trusted: a moment later the API server has learnt of it, and the very first review is answered.
    let person = Person::developer(&control_plane).await;
    let namespace = crate::testbed::namespace::create(&control_plane, &client, &[]).await;
    let [admitted, _] = Asked::of("orders", &namespace);
    eventually("the API server to call", SOON, async || admitted.ask(&person.client()).await).await;
    assert!(webhook.reviews().await >= 1);
    assert_eq!(webhook.terminate().await, 0);
}
