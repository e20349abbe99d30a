//! What the gate knows of the cluster, and what becomes of it when objects change, break or go.

use serde_json::{Value, json};

use super::*;
use crate::api::names::EnvironmentName;

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

fn environment_ref(environment: &str) -> EnvironmentRef {
    EnvironmentRef { broker: "main".into(), environment: EnvironmentName::parse(environment).unwrap() }
}

fn key(pacticipant: &str, instance: Option<&str>) -> RecordKey {
    RecordKey {
        environment_ref: environment_ref("production"),
        pacticipant: Pacticipant::parse(pacticipant).unwrap(),
        instance: instance.map(|instance| ApplicationInstance::parse(instance).unwrap()),
    }
}

/// The memory of a key: what is recorded, what is supported, what was before.
fn memory(key: &RecordKey, recorded: Option<&str>, supported: &[&str], history: &[&str]) -> PactDeployment {
    let one = |version: &str| json!({"version": version, "at": "2026-01-01T00:00:00Z"});
    let mut object = PactDeployment::new(&key.object_name(), key.spec());
    let all = |versions: &[&str]| versions.iter().map(|version| one(version)).collect::<Vec<_>>();
    let status = json!({"recorded": recorded.map(one), "supported": all(supported), "history": all(history)});
    object.status = Some(serde_json::from_value(status).unwrap());
    object
}

