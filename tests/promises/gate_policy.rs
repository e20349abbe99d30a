//! How an environment's policy turns a verdict into an action, and what the gate does without a verdict.

use crate::objects::Objects as _;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::gate_setup::{GateSetup, MappedEnvironment, consumer_of};
use testbed::eventually::eventually;
use testbed::test_cluster::{SOON, annotated};

#[tokio::test]
async fn an_environment_may_ask_for_evidence_warn_of_a_no_and_let_an_unknown_pass() {
    let setup = GateSetup::shared().await;
    let actions = json!({"yesVacuous": "Deny", "failed": "Warn", "unknown": "Allow", "pacticipantUnknown": "Deny"});
    let environment = &setup.gated(json!({"mode": "Enforce", "actions": actions})).await;
    let store = setup.cluster.broker.store();
    store.publish_version("vacuous", "2.0.0");
    setup.provider_that_breaks(&environment.name, "tolerated");
    consumer_of(&setup.cluster.broker, &environment.name, "pending");
    store.publish_version("pending", "2.0.0");
    for app in ["vacuous", "tolerated", "pending", "stranger"] {
        setup.running(environment, app, app, "1.0.0").await;
    }
    let set = async |app| setup.set_version(&environment.namespace, app, "2.0.0", &[]).await;
    let output = set("vacuous").await;
    let denial = output.denial().expect("there is no evidence");
    assert!(
        denial.starts_with("vacuous 2.0.0 may be deployed to ") && denial.contains("nothing had to be"),
        "{denial}"
    );
    let output = set("tolerated").await;
    assert!(output.code == 0 && output.warnings().len() == 1, "{output:?}");
    assert!(!output.warnings()[0].contains("Enforce"), "the policy itself only warns: {output:?}");
    set("pending").await.silent();
    assert!(set("stranger").await.denial().is_some_and(|denial| denial.contains("no pacticipant named stranger")));
}

#[tokio::test]
async fn an_environment_may_deny_what_cannot_be_checked_and_the_reason_comes_from_us() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("outage").await;
    let gate = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    let environment = &setup.gated_by("outage", &broker, gate).await;
    setup.running(environment, "cautious", "cautious", "1.0.0").await;
    broker.stop().await;
    let output = setup.set_version(&environment.namespace, "cautious", "2.0.0", &[]).await;
    let denial = output.denial().expect("the environment wants it so");
    assert!(denial.starts_with("cautious 2.0.0 could not be checked for "), "{denial}");
    assert!(denial.contains("kubectl get pactbroker"), "{denial}");
}

#[tokio::test]
async fn an_ignored_pacticipant_does_not_count_until_its_time_is_over() {
    let setup = GateSetup::shared().await;
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
        let environment = &setup.gated(json!({"mode": "Enforce", "ignore": [ignore]})).await;
        setup.provider_that_breaks(&environment.name, app);
        setup.running(environment, app, app, "1.0.0").await;
        let output = setup.set_version(&environment.namespace, app, "2.0.0", &[]).await;
        assert_eq!((output.code == 0, output.denial().is_none()), (passes, passes), "{app}: {output:?}");
    }
}

#[tokio::test]
async fn case_14_a_version_annotation_that_disagrees_with_the_tag_is_denied_with_the_remedy() {
    let setup = GateSetup::shared().await;
    let namespace = &setup.cluster.namespace().await;
    let more = json!({"gate": {"mode": "Enforce"}, "version": {"tagPattern": "^v(?P<version>.+)$"}});
    let environment = setup.cluster.environment(&[namespace], more).await;
    setup.members_listed(&environment).await;
    setup.cluster.broker.store().publish_version("stale", "1.0.0");
    let annotated_twice = annotated("stale", "stale", "v1.0.0").annotation("pact-operator.dev/version", "1.0.0");
    annotated_twice.apply(&setup.cluster.client(), namespace).await.wait_complete().await;
    let output = setup.set_version(namespace, "stale", "v2.0.0", &[]).await;
    let denial = output.denial().expect("the annotation was forgotten");
    let first = denial.lines().next().unwrap();
    assert!(first.starts_with(&format!("stale may not be deployed to {environment}: the annotation")), "{first}");
    assert!(
        first.contains("\"1.0.0\"") && first.contains("2.0.0\"") && first.contains("update the annotation"),
        "{first}"
    );
    let note = setup.wait_reported(namespace, "stale", "RolloutDenied").await;
    assert!(note.contains("update the annotation"), "{note}");
}

