//! Checks: which are due, which are kept, which are new, and how long a pass waits for them.

use proptest::prelude::*;

use super::*;
use crate::{
    api::{PactDeploymentStatus, gate::GatePolicy},
    decide::record::{
        Hold,
        fixtures::{at, environment_ref, key, member, progressing, version},
    },
    decide::{Pair, PairResult},
    workload::{RolloutState, VersionProblem},
};

fn pair(consumer: &str, provider: &str, result: PairResult) -> Pair {
    Pair {
        result,
        consumer: Pacticipant::parse(consumer).unwrap(),
        consumer_version: version("1"),
        provider: Pacticipant::parse(provider).unwrap(),
        provider_version: (result != PairResult::NotDeployed).then(|| version("2")),
        in_flight: false,
    }
}

fn judged(verdict: Verdict, pairs: Vec<Pair>) -> Judgement {
    Judgement {
        verdict,
        pairs,
        cautions: Vec::new(),
        vacuous: None,
        meant: None,
        explanation: Some("because".to_owned()),
    }
}

fn made(judgement: &Judgement) -> Check {
    let rules = GateRules::parse(&GatePolicy::default());
    check(
        &key("production", "orders").pacticipant,
        &version("1"),
        &environment_ref("production").environment,
        judgement,
        &rules,
        at(9),
    )
}

/// A check of a version with this verdict, determined at that second.
fn found(of: &str, verdict: &str, second: i64) -> Check {
    Check {
        version: of.to_owned(),
        verdict: verdict.to_owned(),
        vacuous: None,
        would_deny: verdict == "No",
        message: String::new(),
        since: Time(at(second)),
        pairs: Vec::new(),
        more_pairs: None,
    }
}

fn object_with(checks: &[Check]) -> PactDeployment {
    let key = key("production", "orders");
    let mut object = PactDeployment::new(&key.object_name(), key.spec());
    object.status = Some(PactDeploymentStatus { checks: checks.to_vec(), ..PactDeploymentStatus::default() });
    object
}

fn all(numbers: &[&str]) -> Vec<Version> {
    numbers.iter().map(|number| version(number)).collect()
}

#[test]
fn every_verdict_becomes_a_check_with_its_denial_and_whether_it_was_answered() {
    for (verdict, shown, would_deny, is_answered) in [
        (Verdict::Yes, "Yes", false, true),
        (Verdict::YesVacuous, "YesVacuous", false, true),
        (Verdict::No, "No", true, true),
        (Verdict::Unknown, "Unknown", true, true),
        (Verdict::VersionMissing, "VersionMissing", true, true),
        (Verdict::PacticipantUnknown, "PacticipantUnknown", false, true),
        (Verdict::EnvironmentMissing, "EnvironmentMissing", false, false),
        (Verdict::Unauthorized, "Unauthorized", false, false),
        (Verdict::BrokerUnavailable, "Unchecked", false, false),
    ] {
        let check = made(&judged(verdict, Vec::new()));
        assert_eq!((check.verdict.as_str(), check.would_deny, answered(&check)), (shown, would_deny, is_answered));
        assert_eq!((check.version.as_str(), check.since.0), ("1", at(9)));
    }
    // The broker could not be asked: whatever the policy does then at admission, it is no verdict on the version.
    let mut policy = GatePolicy::default();
    policy.actions.broker_unavailable = GateAction::Deny;
    let (orders, judgement) = (key("production", "orders"), judged(Verdict::BrokerUnavailable, Vec::new()));
    let rules = GateRules::parse(&policy);
    let check =
        check(&orders.pacticipant, &version("1"), &orders.environment_ref.environment, &judgement, &rules, at(9));
    assert_eq!((check.verdict.as_str(), check.would_deny), (UNCHECKED, false));
}

