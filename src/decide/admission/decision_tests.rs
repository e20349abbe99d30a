use proptest::prelude::*;

use super::*;
use crate::{
    api::{
        gate::GatePolicy,
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{Identified, Pair, PairResult},
    workload::{EnvironmentRef, IdentityProblem, NotOwned, WorkloadKind},
};

const MODES: [GateMode; 4] = [GateMode::Off, GateMode::Audit, GateMode::Warn, GateMode::Enforce];
const ACTIONS: [GateAction; 3] = [GateAction::Allow, GateAction::Warn, GateAction::Deny];
const BASES: [Basis; 4] = [Basis::Unchanged, Basis::Recorded, Basis::Former, Basis::New];
const ROLLBACKS: [RollbackPolicy; 3] = [RollbackPolicy::Skip, RollbackPolicy::Warn, RollbackPolicy::Enforce];

fn orders() -> Pacticipant {
    Pacticipant::parse("orders").unwrap()
}

fn subject(basis: Basis) -> Subject {
    let environment_ref =
        EnvironmentRef { broker: "main".into(), environment: EnvironmentName::parse("production").unwrap() };
    let identified = Identified { pacticipant: orders(), version: Version::parse("2").unwrap() };
    Subject {
        object: "production".into(),
        environment_ref,
        kind: WorkloadKind::Deployment,
        identified: Ok(identified),
        basis,
        other_image: None,
    }
}

fn pair(result: PairResult) -> Pair {
    let (consumer_version, provider_version) = (Version::parse("1").unwrap(), Version::parse("2").ok());
    Pair {
        result,
        consumer: Pacticipant::parse("web").unwrap(),
        consumer_version,
        provider: orders(),
        provider_version,
        in_flight: false,
    }
}

fn judged(verdict: Verdict) -> Cause {
    Cause::Judged(Judgement {
        verdict,
        pairs: vec![pair(PairResult::Failed)],
        cautions: Vec::new(),
        vacuous: None,
        meant: None,
        explanation: None,
    })
}

fn mismatch() -> Cause {
    let problem = VersionProblem::Mismatch { annotation: "1".into(), tag: "2".into() };
    Cause::Problem(Problem::Version { pacticipant: orders(), problem })
}

fn causes() -> Vec<Cause> {
    let no_version = Problem::Version { pacticipant: orders(), problem: VersionProblem::NoContainers };
    let owners = vec!["bank".into()];
    let not_owned = Problem::NotOwned(NotOwned { pacticipant: orders(), namespace: "shop".into(), owners });
    let problems = [Problem::Identity(IdentityProblem::EmptyPacticipant), no_version, not_owned].map(Cause::Problem);
    Verdict::ALL.into_iter().map(judged).chain(problems).chain([mismatch()]).collect()
}

/// The policy's field for a cause; none for a plain yes.
fn field<'a>(cause: &Cause, actions: &'a mut GateActions) -> Option<&'a mut GateAction> {
    Some(match cause.name() {
        "Yes" => return None,
        "YesVacuous" => &mut actions.yes_vacuous,
        "No" => &mut actions.failed,
        "Unknown" => &mut actions.unknown,
        "VersionMissing" => &mut actions.version_missing,
        "PacticipantUnknown" => &mut actions.pacticipant_unknown,
        "EnvironmentMissing" => &mut actions.environment_missing,
        "Unauthorized" => &mut actions.unauthorized,
        "BrokerUnavailable" => &mut actions.broker_unavailable,
        "VersionMismatch" => &mut actions.version_mismatch,
        "Unidentified" | "NotOwned" => &mut actions.unidentified,
        other => panic!("a cause without a field: {other}"),
    })
}

#[test]
fn case_89_a_name_with_a_slip_is_treated_as_one_that_names_nothing() {
    let rules = GateRules::parse(&GatePolicy { mode: GateMode::Enforce, ..GatePolicy::default() });
    let Cause::Judged(unknown) = judged(Verdict::PacticipantUnknown) else { panic!() };
    let wanted = |judgement| wanted(&Cause::Judged(judgement), Basis::New, &rules);
    assert_eq!(wanted(unknown.clone()), GateAction::Warn);
    assert_eq!(wanted(Judgement { meant: Some(orders()), ..unknown }), GateAction::Deny);
}

