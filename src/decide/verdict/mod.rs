//! From a question and what a broker answered to one of nine verdicts.

pub mod evidence;
pub mod judge;
pub mod known_pairs;
pub mod matrix_query;
pub mod question;
pub mod selection;
pub mod together;
pub mod vacuous;
pub mod way_to_yes;

use std::fmt;

pub use evidence::{Evidence, LiveVersions, Matrix, MatrixRow, Pair, PairResult, UnrecordedVersion};
pub use judge::{Judgement, brokers_spelling, judge, of_other_spelling, wants_live};
pub use known_pairs::KnownPairs;
pub use matrix_query::{LATEST_BY, MatrixQuery};
pub use question::{Ignored, Question};
pub use selection::{Destination, Selection, Selector, Versions};
pub use together::{Member, among, by_rows, ignored_by_all, together};
pub use vacuous::Vacuous;
pub use way_to_yes::{Situation, Tried, WayToYes, way_to_yes};

/// What can-i-deploy, read carefully, says of a version and an environment (docs/contributing/rules.md#verdicts-and-default-actions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Every pair that has to get along was verified, and there is at least one.
    Yes,
    /// Nothing had to be checked: a version without pacts, or a provider that nobody in the environment uses.
    YesVacuous,
    /// A verification failed. Looked at before what is unknown: an answer that is missing does not make it less so.
    No,
    /// A pair has no result yet, or an application that is needed is not in the environment.
    Unknown,
    /// The broker knows the application, but not this version.
    VersionMissing,
    /// The broker does not know the application.
    PacticipantUnknown,
    /// The broker does not have the environment.
    EnvironmentMissing,
    /// The broker does not take our credentials.
    Unauthorized,
    /// No usable answer came in time.
    BrokerUnavailable,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Yes,
        Self::YesVacuous,
        Self::No,
        Self::Unknown,
        Self::VersionMissing,
        Self::PacticipantUnknown,
        Self::EnvironmentMissing,
        Self::Unauthorized,
        Self::BrokerUnavailable,
    ];

    /// The verdict that is written like this in a status.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == text)
    }

    /// The verdict as it is written in a status, a log line and a metric.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Yes => "Yes",
            Self::YesVacuous => "YesVacuous",
            Self::No => "No",
            Self::Unknown => "Unknown",
            Self::VersionMissing => "VersionMissing",
            Self::PacticipantUnknown => "PacticipantUnknown",
            Self::EnvironmentMissing => "EnvironmentMissing",
            Self::Unauthorized => "Unauthorized",
            Self::BrokerUnavailable => "BrokerUnavailable",
        }
    }

    /// Whether the broker answered about the version; otherwise it could not be asked, or not about this version.
    #[must_use]
    pub const fn answered(self) -> bool {
        !matches!(self, Self::EnvironmentMissing | Self::Unauthorized | Self::BrokerUnavailable)
    }

    /// Whether nothing was published under the name or the version: then the broker has no page about it either.
    #[must_use]
    pub const fn is_unpublished(self) -> bool {
        matches!(self, Self::VersionMissing | Self::PacticipantUnknown)
    }

    /// Whether it is a yes.
    #[must_use]
    pub const fn is_yes(self) -> bool {
        matches!(self, Self::Yes | Self::YesVacuous)
    }

    /// Whether the version may be deployed; `None` where that is not known: a result is missing, or no answer could be had.
    #[must_use]
    pub const fn deployable(self) -> Option<bool> {
        match self {
            Self::Yes | Self::YesVacuous => Some(true),
            Self::No | Self::VersionMissing | Self::PacticipantUnknown => Some(false),
            Self::Unknown | Self::EnvironmentMissing | Self::Unauthorized | Self::BrokerUnavailable => None,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
