//! The decision row by row: the facts about a record, and the next step. Numbers of cases are those of
//! docs/contributing/cases.md. The siblings `removal_tests` and `releases_tests` use the facts of this file.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use proptest::prelude::*;

use super::*;
use crate::{
    api::{PactDeploymentStatus, deployment::Recorded},
    decide::{
        Reason,
        record::{
            Hold, MemberFate, MemberView, Refused, Vanished,
            fixtures::{at, failed as rollout_failed, key, member, progressing, rules, terminating, version},
        },
    },
    workload::{RecordKey, RemovalRules, RolloutState, VersionProblem},
};

/// The facts in short. The default is one workload that has finished version 2, without a status, and a broker that
/// answers and has no record.
pub(super) struct World {
    pub(super) key: RecordKey,
    pub(super) rules: Result<EnvironmentRules, Explanation>,
    pub(super) unreadable: Option<Explanation>,
    pub(super) members: Vec<MemberView>,
    pub(super) status: Option<PactDeploymentStatus>,
    pub(super) snapshot: Snapshot,
    pub(super) broker: Option<Explanation>,
    pub(super) refused: Option<Refused>,
    pub(super) fates: Option<Result<Vec<MemberFate>, Explanation>>,
    pub(super) vanished: Vanished,
    pub(super) live: Option<Result<Live, Failure>>,
    pub(super) done: Option<Done>,
}

pub(super) fn why(reason: Reason) -> Explanation {
    Explanation::new(reason, "message")
}

pub(super) fn failure(reason: Reason) -> Failure {
    Failure { why: why(reason), retry_after: Some(Duration::from_secs(7)) }
}

pub(super) fn row(text: &str) -> Row {
    Row { version: version(text), uuid: format!("uuid-{text}") }
}

pub(super) fn runs(text: &str) -> MemberView {
    member("a", Ok(text), RolloutState::Complete)
}

pub(super) fn read(row_of: Option<&str>) -> Snapshot {
    Snapshot::Read { row: row_of.map(row), releases: Vec::new(), suspicion: Suspicion::None }
}

fn doubted(row_of: Option<&str>, suspicion: Suspicion) -> Snapshot {
    Snapshot::Read { row: row_of.map(row), releases: Vec::new(), suspicion }
}

pub(super) fn live(members: Vec<MemberView>, row_of: Option<&str>) -> Live {
    Live { members, row: row_of.map(row), releases: Vec::new() }
}

pub(super) fn recorded_before(text: &str) -> PactDeploymentStatus {
    PactDeploymentStatus {
        recorded: Some(Recorded {
            version: text.into(),
            uuid: Some(format!("uuid-{text}")),
            at: Time(at(1)),
            found: false,
            would_deny: None,
        }),
        members: vec![runs(text).shown()],
        conditions: vec![Condition {
            type_: "Recorded".into(),
            status: "True".into(),
            reason: "Recorded".into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(at(1)),
        }],
        ..PactDeploymentStatus::default()
    }
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            key: key("production", "orders"),
            rules: Ok(rules("production", &["shop"])),
            unreadable: None,
            members: vec![runs("2")],
            status: None,
            snapshot: read(None),
            broker: None,
            refused: None,
            fates: None,
            vanished: Vanished::default(),
            live: None,
            done: None,
        }
    }

    /// No workload runs it any more, and the broker has our record.
    pub(super) fn orphan() -> Self {
        Self {
            members: Vec::new(),
            status: Some(PactDeploymentStatus { orphaned_since: Some(Time(at(100))), ..recorded_before("1") }),
            snapshot: read(Some("1")),
            fates: Some(Ok(vec![MemberFate::Gone])),
            ..Self::new()
        }
    }

    /// The next step at the second 10,000.
    pub(super) fn due(&self) -> String {
        self.due_at(10_000)
    }

    pub(super) fn due_at(&self, second: i64) -> String {
        summary(&self.assess(at(second)))
    }

    pub(super) fn removal(&mut self, change: impl FnOnce(&mut RemovalRules)) {
        change(&mut self.rules.as_mut().unwrap().removal);
    }

    fn assess(&self, now: Timestamp) -> Assessment {
        assess(&self.facts(), now)
    }

    pub(super) fn facts(&self) -> Facts<'_> {
        Facts {
            key: &self.key,
            rules: self.rules.clone(),
            unreadable: self.unreadable.clone(),
            members: self.members.clone(),
            status: self.status.as_ref(),
            snapshot: self.snapshot.clone(),
            broker: self.broker.clone(),
            refused: self.refused.clone(),
            fates: self.fates.clone(),
            vanished: self.vanished.clone(),
            live: self.live.clone(),
            done: self.done.clone(),
        }
    }
}

