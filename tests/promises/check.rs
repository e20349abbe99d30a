//! `pact-operator check` asks the gate's question by hand: the built binary against a broker.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use serde_json::{Value, json};

use super::people_verbs::{Said, run};
use testbed::{
    pact_cli::pact_broker,
    process::free_port,
    replica::binary,
    standin::{Auth, Fault, Options, StandIn},
};

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

/// Runs the verb with these variables as the only settings in its environment.
async fn check(url: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    verb("check", &[&["--broker-base-url", url], arguments].concat(), variables, "").await
}

/// Runs a verb; `input` is what comes on its standard input.
pub async fn verb(verb: &str, arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Said {
    let mut command = Command::new(binary());
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|name| {
            name.starts_with("PACT_") || name.starts_with("SSL_") || name.to_lowercase().ends_with("_proxy")
        });
        if ours {
            command.env_remove(name);
        }
    }
    command.arg(verb).args(arguments).envs(variables.iter().copied());
    run(command, input).await
}

fn about<'a>(pacticipant: &'a str, version: &'a str, environment: &'a str) -> Vec<&'a str> {
    vec!["--to-environment", environment, "--pacticipant", pacticipant, "--version", version]
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
    let once = [about("api", "1", "test").as_slice(), &["--retries", "0"]].concat();
    let output = check(&nobody_there, &once, &[]).await;
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
        one.extend(["--ignore", "web", "--version", version]);
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
async fn invalid_arguments_end_with_64_and_a_reason() {
    let broker = broker().await;
    for (arguments, says) in [
        (about(" ", "1", "test"), "the pacticipant name is empty"),
        (about("api", "1", "my env"), "white space"),
        (vec!["--to-environment", "test", "--pacticipant", "api"], "--version"),
        (vec!["--to-environment", "test"], "--pacticipant"),
        (vec!["--no-such-option"], "--no-such-option"),
    ] {
        let output = check(&broker.url(), &arguments, &[]).await;
        assert!(output.code == Some(64) && output.err.contains(says), "{says:?}: {:?} {}", output.code, output.err);
    }
    let nowhere = verb("check", &about("api", "1", "test"), &[("PACT_BROKER_BASE_URL", "")], "").await;
    assert!(nowhere.code == Some(64) && nowhere.err.contains("set PACT_BROKER_BASE_URL"), "{}", nowhere.err);
    let output = check("ftp://broker", &about("api", "1", "test"), &[]).await;
    assert!(output.code == Some(2) && output.err.contains("http"), "{}", output.err);
}

/// A script that was written for the official command line goes on with ours: each of these lines ends as it does there,
/// and the JSON that it prints can be read from ours.
#[tokio::test]
async fn the_options_of_the_official_command_line_mean_the_same() {
    let broker = broker().await;
    let store = broker.store();
    store.publish_pact("web", "2", "api", "b");
    store.add_to_branch("web", "2", "feat/x");
    store.add_to_branch("api", "2", "main");
    store.add_to_branch("api", "1", "release");
    store.verify("web", "2", "api", "2", true);
    for line in [
        &["-a", "api", "-e", "1", "--to-environment", "test"][..],
        &["-a", "api", "-e", "2", "--to-environment", "test"],
        &["-a", "api", "-e", "3", "--to-environment", "test"],
        &["-a", "api", "-e", "9", "--to-environment", "test"],
        &["-a", "nobody", "-e", "1", "--to-environment", "test"],
        &["-a", "api", "-e", "2", "--to-environment", "test", "--ignore", "web"],
        &["-a", "api", "-e", "2", "--to-environment", "test", "--ignore", "web", "--version", "1"],
        &["-a", "api", "-e", "2", "--to-environment", "test", "--ignore", "web", "--version", "7"],
        &["-a", "api", "-e", "2", "--to-environment", "test", "--dry-run"],
        &["-a", "api", "--branch", "release", "--to-environment", "test"],
        &["-a", "api", "--main-branch", "--to-environment", "test"],
        &["-a", "api", "--latest", "--to-environment", "test"],
        // Together: web 2 takes the place of web 1, of which api 2 breaks the pact.
        &["-a", "web", "-e", "2", "-a", "api", "-e", "2", "--to-environment", "test"],
        &["-a", "web", "-e", "1", "-a", "api", "-e", "2", "--to-environment", "test"],
        &["-a", "web", "-e", "2", "-a", "api", "-e", "3", "--to-environment", "test"],
        &["-a", "web", "-e", "2", "-a", "api", "-e", "2"],
        &["-a", "web", "-e", "1", "-a", "api", "-e", "3"],
        &["-a", "web", "-e", "2", "-a", "api", "--main-branch"],
    ] {
        let theirs = pact_broker(&broker, &[&["can-i-deploy"], line].concat());
        let ours = check(&broker.url(), line, &[]).await;
        assert_eq!(ours.code, Some(theirs.code), "{line:?}\n{}{}\n{}", ours.out, ours.err, theirs.text);
        let as_json = [line, &["--output", "json"]].concat();
        let theirs = pact_broker(&broker, &[&["can-i-deploy"], as_json.as_slice()].concat());
        let ours = check(&broker.url(), &as_json, &[]).await;
        let ours: Value = serde_json::from_str(&ours.out).unwrap();
        // It prints none where the broker refuses the question.
        let theirs: Value =
            theirs.text.lines().find_map(|line| serde_json::from_str(line).ok()).unwrap_or(ours.clone());
        let deployable = |document: &Value| document["summary"]["deployable"].as_bool().unwrap_or_default();
        assert_eq!(deployable(&ours), deployable(&theirs), "{line:?}\n{ours:#}\n{theirs:#}");
    }
    for line in [&["-a", "web", "-e", "2"][..], &["-a", "web", "-e", "1"]] {
        let theirs = pact_broker(&broker, &[&["can-i-merge"], line].concat());
        let ours = verb("can-i-merge", line, &[("PACT_BROKER_BASE_URL", &broker.url())], "").await;
        assert_eq!(ours.code, Some(theirs.code), "{line:?}\n{}{}\n{}", ours.out, ours.err, theirs.text);
    }
}

