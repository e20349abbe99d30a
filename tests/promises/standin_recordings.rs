//! Every exchange recorded from a real broker, sent to the stand-in: same status, same headers, same body. Dates,
//! content hashes, verification numbers and error references are normalised, and those uuids that the server chose.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use reqwest::Method;
use serde_json::Value;

use testbed::http::plain_client;
use testbed::standin::{Auth, Fault, Options, StandIn, Store};

use super::standin_recordings_worlds::*;

/// Seeds the state that a recording was made in.
type World = fn(&Store);

/// The recordings by the world they were made in, with the recordings that are replayed before.
const WORLDS: &[(World, &[&str], &[&str])] = &[
    (
        nothing,
        &[],
        &[
            "auth-bearer-token-on-basic-auth-broker-400",
            "auth-none-401",
            "auth-wrong-401",
            "auth-read-only-user-writes-401",
            "index",
            "heartbeat-200",
            "dependencies-200",
            "unknown-route-404",
            "environments-list-empty",
            "environments-list-accept-json-406",
            "environment-create-201",
            "environment-create-production-with-contacts-201",
            "environment-create-invalid-400",
            "environment-create-invalid-400-problem-json",
            "environment-create-malformed-json-400",
            "environment-create-malformed-json-400-problem-json",
            "environment-create-wrong-content-type-415",
            "pacticipant-get-missing-404",
            "pacticipant-get-missing-404-problem-json",
            "version-get-missing-pacticipant-404",
            "version-get-missing-pacticipant-404-problem-json",
            "can-i-deploy-no-parameters-400",
        ],
    ),
    (administered, &[], &["auth-read-only-user-reads-200-base-url"]),
    (
        environments,
        &[],
        &[
            "environment-create-duplicate-name-400",
            "environment-create-duplicate-name-400-problem-json",
            "environment-get-200",
            "environment-get-missing-404",
            "environment-get-missing-404-problem-json",
            "environment-update-patch-405",
            "environment-update-put-200",
            "environment-update-put-invalid-400",
            "environments-by-name-found",
            "environments-by-name-missing",
            "environments-list",
            "version-create-put-201",
            "currently-deployed-missing-environment-404",
            "currently-deployed-unknown-pacticipant-200-empty",
            "record-undeployment-missing-404",
            "matrix-no-selector-400",
            "matrix-pacticipant-missing-400",
            "matrix-pacticipant-missing-400-problem-json",
            "can-i-deploy-pacticipant-missing-400",
            "can-i-deploy-pacticipant-missing-400-problem-json",
        ],
    ),
    (environments, &["version-create-put-201"], &["version-create-put-again-200"]),
    (environments, &["version-create-put-201", "version-create-put-again-200"], &["version-get-200"]),
    (
        orders,
        &[],
        &[
            "version-get-missing-version-404",
            "version-head-405",
            "record-deployment-201",
            "record-deployment-accept-json-406",
            "record-deployment-malformed-json-400",
            "record-deployment-missing-environment-404",
            "record-deployment-missing-version-404",
            "record-deployment-missing-version-404-problem-json",
            "record-deployment-wrong-content-type-415",
            "record-deployment-sqlite-locked-500",
        ],
    ),
    (orders, &["environment-update-put-200"], &["record-release-201"]),
    (first_deployed, &[], &["record-deployment-same-version-again-201", "record-deployment-application-instance-201"]),
    (first_and_blue_deployed, &[], &["record-deployment-other-version-201"]),
    (
        second_and_blue_deployed,
        &[],
        &[
            "currently-deployed-list-200",
            "currently-deployed-by-pacticipant-200",
            "currently-deployed-by-application-instance-200",
            "currently-deployed-by-empty-application-instance-200",
            "deployed-version-get-superseded-200",
            "deployed-versions-of-version-in-environment-200",
            "record-undeployment-200",
            "record-undeployment-true-422",
            "record-undeployment-true-422-problem-json",
            "record-undeployment-wrong-content-type-415",
            "pacticipant-get-200",
        ],
    ),
    (second_and_blue_deployed, &["version-create-put-again-200"], &["version-get-with-deployments-200"]),
    (
        second_and_blue_deployed,
        &["record-undeployment-200"],
        &["record-undeployment-again-200", "record-deployment-redeploy-after-undeploy-201"],
    ),
    (
        released,
        &["environment-update-put-200"],
        &[
            "record-release-again-200",
            "currently-supported-list-200",
            "record-support-ended-200",
            "record-support-ended-true-422",
        ],
    ),
    (
        released,
        &["environment-update-put-200", "record-support-ended-200"],
        &["record-release-after-support-ended-200"],
    ),
    (
        three_environments,
        &[],
        &[
            "encoding-plus-version-put",
            "encoding-slash-version-put",
            "encoding-space-version-put",
            "environment-delete-204",
        ],
    ),
    (
        three_environments,
        &["encoding-plus-version-put", "encoding-slash-version-put", "encoding-space-version-put"],
        &[
            "encoding-plus-record-deployment",
            "encoding-slash-record-deployment",
            "encoding-space-record-deployment",
            "encoding-plus-can-i-deploy",
            "encoding-slash-can-i-deploy",
            "encoding-space-can-i-deploy",
            "encoding-raw-plus-in-query-is-a-space",
        ],
    ),
    (environments, &[], &["contracts-publish-200"]),
    (
        web_published,
        &[],
        &[
            "verification-publish-201",
            "can-i-deploy-unknown-provider-not-in-environment",
            "matrix-unknown-provider-not-in-environment",
            "can-i-deploy-environment-missing-400",
            "can-i-deploy-environment-missing-400-problem-json",
            "can-i-deploy-no-destination-400",
            "can-i-deploy-no-version-400",
            "matrix-environment-missing-400",
            "matrix-environment-missing-400-problem-json",
            "server-error-500",
            "server-error-500-problem-json",
        ],
    ),
    (
        api_deployed,
        &[],
        &[
            "can-i-deploy-true",
            "matrix-true",
            "can-i-deploy-unknown-verification-missing",
            "matrix-unknown-verification-missing",
            "can-i-deploy-version-missing",
            "matrix-version-missing",
            "can-i-deploy-version-without-pacts",
            "matrix-version-without-pacts",
            "can-i-deploy-never-integrated",
            "matrix-never-integrated",
        ],
    ),
    (
        second_failed,
        &[],
        &[
            "can-i-deploy-false-verification-failed",
            "matrix-false-verification-failed",
            "can-i-deploy-text-plain",
            "can-i-deploy-ignore",
            "matrix-ignore",
            "can-i-deploy-ignore-missing-version",
        ],
    ),
    (
        web_deployed,
        &[],
        &[
            "can-i-deploy-provider-true",
            "matrix-provider-true",
            "can-i-deploy-provider-unknown",
            "matrix-provider-unknown",
        ],
    ),
    (
        mobile,
        &[],
        &[
            "can-i-deploy-two-provider-versions-one-failed",
            "matrix-two-provider-versions-one-failed",
            "matrix-two-provider-versions-one-failed-latestby-cvp",
            "matrix-limit-1-hides-failure",
            "can-i-deploy-two-provider-versions-one-unverified",
            "matrix-two-provider-versions-one-unverified",
            "matrix-explicit-pair-unknown",
        ],
    ),
    (mixed, &[], &["can-i-deploy-one-failed-one-unknown"]),
    (
        pairs,
        &[],
        &[
            "pairs-verified",
            "pairs-unverified",
            "pairs-two-versions-of-the-provider-one-unverified-is-hidden",
            "pairs-version-missing",
            "pairs-three-applications",
            "pairs-with-a-stranger",
            "pairs-pacticipant-missing-400",
        ],
    ),
];

