//! The page that all benches write, each its own parts; at its head all their goals.

use std::fmt::Write as _;

/// The title of the head.
const HEAD: &str = "# All goals";

/// What is between these lines in a part is repeated in the head.
const GOALS: &str = "<!-- goals -->";
const END_OF_GOALS: &str = "<!-- end of goals -->";

/// A table of goals, marked for the head. Nothing if there are none.
pub fn goals(rows: &[String]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("\n## Goals\n\n{GOALS}\n{}\n{END_OF_GOALS}\n", table(rows))
}

/// The page with one of its parts replaced, or added at the end, and a new head. A part goes from its title to the next one.
pub fn with_part(page: &str, title: &str, part: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for line in page.lines() {
        if line.starts_with("# ") || parts.is_empty() {
            parts.push(String::new());
        }
        if let Some(last) = parts.last_mut() {
            writeln!(last, "{line}").unwrap();
        }
    }
    let title = format!("# {title}");
    parts.retain(|text| text.lines().next() != Some(HEAD));
    match parts.iter_mut().find(|text| text.lines().next() == Some(&title)) {
        Some(ours) => part.clone_into(ours),
        None => parts.push(part.to_owned()),
    }
    let head = head(&parts);
    let all = std::iter::once(&head).chain(&parts);
    all.map(|text| text.trim_end()).collect::<Vec<_>>().join("\n\n") + "\n"
}

fn head(parts: &[String]) -> String {
    let rows: Vec<String> = parts.iter().flat_map(|part| rows_of(part)).map(ToOwned::to_owned).collect();
    let missed = rows.iter().filter(|row| row.contains("| missed by ")).count();
    format!(
        "{HEAD}\n\nWritten by `make bench`; do not edit. {} of {} are reached. Each part below says what was measured, and how.\n\n{}\n",
        rows.len() - missed,
        rows.len(),
        table(&rows)
    )
}

/// The rows of a part's marked table, without its head.
fn rows_of(part: &str) -> impl Iterator<Item = &str> {
    let lines = part.lines().skip_while(|line| *line != GOALS).take_while(|line| *line != END_OF_GOALS);
    lines.filter(|line| line.starts_with('|')).skip(2)
}

fn table(rows: &[String]) -> String {
    let head = "| measure | measured | floor | ratio | goal | reached? |\n|---|---|---|---|---|---|";
    format!("{head}\n{}", rows.join("\n"))
}
