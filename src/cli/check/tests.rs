//! Verdicts, exit codes, and what waiting can change.

use super::{answer::Outcome, *};

#[test]
fn each_verdict_ends_with_its_exit_code_and_says_whether_it_is_deployable() {
    let codes: Vec<_> = Verdict::ALL.into_iter().map(|verdict| Outcome::of(verdict).exit_code()).collect();
    assert_eq!(codes, [0, 0, 1, 1, 1, 1, 2, 2, 2]);
    let known: Vec<_> = Verdict::ALL.into_iter().map(Verdict::deployable).collect();
    let (yes, no, unknown) = (Some(true), Some(false), None);
    assert_eq!(known, [yes, yes, no, unknown, no, no, unknown, unknown, unknown]);
}

#[test]
fn a_no_and_what_a_person_has_to_mend_are_not_waited_for() {
    let waited: Vec<_> = Verdict::ALL.into_iter().filter(|verdict| may_become_a_yes(*verdict)).collect();
    assert_eq!(
        waited,
        [Verdict::Unknown, Verdict::VersionMissing, Verdict::PacticipantUnknown, Verdict::BrokerUnavailable]
    );
}
