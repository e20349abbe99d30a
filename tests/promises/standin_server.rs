//! The stand-in broker as a server: outages, faults, and the log of its requests.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use testbed::http::plain_client as client;
use testbed::standin::{Auth, Effect, Fault, Options, StandIn, WriteKind, encoded};

async fn deploy(broker: &StandIn, pacticipant: &str, version: &str, body: Value) -> reqwest::Result<reqwest::Response> {
    let environment = broker.store().environment_uuid("test").unwrap();
    let (pacticipant, version) = (encoded(pacticipant), encoded(version));
    let path = format!("/pacticipants/{pacticipant}/versions/{version}/deployed-versions/environment/{environment}");
    client().post(broker.url() + &path).json(&body).send().await
}

async fn versions(broker: &StandIn, query: &str) -> Vec<String> {
    let environment = broker.store().environment_uuid("test").unwrap();
    let url = format!("{}/environments/{environment}/deployed-versions/currently-deployed{query}", broker.url());
    let body: Value = client().get(url).send().await.unwrap().json().await.unwrap();
    let rows = body["_embedded"]["deployedVersions"].as_array().unwrap();
    rows.iter().map(|row| row["_embedded"]["version"]["number"].as_str().unwrap().to_owned()).collect()
}

async fn with_orders() -> StandIn {
    let options = Options { seed_example_environments: true, ..Options::default() };
    let broker = StandIn::start_with(options).await;
    for version in ["1", "2"] {
        broker.store().publish_version("orders", version);
    }
    broker
}

#[tokio::test]
async fn an_outage_cuts_connections_and_keeps_what_is_known_and_the_port() {
    let broker = with_orders().await;
    deploy(&broker, "orders", "1", json!({})).await.unwrap();
    broker.faults().add(Fault::new(Effect::Hang).method("POST").times(1));
    let hanging = deploy(&broker, "orders", "2", json!({}));
    let (hanging, ()) = tokio::join!(hanging, async {
        while broker.count_requests(|request| request.method == "POST") < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        broker.stop().await;
    });
    assert!(hanging.is_err_and(|error| !error.is_timeout()), "an open connection is cut");
    let refused = deploy(&broker, "orders", "2", json!({})).await.unwrap_err();
    assert!(refused.is_connect(), "{refused:?}");
    broker.restart().await;
    assert_eq!(versions(&broker, "").await, ["1"]);
    assert_eq!(deploy(&broker, "orders", "2", json!({})).await.unwrap().status(), 201);
    assert_eq!(broker.store().history("test", "orders").len(), 2);
}

