use serde_json::json;

use super::*;
use crate::workload::{View, kinds::Rollout};

const NOW: &str = "2026-11-23T10:01:00Z";

fn revision(image: &str, has_pods: bool) -> Revision {
    let containers = vec![Container { name: "app".into(), image: image.into() }];
    Revision { containers, has_pods, ..Revision::default() }
}

fn of_hashes(revisions: &[(&str, Revision)]) -> BTreeMap<String, Revision> {
    revisions.iter().map(|(hash, revision)| ((*hash).to_owned(), revision.clone())).collect()
}

/// A Rollout of `orders:2` that is promoted, with what the status says otherwise.
fn rollout(spec: &serde_json::Value, status: &serde_json::Value) -> Workload {
    let mut whole = json!({
        "observedGeneration": "1", "phase": "Healthy", "stableRS": "bbb", "currentPodHash": "bbb",
        "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1,
        "conditions": [{"type": "Healthy", "status": "True"}],
    });
    whole.as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    let object = json!({
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "r1", "generation": 1,
            "annotations": {"pact-operator.dev/pacticipant": "orders"},
        },
        "spec": spec, "status": whole,
    });
    serde_json::from_value::<View<Rollout>>(object).unwrap().observe(NOW.parse().unwrap())
}

fn own(status: &serde_json::Value) -> Workload {
    rollout(&json!({"template": {"spec": {"containers": [{"name": "app", "image": "orders:2"}]}}}), status)
}

fn images(workloads: &[Workload]) -> Vec<&str> {
    workloads.iter().map(|workload| workload.containers[0].image.as_str()).collect()
}

fn resolved(
    workload: &Workload,
    revisions: &[(&str, Revision)],
    template: Option<&Workload>,
) -> (Workload, Vec<Workload>) {
    own_revision(workload, workload.revisions.as_ref().unwrap(), &of_hashes(revisions), template)
}

#[test]
fn while_a_canary_runs_both_versions_are_there() {
    let canary = own(&json!({"stableRS": "aaa", "phase": "Progressing", "replicas": 2}));
    let all = [
        ("000", revision("orders:0", false)),
        ("aaa", revision("orders:1", true)),
        ("bbb", revision("orders:2", true)),
    ];
    let (now, besides) = resolved(&canary, &all, None);
    assert_eq!((images(std::slice::from_ref(&now)), now.rollout.name()), (vec!["orders:2"], "Progressing"));
    assert_eq!(images(&besides), ["orders:1"]);
    // The stable one counts whatever its numbers, and a third whose pods are left counts, too.
    let all = [("000", revision("orders:0", true)), ("aaa", revision("orders:1", false))];
    assert_eq!(images(&resolved(&canary, &all, None).1), ["orders:0", "orders:1"]);
}

#[test]
fn once_it_is_promoted_nothing_else_counts() {
    let all = [("aaa", revision("orders:1", true)), ("bbb", revision("orders:2", true))];
    let (now, besides) = resolved(&own(&json!({})), &all, None);
    assert_eq!(
        (now.rollout.clone(), besides),
        (RolloutState::Complete, vec![]),
        "the ReplicaSets are seen later than the status"
    );
}

#[test]
fn old_pods_that_terminate_are_waited_for_from_when_they_were_first_seen() {
    let until = |time: &str| Some(Terminating { until: time.parse().unwrap(), remaining: 1 });
    let old = Revision { terminating: until("2026-11-23T10:01:30Z"), ..revision("orders:1", false) };
    let all = [("aaa", old.clone()), ("bbb", revision("orders:2", true))];
    let (now, _) = resolved(&own(&json!({})), &all, None);
    assert_eq!(now.rollout, RolloutState::Terminating { until: "2026-11-23T10:01:30Z".parse().unwrap(), remaining: 1 });
    let its_own = [
        ("aaa", revision("orders:1", false)),
        ("bbb", Revision { containers: own(&json!({})).containers, ..old.clone() }),
    ];
    assert_eq!(resolved(&own(&json!({})), &its_own, None).0.rollout, RolloutState::Complete, "scaled down");
    let later = Revision { terminating: until("2026-11-23T10:02:00Z"), ..old.clone() };
    assert_eq!(later.continuing(Some(&old)).terminating, old.terminating, "not begun anew");
}

