//! The requests as they are sent, and how their answers are read.

use std::future::Future;
use std::time::{Duration, Instant};

use axum::http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::{Handle, SendResponse};

use super::{SECOND, terms};
use crate::lease::candidate::Candidate;
use crate::lease::store::{LeaseStore, StoreError};

type ApiServer = Handle<Request<Body>, Response<Body>>;

fn store(limit: Duration) -> (LeaseStore, ApiServer) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    (LeaseStore::new(Client::new(service, "ns"), "ns", "recorder", limit), handle)
}

fn stored(holder: &str, version: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "recorder", "namespace": "ns", "resourceVersion": version, "labels": {"kept": "yes"}},
        "spec": {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3,
                 "renewTime": "2026-01-01T00:00:00.000000Z", "acquireTime": "2026-01-01T00:00:00.000000Z"}
    })
}

fn lease(holder: &str, version: &str) -> Lease {
    serde_json::from_value(stored(holder, version)).unwrap()
}

fn candidate(seen: Option<Lease>) -> Candidate {
    let mut candidate = Candidate::new("me".into(), terms());
    candidate.saw(seen, Instant::now());
    candidate
}

async fn next(server: &mut ApiServer) -> (Method, String, Value, SendResponse<Response<Body>>) {
    let (request, answer) =
        tokio::time::timeout(20 * SECOND, server.next_request()).await.expect("a request").expect("a client");
    let (parts, body) = request.into_parts();
    let body = body.collect_bytes().await.unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (parts.method, parts.uri.path().to_owned(), body, answer)
}

fn answer(send: SendResponse<Response<Body>>, status: StatusCode, body: &Value) {
    send.send_response(Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap());
}

fn refusal(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
           "message": "because"})
}

async fn asked<T>(
    request: impl Future<Output = T>,
    server: &mut ApiServer,
    status: StatusCode,
    body: &Value,
) -> (T, Method, String, Value) {
    let ((method, path, sent, ()), outcome) = {
        let serve = async {
            let (method, path, sent, reply) = next(server).await;
            answer(reply, status, body);
            (method, path, sent, ())
        };
        let (outcome, seen) = tokio::join!(request, serve);
        (seen, outcome)
    };
    (outcome, method, path, sent)
}

#[tokio::test]
async fn the_first_claim_creates_the_lease() {
    let (store, mut server) = store(5 * SECOND);
    let claim = candidate(None).claim("ns", "recorder", 0, Timestamp::UNIX_EPOCH);
    let (outcome, method, path, sent) =
        asked(store.write(&claim), &mut server, StatusCode::CREATED, &stored("me", "1")).await;
    assert!(outcome.is_ok());
    assert_eq!((method, path.as_str()), (Method::POST, "/apis/coordination.k8s.io/v1/namespaces/ns/leases"));
    assert_eq!(sent["metadata"]["resourceVersion"], Value::Null);
    assert_eq!(sent["spec"]["holderIdentity"], "me");
    assert_eq!(sent["spec"]["leaseDurationSeconds"], 15);
    assert_eq!(sent["spec"]["leaseTransitions"], 0);
}

#[tokio::test]
async fn a_takeover_replaces_what_was_read_with_its_resource_version_and_keeps_what_others_wrote() {
    let (store, mut server) = store(5 * SECOND);
    let claim = candidate(Some(lease("other", "41"))).claim("ns", "recorder", 4, Timestamp::UNIX_EPOCH);
    let (outcome, method, path, sent) =
        asked(store.write(&claim), &mut server, StatusCode::OK, &stored("me", "42")).await;
    assert_eq!(outcome.unwrap().metadata.resource_version.as_deref(), Some("42"));
    assert_eq!(method, Method::PUT);
    assert_eq!(path, "/apis/coordination.k8s.io/v1/namespaces/ns/leases/recorder");
    assert_eq!(sent["metadata"]["resourceVersion"], "41");
    assert_eq!(sent["metadata"]["labels"]["kept"], "yes");
    assert_eq!((&sent["spec"]["holderIdentity"], &sent["spec"]["leaseTransitions"]), (&json!("me"), &json!(4)));
    assert_eq!(sent["spec"]["acquireTime"], "1970-01-01T00:00:00.000000Z");
}

#[test]
fn a_renewal_keeps_the_acquire_time_and_always_changes_the_renew_time() {
    let stuck: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let claim = candidate(Some(lease("me", "41"))).claim("ns", "recorder", 3, stuck);
    let spec = claim.spec.unwrap();
    assert_eq!(spec.acquire_time.unwrap().0, stuck);
    assert_eq!(spec.renew_time.unwrap().0.as_microsecond(), stuck.as_microsecond() + 1, "a clock that stands still");
}

#[tokio::test]
async fn a_faster_client_is_a_conflict_and_not_a_failure() {
    let (store, mut server) = store(5 * SECOND);
    let claim = candidate(Some(lease("other", "41"))).claim("ns", "recorder", 4, Timestamp::UNIX_EPOCH);
    for reason in ["Conflict", "AlreadyExists"] {
        let body = refusal(409, reason);
        let (outcome, ..) = asked(store.write(&claim), &mut server, StatusCode::CONFLICT, &body).await;
        assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{reason}");
    }
}

#[tokio::test]
async fn a_missing_right_names_the_remedy() {
    let (store, mut server) = store(5 * SECOND);
    let (outcome, ..) = asked(store.read(), &mut server, StatusCode::FORBIDDEN, &refusal(403, "Forbidden")).await;
    let text = outcome.unwrap_err().to_string();
    assert!(text.contains("not allowed to get the Lease ns/recorder: because") && text.contains("Role"), "{text}");
}

#[tokio::test]
async fn no_lease_is_an_answer() {
    let (store, mut server) = store(5 * SECOND);
    let (outcome, method, ..) =
        asked(store.read(), &mut server, StatusCode::NOT_FOUND, &refusal(404, "NotFound")).await;
    assert_eq!(method, Method::GET);
    assert!(outcome.unwrap().is_none());
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up_within_the_limit() {
    let (store, mut server) = store(Duration::from_millis(50));
    let (outcome, request) = tokio::join!(store.read(), next(&mut server));
    assert!(matches!(outcome, Err(StoreError::TimedOut { .. })), "{outcome:?}");
    drop(request);
}

#[tokio::test]
async fn a_release_empties_the_holder_of_exactly_the_version_that_was_ours() {
    let (store, mut server) = store(5 * SECOND);
    assert!(candidate(Some(lease("other", "41"))).release(Timestamp::now()).is_none(), "not ours to give");
    assert!(candidate(None).release(Timestamp::now()).is_none());
    let released = candidate(Some(lease("me", "42"))).release(Timestamp::now()).unwrap();
    let (outcome, method, _, sent) =
        asked(store.write(&released), &mut server, StatusCode::OK, &stored("", "43")).await;
    assert!(outcome.is_ok());
    assert_eq!(method, Method::PUT);
    assert_eq!(sent["metadata"]["resourceVersion"], "42");
    assert_eq!(sent["spec"]["holderIdentity"], "");
    assert_eq!(sent["spec"]["leaseTransitions"], 3);
}
