//! Who is a stranger to a record, and what is said about it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;

use super::*;
use crate::{
    api::deployment::Recorded,
    decide::record::fixtures::{at, key, member, progressing, reference},
    workload::{RolloutState, VersionProblem},
};

/// A member in a namespace, which is its name, too.
fn of(namespace: &str, version: &str, rollout: RolloutState) -> MemberView {
    MemberView { workload: reference(namespace, namespace), ..member(namespace, Ok(version), rollout) }
}

fn runs(namespace: &str, version: &str) -> MemberView {
    of(namespace, version, RolloutState::Complete)
}

/// Version 1 is recorded for these namespaces.
fn recorded(namespaces: &[&str]) -> PactDeploymentStatus {
    PactDeploymentStatus {
        recorded: Some(Recorded { version: "1".into(), uuid: None, at: Time(at(1)), found: false, would_deny: None }),
        recorded_for: namespaces.iter().map(|&namespace| namespace.to_owned()).collect(),
        ..PactDeploymentStatus::default()
    }
}

fn names(members: &[MemberView]) -> Vec<&str> {
    members.iter().map(|member| member.workload.name.as_str()).collect()
}

#[test]
fn cases_102_and_103_a_namespace_that_is_new_to_a_record_joins_only_with_the_recorded_version() {
    use RolloutState::ScaledToZero;
    let latest = || MemberView { version: Err(VersionProblem::NoContainers), ..runs("new", "9") };
    for (case, status, members, apart) in [
        ("nothing is known", None, vec![runs("new", "9")], vec![]),
        (
            "nothing is recorded",
            Some(PactDeploymentStatus::default()),
            vec![runs("ours", "1"), runs("new", "9")],
            vec![],
        ),
        ("an object of an earlier version", Some(recorded(&[])), vec![runs("ours", "1"), runs("new", "9")], vec![]),
        ("another version", Some(recorded(&["ours"])), vec![runs("ours", "1"), runs("new", "9")], vec!["new"]),
        ("our next version", Some(recorded(&["ours"])), vec![runs("ours", "2"), runs("new", "2")], vec!["new"]),
        ("no version", Some(recorded(&["ours"])), vec![runs("ours", "1"), latest()], vec!["new"]),
        ("no pods", Some(recorded(&["ours"])), vec![runs("ours", "1"), of("new", "9", ScaledToZero)], vec!["new"]),
        ("the recorded version", Some(recorded(&["ours"])), vec![runs("ours", "1"), runs("new", "1")], vec![]),
        (
            "the recorded version, not finished",
            Some(recorded(&["ours"])),
            vec![runs("ours", "1"), of("new", "1", progressing())],
            vec!["new"],
        ),
        (
            "the recorded version while ours leave it",
            Some(recorded(&["ours"])),
            vec![runs("ours", "2"), runs("new", "1")],
            vec![],
        ),
        ("one of several known ones", Some(recorded(&["a", "b"])), vec![runs("a", "1"), runs("b", "2")], vec![]),
        (
            "an owner",
            Some(recorded(&["ours"])),
            vec![runs("ours", "1"), MemberView { owner: true, ..runs("new", "9") }],
            vec![],
        ),
        ("ours are gone", Some(recorded(&["ours"])), vec![runs("new", "9")], vec!["new"]),
        (
            "ours are gone, and one still rolls the recorded version out",
            Some(recorded(&["ours"])),
            vec![of("new", "1", progressing()), of("newer", "9", progressing())],
            vec!["newer"],
        ),
        (
            "two at once, before ours by name",
            Some(recorded(&["x"])),
            vec![runs("a", "9"), runs("b", "8"), runs("x", "1")],
            vec!["a", "b"],
        ),
    ] {
        let all = with_strangers(members.clone(), status.as_ref());
        assert_eq!(names(strangers(&all)), apart, "{case}");
        assert_eq!(all.len(), members.len(), "{case}");
        assert!(counted(&all).iter().all(|member| members.contains(member)), "{case}: they stay as they are");
        for stranger in strangers(&all) {
            let shown = stranger.shown();
            assert_eq!(shown.problem.as_deref(), Some("Stranger"), "{case}");
            assert_eq!(shown.version, stranger.version.as_ref().ok().map(ToString::to_string), "{case}: it runs");
        }
    }
}

#[test]
fn the_namespaces_of_a_record_are_remembered_up_to_a_bound() {
    let before = ["gone".to_owned(), "ours".to_owned()];
    let members = [runs("ours", "1"), runs("new", "1"), runs("new", "1")];
    assert_eq!(recorded_for(&before, &members), ["gone", "new", "ours"]);
    assert_eq!(recorded_for(&[], &members), ["new", "ours"]);
    let unfinished = [of("new", "1", progressing()), of("ours", "1", progressing())];
    assert_eq!(recorded_for(&before, &unfinished), ["gone", "ours"], "it joins when it has finished");
    let many = |count: usize| (0..count).map(|number| runs(&format!("n{number:03}"), "1")).collect::<Vec<_>>();
    assert_eq!(recorded_for(&before, &many(RECORDED_FOR_LIMIT - 2)).len(), RECORDED_FOR_LIMIT);
    let full = recorded_for(&before, &many(RECORDED_FOR_LIMIT));
    assert!(full.len() == RECORDED_FOR_LIMIT && !full.contains(&"gone".to_owned()), "who is gone is forgotten first");
    assert_eq!(recorded_for(&before, &many(RECORDED_FOR_LIMIT + 1)), [""; 0], "then nobody is a stranger");
}

