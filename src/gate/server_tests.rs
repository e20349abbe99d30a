//! The way in and out: status codes, the limits on size and time, and that nothing but a judgement ever denies.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use axum::{body::Bytes, http};
use futures::{StreamExt, stream};
use http_body_util::BodyExt;
use kube::{Client, client::Body as KubeBody};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::super::{Settings, admission_review::API_VERSION};
use super::*;
use crate::{api::PactEnvironment, decide::EnvironmentPolicy};
use operator_kit::{metrics::Metrics, review_path::ReviewPath};

const NAMESPACE: &str = "shop";

/// A gate whose cluster answers nothing, with a namespace in an environment of this mode whose broker nobody made.
fn gate(mode: &str) -> (Arc<Gate>, Metrics) {
    let nobody = tower::service_fn(|_: http::Request<KubeBody>| async {
        let answer = http::Response::builder().status(500).body(KubeBody::empty()).unwrap();
        Ok::<_, Infallible>(answer)
    });
    let metrics = Metrics::new("test", Vec::new());
    let settings = Settings {
        namespace: "pact-operator".to_owned(),
        user_agent: "test".to_owned(),
        renew_every: Duration::from_secs(30),
        instance: "test".to_owned(),
        bypass_accounts: std::collections::BTreeSet::new(),
        announces_denials: true,
        holds: false,
        review_path: ReviewPath::new(),
        traces: operator_kit::traces::Traces::default(),
    };
    let gate = Gate::new(Client::new(nobody, "default"), &settings, &metrics);
    let environment: PactEnvironment = serde_json::from_value(json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": "production"},
        "spec": {"brokerRef": {"name": "main"}, "namespaces": {"names": [NAMESPACE]},
            "gate": {"mode": mode, "actions": {"brokerUnavailable": "Deny"}}},
        "status": {"namespaces": 1, "workloads": 0, "recorded": 0, "conditions": [{"type": "MembersListed", "status": "True", "reason": "Listed",
            "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
    }))
    .unwrap();
    gate.cluster.index().set_environment("production", Some(EnvironmentPolicy::parse(&environment)));
    gate.cluster.index().set_namespace(NAMESPACE, Some(std::collections::BTreeMap::new()));
    (gate, metrics)
}

fn review(namespace: &str, annotated: bool) -> Value {
    let annotations = if annotated { json!({"pact-operator.dev/pacticipant": "orders"}) } else { json!({}) };
    json!({
        "kind": "AdmissionReview", "apiVersion": API_VERSION,
        "request": {
            "uid": "u-1", "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "name": "orders", "namespace": namespace, "operation": "CREATE", "userInfo": {"username": "bob"},
            "object": {
                "metadata": {"name": "orders", "namespace": namespace, "annotations": annotations},
                "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "reg.test/orders:1.0.0"}]}}},
            },
        },
    })
}

fn post(uri: &str, content_type: &str, body: impl Into<Body>) -> Request {
    http::Request::post(uri).header("content-type", content_type).body(body.into()).unwrap()
}

async fn send(gate: &Arc<Gate>, request: Request) -> (u16, String) {
    let response = gate.router().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

async fn answered(gate: &Arc<Gate>, review: &Value) -> Value {
    let (status, body) = send(gate, post("/gate?timeout=10s", "application/json", review.to_string())).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The counters by how reviews were answered.
fn reviews(metrics: &Metrics, outcome: &str) -> u64 {
    let line = format!("test_gate_reviews_total{{outcome=\"{outcome}\"}} ");
    let text = metrics.render().unwrap();
    text.lines().find_map(|text| text.strip_prefix(&line)).map_or(0, |value| value.parse().unwrap())
}

/// A body without a length in its head, in pieces.
fn unannounced(piece: usize, pieces: usize, taken: &Arc<AtomicUsize>) -> Body {
    let taken = Arc::clone(taken);
    let pieces = stream::iter(0..pieces).map(move |_| {
        taken.fetch_add(piece, Ordering::SeqCst);
        Ok::<_, Infallible>(Bytes::from(vec![b' '; piece]))
    });
    Body::from_stream(pieces)
}

#[tokio::test]
async fn only_a_post_of_json_to_the_gate_is_a_review() {
    let (gate, metrics) = gate("Enforce");
    let good = review(NAMESPACE, false).to_string();
    for (request, status) in [
        (post("/gates", "application/json", good.clone()), 404),
        (post("/gate/", "application/json", good.clone()), 404),
        (post("/gate/a/b", "application/json", good.clone()), 404),
        (post("/validate", "application/json", good.clone()), 404),
        (http::Request::get("/gate").body(Body::empty()).unwrap(), 405),
        (http::Request::put("/gate").body(Body::from(good.clone())).unwrap(), 405),
    ] {
        assert_eq!(send(&gate, request).await.0, status);
    }
    for content_type in
        ["text/plain", "application/jsonx", "", "application/yaml", "application/vnd.kubernetes.protobuf"]
    {
        assert_eq!(send(&gate, post("/gate", content_type, good.clone())).await.0, 415, "{content_type}");
    }
    let bare = http::Request::post("/gate").body(Body::from(good.clone())).unwrap();
    assert_eq!(send(&gate, bare).await.0, 415);
    assert_eq!(reviews(&metrics, "Malformed"), 6);
    for content_type in ["application/json", "Application/JSON; charset=utf-8", "application/json;v=1"] {
        assert_eq!(send(&gate, post("/gate", content_type, good.clone())).await.0, 200, "{content_type}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_review_is_a_bad_request_with_a_text_and_never_an_answer() {
    let (gate, metrics) = gate("Enforce");
    let bodies = ["", "x", "{}", "[]", r#"{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}"#];
    for body in bodies {
        let (status, text) = send(&gate, post("/gate", "application/json", body)).await;
        assert_eq!(status, 400, "{body}: {text}");
        assert!(!text.contains("allowed") && text.ends_with('\n') && text.len() < 400, "{text}");
    }
    assert_eq!(reviews(&metrics, "Malformed"), bodies.len() as u64);
}

#[tokio::test]
async fn a_body_of_more_than_seven_mebibytes_is_refused_before_or_while_it_comes() {
    let (gate, metrics) = gate("Enforce");
    // Announced: not a byte of it is read.
    let taken = Arc::new(AtomicUsize::new(0));
    let mut request = post("/gate", "application/json", unannounced(1 << 10, 8 << 10, &taken));
    request.headers_mut().insert("content-length", (LONGEST_BODY + 1).into());
    let (status, text) = send(&gate, request).await;
    assert_eq!((status, taken.load(Ordering::SeqCst)), (413, 0), "{text}");
    assert!(text.contains("7 MiB"), "{text}");
    // Not announced: read up to the limit, in pieces, and no further.
    let request = post("/gate", "application/json", unannounced(1 << 20, 1 << 20, &taken));
    assert_eq!(send(&gate, request).await.0, 413);
    assert!(taken.load(Ordering::SeqCst) <= LONGEST_BODY + (2 << 20), "{taken:?} bytes were taken");
    // By one byte too long, and just short enough (but nothing in it).
    for (length, expected) in [(LONGEST_BODY + 1, 413), (LONGEST_BODY, 400)] {
        assert_eq!(send(&gate, post("/gate", "application/json", vec![b' '; length])).await.0, expected, "{length}");
    }
    assert_eq!(reviews(&metrics, "Malformed"), 4);
    assert_eq!(answered(&gate, &review(NAMESPACE, false)).await["response"]["allowed"], true, "all room is free again");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_trickles_past_the_deadline_is_a_timeout_and_frees_its_room() {
    let (gate, metrics) = gate("Enforce");
    let trickle = || {
        let drops = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
        });
        Body::from_stream(drops)
    };
    for (timeout, budget) in [("5s", 4_000), ("1s", 600), ("30s", 28_000)] {
        let began = Instant::now();
        let request = post(&format!("/gate?timeout={timeout}"), "application/json", trickle());
        let (status, text) = send(&gate, request).await;
        assert_eq!(status, 408, "{text}");
        assert_eq!(began.elapsed(), Duration::from_millis(budget));
    }
    assert_eq!(reviews(&metrics, "Malformed"), 3);
    // As many as there is room for: none of them may still hold room.
    let router = gate.router();
    for _ in 0..3 {
        let many = (0..9).map(|_| router.clone().oneshot(post("/gate?timeout=1s", "application/json", trickle())));
        assert!(futures::future::join_all(many).await.into_iter().all(|it| it.unwrap().status() == 408));
    }
    let good = post("/gate?timeout=1s", "application/json", review(NAMESPACE, false).to_string());
    assert_eq!(router.oneshot(good).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn bodies_find_room_beside_many_that_are_announced_and_never_come() {
    let (gate, _) = gate("Enforce");
    let router = gate.router();
    let endless = || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let held: Vec<_> = (0..100)
        .map(|_| tokio::spawn(router.clone().oneshot(post("/gate?timeout=30s", "application/json", endless()))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let body = review(NAMESPACE, false).to_string();
    let mut good = post("/gate?timeout=1s", "application/json", body.clone());
    good.headers_mut().insert("content-length", body.len().into());
    let began = Instant::now();
    assert_eq!(router.oneshot(good).await.unwrap().status(), 200);
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop(held);
}

#[tokio::test]
async fn case_111_a_timeout_beyond_all_time_is_answered_like_the_longest() {
    let (gate, _) = gate("Enforce");
    for timeout in ["9999999999999999999s", "99999999999999999999h", "-1s", "NaN", "5292000000h"] {
        let request =
            post(&format!("/gate?timeout={timeout}"), "application/json", review(NAMESPACE, false).to_string());
        let (status, body) = send(&gate, request).await;
        assert_eq!(status, 200, "{timeout}: {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn case_109_a_review_is_answered_beside_ten_bodies_that_stall_before_their_end() {
    let (gate, metrics) = gate("Enforce");
    let router = gate.router();
    let stalled = || {
        let mut request = post("/gate?timeout=30s", "application/json", {
            let pieces = stream::iter(0..69).map(|_| Ok::<_, Infallible>(Bytes::from(vec![b' '; (1 << 20) / 10])));
            Body::from_stream(pieces.chain(stream::pending()))
        });
        request.headers_mut().insert("content-length", LONGEST_BODY.into());
        tokio::spawn(router.clone().oneshot(request))
    };
    let attack: Vec<_> = (0..10).map(|_| stalled()).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let send = async |body: String| {
        let mut request = post("/gate?timeout=10s", "application/json", body.clone());
        request.headers_mut().insert("content-length", body.len().into());
        let began = Instant::now();
        assert_eq!(router.clone().oneshot(request).await.unwrap().status(), 200);
        began.elapsed()
    };
    let body = review(NAMESPACE, false).to_string();
    assert_eq!(send(body.clone()).await, Duration::ZERO);
    // Two objects of 3 MiB have to wait until some of the others are given up.
    let long = format!("{body}{}", " ".repeat(6 << 20));
    assert!(send(long).await < Duration::from_secs(4));
    for stalled in attack {
        assert_eq!(stalled.await.unwrap().unwrap().status(), 408);
    }
    assert_eq!(reviews(&metrics, "Malformed"), 10);
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_a_bad_request() {
    let (gate, _) = gate("Enforce");
    let cut = stream::iter([Ok(Bytes::from_static(b"{\"kind\"")), Err(std::io::Error::other("reset"))]);
    let (status, text) = send(&gate, post("/gate", "application/json", Body::from_stream(cut))).await;
    assert_eq!((status, text.as_str()), (400, "the body was cut off\n"));
}

#[tokio::test]
async fn only_the_judgement_of_an_annotated_deployment_in_an_environment_that_enforces_denies() {
    for (mode, namespace, annotated, allowed, warned) in [
        ("Enforce", NAMESPACE, true, false, false),
        ("Warn", NAMESPACE, true, true, true),
        ("Audit", NAMESPACE, true, true, false),
        ("Off", NAMESPACE, true, true, false),
        ("Enforce", NAMESPACE, false, true, false),
        ("Enforce", "elsewhere", true, true, false),
    ] {
        let (gate, metrics) = gate(mode);
        let body = answered(&gate, &review(namespace, annotated)).await;
        let response = &body["response"];
        let case = format!("{mode} {namespace} {annotated}: {response}");
        assert_eq!((&response["uid"], &response["allowed"]), (&json!("u-1"), &json!(allowed)), "{case}");
        assert_eq!(response.get("warnings").is_some(), warned, "{case}");
        let outcome = if !allowed {
            "Denied"
        } else if warned {
            "Warned"
        } else {
            "Allowed"
        };
        assert_eq!(reviews(&metrics, outcome), 1, "{case}");
        if !allowed {
            assert_eq!(
                (&response["status"]["code"], &response["status"]["reason"]),
                (&json!(403), &json!("Forbidden"))
            );
            let message = response["status"]["message"].as_str().unwrap();
            let first = message.lines().next().unwrap();
            assert!(first.starts_with("orders 1.0.0 could not be checked for production: "), "{message}");
            assert!(first.contains("no PactBroker named main") && first.chars().count() <= 256, "{message}");
            assert_eq!(response["auditAnnotations"], json!({"verdict": "BrokerUnavailable"}));
        }
    }
}

#[tokio::test]
async fn reviews_that_are_not_ours_or_cannot_be_read_are_admitted() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change, bool); 9] = [
        ("a deletion", |it| it["operation"] = json!("DELETE"), false),
        ("a connection", |it| it["operation"] = json!("CONNECT"), false),
        ("a scale", |it| it["subResource"] = json!("scale"), false),
        ("a pod", |it| it["kind"] = json!({"group": "", "version": "v1", "kind": "Pod"}), true),
        ("an older API", |it| it["kind"]["version"] = json!("v1beta1"), true),
        ("no object", |it| it["object"] = Value::Null, true),
        ("an odd object", |it| it["object"]["spec"] = json!(7), true),
        ("an odd old object", |it| it["oldObject"] = json!("x"), true),
        (
            "an object that is deleted",
            |it| it["object"]["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
            false,
        ),
    ];
    let (gate, _) = gate("Enforce");
    for (name, change, warned) in changes {
        let mut review = review(NAMESPACE, true);
        change(&mut review["request"]);
        let response = answered(&gate, &review).await["response"].clone();
        assert_eq!(response["allowed"], true, "{name}: {response}");
        assert_eq!(response.get("warnings").is_some(), warned, "{name}: {response}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_costs_a_review_in_an_unknown_namespace_no_more_than_its_budget() {
    let silent = tower::service_fn(|_: http::Request<KubeBody>| {
        std::future::pending::<Result<http::Response<KubeBody>, Infallible>>()
    });
    let (known, metrics) = gate("Enforce");
    let settings = Settings {
        namespace: "pact-operator".to_owned(),
        user_agent: "test".to_owned(),
        renew_every: Duration::from_secs(30),
        instance: "test".to_owned(),
        bypass_accounts: std::collections::BTreeSet::new(),
        announces_denials: true,
        holds: false,
        review_path: ReviewPath::new(),
        traces: operator_kit::traces::Traces::default(),
    };
    drop((known, metrics));
    let gate = Gate::new(Client::new(silent, "default"), &settings, &Metrics::new("test", Vec::new()));
    for (timeout, at_most) in [("10s", 1_000), ("1s", 300)] {
        let began = Instant::now();
        let uri = format!("/gate?timeout={timeout}");
        let (status, body) = send(&gate, post(&uri, "application/json", review("unheard-of", true).to_string())).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("\"allowed\":true"), "{body}");
        assert!(began.elapsed() <= Duration::from_millis(at_most), "{timeout}: {:?}", began.elapsed());
    }
}
