//! What an environment's policy makes of a verdict, and what the gate does where there is none.

use crate::objects::Objects as _;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::sync::OnceCell;

use super::gate_stage::{EnvironmentRef, Stage, consumer_of, provider_that_breaks};
use testbed::eventually::eventually;
use testbed::standin::Fault;
use testbed::test_cluster::{SOON, annotated};

/// The stage that these tests share: each uses namespaces, environments and pacticipants of its own.
async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    STAGE.get_or_init(Stage::start).await
}

#[tokio::test]
async fn an_environment_may_ask_for_evidence_warn_of_a_no_and_let_an_unknown_pass() {
    let stage = stage().await;
    let actions = json!({"yesVacuous": "Deny", "failed": "Warn", "unknown": "Allow", "pacticipantUnknown": "Deny"});
    let place = &stage.gated(json!({"mode": "Enforce", "actions": actions})).await;
    let store = stage.cluster.broker.store();
    store.publish_version("vacuous", "2.0.0");
    stage.provider_that_breaks(&place.environment, "tolerated");
    consumer_of(&stage.cluster.broker, &place.environment, "pending");
    store.publish_version("pending", "2.0.0");
    for app in ["vacuous", "tolerated", "pending", "stranger"] {
        stage.running(place, app, app, "1.0.0").await;
    }
    let set = async |app| stage.set_version(&place.namespace, app, "2.0.0", &[]).await;
    let said = set("vacuous").await;
    let denial = said.denial().expect("there is no evidence");
    assert!(
        denial.starts_with("vacuous 2.0.0 may be deployed to ") && denial.contains("nothing had to be"),
        "{denial}"
    );
    let said = set("tolerated").await;
    assert!(said.code == 0 && said.warnings().len() == 1, "{said:?}");
    assert!(!said.warnings()[0].contains("Enforce"), "it is the policy that only warns: {said:?}");
    set("pending").await.silent();
    assert!(set("stranger").await.denial().is_some_and(|denial| denial.contains("no pacticipant named stranger")));
}

#[tokio::test]
async fn an_environment_may_deny_what_cannot_be_checked_and_the_reason_comes_from_us() {
    let stage = stage().await;
    let broker = stage.own_broker("outage").await;
    let gate = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    let place = &stage.gated_by("outage", &broker, gate).await;
    stage.running(place, "cautious", "cautious", "1.0.0").await;
    broker.stop().await;
    let said = stage.set_version(&place.namespace, "cautious", "2.0.0", &[]).await;
    let denial = said.denial().expect("the environment wants it so");
    assert!(denial.starts_with("cautious 2.0.0 could not be checked for "), "{denial}");
    assert!(denial.contains("kubectl get pactbroker"), "{denial}");
}

#[tokio::test]
async fn what_is_ignored_is_not_held_against_a_version_until_the_time_is_over() {
    let stage = stage().await;
    let soon = Timestamp::now() + SignedDuration::from_hours(1);
    let past = Timestamp::now() - SignedDuration::from_mins(1);
    for (app, ignored, passes) in [
        ("ignored-for-good", json!({}), true),
        ("ignored-for-an-hour", json!({"until": soon.to_string()}), true),
        ("ignored-until-just-now", json!({"until": past.to_string()}), false),
        ("ignored-in-this-version", json!({"version": "7"}), true),
        ("ignored-in-another-version", json!({"version": "8"}), false),
    ] {
        let mut ignore = json!({"pacticipant": format!("web-of-{app}"), "reason": "it is switched off next week"});
        ignore.as_object_mut().unwrap().extend(ignored.as_object().unwrap().clone());
        let place = &stage.gated(json!({"mode": "Enforce", "ignore": [ignore]})).await;
        stage.provider_that_breaks(&place.environment, app);
        stage.running(place, app, app, "1.0.0").await;
        let said = stage.set_version(&place.namespace, app, "2.0.0", &[]).await;
        assert_eq!((said.code == 0, said.denial().is_none()), (passes, passes), "{app}: {said:?}");
    }
}

