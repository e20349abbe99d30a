//! The decision about a key that no workload runs any more. Numbers of cases are those of docs/contributing/cases.md.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{
    tests::{World, live, recorded_before, runs, why},
    *,
};
use crate::{
    api::PactDeploymentStatus,
    decide::{
        Reason,
        record::{
            MemberFate, Vanished,
            fixtures::{at, version},
        },
    },
};

#[test]
fn cases_48_to_50_an_orphan_is_taken_back_after_the_grace_and_a_live_read() {
    let mut world = World { fates: None, ..World::orphan() };
    assert_eq!(world.due(), "find fates");
    world.fates = Some(Err(why(Reason::ApiServerUnavailable)));
    assert_eq!(world.due(), "retry ApiServerUnavailable");
    world.fates = Some(Ok(vec![MemberFate::Gone]));
    assert_eq!(world.due_at(699), "orphaned since 100 until 700 again at 700");
    assert_eq!(world.due_at(700), "read live");
    world.live = Some(Ok(live(vec![], Some("1"))));
    assert_eq!(world.due_at(700), "undeploy uuid-1");
    world.done = Some(Done::Undeployed { version: version("1") });
    assert_eq!(world.due_at(700), "moved", "it is still there");
    world.live = Some(Ok(live(vec![], None)));
    assert_eq!(world.due_at(700), "undeployed Undeployed");
    let fresh = World { status: Some(recorded_before("1")), ..World::orphan() };
    assert_eq!(fresh.due_at(10_000), "orphaned since 10000 until 10600 again at 10600", "the grace begins now");
}

#[test]
fn a_record_that_is_not_certainly_ours_and_gone_is_not_taken_back() {
    let row_of = |text| Some(Ok(live(vec![], text)));
    for (case, world, expected) in [
        (
            "39, the annotation is gone",
            World { fates: Some(Ok(vec![MemberFate::Unmanaged])), ..World::orphan() },
            "kept Unmanaged",
        ),
        (
            "a member cannot be judged",
            World { fates: Some(Ok(vec![MemberFate::Gone, MemberFate::Unknown])), ..World::orphan() },
            "held MembersUncertain",
        ),
        (
            "an environment cannot be read, which may claim it",
            World { unreadable: Some(why(Reason::InvalidEnvironment)), ..World::orphan() },
            "held InvalidEnvironment",
        ),
        (
            "the row is another client's",
            World { live: row_of(Some("9")), ..World::orphan() },
            "undeployed RecordedByOthers",
        ),
        ("there is no row", World { live: row_of(None), ..World::orphan() }, "undeployed NothingRecorded"),
        (
            "a workload returned meanwhile",
            World { live: Some(Ok(live(vec![runs("1")], Some("1")))), ..World::orphan() },
            "moved",
        ),
        (
            "the broker fails its probe",
            World { broker: Some(why(Reason::BrokerUnavailable)), ..World::orphan() },
            "retry BrokerUnavailable",
        ),
        ("nothing was read", World { snapshot: Snapshot::NotRead, ..World::orphan() }, "not read"),
        ("the lease is lost", World { done: Some(Done::LeaseLost), ..World::orphan() }, "moved"),
        ("53, there is no status", World { status: None, ..World::orphan() }, "unchanged"),
        (
            "nothing was recorded",
            World { status: Some(PactDeploymentStatus { recorded: None, ..recorded_before("1") }), ..World::orphan() },
            "undeployed NothingRecorded",
        ),
    ] {
        assert_eq!(world.due(), expected, "{case}");
    }
}

#[test]
fn case_98_the_record_stays_until_the_workload_is_recorded_where_it_is_now() {
    let moved = World { fates: Some(Ok(vec![MemberFate::Gone, MemberFate::Moved])), ..World::orphan() };
    assert_eq!(moved.due_at(699), "orphaned since 100 until 700 again at 700");
    assert_eq!(moved.due_at(700), "RecordedElsewhereFirst since 100 again at 710");
    let uncertain = World { fates: Some(Ok(vec![MemberFate::Moved, MemberFate::Unknown])), ..World::orphan() };
    assert_eq!(uncertain.due(), "held MembersUncertain");
}

