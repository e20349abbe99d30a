//! From what was gathered of an environment to its picture.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;
use url::Url;

use super::{Application, Environment, LiveVersion, Relation};
use crate::{
    api::{
        deployment::{Check, CheckedPair},
        gate::InFlight,
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{
        Destination, Evidence, GateRules, LiveVersions, Matrix, MatrixRow, Pair, PairResult, Question, Selection,
        Selector, UnrecordedVersion, Versions, judge, messages,
    },
};

/// What was gathered of an environment.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Its name at the broker.
    pub environment: &'a EnvironmentName,
    /// The `PactBroker`, where there is a cluster.
    pub broker: Option<&'a str>,
    /// The broker's address as people reach it.
    pub address: Option<&'a str>,
    /// What the broker has as live there.
    pub recorded: &'a LiveVersions,
    /// What runs there besides.
    pub unrecorded: &'a [UnrecordedVersion],
    /// The applications that run there and that the broker does not know.
    pub unknown: &'a BTreeSet<Pacticipant>,
    /// What the gate leaves out there.
    pub rules: &'a GateRules,
    /// What is known of the pairs.
    pub known: Known<'a>,
    /// Now.
    pub now: Timestamp,
}

/// What is known of the pairs of an environment.
#[derive(Clone, Debug)]
pub enum Known<'a> {
    /// Rows of the broker's matrix: every pact between the live versions. One may be there twice.
    Rows {
        /// The rows.
        rows: &'a [MatrixRow],
        /// How many more could not be read.
        unreadable: usize,
    },
    /// The broker did not answer: what the operator found when it judged what runs.
    Remembered {
        /// What the records say.
        checks: Vec<&'a Check>,
        /// Why the broker did not answer.
        why: String,
    },
    /// Nothing.
    Nothing {
        /// Why.
        why: String,
    },
}

/// The picture of an environment.
#[must_use]
pub fn environment(facts: &Facts<'_>) -> Environment {
    let (pairs, notice) = match &facts.known {
        Known::Rows { rows, unreadable: 0 } => (judged(facts, rows), None),
        Known::Rows { rows, unreadable } => {
            let notice = format!("{unreadable} rows of the broker's answer cannot be read: something may be missing");
            (judged(facts, rows), Some(notice))
        }
        Known::Remembered { checks, why } => {
            let notice =
                format!("The pairs are those that the operator knew last, for the broker was not asked: {why}");
            (remembered(facts, checks), Some(notice))
        }
        Known::Nothing { why } => (BTreeSet::new(), Some(format!("The pairs are not known: {why}"))),
    };
    let address = facts.address.and_then(web_address);
    let relations = pairs.into_iter().map(|pair| relation(facts, address.as_deref(), pair));
    let mut relations: Vec<_> = relations.collect();
    relations
        .sort_by(|one, other| (one.ignored, one.state(), &one.pair).cmp(&(other.ignored, other.state(), &other.pair)));
    Environment {
        name: facts.environment.clone(),
        broker: facts.broker.map(str::to_owned),
        notice: notice.map(|notice| messages::one_line(&notice)),
        known: !matches!(facts.known, Known::Nothing { .. }),
        applications: applications(facts, address.as_deref()),
        pairs: relations,
        left_out: Vec::new(),
    }
}

/// Every pair of live versions with a pact, as it is judged when its consumer is asked about. Whoever is asked about, the
/// pairs are the same; and each has a live consumer.
fn judged(facts: &Facts<'_>, rows: &[MatrixRow]) -> BTreeSet<Pair> {
    let mut by_consumer: BTreeMap<(&Pacticipant, &Version), Vec<&MatrixRow>> = BTreeMap::new();
    for row in rows {
        by_consumer.entry((&row.consumer, &row.consumer_version)).or_default().push(row);
    }
    let live = by_consumer.into_iter().filter(|((pacticipant, version), _)| {
        facts.recorded.has(pacticipant, version) || is_unrecorded(facts, pacticipant, version).is_some()
    });
    live.flat_map(|((pacticipant, version), rows)| of_consumer(facts, pacticipant, version, &rows)).collect()
}

fn of_consumer(facts: &Facts<'_>, pacticipant: &Pacticipant, version: &Version, rows: &[&MatrixRow]) -> Vec<Pair> {
    let question = Question {
        pacticipant: pacticipant.clone(),
        version: version.clone(),
        environment: facts.environment.clone(),
        ignore: Vec::new(),
        in_flight: InFlight::Count,
    };
    // As the gate reads them: the matrix for the environment has what is recorded, another one the rest.
    let of_recorded = |row: &MatrixRow| {
        row.provider_version.as_ref().is_none_or(|provider_version| facts.recorded.has(&row.provider, provider_version))
    };
    let (mut matrix, pairs): (Vec<_>, Vec<_>) = rows.iter().map(|row| (*row).clone()).partition(of_recorded);
    for row in &pairs {
        // A pact of which nothing recorded has a result is a row without one.
        if !matrix.iter().any(|known| known.provider == row.provider) {
            matrix.push(MatrixRow { provider_version: None, success: None, ..row.clone() });
        }
    }
    let evidence = Evidence {
        matrix: &Matrix { rows: matrix, ..Matrix::default() },
        recorded: facts.recorded,
        unrecorded: facts.unrecorded,
        pairs: &Matrix { rows: pairs, ..Matrix::default() },
    };
    judge(&question, &evidence).pairs
}

