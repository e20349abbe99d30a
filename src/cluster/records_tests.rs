//! Which state of a `PactDeployment` is believed, and what it remembers for a plan.

use std::convert::Infallible;

use axum::http;
use futures::FutureExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::client::Body;
use serde_json::json;

use super::*;
use crate::{
    api::deployment::Recorded,
    decide::record::{
        LastRecord,
        fixtures::{at, key, key_of_instance, version},
        last_record_of,
    },
    workload::RecordKey,
};

/// Memories whose API server answers so.
fn answering(answer: impl Fn(http::Request<Body>) -> (u16, serde_json::Value) + Clone + Send + 'static) -> RecordStore {
    let server = tower::service_fn(move |request: http::Request<Body>| {
        let (status, body) = answer(request);
        let answer = http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
        async { Ok::<_, Infallible>(answer.unwrap()) }
    });
    RecordStore::new(Client::new(server, "default"))
}

/// Memories whose API server is never asked.
fn records() -> RecordStore {
    answering(|_| (500, json!({})))
}

fn object(key: &RecordKey, uid: &str, resource_version: &str) -> PactDeployment {
    let mut object = PactDeployment::new(&key.object_name(), key.spec());
    object.metadata.uid = Some(uid.into());
    object.metadata.resource_version = Some(resource_version.into());
    object
}

fn known(records: &RecordStore, key: &RecordKey) -> Option<String> {
    records.get(key).and_then(|object| object.resource_version())
}

#[tokio::test]
async fn an_older_state_never_replaces_a_newer_one() {
    let (records, key) = (records(), key("production", "orders"));
    for (reported, expected) in
        [("9", "9"), ("10", "10"), ("9", "10"), ("10", "10"), ("11", "11"), ("x", "x"), ("3", "3")]
    {
        assert_eq!(records.apply(object(&key, "u", reported)), Some(key.clone()), "the key is answered in any case");
        assert_eq!(known(&records, &key).as_deref(), Some(expected), "after {reported}");
    }
}

#[tokio::test]
async fn case_107_what_a_list_holds_replaces_what_is_known_and_what_the_watch_says_then_follows_it() {
    let (records, key) = (records(), key("production", "orders"));
    records.apply(object(&key, "u", "900"));
    assert_eq!(records.set(object(&key, "u", "40")), Some(key.clone()));
    assert_eq!(known(&records, &key).as_deref(), Some("40"));
    for (reported, expected) in [("41", "41"), ("40", "41"), ("42", "42")] {
        records.apply(object(&key, "u", reported));
        assert_eq!(known(&records, &key).as_deref(), Some(expected), "after {reported}");
    }
    let mut foreign = object(&key, "u", "1");
    foreign.metadata.name = Some("orders".into());
    assert_eq!(records.set(foreign), None);
}

#[tokio::test]
async fn case_107_a_status_that_conflicts_is_written_after_what_a_get_says_whatever_its_resource_version() {
    let key = key("production", "orders");
    // The API server of a restored etcd: the object is at 40, and each write gives the next resourceVersion.
    let (now, served) = (object(&key, "u", "40"), Arc::new(Mutex::new(40)));
    let records = answering(move |request| {
        let mut version = served.lock().unwrap();
        let answer = |version: i32| {
            let mut object = now.clone();
            object.metadata.resource_version = Some(version.to_string());
            (200, serde_json::to_value(object).unwrap())
        };
        match *request.method() {
            http::Method::GET => answer(*version),
            http::Method::PUT => {
                let body = request.into_body().collect_bytes().now_or_never().unwrap().unwrap();
                let written: PactDeployment = serde_json::from_slice(&body).unwrap();
                if written.resource_version() != Some(version.to_string()) {
                    return (409, refusal(409, "Conflict"));
                }
                *version += 1;
                answer(*version)
            }
            _ => panic!("{request:?}"),
        }
    });
    records.apply(object(&key, "u", "900"));
    let write = async || {
        let before = records.get(&key);
        records.write(&key, before.as_deref(), PactDeploymentStatus::default()).await
    };
    assert!(write().await.unwrap_err().is_conflict());
    assert_eq!(known(&records, &key).as_deref(), Some("40"), "read again");
    write().await.unwrap();
    write().await.unwrap();
    assert_eq!(known(&records, &key).as_deref(), Some("42"));
}

#[tokio::test]
async fn an_object_with_a_name_of_its_own_is_passed_over() {
    let (records, key) = (records(), key("production", "orders"));
    let mut foreign = object(&key, "u", "1");
    foreign.metadata.name = Some("orders".into());
    assert_eq!(records.apply(foreign), None);
    let mut unreadable = object(&key, "u", "1");
    unreadable.spec.environment = "my prod".into();
    assert_eq!(records.apply(unreadable), None);
    assert!(records.keys().is_empty());
}

#[tokio::test]
async fn a_late_report_of_a_deletion_does_not_remove_the_object_made_since() {
    let (records, key) = (records(), key("production", "orders"));
    records.apply(object(&key, "second", "7"));
    assert_eq!(records.remove(&object(&key, "first", "5")), Some(key.clone()));
    assert_eq!(known(&records, &key).as_deref(), Some("7"));
    assert_eq!(records.remove(&object(&key, "second", "8")), Some(key.clone()));
    assert_eq!(known(&records, &key), None);
}

