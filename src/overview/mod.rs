//! The whole picture: what is live in each environment, and whether it gets along. Plain data and how people see it.
//!
//! Nothing here does I/O or waits. [`build`] makes the picture of what was gathered: the state of each pair is what
//! [`crate::decide::verdict`] judges it to be. [`headline`] says it in a sentence, [`document()`] for programs, and
//! [`page()`] as one HTML file that asks nobody for anything.

pub mod build;
mod document;
pub mod headline;
mod page;

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::names::{EnvironmentName, Pacticipant, Version},
    decide::{Pair, PairResult, messages},
};

pub use build::{Facts, Known};
pub use document::document;
pub use page::page;

/// The picture of some environments at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// When it was made.
    pub generated_at: Timestamp,
    /// The environments, the worst first.
    pub environments: Vec<Environment>,
}

/// An environment at a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    /// Its name at the broker.
    pub name: EnvironmentName,
    /// The `PactBroker`, where there is a cluster.
    pub broker: Option<String>,
    /// What may be missing here, and why; for people.
    pub notice: Option<String>,
    /// Whether anything is known of the pairs.
    pub known: bool,
    /// What is live there, by name.
    pub applications: Vec<Application>,
    /// The pairs that have to get along, the worst first; where some were chosen, only those.
    pub pairs: Vec<Relation>,
    /// The other pairs: what is said of the whole counts them, too.
    pub left_out: Vec<Relation>,
}

/// An application with the versions of it that are live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// Its name.
    pub pacticipant: Pacticipant,
    /// The versions, in order.
    pub versions: Vec<LiveVersion>,
    /// Whether the broker knows it: a pact or a result was published under its name.
    pub published: bool,
    /// Its page at the broker.
    pub link: Option<String>,
}

/// A version that is live.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LiveVersion {
    /// The version.
    pub version: Version,
    /// Whether the broker has it as deployed or supported.
    pub recorded: bool,
    /// Whether it is rolling out: its rollout is not finished.
    pub rolling_out: bool,
}

/// A consumer version and a provider version that are live, and whether they get along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The pair, as it was judged.
    pub pair: Pair,
    /// Whether one of the two versions is rolling out.
    pub rolling_out: bool,
    /// Whether the environment says to leave the pair out of the check of one of the two.
    pub ignored: bool,
    /// The matrix of the two versions at the broker.
    pub matrix: Option<String>,
    /// The pact at the broker.
    pub pact: Option<String>,
}

/// What people tell pairs apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The verification failed.
    Failing,
    /// The consumer needs a provider that is not there.
    Missing,
    /// There is no result.
    Unverified,
    /// It is verified, and one of the two versions is rolling out.
    RollingOut,
    /// It is verified, and both versions run.
    Verified,
}

impl State {
    /// All of them, the worst first.
    pub const ALL: [Self; 5] = [Self::Failing, Self::Missing, Self::Unverified, Self::RollingOut, Self::Verified];

    /// The state as it is written for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failing => "failing",
            Self::Missing => "missing",
            Self::Unverified => "unverified",
            Self::RollingOut => "rolling-out",
            Self::Verified => "verified",
        }
    }

    /// The state as it is written for people.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "not there",
            Self::RollingOut => "rolling out",
            _ => self.name(),
        }
    }

    /// The state that is written like this.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == text)
    }

    /// Whether somebody has to do something about it.
    #[must_use]
    pub const fn is_wrong(self) -> bool {
        matches!(self, Self::Failing | Self::Missing | Self::Unverified)
    }
}

impl Relation {
    /// Its state.
    #[must_use]
    pub const fn state(&self) -> State {
        match (self.pair.result, self.rolling_out) {
            (PairResult::Failed, _) => State::Failing,
            (PairResult::NotDeployed, _) => State::Missing,
            (PairResult::Unverified, _) => State::Unverified,
            (PairResult::Verified, true) => State::RollingOut,
            (PairResult::Verified, false) => State::Verified,
        }
    }

    /// Whether somebody has to do something about it: what an environment leaves out was decided already.
    #[must_use]
    pub const fn is_wrong(&self) -> bool {
        self.state().is_wrong() && !self.ignored
    }

    /// Whether it is about this application.
    #[must_use]
    pub fn is_about(&self, pacticipant: &Pacticipant) -> bool {
        self.pair.consumer == *pacticipant || self.pair.provider == *pacticipant
    }

    /// What there is to say beside its state.
    #[must_use]
    pub fn notes(&self) -> Vec<&'static str> {
        let rolling_out = self.rolling_out && self.state() != State::RollingOut;
        [(rolling_out, "rolling out"), (self.ignored, "ignored")].into_iter().filter(|it| it.0).map(|it| it.1).collect()
    }
}

impl Environment {
    /// How many pairs are in a state; those that are left out of checks count only where they are in order.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.all_pairs().filter(|it| it.state() == state && (it.is_wrong() || !state.is_wrong())).count()
    }

    /// How many pairs would be wrong and are left out of checks.
    #[must_use]
    pub fn ignored(&self) -> usize {
        self.all_pairs().filter(|it| it.ignored && it.state().is_wrong()).count()
    }

    /// Every pair, whether it was chosen or not.
    pub fn all_pairs(&self) -> impl Iterator<Item = &Relation> {
        self.pairs.iter().chain(&self.left_out)
    }

    /// How many of the pairs were chosen, in words, where not all were.
    #[must_use]
    pub fn chosen(&self) -> Option<String> {
        let all = self.all_pairs().count();
        (!self.left_out.is_empty())
            .then(|| format!("{} of its {} shown", self.pairs.len(), messages::counted(all, "pair")))
    }
}

impl Overview {
    /// Puts environments in order, the worst first.
    #[must_use]
    pub fn of(generated_at: Timestamp, mut environments: Vec<Environment>) -> Self {
        let worst = |it: &Environment| {
            let wrong = it.all_pairs().filter(|pair| pair.is_wrong()).map(Relation::state).min();
            let count = wrong.map_or(0, |state| it.count(state));
            (wrong.is_none(), wrong, std::cmp::Reverse(count), it.known, it.broker.clone(), it.name.clone())
        };
        environments.sort_by_cached_key(worst);
        Self { generated_at, environments }
    }

    /// The same, of which the pairs and applications are shown that these two hold for, and each application of such a pair. What
    /// is said of the whole is as before.
    #[must_use]
    pub fn only(mut self, pair: impl Fn(&Relation) -> bool, application: impl Fn(&Application) -> bool) -> Self {
        for environment in &mut self.environments {
            let (chosen, others): (Vec<_>, Vec<_>) = environment.pairs.drain(..).partition(&pair);
            environment
                .applications
                .retain(|it| application(it) || chosen.iter().any(|pair| pair.is_about(&it.pacticipant)));
            environment.pairs = chosen;
            environment.left_out.extend(others);
        }
        self
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
