use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::workload::DeploymentView;
use crate::workload::kinds::fixtures::{self, Row, at, with};

/// 60 s after the controller confirmed the rollout in [`available`].
pub(super) const NOW: &str = "2026-11-23T10:01:00Z";

pub(super) fn judge(deployment: &Value, now: &str) -> (&'static str, String) {
    fixtures::judge::<Deployment>(deployment, now)
}

fn table(rows: &[Row<'_>]) {
    fixtures::table::<Deployment>(&complete(), NOW, rows);
}

/// A Deployment at generation 2 with three requested pods, all available.
pub(super) fn complete() -> Value {
    json!({
        "metadata": {"name": "orders", "namespace": "shop", "generation": 2},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [{"name": "app", "image": "orders:1"}]}}},
        "status": {
            "observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 3,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                available("2026-11-23T10:00:00Z"),
            ],
        },
    })
}

pub(super) fn available(confirmed: &str) -> Value {
    json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "lastUpdateTime": confirmed})
}

fn deadline_exceeded() -> Value {
    json!({
        "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
        "message": "ReplicaSet \"orders-5\" has timed out progressing.",
    })
}

fn quota_exceeded() -> Value {
    json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota: small"})
}

pub(super) fn numbers_of(wanted: i32, all: i32, updated: i32, available: i32) -> Vec<(&'static str, Value)> {
    vec![
        ("/spec/replicas", json!(wanted)),
        ("/status/replicas", json!(all)),
        ("/status/updatedReplicas", json!(updated)),
        ("/status/availableReplicas", json!(available)),
    ]
}

#[test]
fn case_24_finished_means_observed_updated_available_and_nothing_old() {
    table(&[
        ("all there", &[], "Complete"),
        ("the controller is ahead", &[("/status/observedGeneration", json!(3))], "Complete"),
        ("no deadline, so no conditions", &[("/status/conditions", Value::Null)], "Complete"),
        ("stale status", &[("/status/observedGeneration", json!(1))], "Progressing"),
        ("never observed", &[("/status/observedGeneration", Value::Null)], "Progressing"),
        ("no status", &[("/status", Value::Null)], "Progressing"),
        ("an empty status", &[("/status", json!({}))], "Progressing"),
        ("no spec and no status", &[("/spec", Value::Null), ("/status", Value::Null)], "Progressing"),
        ("nothing updated yet", &[("/status/updatedReplicas", Value::Null)], "Progressing"),
        ("no pods at all", &[("/status/replicas", Value::Null)], "Progressing"),
        ("some updated", &numbers_of(3, 4, 2, 3), "Progressing"),
        ("all updated, one old left", &numbers_of(3, 4, 3, 4), "Progressing"),
        ("all updated, one old left that is not available", &numbers_of(3, 4, 3, 3), "Progressing"),
        ("more updated than there are", &numbers_of(3, 3, 4, 3), "Progressing"),
        ("being resumed", &[("/status/conditions", json!([{"type": "Progressing", "status": "Unknown"}]))], "Complete"),
        (
            "a single pod by default",
            &{
                let mut one = numbers_of(0, 1, 1, 1);
                one[0].1 = Value::Null;
                one
            },
            "Complete",
        ),
    ]);
}

/// The condition of a rollout that goes on.
fn updated() -> Value {
    json!({"type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"})
}

