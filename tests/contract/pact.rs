//! What the client asks of a Pact Broker and what it needs of the answers, as a pact of the operator's own.
//!
//! The pact is written by this test and checked in as `tests/pacts/pact-operator-pact-broker.json`; with `UPDATE_PACT=1`
//! in the environment the file is replaced instead of compared.

use std::path::PathBuf;

use pact_consumer::builders::{RequestBuilder, ResponseBuilder};
use pact_consumer::prelude::*;
use pact_operator::broker::{Broker, BrokerError, DeploymentId, NewEnvironment, ReleaseId};
use serde_json::{Value, json};

use super::client::{broker, environment, environment_id, instance, pacticipant, version};
use super::matrix::{ask_matrix, matrix};
use super::verification::{ask_verification, verification};

const TEST: &str = "16926ef3-0000-4000-8000-000000000001";
const PRODUCTION: &str = "16926ef3-0000-4000-8000-000000000002";
const NO_ENVIRONMENT: &str = "16926ef3-0000-4000-8000-00000000dead";
const DEPLOYED: &str = "de910bed-0000-4000-8000-000000000001";
const DEPLOYED_BLUE: &str = "de910bed-0000-4000-8000-000000000002";
const NOT_DEPLOYED: &str = "de910bed-0000-4000-8000-00000000dead";
const RELEASED: &str = "4e1ea5ed-0000-4000-8000-000000000001";
const NOT_RELEASED: &str = "4e1ea5ed-0000-4000-8000-00000000dead";
const UUID: &str = "^[A-Za-z0-9_-]{1,100}$";

/// A name with all characters that must be encoded in a path and in a query.
pub(crate) const AWKWARD: &str = "org/app + web #1?&%";
const AWKWARD_PATH: &str = "/pacticipants/org%2Fapp%20%2B%20web%20%231%3F%26%25";

