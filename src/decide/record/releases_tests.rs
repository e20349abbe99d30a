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
            fixtures::{at, member, progressing, rules},
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
    world.done = Some(Done::Released);
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
