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
fn providers_are_asked_in_turn_whoever_was_asked_least_lately_first() {
    let of = |provider: &str, version: &str| Contract { provider: provider.into(), ..contract(version) };
    let (a, b): (Vec<_>, Vec<_>) =
        ["1", "2", "3"].map(|version| (of("a", version), of("b", version))).into_iter().unzip();
    let (never, mut ledger) = (of("z", "1"), Ledger::default());
    let all: Vec<_> = a.iter().chain(&b).chain([&never]).collect();
    let order = |ledger: &Ledger, ready: &[&Contract]| -> Vec<String> {
        let name = |contract: &&Contract| format!("{}{}", contract.provider, contract.provider_version);
        ledger.in_turn(ready.iter().copied()).iter().map(name).collect()
    };
    assert_eq!(order(&ledger, &all), ["a1", "b1", "z1", "a2", "b2", "a3", "b3"]);
    for (contract, second) in [(&b[0], 1), (&a[0], 2), (&a[1], 3)] {
        ledger.claim(contract, at(second));
        ledger.failed(contract, at(second));
    }
    assert_eq!(order(&ledger, &all), ["z1", "b2", "a3", "b3", "a1", "b1", "a2"]);
    // Those that are not ready take no turn, but that they were asked for counts.
    assert_eq!(order(&ledger, &[&a[0], &a[2], &b[0]]), ["b1", "a3", "a1"]);
}

#[test]
fn another_interval_holds_for_what_was_asked_for_before() {
    let (mut ledger, one) = (Ledger::default(), contract("1"));
    ledger.claim(&one, at(0));
    let shorter = Pacing { interval: Duration::from_mins(1), ..pacing() };
    assert!(!ledger.is_due(&one, &shorter, at(59)) && ledger.is_due(&one, &shorter, at(60)));
}

#[test]
fn what_was_asked_for_in_the_future_is_left_alone_for_no_longer_than_an_interval() {
    let (mut ledger, one, two) = (Ledger::default(), contract("1"), contract("2"));
    ledger.claim(&one, at(HOUR));
    ledger.claim(&two, at(60));
    let mut ledger = Ledger::read(ledger.written().values());
    assert!(ledger.set_clocks_right(at(0)));
    assert!(!ledger.set_clocks_right(at(0)), "clocks differ by a minute");
    assert!(!ledger.is_due(&one, &pacing(), at(HOUR - 1)) && ledger.is_due(&one, &pacing(), at(HOUR)));
    assert!(ledger.is_due(&two, &pacing(), at(60 + HOUR)));
    ledger.failed(&two, at(9 * HOUR));
    assert!(ledger.set_clocks_right(at(0)) && ledger.is_due(&two, &pacing(), at(10)));
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
    let wanted = |contract: &Contract| *contract == two;
    assert!(!ledger.prune(wanted, &pacing(), at(2 * HOUR - 1)));
    assert!(ledger.prune(wanted, &pacing(), at(2 * HOUR)));
    assert!(ledger.forget(&two) && !ledger.forget(&two) && ledger.is_empty());
}

#[test]
fn a_pact_that_cannot_be_read_keeps_only_what_it_may_be() {
    use crate::decide::{
        record::fixtures::version,
        verification::{MissingResult, Parties},
    };
    let name = |text: &str| crate::api::names::Pacticipant::parse(text).unwrap();
    let unread = MissingResult {
        broker: "main".into(),
        consumer: name("web"),
        consumer_version: version("7"),
        provider: name("stock"),
        provider_version: version("1"),
    };
    let unread = Parties::wanting(&unread);
    let one = || Contract { consumer: "web".into(), ..contract("1") };
    let same = [one(), Contract { content: "def".into(), ..one() }];
    let others = [
        Contract { consumer: "app".into(), ..one() },
        Contract { broker: "other".into(), ..one() },
        Contract { provider: "orders".into(), ..one() },
        Contract { provider_version: "2".into(), ..one() },
    ];
    let mut ledger = Ledger::default();
    same.iter().chain(&others).for_each(|one| ledger.claim(one, at(0)));
    assert!(ledger.prune(|contract| Parties::of(contract) == unread, &pacing(), at(2 * HOUR)));
    assert!(same.iter().all(|one| ledger.forget(one)) && ledger.is_empty());
}

#[test]
fn no_more_are_kept_than_an_object_can_hold() {
    let mut ledger = Ledger::default();
    for number in 0..MOST_CONTRACTS {
        ledger.claim(&contract(&number.to_string()), at(0));
    }
    let more = contract("one more");
    assert!(!ledger.has_room(&more) && !ledger.is_due(&more, &pacing(), at(0)));
    assert!(ledger.is_due(&contract("0"), &pacing(), at(HOUR)), "those that are kept go on");
    let bytes: usize = ledger.written().iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes < 500_000, "{bytes}");
}

#[test]
fn long_names_do_not_make_it_longer_than_an_object_can_be() {
    let long = |number: usize| Contract {
        broker: "b".repeat(253),
        consumer: "\u{1F600}".repeat(255),
        content: "a".repeat(40),
        provider: "\"".repeat(255),
        provider_version: format!("{number:0255}"),
    };
    let (mut ledger, mut number) = (Ledger::default(), 0);
    while number < MOST_CONTRACTS && ledger.is_due(&long(number), &pacing(), at(0)) {
        ledger.claim(&long(number), Timestamp::MAX);
        ledger.failed(&long(number), Timestamp::MAX);
        number += 1;
    }
    let bytes: usize = ledger.written().iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(bytes <= MOST_BYTES && bytes > MOST_BYTES * 8 / 10, "{number} in {bytes}");
    assert!(ledger.has_room(&long(0)), "those that are kept go on");
    let kept = ledger.written();
    assert!(!Ledger::read(kept.values()).has_room(&long(number)));
    assert!(ledger.forget(&long(0)) && ledger.has_room(&long(number)), "there is room again");
    ledger.claim(&long(number), at(0));
    assert!(!ledger.has_room(&long(0)));
    assert!(ledger.prune(|_| false, &pacing(), at(2 * HOUR)) && ledger.has_room(&long(0)));
}

#[test]
fn one_is_never_longer_than_it_counts() {
    let (mut ledger, mut one) = (Ledger::default(), contract("1"));
    one.consumer = "a \"quoted\" \\ name".into();
    ledger.claim(&one, Timestamp::MAX);
    let asked = ledger.all.get_mut(&one).unwrap();
    (asked.calls, asked.failures, asked.at) = (u32::MAX, u32::MAX, Timestamp::MIN);
    let kept = ledger.written();
    let (key, value) = kept.iter().next().unwrap();
    assert!(key.len() + value.len() <= longest(&one), "{} {}", key.len() + value.len(), longest(&one));
}
