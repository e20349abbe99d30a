//! What becomes of an object, by what was held, what changes, who changes it, and what the answer is.

use super::*;
use crate::api::{gate::GateMode, names::Pacticipant};
use crate::{
    api::gate::{GatePolicy, HoldPolicy},
    decide::{
        Basis, Finding, GateRules, Identified, Judgement, Pair, PairResult, Subject,
        admission::{Ineffective, fixtures::update},
        record::fixtures,
    },
    workload::{BypassStatement, Told, WorkloadKind},
};

const NOTE: &str = "2 by=production 2026-05-01T10:00:00Z";
const NOTE_OF_3: &str = "3 by=production 2026-05-01T10:00:00Z";

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn deployment(tag: &str, paused: bool, note: Option<&str>) -> Workload {
    let mut workload = fixtures::workload("shop", "orders", "orders");
    workload.containers[0].image = format!("orders:{tag}");
    workload.paused = paused;
    workload.annotations.held = note.map(Into::into);
    workload
}

fn review(old: Option<Workload>, new: Workload, username: &str, manager: &str) -> Review {
    let field_manager = Some(manager.into()).filter(|manager: &String| !manager.is_empty());
    Review { field_manager, ..update(old, new, username) }
}

fn pair(result: PairResult) -> Pair {
    let name = |text| Pacticipant::parse(text).unwrap();
    Pair {
        result,
        consumer: name("web"),
        consumer_version: version("7"),
        provider: name("orders"),
        provider_version: Some(version("2")),
        in_flight: false,
    }
}

/// What an environment says that enforces, and holds or not.
fn finding(tag: &str, verdict: Verdict, results: &[PairResult], holds: bool) -> Finding {
    let hold = holds.then_some(HoldPolicy { deadline_seconds: 60 });
    let rules = GateRules::parse(&GatePolicy { mode: GateMode::Enforce, hold, ..GatePolicy::default() });
    let subject = Subject {
        object: "production".into(),
        environment_ref: fixtures::environment_ref("production"),
        kind: WorkloadKind::Deployment,
        identified: Ok(Identified { pacticipant: Pacticipant::parse("orders").unwrap(), version: version(tag) }),
        basis: Basis::New,
        other_image: None,
    };
    let pairs = results.iter().copied().map(pair).collect();
    let judgement = Judgement { pairs, ..Judgement::without_pairs(verdict, "") };
    Finding::new(subject, Cause::Judged(judgement), &rules, true)
}

fn unknown(tag: &str) -> Finding {
    finding(tag, Verdict::Unknown, &[PairResult::Unverified, PairResult::Verified], true)
}

fn yes(tag: &str) -> Finding {
    finding(tag, Verdict::Yes, &[PairResult::Verified], true)
}

fn no(tag: &str) -> Finding {
    finding(tag, Verdict::No, &[PairResult::Failed], true)
}

/// A Deployment that runs a version and has finished.
fn runs(tag: &str) -> Workload {
    deployment(tag, false, None)
}

/// One that is held, as it is observed.
fn paused_at(tag: &str, note: &str) -> Workload {
    Workload { rollout: RolloutState::Paused, ..deployment(tag, true, Some(note)) }
}

/// A hold by the environment of the findings, of which nothing was reported.
fn begun(tag: &str) -> Held {
    Held::begin(version(tag), ["production".to_owned()].into(), now())
}

fn parsed(note: &str) -> Held {
    Held::parse(note).unwrap()
}

