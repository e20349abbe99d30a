//! From a broker's matrix and what runs in the environment to a verdict. The broker's own verdict errs in four ways that
//! were seen on real brokers, and this reading in none of them (docs/contributing/broker-api.md#where-can-i-deploy-errs):
//!
//! - what failed is looked at before what is unknown: the broker's answer is "unknown" when both are there;
//! - the matrix must have been asked for with a row for each provider version, and without the limit of 100 rows:
//!   either hides failures (a matter of the caller, see [`crate::broker`]);
//! - a provider version that is live in the environment and never verified our pact has no row at all as soon as
//!   another one did. So every live version of every provider that we need must be in a row; one that is missing is
//!   unknown. (The other way round nothing is hidden: each consumer version has a row of its own.) A row that is left
//!   out because its provider's version is ignored hides others all the same;
//! - a yes to nothing is distinguished from a yes.
//!
//! What runs and is not recorded counts like what is recorded (cases 75, 94 and 95). The broker knows nothing of it in its
//! matrix for the environment, so it is asked about such versions by name.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Evidence, LiveVersions, Matrix, MatrixRow, Pair, PairResult, Question, UnrecordedVersion, Vacuous, Verdict,
};
use crate::{
    api::{
        gate::InFlight,
        names::{Pacticipant, Version},
    },
    decide::near_miss::{is_slip, nearest, other_spelling, spelling},
};

/// A verdict and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The pairs that were looked at, the worst first; those that the question leaves out are not among them.
    pub pairs: Vec<Pair>,
    /// Pairs with versions that are rolling out, which do not decide, but which whoever deploys should know: a provider
    /// that is needed and only on its way, and whatever is not verified where the environment says
    /// [`InFlight::Warn`].
    pub cautions: Vec<Pair>,
    /// Why a yes is vacuous, where that is known.
    pub vacuous: Option<Vacuous>,
    /// The application that was meant, most likely: its name is the one that is asked about with a slip, and it is in the
    /// environment, or it is the broker's spelling of that name (cases 89 and 90).
    pub meant: Option<Pacticipant>,
    /// Why, where the pairs do not show it: what is missing, what the broker did instead of answering.
    pub explanation: Option<String>,
}

impl Judgement {
    /// A verdict that rests on no pair.
    #[must_use]
    pub fn without_pairs(verdict: Verdict, explanation: impl Into<String>) -> Self {
        let explanation = Some(explanation.into());
        Self { verdict, pairs: Vec::new(), cautions: Vec::new(), vacuous: None, meant: None, explanation }
    }

    /// The verdict on a pacticipant that the broker does not know; `live` is what is in the environment.
    #[must_use]
    pub fn of_unknown_pacticipant(question: &Question, live: &LiveVersions) -> Self {
        let unknown = format!("the broker knows no pacticipant named {}", question.pacticipant);
        let ours = question.pacticipant.as_str();
        let there: BTreeSet<_> = live.pacticipants().collect();
        let meant = there.iter().find(|name| is_slip(ours, name.as_str())).copied().cloned();
        let near = match &meant {
            Some(meant) => Some(meant.as_str()),
            None => nearest(ours, there.iter().map(|name| name.as_str())),
        };
        let explanation = match near {
            Some(near) => format!("{unknown}; {} has {near}", question.environment),
            None => unknown,
        };
        Self { meant, ..Self::without_pairs(Verdict::PacticipantUnknown, explanation) }
    }

    /// The pairs that keep it from being a yes.
    pub fn failing(&self) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(|pair| pair.result != PairResult::Verified)
    }
}

/// Whether what is live has to be known before [`judge`] can decide: not when the version failed anyway, or does not
/// exist.
#[must_use]
pub fn wants_live(matrix: &Matrix) -> bool {
    !is_missing(matrix) && !has_failed(matrix)
}

/// The verdict on a question.
#[must_use]
pub fn judge(question: &Question, evidence: &Evidence<'_>) -> Judgement {
    let matrix = evidence.matrix;
    if let Some(row) = considered(matrix).find(|row| !is_about(question, row)) {
        return about_something_else(question, row);
    }
    if is_missing(matrix) {
        let explanation = format!(
            "the broker has no version {} of {}: no pacts or verification results were published with it",
            question.version, question.pacticipant
        );
        return Judgement::without_pairs(Verdict::VersionMissing, explanation);
    }
    let Compared { pairs, cautions, explained } = compare(question, evidence);
    let failing = |result| pairs.iter().any(|pair| pair.result == result);
    let unreadable = matrix.unreadable + evidence.pairs.unreadable;
    let says_yes = matrix.deployable == Some(true) || (explained > 0 && matrix.deployable.is_none());
    let (verdict, explanation) = if failing(PairResult::Failed) || has_failed(matrix) {
        (Verdict::No, None)
    } else if failing(PairResult::Unverified) || failing(PairResult::NotDeployed) {
        (Verdict::Unknown, None)
    } else if unreadable > 0 {
        let rows = if unreadable == 1 { "row" } else { "rows" };
        (Verdict::Unknown, Some(format!("the broker's answer has {unreadable} {rows} that cannot be read")))
    } else if usize::try_from(matrix.unknown).is_ok_and(|unknown| unknown > explained) || !says_yes {
        // Never less careful than the broker, whatever it has in mind.
        (Verdict::Unknown, Some("the broker does not say yes, and not why".to_owned()))
    } else if !adds_up(matrix, explained) || !shows_its_results(evidence.pairs) {
        (Verdict::Unknown, Some("the broker's answer contradicts itself: its rows are not those it counted".to_owned()))
    } else if pairs.is_empty() {
        (Verdict::YesVacuous, None)
    } else {
        (Verdict::Yes, None)
    };
    let (pairs, cautions) = (pairs.into_iter().collect(), cautions.into_iter().collect());
    Judgement { verdict, pairs, cautions, vacuous: None, meant: None, explanation }
}