pub(crate) type State = (&'static str, Value);

pub(crate) fn test_environment() -> State {
    ("an environment", json!({ "uuid": TEST, "name": "test", "production": false }))
}

fn production_environment() -> State {
    ("an environment", json!({ "uuid": PRODUCTION, "name": "production", "production": true }))
}

pub(crate) fn known(pacticipant: &str, version: &str) -> State {
    ("a pacticipant version", json!({ "pacticipant": pacticipant, "version": version }))
}

pub(crate) fn deployed(uuid: &str, pacticipant: &str, version: &str, instance: Option<&str>) -> State {
    let mut row = json!({ "uuid": uuid, "pacticipant": pacticipant, "version": version, "environment": "test" });
    if let Some(instance) = instance {
        row["applicationInstance"] = json!(instance);
    }
    ("a deployed version", row)
}

fn released(uuid: &str, pacticipant: &str, version: &str) -> State {
    let row = json!({ "uuid": uuid, "pacticipant": pacticipant, "version": version, "environment": "production" });
    ("a released version", row)
}

/// Collects the interactions; each is one request that the client makes.
pub(crate) struct Contract(PactBuilder);

impl Contract {
    pub(crate) fn add(
        &mut self,
        description: &str,
        states: &[State],
        request: impl FnOnce(&mut RequestBuilder),
        response: impl FnOnce(&mut ResponseBuilder),
    ) {
        self.0.interaction(description, "", |mut interaction| {
            for (state, parameters) in states {
                interaction.given_with_params(*state, parameters);
            }
            interaction.request.header("accept", "application/hal+json, application/problem+json;q=0.9");
            request(&mut interaction.request);
            response(&mut interaction.response);
            interaction
        });
    }
}

pub(crate) fn get(path: &str) -> impl FnOnce(&mut RequestBuilder) {
    move |request| {
        request.get().path(path);
    }
}

fn find(path: &str, name: &str, value: &str) -> impl FnOnce(&mut RequestBuilder) {
    move |request| {
        request.get().path(path).query_param(name, value);
    }
}

fn post(path: &str, body: Value) -> impl FnOnce(&mut RequestBuilder) {
    move |request| {
        request.post().path(path).content_type("application/json").json_body(body);
    }
}

fn patch(path: &str, body: Value) -> impl FnOnce(&mut RequestBuilder) {
    move |request| {
        request.method("PATCH").path(path).content_type("application/merge-patch+json").json_body(body);
    }
}

pub(crate) fn hal(status: u16, body: JsonPattern) -> impl FnOnce(&mut ResponseBuilder) {
    move |response| {
        response.status(status).json_body(body);
        response.content_type(term!("^application/hal\\+json(;.*)?$", "application/hal+json;charset=utf-8"));
    }
}

/// A broker's 404, in the shape that it has when problem documents are accepted.
pub(crate) fn not_found(response: &mut ResponseBuilder) {
    response.status(404).json_body(json_pattern!({ "title": like!("Not Found") }));
    response.content_type(term!("^application/problem\\+json(;.*)?$", "application/problem+json;charset=utf-8"));
}

fn environment_body(uuid: impl Into<JsonPattern>, name: &str, production: bool) -> JsonPattern {
    json_pattern!({ "uuid": uuid, "name": name, "displayName": like!("Name"), "production": production })
}

fn any_uuid(example: &str) -> JsonPattern {
    term!(UUID, example).into()
}

/// A deployed or released version as the client reads it.
fn row(uuid: impl Into<JsonPattern>, pacticipant: &str, version: &str) -> JsonPattern {
    json_pattern!({
        "uuid": uuid,
        "createdAt": like!("2026-11-23T07:36:01+00:00"),
        "_embedded": { "pacticipant": { "name": pacticipant }, "version": { "number": version } }
    })
}

fn row_of(uuid: impl Into<JsonPattern>, pacticipant: &str, version: &str, instance: &str) -> JsonPattern {
    json_pattern!({
        "uuid": uuid,
        "createdAt": like!("2026-11-23T07:36:01+00:00"),
        "applicationInstance": instance,
        "_embedded": { "pacticipant": { "name": pacticipant }, "version": { "number": version } }
    })
}

fn list(of: &str, rows: Vec<JsonPattern>) -> JsonPattern {
    let rows = [(of.to_owned(), JsonPattern::Array(rows))].into_iter().collect();
    json_pattern!({ "_embedded": JsonPattern::Object(rows) })
}

fn index_and_environments(contract: &mut Contract) {
    let index =
        json_pattern!({ "_links": { "pb:environments": { "href": like!("http://broker.test/environments") } } });
    contract.add("a request for the index", &[], get("/"), hal(200, index));
    let all = json_pattern!({ "_embedded": { "environments": each_like!(json!({
        "uuid": TEST, "name": "test", "displayName": "Test", "production": false
    })) } });
    contract.add("a request for all environments", &[test_environment()], get("/environments"), hal(200, all));
    contract.add(
        "a request for an environment by its name",
        &[test_environment(), production_environment()],
        find("/environments", "name", "test"),
        hal(200, list("environments", vec![environment_body(TEST, "test", false)])),
    );
    contract.add(
        "a request for an environment by a name that none has",
        &[test_environment()],
        find("/environments", "name", "nowhere"),
        hal(200, list("environments", Vec::new())),
    );
    contract.add(
        "the creation of an environment",
        &[],
        post("/environments", json!({ "name": "new", "displayName": "Brand New", "production": true })),
        hal(
            201,
            json_pattern!({ "uuid": any_uuid(TEST), "name": "new", "displayName": "Brand New", "production": true }),
        ),
    );
    contract.add(
        "the creation of an environment whose name is taken",
        &[production_environment()],
        post("/environments", json!({ "name": "production", "production": true })),
        |response| {
            let error = json!({ "detail": "name 'production' is already used by an existing environment." });
            response
                .status(400)
                .json_body(json_pattern!({ "title": like!("Validation errors"), "errors": each_like!(error) }));
            response
                .content_type(term!("^application/problem\\+json(;.*)?$", "application/problem+json;charset=utf-8"));
        },
    );
    contract.add(
        "a request for the environment whose name was taken",
        &[production_environment()],
        find("/environments", "name", "production"),
        hal(200, list("environments", vec![environment_body(PRODUCTION, "production", true)])),
    );
}

async fn ask_index_and_environments(broker: &Broker) {
    broker.probe().await.unwrap();
    assert_eq!(broker.environments().await.unwrap()[0].id, environment_id(TEST));
    assert_eq!(broker.environment(&environment("test")).await.unwrap().unwrap().id, environment_id(TEST));
    assert_eq!(broker.environment(&environment("nowhere")).await, Ok(None));
    let new = NewEnvironment { name: environment("new"), display_name: Some("Brand New".to_owned()), production: true };
    assert_eq!(broker.create_environment(&new).await.unwrap().display_name, "Brand New");
    let taken = NewEnvironment { name: environment("production"), display_name: None, production: true };
    assert_eq!(broker.create_environment(&taken).await.unwrap().id, environment_id(PRODUCTION));
}

fn pacticipants_and_versions(contract: &mut Contract) {
    let of = |version: &str| json_pattern!({ "number": version, "_links": like!(json!({})) });
    contract.add(
        "a request for a pacticipant",
        &[known("orders", "1")],
        get("/pacticipants/orders"),
        hal(200, json_pattern!({ "name": "orders" })),
    );
    contract.add("a request for a pacticipant that is not there", &[], get("/pacticipants/ghost"), not_found);
    contract.add(
        "a request for a version",
        &[known("orders", "1")],
        get("/pacticipants/orders/versions/1"),
        hal(200, of("1")),
    );
    contract.add(
        "a request for a version with a name that must be encoded",
        &[known(AWKWARD, AWKWARD)],
        get(&AWKWARD_PATH.replace("/pacticipants/", &format!("{AWKWARD_PATH}/versions/"))),
        hal(200, of(AWKWARD)),
    );
    contract.add(
        "a request for a version that is not there",
        &[known("orders", "1")],
        get("/pacticipants/orders/versions/9"),
        not_found,
    );
    contract.add(
        "a request for a version of a pacticipant that is not there",
        &[],
        get("/pacticipants/ghost/versions/1"),
        not_found,
    );
}

async fn ask_pacticipants_and_versions(broker: &Broker) {
    assert_eq!(broker.pacticipant_exists(&pacticipant("orders")).await, Ok(true));
    assert_eq!(broker.pacticipant_exists(&pacticipant("ghost")).await, Ok(false));
    assert_eq!(broker.version_exists(&pacticipant("orders"), &version("1")).await, Ok(true));
    assert_eq!(broker.version_exists(&pacticipant(AWKWARD), &version(AWKWARD)).await, Ok(true));
    assert_eq!(broker.version_exists(&pacticipant("orders"), &version("9")).await, Ok(false));
    assert_eq!(broker.version_exists(&pacticipant("ghost"), &version("1")).await, Ok(false));
}

fn deployments(contract: &mut Contract) {
    let record =
        |p: &str, v: &str, e: &str| format!("/pacticipants/{p}/versions/{v}/deployed-versions/environment/{e}");
    let current = |e: &str| format!("/environments/{e}/deployed-versions/currently-deployed");
    let (one, two) = (known("orders", "1"), known("orders", "2"));
    contract.add(
        "the record of a deployment",
        &[test_environment(), one.clone()],
        post(&record("orders", "1", TEST), json!({})),
        hal(201, row(any_uuid(DEPLOYED), "orders", "1")),
    );
    contract.add(
        "the record of a deployment that is recorded already",
        &[test_environment(), two.clone(), deployed(DEPLOYED, "orders", "2", None)],
        post(&record("orders", "2", TEST), json!({})),
        hal(201, row(DEPLOYED, "orders", "2")),
    );
    contract.add(
        "the record of an application instance's deployment",
        &[test_environment(), one.clone()],
        post(&record("orders", "1", TEST), json!({ "applicationInstance": "blue", "target": "blue" })),
        hal(201, row_of(any_uuid(DEPLOYED_BLUE), "orders", "1", "blue")),
    );
    for (what, path, states) in [
        ("a version that is not there", record("orders", "9", TEST), vec![test_environment(), one.clone()]),
        ("a pacticipant that is not there", record("ghost", "1", TEST), vec![test_environment()]),
        ("a deployment in an environment that is not there", record("orders", "1", NO_ENVIRONMENT), vec![one.clone()]),
    ] {
        contract.add(&format!("the record of {what}"), &states, post(&path, json!({})), not_found);
    }
    let both = [
        test_environment(),
        one,
        two,
        deployed(DEPLOYED, "orders", "1", None),
        deployed(DEPLOYED_BLUE, "orders", "2", Some("blue")),
    ];
    // The newest first.
    let rows = || vec![row_of(DEPLOYED_BLUE, "orders", "2", "blue"), row(DEPLOYED, "orders", "1")];
    contract.add(
        "a request for what is deployed in an environment",
        &both,
        get(&current(TEST)),
        hal(200, list("deployedVersions", rows())),
    );
    contract.add(
        "a request for what of a pacticipant is deployed",
        &both,
        find(&current(TEST), "pacticipant", "orders"),
        hal(200, list("deployedVersions", rows())),
    );
    contract.add(
        "a request for what is deployed of a pacticipant that is not",
        &both,
        find(&current(TEST), "pacticipant", AWKWARD),
        hal(200, list("deployedVersions", Vec::new())),
    );
    contract.add(
        "a request for what is deployed in an environment that is not there",
        &[],
        get(&current(NO_ENVIRONMENT)),
        not_found,
    );
    contract.add(
        "an undeployment",
        &both,
        patch(&format!("/deployed-versions/{DEPLOYED}"), json!({ "currentlyDeployed": false })),
        hal(200, json_pattern!({ "currentlyDeployed": false })),
    );
    contract.add(
        "an undeployment of what is not there",
        &[],
        patch(&format!("/deployed-versions/{NOT_DEPLOYED}"), json!({ "currentlyDeployed": false })),
        not_found,
    );
}

async fn ask_deployments(broker: &Broker) {
    let (orders, ghost, test, nowhere) =
        (pacticipant("orders"), pacticipant("ghost"), environment_id(TEST), environment_id(NO_ENVIRONMENT));
    let (one, two, nine, blue) = (version("1"), version("2"), version("9"), instance("blue"));
    assert_eq!(broker.record_deployment(&orders, &one, &test, None).await.unwrap().version, one);
    let again = broker.record_deployment(&orders, &two, &test, None).await.unwrap();
    assert_eq!(again.id.as_str(), DEPLOYED);
    let with = broker.record_deployment(&orders, &one, &test, Some(&blue)).await.unwrap();
    assert_eq!(with.application_instance, Some(blue.clone()));
    let missing = broker.record_deployment(&orders, &nine, &test, None).await;
    assert_eq!(missing, Err(BrokerError::VersionMissing { pacticipant: orders.clone(), version: nine }));
    let missing = broker.record_deployment(&ghost, &one, &test, None).await;
    assert_eq!(missing, Err(BrokerError::PacticipantMissing { pacticipant: ghost }));
    let missing = broker.record_deployment(&orders, &one, &nowhere, None).await;
    assert_eq!(missing, Err(BrokerError::EnvironmentMissing { environment: nowhere.clone() }));

    let rows = broker.currently_deployed(&test, None).await.unwrap();
    let read: Vec<_> = rows.iter().map(|row| (row.version.as_str(), row.application_instance.as_ref())).collect();
    assert_eq!(read, [("2", Some(&blue)), ("1", None)]);
    assert_eq!(broker.currently_deployed(&test, Some(&orders)).await, Ok(rows));
    assert_eq!(broker.currently_deployed(&test, Some(&pacticipant(AWKWARD))).await, Ok(Vec::new()));
    let missing = broker.currently_deployed(&nowhere, None).await;
    assert_eq!(missing, Err(BrokerError::EnvironmentMissing { environment: nowhere }));

    assert_eq!(broker.undeploy(&DeploymentId::parse(DEPLOYED).unwrap()).await, Ok(()));
    assert_eq!(broker.undeploy(&DeploymentId::parse(NOT_DEPLOYED).unwrap()).await, Ok(()));
}

fn releases(contract: &mut Contract) {
    let record = |v: &str| format!("/pacticipants/orders/versions/{v}/released-versions/environment/{PRODUCTION}");
    let supported = |e: &str| format!("/environments/{e}/released-versions/currently-supported");
    let one = [production_environment(), known("orders", "1")];
    let two = [production_environment(), known("orders", "2"), released(RELEASED, "orders", "2")];
    let rows = || list("releasedVersions", vec![row(RELEASED, "orders", "2")]);
    contract.add(
        "the record of a release",
        &one,
        post(&record("1"), json!({})),
        hal(201, row(any_uuid(RELEASED), "orders", "1")),
    );
    contract.add(
        "the record of a release that is recorded already",
        &two,
        post(&record("2"), json!({})),
        hal(200, row(RELEASED, "orders", "2")),
    );
    contract.add("the record of a version's release that is not there", &one, post(&record("9"), json!({})), not_found);
    contract.add(
        "a request for what is supported in an environment",
        &two,
        get(&supported(PRODUCTION)),
        hal(200, rows()),
    );
    contract.add(
        "a request for what of a pacticipant is supported",
        &two,
        find(&supported(PRODUCTION), "pacticipant", "orders"),
        hal(200, rows()),
    );
    contract.add(
        "a request for what is supported in an environment that is not there",
        &[],
        get(&supported(NO_ENVIRONMENT)),
        not_found,
    );
    contract.add(
        "the end of a release's support",
        &two,
        patch(&format!("/released-versions/{RELEASED}"), json!({ "currentlySupported": false })),
        hal(200, json_pattern!({ "currentlySupported": false })),
    );
    contract.add(
        "the end of the support of a release that is not there",
        &[],
        patch(&format!("/released-versions/{NOT_RELEASED}"), json!({ "currentlySupported": false })),
        not_found,
    );
}

async fn ask_releases(broker: &Broker) {
    let (orders, production, nowhere) =
        (pacticipant("orders"), environment_id(PRODUCTION), environment_id(NO_ENVIRONMENT));
    assert_eq!(broker.record_release(&orders, &version("1"), &production).await.unwrap().version, version("1"));
    let again = broker.record_release(&orders, &version("2"), &production).await.unwrap();
    assert_eq!(again.id.as_str(), RELEASED);
    let missing = broker.record_release(&orders, &version("9"), &production).await;
    assert_eq!(missing, Err(BrokerError::VersionMissing { pacticipant: orders.clone(), version: version("9") }));
    let rows = broker.currently_supported(&production, None).await.unwrap();
    assert_eq!(rows, [again]);
    assert_eq!(broker.currently_supported(&production, Some(&orders)).await, Ok(rows));
    let missing = broker.currently_supported(&nowhere, None).await;
    assert_eq!(missing, Err(BrokerError::EnvironmentMissing { environment: nowhere }));
    assert_eq!(broker.end_support(&ReleaseId::parse(RELEASED).unwrap()).await, Ok(()));
    assert_eq!(broker.end_support(&ReleaseId::parse(NOT_RELEASED).unwrap()).await, Ok(()));
}

/// Where the checked-in pact is.
pub(crate) fn checked_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../pacts/pact-operator-pact-broker.json")
}

