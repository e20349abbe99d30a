//! The status of a key after each result of a pass, and what it keeps from before.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use proptest::prelude::*;

use super::*;
use crate::{
    api::{condition::is_true, deployment::Check},
    decide::Explanation,
    decide::record::fixtures::{at, check, key, member, progressing, version},
    workload::{RolloutState, VersionProblem},
};

fn why(reason: Reason) -> Explanation {
    Explanation::new(reason, format!("message of {reason}"))
}

pub(super) fn recorded(text: &str, write: Write) -> RecordState {
    RecordState::Recorded { version: version(text), uuid: format!("uuid-{text}"), write }
}

fn release(text: &str, second: i64) -> Recorded {
    Recorded {
        version: text.into(),
        uuid: Some(format!("uuid-{text}")),
        at: Time(at(second)),
        found: false,
        would_deny: None,
    }
}

fn pending(text: Option<&str>, reason: Reason, next_try: i64) -> RecordState {
    RecordState::Pending { why: why(reason), version: text.map(version), next_try: Some(at(next_try)) }
}

fn orphaned(since: i64) -> RecordState {
    RecordState::Orphaned { since: at(since), until: at(since + 600) }
}

/// One state of each kind.
fn every_state() -> Vec<RecordState> {
    let waiting = |reason, text: Option<&str>| RecordState::Waiting { why: why(reason), version: text.map(version) };
    vec![
        recorded("1", Write::None),
        recorded("2", Write::First),
        recorded("1", Write::Correction),
        RecordState::Released { supported: vec![release("2", 2), release("1", 1)], waiting: None },
        RecordState::Released { supported: vec![release("1", 1)], waiting: Some(why(Reason::RolloutInProgress)) },
        RecordState::Released { supported: vec![], waiting: Some(why(Reason::VersionMutable)) },
        waiting(Reason::RolloutInProgress, Some("2")),
        waiting(Reason::RolloutPaused, Some("2")),
        waiting(Reason::RolloutFailed, Some("2")),
        waiting(Reason::Mixed, None),
        RecordState::Held(why(Reason::Conflicted)),
        pending(Some("2"), Reason::VersionMissing, 90),
        pending(None, Reason::BrokerUnavailable, 90),
        RecordState::Contested { version: version("1"), why: why(Reason::Contested) },
        orphaned(50),
        RecordState::UndeployHeld { since: at(50), why: why(Reason::UndeploysHeld) },
        RecordState::Undeployed(why(Reason::Undeployed)),
        RecordState::Kept(why(Reason::Unmanaged)),
    ]
}

pub(super) fn running(text: &str) -> Vec<MemberView> {
    vec![member("a", Ok(text), RolloutState::Complete)]
}

pub(super) fn object(status: PactDeploymentStatus) -> PactDeployment {
    let mut object = PactDeployment::new("name", key("production", "orders").spec());
    object.metadata.generation = Some(1);
    object.status = Some(status);
    object
}

/// The status after passes with these results, one second apart, each with its members.
pub(super) fn after(passes: &[(&[MemberView], RecordState)]) -> PactDeploymentStatus {
    let mut before = None;
    for (second, (members, state)) in (1..).zip(passes) {
        before = Some(object(status(before.as_ref(), members, state, at(second))));
    }
    before.and_then(|object| object.status).unwrap()
}

pub(super) fn condition<'a>(status: &'a PactDeploymentStatus, type_: &str) -> &'a Condition {
    status.conditions.iter().find(|condition| condition.type_ == type_).unwrap_or_else(|| panic!("no {type_}"))
}

fn history(status: &PactDeploymentStatus) -> Vec<&str> {
    status.history.iter().map(|recorded| recorded.version.as_str()).collect()
}

fn current(status: &PactDeploymentStatus) -> Option<&str> {
    status.recorded.as_ref().map(|recorded| recorded.version.as_str())
}