#[test]
fn a_deployment_that_keeps_its_own_pods_runs_beside_the_rollout() {
    let reference = json!({"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"}});
    let rollout = rollout(&reference, &json!({"workloadObservedGeneration": "5"}));
    let all = [("bbb", revision("orders:2", true))];
    let deployment = |image: &str, rollout: RolloutState, without_pods| {
        let mut template = crate::decide::record::fixtures::workload("shop", "orders", "orders");
        template.generation = 5;
        template.containers = vec![Container { name: "app".into(), image: image.into() }];
        Workload { rollout, without_pods, ..template }
    };
    let progressing = RolloutState::Progressing { message: "1 of 2".into() };
    for (what, template, expected, beside) in [
        ("scaled down", deployment("orders:3", RolloutState::ScaledToZero, true), "Complete", &[][..]),
        ("the same", deployment("orders:2", RolloutState::Complete, false), "Complete", &[]),
        ("another version", deployment("orders:1", RolloutState::Complete, false), "Mixed", &["orders:1"]),
        ("on its way to the same", deployment("orders:2", progressing, false), "Mixed", &[]),
    ] {
        let (now, besides) = resolved(&rollout, &all, Some(&template));
        assert_eq!((now.rollout.name(), images(&besides)), (expected, beside.to_vec()), "{what}");
    }

    // The canary of `orders:2` is aborted, and the Deployment has rolled it out itself.
    let status = json!({
        "workloadObservedGeneration": "5", "stableRS": "aaa", "phase": "Degraded", "abort": true, "updatedReplicas": 0,
    });
    let aborted = super::tests::rollout(&reference, &status);
    let all = [("aaa", revision("orders:1", true)), ("bbb", revision("orders:2", false))];
    let (now, besides) = resolved(&aborted, &all, Some(&deployment("orders:2", RolloutState::Complete, false)));
    assert_eq!(
        (now.rollout.name(), images(std::slice::from_ref(&now)), images(&besides)),
        ("Mixed", vec!["orders:1"], vec!["orders:2"])
    );
    let (now, besides) = resolved(&aborted, &all, Some(&deployment("orders:2", RolloutState::ScaledToZero, true)));
    assert_eq!((now.rollout.name(), images(&besides)), ("Complete", vec![]));
}