#[tokio::test]
async fn where_the_official_command_line_errs_ours_does_not() {
    let broker = broker().await;
    // It drops the version and asks about every one.
    let apart = ["--pacticipant", "api", "--to-environment", "test", "--version", "1"];
    assert_eq!(check(&broker.url(), &apart, &[]).await.code, Some(0));
    // It names these variables in its help and does not read them.
    let two = about("api", "2", "test");
    let ignored = check(&broker.url(), &two, &[("PACT_BROKER_CAN_I_DEPLOY_IGNORE", "other,web")]).await;
    assert_eq!(ignored.code, Some(0), "{}", ignored.out);
    let dry = check(&broker.url(), &two, &[("PACT_BROKER_CAN_I_DEPLOY_DRY_RUN", "true")]).await;
    assert!(
        dry.code == Some(0) && dry.out.contains(": No\n") && dry.err.contains("a dry run"),
        "{}{}",
        dry.out,
        dry.err
    );
    // It ends with 0 whatever the verdict is.
    let json = [two.as_slice(), &["-o", "json"]].concat();
    assert_eq!(check(&broker.url(), &json, &[]).await.code, Some(1));
}

#[tokio::test]
async fn a_result_that_is_on_its_way_is_waited_for_and_a_dry_run_waits_for_nothing() {
    let broker = broker().await;
    let waiting = ["--retry-while-unknown", "30", "--retry-interval", "1"];
    let three = [about("api", "3", "test").as_slice(), &waiting].concat();
    let url = broker.url();
    let asked = tokio::spawn(async move { check(&url, &three, &[]).await });
    while broker.count_requests(|it| it.path_and_query.starts_with("/matrix")) < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker.store().verify("web", "1", "api", "3", true);
    let output = asked.await.unwrap();
    assert!(output.code == Some(0) && output.out.contains(": Yes\n"), "{}{}", output.out, output.err);
    broker.clear_requests();
    let dry = [about("api", "9", "test").as_slice(), &waiting, &["--dry-run"]].concat();
    assert_eq!(check(&broker.url(), &dry, &[]).await.code, Some(0));
    assert_eq!(broker.count_requests(|it| it.path_and_query.starts_with("/matrix")), 1);
    // A no is final.
    broker.clear_requests();
    let no = [about("api", "2", "test").as_slice(), &waiting].concat();
    assert_eq!(check(&broker.url(), &no, &[]).await.code, Some(1));
    assert_eq!(broker.count_requests(|it| it.path_and_query.starts_with("/matrix")), 1);
}

