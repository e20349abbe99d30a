//! `JUnit`'s XML: one test case for each answer.

use super::{Answer, Outcome, details, sentence};

pub(super) fn render(answers: &[Answer]) -> String {
    let count = |wanted| answers.iter().filter(|answer| answer.outcome == wanted).count();
    let (tests, failures, errors) = (answers.len(), count(Outcome::No), count(Outcome::NoAnswer));
    let mut text = vec!["<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned()];
    let counts = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"");
    text.push(format!("<testsuites name=\"can-i-deploy\" {counts}>\n"));
    text.push(format!("  <testsuite name=\"can-i-deploy\" {counts}>\n"));
    for answer in answers {
        let class = answer.workload.as_ref().map_or_else(|| "check".to_owned(), |place| place.workload.to_string());
        let case = format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(&class), escaped(&answer.question));
        let (element, body) = match answer.outcome {
            Outcome::Yes => {
                text.push(format!("{case}/>\n"));
                continue;
            }
            Outcome::No => ("failure", details(answer)),
            Outcome::NoAnswer => ("error", details(answer)),
        };
        let (message, body) = (escaped(&sentence(answer)), escaped(&body.join("\n")));
        let kind = answer.verdict;
        text.push(format!("{case}>\n"));
        text.push(format!("      <{element} type=\"{kind}\" message=\"{message}\">{body}</{element}>\n"));
        text.push("    </testcase>\n".to_owned());
    }
    text.push("  </testsuite>\n</testsuites>\n".to_owned());
    text.concat()
}

/// A text as content or in an attribute. XML holds no control characters at all.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push('\n'),
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}
