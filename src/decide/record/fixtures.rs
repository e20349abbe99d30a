//! Building blocks of tests: short ways to write keys, members, workloads and rules.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::member::MemberView;
use crate::{
    api::{
        deployment::Check,
        environment::RecordKind,
        names::{ApplicationInstance, EnvironmentName, Pacticipant, Version},
    },
    workload::{
        Container, EnvironmentClaim, EnvironmentRef, EnvironmentRules, NamespaceSelector, Owners, PactAnnotations,
        RecordKey, RemovalRules, RolloutState, VersionProblem, VersionRules, Workload, WorkloadKind, WorkloadRef,
    },
};

pub(crate) fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

/// The check of a version, without text and pairs.
pub(crate) fn check(version: &str, verdict: &str, would_deny: bool) -> Check {
    Check {
        version: version.to_owned(),
        verdict: verdict.to_owned(),
        vacuous: None,
        would_deny,
        message: String::new(),
        since: Time(at(1)),
        pairs: Vec::new(),
        more_pairs: None,
    }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// An environment of that name at the broker `main`.
pub(crate) fn environment_ref(environment: &str) -> EnvironmentRef {
    EnvironmentRef { broker: "main".into(), environment: EnvironmentName::parse(environment).unwrap() }
}

pub(crate) fn key(environment: &str, pacticipant: &str) -> RecordKey {
    RecordKey {
        environment_ref: environment_ref(environment),
        pacticipant: Pacticipant::parse(pacticipant).unwrap(),
        instance: None,
    }
}

pub(crate) fn key_of_instance(environment: &str, pacticipant: &str, instance: &str) -> RecordKey {
    RecordKey { instance: Some(ApplicationInstance::parse(instance).unwrap()), ..key(environment, pacticipant) }
}

pub(crate) fn reference(namespace: &str, name: &str) -> WorkloadRef {
    WorkloadRef { kind: WorkloadKind::Deployment, namespace: namespace.into(), name: name.into() }
}

/// A finished workload with one container, whose image is `app:1`.
pub(crate) fn workload(namespace: &str, name: &str, pacticipant: &str) -> Workload {
    Workload {
        reference: reference(namespace, name),
        uid: format!("uid-{name}"),
        generation: 1,
        annotations: PactAnnotations { pacticipant: Some(pacticipant.into()), ..PactAnnotations::default() },
        version_label: None,
        containers: vec![Container { name: "app".into(), image: "app:1".into() }],

        default_container: None,
        stray_keys: Box::default(),
        rollout: RolloutState::Complete,
        paused: false,
        at_zero: false,
        without_pods: false,
        deleting: false,
        controlled: false,
        canary_owner: None,
        revisions: None,
        jobs: Box::default(),
    }
}

/// A `PactEnvironment` that records deployments under its own name, for these namespaces.
pub(crate) fn rules(object: &str, namespaces: &[&str]) -> EnvironmentRules {
    EnvironmentRules {
        object: object.into(),
        claim: claim(object, namespaces),
        environment_ref: environment_ref(object),
        instance: None,
        version: VersionRules::default(),
        owners: Owners::default(),
        kind: RecordKind::Deployment,
        removal: RemovalRules { grace: Duration::from_mins(10), undeploys: true, adopts: false, confirmed: None },
    }
}

pub(crate) fn claim(object: &str, namespaces: &[&str]) -> EnvironmentClaim {
    let selector = NamespaceSelector::parse(namespaces.iter().map(|&name| name.to_owned()), None, false).unwrap();
    EnvironmentClaim { name: object.into(), selector, overlap_allowed: false }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A member with this name in the namespace `shop`.
pub(crate) fn member(name: &str, version_of: Result<&str, VersionProblem>, rollout: RolloutState) -> MemberView {
    MemberView {
        workload: reference("shop", name),
        uid: format!("uid-{name}"),
        environment_object: "production".into(),
        image: None,
        version: version_of.map(version),
        also_runs: Vec::new(),
        without_pods: rollout == RolloutState::ScaledToZero,
        rollout,
        hold: None,
        held: None,
        bypass: None,
        owner: false,
        stranger: None,
    }
}

pub(crate) fn progressing() -> RolloutState {
    RolloutState::Progressing { message: "1 of 2 pods are updated".into() }
}

pub(crate) fn terminating(until: i64) -> RolloutState {
    RolloutState::Terminating { until: at(until), remaining: 1 }
}

pub(crate) fn mixed() -> RolloutState {
    RolloutState::Mixed { message: "the partition keeps 1 of 2 pods at the version before".into() }
}

pub(crate) fn failed() -> RolloutState {
    RolloutState::Failed { message: "ProgressDeadlineExceeded".into() }
}
