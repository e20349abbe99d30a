//! The page of deployment tools: each cell of its tables names a test, and the tests are there.

use std::collections::BTreeMap;

use super::{read, root};

/// The tests that the page lists, by their label: `A1`.
fn listed(page: &str) -> BTreeMap<&str, &str> {
    let lines = page.lines().filter_map(|line| line.strip_prefix("- ")?.strip_suffix('`')?.split_once(": `"));
    lines.filter(|(_, test)| test.contains("::")).collect()
}

/// The labels in brackets: `(A1)`.
fn labels(text: &str) -> Vec<&str> {
    let brackets = text.split('(').skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let is_label = |text: &&str| {
        text.starts_with(|c: char| c.is_ascii_uppercase()) && text[1..].starts_with(|c: char| c.is_ascii_digit())
    };
    brackets.filter(|text| text.is_ascii() && text.len() <= 3).filter(is_label).collect()
}

#[test]
fn each_cell_names_a_test_that_is_there() {
    let page = read("docs/deployment-tools.md");
    let tests = listed(&page);
    assert!(tests.len() >= 15, "{tests:?}");
    for (label, test) in &tests {
        let (module, function) = test.rsplit_once("::").unwrap();
        let file = root().join(format!("tests/gitops/{module}.rs"));
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(text.contains(&format!("async fn {function}(")), "{label}: {} has no {function}", file.display());
    }
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| tool "));
    let cells = rows.flat_map(|row| row.trim_matches('|').split('|').skip(1).map(str::trim).collect::<Vec<_>>());
    let mut count = 0;
    for cell in cells {
        assert!(!labels(cell).is_empty() || cell.starts_with("not run"), "no test is named in: {cell}");
        count += 1;
    }
    assert!(count >= 40, "only {count} cells were found");
    for label in labels(&page) {
        assert!(tests.contains_key(label), "the list has no {label}");
    }
}
