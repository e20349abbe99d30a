//! What is asked about a review, by the review, by where its namespace lies and by what is recorded.

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{PactEnvironment, names::Version},
    decide::{Basis, admission::GroupVersionKind, record::fixtures},
};

fn workload(pacticipant: Option<&str>, image: &str) -> Workload {
    let mut workload = fixtures::workload("shop", "orders", "orders");
    workload.annotations.pacticipant = pacticipant.map(str::to_owned);
    workload.containers[0].image = image.into();
    workload
}

/// Something done to a review.
type Change<'a> = &'a dyn Fn(&mut Review);

/// The update of an annotated Deployment from version 1 to version 2.
fn review() -> Review {
    Review {
        uid: "r".into(),
        kind: GroupVersionKind { group: "apps".into(), version: "v1".into(), kind: "Deployment".into() },
        subresource: false,
        namespace: "shop".into(),
        name: "orders".into(),
        operation: Operation::Update,
        user: "somebody".into(),
        dry_run: false,
        self_test: false,
        old: Some(workload(Some("orders"), "orders:1")),
        new: Ok(workload(Some("orders"), "orders:2")),
    }
}

/// The policy of an environment with this gate block.
fn policy(name: &str, gate: &Value) -> EnvironmentPolicy {
    let object: PactEnvironment = serde_json::from_value(json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": name},
        "spec": {"brokerRef": {"name": "main"}, "namespaces": {"names": ["shop"]}, "gate": gate},
    }))
    .unwrap();
    EnvironmentPolicy::parse(&object).unwrap()
}

fn broken(name: &str) -> Result<EnvironmentPolicy, Box<BrokenRules>> {
    let problem = "spec.x: it is wrong".to_owned();
    Err(Box::new(BrokenRules { object: name.to_owned(), claim: None, environment_ref: None, gate: None, problem }))
}

fn mapped(objects: &[&str]) -> NamespaceMapping {
    NamespaceMapping::Mapped(objects.iter().map(ToString::to_string).collect())
}

/// The scope where `production` warns, `off` has its gate off, `broken` cannot be followed, and 1 is recorded in each.
fn scope_in(review: &Review, mapping: &NamespaceMapping) -> Scope {
    let policies = [
        ("production", Ok(policy("production", &json!({"mode": "Warn"})))),
        ("audited", Ok(policy("audited", &json!({"mode": "Audit"})))),
        ("off", Ok(policy("off", &json!({"mode": "Off"})))),
        ("broken", broken("broken")),
    ];
    let environment = |name: &str| policies.iter().find(|(known, _)| *known == name).map(|(_, policy)| policy);
    let recorded = |_: &EnvironmentRef, _: &Pacticipant| RecordedVersions {
        current: [Version::parse("1").unwrap()].into(),
        former: [Version::parse("0").unwrap()].into(),
    };
    scope(review, mapping, environment, recorded)
}

/// What is asked about: object, version, basis; and the notices.
fn judged(review: &Review, mapping: &NamespaceMapping) -> (Vec<String>, Vec<Notice>) {
    match scope_in(review, mapping) {
        Scope::Unjudged(why) => panic!("unjudged: {why:?}"),
        Scope::Judged { subjects, notices } => {
            let shown = |open: &OpenSubject| {
                let Subject { object, identified, basis, .. } = &open.subject;
                format!("{object} {} {basis:?}", identified.as_ref().map_or("?", |it| it.version.as_str()))
            };
            (subjects.iter().map(shown).collect(), notices)
        }
    }
}

