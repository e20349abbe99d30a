//! A `PactEnvironment` parsed: every field, its default, and the message for an invalid value.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::workload::{Ownership, TagPattern};

/// A `PactEnvironment` named `production` that claims the namespace `shop`.
fn environment(mut more: Value) -> PactEnvironment {
    let mut spec = json!({"brokerRef": {"name": "main"}, "namespaces": {"names": ["shop"]}});
    spec.as_object_mut().unwrap().append(more.as_object_mut().unwrap());
    PactEnvironment::new("production", serde_json::from_value(spec).unwrap())
}

fn rules(more: Value) -> EnvironmentRules {
    parse(&environment(more)).unwrap()
}

fn broken(more: Value) -> BrokenRules {
    *parse(&environment(more)).unwrap_err()
}

fn claims(rules: &EnvironmentRules, namespace: &str, labels: &[(&str, &str)]) -> bool {
    let labels: BTreeMap<_, _> = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    rules.claim.selector.matches(namespace, &labels)
}

#[test]
fn a_missing_field_has_its_default() {
    let rules = rules(json!({}));
    assert_eq!(rules.object, "production");
    assert_eq!(
        (rules.environment_ref.broker.as_str(), rules.environment_ref.environment.as_str()),
        ("main", "production")
    );
    assert_eq!((rules.claim.name.as_str(), rules.claim.overlap_allowed), ("production", false));
    assert_eq!(rules.instance, None, "case 33: no instance unless the spec names one");
    assert_eq!(rules.version, VersionRules::default());
    assert!(rules.owners.is_empty(), "each namespace may name each pacticipant");
    assert_eq!(rules.kind, RecordKind::Deployment);
    assert_eq!(rules.removal.grace, Duration::from_mins(10));
    assert!(claims(&rules, "shop", &[]) && !claims(&rules, "bank", &[]));
}

#[test]
fn every_field_is_used() {
    let rules = rules(json!({
        "environment": "prod",
        "applicationInstance": " eu 1 ",
        "overlap": "Allow",
        "record": {"kind": "Release", "undeployGraceSeconds": 0},
        "version": {"annotation": "Refuse", "label": "Use", "tagPattern": "^v(?P<version>.+)$", "denied": ["pr-*"]},
    }));
    assert_eq!(rules.environment_ref.environment.as_str(), "prod");
    assert_eq!(rules.instance.unwrap().as_str(), "eu 1");
    assert!(rules.claim.overlap_allowed);
    assert_eq!((rules.kind, rules.removal.grace), (RecordKind::Release, Duration::ZERO));
    assert!(!rules.version.annotation_allowed && rules.version.use_label);
    assert_eq!(rules.version.tag_pattern, Some(TagPattern::parse("^v(?P<version>.+)$").unwrap()));
    assert!(rules.version.denied.denies("pr-7").is_some());
    assert!(rules.version.denied.denies("main").is_none(), "the environment's list replaces the default");
}

#[test]
fn cases_102_to_104_owners_and_who_may_name_an_instance_are_read() {
    let owners = json!([{"pacticipants": ["orders", "web-*"], "namespaces": ["shop", "bank"]}]);
    let rules_of_owners = rules(json!({"owners": owners}));
    let ownership = |name: &str, namespace: &str| {
        rules_of_owners.owners.ownership(&crate::api::names::Pacticipant::parse(name).unwrap(), namespace)
    };
    assert_eq!(ownership("web-shop", "bank"), Ownership::Owned);
    assert_eq!(ownership("billing", "bank"), Ownership::Unruled);
    assert!(matches!(ownership("orders", "elsewhere"), Ownership::NotOwned(_)));
    for (spec, own_instance) in [
        (json!({}), OwnInstance::Allowed),
        (json!({"version": {"applicationInstance": "Allow"}}), OwnInstance::Allowed),
        (json!({"version": {"applicationInstance": "Refuse"}}), OwnInstance::Refused),
        (json!({"record": {"kind": "Release"}}), OwnInstance::OfRelease),
        (json!({"record": {"kind": "Release"}, "version": {"applicationInstance": "Refuse"}}), OwnInstance::OfRelease),
    ] {
        assert_eq!(rules(spec.clone()).version.own_instance, own_instance, "{spec}");
    }
}

