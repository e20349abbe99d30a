//! Answers, word for word.

use super::*;
use crate::{api::names::EnvironmentName, broker::Considered, decide::WayToYes};

fn member(name: &str, version: &str) -> Member {
    (Pacticipant::parse(name).unwrap(), Version::parse(version).unwrap())
}

fn versions_of(all: &[&str]) -> Vec<Version> {
    all.iter().map(|version| Version::parse(version).unwrap()).collect()
}

fn pair(result: PairResult, consumer: (&str, &str), provider: (&str, &str)) -> Pair {
    let ((consumer, consumer_version), (provider, provider_version)) =
        (member(consumer.0, consumer.1), member(provider.0, provider.1));
    Pair { result, consumer, consumer_version, provider, provider_version: Some(provider_version), in_flight: false }
}

fn judged(verdict: Verdict, pairs: Vec<Pair>) -> Judgement {
    Judgement { pairs, explanation: None, ..Judgement::without_pairs(verdict, "") }
}

fn found(way: WayToYes, pending: &[(&str, &[&str])]) -> FoundWay {
    let pending: BTreeMap<_, _> =
        pending.iter().map(|(name, all)| (Pacticipant::parse(name).unwrap(), versions_of(all))).collect();
    let newest = way.newest.as_ref().map(|_| judged(Verdict::Yes, Vec::new()));
    let (pacticipant, own) = (Pacticipant::parse("orders").unwrap(), versions_of(&["2.1.0", "2.0.0", "1.9.0"]));
    let live = [member("orders", "1.9.0"), member("web-shop", "4.2.0")];
    let live: BTreeMap<_, _> = live.map(|(name, version)| (name, [version].into())).into();
    let making_way = BTreeMap::clone(&live);
    let considered = Considered {
        pacticipant,
        live,
        making_way,
        own,
        pending,
        left_out: Vec::new(),
        unrecorded_left_out: 0,
        unreadable: 0,
    };
    FoundWay { considered, way, newest, objection: None }
}

fn answered(judgement: Judgement, found: Option<FoundWay>) -> Answered {
    Answered {
        asked: member("orders", "2.0.0"),
        environment: EnvironmentName::parse("production").unwrap(),
        object: Some(("production".to_owned(), GateMode::Enforce)),
        judgement,
        refused: false,
        found,
        trouble: None,
        link: Some("https://broker.example.com/matrix?q".to_owned()),
    }
}