#[tokio::test]
async fn case_14_an_image_that_changes_while_the_annotation_stays_is_warned_about() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let forgotten = annotated("forgotten", "forgotten", "1.0.0").annotation("pact-operator.dev/version", "1.0.0");
    forgotten.apply(&setup.cluster.client(), &environment.namespace).await.wait_complete().await;
    let output = setup.set_version(&environment.namespace, "forgotten", "2.0.0", &[]).await;
    assert_eq!(output.code, 0);
    let wanted = "the image changed, but the annotation pact-operator.dev/version stayed: is it still right?";
    assert_eq!(output.warnings(), [wanted]);
}

#[tokio::test]
async fn case_12_a_tag_that_is_never_a_version_is_denied_or_warned_about() {
    let setup = GateSetup::shared().await;
    for (mode, denied) in [("Enforce", true), ("Warn", false)] {
        let environment = &setup.gated(json!({"mode": mode})).await;
        setup.running(environment, "moving", "moving", "1.0.0").await;
        let output = setup.set_version(&environment.namespace, "moving", "latest", &[]).await;
        if denied {
            let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
            let begins = format!("moving may not be deployed to {}: \"latest\" is never a version", environment.name);
            assert!(denial.starts_with(&begins), "{denial}");
            assert!(denial.contains("Correct the Deployment's annotations or its image tag."), "{denial}");
        } else {
            assert!(output.code == 0, "{output:?}");
            let &[warning] = output.warnings().as_slice() else { panic!("{output:?}") };
            assert!(warning.contains("latest") && warning.ends_with("; Enforce would deny it"), "{warning}");
        }
    }
}

#[tokio::test]
async fn case_41_a_namespace_that_two_environments_claim_is_as_if_the_broker_did_not_answer() {
    let setup = GateSetup::shared().await;
    let namespace = &setup.cluster.namespace().await;
    let mut claimants = Vec::new();
    for _ in 0..2 {
        let environment = setup.cluster.environment(&[namespace], json!({"gate": {"mode": "Enforce"}})).await;
        setup.provider_that_breaks(&environment, "claimed");
        claimants.push(environment);
    }
    claimants.sort();
    let named = claimants.join(", ");
    setup.known("both claimants").await;
    let mapped = &MappedEnvironment { namespace: namespace.clone(), name: claimants[0].clone() };
    setup.running(mapped, "claimed", "claimed", "1.0.0").await;
    let output = setup.set_version(namespace, "claimed", "2.0.0", &[]).await;
    let warning = |environment: &String| format!("claimed 2.0.0 → {environment}: the namespace is claimed by {named}");
    let expected: Vec<_> = claimants.iter().map(warning).collect();
    assert_eq!((output.code, output.warnings()), (0, expected.iter().map(String::as_str).collect()));
    let note = setup.wait_reported(namespace, "claimed", "RolloutUnchecked").await;
    assert!(note.contains("could not be checked") && note.contains("overlap: Allow in each"), "{note}");

    let deny = json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}});
    setup.cluster.map(&claimants[0], &[namespace], json!({"gate": deny})).await;
    setup.known("the strict claimant").await;
    let output = setup.set_version(namespace, "claimed", "3.0.0", &[]).await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    assert!(denial.starts_with(&format!("claimed 3.0.0 could not be checked for {}: ", claimants[0])), "{denial}");
}

#[tokio::test]
async fn case_76_an_environment_that_breaks_denies_by_its_last_good_rules_and_in_its_mode_of_now() {
    let setup = GateSetup::shared().await;
    let namespace = &setup.cluster.namespace().await;
    let gate = |mode: &str, pattern: &str| json!({"gate": {"mode": mode}, "version": {"tagPattern": pattern}});
    let name = setup.cluster.environment(&[namespace], gate("Enforce", "^v(?P<version>.+)$")).await;
    let environment = &MappedEnvironment { namespace: namespace.clone(), name };
    setup.members_listed(&environment.name).await;
    setup.provider_that_breaks(&environment.name, "steady-76");
    setup.running(environment, "steady", "steady-76", "v1.0.0").await;

    // RE2 knows `\Q`, the operator does not: so the CRD takes it.
    let broken = r"\Qv\E(?P<version>.+)";
    for (mode, denied) in [("Enforce", true), ("Warn", false)] {
        setup.cluster.map(&environment.name, &[namespace], gate(mode, broken)).await;
        setup.cluster.wait_environment(&environment.name, ("Ready", "False", "InvalidSpec")).await;
        setup.known(&environment.name).await;
        // Only the pattern from before takes 2.0.0 out of the tag.
        let output = setup.set_version(namespace, "steady", "v2.0.0", &["--dry-run=server"]).await;
        if denied {
            let says = format!("steady-76 2.0.0 may not be deployed to {}: it failed to verify", environment.name);
            assert!(output.denial().is_some_and(|denial| denial.starts_with(&says)), "{output:?}");
        } else {
            let &[warning] = output.warnings().as_slice() else { panic!("{output:?}") };
            let begins = format!("steady-76 2.0.0 → {}: it failed", environment.name);
            assert!(output.code == 0 && warning.starts_with(&begins), "{output:?}");
        }
    }
}

