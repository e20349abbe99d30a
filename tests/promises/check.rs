//! `pact-operator check` asks the gate's question by hand: the built binary against a broker.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use testbed::process::free_port;
use testbed::replica::binary;
use testbed::standin::{Auth, Options, StandIn};

/// A broker where web 1 runs in `test`: api 1 verified its pact, api 2 failed to, api 3 has no result.
async fn broker() -> StandIn {
    let broker = StandIn::start_with(Options { seed_example_environments: true, ..Options::default() }).await;
    let store = broker.store();
    store.publish_pact("web", "1", "api", "a");
    store.record_deployment("web", "1", "test", None);
    for (version, verified) in [("1", Some(true)), ("2", Some(false)), ("3", None)] {
        store.publish_version("api", version);
        verified.map(|verified| store.verify("web", "1", "api", version, verified));
    }
    broker
}

struct CommandOutput {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the verb with these variables as the only settings in its environment.
async fn check(url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> CommandOutput {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("PACT_") || name.starts_with("SSL_CERT") || name.to_lowercase().ends_with("_proxy")
        });
        if ours {
            command.env_remove(name);
        }
    }
    command.args(["check", "--broker-url", url]).args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let Output { status, stdout, stderr } = ran.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    CommandOutput { code: status.code(), out: text(stdout), err: text(stderr) }
}

fn about<'a>(pacticipant: &'a str, version: &'a str, environment: &'a str) -> Vec<&'a str> {
    vec!["--environment", environment, "--pacticipant", pacticipant, "--version", version]
}

#[tokio::test]
async fn a_yes_ends_with_0_a_no_with_1_and_a_failed_check_with_2() {
    let broker = broker().await;
    for (pacticipant, version, environment, verdict, code) in [
        ("api", "1", "test", "Yes", 0),
        ("api", "1", "production", "YesVacuous", 0),
        ("api", "2", "test", "No", 1),
        ("api", "3", "test", "Unknown", 1),
        ("api", "9", "test", "VersionMissing", 1),
        ("nobody", "1", "test", "PacticipantUnknown", 1),
        ("api", "1", "nowhere", "EnvironmentMissing", 2),
    ] {
        let output = check(&broker.url(), &about(pacticipant, version, environment), &[]).await;
        let first = format!("{pacticipant} {version} → {environment}: {verdict}\n");
        assert!(output.out.starts_with(&first), "{first}{}{}", output.out, output.err);
        assert_eq!(output.code, Some(code), "{}", output.out);
    }
    let nobody_there = format!("http://127.0.0.1:{}", free_port());
    let output = check(&nobody_there, &about("api", "1", "test"), &[]).await;
    assert!(output.code == Some(2) && output.out.contains(": BrokerUnavailable\n"), "{}{}", output.out, output.err);
}

#[tokio::test]
async fn people_get_a_table_of_the_pairs_and_programs_get_json() {
    let broker = broker().await;
    let output = check(&broker.url(), &about("api", "2", "test"), &[]).await;
    for part in
        ["it failed to verify the pact of web 1", "RESULT  CONSUMER  VERSION", "Failed  web       1", "see http"]
    {
        assert!(output.out.contains(part), "{part:?} is missing in\n{}", output.out);
    }
    let mut arguments = about("api", "2", "test");
    arguments.extend(["-o", "json"]);
    let output = check(&broker.url(), &arguments, &[]).await;
    let document: Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!((output.code, &document["verdict"], &document["deployable"]), (Some(1), &"No".into(), &false.into()));
    assert_eq!(document["pairs"][0]["consumer"], "web");
    // Unlike the official command line, whose JSON output always ends with 0.
    assert_eq!(document["pairs"][0]["result"], "Failed");
}

#[tokio::test]
async fn what_is_ignored_is_left_out() {
    let broker = broker().await;
    let mut whole = about("api", "2", "test");
    whole.extend(["--ignore", "web"]);
    assert_eq!(check(&broker.url(), &whole, &[]).await.code, Some(0));
    for (version, code) in [("1", 0), ("7", 1)] {
        let mut one = about("api", "2", "test");
        one.extend(["--ignore-version", "web", version]);
        assert_eq!(check(&broker.url(), &one, &[]).await.code, Some(code), "{version}");
    }
}

#[tokio::test]
async fn credentials_come_from_the_environment_and_are_never_shown() {
    let broker = broker().await;
    broker.set_auth(Some(Auth::Basic { user: "planted-user".into(), pass: "planted-pass".into() }));
    let right = [("PACT_BROKER_USERNAME", "planted-user"), ("PACT_BROKER_PASSWORD", "planted-pass")];
    assert_eq!(check(&broker.url(), &about("api", "1", "test"), &right).await.code, Some(0));
    let wrong = [("PACT_BROKER_USERNAME", "planted-user"), ("PACT_BROKER_PASSWORD", "planted-wrong")];
    let output = check(&broker.url(), &about("api", "1", "test"), &wrong).await;
    assert!(output.code == Some(2) && output.out.contains(": Unauthorized\n"), "{}", output.out);
    assert!(!output.out.contains("planted") && !output.err.contains("planted"), "{}{}", output.out, output.err);
    broker.set_auth(Some(Auth::Bearer("planted-token".into())));
    let token = [("PACT_BROKER_TOKEN", "planted-token")];
    assert_eq!(check(&broker.url(), &about("api", "1", "test"), &token).await.code, Some(0));
}

#[tokio::test]
async fn invalid_arguments_end_with_2_and_a_reason() {
    let broker = broker().await;
    for (arguments, says) in [
        (about(" ", "1", "test"), "the pacticipant name is empty"),
        (about("api", "1", "my env"), "white space"),
        (vec!["--environment", "test", "--pacticipant", "api"], "--version"),
    ] {
        let output = check(&broker.url(), &arguments, &[]).await;
        assert!(output.code == Some(2) && output.err.contains(says), "{says:?}: {:?} {}", output.code, output.err);
    }
    let output = check("ftp://broker", &about("api", "1", "test"), &[]).await;
    assert!(output.code == Some(2) && output.err.contains("http"), "{}", output.err);
}
