use std::convert::Infallible;

use kube::client::Body;
use operator_kit::events::EventSink;

use super::*;
use crate::{
    cluster::records::RecordStore,
    decide::record::fixtures::key,
    notifier::{SinkSettings, Template, endpoint::Endpoint, metrics::NotifierMetrics, post},
};

/// The Event of a denial of an application at a second.
fn event(uid: &str, pacticipant: &str, second: i64) -> KubeEvent {
    let denial = Denial {
        broker: "main".into(),
        environment: "production".into(),
        pacticipant: pacticipant.into(),
        version: "2".into(),
        user: "dev".into(),
    };
    let event = json!({
        "metadata": {
            "name": format!("orders.{uid}"), "namespace": "shop", "uid": uid, "annotations": {DENIED: denial.text()},
        },
        "eventTime": Timestamp::from_second(second).unwrap().to_string().replace('Z', ".000000Z"),
        "note": "orders 2 → production: web 7 fails", "reason": "RolloutDenied",
        "regarding": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders", "namespace": "shop", "uid": "w-1"},
    });
    serde_json::from_value(event).unwrap()
}

/// Denials for these sinks whose API server is never asked.
fn denials(sinks: &[Sink]) -> Denials {
    let server = tower::service_fn(|_: axum::http::Request<Body>| async {
        Ok::<_, Infallible>(axum::http::Response::new(Body::empty()))
    });
    Denials::new(Client::new(server, "default"), sinks.to_vec(), Counter::default())
}

fn uids(denials: &Denials, sink: Sink) -> String {
    denials.waiting(sink).0.join(",")
}

#[tokio::test]
async fn a_denial_waits_for_the_sinks_that_its_event_does_not_name_oldest_first() {
    let denials = denials(&[Sink::CdEvents, Sink::Webhook]);
    for (uid, second) in [("b", 2), ("a", 1), ("c", 3)] {
        assert_eq!(denials.apply(&event(uid, "orders", second)).as_deref(), Some(uid));
    }
    let mut delivered = event("c", "orders", 3);
    delivered.annotations_mut().insert(Sink::CdEvents.annotation(), "1".into());
    denials.apply(&delivered);
    assert_eq!(uids(&denials, Sink::CdEvents), "a,b");
    assert_eq!(uids(&denials, Sink::Webhook), "a,b,c");
    assert_eq!(denials.waiting(Sink::Webhook).1.map(Timestamp::as_second), Some(1));
    let first = denials.known()["a"].clone();
    assert_eq!(first.key, key("production", "orders"));
    assert_eq!(first.announcement.workloads, ["Deployment shop/orders"]);
    assert_eq!(first.announcement.message, "orders 2 → production: web 7 fails (asked by dev)");
    assert_eq!((first.announcement.version.as_str(), first.announcement.at.0.as_second()), ("2", 1));
    assert_eq!((first.regarding.kind.as_str(), first.regarding.uid.as_str()), ("Deployment", "w-1"));
}

#[tokio::test]
async fn what_is_no_denial_is_left_out_and_one_that_is_lost_is_counted() {
    let denials = denials(&[Sink::CdEvents]);
    let mut foreign = event("x", "orders", 1);
    foreign.annotations_mut().insert(DENIED.into(), "oops".into());
    assert_eq!(denials.apply(&foreign), None);
    assert_eq!(denials.apply(&event("y", "\n", 1)), None);
    let mut delivered = event("d", "orders", 1);
    delivered.annotations_mut().insert(Sink::CdEvents.annotation(), "1".into());
    for event in [&event("w", "orders", 1), &delivered] {
        denials.apply(event);
        denials.gone(&event.uid().unwrap());
    }
    assert_eq!(denials.dropped.get(), 1, "the one that was not delivered");
    assert_eq!(uids(&denials, Sink::CdEvents), "");
}

