//! Hold: a rollout whose verification is on its way is paused, resumed by the answer, and never left without a word.

use std::time::Duration;

use pact_operator::api::{PactDeployment, PactEnvironment};
use serde_json::json;

use super::gate_setup::MappedEnvironment;
use super::hold_setup::{HELD, HoldSetup, free, held, setters, waits};
use super::objects::Objects as _;
use super::recorder_templates::install_kinds;
use testbed::eventually::{always, eventually};
use testbed::kubectl;
use testbed::rollout::{Live, Progress};
use testbed::test_cluster::{SOON, annotated, image};
use testbed::webhook::{Person, sum};

/// How long something has to stay as it is.
const A_WHILE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_rollout_waits_paused_while_the_old_pods_serve_and_the_verification_resumes_it() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "held").await;

    let output = setup.set_version(&environment.namespace, "held", "2.0.0", &[]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let [warning] = output.warnings()[..] else { panic!("{output:?}") };
    assert!(warning.ends_with("; held: paused, resumes by itself") && warning.chars().count() <= 120, "{warning}");
    let deployment = live.wait("it to be held", |it| waits(it, "2.0.0")).await;
    assert_eq!(deployment.spec.unwrap().template.spec.unwrap().containers[0].image, Some(image("2.0.0")));
    let note = setup.wait_reported(&environment.namespace, "held", "RolloutHeld").await;
    assert!(
        note.starts_with("held: paused until it may run, and resumed by itself then: held 2.0.0 may not"),
        "{note}"
    );
    serves_on(&setup, &live, "held").await;
    wait_ready_reason(&setup, &environment, "held", "RolloutHeld").await;
    setup.cluster.wait_environment(&environment.name, ("RolloutsHeld", "True", "RolloutHeld")).await;
    let column =
        setup.kubectl(&environment.namespace, &["get", "deployment", "held", "-o", "jsonpath={.spec.paused}"]).await;
    assert_eq!(column.out, "true");

    setup.verified("held", "2.0.0", true);
    live.wait("it to be resumed", free).await;
    live.wait_complete().await;
    setup.cluster.wait_recorded(&environment.name, "held", "2.0.0").await;
    let note = setup.cluster.wait_event(&environment.namespace, "held", "RolloutResumed").await;
    assert!(note.starts_with("2.0.0 may run: resumed after it was held since "), "{note}");
    eventually("the environment to hold nothing", SOON, async || {
        let object: PactEnvironment = get(&setup, &environment.name).await;
        let conditions = object.status.unwrap_or_default().conditions;
        let held = conditions.iter().find(|one| one.type_ == "RolloutsHeld");
        if held.is_none() { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await;
    assert!(sum(&setup.cluster.operators[0].metrics().await, "pact_operator_holds_ended_total") >= 1);
    let reported = setup.reported(&environment.namespace).await;
    assert_eq!(reported.iter().filter(|it| *it == "held RolloutHeld").count(), 1, "once: {reported:?}");
}

#[tokio::test]
async fn after_a_no_nobody_resumes_it_and_it_is_told_and_a_later_yes_does() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "refused").await;
    setup.set_version(&environment.namespace, "refused", "2.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "2.0.0")).await;

    setup.verified("refused", "2.0.0", false);
    let note = setup.cluster.wait_event(&environment.namespace, "refused", "HoldRefused").await;
    assert!(note.starts_with("held, and the answer is no: refused 2.0.0 may not be deployed to "), "{note}");
    live.wait("it to be noted", |it| held(it).1.is_some_and(|note| note.ends_with(" Refused"))).await;
    setup.cluster.wait_environment(&environment.name, ("RolloutsHeld", "True", "HoldRefused")).await;
    let output = setup.kubectl(&environment.namespace, &["rollout", "resume", "deployment/refused"]).await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    assert!(denial.starts_with("refused 2.0.0 may not be deployed to "), "{denial}");
    let output = setup.kubectl_as_account(&environment.namespace, &["rollout", "resume", "deployment/refused"]).await;
    assert_eq!(output.code, 0, "it is paused again: {output:?}");
    always("it stays held", A_WHILE, async || {
        let now = held(&live.get().await);
        if now.0 && now.1.as_ref().is_some_and(|it| it.ends_with(" Refused")) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
    serves_on(&setup, &live, "refused").await;
    assert_eq!(setup.cluster.events(&environment.namespace, "refused", "HoldRefused").await.len(), 1, "once");

    setup.verified("refused", "2.0.0", true);
    live.wait("it to be resumed", free).await;
    setup.cluster.wait_recorded(&environment.name, "refused", "2.0.0").await;
}

#[tokio::test]
async fn a_deadline_that_passes_is_told_once_and_the_yes_still_resumes() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({"deadlineSeconds": 2})).await;
    let live = setup.waiting(&environment, "late").await;
    setup.set_version(&environment.namespace, "late", "2.0.0", &[]).await;
    let note = setup.cluster.wait_event(&environment.namespace, "late", "HoldOverdue").await;
    assert!(note.starts_with("held since ") && note.contains("by hand: kubectl rollout resume"), "{note}");
    let noted = live.wait("it to be noted", |it| held(it).1.is_some_and(|note| note.ends_with(" Overdue"))).await;
    assert_eq!(setters(&noted), (Vec::new(), vec!["pact-operator-hold Update".to_owned()]));
    setup.cluster.wait_environment(&environment.name, ("RolloutsHeld", "True", "HoldOverdue")).await;
    setup.verified("late", "2.0.0", true);
    live.wait("it to be resumed", free).await;
    setup.cluster.wait_recorded(&environment.name, "late", "2.0.0").await;
    assert_eq!(setup.cluster.events(&environment.namespace, "late", "HoldOverdue").await.len(), 1, "once");
}

#[tokio::test]
async fn a_person_resumes_by_hand_and_a_service_account_does_not() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "by-hand").await;
    setup.set_version(&environment.namespace, "by-hand", "2.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "2.0.0")).await;

    let resume = ["rollout", "resume", "deployment/by-hand"];
    let output = setup.kubectl_as_account(&environment.namespace, &resume).await;
    assert_eq!(
        output.warnings(),
        ["2.0.0 stays paused until it may run; by hand: kubectl rollout resume"],
        "{output:?}"
    );
    assert!(waits(&live.get().await, "2.0.0"));

    let output = setup.kubectl(&environment.namespace, &resume).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.warnings().iter().any(|it| it.ends_with("; resumed by hand all the same")), "{output:?}");
    live.wait("nothing of the hold to be left", free).await;
    setup.cluster.wait_recorded(&environment.name, "by-hand", "2.0.0").await;
    let note = setup.cluster.wait_event(&environment.namespace, "by-hand", "RolloutResumed").await;
    assert!(note.contains("by hand"), "{note}");
}