#[test]
fn a_first_record_is_kept_with_its_row_and_time() {
    let status = after(&[(&running("1"), recorded("1", Write::First))]);
    assert_eq!(status.recorded, Some(release("1", 1)));
    assert_eq!(status.desired_version.as_deref(), Some("1"));
    assert!(status.history.is_empty() && status.next_try.is_none() && status.orphaned_since.is_none());
    assert_eq!(status.members, [running("1")[0].shown()]);
    assert_eq!(condition(&status, "Ready").message, "the broker says that 1 is deployed");
}

#[test]
fn cases_102_and_103_the_namespaces_are_remembered_for_which_it_is_recorded() {
    let first = after(&[(&running("1"), recorded("1", Write::First))]);
    assert_eq!(first.recorded_for, ["shop"]);
    let waiting = RecordState::Waiting { why: why(Reason::Mixed), version: None };
    let mut newcomer = member("b", Ok("2"), RolloutState::Complete);
    newcomer.workload.namespace = "bank".into();
    let mixed = [running("1"), vec![newcomer.clone()]].concat();
    let not_yet = after(&[(&running("1"), recorded("1", Write::First)), (&mixed, waiting)]);
    assert_eq!(not_yet.recorded_for, ["shop"], "nothing was recorded for the other");
    let left = after(&[(&mixed, recorded("1", Write::First)), (&[newcomer], recorded("2", Write::First))]);
    assert_eq!(left.recorded_for, ["bank", "shop"]);
    for gone in [RecordState::Undeployed(why(Reason::Undeployed)), RecordState::Kept(why(Reason::Unmanaged))] {
        let parted = after(&[(&running("1"), recorded("1", Write::First)), (&[], orphaned(9)), (&[], gone)]);
        assert_eq!(parted.recorded_for, [""; 0]);
    }
}

#[test]
fn a_record_that_is_found_again_keeps_its_time_and_gets_its_new_row() {
    let again = RecordState::Recorded { version: version("1"), uuid: "other".into(), write: Write::None };
    let status = after(&[(&running("1"), recorded("1", Write::First)), (&running("1"), again)]);
    assert_eq!(status.recorded, Some(Recorded { uuid: Some("other".into()), found: true, ..release("1", 1) }));
    assert!(status.history.is_empty());
}

#[test]
fn the_versions_before_are_the_history_newest_first_and_no_more_than_fifty() {
    let members = running("x");
    let passes: Vec<_> = (0..55).map(|n| (members.as_slice(), recorded(&n.to_string(), Write::First))).collect();
    let status = after(&passes);
    assert_eq!(current(&status), Some("54"));
    let wanted: Vec<_> = (4..54).rev().map(|n| n.to_string()).collect();
    assert_eq!(history(&status), wanted);
    assert_eq!(history(&status).len(), HISTORY_LIMIT);
}

#[test]
fn case_96_two_versions_that_take_turns_push_no_other_out() {
    let members = running("x");
    let turns = (0..200).map(|n| if n % 2 == 0 { "2" } else { "3" });
    let passes: Vec<_> =
        ["0", "1"].into_iter().chain(turns).map(|it| (members.as_slice(), recorded(it, Write::First))).collect();
    let status = after(&passes);
    assert_eq!((current(&status), history(&status)), (Some("3"), vec!["2", "3", "1", "0"]));
}

#[test]
fn case_97_a_version_that_was_fine_once_stays_so_and_one_that_never_was_does_not() {
    let check = |verdict: &str, would_deny| check("1", verdict, would_deny);
    for (verdicts, then) in [
        (vec![], None),
        (vec![check("Unchecked", false)], None),
        (vec![check("BrokerUnavailable", true)], None),
        (vec![check("Yes", false)], Some(false)),
        (vec![check("No", true)], Some(true)),
        (vec![check("Unchecked", false), check("No", true)], Some(true)),
        (vec![check("Unknown", true), check("Yes", false), check("No", true)], Some(false)),
    ] {
        let mut status = after(&[(&running("1"), recorded("1", Write::First))]);
        for check in &verdicts {
            status.checks = vec![check.clone(), Check { version: "0".into(), ..check.clone() }];
            remember_verdicts(&mut status);
        }
        assert_eq!(status.recorded.as_ref().unwrap().would_deny, then, "{verdicts:?}");
        archive(&mut status);
        assert_eq!(status.history[0].would_deny, then, "{verdicts:?}");
    }
}

