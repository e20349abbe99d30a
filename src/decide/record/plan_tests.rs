//! One step for each combination of the desired version, the last record and the broker's row.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::decide::{
    Reason,
    record::{
        desired::DesiredReleases,
        fixtures::{at, version},
        releases::{ReleasePlan, plan_releases},
    },
};

fn last(recorded: Option<&str>, corrected: Option<&str>) -> LastRecord {
    LastRecord {
        recorded: recorded.map(version),
        uuid: None,
        found: false,
        intended: Vec::new(),
        corrected: corrected.map(version),
        orphaned_since: None,
    }
}

fn why() -> Explanation {
    Explanation::new(Reason::Mixed, "message")
}

fn versions(texts: &[&str]) -> BTreeSet<Version> {
    texts.iter().map(|text| version(text)).collect()
}

#[test]
fn every_combination_of_a_version_that_runs() {
    let settled = || Step::Settled(version("1"));
    let record = |correction| Step::Record { version: version("1"), correction };
    let contested = |found: Option<&str>| Step::Contested { version: version("1"), found: found.map(version) };
    for (recorded, corrected, row, expected) in [
        // The broker reports it: no matter who wrote it, and what was before.
        (None, None, Some("1"), settled()),
        (Some("1"), None, Some("1"), settled()),
        (Some("2"), None, Some("1"), settled()),
        (Some("1"), Some("1"), Some("1"), settled()),
        // The first record of this version: also for a rollback (case 3), and after another client's write.
        (None, None, None, record(false)),
        (None, None, Some("2"), record(false)),
        (Some("2"), None, Some("2"), record(false)),
        (Some("2"), None, None, record(false)),
        (Some("2"), None, Some("3"), record(false)),
        (Some("2"), Some("2"), Some("2"), record(false)),
        // Returning to a version that was corrected once is a rollout, not a contest.
        (Some("2"), Some("1"), Some("2"), record(false)),
        // Case 37: recorded, and then changed by another client.
        (Some("1"), None, Some("2"), record(true)),
        (Some("1"), None, None, record(true)),
        (Some("1"), Some("2"), Some("2"), record(true)),
        (Some("1"), Some("1"), Some("2"), contested(Some("2"))),
        (Some("1"), Some("1"), None, contested(None)),
    ] {
        let step = plan(&Desired::Runs(version("1")), &last(recorded, corrected), row.map(version).as_ref());
        assert_eq!(step, expected, "recorded {recorded:?}, corrected {corrected:?}, row {row:?}");
    }
}

#[test]
fn an_uncertain_state_waits_whatever_is_recorded() {
    let wait = |look_again| Step::Wait { why: why(), look_again };
    for recorded in [None, Some("1")] {
        for row in [None, Some("1"), Some("2")] {
            let row = row.map(version);
            let last = last(recorded, recorded);
            for (desired, expected) in [
                (Desired::Held(why()), wait(None)),
                (Desired::Mixed(why()), wait(None)),
                (Desired::Unfinished { why: why(), version: version("1"), look_again: None }, wait(None)),
                (Desired::Unfinished { why: why(), version: version("2"), look_again: Some(at(9)) }, wait(Some(at(9)))),
                (Desired::NoWorkload, if recorded.is_some() { Step::Orphaned } else { Step::Nothing }),
            ] {
                assert_eq!(plan(&desired, &last, row.as_ref()), expected, "{desired:?}, {last:?}, {row:?}");
            }
        }
    }
}

#[test]
fn case_37_a_key_is_corrected_only_once() {
    let runs = Desired::Runs(version("1"));
    let another_clients = version("9");
    let mut last = last(Some("1"), None);
    assert_eq!(plan(&runs, &last, Some(&another_clients)), Step::Record { version: version("1"), correction: true });
    last.corrected = Some(version("1"));
    for _ in 0..3 {
        assert!(matches!(plan(&runs, &last, Some(&another_clients)), Step::Contested { .. }));
    }
    assert_eq!(
        plan(&Desired::Runs(version("2")), &last, Some(&another_clients)),
        Step::Record { version: version("2"), correction: false },
        "a rollout is recorded all the same"
    );
}

