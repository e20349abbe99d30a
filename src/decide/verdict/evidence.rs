//! What a broker answered to a question, as plain data.

use std::collections::{BTreeSet, HashMap};

use serde::{Serialize, Serializer, ser::SerializeStruct};

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

/// The versions that a broker has as live in an environment: deployed under any application instance, or released and
/// supported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveVersions {
    by_pacticipant: HashMap<Pacticipant, BTreeSet<Version>>,
    /// Whether every application was looked up, so that one that is not in it has no live version.
    complete: bool,
}

impl LiveVersions {
    /// All that is live: an application that is not in it is not in the environment.
    #[must_use]
    pub fn all(rows: impl IntoIterator<Item = (Pacticipant, Version)>) -> Self {
        let mut all = Self { complete: true, ..Self::default() };
        for (pacticipant, version) in rows {
            all.looked_up(pacticipant).insert(version);
        }
        all
    }

    /// Takes in that an application was looked up, whether or not it has live versions.
    pub fn looked_up(&mut self, pacticipant: Pacticipant) -> &mut BTreeSet<Version> {
        self.by_pacticipant.entry(pacticipant).or_default()
    }

    /// The live versions of an application; `None` when it was not looked up.
    #[must_use]
    pub fn of(&self, pacticipant: &Pacticipant) -> Option<&BTreeSet<Version>> {
        static NONE: BTreeSet<Version> = BTreeSet::new();
        self.by_pacticipant.get(pacticipant).or_else(|| self.complete.then_some(&NONE))
    }

    /// The applications that have live versions.
    pub fn pacticipants(&self) -> impl Iterator<Item = &Pacticipant> {
        self.by_pacticipant.iter().filter(|(_, versions)| !versions.is_empty()).map(|(pacticipant, _)| pacticipant)
    }

    /// Whether this version of this application is among them.
    #[must_use]
    pub fn has(&self, pacticipant: &Pacticipant, version: &Version) -> bool {
        self.by_pacticipant.get(pacticipant).is_some_and(|versions| versions.contains(version))
    }
}

/// A version that runs in the environment, or is on its way there, and that the broker does not have as live: it was not
/// recorded yet, cannot be recorded, or its record was lost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnrecordedVersion {
    /// The application.
    pub pacticipant: Pacticipant,
    /// Its version.
    pub version: Version,
    /// Whether it is rolling out: its rollout is not finished.
    pub in_flight: bool,
}

/// All that a judgement rests on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The broker's matrix for the environment.
    pub matrix: &'a Matrix,
    /// What the broker has as live there.
    pub recorded: &'a LiveVersions,
    /// What runs there besides.
    pub unrecorded: &'a [UnrecordedVersion],
    /// The broker's matrix of the version in question and of each unrecorded one.
    pub pairs: &'a Matrix,
}

impl<'a> Evidence<'a> {
    /// What the broker alone knows.
    #[must_use]
    pub fn of_broker(matrix: &'a Matrix, recorded: &'a LiveVersions) -> Self {
        static NONE: Matrix =
            Matrix { deployable: None, success: 0, failed: 0, unknown: 0, rows: Vec::new(), unreadable: 0 };
        Self { matrix, recorded, unrecorded: &[], pairs: &NONE }
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
    /// Whether the other side is rolling out now, and not recorded yet.
    pub in_flight: bool,
}

/// As every JSON of ours shows a pair.
impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Pair", 5)?;
        fields.serialize_field("result", self.result.name())?;
        fields.serialize_field("consumer", self.consumer.as_str())?;
        fields.serialize_field("consumerVersion", self.consumer_version.as_str())?;
        fields.serialize_field("provider", self.provider.as_str())?;
        fields.serialize_field("providerVersion", &self.provider_version.as_ref().map(Version::as_str))?;
        fields.end()
    }
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
    /// What a verification that succeeded, failed, or is missing comes to.
    #[must_use]
    pub const fn of(success: Option<bool>) -> Self {
        match success {
            Some(true) => Self::Verified,
            Some(false) => Self::Failed,
            None => Self::Unverified,
        }
    }

    /// All of them.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Unverified, Self::NotDeployed, Self::Verified];

    /// The result that is written like this in a status.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.name() == text)
    }

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
