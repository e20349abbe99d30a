//! The decision about a key whose versions are released.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    tests::{World, failure, recorded_before, row, runs, why},
    *,
};
use crate::{
    api::{PactDeploymentStatus, deployment::Recorded},
    decide::{
        Reason,
        record::{
            MemberFate, MemberView,
            fixtures::{at, member, progressing, rules, version},
        },
    },
};

/// The case with releases: those that the status lists as ours, and those that the broker supports.
fn releases(world: World, supported: &[&str], at_broker: &[&str]) -> World {
    let recorded =
        |text: &&str| Recorded { version: (*text).into(), uuid: None, at: Time(at(1)), found: false, would_deny: None };
    let status = PactDeploymentStatus {
        supported: supported.iter().map(recorded).collect(),
        recorded: None,
        ..world.status.unwrap_or_else(|| recorded_before("1"))
    };
    let snapshot = Snapshot::Read {
        row: None,
        releases: at_broker.iter().map(|text| row(text)).collect(),
        suspicion: Suspicion::None,
    };
    let rules = EnvironmentRules { kind: RecordKind::Release, ..rules("production", &["shop"]) };
    World { rules: Ok(rules), status: Some(status), snapshot, ..world }
}

#[test]
fn releases_are_recorded_for_running_versions_and_ended_for_ours_that_no_longer_run() {
    let live_with = |members: Vec<MemberView>, texts: &[&str]| {
        Some(Ok(Live { members, row: None, releases: texts.iter().map(|text| row(text)).collect() }))
    };
    let mut world = releases(World::new(), &["1"], &["1", "7"]);
    assert_eq!(world.due(), "read live");
    world.live = live_with(vec![runs("2")], &["1", "7"]);
    assert_eq!(world.due(), "release [2] end [1]", "7 is another client's");
    world.live = live_with(vec![runs("3")], &["1", "7"]);
    assert_eq!(world.due(), "moved");
    world.live = live_with(vec![runs("2")], &["2", "7"]);
    world.done = Some(Done::Released { versions: vec![version("2")] });
    assert_eq!(world.due(), "released [2]");
    let settled = releases(World::new(), &["2"], &["2"]);
    assert_eq!(settled.due(), "released [2]", "nothing is read live when nothing is due");
    let under_way =
        releases(World { members: vec![member("a", Ok("2"), progressing())], ..World::new() }, &["1"], &["1"]);
    assert_eq!(under_way.due(), "released [1] RolloutInProgress", "support ends only once the rollout has finished");
}

#[test]
fn releases_without_a_workload_end_after_the_grace() {
    let orphan = releases(World::orphan(), &["1"], &["1"]);
    assert_eq!(orphan.due_at(699), "orphaned since 100 until 700 again at 700");
    assert_eq!(orphan.due_at(700), "read live");
    let read = |members| Some(Ok(Live { members, row: None, releases: vec![row("1")] }));
    assert_eq!(World { live: read(vec![]), ..releases(World::orphan(), &["1"], &["1"]) }.due(), "release [] end [1]");
    assert_eq!(World { live: read(vec![runs("1")]), ..releases(World::orphan(), &["1"], &["1"]) }.due(), "moved");
    assert_eq!(releases(World::orphan(), &["1"], &[]).due(), "undeployed Undeployed");
    assert_eq!(releases(World { status: None, ..World::orphan() }, &[], &[]).due(), "undeployed NothingRecorded");
    let kept = World { fates: Some(Ok(vec![MemberFate::Unmanaged])), ..releases(World::orphan(), &["1"], &["1"]) };
    assert_eq!(kept.due(), "kept Unmanaged");
    let away = World {
        snapshot: Snapshot::Unavailable(why(Reason::BrokerUnavailable)),
        ..releases(World::new(), &["2"], &[])
    };
    assert_eq!(away.due(), "released [2]", "the last released versions count as supported");
    let refused = World { done: Some(Done::Refused(failure(Reason::RateLimited))), ..releases(World::new(), &[], &[]) };
    assert_eq!(refused.due(), "retry 2 RateLimited after 7");
}

#[test]
fn case_104_only_what_the_operator_released_is_its_own() {
    let live = || Some(Ok(Live { members: vec![runs("2")], row: None, releases: vec![row("2")] }));
    let found = |world: World| match assess(&world.facts(), at(10_000)) {
        Assessment::Done { state: RecordState::Released { supported, .. }, .. } => {
            supported.iter().map(|recorded| recorded.found).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let intending = |mut world: World, reason: Reason| {
        let status = world.status.as_mut().unwrap();
        status.intended = vec!["2".into()];
        status.desired_version = Some("2".into());
        status.conditions[0].type_ = "Ready".into();
        status.conditions[0].reason = reason.as_str().into();
        world
    };
    let released = || Some(Done::Released { versions: vec![version("2")] });
    let known = |mut world: World| {
        world.status.as_mut().unwrap().supported[0].found = true;
        world
    };
    for (case, world, expected) in [
        ("it was there when the environment was read", releases(World::new(), &[], &["2"]), true),
        ("it came after that, before the live read", World { live: live(), ..releases(World::new(), &[], &[]) }, true),
        ("this pass released it", World { live: live(), done: released(), ..releases(World::new(), &[], &[]) }, false),
        (
            "this pass released another one",
            World {
                live: live(),
                done: Some(Done::Released { versions: vec![version("1")] }),
                ..releases(World::new(), &[], &[])
            },
            true,
        ),
        ("an earlier pass may have", intending(releases(World::new(), &[], &["2"]), Reason::BrokerUnavailable), false),
        ("an earlier pass was refused", intending(releases(World::new(), &[], &["2"]), Reason::VersionMissing), true),
        ("it was found, and still is", known(releases(World::new(), &["2"], &["2"])), true),
        (
            "it was found, its support was ended, and this pass released it again",
            World { live: live(), done: released(), ..known(releases(World::new(), &["2"], &[])) },
            false,
        ),
    ] {
        assert_eq!(found(world), [expected], "{case}");
    }
}
