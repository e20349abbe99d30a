use serde_json::{Value, json};

use super::*;
use crate::workload::kinds::fixtures::{self, Row, with};

const NOW: &str = "2026-11-23T10:01:00Z";

/// A `DaemonSet` at generation 2 on three nodes, each with an available pod.
fn complete() -> Value {
    json!({
        "metadata": {"name": "agent", "namespace": "shop", "generation": 2},
        "spec": {
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": {"spec": {"containers": [{"name": "app", "image": "agent:1"}]}},
        },
        "status": {
            "observedGeneration": 2, "currentNumberScheduled": 3, "desiredNumberScheduled": 3, "numberReady": 3,
            "updatedNumberScheduled": 3, "numberAvailable": 3, "numberMisscheduled": 0,
        },
    })
}

fn on_delete() -> Value {
    with(complete(), &[("/spec/updateStrategy", json!({"type": "OnDelete"}))])
}

fn judge(object: &Value) -> (&'static str, String) {
    fixtures::judge::<DaemonSet>(object, NOW)
}

fn table(base: &Value, rows: &[Row<'_>]) {
    fixtures::table::<DaemonSet>(base, NOW, rows);
}

fn numbers_of(wanted: i32, updated: i32, available: i32) -> Vec<(&'static str, Value)> {
    vec![
        ("/status/desiredNumberScheduled", json!(wanted)),
        ("/status/updatedNumberScheduled", json!(updated)),
        ("/status/numberAvailable", json!(available)),
    ]
}

fn elsewhere(count: i32) -> (&'static str, Value) {
    ("/status/numberMisscheduled", json!(count))
}

#[test]
fn case_24_finished_means_observed_updated_and_available_on_every_node() {
    table(
        &complete(),
        &[
            ("all there", &[], "Complete"),
            ("the controller is ahead", &[("/status/observedGeneration", json!(3))], "Complete"),
            ("no strategy", &[("/spec/updateStrategy", Value::Null)], "Complete"),
            ("stale status", &[("/status/observedGeneration", json!(1))], "Progressing"),
            ("never observed", &[("/status/observedGeneration", Value::Null)], "Progressing"),
            ("no status", &[("/status", Value::Null)], "Progressing"),
            ("an empty status", &[("/status", json!({}))], "Progressing"),
            ("no spec and no status", &[("/spec", Value::Null), ("/status", Value::Null)], "Progressing"),
            ("nothing updated yet", &[("/status/updatedNumberScheduled", Value::Null)], "Progressing"),
            ("nothing available yet", &[("/status/numberAvailable", Value::Null)], "Progressing"),
            ("one node has an old pod", &numbers_of(3, 2, 3), "Progressing"),
            ("one node has a new pod that is not available", &numbers_of(3, 3, 2), "Progressing"),
            ("a node has come", &numbers_of(4, 3, 3), "Progressing"),
            ("a node has gone", &numbers_of(2, 2, 2), "Complete"),
            ("a pod stays on a node that is tainted since", &[elsewhere(1)], "Complete"),
        ],
    );
    let (_, text) = judge(&with(complete(), &numbers_of(3, 1, 2)));
    assert_eq!(text, "progressing: 1 of 3 pods are updated, 2 available");
}

#[test]
fn case_27_the_status_of_an_overtaken_rollout_says_nothing_about_the_next() {
    let overtaken = with(complete(), &[("/metadata/generation", json!(3))]);
    let (word, text) = judge(&overtaken);
    assert_eq!(word, "Progressing");
    assert_eq!(text, "progressing: the DaemonSet controller has not yet seen generation 3");
}

#[test]
fn with_on_delete_it_is_finished_when_the_last_old_pod_is_gone() {
    table(
        &on_delete(),
        &[
            ("all there", &[], "Complete"),
            ("old pods wait to be deleted", &numbers_of(3, 0, 3), "Progressing"),
            ("one old pod waits to be deleted", &numbers_of(3, 2, 3), "Progressing"),
            ("the last old pod is gone, its successor starts", &numbers_of(3, 3, 2), "Progressing"),
            ("its successor serves", &numbers_of(3, 3, 3), "Complete"),
            ("a pod that may be old is on a node that should have none", &[elsewhere(1)], "Progressing"),
        ],
    );
    let (_, text) = judge(&with(on_delete(), &numbers_of(3, 2, 3)));
    assert_eq!(text, "progressing: 2 of 3 pods are updated, 3 available; old ones wait to be deleted");
    let (_, text) = judge(&with(on_delete(), &[elsewhere(2)]));
    assert_eq!(text, "progressing: 2 pods are left on nodes that should have none, of whatever version");
}

#[test]
fn case_31_no_node_that_should_have_one_and_none_left_is_finished() {
    for base in [complete(), on_delete()] {
        table(
            &base,
            &[
                ("no node", &numbers_of(0, 0, 0), "ScaledToZero"),
                ("no node, numbers missing", &[("/status", json!({"observedGeneration": 2}))], "ScaledToZero"),
                ("pods left", &[&numbers_of(0, 0, 0)[..], &[elsewhere(2)]].concat(), "Progressing"),
                (
                    "not yet observed",
                    &[&numbers_of(0, 0, 0)[..], &[("/status/observedGeneration", json!(1))]].concat(),
                    "Progressing",
                ),
            ],
        );
    }
}

#[test]
fn case_92_who_has_no_pods_is_known_from_the_numbers() {
    let none = ("/status/currentNumberScheduled", json!(0));
    for (changes, without_pods) in [
        (vec![], false),
        (numbers_of(3, 0, 0), false),
        ([std::slice::from_ref(&none), &numbers_of(0, 0, 0)[..]].concat(), true),
        ([std::slice::from_ref(&none), &numbers_of(3, 0, 0)[..]].concat(), true),
        ([&[none.clone(), elsewhere(1)], &numbers_of(0, 0, 0)[..]].concat(), false),
    ] {
        let view: super::super::View<DaemonSet> = serde_json::from_value(with(complete(), &changes)).unwrap();
        assert_eq!(view.observe(fixtures::at(NOW)).without_pods, without_pods, "{changes:?}");
    }
}

#[test]
fn deletion_outranks_the_rollout() {
    let deleting = ("/metadata/deletionTimestamp", json!(NOW));
    table(
        &complete(),
        &[
            ("complete", std::slice::from_ref(&deleting), "Deleting"),
            ("no node", &[std::slice::from_ref(&deleting), &numbers_of(0, 0, 0)].concat(), "Deleting"),
        ],
    );
}