#[test]
fn reviews_that_need_no_question_are_admitted_whatever_their_namespace() {
    let owned = |review: &mut Review| review.new.as_mut().unwrap().canary_owner = Some("orders".into());
    let cases: [(&str, Change<'_>, &str, Option<&str>); 7] = [
        ("a subresource", &|it| it.subresource = true, "NotOurs", None),
        ("another operation", &|it| it.operation = Operation::Other, "NotOurs", None),
        (
            "another kind",
            &|it| it.kind.kind = "Job".into(),
            "NotOurs",
            Some("pact-operator judges no Job, only Deployment, StatefulSet, DaemonSet"),
        ),
        ("a kind of ours in another group", &|it| it.kind.group = "x".into(), "NotOurs", Some("judges no Deployment")),
        ("no annotation", &|it| (it.old, it.new) = (None, Ok(workload(None, "orders:2"))), "Unannotated", None),
        ("a primary of Flagger (case 71)", &owned, "Primary", None),
        (
            "an object that cannot be read",
            &|it| it.new = Err("no spec".into()),
            "Unreadable",
            Some("not checked with Pact, the Deployment cannot be read: no spec"),
        ),
    ];
    for (what, change, name, warning) in cases {
        let mut review = review();
        change(&mut review);
        let why = unjudged(&review).unwrap_or_else(|| panic!("{what} is judged"));
        assert_eq!(why.name(), name, "{what}");
        match (why.warning(), warning) {
            (None, None) => {}
            (Some(given), Some(expected)) => assert!(given.contains(expected), "{what}: {given}"),
            other => panic!("{what}: {other:?}"),
        }
        for mapping in [NamespaceMapping::Unmapped, mapped(&["production"])] {
            assert_eq!(scope_in(&review, &mapping), Scope::Unjudged(why.clone()), "{what}");
        }
    }
    assert_eq!(unjudged(&review()), None);
    let mut removed = review();
    removed.new = Ok(workload(None, "orders:2"));
    assert_eq!(
        unjudged(&removed),
        None,
        "removing the annotation with a new image is no way around the gate (case 39)"
    );
}

#[test]
fn a_namespace_in_no_environment_or_in_conflict_is_not_judged() {
    assert_eq!(scope_in(&review(), &NamespaceMapping::Unmapped), Scope::Unjudged(Unjudged::Unmapped));
    for (claimants, warning) in [
        (
            &["production", "audited"][..],
            Some("not checked with Pact: the namespace is claimed by production, audited"),
        ),
        (&["production", "off"], Some("not checked with Pact: the namespace is claimed by production, off")),
        (&["off", "off"], None),
        (&["off", "broken"], Some("not checked with Pact: the namespace is claimed by off, broken")),
    ] {
        let mapping = NamespaceMapping::Conflicted(claimants.iter().map(ToString::to_string).collect());
        let Scope::Unjudged(why) = scope_in(&review(), &mapping) else { panic!("{claimants:?} is judged") };
        assert_eq!((why.name(), why.warning().as_deref()), ("Unclear", warning));
    }
}

#[test]
fn each_environment_whose_gate_is_on_is_asked_about_what_is_new_there() {
    let new = review();
    assert_eq!(judged(&new, &mapped(&["production"])).0, ["production 2 New"]);
    assert_eq!(judged(&new, &mapped(&["production", "audited"])).0, ["production 2 New", "audited 2 New"]);
    assert_eq!(judged(&new, &mapped(&["off"])).0, [""; 0]);
    assert_eq!(judged(&new, &mapped(&["gone"])), (vec![], vec![]), "a PactEnvironment that was just deleted");
    let to = |image: &str| {
        let mut review = review();
        review.old = Some(workload(Some("orders"), "orders:9"));
        review.new = Ok(workload(Some("orders"), image));
        judged(&review, &mapped(&["production"])).0
    };
    assert_eq!(to("orders:1"), [""; 0], "the recorded version");
    assert_eq!(to("orders:0"), ["production 0 Former"], "a rollback is asked about where the policy warns of it");
    assert_eq!(to("orders:latest"), ["production ? New"], "a version that cannot be identified");
    let Scope::Judged { subjects, .. } = scope_in(&new, &mapped(&["production"])) else { panic!("unjudged") };
    let open = &subjects[0];
    assert_eq!(open.subject.basis, Basis::New);
    assert_eq!(open.question(Timestamp::UNIX_EPOCH).unwrap().to_string(), "orders 2 → production");
}

#[test]
fn a_broken_environment_is_noticed_and_the_others_are_asked() {
    let (subjects, notices) = judged(&review(), &mapped(&["broken", "production"]));
    assert_eq!(subjects, ["production 2 New"]);
    let problem = "spec.x: it is wrong".to_owned();
    assert_eq!(notices, [Notice::BrokenEnvironment { object: "broken".into(), problem }]);
    assert_eq!(notices[0].warning(), "not checked with Pact: PactEnvironment broken cannot be followed");
}

#[test]
fn a_version_annotation_that_stayed_is_noticed_once_where_it_counts() {
    let mut stale = review();
    for workload in [stale.old.as_mut().unwrap(), stale.new.as_mut().unwrap()] {
        workload.annotations.version = Some("1".into());
    }
    assert_eq!(judged(&stale, &mapped(&["production", "audited"])).1, [Notice::StaleAnnotation]);
    assert_eq!(judged(&stale, &mapped(&["off"])).1, []);
    stale.new.as_mut().unwrap().annotations.version = Some("2".into());
    assert_eq!(judged(&stale, &mapped(&["production"])).1, []);
}

#[test]
fn nobody_waits_for_verdicts_that_change_nothing() {
    for (objects, silent) in
        [(&["audited"][..], true), (&["production"], false), (&["audited", "production"], false), (&["off"], true)]
    {
        let Scope::Judged { subjects, .. } = scope_in(&review(), &mapped(objects)) else { panic!("unjudged") };
        assert_eq!(Scope::is_silent(&subjects), silent, "{objects:?}");
    }
}
