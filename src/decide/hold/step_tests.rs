//! What the operator does about a hold, by what each environment says, and when.

use super::*;
use crate::{
    api::{
        gate::{GateActions, GatePolicy, HoldPolicy},
        names::Pacticipant,
    },
    decide::{Basis, GateRules, Identified, Judgement, Pair, PairResult, Subject, Verdict, record::fixtures},
    workload::WorkloadKind,
};

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000 + second).unwrap()
}

fn held(told: Option<Told>) -> Held {
    Held { version: version("2"), by: ["production".to_owned()].into(), since: at(0), told }
}

struct Environment {
    mode: GateMode,
    holds: bool,
    unknown: GateAction,
    listed: bool,
}

const HOLDS: Environment =
    Environment { mode: GateMode::Enforce, holds: true, unknown: GateAction::Deny, listed: true };

fn found(verdict: Verdict, by: &Environment) -> (OpenSubject, Finding) {
    let actions = GateActions { unknown: by.unknown, ..GateActions::default() };
    let hold = by.holds.then_some(HoldPolicy { deadline_seconds: 60 });
    let rules = GateRules::parse(&GatePolicy { mode: by.mode, actions, hold, ..GatePolicy::default() });
    let name = |text| Pacticipant::parse(text).unwrap();
    let subject = Subject {
        object: "production".into(),
        environment_ref: fixtures::environment_ref("production"),
        kind: WorkloadKind::Deployment,
        identified: Ok(Identified { pacticipant: name("orders"), version: version("2") }),
        basis: Basis::New,
        other_image: None,
    };
    let pair = Pair {
        result: if verdict == Verdict::No { PairResult::Failed } else { PairResult::Unverified },
        consumer: name("web"),
        consumer_version: version("7"),
        provider: name("orders"),
        provider_version: Some(version("2")),
        in_flight: false,
    };
    let pairs = if matches!(verdict, Verdict::No | Verdict::Unknown) { vec![pair] } else { Vec::new() };
    let open = OpenSubject { subject, rules, members_listed: by.listed, unclear: None, dry_run: false };
    let judgement = Judgement { pairs, ..Judgement::without_pairs(verdict, "why") };
    (open.clone(), open.finding(Cause::Judged(judgement)))
}

/// The step, without its text.
fn taken(held: &Held, found: &[(OpenSubject, Finding)], now: i64) -> Step {
    match step(held, Some(&version("2")), found, at(now)) {
        Step::Tell(told, why) => {
            assert!(why.starts_with("orders 2 "), "{why}");
            Step::Tell(told, String::new())
        }
        other => other,
    }
}

#[test]
fn it_is_resumed_when_everybody_says_yes_and_by_nothing_else() {
    let tell = |told| Step::Tell(told, String::new());
    let (yes, unknown, no) = (found(Verdict::Yes, &HOLDS), found(Verdict::Unknown, &HOLDS), found(Verdict::No, &HOLDS));
    let unlisted = Environment { listed: false, ..HOLDS };
    let (lenient, audits) =
        (Environment { unknown: GateAction::Warn, ..HOLDS }, Environment { mode: GateMode::Audit, ..HOLDS });
    for (name, told, found, before, after) in [
        ("yes", None, vec![yes.clone()], Step::Resume, Step::Resume),
        ("a yes after a no", Some(Told::Refused), vec![yes.clone()], Step::Resume, Step::Resume),
        ("recorded", None, vec![], Step::Resume, Step::Resume),
        ("vacuous", None, vec![found(Verdict::YesVacuous, &HOLDS)], Step::Resume, Step::Resume),
        ("unknown", None, vec![unknown.clone()], Step::Wait, tell(Told::Overdue)),
        ("unknown, told", Some(Told::Overdue), vec![unknown.clone()], Step::Wait, Step::Wait),
        ("unknown after a no", Some(Told::Refused), vec![unknown.clone()], Step::Wait, Step::Wait),
        ("yes and unknown", None, vec![yes.clone(), unknown.clone()], Step::Wait, tell(Told::Overdue)),
        ("no", None, vec![no.clone()], tell(Told::Refused), tell(Told::Refused)),
        ("no after its deadline", Some(Told::Overdue), vec![no.clone()], tell(Told::Refused), tell(Told::Refused)),
        ("no, told", Some(Told::Refused), vec![no.clone()], Step::Wait, Step::Wait),
        ("yes and no", None, vec![yes.clone(), no.clone()], tell(Told::Refused), tell(Told::Refused)),
        ("unpublished", None, vec![found(Verdict::VersionMissing, &HOLDS)], tell(Told::Refused), tell(Told::Refused)),
        ("the broker is down", None, vec![found(Verdict::BrokerUnavailable, &HOLDS)], Step::Wait, tell(Told::Overdue)),
        ("no credentials", None, vec![found(Verdict::Unauthorized, &HOLDS)], Step::Wait, tell(Told::Overdue)),
        (
            "yes, and the broker is down",
            None,
            vec![yes, found(Verdict::BrokerUnavailable, &HOLDS)],
            Step::Wait,
            tell(Told::Overdue),
        ),
        ("what runs is not listed", None, vec![found(Verdict::Unknown, &unlisted)], Step::Wait, tell(Told::Overdue)),
        ("the policy allows it now", None, vec![found(Verdict::Unknown, &lenient)], Step::Resume, Step::Resume),
        ("it only audits now", None, vec![found(Verdict::Unknown, &audits)], Step::Resume, Step::Resume),
    ] {
        assert_eq!(taken(&held(told), &found, 59), before, "{name}, before the deadline");
        assert_eq!(taken(&held(told), &found, 60), after, "{name}, after it");
    }
    let unheld = Environment { holds: false, ..HOLDS };
    let found = [found(Verdict::Unknown, &unheld)];
    assert_eq!(taken(&held(None), &found, 1), tell(Told::Overdue), "nobody holds it any more: that is said at once");
}

