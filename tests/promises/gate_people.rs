//! Who rolls out, rolls back, tries and cleans up: what the gate holds up, and what it must never.

use crate::objects::Objects as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::gate_stage::{EnvironmentRef, Stage, provider_that_breaks};
use super::recorder_asserts::memories;
use testbed::eventually::eventually;
use testbed::standin::encoded;
use testbed::test_cluster::{SOON, annotated, image};

/// The stage that these tests share: each uses namespaces, environments and pacticipants of its own.
async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    STAGE.get_or_init(Stage::start).await
}

#[tokio::test]
async fn case_11_a_dry_run_gets_the_whole_verdict_and_leaves_nothing() {
    let stage = stage().await;
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    stage.provider_that_breaks(&place.environment, "tried");
    let create = ["create", "--dry-run=server", "-f", "-"];
    let dry_run = async |version| {
        let manifest = annotated("tried", "tried", version).manifest().to_string();
        stage.kubectl_reading(&place.namespace, &create, &manifest).await
    };
    dry_run("1.0.0").await.silent();
    assert!(dry_run("2.0.0").await.denial().is_some());
    assert!(stage.deployments(&place.namespace).get_opt("tried").await.unwrap().is_none());
    assert_eq!(memories(&stage.cluster, &place.environment).await, []);
    assert_eq!(stage.cluster.writes(&place.environment, "tried"), [""; 0]);
    let mut asked = stage.cluster.broker.requests();
    asked.retain(|request| request.path_and_query.contains("tried"));
    assert!(!asked.is_empty() && asked.iter().all(|request| request.method == "GET"), "{asked:?}");
}

#[tokio::test]
async fn a_denial_is_403_forbidden_and_its_first_line_is_the_whole_answer_whatever_names_it_quotes() {
    let stage = stage().await;
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    let long = "x".repeat(200);
    // Names that a broker holds, and that would have the running Deployment deleted if they were repeated.
    let provider = "this is immutable";
    stage.provider_that_breaks(&place.environment, provider);
    let store = stage.cluster.broker.store();
    for consumer in ["an immutable field", &long] {
        store.publish_pact(consumer, &long, provider, "what it expects");
        store.record_deployment(consumer, &long, &place.environment, None);
        assert!(store.verify(consumer, &long, provider, "2.0.0", false));
    }
    let object: Deployment = serde_json::from_value(annotated("form", provider, "2.0.0").manifest().clone()).unwrap();
    let denied = stage.deployments(&place.namespace).create(&PostParams::default(), &object).await;
    let Err(kube::Error::Api(status)) = denied else { panic!("{denied:?}") };
    assert_eq!((status.code, status.reason.as_str(), status.is_failure()), (403, "Forbidden", true));
    let text = status.message.strip_prefix(super::gate_stage::DENIED).unwrap_or_else(|| panic!("{}", status.message));
    let first = text.lines().next().unwrap();
    assert!(first.chars().count() <= 256, "{first}");
    assert!(first.starts_with("this is unchangeable 2.0.0 may not be deployed to "), "{first}");
    let lower = text.to_lowercase();
    assert!(!lower.contains("is immutable") && !lower.contains("immutable field"), "{text}");
    assert!(text.contains("an unchangeable field"), "all three pairs are listed: {text}");
    assert!(text.contains(&format!("{}/matrix?", stage.cluster.broker.url())), "{text}");
    let note = stage.wait_told(&place.namespace, "form", "RolloutDenied").await;
    assert!(note.contains("unchangeable") && note.len() <= 1_024, "{note}");

    let place = &stage.gated(json!({"mode": "Warn"})).await;
    store.publish_pact("an immutable field", &long, provider, "what it expects");
    store.record_deployment("an immutable field", &long, &place.environment, None);
    let manifest = annotated("form", provider, "2.0.0").manifest().to_string();
    let said = stage.kubectl_reading(&place.namespace, &["create", "-f", "-"], &manifest).await;
    let &[warning] = said.warnings().as_slice() else { panic!("{said:?}") };
    assert!(warning.starts_with("this is unchangeable 2.0.0 → ") && warning.chars().count() <= 120, "{warning}");
    assert!(warning.ends_with("; Enforce would deny it"), "{warning}");
}

