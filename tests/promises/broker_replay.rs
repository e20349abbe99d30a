//! The client sends the requests of the recordings of a real Pact Broker, and reads each recorded answer correctly.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::Pin;

use pact_operator::broker::{
    Broker, BrokerError, Credentials, DeployedVersion, DeploymentId, NewEnvironment, Probe, ReleaseId, ReleasedVersion,
};
use serde_json::Value;

use super::broker_faults::basic;
use super::broker_replay_matrix::matrices;
use super::broker_replay_server::Replay;
use super::broker_under_test::{config, environment, environment_id, instance, pacticipant, version};

const TEST: &str = "05b62dc5-3da9-4df0-b20f-e4661d5817c4";
const PRODUCTION: &str = "b30a2ab1-a7cd-4bd3-95ed-7671b9349e1f";
const GONE: &str = "16926ef3-590f-4e3f-838e-719717aa88c9";
const RELEASE: &str = "01950e00-3ec0-4645-8316-a01ce936484d";

/// The requests that the client makes; `{}` is one segment.
const ROUTES: [(&str, &str); 12] = [
    ("GET", "/"),
    ("GET", "/matrix"),
    ("GET", "/environments"),
    ("POST", "/environments"),
    ("GET", "/pacticipants/{}"),
    ("GET", "/pacticipants/{}/versions/{}"),
    ("GET", "/environments/{}/deployed-versions/currently-deployed"),
    ("POST", "/pacticipants/{}/versions/{}/deployed-versions/environment/{}"),
    ("PATCH", "/deployed-versions/{}"),
    ("GET", "/environments/{}/released-versions/currently-supported"),
    ("POST", "/pacticipants/{}/versions/{}/released-versions/environment/{}"),
    ("PATCH", "/released-versions/{}"),
];

/// How the request of a recorded exchange was made.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// As the client makes it.
    Same,
    /// In a way that the client never does, for this reason; only the answer counts.
    Otherwise(&'static str),
}

type Call = Box<dyn FnOnce(Broker) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

pub(crate) struct Row {
    /// The recordings that the call replays, in order.
    recordings: &'static [&'static str],
    asked: Asked,
    credentials: Credentials,
    /// Makes the call and asserts what it returns.
    call: Call,
}

pub(crate) fn row<F>(
    recordings: &'static [&'static str],
    asked: Asked,
    call: impl FnOnce(Broker) -> F + Send + 'static,
) -> Row
where
    F: Future<Output = ()> + Send + 'static,
{
    Row { recordings, asked, credentials: Credentials::None, call: Box::new(|broker| Box::pin(call(broker))) }
}

