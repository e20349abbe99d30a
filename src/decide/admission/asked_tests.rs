//! What there is to ask without a review, by environment, owners, version rules and what is recorded.

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{
        PactEnvironment,
        gate::{GateAction, GateMode},
    },
    workload::{EnvironmentClaim, NamespaceSelector},
};

type Policy = Result<EnvironmentPolicy, Box<BrokenRules>>;

fn policy(spec: &Value) -> Policy {
    let mut value = json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": "production"},
        "spec": {"brokerRef": {"name": "main"}, "namespaces": {"names": ["shop"]}, "gate": {"mode": "Enforce"}},
    });
    for (key, field) in spec.as_object().unwrap() {
        value["spec"][key] = field.clone();
    }
    EnvironmentPolicy::parse(&object(value))
}

fn object(value: Value) -> PactEnvironment {
    serde_json::from_value(value).unwrap()
}

fn about(sought: Sought, namespace: Option<&str>) -> Asked {
    Asked { pacticipant: Pacticipant::parse("orders").unwrap(), sought, namespace: namespace.map(str::to_owned) }
}

fn version(text: &str) -> Sought {
    Sought::Version(Version::parse(text).unwrap())
}

fn image(text: &str) -> Sought {
    Sought::Image(text.to_owned())
}

/// What it comes to, in a line: `orders 2 asked`, `recorded`, or the finding's cause and what is wanted.
fn told(about: &Asked, policy: &Policy, unclear: Option<Unclear>) -> String {
    let recorded = |_: &EnvironmentRef, _: &Pacticipant| RecordedVersions {
        current: ["1"].map(|text| Version::parse(text).unwrap()).into(),
        former: ["0"].map(|text| Version::parse(text).unwrap()).into(),
        ..RecordedVersions::default()
    };
    match asked(about, policy, unclear, recorded, Timestamp::UNIX_EPOCH) {
        None => "nothing can be read".to_owned(),
        Some(Known::Recorded(_)) => "recorded".to_owned(),
        Some(Known::Finding(finding)) => {
            assert_eq!(finding.asked, None);
            format!("{} {:?}", finding.cause.name(), finding.wanted)
        }
        Some(Known::Ask(open, question)) => {
            assert_eq!(open.subject.environment_ref.environment, question.environment);
            format!("{} {} asked, {:?}", question.pacticipant, question.version, open.subject.basis)
        }
    }
}

#[test]
fn a_question_is_asked_under_the_rules_of_its_environment() {
    let owned = json!({"owners": [{"pacticipants": ["orders"], "namespaces": ["shop"]}]});
    let patterned = json!({"version": {"tagPattern": "^v(?<version>.*)$"}});
    let plain = json!({});
    for (spec, about, expected) in [
        (&plain, about(version("2"), None), "orders 2 asked, New"),
        (&plain, about(version("1"), None), "recorded"),
        (&plain, about(version("0"), None), "orders 0 asked, Former"),
        (&plain, about(image("registry.test:5000/orders:2@sha256:00"), None), "orders 2 asked, New"),
        (&plain, about(image("orders:1"), None), "recorded"),
        (&plain, about(image("orders:latest"), None), "Unidentified Deny"),
        (&plain, about(image("orders"), None), "Unidentified Deny"),
        (&patterned, about(image("orders:v2"), None), "orders 2 asked, New"),
        (&patterned, about(image("orders:2"), None), "Unidentified Deny"),
        (&patterned, about(version("2"), None), "orders 2 asked, New"),
        (&owned, about(version("2"), Some("shop")), "orders 2 asked, New"),
        (&owned, about(version("1"), Some("elsewhere")), "NotOwned Deny"),
        (&owned, about(version("2"), None), "orders 2 asked, New"),
    ] {
        let policy = policy(spec);
        assert!(policy.is_ok(), "{policy:?}");
        assert_eq!(told(&about, &policy, None), expected, "{spec} {about:?}");
    }
}

#[test]
fn where_the_environment_is_not_clear_nothing_is_asked() {
    let about = about(version("2"), Some("shop"));
    let conflict = Unclear::Conflicted { claimants: vec!["production".into(), "other".into()] };
    assert_eq!(told(&about, &policy(&json!({})), Some(conflict)), "Conflicted Warn");

    let broken = |claim| {
        let problem = "spec.x: it is wrong".to_owned();
        Err(Box::new(BrokenRules { object: "production".into(), claim, environment_ref: None, gate: None, problem }))
    };
    let selector = NamespaceSelector::parse(["shop".to_owned()], None, false).unwrap();
    let claim = EnvironmentClaim { name: "production".into(), selector, overlap_allowed: false };
    assert_eq!(told(&about, &broken(Some(claim)), None), "InvalidEnvironment Warn");
    assert_eq!(told(&about, &broken(None), None), "nothing can be read");
}

#[test]
fn whoever_asks_is_answered_also_where_the_gate_is_off() {
    let off = policy(&json!({"gate": {"mode": "Off"}}));
    let Some(Known::Ask(open, _)) =
        asked(&about(version("2"), None), &off, None, |_, _| RecordedVersions::default(), Timestamp::UNIX_EPOCH)
    else {
        panic!("it is asked")
    };
    assert_eq!(open.mode(), GateMode::Off);
    let missing = crate::decide::Judgement::without_pairs(crate::decide::Verdict::No, "it failed");
    let finding = open.finding(super::super::Cause::Judged(missing));
    assert_eq!((finding.action, finding.wanted), (GateAction::Allow, GateAction::Deny));
}

#[test]
fn a_vacuous_yes_that_the_policy_denies_is_no_yes() {
    let strict = policy(&json!({"gate": {"mode": "Audit", "actions": {"yesVacuous": "Deny"}}}));
    for (policy, expected) in [(strict, false), (policy(&json!({})), true)] {
        let Some(Known::Ask(open, _)) =
            asked(&about(version("2"), None), &policy, None, |_, _| RecordedVersions::default(), Timestamp::UNIX_EPOCH)
        else {
            panic!("it is asked")
        };
        let vacuous = crate::decide::Judgement::without_pairs(crate::decide::Verdict::YesVacuous, "it has none");
        assert_eq!(open.finding(super::super::Cause::Judged(vacuous)).deployable(), Some(expected));
    }
}

#[test]
fn owners_are_left_out_only_where_they_name_the_pacticipant_and_no_namespace_is_named() {
    let owned = policy(&json!({"owners": [{"pacticipants": ["orders"], "namespaces": ["shop"]}]})).unwrap();
    let others = policy(&json!({"owners": [{"pacticipants": ["stock"], "namespaces": ["shop"]}]})).unwrap();
    let left_out =
        |policy: &EnvironmentPolicy, namespace| about(version("2"), namespace).leaves_owners_out(&policy.rules.owners);
    assert!(left_out(&owned, None));
    assert!(!left_out(&owned, Some("elsewhere")) && !left_out(&others, None));
}