/// The Event of a denial in a namespace.
fn event_in(namespace: usize, number: usize) -> KubeEvent {
    let mut event = event(&format!("{namespace}-{number}"), "orders", 1);
    event.metadata.namespace = Some(namespace.to_string());
    event
}

#[tokio::test]
async fn no_more_are_kept_than_fit_and_no_namespace_takes_the_place_of_others() {
    let denials = denials(&[Sink::CdEvents]);
    let kept = || denials.known().len();
    for _again in 0..2 {
        (0..MOST_OF_A_NAMESPACE + 3).for_each(|number| drop(denials.apply(&event_in(0, number))));
    }
    assert_eq!((kept(), denials.dropped.get()), (MOST_OF_A_NAMESPACE, 3), "each is counted once");
    for namespace in 1..MOST / MOST_OF_A_NAMESPACE {
        (0..MOST_OF_A_NAMESPACE).for_each(|number| drop(denials.apply(&event_in(namespace, number))));
    }
    assert_eq!(denials.apply(&event_in(99, 1)), None);
    assert_eq!((kept(), denials.dropped.get()), (MOST, 4));
    assert!(denials.apply(&event_in(0, 0)).is_some(), "a known one is renewed");
}

#[tokio::test]
async fn what_every_sink_has_takes_no_place() {
    let denials = denials(&[Sink::CdEvents, Sink::Webhook]);
    let mut event = event("a", "orders", 1);
    event.annotations_mut().insert(Sink::CdEvents.annotation(), "1".into());
    assert!(denials.apply(&event).is_some(), "the webhook does not have it");
    event.annotations_mut().insert(Sink::Webhook.annotation(), "1".into());
    assert_eq!(denials.apply(&event), None);
    assert_eq!((denials.known().len(), denials.dropped.get()), (0, 0));
}

#[tokio::test]
async fn what_a_list_does_not_hold_any_more_is_counted_as_lost() {
    let denials = denials(&[Sink::CdEvents]);
    for uid in ["a", "b"] {
        denials.apply(&event(uid, "orders", 1));
    }
    denials.retain(&HashSet::from(["b".to_owned()]));
    assert_eq!((uids(&denials, Sink::CdEvents).as_str(), denials.dropped.get()), ("b", 1));
}

#[tokio::test]
async fn what_is_longer_than_an_event_of_the_gate_is_cut_or_left_out() {
    let denials = denials(&[Sink::CdEvents]);
    let long = || "x".repeat(1 << 20);
    let mut message = event("a", "orders", 1);
    message.note = Some(long());
    assert!(denials.apply(&message).is_some());
    assert!(denials.known()["a"].announcement.message.len() < 1100);
    let mut name = event("b", "orders", 1);
    name.regarding.as_mut().unwrap().name = Some(long());
    let mut annotation = event("c", "orders", 1);
    annotation.annotations_mut().get_mut(DENIED).unwrap().push_str(&" ".repeat(1 << 17));
    for forged in [name, annotation] {
        assert_eq!(denials.apply(&forged), None);
    }
}

#[tokio::test]
async fn what_a_sink_does_not_take_waits_and_its_age_is_known() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let denials = denials(&[Sink::CdEvents]);
    denials.apply(&event("a", "orders", 1));
    // Nobody listens there.
    let endpoint = Endpoint::new(Some("http://127.0.0.1:9/"), None).unwrap();
    let outlet = Outlet::new(SinkSettings { sink: Sink::CdEvents, endpoint, template: Template::default() });
    let delivery = Delivery {
        records: RecordStore::new(denials.client.clone()),
        leadership: Leadership::always(),
        events: EventSink::new(denials.client.clone(), "test", "test"),
        client: post::client("test").unwrap(),
        metrics: NotifierMetrics::default(),
        cluster: None,
        shutdown: CancellationToken::new(),
    };
    denials.deliver(&delivery, &outlet).await;
    assert_eq!(uids(&denials, Sink::CdEvents), "a");
    assert!(outlet.oldest_denial.load(Ordering::Relaxed) > 1_000_000_000, "since 1970");
}