#[tokio::test]
async fn case_03_rolling_back_to_what_is_recorded_passes_while_the_broker_is_down() {
    let stage = stage().await;
    let broker = stage.own_broker("down").await;
    // Were the broker asked, it could not answer, and this environment would not let that pass.
    let gate = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    let place = &stage.gated_by("down", &broker, gate).await;
    provider_that_breaks(&broker, &place.environment, "undone");
    assert!(broker.store().verify("web-of-undone", "7", "undone", "3.0.0", true));
    let live = stage.running(place, "undone", "undone", "1.0.0").await;
    stage.cluster.wait_condition(&place.environment, "undone", ("Recorded", "True", "Recorded")).await;
    // A rollout that was agreed to, and that never becomes ready.
    live.set_pod_label("testbed/ready", Some("never")).await;
    live.set_image(&image("3.0.0")).await;

    broker.stop().await;
    let asked = broker.requests().len();
    let said = stage.set_version(&place.namespace, "undone", "4.0.0", &[]).await;
    assert!(said.denial().is_some_and(|denial| denial.contains("could not be checked")), "{said:?}");
    stage.set_version(&place.namespace, "undone", "1.0.0", &["--dry-run=server"]).await.silent();
    let undo = ["rollout", "undo", "deployment/undone", "--to-revision=1"];
    stage.kubectl(&place.namespace, &undo).await.silent();
    let complete = live.wait_complete().await;
    assert_eq!(complete.spec.unwrap().template.spec.unwrap().containers[0].image, Some(image("1.0.0")));
    assert_eq!(broker.requests().len(), asked);
}

#[tokio::test]
async fn case_04_a_version_that_was_recorded_before_is_asked_about_and_at_most_warned_about() {
    let stage = stage().await;
    for (rollback, denied) in [("Warn", false), ("Enforce", true)] {
        let app = &format!("former-{}", rollback.to_lowercase());
        let place = &stage.gated(json!({"mode": "Enforce", "rollback": rollback})).await;
        stage.cluster.broker.store().publish_version(app, "2.0.0");
        stage.cluster.broker.store().publish_version(app, "1.0.0");
        let live = stage.running(place, app, app, "1.0.0").await;
        stage.cluster.wait_recorded(&place.environment, app, "1.0.0").await;
        live.set_image(&image("2.0.0")).await;
        stage.cluster.wait_recorded(&place.environment, app, "2.0.0").await;
        eventually("1.0.0 to be history", SOON, async || {
            let status = stage.cluster.memory(&place.environment, app).await.and_then(|memory| memory.status);
            let history = status.unwrap_or_default().history;
            if history.iter().any(|one| one.version == "1.0.0") { Ok(()) } else { Err(format!("{history:?}")) }
        })
        .await;
        // A consumer has come that cannot live with the version that was there before.
        let consumer = format!("web-of-{app}");
        stage.cluster.broker.store().publish_pact(&consumer, "7", app, "what it expects");
        assert!(stage.cluster.broker.store().verify(&consumer, "7", app, "1.0.0", false));
        stage.cluster.broker.store().record_deployment(&consumer, "7", &place.environment, None);
        let questions = || {
            let (app, version) = (encoded(app), "=1.0.0");
            stage.cluster.broker.count_requests(|request| {
                let path = &request.path_and_query;
                path.contains("/matrix") && path.contains(&app) && path.contains(version)
            })
        };
        let before = questions();
        let said = stage.kubectl(&place.namespace, &["rollout", "undo", &format!("deployment/{app}")]).await;
        assert!(questions() > before, "{rollback}: it was not asked about");
        if denied {
            assert!(said.denial().is_some(), "{said:?}");
        } else {
            let &[warning] = said.warnings().as_slice() else { panic!("{said:?}") };
            assert!(said.code == 0 && warning.starts_with(&format!("{app} 1.0.0 → ")), "{said:?}");
        }
    }
}

