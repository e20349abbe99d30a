//! Pictures for the tests.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::{
    Environment, Overview, State,
    build::{Facts, Known, environment},
};
use crate::{
    api::{
        gate::{GatePolicy, Ignore},
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{GateRules, LiveVersions, MatrixRow, UnrecordedVersion},
};

pub(crate) fn name(name: &str) -> Pacticipant {
    Pacticipant::parse(name).unwrap()
}

pub(crate) fn version(version: &str) -> Version {
    Version::parse(version).unwrap()
}

pub(super) fn now() -> Timestamp {
    "2026-11-30T09:12:00Z".parse().unwrap()
}

/// A pact and a result of it.
pub(crate) fn row(consumer: (&str, &str), provider: (&str, &str), success: Option<bool>) -> MatrixRow {
    MatrixRow {
        consumer: name(consumer.0),
        consumer_version: version(consumer.1),
        provider: name(provider.0),
        provider_version: success.map(|_| version(provider.1)),
        success,
        ignored: false,
    }
}

/// An environment under construction.
pub(super) struct World {
    pub(super) recorded: LiveVersions,
    pub(super) unrecorded: Vec<UnrecordedVersion>,
    pub(super) unknown: BTreeSet<Pacticipant>,
    pub(super) rules: GateRules,
    pub(super) address: Option<&'static str>,
}

impl World {
    /// These versions run and are recorded.
    pub(super) fn of(recorded: &[(&str, &str)]) -> Self {
        Self {
            recorded: LiveVersions::all(recorded.iter().map(|(it, number)| (name(it), version(number)))),
            unrecorded: Vec::new(),
            unknown: BTreeSet::new(),
            rules: GateRules::default(),
            address: Some("https://broker.example.com/"),
        }
    }

    /// This one, too, which is not recorded.
    pub(super) fn beside(mut self, pacticipant: &str, number: &str, in_flight: bool) -> Self {
        let (pacticipant, version) = (name(pacticipant), version(number));
        self.unrecorded.push(UnrecordedVersion { pacticipant, version, in_flight });
        self
    }

    /// The check of others leaves it out.
    pub(super) fn ignoring(mut self, pacticipant: &str) -> Self {
        let ignore = Ignore {
            pacticipant: pacticipant.to_owned(),
            version: None,
            applies_to: Vec::new(),
            reason: "moves out".to_owned(),
            until: None,
        };
        self.rules = GateRules::parse(&GatePolicy { ignore: vec![ignore], ..GatePolicy::default() });
        self
    }

    pub(super) fn picture_of(&self, place: &str, known: Known<'_>) -> Environment {
        environment(&Facts {
            environment: &EnvironmentName::parse(place).unwrap(),
            broker: Some("main"),
            address: self.address,
            recorded: &self.recorded,
            unrecorded: &self.unrecorded,
            unknown: &self.unknown,
            rules: &self.rules,
            known,
            now: now(),
        })
    }

    pub(super) fn picture(&self, rows: &[MatrixRow]) -> Environment {
        self.picture_of("production", Known::Rows { rows, unreadable: 0 })
    }
}

/// The pairs of an environment in short: `web 1 → orders 2: failing, rolling out`.
pub(super) fn pairs(environment: &Environment) -> Vec<String> {
    let pairs = environment.pairs.iter().map(|it| {
        let pair = &it.pair;
        let provider = pair.provider_version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let state: State = it.state();
        let said = [&[state.name()], it.notes().as_slice()].concat().join(", ");
        format!("{} {} → {}{provider}: {said}", pair.consumer, pair.consumer_version, pair.provider)
    });
    pairs.collect()
}

/// A picture with a pair in each state, and an environment of which nothing is known.
pub(super) fn every_state() -> Overview {
    let world = World::of(&[("web", "4.2.0"), ("stock", "1.36.0"), ("orders", "2.8.0"), ("idle", "1.0.0")])
        .beside("orders", "2.9.0", true)
        .beside("lost", "3.0.0", false);
    let rows = [
        row(("web", "4.2.0"), ("stock", "1.36.0"), Some(false)),
        row(("web", "4.2.0"), ("orders", "2.8.0"), Some(true)),
        row(("web", "4.2.0"), ("orders", "2.9.0"), Some(true)),
        row(("web", "4.2.0"), ("reviews", ""), None),
        row(("orders", "2.8.0"), ("stock", "1.36.0"), Some(true)),
        row(("orders", "2.9.0"), ("stock", "1.36.0"), None),
    ];
    let mut world = world;
    world.unknown.insert(name("lost"));
    let nothing = World::of(&[]).picture_of("test", Known::Nothing { why: "the broker is down".to_owned() });
    Overview::of(now(), vec![nothing, world.picture(&rows)])
}