#[test]
fn case_99_the_record_stays_while_pods_are_left() {
    let serving = World { fates: Some(Ok(vec![MemberFate::Serving])), ..World::orphan() };
    assert_eq!(serving.due_at(699), "orphaned since 100 until 700 again at 700");
    assert_eq!(serving.due_at(700), "PodsLeft since 100 again at 710");
}

#[test]
fn case_101_many_that_vanish_at_once_stay_until_somebody_confirms() {
    let many = |confirmed: Option<i64>| World {
        vanished: Vanished {
            orphaned: (0..20).map(|number| (format!("app-{number}"), at(100))).collect(),
            unnoted: 0,
            recorded: 40,
            confirmed: confirmed.map(at),
        },
        ..World::orphan()
    };
    assert_eq!(many(None).due_at(699), "orphaned since 100 until 700 again at 700");
    assert_eq!(many(None).due_at(700), "UndeploysHeld since 100");
    assert_eq!(many(Some(99)).due_at(700), "UndeploysHeld since 100", "what was confirmed is something else");
    assert_eq!(many(Some(100)).due_at(700), "read live");
}

#[test]
fn case_105_a_row_that_was_there_before_us_is_taken_back_only_where_that_is_asked_for() {
    let mut found = recorded_before("1");
    found.orphaned_since = Some(Time(at(100)));
    if let Some(recorded) = &mut found.recorded {
        recorded.found = true;
    }
    let mut world = World { status: Some(found), live: Some(Ok(live(vec![], Some("1")))), ..World::orphan() };
    assert_eq!(world.due(), "undeployed RecordedByOthers");
    let mut ours = World { live: Some(Ok(live(vec![], Some("1")))), ..World::orphan() };
    if let Some(recorded) = ours.status.as_mut().and_then(|status| status.recorded.as_mut()) {
        recorded.uuid = Some("an earlier row".into());
    }
    assert_eq!(ours.due(), "undeployed RecordedByOthers", "somebody else wrote the same version again");
    world.removal(|removal| removal.adopts = true);
    assert_eq!(world.due(), "undeploy uuid-1");
    let mut drained = World::orphan();
    drained.removal(|removal| removal.undeploys = false);
    assert_eq!(drained.due(), "kept Unmanaged", "record.undeploy is Never");
}

/// Found by the simulation: the broker had recorded it, the answer was lost, and then the workload went.
#[test]
fn a_row_whose_answer_was_lost_is_taken_back_like_any_other_of_ours() {
    let intended = |recorded: Option<&str>| PactDeploymentStatus {
        intended: vec!["2".into()],
        orphaned_since: Some(Time(at(100))),
        ..recorded.map_or_else(PactDeploymentStatus::default, recorded_before)
    };
    for recorded in [None, Some("1")] {
        let mut world = World { status: Some(intended(recorded)), ..World::orphan() };
        assert_eq!(world.due_at(699), "orphaned since 100 until 700 again at 700");
        world.live = Some(Ok(live(vec![], Some("2"))));
        assert_eq!(world.due(), "undeploy uuid-2", "{recorded:?}");
        world.live = Some(Ok(live(vec![], Some("9"))));
        assert_eq!(world.due(), "undeployed RecordedByOthers", "{recorded:?}");
    }
}

#[test]
fn case_115_a_record_stays_where_more_members_vanished_than_the_status_shows() {
    let mut world = World::orphan();
    assert_eq!(world.due(), "read live", "each member is known to be gone");
    world.status.as_mut().unwrap().more_members = Some(7);
    assert_eq!(world.due(), "held MembersUncertain");
}