/// Rules in which every cause but this one is treated otherwise.
fn rules(cause: &Cause, action: GateAction, mode: GateMode, rollback: RollbackPolicy) -> GateRules {
    let other = if action == GateAction::Deny { GateAction::Allow } else { GateAction::Deny };
    let mut actions = GateActions {
        yes_vacuous: other,
        failed: other,
        unknown: other,
        version_missing: other,
        pacticipant_unknown: other,
        environment_missing: other,
        unauthorized: other,
        broker_unavailable: other,
        unidentified: other,
        version_mismatch: other,
    };
    if let Some(field) = field(cause, &mut actions) {
        *field = action;
    }
    GateRules::parse(&GatePolicy { mode, actions, rollback, ..GatePolicy::default() })
}

/// What the policy wants, and what is done, once more, as the documentation states it.
fn expected(
    cause: &Cause,
    action: GateAction,
    mode: GateMode,
    basis: Basis,
    rollback: RollbackPolicy,
    members_listed: bool,
) -> (GateAction, GateAction) {
    let mut wanted = if cause.name() == "Yes" { GateAction::Allow } else { action };
    if basis == Basis::Unchanged || basis == Basis::Recorded {
        wanted = GateAction::Allow;
    }
    if basis == Basis::Former && rollback == RollbackPolicy::Skip {
        wanted = GateAction::Allow;
    }
    if basis == Basis::Former && rollback == RollbackPolicy::Warn && wanted == GateAction::Deny {
        wanted = GateAction::Warn;
    }
    let mut done = wanted;
    if mode == GateMode::Off || mode == GateMode::Audit {
        done = GateAction::Allow;
    }
    if done == GateAction::Deny && (mode == GateMode::Warn || !members_listed) {
        done = GateAction::Warn;
    }
    (wanted, done)
}

