//! People who roll out, roll back, try and clean up: what the gate denies, and what it must never deny.

use crate::objects::Objects as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::PostParams;
use serde_json::{Value, json};

use super::gate_setup::{GateSetup, MappedEnvironment, provider_that_breaks};
use super::recorder_asserts::records;
use testbed::eventually::eventually;
use testbed::standin::encoded;
use testbed::test_cluster::{SOON, annotated, image};

#[tokio::test]
async fn case_11_a_dry_run_gets_the_whole_verdict_and_leaves_nothing() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "tried");
    let create = ["create", "--dry-run=server", "-f", "-"];
    let dry_run = async |version| {
        let manifest = annotated("tried", "tried", version).manifest().to_string();
        setup.kubectl_reading(&environment.namespace, &create, &manifest).await
    };
    dry_run("1.0.0").await.silent();
    assert!(dry_run("2.0.0").await.denial().is_some());
    assert!(setup.deployments(&environment.namespace).get_opt("tried").await.unwrap().is_none());
    assert_eq!(records(&setup.cluster, &environment.name).await, []);
    assert_eq!(setup.cluster.writes(&environment.name, "tried"), [""; 0]);
    let mut asked = setup.cluster.broker.requests();
    asked.retain(|request| request.path_and_query.contains("tried"));
    assert!(!asked.is_empty() && asked.iter().all(|request| request.method == "GET"), "{asked:?}");
}

#[tokio::test]
async fn a_denial_is_403_forbidden_and_its_first_line_is_the_whole_answer_whatever_names_it_quotes() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let long = "x".repeat(200);
    // Names at the broker that would cause the running Deployment to be deleted if the denial repeated them.
    let provider = "this is immutable";
    setup.provider_that_breaks(&environment.name, provider);
    let store = setup.cluster.broker.store();
    for consumer in ["an immutable field", &long] {
        store.publish_pact(consumer, &long, provider, "what it expects");
        store.record_deployment(consumer, &long, &environment.name, None);
        assert!(store.verify(consumer, &long, provider, "2.0.0", false));
    }
    let object: Deployment = serde_json::from_value(annotated("form", provider, "2.0.0").manifest().clone()).unwrap();
    let denied = setup.deployments(&environment.namespace).create(&PostParams::default(), &object).await;
    let Err(kube::Error::Api(status)) = denied else { panic!("{denied:?}") };
    assert_eq!((status.code, status.reason.as_str(), status.is_failure()), (403, "Forbidden", true));
    let text = status.message.strip_prefix(super::gate_setup::DENIED).unwrap_or_else(|| panic!("{}", status.message));
    let first = text.lines().next().unwrap();
    assert!(first.chars().count() <= 256, "{first}");
    assert!(first.starts_with("this is unchangeable 2.0.0 may not be deployed to "), "{first}");
    let lower = text.to_lowercase();
    assert!(!lower.contains("is immutable") && !lower.contains("immutable field"), "{text}");
    assert!(text.contains("an unchangeable field"), "all three pairs are listed: {text}");
    assert!(text.contains(&format!("{}/matrix?", setup.cluster.broker.url())), "{text}");
    let note = setup.wait_reported(&environment.namespace, "form", "RolloutDenied").await;
    assert!(note.contains("unchangeable") && note.len() <= 1_024, "{note}");

    let environment = &setup.gated(json!({"mode": "Warn"})).await;
    store.publish_pact("an immutable field", &long, provider, "what it expects");
    store.record_deployment("an immutable field", &long, &environment.name, None);
    let manifest = annotated("form", provider, "2.0.0").manifest().to_string();
    let output = setup.kubectl_reading(&environment.namespace, &["create", "-f", "-"], &manifest).await;
    let &[warning] = output.warnings().as_slice() else { panic!("{output:?}") };
    assert!(warning.starts_with("this is unchangeable 2.0.0 → ") && warning.chars().count() <= 120, "{warning}");
    assert!(warning.ends_with("; Enforce would deny it"), "{warning}");
}

#[tokio::test]
async fn case_03_rolling_back_to_what_is_recorded_passes_while_the_broker_is_down() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("down").await;
    // If the broker were asked, it could not answer, and this environment would deny.
    let gate = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    let environment = &setup.gated_by("down", &broker, gate).await;
    provider_that_breaks(&broker, &environment.name, "undone");
    assert!(broker.store().verify("web-of-undone", "7", "undone", "3.0.0", true));
    let live = setup.running(environment, "undone", "undone", "1.0.0").await;
    setup.cluster.wait_condition(&environment.name, "undone", ("Recorded", "True", "Recorded")).await;
    // A rollout that was admitted and never becomes ready.
    live.set_pod_label("testbed/ready", Some("never")).await;
    live.set_image(&image("3.0.0")).await;

    broker.stop().await;
    let asked = broker.requests().len();
    let output = setup.set_version(&environment.namespace, "undone", "4.0.0", &[]).await;
    assert!(output.denial().is_some_and(|denial| denial.contains("could not be checked")), "{output:?}");
    setup.set_version(&environment.namespace, "undone", "1.0.0", &["--dry-run=server"]).await.silent();
    let undo = ["rollout", "undo", "deployment/undone", "--to-revision=1"];
    setup.kubectl(&environment.namespace, &undo).await.silent();
    let complete = live.wait_complete().await;
    assert_eq!(complete.spec.unwrap().template.spec.unwrap().containers[0].image, Some(image("1.0.0")));
    assert_eq!(broker.requests().len(), asked);
}

