//! What the doctor finds.

use serde_json::{Value, json};

use super::*;
use crate::{api::PactBroker, workload::DeploymentView};

fn object<T: for<'a> serde::Deserialize<'a>>(kind: &str, name: &str, spec: &Value, status: &Value) -> T {
    let object = json!({"apiVersion": "pact-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": name},
                        "spec": spec, "status": status});
    serde_json::from_value(object).unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({"type": type_, "status": status, "reason": reason, "message": message,
           "lastTransitionTime": "2026-11-01T00:00:00Z"})
}

fn workload(namespace: &str, annotations: &Value) -> Workload {
    let object = json!({"metadata": {"name": "orders", "namespace": namespace, "annotations": annotations},
                        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "orders:1"}]}}}});
    let view: DeploymentView = serde_json::from_value(object).unwrap();
    view.observe(Timestamp::UNIX_EPOCH)
}

fn environment(conditions: &Value) -> PactEnvironment {
    let spec = json!({"brokerRef": {"name": "main"}, "namespaces": {"names": ["shop"]}, "gate": {"mode": "Enforce"}});
    object("PactEnvironment", "production", &spec, &json!({"conditions": conditions}))
}

fn lease(renewed: i64) -> Lease {
    let at = Timestamp::from_second(renewed).unwrap();
    serde_json::from_value(json!({"spec": {"holderIdentity": "controller-0", "renewTime": at}})).unwrap()
}

/// An installation in which nothing is wrong, at second 1,000.
fn healthy() -> Facts {
    let ready = json!([condition("Ready", "True", "Answering", "the broker answers")]);
    let broker: PactBroker =
        object("PactBroker", "main", &json!({"url": "https://broker"}), &json!({"conditions": ready}));
    let recording = json!([condition("Ready", "True", "Recording", "what runs in 1 namespace is recorded")]);
    let installed =
        Installed { environments: vec![environment(&recording)], brokers: vec![broker], records: Vec::new() };
    Facts {
        installed,
        namespaces: BTreeMap::from([("shop".to_owned(), BTreeMap::new()), ("other".to_owned(), BTreeMap::new())]),
        workloads: vec![workload("shop", &json!({"pact-operator.dev/pacticipant": "orders"}))],
        lease: Ok(Some(lease(990))),
        gate: Ok("the gate of pact-operator answers".to_owned()),
        notes: Ok(Vec::new()),
        operator_namespace: "pact-operator".to_owned(),
    }
}

fn of_healthy(change: impl FnOnce(&mut Facts)) -> Vec<Found> {
    let mut facts = healthy();
    change(&mut facts);
    of(&facts, Timestamp::from_second(1_000).unwrap())
}

#[test]
fn where_nothing_is_wrong_each_part_is_fine() {
    let texts: Vec<_> = of_healthy(|_| {}).into_iter().map(|it| (it.grade, it.text)).collect();
    let fine = [
        "webhook: the gate of pact-operator answers, asked through the API server",
        "controller: controller-0 leads, and renewed its Lease 10 s ago",
        "PactBroker main: the broker answers",
        "PactEnvironment production: what runs in 1 namespace is recorded",
        "records: 0 records, each of them settled",
    ];
    assert_eq!(texts, fine.map(|text| (Grade::Fine, text.to_owned())));
}

/// A way to break something.
type Break = fn(&mut Facts);

