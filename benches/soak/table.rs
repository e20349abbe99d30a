//! The table of a run: a row for each minute.

use std::fmt::Write as _;
use std::time::Duration;

use testbed::standin::WriteKind;

use crate::changes::{Answered, Outcome};
use crate::clock::minute;
use crate::growth::Growth;
use crate::memory::{Role, Sample};
use crate::report::{Spread, mib, ms};
use crate::run::Run;

/// What of a sample is shown, with its name.
type Figure = (&'static str, fn(&Sample) -> u64);

const FIGURES: [Figure; 2] =
    [("resident", |sample| sample.resident), ("of it heap and stacks", |sample| sample.anonymous)];

/// In Markdown: medians of the memory, counts, and the 99th percentile of the time that the API server took.
pub fn by_minute(run: &Run) -> String {
    let mut text = String::from("| minute |");
    for role in Role::ALL {
        write!(text, " {} |", role.name()).unwrap();
    }
    text += " changes | denied | failed | recorded | p99 |\n|---|---|---|---|---|---|---|---|---|---|\n";
    for number in 1..=run.clock.minutes {
        write!(text, "| {number} |").unwrap();
        for role in Role::ALL {
            let median = run.memory.median(role, number, |sample| sample.resident);
            write!(text, " {} |", median.map_or("–".to_owned(), mib)).unwrap();
        }
        writeln!(text, " {} |", counts(run, number)).unwrap();
    }
    text
}

fn counts(run: &Run, number: u32) -> String {
    let sent: Vec<&Answered> = run.changes.answered.iter().filter(|one| minute(one.sent) == number).collect();
    let count = |wanted: fn(&Outcome) -> bool| sent.iter().filter(|one| wanted(&one.outcome)).count();
    let denied = count(|outcome| matches!(outcome, Outcome::Denied));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let deployed = run.writes.iter().filter(|write| write.kind == WriteKind::Deployed);
    let in_minute = |write: &&testbed::standin::Write| run.clock.at(write.at).is_some_and(|at| minute(at) == number);
    let recorded = deployed.filter(in_minute).count();
    let took: Vec<f64> = sent.iter().map(|one| one.took.as_secs_f64()).collect();
    let p99 =
        if took.is_empty() { "–".to_owned() } else { ms(Duration::from_secs_f64(Spread::of(took).quantile(0.99))) };
    format!("{} | {denied} | {failed} | {recorded} | {p99}", sent.len())
}

/// In Markdown: how the memory of each role has grown, as a whole and without files.
pub fn growth(run: &Run) -> String {
    let third = run.clock.first_third();
    let (two_thirds, end) = ((2 * third).min(run.clock.minutes), run.clock.minutes);
    let mut text = format!(
        "| | minute {third} | minute {two_thirds} | minute {end} | {third} to {end} | {two_thirds} to {end} |\n|---|---|---|---|---|---|\n"
    );
    for role in Role::ALL {
        for (what, figure) in FIGURES {
            let row = match Growth::of(&run.memory, run.clock, role, figure) {
                Ok(growth) => format!(
                    "{} | {} | {} | {:+.1} % | {:+.1} %",
                    mib(growth.third),
                    mib(growth.two_thirds),
                    mib(growth.end),
                    growth.part() * 100.0,
                    growth.late_part() * 100.0
                ),
                Err(reason) => format!("{reason} | | | |"),
            };
            writeln!(text, "| {}, {what} | {row} |", role.name()).unwrap();
        }
    }
    text
}
