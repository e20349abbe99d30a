//! Names, notes and requests of Events.

use axum::http::{Request, Response, StatusCode};
use kube::client::Body;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

type ApiServer = tower_test::mock::Handle<Request<Body>, Response<Body>>;

fn sink() -> (EventSink, ApiServer) {
    let (service, handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    (EventSink::new(Client::new(service, "ns"), "example.dev/recorder", "pod-1"), handle)
}

fn deployment() -> Regarding {
    Regarding {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: Some("shop".into()),
        name: "orders".into(),
        uid: "uid-1".into(),
    }
}

fn recorded(once_key: &str) -> Event<'static> {
    Event { reason: "Recorded", action: "Record", warning: false, note: "reported".into(), once_key: once_key.into() }
}

async fn answer(server: &mut ApiServer, status: StatusCode, body: Value) -> (String, Value) {
    let next = tokio::time::timeout(Duration::from_secs(20), server.next_request());
    let (request, reply) = next.await.expect("a request").expect("a client");
    let (parts, body_sent) = request.into_parts();
    let sent = serde_json::from_slice(&body_sent.collect_bytes().await.unwrap()).unwrap();
    reply.send_response(Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap());
    (parts.uri.path().to_owned(), sent)
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no"})
}

fn created() -> Value {
    json!({"kind": "Event", "apiVersion": "events.k8s.io/v1", "metadata": {"name": "x"}})
}

#[tokio::test]
async fn an_event_is_created_about_its_object_in_its_namespace() {
    let (sink, mut server) = sink();
    let (deployment, event) = (deployment(), recorded("1.2.3"));
    let (published, (path, sent)) =
        tokio::join!(sink.publish(&deployment, &event), answer(&mut server, StatusCode::CREATED, created()));
    assert_eq!(published.unwrap(), Published::New);
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/shop/events");
    assert_eq!(sent["metadata"]["name"], format!("orders.{:016x}", digest("uid-1", "Recorded", "1.2.3")));
    assert_eq!(sent["regarding"]["uid"], "uid-1");
    assert_eq!(
        (&sent["type"], &sent["reason"], &sent["action"]),
        (&json!("Normal"), &json!("Recorded"), &json!("Record"))
    );
    assert_eq!(sent["note"], "reported");
    assert_eq!(sent["reportingController"], "example.dev/recorder");
    assert_eq!(sent["reportingInstance"], "pod-1");
}

#[tokio::test]
async fn events_of_cluster_scoped_objects_are_in_the_namespace_default() {
    let (sink, mut server) = sink();
    let environment = Regarding { namespace: None, kind: "Environment".into(), ..deployment() };
    let event = recorded("k");
    let (published, (path, sent)) =
        tokio::join!(sink.publish(&environment, &event), answer(&mut server, StatusCode::CREATED, created()));
    assert!(published.is_ok());
    assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/default/events");
    assert_eq!(sent["regarding"]["namespace"], Value::Null);
}

#[tokio::test]
async fn a_repeated_event_is_a_success_and_is_not_sent_again() {
    let (sink, mut server) = sink();
    let (deployment, event) = (deployment(), recorded("1.2.3"));
    let (published, _) = tokio::join!(
        sink.publish(&deployment, &event),
        answer(&mut server, StatusCode::CONFLICT, status(409, "AlreadyExists"))
    );
    assert_eq!(published.unwrap(), Published::Before);
    // A request would get no answer now.
    assert_eq!(sink.clone().publish(&deployment, &event).await.unwrap(), Published::Before);
}

#[tokio::test]
async fn a_refusal_is_an_error_with_a_remedy_and_is_tried_again_next_time() {
    let (sink, mut server) = sink();
    let (deployment, event) = (deployment(), recorded("1.2.3"));
    let mut going = status(403, "Forbidden");
    going["details"] = json!({"causes": [{"reason": "NamespaceTerminating", "message": "going"}]});
    for (code, body, expected) in [
        (StatusCode::FORBIDDEN, status(403, "Forbidden"), "Remedy: grant create on events"),
        (StatusCode::FORBIDDEN, going, "shop is gone or being deleted: no Event about Deployment shop/orders"),
        (StatusCode::NOT_FOUND, status(404, "NotFound"), "shop is gone or being deleted"),
        (StatusCode::UNPROCESSABLE_ENTITY, status(422, "Invalid"), "could not publish the Event Recorded"),
    ] {
        let (published, _) = tokio::join!(sink.publish(&deployment, &event), answer(&mut server, code, body));
        let text = published.unwrap_err().to_string();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn each_of_object_reason_and_key_makes_another_event() {
    let all = [digest("a", "b", "c"), digest("ab", "", "c"), digest("a", "b", "cd"), digest("a", "bc", "")];
    let different: std::collections::HashSet<u64> = all.into_iter().collect();
    assert_eq!(different.len(), all.len());
    assert_eq!(digest("a", "b", "c"), digest("a", "b", "c"));
    // Fixed text: another release must find the Events of this one.
    assert_eq!(event_name("orders", digest("uid", "Recorded", "1")), "orders.266f312ceb864231");
}

#[test]
fn a_long_note_is_cut_between_characters_and_marked() {
    assert_eq!(shortened("short", MAX_NOTE), "short");
    assert_eq!(shortened(&"x".repeat(1024), MAX_NOTE).len(), 1024);
    let cut = shortened(&"ü".repeat(600), MAX_NOTE);
    assert!(cut.len() <= MAX_NOTE && cut.len() > MAX_NOTE - 4 && cut.ends_with("ü…"), "{}", cut.len());
}

proptest! {
    #[test]
    fn names_are_valid_whatever_the_object_is_called(object in "\\PC{0,300}", digest: u64) {
        let name = event_name(&object, digest);
        prop_assert!(name.len() <= MAX_NAME);
        for label in name.split('.') {
            prop_assert!(!label.is_empty() && !label.starts_with('-') && !label.ends_with('-'), "{}", name);
            prop_assert!(label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{}", name);
        }
    }
}

#[test]
fn a_published_event_is_forgotten_before_kubernetes_deletes_it() {
    // See `Recently`, which keeps twice the age at most.
    assert!(2 * PUBLISHED_FOR < Duration::from_hours(1), "the Event may be gone by then");
}