#[test]
fn a_rollback_is_a_record_like_any_other() {
    let members = running("1");
    let passes = ["1", "2", "1"].map(|text| (members.as_slice(), recorded(text, Write::First)));
    let status = after(&passes);
    assert_eq!((current(&status), history(&status)), (Some("1"), vec!["2", "1"]));
}

#[test]
fn case_37_a_correction_is_kept_for_as_long_as_that_version_runs() {
    let members = running("1");
    let corrected = |passes: &[RecordState]| {
        let passes: Vec<_> = passes.iter().map(|state| (members.as_slice(), state.clone())).collect();
        after(&passes).corrected_version
    };
    let (first, corrected_record) = (recorded("1", Write::First), recorded("1", Write::Correction));
    assert_eq!(corrected(std::slice::from_ref(&first)), None);
    let taken_back = |text| pending(Some(text), Reason::RecordNotKept, 9);
    assert_eq!(corrected(&[first.clone(), taken_back("1")]).as_deref(), Some("1"), "it was written, and gone at once");
    assert_eq!(corrected(&[first.clone(), taken_back("2")]), None, "another version corrects nobody");
    let both = [first, corrected_record];
    assert_eq!(corrected(&both).as_deref(), Some("1"));
    let contested = RecordState::Contested { version: version("1"), why: why(Reason::Contested) };
    for stays in [recorded("1", Write::None), contested, pending(Some("1"), Reason::BrokerUnavailable, 9), orphaned(3)]
    {
        assert_eq!(corrected(&[&both[..], std::slice::from_ref(&stays)].concat()).as_deref(), Some("1"), "{stays:?}");
    }
    let gone = [RecordState::Undeployed(why(Reason::Undeployed)), RecordState::Kept(why(Reason::Unmanaged))];
    for ends in [&[recorded("2", Write::First)], &gone[..1], &gone[1..]] {
        assert_eq!(corrected(&[&both[..], ends].concat()), None, "{ends:?}");
    }
}

#[test]
fn cases_39_and_48_an_undeployed_or_kept_record_is_no_longer_ours() {
    for state in [RecordState::Undeployed(why(Reason::Undeployed)), RecordState::Kept(why(Reason::Unmanaged))] {
        let before = (&running("1")[..], recorded("1", Write::First));
        let status = after(&[before, (&[], orphaned(2)), (&[], state.clone())]);
        assert_eq!((current(&status), history(&status)), (None, vec!["1"]), "{state:?}");
        assert_eq!((status.members.len(), status.supported.len()), (0, 0));
        assert_eq!((status.desired_version, status.orphaned_since), (None, None));
    }
}

#[test]
fn case_39_later_passes_still_report_why_a_record_was_kept() {
    let later = (&[][..], RecordState::Undeployed(why(Reason::NothingRecorded)));
    for state in [RecordState::Undeployed(why(Reason::Undeployed)), RecordState::Kept(why(Reason::Unmanaged))] {
        let passes = [(&running("1")[..], recorded("1", Write::First)), (&[], state), later.clone()];
        assert_eq!(after(&passes), after(&passes[..2]), "nothing is written again");
    }
    let held = [(&[][..], RecordState::Held(why(Reason::EnvironmentUnmanaged))), later.clone()];
    assert_eq!(condition(&after(&held), "Ready").reason, "NothingRecorded");
    let came_back = [(&running("1")[..], pending(Some("1"), Reason::VersionMissing, 9)), later];
    assert_eq!(condition(&after(&came_back), "Ready").reason, "NothingRecorded");
}

