//! Why a verdict is what it is, as a clause.

use crate::{
    api::names::{EnvironmentName, Pacticipant},
    decide::{Destination, Judgement, Pair, PairResult, Selection, Selector, Vacuous, Verdict, Versions},
};

/// Why a verdict on an application is what it is, to stand after a colon; names the worst pair with both versions and
/// says how many more there are.
#[must_use]
pub fn reason_clause(pacticipant: &Pacticipant, environment: &EnvironmentName, judgement: &Judgement) -> String {
    let failing: Vec<_> = judgement.failing().collect();
    match (judgement.verdict, failing.first(), &judgement.explanation) {
        (Verdict::Yes, ..) if judgement.pairs.len() == 1 => "its only pair is verified".to_owned(),
        (Verdict::Yes, ..) => format!("all {} are verified", counted(judgement.pairs.len(), "pair")),
        (Verdict::YesVacuous, ..) => vacuous(environment, judgement.vacuous),
        (_, Some(worst), _) => {
            let more = match failing.len() - 1 {
                0 => String::new(),
                more => format!(", and {}", counted(more, "more pair")),
            };
            format!("{}{more}", of_pair(pacticipant, environment, worst))
        }
        (Verdict::No, None, None) => "the broker says that a verification failed".to_owned(),
        (_, None, Some(explanation)) => explanation.clone(),
        (_, None, None) => "there was no usable answer".to_owned(),
    }
}

/// Why a verdict on a selection is what it is, to stand after a colon: as [`reason_clause`] for one version and an
/// environment; else the worst pair with both its sides.
#[must_use]
pub fn selection_clause(selection: &Selection, judgement: &Judgement) -> String {
    if let ([Selector { pacticipant, versions: Versions::One(_) }], Destination::Environment(environment)) =
        (selection.selectors.as_slice(), &selection.destination)
    {
        return reason_clause(pacticipant, environment, judgement);
    }
    let failing: Vec<_> = judgement.failing().collect();
    match (judgement.verdict, failing.first(), &judgement.explanation) {
        (Verdict::Yes, ..) if judgement.pairs.len() == 1 => "the only pair is verified".to_owned(),
        (Verdict::Yes, ..) => format!("all {} are verified", counted(judgement.pairs.len(), "pair")),
        (Verdict::YesVacuous, ..) => "nothing had to be verified, no pact connects them".to_owned(),
        (_, Some(worst), _) => {
            let result = match worst.result {
                PairResult::Failed => "the verification failed".to_owned(),
                PairResult::Unverified => "there is no verification result".to_owned(),
                PairResult::NotDeployed => {
                    format!("no version of {} is in {}", brief(worst.provider.as_str()), selection.destination)
                }
                PairResult::Verified => "verified".to_owned(),
            };
            let more = match failing.len() - 1 {
                0 => String::new(),
                more => format!(", and {}", counted(more, "more pair")),
            };
            format!("{}: {result}{more}", pair(worst))
        }
        (_, None, Some(explanation)) => explanation.clone(),
        (_, None, None) => "there was no usable answer".to_owned(),
    }
}

fn vacuous(environment: &EnvironmentName, why: Option<Vacuous>) -> String {
    let environment = brief(environment.as_str());
    let why = match why {
        Some(Vacuous::Contentless) => "the version is empty at the broker, without pacts and results".to_owned(),
        Some(Vacuous::NoCounterpart) => format!("it has no pacts, and no application in {environment} has one with it"),
        Some(Vacuous::Ignored) => "its pacts are with ignored applications".to_owned(),
        None => format!("no application in {environment} has a pact with it"),
    };
    format!("nothing had to be verified, {why}")
}

fn of_pair(ours: &Pacticipant, environment: &EnvironmentName, pair: &Pair) -> String {
    let version = pair.provider_version.as_ref().map(|version| format!(" {}", brief(version.as_str())));
    let (version, environment) = (version.unwrap_or_default(), brief(environment.as_str()));
    let (consumer, provider) = (brief(pair.consumer.as_str()), brief(pair.provider.as_str()));
    let consumer_version = brief(pair.consumer_version.as_str());
    // The other side is the one that rolls out.
    let (version, consumer_version) = match (pair.in_flight, *ours == pair.consumer) {
        (false, _) => (version, consumer_version),
        (true, true) => (format!("{version} (rolling out now)"), consumer_version),
        (true, false) => (version, format!("{consumer_version} (rolling out now)")),
    };
    match (pair.result, *ours == pair.consumer) {
        (PairResult::Failed, true) => format!("{provider}{version} failed to verify its pact"),
        (PairResult::Failed, false) => format!("it failed to verify the pact of {consumer} {consumer_version}"),
        (PairResult::Unverified, true) => format!("{provider}{version} has not verified its pact"),
        (PairResult::Unverified, false) => format!("it has not verified the pact of {consumer} {consumer_version}"),
        (PairResult::NotDeployed, _) => format!("it needs {provider}, and no version of that is in {environment}"),
        (PairResult::Verified, true) => format!("{provider}{version} verified its pact"),
        (PairResult::Verified, false) => format!("it verified the pact of {consumer} {consumer_version}"),
    }
}

/// A name as it stands in a sentence: a commit's sha is whole, and five of them leave room within 256 characters.
#[must_use]
pub fn brief(name: &str) -> String {
    super::shortened(name, 40)
}

/// What whoever deploys should know of a pair with a version that is rolling out, and that decides nothing: for a
/// warning.
#[must_use]
pub fn caution(pacticipant: &Pacticipant, environment: &EnvironmentName, pair: &Pair) -> String {
    let version = pair.provider_version.as_ref().map_or("", |version| version.as_str());
    match pair.result {
        PairResult::Verified => {
            format!("it needs {} {}, which is only rolling out now", brief(pair.provider.as_str()), brief(version))
        }
        _ => of_pair(pacticipant, environment, pair),
    }
}

/// A pair as a line of a list: `web 3.1 → orders 2.0.0`, the consumer first.
#[must_use]
pub fn pair(pair: &Pair) -> String {
    let version = pair.provider_version.as_ref().map_or("(no version)", |version| version.as_str());
    let now = if pair.in_flight { " (rolling out now)" } else { "" };
    format!("{} {} → {} {version}{now}", pair.consumer, pair.consumer_version, pair.provider)
}

/// A number of things: `1 pair`, `2 pairs`.
#[must_use]
pub fn counted(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}