#[tokio::test]
async fn a_rollback_goes_at_once_and_a_newer_version_waits_in_place_of_the_older() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "back").await;
    setup.set_version(&environment.namespace, "back", "2.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "2.0.0")).await;
    setup.set_version(&environment.namespace, "back", "3.0.0", &[]).await;
    assert!(waits(&live.get().await, "3.0.0"), "the hold moves");

    // What is held has no ReplicaSet yet: to kubectl the version that runs is the last one, and there is none to go back to.
    let output = setup.kubectl(&environment.namespace, &["rollout", "undo", "deployment/back"]).await;
    assert!(output.code != 0 && output.err.contains("no rollout history found"), "{output:?}");
    let output = setup.set_version(&environment.namespace, "back", "1.0.0", &[]).await;
    output.silent();
    assert!(free(&live.get().await), "the rollback is not held: {:?}", held(&live.get().await));
    live.wait_complete().await;

    // A version that may run is not paused by what waited before it.
    setup.set_version(&environment.namespace, "back", "2.0.0", &[]).await;
    assert!(waits(&live.get().await, "2.0.0"));
    setup.verified("back", "3.0.0", true);
    eventually("3.0.0 to be rolled out", SOON, async || {
        setup.set_version(&environment.namespace, "back", "3.0.0", &[]).await;
        let now = live.get().await;
        if free(&now) { Ok(()) } else { Err(format!("{:?}", held(&now))) }
    })
    .await;
    setup.cluster.wait_recorded(&environment.name, "back", "3.0.0").await;
    assert_eq!(setup.cluster.writes(&environment.name, "back"), ["Deployed 1.0.0", "Deployed 3.0.0"]);
}