#[test]
fn every_point_of_the_cube_is_decided_as_documented() {
    let mut seen = 0;
    for cause in causes() {
        for (mode, action, basis) in
            MODES.iter().flat_map(|m| ACTIONS.iter().flat_map(move |a| BASES.iter().map(move |b| (*m, *a, *b))))
        {
            for (rollback, members_listed) in ROLLBACKS.iter().flat_map(|r| [(*r, false), (*r, true)]) {
                let rules = rules(&cause, action, mode, rollback);
                let finding = Finding::new(subject(basis), cause.clone(), &rules, members_listed);
                let point = format!(
                    "{} {mode:?} {action:?} {basis:?} {rollback:?} members_listed {members_listed}",
                    cause.name()
                );
                let expected = expected(&cause, action, mode, basis, rollback, members_listed);
                assert_eq!((finding.wanted, finding.action), expected, "{point}");
                assert_eq!(finding.would_deny(), expected.0 == GateAction::Deny, "{point}");
                assert_eq!(finding.awaits_members, mode == GateMode::Enforce && !members_listed, "{point}");
                if finding.action == GateAction::Deny {
                    assert!(mode == GateMode::Enforce && members_listed, "denied outside Enforce: {point}");
                    assert!(!matches!(basis, Basis::Recorded | Basis::Unchanged), "what runs is denied: {point}");
                    assert_ne!(cause.name(), "Yes", "{point}");
                }
                let outcome = Decision::over(vec![finding]).outcome;
                let of_action = [Outcome::Allowed, Outcome::Warned, Outcome::Denied];
                let index = ACTIONS.iter().position(|action| *action == expected.1).unwrap();
                assert_eq!(outcome, of_action[index], "{point}");
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 13 * 4 * 3 * 4 * 3 * 2);
}

#[test]
fn no_question_is_asked_when_what_is_known_suffices() {
    for (mode, rollback, basis) in
        MODES.iter().flat_map(|m| ROLLBACKS.iter().flat_map(move |r| BASES.iter().map(move |b| (*m, *r, *b))))
    {
        let rules = rules(&judged(Verdict::No), GateAction::Deny, mode, rollback);
        let asked = must_be_asked(&subject(basis), &rules);
        let known = basis == Basis::Unchanged
            || basis == Basis::Recorded
            || (basis == Basis::Former && rollback == RollbackPolicy::Skip);
        assert_eq!(asked, mode != GateMode::Off && !known, "{mode:?} {rollback:?} {basis:?}");
        if !asked {
            // Whatever the answer would have been, it would have changed nothing.
            for cause in causes() {
                let finding = Finding::new(subject(basis), cause, &rules, true);
                assert_eq!(finding.action, GateAction::Allow, "{mode:?} {rollback:?} {basis:?}");
            }
        }
    }
}

#[test]
fn as_installed_a_no_is_only_noted_and_in_enforce_it_is_denied() {
    let installed = GateRules::default();
    let finding = Finding::new(subject(Basis::New), judged(Verdict::No), &installed, true);
    assert_eq!((finding.wanted, finding.action), (GateAction::Deny, GateAction::Allow));
    let enforcing = GateRules::parse(&GatePolicy { mode: GateMode::Enforce, ..GatePolicy::default() });
    let of = |cause| Finding::new(subject(Basis::New), cause, &enforcing, true).action;
    let denied: Vec<_> =
        causes().into_iter().filter(|cause| of(cause.clone()) == GateAction::Deny).map(|cause| cause.name()).collect();
    assert_eq!(
        denied,
        ["No", "Unknown", "VersionMissing", "Unidentified", "Unidentified", "NotOwned", "VersionMismatch"]
    );
    let silent: Vec<_> =
        causes().into_iter().filter(|cause| of(cause.clone()) == GateAction::Allow).map(|cause| cause.name()).collect();
    assert_eq!(silent, ["Yes"]);
}

#[test]
fn the_decisive_findings_are_those_of_the_answer_the_wanted_worst_first() {
    use GateAction::{Allow, Deny, Warn};
    let finding = |wanted, action| Finding { wanted, action, ..some_finding() };
    let decision =
        Decision::over(vec![finding(Allow, Allow), finding(Warn, Warn), finding(Deny, Warn), finding(Deny, Allow)]);
    assert_eq!(decision.outcome, Outcome::Warned);
    let decisive: Vec<_> = decision.decisive().iter().map(|finding| (finding.wanted, finding.action)).collect();
    assert_eq!(decisive, [(Deny, Warn), (Warn, Warn)]);
    assert!(Decision::over(vec![finding(Deny, Allow)]).decisive().is_empty(), "audited, and simply allowed");
    assert_eq!(Decision::over(vec![]).outcome, Outcome::Allowed);
}

fn some_finding() -> Finding {
    Finding::new(subject(Basis::New), judged(Verdict::No), &GateRules::default(), true)
}

fn findings() -> impl Strategy<Value = Vec<Finding>> {
    let cause = prop::sample::select(causes());
    let policy =
        (prop::sample::select(&MODES[..]), prop::sample::select(&ACTIONS[..]), prop::sample::select(&ROLLBACKS[..]));
    let finding = (cause, policy, prop::sample::select(&BASES[..]), any::<bool>());
    let finding = finding.prop_map(|(cause, (mode, action, rollback), basis, members_listed)| {
        let rules = rules(&cause, action, mode, rollback);
        Finding::new(subject(basis), cause, &rules, members_listed)
    });
    prop::collection::vec(finding, 0..6)
}

proptest! {
    #[test]
    fn the_order_of_the_findings_does_not_change_the_answer((findings, shuffled) in findings().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle()))) {
        let (one, other) = (Decision::over(findings), Decision::over(shuffled));
        prop_assert_eq!(one.outcome, other.outcome);
        prop_assert_eq!(one.decisive().len(), other.decisive().len());
        let first = |decision: &Decision| decision.findings.first().map(|finding| (finding.action, finding.wanted));
        prop_assert_eq!(first(&one), first(&other));
    }

    #[test]
    fn a_finding_more_never_softens_the_answer(mut findings in findings(), more in findings()) {
        let before = Decision::over(findings.clone()).outcome;
        findings.extend(more.clone());
        let after = Decision::over(findings).outcome;
        prop_assert_eq!(after, before.max(Decision::over(more).outcome), "the strictest of all is the answer");
    }

    #[test]
    fn a_decision_is_denied_exactly_when_a_finding_is(findings in findings()) {
        let denied = findings.iter().any(|finding| finding.action == GateAction::Deny);
        let enforced = findings.iter().any(|finding| finding.mode == GateMode::Enforce);
        let decision = Decision::over(findings);
        prop_assert_eq!(decision.outcome == Outcome::Denied, denied);
        prop_assert!(enforced || !denied, "only Enforce denies");
        prop_assert_eq!(decision.decisive().is_empty(), decision.outcome == Outcome::Allowed);
    }

    #[test]
    fn under_the_default_actions_a_worse_pair_never_softens_the_answer(results in prop::collection::vec(prop::sample::select(vec![PairResult::Verified, PairResult::Unverified, PairResult::NotDeployed]), 1..5)) {
        use crate::decide::{Evidence, LiveVersions, Matrix, MatrixRow, Question, judge};
        let web = Pacticipant::parse("web").unwrap();
        let (one, two) = (Version::parse("1").unwrap(), Version::parse("2").unwrap());
        let question = Question { pacticipant: web.clone(), version: one.clone(), environment: EnvironmentName::parse("production").unwrap(), ignore: vec![] , in_flight: crate::api::gate::InFlight::default() };
        let mut live = LiveVersions::default();
        let mut matrix = Matrix::default();
        for (index, result) in results.iter().enumerate() {
            let provider = Pacticipant::parse(&format!("p{index}")).unwrap();
            let versions = live.looked_up(provider.clone());
            if *result != PairResult::NotDeployed {
                versions.insert(two.clone());
            }
            let verified = *result == PairResult::Verified;
            matrix.rows.push(MatrixRow { consumer: web.clone(), consumer_version: one.clone(), provider, provider_version: verified.then(|| two.clone()), success: verified.then_some(true), ignored: false });
        }
        let summed_up = |mut matrix: Matrix| {
            let count = |wanted| matrix.rows.iter().filter(|row| row.success == wanted).count() as u64;
            (matrix.success, matrix.failed, matrix.unknown) = (count(Some(true)), count(Some(false)), count(None));
            matrix.deployable = if matrix.unknown > 0 { None } else { Some(matrix.failed == 0) };
            matrix
        };
        let enforcing = GateRules::parse(&GatePolicy { mode: GateMode::Enforce, ..GatePolicy::default() });
        let outcome = |matrix: &Matrix| {
            let cause = Cause::Judged(judge(&question, &Evidence::of_broker(matrix, &live)));
            Decision::over(vec![Finding::new(subject(Basis::New), cause, &enforcing, true)]).outcome
        };
        let before = summed_up(matrix);
        for index in 0..results.len() {
            let mut after = before.clone();
            after.rows[index].success = Some(false);
            after.rows[index].provider_version = Some(two.clone());
            prop_assert_eq!(outcome(&summed_up(after)), Outcome::Denied);
        }
    }
}

