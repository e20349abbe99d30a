//! From a broker's matrix to a verdict. The broker's own verdict errs in four ways that were seen on real brokers, and
//! this reading in none of them (docs/contributing/broker-api.md#where-can-i-deploy-errs):
//!
//! - what failed is looked at before what is unknown: the broker's answer is "unknown" when both are there;
//! - the matrix must have been asked for with a row for each provider version, and without the limit of 100 rows:
//!   either hides failures (a matter of the caller, see [`crate::broker`]);
//! - a provider version that is live in the environment and never verified our pact has no row at all as soon as
//!   another one did. So every live version of every provider that we need must be in a row; one that is missing is
//!   unknown. (The other way round nothing is hidden: each consumer version has a row of its own.) A row that is left
//!   out because its provider's version is ignored hides others all the same;
//! - a yes to nothing is distinguished from a yes.

use std::collections::BTreeSet;

use super::{LiveVersions, Matrix, MatrixRow, Pair, PairResult, Question, Verdict};
use crate::api::names::Pacticipant;

/// A verdict and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The pairs that were looked at, the worst first; those that the question leaves out are not among them.
    pub pairs: Vec<Pair>,
    /// Why, where the pairs do not show it: what is missing, what the broker did instead of answering.
    pub explanation: Option<String>,
}

impl Judgement {
    /// A verdict that rests on no pair.
    #[must_use]
    pub fn without_pairs(verdict: Verdict, explanation: impl Into<String>) -> Self {
        Self { verdict, pairs: Vec::new(), explanation: Some(explanation.into()) }
    }

    /// The pairs that keep it from being a yes.
    pub fn failing(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(|pair| pair.result != PairResult::Verified)
    }
}

/// The providers whose live versions have to be looked up before [`judge`] can decide: those that our version has pacts
/// with. None when it failed anyway, or does not exist.
///
/// An application that is its own provider is left out: its other versions go when this one comes.
#[must_use]
pub fn wants_live(question: &Question, matrix: &Matrix) -> BTreeSet<Pacticipant> {
    if is_missing(matrix) || has_failed(matrix) {
        return BTreeSet::new();
    }
    matrix.rows.iter().filter(|row| needs_provider(question, row)).map(|row| row.provider.clone()).collect()
}

/// The verdict on a question. `live` must hold at least what [`wants_live`] asked for.
#[must_use]
pub fn judge(question: &Question, matrix: &Matrix, live: &LiveVersions) -> Judgement {
    if is_missing(matrix) {
        let explanation = format!(
            "the broker has no version {} of {}: no pacts or verification results were published with it",
            question.version, question.pacticipant
        );
        return Judgement::without_pairs(Verdict::VersionMissing, explanation);
    }
    let pairs = pairs(question, matrix, live);
    let failing = |result| pairs.iter().any(|pair| pair.result == result);
    let (verdict, explanation) = if failing(PairResult::Failed) || has_failed(matrix) {
        (Verdict::No, None)
    } else if failing(PairResult::Unverified) || failing(PairResult::NotDeployed) {
        (Verdict::Unknown, None)
    } else if matrix.unreadable > 0 {
        let rows = if matrix.unreadable == 1 { "row" } else { "rows" };
        (Verdict::Unknown, Some(format!("the broker's answer has {} {rows} that cannot be read", matrix.unreadable)))
    } else if matrix.unknown > 0 || matrix.deployable != Some(true) {
        // Never less careful than the broker, whatever it has in mind.
        (Verdict::Unknown, Some("the broker does not say yes, and not why".to_owned()))
    } else if !adds_up(matrix) {
        (Verdict::Unknown, Some("the broker's answer contradicts itself: its rows are not those it counted".to_owned()))
    } else if pairs.is_empty() {
        (Verdict::YesVacuous, None)
    } else {
        (Verdict::Yes, None)
    };
    Judgement { verdict, pairs, explanation }
}

/// A version that does not exist is answered like one that failed, with nothing that failed: of a version that exists,
/// the broker says no only when something failed. Pacts of live consumers with it may be there; results cannot.
fn is_missing(matrix: &Matrix) -> bool {
    let no_result = matrix.success == 0 && matrix.failed == 0 && matrix.rows.iter().all(|row| row.success.is_none());
    matrix.deployable == Some(false) && no_result && matrix.unreadable == 0
}

fn has_failed(matrix: &Matrix) -> bool {
    matrix.failed > 0 || considered(matrix).any(|row| row.success == Some(false))
}

fn considered(matrix: &Matrix) -> impl Iterator<Item = &MatrixRow> {
    matrix.rows.iter().filter(|row| !row.ignored)
}

/// Whether the rows are no fewer than those that were counted as verified, and each has a result: otherwise a yes rests
/// on what we do not see.
fn adds_up(matrix: &Matrix) -> bool {
    let shown = considered(matrix).filter(|row| row.success.is_some()).count();
    shown == considered(matrix).count() && usize::try_from(matrix.success).is_ok_and(|counted| counted <= shown)
}

/// Whether it is our pact with a provider that is not left out altogether.
fn needs_provider(question: &Question, row: &MatrixRow) -> bool {
    let left_out = question.ignore.iter().any(|ignored| {
        ignored.covers(&row.consumer, &row.consumer_version)
            || (ignored.version.is_none() && ignored.pacticipant == row.provider)
    });
    row.consumer == question.pacticipant && row.provider != question.pacticipant && !left_out
}

/// Every pair that has to get along, the worst first, each once.
fn pairs(question: &Question, matrix: &Matrix, live: &LiveVersions) -> Vec<Pair> {
    let mut pairs = BTreeSet::new();
    for row in &matrix.rows {
        let pair = |result, provider_version| Pair {
            result,
            consumer: row.consumer.clone(),
            consumer_version: row.consumer_version.clone(),
            provider: row.provider.clone(),
            provider_version,
        };
        let known = if needs_provider(question, row) { live.of(&row.provider) } else { None };
        match (row.success, known) {
            _ if row.ignored => {}
            (Some(true), _) => drop(pairs.insert(pair(PairResult::Verified, row.provider_version.clone()))),
            (Some(false), _) => drop(pairs.insert(pair(PairResult::Failed, row.provider_version.clone()))),
            // Its live versions are listed one by one below.
            (None, Some(versions)) if !versions.is_empty() => {}
            (None, Some(_)) => drop(pairs.insert(pair(PairResult::NotDeployed, None))),
            (None, None) => {
                // As a provider we are the version that has no result.
                let ours = (row.provider == question.pacticipant).then(|| question.version.clone());
                pairs.insert(pair(PairResult::Unverified, row.provider_version.clone().or(ours)));
            }
        }
        for version in known.into_iter().flatten() {
            let seen = matrix.rows.iter().any(|other| {
                other.consumer == row.consumer
                    && other.consumer_version == row.consumer_version
                    && other.provider == row.provider
                    && other.provider_version.as_ref() == Some(version)
                    && other.success.is_some()
            });
            let left_out = question.ignore.iter().any(|ignored| ignored.covers(&row.provider, version));
            if !seen && !left_out {
                pairs.insert(pair(PairResult::Unverified, Some(version.clone())));
            }
        }
    }
    pairs.into_iter().collect()
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
