//! What is asked about a review, by the review, by where its namespace lies and by what is recorded.

use serde_json::{Value, json};

use super::*;
use crate::{
    api::{PactEnvironment, gate::GateAction, names::Version},
    decide::{
        Basis,
        admission::{GroupVersionKind, fixtures::update},
        record::fixtures,
    },
    workload::{EnvironmentClaim, NamespaceSelector, Revisions, stray_keys::Place},
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
    update(Some(workload(Some("orders"), "orders:1")), workload(Some("orders"), "orders:2"), "somebody")
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

fn broken(name: &str) -> BrokenRules {
    let claim = EnvironmentClaim {
        name: name.to_owned(),
        selector: NamespaceSelector::parse(["shop".to_owned()], None, false).unwrap(),
        overlap_allowed: false,
    };
    let gate = serde_json::from_value(json!({"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}})).unwrap();
    let problem = "spec.x: it is wrong".to_owned();
    BrokenRules { object: name.to_owned(), claim: Some(claim), environment_ref: None, gate: Some(gate), problem }
}

fn mapped(objects: &[&str]) -> NamespaceMapping {
    NamespaceMapping::Mapped(objects.iter().map(ToString::to_string).collect())
}

/// The scope where `production` warns, `off` has its gate off, `broken` cannot be followed, and 1 is recorded in each.
fn scope_in(review: &Review, mapping: &NamespaceMapping) -> Scope {
    scope_at(review, &mapping.clone().into())
}

fn scope_at(review: &Review, whereabouts: &Whereabouts) -> Scope {
    let policies = [
        ("production", Ok(policy("production", &json!({"mode": "Warn"})))),
        ("audited", Ok(policy("audited", &json!({"mode": "Audit"})))),
        ("off", Ok(policy("off", &json!({"mode": "Off"})))),
        ("broken", Err(Box::new(broken("broken")))),
    ];
    let environment = |name: &str| policies.iter().find(|(known, _)| *known == name).map(|(_, policy)| policy);
    let recorded = |_: &EnvironmentRef, _: &Pacticipant| RecordedVersions {
        current: [Version::parse("1").unwrap()].into(),
        former: [Version::parse("0").unwrap()].into(),
        ..RecordedVersions::default()
    };
    scope(review, whereabouts, environment, recorded)
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
    let cases: [(&str, Change<'_>, &str, Option<&str>); 9] = [
        ("a subresource", &|it| it.subresource = true, "NotOurs", None),
        ("another operation", &|it| it.operation = Operation::Other, "NotOurs", None),
        (
            "another kind",
            &|it| it.kind.kind = "ReplicaSet".into(),
            "NotOurs",
            Some("pact-operator judges and records no ReplicaSet, only Deployment, StatefulSet, DaemonSet, Rollout"),
        ),
        (
            "a kind of ours in another group",
            &|it| it.kind.group = "x".into(),
            "NotOurs",
            Some("judges and records no Deployment"),
        ),
        (
            "a Service of Knative",
            &|it| (it.kind.group, it.kind.kind) = ("serving.knative.dev".into(), "Service".into()),
            "NotOurs",
            Some("annotate spec.template of the Knative Service instead"),
        ),
        (
            "a Rollout that takes a Deployment's template",
            &|it| {
                it.kind = GroupVersionKind {
                    group: "argoproj.io".into(),
                    version: "v1alpha1".into(),
                    kind: "Rollout".into(),
                };
                let by_reference = Revisions { by_reference: true, ..Revisions::default() };
                it.new.as_mut().unwrap().revisions = Some(Box::new(by_reference));
            },
            "ByReference",
            None,
        ),
        (
            "a Job that a CronJob started",
            &|it| {
                (it.kind.group, it.kind.kind) = ("batch".into(), "Job".into());
                it.new.as_mut().unwrap().controlled = true;
            },
            "Controlled",
            None,
        ),
        ("no annotation", &|it| (it.old, it.new) = (None, Ok(workload(None, "orders:2"))), "Unannotated", None),
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
fn case_85_keys_that_are_not_read_are_noticed_wherever_a_gate_is_on() {
    let stray = || StrayKey { place: Place::PodTemplate, key: "pact-operator.dev/pacticipant".into() };
    let mut created = workload(None, "orders:2");
    created.stray_keys = [stray()].into();
    let created = Review { operation: Operation::Create, old: None, new: Ok(created), ..review() };
    for gated in ["production", "audited", "broken"] {
        let (asked, notices) = judged(&created, &mapped(&[gated]));
        assert_eq!((asked, notices), (Vec::new(), vec![Notice::StrayKey(stray())]), "{gated}");
    }
    assert_eq!(judged(&created, &mapped(&["off"])), (Vec::new(), Vec::new()));
    assert_eq!(scope_in(&created, &NamespaceMapping::Unmapped), Scope::Unjudged(Unjudged::Unmapped));
    let mut beside = review();
    beside.new.as_mut().unwrap().stray_keys = [stray()].into();
    let (asked, notices) = judged(&beside, &mapped(&["production"]));
    assert_eq!((asked, notices), (vec!["production 2 New".to_owned()], vec![Notice::StrayKey(stray())]));
}

/// What is asked about, and why it is not asked, if so: `production 2 Conflicted`.
fn unclear(review: &Review, whereabouts: &Whereabouts) -> Vec<String> {
    let Scope::Judged { subjects, .. } = scope_at(review, whereabouts) else { panic!("unjudged") };
    let shown = |open: &OpenSubject| {
        let Subject { object, identified, .. } = &open.subject;
        let version = identified.as_ref().map_or("?", |it| it.version.as_str());
        let why = open.unclear.as_ref().map_or("asked", Unclear::name);
        if let Err(cause) = open.question(Timestamp::UNIX_EPOCH) {
            assert_eq!(cause.name(), why);
        }
        format!("{object} {version} {why}")
    };
    subjects.iter().map(shown).collect()
}

#[test]
fn a_namespace_in_no_environment_is_not_judged() {
    assert_eq!(scope_in(&review(), &NamespaceMapping::Unmapped), Scope::Unjudged(Unjudged::Unmapped));
}

#[test]
fn case_41_a_namespace_in_conflict_is_unclear_for_each_that_claims_it() {
    for (claimants, expected) in [
        (&["production", "audited"][..], &["production 2 Conflicted", "audited 2 Conflicted"][..]),
        (&["production", "off"], &["production 2 Conflicted"]),
        (&["off", "broken"], &["broken 2 Conflicted"]),
        (&["off", "off"], &[]),
    ] {
        let names: Vec<_> = claimants.iter().map(ToString::to_string).collect();
        let conflict = NamespaceMapping::Conflicted(names).into();
        assert_eq!(unclear(&review(), &conflict), expected, "{claimants:?}");
        let mut rollback = review();
        rollback.new = Ok(workload(Some("orders"), "orders:1"));
        rollback.old = Some(workload(Some("orders"), "orders:9"));
        assert!(unclear(&rollback, &conflict).iter().all(|it| it.starts_with("broken")), "what is recorded passes");
    }
}

#[test]
fn case_77_what_may_claim_a_namespace_that_cannot_be_read_is_unclear_and_what_names_it_is_asked() {
    let at = |sure: NamespaceMapping, possible: &[&str]| Whereabouts {
        mapping: sure,
        possible: possible.iter().map(ToString::to_string).collect(),
    };
    for (whereabouts, expected) in [
        (at(NamespaceMapping::Unmapped, &["production"]), &["production 2 NamespaceUnread"][..]),
        (at(NamespaceMapping::Unmapped, &["off"]), &[]),
        (at(mapped(&["audited"]), &["production"]), &["audited 2 asked", "production 2 NamespaceUnread"]),
        (at(NamespaceMapping::Unmapped, &["broken"]), &["broken 2 NamespaceUnread"]),
        (at(NamespaceMapping::Unmapped, &["gone"]), &[]),
    ] {
        assert_eq!(unclear(&review(), &whereabouts), expected, "{whereabouts:?}");
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
fn case_76_an_environment_that_never_could_be_followed_is_unclear_and_the_others_are_asked() {
    let both = mapped(&["broken", "production"]).into();
    assert_eq!(unclear(&review(), &both), ["broken 2 InvalidEnvironment", "production 2 asked"]);
    let Scope::Judged { subjects, .. } = scope_at(&review(), &both) else { panic!("unjudged") };
    let finding = subjects[0].clone().finding(subjects[0].question(Timestamp::UNIX_EPOCH).unwrap_err());
    assert_eq!((finding.wanted, finding.action), (GateAction::Deny, GateAction::Deny), "of its own gate block");
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

#[test]
fn what_is_asked_about_knows_of_a_dry_run() {
    for dry_run in [false, true] {
        let Scope::Judged { subjects, .. } = scope_in(&Review { dry_run, ..review() }, &mapped(&["production"])) else {
            panic!("unjudged");
        };
        assert!(!subjects.is_empty() && subjects.iter().all(|open| open.dry_run == dry_run));
    }
}