#[test]
fn case_37_a_rollback_after_a_write_whose_answer_was_lost_corrects_nobody() {
    let runs = Desired::Runs(version("1"));
    for corrected in [None, Some("1")] {
        let last = LastRecord { intended: versions(&["2", "1"]).into_iter().collect(), ..last(Some("1"), corrected) };
        let step = plan(&runs, &last, Some(&version("2")));
        assert_eq!(step, Step::Record { version: version("1"), correction: false }, "corrected {corrected:?}");
        let step = plan(&runs, &last, Some(&version("3")));
        assert_ne!(step, Step::Record { version: version("1"), correction: false }, "somebody else wrote that");
    }
}

#[test]
fn case_48_a_record_is_taken_back_only_when_all_are_gone_and_the_grace_has_passed() {
    use MemberFate::{Gone, Unknown, Unmanaged};
    let grace = Duration::from_mins(10);
    for (fates, since, now, expected) in [
        (vec![Gone], None, 1_000, Removal::Grace(at(1_600))),
        (vec![Gone], Some(1_000), 1_001, Removal::Grace(at(1_600))),
        (vec![Gone], Some(1_000), 1_599, Removal::Grace(at(1_600))),
        (vec![Gone], Some(1_000), 1_600, Removal::Undeploy),
        (vec![Gone, Gone], Some(1_000), 9_999, Removal::Undeploy),
        (vec![], Some(1_000), 9_999, Removal::Undeploy),
        (vec![Unmanaged], Some(1_000), 9_999, Removal::Keep),
        (vec![Gone, Unmanaged], Some(1_000), 1_001, Removal::Keep),
        (vec![Gone, Unknown], Some(1_000), 9_999, Removal::Unknown),
        (vec![Unknown, Unmanaged], Some(1_000), 9_999, Removal::Unknown),
        // A clock that was set back only prolongs the wait.
        (vec![Gone], Some(1_000), 0, Removal::Grace(at(1_600))),
    ] {
        assert_eq!(removal(&fates, since.map(at), grace, at(now)), expected, "{fates:?} {since:?} {now}");
    }
    assert_eq!(removal(&[Gone], Some(at(5)), Duration::ZERO, at(5)), Removal::Undeploy, "no grace was asked for");
    assert_eq!(removal(&[Gone], Some(at(5)), Duration::MAX, at(9)), Removal::Grace(Timestamp::MAX));
}

#[test]
fn releases_are_recorded_when_missing_and_end_only_when_they_are_ours_and_nothing_is_open() {
    let wanted = |supported: &[&str], others_end| DesiredReleases { supported: versions(supported), others_end };
    for (case, desired, ours, at_broker, release, end) in [
        ("first", wanted(&["1"], true), vec![], vec![], vec!["1"], vec![]),
        ("there already", wanted(&["1"], true), vec![], vec!["1"], vec![], vec![]),
        ("the next, and the one before ends", wanted(&["2"], true), vec!["1"], vec!["1"], vec!["2"], vec!["1"]),
        ("another client's stays", wanted(&["2"], true), vec![], vec!["1"], vec!["2"], vec![]),
        ("while open none ends", wanted(&["2"], false), vec!["1"], vec!["1"], vec!["2"], vec![]),
        ("it has ended already", wanted(&["2"], true), vec!["1"], vec!["2"], vec![], vec![]),
        ("no workload is left", wanted(&[], true), vec!["1", "2"], vec!["1", "2", "3"], vec![], vec!["1", "2"]),
        ("ended by another client", wanted(&["1"], true), vec!["1"], vec![], vec!["1"], vec![]),
    ] {
        let plan = plan_releases(&desired, &versions(&ours), &versions(&at_broker));
        assert_eq!(plan, ReleasePlan { release: versions(&release), end: versions(&end) }, "{case}");
    }
}

