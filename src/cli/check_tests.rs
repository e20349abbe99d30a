//! The answer for people and for programs, and the exit code.

use super::*;
use crate::decide::{Pair, PairResult, Verdict};

fn asked_about() -> Question {
    Question {
        pacticipant: Pacticipant::parse("orders").unwrap(),
        version: Version::parse("2.0.0").unwrap(),
        environment: EnvironmentName::parse("production").unwrap(),
        ignore: Vec::new(),
        in_flight: crate::api::gate::InFlight::default(),
    }
}

fn pair(result: PairResult, consumer: &str, provider_version: Option<&str>) -> Pair {
    Pair {
        result,
        consumer: Pacticipant::parse(consumer).unwrap(),
        consumer_version: Version::parse("1").unwrap(),
        provider: Pacticipant::parse("orders").unwrap(),
        provider_version: provider_version.map(|version| Version::parse(version).unwrap()),
        in_flight: false,
    }
}

#[test]
fn each_verdict_ends_with_its_exit_code() {
    let code = |verdict| exit_code(&Judgement::without_pairs(verdict, "x"));
    let codes: Vec<_> = Verdict::ALL.into_iter().map(code).collect();
    assert_eq!(codes, [0, 0, 1, 1, 1, 1, 2, 2, 2]);
}

#[test]
fn the_table_shows_the_verdict_the_reason_every_pair_and_a_link() {
    let pairs = vec![
        pair(PairResult::Failed, "web-shop", Some("2.0.0")),
        pair(PairResult::NotDeployed, "mobile", None),
        pair(PairResult::Verified, "admin", Some("2.0.0")),
    ];
    let judgement =
        Judgement { verdict: Verdict::No, pairs, cautions: Vec::new(), vacuous: None, meant: None, explanation: None };
    let expected = "\
orders 2.0.0 → production: No
it failed to verify the pact of web-shop 1, and 1 more pair

RESULT       CONSUMER  VERSION  PROVIDER  VERSION
Failed       web-shop  1        orders    2.0.0
NotDeployed  mobile    1        orders    -
Verified     admin     1        orders    2.0.0

see https://broker/matrix
";
    assert_eq!(table(&asked_about(), &judgement, "https://broker/matrix"), expected);
}

#[test]
fn the_document_holds_the_same_and_null_for_unknown_values() {
    for (verdict, deployable) in [
        (Verdict::Yes, json!(true)),
        (Verdict::YesVacuous, json!(true)),
        (Verdict::No, json!(false)),
        (Verdict::VersionMissing, json!(false)),
        (Verdict::PacticipantUnknown, json!(false)),
        (Verdict::Unknown, Value::Null),
        (Verdict::BrokerUnavailable, Value::Null),
    ] {
        let document = document(&asked_about(), &Judgement::without_pairs(verdict, "x"), "https://broker/matrix");
        assert_eq!((&document["verdict"], &document["deployable"]), (&json!(verdict.name()), &deployable));
    }
    let judgement = Judgement {
        verdict: Verdict::Unknown,
        pairs: vec![pair(PairResult::Unverified, "web", None)],
        cautions: Vec::new(),
        vacuous: None,
        meant: None,
        explanation: None,
    };
    let pairs = &document(&asked_about(), &judgement, "x")["pairs"];
    assert_eq!(pairs[0]["providerVersion"], Value::Null);
    assert_eq!(pairs[0]["result"], "Unverified");
}

#[test]
fn credentials_are_taken_from_the_environment_as_the_official_command_line_takes_them() {
    let with = |variables: &'static [(&'static str, &'static str)]| {
        credentials(move |name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(with(&[]).unwrap(), Credentials::None);
    let both = with(&[("PACT_BROKER_USERNAME", "u"), ("PACT_BROKER_PASSWORD", "p"), ("PACT_BROKER_TOKEN", "t")]);
    assert_eq!(both.unwrap(), Credentials::Bearer("t".into()));
    let basic = with(&[("PACT_BROKER_USERNAME", "u"), ("PACT_BROKER_PASSWORD", "p")]).unwrap();
    assert_eq!(basic, Credentials::Basic { username: "u".into(), password: "p".into() });
    for half in [&[("PACT_BROKER_USERNAME", "hunter2")][..], &[("PACT_BROKER_PASSWORD", "hunter2")]] {
        let error = credentials(|name| half.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned()));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("set both") && !error.contains("hunter2"), "{error}");
    }
}
