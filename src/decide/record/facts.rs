//! The facts on which the assessment of a record is based.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::Timestamp;

use super::{
    breaker::Vanished,
    desired::{Desired, desired, desired_releases},
    member::MemberView,
    plan::MemberFate,
};
use crate::{
    api::{PactDeployment, PactDeploymentStatus, condition::is_true, environment::RecordKind, names::Version},
    decide::reason::{Explanation, Reason},
    workload::{EnvironmentRules, RecordKey},
};

/// The input of [`super::assess()`]. A field that is `None` was not read in this pass.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// The key of the record.
    pub key: &'a RecordKey,
    /// The rules of its environment, or why there are none.
    pub rules: Result<EnvironmentRules, Explanation>,
    /// Why no record at all may be taken back, if so.
    pub unreadable: Option<Explanation>,
    /// The workloads that run it, from the watches.
    pub members: Vec<MemberView>,
    /// The status of its `PactDeployment`.
    pub status: Option<&'a PactDeploymentStatus>,
    /// The last answer of the broker about the environment.
    pub snapshot: Snapshot,
    /// Why the broker cannot be called, if so.
    pub broker: Option<Explanation>,
    /// What the broker refused in an earlier pass, for as long as that is not tried again.
    pub refused: Option<Refused>,
    /// What became of the members in the status, by live reads, or why that is unknown.
    pub fates: Option<Result<Vec<MemberFate>, Explanation>>,
    /// What vanished in the environment, for a key that no workload runs any more.
    pub vanished: Vanished,
    /// What was read live in this pass, or why that failed.
    pub live: Option<Result<Live, Failure>>,
    /// What this pass did at the broker.
    pub done: Option<Done>,
}

/// What the broker refused, and what only a person can change (case 112).
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The versions that were to be recorded.
    pub versions: BTreeSet<Version>,
    /// Why not.
    pub why: Explanation,
}

/// The last answer of the broker about an environment.
#[derive(Clone, Debug, PartialEq)]
pub enum Snapshot {
    /// The environment has not been read yet.
    NotRead,
    /// The broker does not have the environment.
    Missing(Explanation),
    /// The environment cannot be read now.
    Unavailable(Explanation),
    /// The records of the key in the environment.
    Read {
        /// The row of the key, for deployments.
        row: Option<Row>,
        /// The supported releases of the pacticipant, for releases.
        releases: Vec<ReleasedRow>,
        /// Whether the answer as a whole is trusted.
        suspicion: Suspicion,
    },
}

/// Whether an environment's answer is trusted: it held none of our records (cases 45 and 46).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It is trusted.
    None,
    /// The first such answer: nothing is changed until the environment was read again.
    Once,
    /// Another such answer: the broker was reset, so running versions are recorded again. Still nothing is taken back.
    Again,
}

/// A deployed version that the broker has for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The version.
    pub version: Version,
    /// The row's uuid.
    pub uuid: String,
}

/// A release that the broker supports.
pub type ReleasedRow = Row;

/// What was read live right before a write, or read back right after it.
#[derive(Clone, Debug)]
pub struct Live {
    /// The members, read from the API server; for a key without members, those that appeared meanwhile.
    pub members: Vec<MemberView>,
    /// The key's row at the broker.
    pub row: Option<Row>,
    /// The supported releases of the key's pacticipant.
    pub releases: Vec<ReleasedRow>,
}

/// Why something could not be read or written.
#[derive(Clone, Debug)]
pub struct Failure {
    /// For people.
    pub why: Explanation,
    /// How long the broker asked everyone to wait.
    pub retry_after: Option<Duration>,
}

/// What a pass did at the broker.
#[derive(Clone, Debug)]
pub enum Done {
    /// The version was recorded.
    Recorded {
        /// The version.
        version: Version,
        /// Whether it corrected another client's write.
        correction: bool,
    },
    /// The row of this version was undeployed.
    Undeployed {
        /// The version.
        version: Version,
    },
    /// Every release that was due was recorded, and every support that was due ended.
    Released {
        /// The versions that were released: those were not supported before.
        versions: Vec<Version>,
    },
    /// The write was refused, or its answer did not arrive.
    Refused(Failure),
    /// The lease is lost, or what is known of the record is not what is stored: nothing was written, or that is unknown.
    LeaseLost,
}

