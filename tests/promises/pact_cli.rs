//! The official `pact` command line works against the stand-in broker as it does against the real one: so the stand-in
//! may judge what the operator records.

use std::path::PathBuf;

use serde_json::{Value, json};

use testbed::http::plain_client;
use testbed::pact_cli::{CommandOutput, pact_broker};
use testbed::standin::{Auth, Options, StandIn, WriteKind, encoded};

const CONSUMER: &str = "org/web app";
const VERSION: &str = "1.0+b";
const PROVIDER: &str = "api";

async fn broker() -> StandIn {
    StandIn::start_with(Options { seed_example_environments: true, ..Options::default() }).await
}

/// A pact file of the consumer with the provider.
fn pact_file(folder: &tempfile::TempDir) -> PathBuf {
    let pact = json!({
        "consumer": {"name": CONSUMER}, "provider": {"name": PROVIDER},
        "interactions": [{"description": "a request", "request": {"method": "GET", "path": "/x"}, "response": {"status": 200}}],
        "metadata": {"pactSpecification": {"version": "2.0.0"}}});
    let path = folder.path().join("web-api.json");
    std::fs::write(&path, pact.to_string()).unwrap();
    path
}

fn publish(broker: &StandIn) -> CommandOutput {
    let folder = tempfile::tempdir().unwrap();
    let file = pact_file(&folder);
    let arguments = ["publish", file.to_str().unwrap(), "--consumer-app-version", VERSION, "--branch", "main"];
    pact_broker(broker, &arguments)
}

fn can_i_deploy(broker: &StandIn, pacticipant: &str, version: &str, environment: &str) -> CommandOutput {
    let arguments =
        ["can-i-deploy", "--pacticipant", pacticipant, "--version", version, "--to-environment", environment];
    pact_broker(broker, &arguments)
}

