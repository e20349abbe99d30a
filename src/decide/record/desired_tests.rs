//! What the broker should report, for each state of the members of a key.

use proptest::prelude::*;

use super::*;
use crate::{
    decide::record::fixtures::{at, failed, member, mixed, progressing, terminating, version},
    workload::{RolloutState, VersionProblem},
};

fn mutable() -> VersionProblem {
    VersionProblem::Mutable { text: "latest".into() }
}

fn conflicted(mut member: MemberView) -> MemberView {
    member.hold = Some(Hold::Conflicted(vec!["one".into(), "two".into()]));
    member
}

/// The decision in short.
fn summary(desired: &Desired) -> String {
    match desired {
        Desired::NoWorkload => "no workload".into(),
        Desired::Held(why) => format!("held {}", why.reason),
        Desired::Mixed(why) => why.reason.to_string(),
        Desired::Unfinished { why, version, look_again } => {
            let look = look_again.map_or_else(String::new, |at| format!(" until {}", at.as_second()));
            format!("{version} {}{look}", why.reason)
        }
        Desired::Runs(version) => format!("runs {version}"),
    }
}

#[test]
fn cases_24_to_35_each_state_of_the_members_has_one_result() {
    use RolloutState::{Complete, Deleting, Paused, ScaledToZero};
    let one = |rollout| vec![member("a", Ok("1"), rollout)];
    let two = |first: (&str, RolloutState), second: (&str, RolloutState)| {
        vec![member("a", Ok(first.0), first.1), member("b", Ok(second.0), second.1)]
    };
    for (case, members, expected) in [
        ("no member", vec![], "no workload"),
        ("24: finished", one(Complete), "runs 1"),
        ("24: not finished", one(progressing()), "1 RolloutInProgress"),
        ("24: old pods still answer", one(terminating(9)), "1 RolloutInProgress until 9"),
        ("25: deadline exceeded", one(failed()), "1 RolloutFailed"),
        ("26: paused", one(Paused), "1 RolloutPaused"),
        ("24: a partition keeps the old version live", one(mixed()), "1 Mixed"),
        ("24: a partition in a group", two(("1", Complete), ("1", mixed())), "1 Mixed"),
        ("31: scaled to zero", one(ScaledToZero), "runs 1"),
        ("48: being deleted", one(Deleting), "1 RolloutInProgress"),
        ("35: a group that runs one version", two(("1", Complete), ("1", ScaledToZero)), "runs 1"),
        ("35: a group that differs", two(("1", Complete), ("2", Complete)), "Mixed"),
        ("35: a group on the way", two(("1", Complete), ("2", progressing())), "Mixed"),
        ("35: a group not all finished", two(("1", Complete), ("1", progressing())), "1 RolloutInProgress"),
        ("35: a group of which one failed", two(("1", failed()), ("1", Complete)), "1 RolloutFailed"),
        ("35: the first unfinished by name", two(("1", Paused), ("1", terminating(9))), "1 RolloutPaused"),
        ("one leaves, another stays", two(("1", Deleting), ("2", Complete)), "runs 2"),
        ("one leaves, another rolls out", two(("1", Deleting), ("2", progressing())), "2 RolloutInProgress"),
        ("all leave", two(("1", Deleting), ("1", Deleting)), "1 RolloutInProgress"),
        ("all leave with different versions", two(("1", Deleting), ("2", Deleting)), "Mixed"),
        ("12: no version", vec![member("a", Err(mutable()), Complete)], "held VersionMutable"),
        (
            "one without a version outranks different ones",
            vec![member("a", Ok("1"), Complete), member("b", Ok("2"), Complete), member("c", Err(mutable()), Complete)],
            "held VersionMutable",
        ),
        (
            "one without a version that leaves does not count",
            vec![member("a", Err(mutable()), Deleting), member("b", Ok("2"), Complete)],
            "runs 2",
        ),
        ("41: in conflict", vec![conflicted(member("a", Ok("1"), Complete))], "held Conflicted"),
        (
            "41: a conflict outranks what else is wrong",
            vec![member("a", Err(mutable()), Complete), conflicted(member("b", Ok("1"), Complete))],
            "held Conflicted",
        ),
    ] {
        assert_eq!(summary(&desired(&members, None)), expected, "{case}");
    }
}

/// Without pods, whatever its rollout.
fn asleep(mut member: MemberView) -> MemberView {
    member.without_pods = true;
    member
}

