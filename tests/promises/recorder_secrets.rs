//! Credentials come from Secrets, are read again when they change, and are shown to the broker only.

use crate::objects::Objects as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment};
use serde_json::json;

use testbed::eventually::eventually;
use testbed::standin::{Auth, Fault, StandIn};
use testbed::test_cluster::{BROKER, SOON, TestCluster, annotated, image, quick};

const FIRST: &str = "first-p4ss/word+of 26";
const SECOND: &str = "second-pa55word&of=26";
const TOKEN: &str = "token-Zm9vYmFy-of-26";
const HEADER: &str = "gatekeeper-key-of-26";

/// The text as it is, and as it may stand in a header or a URL.
fn disguises(secret: &str) -> Vec<String> {
    let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    vec![
        secret.to_owned(),
        STANDARD.encode(secret),
        STANDARD.encode(format!("robot:{secret}")),
        encoded.replace('+', "%20"),
        encoded,
    ]
}

/// Everything that people who may not read Secrets can see of the operator.
async fn all_that_is_shown(cluster: &TestCluster) -> String {
    let client = cluster.client();
    let all = ListParams::default();
    let mut shown = cluster.logs();
    for operator in &cluster.operators {
        shown.push_str(&operator.metrics().await);
    }
    let brokers = Api::<PactBroker>::all(client.clone()).list(&all).await.unwrap();
    shown.push_str(&serde_json::to_string(&brokers.items).unwrap());
    let environments = Api::<PactEnvironment>::all(client.clone()).list(&all).await.unwrap();
    shown.push_str(&serde_json::to_string(&environments.items).unwrap());
    let records = Api::<PactDeployment>::all(client.clone()).list(&all).await.unwrap();
    shown.push_str(&serde_json::to_string(&records.items).unwrap());
    let events = Api::<Event>::all(client).list(&all).await.unwrap();
    shown.push_str(&serde_json::to_string(&events.items).unwrap());
    shown
}

#[tokio::test]
async fn a_rotated_secret_is_taken_up_and_no_credential_is_ever_shown() {
    let mut cluster = TestCluster::without_operator().await;
    let basic = |pass: &str| Some(Auth::Basic { user: "robot".into(), pass: pass.into() });
    cluster.broker.set_auth(basic(FIRST));
    cluster.secret("login", json!({"username": "robot", "password": FIRST})).await;
    cluster.secret("headers", json!({"X-Gate-Key": HEADER})).await;
    let signed_in = json!({
        "url": cluster.broker.url(), "auth": {"basic": {"secretRef": {"name": "login"}}}, "headersSecretRef": {"name": "headers"},
    });
    cluster.apply::<PactBroker>("PactBroker", BROKER, signed_in).await;
    // All log output, also of the libraries.
    let everything = "trace,kube=trace,hyper=trace,h2=trace,reqwest=trace,rustls=trace,tower=trace";
    cluster.start_operator(quick().value("logging.filter", everything)).await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    for version in ["1.0.0", "2.0.0", "3.0.0", "4.0.0"] {
        cluster.broker.store().publish_version("orders", version);
    }
    let orders = annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    let requests = cluster.broker.requests();
    let keyed = requests.iter().filter(|request| request.headers.get("x-gate-key").is_some_and(|key| key == HEADER));
    assert_eq!(keyed.count(), requests.len(), "every request carries the header");

    // The broker changes its password first, then the Secret is changed, then nothing else.
    cluster.broker.set_auth(basic(SECOND));
    cluster.wait_broker(BROKER, ("Authorized", "False", "Unauthorized")).await;
    cluster.wait_broker(BROKER, ("Reachable", "True", "Answering")).await;
    orders.set_image(&image("2.0.0")).await;
    cluster.wait_condition(&environment, "orders", ("RecordPending", "True", "Unauthorized")).await;
    let note = cluster.wait_event(&namespace, "orders", "RecordFailed").await;
    assert!(note.contains("Secret"), "{note}");
    cluster.secret("login", json!({"username": "robot", "password": SECOND})).await;
    cluster.wait_recorded(&environment, "orders", "2.0.0").await;
    cluster.wait_broker(BROKER, ("Authorized", "True", "Answering")).await;
    assert_eq!(cluster.writes(&environment, "orders"), ["Deployed 1.0.0", "Deployed 2.0.0"]);

    // A user that may only read is noticed at the first write, and reported on the pending record.
    cluster.broker.set_auth(Some(Auth::ReadOnly { user: "robot".into(), pass: SECOND.into() }));
    orders.set_image(&image("3.0.0")).await;
    cluster.wait_condition(&environment, "orders", ("RecordPending", "True", "Unauthorized")).await;
    cluster.broker.set_auth(basic(SECOND));
    cluster.wait_recorded(&environment, "orders", "3.0.0").await;

    // Another broker, with a token that is wrong at first.
    let other = StandIn::start().await;
    other.set_auth(Some(Auth::Bearer(TOKEN.into())));
    let elsewhere = cluster.namespace().await;
    other.store().add_environment("elsewhere", false);
    other.store().publish_version("stock", "1.0.0");
    cluster.secret("token", json!({"token": "an-old-token-of-26"})).await;
    let bearer = json!({"url": other.url(), "auth": {"bearer": {"secretRef": {"name": "token"}}}});
    cluster.apply::<PactBroker>("PactBroker", "other", bearer).await;
    cluster.map("elsewhere", &[&elsewhere], json!({"brokerRef": {"name": "other"}})).await;
    annotated("stock", "stock", "1.0.0").apply(&cluster.client(), &elsewhere).await;
    cluster.wait_broker("other", ("Authorized", "False", "Unauthorized")).await;
    // With a final newline, as from `kubectl create secret --from-file` of an edited file.
    cluster.secret("token", json!({"token": format!("{TOKEN}\n")})).await;
    eventually("stock to be recorded at the other broker", SOON, async || {
        let rows = other.store().current("elsewhere", "stock");
        if rows.len() == 1 { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;

    // A write that fails, and is reported.
    cluster.broker.faults().add(Fault::status(500).method("POST"));
    orders.set_image(&image("4.0.0")).await;
    cluster.wait_condition(&environment, "orders", ("RecordPending", "True", "BrokerUnavailable")).await;
    cluster.broker.faults().clear();
    cluster.wait_recorded(&environment, "orders", "4.0.0").await;

    let shown = all_that_is_shown(&cluster).await;
    assert!(shown.contains("TRACE"), "the log says everything");
    for secret in [FIRST, SECOND, TOKEN, HEADER, "an-old-token-of-26"] {
        for disguise in disguises(secret) {
            let at = shown.find(&disguise);
            let around = at.map(|at| shown[..at].lines().last().unwrap_or_default().to_owned());
            assert_eq!(around, None, "{secret} is shown as {disguise} after this");
        }
    }
}
