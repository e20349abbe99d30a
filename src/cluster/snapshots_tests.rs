//! What a snapshot of an environment answers, when it is not believed, and how snapshots are remembered.

use super::*;
use crate::{
    api::names::EnvironmentName,
    broker::{DeploymentId, ReleaseId},
    decide::record::fixtures::{environment_ref, key, key_of_instance, version},
    workload::RecordKey,
};

fn row(key: &RecordKey, text: &str) -> DeployedVersion {
    DeployedVersion {
        id: DeploymentId::parse(&format!("uuid-{text}")).unwrap(),
        pacticipant: key.pacticipant.clone(),
        version: version(text),
        application_instance: key.instance.clone(),
    }
}

fn release(key: &RecordKey, text: &str) -> ReleasedVersion {
    let id = ReleaseId::parse(&format!("uuid-{text}")).unwrap();
    ReleasedVersion { id, pacticipant: key.pacticipant.clone(), version: version(text) }
}

/// A snapshot in which these keys have version 1.
fn snapshot(keys: &[&RecordKey]) -> BrokerSnapshot {
    let at = |key: &RecordKey| (key.pacticipant.clone(), key.instance.clone());
    BrokerSnapshot {
        id: EnvironmentId::parse("env-1").unwrap(),
        deployed: keys.iter().map(|key| (at(key), row(key, "1"))).collect(),
        supported: HashMap::new(),
        suspicious: false,
    }
}

fn trouble(reason: Reason) -> Explanation {
    Explanation::new(reason, "message")
}

#[test]
fn case_33_a_row_with_an_instance_is_not_the_row_without_one() {
    let (null, blue) = (key("production", "orders"), key_of_instance("production", "orders", "blue"));
    assert_eq!(snapshot(&[&null]).row(&null).unwrap().version, version("1"));
    assert_eq!(snapshot(&[&null]).row(&blue), None);
    assert_eq!(snapshot(&[&blue]).row(&null), None);
    assert_eq!(snapshot(&[&null]).row(&key("production", "Orders")), None, "names are case-sensitive");
}

#[test]
fn cases_45_and_46_a_snapshot_without_any_of_at_least_three_records_is_suspicious() {
    let ours: Vec<_> = ["a", "b", "c", "d"].map(|name| key("production", name)).to_vec();
    let recorded = version("1");
    let odd = |snapshot: &BrokerSnapshot, known: usize| {
        suspicious(snapshot, ours.iter().take(known).map(|key| (key, &recorded)))
    };
    let empty = snapshot(&[]);
    for (known, expected) in [(0, false), (1, false), (2, false), (3, true), (4, true)] {
        assert_eq!(odd(&empty, known), expected, "{known} records are missing, all there were");
    }
    assert!(!odd(&snapshot(&[&ours[3]]), 4), "one is there: the others were taken back by somebody");
    let somebody_elses = key("production", "z");
    assert!(odd(&snapshot(&[&somebody_elses]), 3), "the records of others prove nothing: it may be another tenant");
    let released = BrokerSnapshot {
        supported: HashMap::from([(ours[0].pacticipant.clone(), vec![release(&ours[0], "1")])]),
        ..empty
    };
    assert!(!odd(&released, 3), "what was released counts, too");
    assert!(snapshot(&[]).marked(true).suspicious && !snapshot(&[]).marked(true).marked(false).suspicious);
}

/// What is known of a key: its environment's uuid, its row, the releases of its pacticipant, whether that is doubted.
type Known = (EnvironmentId, Option<Row>, Vec<ReleasedRow>, bool);

fn look_up(snapshots: &Snapshots, key: &RecordKey) -> Result<Known, Reason> {
    match snapshots.of(key) {
        Snapshot::NotRead => Err(Reason::EnvironmentNotRead),
        Snapshot::Missing(why) | Snapshot::Unavailable(why) => Err(why.reason),
        Snapshot::Read { row, releases, suspicion } => {
            let id = snapshots.id(&key.environment_ref).unwrap();
            Ok((id, row, releases, suspicion != Suspicion::None))
        }
    }
}

fn row_of(snapshots: &Snapshots, key: &RecordKey) -> Option<Row> {
    look_up(snapshots, key).unwrap().1
}

fn seen(key: &RecordKey, text: &str) -> Row {
    super::row(&row(key, text))
}