#[tokio::test]
async fn what_its_owner_paused_stays_his_and_what_has_no_pods_is_denied() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "owned").await;
    live.pause().await;
    let output = setup.set_version(&environment.namespace, "owned", "2.0.0", &[]).await;
    assert!(output.denial().is_some(), "its pause is no hold: {output:?}");
    setup.verified("owned", "2.0.0", true);
    eventually("2.0.0 to be admitted", SOON, async || {
        let output = setup.set_version(&environment.namespace, "owned", "2.0.0", &[]).await;
        if output.code == 0 { Ok(()) } else { Err(output.err) }
    })
    .await;
    always("it stays paused", A_WHILE, async || match held(&live.get().await) {
        (true, None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;

    let new = annotated("owned-new", "owned", "3.0.0");
    let denied = new.try_apply(&setup.client(), &environment.namespace).await;
    assert!(denied.is_err(), "a new one has no pods that a pause would keep");
    let at_zero = setup.waiting(&environment, "at-zero").await;
    at_zero.set_replicas(0).await;
    at_zero.wait_complete().await;
    let output = setup.set_version(&environment.namespace, "at-zero", "2.0.0", &[]).await;
    assert!(output.denial().is_some(), "nor has one at zero: {output:?}");
}

#[tokio::test]
async fn a_rollout_that_is_half_done_is_not_held_in_its_middle() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "half").await;
    live.set_pod_label("testbed/ready", Some("never")).await;
    live.wait("it to be under way", |it| Progress::of(it).updated > 0).await;
    let output = setup.set_version(&environment.namespace, "half", "2.0.0", &[]).await;
    assert!(output.denial().is_some() && free(&live.get().await), "{output:?}");
}

#[tokio::test]
async fn an_environment_that_is_gone_for_a_moment_resumes_nothing() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "unmapped").await;
    setup.set_version(&environment.namespace, "unmapped", "2.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "2.0.0")).await;
    let api = kube::Api::<PactEnvironment>::all(setup.cluster.client());
    let claims = async |namespace: &str| {
        let patch = kube::api::Patch::Merge(json!({"spec": {"namespaces": {"names": [namespace]}}}));
        api.patch(&environment.name, &kube::api::PatchParams::default(), &patch).await.unwrap();
    };
    claims("nowhere-yet").await;
    always("it stays held", A_WHILE, async || {
        let now = live.get().await;
        if waits(&now, "2.0.0") { Ok(()) } else { Err(format!("{:?}", held(&now))) }
    })
    .await;
    claims(&environment.namespace).await;
    setup.verified("unmapped", "2.0.0", true);
    live.wait("it to be resumed", free).await;
}