#[tokio::test]
async fn a_complete_list_ends_what_it_does_not_hold() {
    let records = records();
    let (one, other) = (key("production", "orders"), key_of_instance("production", "orders", "blue"));
    for key in [&one, &other] {
        records.apply(object(key, "u", "1"));
    }
    assert_eq!(records.select(|key| key.instance.is_none()).len(), 1);
    assert_eq!(records.retain(&HashSet::from([one.object_name()])), [other]);
    assert_eq!(records.keys(), [one]);
}

/// An object of the name that the key had formerly.
fn former(key: &RecordKey, resource_version: &str, with_status: bool) -> PactDeployment {
    let mut object = PactDeployment {
        status: with_status.then(PactDeploymentStatus::default),
        ..object(key, "former", resource_version)
    };
    object.metadata.name = Some(key.former_object_name());
    object
}

#[tokio::test]
async fn case_115_of_two_objects_of_a_key_the_one_written_last_counts() {
    let key = key("production", "orders");
    let written =
        |number| PactDeployment { status: Some(PactDeploymentStatus::default()), ..object(&key, "u", number) };
    for (case, of_its_name, former_one, counts) in [
        ("only the former one", None, former(&key, "10", true), "10"),
        ("the other one was made, and not written", Some(object(&key, "u", "20")), former(&key, "10", true), "10"),
        ("and written", Some(written("21")), former(&key, "10", true), "21"),
        ("the former one was written again", Some(written("21")), former(&key, "30", true), "30"),
    ] {
        let records = records();
        records.apply(former_one.clone());
        of_its_name.clone().map(|object| records.apply(object));
        assert_eq!(known(&records, &key).as_deref(), Some(counts), "{case}");
        assert_eq!(records.keys(), std::slice::from_ref(&key), "{case}");
        assert_eq!(records.select(|_| true)[0].1.resource_version().as_deref(), Some(counts), "{case}");
        let listed = HashSet::from([key.object_name()]);
        let gone = if of_its_name.is_some() { vec![] } else { vec![key.clone()] };
        assert_eq!(records.retain(&listed), gone, "{case}");
        assert_eq!(known(&records, &key), of_its_name.and_then(|object| object.resource_version()), "{case}");
    }
}

/// What adopting an object does at an API server that answers each write with the object of the next state.
async fn adopted(key: &RecordKey, of_its_name: Option<PactDeployment>, former_one: PactDeployment) -> Vec<String> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let (requests, made) = (Arc::clone(&log), object(key, "u", "50"));
    let written = PactDeployment { status: Some(PactDeploymentStatus::default()), ..object(key, "u", "51") };
    let records = answering(move |request| {
        let name = request.uri().path().rsplit_once("pactdeployments").unwrap().1.to_owned();
        requests.lock().unwrap().push(format!("{} {name}", request.method()));
        match *request.method() {
            http::Method::POST => (201, serde_json::to_value(&made).unwrap()),
            http::Method::PUT => (200, serde_json::to_value(&written).unwrap()),
            _ => (200, json!({"kind": "Status", "apiVersion": "v1", "status": "Success"})),
        }
    });
    records.apply(former_one);
    of_its_name.map(|object| records.apply(object));
    records.adopt(key).await.unwrap();
    records.adopt(key).await.unwrap();
    std::mem::take(&mut *log.lock().unwrap())
}

#[tokio::test]
async fn case_115_an_object_of_the_former_name_is_taken_over_before_it_is_deleted_and_a_crash_between_does_no_harm() {
    let key = key("production", "orders");
    let (create, write) = ("POST ".to_owned(), format!("PUT /{}/status", key.object_name()));
    let delete = format!("DELETE /{}", key.former_object_name());
    let written =
        |number| PactDeployment { status: Some(PactDeploymentStatus::default()), ..object(&key, "u", number) };
    let all = [create, write.clone(), delete.clone()];
    assert_eq!(adopted(&key, None, former(&key, "10", true)).await, all);
    let made = Some(object(&key, "u", "20"));
    assert_eq!(adopted(&key, made, former(&key, "10", true)).await, all[1..], "it was made, and not written");
    assert_eq!(adopted(&key, Some(written("21")), former(&key, "10", true)).await, all[2..], "it was written");
    let later = former(&key, "30", true);
    assert_eq!(adopted(&key, Some(written("21")), later).await, all[1..], "another version of the operator led again");
    let mut empty = former(&key, "10", false);
    assert_eq!(adopted(&key, None, empty.clone()).await, all[2..], "it says nothing");
    empty.metadata.creation_timestamp = Some(Time(Timestamp::now()));
    assert_eq!(adopted(&key, None, empty).await, [""; 0], "somebody is about to write it");
}

