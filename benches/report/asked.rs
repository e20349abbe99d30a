//! What a run of a bench is asked for, by its arguments and the environment.

use super::ratios::Ratios;
use super::{Report, ratios};

/// See the module.
pub struct Asked {
    /// `BENCH_QUICK`: small numbers.
    pub quick: bool,
    /// `BENCH_ONLY`: these parts, separated by commas; else all.
    only: Option<String>,
}

impl Asked {
    /// Of this process.
    pub fn here() -> Self {
        Self { quick: set("BENCH_QUICK").is_some(), only: set("BENCH_ONLY") }
    }

    /// Whether a part is to be measured.
    pub fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only.split(',').any(|one| one == part))
    }

    /// A report, which is kept if all was measured in full.
    pub fn report(&self, title: &'static str, text: &str) -> Report {
        Report::new(title, text, !self.quick && self.only.is_none())
    }
}

/// Whether a run only lists the benches, or filters them by name: it must not take minutes.
pub fn only_lists() -> bool {
    std::env::args().any(|argument| argument == "--list")
}

/// Whether `BENCH_RATIOS` is set: then only ratios are measured, and this says whether they are written anew.
pub fn ratios_only() -> Option<bool> {
    set("BENCH_RATIOS").map(|what| what == "update")
}

/// Measures the ratios of these parts and writes them, or compares them with those that are checked in.
///
/// # Errors
/// What became much worse.
pub async fn judge_ratios(
    update: bool,
    parts: &[&'static str],
    measure: impl AsyncFnMut(&str) -> Ratios,
) -> Result<(), String> {
    if update {
        ratios::update(parts, measure).await;
        return Ok(());
    }
    ratios::compare(parts, measure).await
}

/// A variable that is set and not empty.
fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