#[test]
fn it_is_not_finished_unless_the_status_names_the_revision_of_its_template() {
    // Back to `orders:2`, whose ReplicaSet there still is: the status is about this generation, and all of it about `ccc`.
    let status = json!({"stableRS": "ccc", "currentPodHash": "ccc"});
    let back = own(&status);
    let invalid = own(&json!({
        "stableRS": "ccc", "currentPodHash": "ccc", "phase": "Degraded", "message": "InvalidSpec: it is",
    }));
    let stated = |version: &str, hash: &str| {
        let mut stated = own(&json!({"stableRS": hash, "currentPodHash": hash}));
        stated.annotations.version = Some(version.into());
        stated
    };
    let with = |image: &str, version: &str| Revision { version: Some(version.into()), ..revision(image, true) };
    let (before, after) = (("bbb", revision("orders:2", false)), ("ccc", revision("orders:3", true)));
    for (what, rollout, revisions, state) in [
        ("paused on its way back", &back, vec![before.clone(), after.clone()], "Progressing"),
        ("the revision that it names is not known yet", &back, vec![before.clone()], "Progressing"),
        // A quota allows no ReplicaSet.
        ("there is no revision of it", &back, vec![after.clone()], "Progressing"),
        ("the spec is invalid", &invalid, vec![after.clone()], "Failed"),
        ("none is known", &back, vec![], "Progressing"),
        (
            "a policy has ReplicaSets take images from elsewhere",
            &own(&json!({})),
            vec![("bbb", revision("mirror.example.com/orders:2@sha256:0f0f", true)), after],
            "Complete",
        ),
        ("named", &own(&json!({})), vec![before, ("ccc", revision("orders:3", false))], "Complete"),
        (
            "another version of the same image",
            &stated("2", "ccc"),
            vec![("bbb", with("orders:2", "2")), ("ccc", with("orders:2", "3"))],
            "Progressing",
        ),
        (
            "the version of the same image that is named",
            &stated("2", "bbb"),
            vec![("bbb", with("orders:2", "2")), ("ccc", with("orders:2", "3"))],
            "Complete",
        ),
        (
            "the version is no longer stated",
            &back,
            vec![("bbb", revision("orders:2", false)), ("ccc", with("orders:2", "3"))],
            "Complete",
        ),
    ] {
        let (now, besides) = resolved(rollout, &revisions, None);
        assert_eq!(now.rollout.name(), state, "{what}");
        assert_eq!(images(std::slice::from_ref(&now)), ["orders:2"], "{what}");
        let serves_on = state != "Complete" && revisions.iter().any(|(hash, _)| *hash == "ccc");
        assert_eq!(besides.len(), usize::from(serves_on), "{what}: {besides:?}");
    }
}

#[test]
fn after_an_abort_it_is_complete_with_the_stable_revision() {
    let status = json!({"stableRS": "aaa", "phase": "Degraded", "abort": true, "updatedReplicas": 0});
    let aborted = own(&status);
    let all = [("aaa", revision("orders:1", true)), ("bbb", revision("orders:2", false))];
    let (now, besides) = resolved(&aborted, &all, None);
    assert_eq!(
        (images(std::slice::from_ref(&now)), now.rollout.clone(), besides),
        (vec!["orders:1"], RolloutState::Complete, vec![])
    );

    let left = [("aaa", revision("orders:1", true)), ("bbb", revision("orders:2", true))];
    let (now, besides) = resolved(&aborted, &left, None);
    assert_eq!((now.rollout.name(), images(&besides)), ("Failed", vec!["orders:1"]), "a pod of the canary is left");
    assert_eq!(resolved(&aborted, &all[1..], None).0.rollout.name(), "Failed", "what is stable is not known");

    let mut stated = aborted;
    stated.annotations.version = Some("2".into());
    assert_eq!(resolved(&stated, &all, None).0.rollout.name(), "Failed", "the version of the stable one is not known");
    let with_version = [("aaa", Revision { version: Some("1".into()), ..revision("orders:1", true) })];
    let (now, _) = resolved(&stated, &with_version, None);
    assert_eq!((now.annotations.version.as_deref(), now.rollout), (Some("1"), RolloutState::Complete));
}