#[track_caller]
fn is(answer: &Answered, expected: &str) {
    let text = one(answer, false);
    assert_eq!(text, expected.trim_start_matches('\n'), "\n{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn an_order_is_said_with_the_newest_version_that_may_be_deployed_now() {
    let failed = pair(PairResult::Failed, ("web-shop", "4.2.0"), ("orders", "2.0.0"));
    let way = WayToYes {
        newest: Some(Version::parse("1.9.0").unwrap()),
        newer: vec![Tried {
            members: vec![member("orders", "2.1.0")],
            verdict: Verdict::Unknown,
            pair: Some(pair(PairResult::Unverified, ("app", "3.1.0"), ("orders", "2.1.0"))),
        }],
        steps: Some(vec![vec![member("web-shop", "4.3.0")], vec![member("orders", "2.0.0")]]),
        looked_at: 5,
        ..WayToYes::default()
    };
    let found = found(way, &[("web-shop", &["4.4.0", "4.3.0"]), ("orders", &[])]);
    is(
        &answered(judged(Verdict::No, vec![failed]), Some(found)),
        "
orders 2.0.0 → production: No (PactEnvironment production, its gate is on Enforce)
  because    it failed to verify the pact of web-shop 4.2.0
  way        deploy in this order, each step once the one before it is recorded:
             1. web-shop 4.3.0 (now 4.2.0)
             2. orders 2.0.0 (now 1.9.0)
  instead    orders 1.9.0 is the newest version that may be deployed now; it is what runs
             not 2.1.0: Unverified: app 3.1.0 → orders 2.1.0
  looked at  3 versions of orders, 2 of web-shop, the newest ones
  see        https://broker.example.com/matrix?q
",
    );
}

#[test]
fn a_missing_verification_says_who_runs_it() {
    let unverified = pair(PairResult::Unverified, ("web-shop", "4.2.0"), ("orders", "2.0.0"));
    let found = found(WayToYes { looked_at: 1, ..WayToYes::default() }, &[("web-shop", &[]), ("orders", &[])]);
    is(
        &answered(judged(Verdict::Unknown, vec![unverified]), Some(found)),
        "
orders 2.0.0 → production: Unknown (PactEnvironment production, its gate is on Enforce)
  because    it has not verified the pact of web-shop 4.2.0
  missing    orders 2.0.0 has to verify the pact of web-shop 4.2.0, and publish the result:
             the pipeline of orders runs that
             once that succeeds, it is a yes: nothing else fails
  way        no other: nothing that is published and newer than what is live helps
             web-shop has no newer version than what is live
  instead    no version of orders may be deployed now, of its newest 3
  looked at  3 versions of orders, the newest ones
  see        https://broker.example.com/matrix?q
",
    );
}

#[test]
fn nothing_is_promised_where_rows_could_not_be_read() {
    let unverified = pair(PairResult::Unverified, ("web-shop", "4.2.0"), ("orders", "2.0.0"));
    let mut found = found(WayToYes::default(), &[]);
    found.considered.unreadable = 2;
    found.considered.unrecorded_left_out = 1;
    let text = one(&answered(judged(Verdict::Unknown, vec![unverified]), Some(found)), false);
    assert!(text.contains("whether more fails is not known: 2 rows of the broker's answers cannot be read"), "{text}");
    assert!(!text.contains("it is a yes"), "{text}");
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("the newest ones; not at 1 version of what runs and is not recorded"), "{text}");
}

#[test]
fn a_rollout_that_is_under_way_is_to_be_finished_and_one_instance_is_not_all_of_them() {
    let failed = pair(PairResult::Failed, ("web-shop", "4.2.0"), ("orders", "2.0.0"));
    for (version, expected) in [
        ("4.3.0", "1. finish rolling out web-shop 4.3.0 in every instance (now 4.2.0 and 4.3.0)"),
        ("4.4.0", "1. web-shop 4.4.0 in every instance (now 4.2.0 and 4.3.0)"),
    ] {
        let steps = Some(vec![vec![member("web-shop", version)], vec![member("orders", "2.0.0")]]);
        let mut found = found(WayToYes { steps, ..WayToYes::default() }, &[]);
        let (web_shop, rolling_out) = member("web-shop", "4.3.0");
        for of in [&mut found.considered.live, &mut found.considered.making_way] {
            of.get_mut(&web_shop).unwrap().insert(rolling_out.clone());
        }
        let text = one(&answered(judged(Verdict::No, vec![failed.clone()]), Some(found)), false);
        assert!(text.contains(expected) && text.contains("2. orders 2.0.0 (now 1.9.0)"), "{text}");
    }
}

#[test]
fn a_yes_that_the_gate_denies_is_none() {
    let vacuous = || answered(judged(Verdict::YesVacuous, Vec::new()), None);
    assert!(one(&vacuous(), false).contains("do         nothing: it may be deployed"));
    assert_eq!(vacuous().outcome(), Outcome::Yes);
    let way = WayToYes {
        steps: Some(vec![vec![member("web-shop", "4.3.0")], vec![member("orders", "2.0.0")]]),
        ..WayToYes::default()
    };
    let denied = Answered { refused: true, found: Some(found(way, &[])), ..vacuous() };
    let text = one(&denied, false);
    assert!(text.contains("denied     its gate requires evidence: gate.actions.yesVacuous is Deny"), "{text}");
    assert!(text.contains("1. web-shop 4.3.0 (now 4.2.0)") && !text.contains("may be deployed\n"), "{text}");
    assert_eq!(denied.outcome(), Outcome::No);
    let document = super::super::document::render(&[denied]);
    assert_eq!(document["deployable"], false);
    assert_eq!(document["environments"][0]["deployable"], false);
}