fn versions(versions: &std::collections::BTreeSet<Version>) -> Vec<&str> {
    versions.iter().map(Version::as_str).collect()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn namespaces_come_change_and_go() {
    let mut index = Index::default();
    assert_eq!(index.labels("shop"), None);
    index.set_namespace("shop", Some(labels(&[("team", "a")])));
    index.set_namespace("bank", Some(labels(&[])));
    index.set_namespace("shop", Some(labels(&[("team", "b")])));
    assert_eq!(index.labels("shop"), Some(&labels(&[("team", "b")])));
    index.retain_namespaces(|name| name == "bank");
    assert_eq!((index.labels("shop").is_some(), index.labels("bank").is_some()), (false, true));
    index.set_namespace("bank", None);
    assert_eq!(index.labels("bank"), None);
}

#[test]
fn a_namespace_lies_where_an_environment_names_or_selects_it() {
    let mut index = Index::default();
    index.set_environment("named", &environment("named", &named(&["shop"]), None));
    let selected = json!({"namespaces": {"selector": {"matchLabels": {"stage": "prod"}}}});
    index.set_environment("selected", &environment("selected", &selected, None));
    let prod = labels(&[("stage", "prod")]);
    assert_eq!(index.mapping("shop", &labels(&[])), NamespaceMapping::Mapped(vec!["named".into()]));
    assert_eq!(index.mapping("bank", &prod), NamespaceMapping::Mapped(vec!["selected".into()]));
    assert_eq!(index.mapping("bank", &labels(&[])), NamespaceMapping::Unmapped);
    assert_eq!(index.mapping("shop", &prod), NamespaceMapping::Conflicted(vec!["named".into(), "selected".into()]));
    index.retain_environments(|name| name == "selected");
    assert_eq!(index.mapping("shop", &labels(&[])), NamespaceMapping::Unmapped);
}

#[test]
fn an_environment_is_backfilled_only_while_its_condition_is_true() {
    let mut index = Index::default();
    for (condition, expected) in [(None, false), (Some("False"), false), (Some("Unknown"), false), (Some("True"), true)]
    {
        index.set_environment("production", &environment("production", &named(&["shop"]), condition));
        let known = index.environment("production").unwrap().as_ref().unwrap();
        assert_eq!(known.backfilled, expected, "{condition:?}");
    }
}

#[test]
fn an_environment_that_cannot_be_read_claims_what_it_claimed_before() {
    let mut index = Index::default();
    index.set_environment("production", &environment("production", &named(&["shop"]), Some("True")));
    for _ in 0..2 {
        index.break_environment("production", "the object cannot be read: x");
        let broken = index.environment("production").unwrap().as_ref().unwrap_err();
        assert!(broken.problem.contains("cannot be read"), "{broken:?}");
        // Were it unmapped now, every rollout there would pass in silence.
        assert_eq!(index.mapping("shop", &labels(&[])), NamespaceMapping::Mapped(vec!["production".into()]));
    }
    index.set_environment("production", &environment("production", &named(&["bank"]), None));
    assert!(index.environment("production").unwrap().is_ok());
    assert_eq!(index.mapping("shop", &labels(&[])), NamespaceMapping::Unmapped);
    // One that was never readable claims nothing that is known.
    index.break_environment("unheard-of", "x");
    assert!(index.environment("unheard-of").unwrap().is_err());
    assert_eq!(index.mapping("shop", &labels(&[])), NamespaceMapping::Unmapped);
}

#[test]
fn what_is_remembered_of_a_pacticipant_is_that_of_all_its_instances_together() {
    let mut index = Index::default();
    let (plain, blue, other) = (key("orders", None), key("orders", Some("blue")), key("Orders", None));
    assert!(index.set_memory(&plain, Some(&memory(&plain, Some("2"), &[], &["1", "0"]))));
    assert!(index.set_memory(&blue, Some(&memory(&blue, None, &["3", "4"], &["1"]))));
    assert!(index.set_memory(&other, Some(&memory(&other, Some("9"), &[], &[]))));
    let remembered = index.remembered(&plain.environment_ref, &plain.pacticipant);
    assert_eq!(versions(&remembered.recorded), ["2", "3", "4"]);
    assert_eq!(versions(&remembered.former), ["0", "1"]);
    assert_eq!(index.remembered(&environment_ref("test"), &plain.pacticipant), Remembered::default());
    assert_eq!(index.remembered(&plain.environment_ref, &key("stranger", None).pacticipant), Remembered::default());
}

#[test]
fn only_another_recorded_version_makes_answers_old() {
    let mut index = Index::default();
    let key = key("orders", None);
    let mut set = |object: Option<&PactDeployment>| index.set_memory(&key, object);
    let empty = PactDeployment::new(&key.object_name(), key.spec());
    for (object, changed) in [
        (Some(&empty), false),
        (Some(&memory(&key, None, &[], &[])), false),
        (Some(&memory(&key, Some("1"), &[], &[])), true),
        (Some(&memory(&key, Some("1"), &[], &[])), false),
        (Some(&memory(&key, Some("1"), &[], &["0"])), false),
        (Some(&memory(&key, Some("2"), &[], &["1", "0"])), true),
        (Some(&memory(&key, None, &["2"], &[])), false),
        (Some(&memory(&key, None, &["2", "3"], &[])), true),
        (None, true),
        (None, false),
        (Some(&memory(&key, Some(""), &[], &[""])), false),
    ] {
        assert_eq!(set(object), changed, "{object:?}");
    }
}

#[test]
fn memories_that_are_listed_no_more_are_forgotten_and_their_places_told() {
    let mut index = Index::default();
    let (orders, blue, empty) = (key("orders", None), key("orders", Some("blue")), key("empty", None));
    for (key, recorded) in [(&orders, Some("1")), (&blue, Some("2")), (&empty, None)] {
        index.set_memory(key, Some(&memory(key, recorded, &[], &[])));
    }
    assert_eq!(index.retain_memories(|key| *key != empty), Vec::<EnvironmentRef>::new(), "nothing was recorded there");
    assert_eq!(index.retain_memories(|key| *key == orders), [environment_ref("production")]);
    assert_eq!(versions(&index.remembered(&orders.environment_ref, &orders.pacticipant).recorded), ["1"]);
    assert_eq!(index.retain_memories(|_| false), [environment_ref("production")]);
    assert_eq!(index.remembered(&orders.environment_ref, &orders.pacticipant), Remembered::default());
    assert!(index.remembered.is_empty(), "what is forgotten takes no room");
}
