//! Every row of `decide`.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

use super::{SECOND, terms};
use crate::lease::{Claim, Decision, LeaseSettings, LeaseView, Observation, decide};

const ME: &str = "me";
const OTHER: &str = "other";

fn claim(holder: &str) -> Claim {
    Claim { holder: holder.into(), duration: Some(15 * SECOND), renewed: Some(Timestamp::UNIX_EPOCH), transitions: 4 }
}

/// One row: the Lease, what was observed before (and how many seconds ago), when we renewed, and the decision.
struct Row {
    what: &'static str,
    lease: Option<Claim>,
    seen: Option<(Claim, u32)>,
    renewed: Option<u32>,
    expected: fn(Instant) -> Decision,
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn every_row() {
    let longer = |holder| Claim { duration: Some(60 * SECOND), ..claim(holder) };
    let silent = |holder| Claim { duration: None, ..claim(holder) };
    let later = Claim { renewed: Some(Timestamp::MAX), ..claim(OTHER) };
    let row = |what, lease, seen, renewed, expected| Row { what, lease, seen, renewed, expected };
    let rows = [
        row("no Lease, nothing ever seen", None, None, None, |_| Decision::Acquire { transitions: 0 }),
        row("no Lease, and it was given back before", None, Some((claim(""), 1)), None, |_| Decision::Acquire {
            transitions: 4,
        }),
        row("deleted under another's living claim", None, Some((claim(OTHER), 14)), None, |now| Decision::Follow {
            until: now + SECOND,
        }),
        row("deleted, and the other's claim has run out", None, Some((claim(OTHER), 15)), None, |_| {
            Decision::Acquire { transitions: 5 }
        }),
        row("deleted under our own claim", None, Some((claim(ME), 3)), Some(3), |_| Decision::Acquire {
            transitions: 4,
        }),
        row("it has no holder", Some(claim("")), None, None, |_| Decision::Acquire { transitions: 5 }),
        row("it has no holder, the other gave it back", Some(claim("")), Some((claim(OTHER), 1)), None, |_| {
            Decision::Acquire { transitions: 5 }
        }),
        row("ours, renewed a moment ago", Some(claim(ME)), Some((claim(ME), 4)), Some(4), |now| Decision::Hold {
            until: now + SECOND,
        }),
        row("ours, the renewal is due", Some(claim(ME)), Some((claim(ME), 5)), Some(5), |_| Decision::Renew),
        row("ours, long overdue, but not taken", Some(claim(ME)), Some((claim(ME), 99)), Some(99), |_| Decision::Renew),
        row("ours by a write whose answer was lost", Some(claim(ME)), Some((claim(ME), 0)), None, |_| Decision::Renew),
        row("another's, and we believed to lead", Some(claim(OTHER)), Some((claim(OTHER), 0)), Some(2), |_| {
            Decision::StepDown
        }),
        row("without holder, and we believed to lead", Some(claim("")), Some((claim(""), 0)), Some(2), |_| {
            Decision::StepDown
        }),
        row("another's, never seen before", Some(claim(OTHER)), None, None, |now| Decision::Follow {
            until: now + 15 * SECOND,
        }),
        row("another's, unchanged for a while", Some(claim(OTHER)), Some((claim(OTHER), 14)), None, |now| {
            Decision::Follow { until: now + SECOND }
        }),
        row("another's, just renewed", Some(later), Some((claim(OTHER), 14)), None, |now| Decision::Follow {
            until: now + 15 * SECOND,
        }),
        row("another's, unchanged for its whole duration", Some(claim(OTHER)), Some((claim(OTHER), 15)), None, |_| {
            Decision::Acquire { transitions: 5 }
        }),
        row(
            "another's, who promised longer than we would",
            Some(longer(OTHER)),
            Some((longer(OTHER), 59)),
            None,
            |now| Decision::Follow { until: now + SECOND },
        ),
        row(
            "another's, who promised nothing: our own duration",
            Some(silent(OTHER)),
            Some((silent(OTHER), 15)),
            None,
            |_| Decision::Acquire { transitions: 5 },
        ),
    ];
    let now = Instant::now() + Duration::from_secs(1000);
    let ago = |seconds: u32| now.checked_sub(seconds * SECOND).unwrap();
    for Row { what, lease, seen, renewed, expected } in rows {
        let lease = lease.map(|claim| LeaseView { resource_version: "7".into(), claim });
        let observed = Observation { last: seen.map(|(claim, s)| (claim, ago(s))), renewed_at: renewed.map(ago) };
        assert_eq!(decide(lease.as_ref(), ME, &observed, now, &terms()), expected(now), "{what}");
    }
}

#[test]
fn a_patient_candidate_waits_a_little_longer_than_the_claim() {
    let patient = crate::lease::Terms { patience: SECOND, ..terms() };
    let now = Instant::now() + Duration::from_secs(1000);
    let view = LeaseView { resource_version: "7".into(), claim: claim(OTHER) };
    let seen = |seconds: u32| Observation {
        last: Some((claim(OTHER), now.checked_sub(seconds * SECOND).unwrap())),
        renewed_at: None,
    };
    assert_eq!(decide(Some(&view), ME, &seen(15), now, &patient), Decision::Follow { until: now + SECOND });
    assert_eq!(decide(Some(&view), ME, &seen(16), now, &patient), Decision::Acquire { transitions: 5 });
}

#[test]
fn the_default_terms_hold_what_the_documentation_promises() {
    let settings = LeaseSettings::new("ns", "lease", "pod-1");
    assert_eq!(settings.check(), Ok(()));
    let terms = settings.terms();
    assert_eq!((terms.duration, terms.renew_every, terms.act_for), (15 * SECOND, 5 * SECOND, 10 * SECOND));
    assert!(terms.patience <= Duration::from_millis(500));
    assert!(settings.identity.starts_with("pod-1_"));
    assert_ne!(settings.identity, LeaseSettings::new("ns", "lease", "pod-1").identity);
}

#[test]
fn settings_that_cannot_work_are_refused() {
    let good = LeaseSettings::new("ns", "lease", "pod-1");
    for (bad, why) in [
        (LeaseSettings { namespace: String::new(), ..good.clone() }, "empty"),
        (good.clone().with_duration(Duration::from_millis(999)), "at least 1 s"),
        (good.clone().with_duration(Duration::MAX / 8), "at most a day"),
        (LeaseSettings { act_for: 15 * SECOND, ..good.clone() }, "shorter than the duration"),
        (LeaseSettings { renew_every: 10 * SECOND, ..good.clone() }, "shorter than the time"),
        (LeaseSettings { request_limit: Duration::ZERO, ..good }, "limit of a request"),
    ] {
        let text = bad.check().unwrap_err().to_string();
        assert!(
            text.contains(why) || why == "shorter than the duration" && text.contains("that shorter than"),
            "{text}"
        );
    }
}