#[test]
fn case_24_without_the_controllers_word_the_numbers_decide() {
    let unconfirmed =
        |changes: &[(&'static str, Value)]| [&[("/status/conditions", json!([updated()]))], changes].concat();
    table(&[
        ("all there", &unconfirmed(&[]), "Complete"),
        ("one asked for by default", &unconfirmed(&[("/spec/replicas", Value::Null)]), "Progressing"),
        ("nothing available yet", &unconfirmed(&[("/status/availableReplicas", Value::Null)]), "Progressing"),
        ("all updated, one not available", &unconfirmed(&numbers_of(3, 3, 3, 2)), "Progressing"),
        ("scaling up", &unconfirmed(&numbers_of(5, 3, 3, 3)), "Progressing"),
        ("scaling down", &unconfirmed(&numbers_of(2, 3, 3, 3)), "Progressing"),
        (
            "no conditions",
            &[&[("/status/conditions", Value::Null)], &numbers_of(3, 3, 3, 2)[..]].concat(),
            "Progressing",
        ),
    ]);
}

#[test]
fn case_75_once_available_as_a_whole_it_is_finished_whatever_its_pods_do() {
    let strategy = |strategy: Value| ("/spec/strategy", strategy);
    let rolling = |unavailable: Value, surge: Value| {
        strategy(json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}}))
    };
    let crashed = &numbers_of(3, 3, 3, 2)[..];
    table(&[
        ("one of three is not ready", crashed, "Complete"),
        ("none is ready", &numbers_of(3, 3, 3, 0), "Complete"),
        ("a node is drained", &numbers_of(3, 2, 2, 1), "Complete"),
        ("no pod can be created any more", &numbers_of(3, 0, 0, 0), "Complete"),
        ("scaling up", &numbers_of(5, 3, 3, 3), "Complete"),
        ("scaling down", &numbers_of(2, 3, 3, 3), "Complete"),
        ("scaling down to zero", &numbers_of(0, 3, 3, 3), "Complete"),
        ("at zero", &numbers_of(0, 0, 0, 0), "ScaledToZero"),
        ("an old pod is left", &numbers_of(3, 4, 3, 2), "Progressing"),
        ("an old pod is left at zero", &numbers_of(0, 1, 0, 0), "Progressing"),
        ("rolled back, no new pod yet", &numbers_of(3, 3, 0, 3), "Progressing"),
        ("stale status", &[crashed, &[("/status/observedGeneration", json!(1))]].concat(), "Progressing"),
        ("still going on", &[crashed, &[("/status/conditions", json!([updated()]))]].concat(), "Progressing"),
        // With these, the condition may be about the template before.
        ("recreate", &[crashed, &[strategy(json!({"type": "Recreate"}))]].concat(), "Progressing"),
        ("all may go at once", &[crashed, &[rolling(json!(3), json!(1))]].concat(), "Progressing"),
        ("all may go at once, in percent", &[crashed, &[rolling(json!("100%"), json!("25%"))]].concat(), "Progressing"),
        ("what cannot be read", &[crashed, &[rolling(json!("many"), json!(1))]].concat(), "Progressing"),
        ("two of three may go", &[crashed, &[rolling(json!("99%"), json!(1))]].concat(), "Complete"),
        ("none may go", &[crashed, &[rolling(json!(0), json!(1))]].concat(), "Complete"),
        ("one may go, no surge", &[crashed, &[rolling(json!("25%"), json!(0))]].concat(), "Complete"),
        (
            "the only one goes first, no surge",
            &[&numbers_of(1, 1, 1, 0)[..], &[rolling(json!("25%"), json!("0%"))]].concat(),
            "Progressing",
        ),
        (
            "the only one may go first",
            &[&numbers_of(1, 1, 1, 0)[..], &[rolling(json!(1), json!(1))]].concat(),
            "Progressing",
        ),
        ("the only one crashes", &numbers_of(1, 1, 1, 0), "Complete"),
    ]);
}

#[test]
fn case_92_who_has_no_pods_is_known_from_the_numbers() {
    for (what, numbers, terminating, without_pods) in [
        ("all there", numbers_of(3, 3, 3, 3), 0, false),
        ("not one is ready", numbers_of(3, 3, 3, 0), 0, false),
        ("only old ones", numbers_of(3, 1, 0, 0), 0, false),
        ("at zero", numbers_of(0, 0, 0, 0), 0, true),
        ("none could be created", numbers_of(3, 0, 0, 0), 0, true),
        ("pods left at zero", numbers_of(0, 2, 2, 2), 0, false),
        ("the old ones end, the new ones are not there", numbers_of(3, 0, 0, 0), 2, false),
        ("the last ones end; the rollout says until when they count", numbers_of(0, 0, 0, 0), 2, true),
    ] {
        let recreate = ("/spec/strategy", json!({"type": "Recreate"}));
        let ending = [recreate, ("/status/terminatingReplicas", json!(terminating))];
        let object = with(complete(), &[&numbers[..], &ending].concat());
        let view: DeploymentView = serde_json::from_value(object).unwrap();
        assert_eq!(view.observe(at(NOW)).without_pods, without_pods, "{what}");
    }
    assert!(DeploymentView::default().observe(at(NOW)).without_pods, "no status yet");
}

