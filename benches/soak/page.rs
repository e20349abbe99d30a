//! What people read of a run: on the terminal, and in `benches/SOAK.md`.

use crate::changes::Outcome;
use crate::growth::MOST;
use crate::run::Run;
use crate::{plot, table};

/// Where a run of full length is written.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/SOAK.md");
/// Where its plot is, beside the page.
const PLOT: &str = "SOAK.svg";

const WORDS: &str = "Written by `make soak` (`benches/soak/`); do not edit. Two controllers and two webhooks with the chart's settings \
(Enforce, `failurePolicy: Fail`) run on a real control plane with a stand-in broker. Five images a second are changed; \
each ninth version fails its contract and must be denied. The leading controller is killed with SIGKILL each minute, and \
each webhook replaces its certificate each two minutes.";

const COLUMNS: &str = "Memory is `VmRSS`, the median over the minute's samples, one a second. Each controller stands by for a minute and leads \
for the next one, at whose end it is killed: the leaders of two minutes are of the same age and have done the same \
work, and so have the standbys. The time of a change is what the API server takes to answer its client, with all that it \
does itself.";

/// Prints the tables and the numbers.
pub fn print(run: &Run, broken: &[String]) {
    println!("{}", text(run, broken));
}

/// Writes page and plot.
pub fn write(run: &Run, broken: &[String]) {
    let plot = format!("![The memory of each process over time]({PLOT})");
    let page = format!("# Half an hour without a loss\n\n{WORDS}\n\n{plot}\n\n{}", text(run, broken));
    std::fs::write(PAGE, page).unwrap();
    plot::draw(run, &format!("{}/benches/{PLOT}", env!("CARGO_MANIFEST_DIR")));
}

fn text(run: &Run, broken: &[String]) -> String {
    let verdict = if broken.is_empty() {
        "Every promise was kept.".to_owned()
    } else {
        broken.iter().map(|promise| format!("**Broken:** {promise}")).collect::<Vec<_>>().join("\n\n")
    };
    let most = MOST * 100.0;
    format!(
        "{verdict}\n\n{}\n\n{COLUMNS}\n\n{}\nWhat is resident may grow by {most} % from the end of the first third to the end:\n\n{}",
        numbers(run),
        table::by_minute(run),
        table::growth(run)
    )
}

fn numbers(run: &Run) -> String {
    let answered = &run.changes.answered;
    let denied = answered.iter().filter(|one| one.outcome == Outcome::Denied).count();
    let failed = answered.iter().filter(|one| matches!(one.outcome, Outcome::Failed(_))).count();
    let slowest = run.kills.takeovers.iter().max().map_or("–".to_owned(), |time| format!("{time:.1?}"));
    let rotations: Vec<_> = run.rotations.iter().map(|(_, number)| number.to_string()).collect();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{} changes in {} minutes: {denied} denied, {failed} failed. {} versions finished, {} rows were written. {} kills; a \
         standby led after {slowest} at the latest, and {} times it was the new one. Certificates replaced: {}; reviews answered: {} \
         and {}. The watch of \
         what finished had {} gaps, and {} connections of the API server found no webhook ready. Machine: {cores} cores, load average {} at the start and {} at the end.",
        answered.len(),
        run.clock.minutes,
        run.finished,
        run.writes.len(),
        run.kills.takeovers.len(),
        run.kills.by_the_new_one,
        rotations.join(" and "),
        run.reviews[0],
        run.reviews[1],
        run.gaps,
        run.turned_away,
        run.load[0],
        run.load[1],
    )
}