#[test]
fn only_what_waits_for_a_verification_everywhere_is_held() {
    let missing = finding("2", Verdict::Unknown, &[PairResult::Unverified, PairResult::NotDeployed], true);
    let elsewhere = finding("2", Verdict::Unknown, &[PairResult::Unverified], false);
    let (new, begins) = (deployment("2", false, None), Change::Hold(begun("2")));
    for (name, findings, change) in [
        ("a result is missing", vec![unknown("2")], begins.clone()),
        ("in two environments", vec![unknown("2"), unknown("2")], begins.clone()),
        ("and another one has nothing against it", vec![yes("2"), unknown("2")], begins),
        ("a provider is not there", vec![missing], Change::None),
        ("one environment denies", vec![unknown("2"), elsewhere], Change::None),
        ("a verification failed", vec![no("2")], Change::None),
        ("one of them", vec![unknown("2"), no("2")], Change::None),
        ("two versions", vec![unknown("2"), unknown("3")], Change::None),
        ("nobody published it", vec![finding("2", Verdict::VersionMissing, &[], true)], Change::None),
        ("the broker does not answer", vec![finding("2", Verdict::BrokerUnavailable, &[], true)], Change::None),
        ("a yes", vec![yes("2")], Change::None),
        ("nothing to ask", vec![], Change::None),
    ] {
        let review = review(Some(runs("1")), new.clone(), "jane", "kubectl-set");
        assert_eq!(before(&review), None, "{name}");
        assert_eq!(asked(&review, &Decision::over(findings), now()), change, "{name}");
    }
}

#[test]
fn only_where_a_pause_keeps_pods_of_one_version_anything_is_held() {
    let with = |change: &dyn Fn(&mut Workload)| {
        let mut old = deployment("1", false, None);
        change(&mut old);
        Some(old)
    };
    let until = now();
    let at_zero = |mut new: Workload| {
        new.at_zero = true;
        new
    };
    let new = || deployment("2", false, None);
    for (name, old, new, holds) in [
        ("it has finished", Some(runs("1")), new(), true),
        ("old pods end", with(&|it| it.rollout = RolloutState::Terminating { until, remaining: 1 }), new(), true),
        ("it is new", None, new(), false),
        ("it has no pods", with(&|it| it.without_pods = true), new(), false),
        ("it goes to zero", Some(runs("1")), at_zero(new()), false),
        ("half done", with(&|it| it.rollout = fixtures::progressing()), new(), false),
        ("given up", with(&|it| it.rollout = fixtures::failed()), new(), false),
        ("paused half done by its owner", with(&|it| it.rollout = RolloutState::Paused), new(), false),
        ("held", with(&|it| *it = paused_at("3", NOTE_OF_3)), new(), true),
        (
            "held, and no pods",
            with(&|it| {
                *it = paused_at("3", NOTE_OF_3);
                it.without_pods = true;
            }),
            new(),
            false,
        ),
    ] {
        let asked_of = review(old.clone(), new.clone(), "jane", "kubectl-set");
        let change = if holds { Change::Hold(begun("2")) } else { Change::None };
        assert_eq!(asked(&asked_of, &Decision::over(vec![unknown("2")]), now()), change, "{name}");
        // The same in the validating webhook, whoever wrote pause and annotation.
        let mut written = Workload { paused: true, ..new };
        written.annotations.held = Some(NOTE.into());
        let asked_of = review(old, written, "jane", "kubectl-set");
        let spared = holds.then_some(Spared::Held);
        assert_eq!(admits(&asked_of, &Decision::over(vec![unknown("2")])), spared, "{name}");
    }
}

#[test]
fn where_a_name_goes_nothing_is_held() {
    let named = |mut it: Workload, names: &str| {
        it.annotations.pacticipant = Some(names.into()).filter(|it: &String| !it.is_empty());
        it
    };
    for (before, after, holds) in [
        ("orders", "orders", true),
        ("orders,web", "web, orders", true),
        ("orders", "orders,web", true),
        ("orders,web", "orders", false),
        ("orders", "web", false),
        // Who it was is who is judged.
        ("orders,web", "", true),
        ("", "orders", true),
        ("orders,,web", "orders", true),
    ] {
        for (old, new) in [
            (runs("1"), deployment("2", true, Some(NOTE))),
            (paused_at("1", NOTE), deployment("2", true, Some(NOTE))),
            (paused_at("2", NOTE), deployment("2", true, Some(NOTE))),
        ] {
            let held = Held::of(&old).is_some();
            let review = review(Some(named(old, before)), named(new, after), "jane", "helm");
            let spared = holds.then_some(Spared::Held);
            let what = format!("{before} → {after}, held before: {held}");
            assert_eq!(admits(&review, &Decision::over(vec![unknown("2")])), spared, "{what}");
            let unpaused =
                Review { new: review.new.clone().map(|new| Workload { paused: false, ..new }), ..review.clone() };
            let changes = matches!(asked(&unpaused, &Decision::over(vec![unknown("2")]), now()), Change::Hold(_));
            assert_eq!(changes, holds, "{what}");
        }
    }
}