#[tokio::test]
async fn case_39_removing_the_annotation_is_no_way_around_the_gate_and_no_crime() {
    let stage = stage().await;
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    stage.provider_that_breaks(&place.environment, "sneaky");
    stage.running(place, "sneaky", "sneaky", "1.0.0").await;
    let patch = async |patch: Value| {
        let patch = ["patch", "deployment/sneaky", "-p", &patch.to_string()];
        stage.kubectl(&place.namespace, &patch).await
    };
    let unannotated = json!({"annotations": {"pact-operator.dev/pacticipant": null}});
    let container = json!([{"name": "app", "image": image("2.0.0")}]);
    let spec = json!({"template": {"spec": {"containers": container}}});
    let said = patch(json!({"metadata": unannotated, "spec": spec})).await;
    assert!(said.denial().is_some_and(|denial| denial.starts_with("sneaky 2.0.0 may not be deployed")), "{said:?}");
    // Without a change of what runs it is everybody's right, and whoever may do that may do the other afterwards.
    patch(json!({"metadata": unannotated})).await.silent();
    patch(json!({"spec": spec})).await.silent();
}

#[tokio::test]
async fn case_06_whatever_is_done_to_a_deployment_that_is_being_deleted_passes() {
    let stage = stage().await;
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    stage.provider_that_breaks(&place.environment, "leaving");
    let live = stage.running(place, "leaving", "leaving", "1.0.0").await;
    live.patch(json!({"metadata": {"finalizers": ["example.com/hold"]}})).await;
    live.delete().await;
    live.wait("it to be deleted", |live| live.metadata.deletion_timestamp.is_some()).await;
    stage.set_version(&place.namespace, "leaving", "2.0.0", &[]).await.silent();
    live.patch(json!({"metadata": {"finalizers": null}})).await;
    eventually("it to be gone", SOON, async || {
        let found = stage.deployments(&place.namespace).get_opt("leaving").await.unwrap();
        if found.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn case_71_the_primary_of_a_flagger_canary_passes_and_nobody_else_who_claims_an_owner() {
    let stage = stage().await;
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    stage.provider_that_breaks(&place.environment, "canary");
    let api = stage.deployments(&place.namespace);
    let create = async |name: &str, owner: Value| {
        let owned = annotated(name, "canary", "2.0.0").with(|it| it["metadata"]["ownerReferences"] = json!([owner]));
        api.patch(name, &PatchParams::apply("flagger"), &Patch::Apply(owned.manifest())).await
    };
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "shop", "uid": "4d2a", "controller": true,
    });
    create("shop-primary", canary.clone()).await.expect("it was judged when its target changed");
    for (name, key, value) in [
        ("not-in-control", "controller", json!(false)),
        ("another-kind", "kind", json!("Rollout")),
        ("another-group", "apiVersion", json!("example.com/v1")),
    ] {
        let mut other = canary.clone();
        other[key] = value;
        let denied = create(name, other).await;
        assert!(matches!(&denied, Err(kube::Error::Api(status)) if status.code == 403), "{name}: {denied:?}");
    }
}

#[tokio::test]
async fn case_69_a_new_deployment_of_the_version_that_is_recorded_passes_unasked() {
    let stage = stage().await;
    let broker = stage.own_broker("away").await;
    let gate = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    let place = &stage.gated_by("away", &broker, gate).await;
    provider_that_breaks(&broker, &place.environment, "moved");
    let live = stage.running(place, "moved", "moved", "1.0.0").await;
    stage.cluster.wait_condition(&place.environment, "moved", ("Recorded", "True", "Recorded")).await;
    broker.stop().await;
    live.delete().await;
    let EnvironmentRef { namespace, .. } = place;
    let create = async |version| {
        let manifest = annotated("moved", "moved", version).manifest().to_string();
        stage.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await
    };
    assert!(create("3.0.0").await.denial().is_some());
    create("1.0.0").await.silent();
}
