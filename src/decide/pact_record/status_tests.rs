use super::*;
use crate::{
    api::{
        PactRecordSpec,
        record::{WorkloadRecord, WorkloadReference},
    },
    decide::{Explanation, Reason, record::fixtures::at},
};

fn found(reason: Reason, version: &str) -> Outcome {
    Outcome {
        why: Explanation::new(reason, "why"),
        workload_generation: Some(7),
        version: Some(version.into()),
        records: Vec::new(),
    }
}

fn object(generation: i64, status: Option<PactRecordStatus>) -> PactRecord {
    let reference = WorkloadReference { api_version: None, kind: "Deployment".into(), name: "orders".into() };
    let mut object = PactRecord::new("orders", PactRecordSpec { workload_ref: reference, version: None });
    object.metadata.generation = Some(generation);
    object.status = status;
    object
}

fn after(reason: Reason) -> PactRecordStatus {
    status(&object(1, None), found(reason, "2"), at(1))
}

#[test]
fn the_conditions_are_those_of_kstatus() {
    for (reason, conditions) in [
        (Reason::Recorded, vec![("Ready", "True"), ("Recorded", "True")]),
        (Reason::RolloutInProgress, vec![("Ready", "False"), ("Recorded", "False"), ("Reconciling", "True")]),
        (Reason::WorkloadMissing, vec![("Ready", "False"), ("Recorded", "False"), ("Reconciling", "True")]),
        (Reason::NotOwned, vec![("Ready", "False"), ("Recorded", "False"), ("Stalled", "True")]),
    ] {
        let status = after(reason);
        let told: Vec<_> = status.conditions.iter().map(|it| (it.type_.as_str(), it.status.as_str())).collect();
        assert_eq!(told, conditions, "{reason}");
        assert!(status.conditions.iter().all(|it| it.reason == reason.as_str() && it.observed_generation == Some(1)));
        assert_eq!((status.observed_generation, status.workload_generation), (Some(1), Some(7)));
    }
}

#[test]
fn the_same_is_no_news_and_no_more_records_are_shown_than_fit() {
    let first = after(Reason::Recorded);
    assert_eq!(status(&object(1, Some(first.clone())), found(Reason::Recorded, "2"), at(99)), first);
    let record = |number: usize| WorkloadRecord {
        broker: "main".into(),
        environment: format!("env-{number}"),
        pacticipant: "orders".into(),
        application_instance: None,
        recorded: None,
        reason: "NotRecorded".into(),
    };
    let many = Outcome { records: (0..RECORDS_LIMIT + 3).map(record).collect(), ..found(Reason::NotRecorded, "2") };
    let status = status(&object(1, None), many, at(1));
    assert_eq!((status.records.len(), status.more_records), (RECORDS_LIMIT, Some(3)));
}

#[test]
fn what_is_over_soon_is_not_written_at_once_and_what_is_not_true_any_more_is() {
    use Reason::{NamespaceUnmapped, NotRecorded, Recorded, RolloutInProgress, VersionMissing};

    let of = |generation, reason, version| status(&object(generation, None), found(reason, version), at(1));
    for (what, before, after, at_once_) in [
        ("recorded", of(1, NotRecorded, "2"), of(1, Recorded, "2"), true),
        ("another version rolls out", of(1, Recorded, "1"), of(1, RolloutInProgress, "2"), true),
        ("it is scaled, or restarted", of(1, Recorded, "2"), of(1, RolloutInProgress, "2"), false),
        ("the end of a rollout, before its record", of(1, RolloutInProgress, "2"), of(1, NotRecorded, "2"), false),
        ("something else is missing", of(1, NotRecorded, "2"), of(1, VersionMissing, "2"), false),
        ("another spec", of(1, Recorded, "1"), of(2, RolloutInProgress, "1"), true),
        ("the first look", PactRecordStatus::default(), of(1, RolloutInProgress, "1"), true),
        ("an environment may be about to come", PactRecordStatus::default(), of(1, NamespaceUnmapped, "1"), false),
    ] {
        assert_eq!(at_once(&before, &after), at_once_, "{what}");
    }
}