/// Whether our version is a side of a row. A provider without a result is shown without its version.
fn is_about(question: &Question, row: &MatrixRow) -> bool {
    let ours = |pacticipant: &Pacticipant, version: &Version| {
        (pacticipant, version) == (&question.pacticipant, &question.version)
    };
    ours(&row.consumer, &row.consumer_version)
        || ours(&row.provider, row.provider_version.as_ref().unwrap_or(&question.version))
}

/// The verdict by an answer that holds a row of which we are no side (cases 90 and 91).
fn about_something_else(question: &Question, row: &MatrixRow) -> Judgement {
    if let Some(theirs) = spelled_otherwise(question, row) {
        return of_other_spelling(question, theirs);
    }
    let explanation = format!(
        "the broker's answer is about something else: it has {} {} and {}, and not {} {}. Does a cache in front of it leave \
         out the query?",
        row.consumer, row.consumer_version, row.provider, question.pacticipant, question.version
    );
    Judgement::without_pairs(Verdict::BrokerUnavailable, explanation)
}

/// The broker's spelling of our pacticipant, where it is another one than ours, and a row shows it (case 90).
#[must_use]
pub fn brokers_spelling<'a>(question: &Question, matrix: &'a Matrix) -> Option<&'a Pacticipant> {
    matrix.rows.iter().filter(|row| !is_about(question, row)).find_map(|row| spelled_otherwise(question, row))
}

fn spelled_otherwise<'a>(question: &Question, row: &'a MatrixRow) -> Option<&'a Pacticipant> {
    let ours = &question.pacticipant;
    [&row.consumer, &row.provider].into_iter().find(|name| other_spelling(ours, name))
}

/// The verdict on a pacticipant that the broker knows under another spelling. Its answer is not used: what runs is
/// compared by names.
#[must_use]
pub fn of_other_spelling(question: &Question, theirs: &Pacticipant) -> Judgement {
    let explanation = spelling(&question.pacticipant, theirs.as_str());
    Judgement { meant: Some(theirs.clone()), ..Judgement::without_pairs(Verdict::PacticipantUnknown, explanation) }
}

/// A version that does not exist is answered like one that failed, with nothing that failed: of a version that exists,
/// the broker says no only when something failed. Pacts of live consumers with it may be there; results cannot.
pub(super) fn is_missing(matrix: &Matrix) -> bool {
    let no_result = matrix.success == 0 && matrix.failed == 0 && matrix.rows.iter().all(|row| row.success.is_none());
    matrix.deployable == Some(false) && no_result && matrix.unreadable == 0
}

pub(super) fn has_failed(matrix: &Matrix) -> bool {
    matrix.failed > 0 || considered(matrix).any(|row| row.success == Some(false))
}

pub(super) fn considered(matrix: &Matrix) -> impl Iterator<Item = &MatrixRow> {
    matrix.rows.iter().filter(|row| !row.ignored)
}

/// Whether the rows are no fewer than those that were counted as verified, and each has a result or is `explained` by
/// the results of unrecorded versions: otherwise a yes rests on what we do not see.
pub(super) fn adds_up(matrix: &Matrix, explained: usize) -> bool {
    let shown = considered(matrix).filter(|row| row.success.is_some()).count();
    shown + explained == considered(matrix).count() && shows_its_results(matrix)
}

/// Whether no result was counted that is not shown.
fn shows_its_results(matrix: &Matrix) -> bool {
    let shown = considered(matrix).filter(|row| row.success.is_some()).count();
    usize::try_from(matrix.success).is_ok_and(|counted| counted <= shown)
}

/// Whether it is our pact with a provider that is not left out altogether.
fn needs_provider(question: &Question, row: &MatrixRow) -> bool {
    let left_out = question.ignore.iter().any(|ignored| {
        ignored.covers(&row.consumer, &row.consumer_version)
            || (ignored.version.is_none() && ignored.pacticipant == row.provider)
    });
    row.consumer == question.pacticipant && row.provider != question.pacticipant && !left_out
}

fn is_left_out(question: &Question, pacticipant: &Pacticipant, version: &Version) -> bool {
    question.ignore.iter().any(|ignored| ignored.covers(pacticipant, version))
}