/// Publishes a verification result as a provider's build does: by the link in the pact.
async fn verify(broker: &StandIn, provider_version: &str, success: bool) {
    let of = encoded(CONSUMER);
    let url = format!("{}/pacts/provider/{PROVIDER}/consumer/{of}/version/{}", broker.url(), encoded(VERSION));
    let pact: Value = plain_client().get(url).send().await.unwrap().json().await.unwrap();
    let link = pact["_links"]["pb:publish-verification-results"]["href"].as_str().unwrap();
    let result = json!({"success": success, "providerApplicationVersion": provider_version, "testResults": []});
    assert_eq!(plain_client().post(link).json(&result).send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn it_publishes_records_and_asks() {
    let broker = broker().await;
    publish(&broker).expect(0, &["Pact successfully published for org/web app version 1.0+b and provider api"]);
    let ask = || can_i_deploy(&broker, CONSUMER, VERSION, "test");
    ask().expect(1, &["Computer says no", "no version is currently recorded as deployed/released in this environment"]);

    verify(&broker, "10", true).await;
    let recorded = ["record-deployment", "--pacticipant", PROVIDER, "--version", "10", "--environment", "test"];
    pact_broker(&broker, &recorded).expect(0, &["Recorded deployment of api version 10 to test environment"]);
    ask().expect(0, &["Computer says yes", "All required verification results are published and successful"]);

    verify(&broker, "10", false).await;
    let failed = "between version 1.0+b of org/web app and the version of api currently in test (10) failed";
    ask().expect(1, &["Computer says no", failed]);
}

#[tokio::test]
async fn it_distinguishes_missing_versions_pacticipants_and_environments_only_by_the_message() {
    let broker = broker().await;
    publish(&broker).expect(0, &[]);
    broker.store().publish_version("lonely", "1");
    let missing = "No pacts or verifications have been published for version 77 of org/web app";
    can_i_deploy(&broker, CONSUMER, "77", "test").expect(1, &[missing]);
    can_i_deploy(&broker, "ghost", "1", "test").expect(1, &["Pacticipant ghost not found"]);
    can_i_deploy(&broker, CONSUMER, VERSION, "nope").expect(1, &["Environment with name 'nope' does not exist"]);
    can_i_deploy(&broker, "lonely", "1", "test").expect(0, &["Computer says yes", "There are no missing dependencies"]);
}

#[tokio::test]
async fn it_records_deployments_and_undeployments_by_instance() {
    let broker = broker().await;
    broker.store().publish_version(CONSUMER, VERSION);
    let key = ["--pacticipant", CONSUMER, "--environment", "test"];
    let blue = ["--application-instance", "blue"];
    let record = |version, instance: &[&str]| {
        let version = ["--pacticipant", CONSUMER, "--version", version, "--environment", "test"];
        pact_broker(&broker, &[&["record-deployment"], version.as_slice(), instance].concat())
    };
    record(VERSION, &blue).expect(0, &["to test environment (application instance blue)"]);
    record(VERSION, &[]).expect(0, &["Recorded deployment of org/web app version 1.0+b to test environment"]);
    record("9.9", &[]).expect(1, &["versions/9.9", "404 Not Found"]);
    let environment = ["--pacticipant", CONSUMER, "--version", VERSION, "--environment", "nope"];
    let nope = pact_broker(&broker, &[["record-deployment"].as_slice(), &environment].concat());
    nope.expect(1, &["Environment nope does not exist"]);

    let undeploy =
        |instance: &[&str]| pact_broker(&broker, &[&["record-undeployment"], key.as_slice(), instance].concat());
    undeploy(&[]).expect(0, &["Undeployed org/web app from test environment"]);
    undeploy(&[]).expect(1, &["application instances to record the undeployment from: blue"]);
    undeploy(&blue).expect(0, &["(application instance blue)"]);
    assert!(broker.store().current("test", CONSUMER).is_empty());
    let writes: Vec<_> = broker.writes().into_iter().map(|write| (write.kind, write.instance)).collect();
    let instance = || Some("blue".to_owned());
    let (deployed, undeployed) = (WriteKind::Deployed, WriteKind::Undeployed);
    assert_eq!(writes, [(deployed, instance()), (deployed, None), (undeployed, None), (undeployed, instance())]);
}

#[tokio::test]
async fn it_records_releases_and_the_end_of_support() {
    let broker = broker().await;
    let version = ["--pacticipant", CONSUMER, "--version", VERSION];
    let create =
        |rest: &[&str]| pact_broker(&broker, &[&["create-or-update-version"], version.as_slice(), rest].concat());
    create(&["--branch", "main"]).expect(0, &["Branch 'main' created for version '1.0+b'"]);
    create(&[]).expect(0, &["Version '1.0+b' created or updated successfully"]);
    let production = ["--environment", "production"];
    let of_version = |verb: &str| pact_broker(&broker, &[&[verb], version.as_slice(), &production].concat());
    for _ in 0..2 {
        of_version("record-release").expect(0, &["Recorded release of org/web app version 1.0+b to production"]);
    }
    assert_eq!(broker.store().supported("production", CONSUMER).len(), 1);
    of_version("record-support-ended")
        .expect(0, &["Recorded support ended for application org/web app, version 1.0+b"]);
    assert!(broker.store().supported("production", CONSUMER).is_empty());
}

#[tokio::test]
async fn it_describes_versions_and_environments() {
    let broker = broker().await;
    broker.store().record_deployment(CONSUMER, VERSION, "test", Some("blue"));
    pact_broker(&broker, &["list-environments"]).expect(0, &["test", "production", "Production"]);
    let created = pact_broker(&broker, &["create-environment", "--name", "qa", "--display-name", "Quality"]);
    created.expect(0, &["Created qa environment in the Pact Broker with UUID"]);
    let uuid = broker.store().environment_uuid("qa").unwrap();
    pact_broker(&broker, &["describe-environment", "--uuid", &uuid]).expect(0, &["Name: qa", "Display Name: Quality"]);
    let again = pact_broker(&broker, &["create-environment", "--name", "qa"]);
    again.expect(1, &["name 'qa' is already used by an existing environment."]);
    let describe =
        |rest: &[&str]| pact_broker(&broker, &[&["describe-version", "--pacticipant", CONSUMER], rest].concat());
    describe(&["--version", VERSION]).expect(0, &[VERSION]);
    describe(&[]).expect(0, &[VERSION]);
    describe(&["--environment", "test"]).expect(0, &[VERSION, "Deployed", "blue"]);
    describe(&["--version", "77"]).expect(1, &["not found"]);
}

#[tokio::test]
async fn it_needs_the_credentials_that_the_stand_in_asks_for() {
    let broker = broker().await;
    broker.set_auth(Some(Auth::Basic { user: "pact".to_owned(), pass: "secret".to_owned() }));
    pact_broker(&broker, &["list-environments", "-u", "pact", "-p", "secret"]).expect(0, &["production"]);
    assert_eq!(pact_broker(&broker, &["list-environments", "-u", "pact", "-p", "wrong"]).code, 1);
    broker.set_auth(Some(Auth::Bearer("token".to_owned())));
    pact_broker(&broker, &["list-environments", "-k", "token"]).expect(0, &["production"]);
}
