//! What a Canary's hooks are told, by what was found; and from what to what a Canary's change goes.

use serde_json::json;

use super::*;
use crate::{
    api::PactEnvironment,
    decide::{
        Finding, Judgement,
        admission::{Basis, EnvironmentPolicy, Identified, Problem, Subject, subjects},
        record::fixtures,
    },
    workload::{CanaryOwner, VersionProblem, WorkloadKind},
};

fn open(mode: &str) -> OpenSubject {
    let object: PactEnvironment = serde_json::from_value(json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": "production"},
        "spec": {"brokerRef": {"name": "main"}, "namespaces": {"names": ["shop"]}, "gate": {"mode": mode}},
    }))
    .unwrap();
    let policy = EnvironmentPolicy::parse(&object).unwrap();
    let identified =
        Identified { pacticipant: fixtures::key("production", "orders").pacticipant, version: fixtures::version("2") };
    OpenSubject {
        subject: Subject {
            object: "production".into(),
            environment_ref: fixtures::environment_ref("production"),
            kind: WorkloadKind::Deployment,
            identified: Ok(identified),
            basis: Basis::New,
            other_image: None,
        },
        dry_run: false,
        rules: policy.gate,
        members_listed: true,
        unclear: None,
    }
}

fn judged(verdict: Verdict) -> Cause {
    Cause::Judged(Judgement::without_pairs(verdict, "because".to_owned()))
}

fn found(mode: &str, cause: Cause) -> Finding {
    open(mode).finding(cause)
}

/// What each hook is told: `W` waits, `R` rolls back, `-` goes on.
fn told(findings: &[Finding]) -> String {
    let decision = Decision::over(findings.to_vec());
    let letter = |hook: CanaryHook| match hook.advice(&decision) {
        Advice::GoOn => '-',
        Advice::Wait => 'W',
        Advice::RollBack => 'R',
    };
    CanaryHook::ALL.into_iter().map(letter).collect()
}

#[test]
fn a_hook_waits_where_admission_would_deny_and_only_a_certain_no_rolls_back() {
    let mismatch = VersionProblem::Mismatch { annotation: "1".into(), tag: "2".into() };
    let pacticipant = fixtures::key("production", "orders").pacticipant;
    let mismatch = || Cause::Problem(Problem::Version { pacticipant: pacticipant.clone(), problem: mismatch.clone() });
    for (what, findings, expected) in [
        ("nothing to ask", vec![], "----"),
        ("yes", vec![found("Enforce", judged(Verdict::Yes))], "----"),
        ("no", vec![found("Enforce", judged(Verdict::No))], "WWWR"),
        ("not known", vec![found("Enforce", judged(Verdict::Unknown))], "WWW-"),
        ("not published", vec![found("Enforce", judged(Verdict::VersionMissing))], "WWW-"),
        ("two versions", vec![found("Enforce", mismatch())], "WWW-"),
        (
            "the broker is down, which warns by default",
            vec![found("Enforce", judged(Verdict::BrokerUnavailable))],
            "----",
        ),
        ("no, and it only warns", vec![found("Warn", judged(Verdict::No))], "----"),
        ("no, and it only audits", vec![found("Audit", judged(Verdict::No))], "----"),
        ("one of two", vec![found("Enforce", judged(Verdict::Yes)), found("Enforce", judged(Verdict::No))], "WWWR"),
        (
            "unknown beside a no",
            vec![found("Enforce", judged(Verdict::Unknown)), found("Enforce", judged(Verdict::No))],
            "WWWR",
        ),
        (
            "a no that only warns",
            vec![found("Warn", judged(Verdict::No)), found("Enforce", judged(Verdict::Unknown))],
            "WWW-",
        ),
    ] {
        assert_eq!(told(&findings), expected, "{what}");
    }
}

#[test]
fn the_rollback_hook_passes_the_other_way_round() {
    for hook in CanaryHook::ALL {
        let passing: Vec<_> =
            [Advice::GoOn, Advice::Wait, Advice::RollBack].into_iter().filter(|it| hook.passes(*it)).collect();
        let expected = if hook == CanaryHook::Rollback { Advice::RollBack } else { Advice::GoOn };
        assert_eq!(passing, [expected], "{}", hook.name());
        assert_eq!(CanaryHook::named(hook.name()), Some(hook));
    }
    assert_eq!(CanaryHook::named("rollout"), None);
}