#[test]
fn a_dry_run_is_warned_about_at_most_where_the_environment_says_so() {
    let rules = |mode, dry_run| GateRules::parse(&GatePolicy { mode, dry_run, ..GatePolicy::default() });
    for (mode, dry_run, action, spared) in [
        (GateMode::Enforce, DryRun::Full, GateAction::Deny, false),
        (GateMode::Enforce, DryRun::Warn, GateAction::Warn, true),
        (GateMode::Warn, DryRun::Warn, GateAction::Warn, false),
        (GateMode::Audit, DryRun::Warn, GateAction::Allow, false),
    ] {
        let rules = rules(mode, dry_run);
        let real = Finding::new(subject(Basis::New), judged(Verdict::No), &rules, true);
        assert_eq!(real.action, capped(GateAction::Deny, mode), "the real request: {mode:?} {dry_run:?}");
        let finding = real.of_dry_run(&rules);
        assert_eq!((finding.action, finding.spared == Some(Spared::DryRun)), (action, spared), "{mode:?} {dry_run:?}");
        assert_eq!((finding.wanted, finding.mode), (GateAction::Deny, mode), "what is wanted stays");
    }
    let rules = rules(GateMode::Enforce, DryRun::Warn);
    let fine = Finding::new(subject(Basis::New), judged(Verdict::Yes), &rules, true).of_dry_run(&rules);
    assert_eq!((fine.action, fine.spared), (GateAction::Allow, None));
    let broken = Finding::new(subject(Basis::New), judged(Verdict::No), &rules, true).of_dry_run(&rules);
    let warnings = crate::decide::messages::warnings(&Decision::over(vec![broken]));
    assert!(warnings[0].ends_with("; the real request is denied"), "{warnings:?}");
}