#[tokio::test]
async fn an_environment_that_holds_and_is_gone_for_a_moment_is_not_answered_for_by_another() {
    let setup = HoldSetup::shared().await;
    let (namespace, broker) = (setup.cluster.namespace().await, &setup.cluster.broker);
    let names = ["holds", "audits"].map(|name| format!("{name}-{namespace}"));
    for (name, gate) in names.iter().zip([json!({"mode": "Enforce", "hold": {}}), json!({"mode": "Audit"})]) {
        broker.store().add_environment(name, false);
        super::gate_setup::consumer_of(broker, name, "twofold");
        setup.cluster.map(name, &[&namespace], json!({"gate": gate, "overlap": "Allow"})).await;
        setup.members_listed(name).await;
    }
    let [holds, audits] = names;
    let environment = MappedEnvironment { namespace, name: holds };
    let live = setup.waiting(&environment, "twofold").await;
    setup.cluster.wait_recorded(&audits, "twofold", "1.0.0").await;
    setup.set_version(&environment.namespace, "twofold", "2.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "2.0.0")).await;

    let api = kube::Api::<PactEnvironment>::all(setup.cluster.client());
    let claims = async |namespace: &str| {
        let patch = kube::api::Patch::Merge(json!({"spec": {"namespaces": {"names": [namespace]}}}));
        api.patch(&environment.name, &kube::api::PatchParams::default(), &patch).await.unwrap();
    };
    claims("nowhere-yet-either").await;
    always("it stays held", A_WHILE, async || {
        let now = live.get().await;
        if waits(&now, "2.0.0") { Ok(()) } else { Err(format!("{:?}", held(&now))) }
    })
    .await;
    claims(&environment.namespace).await;
    setup.verified("twofold", "2.0.0", true);
    live.wait("it to be resumed", free).await;
}

#[tokio::test]
async fn what_no_longer_says_which_pacticipant_it_is_stays_held_and_that_is_told() {
    const PACTICIPANT: &str = "pact-operator.dev/pacticipant";
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    for (app, other) in [("unnamed", None), ("misspelt", Some("pact-operator.dev/pacticipent"))] {
        let live = setup.waiting(&environment, app).await;
        setup.set_version(&environment.namespace, app, "2.0.0", &[]).await;
        live.wait("it to be held", |it| waits(it, "2.0.0")).await;
        let mut annotations = json!({PACTICIPANT: null});
        if let Some(other) = other {
            annotations[other] = json!(app);
        }
        let patch = json!({"metadata": {"annotations": annotations}}).to_string();
        let output = setup.kubectl(&environment.namespace, &["patch", "deployment", app, "-p", &patch]).await;
        assert_eq!(output.code, 0, "{app}: {output:?}");
        let note = setup.cluster.wait_event(&environment.namespace, app, "HoldOverdue").await;
        assert!(note.contains("it no longer says which pacticipant it is"), "{note}");
        let stays = async || match held(&live.get().await) {
            (true, Some(note)) if note.starts_with("2.0.0 ") => Ok(()),
            other => Err(format!("{app}: {other:?}")),
        };
        always("it stays held", A_WHILE, stays).await;
        setup.verified(app, "2.0.0", true);
        always("it stays held: nobody can say that it may run", A_WHILE, stays).await;
        let again = format!("{PACTICIPANT}={app}");
        let output = setup.kubectl(&environment.namespace, &["annotate", "deployment", app, &again]).await;
        assert_eq!(output.code, 0, "{app}: {output:?}");
        live.wait("it to be resumed", free).await;
    }
}

#[tokio::test]
async fn a_bypass_over_something_held_ends_the_pause() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "bypassed").await;
    setup.set_version(&environment.namespace, "bypassed", "2.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "2.0.0")).await;
    let bypass = "pact-operator.dev/bypass=2.0.0 the shop is down";
    let words = ["annotate", "deployment", "bypassed", bypass];
    // The developer does not hold the verb.
    setup.kubectl(&environment.namespace, &words).await;
    assert!(waits(&live.get().await, "2.0.0"), "{:?}", held(&live.get().await));
    let on_call = Person::on_call(&setup.cluster.control_plane).await;
    let stated = format!("{bypass}!");
    let words = ["-n", &environment.namespace, "annotate", "deployment", "bypassed", "--overwrite", &stated];
    kubectl::kubectl_ok(on_call.kubeconfig(), &words).await;
    assert!(free(&live.get().await), "{:?}", held(&live.get().await));
    live.wait_complete().await;
}