#[tokio::test]
async fn case_04_a_version_that_was_recorded_before_is_asked_about_and_at_most_warned_about() {
    let setup = GateSetup::shared().await;
    for (rollback, denied) in [("Warn", false), ("Enforce", true)] {
        let app = &format!("former-{}", rollback.to_lowercase());
        let environment = &setup.gated(json!({"mode": "Enforce", "rollback": rollback})).await;
        setup.cluster.broker.store().publish_version(app, "2.0.0");
        setup.cluster.broker.store().publish_version(app, "1.0.0");
        let live = setup.running(environment, app, app, "1.0.0").await;
        setup.cluster.wait_recorded(&environment.name, app, "1.0.0").await;
        live.set_image(&image("2.0.0")).await;
        setup.cluster.wait_recorded(&environment.name, app, "2.0.0").await;
        eventually("1.0.0 to be history", SOON, async || {
            let status = setup.cluster.record(&environment.name, app).await.and_then(|record| record.status);
            let history = status.unwrap_or_default().history;
            if history.iter().any(|one| one.version == "1.0.0") { Ok(()) } else { Err(format!("{history:?}")) }
        })
        .await;
        // A new consumer whose pact the former version fails.
        let consumer = format!("web-of-{app}");
        setup.cluster.broker.store().publish_pact(&consumer, "7", app, "what it expects");
        assert!(setup.cluster.broker.store().verify(&consumer, "7", app, "1.0.0", false));
        setup.cluster.broker.store().record_deployment(&consumer, "7", &environment.name, None);
        let questions = || {
            let (app, version) = (encoded(app), "=1.0.0");
            setup.cluster.broker.count_requests(|request| {
                let path = &request.path_and_query;
                path.contains("/matrix") && path.contains(&app) && path.contains(version)
            })
        };
        let before = questions();
        let output = setup.kubectl(&environment.namespace, &["rollout", "undo", &format!("deployment/{app}")]).await;
        assert!(questions() > before, "{rollback}: the broker was not asked");
        if denied {
            assert!(output.denial().is_some(), "{output:?}");
        } else {
            let &[warning] = output.warnings().as_slice() else { panic!("{output:?}") };
            assert!(output.code == 0 && warning.starts_with(&format!("{app} 1.0.0 → ")), "{output:?}");
        }
    }
}

#[tokio::test]
async fn case_39_removing_the_annotation_does_not_bypass_the_gate_and_is_admitted_by_itself() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "sneaky");
    setup.running(environment, "sneaky", "sneaky", "1.0.0").await;
    let patch = async |patch: Value| {
        let patch = ["patch", "deployment/sneaky", "-p", &patch.to_string()];
        setup.kubectl(&environment.namespace, &patch).await
    };
    let unannotated = json!({"annotations": {"pact-operator.dev/pacticipant": null}});
    let container = json!([{"name": "app", "image": image("2.0.0")}]);
    let spec = json!({"template": {"spec": {"containers": container}}});
    let output = patch(json!({"metadata": unannotated, "spec": spec})).await;
    assert!(output.denial().is_some_and(|denial| denial.starts_with("sneaky 2.0.0 may not be deployed")), "{output:?}");
    // Without a change of the version, everyone with write access may remove it, and may then change the image.
    patch(json!({"metadata": unannotated})).await.silent();
    patch(json!({"spec": spec})).await.silent();
}

#[tokio::test]
async fn case_06_any_change_to_a_deployment_that_is_being_deleted_passes() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "leaving");
    let live = setup.running(environment, "leaving", "leaving", "1.0.0").await;
    live.patch(json!({"metadata": {"finalizers": ["example.com/hold"]}})).await;
    live.delete().await;
    live.wait("its deletion to begin", |live| live.metadata.deletion_timestamp.is_some()).await;
    setup.set_version(&environment.namespace, "leaving", "2.0.0", &[]).await.silent();
    live.patch(json!({"metadata": {"finalizers": null}})).await;
    eventually("the Deployment to be gone", SOON, async || {
        let found = setup.deployments(&environment.namespace).get_opt("leaving").await.unwrap();
        if found.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
    })
    .await;
}

#[tokio::test]
async fn case_69_a_new_deployment_of_the_version_that_is_recorded_passes_unasked() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("away").await;
    let gate = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    let environment = &setup.gated_by("away", &broker, gate).await;
    provider_that_breaks(&broker, &environment.name, "moved");
    let live = setup.running(environment, "moved", "moved", "1.0.0").await;
    setup.cluster.wait_condition(&environment.name, "moved", ("Recorded", "True", "Recorded")).await;
    broker.stop().await;
    live.delete().await;
    let MappedEnvironment { namespace, .. } = environment;
    let create = async |version| {
        let manifest = annotated("moved", "moved", version).manifest().to_string();
        setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await
    };
    assert!(create("3.0.0").await.denial().is_some());
    create("1.0.0").await.silent();
}
