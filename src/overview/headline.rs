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

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Our own words.
    Text(String),
    /// What somebody called something: whatever the direction in which it is written, what is around it stays in place.
    Name(String),
}

impl Piece {
    fn name(text: &impl ToString) -> Self {
        Self::Name(messages::one_line(&text.to_string()))
    }
}

/// The sentence as text.
#[must_use]
pub fn plain(sentence: &[Piece]) -> String {
    let text = |(Piece::Text(text) | Piece::Name(text)): &Piece| text.clone();
    sentence.iter().map(text).collect()
}

impl Overview {
    /// The picture in a sentence, as text.
    #[must_use]
    pub fn headline(&self) -> (Tone, String) {
        let (tone, sentence) = self.sentence();
        (tone, plain(&sentence))
    }

    /// The picture in a sentence.
    #[must_use]
    pub fn sentence(&self) -> (Tone, Vec<Piece>) {
        let wrong: Vec<_> = self.wrong().collect();
        let unknown = self.environments.iter().filter(|it| !it.known).count();
        let pairs = self.environments.iter().map(|it| it.all_pairs().count()).sum::<usize>();
        let place = match self.environments.as_slice() {
            [only] => vec![Piece::Text(" in ".to_owned()), Piece::name(&only.name)],
            _ => Vec::new(),
        };
        let placed = |before: &str, after: &str| {
            [&[Piece::Text(before.to_owned())], place.as_slice(), &[Piece::Text(after.to_owned())]].concat()
        };
        let words = |text: &str| vec![Piece::Text(text.to_owned())];
        match wrong.as_slice() {
            [] if self.environments.is_empty() => (Tone::Unsure, words("There is no environment to look at")),
            [] if unknown > 0 => {
                let environments = if unknown == 1 { "environment" } else { "environments" };
                (Tone::Unsure, words(&format!("The pairs of {unknown} {environments} are not known")))
            }
            [] if pairs == 0 => (Tone::Good, placed("Nothing that runs", " has a pact with anything else there")),
            [] => {
                let but = match self.environments.iter().map(Environment::ignored).sum::<usize>() {
                    0 => String::new(),
                    1 => ", but for 1 pair that is ignored".to_owned(),
                    ignored => format!(", but for {ignored} pairs that are ignored"),
                };
                (Tone::Good, placed("Everything that runs", &format!(" gets along{but}")))
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
                (tone, placed(&parts.join(", "), ""))
            }
        }
    }

    /// What is wrong, the worst first, whether it was chosen or not.
    pub fn wrong(&self) -> impl Iterator<Item = (&Environment, &Relation)> {
        let all =
            self.environments.iter().flat_map(|environment| environment.all_pairs().map(move |it| (environment, it)));
        let mut wrong: Vec<_> = all.filter(|(_, pair)| pair.is_wrong()).collect();
        wrong.sort_by_key(|(_, pair)| pair.state());
        wrong.into_iter()
    }
}

/// A pair that is wrong, in a sentence.
#[must_use]
pub fn one(environment: &Environment, relation: &Relation) -> Vec<Piece> {
    let pair = &relation.pair;
    let place = Piece::name(&environment.name);
    let words = |text: &str| Piece::Text(text.to_owned());
    let version = pair.provider_version.iter().flat_map(|version| [words(" "), Piece::name(version)]);
    let provider: Vec<_> = [Piece::name(&pair.provider)].into_iter().chain(version).collect();
    let consumer = [Piece::name(&pair.consumer), words(" "), Piece::name(&pair.consumer_version)];
    match relation.state() {
        State::Missing => {
            let needed = [words(" needs "), Piece::name(&pair.provider), words(", which is not in "), place];
            [consumer.as_slice(), &needed].concat()
        }
        state => {
            let fails = if state == State::Failing { " fails the pact of " } else { " has not verified the pact of " };
            [provider.as_slice(), &[words(fails)], &consumer, &[words(" in "), place]].concat()
        }
    }
}

#[cfg(test)]
#[path = "headline_tests.rs"]
mod tests;