#[tokio::test]
async fn where_nothing_is_held_it_is_denied_as_before() {
    let setup = HoldSetup::shared().await;
    let (holds, denies) = (setup.holding(json!({})).await, setup.gated(json!({"mode": "Enforce"})).await);
    setup.waiting(&holds, "picky").await;
    setup.verified("picky", "3.0.0", false);
    let output = setup.set_version(&holds.namespace, "picky", "3.0.0", &[]).await;
    assert!(output.denial().is_some(), "a no is no wait: {output:?}");
    let output = setup.set_version(&holds.namespace, "picky", "9.9.9", &[]).await;
    assert!(output.denial().is_some(), "nobody published it: {output:?}");

    let broker = &setup.cluster.broker;
    super::gate_setup::consumer_of(broker, &denies.name, "plain");
    assert!(broker.store().verify("web-of-plain", "7", "plain", "1.0.0", true));
    broker.store().publish_version("plain", "2.0.0");
    setup.running(&denies, "plain", "plain", "1.0.0").await;
    // Whoever writes the annotation and the pause is paused, and learns nothing else.
    let patch = json!({"metadata": {"annotations": {HELD: "2.0.0 2026-01-01T00:00:00Z"}}, "spec": {"paused": true,
        "template": {"spec": {"containers": [{"name": "app", "image": image("2.0.0")}]}}}});
    let patch = patch.to_string();
    let output = setup.kubectl(&denies.namespace, &["patch", "deployment", "plain", "-p", &patch]).await;
    assert!(output.denial().is_some(), "the environment does not hold: {output:?}");

    let both = setup.cluster.namespace().await;
    let names: Vec<_> = ["both-a", "both-b"].iter().map(|name| format!("{name}-{both}")).collect();
    for (name, hold) in names.iter().zip([json!({"mode": "Enforce", "hold": {}}), json!({"mode": "Enforce"})]) {
        broker.store().add_environment(name, false);
        super::gate_setup::consumer_of(broker, name, "both");
        setup.cluster.map(name, &[&both], json!({"gate": hold, "overlap": "Allow"})).await;
    }
    assert!(broker.store().verify("web-of-both", "7", "both", "1.0.0", true));
    broker.store().publish_version("both", "2.0.0");
    for name in &names {
        setup.members_listed(name).await;
    }
    annotated("both", "both", "1.0.0").apply(&setup.client(), &both).await.wait_complete().await;
    for name in &names {
        setup.cluster.wait_recorded(name, "both", "1.0.0").await;
    }
    let output = setup.set_version(&both, "both", "2.0.0", &[]).await;
    assert!(output.denial().is_some(), "one of two environments denies it: {output:?}");
}

/// The pods of the version before serve, and there is none of another.
async fn serves_on(setup: &HoldSetup, live: &Live, app: &str) {
    let progress = Progress::of(&live.get().await);
    assert_eq!((progress.replicas, progress.updated, progress.available), (2, 0, 2), "{progress:?}");
    let label = format!("app={app}");
    let images = "jsonpath={.items[*].spec.containers[0].image}";
    let pods = setup.kubectl(live.namespace(), &["get", "pods", "-l", &label, "-o", images]).await;
    assert_eq!(pods.out, format!("{0} {0}", image("1.0.0")));
}

async fn wait_ready_reason(setup: &HoldSetup, environment: &MappedEnvironment, app: &str, reason: &str) {
    eventually(format!("the record of {app} to say {reason}"), SOON, async || {
        let api = kube::Api::<PactDeployment>::all(setup.cluster.client());
        let all = api.list(&kube::api::ListParams::default()).await.map_err(|error| error.to_string())?;
        let of = all.into_iter().find(|it| it.spec.pacticipant == app && it.spec.environment == environment.name);
        let conditions = of.and_then(|it| it.status).map(|status| status.conditions).unwrap_or_default();
        let ready =
            conditions.iter().find(|one| one.type_ == "Ready").map(|one| (one.reason.clone(), one.message.clone()));
        if ready.as_ref().is_some_and(|(it, _)| it == reason) { Ok(()) } else { Err(format!("{ready:?}")) }
    })
    .await;
}

