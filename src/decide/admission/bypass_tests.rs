//! Which statements count, by what they say, by who makes them, and by what would run.

use super::*;
use crate::{
    decide::{Basis, GateRules, Identified, Problem, Subject, admission::fixtures::update, record::fixtures},
    workload::{VersionProblem, WorkloadKind},
};

fn review(username: &str, image: &str, statement: Option<&str>) -> Review {
    let mut new = fixtures::workload("shop", "orders", "orders");
    new.containers[0].image = image.into();
    new.annotations.bypass = statement.map(Into::into);
    update(None, new, username)
}

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// What is asked about where the environment's rules find this version, or none.
fn open(found: Option<&str>) -> OpenSubject {
    let pacticipant = crate::api::names::Pacticipant::parse("orders").unwrap();
    let identified = match found {
        Some(text) => Ok(Identified { pacticipant, version: version(text) }),
        None => Err(Problem::Version { pacticipant, problem: VersionProblem::NoContainers }),
    };
    let subject = Subject {
        object: "production".into(),
        environment_ref: fixtures::environment_ref("production"),
        kind: WorkloadKind::Deployment,
        identified,
        basis: Basis::New,
        other_image: None,
    };
    OpenSubject { subject, rules: GateRules::default(), members_listed: true, unclear: None, dry_run: false }
}

#[test]
fn a_statement_counts_for_its_version_and_for_people_and_listed_accounts() {
    let listed = BTreeSet::from(["argocd:argocd-application-controller".parse().unwrap()]);
    let argo = "system:serviceaccount:argocd:argocd-application-controller";
    let flux = "system:serviceaccount:flux-system:helm-controller";
    let other = |stated: &str, runs: Option<&str>| {
        Some(Ineffective::OtherVersion { stated: version(stated), runs: runs.map(version) })
    };
    let no_reason = Some(Ineffective::NoStatement(StatementError::NoReason { version: version("2") }));
    for (what, user, image, found, statement, objection) in [
        ("a person", "jane", "orders:2", Some("2"), "2 why", None),
        ("a listed account", argo, "orders:2", Some("2"), "2 why", None),
        ("another account", flux, "orders:2", Some("2"), "2 why", Some(Ineffective::ServiceAccount)),
        ("the version before", "jane", "orders:2", Some("2"), "1 why", other("1", Some("2"))),
        ("the version before is said first", flux, "orders:2", Some("2"), "1 why", other("1", Some("2"))),
        ("no reason", "jane", "orders:2", Some("2"), "2", no_reason),
        ("nothing", "jane", "orders:2", Some("2"), " ", Some(Ineffective::NoStatement(StatementError::Empty))),
        ("what a pattern finds in the tag", "jane", "orders:v2-abc", Some("2"), "2 why", None),
        ("the tag itself, as the API server compares", "jane", "orders:v2-abc", Some("2"), "v2-abc why", None),
        ("a tag that is no version here", "jane", "orders:main", None, "main why", None),
        ("no version at all", "jane", "orders:latest", None, "latest why", other("latest", None)),
    ] {
        let given = stated(&review(user, image, Some(statement)), &[open(found)], &listed);
        match (given, objection) {
            (Ok(_), None) => {}
            (Err(Bypass::Ineffective(why)), Some(expected)) => assert_eq!(why, expected, "{what}"),
            (given, expected) => panic!("{what}: {given:?} and not {expected:?}"),
        }
    }
    assert_eq!(stated(&review("jane", "orders:2", None), &[open(Some("2"))], &listed), Err(Bypass::Unstated));
}

#[test]
fn an_objection_says_what_is_wrong() {
    let other = Ineffective::OtherVersion { stated: version("1"), runs: Some(version("2")) };
    for (why, text) in [
        (other, "it is for 1, and 2 would run"),
        (StatementError::Empty.into(), "it is empty: write \"VERSION REASON\""),
        (StatementError::NoReason { version: version("2") }.into(), "it gives no reason: write \"2 REASON\""),
        (Ineffective::ServiceAccount, "a service account may use it only if webhook.bypassServiceAccounts lists it"),
        (Ineffective::NoRight, "the user does not hold the verb bypass on pactenvironments.pact-operator.dev"),
        (
            Ineffective::RightUnknown("it did not answer in time".into()),
            "the API server did not say whether the user may: it did not answer in time",
        ),
    ] {
        let objection = Bypass::Ineffective(why).objection();
        assert_eq!(objection, Some(format!("pact-operator.dev/bypass does not count: {text}")));
    }
    let counts = Bypass::Counts(BypassStatement::parse("2 why").unwrap());
    assert_eq!((counts.objection(), Bypass::Unstated.objection()), (None, None));
}

#[test]
fn an_account_is_written_with_its_namespace() {
    for text in ["argocd", "argocd:", ":controller", "system:serviceaccount:argocd:controller", ""] {
        assert_eq!(text.parse::<ServiceAccountName>(), Err(NoServiceAccount), "{text}");
    }
}
