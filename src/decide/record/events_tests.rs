//! Which Event goes to which object, for each result of a pass: a member's Event, and the last one.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::*;
use crate::decide::Explanation;
use crate::{
    api::{deployment::Recorded, names::Version},
    decide::record::{
        Hold, Stranger,
        fixtures::{at, failed, key, key_of_instance, member, progressing, version},
    },
    workload::{RolloutState, VersionProblem},
};

fn why(reason: Reason) -> Explanation {
    Explanation::new(reason, format!("message of {reason}"))
}

fn recorded(text: &str, uuid: &str, write: Write) -> RecordState {
    RecordState::Recorded { version: version(text), uuid: uuid.into(), write }
}

fn pending(reason: Reason, version: Option<Version>, next_try: Timestamp) -> RecordState {
    RecordState::Pending { why: why(reason), version, next_try: Some(next_try) }
}

fn done(text: &str) -> MemberView {
    member("a", Ok(text), RolloutState::Complete)
}

fn ambiguous() -> MemberView {
    let names = vec!["app".into(), "proxy".into()];
    member("a", Err(VersionProblem::AmbiguousContainer { names }), RolloutState::Complete)
}

fn event_of(member: &MemberView, state: &RecordState) -> Option<Event<'static>> {
    event(&key("production", "orders"), member, state)
}

fn reason(member: &MemberView, state: &RecordState) -> Option<(&'static str, bool)> {
    event_of(member, state).map(|event| (event.reason, event.warning))
}

#[test]
fn case_103_a_stranger_has_its_own_event_whatever_the_record_of_the_others() {
    let stranger = Stranger { recorded: "1".into(), namespaces: vec!["ours".into()] };
    let stranger = MemberView { stranger: Some(stranger), ..done("9") };
    let waiting = RecordState::Waiting { why: why(Reason::RolloutFailed), version: Some(version("2")) };
    for state in [recorded("1", "u", Write::None), recorded("2", "u", Write::First), waiting] {
        let event = event_of(&stranger, &state).unwrap();
        assert_eq!((event.reason, event.warning), ("Stranger", true));
        assert_eq!(
            event.note,
            "orders in production: Deployment shop/a (9) does not count: 1 is recorded for ours. It joins once it has \
             rolled out 1, or once spec.owners names shop"
        );
    }
}

#[test]
fn each_state_has_its_event_on_a_member() {
    let released = |supported: Vec<Recorded>| RecordState::Released { supported, waiting: None };
    let release =
        Recorded { version: "1".into(), uuid: Some("u".into()), at: Time(at(1)), found: false, would_deny: None };
    let waiting = |reason| RecordState::Waiting { why: why(reason), version: Some(version("1")) };
    let mut conflicted = done("1");
    conflicted.hold = Some(Hold::Conflicted(vec!["one".into(), "two".into()]));
    for (case, member, state, expected) in [
        ("recorded", done("1"), recorded("1", "u", Write::First), Some(("Recorded", false))),
        ("corrected", done("1"), recorded("1", "u", Write::Correction), Some(("Recorded", false))),
        ("there already", done("1"), recorded("1", "u", Write::None), None),
        ("released", done("1"), released(vec![release.clone()]), Some(("Recorded", false))),
        ("not released yet", done("2"), released(vec![release.clone()]), None),
        ("not to be released", ambiguous(), released(vec![release]), Some(("AmbiguousContainer", true))),
        (
            "missing",
            done("1"),
            pending(Reason::VersionMissing, Some(version("1")), at(9)),
            Some(("VersionMissing", true)),
        ),
        (
            "the broker does not know it",
            done("1"),
            pending(Reason::PacticipantMissing, Some(version("1")), at(9)),
            Some(("PacticipantMissing", true)),
        ),
        (
            "failed",
            done("1"),
            pending(Reason::BrokerUnavailable, Some(version("1")), at(9)),
            Some(("RecordFailed", true)),
        ),
        ("nothing to record failed", done("1"), pending(Reason::BrokerUnavailable, None, at(9)), None),
        (
            "no version",
            ambiguous(),
            RecordState::Held(why(Reason::AmbiguousContainer)),
            Some(("AmbiguousContainer", true)),
        ),
        ("another member's fault", done("1"), RecordState::Held(why(Reason::AmbiguousContainer)), None),
        ("41: in conflict", conflicted, RecordState::Held(why(Reason::Conflicted)), Some(("Conflicted", true))),
        ("on its way", done("1"), waiting(Reason::RolloutInProgress), None),
        (
            "25: past its deadline",
            member("a", Ok("2"), failed()),
            RecordState::Waiting { why: why(Reason::RolloutFailed), version: Some(version("2")) },
            Some(("RolloutFailed", true)),
        ),
        ("35: it differs", done("1"), waiting(Reason::Mixed), Some(("Mixed", true))),
        ("35: it may still agree", member("a", Ok("1"), progressing()), waiting(Reason::Mixed), None),
        (
            "37: contested",
            done("1"),
            RecordState::Contested { version: version("1"), why: why(Reason::Contested) },
            Some(("Contested", true)),
        ),
        ("orphaned", done("1"), RecordState::Orphaned { since: at(1), until: at(2) }, None),
    ] {
        assert_eq!(reason(&member, &state), expected, "{case}");
    }
}

