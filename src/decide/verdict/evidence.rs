//! What a broker answered to a question, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::names::{Pacticipant, Version};

/// A broker's matrix, asked for with one row for each consumer version and provider version, and without a limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// The broker's own verdict: it errs (see [`mod@crate::decide::verdict::judge`]).
    pub deployable: Option<bool>,
    /// How many rows the broker counted as verified.
    pub success: u64,
    /// How many rows the broker counted as failed.
    pub failed: u64,
    /// How many rows, or applications that are needed, it counted as not verified.
    pub unknown: u64,
    /// The rows that could be read.
    pub rows: Vec<MatrixRow>,
    /// How many rows could not be read.
    pub unreadable: usize,
}

/// A pact of a consumer version, and the result of a provider version for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    /// The consumer.
    pub consumer: Pacticipant,
    /// The consumer's version.
    pub consumer_version: Version,
    /// The provider.
    pub provider: Pacticipant,
    /// The provider's version that gave the result; `None` where there is no result.
    pub provider_version: Option<Version>,
    /// Whether the verification succeeded; `None` where there is no result.
    pub success: Option<bool>,
    /// Whether the question left it out of consideration.
    pub ignored: bool,
}

/// The versions of some applications that are live in an environment: deployed under any application instance, or
/// released and supported. An application that is not in it was not looked up; an empty set is one that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveVersions(BTreeMap<Pacticipant, BTreeSet<Version>>);

impl LiveVersions {
    /// Takes in that an application was looked up, whether or not it has live versions.
    pub fn looked_up(&mut self, pacticipant: Pacticipant) -> &mut BTreeSet<Version> {
        self.0.entry(pacticipant).or_default()
    }

    /// The live versions of an application; `None` when it was not looked up.
    #[must_use]
    pub fn of(&self, pacticipant: &Pacticipant) -> Option<&BTreeSet<Version>> {
        self.0.get(pacticipant)
    }
}

/// A consumer version and a provider version that have to get along in the environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Whether they do. First, so that pairs sort by it: the worst first.
    pub result: PairResult,
    /// The consumer.
    pub consumer: Pacticipant,
    /// The consumer's version.
    pub consumer_version: Version,
    /// The provider.
    pub provider: Pacticipant,
    /// The provider's version; `None` when there is none in the environment, or the broker did not say.
    pub provider_version: Option<Version>,
}

/// Whether a pair gets along, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PairResult {
    /// The verification failed.
    Failed,
    /// There is no result.
    Unverified,
    /// The consumer needs the provider, and no version of it is in the environment.
    NotDeployed,
    /// The verification succeeded.
    Verified,
}

impl PairResult {
    /// The result as it is written in a status and in a table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Unverified => "Unverified",
            Self::NotDeployed => "NotDeployed",
            Self::Verified => "Verified",
        }
    }
}
