//! Why nothing had to be verified: a yes that rests on nothing says which of three it is (cases 20, 61 and 89).

use super::{Matrix, Question};

/// Why a yes is vacuous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Vacuous {
    /// The version is empty at the broker: neither pacts nor verification results were published with it.
    Contentless,
    /// It has no pacts, and no application in the environment has one with it.
    NoCounterpart,
    /// Its pacts are with applications that the environment ignores.
    Ignored,
}

impl Vacuous {
    /// As it is written in a status.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Contentless => "Contentless",
            Self::NoCounterpart => "NoCounterpart",
            Self::Ignored => "Ignored",
        }
    }

    /// Why, by everything that the broker has of the version, in whatever environment; `None` when that cannot be read.
    #[must_use]
    pub fn of(question: &Question, own: &Matrix) -> Option<Self> {
        if own.unreadable > 0 {
            return None;
        }
        let consumes = |row: &super::MatrixRow| {
            (&row.consumer, &row.consumer_version) == (&question.pacticipant, &question.version)
        };
        // A provider's row without a result is the consumer's content.
        let provides = |row: &super::MatrixRow| {
            row.success.is_some()
                && (&row.provider, row.provider_version.as_ref()) == (&question.pacticipant, Some(&question.version))
        };
        Some(match (own.rows.iter().any(consumes), own.rows.iter().any(provides)) {
            (false, false) => Self::Contentless,
            (false, true) => Self::NoCounterpart,
            (true, _) => Self::Ignored,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            gate::InFlight,
            names::{EnvironmentName, Pacticipant, Version},
        },
        decide::MatrixRow,
    };

    fn row(consumer: &str, provider: &str, provider_version: Option<&str>, success: Option<bool>) -> MatrixRow {
        let name = |name: &str| Pacticipant::parse(name).unwrap();
        let version = |version: &str| Version::parse(version).unwrap();
        MatrixRow {
            consumer: name(consumer),
            consumer_version: version("1"),
            provider: name(provider),
            provider_version: provider_version.map(version),
            success,
            ignored: false,
        }
    }

    #[test]
    fn case_89_a_vacuous_yes_says_which_of_three_it_is() {
        let question = Question {
            pacticipant: Pacticipant::parse("orders").unwrap(),
            version: Version::parse("1").unwrap(),
            environment: EnvironmentName::parse("production").unwrap(),
            ignore: Vec::new(),
            in_flight: InFlight::Count,
        };
        for (what, rows, expected) in [
            ("nothing", vec![], Vacuous::Contentless),
            ("only somebody's pact with it", vec![row("web", "orders", None, None)], Vacuous::Contentless),
            (
                "only a result of another version of it",
                vec![row("web", "orders", Some("2"), Some(true))],
                Vacuous::Contentless,
            ),
            ("a result", vec![row("web", "orders", Some("1"), Some(false))], Vacuous::NoCounterpart),
            ("a pact", vec![row("orders", "billing", None, None)], Vacuous::Ignored),
        ] {
            assert_eq!(Vacuous::of(&question, &Matrix { rows, ..Matrix::default() }), Some(expected), "{what}");
        }
        assert_eq!(Vacuous::of(&question, &Matrix { unreadable: 1, ..Matrix::default() }), None);
    }
}
