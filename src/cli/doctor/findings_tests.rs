//! What the doctor finds.

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{
        PactBroker,
        names::{ApplicationInstance, Pacticipant, Version},
    },
    workload::{DeploymentView, RecordKey},
};

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
        pieces: vec![Piece { what: "definition pactbrokers.pact-operator.dev".to_owned(), trouble: Ok(None) }],
        at_brokers: Vec::new(),
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
        "webhook: the gate of pact-operator answers, asked through the API server, which trusts its certificate",
        "controller: controller-0 leads, and renewed its Lease 10 s ago",
        "definitions and rights: as this program expects them",
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

#[test]
fn what_the_broker_has_and_nobody_here_knows_is_named() {
    let at = EnvironmentPolicy::parse(&environment(&json!([]))).unwrap().rules.environment_ref;
    let row = |pacticipant: &str, instance: Option<&str>| {
        let key = RecordKey {
            environment_ref: at.clone(),
            pacticipant: Pacticipant::parse(pacticipant).unwrap(),
            instance: instance.map(|text| ApplicationInstance::parse(text).unwrap()),
        };
        (key, Version::parse("1.0.0").unwrap())
    };
    let record: PactDeployment = object(
        "PactDeployment",
        "r",
        &json!({"broker": "main", "environment": "production", "pacticipant": "orders"}),
        &json!({}),
    );
    let told = |rows: Result<Vec<(RecordKey, Version)>, String>| {
        let (at, known) = (at.clone(), row("orders", None).0);
        let found = of_healthy(|facts| {
            facts.installed.records = vec![(known, record.clone())];
            facts.at_brokers = vec![AtBroker { at, rows }];
        });
        let about = found.into_iter().find(|it| it.text.contains("the broker has")).unwrap();
        (about.grade, about.text)
    };
    let (grade, text) = told(Ok(vec![row("orders", None)]));
    assert_eq!(
        (grade, text.as_str()),
        (Grade::Fine, "production at main: the broker has 1 version there, each known here")
    );
    let (grade, text) = told(Ok(vec![row("orders", None), row("orders", Some("eu")), row("left over", None)]));
    assert_eq!(grade, Grade::Note);
    assert!(text.contains("of orders 1.0.0 (instance eu), left over 1.0.0; they count for the gate"), "{text}");
    let (grade, text) = told(Err("it does not answer".to_owned()));
    assert_eq!(grade, Grade::Note);
    assert!(text.ends_with("was not looked at: it does not answer"), "{text}");
}

#[test]
fn what_the_chart_installs_is_missing_or_cannot_be_looked_at() {
    let told = |trouble| {
        let piece = || Piece { what: "definition x".to_owned(), trouble };
        let found = of_healthy(|facts| facts.pieces = vec![piece()]);
        let about = found.into_iter().find(|it| it.text.starts_with("definition")).unwrap();
        (about.grade, about.text)
    };
    assert_eq!(told(Ok(None)), (Grade::Fine, "definitions and rights: as this program expects them".to_owned()));
    assert_eq!(told(Ok(Some("it is missing".to_owned()))), (Grade::Problem, "definition x: it is missing".to_owned()));
    let (grade, text) = told(Err("forbidden".to_owned()));
    assert_eq!((grade, text.as_str()), (Grade::Note, "definition x: it was not looked at: forbidden"));
}