fn texts<'a>(versions: impl IntoIterator<Item = &'a Version>) -> String {
    versions.into_iter().map(Version::as_str).collect::<Vec<_>>().join(",")
}

/// An assessment in short.
fn summary(assessment: &Assessment) -> String {
    match assessment {
        Assessment::Act(Action::FindFates) => "find fates".into(),
        Assessment::Act(Action::ReadLive) => "read live".into(),
        Assessment::Act(Action::Write(BrokerWrite::Record { version, correction })) => {
            format!("{} {version}", if *correction { "correct" } else { "record" })
        }
        Assessment::Act(Action::Write(BrokerWrite::Undeploy(row))) => format!("undeploy {}", row.uuid),
        Assessment::Act(Action::Write(BrokerWrite::Release { release, end })) => {
            format!("release [{}] end [{}]", texts(release), texts(end.iter().map(|row| &row.version)))
        }
        Assessment::Retry { why, version, at_least } => {
            let version = version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
            let at_least = at_least.map_or_else(String::new, |wait| format!(" after {}", wait.as_secs()));
            format!("retry{version} {}{at_least}", why.reason)
        }
        Assessment::Moved => "moved".into(),
        Assessment::Unchanged => "unchanged".into(),
        Assessment::NotRead => "not read".into(),
        Assessment::Done { state, look_again } => {
            let again = look_again.map_or_else(String::new, |at| format!(" again at {}", at.as_second()));
            let state = match state {
                RecordState::Recorded { version, uuid, write } => format!("recorded {version} {uuid} {write:?}"),
                RecordState::Released { supported, waiting } => {
                    let versions: Vec<_> = supported.iter().map(|recorded| recorded.version.as_str()).collect();
                    let waiting = waiting.as_ref().map_or_else(String::new, |why| format!(" {}", why.reason));
                    format!("released [{}]{waiting}", versions.join(","))
                }
                RecordState::Waiting { why, version } => {
                    format!("waiting {}{}", version.as_ref().map_or_else(String::new, |v| format!("{v} ")), why.reason)
                }
                RecordState::Held(why) => format!("held {}", why.reason),
                RecordState::UndeployHeld { since, why } => format!("{} since {}", why.reason, since.as_second()),
                RecordState::Pending { why, .. } => format!("pending {}", why.reason),
                RecordState::Contested { version, .. } => format!("contested {version}"),
                RecordState::Orphaned { since, until } => {
                    format!("orphaned since {} until {}", since.as_second(), until.as_second())
                }
                RecordState::Undeployed(why) => format!("undeployed {}", why.reason),
                RecordState::Kept(why) => format!("kept {}", why.reason),
            };
            format!("{state}{again}")
        }
    }
}

#[test]
fn case_24_a_finished_version_is_read_live_then_recorded_then_read_back() {
    let mut world = World::new();
    assert_eq!(world.due(), "read live");
    world.live = Some(Ok(live(vec![runs("2")], Some("1"))));
    assert_eq!(world.due(), "record 2");
    world.done = Some(Done::Recorded { version: version("2"), correction: false });
    world.live = Some(Ok(live(vec![runs("2")], Some("2"))));
    assert_eq!(world.due(), "recorded 2 uuid-2 First");
}

#[test]
fn cases_27_to_29_the_live_read_decides_whatever_was_watched() {
    let reads = [
        ("another version runs by now", vec![runs("3")]),
        ("it is rolled back", vec![runs("1")]),
        ("another rollout began", vec![member("a", Ok("2"), progressing())]),
        ("it is gone", vec![]),
        ("its version is unknown now", vec![member("a", Err(VersionProblem::NoContainers), RolloutState::Complete)]),
        ("a copy runs another version", vec![runs("2"), member("b", Ok("3"), RolloutState::Complete)]),
    ];
    for (case, members) in reads {
        let world = World { live: Some(Ok(live(members, None))), ..World::new() };
        assert_eq!(world.due(), "moved", "{case}");
    }
    let lost = World { done: Some(Done::LeaseLost), ..World::new() };
    assert_eq!(lost.due(), "moved", "it is unknown what was written");
    let settled = World { live: Some(Ok(live(vec![runs("2")], Some("2")))), ..World::new() };
    assert_eq!(settled.due(), "recorded 2 uuid-2 None", "another client, or we before a crash, recorded it already");
}