fn recording(name: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recordings/{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn deployed(id: &str, p: &str, v: &str, application_instance: Option<&str>) -> DeployedVersion {
    DeployedVersion {
        id: DeploymentId::parse(id).unwrap(),
        pacticipant: pacticipant(p),
        version: version(v),
        application_instance: application_instance.map(instance),
    }
}

fn released() -> ReleasedVersion {
    ReleasedVersion {
        id: ReleaseId::parse(RELEASE).unwrap(),
        pacticipant: pacticipant("orders-web"),
        version: version("1.0.0"),
    }
}

fn new_environment(name: &str, display_name: Option<&str>, production: bool) -> NewEnvironment {
    NewEnvironment { name: environment(name), display_name: display_name.map(str::to_owned), production }
}

pub(crate) fn assert_rejected<T: std::fmt::Debug>(result: Result<T, BrokerError>, expected: u16, says: &str) {
    match result {
        Err(BrokerError::Rejected { status, message, .. }) => {
            assert_eq!(status, expected);
            assert!(message.contains(says), "{message}");
        }
        other => panic!("not rejected: {other:?}"),
    }
}

async fn record(
    broker: Broker,
    p: &str,
    v: &str,
    uuid: &str,
    blue: Option<&str>,
) -> Result<DeployedVersion, BrokerError> {
    let blue = blue.map(instance);
    broker.record_deployment(&pacticipant(p), &version(v), &environment_id(uuid), blue.as_ref()).await
}

async fn release(broker: Broker) -> Result<ReleasedVersion, BrokerError> {
    broker.record_release(&pacticipant("orders-web"), &version("1.0.0"), &environment_id(PRODUCTION)).await
}

async fn undeploy(broker: Broker, uuid: &str) -> Result<(), BrokerError> {
    broker.undeploy(&DeploymentId::parse(uuid).unwrap()).await
}

async fn current(broker: Broker, uuid: &str, p: Option<&str>) -> Result<Vec<DeployedVersion>, BrokerError> {
    broker.currently_deployed(&environment_id(uuid), p.map(pacticipant).as_ref()).await
}

fn index_and_credentials() -> Vec<Row> {
    use Asked::Same;
    let unauthorized = |expected: u16| {
        move |broker: Broker| async move {
            let error = broker.probe().await.unwrap_err();
            assert!(matches!(error, BrokerError::Unauthorized { status, .. } if status == expected), "{error:?}");
        }
    };
    vec![
        row(&["index"], Same, |broker| async move {
            assert_eq!(broker.probe().await, Ok(Probe { broker_version: Some("2.120.0".to_owned()) }));
        }),
        row(&["auth-none-401"], Same, unauthorized(401)),
        Row { credentials: basic(), ..row(&["auth-wrong-401"], Same, unauthorized(401)) },
        Row {
            credentials: Credentials::Bearer("abc".into()),
            ..row(&["auth-bearer-token-on-basic-auth-broker-400"], Same, unauthorized(400))
        },
        Row {
            credentials: basic(),
            ..row(&["auth-read-only-user-reads-200-base-url"], Same, |broker| async move {
                let names: Vec<_> = broker.environments().await.unwrap().into_iter().map(|found| found.name).collect();
                assert!(names.contains(&environment("e-adminx")), "{names:?}");
            })
        },
        Row {
            credentials: basic(),
            ..row(&["auth-read-only-user-writes-401"], Same, |broker| async move {
                let error = broker.create_environment(&new_environment("ro", None, false)).await.unwrap_err();
                assert!(
                    error.reason().as_str() == "Unauthorized" && error.to_string().contains("read-only"),
                    "{error}"
                );
            })
        },
    ]
}

fn environments() -> Vec<Row> {
    use Asked::{Otherwise, Same};
    let create = |name, display: Option<&'static str>, production| {
        move |broker: Broker| async move {
            let made = broker.create_environment(&new_environment(name, display, production)).await.unwrap();
            assert_eq!((made.name, made.production), (environment(name), production));
            assert_eq!(Some(made.display_name.as_str()), display);
            assert_eq!(made.id, environment_id(if production { PRODUCTION } else { TEST }));
        }
    };
    let rejected = |status, says: &'static str| {
        move |broker: Broker| async move {
            assert_rejected(broker.create_environment(&new_environment("x", None, false)).await, status, says);
        }
    };
    vec![
        row(&["environments-list"], Same, |broker| async move {
            let found = broker.environments().await.unwrap();
            let found: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.production)).collect();
            assert_eq!(found, [("production", true), ("test", false)]);
        }),
        row(&["environments-list-empty"], Same, |broker| async move {
            assert_eq!(broker.environments().await, Ok(Vec::new()));
        }),
        row(&["environments-list-accept-json-406"], Otherwise("without HAL in Accept"), |broker| async move {
            assert_rejected(broker.environments().await, 406, "");
        }),
        row(&["environments-by-name-found"], Same, |broker| async move {
            let found = broker.environment(&environment("test")).await.unwrap().unwrap();
            assert_eq!((found.id, found.display_name.as_str()), (environment_id(TEST), "Test"));
        }),
        row(&["environments-by-name-missing"], Same, |broker| async move {
            assert_eq!(broker.environment(&environment("nope")).await, Ok(None));
        }),
        row(&["environment-create-201"], Same, create("test", Some("Test"), false)),
        row(
            &["environment-create-production-with-contacts-201"],
            Otherwise("with contacts"),
            create("production", Some("Production"), true),
        ),
        row(
            &["environment-create-duplicate-name-400", "environments-by-name-found"],
            Same,
            create("test", Some("Test"), false),
        ),
        row(
            &["environment-create-duplicate-name-400-problem-json", "environments-by-name-found"],
            Same,
            create("test", Some("Test"), false),
        ),
        row(
            &["environment-create-invalid-400", "environments-by-name-missing"],
            Otherwise("without production, with a space in the name"),
            rejected(400, "name cannot contain spaces"),
        ),
        row(
            &["environment-create-invalid-400-problem-json", "environments-by-name-missing"],
            Otherwise("without production, with a space in the name"),
            rejected(400, "/name"),
        ),
        row(
            &["environment-create-malformed-json-400", "environments-by-name-missing"],
            Otherwise("broken JSON"),
            rejected(400, "ParserError"),
        ),
        row(
            &["environment-create-malformed-json-400-problem-json", "environments-by-name-missing"],
            Otherwise("broken JSON"),
            rejected(400, "ParserError"),
        ),
        row(&["environment-create-wrong-content-type-415"], Otherwise("as text/plain"), rejected(415, "")),
    ]
}

