//! Where namespaces lie, and what becomes of that when `PactEnvironment`s change, break or go.

use serde_json::{Value, json};

use super::*;
use crate::api::PactEnvironment;

fn environment(name: &str, spec: &Value, backfilled: Option<&str>) -> PactEnvironment {
    let mut spec = spec.clone();
    spec["brokerRef"] = json!({"name": "main"});
    let conditions: Vec<_> = backfilled
        .into_iter()
        .map(|status| {
            json!({"type": "Backfilled", "status": status, "reason": "R", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        })
        .collect();
    serde_json::from_value(json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": name},
        "spec": spec, "status": {"namespaces": 0, "workloads": 0, "recorded": 0, "conditions": conditions},
    }))
    .unwrap()
}

fn named(namespaces: &[&str]) -> Value {
    json!({"namespaces": {"names": namespaces}})
}

fn break_environment(environments: &mut Environments, object: &str, problem: &str) {
    let broken = environments.broken_as(object, problem.to_owned());
    environments.set(object, Some(Err(Box::new(broken))));
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn namespaces_come_change_and_go() {
    let mut environments = Environments::default();
    assert_eq!(environments.labels("shop"), None);
    environments.set_namespace("shop", Some(labels(&[("team", "a")])));
    environments.set_namespace("bank", Some(labels(&[])));
    environments.set_namespace("shop", Some(labels(&[("team", "b")])));
    assert_eq!(environments.labels("shop"), Some(&labels(&[("team", "b")])));
    assert_eq!(environments.namespaces().collect::<Vec<_>>(), ["bank", "shop"]);
    environments.set_namespace("shop", None);
    assert_eq!((environments.labels("shop").is_some(), environments.labels("bank").is_some()), (false, true));
}

#[test]
fn a_namespace_lies_where_an_environment_names_or_selects_it() {
    let mut environments = Environments::default();
    environments.set("named", Some(EnvironmentPolicy::parse(&environment("named", &named(&["shop"]), None))));
    let selected = json!({"namespaces": {"selector": {"matchLabels": {"stage": "prod"}}}});
    environments.set("selected", Some(EnvironmentPolicy::parse(&environment("selected", &selected, None))));
    let prod = labels(&[("stage", "prod")]);
    assert_eq!(environments.mapping("shop", &labels(&[])), NamespaceMapping::Mapped(vec!["named".into()]));
    assert_eq!(environments.mapping("bank", &prod), NamespaceMapping::Mapped(vec!["selected".into()]));
    assert_eq!(environments.mapping("bank", &labels(&[])), NamespaceMapping::Unmapped);
    assert_eq!(
        environments.mapping("shop", &prod),
        NamespaceMapping::Conflicted(vec!["named".into(), "selected".into()])
    );
    environments.set("named", None);
    assert_eq!(environments.mapping("shop", &labels(&[])), NamespaceMapping::Unmapped);
}

#[test]
fn an_environment_is_backfilled_only_while_its_condition_is_true() {
    let mut environments = Environments::default();
    for (condition, expected) in [(None, false), (Some("False"), false), (Some("Unknown"), false), (Some("True"), true)]
    {
        environments.set(
            "production",
            Some(EnvironmentPolicy::parse(&environment("production", &named(&["shop"]), condition))),
        );
        let known = environments.get("production").unwrap().as_ref().unwrap();
        assert_eq!(known.backfilled, expected, "{condition:?}");
    }
}

#[test]
fn an_environment_that_cannot_be_read_claims_what_it_claimed_before() {
    let mut environments = Environments::default();
    environments
        .set("production", Some(EnvironmentPolicy::parse(&environment("production", &named(&["shop"]), Some("True")))));
    for _ in 0..2 {
        break_environment(&mut environments, "production", "the object cannot be read: x");
        let broken = environments.get("production").unwrap().as_ref().unwrap_err();
        assert!(broken.problem.contains("cannot be read"), "{broken:?}");
        // Were it unmapped now, every rollout there would pass in silence.
        assert_eq!(environments.mapping("shop", &labels(&[])), NamespaceMapping::Mapped(vec!["production".into()]));
    }
    environments.set("production", Some(EnvironmentPolicy::parse(&environment("production", &named(&["bank"]), None))));
    assert!(environments.get("production").unwrap().is_ok());
    assert_eq!(environments.mapping("shop", &labels(&[])), NamespaceMapping::Unmapped);
    assert!(environments.in_force("production").unwrap().is_ok());
    // One that was never readable claims nothing that is known.
    break_environment(&mut environments, "unheard-of", "x");
    assert!(environments.get("unheard-of").unwrap().is_err());
    assert_eq!(environments.mapping("shop", &labels(&[])), NamespaceMapping::Unmapped);
}

#[test]
fn case_76_an_environment_that_cannot_be_followed_any_more_judges_by_its_last_good_rules() {
    let mut environments = Environments::default();
    let good = environment("production", &named(&["shop"]), Some("True"));
    let mut wrong = good.clone();
    wrong.spec.version.tag_pattern = Some("(".to_owned());
    let mut set = |object: Option<&PactEnvironment>| {
        environments.set("production", object.map(EnvironmentPolicy::parse));
        environments.in_force("production").map(Result::is_ok)
    };
    assert_eq!(set(Some(&wrong)), Some(false), "it never had any");
    assert_eq!(set(Some(&good)), Some(true));
    assert_eq!(set(Some(&wrong)), Some(true));
    assert_eq!(set(Some(&wrong)), Some(true), "again and again");
    assert_eq!(set(None), None, "deleted");
    assert_eq!(set(Some(&wrong)), Some(false), "another object of that name");
}

#[test]
fn case_77_a_namespace_without_labels_may_lie_where_labels_are_selected() {
    let mut environments = Environments::default();
    for (name, namespaces) in [
        ("everything", json!({"all": true})),
        ("named", json!({"names": ["shop"]})),
        ("selected", json!({"selector": {"matchLabels": {"stage": "prod"}}})),
        (
            "either",
            json!({"names": ["bank"], "selector": {"matchExpressions": [{"key": "x", "operator": "DoesNotExist"}]}}),
        ),
    ] {
        let spec = json!({"namespaces": namespaces, "overlap": "Allow"});
        environments.set(name, Some(EnvironmentPolicy::parse(&environment(name, &spec, None))));
    }
    for (namespace, sure, possible) in [
        ("shop", &["everything", "named"][..], &["either", "selected"][..]),
        ("bank", &["either", "everything"], &["selected"]),
        ("free", &["everything"], &["either", "selected"]),
    ] {
        let found = environments.whereabouts_without_labels(namespace);
        let sure = NamespaceMapping::Mapped(sure.iter().map(ToString::to_string).collect());
        assert_eq!((found.mapping, found.possible), (sure, possible.iter().map(ToString::to_string).collect()));
    }
}

#[test]
fn only_other_rules_change_mappings_and_members() {
    let mut environments = Environments::default();
    let mut object = environment("production", &named(&["shop"]), None);
    let mut set = |object: &PactEnvironment| environments.set("production", Some(EnvironmentPolicy::parse(object)));
    assert!(set(&object));
    assert!(!set(&object), "the same again");
    object.spec.gate.mode = crate::api::gate::GateMode::Off;
    assert!(!set(&object), "another gate block");
    object.spec.namespaces.names = vec!["bank".to_owned()];
    assert!(set(&object));
    let policy = environments.get("production").unwrap().as_ref().unwrap();
    assert_eq!(policy.gate.mode, crate::api::gate::GateMode::Off, "the gate block is the newest all the same");
    assert!(environments.set("production", None));
}