#[tokio::test]
async fn cases_23_and_42_all_pacticipants_in_all_environments_have_to_agree() {
    let setup = GateSetup::shared().await;
    let namespace = &setup.cluster.namespace().await;
    let mut environments = Vec::new();
    for _ in 0..2 {
        let more = json!({"gate": {"mode": "Enforce"}, "overlap": "Allow"});
        let environment = setup.cluster.environment(&[namespace], more).await;
        for app in ["gateway", "composed"] {
            setup.provider_that_breaks(&environment, app);
        }
        environments.push(environment);
    }
    environments.sort();
    for environment in &environments {
        setup.members_listed(environment).await;
    }
    let mapped = &MappedEnvironment { namespace: namespace.clone(), name: environments[0].clone() };
    setup.running(mapped, "both", "gateway,composed", "1.0.0").await;
    let output = setup.set_version(namespace, "both", "2.0.0", &[]).await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    let first = denial.lines().next().unwrap();
    let begins = format!("gateway 2.0.0 may not be deployed to {}: it failed", environments[0]);
    assert!(first.starts_with(&begins) && first.ends_with(" (and 3 more)"), "{first}");
    for environment in &environments {
        for app in ["gateway", "composed"] {
            assert!(denial.contains(&format!("- {app} 2.0.0 may not be deployed to {environment}: ")), "{denial}");
        }
    }

    // A single no is enough to deny, and the denial names it.
    let store = setup.cluster.broker.store();
    for (app, ok) in [("gateway", true), ("composed", false)] {
        assert!(store.verify(&format!("web-of-{app}"), "7", app, "3.0.0", ok));
    }
    store.undeploy("web-of-composed", &environments[0], None);
    let output = setup.set_version(namespace, "both", "3.0.0", &[]).await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    let first = denial.lines().next().unwrap();
    assert!(
        first.starts_with(&format!("composed 3.0.0 may not be deployed to {}: it failed", environments[1])),
        "{first}"
    );
    assert!(!first.contains("more)"), "{first}");
}

#[tokio::test]
async fn case_62_the_denial_of_a_consumer_without_its_provider_says_what_to_deploy_first() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let store = setup.cluster.broker.store();
    store.publish_pact("newcomer", "1.0.0", "absent", "what it needs");
    let api = setup.deployments(&environment.namespace);
    let manifest = annotated("newcomer", "newcomer", "1.0.0").manifest().clone();
    let denied = api.patch("newcomer", &PatchParams::apply("test"), &Patch::Apply(&manifest)).await;
    let Err(kube::Error::Api(status)) = denied else { panic!("{denied:?}") };
    let needs = format!("it needs absent, and no version of that is in {}", environment.name);
    assert!(status.message.contains(&needs), "{}", status.message);
    assert!(status.message.contains(&format!("Deploy absent to {} first", environment.name)), "{}", status.message);

    store.publish_version("absent", "5");
    assert!(store.verify("newcomer", "1.0.0", "absent", "5", true));
    store.record_deployment("absent", "5", &environment.name, None);
    eventually("the newcomer to be admitted", SOON, async || {
        let tried = api.patch("newcomer", &PatchParams::apply("test"), &Patch::Apply(&manifest)).await;
        tried.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_dry_run_is_warned_about_at_most_where_the_environment_says_so_and_the_real_request_is_denied() {
    let setup = GateSetup::shared().await;
    let dry_run = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-"];
    for (app, gate, denied) in [
        ("dry-run-full", json!({"mode": "Enforce"}), true),
        ("dry-run-warned", json!({"mode": "Enforce", "dryRun": "Warn"}), false),
    ] {
        let environment = &setup.gated(gate).await;
        setup.provider_that_breaks(&environment.name, app);
        setup.running(environment, app, app, "1.0.0").await;
        let broken = annotated(app, app, "2.0.0").manifest().to_string();
        let output = setup.kubectl_reading(&environment.namespace, &dry_run, &broken).await;
        assert_eq!(output.denial().is_some(), denied, "{output:?}");
        if !denied {
            let warnings = output.warnings();
            let told = warnings.iter().any(|it| it.ends_with("; the real request is denied"));
            assert!(output.code == 0 && told, "{output:?}");
        }
        let real: Vec<_> = dry_run.into_iter().filter(|it| *it != "--dry-run=server").collect();
        let output = setup.kubectl_reading(&environment.namespace, &real, &broken).await;
        assert!(output.denial().is_some(), "{output:?}");
        setup.wait_reported(&environment.namespace, app, "RolloutDenied").await;
    }
}