#[test]
fn what_is_said_names_who_it_is_for_whom_it_is_recorded_and_what_to_do() {
    let said = |members: Vec<MemberView>, namespaces: &[&str]| {
        sentence(strangers(&with_strangers(members, Some(&recorded(namespaces)))))
    };
    assert_eq!(
        said(vec![runs("ours", "1"), runs("new", "9")], &["ours"]).unwrap(),
        "Deployment new/new (9) does not count: 1 is recorded for ours. It joins once it has rolled out 1, or once \
         spec.owners names new"
    );
    let no_version = MemberView { version: Err(VersionProblem::NoContainers), ..runs("b", "9") };
    let five = vec![runs("a", "9"), no_version, runs("c", "7"), runs("d", "6"), runs("e", "5")];
    assert_eq!(
        said(five, &["q", "r", "s", "t"]).unwrap(),
        "Deployment a/a (9), Deployment b/b (without a version), Deployment c/c (7) and 2 more do not count: 1 is recorded \
         for q, r, s and 1 more. Each joins once it has rolled out 1, or once spec.owners names its namespace"
    );
    assert_eq!(said(vec![runs("ours", "1")], &["ours"]), None);
    let joining = of("new", "1", progressing());
    assert_eq!(said(vec![runs("ours", "1"), joining], &["ours"]), None, "it will join");
}

fn object(status: PactDeploymentStatus) -> PactDeployment {
    let mut object = PactDeployment::new("name", key("production", "orders").spec());
    object.status = Some(status);
    object
}

fn shown(status: &PactDeploymentStatus) -> Vec<(&str, Option<&str>)> {
    status.members.iter().map(|member| (member.name.as_str(), member.problem.as_deref())).collect()
}

#[test]
fn a_stranger_is_shown_beside_the_members_and_named_in_a_condition() {
    let members = |members| with_strangers(members, Some(&recorded(&["ours"])));
    let before = object(recorded(&["ours"]));
    let both = members(vec![runs("new", "9"), runs("ours", "1")]);
    let mut status = show_members(Some(&before), counted(&both));
    add_strangers(&mut status, Some(&before), &both, at(5));
    assert_eq!(shown(&status), [("ours", None), ("new", Some("Stranger"))]);
    let condition = &status.conditions[0];
    assert_eq!(
        (condition.type_.as_str(), condition.status.as_str(), condition.reason.as_str()),
        ("Stranger", "True", "Stranger")
    );
    assert_eq!(condition.last_transition_time.0, at(5));
    assert_eq!(show_all_members(Some(&before), &both).members, status.members);
    assert_eq!(names_of(counted_before(&status, &[])), ["ours"]);

    // Its next version, whose rollout is not finished: the one before counts as running, too, and the time stays.
    let before = object(status);
    let next = members(vec![of("new", "10", progressing()), runs("ours", "1")]);
    let mut status = show_members(Some(&before), counted(&next));
    add_strangers(&mut status, Some(&before), &next, at(9));
    assert_eq!(status.members[1].earlier_versions, ["9"]);
    assert_eq!(status.conditions.last().unwrap().last_transition_time.0, at(5));

    // Ours are gone: they stay in the status until that is certain.
    let alone = show_all_members(Some(&object(status.clone())), &members(vec![runs("new", "9")]));
    assert_eq!(shown(&alone), [("ours", None), ("new", Some("Stranger"))]);
    let nobody = show_all_members(Some(&object(status)), &[]);
    assert_eq!(shown(&nobody), [("ours", None)]);
}

fn names_of<'a>(members: impl Iterator<Item = &'a Member>) -> Vec<&'a str> {
    members.map(|member| member.name.as_str()).collect()
}

proptest! {
    #[test]
    fn nobody_is_lost_and_nobody_of_the_record_is_a_stranger(
        drawn in prop::collection::vec((0..4_u8, 0..3_u8, any::<bool>(), any::<bool>()), 0..8),
        known in prop::sample::subsequence(vec!["n0", "n1", "n2", "n3"], 0..=4),
    ) {
        let members: Vec<_> = drawn.iter().map(|(namespace, version, finished, owner)| {
            let rollout = if *finished { RolloutState::Complete } else { progressing() };
            MemberView { owner: *owner, ..of(&format!("n{namespace}"), &version.to_string(), rollout) }
        }).collect();
        let status = recorded(&known);
        let all = with_strangers(members.clone(), Some(&status));
        prop_assert_eq!(all.len(), members.len());
        prop_assert_eq!([counted(&all), strangers(&all)].concat(), all.clone());
        prop_assert!(counted(&all).iter().all(|member| member.stranger.is_none()));
        for stranger in strangers(&all) {
            prop_assert!(stranger.stranger.is_some() && !stranger.owner);
            prop_assert!(!known.is_empty() && !known.contains(&stranger.workload.namespace.as_str()));
        }
        // Who is found to count once still counts when that was remembered, unless it was for want of another one.
        let remembered = PactDeploymentStatus { recorded_for: recorded_for(&status.recorded_for, counted(&all)), ..status };
        if !remembered.recorded_for.is_empty() && !known.is_empty() {
            let again = with_strangers(members, Some(&remembered));
            prop_assert!(counted(&again).len() >= counted(&all).len());
        }
    }
}
