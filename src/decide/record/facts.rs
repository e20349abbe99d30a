//! What is known when a record is assessed.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{member::MemberView, plan::MemberFate};
use crate::{
    api::{PactDeployment, PactDeploymentStatus, names::Version},
    decide::reason::Explanation,
    workload::{EnvironmentRules, RecordKey},
};

/// Everything that [`super::assess()`] goes by. What is `None` was not read in this pass.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Which record.
    pub key: &'a RecordKey,
    /// The rules that it is under, or why there are none to follow.
    pub rules: Result<EnvironmentRules, Explanation>,
    /// Why nothing may be taken back anywhere, if so.
    pub unreadable: Option<Explanation>,
    /// The workloads that run it, as they were watched.
    pub members: Vec<MemberView>,
    /// What its `PactDeployment` says.
    pub remembered: Option<&'a PactDeploymentStatus>,
    /// What the broker said last of the environment.
    pub snapshot: Snapshot,
    /// Why the broker cannot be called, if so.
    pub broker: Option<Explanation>,
    /// What became of the members that are remembered, by live reads, or why that cannot be known.
    pub fates: Option<Result<Vec<MemberFate>, Explanation>>,
    /// What was read anew in this pass, or why it could not be.
    pub live: Option<Result<Live, Failure>>,
    /// What this pass has done at the broker.
    pub done: Option<Done>,
}

/// What the broker said last of an environment.
#[derive(Clone, Debug, PartialEq)]
pub enum Snapshot {
    /// It has not been read for the first time.
    NotRead,
    /// The broker does not have the environment.
    Missing(Explanation),
    /// It cannot be read now.
    Unavailable(Explanation),
    /// What it has recorded for the key.
    Read {
        /// The row of the key, for deployments.
        row: Option<Row>,
        /// The supported releases of the pacticipant, for releases.
        releases: Vec<ReleasedRow>,
        /// Whether the answer as a whole is believed.
        suspicion: Suspicion,
    },
}

/// Whether an environment's answer is believed: not one of our records was in it (cases 45 and 46).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It is believed.
    None,
    /// It came once: nothing is changed until it was read again.
    Once,
    /// It came again: the broker was reset, so what runs is recorded anew. Nothing is taken back all the same.
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

/// What was read anew right before a write, or back right after it.
#[derive(Clone, Debug)]
pub struct Live {
    /// The members as the API server has them; without members, those that came meanwhile.
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

/// What a pass has done at the broker.
#[derive(Clone, Debug)]
pub enum Done {
    /// The version was recorded.
    Recorded {
        /// The version.
        version: Version,
        /// Whether it put right somebody else's write.
        correction: bool,
    },
    /// The row of this version was undeployed.
    Undeployed {
        /// The version.
        version: Version,
    },
    /// Every release that was due was recorded, and every support ended.
    Released,
    /// The write was refused, or its answer did not come.
    Refused(Failure),
    /// The lease is no longer ours: nothing was written, or nobody knows.
    LeaseLost,
}

/// What we remember of a key, from its `PactDeployment`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// The version that we last saw recorded as it should be.
    pub recorded: Option<Version>,
    /// The version for which somebody else's record was put right once.
    pub corrected: Option<Version>,
    /// Since when no workload runs it.
    pub orphaned_since: Option<Timestamp>,
}

/// What an object remembers.
#[must_use]
pub fn memory_of(object: Option<&PactDeployment>) -> Memory {
    object.and_then(|object| object.status.as_ref()).map(Memory::of).unwrap_or_default()
}

impl Memory {
    /// What a status remembers; a version that is none is not remembered.
    #[must_use]
    pub fn of(status: &PactDeploymentStatus) -> Self {
        let version = |text: &str| Version::parse(text).ok();
        Self {
            recorded: status.recorded.as_ref().and_then(|recorded| version(&recorded.version)),
            corrected: status.corrected_version.as_deref().and_then(version),
            orphaned_since: status.orphaned_since.as_ref().map(|time| time.0),
        }
    }
}

impl Facts<'_> {
    /// What the `PactDeployment` remembers.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.remembered.map(Memory::of).unwrap_or_default()
    }
}