#[test]
fn a_check_shows_twenty_pairs_as_they_are_and_counts_the_rest() {
    let check = made(&judged(
        Verdict::No,
        vec![pair("web", "orders", PairResult::Failed), pair("orders", "db", PairResult::NotDeployed)],
    ));
    let shown: Vec<_> =
        check.pairs.iter().map(|it| (it.consumer.as_str(), it.provider.as_str(), it.result.as_str())).collect();
    assert_eq!(shown, [("web", "orders", "Failed"), ("orders", "db", "NotDeployed")]);
    assert_eq!((check.pairs[0].provider_version.as_deref(), &check.pairs[1].provider_version), (Some("2"), &None));
    assert_eq!(check.more_pairs, None);
    let many =
        (0..PAIRS_LIMIT + 3).map(|number| pair(&format!("web-{number}"), "orders", PairResult::Failed)).collect();
    let check = made(&judged(Verdict::No, many));
    assert_eq!((check.pairs.len(), check.more_pairs), (PAIRS_LIMIT, Some(3)));
    assert!(check.message.len() <= 512 && check.message.contains("22 more pairs"), "{}", check.message);
    let long = Judgement { explanation: Some("is immutable\n".repeat(500)), ..judged(Verdict::Unknown, Vec::new()) };
    let check = made(&long);
    assert!(check.message.len() <= 512 && !check.message.contains('\n'), "{}", check.message);
}

#[test]
fn the_versions_of_members_are_checked_each_once_in_order_and_not_while_they_are_on_hold() {
    let held =
        MemberView { hold: Some(Hold::Conflicted(vec!["a".into()])), ..member("c", Ok("3"), RolloutState::Complete) };
    let missing = member("d", Err(VersionProblem::NoTag { image: "x".into() }), progressing());
    let members = [
        member("a", Ok("2"), RolloutState::Complete),
        member("b", Ok("1"), progressing()),
        member("e", Ok("2"), RolloutState::Complete),
        held,
        missing,
    ];
    assert_eq!(versions(&members), all(&["2", "1"]));
    assert_eq!(versions(&[]), all(&[]));
    let many: Vec<_> = (0..9).map(|number| member("m", Ok(&number.to_string()), progressing())).collect();
    assert_eq!(versions(&many), all(&["0", "1", "2", "3"]), "no more than are kept");
}

#[test]
fn a_key_is_checked_when_one_of_its_versions_never_was_and_only_once_at_a_time() {
    let (checks, key) = (Verdicts::default(), key("production", "orders"));
    assert_eq!(checks.begin(&key, &all(&["1"]), None), Due::Now);
    assert_eq!(checks.begin(&key, &all(&["1"]), None), Due::No, "it is under way");
    checks.set(&key, found("1", "Yes", 1));
    checks.end(&key);
    assert_eq!(checks.begin(&key, &all(&["1"]), None), Due::No, "it is known");
    assert_eq!(checks.begin(&key, &all(&["1", "2"]), None), Due::Now, "2 is new");
    checks.set(&key, found("2", UNCHECKED, 2));
    checks.end(&key);
    // A check without an answer is repeated by its own task, not by each pass.
    assert_eq!(checks.begin(&key, &all(&["1", "2"]), None), Due::No);
    assert_eq!(checks.begin(&key, &all(&["2"]), None), Due::No);
    assert_eq!(checks.of(&key), [found("2", UNCHECKED, 2)], "1 no longer runs");
    assert_eq!(checks.begin(&key, &all(&["1"]), None), Due::Now, "and is checked again when it returns");
    assert_eq!(checks.begin(&key, &[], None), Due::No, "nothing runs");
    assert_eq!(checks.of(&key), []);
}

