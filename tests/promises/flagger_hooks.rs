//! The hooks of Flagger's Canaries: what each is told by what is known of the target's version, who is told it, and what
//! people read. Only Flagger's kind is installed; Flagger itself asks in `tests/gitops`.

use kube::Api;
use kube::api::ListParams;
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::gate_setup::{GateSetup, MappedEnvironment, consumer_of};
use super::recorder_templates::{foreign, install_kinds};
use super::verdict_endpoint::Tool;
use k8s_openapi::api::events::v1::Event;
use testbed::eventually::eventually;
use testbed::kubectl;
use testbed::test_cluster::{SOON, annotated, image};
use testbed::webhook::WebhookOptions;

const HOOKS: [&str; 4] = ["confirm-rollout", "pre-rollout", "confirm-promotion", "rollback"];
/// Go on, go on, go on, do not roll back.
const GO_ON: [u16; 4] = [200, 200, 200, 412];
const WAIT: [u16; 4] = [412; 4];
const ROLL_BACK: [u16; 4] = [412, 412, 412, 200];

async fn with_flagger(without_token: bool) -> Tool {
    let options = WebhookOptions::default()
        .value("verdictEndpoint.flagger.enabled", true)
        .value("verdictEndpoint.flagger.withoutToken", without_token);
    let tool = Tool::start_with(options).await;
    install_kinds(&tool.setup.cluster.control_plane).await;
    tool
}

/// A Canary with its target, and what its primary runs, as Flagger leaves it while it analyses the target.
async fn canary(setup: &GateSetup, namespace: &str, name: &str, target: &str, live: &str) {
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let object = foreign("flagger.app/v1beta1", "Canary", name, &json!({"targetRef": reference}));
    let kubeconfig = setup.cluster.control_plane.kubeconfig();
    kubectl::apply(kubeconfig, namespace, &object).await;
    let uid = ["get", "canaries.flagger.app", name, "-n", namespace, "-o", "jsonpath={.metadata.uid}"];
    let owner = json!([{
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": name, "controller": true,
        "uid": kubectl::kubectl_ok(kubeconfig, &uid).await,
    }]);
    let client = setup.cluster.client();
    let primary = testbed::rollout::deployment(&format!("{name}-primary")).image(&image(live));
    primary.with(|it| it["metadata"]["ownerReferences"] = owner).apply(&client, namespace).await;
    annotated(name, name, target).replicas(0).apply(&client, namespace).await;
}

