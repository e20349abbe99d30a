//! Who may name a pacticipant: the gate's side of cases 102 to 104.

use pact_operator::api::annotations::{APPLICATION_INSTANCE, PACTICIPANT};
use serde_json::{Value, json};

use super::gate_setup::{CommandOutput, GateSetup, MappedEnvironment};
use testbed::eventually::eventually;
use testbed::rollout::Rollout;
use testbed::test_cluster::{SOON, annotated, image};

/// A new environment in this mode over a new namespace, with more in its spec.
async fn environment(setup: &GateSetup, mode: &str, mut spec: Value) -> MappedEnvironment {
    let namespace = setup.cluster.namespace().await;
    spec["gate"] = json!({"mode": mode});
    let name = setup.cluster.environment(&[&namespace], spec).await;
    setup.members_listed(&name).await;
    MappedEnvironment { namespace, name }
}

/// The bank owns these.
fn banks(pacticipants: &str) -> Value {
    json!({"owners": [{"pacticipants": [pacticipants], "namespaces": ["bank"]}]})
}

async fn create(setup: &GateSetup, namespace: &str, rollout: &Rollout) -> CommandOutput {
    let manifest = rollout.manifest().to_string();
    setup.kubectl_reading(namespace, &["create", "--dry-run=server", "-f", "-"], &manifest).await
}

#[tokio::test]
async fn case_103_a_pacticipant_that_other_namespaces_own_is_denied_and_what_runs_is_not_blocked_otherwise() {
    let setup = GateSetup::shared().await;
    let at = environment(&setup, "Enforce", banks("*-103")).await;
    for version in ["1.0.0", "2.0.0"] {
        setup.cluster.broker.store().publish_version("free", version);
    }
    let said = format!(
        "orders-103 may not be deployed to {}: namespace {} does not own it, only bank does",
        at.name, at.namespace
    );
    let output = create(&setup, &at.namespace, &annotated("new", "orders-103", "1.0.0")).await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    assert!(denial.starts_with(&said), "{denial}");
    let remedy = format!("spec.owners of the PactEnvironment {}", at.name);
    assert!(denial.contains(PACTICIPANT) && denial.contains(&remedy), "{denial}");

    // One that was there before, of an admin's making.
    let rollout = annotated("there", "free,orders-103", "1.0.0").container("proxy", "envoy:1");
    let rollout = rollout.annotation("pact-operator.dev/container", "app");
    rollout.apply(&setup.cluster.client(), &at.namespace).await.wait_complete().await;
    let set = async |image: String| setup.kubectl(&at.namespace, &["set", "image", "deployment/there", &image]).await;
    set("proxy=envoy:2".to_owned()).await.silent();
    let output = set(format!("app={}", image("2.0.0"))).await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    assert!(denial.starts_with(&said), "{denial}");
    let note = setup.wait_reported(&at.namespace, "there", "RolloutDenied").await;
    assert!(note.starts_with(&said), "{note}");
    let named = |line: &str| line.contains(&at.namespace) && line.contains("verdict=\"NotOwned\"");
    assert!(setup.webhook.logs().lines().any(named), "{}", setup.webhook.logs());

    // The remedy, together with the next image.
    let containers = json!([{"name": "app", "image": image("2.0.0")}]);
    let patch = json!({
        "metadata": {"annotations": {PACTICIPANT: "free"}}, "spec": {"template": {"spec": {"containers": containers}}},
    });
    let output = setup.kubectl(&at.namespace, &["patch", "deployment/there", "-p", &patch.to_string()]).await;
    assert!(output.code == 0 && !output.err.contains("orders-103"), "{output:?}");
}

#[tokio::test]
async fn case_103_in_warn_a_pacticipant_of_others_is_a_warning_and_an_owner_is_asked_about_as_ever() {
    let setup = GateSetup::shared().await;
    let at = environment(&setup, "Warn", banks("warned-103")).await;
    let output = create(&setup, &at.namespace, &annotated("new", "warned-103", "1.0.0")).await;
    let warning = output.warnings().into_iter().find(|it| it.starts_with("warned-103 → ")).map(str::to_owned);
    let warning = warning.unwrap_or_else(|| panic!("{output:?}"));
    assert!(output.code == 0 && warning.contains("does not own it"), "{output:?}");

    let namespace = setup.cluster.namespace().await;
    let owners = json!([{"pacticipants": ["Owned-*"], "namespaces": [namespace]}]);
    let more = json!({"owners": owners, "gate": {"mode": "Enforce"}});
    let name = setup.cluster.environment(&[&namespace], more).await;
    setup.members_listed(&name).await;
    setup.provider_that_breaks(&name, "owned-103");
    create(&setup, &namespace, &annotated("new", "owned-103", "1.0.0")).await.silent();
    let output = create(&setup, &namespace, &annotated("new", "owned-103", "2.0.0")).await;
    assert!(output.denial().is_some_and(|it| it.contains("it failed to verify the pact")), "{output:?}");
}

#[tokio::test]
async fn case_103_what_a_stranger_runs_counts_as_running() {
    let setup = GateSetup::shared().await;
    let (ours, theirs) = (setup.cluster.namespace().await, setup.cluster.namespace().await);
    let at = setup.cluster.environment(&[&ours, &theirs], json!({"gate": {"mode": "Enforce"}})).await;
    setup.members_listed(&at).await;
    let store = setup.cluster.broker.store();
    store.publish_pact("web-of-stranger", "1.0.0", "provider-of-stranger", "what it expects");
    assert!(store.verify("web-of-stranger", "1.0.0", "provider-of-stranger", "1.0.0", true));
    store.publish_version("provider-of-stranger", "9.0.0");
    let client = setup.cluster.client();
    annotated("provider", "provider-of-stranger", "1.0.0").apply(&client, &ours).await;
    setup.cluster.wait_recorded(&at, "provider-of-stranger", "1.0.0").await;
    create(&setup, &ours, &annotated("web", "web-of-stranger", "1.0.0")).await.silent();

    annotated("claims", "provider-of-stranger", "9.0.0").apply(&client, &theirs).await;
    eventually("the stranger's version to count", SOON, async || {
        let output = create(&setup, &ours, &annotated("web", "web-of-stranger", "1.0.0")).await;
        let counts = output.denial().is_some_and(|it| it.contains("provider-of-stranger 9.0.0 has not verified"));
        if counts { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
    assert_eq!(setup.cluster.recorded(&at, "provider-of-stranger").as_deref(), Some("1.0.0"));
    assert_eq!(setup.cluster.writes(&at, "provider-of-stranger"), ["Deployed 1.0.0"]);
}

#[tokio::test]
async fn cases_103_and_104_an_application_instance_that_is_refused_is_denied() {
    let setup = GateSetup::shared().await;
    for (more, says) in [
        (json!({"version": {"applicationInstance": "Refuse"}}), "the environment refuses the annotation"),
        (json!({"record": {"kind": "Release"}}), "the environment records releases"),
    ] {
        let at = environment(&setup, "Enforce", more).await;
        let rollout = annotated("copy", "copied-103", "1.0.0").annotation(APPLICATION_INSTANCE, "blue");
        let output = create(&setup, &at.namespace, &rollout).await;
        let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
        let first = format!("this Deployment may not be deployed to {}: {says}", at.name);
        assert!(denial.starts_with(&first) && denial.contains(APPLICATION_INSTANCE), "{denial}");
    }
}
