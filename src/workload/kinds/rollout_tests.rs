//! Every moment of `docs/contributing/progressive-delivery.md`: the fields are those of the real controller.

use serde_json::{Value, json};

use super::*;
use crate::workload::{
    View,
    kinds::fixtures::{self, Row, with},
};

const NOW: &str = "2026-11-23T10:01:00Z";

/// A Rollout at generation 3 that was promoted, four pods.
fn promoted() -> Value {
    json!({
        "metadata": {"name": "orders", "namespace": "shop", "generation": 3},
        "spec": {"replicas": 4, "template": {"spec": {"containers": [{"name": "app", "image": "orders:2"}]}}},
        "status": {
            "observedGeneration": "3", "phase": "Healthy", "stableRS": "bbb", "currentPodHash": "bbb",
            "replicas": 4, "updatedReplicas": 4, "availableReplicas": 4, "currentStepIndex": 2,
            "conditions": [
                {"type": "Healthy", "status": "True", "reason": "RolloutHealthy"},
                {"type": "Completed", "status": "True", "reason": "RolloutCompleted"},
                {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"},
            ],
        },
    })
}

/// A canary with one pod of four.
fn canary() -> Value {
    with(
        promoted(),
        &[
            ("/status/phase", json!("Progressing")),
            ("/status/message", json!("more replicas need to be updated")),
            ("/status/stableRS", json!("aaa")),
            ("/status/updatedReplicas", json!(1)),
            ("/status/conditions/0/status", json!("False")),
            ("/status/conditions/1/status", json!("False")),
            ("/status/conditions/2/reason", json!("ReplicaSetUpdated")),
        ],
    )
}

fn aborted() -> Value {
    with(
        canary(),
        &[
            ("/status/phase", json!("Degraded")),
            ("/status/message", json!("RolloutAborted: Rollout aborted update to revision 2")),
            ("/status/abort", json!(true)),
            ("/status/updatedReplicas", Value::Null),
        ],
    )
}

fn table(base: &Value, rows: &[Row<'_>]) {
    fixtures::table::<Rollout>(base, NOW, rows);
}

#[test]
fn cases_24_and_86_finished_means_promoted_whole_and_nothing_old_left() {
    table(
        &promoted(),
        &[
            ("promoted", &[], "Complete"),
            ("0.15 s after a change of the image", &[("/status/observedGeneration", json!("2"))], "Progressing"),
            ("a controller before 1.0", &[("/status/observedGeneration", json!("6f9d8"))], "Progressing"),
            ("a number", &[("/status/observedGeneration", json!(3))], "Progressing"),
            ("no status", &[("/status", Value::Null)], "Progressing"),
            (
                "a first deployment: stableRS is the new one already",
                &[
                    ("/status/phase", json!("Progressing")),
                    ("/status/conditions", json!([{"type": "Completed", "status": "True"}])),
                    ("/status/availableReplicas", json!(3)),
                ],
                "Progressing",
            ),
            (
                "the last step, an old pod ends",
                &[
                    ("/status/phase", json!("Progressing")),
                    ("/status/message", json!("old replicas are pending termination")),
                    ("/status/replicas", json!(5)),
                    ("/status/conditions/0/status", json!("False")),
                ],
                "Progressing",
            ),
            ("no stable revision", &[("/status/stableRS", json!(""))], "Progressing"),
            ("paused after it had finished", &[("/spec/paused", json!(true))], "Complete"),
            (
                "unpaused, not yet seen",
                &[("/status/controllerPause", json!(true)), ("/status/phase", json!("Paused"))],
                "Paused",
            ),
            (
                "case 75: a pod crashes afterwards",
                &[
                    ("/status/phase", json!("Degraded")),
                    ("/status/availableReplicas", json!(3)),
                    ("/status/conditions/0/status", json!("False")),
                    ("/status/conditions/2/reason", json!("ReplicaSetNotAvailable")),
                ],
                "Complete",
            ),
            (
                "scaled to 0, the pods are still there: it runs that version and no other",
                &[("/spec/replicas", json!(0)), ("/status/conditions/0/status", json!("False"))],
                "Complete",
            ),
            (
                "scaled to 0",
                &[
                    ("/spec/replicas", json!(0)),
                    ("/status/replicas", Value::Null),
                    ("/status/updatedReplicas", Value::Null),
                    ("/status/availableReplicas", Value::Null),
                ],
                "ScaledToZero",
            ),
            ("being deleted", &[("/metadata/deletionTimestamp", json!("2026-11-23T10:00:00Z"))], "Deleting"),
        ],
    );
}

#[test]
fn blue_green_keeps_the_old_pods_and_so_the_record_after_the_traffic_has_moved() {
    let kept = with(promoted(), &[("/status/replicas", json!(8))]);
    let (name, text) = fixtures::judge::<Rollout>(&kept, NOW);
    assert_eq!(name, "Progressing");
    assert_eq!(text, "progressing: 4 old pods are kept until the delay of the scale-down is over");
}

#[test]
fn a_canary_is_unfinished_at_each_step_and_failed_once_it_is_aborted() {
    table(
        &canary(),
        &[
            ("its first pods", &[], "Progressing"),
            ("a pause step", &[("/status/pauseConditions", json!([{"reason": "CanaryPauseStep"}]))], "Paused"),
            ("paused by a person", &[("/spec/paused", json!(true))], "Paused"),
            ("no reason left", &[("/status/pauseConditions", json!([]))], "Progressing"),
            ("beyond its deadline", &[("/status/phase", json!("Degraded"))], "Failed"),
            (
                "at 0 replicas at its first pause step",
                &[
                    ("/spec/replicas", json!(0)),
                    ("/status/replicas", Value::Null),
                    ("/status/updatedReplicas", Value::Null),
                    ("/status/availableReplicas", Value::Null),
                    ("/status/message", json!("waiting for all steps to complete")),
                ],
                "Progressing",
            ),
        ],
    );
    let (name, text) = fixtures::judge::<Rollout>(&aborted(), NOW);
    assert_eq!((name, text.as_str()), ("Failed", "failed: RolloutAborted: Rollout aborted update to revision 2"));
}

#[test]
fn after_an_abort_it_is_back_on_the_stable_revision_once_no_other_pod_is_left() {
    for (what, changes, expected) in [
        ("all pods are stable ones", &[][..], true),
        ("a pod of the canary is left", &[("/status/updatedReplicas", json!(1))], false),
        ("case 75: a stable pod crashes, or it is scaled", &[("/status/availableReplicas", json!(3))], true),
        ("it is tried again", &[("/status/abort", json!(false))], false),
    ] {
        let view: View<Rollout> = serde_json::from_value(with(aborted(), changes)).unwrap();
        let revisions = view.observe(NOW.parse().unwrap()).revisions.unwrap();
        assert_eq!(revisions.back_on_stable, expected, "{what}");
        assert_eq!((revisions.current.as_str(), revisions.stable.as_str()), ("bbb", "aaa"));
    }
}

#[test]
fn case_31_a_deployment_named_by_a_workload_ref_is_its_template() {
    let revisions = |reference: &Value| {
        let spec = json!({"replicas": 3, "workloadRef": reference});
        let rollout = json!({"metadata": {"name": "r", "namespace": "shop"}, "spec": spec});
        let view: View<Rollout> = serde_json::from_value(rollout).unwrap();
        *view.observe(NOW.parse().unwrap()).revisions.unwrap()
    };
    let template = revisions(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"})).template;
    assert_eq!(template.unwrap().to_string(), "Deployment shop/orders");
    assert!(revisions(&json!({"kind": "Deployment", "name": "orders"})).template.is_some(), "read for safety");
    for other in [
        json!({}),
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "orders"}),
        json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "orders"}),
        json!({"apiVersion": "example.com/v1", "kind": "Deployment", "name": "orders"}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": ""}),
        json!({"apiVersion": "apps/v1", "kind": "Deployment"}),
    ] {
        let Revisions { template, by_reference, .. } = revisions(&other);
        assert_eq!((template, by_reference), (None, true), "{other}");
    }
    assert!(!revisions(&Value::Null).by_reference);
}