fn pacticipants_and_versions() -> Vec<Row> {
    let pacticipant_is = |expected| {
        move |broker: Broker| async move {
            assert_eq!(broker.pacticipant_exists(&pacticipant("orders-web")).await, Ok(expected));
        }
    };
    let version_is = |number, expected| {
        move |broker: Broker| async move {
            assert_eq!(broker.version_exists(&pacticipant("orders-web"), &version(number)).await, Ok(expected));
        }
    };
    let same = Asked::Same;
    vec![
        row(&["pacticipant-get-200"], same, pacticipant_is(true)),
        row(&["pacticipant-get-missing-404"], same, pacticipant_is(false)),
        row(&["pacticipant-get-missing-404-problem-json"], same, pacticipant_is(false)),
        row(&["version-get-200"], same, version_is("1.0.0", true)),
        row(&["version-get-with-deployments-200"], same, version_is("1.0.0", true)),
        row(&["version-get-missing-version-404"], same, version_is("9.9.9", false)),
        row(&["version-get-missing-pacticipant-404"], same, version_is("1.0.0", false)),
        row(&["version-get-missing-pacticipant-404-problem-json"], same, version_is("1.0.0", false)),
    ]
}

fn recorded_deployments() -> Vec<Row> {
    use Asked::{Otherwise, Same};
    let records = |p: &'static str, v: &'static str, blue: Option<&'static str>, uuid: &'static str| {
        move |broker: Broker| async move {
            assert_eq!(record(broker, p, v, TEST, blue).await, Ok(deployed(uuid, p, v, blue)));
        }
    };
    let missing_version = |broker: Broker| async move {
        let expected =
            BrokerError::VersionMissing { pacticipant: pacticipant("orders-web"), version: version("9.9.9") };
        assert_eq!(record(broker, "orders-web", "9.9.9", TEST, None).await, Err(expected));
    };
    let rejected = |status, says: &'static str| {
        move |broker: Broker| async move {
            assert_rejected(record(broker, "orders-web", "1.0.0", TEST, None).await, status, says);
        }
    };
    let first = "e98c77d5-b9b9-406f-b60c-cf300e30acf3";
    let web = "orders-web";
    vec![
        row(&["record-deployment-201"], Same, records(web, "1.0.0", None, first)),
        row(&["record-deployment-same-version-again-201"], Same, records(web, "1.0.0", None, first)),
        row(
            &["record-deployment-other-version-201"],
            Same,
            records(web, "1.0.1", None, "edb63311-57ec-4d5e-8727-8ebb94ae7613"),
        ),
        row(
            &["record-deployment-redeploy-after-undeploy-201"],
            Same,
            records(web, "1.0.0", None, "5b10b660-3002-4300-ad67-d53f98b46de7"),
        ),
        row(
            &["record-deployment-application-instance-201"],
            Same,
            records(web, "1.0.0", Some("blue"), "f2800ac1-0969-4e82-a992-919d1621d6db"),
        ),
        row(
            &["encoding-plus-record-deployment"],
            Same,
            records("app+x", "1.0.0+build.5", None, "6d8471fe-e532-4522-a1ec-ddcc7f15c03c"),
        ),
        row(
            &["encoding-slash-record-deployment"],
            Same,
            records("org/app", "feat/x-1", None, "5fa95b6d-b284-48fd-be68-59c14ad88c3b"),
        ),
        row(
            &["encoding-space-record-deployment"],
            Same,
            records("my app", "1.0 beta", None, "78466a8c-4ebe-4be6-a900-c94c76bff7ee"),
        ),
        row(
            &["record-deployment-missing-version-404", "version-get-missing-version-404", "pacticipant-get-200"],
            Same,
            missing_version,
        ),
        row(
            &[
                "record-deployment-missing-version-404-problem-json",
                "version-get-missing-version-404",
                "pacticipant-get-200",
            ],
            Same,
            missing_version,
        ),
        row(&["record-deployment-missing-environment-404", "version-get-200"], Same, |broker| async move {
            let expected = BrokerError::EnvironmentMissing { environment: environment_id(GONE) };
            assert_eq!(record(broker, "orders-web", "1.0.0", GONE, None).await, Err(expected));
        }),
        row(&["record-deployment-sqlite-locked-500"], Same, |broker| async move {
            let error = record(broker, "orders-web", "1.0.0", TEST, Some("locked")).await.unwrap_err();
            assert!(matches!(error, BrokerError::Server { status: 500, .. }) && error.retryable(), "{error:?}");
            assert!(error.to_string().contains("reference gfgMRVHnRB"), "{error}");
        }),
        row(&["record-deployment-accept-json-406"], Otherwise("without HAL in Accept"), rejected(406, "")),
        row(&["record-deployment-malformed-json-400"], Otherwise("broken JSON"), rejected(400, "ParserError")),
        row(&["record-deployment-wrong-content-type-415"], Otherwise("as application/hal+json"), rejected(415, "")),
    ]
}