#[test]
fn a_bypass_over_something_held_is_looked_at_and_ends_the_pause_if_it_counts() {
    let bypassing = |mut it: Workload, text: &str| {
        it.annotations.bypass = Some(text.into());
        it
    };
    let old = || deployment("2", true, Some(NOTE));
    let (paused, resumed) = (deployment("2", true, Some(NOTE)), deployment("2", false, Some(NOTE)));
    let (by_hand, by_manifest) = ("kubectl-edit", "kubectl-client-side-apply");
    let statement = BypassStatement::parse("2 the shop is down").unwrap();
    let counts = || Decision::over(vec![]).beside(Bypass::Counts(statement.clone()));
    let not = |findings| Decision::over(findings).beside(Bypass::Ineffective(Ineffective::NoRight));
    let stated = "2 the shop is down";
    for (name, old, new, manager, if_not) in [
        ("stated", old(), bypassing(paused.clone(), stated), by_hand, Change::None),
        ("stated, resumed by hand", old(), bypassing(resumed.clone(), stated), by_hand, Change::None),
        ("stated, applied", old(), bypassing(resumed.clone(), stated), by_manifest, Change::Hold(parsed(NOTE))),
        (
            "stated before",
            bypassing(old(), stated),
            bypassing(resumed.clone(), stated),
            by_manifest,
            Change::Hold(parsed(NOTE)),
        ),
        ("a new version", deployment("1", true, Some(NOTE)), bypassing(paused.clone(), stated), by_hand, Change::None),
    ] {
        let review = review(Some(old), new, "jane", manager);
        assert_eq!(before(&review), None, "{name}");
        assert!(judged_anew(&review).is_some_and(|it| it.old_waits), "{name}");
        assert_eq!(asked(&review, &counts(), now()), Change::Release, "{name}");
        assert_eq!(asked(&review, &not(vec![unknown("2")]), now()), if_not, "{name}, and it does not count");
    }
    let review = |old, new| review(Some(old), new, "jane", "kubectl-annotate");
    let unchanged = review(bypassing(old(), stated), bypassing(paused.clone(), stated));
    assert_eq!((before(&unchanged), judged_anew(&unchanged)), (Some(Change::None), None), "nothing new is stated");
    let taken = review(bypassing(old(), stated), bypassing(deployment("2", true, None), stated));
    assert_eq!(before(&taken), Some(Change::Hold(parsed(NOTE))), "the annotation alone stays");
    let gone = review(bypassing(old(), stated), paused);
    assert_eq!(before(&gone), Some(Change::None), "a statement that goes is none");
    let told = format!("{NOTE} Overdue");
    let again = review(deployment("2", true, Some(&told)), bypassing(deployment("2", true, Some(&told)), stated));
    assert_eq!(asked(&again, &not(vec![unknown("2")]), now()), Change::None, "what was reported stays so");
}

#[test]
fn a_pause_of_its_owner_is_neither_made_nor_ended() {
    for old in [None, Some(deployment("1", false, None)), Some(deployment("1", true, None))] {
        let paused = review(old.clone(), deployment("2", true, None), "jane", "kubectl-set");
        assert_eq!(before(&paused), Some(Change::None));
        // With a note that is none, it is the owner's, too.
        let paused = review(old, deployment("2", true, Some("until monday")), "jane", "kubectl-set");
        assert_eq!(before(&paused), Some(Change::None));
    }
    let unmanaged = |mut it: Workload| {
        it.annotations.pacticipant = None;
        it
    };
    let gone = review(Some(deployment("2", true, Some(NOTE))), unmanaged(deployment("3", true, None)), "jane", "");
    assert_eq!(before(&gone), Some(Change::None));
}

