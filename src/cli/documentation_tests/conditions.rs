//! The page of conditions and Events names all of them, and nothing else.

use std::collections::BTreeSet;

use regex::Regex;

use super::{below, read};
use crate::decide::reason::Reason;

const PAGE: &str = "docs/reference/conditions-and-events.md";

/// The first cells of the tables below a heading of the page.
fn named(heading: &str) -> BTreeSet<String> {
    let page = read(PAGE);
    let part = page.split(&format!("\n## {heading}\n")).nth(1).unwrap_or_else(|| panic!("{PAGE} has no {heading}"));
    let part = part.split("\n## ").next().unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| ")).filter_map(|row| row.split(" | ").next());
    let words = rows.flat_map(|cell| cell.split(", ").map(|word| word.trim_matches(['`', '[', ']']).to_owned()));
    let words = words.map(|word| word.split('`').next().unwrap_or_default().to_owned());
    words.filter(|word| word.starts_with(char::is_uppercase)).collect()
}

fn product(file: &str) -> String {
    read(file).split("#[cfg(test)]").next().unwrap().to_owned()
}

#[test]
fn the_page_names_each_condition() {
    let (direct, constant) = (
        Regex::new(r#"Finding::new\(\s*"(\w+)""#).unwrap(),
        Regex::new(r#"pub const (?:BYPASSED|MEMBERS_LISTED): &str = "(\w+)""#).unwrap(),
    );
    let mut written = BTreeSet::new();
    for file in
        below("src", "rs").into_iter().filter(|it| !it.ends_with("tests.rs") && !it.contains("documentation_tests"))
    {
        let source = product(&file);
        written.extend(direct.captures_iter(&source).map(|found| found[1].to_owned()));
        written.extend(constant.captures_iter(&source).map(|found| found[1].to_owned()));
    }
    // Those that a reason has of its own.
    let own = product("src/decide/record/status.rs");
    let own = own.split("fn unsettled").nth(1).unwrap();
    let text = Regex::new(r#""([A-Z][A-Za-z]+)""#).unwrap();
    written.extend(text.captures_iter(own).map(|found| found[1].to_owned()));
    assert!(written.len() >= 20, "{written:?}");
    assert_eq!(named("Conditions"), written, "{PAGE}");
}

#[test]
fn the_page_names_each_reason_that_an_event_gives() {
    let named = named("Events");
    let reason = Regex::new(r"Reason::([A-Z]\w+)").unwrap();
    for file in ["src/gate/report.rs", "src/recorder/report.rs", "src/decide/record/events.rs"] {
        for found in reason.captures_iter(&product(file)) {
            // Of a record of which nothing is to be said.
            assert!(
                named.contains(&found[1]) || &found[1] == "NothingRecorded",
                "{PAGE} lacks {}, of {file}",
                &found[1]
            );
        }
    }
    for name in named {
        assert!(Reason::ALL.iter().any(|reason| reason.as_str() == name), "{PAGE}: {name} is no reason");
    }
}