#[test]
fn case_48_the_last_members_stay_without_a_workload() {
    let before = (&running("1")[..], recorded("1", Write::First));
    for state in
        [orphaned(2), pending(None, Reason::BrokerUnavailable, 9), RecordState::Held(why(Reason::MembersUncertain))]
    {
        let status = after(&[before.clone(), (&[], state.clone())]);
        assert_eq!(status.members, [running("1")[0].shown()], "{state:?}");
        assert_eq!(current(&status), Some("1"), "{state:?}");
    }
}

#[test]
fn case_48_the_grace_continues_through_failures_and_restarts_when_a_workload_returned() {
    let before = [(&running("1")[..], recorded("1", Write::First)), (&[][..], orphaned(2))];
    let since = |members: &[MemberView], state: RecordState| {
        after(&[before[0].clone(), before[1].clone(), (members, state)]).orphaned_since.map(|time| time.0)
    };
    assert_eq!(since(&[], orphaned(2)), Some(at(2)));
    assert_eq!(since(&[], pending(None, Reason::BrokerUnavailable, 9)), Some(at(2)), "no workload returned");
    assert_eq!(since(&[], RecordState::Held(why(Reason::MembersUncertain))), None, "one may have returned");
    let broken = [member("a", Err(VersionProblem::Mutable { text: "latest".into() }), RolloutState::Complete)];
    assert_eq!(since(&broken, RecordState::Held(why(Reason::VersionMutable))), None);
    let vanished =
        |state: &RecordState| matches!(state, RecordState::Orphaned { .. } | RecordState::UndeployHeld { .. });
    for state in every_state().into_iter().filter(|state| !vanished(state)) {
        assert_eq!(since(&running("1"), state.clone()), None, "{state:?}");
    }
}

#[test]
fn the_next_try_is_reported_only_while_something_is_pending() {
    for state in every_state() {
        let pending = pending(Some("1"), Reason::BrokerUnavailable, 77);
        let status = after(&[(&running("1"), pending), (&running("1"), state.clone())]);
        let expected = if let RecordState::Pending { next_try, .. } = &state { *next_try } else { None };
        assert_eq!(status.next_try.as_ref().map(|time| time.0), expected, "{state:?}");
        assert_eq!(is_true(&status.conditions, "RecordPending"), expected.is_some(), "{state:?}");
    }
}

#[test]
fn the_desired_version_is_reported_where_it_is_known() {
    let problem = || Err(VersionProblem::Mutable { text: "latest".into() });
    let desired = |members: &[MemberView], state: RecordState| {
        after(&[(&running("1"), recorded("1", Write::First)), (members, state)]).desired_version
    };
    let waiting = |text: Option<&str>| RecordState::Waiting { why: why(Reason::Mixed), version: text.map(version) };
    assert_eq!(desired(&running("2"), waiting(Some("2"))).as_deref(), Some("2"));
    assert_eq!(desired(&running("2"), waiting(None)), None);
    assert_eq!(desired(&running("2"), pending(Some("2"), Reason::VersionMissing, 9)).as_deref(), Some("2"));
    assert_eq!(desired(&running("2"), RecordState::Held(why(Reason::Conflicted))).as_deref(), Some("2"));
    let unknown = [member("a", problem(), RolloutState::Complete)];
    assert_eq!(desired(&unknown, RecordState::Held(why(Reason::VersionMutable))), None, "not the one before");
    let half = [member("a", Ok("1"), RolloutState::Complete), member("b", problem(), progressing())];
    assert_eq!(desired(&half, RecordState::Held(why(Reason::VersionMutable))), None);
    assert_eq!(desired(&[], RecordState::Held(why(Reason::InvalidEnvironment))), None);
}

