//! Spans: from the end of a rollout to its row, and from a review to its answer, at a collector that speaks OTLP.

use std::{
    collections::BTreeMap,
    future::{Ready, ready},
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, routing::post};
use serde_json::{Value, json};

use super::gate_setup::GateSetup;
use crate::objects::Objects as _;
use testbed::{
    eventually::eventually,
    test_cluster::{SOON, TestCluster, quick},
    webhook::{Person, Webhook, WebhookOptions},
};

/// A collector. It keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Value>>>);

impl Collector {
    /// Starts one; gives its address, too.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let routes = Router::new().route("/v1/traces", post(Self::take)).with_state(collector.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        (collector, address)
    }

    fn take(State(collector): State<Self>, Json(sent): Json<Value>) -> Ready<Json<Value>> {
        collector.0.lock().unwrap().push(sent);
        ready(Json(json!({})))
    }

    /// Every span that has come, with the name of the process.
    fn spans(&self) -> Vec<Span> {
        let sent = self.0.lock().unwrap();
        let resources = sent.iter().flat_map(|sent| sent["resourceSpans"].as_array().unwrap());
        let mut spans = Vec::new();
        for resource in resources {
            let service = attributes(&resource["resource"]["attributes"]).remove("service.name").unwrap_or_default();
            for span in resource["scopeSpans"].as_array().unwrap().iter().flat_map(|it| it["spans"].as_array().unwrap())
            {
                let text = |key: &str| span[key].as_str().unwrap_or_default().to_owned();
                spans.push(Span {
                    service: service.clone(),
                    name: text("name"),
                    trace: text("traceId"),
                    id: text("spanId"),
                    parent: text("parentSpanId"),
                    nanoseconds: text("endTimeUnixNano").parse::<u64>().unwrap()
                        - text("startTimeUnixNano").parse::<u64>().unwrap(),
                    attributes: attributes(&span["attributes"]),
                });
            }
        }
        spans
    }

    /// Waits for a span of this name with this attribute.
    async fn wait(&self, name: &str, (key, value): (&str, &str)) -> Span {
        eventually(format!("a span {name} with {key} {value}"), SOON, async || {
            let spans = self.spans();
            let found = spans.iter().find(|it| it.name == name && it.attributes.get(key).is_some_and(|it| it == value));
            found.cloned().ok_or_else(|| format!("{spans:#?}"))
        })
        .await
    }
}

#[derive(Clone, Debug)]
struct Span {
    service: String,
    name: String,
    trace: String,
    id: String,
    parent: String,
    nanoseconds: u64,
    attributes: BTreeMap<String, String>,
}

fn attributes(list: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| {
        let value = value.as_object().and_then(|it| it.values().next()).cloned().unwrap_or_default();
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    };
    let pairs = list.as_array().into_iter().flatten();
    pairs.map(|pair| (pair["key"].as_str().unwrap().to_owned(), text(&pair["value"]))).collect()
}

#[tokio::test]
async fn a_rollout_is_traced_to_its_row_and_a_review_to_its_answer() {
    let (collector, address) = Collector::start().await;
    let endpoint = format!("--otlp-endpoint={address}");
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(quick().arg(&endpoint)).await;
    let webhook = Webhook::start(&cluster.control_plane, WebhookOptions::default().arg(&endpoint)).await;
    let developer = Person::developer(&cluster.control_plane).await;
    let setup = GateSetup { cluster, webhook, developer };
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "orders");

    setup.running(environment, "orders", "orders", "1.0.0").await;
    setup.cluster.wait_condition(&environment.name, "orders", ("Ready", "True", "Recorded")).await;
    let recorded = collector.wait("record deployment", ("pact.pacticipant", "orders")).await;
    assert_eq!((recorded.service.as_str(), recorded.parent.as_str()), ("pact-operator-controller", ""));
    assert_eq!(recorded.attributes["pact.version"], "1.0.0");
    assert_eq!(recorded.attributes["pact.environment"], environment.name);
    let steps: Vec<_> = collector.spans().into_iter().filter(|span| span.parent == recorded.id).collect();
    let names: Vec<_> = steps.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, ["note", "write", "read back"], "{steps:#?}");
    let within: u64 = steps.iter().map(|span| span.nanoseconds).sum();
    assert!(recorded.nanoseconds >= within, "what was waited for is in it: {recorded:#?} {steps:#?}");

    let denied = setup.set_version(&environment.namespace, "orders", "2.0.0", &[]).await;
    assert!(denied.denial().is_some(), "{denied:?}");
    let review = collector.wait("admission review", ("pact.outcome", "Denied")).await;
    assert_eq!(review.service, "pact-operator-webhook");
    assert_eq!(review.attributes["k8s.object.name"], "orders");
    let question = collector.wait("can-i-deploy", ("pact.verdict", "No")).await;
    assert_eq!((&question.trace, &question.parent), (&review.trace, &review.id));
    assert_eq!(question.attributes["pact.answer_from"], "Asked");

    // The time of the review leads to its trace.
    let metrics = setup.webhook.metrics().await;
    let exemplar = format!("trace_id=\"{}\"", review.trace);
    let bucket = metrics
        .lines()
        .find(|line| line.starts_with("pact_operator_gate_review_duration_seconds_bucket") && line.contains(&exemplar));
    assert!(bucket.is_some(), "{exemplar} in {metrics}");
}

#[tokio::test]
async fn a_collector_that_is_not_there_changes_nothing() {
    let options = WebhookOptions::default().arg("--otlp-endpoint=http://127.0.0.1:1");
    let mut setup = GateSetup::start_with(options).await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "orders");
    setup.running(environment, "orders", "orders", "1.0.0").await;
    let denied = setup.set_version(&environment.namespace, "orders", "2.0.0", &[]).await;
    assert!(denied.denial().is_some(), "{denied:?}");
    assert_eq!(setup.webhook.terminate().await, 0);
}
