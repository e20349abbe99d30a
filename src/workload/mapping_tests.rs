use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn label_selector(value: Value) -> LabelSelector {
    serde_json::from_value(value).unwrap()
}

fn selector(value: Value) -> Result<NamespaceSelector, SelectorError> {
    NamespaceSelector::parse([], Some(&label_selector(value)), false)
}

fn named(names: &[&str]) -> NamespaceSelector {
    NamespaceSelector::parse(names.iter().map(|name| (*name).to_owned()), None, false).unwrap()
}

fn claim(name: &str, namespaces: &[&str], overlap_allowed: bool) -> EnvironmentClaim {
    EnvironmentClaim { name: name.to_owned(), selector: named(namespaces), overlap_allowed }
}

fn mapping(claims: &[EnvironmentClaim]) -> NamespaceMapping {
    environments_of("shop", &BTreeMap::new(), claims)
}

#[test]
fn selectors_mean_what_they_mean_in_kubernetes() {
    let prod = labels(&[("stage", "prod"), ("team", "a")]);
    for (expression, matches) in [
        (json!({"matchLabels": {"stage": "prod"}}), true),
        (json!({"matchLabels": {"stage": "prod", "team": "b"}}), false),
        (json!({"matchLabels": {"gone": "prod"}}), false),
        (json!({"matchExpressions": [{"key": "stage", "operator": "In", "values": ["test", "prod"]}]}), true),
        (json!({"matchExpressions": [{"key": "stage", "operator": "In", "values": ["test"]}]}), false),
        (json!({"matchExpressions": [{"key": "gone", "operator": "In", "values": ["test"]}]}), false),
        (json!({"matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["test"]}]}), true),
        (json!({"matchExpressions": [{"key": "stage", "operator": "NotIn", "values": ["prod"]}]}), false),
        (json!({"matchExpressions": [{"key": "gone", "operator": "NotIn", "values": ["prod"]}]}), true),
        (json!({"matchExpressions": [{"key": "stage", "operator": "Exists"}]}), true),
        (json!({"matchExpressions": [{"key": "gone", "operator": "Exists", "values": []}]}), false),
        (json!({"matchExpressions": [{"key": "gone", "operator": "DoesNotExist"}]}), true),
        (json!({"matchExpressions": [{"key": "stage", "operator": "DoesNotExist"}]}), false),
        (json!({"matchLabels": {"stage": "prod"}, "matchExpressions": [{"key": "team", "operator": "Exists"}]}), true),
        (json!({"matchLabels": {"stage": "test"}, "matchExpressions": [{"key": "team", "operator": "Exists"}]}), false),
        (
            json!({"matchExpressions": [{"key": "stage", "operator": "Exists"}, {"key": "gone", "operator": "Exists"}]}),
            false,
        ),
        (json!({}), false),
        (json!({"matchLabels": {}, "matchExpressions": []}), false),
    ] {
        assert_eq!(selector(expression.clone()).unwrap().matches("shop", &prod), matches, "{expression}");
    }
}

#[test]
fn an_invalid_selector_names_its_remedy() {
    let error = |operator: &str, values: Value| {
        let expression = json!({"matchExpressions": [{"key": "stage", "operator": operator, "values": values}]});
        selector(expression).unwrap_err()
    };
    let unknown = error("in", json!(["a"]));
    assert!(matches!(unknown, SelectorError::UnknownOperator { .. }));
    assert!(unknown.to_string().contains("\"in\"") && unknown.to_string().contains("NotIn"), "{unknown}");
    assert!(matches!(error("In", json!([])), SelectorError::ValuesMissing { operator: "In", .. }));
    assert!(matches!(error("NotIn", Value::Null), SelectorError::ValuesMissing { operator: "NotIn", .. }));
    assert!(matches!(error("Exists", json!(["a"])), SelectorError::ValuesForbidden { operator: "Exists", .. }));
    assert!(matches!(error("DoesNotExist", json!(["a"])), SelectorError::ValuesForbidden { .. }));
}

#[test]
fn names_or_labels_or_everything() {
    let by_label = label_selector(json!({"matchLabels": {"stage": "prod"}}));
    let both = NamespaceSelector::parse(["shop".to_owned()], Some(&by_label), false).unwrap();
    assert!(both.matches("shop", &BTreeMap::new()) && both.matches("other", &labels(&[("stage", "prod")])));
    assert!(!both.matches("other", &BTreeMap::new()));
    let nothing = NamespaceSelector::parse([], None, false).unwrap();
    assert!(!nothing.matches("shop", &BTreeMap::new()));
    let everything = NamespaceSelector::parse([], Some(&LabelSelector::default()), true).unwrap();
    assert!(everything.matches("shop", &BTreeMap::new()), "an empty selector that says so");
}

#[test]
fn a_namespace_without_a_claim_is_ignored() {
    assert_eq!(mapping(&[]), NamespaceMapping::Unmapped);
    assert_eq!(mapping(&[claim("test", &["other"], false)]), NamespaceMapping::Unmapped);
    assert_eq!(mapping(&[claim("test", &["shop"], false)]), NamespaceMapping::Mapped(vec!["test".into()]));
}

#[test]
fn case_41_two_mappings_that_match_one_namespace_conflict() {
    let both = vec!["eu".to_owned(), "prod".to_owned()];
    for (eu, prod) in [(false, false), (true, false), (false, true)] {
        let claims = [claim("eu", &["shop"], eu), claim("prod", &["shop"], prod), claim("test", &["other"], false)];
        assert_eq!(mapping(&claims), NamespaceMapping::Conflicted(both.clone()), "{eu} {prod}");
    }
}

#[test]
fn case_42_one_namespace_belongs_to_two_environments_when_both_allow_it() {
    let claims = [claim("eu", &["shop"], true), claim("prod", &["shop"], true), claim("test", &["other"], false)];
    assert_eq!(mapping(&claims), NamespaceMapping::Mapped(vec!["eu".into(), "prod".into()]));
}

#[test]
fn two_namespaces_belong_to_one_environment() {
    let claims = [claim("prod", &["shop", "shop-2"], false)];
    for namespace in ["shop", "shop-2"] {
        assert_eq!(
            environments_of(namespace, &BTreeMap::new(), &claims),
            NamespaceMapping::Mapped(vec!["prod".into()])
        );
    }
}

proptest! {
    /// The mapping names exactly the claiming environments. It is a conflict exactly when one of several forbids the
    /// overlap.
    #[test]
    fn every_claim_is_named_and_none_is_invented(claims in proptest::collection::vec(any::<(bool, bool)>(), 0..6)) {
        let built: Vec<_> = claims
            .iter()
            .enumerate()
            .map(|(index, (claims, allowed))| claim(&format!("e{index}"), &[if *claims { "shop" } else { "x" }], *allowed))
            .collect();
        let claiming: Vec<_> = (0..claims.len()).filter(|index| claims[*index].0).collect();
        let minds = claiming.iter().any(|index| !claims[*index].1);
        let names: Vec<_> = claiming.iter().map(|index| format!("e{index}")).collect();
        let expected = match claiming.len() {
            0 => NamespaceMapping::Unmapped,
            several if several > 1 && minds => NamespaceMapping::Conflicted(names),
            _ => NamespaceMapping::Mapped(names),
        };
        prop_assert_eq!(mapping(&built), expected);
    }
}