async fn get<K>(setup: &HoldSetup, name: &str) -> K
where
    K: kube::Resource<DynamicType = (), Scope = kube::core::ClusterResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    kube::Api::<K>::all(setup.cluster.client()).get(name).await.unwrap()
}

#[tokio::test]
async fn what_only_is_a_template_for_other_pods_is_denied_and_not_held() {
    let setup = HoldSetup::shared().await;
    install_kinds(&setup.cluster.control_plane).await;
    let environment = setup.holding(json!({})).await;
    let namespace = &environment.namespace;
    let target = |name: &str| json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    for (name, api_version, kind, spec) in [
        ("rolled", "argoproj.io/v1alpha1", "Rollout", json!({"workloadRef": target("rolled")})),
        ("canaried", "flagger.app/v1beta1", "Canary", json!({"targetRef": target("canaried")})),
    ] {
        let live = setup.waiting(&environment, name).await;
        let user = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec});
        kubectl::apply(setup.cluster.control_plane.kubeconfig(), namespace, &user.to_string()).await;
        let output = setup.set_version(namespace, name, "2.0.0", &[]).await;
        let denial = output.denial().unwrap_or_else(|| panic!("{kind}: {output:?}"));
        assert!(denial.starts_with(&format!("{name} 2.0.0 may not be deployed to ")), "{denial}");
        assert!(free(&live.get().await), "{kind}");

        // Nor is somebody believed who pauses and annotates it.
        let patch = json!({
            "metadata": {"annotations": {HELD: "2.0.0 2026-11-30T12:00:00Z"}},
            "spec": {"paused": true, "template": {"spec": {"containers": [{"name": "app", "image": image("2.0.0")}]}}},
        });
        let patch = ["patch", "deployment", name, "-p", &patch.to_string()].map(str::to_owned);
        let output = setup.kubectl(namespace, &patch.each_ref().map(String::as_str)).await;
        assert!(output.denial().is_some(), "{kind}: {output:?}");
    }
}

#[tokio::test]
async fn what_becomes_a_template_after_it_was_held_is_reported_and_its_primary_is_judged() {
    let setup = HoldSetup::shared().await;
    install_kinds(&setup.cluster.control_plane).await;
    let environment = setup.holding(json!({})).await;
    let namespace = &environment.namespace;
    let live = setup.waiting(&environment, "afterwards").await;
    setup.set_version(namespace, "afterwards", "2.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "2.0.0")).await;

    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "afterwards"});
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "afterwards"}, "spec": {"targetRef": target},
    });
    let kubeconfig = setup.cluster.control_plane.kubeconfig();
    kubectl::apply(kubeconfig, namespace, &canary.to_string()).await;
    let uid = ["get", "canaries.flagger.app", "afterwards", "-n", namespace, "-o", "jsonpath={.metadata.uid}"];
    let uid = kubectl::kubectl_ok(kubeconfig, &uid).await;
    let owner = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "afterwards", "uid": uid, "controller": true}]);
    let primary = annotated("afterwards-primary", "afterwards", "2.0.0");
    let primary = primary.with(|it| it["metadata"]["ownerReferences"] = owner);
    let denied = primary.try_apply(&setup.account.client(), namespace).await.map(drop);
    assert!(format!("{denied:?}").contains("afterwards 2.0.0 may not be deployed"), "{denied:?}");
    let note = setup.cluster.wait_event(namespace, "afterwards", "HoldOverdue").await;
    assert!(note.contains("makes pods of it"), "{note}");

    setup.verified("afterwards", "2.0.0", true);
    live.wait("it to be resumed", free).await;
    primary.try_apply(&setup.account.client(), namespace).await.expect("its target is held no longer");
}
