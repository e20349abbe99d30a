//! The truth about a small world, from what was published, verified, deployed and released; never from a matrix.
//!
//! May this version be deployed there? It may when it has a successful result with every version of every application
//! that it is integrated with and that is live in the environment: as a consumer it needs every provider of its pacts,
//! as a provider it counts for the consumers that are there.

use std::collections::{BTreeMap, BTreeSet};

use pact_operator::decide::Verdict;

/// An application, by its number.
pub(crate) type App = usize;
/// A version of an application, by its number.
pub(crate) type Number = usize;
/// An environment, by its number.
pub(crate) type EnvironmentNumber = usize;

/// What happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Published {
        app: App,
        version: Number,
    },
    Pact {
        consumer: App,
        version: Number,
        provider: App,
        content: usize,
    },
    Verified {
        consumer: App,
        version: Number,
        provider: App,
        by: Number,
        ok: bool,
    },
    Deployed {
        app: App,
        version: Number,
        environment: EnvironmentNumber,
        instance: usize,
    },
    Undeployed {
        app: App,
        environment: EnvironmentNumber,
        instance: usize,
    },
    Released {
        app: App,
        version: Number,
        environment: EnvironmentNumber,
    },
    SupportEnded {
        app: App,
        version: Number,
        environment: EnvironmentNumber,
    },
    /// It runs there, or is on its way, and the broker does not know.
    Runs {
        app: App,
        version: Number,
        environment: EnvironmentNumber,
    },
}

/// A question, and what it ignores: applications, or single versions of them.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) app: App,
    pub(crate) version: Number,
    pub(crate) environment: EnvironmentNumber,
    pub(crate) ignore: Vec<(App, Option<Number>)>,
}

/// The verdict, and whether it is hidden from the broker: the only unknown pairs are those of a live version without a
/// result where another version has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) verdict: Verdict,
    pub(crate) hidden: bool,
}

impl Asked {
    fn leaves_out(&self, app: App, version: Number) -> bool {
        self.ignore.iter().any(|(ignored, only)| *ignored == app && only.is_none_or(|only| only == version))
    }

    fn leaves_out_all_of(&self, app: App) -> bool {
        self.ignore.contains(&(app, None))
    }
}

/// The results of the pairs of one pact.
#[derive(Default)]
struct Found {
    succeeded: usize,
    failed: usize,
    unknown: usize,
    hidden: usize,
}

fn knows(events: &[Event], app: App) -> bool {
    events.iter().any(|event| match *event {
        Event::Pact { consumer, provider, .. } => consumer == app || provider == app,
        _ => false,
    }) || (0..=9).any(|version| has(events, app, version))
}

fn has(events: &[Event], wanted: App, number: Number) -> bool {
    events.iter().any(|event| match *event {
        Event::Published { app, version }
        | Event::Deployed { app, version, .. }
        | Event::Released { app, version, .. }
        | Event::Pact { consumer: app, version, .. } => (app, version) == (wanted, number),
        Event::Verified { provider, by, .. } => (provider, by) == (wanted, number),
        Event::Undeployed { .. } | Event::SupportEnded { .. } | Event::Runs { .. } => false,
    })
}

/// The versions of an application that are live: the last of each instance, what is released and supported, and what
/// runs though the broker does not know.
fn live(events: &[Event], of: App, at: EnvironmentNumber) -> BTreeSet<Number> {
    let mut deployed = BTreeMap::new();
    let (mut released, mut running) = (BTreeSet::new(), BTreeSet::new());
    for event in events {
        match *event {
            Event::Deployed { app, version, environment, instance } if (app, environment) == (of, at) => {
                deployed.insert(instance, version);
            }
            Event::Undeployed { app, environment, instance } if (app, environment) == (of, at) => {
                deployed.remove(&instance);
            }
            Event::Released { app, version, environment } if (app, environment) == (of, at) => {
                released.insert(version);
            }
            Event::SupportEnded { app, version, environment } if (app, environment) == (of, at) => {
                released.remove(&version);
            }
            Event::Runs { app, version, environment } if (app, environment) == (of, at) => {
                running.insert(version);
            }
            _ => {}
        }
    }
    released.into_iter().chain(deployed.into_values()).chain(running).collect()
}

/// The contents of the pacts of a consumer version, by provider.
fn pacts(events: &[Event], of: App, number: Number) -> BTreeMap<App, usize> {
    let pact = |event: &Event| match *event {
        Event::Pact { consumer, version, provider, content } if (consumer, version) == (of, number) => {
            Some((provider, content))
        }
        _ => None,
    };
    events.iter().filter_map(pact).collect()
}

/// The last result that a provider version gave for a content; versions that share it share its results.
fn result(events: &[Event], from: App, to: App, wanted: usize, number: Number) -> Option<bool> {
    let given = |event: &Event| match *event {
        Event::Verified { consumer, version, provider, by, ok } if (consumer, provider, by) == (from, to, number) => {
            (pacts(events, consumer, version)[&provider] == wanted).then_some(ok)
        }
        _ => None,
    };
    events.iter().rev().find_map(given)
}

/// The pairs of one pact with these versions of its provider.
fn of_pact(
    events: &[Event],
    asked: &Asked,
    (consumer, version): (App, Number),
    (provider, content): (App, usize),
    versions: &BTreeSet<Number>,
) -> Found {
    let mut found = Found::default();
    if asked.leaves_out(consumer, version) || asked.leaves_out_all_of(provider) {
        return found;
    }
    let result = |number: Number| result(events, consumer, provider, content, number);
    let any_result = versions.iter().any(|number| result(*number).is_some());
    if !any_result {
        // The pact as a whole has none, so there is no version's result that could be left out.
        return Found { unknown: 1, ..found };
    }
    for number in versions.iter().filter(|number| !asked.leaves_out(provider, **number)) {
        match result(*number) {
            Some(true) => found.succeeded += 1,
            Some(false) => found.failed += 1,
            None => {
                found.unknown += 1;
                found.hidden += 1;
            }
        }
    }
    found
}

/// The truth about a question. `apps` is how many applications there are, and `environments` how many environments.
pub(crate) fn truth(events: &[Event], asked: &Asked, apps: usize, environments: usize) -> Truth {
    let plain = |verdict| Truth { verdict, hidden: false };
    if asked.environment >= environments {
        return plain(Verdict::EnvironmentMissing);
    }
    if !knows(events, asked.app) {
        return plain(Verdict::PacticipantUnknown);
    }
    if !has(events, asked.app, asked.version) {
        return plain(Verdict::VersionMissing);
    }
    let us = (asked.app, asked.version);
    let mut all = Vec::new();
    for (provider, content) in pacts(events, us.0, us.1) {
        all.push(of_pact(events, asked, us, (provider, content), &live(events, provider, asked.environment)));
    }
    for consumer in (0..apps).filter(|consumer| *consumer != us.0) {
        for version in live(events, consumer, asked.environment) {
            if let Some(content) = pacts(events, consumer, version).get(&us.0) {
                all.push(of_pact(events, asked, (consumer, version), (us.0, *content), &[us.1].into()));
            }
        }
    }
    let count = |of: fn(&Found) -> usize| all.iter().map(of).sum::<usize>();
    let (failed, unknown, hidden) = (count(|it| it.failed), count(|it| it.unknown), count(|it| it.hidden));
    if failed > 0 {
        plain(Verdict::No)
    } else if unknown > 0 {
        Truth { verdict: Verdict::Unknown, hidden: hidden == unknown }
    } else if count(|it| it.succeeded) > 0 {
        plain(Verdict::Yes)
    } else {
        plain(Verdict::YesVacuous)
    }
}
