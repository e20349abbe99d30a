//! The gate answers every request, whatever its content, and its process survives.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::gate_setup::{GateSetup, MappedEnvironment};
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::annotated;
use testbed::webhook::PATH;

const MIB: usize = 1 << 20;

/// A gate, and a namespace in which every review that is judged is denied: a review that passes was not judged.
struct Strict {
    setup: GateSetup,
    environment: MappedEnvironment,
}

async fn strict() -> InUse<Strict> {
    static STRICT: Shared<Strict> = Shared::new();
    STRICT
        .get(async || {
            let setup = GateSetup::start().await;
            let actions = json!({"pacticipantUnknown": "Deny", "unidentified": "Deny", "brokerUnavailable": "Deny"});
            let environment = setup.gated(json!({"mode": "Enforce", "actions": actions})).await;
            Strict { setup, environment }
        })
        .await
}

impl Strict {
    /// A review as the API server sends it, of a Deployment that is denied.
    fn review(&self) -> Value {
        let mut object = annotated("raw", "nobody-knows-it", "1.0.0").manifest().clone();
        object["metadata"]["namespace"] = json!(self.environment.namespace);
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
                "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
                "name": "raw", "namespace": self.environment.namespace, "operation": "CREATE",
                "userInfo": {"username": "somebody", "groups": ["system:authenticated"]},
                "object": object, "oldObject": null, "dryRun": true, "options": null,
            },
        })
    }

    /// Sends a request directly to the process.
    async fn send(&self, method: Method, path: &str, content_type: &str, body: Vec<u8>) -> reqwest::Result<Response> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client =
            Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).timeout(Duration::from_secs(30));
        let url = format!("https://{}{path}", self.setup.webhook.address());
        let request = client.build().unwrap().request(method, url).header(header::CONTENT_TYPE, content_type);
        request.body(body).send().await
    }

    async fn post(&self, body: impl Into<Vec<u8>>) -> (StatusCode, String) {
        let answer = self.send(Method::POST, &format!("{PATH}?timeout=10s"), "application/json", body.into()).await;
        let answer = answer.expect("there is an answer, whatever was sent");
        (answer.status(), answer.text().await.unwrap())
    }

    /// The answer to a valid review.
    async fn answered(&self, review: &Value) -> Value {
        let (status, text) = self.post(review.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["apiVersion"], "admission.k8s.io/v1");
        assert_eq!(answer["kind"], "AdmissionReview");
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].clone()
    }
}

#[tokio::test]
async fn a_valid_review_is_judged_and_denied_with_403_and_forbidden() {
    let strict = strict().await;
    let answer = strict.answered(&strict.review()).await;
    assert_eq!(answer["allowed"], false);
    assert_eq!(answer["status"]["code"], 403);
    assert_eq!((&answer["status"]["status"], &answer["status"]["reason"]), (&json!("Failure"), &json!("Forbidden")));
    assert!(answer["status"]["message"].as_str().unwrap().contains("nobody-knows-it"), "{answer}");
}

