//! How long old pods that still terminate are waited for.

use serde_json::{Value, json};

use super::tests::{NOW, available, complete, judge, numbers_of};
use super::*;
use crate::workload::DeploymentView;
use crate::workload::kinds::fixtures::{at, with};

#[test]
fn case_24_terminating_pods_are_waited_for_a_grace_period_at_most() {
    let ending = |grace: Option<i64>, confirmed: &str, reason: &str, left: i32| {
        let mut condition = available(confirmed);
        condition["reason"] = json!(reason);
        with(
            complete(),
            &[
                ("/spec/template/spec/terminationGracePeriodSeconds", grace.map_or(Value::Null, |grace| json!(grace))),
                ("/status/terminatingReplicas", json!(left)),
                ("/status/conditions", json!([condition])),
            ],
        )
    };
    let confirmed = "2026-11-23T10:00:00Z";
    for (grace, confirmed, reason, left, now, expected) in [
        (None, confirmed, "NewReplicaSetAvailable", 2, "2026-11-23T10:00:29Z", "Terminating"),
        (None, confirmed, "NewReplicaSetAvailable", 2, "2026-11-23T10:00:30Z", "Complete"),
        (None, confirmed, "NewReplicaSetAvailable", 0, "2026-11-23T10:00:01Z", "Complete"),
        (Some(120), confirmed, "NewReplicaSetAvailable", 1, "2026-11-23T10:01:59Z", "Terminating"),
        (Some(120), confirmed, "NewReplicaSetAvailable", 1, "2026-11-23T10:02:00Z", "Complete"),
        (Some(0), confirmed, "NewReplicaSetAvailable", 1, "2026-11-23T10:00:00Z", "Complete"),
        (Some(i64::MIN), confirmed, "NewReplicaSetAvailable", 1, "2026-11-23T10:00:00Z", "Complete"),
        (Some(i64::MAX), confirmed, "NewReplicaSetAvailable", 1, "2026-11-23T10:02:00Z", "Terminating"),
        (None, "2026-11-23T12:00:00Z", "NewReplicaSetAvailable", 1, "2026-11-23T10:00:00Z", "Terminating"),
        (None, confirmed, "ReplicaSetUpdated", 1, "2026-11-23T10:00:01Z", "Terminating"),
    ] {
        let deployment = ending(grace, confirmed, reason, left);
        assert_eq!(judge(&deployment, now).0, expected, "{grace:?} {confirmed} {reason} {left} {now}");
    }
    let view: DeploymentView =
        serde_json::from_value(ending(Some(45), confirmed, "NewReplicaSetAvailable", 2)).unwrap();
    let expected = RolloutState::Terminating { until: at("2026-11-23T10:00:45Z"), remaining: 2 };
    assert_eq!(view.rollout(at(confirmed)), expected);
    let view: DeploymentView = serde_json::from_value(ending(None, NOW, "NewReplicaSetAvailable", 2)).unwrap();
    let expected = RolloutState::Terminating { until: at("2026-11-23T10:00:30Z"), remaining: 2 };
    assert_eq!(view.rollout(at(confirmed)), expected, "a clock that is ahead adds nothing to the wait");
    let early = with(ending(None, confirmed, "NewReplicaSetAvailable", 2), &[("/status/replicas", json!(4))]);
    assert_eq!(judge(&early, confirmed).0, "Progressing", "what is missing comes first");
    let zero = with(ending(None, confirmed, "NewReplicaSetAvailable", 2), &numbers_of(0, 0, 0, 0));
    assert_eq!(judge(&zero, "2026-11-23T10:00:29Z").0, "Terminating", "none left means none that ends either");
    assert_eq!(judge(&zero, "2026-11-23T10:00:30Z").0, "ScaledToZero");
}

#[test]
fn case_93_without_a_deadline_the_wait_begins_when_it_is_first_observed() {
    let ending = with(
        complete(),
        &[
            ("/metadata/uid", json!("u1")),
            ("/spec/progressDeadlineSeconds", json!(i32::MAX)),
            ("/status/terminatingReplicas", json!(2)),
            (
                "/status/conditions",
                json!([{"type": "Available", "status": "True", "lastUpdateTime": "2026-11-01T00:00:00Z"}]),
            ),
        ],
    );
    let observed =
        |object: &Value, now: &str| serde_json::from_value::<DeploymentView>(object.clone()).unwrap().observe(at(now));
    let until = |until: &str, remaining| RolloutState::Terminating { until: at(until), remaining };
    let first = observed(&ending, "2026-11-23T10:00:00Z");
    assert_eq!(first.rollout, until("2026-11-23T10:00:30Z", 2));
    let fewer = with(ending.clone(), &[("/status/terminatingReplicas", json!(1))]);
    let second = observed(&fewer, "2026-11-23T10:00:20Z").continuing(Some(&first));
    assert_eq!(second.rollout, until("2026-11-23T10:00:30Z", 1), "the wait does not begin again");
    assert_eq!(second.rollout.clone().at(at("2026-11-23T10:00:30Z")), RolloutState::Complete);
    for (what, changed) in [
        ("another rollout", &[("/metadata/generation", json!(3)), ("/status/observedGeneration", json!(3))][..]),
        ("another object of that name", &[("/metadata/uid", json!("u2"))]),
    ] {
        let other = observed(&with(fewer.clone(), changed), "2026-11-23T10:00:20Z").continuing(Some(&first));
        assert_eq!(other.rollout, until("2026-11-23T10:00:50Z", 1), "{what}");
    }
    let gone = observed(&with(ending, &[("/status/terminatingReplicas", json!(0))]), "2026-11-23T10:00:05Z");
    assert_eq!(gone.continuing(Some(&first)).rollout, RolloutState::Complete);
}
