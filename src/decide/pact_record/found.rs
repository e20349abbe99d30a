//! What is known of the workload of a `PactRecord`, and of its records.

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{PactDeploymentStatus, condition::is_true, names::Version, record::WorkloadReference},
    decide::{Explanation, Problem, Reason},
    workload::{NamespaceMapping, RecordKey, RolloutState, VersionProblem, WorkloadKind, WorkloadRef},
};

/// What is known of the workload.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing: why.
    Unknown(Explanation),
    /// There is none.
    Missing(WorkloadRef),
    /// This.
    Seen(Seen),
}

/// A workload as it is, with what the operator knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Which workload.
    pub workload: WorkloadRef,
    /// Its generation.
    pub generation: i64,
    /// Whether it names pacticipants.
    pub annotated: bool,
    /// Whether it is only the template of another one.
    pub template: bool,
    /// Where its namespace lies.
    pub mapping: NamespaceMapping,
    /// What is wrong with its annotations.
    pub problems: Vec<Problem>,
    /// The `PactEnvironment`s of its namespace whose rules cannot be followed.
    pub unusable: Vec<String>,
    /// The state of its rollout.
    pub rollout: RolloutState,
    /// Its keys, in order.
    pub keys: Vec<SeenKey>,
}

impl Seen {
    /// When it is to be looked at again although nothing changes: old pods are not waited for any longer then.
    #[must_use]
    pub fn look_again(&self) -> Option<Timestamp> {
        match self.rollout {
            RolloutState::Terminating { until, .. } => Some(until),
            _ => None,
        }
    }
}

/// A key of the workload.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenKey {
    /// The key.
    pub key: RecordKey,
    /// The version of the workload there, or why none can be determined.
    pub version: Result<Version, VersionProblem>,
    /// Whether the namespace names more pacticipants than are recorded, and this is one of those beyond.
    pub beyond_limit: bool,
    /// Whether the workload does not count for the record, which is that of other namespaces.
    pub stranger: bool,
    /// What the key's `PactDeployment` says; `None` while there is none, or it was never written.
    pub record: Option<RecordSeen>,
}

/// What a `PactDeployment` says of its record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordSeen {
    /// The version that is recorded as deployed, or the newest release.
    pub recorded: Option<String>,
    /// The releases that are supported.
    pub supported: Vec<String>,
    /// Whether the broker has what runs.
    pub settled: bool,
    /// Whether a write at the broker was begun whose end is not known.
    pub in_doubt: bool,
    /// The reason of its condition `Ready`.
    pub reason: Option<Reason>,
}

impl RecordSeen {
    /// What a status says.
    #[must_use]
    pub fn of(status: &PactDeploymentStatus) -> Self {
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        Self {
            recorded: status.recorded.as_ref().map(|recorded| recorded.version.clone()),
            supported: status.supported.iter().map(|recorded| recorded.version.clone()).collect(),
            settled: is_true(&status.conditions, "Recorded"),
            in_doubt: !status.intended.is_empty(),
            reason: ready.and_then(|ready| Reason::named(&ready.reason)),
        }
    }

    /// Whether the broker has this version, as far as is known for sure. A release is supported whatever other members do.
    #[must_use]
    pub fn has(&self, version: &Version) -> bool {
        let is = |recorded: &String| recorded == version.as_str();
        let others_wait = self.reason.is_some_and(|reason| {
            use Reason::{Mixed, RolloutFailed, RolloutInProgress, RolloutPaused};
            matches!(reason, RolloutInProgress | RolloutPaused | RolloutFailed | Mixed)
        });
        let deployed = self.settled && self.recorded.iter().any(is);
        let released = (self.settled || others_wait) && self.supported.iter().any(is);
        !self.in_doubt && (deployed || released)
    }

    /// The version to show beside one that runs.
    #[must_use]
    pub fn shown(&self, version: Option<&Version>) -> Option<String> {
        let released = |version: &Version| self.supported.iter().find(|it| *it == version.as_str());
        version.and_then(released).or(self.recorded.as_ref()).cloned()
    }
}

/// The workload that a `PactRecord` of a namespace refers to.
///
/// # Errors
/// When the operator does not handle its kind.
pub fn workload_of(namespace: &str, reference: &WorkloadReference) -> Result<WorkloadRef, Explanation> {
    let WorkloadReference { api_version, kind, name } = reference;
    let group = api_version.as_deref().map(|it| it.rsplit_once('/').map_or("", |(group, _)| group));
    let known =
        WorkloadKind::named(kind).filter(|known| known.recorded() && group.is_none_or(|group| group == known.group()));
    known.map(|kind| WorkloadRef { kind, namespace: namespace.to_owned(), name: name.clone() }).ok_or_else(|| {
        let of = api_version.as_ref().map(|it| format!(" of {it}")).unwrap_or_default();
        let handled = WorkloadKind::RECORDED.map(|kind| format!("{} ({})", kind.kind(), kind.api_version())).join(", ");
        Explanation::new(Reason::KindNotHandled, format!("no {kind}{of} is recorded, only {handled}"))
    })
}

#[cfg(test)]
#[path = "found_tests.rs"]
mod tests;
