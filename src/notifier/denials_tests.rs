use std::convert::Infallible;

use kube::client::Body;

use super::*;
use crate::decide::record::fixtures::key;

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

/// Denials whose API server is never asked.
fn denials() -> Denials {
    let server = tower::service_fn(|_: axum::http::Request<Body>| async {
        Ok::<_, Infallible>(axum::http::Response::new(Body::empty()))
    });
    Denials::new(Client::new(server, "default"), Counter::default())
}

fn uids(denials: &Denials, sink: Sink) -> String {
    denials.waiting(sink).into_iter().map(|(uid, _)| uid).collect::<Vec<_>>().join(",")
}

#[tokio::test]
async fn a_denial_waits_for_the_sinks_that_its_event_does_not_name_oldest_first() {
    let (denials, sinks) = (denials(), [Sink::CdEvents, Sink::Webhook]);
    for (uid, second) in [("b", 2), ("a", 1), ("c", 3)] {
        assert_eq!(denials.apply(&event(uid, "orders", second), &sinks).as_deref(), Some(uid));
    }
    let mut delivered = event("c", "orders", 3);
    delivered.annotations_mut().insert(Sink::CdEvents.annotation(), "1".into());
    denials.apply(&delivered, &sinks);
    assert_eq!(uids(&denials, Sink::CdEvents), "a,b");
    assert_eq!(uids(&denials, Sink::Webhook), "a,b,c");
    let (_, first) = denials.waiting(Sink::Webhook).remove(0);
    assert_eq!(first.key, key("production", "orders"));
    assert_eq!(first.announcement.workloads, ["Deployment shop/orders"]);
    assert_eq!(first.announcement.message, "orders 2 → production: web 7 fails (asked by dev)");
    assert_eq!((first.announcement.version.as_str(), first.announcement.at.0.as_second()), ("2", 1));
    assert_eq!((first.regarding.kind.as_str(), first.regarding.uid.as_str()), ("Deployment", "w-1"));
}

#[tokio::test]
async fn what_is_no_denial_is_left_out_and_one_that_is_lost_is_counted() {
    let (denials, sinks) = (denials(), [Sink::CdEvents]);
    let mut foreign = event("x", "orders", 1);
    foreign.annotations_mut().insert(DENIED.into(), "oops".into());
    assert_eq!(denials.apply(&foreign, &sinks), None);
    assert_eq!(denials.apply(&event("y", "\n", 1), &sinks), None);
    let mut delivered = event("d", "orders", 1);
    delivered.annotations_mut().insert(Sink::CdEvents.annotation(), "1".into());
    for event in [&event("w", "orders", 1), &delivered] {
        denials.apply(event, &sinks);
        denials.gone(event, &sinks);
    }
    assert_eq!(denials.dropped.get(), 1, "the one that was not delivered");
    assert_eq!(uids(&denials, Sink::CdEvents), "");
}

#[tokio::test]
async fn no_more_are_kept_than_fit() {
    let (denials, sinks) = (denials(), [Sink::CdEvents]);
    for number in 0..MOST + 3 {
        denials.apply(&event(&number.to_string(), "orders", 1), &sinks);
    }
    assert_eq!((denials.known().len(), denials.dropped.get()), (MOST, 3));
    assert!(denials.apply(&event("0", "orders", 1), &sinks).is_some(), "a known one is renewed");
}
