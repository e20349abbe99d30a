//! Where namespaces lie, and what becomes of that when `PactEnvironment`s change, break or go.

use serde_json::{Value, json};

use super::*;
use crate::api::{PactEnvironment, gate::GateMode};

fn environment(name: &str, spec: &Value, members_listed: Option<&str>) -> PactEnvironment {
    let mut spec = spec.clone();
    spec["brokerRef"] = json!({"name": "main"});
    let conditions: Vec<_> = members_listed
        .into_iter()
        .map(|status| {
            json!({"type": "MembersListed", "status": status, "reason": "R", "message": "",
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
fn an_environment_is_members_listed_only_while_its_condition_is_true() {
    let mut environments = Environments::default();
    for (condition, expected) in [(None, false), (Some("False"), false), (Some("Unknown"), false), (Some("True"), true)]
    {
        environments.set(
            "production",
            Some(EnvironmentPolicy::parse(&environment("production", &named(&["shop"]), condition))),
        );
        let known = environments.get("production").unwrap().as_ref().unwrap();
        assert_eq!(known.members_listed, expected, "{condition:?}");
    }
}

fn pattern(namespaces: &[&str], pattern: &str, mode: &str) -> PactEnvironment {
    let spec = json!({
        "namespaces": {"names": namespaces}, "version": {"tagPattern": pattern}, "gate": {"mode": mode},
    });
    environment("production", &spec, Some("True"))
}

#[test]
fn case_76_rules_that_cannot_be_followed_leave_the_last_good_ones_in_force() {
    let mut environments = Environments::default();
    let mut set = |object: &PactEnvironment| {
        let changed = environments.set("production", Some(EnvironmentPolicy::parse(object)));
        (changed, environments.get("production").unwrap().clone(), environments.problem("production").is_some())
    };
    let (changed, never_good, problem) = set(&pattern(&["shop"], "(?P<version>", "Enforce"));
    assert!(changed && never_good.is_err() && problem, "there are no rules to go on by");
    let (_, good, problem) = set(&pattern(&["shop"], "^v(?P<version>.+)$", "Enforce"));
    let good = good.unwrap();
    assert!(!problem && good.gate.mode == GateMode::Enforce);
    let (changed, kept, problem) = set(&pattern(&["bank"], "(?P<version>", "Enforce"));
    assert!(!changed && problem, "nobody has to look at anything again");
    assert_eq!(kept.unwrap(), good, "claim and pattern are those of before");
    let (_, off, _) = set(&pattern(&["bank"], "(?P<version>", "Off"));
    assert_eq!(off.unwrap().gate.mode, GateMode::Off, "whoever switches the gate off is heard all the same");
    let (changed, mended, problem) = set(&pattern(&["bank"], "^v(?P<version>.+)$", "Enforce"));
    assert!(changed && mended.is_ok() && !problem);
    assert_eq!(environments.mapping("shop", &labels(&[])), NamespaceMapping::Unmapped);
    assert_eq!(environments.mapping("bank", &labels(&[])), NamespaceMapping::Mapped(vec!["production".into()]));
}

#[test]
fn case_76_the_rules_of_another_object_of_that_name_are_not_its_last_good_ones() {
    let mut environments = Environments::default();
    environments
        .set("production", Some(EnvironmentPolicy::parse(&pattern(&["shop"], "^v(?P<version>.+)$", "Enforce"))));
    let mut other = pattern(&["shop"], "(?P<version>", "Enforce");
    other.spec.broker_ref.name = "other".to_owned();
    environments.set("production", Some(EnvironmentPolicy::parse(&other)));
    assert!(environments.get("production").unwrap().is_err());
    environments.set("production", None);
    assert_eq!((environments.get("production"), environments.problem("production")), (None, None));
}

#[test]
fn case_76_an_object_that_cannot_be_read_keeps_its_last_good_rules() {
    let mut environments = Environments::default();
    let good = EnvironmentPolicy::parse(&environment("production", &named(&["shop"]), Some("True")));
    environments.set("production", Some(good.clone()));
    for _ in 0..2 {
        break_environment(&mut environments, "production", "the object cannot be read: x");
        assert_eq!(environments.get("production"), Some(&good));
        assert_eq!(environments.problem("production"), Some("the object cannot be read: x"));
        // Were it unmapped now, every rollout there would pass in silence.
        assert_eq!(environments.mapping("shop", &labels(&[])), NamespaceMapping::Mapped(vec!["production".into()]));
        assert!(environments.unreadable().is_none(), "it is known where it records");
    }
    // One that was never readable claims nothing that is known.
    break_environment(&mut environments, "unheard-of", "x");
    assert!(environments.get("unheard-of").unwrap().is_err() && environments.unreadable().is_some());
    assert_eq!(environments.mapping("bank", &labels(&[])), NamespaceMapping::Unmapped);
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
    object.spec.gate.mode = GateMode::Off;
    assert!(!set(&object), "another gate block");
    object.spec.namespaces.names = vec!["bank".to_owned()];
    assert!(set(&object));
    let policy = environments.get("production").unwrap().as_ref().unwrap();
    assert_eq!(policy.gate.mode, GateMode::Off, "the gate block is the newest all the same");
    assert!(environments.set("production", None));
}