#[test]
fn only_deployments_are_held_or_believed_to_be() {
    for kind in WorkloadKind::ALL {
        let of_kind = |mut it: Workload| {
            it.reference.kind = kind;
            it
        };
        let held = kind == WorkloadKind::Deployment;
        let new = review(None, of_kind(deployment("2", false, None)), "jane", "kubectl-patch");
        assert_eq!(before(&new), (!held).then_some(Change::None), "{kind}");
        let (runs, paused) = (of_kind(runs("1")), of_kind(deployment("2", true, Some(NOTE))));
        let noted = review(Some(runs), paused, "jane", "kubectl-patch");
        assert_eq!(before(&noted), (!held).then_some(Change::None), "{kind}");
        let spared = held.then_some(Spared::Held);
        assert_eq!(admits(&noted, &Decision::over(vec![unknown("2")])), spared, "{kind}");
        let old = || Some(of_kind(deployment("2", true, Some(NOTE))));
        let resumed = review(old(), of_kind(deployment("2", false, Some(NOTE))), "jane", "kubectl-patch");
        assert_eq!(resumes(&resumed), held.then_some(Resumption::ByHand), "{kind}");
    }
}

#[test]
fn a_hold_moves_to_a_newer_version_and_ends_with_one_that_may_run() {
    let held = Some(deployment("2", true, Some(NOTE)));
    let told = "3 by=production 2026-05-01T11:00:00Z Refused";
    for (name, new, findings, change) in [
        ("newer", deployment("3", true, Some(NOTE)), vec![unknown("3")], Change::Hold(begun("3"))),
        ("newer, applied", deployment("3", false, None), vec![unknown("3")], Change::Hold(begun("3"))),
        (
            "the same, annotated so by another webhook's turn",
            deployment("3", true, Some(told)),
            vec![unknown("3")],
            Change::Hold(Held { told: None, ..parsed(told) }),
        ),
        ("a rollback", deployment("1", true, Some(NOTE)), vec![], Change::Release),
        ("a rollback, applied", deployment("1", false, None), vec![], Change::None),
        ("a rollback, resumed", deployment("1", false, Some(NOTE)), vec![], Change::Release),
        ("one that may run", deployment("3", true, Some(NOTE)), vec![yes("3")], Change::Release),
        ("one that may not", deployment("3", true, Some(NOTE)), vec![no("3")], Change::None),
        // The same version in another template: it does not run yet.
        ("a sidecar", deployment("2-with-a-sidecar", false, None), vec![unknown("2")], Change::Hold(parsed(NOTE))),
        ("a sidecar, paused", deployment("2-with-a-sidecar", true, Some(NOTE)), vec![unknown("2")], Change::None),
        (
            "a sidecar, the broker is down",
            deployment("2-with-a-sidecar", false, None),
            vec![finding("2", Verdict::BrokerUnavailable, &[], true)],
            Change::Hold(parsed(NOTE)),
        ),
        (
            "a sidecar, and a yes",
            deployment("2-with-a-sidecar", false, None),
            vec![yes("2")],
            Change::Hold(parsed(NOTE)),
        ),
    ] {
        let review = review(held.clone(), new, "jane", "kubectl-client-side-apply");
        assert_eq!(before(&review), None, "{name}");
        assert!(judged_anew(&review).is_some_and(|it| it.old_waits), "{name}");
        assert_eq!(asked(&review, &Decision::over(findings), now()), change, "{name}");
    }
}

#[test]
fn only_a_person_who_means_it_ends_a_pause() {
    let (jane, robot) = ("jane", "system:serviceaccount:flux-system:kustomize-controller");
    let (kept, dropped, resumed, taken) = ((true, Some(NOTE)), (false, None), (false, Some(NOTE)), (true, None));
    let restored = Change::Hold(parsed(NOTE));
    for (user, manager, (paused, note), change, resumption) in [
        (jane, "kubectl-rollout", resumed, Change::None, Some(Resumption::ByHand)),
        (jane, "kubectl-patch", resumed, Change::None, Some(Resumption::ByHand)),
        (jane, "kubectl-edit", resumed, Change::None, Some(Resumption::ByHand)),
        (jane, "", resumed, Change::None, Some(Resumption::ByHand)),
        (jane, "kubectl-client-side-apply", resumed, restored.clone(), Some(Resumption::ByManifest)),
        (jane, "kubectl", resumed, restored.clone(), Some(Resumption::ByManifest)),
        (jane, "helm", resumed, restored.clone(), Some(Resumption::ByManifest)),
        (jane, "kubectl-replace", dropped, restored.clone(), Some(Resumption::ByManifest)),
        (jane, "kubectl-edit", dropped, restored.clone(), Some(Resumption::ByManifest)),
        (robot, "kubectl-rollout", resumed, restored.clone(), Some(Resumption::ByManifest)),
        (robot, "", resumed, restored.clone(), Some(Resumption::ByManifest)),
        (robot, "kustomize-controller", dropped, restored.clone(), Some(Resumption::ByManifest)),
        (jane, "kubectl-annotate", taken, restored.clone(), None),
        (jane, "kubectl-edit", taken, restored.clone(), None),
        (robot, "argocd-controller", taken, restored, None),
        (robot, "kustomize-controller", kept, Change::None, None),
    ] {
        let old = Some(deployment("2", true, Some(NOTE)));
        let review = review(old, deployment("2", paused, note), user, manager);
        assert_eq!(before(&review), Some(change), "{user} {manager} {paused} {note:?}");
        assert_eq!(resumes(&review), resumption, "{user} {manager} {paused} {note:?}");
    }
}

