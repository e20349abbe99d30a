use super::*;
use crate::{
    api::PactDeployment,
    decide::{
        GateRules,
        record::fixtures::{key, labels, rules, workload},
    },
};

/// The namespace `shop`, in production.
fn index() -> Index {
    let mut index = Index::default();
    index.set_namespace("shop", Some(labels(&[])));
    let policy =
        EnvironmentPolicy { rules: rules("production", &["shop"]), gate: GateRules::default(), members_listed: true };
    index.set_environment("production", Some(Ok(policy)));
    index
}

/// That this key has version 1 recorded.
fn recorded(key: &RecordKey) -> (RecordKey, PactDeployment) {
    let status = serde_json::json!({
        "recorded": {"version": "1", "uuid": "uuid-1", "at": "2026-11-30T09:12:00Z", "found": false},
        "conditions": [{"type": "Recorded", "status": "True", "reason": "Recorded", "message": "",
                        "lastTransitionTime": "2026-11-30T09:12:00Z"}],
    });
    let mut object = PactDeployment::new(&key.object_name(), key.spec());
    object.status = Some(serde_json::from_value(status).unwrap());
    (key.clone(), object)
}

#[test]
fn what_runs_is_found_whatever_the_record_lists() {
    let workloads =
        vec![workload("shop", "web", "web"), workload("shop", "more", "web, api"), workload("bank", "x", "web")];
    let running = RunningNow::of(index(), &workloads, &Installed::default());
    let names = |of: &str| -> Vec<_> {
        running.members(&key("production", of)).iter().map(|it| format!("{}/{}", it.namespace, it.name)).collect()
    };
    assert_eq!(names("web"), ["shop/web", "shop/more"]);
    assert_eq!(names("api"), ["shop/more"]);
    assert_eq!(names("orders"), [""; 0]);
}

#[test]
fn a_workload_that_names_another_application_runs_that() {
    let orders = key("production", "orders");
    let now = workload("shop", "orders", "orders-api");
    let elsewhere = |records: Vec<(RecordKey, PactDeployment)>, workload: &Workload| {
        let installed = Installed { records, ..Installed::default() };
        RunningNow::of(index(), std::slice::from_ref(workload), &installed).elsewhere(&orders, workload)
    };
    assert_eq!(elsewhere(Vec::new(), &now), Some(Sighting::Moved("orders-api".into())));
    let there = recorded(&key("production", "orders-api"));
    assert_eq!(elsewhere(vec![there], &now), Some(Sighting::Elsewhere("orders-api".into())));
    for same in [workload("shop", "orders", "orders"), workload("shop", "orders", "orders,orders-api")] {
        assert_eq!(elsewhere(Vec::new(), &same), None);
    }
    let mut unmanaged = now;
    unmanaged.annotations.pacticipant = None;
    assert_eq!(elsewhere(Vec::new(), &unmanaged), None, "it runs on");
}