#[test]
fn an_environment_can_be_used_once_it_was_read_and_for_as_long_as_nothing_is_wrong() {
    let (snapshots, key) = (Snapshots::default(), key("production", "orders"));
    assert_eq!(look_up(&snapshots, &key), Err(Reason::EnvironmentNotRead));
    snapshots.set(&key.environment_ref, Ok(snapshot(&[&key]).marked(true)));
    let (id, found, _, odd) = look_up(&snapshots, &key).unwrap();
    assert_eq!((id.as_str(), found, odd), ("env-1", Some(seen(&key, "1")), true));
    snapshots.set(&key.environment_ref, Err(trouble(Reason::BrokerUnavailable)));
    assert_eq!(snapshots.of(&key), Snapshot::Unavailable(trouble(Reason::BrokerUnavailable)));
    assert!(snapshots.state(&key.environment_ref).snapshot.is_some(), "what was read stays through an outage");
    snapshots.set(&key.environment_ref, Ok(snapshot(&[])));
    assert_eq!(row_of(&snapshots, &key), None);
}

#[test]
fn case_46_what_is_doubted_once_may_be_a_reset_when_it_comes_again() {
    let (snapshots, key) = (Snapshots::default(), key("production", "orders"));
    let suspicion = |times: u32| {
        assert_eq!(snapshots.doubt(&key.environment_ref, times > 0), times);
        snapshots.set(&key.environment_ref, Ok(snapshot(&[]).marked(times > 0)));
        match snapshots.of(&key) {
            Snapshot::Read { suspicion, .. } => suspicion,
            other => panic!("{other:?}"),
        }
    };
    let suspicions = [suspicion(1), suspicion(2), suspicion(0), suspicion(1)];
    assert_eq!(suspicions, [Suspicion::Once, Suspicion::Again, Suspicion::None, Suspicion::Once]);
}

#[test]
fn case_44_what_was_read_of_an_environment_that_is_gone_is_forgotten() {
    let (snapshots, key) = (Snapshots::default(), key("production", "orders"));
    snapshots.set(&key.environment_ref, Ok(snapshot(&[&key])));
    snapshots.set(&key.environment_ref, Err(trouble(Reason::EnvironmentMissing)));
    assert!(
        snapshots.state(&key.environment_ref).snapshot.is_none(),
        "it may come back with another uuid and no records"
    );
    assert_eq!(snapshots.of(&key), Snapshot::Missing(trouble(Reason::EnvironmentMissing)));
}

#[test]
fn what_was_just_seen_of_one_key_counts_at_once() {
    let (snapshots, key) = (Snapshots::default(), key("production", "orders"));
    let blue = key_of_instance("production", "orders", "blue");
    snapshots.saw_row(&key, Some(row(&key, "2")));
    assert!(snapshots.state(&key.environment_ref).snapshot.is_none(), "an environment that was not read has no rows");
    snapshots.set(&key.environment_ref, Ok(snapshot(&[&key, &blue])));
    snapshots.saw_row(&key, Some(row(&key, "2")));
    snapshots.saw_releases(&key, vec![release(&key, "3")]);
    assert_eq!(row_of(&snapshots, &key), Some(seen(&key, "2")));
    assert_eq!(row_of(&snapshots, &blue), Some(seen(&blue, "1")));
    assert_eq!(look_up(&snapshots, &key).unwrap().2, [super::release(&release(&key, "3"))]);
    snapshots.saw_row(&key, None);
    assert_eq!(row_of(&snapshots, &key), None);
    snapshots.retain(&HashSet::new());
    assert_eq!(look_up(&snapshots, &key), Err(Reason::EnvironmentNotRead));
}

#[test]
fn a_missing_environment_is_reported_with_the_remedy() {
    let environment = |name: &str| Environment {
        id: EnvironmentId::parse("env-1").unwrap(),
        name: EnvironmentName::parse(name).unwrap(),
        display_name: name.to_owned(),
        production: false,
    };
    let problem = |all: &[Environment]| {
        let why = missing(&environment_ref("prod"), all);
        assert_eq!(why.reason.as_str(), "EnvironmentMissing");
        why.message
    };
    assert!(problem(&[environment("test"), environment("production")]).contains("did you mean production?"));
    assert!(problem(&[environment("test")]).contains("create it there, or say create:"));
    let none = problem(&[]);
    assert!(none.contains("no environments at all") && none.contains("permission"), "case 47: {none}");
}

#[test]
fn case_115_what_is_asked_about_an_unknown_environment_takes_no_room() {
    let (snapshots, key) = (Snapshots::default(), crate::decide::record::fixtures::key("gone", "orders"));
    assert!(snapshots.state(&key.environment_ref).snapshot.is_none());
    assert_eq!(snapshots.id(&key.environment_ref), None);
    assert_eq!(snapshots.of(&key), Snapshot::NotRead);
    assert!(snapshots.states.lock().unwrap().is_empty());
}