#[test]
fn the_validating_webhook_admits_what_is_held_for_that_version_and_a_resumption_that_is_no_no() {
    let held = || Some(deployment("2", true, Some(NOTE)));
    let (by_hand, by_manifest) = ("kubectl-rollout", "kubectl-client-side-apply");
    for (name, old, new, manager, findings, spared) in [
        ("held", Some(runs("1")), deployment("2", true, Some(NOTE)), "", vec![unknown("2")], Some(Spared::Held)),
        (
            "for another version",
            Some(runs("1")),
            deployment("2", true, Some("3 2026-05-01T10:00:00Z")),
            "",
            vec![unknown("2")],
            None,
        ),
        ("not paused", Some(runs("1")), deployment("2", false, Some(NOTE)), "", vec![unknown("2")], None),
        ("paused by its owner", Some(runs("1")), deployment("2", true, None), "", vec![unknown("2")], None),
        ("a no", Some(runs("1")), deployment("2", true, Some(NOTE)), "", vec![no("2")], None),
        ("a yes", Some(runs("1")), deployment("2", true, Some(NOTE)), "", vec![yes("2")], None),
        ("resumed", held(), deployment("2", false, Some(NOTE)), by_hand, vec![unknown("2")], Some(Spared::ByHand)),
        ("resumed after a no", held(), deployment("2", false, Some(NOTE)), by_hand, vec![no("2")], None),
        (
            "resumed after one of two noes",
            held(),
            deployment("2", false, Some(NOTE)),
            by_hand,
            vec![unknown("2"), no("2")],
            None,
        ),
        ("applied", held(), deployment("2", false, Some(NOTE)), by_manifest, vec![unknown("2")], None),
        ("another version", held(), deployment("3", false, Some(NOTE)), by_hand, vec![unknown("3")], None),
    ] {
        let review = review(old, new, "jane", manager);
        let decision = Decision::over(findings);
        assert_eq!(admits(&review, &decision), spared, "{name}");
        if let Some(why) = spared {
            let spared = decision.sparing(why);
            assert_eq!(spared.outcome, Outcome::Warned, "{name}");
            assert!(spared.findings.iter().all(|it| it.action < GateAction::Deny), "{name}");
        }
    }
}