#[tokio::test]
async fn a_broker_that_fails_for_a_moment_is_asked_again_and_one_that_refuses_is_not() {
    let broker = broker().await;
    broker.faults().add(Fault::status(503).path("^/matrix").times(2));
    let output = check(&broker.url(), &about("api", "1", "test"), &[]).await;
    assert!(output.code == Some(0) && output.err.contains("asked again in 0.5 s"), "{}{}", output.out, output.err);
    broker.faults().add(Fault::delay(Duration::from_secs(5)).path("^/matrix"));
    let impatient = [about("api", "1", "test").as_slice(), &["--timeout-seconds", "1", "--retries", "0"]].concat();
    let output = check(&broker.url(), &impatient, &[]).await;
    assert!(output.code == Some(2) && output.out.contains("no whole answer in time"), "{}{}", output.out, output.err);
    broker.faults().clear();
    broker.set_auth(Some(Auth::Bearer("planted-token".into())));
    let began = Instant::now();
    let output = check(&broker.url(), &about("api", "1", "test"), &[("PACT_BROKER_TOKEN", "planted-other")]).await;
    assert_eq!(output.code, Some(2));
    assert!(output.out.contains("refused the credentials") && !output.out.contains("planted"), "{}", output.out);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

/// Two services for two environments: what is on its way, and what is recorded.
const MANIFESTS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop, annotations: {pact-operator.dev/pacticipant: api}}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: api, image: "registry/api:2"}]}
---
apiVersion: v1
kind: Service
metadata: {name: api}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: web, annotations: {pact-operator.dev/pacticipant: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "registry/web:1"}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: shop}
spec:
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec: {containers: [{name: other, image: "registry/other:1"}]}
"#;

fn policy(url: &str, mode: &str, gate_block: &Value) -> String {
    let environment = |name: &str| {
        let mut gate = json!({"mode": mode});
        gate.as_object_mut().unwrap().extend(gate_block.as_object().unwrap().clone());
        json!({"apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": name},
               "spec": {"brokerRef": {"name": "main"}, "environment": name, "gate": gate, "overlap": "Allow",
                        "namespaces": {"names": ["shop"]}}})
    };
    let broker = json!({"apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactBroker",
                        "metadata": {"name": "main"}, "spec": {"url": url}});
    [environment("test"), environment("production"), broker].map(|object| format!("{object:#}\n---\n")).concat()
}

#[tokio::test]
async fn manifests_get_the_gates_answer_for_every_environment_without_a_cluster() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let run = async |mode: &str, more: &Value, arguments: &[&str]| {
        let file = folder.path().join("policy.yaml");
        std::fs::write(&file, policy(&broker.url(), mode, more)).unwrap();
        let own = ["-f", "-", "-n", "shop", "--policy", file.to_str().unwrap()];
        verb("check", &[&own, arguments].concat(), &[], MANIFESTS).await
    };
    let output = run("Enforce", &json!({}), &[]).await;
    let lines: Vec<_> = output.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    for line in [
        "deployment/api api 2 test No Deny (Enforce)",
        "deployment/api api 2 production YesVacuous Warn (Enforce)",
        "api 2 → production: YesVacuous",
        "statefulset/web web 1 production Unknown Deny (Enforce)",
        "api 2 → test: No",
        "it failed to verify the pact of web 1",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line:?} is missing in\n{}{}", output.out, output.err);
    }
    // web 1 is recorded in test, and what is not annotated is no business of ours.
    assert!(!output.out.contains("web 1 → test") && !output.out.contains("other"), "{}", output.out);
    assert_eq!(output.code, Some(1));
    // What the gate would let through, ends with 0; unless that is asked for.
    assert_eq!(run("Audit", &json!({}), &[]).await.code, Some(0));
    assert_eq!(run("Audit", &json!({}), &["--strict"]).await.code, Some(1));
    let ignoring =
        json!({"ignore": [{"pacticipant": "web", "reason": "moves"}, {"pacticipant": "api", "reason": "moves"}]});
    let output = run("Enforce", &ignoring, &[]).await;
    assert_eq!(output.code, Some(0), "{}{}", output.out, output.err);
    let output = run("Enforce", &json!({}), &["-o", "json"]).await;
    let document: Value = serde_json::from_str(&output.out).unwrap();
    assert_eq!(document["deployable"], json!(false));
    assert_eq!(document["checks"][0]["workload"]["kind"], json!("Deployment"));
}

#[tokio::test]
async fn credentials_are_not_sent_to_an_address_that_a_manifest_names() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.yaml");
    std::fs::write(&file, policy(&broker.url(), "Enforce", &json!({}))).unwrap();
    let line = ["-f", "-", "-n", "shop", "--policy", file.to_str().unwrap()];
    for variables in [
        &[("PACT_BROKER_TOKEN", "planted")][..],
        &[("PACT_BROKER_USERNAME", "planted"), ("PACT_BROKER_PASSWORD", "planted")],
    ] {
        let output = verb("check", &line, variables, MANIFESTS).await;
        assert!(output.code == Some(2) && output.err.contains("set PACT_BROKER_BASE_URL"), "{}", output.err);
        assert!(broker.requests().is_empty() && !output.err.contains("planted"), "{}", output.err);
    }
    let header = [line.as_slice(), &["--custom-header", "X-Token: planted"]].concat();
    assert_eq!(verb("check", &header, &[], MANIFESTS).await.code, Some(2));
    assert!(broker.requests().is_empty());
    let named = [("PACT_BROKER_TOKEN", "planted"), ("PACT_BROKER_BASE_URL", &broker.url())];
    assert_eq!(verb("check", &line, &named, MANIFESTS).await.code, Some(1));
}