#[test]
fn an_unfinished_rollout_changes_nothing() {
    for (case, members, expected) in [
        ("24, under way", vec![member("a", Ok("2"), progressing())], "waiting 2 RolloutInProgress"),
        ("24, old pods end", vec![member("a", Ok("2"), terminating(30))], "waiting 2 RolloutInProgress again at 30"),
        ("25, past its deadline", vec![member("a", Ok("2"), rollout_failed())], "waiting 2 RolloutFailed"),
        ("26, paused", vec![member("a", Ok("2"), RolloutState::Paused)], "waiting 2 RolloutPaused"),
        ("35, mixed", vec![runs("2"), member("b", Ok("3"), RolloutState::Complete)], "waiting Mixed"),
        (
            "12, no version",
            vec![member("a", Err(VersionProblem::Mutable { text: "latest".into() }), RolloutState::Complete)],
            "held VersionMutable",
        ),
        (
            "41, claimed twice",
            vec![MemberView { hold: Some(Hold::Conflicted(vec!["x".into(), "y".into()])), ..runs("2") }],
            "held Conflicted",
        ),
    ] {
        let world = World { members, status: Some(recorded_before("1")), ..World::new() };
        assert_eq!(world.due(), expected, "{case}");
    }
}

#[test]
fn case_31_and_92_a_member_without_pods_does_not_count_while_another_has_some() {
    let asleep = |version| member("b", Ok(version), RolloutState::ScaledToZero);
    for (case, members, expected) in [
        ("the other half of blue and green", vec![runs("2"), asleep("1")], "read live"),
        (
            "its tag is none",
            vec![runs("2"), member("b", Err(VersionProblem::NoContainers), RolloutState::ScaledToZero)],
            "read live",
        ),
        ("it rolls out, so it has pods", vec![runs("2"), member("b", Ok("1"), progressing())], "waiting Mixed"),
        ("none has pods", vec![member("a", Ok("2"), RolloutState::ScaledToZero), asleep("1")], "waiting Mixed"),
        (
            "none has pods, and they agree",
            vec![member("a", Ok("2"), RolloutState::ScaledToZero), asleep("2")],
            "read live",
        ),
    ] {
        assert_eq!(World { members, ..World::new() }.due(), expected, "{case}");
    }
}

#[test]
fn cases_2_and_30_a_restart_or_pods_that_fail_leave_the_record() {
    for rollout in [progressing(), rollout_failed(), terminating(30), RolloutState::Paused] {
        let members = vec![member("a", Ok("1"), rollout)];
        let world = World { members, status: Some(recorded_before("1")), snapshot: read(Some("1")), ..World::new() };
        assert_eq!(world.due(), "recorded 1 uuid-1 None");
    }
}

#[test]
fn case_3_a_rollback_is_recorded_like_any_version() {
    let mut world = World { members: vec![runs("1")], status: Some(recorded_before("2")), ..World::new() };
    world.snapshot = read(Some("2"));
    assert_eq!(world.due(), "read live");
    world.live = Some(Ok(live(vec![runs("1")], Some("2"))));
    assert_eq!(world.due(), "record 1");
}

#[test]
fn case_20_a_refused_write_is_retried_when_the_broker_allows() {
    let world = World {
        live: Some(Ok(live(vec![runs("2")], None))),
        done: Some(Done::Refused(failure(Reason::VersionMissing))),
        ..World::new()
    };
    assert_eq!(world.due(), "retry 2 VersionMissing after 7");
}

#[test]
fn case_37_another_clients_write_is_corrected_once() {
    let mut world = World { status: Some(recorded_before("2")), snapshot: read(Some("9")), ..World::new() };
    world.live = Some(Ok(live(vec![runs("2")], Some("9"))));
    assert_eq!(world.due(), "correct 2");
    let read_back = World {
        live: Some(Ok(live(vec![runs("2")], Some("2")))),
        done: Some(Done::Recorded { version: version("2"), correction: true }),
        status: world.status.clone(),
        ..World::new()
    };
    assert_eq!(read_back.due(), "recorded 2 uuid-2 Correction");
    world.status = Some(PactDeploymentStatus { corrected_version: Some("2".into()), ..recorded_before("2") });
    assert_eq!(world.due(), "contested 2");
    let not_kept = World {
        live: Some(Ok(live(vec![runs("2")], Some("9")))),
        done: Some(Done::Recorded { version: version("2"), correction: false }),
        ..World::new()
    };
    assert_eq!(not_kept.due(), "retry 2 RecordNotKept");
}

