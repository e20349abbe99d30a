//! The credentials and settings that the official command line would use, too.

use clap::Parser;

use super::*;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    connection: BrokerConnection,
}

/// The settings by these arguments: the test's own environment names no broker.
fn config(line: &[&str]) -> Result<BrokerConfig, String> {
    let line = ["check"].iter().chain(line);
    let line = Line::try_parse_from(line).map_err(|error| error.to_string())?;
    line.connection.config("https://broker", "check").map_err(|error| error.to_string())
}

#[test]
fn a_token_comes_first_and_half_of_a_pair_is_refused_without_showing_it() {
    let credentials = |line: &[&str]| config(line).map(|config| config.credentials);
    assert_eq!(credentials(&[]).unwrap(), Credentials::None);
    let all = ["-u", "u", "-p", "p", "-k", "t"];
    assert_eq!(credentials(&all).unwrap(), Credentials::Bearer("t".into()));
    let basic = credentials(&["-u", "u", "-p", "p"]).unwrap();
    assert_eq!(basic, Credentials::Basic { username: "u".into(), password: "p".into() });
    // An empty variable of a pipeline is none.
    assert_eq!(credentials(&["-k", "", "-u", "", "-p", ""]).unwrap(), Credentials::None);
    for half in [["-u", "hunter2"], ["-p", "hunter2"]] {
        let error = credentials(&half).unwrap_err();
        assert!(error.contains("set PACT_BROKER_") && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn headers_are_read_and_neither_they_nor_credentials_are_shown() {
    let line = ["check", "--custom-header", "X-Token: hunter2:x", "-k", "hunter2", "-p", "hunter2"];
    let parsed = Line::try_parse_from(line).unwrap();
    assert!(!format!("{parsed:?}").contains("hunter2"), "{parsed:?}");
    let headers = config(&["--custom-header", "X-Token: hunter2:x"]).unwrap().headers;
    assert_eq!(headers, [("X-Token".to_owned(), "hunter2:x".into())]);
    let refused = config(&["--custom-header", "hunter2"]).unwrap_err();
    assert!(refused.contains("Name: value") && !refused.contains("hunter2"), "{refused}");
}

#[test]
fn one_address_is_that_of_one_broker() {
    let at = |broker: &str, environment: &str| EnvironmentRef {
        broker: broker.into(),
        environment: crate::api::names::EnvironmentName::parse(environment).unwrap(),
    };
    let is_of_all = |line: &[&str], places: &[EnvironmentRef]| {
        let line = Line::try_parse_from(["retire"].iter().chain(line)).unwrap();
        SeveralBrokers::as_usage("retire", line.connection.is_of_all(places).map(|()| 0)).unwrap()
    };
    let two = [at("main", "production"), at("partner", "production")];
    assert_eq!(is_of_all(&["-b", "https://broker"], &two), 64);
    assert_eq!(is_of_all(&["-b", ""], &two), 0, "each is asked at its own");
    assert_eq!(is_of_all(&["-b", "https://broker"], &[at("main", "production"), at("main", "test")]), 0);
    let other = SeveralBrokers::as_usage("retire", Err("no access".into()));
    assert_eq!(other.unwrap_err().to_string(), "no access");
}