/// Without what changes with every version of Pact's libraries.
fn stable(mut pact: Value) -> Value {
    pact.as_object_mut().map(|pact| pact.remove("metadata"));
    pact
}

/// Pact's libraries report what they do to an analytics service; tests speak to loopback only.
pub(crate) fn untracked() {
    let off = std::env::var("PACT_DO_NOT_TRACK").is_ok_and(|value| value == "true");
    assert!(off, "set PACT_DO_NOT_TRACK=true (.cargo/config.toml does for whatever cargo starts)");
}

#[test]
fn the_pact_holds_every_call_and_is_the_one_checked_in() {
    untracked();
    let folder = tempfile::tempdir().unwrap();
    let mut contract = Contract(PactBuilder::new_v4("pact-operator", "Pact Broker"));
    index_and_environments(&mut contract);
    pacticipants_and_versions(&mut contract);
    deployments(&mut contract);
    releases(&mut contract);
    matrix(&mut contract);
    verification(&mut contract);
    contract.0.with_output_dir(folder.path());
    let server = contract.0.start_mock_server(None, None);
    let broker = broker(server.url().as_str());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        ask_index_and_environments(&broker).await;
        ask_pacticipants_and_versions(&broker).await;
        ask_deployments(&broker).await;
        ask_releases(&broker).await;
        ask_matrix(&broker).await;
        ask_verification(&broker).await;
    });
    // Checks that every request came, and writes the pact.
    drop(server);
    let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = files.as_slice() else { panic!("{files:?}") };
    let written: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    if std::env::var_os("UPDATE_PACT").is_some() {
        std::fs::create_dir_all(checked_in().parent().unwrap()).unwrap();
        std::fs::copy(file, checked_in()).unwrap();
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(checked_in()).unwrap()).unwrap();
    assert!(
        stable(kept) == stable(written),
        "the pact has changed: run this test with UPDATE_PACT=1 and look at the difference"
    );
}