#[test]
fn cases_45_and_46_an_answer_without_our_records_is_doubted_once_and_a_reset_broker_is_recorded_again() {
    let live_read = || Some(Ok(live(vec![runs("2")], None)));
    for (suspicion, status, expected) in [
        (Suspicion::Once, Some(recorded_before("2")), "retry 2 BrokerAnomaly"),
        (Suspicion::Once, Some(recorded_before("1")), "record 2"),
        (Suspicion::Again, Some(recorded_before("2")), "record 2"),
        (
            Suspicion::Again,
            Some(PactDeploymentStatus { corrected_version: Some("2".into()), ..recorded_before("2") }),
            "record 2",
        ),
    ] {
        let world = World { snapshot: doubted(None, suspicion), status, live: live_read(), ..World::new() };
        assert_eq!(world.due(), expected, "{suspicion:?}");
    }
    for suspicion in [Suspicion::Once, Suspicion::Again] {
        let orphan = World { snapshot: doubted(None, suspicion), ..World::orphan() };
        assert_eq!(orphan.due(), "retry BrokerAnomaly", "nothing is ever taken back on such an answer");
    }
}

#[test]
fn cases_43_44_and_47_a_missing_environment_is_retried_and_nothing_is_undeployed() {
    let missing = || Snapshot::Missing(why(Reason::EnvironmentMissing));
    let never_recorded = World { snapshot: missing(), ..World::new() };
    assert_eq!(never_recorded.due(), "retry 2 EnvironmentMissing");
    let recorded_there = World { status: Some(recorded_before("2")), ..never_recorded };
    assert_eq!(recorded_there.due(), "retry 2 EnvironmentMissing");
    let no_workload = World { snapshot: missing(), ..World::orphan() };
    assert_eq!(no_workload.due(), "retry EnvironmentMissing");
    let back = World { status: Some(recorded_before("2")), ..World::new() };
    assert_eq!(back.due(), "read live", "once it is back, what runs is recorded again");
}

#[test]
fn case_65_while_the_broker_is_down_the_last_record_holds() {
    let away = || Snapshot::Unavailable(why(Reason::BrokerUnavailable));
    for (case, snapshot, broker, status, expected) in [
        ("not read yet", Snapshot::NotRead, None, Some("2"), "not read"),
        ("away, and it runs what is recorded", away(), None, Some("2"), "recorded 2 uuid-2 None"),
        ("away, and something else runs", away(), None, Some("1"), "retry 2 BrokerUnavailable"),
        (
            "the environment is missing",
            Snapshot::Missing(why(Reason::EnvironmentMissing)),
            None,
            Some("2"),
            "retry 2 EnvironmentMissing",
        ),
        ("it fails its probe", read(Some("1")), Some(why(Reason::Unauthorized)), Some("1"), "retry 2 Unauthorized"),
        (
            "it fails its probe, and has what runs",
            read(Some("2")),
            Some(why(Reason::Unauthorized)),
            Some("1"),
            "recorded 2 uuid-2 None",
        ),
    ] {
        let world = World { snapshot, broker, status: status.map(recorded_before), ..World::new() };
        assert_eq!(world.due(), expected, "{case}");
    }
    let unread = World { live: Some(Err(failure(Reason::ApiServerUnavailable))), ..World::new() };
    assert_eq!(unread.due(), "retry 2 ApiServerUnavailable after 7");
}

#[test]
fn without_rules_nothing_is_done() {
    for reason in [Reason::InvalidEnvironment, Reason::EnvironmentUnmanaged] {
        let world = World { rules: Err(why(reason)), ..World::new() };
        assert_eq!(world.due(), format!("held {reason}"));
        let orphan = World { rules: Err(why(reason)), ..World::orphan() };
        assert_eq!(orphan.due(), format!("held {reason}"), "cases 43 and 52: the record stays");
    }
}

