//! Credentials come from Secrets, are read again when they change, and are shown to nobody but the broker.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment};
use serde_json::json;

use crate::testbed::eventually::eventually;
use crate::testbed::scene::{BROKER, SOON, Scene, annotated, image, quick};
use crate::testbed::standin::{Auth, Fault, StandIn};

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
async fn all_that_is_shown(scene: &Scene) -> String {
    let client = scene.client();
    let all = ListParams::default();
    let mut shown = scene.logs();
    for operator in &scene.operators {
        shown.push_str(&operator.metrics().await);
    }
    let brokers = Api::<PactBroker>::all(client.clone()).list(&all).await.unwrap();
    shown.push_str(&serde_json::to_string(&brokers.items).unwrap());
    let environments = Api::<PactEnvironment>::all(client.clone()).list(&all).await.unwrap();
    shown.push_str(&serde_json::to_string(&environments.items).unwrap());
    let memories = Api::<PactDeployment>::all(client.clone()).list(&all).await.unwrap();
    shown.push_str(&serde_json::to_string(&memories.items).unwrap());
    let events = Api::<Event>::all(client).list(&all).await.unwrap();
    shown.push_str(&serde_json::to_string(&events.items).unwrap());
    shown
}

#[tokio::test]
async fn a_rotated_secret_is_taken_up_and_no_credential_is_ever_shown() {
    let mut scene = Scene::without_operator().await;
    let basic = |pass: &str| Some(Auth::Basic { user: "robot".into(), pass: pass.into() });
    scene.broker.set_auth(basic(FIRST));
    scene.secret("login", json!({"username": "robot", "password": FIRST})).await;
    scene.secret("headers", json!({"X-Gate-Key": HEADER})).await;
    let signed_in = json!({
        "url": scene.broker.url(), "auth": {"basic": {"secretRef": {"name": "login"}}}, "headersSecretRef": {"name": "headers"},
    });
    scene.apply::<PactBroker>("PactBroker", BROKER, signed_in).await;
    // Everything there is to log, of the libraries below, too.
    let everything = "trace,kube=trace,hyper=trace,h2=trace,reqwest=trace,rustls=trace,tower=trace";
    scene.start_operator(quick().value("logging.filter", everything)).await;
    let namespace = scene.namespace().await;
    let environment = scene.environment(&[&namespace], json!({})).await;
    for version in ["1.0.0", "2.0.0", "3.0.0", "4.0.0"] {
        scene.broker.store().publish_version("orders", version);
    }
    let orders = annotated("orders", "orders", "1.0.0").apply(&scene.client(), &namespace).await;
    scene.wait_recorded(&environment, "orders", "1.0.0").await;
    let requests = scene.broker.requests();
    let keyed = requests.iter().filter(|request| request.headers.get("x-gate-key").is_some_and(|key| key == HEADER));
    assert_eq!(keyed.count(), requests.len(), "every request carries the header");

    // The broker changes its password first, then the Secret is changed, then nothing else.
    scene.broker.set_auth(basic(SECOND));
    scene.wait_broker(BROKER, ("Authorized", "False", "Unauthorized")).await;
    scene.wait_broker(BROKER, ("Reachable", "True", "Answering")).await;
    orders.set_image(&image("2.0.0")).await;
    scene.wait_condition(&environment, "orders", ("RecordPending", "True", "Unauthorized")).await;
    let note = scene.wait_event(&namespace, "orders", "RecordFailed").await;
    assert!(note.contains("Secret"), "{note}");
    scene.secret("login", json!({"username": "robot", "password": SECOND})).await;
    scene.wait_recorded(&environment, "orders", "2.0.0").await;
    scene.wait_broker(BROKER, ("Authorized", "True", "Answering")).await;
    assert_eq!(scene.writes(&environment, "orders"), ["Deployed 1.0.0", "Deployed 2.0.0"]);

    // A user that may read only is seen at the first write, and said to be so on what waits for it.
    scene.broker.set_auth(Some(Auth::ReadOnly { user: "robot".into(), pass: SECOND.into() }));
    orders.set_image(&image("3.0.0")).await;
    scene.wait_condition(&environment, "orders", ("RecordPending", "True", "Unauthorized")).await;
    scene.broker.set_auth(basic(SECOND));
    scene.wait_recorded(&environment, "orders", "3.0.0").await;

    // Another broker, with a token that is wrong at first.
    let other = StandIn::start().await;
    other.set_auth(Some(Auth::Bearer(TOKEN.into())));
    let elsewhere = scene.namespace().await;
    other.store().add_environment("elsewhere", false);
    other.store().publish_version("stock", "1.0.0");
    scene.secret("token", json!({"token": "an-old-token-of-26"})).await;
    let bearer = json!({"url": other.url(), "auth": {"bearer": {"secretRef": {"name": "token"}}}});
    scene.apply::<PactBroker>("PactBroker", "other", bearer).await;
    scene.map("elsewhere", &[&elsewhere], json!({"brokerRef": {"name": "other"}})).await;
    annotated("stock", "stock", "1.0.0").apply(&scene.client(), &elsewhere).await;
    scene.wait_broker("other", ("Authorized", "False", "Unauthorized")).await;
    // As `kubectl create secret --from-file` of a file that an editor wrote.
    scene.secret("token", json!({"token": format!("{TOKEN}\n")})).await;
    eventually("stock to be recorded at the other broker", SOON, async || {
        let rows = other.store().current("elsewhere", "stock");
        if rows.len() == 1 { Ok(()) } else { Err(format!("{rows:?}")) }
    })
    .await;

    // A write that fails, and is told of.
    scene.broker.faults().add(Fault::status(500).method("POST"));
    orders.set_image(&image("4.0.0")).await;
    scene.wait_condition(&environment, "orders", ("RecordPending", "True", "BrokerUnavailable")).await;
    scene.broker.faults().clear();
    scene.wait_recorded(&environment, "orders", "4.0.0").await;

    let shown = all_that_is_shown(&scene).await;
    assert!(shown.contains("TRACE"), "the log says everything");
    for secret in [FIRST, SECOND, TOKEN, HEADER, "an-old-token-of-26"] {
        for disguise in disguises(secret) {
            let at = shown.find(&disguise);
            let around = at.map(|at| shown[..at].lines().last().unwrap_or_default().to_owned());
            assert_eq!(around, None, "{secret} is shown as {disguise} after this");
        }
    }
}
