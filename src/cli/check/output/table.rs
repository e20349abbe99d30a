//! For people: what fits into 100 columns, with colours on a terminal.

use super::{Answer, Outcome, provider_version};
use crate::{
    cli::columns::{Shade, columns, line, painted},
    decide::PairResult,
};

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
    for (number, mut cells) in lines.into_iter().enumerate() {
        let answer = number.checked_sub(1).map(|number| &answers[number]);
        if let Some(answer) = answer {
            cells[4] = painted(&cells[4], shade(answer), colour);
        }
        text.push(line(&cells));
    }
    for answer in answers.iter().filter(|answer| !answer.is_plain_yes()) {
        let verdict = painted(answer.verdict, shade(answer), colour);
        text.push(format!("\n{}: {verdict}\n  {}\n", answer.question, answer.reason));
        text.extend(answer.cautions.iter().map(|caution| format!("  and {caution}\n")));
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
        text.push_str(&line(&cells));
    }
    text
}

fn shade(answer: &Answer) -> Shade {
    match (answer.outcome, answer.deployable) {
        _ if answer.is_plain_yes() => Shade::Good,
        (Outcome::No, Some(false)) => Shade::Bad,
        _ => Shade::Unsure,
    }
}