#[test]
fn releases_are_kept_beside_each_other_and_the_newest_is_the_recorded_one() {
    let released = |supported: Vec<Recorded>| RecordState::Released { supported, waiting: None };
    let members = running("1");
    let first = (&members[..], released(vec![release("1", 1)]));
    let both = (&members[..], released(vec![release("2", 2), release("1", 1)]));
    let second = (&members[..], released(vec![release("2", 2)]));
    let status = after(&[first.clone(), both.clone(), second.clone()]);
    assert_eq!(status.supported, [release("2", 2)]);
    assert_eq!((current(&status), history(&status)), (Some("2"), vec!["1"]));
    assert_eq!(condition(&status, "Recorded").message, "the broker supports 2");
    let orphan = after(&[first.clone(), (&[], orphaned(2))]);
    assert_eq!((orphan.supported.len(), current(&orphan)), (1, Some("1")), "they are still to be ended");
    let held = after(&[first, (&members[..], RecordState::Held(why(Reason::Conflicted)))]);
    assert_eq!(held.supported, [release("1", 1)]);
    let gone = after(&[both, second, (&[], RecordState::Undeployed(why(Reason::Undeployed)))]);
    assert_eq!((gone.supported.len(), current(&gone)), (0, None));
}

#[test]
fn each_state_has_its_conditions() {
    for (state, ready, more) in [
        (recorded("1", Write::First), ("True", "Recorded"), &[][..]),
        (RecordState::Released { supported: vec![release("1", 1)], waiting: None }, ("True", "Recorded"), &[]),
        (
            RecordState::Released { supported: vec![], waiting: Some(why(Reason::RolloutInProgress)) },
            ("False", "RolloutInProgress"),
            &["Reconciling"],
        ),
        (
            RecordState::Released { supported: vec![], waiting: Some(why(Reason::VersionMutable)) },
            ("False", "VersionMutable"),
            &["Stalled"],
        ),
        (
            RecordState::Released { supported: vec![], waiting: Some(why(Reason::RolloutFailed)) },
            ("False", "RolloutFailed"),
            &["Stalled"],
        ),
        (
            RecordState::Waiting { why: why(Reason::RolloutInProgress), version: None },
            ("False", "RolloutInProgress"),
            &["Reconciling"],
        ),
        (
            RecordState::Waiting { why: why(Reason::RolloutPaused), version: None },
            ("False", "RolloutPaused"),
            &["Reconciling"],
        ),
        (
            RecordState::Waiting { why: why(Reason::RolloutFailed), version: None },
            ("False", "RolloutFailed"),
            &["Stalled"],
        ),
        (
            RecordState::Waiting { why: why(Reason::Mixed), version: None },
            ("False", "Mixed"),
            &["Mixed", "Reconciling"],
        ),
        (RecordState::Held(why(Reason::VersionMismatch)), ("False", "VersionMismatch"), &["Stalled"]),
        (
            pending(Some("1"), Reason::VersionMissing, 9),
            ("False", "VersionMissing"),
            &["VersionMissing", "Reconciling"],
        ),
        (
            pending(Some("1"), Reason::PacticipantMissing, 9),
            ("False", "PacticipantMissing"),
            &["VersionMissing", "Reconciling"],
        ),
        (pending(Some("1"), Reason::BrokerUnavailable, 9), ("False", "BrokerUnavailable"), &["Reconciling"]),
        (
            RecordState::Contested { version: version("1"), why: why(Reason::Contested) },
            ("False", "Contested"),
            &["Contested", "Stalled"],
        ),
        (orphaned(1), ("False", "Orphaned"), &["Orphaned", "Reconciling"]),
    ] {
        let status = after(&[(&running("1"), state.clone())]);
        for type_ in ["Ready", "Recorded"] {
            let condition = condition(&status, type_);
            assert_eq!((condition.status.as_str(), condition.reason.as_str()), ready, "{type_} of {state:?}");
            assert!(!condition.message.is_empty(), "{state:?}");
        }
        condition(&status, "RecordPending");
        let types: Vec<_> = status.conditions[3..].iter().map(|condition| condition.type_.as_str()).collect();
        assert_eq!(types, more, "{state:?}");
        assert!(status.conditions[3..].iter().all(|condition| condition.status == "True"));
    }
}

#[test]
fn a_finished_removal_is_ready_and_not_recorded() {
    for state in [RecordState::Undeployed(why(Reason::Undeployed)), RecordState::Kept(why(Reason::Unmanaged))] {
        let status = after(&[(&running("1"), state)]);
        let conditions: Vec<_> = status.conditions.iter().map(|it| format!("{}={}", it.type_, it.status)).collect();
        assert_eq!(conditions, ["Ready=True", "Recorded=False", "RecordPending=False"]);
    }
}