/// Recordings that cannot be reproduced, each with the reason. There are none.
const LEFT_OUT: &[(&str, &str)] = &[];

fn recordings() -> BTreeMap<String, Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let json = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    json.map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    })
    .collect()
}

static UUID: LazyLock<Regex> = LazyLock::new(|| Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap());
static SHA: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b[0-9a-f]{40}\b").unwrap());
/// What else differs from run to run, and its placeholder.
static VOLATILE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let volatile = [
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "DATE"),
        (r"verification-results/\d+", "verification-results/N"),
        (r"Verification result \d+ for", "Verification result N for"),
        (r"\| \d+ +\| (true|false)", "| N | $1"),
        (r"with the reference \w{10}", "with the reference R"),
        (r#""reference":"\w{10}""#, r#""reference":"R""#),
    ];
    volatile.map(|(pattern, replacement)| (Regex::new(pattern).unwrap(), replacement)).to_vec()
});

/// Replaces what differs from run to run, but for the uuids that were known before.
fn normalised(text: &str, known: &BTreeSet<&str>) -> String {
    let keep = |found: &regex::Captures<'_>| {
        if known.contains(&found[0]) { found[0].to_owned() } else { "UUID".to_owned() }
    };
    let text = SHA.replace_all(&UUID.replace_all(text, keep), "SHA").into_owned();
    let replaced =
        |text: String, (pattern, replacement): &(Regex, &str)| pattern.replace_all(&text, *replacement).into_owned();
    VOLATILE.iter().fold(text, replaced)
}

async fn broker_for(name: &str, world: World) -> StandIn {
    let user = |name: &str| (name.to_owned(), "secret".to_owned());
    let auth = match name {
        _ if name.starts_with("auth-read-only") => {
            let (user, pass) = user("reader");
            Some(Auth::ReadOnly { user, pass })
        }
        _ if name.starts_with("auth-") => {
            let (user, pass) = user("writer");
            Some(Auth::Basic { user, pass })
        }
        _ => None,
    };
    let public = name.ends_with("-base-url").then(|| "https://pact.example.com/broker".to_owned());
    let broker = StandIn::start_with(Options { auth, base_url_in_links: public, ..Options::default() }).await;
    world(broker.store());
    if name == "record-deployment-sqlite-locked-500" {
        broker.faults().add(Fault::status(500));
    }
    broker
}