/// What the operator knows of a key from earlier passes, from its `PactDeployment`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastRecord {
    /// The version that was last found recorded as desired.
    pub recorded: Option<Version>,
    /// The uuid of its row, where it is known.
    pub uuid: Option<String>,
    /// Whether that was written by somebody else.
    pub found: bool,
    /// The versions that the operator may have written since, without knowing whether it did.
    pub intended: Vec<Version>,
    /// The version for which another client's record was corrected once.
    pub corrected: Option<Version>,
    /// Since when no workload runs it.
    pub orphaned_since: Option<Timestamp>,
}

/// The last record in a `PactDeployment`.
#[must_use]
pub fn last_record_of(object: Option<&PactDeployment>) -> LastRecord {
    object.and_then(|object| object.status.as_ref()).map(LastRecord::of).unwrap_or_default()
}

/// The versions that the operator may have written without knowing it. Not the one whose write the broker refused, or that
/// was not there when it was read back: a row of it that is found later is somebody else's.
pub(super) fn in_doubt(status: &PactDeploymentStatus) -> impl Iterator<Item = &String> {
    const NOT_WRITTEN: [Reason; 7] = [
        Reason::EnvironmentMissing,
        Reason::Forbidden,
        Reason::PacticipantMissing,
        Reason::RecordNotKept,
        Reason::RequestRejected,
        Reason::Unauthorized,
        Reason::VersionMissing,
    ];
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    let not_written = ready.is_some_and(|ready| NOT_WRITTEN.iter().any(|reason| reason.as_str() == ready.reason));
    let refused = status.desired_version.as_ref().filter(|_| not_written);
    status.intended.iter().filter(move |version| Some(*version) != refused)
}

/// Whether a version is what a status says to be recorded.
#[must_use]
pub fn has_recorded(status: &PactDeploymentStatus, version: &Version) -> bool {
    let mut recorded = status.recorded.iter().chain(&status.supported);
    is_true(&status.conditions, "Recorded") && recorded.any(|recorded| recorded.version == version.as_str())
}

impl LastRecord {
    /// Whether the operator wrote this version, or may have.
    #[must_use]
    pub fn may_be_ours(&self, version: &Version) -> bool {
        self.recorded.as_ref() == Some(version) || self.intended.contains(version)
    }

    /// Whether it was somebody else who wrote this row, before the operator or with the same version after it.
    #[must_use]
    pub fn is_found(&self, row: &Row) -> bool {
        let another = self.uuid.as_ref().is_some_and(|uuid| *uuid != row.uuid);
        self.recorded.as_ref() == Some(&row.version) && (self.found || another) && !self.intended.contains(&row.version)
    }

    /// The last record in a status; a text that is not a valid version is left out.
    #[must_use]
    pub fn of(status: &PactDeploymentStatus) -> Self {
        let version = |text: &str| Version::parse(text).ok();
        Self {
            recorded: status.recorded.as_ref().and_then(|recorded| version(&recorded.version)),
            uuid: status.recorded.as_ref().and_then(|recorded| recorded.uuid.clone()).filter(|uuid| !uuid.is_empty()),
            found: status.recorded.as_ref().is_some_and(|recorded| recorded.found),
            intended: in_doubt(status).filter_map(|text| version(text)).collect(),
            corrected: status.corrected_version.as_deref().and_then(version),
            orphaned_since: status.orphaned_since.as_ref().map(|time| time.0),
        }
    }
}

impl Facts<'_> {
    /// The last record in the status of the `PactDeployment`.
    #[must_use]
    pub fn last_record(&self) -> LastRecord {
        self.status.map(LastRecord::of).unwrap_or_default()
    }

    /// The versions that the broker should have of the members; none while that is not certain.
    #[must_use]
    pub fn wanted(&self) -> BTreeSet<Version> {
        match self.rules.as_ref().map(|rules| rules.kind) {
            Ok(RecordKind::Deployment) => match desired(&self.members, self.last_record().recorded.as_ref()) {
                Desired::Runs(version) => BTreeSet::from([version]),
                _ => BTreeSet::new(),
            },
            Ok(RecordKind::Release) => desired_releases(&self.members).supported,
            Err(_) => BTreeSet::new(),
        }
    }

    /// Why these versions are not tried again yet, if so.
    #[must_use]
    pub fn still_refused(&self, wanted: &BTreeSet<Version>) -> Option<&Explanation> {
        self.refused.as_ref().filter(|refused| refused.versions == *wanted).map(|refused| &refused.why)
    }
}