/// The mutating webhook was down or not ready, or the pause would be there.
#[test]
fn a_manifest_ends_a_pause_only_with_a_yes() {
    let unavailable = || finding("2", Verdict::BrokerUnavailable, &[], true);
    let early = || {
        let rules = GateRules::parse(&GatePolicy { mode: GateMode::Enforce, ..GatePolicy::default() });
        Finding::new(unknown("2").subject, unknown("2").cause, &rules, false)
    };
    let warns = || Finding { mode: GateMode::Warn, action: GateAction::Warn, ..unknown("2") };
    let held = || Some(deployment("2", true, Some(NOTE)));
    for (name, new, findings, outcome) in [
        ("yes", deployment("2", false, Some(NOTE)), vec![yes("2")], Outcome::Allowed),
        ("nobody is asked", deployment("2", false, Some(NOTE)), vec![], Outcome::Allowed),
        ("no answer", deployment("2", false, Some(NOTE)), vec![unavailable()], Outcome::Denied),
        ("what runs is not listed", deployment("2", false, Some(NOTE)), vec![yes("2"), early()], Outcome::Denied),
        ("it no longer enforces", deployment("2", false, Some(NOTE)), vec![warns()], Outcome::Warned),
        ("without the annotation", deployment("2", false, None), vec![unavailable()], Outcome::Denied),
        ("another version", deployment("3", false, Some(NOTE)), vec![unavailable()], Outcome::Warned),
        ("it stays", deployment("2", true, Some(NOTE)), vec![unavailable()], Outcome::Warned),
    ] {
        let robot = "system:serviceaccount:flux-system:kustomize-controller";
        let review = review(held(), new, robot, "kustomize-controller");
        let decision = as_held(&review, Decision::over(findings));
        assert_eq!(decision.outcome, outcome, "{name}");
        assert_eq!(decision.decisive().is_empty(), outcome == Outcome::Allowed, "{name}");
    }
    let by_hand = review(held(), deployment("2", false, Some(NOTE)), "jane", "kubectl-rollout");
    assert_eq!(as_held(&by_hand, Decision::over(vec![unavailable()])).outcome, Outcome::Warned);
    assert_eq!(let_go_by_manifest(&by_hand), None);
}

#[test]
fn what_was_reported_is_not_reported_of_a_new_beginning() {
    let told = Held { told: Some(Told::Overdue), ..parsed(NOTE) }.to_string();
    let old = Some(deployment("2", true, Some(&told)));
    let review = review(old, deployment("2-again", true, Some(&told)), "jane", "kubectl-set");
    assert_eq!(asked(&review, &Decision::over(vec![unknown("2")]), now()), Change::Hold(parsed(NOTE)));
}

#[test]
fn who_holds_is_noted_and_stays_so() {
    let by = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let at = |object: &str, tag: &str| {
        let mut finding = unknown(tag);
        finding.subject.object = object.into();
        finding
    };
    let without = "2 2026-05-01T10:00:00Z";
    for (name, old, findings, expected) in [
        ("two", runs("1"), vec![at("b", "2"), at("a", "2")], Held { by: by(&["a", "b"]), ..begun("2") }),
        ("not who says yes", runs("1"), vec![at("a", "2"), yes("2")], Held { by: by(&["a"]), ..begun("2") }),
        (
            "one more",
            paused_at("2-old", NOTE),
            vec![at("a", "2")],
            Held { by: by(&["a", "production"]), ..parsed(NOTE) },
        ),
        (
            "of which nobody was noted",
            paused_at("2-old", without),
            vec![at("a", "2")],
            Held { by: by(&["a"]), ..parsed(NOTE) },
        ),
        ("another version", paused_at("3", NOTE_OF_3), vec![at("a", "2")], Held { by: by(&["a"]), ..begun("2") }),
    ] {
        let review = review(Some(old), deployment("2", false, None), "jane", "helm");
        assert_eq!(asked(&review, &Decision::over(findings), now()), Change::Hold(expected), "{name}");
    }
}

#[test]
fn whoever_stops_being_managed_in_the_same_request_is_judged_by_what_it_was() {
    let old = || Some(deployment("2", true, Some(NOTE)));
    let unmanaged = |tag: &str, paused: bool| {
        let mut new = deployment(tag, paused, None);
        new.annotations.pacticipant = None;
        new
    };
    for (tag, paused) in [("2", false), ("3", false), ("2", true)] {
        let review = review(old(), unmanaged(tag, paused), "jane", "kubectl-edit");
        let judged = judged_anew(&review).unwrap();
        assert!(judged.old_waits && judged.old.is_some_and(|old| old.annotated()), "{tag} {paused}");
    }
    let other = review(old(), deployment("2", true, Some(NOTE)), "jane", "kubectl-annotate");
    assert_eq!(judged_anew(&other), None, "nothing of the hold changes");
    let unheld = review(Some(deployment("2", true, None)), deployment("2", false, None), "jane", "kubectl-rollout");
    assert_eq!((judged_anew(&unheld), resumes(&unheld)), (None, None), "the pause was its owner's");
}
