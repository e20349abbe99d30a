use super::*;
use crate::decide::record::fixtures::at;

const HOUR: i64 = 3_600;

fn pacing() -> Pacing {
    Pacing { interval: Duration::from_hours(1), grace: Duration::from_mins(10), per_minute: 10 }
}

fn contract(provider_version: &str) -> Contract {
    Contract {
        broker: "main".into(),
        consumer: "web \"7\"".into(),
        content: "abc".into(),
        provider: "stock".into(),
        provider_version: provider_version.into(),
    }
}

#[test]
fn one_that_was_asked_for_is_left_alone_for_an_interval_and_after_three_times_for_longer() {
    let (mut ledger, one) = (Ledger::default(), contract("1"));
    let mut now = 0;
    // In hours after the call: when it may be asked for again.
    for pause in [1, 1, 2, 4, 8, 16, 24, 24] {
        assert!(ledger.is_due(&one, &pacing(), at(now)), "{pause}");
        ledger.claim(&one, at(now));
        now += pause * HOUR;
        assert!(!ledger.is_due(&one, &pacing(), at(now - 1)), "{pause}");
    }
    assert!(ledger.is_due(&contract("2"), &pacing(), at(0)), "another is another");
}

#[test]
fn what_is_kept_is_read_by_the_next_process() {
    let mut ledger = Ledger::default();
    ledger.claim(&contract("1"), at(0));
    ledger.claim(&contract("2"), at(5));
    ledger.failed(&contract("2"), at(5));
    let kept = ledger.written();
    assert!(kept.keys().all(|key| key.bytes().all(|byte| byte.is_ascii_alphanumeric())), "{kept:?}");
    assert_eq!(Ledger::read(kept.values()), ledger);
    let broken = "{}".to_owned();
    assert_eq!(Ledger::read([&broken]), Ledger::default());
}

#[test]
fn a_call_that_failed_is_repeated_sooner_at_growing_intervals_and_does_not_count() {
    let (mut ledger, one) = (Ledger::default(), contract("1"));
    let mut now = 0;
    for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
        assert!(ledger.is_due(&one, &pacing(), at(now)));
        ledger.claim(&one, at(now));
        ledger.failed(&one, at(now));
        now += pause;
        assert!(!ledger.is_due(&one, &pacing(), at(now - 1)), "{pause}");
    }
    ledger.claim(&one, at(now));
    ledger.taken(&one);
    assert!(!ledger.is_due(&one, &pacing(), at(now + HOUR - 1)), "the first that arrived");
    assert!(ledger.is_due(&one, &pacing(), at(now + HOUR)));
}

#[test]
fn another_interval_holds_for_what_was_asked_for_before() {
    let (mut ledger, one) = (Ledger::default(), contract("1"));
    ledger.claim(&one, at(0));
    let shorter = Pacing { interval: Duration::from_mins(1), ..pacing() };
    assert!(!ledger.is_due(&one, &shorter, at(59)) && ledger.is_due(&one, &shorter, at(60)));
}

#[test]
fn a_process_that_ended_between_note_and_call_costs_an_interval() {
    let (mut ledger, one) = (Ledger::default(), contract("1"));
    ledger.claim(&one, at(0));
    ledger.failed(&one, at(0));
    ledger.claim(&one, at(10));
    assert!(!ledger.is_due(&one, &pacing(), at(10 + HOUR - 1)), "whoever is asked may have got it");
}

#[test]
fn after_three_calls_without_a_result_people_are_told_once() {
    let (mut ledger, one) = (Ledger::default(), contract("1"));
    for hour in 0..3 {
        assert_eq!(ledger.unanswered(&one, &pacing(), at(hour * HOUR)), None, "{hour}");
        ledger.claim(&one, at(hour * HOUR));
    }
    assert_eq!(ledger.unanswered(&one, &pacing(), at(3 * HOUR - 1)), None, "the last one has its time");
    assert_eq!(ledger.unanswered(&one, &pacing(), at(3 * HOUR)), Some(3));
    ledger.said(&one);
    assert_eq!(ledger.unanswered(&one, &pacing(), at(4 * HOUR)), None);
}

#[test]
fn what_is_wanted_no_longer_is_forgotten_but_not_at_once() {
    let (mut ledger, one, two) = (Ledger::default(), contract("1"), contract("2"));
    ledger.claim(&one, at(0));
    ledger.claim(&two, at(0));
    let wanted = BTreeSet::from([two.clone()]);
    assert!(!ledger.prune(&wanted, &pacing(), at(2 * HOUR - 1)));
    assert!(ledger.prune(&wanted, &pacing(), at(2 * HOUR)));
    assert!(ledger.forget(&two) && !ledger.forget(&two) && ledger.is_empty());
}

#[test]
fn no_more_are_kept_than_an_object_can_hold() {
    let mut ledger = Ledger::default();
    for number in 0..MOST_CONTRACTS {
        ledger.claim(&contract(&number.to_string()), at(0));
    }
    assert!(ledger.is_full() && !ledger.is_due(&contract("one more"), &pacing(), at(0)));
    assert!(ledger.is_due(&contract("0"), &pacing(), at(HOUR)), "those that are kept go on");
    let bytes: usize = ledger.written().iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes < 500_000, "{bytes}");
}
