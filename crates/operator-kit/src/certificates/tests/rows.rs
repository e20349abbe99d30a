//! The plan, row by row.

use std::time::Duration;

use super::{DAY, HOUR, at};
use crate::certificates::certificate::{Id, Validity};
use crate::certificates::plan::{Ca, LeafView, Published, Ring, RingStep, Terms, Trusted, renew_leaf, ring_step};

const TERMS: Terms = Terms { leaf_life: Duration::from_hours(7 * 24), overlap: Duration::from_mins(1) };
const SECOND: Duration = Duration::from_secs(1);

/// An authority of 90 days; at 60 days (less a few minutes) the next is due.
fn ca(number: u8, made: Duration) -> Ca {
    Ca { id: Id([number; 32]), validity: Validity::new(at(made), 90 * DAY) }
}

fn trusted(entries: &[(u8, Duration)]) -> Trusted {
    entries.iter().map(|(number, seen)| (Id([*number; 32]), *seen)).collect()
}

#[test]
fn each_ring_has_its_step() {
    let (one, two) = (ca(1, Duration::ZERO), ca(2, 61 * DAY));
    let alone = Ring { current: one, next: None, previous: vec![] };
    let both = Ring { next: Some(two), ..alone.clone() };
    let promoted = Ring { current: two, next: None, previous: vec![(one, Some(at(68 * DAY)))] };
    let old_next = Ring {
        next: Some(Ca { validity: Validity { from: at(Duration::ZERO), until: at(DAY) }, ..ca(3, DAY) }),
        ..alone.clone()
    };
    let (barely, enough) = (trusted(&[(1, DAY), (2, 59 * SECOND)]), trusted(&[(1, DAY), (2, 60 * SECOND)]));
    let none = Trusted::new();
    let rows: &[(&str, Option<&Ring>, &Trusted, Duration, RingStep)] = &[
        ("nothing there", None, &none, DAY, RingStep::Found),
        ("young", Some(&alone), &none, DAY, RingStep::Keep),
        ("just before two thirds", Some(&alone), &none, 59 * DAY, RingStep::Keep),
        ("two thirds", Some(&alone), &none, 60 * DAY, RingStep::AddNext),
        ("expired", Some(&alone), &none, 91 * DAY, RingStep::Found),
        ("from a wrong future", Some(&promoted), &none, DAY, RingStep::Found),
        ("next, not trusted", Some(&both), &none, 62 * DAY, RingStep::Keep),
        ("next, hardly trusted", Some(&both), &barely, 62 * DAY, RingStep::Keep),
        ("next, trusted", Some(&both), &enough, 62 * DAY, RingStep::Promote),
        ("next, not trusted, but current expired", Some(&both), &none, 91 * DAY, RingStep::Promote),
        ("both expired", Some(&both), &none, 160 * DAY, RingStep::Found),
        ("previous may have leaves", Some(&promoted), &none, 68 * DAY, RingStep::Keep),
        ("previous has no leaves", Some(&promoted), &none, 68 * DAY + SECOND, RingStep::Prune),
        ("a next one that expired, not due", Some(&old_next), &none, 59 * DAY, RingStep::Prune),
        ("a next one that expired, due", Some(&old_next), &none, 61 * DAY, RingStep::AddNext),
    ];
    for (what, ring, trusted, now, expected) in rows {
        let published = Published { trusted: (*trusted).clone(), ours: vec![] };
        assert_eq!(ring_step(*ring, &published, at(*now), &TERMS), *expected, "{what}");
    }
}

#[test]
fn authorities_in_the_bundle_are_adopted_kept_or_pruned() {
    let (one, two) = (ca(1, Duration::ZERO), ca(2, 61 * DAY));
    let previous = |until| Ring { current: two, next: None, previous: vec![(one, until)] };
    let alone = previous(None);
    let alone = Ring { previous: vec![], ..alone };
    let rows = [
        ("unknown", &alone, vec![one, two], 62 * DAY, RingStep::Adopt),
        ("unknown and expired", &alone, vec![one, two], 91 * DAY, RingStep::Keep),
        ("known", &previous(Some(at(68 * DAY))), vec![one, two], 62 * DAY, RingStep::Keep),
        ("no leaf of it is alive", &previous(Some(at(68 * DAY))), vec![one, two], 69 * DAY, RingStep::Prune),
        ("dropped, and still there", &previous(None), vec![one, two], 62 * DAY, RingStep::Keep),
        ("dropped, and gone", &previous(None), vec![two], 62 * DAY, RingStep::Prune),
    ];
    for (what, ring, ours, now, expected) in rows {
        let published = Published { trusted: Trusted::new(), ours };
        assert_eq!(ring_step(Some(ring), &published, at(now), &TERMS), expected, "{what}");
    }
}

#[test]
fn when_a_leaf_is_replaced() {
    let (one, two) = (ca(1, Duration::ZERO), ca(2, 61 * DAY));
    let leaf = |issuer: Option<&Ca>, made| {
        let issuer = issuer.map(|ca| ca.id);
        Some(LeafView { issuer, validity: Validity::new(at(made), TERMS.leaf_life) })
    };
    let capped = Some(LeafView {
        issuer: Some(one.id),
        validity: Validity { until: one.validity.until, ..Validity::new(at(84 * DAY), TERMS.leaf_life) },
    });
    let (enough, barely) = (trusted(&[(1, DAY), (2, 60 * SECOND)]), trusted(&[(1, DAY), (2, SECOND)]));
    let (only_new, none) = (trusted(&[(2, SECOND)]), Trusted::new());
    let rows = [
        ("none yet, nothing trusted", None, one, &none, DAY, true),
        ("fresh", leaf(Some(&one), DAY), one, &none, 2 * DAY, false),
        ("two thirds", leaf(Some(&one), DAY), one, &none, DAY + 16 * 7 * HOUR, true),
        ("expired", leaf(Some(&one), DAY), one, &none, 9 * DAY, true),
        ("from a wrong future", leaf(Some(&one), 50 * DAY), one, &enough, DAY, true),
        ("no longer than its authority", capped, one, &none, 89 * DAY, false),
        ("a new authority, trusted", leaf(Some(&one), 61 * DAY), two, &enough, 62 * DAY, true),
        ("a new authority, hardly trusted", leaf(Some(&one), 61 * DAY), two, &barely, 62 * DAY, false),
        ("a new authority, hardly trusted, leaf due", leaf(Some(&one), 55 * DAY), two, &barely, 61 * DAY, false),
        (
            "a new authority, hardly trusted, the old one not at all",
            leaf(Some(&one), 61 * DAY),
            two,
            &only_new,
            62 * DAY,
            true,
        ),
        ("nothing is trusted", leaf(Some(&one), 61 * DAY), two, &none, 62 * DAY, false),
        ("a new authority, not trusted, leaf expired", leaf(Some(&one), 50 * DAY), two, &none, 62 * DAY, true),
        ("another issuer's, trusted", leaf(None, 61 * DAY), two, &barely, 62 * DAY, true),
    ];
    for (what, served, current, trusted, now, expected) in rows {
        assert_eq!(renew_leaf(served, current, trusted, at(now), &TERMS), expected, "{what}");
    }
}
