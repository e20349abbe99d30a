//! Anybody in the cluster may reach the gate's port. Who is not the API server learns little there and causes nothing.

use k8s_openapi::api::admissionregistration::v1::{ServiceReference, ValidatingWebhookConfiguration};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::gate_setup::{GateSetup, MappedEnvironment};
use super::gate_storm::{client, review};
use super::hold_setup::{HoldSetup, waits};
use testbed::eventually::eventually;
use testbed::test_cluster::{SOON, annotated};
use testbed::webhook::{self, Webhook, WebhookOptions};

/// As the API server calls it, or without the secret in the path.
async fn answer(webhook: &Webhook, path: &str, body: String) -> Value {
    let url = format!("https://{}{path}?timeout=10s", webhook.address());
    let answer = client().post(url).header("content-type", "application/json").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap()["response"].clone()
}

/// Waits until the gate tells callers apart: an API server may not have seen the secret before.
async fn tells_apart(webhook: &Webhook, environment: &MappedEnvironment, provider: &str) {
    eventually("the gate to take a caller without the secret for a stranger", SOON, async || {
        let said = answer(webhook, "/gate", review(&environment.namespace, provider, "2.0.0")).await.to_string();
        if said.contains("known by its path") { Ok(()) } else { Err(said) }
    })
    .await;
}

#[tokio::test]
async fn case_110_a_stranger_learns_no_pair_and_leaves_no_event_no_count_and_few_questions() {
    let setup = GateSetup::start().await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    let provider = "secret-orders";
    setup.provider_that_breaks(&environment.name, provider);
    // Until then a call without the secret counts as the API server's, and leaves an Event: of another environment.
    let before = setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&before.name, "before");
    tells_apart(&setup.webhook, &before, "before").await;

    let decisions = setup.webhook.metrics().await;
    let decisions = webhook::sum(&decisions, "pact_operator_gate_decisions_total");
    for (version, denied) in [("2.0.0", true), ("1.0.0", false)] {
        let said = answer(&setup.webhook, "/gate", review(&environment.namespace, provider, version)).await;
        assert_eq!(said["allowed"], !denied, "a stranger, too, is told whether: {said}");
        let text = said.to_string();
        assert!(!text.contains("web-of") && !text.contains(provider) && !text.contains("http"), "{text}");
    }
    // Nor does it learn which namespaces there are.
    let nowhere = answer(&setup.webhook, "/gate", review("nowhere", provider, "2.0.0")).await;
    assert_eq!((&nowhere["allowed"], &nowhere["warnings"]), (&json!(true), &Value::Null), "{nowhere}");

    let asked_before = setup.cluster.broker.requests().len();
    for number in 0..60 {
        answer(&setup.webhook, "/gate", review(&environment.namespace, provider, &format!("3.{number}.0"))).await;
    }
    // Ten at once, one more each second, and for each one more request that tells what was not published.
    let asked = setup.cluster.broker.requests().len() - asked_before;
    assert!((1..60).contains(&asked), "{asked} requests for sixty questions of a stranger");

    let metrics = setup.webhook.metrics().await;
    assert_eq!(webhook::sum(&metrics, "pact_operator_gate_decisions_total"), decisions);
    assert_eq!(setup.reported(&environment.namespace).await, Vec::<String>::new());

    // The API server gets the whole answer, and it leaves its Event.
    let manifest = annotated(provider, provider, "2.0.0").manifest().to_string();
    let output = setup.kubectl_reading(&environment.namespace, &["create", "-f", "-"], &manifest).await;
    assert!(output.denial().is_some_and(|denial| denial.contains(&format!("web-of-{provider}"))), "{output:?}");
    setup.wait_reported(&environment.namespace, provider, "RolloutDenied").await;
}

/// Lets the API server call the gate at a Service, as the chart does, by no path. Nothing answers there in this cluster.
async fn call_at_a_service(setup: &GateSetup, name: &str) {
    let api = Api::<ValidatingWebhookConfiguration>::all(setup.cluster.client());
    let mut configuration = api.get(name).await.unwrap();
    for hook in configuration.webhooks.as_mut().unwrap() {
        hook.client_config.url = None;
        hook.client_config.service = Some(ServiceReference {
            name: "pact-operator-webhook".into(),
            namespace: "pact-operator".into(),
            ..ServiceReference::default()
        });
    }
    api.replace(name, &PostParams::default(), &configuration).await.unwrap();
}

#[tokio::test]
async fn case_110_the_gate_puts_its_secret_into_the_configuration_and_again_when_somebody_takes_it_out() {
    let setup = GateSetup::start().await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "orders");
    let name = WebhookOptions::default().configuration();
    let mut seen = vec![webhook::PATH.to_owned()];
    for _ in 0..2 {
        call_at_a_service(&setup, &name).await;
        let path = eventually("the gate to put a secret into the path", SOON, async || {
            // A call by a path that it does not know tells it to look.
            answer(&setup.webhook, "/gate", review(&environment.namespace, "orders", "1.0.0")).await;
            let path = webhook::path(&setup.cluster.client(), &name).await;
            if path.starts_with("/gate/") && path.len() > 32 && !seen.contains(&path) { Ok(path) } else { Err(path) }
        })
        .await;
        tells_apart(&setup.webhook, &environment, "orders").await;
        let said = answer(&setup.webhook, &path, review(&environment.namespace, "orders", "2.0.0")).await.to_string();
        assert!(said.contains("web-of-orders"), "whoever calls by the path gets the whole reason: {said}");
        seen.push(path);
    }
    let logs = setup.webhook.logs();
    assert!(!seen.iter().any(|path| logs.contains(path)), "the secret is in no log");
}

#[tokio::test]
async fn case_110_to_a_stranger_what_is_held_does_not_run_either() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let before = setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&before.name, "before-held");
    tells_apart(&setup.webhook, &before, "before-held").await;
    let live = setup.waiting(&environment, "strange").await;
    setup.set_version(&environment.namespace, "strange", "2.0.0", &[]).await;
    let old = live.wait("it to be held", |it| waits(it, "2.0.0")).await;
    let mut new = old.clone();
    new.spec.as_mut().unwrap().paused = None;
    for (manager, allowed) in [("helm", false), ("kubectl-rollout", true)] {
        let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "1", "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": "strange", "namespace": environment.namespace, "operation": "UPDATE", "dryRun": false,
            "userInfo": {"username": "somebody"}, "object": new, "oldObject": old,
            "options": {"fieldManager": manager},
        }});
        let said = answer(&setup.webhook, "/gate", body.to_string()).await;
        assert_eq!(said["allowed"], allowed, "{manager}: {said}");
    }
}