/// The pairs, each once.
#[derive(Default)]
struct Compared {
    /// Those that decide.
    pairs: BTreeSet<Pair>,
    /// Those that whoever deploys should know.
    cautions: BTreeSet<Pair>,
    /// How many rows without a result the broker shows only because it does not know of an unrecorded version that has
    /// one.
    explained: usize,
}

impl Compared {
    /// Takes in a pair; one that is not verified with a version in flight decides only where the environment says so.
    fn take(&mut self, pair: Pair, question: &Question) {
        if pair.in_flight && pair.result != PairResult::Verified && question.in_flight != InFlight::Count {
            self.cautions.insert(pair);
        } else {
            self.pairs.insert(pair);
        }
    }
}

/// Every pair that has to get along.
fn compare(question: &Question, evidence: &Evidence<'_>) -> Compared {
    let mut compared = Compared::default();
    let counts = |one: &&UnrecordedVersion| !one.in_flight || question.in_flight != InFlight::Ignore;
    let unrecorded: Vec<_> = evidence.unrecorded.iter().filter(counts).collect();
    for row in &evidence.matrix.rows {
        let pair = |result, provider_version, in_flight| Pair {
            result,
            consumer: row.consumer.clone(),
            consumer_version: row.consumer_version.clone(),
            provider: row.provider.clone(),
            provider_version,
            in_flight,
        };
        match row.success {
            _ if row.ignored => {}
            Some(true) => compared.take(pair(PairResult::Verified, row.provider_version.clone(), false), question),
            Some(false) => compared.take(pair(PairResult::Failed, row.provider_version.clone(), false), question),
            // Below, where its live versions are known.
            None if needs_provider(question, row) && evidence.recorded.of(&row.provider).is_some() => {}
            None => {
                // As a provider we are the version that has no result.
                let ours = (row.provider == question.pacticipant).then(|| question.version.clone());
                compared.take(pair(PairResult::Unverified, row.provider_version.clone().or(ours), false), question);
            }
        }
        let Some(recorded) = evidence.recorded.of(&row.provider).filter(|_| needs_provider(question, row)) else {
            continue;
        };
        let mut live: BTreeMap<_, _> = recorded.iter().map(|version| (version, false)).collect();
        let more = unrecorded.iter().filter(|one| one.pacticipant == row.provider);
        live.extend(more.map(|one| (&one.version, one.in_flight)));
        let result = |of: &Matrix, version: &Version| {
            let by_it = |other: &&MatrixRow| {
                (&other.consumer, &other.consumer_version, &other.provider, other.provider_version.as_ref())
                    == (&row.consumer, &row.consumer_version, &row.provider, Some(version))
            };
            of.rows.iter().filter(by_it).find_map(|other| other.success)
        };
        let known = |version| result(evidence.matrix, version).or_else(|| result(evidence.pairs, version));
        if row.success.is_none() && !row.ignored {
            let only_warned = question.in_flight == InFlight::Warn && live.values().all(|in_flight| *in_flight);
            if live.is_empty() {
                compared.take(pair(PairResult::NotDeployed, None, false), question);
            } else if only_warned || live.keys().any(|version| result(evidence.pairs, version).is_some()) {
                compared.explained += 1;
            }
        }
        let on_its_way = !live.is_empty() && live.values().all(|in_flight| *in_flight);
        for (version, in_flight) in live {
            if is_left_out(question, &row.provider, version) || result(evidence.matrix, version).is_some() {
                continue;
            }
            let result = PairResult::of(known(version));
            let pair = pair(result, Some(version.clone()), in_flight);
            if on_its_way && result == PairResult::Verified {
                compared.cautions.insert(pair.clone());
            }
            compared.take(pair, question);
        }
    }
    for row in evidence.pairs.rows.iter().filter(|row| row.provider == question.pacticipant) {
        let consumer =
            // A broker that ignores case answers in its own spelling (case 90).
            unrecorded.iter().find(|one| {
                one.version == row.consumer_version
                    && (one.pacticipant == row.consumer || other_spelling(&one.pacticipant, &row.consumer))
            });
        let Some(consumer) = consumer else { continue };
        // Of our own version only a result can be left out, as in the broker's matrix.
        let ours_left_out = question.leaves_out_all_of(&question.pacticipant)
            || (row.success.is_some() && is_left_out(question, &question.pacticipant, &question.version));
        if !is_about(question, row) || ours_left_out || is_left_out(question, &row.consumer, &row.consumer_version) {
            continue;
        }
        let result = PairResult::of(row.success);
        let pair = Pair {
            result,
            consumer: row.consumer.clone(),
            consumer_version: row.consumer_version.clone(),
            provider: row.provider.clone(),
            provider_version: Some(question.version.clone()),
            in_flight: consumer.in_flight,
        };
        compared.take(pair, question);
    }
    compared
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod names_tests;
#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
#[cfg(test)]
#[path = "unrecorded_tests.rs"]
mod unrecorded_tests;