#[test]
fn after_a_restart_the_status_is_used_and_only_unanswered_checks_are_repeated() {
    let key = key("production", "orders");
    let fresh = |stored: &[Check], running: &[&str]| {
        let checks = Verdicts::default();
        let due = checks.begin(&key, &all(running), Some(&object_with(stored))) == Due::Now;
        (due, checks.of(&key))
    };
    let no = found("1", "No", 1);
    assert_eq!(fresh(std::slice::from_ref(&no), &["1"]), (false, vec![no.clone()]));
    let yes = found("2", "Yes", 2);
    assert_eq!(fresh(&[yes.clone(), no.clone()], &["1"]), (false, vec![no.clone()]), "2 no longer runs");
    assert_eq!(fresh(std::slice::from_ref(&no), &["1", "2"]), (true, vec![no]), "2 is new");
    for unanswered in [UNCHECKED, "EnvironmentMissing", "Unauthorized"] {
        let check = found("1", unanswered, 1);
        assert_eq!(fresh(std::slice::from_ref(&check), &["1"]), (true, vec![check]), "{unanswered}");
    }
    assert_eq!(fresh(&[], &["1"]), (true, vec![]));
    // A process that knows a key does not return to the checks of an older object.
    let checks = Verdicts::default();
    let _ = checks.begin(&key, &all(&["1"]), None);
    checks.set(&key, found("1", "Yes", 5));
    checks.end(&key);
    assert_eq!(checks.begin(&key, &all(&["1"]), Some(&object_with(&[found("1", "No", 1)]))), Due::No);
    assert_eq!(checks.of(&key), [found("1", "Yes", 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_leads_again_goes_by_the_status_and_not_by_what_it_found_before() {
    let (checks, key) = (Verdicts::default(), key("production", "orders"));
    assert_eq!(checks.begin(&key, &all(&["1"]), None), Due::Now);
    checks.set(&key, found("1", "No", 1));
    checks.forget_all();
    checks.settled(&key, Duration::from_mins(10)).await;
    let yes = found("1", "Yes", 2);
    assert_eq!(checks.begin(&key, &all(&["1"]), Some(&object_with(std::slice::from_ref(&yes)))), Due::Sometime);
    assert_eq!(checks.of(&key), [yes]);
}

#[test]
fn only_a_different_check_is_new_and_an_answer_is_not_replaced_by_none() {
    let (checks, key) = (Verdicts::default(), key("production", "orders"));
    let check = found("1", UNCHECKED, 1);
    assert_eq!(checks.set(&key, check.clone()), Some((check.clone(), None)));
    assert_eq!(checks.set(&key, found("1", UNCHECKED, 2)), None, "the same, later");
    let yes = found("1", "Yes", 3);
    assert_eq!(checks.set(&key, yes.clone()), Some((yes.clone(), Some(check))));
    for unanswered in [UNCHECKED, "EnvironmentMissing", "Unauthorized"] {
        assert_eq!(checks.set(&key, found("1", unanswered, 4)), None);
    }
    assert_eq!(checks.of(&key), std::slice::from_ref(&yes));
    // The same verdict with another message is written, but keeps its first time.
    let other = Check { message: "another pair".to_owned(), ..found("1", "Yes", 5) };
    let kept = Check { since: yes.since.clone(), ..other.clone() };
    assert_eq!(checks.set(&key, other), Some((kept.clone(), Some(yes))));
    let no = found("1", "No", 6);
    assert_eq!(checks.set(&key, no.clone()), Some((no, Some(kept))));
}

#[test]
fn the_newest_checks_come_first_and_no_more_than_four_are_kept() {
    let (checks, key) = (Verdicts::default(), key("production", "orders"));
    for number in 0..6 {
        checks.set(&key, found(&number.to_string(), "Yes", number));
    }
    let kept: Vec<_> = checks.of(&key).into_iter().map(|check| check.version).collect();
    assert_eq!(kept, ["5", "4", "3", "2"]);
    checks.forget(&key);
    assert_eq!(checks.of(&key), []);
}

#[test]
fn keys_are_found_by_what_their_checks_say_and_by_the_counterparts_in_them() {
    let checks = Verdicts::default();
    let with = |consumer: &str, provider: &str| Check {
        pairs: made(&judged(Verdict::Yes, vec![pair(consumer, provider, PairResult::Verified)])).pairs,
        ..found("1", "Yes", 1)
    };
    for (name, check) in
        [("orders", with("web", "orders")), ("stock", with("orders", "stock")), ("lone", found("1", UNCHECKED, 1))]
    {
        checks.set(&key("production", name), check);
    }
    let here = environment_ref("production");
    let mentioning = |name: &str| -> Vec<_> {
        checks.keys_mentioning(&here, name).iter().map(|key| key.pacticipant.to_string()).collect()
    };
    assert_eq!((mentioning("web"), mentioning("orders")), (vec!["orders".to_owned()], vec!["stock".to_owned()]));
    assert_eq!(mentioning("Web"), Vec::<String>::new(), "names are exact");
    assert_eq!(checks.keys_mentioning(&environment_ref("test"), "web"), []);
    assert_eq!(checks.keys(|_, checks| checks.iter().any(|check| !answered(check))), [key("production", "lone")]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_is_woken_by_the_end_of_the_first_checks_and_never_waits_beyond_its_limit() {
    let (checks, key) = (std::sync::Arc::new(Verdicts::default()), key("production", "orders"));
    let began = tokio::time::Instant::now();
    let limit = Duration::from_millis(500);
    checks.settled(&key, limit).await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nothing is under way");
    let _ = checks.begin(&key, &all(&["1"]), None);
    checks.settled(&key, limit).await;
    assert_eq!(began.elapsed(), limit, "it does not end in time");
    let waiting = tokio::spawn({
        let (checks, key) = (std::sync::Arc::clone(&checks), key.clone());
        async move { checks.settled(&key, Duration::from_mins(10)).await }
    });
    tokio::time::sleep(limit).await;
    // The end of another key's checks changes nothing.
    checks.end(&crate::decide::record::fixtures::key("production", "web"));
    tokio::time::sleep(limit).await;
    assert!(!waiting.is_finished());
    checks.end(&key);
    waiting.await.unwrap();
    assert_eq!(began.elapsed(), 3 * limit);
    // A key that is dropped meanwhile wakes its waiter as well.
    let _ = checks.begin(&key, &all(&["2"]), None);
    let waiting = checks.settled(&key, Duration::from_mins(10));
    let forget = async { checks.forget(&key) };
    tokio::join!(waiting, forget);
    assert_eq!(began.elapsed(), 3 * limit);
}

#[derive(Clone, Debug)]
enum Step {
    Begin(Vec<u8>),
    Set(u8, u8),
    End,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        prop::collection::vec(0..6_u8, 0..5).prop_map(Step::Begin),
        (0..6_u8, 0..4_u8).prop_map(|(version, verdict)| Step::Set(version, verdict)),
        Just(Step::End),
    ]
}

proptest! {
    /// After any sequence of steps: never two checks of one version, never more than are kept, and a version that has
    /// an answer keeps one for as long as it runs.
    #[test]
    fn checks_stay_sound(steps in prop::collection::vec(step(), 0..60)) {
        let (checks, key) = (Verdicts::default(), key("production", "orders"));
        for (second, step) in steps.into_iter().enumerate() {
            let before = checks.of(&key);
            match step {
                Step::Begin(running) => {
                    let mut running: Vec<_> = running.into_iter().map(|it| version(&it.to_string())).collect();
                    running.sort();
                    running.dedup();
                    running.truncate(CHECKS_LIMIT);
                    let _ = checks.begin(&key, &running, None);
                    let after = checks.of(&key);
                    prop_assert!(after.iter().all(|check| running.iter().any(|it| check.version == it.as_str())));
                }
                Step::Set(version, verdict) => {
                    let verdict = ["Yes", "No", UNCHECKED, "Unauthorized"][usize::from(verdict)];
                    let reported = checks.set(&key, found(&version.to_string(), verdict, i64::try_from(second).unwrap()));
                    prop_assert_eq!(reported.is_some(), checks.of(&key) != before);
                    let had = before.iter().find(|check| check.version == version.to_string()).is_some_and(answered);
                    if had {
                        let after = checks.of(&key);
                        let after = after.iter().find(|check| check.version == version.to_string());
                        prop_assert!(after.is_some_and(answered));
                    }
                }
                Step::End => checks.end(&key),
            }
            let after = checks.of(&key);
            let distinct: BTreeSet<_> = after.iter().map(|check| &check.version).collect();
            prop_assert!(after.len() <= CHECKS_LIMIT && distinct.len() == after.len());
        }
    }
}