impl Tool {
    /// Status and text of the answer to a hook.
    async fn hook(&self, hook: &str, namespace: &str, name: &str, metadata: Value) -> (StatusCode, String) {
        let payload = json!({"name": name, "namespace": namespace, "phase": "Progressing", "checksum": "c", "metadata": metadata});
        let url = self.url.replace("can-i-deploy", &format!("flagger/{hook}"));
        let response = self.client.post(url).json(&payload).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// What the hooks of a Canary are told, in the order of `HOOKS`, once that is this; with the text of the first.
    async fn advised(&self, at: &MappedEnvironment, name: &str, more: Value, expected: [u16; 4]) -> String {
        let mut metadata = json!({"token": self.token});
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        eventually(format!("the hooks of {name} to be told {expected:?}"), SOON, async || {
            let (mut told, mut texts) = (Vec::new(), Vec::new());
            for hook in HOOKS {
                let (status, text) = self.hook(hook, &at.namespace, name, metadata.clone()).await;
                told.push(status.as_u16());
                texts.push(text);
            }
            if told == expected { Ok(texts.remove(0)) } else { Err(format!("{told:?} {texts:?}")) }
        })
        .await
    }

    /// The Events of the gate on a Canary: reason and note.
    async fn events_of(&self, namespace: &str, name: &str) -> Vec<(String, String)> {
        let events =
            Api::<Event>::namespaced(self.setup.cluster.client(), namespace).list(&ListParams::default()).await;
        let about = |event: Event| {
            let regarding = event.regarding.unwrap_or_default();
            let is_it = regarding.kind.as_deref() == Some("Canary") && regarding.name.as_deref() == Some(name);
            is_it.then(|| (event.reason.unwrap_or_default(), event.note.unwrap_or_default()))
        };
        let mut events: Vec<_> = events.unwrap().into_iter().filter_map(about).collect();
        events.sort();
        events
    }

    async fn wait_events(&self, namespace: &str, name: &str, reasons: &[&str]) -> Vec<(String, String)> {
        eventually(format!("the Events {reasons:?} on {name}"), SOON, async || {
            let events = self.events_of(namespace, name).await;
            let found: Vec<_> = events.iter().map(|(reason, _)| reason.as_str()).collect();
            if found == reasons { Ok(events) } else { Err(format!("{events:?}")) }
        })
        .await
    }
}

#[tokio::test]
async fn a_canary_waits_until_it_is_verified_and_goes_back_when_it_fails() {
    let tool = with_flagger(false).await;
    let setup = &tool.setup;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let MappedEnvironment { namespace, name } = environment;
    let store = setup.cluster.broker.store();
    for provider in ["orders", "stock"] {
        consumer_of(&setup.cluster.broker, name, provider);
        assert!(store.verify(&format!("web-of-{provider}"), "7", provider, "1.0.0", true));
        store.publish_version(provider, "2.0.0");
        canary(setup, namespace, provider, "2.0.0", "1.0.0").await;
    }

    // Nobody has verified it: it waits, and nothing is taken back.
    let why = tool.advised(environment, "orders", json!({}), WAIT).await;
    assert!(why.starts_with("orders 2.0.0 may not be deployed to") && why.lines().count() == 1, "{why}");
    let events = tool.wait_events(namespace, "orders", &["CanaryHalted"]).await;
    assert!(events[0].1.starts_with("orders 2.0.0 may not be deployed to"), "{events:?}");

    // Nobody knows who wrote a statement that is there now.
    let stated = annotated("orders", "orders", "2.0.0")
        .with(|it| it["metadata"]["annotations"]["pact-operator.dev/bypass"] = json!("2.0.0 INC-7: the shop is down"));
    stated.replicas(0).apply(&setup.cluster.client(), namespace).await;
    let why = tool.advised(environment, "orders", json!({}), WAIT).await;
    assert!(why.starts_with("orders 2.0.0 may not be deployed to"), "{why}");

    assert!(store.verify("web-of-orders", "7", "orders", "2.0.0", true));
    let why = tool.advised(environment, "orders", json!({}), GO_ON).await;
    assert!(why.starts_with("orders 2.0.0 may be deployed to"), "{why}");

    assert!(store.verify("web-of-stock", "7", "stock", "2.0.0", false));
    tool.advised(environment, "stock", json!({}), ROLL_BACK).await;
    let events = tool.wait_events(namespace, "stock", &["CanaryHalted", "CanaryRollback"]).await;
    assert!(events.iter().all(|(_, note)| note.contains("web-of-stock")), "{events:?}");

    // What the primary runs already is not asked about: the change is one of the environment variables.
    canary(setup, namespace, "stock", "1.0.0", "1.0.0").await;
    let why = tool.advised(environment, "stock", json!({}), GO_ON).await;
    assert_eq!(why, "nothing in it has to be asked about\n");
    assert_eq!(tool.events_of(namespace, "stock").await.len(), 2, "once for each version and verdict");
}

#[tokio::test]
async fn what_does_not_deny_at_admission_holds_no_canary_up_unless_its_hook_says_so() {
    let tool = with_flagger(false).await;
    let setup = &tool.setup;
    let environment = &setup.gated(json!({"mode": "Warn"})).await;
    setup.provider_that_breaks(&environment.name, "orders");
    canary(setup, &environment.namespace, "orders", "2.0.0", "1.0.0").await;
    tool.advised(environment, "orders", json!({}), GO_ON).await;
    assert_eq!(tool.events_of(&environment.namespace, "orders").await, []);
    tool.advised(environment, "orders", json!({"mode": "Enforce"}), ROLL_BACK).await;
    let events = tool.wait_events(&environment.namespace, "orders", &["CanaryHalted", "CanaryRollback"]).await;
    assert!(events.iter().all(|(_, note)| !note.contains("admitted")), "{events:?}");

    // Nothing of it is judged: it has no annotation, or lies in no environment.
    let client = setup.cluster.client();
    let plain = annotated("orders", "orders", "2.0.0").with(|it| it["metadata"]["annotations"] = json!({}));
    plain.replicas(0).apply(&client, &environment.namespace).await;
    tool.advised(environment, "orders", json!({"mode": "Enforce"}), GO_ON).await;
}

#[tokio::test]
async fn while_the_broker_does_not_answer_a_canary_waits_where_it_is_enforced_and_is_not_rolled_back() {
    let tool = with_flagger(false).await;
    let setup = &tool.setup;
    // At admission a broker that is down only warns, by default.
    for (name, mode, without, enforced) in [("lost", "Enforce", WAIT, WAIT), ("lost-too", "Warn", GO_ON, WAIT)] {
        let broker = setup.own_broker(name).await;
        let lost = &setup.gated_by(name, &broker, json!({"mode": mode})).await;
        canary(setup, &lost.namespace, "orders", "2.0.0", "1.0.0").await;
        drop(broker);
        let why = tool.advised(lost, "orders", json!({}), without).await;
        assert!(why.contains("could not be checked"), "{why}");
        let why = tool.advised(lost, "orders", json!({"mode": "Enforce"}), enforced).await;
        assert!(why.contains("could not be checked"), "{why}");
        let events = tool.wait_events(&lost.namespace, "orders", &["CanaryHalted"]).await;
        assert!(
            events[0].1.starts_with("orders 2.0.0 could not be checked") && !events[0].1.contains("admitted"),
            "{events:?}"
        );
    }
}

#[tokio::test]
async fn a_hook_of_somebody_who_may_not_ask_is_told_nothing() {
    let tool = with_flagger(false).await;
    let environment = &tool.setup.gated(json!({"mode": "Enforce"})).await;
    let MappedEnvironment { namespace, name } = environment;
    tool.setup.provider_that_breaks(name, "orders");
    canary(&tool.setup, namespace, "orders", "2.0.0", "1.0.0").await;
    let developer = tool.setup.token("developer").await;
    for (what, hook, canary, metadata, expected) in [
        ("no token", "rollback", "orders", json!({}), 401),
        ("an unknown token", "rollback", "orders", json!({"token": "a.b.c"}), 401),
        ("no right", "rollback", "orders", json!({"token": developer}), 403),
        ("no such Canary", "rollback", "billing", json!({"token": tool.token}), 404),
        ("no such hook", "rollout", "orders", json!({"token": tool.token}), 404),
        ("another mode", "rollback", "orders", json!({"token": tool.token, "mode": "Audit"}), 400),
    ] {
        let (status, text) = tool.hook(hook, namespace, canary, metadata).await;
        assert_eq!(status.as_u16(), expected, "{what}: {text}");
        assert!(!text.contains("web-of-orders") && !text.contains(&tool.token) && !text.contains(&developer), "{text}");
    }
    assert_eq!(tool.events_of(namespace, "orders").await, []);
    assert!(!tool.setup.webhook.logs().contains(&tool.token));
}

#[tokio::test]
async fn a_hook_without_a_token_is_told_whether_and_not_why_where_that_is_allowed() {
    let tool = with_flagger(true).await;
    let environment = &tool.setup.gated(json!({"mode": "Enforce"})).await;
    let MappedEnvironment { namespace, name } = environment;
    tool.setup.provider_that_breaks(name, "orders");
    canary(&tool.setup, namespace, "orders", "2.0.0", "1.0.0").await;
    tool.advised(environment, "orders", json!({}), ROLL_BACK).await;
    for (hook, canary, expected) in
        [("confirm-rollout", "orders", 412), ("rollback", "orders", 200), ("confirm-rollout", "billing", 412)]
    {
        let (status, text) = tool.hook(hook, namespace, canary, Value::Null).await;
        assert_eq!(status.as_u16(), expected, "{hook} {canary}: {text}");
        assert!(!text.contains("orders") && !text.contains("2.0.0") && !text.contains(name), "{text}");
    }
    // The reason is where only those look who may read the namespace.
    let events = tool.wait_events(namespace, "orders", &["CanaryHalted", "CanaryRollback"]).await;
    assert!(events[0].1.contains("web-of-orders"), "{events:?}");
    // A token that is wrong is not taken for none.
    let (status, _) = tool.hook("rollback", namespace, "orders", json!({"token": "a.b.c"})).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}