#[test]
fn cases_92_and_102_who_has_no_pods_has_no_vote_while_another_has_some() {
    use RolloutState::{Complete, Paused, ScaledToZero};
    let blue = || member("blue", Ok("1"), Complete);
    for (case, member, expected) in [
        ("another version at zero", member("green", Ok("2"), ScaledToZero), "runs 1"),
        ("no version at zero", member("green", Err(mutable()), ScaledToZero), "runs 1"),
        ("paused at zero", asleep(member("green", Ok("2"), Paused)), "runs 1"),
        ("no pod could be created", asleep(member("green", Ok("2"), progressing())), "runs 1"),
        ("failed without a pod", asleep(member("green", Ok("2"), failed())), "runs 1"),
        ("crashed and gone", asleep(member("green", Ok("2"), Complete)), "runs 1"),
        ("in conflict at zero", conflicted(member("green", Ok("2"), ScaledToZero)), "runs 1"),
        ("the last pods still end", asleep(member("green", Ok("2"), terminating(9))), "Mixed"),
        ("a pod that is not ready", member("green", Ok("2"), progressing()), "Mixed"),
        ("in conflict, with pods", conflicted(member("green", Ok("1"), Complete)), "held Conflicted"),
    ] {
        for members in [[blue(), member.clone()], [member.clone(), blue()]] {
            assert_eq!(summary(&desired(&members, None)), expected, "{case}");
            assert_eq!(summary(&desired(&members, Some(&version("2")))), expected, "{case}, whatever is recorded");
        }
    }
}

#[test]
fn case_102_where_nobody_has_pods_the_record_stays_as_long_as_a_member_has_it() {
    use RolloutState::ScaledToZero;
    let ours = || member("ours", Ok("1"), ScaledToZero);
    for (case, members, recorded, expected) in [
        ("another version", vec![ours(), member("stranger", Ok("2"), ScaledToZero)], Some("1"), "runs 1"),
        ("no version", vec![ours(), member("stranger", Err(mutable()), ScaledToZero)], Some("1"), "runs 1"),
        ("no pods yet", vec![ours(), asleep(member("stranger", Ok("2"), progressing()))], Some("1"), "runs 1"),
        ("nothing recorded", vec![ours(), member("stranger", Ok("2"), ScaledToZero)], None, "Mixed"),
        ("none has it any more", vec![ours(), member("stranger", Ok("2"), ScaledToZero)], Some("0"), "Mixed"),
        ("31: all agree on the next", vec![ours(), member("other", Ok("1"), ScaledToZero)], Some("0"), "runs 1"),
        ("31: a new template at zero", vec![ours()], Some("0"), "runs 1"),
        (
            "12: alone, without a version",
            vec![member("ours", Err(mutable()), ScaledToZero)],
            Some("1"),
            "held VersionMutable",
        ),
    ] {
        let recorded = recorded.map(version);
        assert_eq!(summary(&desired(&members, recorded.as_ref())), expected, "{case}");
    }
}

#[test]
fn a_member_whose_last_pods_ended_is_at_zero() {
    let member = asleep(member("green", Ok("2"), terminating(9)));
    assert!(member.has_pods() && member.clone().at(at(8)).has_pods());
    assert_eq!(member.clone().at(at(9)).rollout, RolloutState::ScaledToZero);
    let shown = member.clone().shown();
    assert!(!shown.without_pods && member.at(at(9)).shown().without_pods);
}

#[test]
fn every_reason_names_the_workload_and_what_to_do() {
    let message = |members: &[MemberView]| match desired(members, None) {
        Desired::Held(why) | Desired::Mixed(why) | Desired::Unfinished { why, .. } => why.message,
        other => panic!("{other:?}"),
    };
    let version = message(&[member("a", Err(mutable()), RolloutState::Complete)]);
    assert!(version.starts_with("Deployment shop/a: \"latest\" is never a version"), "{version}");
    let conflict = message(&[conflicted(member("a", Ok("1"), RolloutState::Complete))]);
    assert!(conflict.contains("namespace shop is claimed by one, two") && conflict.contains("overlap: Allow"));
    for rollout in [progressing(), terminating(9), failed(), mixed(), RolloutState::Paused, RolloutState::Deleting] {
        let message = message(&[member("a", Ok("1"), rollout)]);
        assert!(message.starts_with("Deployment shop/a"), "{message}");
    }
}

#[test]
fn case_35_a_long_list_of_different_versions_is_cut_short() {
    let many = |count: usize| -> Vec<_> {
        let numbers = 0..count;
        numbers.map(|n| member(&format!("w{n}"), Ok(&n.to_string()), RolloutState::Complete)).collect()
    };
    let Desired::Mixed(why) = desired(&many(4), None) else { panic!("they differ") };
    assert!(why.message.contains("Deployment shop/w3 has 3;") && !why.message.contains("more"), "{}", why.message);
    let Desired::Mixed(why) = desired(&many(5), None) else { panic!("they differ") };
    assert!(why.message.contains("w3 has 3, 1 more; one version"), "{}", why.message);
    let Desired::Mixed(why) = desired(&many(6), None) else { panic!("they differ") };
    assert!(why.message.contains("w3 has 3, 2 more; one version"), "{}", why.message);
    assert!(why.message.contains("pact-operator.dev/application-instance"), "the remedy: {}", why.message);
}