#[test]
fn the_last_record_comes_from_the_status() {
    let key = key("production", "orders");
    assert_eq!(last_record_of(None), LastRecord::default());
    assert_eq!(last_record_of(Some(&object(&key, "u", "1"))), LastRecord::default());
    let mut object = object(&key, "u", "1");
    object.status = Some(PactDeploymentStatus {
        recorded: Some(Recorded { version: "2".into(), uuid: None, at: Time(at(5)), found: false, would_deny: None }),
        corrected_version: Some("1".into()),
        orphaned_since: Some(Time(at(9))),
        ..PactDeploymentStatus::default()
    });
    let expected = LastRecord {
        recorded: Some(version("2")),
        uuid: None,
        found: false,
        intended: Vec::new(),
        corrected: Some(version("1")),
        orphaned_since: Some(at(9)),
    };
    assert_eq!(last_record_of(Some(&object)), expected);
    let status = object.status.as_mut().unwrap();
    status.recorded.as_mut().unwrap().version = " ".into();
    assert_eq!(last_record_of(Some(&object)).recorded, None, "what cannot be a version is none");
}

fn refusal(code: u16, reason: &str) -> serde_json::Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "m"})
}

#[test]
fn a_conflict_or_an_object_that_is_gone_is_no_trouble_worth_a_warning() {
    let answer = |code, reason| {
        let status = serde_json::from_value(refusal(code, reason)).unwrap();
        RecordStoreError::from(kube::Error::Api(status)).is_conflict()
    };
    assert!(answer(409, "Conflict") && answer(404, "NotFound"));
    assert!(!answer(403, "Forbidden") && !answer(500, "InternalError"));
}

#[tokio::test]
async fn an_object_of_the_same_name_that_somebody_made_about_another_key_is_not_written_to() {
    let (ours, others) = (key("production", "orders"), key_of_instance("production", "web", "blue"));
    let found = PactDeployment { spec: others.spec(), ..object(&ours, "1", "1") };
    let records = answering(move |request| match *request.method() {
        http::Method::POST => (409, refusal(409, "AlreadyExists")),
        http::Method::GET => (200, serde_json::to_value(&found).unwrap()),
        _ => panic!("{request:?}"),
    });
    let refused = records.write(&ours, None, PactDeploymentStatus::default()).await.unwrap_err();
    assert!(!refused.is_conflict());
    let text = refused.to_string();
    assert!(text.contains("about web in production at main (application instance blue). Remedy: delete it"), "{text}");
}

#[tokio::test]
async fn a_note_that_conflicts_is_done_only_where_the_object_is_another_one() {
    let key = key("production", "orders");
    for (there, noted) in [(Some("u"), false), (Some("another"), true), (None, true)] {
        let found = there.map(|uid| object(&key, uid, "2"));
        let records = answering(move |request| match (request.method(), &found) {
            (&http::Method::PATCH, _) => (409, refusal(409, "Conflict")),
            (_, Some(found)) => (200, serde_json::to_value(found).unwrap()),
            (_, None) => (404, refusal(404, "NotFound")),
        });
        assert_eq!(records.annotate(&object(&key, "u", "1"), "a", "1").await.is_ok(), noted, "{there:?}");
    }
}

/// The API server of an object that another client annotated, or of which it wrote the status.
async fn write_after(change: impl Fn(&mut PactDeployment) + Clone + Send + 'static) -> (bool, usize) {
    let key = key("production", "orders");
    let mut known = object(&key, "u", "1");
    known.status = Some(PactDeploymentStatus { desired_version: Some("1".into()), ..PactDeploymentStatus::default() });
    let mut changed = known.clone();
    changed.metadata.resource_version = Some("2".into());
    change(&mut changed);
    let writes = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&writes);
    let records = answering(move |request| {
        if *request.method() == http::Method::GET {
            return (200, serde_json::to_value(&changed).unwrap());
        }
        *counted.lock().unwrap() += 1;
        let body = request.into_body().collect_bytes().now_or_never().unwrap().unwrap();
        let mut written: PactDeployment = serde_json::from_slice(&body).unwrap();
        if written.resource_version().as_deref() != Some("2") {
            return (409, refusal(409, "Conflict"));
        }
        written.metadata.resource_version = Some("3".into());
        (200, serde_json::to_value(written).unwrap())
    });
    records.apply(known.clone());
    let status = PactDeploymentStatus { desired_version: Some("2".into()), ..PactDeploymentStatus::default() };
    let written = records.write(&key, Some(&known), status).await.is_ok();
    let count = *writes.lock().unwrap();
    (written, count)
}

#[tokio::test]
async fn a_status_is_written_over_the_one_that_it_is_about_whatever_else_of_the_object_changed() {
    let annotated = |object: &mut PactDeployment| object.metadata.annotations = Some([("a".into(), "b".into())].into());
    assert_eq!(write_after(annotated).await, (true, 2));
    let other_status = |object: &mut PactDeployment| object.status = Some(PactDeploymentStatus::default());
    assert_eq!(write_after(other_status).await, (false, 1), "another leader wrote meanwhile");
    let other_object = |object: &mut PactDeployment| object.metadata.uid = Some("another".into());
    assert_eq!(write_after(other_object).await, (false, 1));
}