#[tokio::test]
async fn case_14_a_version_annotation_that_disagrees_with_the_tag_is_denied_with_the_remedy() {
    let stage = stage().await;
    let namespace = &stage.cluster.namespace().await;
    let more = json!({"gate": {"mode": "Enforce"}, "version": {"tagPattern": "^v(?P<version>.+)$"}});
    let environment = stage.cluster.environment(&[namespace], more).await;
    stage.backfilled(&environment).await;
    stage.cluster.broker.store().publish_version("stale", "1.0.0");
    let annotated_twice = annotated("stale", "stale", "v1.0.0").annotation("pact-operator.dev/version", "1.0.0");
    annotated_twice.apply(&stage.cluster.client(), namespace).await.wait_complete().await;
    let said = stage.set_version(namespace, "stale", "v2.0.0", &[]).await;
    let denial = said.denial().expect("the annotation was forgotten");
    let first = denial.lines().next().unwrap();
    assert!(first.starts_with(&format!("stale may not be deployed to {environment}: the annotation")), "{first}");
    assert!(
        first.contains("\"1.0.0\"") && first.contains("2.0.0\"") && first.contains("update the annotation"),
        "{first}"
    );
    let note = stage.wait_told(namespace, "stale", "RolloutDenied").await;
    assert!(note.contains("update the annotation"), "{note}");
}

#[tokio::test]
async fn case_14_an_image_that_changes_while_the_annotation_stays_is_warned_about() {
    let stage = stage().await;
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    let forgotten = annotated("forgotten", "forgotten", "1.0.0").annotation("pact-operator.dev/version", "1.0.0");
    forgotten.apply(&stage.cluster.client(), &place.namespace).await.wait_complete().await;
    let said = stage.set_version(&place.namespace, "forgotten", "2.0.0", &[]).await;
    assert_eq!(said.code, 0);
    let wanted = "the image changed, but the annotation pact-operator.dev/version stayed: is it still right?";
    assert_eq!(said.warnings(), [wanted]);
}

#[tokio::test]
async fn case_12_a_tag_that_is_never_a_version_is_denied_or_warned_about() {
    let stage = stage().await;
    for (mode, denied) in [("Enforce", true), ("Warn", false)] {
        let place = &stage.gated(json!({"mode": mode})).await;
        stage.running(place, "moving", "moving", "1.0.0").await;
        let said = stage.set_version(&place.namespace, "moving", "latest", &[]).await;
        if denied {
            let denial = said.denial().unwrap_or_else(|| panic!("{said:?}"));
            let begins = format!("moving may not be deployed to {}: \"latest\" is never a version", place.environment);
            assert!(denial.starts_with(&begins), "{denial}");
            assert!(denial.contains("Correct the Deployment's annotations or its image tag."), "{denial}");
        } else {
            assert!(said.code == 0, "{said:?}");
            let &[warning] = said.warnings().as_slice() else { panic!("{said:?}") };
            assert!(warning.contains("latest") && warning.ends_with("; Enforce would deny it"), "{warning}");
        }
    }
}

#[tokio::test]
async fn case_72_enforce_warns_until_the_first_inventory_was_recorded_and_says_so() {
    let stage = stage().await;
    let broker = stage.own_broker("unread").await;
    broker.faults().add(Fault::status(500).path("currently-deployed"));
    let namespace = &stage.cluster.namespace().await;
    let environment = &format!("env-{namespace}");
    broker.store().add_environment(environment, false);
    provider_that_breaks(&broker, environment, "early");
    let more = json!({"gate": {"mode": "Enforce"}, "brokerRef": {"name": "unread"}});
    stage.cluster.map(environment, &[namespace], more).await;
    stage.cluster.wait_environment(environment, ("Backfilled", "False", "EnvironmentNotRead")).await;
    stage.known(environment).await;
    let place = &EnvironmentRef { namespace: namespace.clone(), environment: environment.clone() };
    stage.running(place, "early", "early", "1.0.0").await;
    let said = stage.set_version(namespace, "early", "2.0.0", &["--dry-run=server"]).await;
    let &[warning] = said.warnings().as_slice() else { panic!("{said:?}") };
    assert!(said.code == 0 && warning.ends_with("; Enforce awaits the first inventory"), "{said:?}");

    broker.faults().clear();
    stage.backfilled(environment).await;
    // Dry-runs, for the gate remembers for a second that it got no answer, and the inventory may be sooner.
    eventually("the gate to enforce", SOON, async || {
        let said = stage.set_version(namespace, "early", "2.0.0", &["--dry-run=server"]).await;
        said.denial().map(drop).ok_or(format!("{said:?}"))
    })
    .await;
    assert!(stage.set_version(namespace, "early", "2.0.0", &[]).await.denial().is_some());
}