fn undeployments() -> Vec<Row> {
    use Asked::{Otherwise, Same};
    let undeployed = |uuid| move |broker: Broker| async move { assert_eq!(undeploy(broker, uuid).await, Ok(())) };
    let rejected = |uuid, status, says| {
        move |broker: Broker| async move { assert_rejected(undeploy(broker, uuid).await, status, says) }
    };
    let (web, blue) = ("edb63311-57ec-4d5e-8727-8ebb94ae7613", "f2800ac1-0969-4e82-a992-919d1621d6db");
    vec![
        row(&["record-undeployment-200"], Same, undeployed(web)),
        row(&["record-undeployment-again-200"], Same, undeployed(web)),
        row(&["record-undeployment-missing-404"], Same, undeployed(GONE)),
        row(&["record-undeployment-true-422"], Otherwise("back to true"), rejected(blue, 422, "cannot be set back")),
        row(
            &["record-undeployment-true-422-problem-json"],
            Otherwise("back to true"),
            rejected(blue, 422, "/currentlyDeployed"),
        ),
        row(&["record-undeployment-wrong-content-type-415"], Otherwise("as application/json"), rejected(web, 415, "")),
    ]
}

fn what_is_deployed() -> Vec<Row> {
    use Asked::{Otherwise, Same};
    let web = || deployed("edb63311-57ec-4d5e-8727-8ebb94ae7613", "orders-web", "1.0.1", None);
    let blue = || deployed("f2800ac1-0969-4e82-a992-919d1621d6db", "orders-web", "1.0.0", Some("blue"));
    vec![
        row(&["currently-deployed-list-200"], Same, move |broker| async move {
            assert_eq!(current(broker, TEST, None).await, Ok(vec![web(), blue()]));
        }),
        row(&["currently-deployed-by-pacticipant-200"], Same, move |broker| async move {
            assert_eq!(current(broker, TEST, Some("orders-web")).await, Ok(vec![web(), blue()]));
        }),
        row(
            &["currently-deployed-by-application-instance-200"],
            Otherwise("the instance is looked for among all rows"),
            move |broker| async move { assert_eq!(current(broker, TEST, Some("orders-web")).await, Ok(vec![blue()])) },
        ),
        row(
            &["currently-deployed-by-empty-application-instance-200"],
            Otherwise("the instance is looked for among all rows"),
            move |broker| async move { assert_eq!(current(broker, TEST, Some("orders-web")).await, Ok(vec![web()])) },
        ),
        row(&["currently-deployed-unknown-pacticipant-200-empty"], Same, |broker| async move {
            assert_eq!(current(broker, TEST, Some("nope")).await, Ok(Vec::new()));
        }),
        row(&["currently-deployed-missing-environment-404"], Same, |broker| async move {
            let expected = BrokerError::EnvironmentMissing { environment: environment_id(GONE) };
            assert_eq!(current(broker, GONE, None).await, Err(expected));
        }),
    ]
}