async fn send(broker: &StandIn, name: &str, recording: &Value) -> reqwest::Response {
    let request = &recording["request"];
    let mut path = request["path"].as_str().unwrap().to_owned();
    if name == "verification-publish-201" {
        let sha = broker.store().pact_sha("web", "1", "api").unwrap();
        path = SHA.replace(&path, sha).into_owned();
    }
    let method = Method::from_bytes(request["method"].as_str().unwrap().as_bytes()).unwrap();
    let mut sent = plain_client().request(method, broker.url() + &path);
    for (header, value) in request["headers"].as_object().unwrap() {
        let value = value.as_str().unwrap();
        sent = match value {
            "Basic <base64 of user:password>" if name == "auth-wrong-401" => sent.basic_auth("writer", Some("wrong")),
            "Basic <base64 of user:password>" => sent.basic_auth("reader", Some("secret")),
            _ => sent.header(header, value),
        };
    }
    match &request["body"] {
        Value::Null => {}
        Value::String(text) => sent = sent.body(text.clone()),
        body => sent = sent.body(body.to_string()),
    }
    sent.send().await.unwrap()
}

/// The values of a body by their paths; empty lists and objects are values.
fn leaves(value: &Value, path: &str) -> BTreeMap<String, Value> {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, value)| (format!("{path}/{name}"), value)).collect(),
        Value::Array(items) => items.iter().enumerate().map(|(at, value)| (format!("{path}/{at}"), value)).collect(),
        _ => Vec::new(),
    };
    if below.is_empty() {
        return BTreeMap::from([(path.to_owned(), value.clone())]);
    }
    below.into_iter().flat_map(|(path, value)| leaves(value, &path)).collect()
}

/// The differences between the recorded answer and the stand-in's.
async fn differences(broker: &StandIn, name: &str, recording: &Value) -> Vec<String> {
    let mut seeded = BTreeSet::from([TEST, PRODUCTION, MULTI, FIRST, BLUE, SECOND, RELEASE, ADMIN]);
    seeded.retain(|uuid| broker.store().has_uuid(uuid));
    let same = |text: &str| normalised(text, &seeded);
    let expected = &recording["response"];
    let answer = send(broker, name, recording).await;
    let mut differences = Vec::new();
    let mut compare = |what: &str, expected: String, actual: String| {
        if expected != actual {
            differences.push(format!("{name}: {what}\n  recorded {expected}\n  stand-in {actual}"));
        }
    };
    compare("status", expected["status"].to_string(), answer.status().as_u16().to_string());
    let recorded = expected["headers"].as_object().unwrap();
    let headers =
        ["content-type", "location", "allow", "www-authenticate", "x-pact-broker-version", "vary", "cache-control"];
    for header in headers {
        let actual = answer.headers().get(header).map(|value| value.to_str().unwrap()).unwrap_or_default();
        compare(header, same(recorded.get(header).and_then(Value::as_str).unwrap_or_default()), same(actual));
    }
    let body = answer.text().await.unwrap();
    match &expected["body"] {
        Value::String(text) => compare("body", same(text), same(&body)),
        recorded => {
            let body: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{name}: not JSON: {body}"));
            let parsed = |body: &Value| serde_json::from_str::<Value>(&same(&body.to_string())).unwrap();
            let (recorded, body) = (parsed(recorded), parsed(&body));
            let (recorded, body) = (leaves(&recorded, ""), leaves(&body, ""));
            for path in recorded.keys().chain(body.keys()).collect::<BTreeSet<_>>() {
                compare(path, format!("{:?}", recorded.get(path)), format!("{:?}", body.get(path)));
            }
        }
    }
    differences
}

#[test]
fn every_recording_is_replayed_or_left_out_with_a_reason() {
    let recorded: BTreeSet<String> = recordings().into_keys().collect();
    let replayed = WORLDS.iter().flat_map(|(_, _, names)| names.iter());
    let named: Vec<_> = replayed.chain(LEFT_OUT.iter().map(|(name, _)| name)).map(|name| (*name).to_owned()).collect();
    let known: BTreeSet<String> = named.iter().cloned().collect();
    assert_eq!(named.len(), known.len(), "a recording is listed twice");
    assert_eq!(recorded, known);
}

#[tokio::test]
async fn the_stand_in_answers_as_the_recorded_broker_did() {
    let recordings = recordings();
    let mut differing = Vec::new();
    for (world, before, names) in WORLDS {
        for name in *names {
            let broker = broker_for(name, *world).await;
            for earlier in *before {
                assert!(send(&broker, earlier, &recordings[*earlier]).await.status().is_success(), "{earlier}");
            }
            differing.extend(differences(&broker, name, &recordings[*name]).await);
        }
    }
    assert!(differing.is_empty(), "{} differences\n{}", differing.len(), differing.join("\n"));
}