#[test]
fn a_record_is_reported_with_its_version_key_and_instance_and_once_for_each_row() {
    let first = event_of(&done("1.2"), &recorded("1.2", "u-1", Write::First)).unwrap();
    assert_eq!(first.note, "version 1.2 of orders in production is recorded as deployed");
    let again = event_of(&done("1.2"), &recorded("1.2", "u-1", Write::First)).unwrap();
    let corrected = event_of(&done("1.2"), &recorded("1.2", "u-2", Write::Correction)).unwrap();
    assert_eq!(again.once_key, first.once_key);
    assert_ne!(corrected.once_key, first.once_key);
    assert!(corrected.note.ends_with("; another client's record was corrected"), "{}", corrected.note);
    let blue = key_of_instance("production", "orders", "blue");
    let of_blue = event(&blue, &done("1.2"), &recorded("1.2", "u-1", Write::First)).unwrap();
    assert!(of_blue.note.contains("(application instance blue)"), "{}", of_blue.note);
}

#[test]
fn case_23_an_event_about_one_pacticipant_does_not_suppress_the_other() {
    for state in [
        recorded("1", "u", Write::First),
        pending(Reason::VersionMissing, Some(version("1")), at(9)),
        pending(Reason::BrokerUnavailable, Some(version("1")), at(9)),
        RecordState::Contested { version: version("1"), why: why(Reason::Contested) },
    ] {
        let other = key("production", "bff");
        let (one, other) = (event_of(&done("1"), &state).unwrap(), event(&other, &done("1"), &state).unwrap());
        assert_ne!(one.once_key, other.once_key, "{state:?}");
    }
}

#[test]
fn a_failure_is_reported_once_for_each_version_and_cause_and_not_for_each_try() {
    let once_key = |reason, text: &str, next_try| {
        event_of(&done(text), &pending(reason, Some(version(text)), at(next_try))).unwrap().once_key
    };
    assert_eq!(once_key(Reason::BrokerUnavailable, "1", 9), once_key(Reason::BrokerUnavailable, "1", 99));
    assert_ne!(once_key(Reason::BrokerUnavailable, "1", 9), once_key(Reason::BrokerUnavailable, "2", 9));
    assert_ne!(once_key(Reason::BrokerUnavailable, "1", 9), once_key(Reason::Unauthorized, "1", 9));
    assert_eq!(once_key(Reason::VersionMissing, "1", 9), once_key(Reason::VersionMissing, "1", 99));
    assert_ne!(once_key(Reason::VersionMissing, "1", 9), once_key(Reason::VersionMissing, "2", 9));
}

#[test]
fn without_workloads_the_event_is_on_the_pact_deployment() {
    let parting = |state: &RecordState| last_event(&key("production", "orders"), state);
    let orphaned = parting(&RecordState::Orphaned { since: at(0), until: at(600) }).unwrap();
    assert_eq!(orphaned.reason, "Orphaned");
    assert!(orphaned.note.ends_with("its record is taken back after 1970-01-01T00:10:00Z"), "{}", orphaned.note);
    let undeployed = parting(&RecordState::Undeployed(why(Reason::Undeployed))).unwrap();
    assert_eq!(undeployed.note, "orders in production: message of Undeployed");
    assert_eq!(parting(&RecordState::Kept(why(Reason::Unmanaged))).unwrap().reason, "Unmanaged");
    for silent in [
        RecordState::Undeployed(why(Reason::NothingRecorded)),
        RecordState::Held(why(Reason::EnvironmentUnmanaged)),
        pending(Reason::BrokerUnavailable, None, at(9)),
    ] {
        assert_eq!(parting(&silent), None, "{silent:?}");
    }
}