fn some_version() -> impl Strategy<Value = Version> {
    prop::sample::select(vec!["1", "2", "3"]).prop_map(version)
}

fn some_desired() -> impl Strategy<Value = Desired> {
    prop_oneof![
        1 => Just(Desired::NoWorkload),
        1 => Just(Desired::Held(why())),
        1 => Just(Desired::Mixed(why())),
        1 => some_version().prop_map(|version| Desired::Unfinished { why: why(), version, look_again: None }),
        6 => some_version().prop_map(Desired::Runs),
    ]
}

fn some_set() -> impl Strategy<Value = BTreeSet<Version>> {
    prop::collection::btree_set(some_version(), 0..4)
}

proptest! {
    #[test]
    fn nothing_is_written_but_what_runs_and_what_is_not_there_yet(
        desired in some_desired(),
        recorded in prop::option::of(some_version()),
        corrected in prop::option::of(some_version()),
        row in prop::option::of(some_version()),
    ) {
        let last = LastRecord { recorded, uuid: None, found: false, intended: Vec::new(), corrected, orphaned_since: None };
        match plan(&desired, &last, row.as_ref()) {
            Step::Record { version, correction } => {
                prop_assert_eq!(&desired, &Desired::Runs(version.clone()));
                prop_assert_ne!(row.as_ref(), Some(&version));
                prop_assert!(!correction || last.corrected.as_ref() != Some(&version));
            }
            Step::Settled(version) => prop_assert_eq!(row, Some(version)),
            Step::Contested { version, found } => {
                prop_assert_eq!(last.corrected, Some(version));
                prop_assert_eq!(found, row);
            }
            Step::Orphaned | Step::Nothing => prop_assert_eq!(desired, Desired::NoWorkload),
            Step::Wait { .. } => prop_assert!(!matches!(desired, Desired::Runs(_) | Desired::NoWorkload)),
        }
    }

    /// Recording the desired version ends the work: there is no flapping.
    #[test]
    fn what_was_recorded_is_settled(
        desired in some_desired(),
        recorded in prop::option::of(some_version()),
        row in prop::option::of(some_version()),
    ) {
        let last = LastRecord { recorded, uuid: None, found: false, intended: Vec::new(), corrected: None, orphaned_since: None };
        if let Step::Record { version, .. } = plan(&desired, &last, row.as_ref()) {
            let last = LastRecord { recorded: Some(version.clone()), ..last };
            prop_assert_eq!(plan(&desired, &last, Some(&version)), Step::Settled(version));
        }
    }

    #[test]
    fn nothing_is_taken_back_while_a_fate_is_open(
        fates in prop::collection::vec(prop::sample::select(vec![MemberFate::Gone, MemberFate::Unmanaged, MemberFate::Unknown]), 0..4),
        since in prop::option::of(0_i64..2_000),
        grace in 0_u64..1_000,
        now in 0_i64..4_000,
    ) {
        let step = removal(&fates, since.map(at), Duration::from_secs(grace), at(now));
        if step == Removal::Undeploy {
            prop_assert!(fates.iter().all(|fate| *fate == MemberFate::Gone));
            prop_assert!(now - since.unwrap_or(now) >= i64::try_from(grace).unwrap());
        }
    }

    #[test]
    fn a_release_that_runs_never_ends_and_a_plan_that_was_followed_leaves_nothing_to_do(
        supported in some_set(), others_end in any::<bool>(), ours in some_set(), at_broker in some_set(),
    ) {
        let desired = DesiredReleases { supported, others_end };
        let plan = plan_releases(&desired, &ours, &at_broker);
        prop_assert!(plan.end.is_subset(&ours) && plan.end.is_disjoint(&desired.supported));
        prop_assert!(others_end || plan.end.is_empty());
        let after: BTreeSet<_> = at_broker.union(&plan.release).filter(|it| !plan.end.contains(it)).cloned().collect();
        prop_assert!(desired.supported.is_subset(&after));
        prop_assert_eq!(plan_releases(&desired, &ours, &after), ReleasePlan::default());
    }
}
