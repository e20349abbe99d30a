use super::*;
use crate::{
    api::{
        condition::{Finding, conditions},
        deployment::Recorded,
    },
    decide::record::fixtures::{at, version},
};

fn recorded(version: &str) -> Recorded {
    let at = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1));
    Recorded { version: version.into(), uuid: None, at, found: false, would_deny: None }
}

fn status(settled: bool, reason: Reason) -> PactDeploymentStatus {
    let findings = [Finding::new("Ready", settled, reason, ""), Finding::new("Recorded", settled, reason, "")];
    PactDeploymentStatus { conditions: conditions(&[], &findings, None, at(1)), ..PactDeploymentStatus::default() }
}

#[test]
fn a_version_is_recorded_where_that_is_known_for_sure() {
    use Reason::{Contested, EnvironmentMissing, Mixed, RolloutInProgress};

    let of = |status: PactDeploymentStatus| RecordSeen::of(&status).has(&version("2"));
    let deployed = |version, status| PactDeploymentStatus { recorded: Some(recorded(version)), ..status };
    let released = |versions: &[&str], status| PactDeploymentStatus {
        recorded: Some(recorded(versions[0])),
        supported: versions.iter().map(|version| recorded(version)).collect(),
        ..status
    };
    for (what, status, has) in [
        ("recorded", deployed("2", status(true, Reason::Recorded)), true),
        ("another one is", deployed("1", status(true, Reason::Recorded)), false),
        ("nothing is", status(false, RolloutInProgress), false),
        ("another client writes it, too", deployed("2", status(false, Contested)), false),
        ("others of the group run another one", deployed("2", status(false, Mixed)), false),
        (
            "a write of another one was begun, and its end is not known",
            PactDeploymentStatus { intended: vec!["3".into()], ..deployed("2", status(true, Reason::Recorded)) },
            false,
        ),
        ("the newest release", released(&["2", "1"], status(true, Reason::Recorded)), true),
        ("an older release", released(&["3", "2"], status(true, Reason::Recorded)), true),
        ("a release while another member rolls out", released(&["2"], status(false, RolloutInProgress)), true),
        ("a release that may be gone", released(&["2"], status(false, EnvironmentMissing)), false),
        ("no release", released(&["1"], status(true, Reason::Recorded)), false),
    ] {
        assert_eq!(of(status), has, "{what}");
    }
}

#[test]
fn a_reference_is_to_a_kind_that_is_recorded() {
    let reference = |api_version: Option<&str>, kind: &str| WorkloadReference {
        api_version: api_version.map(str::to_owned),
        kind: kind.into(),
        name: "orders".into(),
    };
    for (api_version, kind) in
        [(None, "Deployment"), (Some("apps/v1"), "StatefulSet"), (Some("apps/v1beta9"), "DaemonSet")]
    {
        let found = workload_of("shop", &reference(api_version, kind)).unwrap();
        assert_eq!((found.kind.kind(), found.namespace.as_str(), found.name.as_str()), (kind, "shop", "orders"));
    }
    for (api_version, kind) in
        [(None, "Pod"), (Some("batch/v1"), "Job"), (Some("v1"), "Deployment"), (Some("example.com/v1"), "Deployment")]
    {
        let why = workload_of("shop", &reference(api_version, kind)).unwrap_err();
        assert_eq!(why.reason, Reason::KindNotHandled);
        assert!(why.message.contains("Deployment (apps/v1)"), "{}", why.message);
    }
}