#[test]
fn releases_are_independent_of_each_other_and_others_end_only_when_all_is_known() {
    use RolloutState::{Complete, Deleting, ScaledToZero};
    let supported = |members: &[MemberView]| {
        let releases = desired_releases(members);
        let versions: Vec<_> = releases.supported.iter().map(ToString::to_string).collect();
        (versions, releases.others_end)
    };
    let (a, b) = (member("a", Ok("1"), Complete), member("b", Ok("2"), ScaledToZero));
    assert_eq!(supported(&[a.clone(), b]), (vec!["1".into(), "2".into()], true));
    for open in [
        member("c", Ok("2"), progressing()),
        member("c", Ok("2"), Deleting),
        member("c", Ok("2"), terminating(9)),
        member("c", Err(mutable()), Complete),
    ] {
        assert_eq!(supported(&[a.clone(), open.clone()]), (vec!["1".into()], false), "{open:?}");
    }
    let asleep = [member("c", Err(mutable()), ScaledToZero), asleep(member("c", Ok("2"), progressing()))];
    for without_pods in asleep {
        assert_eq!(supported(&[a.clone(), without_pods]), (vec!["1".into()], true), "it keeps nothing in support");
    }
    assert_eq!(supported(&[]), (vec![], true));
}

#[test]
fn a_waiting_release_is_explained_by_its_first_member_by_name() {
    let done = member("a", Ok("1"), RolloutState::Complete);
    assert_eq!(standing(std::slice::from_ref(&done)), (None, None));
    let (why, look) =
        standing(&[done.clone(), member("b", Ok("2"), terminating(9)), member("c", Err(mutable()), failed())]);
    assert_eq!((why.unwrap().reason, look), (Reason::RolloutInProgress, Some(at(9))));
    let (why, look) = standing(&[done, member("b", Err(mutable()), RolloutState::Complete)]);
    assert_eq!((why.unwrap().reason, look), (Reason::VersionMutable, None));
}

fn members() -> impl Strategy<Value = Vec<MemberView>> {
    let version_of = prop::sample::select(vec![Ok("1"), Ok("1"), Ok("1"), Ok("2"), Err(mutable())]);
    let rollout = prop::sample::select(vec![
        RolloutState::Complete,
        RolloutState::Complete,
        RolloutState::ScaledToZero,
        RolloutState::Deleting,
        RolloutState::Paused,
        progressing(),
        terminating(9),
        failed(),
    ]);
    let asleep = prop::bool::weighted(0.2);
    prop::collection::vec((version_of, rollout, prop::bool::weighted(0.1), asleep), 0..4).prop_map(|parts| {
        let numbered = parts.into_iter().enumerate();
        let made = numbered.map(|(n, (version_of, rollout, conflict, asleep))| {
            let mut member = member(&format!("w{n}"), version_of, rollout);
            member.without_pods |= asleep;
            if conflict { conflicted(member) } else { member }
        });
        made.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn runs_means_that_every_member_that_stays_and_has_a_vote_is_finished_with_that_version(members in members()) {
        let stays = |member: &&MemberView| member.rollout != RolloutState::Deleting;
        let has_pods = |member: &&MemberView| !member.without_pods || matches!(member.rollout, RolloutState::Terminating { .. });
        let mut staying: Vec<_> = members.iter().filter(stays).collect();
        // Case 92: a member without pods does not count while another has some.
        if staying.iter().any(has_pods) {
            staying.retain(has_pods);
        }
        let all_run = |wanted: &str| !staying.is_empty()
            && members.iter().all(|member| member.hold.is_none() || (!has_pods(&member) && members.iter().any(|it| has_pods(&it))))
            && staying.iter().all(|it| it.rollout.finished() && it.version == Ok(version(wanted)));
        let expected = ["1", "2"].into_iter().find(|wanted| all_run(wanted)).map(version);
        let decided = match desired(&members, None) {
            Desired::Runs(version) => Some(version),
            _ => None,
        };
        prop_assert_eq!(decided, expected);
    }

    #[test]
    fn the_order_of_the_members_never_changes_what_is_recorded(members in members(), rotation in 0_usize..4) {
        let mut rotated = members.clone();
        rotated.rotate_left(rotation.min(members.len()));
        let kind = |members: &[MemberView]| match desired(members, None) {
            Desired::Runs(version) => format!("runs {version}"),
            Desired::Unfinished { version, .. } => format!("unfinished {version}"),
            other => summary(&other),
        };
        prop_assert_eq!(kind(&members), kind(&rotated));
    }

    #[test]
    fn support_of_others_never_ends_while_a_member_may_still_run_something_else(members in members()) {
        let releases = desired_releases(&members);
        let finished = |member: &MemberView| member.version.is_ok() && member.rollout.finished();
        let some_run = members.iter().any(MemberView::has_pods);
        let counts = |member: &&MemberView| !some_run || member.has_pods();
        prop_assert_eq!(releases.others_end, members.iter().filter(counts).all(finished));
        let running = members.iter().filter(|member| finished(member)).filter_map(|member| member.version.clone().ok());
        prop_assert_eq!(releases.supported, running.collect::<BTreeSet<_>>());
    }
}
