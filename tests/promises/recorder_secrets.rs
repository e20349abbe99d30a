//! Credentials come from Secrets, are read again when they change, and are shown to the broker only.

use crate::objects::Objects as _;
use crate::planted_tokens::{EVERYTHING, all_that_is_shown, assert_nothing_planted};
use pact_operator::api::PactBroker;
use serde_json::json;

use testbed::eventually::eventually;
use testbed::standin::{Auth, Fault, StandIn};
use testbed::test_cluster::{BROKER, SOON, TestCluster, annotated, image, quick};

const FIRST: &str = "first-pl4nted/word+of 26";
const SECOND: &str = "second-pl4nted&of=26";
const TOKEN: &str = "token-pl4nted-Zm9vYmFy";
const HEADER: &str = "gatekeeper-key-pl4nted";

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
    cluster.start_operator(quick().value("logging.filter", EVERYTHING)).await;
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
    cluster.secret("token", json!({"token": "an-old-pl4nted-token"})).await;
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

    let shown = all_that_is_shown(&cluster, None).await;
    assert!(shown.iter().any(|(_, text)| text.contains("TRACE")), "the log says everything");
    assert_nothing_planted(&shown);
}