fn canary(applied: &str) -> CanaryView {
    serde_json::from_value(json!({
        "metadata": {"name": "orders", "namespace": "shop", "uid": "c1"},
        "spec": {"targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "orders"}},
        "status": {"lastAppliedSpec": applied, "lastPromotedSpec": "a"},
    }))
    .unwrap()
}

fn target(tag: &str) -> Workload {
    let mut target = fixtures::workload("shop", "orders", "orders");
    target.containers[0].image = format!("orders:{tag}");
    target
}

/// The primary as it is after its first promotion: without annotations.
fn primary(tag: &str) -> Workload {
    let mut primary = fixtures::workload("shop", "orders-primary", "orders");
    primary.annotations.pacticipant = None;
    primary.containers[0].image = format!("orders:{tag}");
    primary.canary_owner = Some(CanaryOwner { name: "orders".into(), uid: "c1".into() });
    primary
}

/// What would be asked: `orders 2 New`.
fn asked(canary: &CanaryView, target: Workload, primary: Option<Workload>) -> Vec<String> {
    let review = canary_review(canary, target, primary);
    let rules = fixtures::rules("production", &["shop"]);
    let recorded = |_: &_, _: &_| super::super::RecordedVersions::default();
    let subjects = subjects(review.old.as_ref(), review.new.as_ref().unwrap(), &rules, recorded);
    let line = |it: Subject| {
        let identified = it.identified.unwrap();
        format!("{} {} {:?}", identified.pacticipant, identified.version, it.basis)
    };
    subjects.into_iter().map(line).collect()
}

#[test]
fn the_change_goes_from_what_the_primary_runs_to_the_target() {
    let foreign = Workload { canary_owner: None, ..primary("2") };
    assert_eq!(asked(&canary("b"), target("2"), Some(primary("1"))), ["orders 2 New"]);
    assert_eq!(asked(&canary("b"), target("2"), None), ["orders 2 New"]);
    assert_eq!(asked(&canary("b"), target("2"), Some(foreign)), ["orders 2 New"], "a name alone proves nothing");
    // Flagger analyses a change of the environment variables, too.
    assert_eq!(asked(&canary("b"), target("2"), Some(primary("2"))), Vec::<String>::new());
}

#[test]
fn a_version_annotation_of_the_target_says_nothing_of_the_primary() {
    let stated = |tag: &str, version: &str| {
        let mut target = target(tag);
        target.annotations.version = Some(version.to_owned());
        target
    };
    assert_eq!(asked(&canary("b"), stated("2", "2.0"), Some(primary("1"))), ["orders 2.0 New"]);
    assert_eq!(asked(&canary("a"), stated("1", "1.0"), Some(primary("1"))), Vec::<String>::new());
}

#[test]
fn a_statement_about_the_version_counts_and_a_stricter_hook_is_asked_for() {
    let mut stated = target("2");
    stated.annotations.bypass = Some("2 INC-7: the shop is down".to_owned());
    let review = canary_review(&canary("b"), stated.clone(), Some(primary("1")));
    assert_eq!(for_hook(&review, vec![open("Enforce")], false), []);
    stated.annotations.bypass = Some("1 long ago".to_owned());
    let review = canary_review(&canary("b"), stated, Some(primary("1")));
    assert_eq!(for_hook(&review, vec![open("Enforce")], false), [open("Enforce")]);

    let modes = |enforced| {
        for_hook(&review, vec![open("Warn"), open("Audit")], enforced).iter().map(OpenSubject::mode).collect::<Vec<_>>()
    };
    assert_eq!(modes(false), [GateMode::Warn, GateMode::Audit]);
    assert_eq!(modes(true), [GateMode::Enforce, GateMode::Enforce]);
    let unlisted = OpenSubject { members_listed: false, ..open("Warn") };
    assert_eq!(
        for_hook(&review, vec![unlisted], true)[0].mode(),
        GateMode::Warn,
        "what runs may be missing in the answer"
    );
}
