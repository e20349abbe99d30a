//! The formats of an answer. Each is a pure function from answers to text.

mod document;
mod github;
mod junit;
mod markdown;
mod sarif;
mod table;

pub(in crate::cli) use document::pair_document;

use clap::ValueEnum;

use super::answer::{Answer, Outcome};
use crate::decide::{Pair, messages};

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[value(alias = "text")]
    Table,
    /// For programs; holds all that the official command line's has.
    Json,
    /// The same.
    Yaml,
    /// For what shows test results.
    Junit,
    /// For what shows the findings of linters.
    Sarif,
    /// GitHub Actions' annotations.
    Github,
    /// For a comment or a summary.
    Markdown,
}

/// The answers in a format. `several` says that they are of manifests, so that programs get a list even of one; `colour`
/// is for a terminal.
pub(super) fn render(format: Format, answers: &[Answer], several: bool, colour: bool) -> String {
    match format {
        Format::Table => table::render(answers, several, colour),
        Format::Json => format!("{:#}\n", document::render(answers, several)),
        Format::Yaml => serde_yaml_ng::to_string(&document::render(answers, several)).unwrap_or_default(),
        Format::Junit => junit::render(answers),
        Format::Sarif => format!("{:#}\n", sarif::render(answers)),
        Format::Github => github::render(answers),
        Format::Markdown => markdown::render(answers),
    }
}

/// What the answers come to together.
pub(super) fn outcome(answers: &[Answer]) -> Outcome {
    answers.iter().map(|answer| answer.outcome).max().unwrap_or(Outcome::Yes)
}

/// An answer as one sentence: for formats with a line for each.
fn sentence(answer: &Answer) -> String {
    format!("{}: {}, {}", answer.question, answer.verdict, answer.reason)
}

/// What there is to say of an answer beside its sentence: its failing pairs, cautions and the link, one in a line.
fn details(answer: &Answer) -> Vec<String> {
    let failing = answer.pairs.iter().filter(|pair| pair.result != crate::decide::PairResult::Verified);
    let pairs = failing.map(|pair| format!("{}: {}", pair.result.name(), messages::pair(pair)));
    pairs.chain(answer.cautions.iter().cloned()).chain(answer.link.clone()).collect()
}

/// The version of a pair's provider, for a table.
fn provider_version(pair: &Pair) -> String {
    pair.provider_version.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string)
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