/// The pairs that the operator found of versions that are still live.
fn remembered(facts: &Facts<'_>, checks: &[&Check]) -> BTreeSet<Pair> {
    let is_live = |pacticipant: &Pacticipant, version: &Version| {
        facts.recorded.has(pacticipant, version) || is_unrecorded(facts, pacticipant, version).is_some()
    };
    let pairs = checks.iter().flat_map(|check| &check.pairs).filter_map(read_pair);
    let live = pairs.filter(|pair| {
        let provider = pair.provider_version.as_ref();
        is_live(&pair.consumer, &pair.consumer_version)
            && provider.is_none_or(|version| is_live(&pair.provider, version))
    });
    live.collect()
}

fn read_pair(pair: &CheckedPair) -> Option<Pair> {
    Some(Pair {
        result: PairResult::named(&pair.result)?,
        consumer: Pacticipant::parse(&pair.consumer).ok()?,
        consumer_version: Version::parse(&pair.consumer_version).ok()?,
        provider: Pacticipant::parse(&pair.provider).ok()?,
        provider_version: pair.provider_version.as_deref().map(Version::parse).transpose().ok()?,
        in_flight: false,
    })
}

fn relation(facts: &Facts<'_>, address: Option<&str>, pair: Pair) -> Relation {
    let arrives = |pacticipant: &Pacticipant, version: &Version| {
        is_unrecorded(facts, pacticipant, version).is_some_and(|one| one.in_flight)
    };
    let rolling_out = pair.in_flight
        || arrives(&pair.consumer, &pair.consumer_version)
        || pair.provider_version.as_ref().is_some_and(|version| arrives(&pair.provider, version));
    let ignored = is_ignored(facts, &pair);
    let selector = |pacticipant: &Pacticipant, version: &Version| Selector {
        pacticipant: pacticipant.clone(),
        versions: Versions::One(version.clone()),
    };
    // With nothing that is there, a consumer has the matrix of the environment.
    let provider = pair.provider_version.as_ref().map(|version| selector(&pair.provider, version));
    let destination = match provider {
        Some(_) => Destination::EachOther,
        None => Destination::Environment(facts.environment.clone()),
    };
    let selectors = [selector(&pair.consumer, &pair.consumer_version)].into_iter().chain(provider).collect();
    let selection = Selection { selectors, destination, ignore: Vec::new() };
    let matrix = address.map(|address| messages::matrix_link(address, &selection.matrix_query()));
    let pact =
        address.map(|address| messages::pact_link(address, &pair.consumer, &pair.consumer_version, &pair.provider));
    Relation { pair, rolling_out, ignored, matrix, pact }
}

/// Whether the environment says to leave a pair out of the check of one of the two.
fn is_ignored(facts: &Facts<'_>, pair: &Pair) -> bool {
    let leaves_out = |asked: (&Pacticipant, &Version), other: (&Pacticipant, Option<&Version>)| {
        let question = facts.rules.question(asked.0, asked.1, facts.environment, facts.now);
        question.leaves_out_all_of(other.0)
            || other.1.is_some_and(|version| question.ignore.iter().any(|ignored| ignored.covers(other.0, version)))
    };
    let consumer = (&pair.consumer, &pair.consumer_version);
    leaves_out(consumer, (&pair.provider, pair.provider_version.as_ref()))
        || pair
            .provider_version
            .as_ref()
            .is_some_and(|version| leaves_out((&pair.provider, version), (consumer.0, Some(consumer.1))))
}

fn applications(facts: &Facts<'_>, address: Option<&str>) -> Vec<Application> {
    let mut by_name: BTreeMap<&Pacticipant, BTreeSet<LiveVersion>> = BTreeMap::new();
    for pacticipant in facts.recorded.pacticipants() {
        let recorded = facts.recorded.of(pacticipant).into_iter().flatten();
        let versions = recorded.map(|it| LiveVersion { version: it.clone(), recorded: true, rolling_out: false });
        by_name.entry(pacticipant).or_default().extend(versions);
    }
    for one in facts.unrecorded {
        let version = LiveVersion { version: one.version.clone(), recorded: false, rolling_out: one.in_flight };
        by_name.entry(&one.pacticipant).or_default().insert(version);
    }
    let application = |(pacticipant, versions): (&Pacticipant, BTreeSet<LiveVersion>)| {
        let published = !facts.unknown.contains(pacticipant);
        let link = address.filter(|_| published);
        Application {
            pacticipant: pacticipant.clone(),
            versions: versions.into_iter().collect(),
            published,
            link: link.map(|address| messages::pacticipant_link(address, pacticipant)),
        }
    };
    by_name.into_iter().map(application).collect()
}

fn is_unrecorded<'a>(facts: &Facts<'a>, pacticipant: &Pacticipant, version: &Version) -> Option<&'a UnrecordedVersion> {
    facts.unrecorded.iter().find(|one| (&one.pacticipant, &one.version) == (pacticipant, version))
}

/// An address that a link may lead to: of the web, and without credentials in it.
fn web_address(address: &str) -> Option<String> {
    let url = Url::parse(address.trim()).ok()?;
    let of_the_web = matches!(url.scheme(), "http" | "https") && url.has_host();
    let without_credentials = url.username().is_empty() && url.password().is_none();
    (of_the_web && without_credentials && url.query().is_none() && url.fragment().is_none()).then(|| url.to_string())
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;