#[test]
fn each_thing_that_is_wrong_is_found_with_its_remedy() {
    let cases: [(Break, Grade, &str); 15] = [
        (|it| it.installed.environments.clear(), Grade::Problem, "PactEnvironments: there is none"),
        (|it| it.gate = Err("nobody asked".to_owned()), Grade::Problem, "webhook: nobody asked"),
        (|it| it.lease = Ok(None), Grade::Problem, "is the operator in another namespace (--operator-namespace)?"),
        (|it| it.lease = Ok(Some(lease(900))), Grade::Problem, "has not renewed its Lease for 100 s"),
        (|it| it.lease = Ok(Some(Lease::default())), Grade::Problem, "nobody leads, so nothing is recorded"),
        (|it| it.lease = Err("no right".to_owned()), Grade::Problem, "its Lease cannot be read: no right"),
        (|it| it.installed.brokers.clear(), Grade::Problem, "PactBrokers: there is none"),
        (|it| it.installed.brokers[0].status = None, Grade::Problem, "PactBroker main: the controller has not looked"),
        (
            |it| {
                it.installed.environments[0] =
                    environment(&json!([condition("Ready", "False", "InvalidSpec", "a slip")]));
            },
            Grade::Problem,
            "PactEnvironment production: a slip (InvalidSpec)",
        ),
        (
            |it| {
                let listing = condition("MembersListed", "False", "Listing", "1 of 2");
                it.installed.environments[0] = environment(&json!([listing]));
            },
            Grade::Note,
            "Enforce behaves as Warn for now: 1 of 2",
        ),
        (
            |it| {
                let held = condition("UndeploysHeld", "True", "UndeploysHeld", "3 of 4 are gone");
                it.installed.environments[0] = environment(&json!([held]));
            },
            Grade::Problem,
            "3 of 4 are gone (UndeploysHeld)",
        ),
        (|it| drop(it.namespaces.remove("shop")), Grade::Note, "no namespace lies in it"),
        (
            |it| it.workloads.push(workload("other", &json!({"pact-operator.dev/pacticipant": "lost"}))),
            Grade::Problem,
            "Deployment other/orders: annotated, and no PactEnvironment claims the namespace",
        ),
        (
            |it| it.workloads.push(workload("shop", &json!({"pact-operator.dev/pacticipent": "slip"}))),
            Grade::Problem,
            "Deployment shop/orders: the annotation pact-operator.dev/pacticipent is not read",
        ),
        (|it| it.notes = Ok(vec!["webhook: a note".to_owned()]), Grade::Note, "webhook: a note"),
    ];
    for (number, (change, grade, says)) in cases.into_iter().enumerate() {
        let found = of_healthy(change);
        let said = found.iter().find(|found| found.text.contains(says));
        assert_eq!(said.map(|found| found.grade), Some(grade), "{number}: {says:?} in {found:#?}");
        assert!(found[0].grade < Grade::Fine, "{number}: the worst comes first");
    }
}

#[test]
fn records_that_are_not_settled_are_counted_by_why() {
    let record = |pacticipant: &str, status: &Value| {
        let spec = json!({"broker": "main", "environment": "production", "pacticipant": pacticipant});
        let record: PactDeployment = object("PactDeployment", pacticipant, &spec, status);
        (crate::workload::RecordKey::of(&record).unwrap(), record)
    };
    let missing = json!({"conditions": [condition("Ready", "False", "VersionMissing", "nobody published it")]});
    let bypassed = json!({"conditions": [condition("Bypassed", "True", "Bypassed", "states so")]});
    let denied =
        json!({"checks": [{"version": "2", "verdict": "No", "wouldDeny": true, "since": "2026-11-01T00:00:00Z"}]});
    let found = of_healthy(|facts| {
        facts.installed.records = (0..7).map(|number| record(&format!("app-{number}"), &missing)).collect();
        facts.installed.records.extend([record("b", &bypassed), record("d", &denied), record("new", &Value::Null)]);
    });
    let texts: Vec<_> = found.iter().filter(|it| it.grade == Grade::Note).map(|it| it.text.as_str()).collect();
    let named: Vec<_> = (0..5).map(|number| format!("app-{number} in production")).collect();
    assert_eq!(
        texts,
        [
            "records: 1 not looked at yet: new in production; pact-operator status --unsettled",
            &format!(
                "records: 7 not settled (VersionMissing): {} and 2 more; pact-operator status --unsettled",
                named.join(", ")
            ),
            "records: 1 run a version that Enforce would deny: d in production; pact-operator status --unsettled",
            "records: 1 run by a bypass, without a yes since: b in production; pact-operator status --unsettled",
        ]
    );
}