#[test]
fn case_25_a_deadline_that_passed_is_a_failure_until_it_recovers() {
    let failed = |extra: Vec<(&'static str, Value)>| {
        let mut changes = vec![("/status/conditions", json!([deadline_exceeded()]))];
        changes.extend(extra);
        with(complete(), &changes)
    };
    let (word, text) = judge(&failed(numbers_of(3, 4, 1, 3)), NOW);
    assert_eq!(word, "Failed");
    assert!(text.contains(r#"ProgressDeadlineExceeded: ReplicaSet "orders-5" has timed out progressing"#), "{text}");
    assert!(!text.ends_with('.'), "it becomes part of a sentence: {text}");
    assert_eq!(judge(&failed(vec![]), NOW).0, "Failed", "even with all numbers right: the condition decides");
    assert_eq!(judge(&failed(numbers_of(0, 0, 0, 0)), NOW).0, "Failed", "at zero too");
    assert_eq!(
        judge(&failed(vec![("/status/observedGeneration", json!(1))]), NOW).0,
        "Progressing",
        "an older failure"
    );
    assert_eq!(judge(&failed(vec![("/status/conditions", json!([available(NOW)]))]), NOW).0, "Complete", "recovered");
    let unnamed = json!([{"type": "Progressing", "status": "False"}]);
    assert_eq!(judge(&failed(vec![("/status/conditions", unnamed)]), NOW).0, "Failed");
}

#[test]
fn case_25_an_exceeded_quota_is_reported_while_the_rollout_continues() {
    let conditions = json!([available(NOW), quota_exceeded()]);
    let mut changes = numbers_of(3, 3, 1, 3);
    changes.push(("/status/conditions", conditions.clone()));
    let (word, text) = judge(&with(complete(), &changes), NOW);
    assert_eq!((word, text.as_str()), ("Progressing", "progressing: FailedCreate: exceeded quota: small"));
    let both = with(complete(), &[("/status/conditions", json!([deadline_exceeded(), quota_exceeded()]))]);
    assert_eq!(judge(&both, NOW).0, "Failed", "the deadline outranks it");
    let left_over = with(complete(), &[("/status/conditions", conditions)]);
    assert_eq!(judge(&left_over, NOW).0, "Complete", "the numbers decide");
}

#[test]
fn case_26_no_rollout_finishes_while_paused_but_one_that_had_finished_stays_so() {
    let paused = ("/spec/paused", json!(true));
    let word = json!({"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused"});
    let ended = ("/status/conditions", json!([word]));
    let crashed = [&[paused.clone(), ended.clone()], &numbers_of(3, 3, 3, 2)[..]].concat();
    let halfway = [&[paused.clone(), ended.clone()], &numbers_of(3, 4, 1, 4)[..]].concat();
    let changed = [&[paused.clone(), ended.clone()], &numbers_of(3, 3, 0, 3)[..]].concat();
    let lingering = [paused.clone(), ended.clone(), ("/status/terminatingReplicas", json!(1))];
    table(&[
        ("paused half-way", &[paused.clone(), ("/status/updatedReplicas", json!(1))], "Paused"),
        ("paused with old pods", &halfway, "Paused"),
        ("the template is changed while paused", &changed, "Paused"),
        ("75: paused after it had finished", &[paused.clone(), ended.clone()], "Complete"),
        ("75: the same without a deadline", &[paused.clone(), ("/status/conditions", Value::Null)], "Complete"),
        ("paused while the last old pod ends", &lingering, "Terminating"),
        ("nobody can tell whether it was available", &crashed, "Paused"),
        ("paused, not yet observed", &[paused.clone(), ("/status/observedGeneration", json!(1))], "Paused"),
        ("paused after a failure", &[paused.clone(), ("/status/conditions", json!([deadline_exceeded()]))], "Paused"),
        ("paused at zero", &[std::slice::from_ref(&paused), &numbers_of(0, 0, 0, 0)].concat(), "Paused"),
        ("not paused", &[("/spec/paused", json!(false))], "Complete"),
    ]);
}

#[test]
fn case_27_the_status_of_an_overtaken_rollout_says_nothing_about_the_next() {
    // Everything is right for generation 2; the image was changed again, and the controller has not observed generation
    // 3 yet.
    let overtaken = with(complete(), &[("/metadata/generation", json!(3))]);
    let (word, text) = judge(&overtaken, NOW);
    assert_eq!(word, "Progressing");
    assert!(text.contains("generation 3"), "{text}");
}

#[test]
fn case_31_zero_asked_for_and_none_left_is_finished() {
    table(&[
        ("at zero", &numbers_of(0, 0, 0, 0), "ScaledToZero"),
        (
            "at zero, numbers missing",
            &[("/spec/replicas", json!(0)), ("/status", json!({"observedGeneration": 2}))],
            "ScaledToZero",
        ),
        ("pods left", &numbers_of(0, 2, 2, 2), "Complete"),
        ("an old pod left", &numbers_of(0, 1, 0, 0), "Progressing"),
        (
            "zero not yet observed",
            &[&numbers_of(0, 0, 0, 0)[..], &[("/status/observedGeneration", json!(1))]].concat(),
            "Progressing",
        ),
        ("zero and no status", &[("/spec/replicas", json!(0)), ("/status", Value::Null)], "Progressing"),
    ]);
}

#[test]
fn case_32_recreate_is_not_finished_between_the_old_pods_and_the_new() {
    let recreate = |all, updated, available| {
        [&[("/spec/strategy", json!({"type": "Recreate"}))], &numbers_of(3, all, updated, available)[..]].concat()
    };
    table(&[
        ("the old pods are gone, the new ones not yet made", &recreate(0, 0, 0), "Progressing"),
        ("the new ones start", &recreate(3, 3, 0), "Progressing"),
        ("the new ones serve", &recreate(3, 3, 3), "Complete"),
    ]);
}

#[test]
fn deletion_outranks_the_rollout() {
    let deleting = ("/metadata/deletionTimestamp", json!("2026-11-23T10:00:59Z"));
    table(&[
        ("complete", std::slice::from_ref(&deleting), "Deleting"),
        ("paused", &[deleting.clone(), ("/spec/paused", json!(true))], "Deleting"),
        ("failed", &[deleting.clone(), ("/status/conditions", json!([deadline_exceeded()]))], "Deleting"),
        ("at zero", &[std::slice::from_ref(&deleting), &numbers_of(0, 0, 0, 0)].concat(), "Deleting"),
    ]);
}

#[test]
fn a_long_message_is_cut_and_stays_on_one_line() {
    let condition = json!({"type": "Progressing", "status": "False", "reason": "R", "message": "ä\n".repeat(20_000)});
    let (_, text) = judge(&with(complete(), &[("/status/conditions", json!([condition]))]), NOW);
    assert!(text.chars().count() < 600 && !text.contains('\n'), "{text}");
}

/// The facts of a Deployment, for an independent judgement.
#[derive(Clone, Debug)]
struct Facts {
    deleting: bool,
    paused: Option<bool>,
    generation: i64,
    observed: Option<i64>,
    wanted: Option<i32>,
    all: Option<i32>,
    updated: Option<i32>,
    available: Option<i32>,
    terminating: Option<i32>,
    progressing: Option<&'static str>,
    confirmed: Option<i64>,
    grace: Option<i64>,
    failure: bool,
}

impl Facts {
    fn view(&self) -> DeploymentView {
        let time = |second: i64| Timestamp::from_second(second).unwrap().to_string();
        let mut conditions = Vec::new();
        if let Some(status) = self.progressing {
            let reason = if status == "True" { "NewReplicaSetAvailable" } else { "Other" };
            let confirmed = self.confirmed.map(time);
            conditions
                .push(json!({"type": "Progressing", "status": status, "reason": reason, "lastUpdateTime": confirmed}));
        }
        if self.failure {
            conditions.push(quota_exceeded());
        }
        serde_json::from_value(json!({
            "metadata": {"generation": self.generation, "deletionTimestamp": self.deleting.then(|| time(0))},
            "spec": {
                "replicas": self.wanted, "paused": self.paused,
                "template": {"spec": {"terminationGracePeriodSeconds": self.grace}},
            },
            "status": {
                "observedGeneration": self.observed, "replicas": self.all, "updatedReplicas": self.updated,
                "availableReplicas": self.available, "terminatingReplicas": self.terminating, "conditions": conditions,
            },
        }))
        .unwrap()
    }

    /// Finished as the rule states it: all conditions at once, in no order.
    fn finished(&self, now: i64) -> bool {
        let read = |number: Option<i32>| number.unwrap_or(0);
        let wanted = self.wanted.unwrap_or(1);
        let in_grace = match (self.progressing, self.confirmed) {
            (Some("True"), Some(confirmed)) => now - confirmed.min(now) < self.grace.unwrap_or(30),
            _ => self.grace != Some(0),
        };
        let paused = self.paused == Some(true);
        let available_now = [self.all, self.updated, self.available].iter().all(|number| read(*number) == wanted);
        let available_once = self.progressing == Some("True") && read(self.all) == read(self.updated);
        let violations = [
            self.deleting,
            paused && wanted == 0,
            self.observed.is_none(),
            self.observed.unwrap_or(i64::MAX) < self.generation,
            self.progressing == Some("False"),
            !(available_now || available_once),
            read(self.terminating) > 0 && in_grace,
        ];
        !violations.contains(&true)
    }
}

fn number() -> impl Strategy<Value = Option<i32>> {
    prop_oneof![3 => Just(Some(2)), 1 => Just(None), 2 => (-1..4).prop_map(Some)]
}

prop_compose! {
    fn facts()(
        deleting in proptest::bool::weighted(0.1),
        paused in prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)],
        generation in 1_i64..3,
        observed in prop_oneof![1 => Just(None), 6 => (1_i64..4).prop_map(Some)],
        (wanted, all, updated, available) in prop_oneof![
            (number(), number(), number(), number()),
            Just((Some(2), Some(2), Some(2), Some(2))),
            Just((Some(0), Some(0), None, Some(0))),
            Just((None, Some(1), Some(1), Some(1))),
        ],
        terminating in prop_oneof![Just(None), (0..3).prop_map(Some)],
        progressing in prop_oneof![
            Just(None), Just(Some("Unknown")), Just(Some("False")), Just(Some("True")), Just(Some("True"))
        ],
        confirmed in proptest::option::weighted(0.8, 0_i64..200),
        grace in proptest::option::of(0_i64..90),
        failure: bool,
    ) -> Facts {
        Facts {
            deleting, paused, generation, observed, wanted, all, updated, available, terminating, progressing, confirmed,
            grace, failure,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn finished_exactly_when_no_condition_is_violated(facts in facts(), now in 0_i64..200) {
        let state = facts.view().rollout(Timestamp::from_second(now).unwrap());
        prop_assert_eq!(state.finished(), facts.finished(now), "{}", state);
        let none = facts.wanted == Some(0) && facts.all.unwrap_or(0) <= 0;
        prop_assert_eq!(state == RolloutState::ScaledToZero, state.finished() && none);
    }

    #[test]
    fn time_only_ever_finishes_a_rollout(facts in facts(), now in 0_i64..200, later in 0_i64..200) {
        let at = |second: i64| facts.view().rollout(Timestamp::from_second(second).unwrap());
        let (before, after) = (at(now), at(now + later));
        prop_assert!(!before.finished() || after == before, "{} then {}", before, after);
        if !matches!(before, RolloutState::Terminating { .. }) {
            prop_assert_eq!(before, after, "only waiting for pods that end depends on the time");
        }
    }

    #[test]
    fn waiting_ends_at_the_stated_time(facts in facts(), now in 0_i64..200) {
        let view = facts.view();
        let now = Timestamp::from_second(now).unwrap();
        if let RolloutState::Terminating { until, remaining } = view.rollout(now) {
            prop_assert!(until > now && remaining > 0);
            prop_assert!(view.rollout(now).at(until).finished());
            let Some(confirmed) = facts.confirmed.filter(|_| facts.progressing == Some("True")) else { return Ok(()) };
            let confirmed = Timestamp::from_second(confirmed).unwrap();
            // Where the controller's clock is ahead of ours, the end moves with ours until both agree.
            let end = if confirmed > now { confirmed.max(until) + SignedDuration::from_secs(90) } else { until };
            prop_assert!(view.rollout(end).finished());
        }
    }
}

#[test]
fn only_no_replicas_asked_for_are_none() {
    for (replicas, none) in [(None, false), (Some(0), true), (Some(2), false)] {
        assert_eq!(Deployment::at_zero(&DeploymentSpecView { replicas, ..DeploymentSpecView::default() }), none);
    }
}