#[tokio::test]
async fn a_request_that_is_no_review_is_refused_with_the_reason() {
    let strict = strict().await;
    let review = strict.review();
    let body = || review.to_string().into_bytes();
    let without = |pointer: &str, key: &str| {
        let mut review = review.clone();
        review.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
        review.to_string().into_bytes()
    };
    let with = |pointer: &str, value: Value| {
        let mut review = review.clone();
        *review.pointer_mut(pointer).unwrap() = value;
        review.to_string().into_bytes()
    };
    let pid = strict.setup.webhook.pid().expect("it runs");
    for (method, path, content_type, body, status, says) in [
        (Method::POST, "/elsewhere", "application/json", body(), 404, "POST /gate"),
        (Method::POST, "/gate/", "application/json", body(), 404, "POST /gate"),
        (Method::GET, "/metrics", "application/json", Vec::new(), 404, "POST /gate"),
        (Method::GET, "/gate", "application/json", Vec::new(), 405, ""),
        (Method::PUT, "/gate", "application/json", body(), 405, ""),
        (Method::POST, "/gate", "text/plain", body(), 415, "application/json"),
        (Method::POST, "/gate", "application/yaml", body(), 415, "application/json"),
        (Method::POST, "/gate", "application/json", Vec::new(), 400, "no AdmissionReview"),
        (Method::POST, "/gate", "application/json", b"{".to_vec(), 400, "no AdmissionReview"),
        (Method::POST, "/gate", "application/json", b"[]".to_vec(), 400, "no AdmissionReview"),
        (Method::POST, "/gate", "application/json", vec![0xff; 64], 400, "no AdmissionReview"),
        (Method::POST, "/gate", "application/json", b"{}".to_vec(), 400, "admissionReviewVersions: [v1]"),
        (
            Method::POST,
            "/gate",
            "application/json",
            with("/apiVersion", json!("admission.k8s.io/v1beta1")),
            400,
            "admissionReviewVersions: [v1]",
        ),
        (Method::POST, "/gate", "application/json", without("", "request"), 400, "has no request"),
        (Method::POST, "/gate", "application/json", with("/request", json!(null)), 400, "has no request"),
        (Method::POST, "/gate", "application/json", with("/request", json!("x")), 400, "no AdmissionReview"),
        (Method::POST, "/gate", "application/json", without("/request", "uid"), 400, "no AdmissionReview"),
    ] {
        let context = format!("{method} {path} {content_type} {}", String::from_utf8_lossy(&body));
        let answer =
            strict.send(method, path, content_type, body).await.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(answer.status().as_u16(), status, "{context}");
        let text = answer.text().await.unwrap();
        assert!(text.contains(says) && text.len() < 1_024, "{context}: {text}");
    }
    let answer = strict.send(Method::POST, "/gate", "Application/JSON; charset=utf-8", body()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(strict.setup.webhook.pid(), Some(pid));
}

#[tokio::test]
async fn another_kind_and_an_unreadable_object_are_admitted_with_a_warning_where_one_is_needed() {
    let strict = strict().await;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let deep: Box<serde_json::value::RawValue> = serde_json::value::RawValue::from_string(deep).unwrap();
    for (what, pointer, value, warning) in [
        (
            "another kind",
            "/request/kind/kind",
            json!("ReplicaSet"),
            "judges and records no ReplicaSet, only Deployment",
        ),
        ("another group", "/request/kind/group", json!("example.com"), "only Deployment"),
        ("another operation", "/request/operation", json!("DELETE"), ""),
        ("a connection", "/request/operation", json!("CONNECT"), ""),
        ("no operation that there is", "/request/operation", json!("Ä"), ""),
        ("a namespace without environment", "/request/namespace", json!("default"), ""),
        ("a namespace that is not there", "/request/namespace", json!("no-such"), ""),
        ("no object", "/request/object", json!(null), "cannot be read"),
        ("an object that is none", "/request/object", json!("x"), "cannot be read"),
        ("annotations that are none", "/request/object/metadata/annotations", json!(["x"]), "cannot be read"),
        (
            "containers that are none",
            "/request/object/spec/template/spec/containers",
            json!({"a": 1}),
            "cannot be read",
        ),
        ("an old object that is none", "/request/oldObject", json!(17), "cannot be read"),
    ] {
        let mut review = strict.review();
        *review.pointer_mut(pointer).unwrap() = value;
        let answer = strict.answered(&review).await;
        assert_eq!(answer["allowed"], true, "{what}: {answer}");
        let warnings: Vec<String> = serde_json::from_value(answer["warnings"].clone()).unwrap_or_default();
        assert_eq!(warnings.len(), usize::from(!warning.is_empty()), "{what}: {answer}");
        assert!(warnings.iter().all(|it| it.contains(warning) && it.chars().count() <= 120), "{what}: {answer}");
    }
    let mut review = strict.review();
    review["request"]["object"]["spec"]["deep"] = json!("DEEP");
    let (status, text) = strict.post(review.to_string().replace("\"DEEP\"", deep.get())).await;
    assert!(matches!(status.as_u16(), 200 | 400), "{status} {text}");
}

#[tokio::test]
async fn two_objects_of_the_largest_size_the_api_server_accepts_are_judged_and_more_is_refused() {
    let strict = strict().await;
    let pid = strict.setup.webhook.pid();
    let mut review = strict.review();
    let mut old = review["request"]["object"].clone();
    old["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry.example.com/shop:0.9.0");
    review["request"]["oldObject"] = old;
    review["request"]["operation"] = json!("UPDATE");
    for object in ["object", "oldObject"] {
        review["request"][object]["metadata"]["annotations"]["example.com/long"] = json!("x".repeat(3 * MIB));
    }
    let long = review.to_string();
    assert!(long.len() > 6 * MIB);
    assert_eq!(strict.answered(&review).await["allowed"], false);

    let too_long = vec![b' '; 7 * MIB + 1];
    assert_eq!(strict.post(too_long).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(strict.answered(&strict.review()).await["allowed"], false);
    assert_eq!(strict.setup.webhook.pid(), pid);
}
