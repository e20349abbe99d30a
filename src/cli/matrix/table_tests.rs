//! What the terminal shows, and what programs read.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::*;
use crate::{
    api::names::EnvironmentName,
    decide::{GateRules, LiveVersions, UnrecordedVersion},
    overview::{
        build::{Facts, Known, environment},
        document,
        fixtures::{name, row, version},
    },
};

fn picture() -> Overview {
    let live = [("web", "4.2.0"), ("stock", "1.36.0"), ("idle", "1"), ("clock", "1")];
    let recorded = LiveVersions::all(live.map(|(it, number)| (name(it), version(number))));
    let arriving = UnrecordedVersion { pacticipant: name("orders"), version: version("2.9.0"), in_flight: true };
    let rows = [
        row(("web", "4.2.0"), ("stock", "1.36.0"), Some(false)),
        row(("web", "4.2.0"), ("orders", "2.9.0"), Some(true)),
        row(("web", "4.2.0"), ("reviews", ""), None),
        row(("orders", "2.9.0"), ("stock", ""), None),
    ];
    let of = |place: &str, known| {
        environment(&Facts {
            environment: &EnvironmentName::parse(place).unwrap(),
            broker: Some("main"),
            address: Some("https://broker.example.com"),
            recorded: &recorded,
            unrecorded: std::slice::from_ref(&arriving),
            unknown: &BTreeSet::new(),
            rules: &GateRules::default(),
            known,
            now: Timestamp::UNIX_EPOCH,
        })
    };
    let production = of("production", Known::Rows { rows: &rows, unreadable: 0 });
    let test = of("test", Known::Nothing { why: "the broker did not answer in time".to_owned() });
    Overview::of(Timestamp::UNIX_EPOCH, vec![production, test])
}

#[test]
fn the_worst_is_said_first_and_every_pair_has_a_line() {
    let expected = "\
1 pair is failing, 1 without a provider, 1 not verified

production at main: 1 failing, 1 not there, 1 unverified, 1 rolling out
STATE        CONSUMER  VERSION  PROVIDER  VERSION  NOTES
failing      web       4.2.0    stock     1.36.0   -
not there    web       4.2.0    reviews   -        -
unverified   orders    2.9.0    stock     1.36.0   rolling out
rolling out  web       4.2.0    orders    2.9.0    -
without a pair here: clock, idle

test at main: not known
The pairs are not known: the broker did not answer in time
";
    assert_eq!(render(&picture(), false), expected);
    let coloured = render(&picture(), true);
    assert!(coloured.starts_with("\u{1b}[31m1 pair is failing"), "{coloured}");
    for colour in ["\u{1b}[31mfailing", "\u{1b}[33munverified", "\u{1b}[32mrolling out"] {
        assert!(coloured.contains(colour), "{colour:?} is missing in {coloured}");
    }
}

#[test]
fn what_is_chosen_changes_nothing_of_what_is_said_of_the_whole() {
    let verified = picture().only(|it| it.state() == State::Verified, |_| true);
    let text = render(&verified, false);
    assert!(text.starts_with("1 pair is failing, 1 without a provider, 1 not verified\n"), "{text}");
    let expected = "
production at main: 1 failing, 1 not there, 1 unverified, 1 rolling out
0 of its 4 pairs shown
without a pair here: clock, idle
";
    assert!(text.contains(expected), "{text}");
    let stock = |it: &crate::overview::Application| it.pacticipant == name("stock");
    let of_stock = picture().only(|it| it.is_about(&name("stock")), stock);
    let applications = of_stock.environments[0].applications.iter().map(|it| it.pacticipant.as_str());
    assert_eq!(applications.collect::<Vec<_>>(), ["orders", "stock", "web"], "each end of a pair is there");
    let document = document(&of_stock);
    let environment = &document["environments"][0];
    assert_eq!(document["headline"], "1 pair is failing, 1 without a provider, 1 not verified");
    assert_eq!((&environment["counts"]["missing"], &environment["leftOut"]), (&1.into(), &2.into()));
    assert_eq!(environment["pairs"].as_array().unwrap().len(), 2);
}

#[test]
fn long_names_fit_a_terminal() {
    let long = "a".repeat(120);
    let live = [(long.as_str(), "1".repeat(40)), ("stock", "2".repeat(64))];
    let recorded = LiveVersions::all(live.iter().map(|(it, number)| (name(it), version(number))));
    let rows = [row((&long, &"1".repeat(40)), ("stock", &"2".repeat(64)), Some(false))];
    let environment = environment(&Facts {
        environment: &EnvironmentName::parse("production").unwrap(),
        broker: None,
        address: None,
        recorded: &recorded,
        unrecorded: &[],
        unknown: &BTreeSet::new(),
        rules: &GateRules::default(),
        known: Known::Rows { rows: &rows, unreadable: 0 },
        now: Timestamp::UNIX_EPOCH,
    });
    let text = render(&Overview::of(Timestamp::UNIX_EPOCH, vec![environment]), false);
    let table = text.lines().skip(3);
    assert!(table.clone().count() == 2 && table.clone().all(|line| line.chars().count() <= COLUMNS), "{text}");
}

#[test]
fn programs_read_the_same() {
    let mut document = document(&picture());
    let pair = &document["environments"][0]["pairs"][2];
    let expected = serde_json::json!({
        "state": "unverified",
        "consumer": "orders",
        "consumerVersion": "2.9.0",
        "provider": "stock",
        "providerVersion": "1.36.0",
        "rollingOut": true,
        "ignored": false,
        "matrix": "https://broker.example.com/matrix?q%5B%5D%5Bpacticipant%5D=orders&q%5B%5D%5Bversion%5D=2.9.0\
                   &q%5B%5D%5Bpacticipant%5D=stock&q%5B%5D%5Bversion%5D=1.36.0&latestby=cvpv",
        "pact": "https://broker.example.com/pacts/provider/stock/consumer/orders/version/2.9.0",
    });
    assert_eq!(*pair, expected);
    for environment in document["environments"].as_array_mut().unwrap() {
        environment["pairs"] = serde_json::json!([]);
        environment["applications"].as_array_mut().unwrap().truncate(1);
    }
    let application = |link| {
        serde_json::json!([{"name": "clock", "published": true, "link": link,
                            "versions": [{"version": "1", "recorded": true, "rollingOut": false}]}])
    };
    let applications = application("https://broker.example.com/pacticipants/clock");
    let expected = serde_json::json!({
        "generatedAt": "1970-01-01T00:00:00Z",
        "headline": "1 pair is failing, 1 without a provider, 1 not verified",
        "environments": [
            {
                "name": "production", "broker": "main", "notice": null, "known": true, "ignored": 0, "leftOut": 0, "pairs": [],
                "counts": {"failing": 1, "missing": 1, "unverified": 1, "rolling-out": 1, "verified": 0},
                "applications": applications,
            },
            {
                "name": "test", "broker": "main", "known": false, "ignored": 0, "leftOut": 0, "pairs": [],
                "notice": "The pairs are not known: the broker did not answer in time",
                "counts": {"failing": 0, "missing": 0, "unverified": 0, "rolling-out": 0, "verified": 0},
                "applications": applications,
            },
        ],
    });
    assert_eq!(document, expected);
}
