//! Troubleshooting by exact text: each reason, verdict and alert has one entry, and each entry is about one of them.

use regex::Regex;

use super::{is_as_generated, read};
use crate::decide::{
    Verdict,
    reason::{Meaning, Reason},
};

const REASONS: &str = "docs/troubleshooting/reasons.md";

/// The entries of a page, by their headings.
pub(super) fn entries(page: &str) -> Vec<(String, String)> {
    let text = read(page);
    let entries = text.split("\n## ").skip(1);
    entries
        .map(|entry| {
            let (heading, body) = entry.split_once('\n').unwrap_or((entry, ""));
            (heading.to_owned(), body.trim().to_owned())
        })
        .collect()
}

/// The page has one entry for each of these, and no other; each says what it means and what to do.
#[track_caller]
pub(super) fn has_an_entry_for_each(page: &str, wanted: impl IntoIterator<Item = String>) {
    let entries = entries(page);
    let mut found: Vec<_> = entries.iter().map(|(heading, _)| heading.clone()).collect();
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    found.sort();
    wanted.sort();
    wanted.dedup();
    let missing: Vec<_> = wanted.iter().filter(|one| !found.contains(one)).collect();
    let foreign: Vec<_> = found.iter().filter(|one| !wanted.contains(one)).collect();
    assert!(
        missing.is_empty() && foreign.is_empty(),
        "{page} lacks {missing:?}, and has {foreign:?}, which nothing says"
    );
    assert_eq!(found.len(), wanted.len(), "{page} has an entry twice");
    for (heading, body) in entries {
        assert!(body.starts_with("> ") && body.contains("- **Do:** "), "{page}: {heading} does not say what to do");
    }
}

#[test]
fn each_reason_has_an_entry_with_what_the_source_says_of_it() {
    has_an_entry_for_each(REASONS, Reason::ALL.iter().map(ToString::to_string));
    let text = read(REASONS);
    let mut wanted = text.clone();
    for reason in Reason::ALL {
        let meaning = match reason.meaning() {
            Meaning::Settled => "settled",
            Meaning::UnderWay => "goes on by itself",
            Meaning::Stalled => "needs a person",
        };
        let (before, rest) = wanted.split_once(&format!("\n## {reason}\n\n")).unwrap();
        let (_, after) = rest.split_once("\n\n").unwrap();
        wanted = format!("{before}\n## {reason}\n\n> {} ({meaning})\n\n{after}", reason.description());
    }
    is_as_generated(REASONS, &wanted);
}

#[test]
fn each_verdict_has_an_entry_and_so_has_what_check_says_in_place_of_one() {
    // The names of what is no verdict: `Cause`, `Unclear` and `Unjudged`, and the one of `check`.
    let beside = Regex::new(r#"=> "(Unidentified|VersionMismatch|NotOwned|NamespaceUnread|InvalidEnvironment|Conflicted|Unmapped|Unreadable)""#)
        .unwrap();
    let sources = ["decision", "unclear", "scope"].map(|file| read(&format!("src/decide/admission/{file}.rs")));
    let mut names: Vec<_> =
        sources.iter().flat_map(|source| beside.captures_iter(source)).map(|found| found[1].to_owned()).collect();
    assert_eq!(names.len(), 8, "{names:?}: one of them has another name now");
    assert!(read("src/cli/check/workloads.rs").contains("\"NotAsked\""));
    names.push("NotAsked".to_owned());
    names.extend(Verdict::ALL.iter().map(ToString::to_string));
    has_an_entry_for_each("docs/troubleshooting/verdicts.md", names);
}

#[test]
fn each_alert_has_an_entry_at_the_anchor_to_which_it_leads() {
    let rules = read("charts/pact-operator/files/rules.yaml");
    let alerts: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).map(str::to_owned).collect();
    assert!(alerts.len() >= 13, "{alerts:?}");
    has_an_entry_for_each("docs/troubleshooting/alerts.md", alerts);
    // The chart makes the address of an alert's name in lower case; so are anchors made.
    let template = read("charts/pact-operator/templates/rules.yaml");
    assert!(template.contains("docs/troubleshooting/alerts.md") && template.contains("(lower .alert)"), "{template}");
}