#[test]
fn a_note_about_another_version_or_from_the_future_is_made_right() {
    let unknown = [found(Verdict::Unknown, &HOLDS)];
    let of_three = Held { version: version("3"), ..held(Some(Told::Overdue)) };
    assert_eq!(taken(&of_three, &unknown, 30), Step::Mark(Held { since: at(30), ..held(None) }));
    let ahead = |seconds| Held { since: at(seconds), ..held(None) };
    assert_eq!(taken(&ahead(60), &unknown, 0), Step::Wait, "clocks differ");
    assert_eq!(taken(&ahead(3_600), &unknown, 0), Step::Mark(ahead(0)));
    assert_eq!(taken(&of_three, &[found(Verdict::Yes, &HOLDS)], 30), Step::Resume, "what is there may run");
}

#[test]
fn without_an_environment_that_can_say_so_nothing_is_resumed_and_that_is_told_once() {
    let told = |step| match step {
        Step::Tell(told, _) => Some(told),
        Step::Wait => None,
        other => panic!("{other:?}"),
    };
    let unclaimed = |held: Held, second| told(unclaimed(&held, "nobody claims it", at(second)));
    assert_eq!(unclaimed(held(None), 1_799), None, "for a moment");
    assert_eq!(unclaimed(held(None), 1_800), Some(Told::Overdue));
    for known in [Told::Overdue, Told::Refused] {
        assert_eq!(unclaimed(held(Some(known)), 9_999), None, "told already");
    }
}

#[test]
fn each_environment_that_holds_has_to_say_so() {
    let followed = |name: &str| name != "broken";
    let by = |names: &[&str]| Held { by: names.iter().map(|name| (*name).to_owned()).collect(), ..held(None) };
    for (held, claimants, part) in [
        (Some(by(&["production"])), &["production", "everything"][..], None),
        (Some(by(&["production"])), &["everything"], Some("production, which holds it,")),
        (Some(by(&["everything", "production"])), &["everything"], Some("production, which holds it,")),
        (Some(by(&["production"])), &[], Some("production, which holds it,")),
        (Some(by(&["production"])), &["production", "broken"], Some("broken, which claims its namespace,")),
        // As it was noted before.
        (Some(by(&[])), &["everything"], None),
        (Some(by(&[])), &[], Some("no PactEnvironment")),
        (None, &["everything"], None),
        (None, &[], Some("no PactEnvironment")),
    ] {
        let why = unclear(held.as_ref(), claimants.iter().copied(), followed);
        let as_expected = why.as_deref().map_or(part.is_none(), |why| part.is_some_and(|part| why.contains(part)));
        assert!(as_expected, "{held:?} {claimants:?}: {why:?}");
    }
}

#[test]
fn a_note_that_cannot_be_read_is_written_anew_where_the_version_is_known() {
    let audits = Environment { mode: GateMode::Audit, ..HOLDS };
    let (holds, audits) = ([found(Verdict::Unknown, &HOLDS)], [found(Verdict::Unknown, &audits)]);
    let anew = Held { since: at(7), ..held(None) };
    assert_eq!(unreadable(Some(&version("2")), &holds, at(7)), Step::Mark(anew.clone()));
    assert_eq!(unreadable(Some(&version("2")), &audits, at(7)), Step::Mark(Held { by: BTreeSet::new(), ..anew }));
    assert_eq!(unreadable(None, &[], at(7)), Step::Wait);
}

#[test]
fn that_a_hold_holds_nothing_any_more_is_told_at_once_and_once() {
    let tells = |step, told| matches!(of_template(step, &held(told)), Step::Tell(Told::Overdue, _));
    assert!(tells(Step::Wait, None));
    assert!(!tells(Step::Wait, Some(Told::Overdue)) && !tells(Step::Wait, Some(Told::Refused)));
    assert_eq!(of_template(Step::Resume, &held(None)), Step::Resume);
    let refused = Step::Tell(Told::Refused, "why".into());
    assert_eq!(of_template(refused.clone(), &held(None)), refused);
}
