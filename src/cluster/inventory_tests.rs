//! The counts of an environment, and when its first inventory counts as made.

use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::{
    api::{
        condition::{Truth, conditions},
        deployment::Check,
    },
    decide::record::fixtures::{self, at, key},
};

fn check(verdict: &str, would_deny: bool) -> Check {
    fixtures::check("1", verdict, would_deny)
}

/// A status with these conditions, all true, and these checks.
fn status(true_ones: &[&'static str], checks: Vec<Check>) -> PactDeploymentStatus {
    let findings: Vec<_> = true_ones.iter().map(|it| Finding::new(it, true, "R", "")).collect();
    PactDeploymentStatus {
        conditions: conditions(&[], &findings, None, at(1)),
        checks,
        ..PactDeploymentStatus::default()
    }
}

fn counted(all: &[(Option<PactDeploymentStatus>, bool)]) -> Inventory {
    let mut inventory = Inventory::default();
    for (number, (status, unidentified)) in all.iter().enumerate() {
        inventory.count(&key("production", &format!("app-{number}")), status.as_ref(), *unidentified);
    }
    inventory
}

#[test]
fn every_kind_of_key_is_counted_for_what_it_is() {
    let yes = || vec![check("Yes", false)];
    for (name, status, unidentified, [recorded, awaited, would_deny, unchecked]) in [
        ("not looked at yet", None, false, [0, 1, 0, 1]),
        ("recorded and fine", Some(status(&["Ready", "Recorded"], yes())), false, [1, 0, 0, 0]),
        ("recorded and unsafe", Some(status(&["Recorded"], vec![check("No", true)])), false, [1, 0, 1, 0]),
        (
            "recorded and unchecked",
            Some(status(&["Recorded"], vec![check(Reason::Unchecked.as_str(), false)])),
            false,
            [1, 0, 0, 1],
        ),
        ("recorded before it was checked", Some(status(&["Recorded"], vec![])), false, [1, 0, 0, 1]),
        (
            "the broker is down",
            Some(status(&["RecordPending"], vec![check(Reason::Unchecked.as_str(), false)])),
            false,
            [0, 0, 0, 1],
        ),
        (
            "its version is not at the broker",
            Some(status(&["RecordPending", "VersionMissing"], vec![check("VersionMissing", true)])),
            false,
            [0, 0, 1, 0],
        ),
        ("it has no version", Some(status(&["Stalled"], vec![])), true, [0, 0, 1, 0]),
        ("its rollout is under way", Some(status(&["Reconciling"], yes())), false, [0, 0, 0, 0]),
        (
            "two versions, one unsafe and one unchecked",
            Some(status(&["Mixed"], vec![check("Unknown", true), check(Reason::Unchecked.as_str(), false)])),
            false,
            [0, 0, 1, 1],
        ),
        (
            "one member without version and one that is unsafe",
            Some(status(&["Recorded"], vec![check("No", true)])),
            true,
            [1, 0, 2, 0],
        ),
    ] {
        let inventory = counted(&[(status, unidentified)]);
        let Inventory { keys, recorded: is, awaited: names, would_deny: deny, unchecked: open } = inventory;
        assert_eq!([keys, is, names.len(), deny, open], [1, recorded, awaited, would_deny, unchecked], "{name}");
    }
}

#[test]
fn counts_add_up_and_those_awaited_are_named() {
    let pending = || (Some(status(&["RecordPending"], vec![check(Reason::Unchecked.as_str(), false)])), false);
    let fine = || (Some(status(&["Recorded"], vec![check("Yes", false)])), false);
    let inventory = counted(&[fine(), pending(), fine(), pending(), (None, false)]);
    let awaited: Vec<_> = inventory.awaited.iter().map(String::as_str).collect();
    assert_eq!(awaited, ["app-4 in production"]);
    assert_eq!((inventory.keys, inventory.recorded, inventory.unchecked, inventory.would_deny), (5, 2, 3, 0));
}

fn asked(before: &[Condition], inventory: &Inventory) -> (bool, &'static str, String) {
    let finding = members_listed(before, inventory);
    assert_eq!(finding.type_, MEMBERS_LISTED);
    (finding.truth == Truth::True, finding.reason, finding.message)
}

/// Case 74: one that cannot be recorded delays nothing.
#[test]
fn what_runs_is_listed_once_it_is_written_of_each_key_recorded_or_not() {
    let waiting = counted(&[(Some(status(&["Recorded"], vec![])), false), (None, false)]);
    let (listed, reason, message) = asked(&[], &waiting);
    assert!(!listed && reason == "Listing", "{message}");
    assert!(message.contains("1 of 2") && message.contains("app-1 in production"), "{message}");
    let written = ["Recorded", "RecordPending", "Stalled", "Mixed"].map(|it| (Some(status(&[it], vec![])), false));
    assert!(asked(&[], &counted(&written)).0);
    // Nothing runs there yet: then nothing is missing either.
    assert!(asked(&[], &Inventory::default()).0);
}

#[test]
fn once_listed_it_stays_so_and_so_does_its_message() {
    let first = members_listed(&[], &counted(&[(Some(status(&["Recorded"], vec![])), false)]));
    let before = conditions(&[], &[first], None, Timestamp::UNIX_EPOCH);
    let worse = counted(&[(None, false), (Some(status(&["RecordPending"], vec![])), false)]);
    for inventory in [&worse, &Inventory::default()] {
        let again = members_listed(&before, inventory);
        assert_eq!(again.truth, Truth::True, "{again:?}");
        // Not a byte changes, so that nothing is written for it.
        assert_eq!(conditions(&before, &[again], None, at(99)), before);
    }
    // One that is false, or unknown to this version, holds nothing up.
    let not_yet = conditions(&[], &[members_listed(&[], &worse)], None, at(1));
    assert!(!asked(&not_yet, &worse).0);
    assert!(asked(&not_yet, &Inventory::default()).0);
}
