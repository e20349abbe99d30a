use super::*;
use crate::{
    api::{PactRecordSpec, record::WorkloadReference},
    decide::record::fixtures::{key, reference},
};

/// The object `name` in `shop`, which refers to a Deployment, in the state of this resource version.
fn object(name: &str, workload: &str, state: u64) -> PactRecord {
    let workload_ref = WorkloadReference { api_version: None, kind: "Deployment".into(), name: workload.into() };
    let mut object = PactRecord::new(name, PactRecordSpec { workload_ref, version: None });
    object.metadata.namespace = Some("shop".into());
    object.metadata.uid = Some(format!("uid-{name}"));
    object.metadata.resource_version = Some(state.to_string());
    object
}

fn named(name: &str) -> PactRecordRef {
    PactRecordRef { namespace: "shop".into(), name: name.into() }
}

#[test]
fn an_object_is_found_by_its_workload_of_now_and_by_the_keys_of_its_last_look() {
    let mut objects = PactRecords::default();
    assert!(objects.is_empty());
    assert!(objects.apply(object("a", "orders", 1)) && objects.apply(object("b", "orders", 2)));
    assert_eq!(objects.of_workload(&reference("shop", "orders")), [named("a"), named("b")]);
    assert_eq!(objects.of_workload(&reference("bank", "orders")), [], "only of its own namespace");
    assert_eq!(objects.in_namespace("shop"), [named("a"), named("b")]);
    assert_eq!((objects.in_namespace("sho"), objects.in_namespace("shop-b")), (vec![], vec![]));

    assert!(objects.apply(object("a", "web", 3)));
    assert_eq!(objects.of_workload(&reference("shop", "orders")), [named("b")]);
    assert_eq!(objects.of_workload(&reference("shop", "web")), [named("a")]);

    let (orders, web) = (key("production", "orders"), key("production", "web"));
    objects.looked_at(&named("a"), vec![orders.clone(), web.clone()]);
    objects.looked_at(&named("a"), vec![web.clone()]);
    assert_eq!((objects.of_key(&orders), objects.of_key(&web)), (vec![], vec![named("a")]));

    objects.remove(&named("a"));
    assert_eq!((objects.of_key(&web), objects.of_workload(&reference("shop", "web"))), (vec![], vec![]));
    objects.looked_at(&named("a"), vec![web.clone()]);
    assert!(objects.of_key(&web).is_empty(), "it is gone");
    objects.remove(&named("b"));
    assert!(
        objects.is_empty() && objects.by_workload.is_empty() && objects.by_key.is_empty() && objects.keys.is_empty()
    );
}

#[test]
fn what_is_known_already_is_not_looked_at_and_an_older_state_is_passed_over() {
    let mut objects = PactRecords::default();
    assert!(objects.apply(object("a", "orders", 5)));
    assert!(!objects.apply(object("a", "orders", 5)), "the answer to our own write comes from the watch, too");
    assert!(!objects.apply(object("a", "web", 4)), "older");
    assert_eq!(objects.of_workload(&reference("shop", "orders")), [named("a")]);
    assert!(objects.set(object("a", "web", 4)), "etcd was restored");
    let mut another = object("a", "orders", 1);
    another.metadata.uid = Some("uid-2".into());
    assert!(objects.apply(another), "another object of that name");
    assert_eq!(objects.get(&named("a")).unwrap().metadata.uid.as_deref(), Some("uid-2"));
}

#[test]
fn one_of_an_unknown_kind_is_kept_and_waits_for_no_workload() {
    let mut objects = PactRecords::default();
    let mut pod = object("a", "orders", 1);
    pod.spec.workload_ref.kind = "Pod".into();
    assert!(objects.apply(pod));
    assert!(objects.by_workload.is_empty() && objects.get(&named("a")).is_some());
}