#[tokio::test]
async fn what_clients_change_is_listed_once_and_repetitions_and_seeds_are_not() {
    let broker = with_orders().await;
    broker.store().record_deployment("orders", "1", "test", None);
    let start = Instant::now();
    for _ in 0..2 {
        deploy(&broker, "orders", "2", json!({"applicationInstance": "blue"})).await.unwrap();
    }
    let row = &broker.store().current("test", "orders")[0];
    for _ in 0..2 {
        let patch = client().patch(format!("{}/deployed-versions/{}", broker.url(), row.uuid));
        let patch = patch.header("content-type", "application/merge-patch+json").body(r#"{"currentlyDeployed":false}"#);
        assert_eq!(patch.send().await.unwrap().status(), 200);
    }
    let writes = broker.writes();
    let kinds: Vec<_> = writes.iter().map(|write| (write.kind, write.version.as_str())).collect();
    assert_eq!(kinds, [(WriteKind::Deployed, "2"), (WriteKind::Undeployed, "2")]);
    assert!(writes.iter().all(|write| write.at >= start && write.instance.as_deref() == Some("blue")));
    assert_eq!(broker.requests().len(), 4);
    assert!(broker.requests().iter().all(|request| request.status.is_some()));
}

#[tokio::test]
async fn an_empty_instance_displaces_the_row_without_one() {
    let broker = with_orders().await;
    deploy(&broker, "orders", "1", json!({})).await.unwrap();
    deploy(&broker, "orders", "2", json!({"applicationInstance": ""})).await.unwrap();
    assert_eq!(versions(&broker, "?applicationInstance=").await, Vec::<String>::new());
    assert_eq!(versions(&broker, "").await, ["2"]);
    let first = &broker.store().history("test", "orders")[0];
    assert_eq!((first.current, first.ended), (false, None), "displaced, and not even undeployed");
}

#[tokio::test]
async fn names_are_taken_from_the_raw_path() {
    let broker = with_orders().await;
    for name in ["org/app", "app+x", "my app", "größe", "日本", "a:b@c#d?e%f&g", "%2F"] {
        broker.store().publish_version(name, name);
        assert_eq!(deploy(&broker, name, name, json!({})).await.unwrap().status(), 201, "{name}");
        assert_eq!(versions(&broker, &format!("?pacticipant={}", encoded(name))).await, [name]);
    }
    let twice = client().get(format!("{}//environments", broker.url())).send().await.unwrap();
    assert_eq!(twice.status(), 404);
    assert_eq!(twice.json::<Value>().await.unwrap()["detail"], "Empty path component found");
}

#[tokio::test]
async fn faults_lose_answers_before_or_after_the_change() {
    let broker = with_orders().await;
    let body = || json!({});
    broker.faults().add(Fault::status(503).times(1));
    assert_eq!(deploy(&broker, "orders", "1", body()).await.unwrap().status(), 503);
    assert!(broker.store().current("test", "orders").is_empty());
    broker.faults().add(Fault::status(500).after_acting().times(1));
    assert_eq!(deploy(&broker, "orders", "1", body()).await.unwrap().status(), 500);
    assert_eq!(broker.store().current("test", "orders").len(), 1, "the change was made, only the answer was lost");
    broker.faults().add(Fault::new(Effect::CutBody).times(1));
    let cut = deploy(&broker, "orders", "2", body()).await.unwrap();
    assert_eq!(cut.status(), 201);
    assert!(cut.text().await.is_err(), "half a body");
    assert_eq!(versions(&broker, "").await, ["2"]);
    broker.faults().add(Fault::new(Effect::EmptyLists).path("currently-deployed").times(1));
    assert!(versions(&broker, "").await.is_empty());
    let limited = Effect::Status { status: 429, retry_after: Some("7".to_owned()) };
    broker.faults().add(Fault::new(limited).method("POST").times(1));
    let limited = deploy(&broker, "orders", "2", body()).await.unwrap();
    assert_eq!((limited.status().as_u16(), limited.headers()["retry-after"].to_str().unwrap()), (429, "7"));
    broker.faults().add(Fault::new(Effect::Flood { bytes: 1 << 20 }).times(1));
    let flood = client().get(broker.url()).send().await.unwrap();
    assert!(flood.content_length().is_none() && flood.bytes().await.unwrap().len() >= 1 << 20);
    broker.faults().add(Fault::new(Effect::Html).times(1));
    let html = client().get(broker.url()).send().await.unwrap();
    assert!(html.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert_eq!(client().get(broker.url()).send().await.unwrap().status(), 200, "all faults are used up");
}

#[tokio::test]
async fn credentials_can_change_while_it_runs() {
    let pact = |pass: &str| Some(Auth::Basic { user: "pact".to_owned(), pass: pass.to_owned() });
    let broker = StandIn::start_with(Options { auth: pact("old"), ..Options::default() }).await;
    let status = async |pass: &str| {
        client().get(broker.url()).basic_auth("pact", Some(pass)).send().await.unwrap().status().as_u16()
    };
    assert_eq!((status("old").await, status("new").await), (200, 401));
    broker.set_auth(pact("new"));
    assert_eq!((status("old").await, status("new").await), (401, 200));
    broker.set_auth(Some(Auth::Bearer("token".to_owned())));
    let bearer = client().get(broker.url()).bearer_auth("token").send().await.unwrap();
    assert_eq!((status("new").await, bearer.status().as_u16()), (401, 200));
}

#[tokio::test]
async fn it_serves_below_a_prefix_and_links_to_a_foreign_host() {
    let prefix = Some("/broker".to_owned());
    let public = Some("https://pact.example.com/broker".to_owned());
    let options = Options { path_prefix: prefix, base_url_in_links: public, ..Options::default() };
    let broker = StandIn::start_with(options).await;
    assert!(broker.url().ends_with("/broker"));
    let index: Value = client().get(broker.url()).send().await.unwrap().json().await.unwrap();
    assert_eq!(index["_links"]["pb:environments"]["href"], "https://pact.example.com/broker/environments");
    let outside = broker.url().replace("/broker", "/environments");
    assert_eq!(client().get(outside).send().await.unwrap().status(), 404);
}