#[test]
fn only_what_its_policy_denies_is_refused() {
    use crate::{
        api::gate::{GateAction, GateActions, GatePolicy},
        decide::GateRules,
    };
    for (action, refused) in [(GateAction::Allow, false), (GateAction::Warn, false), (GateAction::Deny, true)] {
        let actions = GateActions { yes_vacuous: action, ..GateActions::default() };
        let rules = GateRules::parse(&GatePolicy { actions, ..GatePolicy::default() });
        for (verdict, expected) in [(Verdict::YesVacuous, refused), (Verdict::Yes, false), (Verdict::No, false)] {
            let judgement = judged(verdict, Vec::new());
            assert_eq!(super::super::is_refused(&rules, &judgement), expected, "{action:?} {verdict:?}");
        }
    }
}

#[test]
fn two_that_pass_only_together_say_that_the_gate_denies_both() {
    let failed = pair(PairResult::Failed, ("web-shop", "4.2.0"), ("orders", "2.0.0"));
    let way = WayToYes {
        steps: Some(vec![vec![member("web-shop", "4.3.0"), member("orders", "2.0.0")]]),
        ..WayToYes::default()
    };
    let text = one(&answered(judged(Verdict::No, vec![failed]), Some(found(way, &[]))), false);
    let expected = "
  way        deploy at once:
             1. web-shop 4.3.0 (now 4.2.0) together with orders 2.0.0 (now 1.9.0)
             what is in one step passes only together, and the gate judges each alone: Enforce
             denies each. Publish a version that gets along with the old and the new one, or deploy
             them with a bypass
";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn where_there_is_no_way_each_version_says_what_it_fails_on() {
    let failed = pair(PairResult::Failed, ("web-shop", "4.2.0"), ("orders", "2.0.0"));
    let other = pair(PairResult::Failed, ("web-shop", "4.3.0"), ("orders", "2.0.0"));
    let tried = vec![Tried {
        members: vec![member("web-shop", "4.3.0"), member("orders", "2.0.0")],
        verdict: Verdict::No,
        pair: Some(other),
    }];
    let way = WayToYes { tried, looked_at: 3, ..WayToYes::default() };
    let found = found(way, &[("web-shop", &["4.3.0"]), ("orders", &[])]);
    is(
        &answered(judged(Verdict::No, vec![failed]), Some(found)),
        "
orders 2.0.0 → production: No (PactEnvironment production, its gate is on Enforce)
  because    it failed to verify the pact of web-shop 4.2.0
  way        none with what is published (3 deployments tried, 4 versions in a row and 3 at once at
             most):
             with web-shop 4.3.0: Failed: web-shop 4.3.0 → orders 2.0.0
  instead    no version of orders may be deployed now, of its newest 3
  looked at  3 versions of orders, 1 of web-shop, the newest ones
  see        https://broker.example.com/matrix?q
",
    );
}

#[test]
fn what_could_not_be_told_ends_with_a_remedy() {
    let unauthorized = Judgement::without_pairs(Verdict::Unauthorized, "the broker refused the credentials");
    let answer = Answered { object: None, link: None, ..answered(unauthorized, None) };
    is(
        &answer,
        "
orders 2.0.0 → production: Unauthorized
  because    the broker refused the credentials
  do         give credentials that the broker takes in PACT_BROKER_TOKEN, or PACT_BROKER_USERNAME
             and PACT_BROKER_PASSWORD, with PACT_BROKER_BASE_URL; those of the cluster: kubectl get
             pactbroker
",
    );
}