#[test]
fn case_31_with_a_reference_the_deployment_says_who_it_is_and_the_replica_set_what_runs() {
    let reference = json!({"workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"}});
    let seen = |generation: &str| {
        let mut rollout = rollout(&reference, &json!({"workloadObservedGeneration": generation}));
        rollout.annotations = PactAnnotations::default();
        rollout
    };
    let template = |generation: i64| {
        let mut template = crate::decide::record::fixtures::workload("shop", "orders", "orders");
        template.generation = generation;
        (template.rollout, template.without_pods) = (RolloutState::ScaledToZero, true);
        template.containers[0].image = "orders:3".into();
        template
    };
    let all = [("bbb", revision("orders:2", true))];

    let (now, _) = resolved(&seen("5"), &all, Some(&template(5)));
    assert_eq!((images(std::slice::from_ref(&now)), now.rollout.clone()), (vec!["orders:2"], RolloutState::Complete));
    assert_eq!(now.annotations.pacticipant.as_deref(), Some("orders"), "from the Deployment");
    let mut own = seen("5");
    own.annotations.pacticipant = Some("its own".into());
    assert_eq!(resolved(&own, &all, Some(&template(5))).0.annotations.pacticipant.as_deref(), Some("its own"));

    // 70 ms after a change of the Deployment nothing else shows it.
    let (now, besides) = resolved(&seen("5"), &all, Some(&template(6)));
    assert_eq!((images(std::slice::from_ref(&now)), now.rollout.name()), (vec!["orders:3"], "Progressing"));
    assert!(besides.is_empty() || images(&besides) == ["orders:2"], "{besides:?}");
    let mut live = seen("5");
    live.revisions.as_mut().unwrap().template_generation = Some(6);
    assert_eq!(resolved(&live, &all, None).0.rollout.name(), "Progressing", "as read together");
    assert_eq!(resolved(&live, &all, Some(&template(5))).0.rollout.name(), "Progressing", "the watch is behind");

    assert_eq!(resolved(&seen("5"), &[], None).0.rollout.name(), "Progressing", "the ReplicaSet is not known yet");
    assert_eq!(
        resolved(&seen("5"), &all, None).0.rollout,
        RolloutState::Complete,
        "an unannotated Deployment is not known"
    );
}

#[test]
fn a_replica_set_is_a_revision_of_the_rollout_that_controls_it() {
    let set = |owner: serde_json::Value| -> RevisionView {
        serde_json::from_value(json!({
            "metadata": {
                "name": "orders-api-7d9f", "namespace": "shop", "ownerReferences": [owner],
                "annotations": {"pact-operator.dev/version": "1.2.3", "other": "x"},
                "labels": {"rollouts-pod-template-hash": "7d9f"},
            },
            "spec": {"replicas": 0, "template": {
                "metadata": {
                    "labels": {"app.kubernetes.io/version": "1.2"},
                    "annotations": {"kubectl.kubernetes.io/default-container": "app"},
                },
                "spec": {"containers": [{"name": "app", "image": "orders:1"}]},
            }},
            "status": {"replicas": 1},
        }))
        .unwrap()
    };
    let ours = set(
        json!({"kind": "Rollout", "name": "orders-api", "controller": true, "apiVersion": "argoproj.io/v1alpha1", "uid": "r"}),
    );
    let (rollout, hash) = ours.of().unwrap();
    assert_eq!((rollout.to_string().as_str(), hash.as_str()), ("Rollout shop/orders-api", "7d9f"));
    let expected = Revision {
        version: Some("1.2.3".into()),
        version_label: Some("1.2".into()),
        default_container: Some("app".into()),
        ..revision("orders:1", true)
    };
    let now = NOW.parse().unwrap();
    assert_eq!(ours.observe(now), expected, "a pod that ends is one");
    let ending: RevisionView = serde_json::from_value(json!({
        "metadata": {"name": "orders-api-7d9f", "namespace": "shop"},
        "spec": {"replicas": 0, "template": {"spec": {"terminationGracePeriodSeconds": 300}}},
        "status": {"replicas": 0, "terminatingReplicas": 2},
    }))
    .unwrap();
    let until = "2026-11-23T10:06:00Z".parse().unwrap();
    assert_eq!(ending.observe(now).terminating, Some(Terminating { until, remaining: 2 }));
    for (what, owner) in [
        (
            "a Deployment's",
            json!({"kind": "Deployment", "name": "orders-api", "controller": true, "apiVersion": "apps/v1", "uid": "r"}),
        ),
        (
            "not controlled",
            json!({"kind": "Rollout", "name": "orders-api", "apiVersion": "argoproj.io/v1alpha1", "uid": "r"}),
        ),
        (
            "another's name",
            json!({"kind": "Rollout", "name": "bills", "controller": true, "apiVersion": "argoproj.io/v1alpha1", "uid": "r"}),
        ),
    ] {
        assert_eq!(set(owner).of(), None, "{what}");
    }
}
