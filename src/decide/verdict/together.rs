//! The verdict on several versions that would be deployed together, and on rows that are about no environment.

use std::collections::BTreeSet;

use super::{
    Ignored, Judgement, Matrix, Pair, PairResult, Question, Verdict,
    judge::{adds_up, considered, has_failed, is_missing},
};
use crate::api::names::{Pacticipant, Version};

/// One version of a set.
pub type Member = (Pacticipant, Version);

/// A question about a member of a set: the others are not judged as what the environment has of them now.
#[must_use]
pub fn among(question: Question, members: &[Member]) -> Question {
    let others = members.iter().map(|(other, _)| other).filter(|other| **other != question.pacticipant);
    let others = others.map(|other| Ignored { pacticipant: other.clone(), version: None });
    let ignore: BTreeSet<_> = others.chain(question.ignore.iter().cloned()).collect();
    Question { ignore: ignore.into_iter().collect(), ..question }
}

/// What is left out of the pairs of a set: what the question about each of its members leaves out.
#[must_use]
pub fn ignored_by_all(questions: &[Question]) -> Vec<Ignored> {
    let Some((first, others)) = questions.split_first() else { return Vec::new() };
    let by_all = |ignored: &&Ignored| others.iter().all(|question| question.ignore.contains(ignored));
    first.ignore.iter().filter(by_all).cloned().collect()
}

/// The verdict by the rows of a matrix alone, as read for the official clients' question without an environment: nothing
/// is known of versions that have no row.
#[must_use]
pub fn by_rows(matrix: &Matrix) -> Judgement {
    if is_missing(matrix) {
        let explanation = "the broker has no such version: no pacts or verification results were published with it";
        return Judgement::without_pairs(Verdict::VersionMissing, explanation);
    }
    let pairs: BTreeSet<Pair> = considered(matrix).map(pair).collect();
    let unverified = pairs.iter().any(|pair| pair.result == PairResult::Unverified);
    let (verdict, explanation) = if has_failed(matrix) {
        (Verdict::No, None)
    } else if unverified {
        (Verdict::Unknown, None)
    } else if matrix.unreadable > 0 {
        (Verdict::Unknown, Some(format!("{} rows of the broker's answer cannot be read", matrix.unreadable)))
    } else if matrix.unknown > 0 || matrix.deployable != Some(true) {
        // Never less careful than the broker, whatever it has in mind.
        (Verdict::Unknown, Some("the broker does not say yes, and not why".to_owned()))
    } else if !adds_up(matrix, 0) {
        (Verdict::Unknown, Some("the broker's answer contradicts itself: its rows are not those it counted".to_owned()))
    } else if pairs.is_empty() {
        (Verdict::YesVacuous, None)
    } else {
        (Verdict::Yes, None)
    };
    Judgement { explanation, ..of_pairs(verdict, pairs) }
}

/// The verdict on a set: `alone` has a judgement of each member by what is in the environment, the other members left
/// out; `between` is the broker's matrix of the members with each other.
#[must_use]
pub fn together(members: &[Member], alone: &[Judgement], between: &Matrix, ignore: &[Ignored]) -> Judgement {
    let left_out = |pacticipant: &Pacticipant, version: &Version| {
        ignore.iter().any(|ignored| ignored.covers(pacticipant, version))
    };
    let version_of = |pacticipant: &Pacticipant| {
        members.iter().filter(|(name, _)| name == pacticipant).map(|(_, version)| version).collect::<Vec<_>>()
    };
    let mut pairs: BTreeSet<Pair> = alone.iter().flat_map(|judgement| judgement.pairs.iter().cloned()).collect();
    for row in &between.rows {
        let mut pair = pair(row);
        let providers = version_of(&row.provider);
        // A provider without a result is shown without its version.
        if let (None, [only]) = (&pair.provider_version, providers.as_slice()) {
            pair.provider_version = Some((*only).clone());
        }
        let of_ours = version_of(&row.consumer).contains(&&row.consumer_version)
            && pair.provider_version.as_ref().map_or(!providers.is_empty(), |version| providers.contains(&version));
        let ignored = left_out(&row.consumer, &row.consumer_version)
            || pair.provider_version.as_ref().is_some_and(|version| left_out(&row.provider, version));
        if of_ours && !ignored {
            pairs.insert(pair);
        }
    }
    let cautions: BTreeSet<Pair> = alone.iter().flat_map(|judgement| judgement.cautions.iter().cloned()).collect();
    let worst = alone.iter().max_by_key(|judgement| weight(judgement.verdict));
    let mut judgement = worst.map_or_else(|| of_pairs(Verdict::YesVacuous, BTreeSet::new()), Clone::clone);
    let failing = |result| pairs.iter().any(|pair| pair.result == result);
    let between = if failing(PairResult::Failed) {
        Verdict::No
    } else if failing(PairResult::Unverified) || failing(PairResult::NotDeployed) || between.unreadable > 0 {
        Verdict::Unknown
    } else if pairs.is_empty() {
        Verdict::YesVacuous
    } else {
        Verdict::Yes
    };
    if weight(between) > weight(judgement.verdict) {
        judgement.verdict = between;
        judgement.explanation = (between == Verdict::Unknown
            && pairs.iter().all(|it| it.result == PairResult::Verified))
        .then(|| "rows of the broker's answer cannot be read".to_owned());
    }
    judgement.pairs = pairs.into_iter().collect();
    judgement.cautions = cautions.into_iter().collect();
    judgement
}

/// How much a verdict counts in a set: what failed first, then what is not known of a member, then what could not be
/// asked about at all, which nobody can weigh.
fn weight(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::YesVacuous => 0,
        Verdict::Yes => 1,
        Verdict::Unknown => 2,
        Verdict::VersionMissing => 3,
        Verdict::PacticipantUnknown => 4,
        Verdict::No => 5,
        Verdict::EnvironmentMissing => 6,
        Verdict::Unauthorized => 7,
        Verdict::BrokerUnavailable => 8,
    }
}

fn pair(row: &super::MatrixRow) -> Pair {
    Pair {
        result: PairResult::of(row.success),
        consumer: row.consumer.clone(),
        consumer_version: row.consumer_version.clone(),
        provider: row.provider.clone(),
        provider_version: row.provider_version.clone(),
        in_flight: false,
    }
}

fn of_pairs(verdict: Verdict, pairs: BTreeSet<Pair>) -> Judgement {
    Judgement {
        verdict,
        pairs: pairs.into_iter().collect(),
        cautions: Vec::new(),
        vacuous: None,
        meant: None,
        explanation: None,
    }
}

#[cfg(test)]
#[path = "together_tests.rs"]
mod tests;