#[test]
fn namespaces_are_claimed_by_name_by_label_or_all() {
    let by_label = rules(json!({"namespaces": {"selector": {"matchLabels": {"stage": "live"}}}}));
    assert!(claims(&by_label, "any", &[("stage", "live")]) && !claims(&by_label, "any", &[]));
    let by_expression = json!({"matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["test"]}]});
    let by_expression = rules(json!({"namespaces": {"selector": by_expression}}));
    assert!(claims(&by_expression, "any", &[]) && !claims(&by_expression, "any", &[("stage", "test")]));
    let either = rules(json!({"namespaces": {"names": ["shop"], "selector": {"matchLabels": {"stage": "live"}}}}));
    assert!(claims(&either, "shop", &[]) && claims(&either, "any", &[("stage", "live")]));
    assert!(claims(&rules(json!({"namespaces": {"all": true}})), "any", &[]));
    for nothing in
        [json!({}), json!({"selector": {}}), json!({"selector": {"matchLabels": {}, "matchExpressions": []}})]
    {
        assert!(!claims(&rules(json!({"namespaces": nothing})), "any", &[]), "only all: true means all");
    }
}

#[test]
fn an_invalid_environment_names_the_field_the_cause_and_the_remedy() {
    for (spec, field, remedy) in [
        (
            json!({"namespaces": {"selector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}}),
            "spec.namespaces.selector: ",
            "use In, NotIn, Exists or DoesNotExist",
        ),
        (
            json!({"namespaces": {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}}),
            "spec.namespaces.selector: ",
            "at least one value",
        ),
        (json!({"environment": "my prod"}), "spec.environment: ", "white space"),
        (json!({"environment": " "}), "spec.environment: ", "empty"),
        (json!({"applicationInstance": " "}), "spec.applicationInstance: ", "empty"),
        (json!({"applicationInstance": "a\tb"}), "spec.applicationInstance: ", "control character"),
        (json!({"version": {"tagPattern": "(?P<version>"}}), "spec.version.tagPattern: ", "correct it"),
        (json!({"version": {"tagPattern": "v(.+)"}}), "spec.version.tagPattern: ", "(?<version>…)"),
    ] {
        let broken = broken(spec.clone());
        assert!(broken.problem.starts_with(field), "{spec}: {}", broken.problem);
        assert!(broken.problem.contains(remedy), "{spec}: {}", broken.problem);
        assert_eq!(broken.object, "production");
    }
}

#[test]
fn case_41_an_invalid_environment_still_claims_its_namespaces() {
    for spec in [
        json!({"environment": "my prod", "overlap": "Allow"}),
        json!({"applicationInstance": " ", "overlap": "Allow"}),
        json!({"version": {"tagPattern": "v(.+)"}, "overlap": "Allow"}),
    ] {
        let claim = broken(spec.clone()).claim.unwrap();
        assert!(claim.overlap_allowed && claim.selector.matches("shop", &BTreeMap::new()), "{spec}");
    }
}

#[test]
fn an_invalid_environment_blocks_only_its_own_records() {
    for spec in [
        json!({"namespaces": {"selector": {"matchExpressions": [{"key": "a", "operator": "Like"}]}}}),
        json!({"applicationInstance": " "}),
        json!({"version": {"tagPattern": "v(.+)"}}),
    ] {
        let environment_ref = broken(spec.clone()).environment_ref.unwrap();
        assert_eq!(
            (environment_ref.broker.as_str(), environment_ref.environment.as_str()),
            ("main", "production"),
            "{spec}"
        );
    }
}