#[test]
fn messages_name_the_next_time() {
    let status = after(&[(&running("1"), pending(Some("1"), Reason::BrokerUnavailable, 90))]);
    let message = "message of BrokerUnavailable; next try by 1970-01-01T00:01:30Z";
    assert_eq!(condition(&status, "RecordPending").message, message);
    assert_eq!(condition(&status, "Ready").message, message);
    let status = after(&[(&[], orphaned(0))]);
    let message = "no workload runs it any more; the record is taken back after 1970-01-01T00:10:00Z";
    assert_eq!(condition(&status, "Orphaned").message, message);
}

#[test]
fn ended_conditions_are_dropped_and_the_others_keep_their_time() {
    let members = running("1");
    let mixed = RecordState::Waiting { why: why(Reason::Mixed), version: None };
    let status = after(&[(&members, mixed.clone()), (&members, mixed), (&members, recorded("1", Write::First))]);
    let types: Vec<_> = status.conditions.iter().map(|condition| condition.type_.as_str()).collect();
    assert_eq!(types, ["Ready", "Recorded", "RecordPending"]);
    assert_eq!(condition(&status, "Ready").last_transition_time, Time(at(3)));
    assert_eq!(condition(&status, "RecordPending").last_transition_time, Time(at(1)));
}

#[test]
fn the_status_names_the_observed_generation() {
    let first = status(None, &running("1"), &recorded("1", Write::First), at(1));
    assert_eq!(first.observed_generation, Some(1), "the object is about to be made");
    let mut object = object(first);
    object.metadata.generation = Some(3);
    let status = status(Some(&object), &running("1"), &recorded("1", Write::None), at(2));
    assert_eq!(status.observed_generation, Some(3));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
}

#[test]
fn a_status_can_be_read_by_people_and_tools() {
    for state in every_state() {
        let status = after(&[(&running("1"), state.clone())]);
        for condition in &status.conditions {
            let word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
            assert!(word(&condition.type_) && word(&condition.reason), "{condition:?}");
            assert!(!condition.message.contains('\n'), "{condition:?}");
        }
        let types: BTreeSet<_> = status.conditions.iter().map(|condition| &condition.type_).collect();
        assert_eq!(types.len(), status.conditions.len(), "each type once: {state:?}");
        let stuck = is_true(&status.conditions, "Stalled") && is_true(&status.conditions, "Reconciling");
        let ready = is_true(&status.conditions, "Ready");
        assert!(!stuck, "kstatus could make nothing of {state:?}");
        assert!(!ready || status.conditions.len() == 3, "{state:?}");
    }
}

proptest! {
    #[test]
    fn a_pass_that_finds_the_same_changes_nothing(
        finishes in prop::collection::vec(prop::sample::select(every_state()), 1..8), empty in any::<bool>()
    ) {
        let members = if empty { vec![] } else { running("1") };
        let mut passes: Vec<_> = finishes.into_iter().map(|state| (members.as_slice(), state)).collect();
        let once = after(&passes);
        passes.extend(passes.last().cloned());
        prop_assert_eq!(after(&passes), once);
    }

    #[test]
    fn a_recorded_version_goes_into_the_history_and_is_never_lost(
        finishes in prop::collection::vec(prop::sample::select(every_state()), 1..12)
    ) {
        let members = running("1");
        let passes: Vec<_> = finishes.into_iter().map(|state| (members.as_slice(), state)).collect();
        for end in 1..passes.len() {
            let (before, status) = (after(&passes[..end]), after(&passes[..=end]));
            prop_assert!(status.history.len() <= HISTORY_LIMIT);
            if let Some(was) = &before.recorded && current(&status) != Some(&was.version) {
                prop_assert_eq!(status.history.first().map(|it| &it.version), Some(&was.version));
            } else {
                prop_assert_eq!(&status.history, &before.history);
            }
        }
    }
}
