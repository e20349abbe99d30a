//! The decision about a key that no workload runs any more. Numbers of cases are those of docs/contributing/cases.md.

use super::{
    tests::{World, live, recorded_before, runs, why},
    *,
};
use crate::{
    api::PactDeploymentStatus,
    decide::{
        Reason,
        record::{MemberFate, fixtures::version},
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