fn releases() -> Vec<Row> {
    use Asked::{Otherwise, Same};
    let records = |broker: Broker| async move { assert_eq!(release(broker).await, Ok(released())) };
    let end = |broker: Broker| async move { broker.end_support(&ReleaseId::parse(RELEASE).unwrap()).await };
    vec![
        row(&["record-release-201"], Same, records),
        row(&["record-release-again-200"], Same, records),
        row(&["record-release-after-support-ended-200"], Same, records),
        row(&["currently-supported-list-200"], Same, |broker| async move {
            let (environment, web) = (environment_id(PRODUCTION), pacticipant("orders-web"));
            let found = broker.currently_supported(&environment, Some(&web)).await.unwrap();
            assert!(found.contains(&released()), "{found:?}");
            assert!(found.iter().all(|one| one.pacticipant == web));
        }),
        row(&["record-support-ended-200"], Same, move |broker| async move { assert_eq!(end(broker).await, Ok(())) }),
        row(&["record-support-ended-true-422"], Otherwise("back to true"), move |broker| async move {
            assert_rejected(end(broker).await, 422, "cannot be set back");
        }),
    ]
}

fn table() -> Vec<Row> {
    [
        index_and_credentials(),
        environments(),
        pacticipants_and_versions(),
        recorded_deployments(),
        undeployments(),
        what_is_deployed(),
        releases(),
        matrices(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[tokio::test]
async fn the_client_asks_and_understands_as_recorded() {
    for Row { recordings, asked, credentials, call } in table() {
        let (replay, url) = Replay::start(recordings.iter().map(|name| recording(name))).await;
        println!("{recordings:?}");
        let mut config = config(&url);
        config.credentials = credentials;
        call(Broker::new(config).unwrap()).await;
        assert_eq!(replay.left(), 0, "{recordings:?}: recorded, but not asked");
        let differences = replay.differences();
        match asked {
            Asked::Same => assert!(differences.is_empty(), "{recordings:?}: {differences:#?}"),
            // accept is compared only as "with HAL or not", so that a difference is a real one.
            Asked::Otherwise(how) => assert!(!differences.is_empty(), "{recordings:?} is not asked otherwise ({how})"),
        }
    }
}

#[test]
fn every_recording_of_a_route_that_the_client_uses_is_replayed() {
    let replayed: BTreeSet<_> = table().iter().flat_map(|row| row.recordings).map(|name| (*name).to_owned()).collect();
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let mut touched = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let request = &recording(&name)["request"];
        let path = request["path"].as_str().unwrap().split('?').next().unwrap();
        let matches = |(method, route): &&(&str, &str)| {
            let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
            request["method"] == *method
                && route.len() == path.len()
                && route.iter().zip(path).all(|(wanted, found)| *wanted == "{}" || *wanted == found)
        };
        if ROUTES.iter().any(|route| matches(&route)) {
            touched.insert(name);
        }
    }
    assert!(touched.len() > 40, "{touched:?}");
    assert_eq!(touched.difference(&replayed).collect::<Vec<_>>(), Vec::<&String>::new(), "not replayed");
    assert_eq!(replayed.difference(&touched).collect::<Vec<_>>(), Vec::<&String>::new(), "not of our routes");
}
