//! Explanations, word for word.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::{
    cli::installed::Installed,
    workload::{DeploymentView, RecordKey},
};

fn object<T: for<'a> Deserialize<'a>>(kind: &str, name: &str, spec: &Value, status: &Value) -> T {
    let api_version = "pact-operator.dev/v1alpha1";
    let object =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec, "status": status});
    serde_json::from_value(object).unwrap()
}

fn environment(namespaces: &Value, listed: bool) -> PactEnvironment {
    let spec = json!({"brokerRef": {"name": "main"}, "environment": "production", "namespaces": namespaces,
                      "gate": {"mode": "Enforce"}});
    let condition = |type_: &str, status: bool| {
        json!({"type": type_, "status": if status { "True" } else { "False" }, "reason": "Because",
               "message": "of something", "lastTransitionTime": "2026-11-01T00:00:00Z"})
    };
    object("PactEnvironment", "production", &spec, &json!({"conditions": [condition("MembersListed", listed)]}))
}

fn workload(annotations: &Value) -> Workload {
    let object = json!({"metadata": {"name": "orders", "namespace": "shop", "uid": "1", "annotations": annotations},
        "spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "app", "image": "shop/orders:2.0.0"}]}}},
        "status": {"observedGeneration": 0}});
    let view: DeploymentView = serde_json::from_value(object).unwrap();
    view.observe(Timestamp::UNIX_EPOCH)
}

fn record() -> (RecordKey, PactDeployment) {
    let spec = json!({"broker": "main", "environment": "production", "pacticipant": "orders"});
    let at = "2026-11-01T00:00:00Z";
    let pair = |consumer: &str, result: &str| json!({"consumer": consumer, "consumerVersion": "7", "provider": "orders", "providerVersion": "2.0.0", "result": result});
    let status = json!({
        "members": [{"kind": "Deployment", "namespace": "shop", "name": "orders", "version": "2.0.0", "rollout": "Progressing"},
                    {"kind": "StatefulSet", "namespace": "shop", "name": "orders-batch", "version": "1.0.0", "rollout": "Complete"}],
        "recorded": {"version": "1.0.0", "at": at},
        "checks": [{"version": "2.0.0", "verdict": "No", "wouldDeny": true, "since": at,
                    "message": "it failed to verify the pact of web 7",
                    "pairs": [pair("web", "Failed"), pair("admin", "Verified")]}],
        "conditions": [{"type": "Ready", "status": "False", "reason": "RolloutProgressing", "message": "1 of 3 pods is new",
                        "lastTransitionTime": at}],
    });
    let record: PactDeployment = object("PactDeployment", "orders", &spec, &status);
    (RecordKey::of(&record).unwrap(), record)
}

fn explanation(workload: Workload, environments: Vec<PactEnvironment>) -> String {
    let installed = Installed { environments, brokers: Vec::new(), records: vec![record()] };
    let labels = Ok(BTreeMap::from([("team".to_owned(), "shop".to_owned())]));
    explained(&Facts { workload, labels, installed }, Timestamp::UNIX_EPOCH, false)
}

fn annotated() -> Workload {
    workload(&json!({"pact-operator.dev/pacticipant": "orders"}))
}

#[test]
fn a_denied_rollout_is_explained_to_the_end() {
    let environments = vec![environment(&json!({"names": ["shop"]}), true)];
    let expected = "\
Deployment shop/orders
  names      orders (annotation pact-operator.dev/pacticipant)
  rollout    scaled to zero

production (PactEnvironment production, PactBroker main)
  because    it names the namespace shop
  gate       Enforce
  version    2.0.0, from the image of the container app: shop/orders:2.0.0
  recorded   1.0.0 of orders since 2026-11-01T00:00:00Z
  next       RolloutProgressing: 1 of 3 pods is new
  beside     StatefulSet shop/orders-batch runs 1.0.0 (Complete)
  verdict    No since 2026-11-01T00:00:00Z: it failed to verify the pact of web 7
             Failed: web 7 → orders 2.0.0
  admission  a rollout of this version is denied
  remedy     Deploy a version that keeps the pact, or have the other side changed and verified first.
";
    assert_eq!(explanation(annotated(), environments), expected);
}

#[test]
fn where_nothing_happens_the_reason_is_said() {
    let selected = environment(&json!({"selector": {"matchLabels": {"team": "shop"}}}), false);
    let text = explanation(workload(&json!({"pact-operator.dev/version": "7"})), vec![selected]);
    for line in [
        "  names      nobody: annotate it with pact-operator.dev/pacticipant to have it recorded and judged\n",
        "             the annotation pact-operator.dev/version says nothing without pact-operator.dev/pacticipant\n",
        "  because    its label selector matches the namespace shop\n",
        "  gate       Enforce; what runs is not listed yet, so that nothing is denied\n",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
    let other = environment(&json!({"names": ["other"]}), true);
    let text = explanation(annotated(), vec![other]);
    assert!(text.contains("of the PactEnvironments production, add it to spec.namespaces.names of one"), "{text}");
    let text = explanation(annotated(), Vec::new());
    assert!(text.contains("shop lies in no environment: there is no PactEnvironment yet"), "{text}");
}

#[test]
fn a_version_that_cannot_be_found_and_a_record_that_is_not_there_are_said() {
    let environments = vec![environment(&json!({"names": ["shop"]}), true)];
    let mut untagged = annotated();
    untagged.containers[0].image = "shop/orders:latest".to_owned();
    let text = explanation(untagged, environments.clone());
    assert!(text.contains("  version    unclear: ") && text.contains("  recorded   1.0.0 of orders"), "{text}");
    let stranger = workload(&json!({"pact-operator.dev/pacticipant": "nobody"}));
    let text = explanation(stranger, environments);
    assert!(text.contains("  recorded   not yet: the controller has not seen nobody yet"), "{text}");
}
