//! The question: may this version of this application be deployed to this environment?

use std::fmt;

use super::MatrixRow;
use crate::api::{
    gate::InFlight,
    names::{EnvironmentName, Pacticipant, Version},
};

/// May this version of this application be deployed to this environment? Two that are equal have one answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The application.
    pub pacticipant: Pacticipant,
    /// Its version.
    pub version: Version,
    /// The environment, by its name at the broker.
    pub environment: EnvironmentName,
    /// What is left out of consideration; in order, so that equal lists are equal.
    pub ignore: Vec<Ignored>,
    /// What becomes of versions that are rolling out and not recorded yet.
    pub in_flight: InFlight,
}

impl Question {
    /// Whether every version of an application is left out of consideration.
    #[must_use]
    pub fn leaves_out_all_of(&self, pacticipant: &Pacticipant) -> bool {
        self.ignore.iter().any(|ignored| ignored.version.is_none() && ignored.pacticipant == *pacticipant)
    }

    /// Whether a broker that is told what to ignore leaves a row of its matrix out of consideration.
    #[must_use]
    pub fn leaves_out(&self, row: &MatrixRow) -> bool {
        let covers = |pacticipant, version| self.ignore.iter().any(|ignored| ignored.covers(pacticipant, version));
        covers(&row.consumer, &row.consumer_version)
            || row.provider_version.as_ref().is_some_and(|version| covers(&row.provider, version))
            || self.leaves_out_all_of(&row.provider)
    }
}

/// An application, or one version of it, that is left out of consideration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ignored {
    /// The application.
    pub pacticipant: Pacticipant,
    /// Only this version of it; `None` is every one.
    pub version: Option<Version>,
}

impl Ignored {
    /// Whether this version of this application is left out.
    #[must_use]
    pub fn covers(&self, pacticipant: &Pacticipant, version: &Version) -> bool {
        self.pacticipant == *pacticipant && self.version.as_ref().is_none_or(|ignored| ignored == version)
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} → {}", self.pacticipant, self.version, self.environment)
    }
}
