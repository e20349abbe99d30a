use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::workload::kinds::fixtures::{self, Row, with};

const NOW: &str = "2026-11-23T10:01:00Z";

/// A `StatefulSet` at generation 2 with three requested pods, all available.
fn complete() -> Value {
    json!({
        "metadata": {"name": "orders", "namespace": "shop", "generation": 2},
        "spec": {
            "replicas": 3,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "template": {"spec": {"containers": [{"name": "app", "image": "orders:1"}]}},
        },
        "status": {
            "observedGeneration": 2, "replicas": 3, "readyReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
            "availableReplicas": 3, "currentRevision": "orders-b", "updateRevision": "orders-b",
        },
    })
}

/// The same in the middle of a rollout: the last pod has the new revision.
fn rolling() -> Value {
    with(complete(), &[("/status/updateRevision", json!("orders-c")), ("/status/updatedReplicas", json!(1))])
}

/// The same with `OnDelete`, where a person deletes the pods to be replaced.
fn on_delete(base: Value) -> Value {
    with(base, &[("/spec/updateStrategy", json!({"type": "OnDelete"}))])
}

fn judge(object: &Value) -> (&'static str, String) {
    fixtures::judge::<StatefulSet>(object, NOW)
}

fn table(base: &Value, rows: &[Row<'_>]) {
    fixtures::table::<StatefulSet>(base, NOW, rows);
}

fn partition(partition: i32) -> (&'static str, Value) {
    ("/spec/updateStrategy/rollingUpdate/partition", json!(partition))
}

fn numbers_of(wanted: i32, all: i32, updated: i32, available: i32) -> Vec<(&'static str, Value)> {
    vec![
        ("/spec/replicas", json!(wanted)),
        ("/status/replicas", json!(all)),
        ("/status/updatedReplicas", json!(updated)),
        ("/status/availableReplicas", json!(available)),
    ]
}

#[test]
fn case_24_finished_means_observed_updated_available_and_nothing_old() {
    table(
        &complete(),
        &[
            ("all there", &[], "Complete"),
            ("the controller is ahead", &[("/status/observedGeneration", json!(3))], "Complete"),
            ("no strategy", &[("/spec/updateStrategy", Value::Null)], "Complete"),
            ("no partition", &[("/spec/updateStrategy/rollingUpdate", Value::Null)], "Complete"),
            ("one asked for by default", &[("/spec/replicas", Value::Null)], "Progressing"),
            ("stale status", &[("/status/observedGeneration", json!(1))], "Progressing"),
            ("never observed", &[("/status/observedGeneration", Value::Null)], "Progressing"),
            ("no status", &[("/status", Value::Null)], "Progressing"),
            ("no spec and no status", &[("/spec", Value::Null), ("/status", Value::Null)], "Progressing"),
            ("nothing updated yet", &[("/status/updatedReplicas", Value::Null)], "Progressing"),
            ("nothing available yet", &[("/status/availableReplicas", Value::Null)], "Progressing"),
            ("no pods at all", &[("/status/replicas", Value::Null)], "Progressing"),
            (
                "the revision is not the current one yet",
                &[("/status/updateRevision", json!("orders-c"))],
                "Progressing",
            ),
            ("one not updated", &numbers_of(3, 3, 2, 3), "Progressing"),
            ("one not available", &numbers_of(3, 3, 3, 2), "Progressing"),
            ("one is between old and new", &numbers_of(3, 2, 2, 2), "Progressing"),
            ("an old one still ends", &numbers_of(3, 3, 2, 2), "Progressing"),
            ("scaling up", &numbers_of(5, 3, 3, 3), "Progressing"),
            ("scaling down", &numbers_of(2, 3, 3, 3), "Progressing"),
            ("one above the number still ends", &numbers_of(2, 3, 2, 2), "Progressing"),
        ],
    );
    let (_, text) = judge(&with(complete(), &numbers_of(2, 3, 2, 2)));
    assert_eq!(text, "progressing: 1 pods are left over of 2 asked for");
    let (_, text) = judge(&rolling());
    assert_eq!(text, "progressing: 1 of 3 pods are updated, 3 available");
}

#[test]
fn case_27_the_status_of_an_overtaken_rollout_says_nothing_about_the_next() {
    let overtaken = with(complete(), &[("/metadata/generation", json!(3))]);
    let (word, text) = judge(&overtaken);
    assert_eq!(word, "Progressing");
    assert_eq!(text, "progressing: the StatefulSet controller has not yet seen generation 3");
}

#[test]
fn a_rollout_that_is_rolled_back_half_way_is_finished_when_the_last_pod_is_back() {
    // The current revision is the update revision again, but one pod still has the abandoned one.
    table(
        &complete(),
        &[("one to go", &[("/status/updatedReplicas", json!(2))], "Progressing"), ("back", &[], "Complete")],
    );
}

#[test]
fn case_24_a_partition_that_keeps_old_pods_is_mixed_until_it_is_zero() {
    table(
        &rolling(),
        &[
            ("as many updated as there may be", &[partition(2)], "Mixed"),
            ("on the way there", &[partition(1)], "Mixed"),
            ("none is to be updated", &[partition(3), ("/status/updatedReplicas", json!(0))], "Mixed"),
            ("the partition is beyond the last pod", &[partition(9), ("/status/updatedReplicas", json!(0))], "Mixed"),
            ("not available", &[partition(2), ("/status/availableReplicas", json!(2))], "Mixed"),
            ("the partition is lifted", &[partition(0)], "Progressing"),
            ("stale status", &[partition(2), ("/metadata/generation", json!(3))], "Progressing"),
            ("no sensible partition", &[partition(-1)], "Progressing"),
            ("all updated, not yet all ready", &[partition(1), ("/status/updatedReplicas", json!(3))], "Progressing"),
            ("being deleted", &[partition(2), ("/metadata/deletionTimestamp", json!(NOW))], "Deleting"),
            (
                "no strategy by that name",
                &[("/spec/updateStrategy", json!({"rollingUpdate": {"partition": 2}}))],
                "Mixed",
            ),
        ],
    );
    table(
        &complete(),
        &[
            ("a partition that keeps nothing back", &[partition(2)], "Complete"),
            ("scaling up at one revision", &[&[partition(2)], &numbers_of(5, 3, 3, 3)[..]].concat(), "Progressing"),
            ("scaled to zero", &[&[partition(2)], &numbers_of(0, 0, 0, 0)[..]].concat(), "ScaledToZero"),
        ],
    );
    let (_, text) = judge(&with(rolling(), &[partition(2)]));
    assert_eq!(
        text,
        "mixed: the partition keeps 2 of 3 pods at the version before, 1 are updated, 3 available; it is recorded once the \
         partition is 0 and the rollout has finished"
    );
}

#[test]
fn with_on_delete_only_the_numbers_count() {
    table(
        &on_delete(rolling()),
        &[
            ("old pods wait to be deleted", &[], "Progressing"),
            ("the last old pod still ends", &numbers_of(3, 3, 2, 3), "Progressing"),
            ("the last old pod is gone", &numbers_of(3, 2, 2, 2), "Progressing"),
            ("its successor starts", &numbers_of(3, 3, 3, 2), "Progressing"),
            ("its successor serves", &numbers_of(3, 3, 3, 3), "Complete"),
            ("none asked for, none left", &numbers_of(0, 0, 0, 0), "ScaledToZero"),
            (
                "a partition that is left from before",
                &[("/spec/updateStrategy/rollingUpdate", json!({"partition": 2}))],
                "Progressing",
            ),
        ],
    );
    let (_, text) = judge(&on_delete(rolling()));
    assert_eq!(text, "progressing: 1 of 3 pods are updated, 3 available; 2 old ones wait to be deleted");
}

#[test]
fn case_75_a_first_rollout_looks_like_a_finished_one_so_only_the_numbers_count() {
    // Both revisions are the same from the first moment on, although no pod was ever ready.
    table(&complete(), &[("never available", &numbers_of(3, 3, 3, 0), "Progressing")]);
}

#[test]
fn case_92_who_has_no_pods_is_known_from_the_numbers() {
    for (numbers, without_pods) in [
        (numbers_of(3, 3, 3, 0), false),
        (numbers_of(0, 0, 0, 0), true),
        (numbers_of(3, 0, 0, 0), true),
        (numbers_of(0, 1, 0, 0), false),
    ] {
        let view: super::super::View<StatefulSet> = serde_json::from_value(with(complete(), &numbers)).unwrap();
        assert_eq!(view.observe(fixtures::at(NOW)).without_pods, without_pods, "{numbers:?}");
    }
}

#[test]
fn case_31_zero_asked_for_and_none_left_is_finished() {
    table(
        &complete(),
        &[
            ("at zero", &numbers_of(0, 0, 0, 0), "ScaledToZero"),
            (
                "at zero, numbers missing",
                &[("/spec/replicas", json!(0)), ("/status", json!({"observedGeneration": 2}))],
                "ScaledToZero",
            ),
            ("pods left", &numbers_of(0, 2, 2, 2), "Progressing"),
            ("a pod that ends is left", &numbers_of(0, 1, 0, 0), "Progressing"),
            ("zero and no status", &[("/spec/replicas", json!(0)), ("/status", Value::Null)], "Progressing"),
        ],
    );
}

#[test]
fn deletion_outranks_the_rollout() {
    let deleting = ("/metadata/deletionTimestamp", json!(NOW));
    table(
        &complete(),
        &[
            ("complete", std::slice::from_ref(&deleting), "Deleting"),
            ("at zero", &[std::slice::from_ref(&deleting), &numbers_of(0, 0, 0, 0)].concat(), "Deleting"),
        ],
    );
}

/// Numbers that a controller may report, mostly close to a finished rollout.
fn number() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![3 => Just(Some(2)), 1 => Just(None), 2 => (-1..4).prop_map(Some)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn finished_exactly_when_no_condition_is_violated(
        observed in prop_oneof![1 => Just(None), 6 => (1_i64..4).prop_map(Some)],
        numbers in prop_oneof![
            (number(), number(), number(), number()),
            Just((Some(2), Some(2), Some(2), Some(2))),
            Just((Some(0), Some(0), None, Some(0))),
        ],
        partition in prop_oneof![2 => Just(None), 1 => (-1..4).prop_map(Some)],
        by_hand in proptest::bool::weighted(0.3),
        same_revision in proptest::bool::weighted(0.6),
    ) {
        let (wanted, all, updated, available) = numbers;
        let object = json!({
            "metadata": {"generation": 2},
            "spec": {"replicas": wanted, "updateStrategy": {
                "type": if by_hand { "OnDelete" } else { "RollingUpdate" }, "rollingUpdate": {"partition": partition},
            }},
            "status": {
                "observedGeneration": observed, "replicas": all, "updatedReplicas": updated,
                "availableReplicas": available, "updateRevision": "b",
                "currentRevision": if same_revision { "b" } else { "a" },
            },
        });
        let count = wanted.unwrap_or(1);
        let all_there = [all, updated, available].iter().all(|number| number.unwrap_or(0) == count);
        let finished = observed.is_some_and(|observed| observed >= 2) && all_there && (by_hand || same_revision);
        let word = judge(&object).0;
        prop_assert_eq!(matches!(word, "Complete" | "ScaledToZero"), finished, "{}: {}", word, object);
        let old_pods = updated.unwrap_or(0) < count && !same_revision && !by_hand;
        let kept_back = observed.is_some_and(|observed| observed >= 2) && partition.is_some_and(|it| it > 0) && old_pods;
        prop_assert_eq!(word == "Mixed", kept_back && count > 0, "{}: {}", word, object);
    }
}