fn any_member() -> impl Strategy<Value = MemberView> {
    let rollout = prop_oneof![
        4 => Just(RolloutState::Complete),
        1 => Just(RolloutState::ScaledToZero),
        1 => Just(progressing()),
        1 => Just(RolloutState::Deleting),
    ];
    (0..3_u8, "[ab]", rollout).prop_map(|(number, name, rollout)| member(&name, Ok(&number.to_string()), rollout))
}

fn any_row() -> impl Strategy<Value = Option<Row>> {
    proptest::option::of((0..3_u8).prop_map(|number| row(&number.to_string())))
}

proptest! {
    /// For any facts: nothing is written that was not read live in the same pass; only a version that every live member
    /// runs is recorded; only a row that we wrote, whose grace has passed and that has no member, is undeployed.
    #[test]
    fn nothing_is_written_without_a_live_read_that_agrees(
        members in proptest::collection::vec(any_member(), 0..3),
        live_members in proptest::option::of(proptest::collection::vec(any_member(), 0..3)),
        watched in any_row(),
        live_row in any_row(),
        status in proptest::option::of(0..3_u8),
        fates in proptest::collection::vec(
            prop_oneof![Just(MemberFate::Gone), Just(MemberFate::Unknown), Just(MemberFate::Unmanaged)], 0..3),
        suspicion in prop_oneof![Just(Suspicion::None), Just(Suspicion::Once), Just(Suspicion::Again)],
        now in 0_i64..1_000,
    ) {
        let status = status.map(|number| PactDeploymentStatus {
            orphaned_since: Some(Time(at(100))), ..recorded_before(&number.to_string())
        });
        let world = World {
            members,
            live: live_members.map(|members| Ok(Live { members, row: live_row, releases: Vec::new() })),
            snapshot: Snapshot::Read { row: watched, releases: Vec::new(), suspicion },
            fates: Some(Ok(fates.clone())),
            status,
            ..World::new()
        };
        match world.assess(at(now)) {
            Assessment::Act(Action::Write(BrokerWrite::Record { version, .. })) => {
                let live = world.live.unwrap().unwrap();
                let recorded = world.status.and_then(|status| crate::decide::record::LastRecord::of(&status).recorded);
                prop_assert_eq!(desired(&live.members, recorded.as_ref()), Desired::Runs(version.clone()));
                prop_assert_ne!(live.row.map(|row| row.version), Some(version));
            }
            Assessment::Act(Action::Write(BrokerWrite::Undeploy(row))) => {
                let live = world.live.unwrap().unwrap();
                prop_assert!(live.members.is_empty() && world.members.is_empty());
                prop_assert_eq!(live.row.as_ref(), Some(&row));
                let ours = world.status.unwrap().recorded.unwrap().version;
                prop_assert_eq!(row.version.as_str(), ours.as_str());
                prop_assert!(now >= 700 && suspicion == Suspicion::None);
                prop_assert!(fates.iter().all(|fate| *fate == MemberFate::Gone));
            }
            Assessment::Act(Action::Write(other)) => prop_assert!(false, "a deployment never asks for {:?}", other),
            _ => {}
        }
    }
}

#[test]
fn members_that_obviously_are_other_applications_are_said_to_be_that() {
    let runs_image = |name: &str, version: &str, image: &str| MemberView {
        image: Some(image.into()),
        ..member(name, Ok(version), RolloutState::Complete)
    };
    let told = |status: Option<PactDeploymentStatus>| {
        let members = vec![runs_image("orders", "1", "shop/orders"), runs_image("postgres", "16", "postgres")];
        let world = World { members, status, ..World::new() };
        match world.assess(at(10_000)) {
            Assessment::Done { state: RecordState::Waiting { why, .. }, .. } => why.message,
            other => panic!("{other:?}"),
        }
    };
    let message = told(None);
    assert!(
        message.starts_with("Deployment shop/orders has 1, Deployment shop/postgres has 16; one version"),
        "{message}"
    );
    assert!(
        message.contains(". Deployment shop/orders runs shop/orders, Deployment shop/postgres runs postgres: images"),
        "{message}"
    );
    let together = vec!["shop/orders".into(), "postgres".into()];
    let message = told(Some(PactDeploymentStatus { recorded_images: together, ..recorded_before("1") }));
    assert!(!message.contains("postgres runs"), "they were recorded together: {message}");
}
