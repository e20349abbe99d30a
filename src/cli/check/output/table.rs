//! For people: what fits into 100 columns, with colours on a terminal.

use super::{Answer, Outcome, provider_version};
use crate::decide::{PairResult, messages};

/// How wide a line is at most.
const COLUMNS: usize = 100;

pub(super) fn render(answers: &[Answer], several: bool, colour: bool) -> String {
    match answers {
        [] => "no annotated workload was found\n".to_owned(),
        [only] if !several => one(only, colour),
        _ => overview(answers, colour),
    }
}

/// The verdict, the reason, every pair, and the link.
fn one(answer: &Answer, colour: bool) -> String {
    let verdict = painted(answer.verdict, shade(answer), colour);
    let mut text = format!("{}: {verdict}\n{}\n", answer.question, answer.reason);
    if !answer.pairs.is_empty() {
        text.push('\n');
        text.push_str(&pairs(answer, colour, ""));
    }
    if let Some(link) = &answer.link {
        text.push_str("\nsee ");
        text.push_str(link);
        text.push('\n');
    }
    text
}

/// A line for each answer, and more about those that are not simply a yes.
fn overview(answers: &[Answer], colour: bool) -> String {
    let head = ["WORKLOAD", "PACTICIPANT", "VERSION", "ENVIRONMENT", "VERDICT", "GATE"].map(str::to_owned);
    let rows = answers.iter().map(|answer| {
        let workload = answer.workload.as_ref().map_or_else(
            || "-".to_owned(),
            |place| format!("{}/{}", place.workload.kind.kind().to_lowercase(), place.workload.name),
        );
        let join = |texts: &mut dyn Iterator<Item = String>| texts.collect::<Vec<_>>().join(" + ");
        let pacticipant = join(&mut answer.versions.iter().map(|(name, _)| name.clone()));
        let version = join(&mut answer.versions.iter().map(|(_, version)| version.clone().unwrap_or("-".to_owned())));
        let gate = answer.effect.map_or_else(|| "-".to_owned(), |it| format!("{:?} ({:?})", it.action, it.mode));
        [workload, pacticipant, version, answer.destination.clone(), answer.verdict.to_owned(), gate]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let lines = columns(&rows);
    let mut text = Vec::new();
    for (number, cells) in lines.into_iter().enumerate() {
        let answer = number.checked_sub(1).map(|number| &answers[number]);
        let cells: Vec<_> = cells
            .into_iter()
            .enumerate()
            .map(|(column, cell)| match answer {
                Some(answer) if column == 4 => painted(&cell, shade(answer), colour),
                _ => cell,
            })
            .collect();
        text.push(format!("{}\n", cells.join("  ").trim_end()));
    }
    for answer in answers.iter().filter(|answer| !answer.is_plain_yes()) {
        let verdict = painted(answer.verdict, shade(answer), colour);
        text.push(format!("\n{}: {verdict}\n  {}\n", answer.question, answer.reason));
        if answer.pairs.iter().filter(|pair| pair.result != PairResult::Verified).count() > 1 {
            text.push(pairs(answer, colour, "  "));
        }
        if let Some(link) = &answer.link {
            text.push(format!("  see {link}\n"));
        }
    }
    text.concat()
}

fn pairs(answer: &Answer, colour: bool, indent: &str) -> String {
    let head = ["RESULT", "CONSUMER", "VERSION", "PROVIDER", "VERSION"].map(str::to_owned);
    let rows = answer.pairs.iter().map(|pair| {
        [
            pair.result.name().to_owned(),
            pair.consumer.to_string(),
            pair.consumer_version.to_string(),
            pair.provider.to_string(),
            provider_version(pair),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut text = String::new();
    for (number, mut cells) in columns(&rows).into_iter().enumerate() {
        if let Some(pair) = number.checked_sub(1).map(|number| &answer.pairs[number]) {
            let shade = match pair.result {
                PairResult::Verified => Shade::Good,
                PairResult::Failed => Shade::Bad,
                PairResult::Unverified | PairResult::NotDeployed => Shade::Unsure,
            };
            cells[0] = painted(&cells[0], shade, colour);
        }
        text.push_str(indent);
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The cells, padded to their columns. The widest columns give way until a line fits, down to 12 characters, which still
/// tell two commits apart.
fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<[String; N]> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let mut widths: [usize; N] = std::array::from_fn(width);
    let room = COLUMNS.saturating_sub(2 * N.saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        let Some(widest) = widths.iter_mut().max() else { break };
        if *widest <= 12 {
            break;
        }
        *widest -= 1;
    }
    let cell = |text: &String, width: usize| format!("{:width$}", messages::shortened(text, width));
    rows.iter().map(|row| std::array::from_fn(|column| cell(&row[column], widths[column]))).collect()
}

#[derive(Clone, Copy)]
enum Shade {
    Good,
    Unsure,
    Bad,
}

fn shade(answer: &Answer) -> Shade {
    match (answer.outcome, answer.deployable) {
        _ if answer.is_plain_yes() => Shade::Good,
        (Outcome::No, Some(false)) => Shade::Bad,
        _ => Shade::Unsure,
    }
}

/// The words say the same as the colour.
fn painted(text: &str, shade: Shade, colour: bool) -> String {
    if !colour {
        return text.to_owned();
    }
    let code = match shade {
        Shade::Good => "32",
        Shade::Unsure => "33",
        Shade::Bad => "31",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}
