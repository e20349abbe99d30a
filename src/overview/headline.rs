//! The picture in a sentence: whether something is wrong, and what.

use super::{Environment, Overview, Relation, State};
use crate::decide::messages;

/// How good or bad the picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tone {
    /// Everything that is known gets along.
    Good,
    /// Something is not known.
    Unsure,
    /// Something fails.
    Bad,
}

impl Tone {
    /// Of a state.
    #[must_use]
    pub const fn of(state: State) -> Self {
        match state {
            State::Failing => Self::Bad,
            State::Missing | State::Unverified => Self::Unsure,
            State::RollingOut | State::Verified => Self::Good,
        }
    }

    /// Its name, for style sheets.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Unsure => "unsure",
            Self::Bad => "bad",
        }
    }
}

impl Overview {
    /// The picture in a sentence.
    #[must_use]
    pub fn headline(&self) -> (Tone, String) {
        let wrong: Vec<_> = self.wrong().collect();
        let unknown = self.environments.iter().filter(|it| !it.known).count();
        let pairs = self.environments.iter().map(|it| it.pairs.len()).sum::<usize>();
        let places = match self.environments.as_slice() {
            [only] => format!(" in {}", only.name),
            _ => String::new(),
        };
        match wrong.as_slice() {
            [] if self.environments.is_empty() => (Tone::Unsure, "There is no environment to look at".to_owned()),
            [] if unknown > 0 => {
                let environments = if unknown == 1 { "environment" } else { "environments" };
                (Tone::Unsure, format!("The pairs of {unknown} {environments} are not known"))
            }
            [] if pairs == 0 => (Tone::Good, format!("Nothing that runs{places} has a pact with anything else there")),
            [] => {
                let but = match self.environments.iter().map(Environment::ignored).sum::<usize>() {
                    0 => String::new(),
                    1 => ", but for 1 pair that is ignored".to_owned(),
                    ignored => format!(", but for {ignored} pairs that are ignored"),
                };
                (Tone::Good, format!("Everything that runs{places} gets along{but}"))
            }
            [(environment, only)] => (Tone::of(only.state()), one(environment, only)),
            _ => {
                let count = |state| wrong.iter().filter(|(_, pair)| pair.state() == state).count();
                let counts = [
                    (State::Failing, "failing"),
                    (State::Missing, "without a provider"),
                    (State::Unverified, "not verified"),
                ];
                let counted: Vec<_> =
                    counts.into_iter().map(|(state, words)| (count(state), words)).filter(|it| it.0 > 0).collect();
                let mut parts: Vec<_> = counted.iter().map(|(count, words)| format!("{count} {words}")).collect();
                if let Some((count, words)) = counted.first() {
                    let pairs = if *count == 1 { "pair is" } else { "pairs are" };
                    parts[0] = format!("{count} {pairs} {words}");
                }
                let tone = if count(State::Failing) > 0 { Tone::Bad } else { Tone::Unsure };
                (tone, format!("{}{places}", parts.join(", ")))
            }
        }
    }

    /// What is wrong, the worst first.
    pub fn wrong(&self) -> impl Iterator<Item = (&Environment, &Relation)> {
        let all =
            self.environments.iter().flat_map(|environment| environment.pairs.iter().map(move |it| (environment, it)));
        let mut wrong: Vec<_> = all.filter(|(_, pair)| pair.is_wrong()).collect();
        wrong.sort_by_key(|(_, pair)| pair.state());
        wrong.into_iter()
    }
}

/// A pair that is wrong, in a sentence.
#[must_use]
pub fn one(environment: &Environment, relation: &Relation) -> String {
    let pair = &relation.pair;
    let provider = pair.provider_version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
    let sentence = match relation.state() {
        State::Failing => format!(
            "{}{provider} fails the pact of {} {} in {}",
            pair.provider, pair.consumer, pair.consumer_version, environment.name
        ),
        State::Missing => format!(
            "{} {} needs {}, which is not in {}",
            pair.consumer, pair.consumer_version, pair.provider, environment.name
        ),
        _ => format!(
            "{}{provider} has not verified the pact of {} {} in {}",
            pair.provider, pair.consumer, pair.consumer_version, environment.name
        ),
    };
    messages::one_line(&sentence)
}

#[cfg(test)]
#[path = "headline_tests.rs"]
mod tests;
