//! Which results are missing, by what was found of a version. Pure.

use crate::{
    api::{
        deployment::Check,
        names::{Pacticipant, Version},
    },
    decide::verdict::{Judgement, Matrix, Pair, PairResult},
};

/// A consumer version with a pact, and a version of its provider that gave no result for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MissingResult {
    /// The name of the `PactBroker`.
    pub broker: String,
    /// The consumer.
    pub consumer: Pacticipant,
    /// Its version.
    pub consumer_version: Version,
    /// The provider.
    pub provider: Pacticipant,
    /// Its version that is deployed, or was denied.
    pub provider_version: Version,
}

/// The results that a check of a running version shows as missing. Not those of a provider that is not in the environment
/// at all: there is no version that could verify.
#[must_use]
pub fn missing_in(broker: &str, check: &Check) -> Vec<MissingResult> {
    let unverified = check.pairs.iter().filter(|pair| PairResult::named(&pair.result) == Some(PairResult::Unverified));
    let read = unverified.filter_map(|pair| {
        Some(MissingResult {
            broker: broker.to_owned(),
            consumer: Pacticipant::parse(&pair.consumer).ok()?,
            consumer_version: Version::parse(&pair.consumer_version).ok()?,
            provider: Pacticipant::parse(&pair.provider).ok()?,
            provider_version: Version::parse(pair.provider_version.as_deref()?).ok()?,
        })
    });
    read.collect()
}

/// The same of a judgement.
#[must_use]
pub fn missing_of(broker: &str, judgement: &Judgement) -> Vec<MissingResult> {
    let unverified = judgement.pairs.iter().filter(|pair| pair.result == PairResult::Unverified);
    let read = unverified.filter_map(|pair: &Pair| {
        Some(MissingResult {
            broker: broker.to_owned(),
            consumer: pair.consumer.clone(),
            consumer_version: pair.consumer_version.clone(),
            provider: pair.provider.clone(),
            provider_version: pair.provider_version.clone()?,
        })
    });
    read.collect()
}

/// Whether a result is missing, by the broker's matrix of the two versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is a pact, and this version gave no result for it.
    Missing,
    /// It gave one, good or bad.
    Given,
    /// There is no pact that could be verified.
    NoPact,
}

/// See [`Standing`].
#[must_use]
pub fn standing(missing: &MissingResult, matrix: &Matrix) -> Standing {
    let mut pacts = matrix
        .rows
        .iter()
        .filter(|row| {
            (&row.consumer, &row.consumer_version, &row.provider)
                == (&missing.consumer, &missing.consumer_version, &missing.provider)
        })
        .peekable();
    if pacts.peek().is_none() {
        return Standing::NoPact;
    }
    let given =
        pacts.any(|row| row.provider_version.as_ref() == Some(&missing.provider_version) && row.success.is_some());
    if given { Standing::Given } else { Standing::Missing }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::deployment::CheckedPair,
        decide::{
            record::fixtures::{check, version},
            verdict::{MatrixRow, Verdict},
        },
    };

    fn name(text: &str) -> Pacticipant {
        Pacticipant::parse(text).unwrap()
    }

    fn wanted() -> MissingResult {
        MissingResult {
            broker: "main".into(),
            consumer: name("web"),
            consumer_version: version("7"),
            provider: name("stock"),
            provider_version: version("1"),
        }
    }

    #[test]
    fn only_what_is_unverified_and_has_a_provider_version_is_missing() {
        let pair = |result: &str, provider_version: Option<&str>| CheckedPair {
            consumer: "web".into(),
            consumer_version: "7".into(),
            provider: "stock".into(),
            provider_version: provider_version.map(str::to_owned),
            result: result.into(),
        };
        for (result, provider_version, is_missing) in [
            ("Unverified", Some("1"), true),
            ("Unverified", None, false),
            ("NotDeployed", None, false),
            ("Failed", Some("1"), false),
            ("Verified", Some("1"), false),
            ("Other", Some("1"), false),
        ] {
            let check = crate::api::deployment::Check {
                pairs: vec![pair(result, provider_version)],
                ..check("7", "Unknown", true)
            };
            let expected = if is_missing { vec![wanted()] } else { Vec::new() };
            assert_eq!(missing_in("main", &check), expected, "{result}");
            let judged = Pair {
                result: PairResult::named(result).unwrap_or(PairResult::Verified),
                consumer: name("web"),
                consumer_version: version("7"),
                provider: name("stock"),
                provider_version: provider_version.map(version),
                in_flight: false,
            };
            let mut judgement = Judgement::without_pairs(Verdict::Unknown, "");
            judgement.pairs = vec![judged];
            assert_eq!(missing_of("main", &judgement), expected, "{result}");
        }
    }

    #[test]
    fn the_matrix_of_the_two_versions_says_whether_it_is_missing_still() {
        let row = |consumer_version: &str, by: Option<&str>, success| MatrixRow {
            consumer: name("web"),
            consumer_version: version(consumer_version),
            provider: name("stock"),
            provider_version: by.map(version),
            success,
            ignored: false,
        };
        for (rows, expected) in [
            (vec![], Standing::NoPact),
            (vec![row("6", Some("1"), Some(true))], Standing::NoPact),
            (vec![row("7", None, None)], Standing::Missing),
            (vec![row("7", Some("2"), Some(true))], Standing::Missing),
            (vec![row("7", Some("2"), Some(true)), row("7", Some("1"), Some(true))], Standing::Given),
            (vec![row("7", Some("1"), Some(false))], Standing::Given),
        ] {
            let matrix = Matrix { rows, ..Matrix::default() };
            assert_eq!(standing(&wanted(), &matrix), expected, "{matrix:?}");
        }
    }
}
