//! What the broker refused holds until it is tried again, and no longer (case 112).

use super::{
    tests::{World, read, row, runs, why},
    *,
};
use crate::decide::{
    Reason,
    record::{
        MemberView, Refused,
        fixtures::{reference, version},
    },
};

fn refused(texts: &[&str], reason: Reason) -> Refused {
    Refused { versions: texts.iter().map(|text| version(text)).collect(), why: why(reason) }
}

#[test]
fn case_112_what_was_refused_is_not_tried_again_before_its_time() {
    let world = World { refused: Some(refused(&["2"], Reason::VersionMissing)), ..World::new() };
    assert_eq!(world.due(), "retry 2 VersionMissing");
    let away = Snapshot::Unavailable(why(Reason::BrokerUnavailable));
    let down = World { snapshot: away, broker: Some(why(Reason::BrokerUnavailable)), ..world };
    assert_eq!(down.due(), "retry 2 VersionMissing", "a broker that is away says nothing new about it");
}

#[test]
fn case_112_a_refusal_holds_for_its_version_only_and_ends_when_the_broker_has_it() {
    let other = World { refused: Some(refused(&["1"], Reason::Forbidden)), ..World::new() };
    assert_eq!(other.due(), "read live", "another version was refused");
    let there = World { refused: Some(refused(&["2"], Reason::Forbidden)), snapshot: read(Some("2")), ..World::new() };
    assert_eq!(there.due(), "recorded 2 uuid-2 None", "somebody else recorded it");
    let unread = World { snapshot: Snapshot::NotRead, ..there };
    assert_eq!(unread.due(), "not read");
    let gone = World { refused: Some(refused(&["1"], Reason::Forbidden)), ..World::orphan() };
    assert_eq!(gone.due(), "read live", "no workload runs it any more");
}

#[test]
fn case_112_a_refused_release_holds_up_no_other_set_of_versions() {
    let mut world = World { refused: Some(refused(&["2"], Reason::VersionMissing)), ..World::new() };
    world.rules.as_mut().unwrap().kind = RecordKind::Release;
    assert_eq!(world.due(), "retry 2 VersionMissing");
    world.members.push(MemberView { workload: reference("shop", "b"), ..runs("1") });
    assert_eq!(world.due(), "read live", "one more version runs");
    world.refused = Some(refused(&["1", "2"], Reason::VersionMissing));
    assert_eq!(world.due(), "retry 2 VersionMissing");
    world.snapshot = Snapshot::Read { row: None, releases: vec![row("1"), row("2")], suspicion: Suspicion::None };
    assert_eq!(world.due(), "released [2,1]");
}