#[tokio::test]
async fn a_summary_is_added_to_the_file_and_what_is_no_manifest_is_said_with_its_file() {
    let broker = broker().await;
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.md");
    std::fs::write(&summary, "# Before\n").unwrap();
    let two = [about("api", "2", "test").as_slice(), &["--summary", summary.to_str().unwrap()]].concat();
    check(&broker.url(), &two, &[]).await;
    let text = std::fs::read_to_string(&summary).unwrap();
    assert!(text.starts_with("# Before\n| | question |") && text.contains("api 2 → test | No |"), "{text}");
    let torn = folder.path().join("broken.yaml");
    std::fs::write(&torn, "a: [").unwrap();
    let torn = torn.to_str().unwrap();
    let output = check(&broker.url(), &["-f", torn, "--policy", torn], &[]).await;
    assert!(output.code == Some(2) && output.err.contains("broken.yaml: document 1"), "{}", output.err);
    let output = check(&broker.url(), &["-f", "/no/such/file", "--policy", torn], &[]).await;
    assert!(output.code == Some(2) && output.err.contains("name another file"), "{}", output.err);
}

/// The broker's answers are what takes time: one for each service and environment, and what is live in each environment
/// once.
#[tokio::test]
async fn fifty_services_in_three_environments_cost_a_question_each() {
    const SERVICES: usize = 50;
    let broker = StandIn::start_with(Options::default()).await;
    let store = broker.store();
    let environments = ["test", "staging", "production"];
    for environment in environments {
        store.add_environment(environment, environment == "production");
    }
    let mut manifests = Vec::new();
    for number in 0..SERVICES {
        let (service, next) = (format!("service-{number}"), format!("service-{}", (number + 1) % SERVICES));
        for version in ["1", "2"] {
            store.publish_pact(&service, version, &next, "what it expects");
            store.publish_version(&next, "1");
            store.verify(&service, version, &next, "1", true);
        }
        for environment in environments {
            store.record_deployment(&service, "1", environment, None);
        }
        manifests.push(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": service, "namespace": "shop",
                         "annotations": {"pact-operator.dev/pacticipant": service}},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "image": format!("registry/{service}:2")}]}}},
        }));
    }
    let manifests = json!({"apiVersion": "v1", "kind": "List", "items": manifests}).to_string();
    let policy = environments.map(|environment| {
        json!({"apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": environment},
               "spec": {"brokerRef": {"name": "main"}, "environment": environment, "gate": {"mode": "Enforce"},
                        "overlap": "Allow", "namespaces": {"names": ["shop"]}}})
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    std::fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": policy}).to_string()).unwrap();
    // As a real broker: five threads, each of which takes its time.
    broker.faults().busy();
    let began = Instant::now();
    let url = broker.url();
    let line = ["-b", &url, "-f", "-", "--policy", file.to_str().unwrap(), "-o", "json"];
    let output = verb("check", &line, &[], &manifests).await;
    let took = began.elapsed();
    let document: Value = serde_json::from_str(&output.out).unwrap_or_else(|_| panic!("{}{}", output.out, output.err));
    assert_eq!(document["checks"].as_array().unwrap().len(), SERVICES * environments.len());
    let requests = broker.requests();
    let questions = requests.iter().filter(|it| it.path_and_query.starts_with("/matrix")).count();
    assert_eq!(questions, SERVICES * environments.len());
    // What is live serves for 3 s.
    let readings = 1 + usize::try_from(took.as_secs() / 3).unwrap();
    let more = requests.len() - questions;
    assert!(more <= 3 * environments.len() * readings, "{more} more in {took:?}");
    // What the broker takes to answer the same, asked by nobody who looks at the answers, and in no order.
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let began = Instant::now();
    let answers = stream::iter(requests.iter().map(|it| client.get(format!("{url}{}", it.path_and_query)).send()));
    let statuses: Vec<_> = answers.buffer_unordered(6).map(|answer| answer.unwrap().status()).collect().await;
    let bare = began.elapsed();
    assert!(statuses.iter().all(http::StatusCode::is_success), "{statuses:?}");
    println!("{questions} questions and {more} more requests in {took:?}; bare requests take {bare:?}");
}
