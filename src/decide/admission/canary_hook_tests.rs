//! What a Canary's hooks are told, by what was found; and from what to what a Canary's change goes.

use serde_json::json;

use super::*;
use crate::{
    api::{PactEnvironment, gate::RollbackPolicy},
    decide::{
        Finding, Judgement,
        admission::{Basis, EnvironmentPolicy, Identified, Problem, Scope, Subject, Unclear, scope, subjects},
        record::fixtures,
    },
    workload::{CanaryOwner, NamespaceMapping, VersionProblem, Whereabouts, WorkloadKind},
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
    CanaryHook::ALL.into_iter().map(|hook| letter(hook, findings.to_vec())).collect()
}

fn letter(hook: CanaryHook, findings: Vec<Finding>) -> char {
    match hook.advice(&Decision::over(findings)) {
        Advice::GoOn => '-',
        Advice::Wait => 'W',
        Advice::RollBack => 'R',
    }
}

fn as_enforced(mut open: OpenSubject) -> OpenSubject {
    open.rules.mode = GateMode::Enforce;
    open
}

/// What each hook is told when this comes of the one subject.
fn asked_and_told(open: &OpenSubject, enforced: bool, cause: &Cause) -> String {
    let of = |hook| {
        let open = if enforced { as_enforced(open.clone()) } else { open.clone() };
        let subjects = for_hook(hook, vec![open]);
        letter(hook, subjects.into_iter().map(|open| open.finding(cause.clone())).collect())
    };
    CanaryHook::ALL.into_iter().map(of).collect()
}

#[test]
fn without_an_answer_a_canary_waits_where_it_is_enforced_and_is_never_rolled_back() {
    let without = [
        judged(Verdict::BrokerUnavailable),
        judged(Verdict::Unauthorized),
        judged(Verdict::EnvironmentMissing),
        Cause::Unclear(Unclear::NamespaceUnread),
        Cause::Unclear(Unclear::BrokenEnvironment { problem: "a pattern".into() }),
        Cause::Unclear(Unclear::Conflicted { claimants: vec!["a".into(), "b".into()] }),
    ];
    for cause in &without {
        for (mode, enforced, expected) in
            [("Enforce", false, "WWW-"), ("Warn", true, "WWW-"), ("Warn", false, "----"), ("Audit", false, "----")]
        {
            assert_eq!(asked_and_told(&open(mode), enforced, cause), expected, "{cause:?} {mode} {enforced}");
        }
    }
    let mut lenient = open("Enforce");
    lenient.rules.actions.broker_unavailable = GateAction::Allow;
    assert_eq!(asked_and_told(&lenient, false, &without[0]), "WWW-", "a hook that is repeated would let it pass");
    let mut former = open("Enforce");
    former.subject.basis = Basis::Former;
    former.rules.rollback = RollbackPolicy::Warn;
    assert_eq!(asked_and_told(&former, false, &without[0]), "----", "back to what was recorded: no answer denies that");
}

#[test]
fn other_verdicts_stay_with_the_policy() {
    for (verdict, expected) in [
        (Verdict::Yes, "----"),
        (Verdict::YesVacuous, "----"),
        (Verdict::No, "WWWR"),
        (Verdict::Unknown, "WWW-"),
        (Verdict::PacticipantUnknown, "----"),
    ] {
        assert_eq!(asked_and_told(&open("Enforce"), false, &judged(verdict)), expected, "{verdict}");
    }
    let mut lenient = open("Enforce");
    lenient.rules.actions.failed = GateAction::Warn;
    assert_eq!(asked_and_told(&lenient, false, &judged(Verdict::No)), "----");
}

#[test]
fn before_what_runs_is_listed_a_no_holds_a_canary_up_and_takes_nothing_back() {
    let unlisted = |mode| OpenSubject { members_listed: false, ..open(mode) };
    for (mode, enforced, verdict, expected) in [
        ("Enforce", false, Verdict::No, "WWW-"),
        ("Warn", true, Verdict::No, "WWW-"),
        ("Enforce", false, Verdict::BrokerUnavailable, "WWW-"),
        ("Enforce", false, Verdict::Yes, "----"),
        ("Warn", false, Verdict::No, "----"),
    ] {
        assert_eq!(
            asked_and_told(&unlisted(mode), enforced, &judged(verdict)),
            expected,
            "{mode} {enforced} {verdict}"
        );
    }
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
    primary.canary_owner = Some(CanaryOwner { name: "orders".into(), uid: "c1".into(), unpromoted: false });
    primary
}

/// What would be asked: `orders 2 New`.
fn asked(canary: &CanaryView, target: Workload, primary: Option<Workload>) -> Vec<String> {
    let review = canary_review(canary, target, primary, false);
    let rules = fixtures::rules("production", &["shop"]);
    let recorded = |_: &_, _: &_| super::super::RecordedVersions::default();
    let subjects = subjects(review.old.as_ref(), false, review.new.as_ref().unwrap(), &rules, recorded);
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
fn where_a_hook_says_so_each_environment_counts_as_if_it_enforced() {
    let modes = |mode, enforced| {
        let policy = Ok(EnvironmentPolicy {
            rules: fixtures::rules("production", &["shop"]),
            gate: open(mode).rules,
            members_listed: true,
        });
        let whereabouts = Whereabouts::from(NamespaceMapping::Mapped(vec!["production".into()]));
        let review = canary_review(&canary("b"), target("2"), Some(primary("1")), enforced);
        let recorded = |_: &_, _: &_| super::super::RecordedVersions::default();
        let scope = scope(&review, &whereabouts, |_| Some(&policy), recorded);
        let Scope::Judged { subjects, .. } = scope else { panic!("{scope:?}") };
        subjects.iter().map(OpenSubject::mode).collect::<Vec<_>>()
    };
    for (mode, own) in [("Warn", vec![GateMode::Warn]), ("Audit", vec![GateMode::Audit]), ("Off", vec![])] {
        assert_eq!((modes(mode, false), modes(mode, true)), (own, vec![GateMode::Enforce]), "{mode}");
    }
    let unlisted = OpenSubject { members_listed: false, ..open("Enforce") };
    let modes = CanaryHook::ALL.map(|hook| for_hook(hook, vec![unlisted.clone()])[0].mode());
    let [waiting @ .., rollback] = modes;
    assert_eq!(waiting, [GateMode::Enforce; 3]);
    assert_eq!(rollback, GateMode::Warn, "what runs may be missing in the answer");
}