#[tokio::test]
async fn case_41_a_namespace_that_two_environments_claim_is_warned_about_and_never_denied() {
    let stage = stage().await;
    let namespace = &stage.cluster.namespace().await;
    let mut claimants = Vec::new();
    for _ in 0..2 {
        let environment = stage.cluster.environment(&[namespace], json!({"gate": {"mode": "Enforce"}})).await;
        stage.provider_that_breaks(&environment, "claimed");
        claimants.push(environment);
    }
    claimants.sort();
    stage.known("both claimants").await;
    let place = &EnvironmentRef { namespace: namespace.clone(), environment: claimants[0].clone() };
    stage.running(place, "claimed", "claimed", "1.0.0").await;
    let said = stage.set_version(namespace, "claimed", "2.0.0", &[]).await;
    let wanted = format!("not checked with Pact: the namespace is claimed by {}", claimants.join(", "));
    assert_eq!((said.code, said.warnings()), (0, vec![wanted.as_str()]));
}

#[tokio::test]
async fn cases_23_and_42_all_pacticipants_in_all_environments_have_to_agree() {
    let stage = stage().await;
    let namespace = &stage.cluster.namespace().await;
    let mut environments = Vec::new();
    for _ in 0..2 {
        let more = json!({"gate": {"mode": "Enforce"}, "overlap": "Allow"});
        let environment = stage.cluster.environment(&[namespace], more).await;
        for app in ["gateway", "composed"] {
            stage.provider_that_breaks(&environment, app);
        }
        environments.push(environment);
    }
    environments.sort();
    for environment in &environments {
        stage.backfilled(environment).await;
    }
    let place = &EnvironmentRef { namespace: namespace.clone(), environment: environments[0].clone() };
    stage.running(place, "both", "gateway,composed", "1.0.0").await;
    let said = stage.set_version(namespace, "both", "2.0.0", &[]).await;
    let denial = said.denial().unwrap_or_else(|| panic!("{said:?}"));
    let first = denial.lines().next().unwrap();
    let begins = format!("gateway 2.0.0 may not be deployed to {}: it failed", environments[0]);
    assert!(first.starts_with(&begins) && first.ends_with(" (and 3 more)"), "{first}");
    for environment in &environments {
        for app in ["gateway", "composed"] {
            assert!(denial.contains(&format!("- {app} 2.0.0 may not be deployed to {environment}: ")), "{denial}");
        }
    }

    // One that does not agree is enough, and it is the one that is named.
    let store = stage.cluster.broker.store();
    for (app, ok) in [("gateway", true), ("composed", false)] {
        assert!(store.verify(&format!("web-of-{app}"), "7", app, "3.0.0", ok));
    }
    store.undeploy("web-of-composed", &environments[0], None);
    let said = stage.set_version(namespace, "both", "3.0.0", &[]).await;
    let denial = said.denial().unwrap_or_else(|| panic!("{said:?}"));
    let first = denial.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("composed 3.0.0 may not be deployed to {}: it failed", environments[1])),
        "{first}"
    );
    assert!(!first.contains("more)"), "{first}");
}

#[tokio::test]
async fn case_62_who_needs_what_is_not_there_is_told_what_to_deploy_first() {
    let stage = stage().await;
    let place = &stage.gated(json!({"mode": "Enforce"})).await;
    let store = stage.cluster.broker.store();
    store.publish_pact("newcomer", "1.0.0", "absent", "what it needs");
    let api = stage.deployments(&place.namespace);
    let manifest = annotated("newcomer", "newcomer", "1.0.0").manifest().clone();
    let denied = api.patch("newcomer", &PatchParams::apply("test"), &Patch::Apply(&manifest)).await;
    let Err(kube::Error::Api(status)) = denied else { panic!("{denied:?}") };
    let needs = format!("it needs absent, and no version of that is in {}", place.environment);
    assert!(status.message.contains(&needs), "{}", status.message);
    assert!(status.message.contains(&format!("Deploy absent to {} first", place.environment)), "{}", status.message);

    store.publish_version("absent", "5");
    assert!(store.verify("newcomer", "1.0.0", "absent", "5", true));
    store.record_deployment("absent", "5", &place.environment, None);
    eventually("it to be admitted", SOON, async || {
        let tried = api.patch("newcomer", &PatchParams::apply("test"), &Patch::Apply(&manifest)).await;
        tried.map(drop).map_err(|error| error.to_string())
    })
    .await;
}
