//! What the status shows of a record.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::*;
use crate::api::{PactDeployment, PactDeploymentSpec, deployment::Recorded};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn member(version: &str, rollout: &str) -> Member {
    Member {
        kind: "Deployment".to_owned(),
        namespace: "shop".to_owned(),
        name: "orders".to_owned(),
        version: Some(version.to_owned()),
        earlier_versions: Vec::new(),
        rollout: rollout.to_owned(),
        without_pods: false,
        problem: None,
    }
}

fn condition(type_: &str, status: &str, reason: &str) -> Condition {
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: String::new(),
        last_transition_time: Time(at(0)),
        observed_generation: None,
    }
}

fn check(version: &str, verdict: &str, would_deny: bool) -> Check {
    Check {
        version: version.to_owned(),
        verdict: verdict.to_owned(),
        vacuous: None,
        would_deny,
        message: String::new(),
        since: Time(at(0)),
        pairs: Vec::new(),
        more_pairs: None,
    }
}

/// A record of 1.0.0 that is as it should be.
fn settled() -> PactDeploymentStatus {
    let recorded =
        Recorded { version: "1.0.0".to_owned(), uuid: None, at: Time(at(0)), found: false, would_deny: None };
    PactDeploymentStatus {
        members: vec![member("1.0.0", "Complete")],
        recorded: Some(recorded),
        checks: vec![check("1.0.0", "Yes", false)],
        conditions: vec![condition("Ready", "True", "Recorded")],
        ..PactDeploymentStatus::default()
    }
}

fn shown(status: PactDeploymentStatus) -> Line {
    let spec = PactDeploymentSpec {
        broker: "main".to_owned(),
        environment: "production".to_owned(),
        pacticipant: "orders".to_owned(),
        application_instance: None,
    };
    let record = PactDeployment { status: Some(status), ..PactDeployment::new("orders", spec) };
    Line::of(&RecordKey::of(&record).unwrap(), record.status.as_ref())
}

#[test]
fn what_is_as_it_should_be_has_no_notes() {
    let line = shown(settled());
    assert_eq!((line.shade, line.notes.is_empty(), line.runs), (Shade::Good, true, vec!["1.0.0".to_owned()]));
}

#[test]
fn a_rollout_a_drift_a_bypass_and_a_denial_are_told_apart() {
    let arriving = PactDeploymentStatus {
        members: vec![member("2.0.0", "Progressing")],
        checks: vec![check("2.0.0", "No", true), check("1.0.0", "Yes", false)],
        conditions: vec![condition("Ready", "False", "RolloutProgressing"), condition("Bypassed", "True", "Bypassed")],
        ..settled()
    };
    let line = shown(arriving);
    assert_eq!((line.arriving.as_slice(), line.runs.len()), (["2.0.0".to_owned()].as_slice(), 0));
    assert_eq!(line.notes, ["RolloutProgressing", "Bypassed", "WouldDeny"]);
    assert_eq!((line.check.unwrap().verdict.as_str(), line.shade), ("No", Shade::Bad));

    let drifted = PactDeploymentStatus {
        members: vec![member("3.0.0", "Complete")],
        conditions: vec![condition("Ready", "False", "Contested"), condition("Contested", "True", "Contested")],
        ..settled()
    };
    assert_eq!(shown(drifted).notes, ["Contested", "Drift"]);
    let asleep = PactDeploymentStatus { members: vec![member("3.0.0", "ScaledToZero")], ..settled() };
    assert!(shown(asleep).notes.is_empty(), "what runs nothing is no drift");
}

#[test]
fn the_table_says_what_runs_and_what_arrives() {
    let arriving = PactDeploymentStatus {
        members: vec![member("1.0.0", "Complete"), member("2.0.0", "Progressing")],
        conditions: vec![condition("Ready", "False", "RolloutProgressing")],
        ..settled()
    };
    let expected = "\
ENVIRONMENT  PACTICIPANT  RUNS          RECORDED  SINCE  VERDICT  NOTES
production   orders       1.0.0         1.0.0     90m    Yes      -
production   orders       1.0.0 →2.0.0  1.0.0     90m    Yes      RolloutProgressing
";
    assert_eq!(table(&[shown(settled()), shown(arriving)], at(90 * 60), false), expected);
    assert!(table(&[], at(0), false).contains("is a workload annotated"));
}

#[test]
fn ages_are_written_as_kubectl_writes_them() {
    let ages = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(|seconds| age(at(0), at(seconds)));
    assert_eq!(ages, ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]);
}
