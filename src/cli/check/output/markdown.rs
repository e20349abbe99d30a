//! Markdown, for a comment on a pull request or the summary of a pipeline.

use super::{Answer, Outcome, details};

pub(super) fn render(answers: &[Answer]) -> String {
    let mut text = vec!["| | question | verdict | why |\n|---|---|---|---|\n".to_owned()];
    for answer in answers {
        let sign = match answer.outcome {
            Outcome::Yes if answer.is_plain_yes() => "✅",
            Outcome::Yes => "⚠️",
            Outcome::No => "❌",
            Outcome::NoAnswer => "❔",
        };
        let workload = answer.workload.as_ref().map(|place| format!("{} · ", cell(&place.workload.to_string())));
        let question = format!("{}{}", workload.unwrap_or_default(), cell(&answer.question));
        let reason = cell(&answer.reason);
        let link = answer.link.as_ref().map(|link| format!(" [matrix]({})", link.replace(')', "%29")));
        let verdict = answer.verdict;
        text.push(format!("| {sign} | {question} | {verdict} | {reason}{} |\n", link.unwrap_or_default()));
    }
    let failing = answers.iter().filter(|answer| answer.outcome != Outcome::Yes);
    for answer in failing {
        let pairs: Vec<_> = details(answer).into_iter().filter(|line| Some(line) != answer.link.as_ref()).collect();
        if pairs.len() > 1 {
            text.push(format!("\n**{}**\n\n", cell(&answer.question)));
            text.extend(pairs.iter().map(|pair| format!("- {}\n", cell(pair))));
        }
    }
    text.concat()
}

/// A text in a cell: nothing in it is markup.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' => cell.extend(['\\', char]),
            char if char.is_control() => cell.push(' '),
            char => cell.push(char),
        }
    }
    cell
}
