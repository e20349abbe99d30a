//! Each link leads somewhere, the book holds each of its pages once, and its blocks of YAML can be read.

use std::{collections::BTreeSet, path::Path};

use regex::Regex;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::{below, pages, read, root};

/// Where a page of the repository is shown.
const REPOSITORY: &str = "https://github.com/pact-operator/pact-operator/";

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The anchors of a page, as the repository's host and mdBook make them of headings, and those that it names itself.
fn anchors(text: &str) -> BTreeSet<String> {
    let (link, id) = (Regex::new(r"\[([^\]]*)\]\([^)]*\)").unwrap(), Regex::new(r#"<a id="([^"]+)">"#).unwrap());
    let mut found = BTreeSet::new();
    for heading in prose(text).lines().filter(|line| line.starts_with('#')) {
        let text = link.replace_all(heading.trim_start_matches('#').trim(), "$1").to_lowercase();
        let kept: String = text.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c)).collect();
        found.insert(kept.replace(' ', "-"));
    }
    found.extend(id.captures_iter(text).map(|id| id[1].to_owned()));
    found
}

/// Whether a file that exists is one of the book.
fn in_book(file: &Path) -> bool {
    file.canonicalize().unwrap().starts_with(root().join("docs").canonicalize().unwrap())
}

/// What is wrong with a link of a page.
fn problem(page: &str, target: &str) -> Option<String> {
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = Path::new(page).parent()?;
    let file = if path.is_empty() {
        root().join(page)
    } else if let Some(rest) = path.strip_prefix(REPOSITORY) {
        let rest = rest.strip_prefix("blob/main/").or_else(|| rest.strip_prefix("tree/main/"));
        // Issues, advisories and the like.
        root().join(rest?)
    } else if path.contains("://") || path.starts_with("mailto:") {
        return None;
    } else {
        root().join(folder).join(path)
    };
    let Ok(file) = file.canonicalize() else { return Some(format!("{page}: {target} is not there")) };
    if !path.contains("://") && in_book(&root().join(page)) && !in_book(&file) {
        return Some(format!("{page}: {target} is not in the book; link to {REPOSITORY}blob/main/…"));
    }
    let anchor = anchor.filter(|_| file.extension().is_some_and(|ending| ending == "md"))?;
    let there = anchors(&read(&file.to_string_lossy())).contains(anchor);
    (!there).then(|| format!("{page}: {target} names no heading"))
}

#[test]
fn each_link_leads_to_a_page_and_to_a_heading() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let more = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "benches/README.md"].map(str::to_owned);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in pages().into_iter().chain(more) {
        let text = prose(&read(&page));
        for target in link.captures_iter(&text) {
            seen += 1;
            wrong.extend(problem(&page, &target[1]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 300, "only {seen} links were found");
}

#[test]
fn a_link_to_nothing_is_noticed() {
    for (target, what) in [
        ("versions.md", None),
        ("versions.md#patterns", None),
        ("https://github.com/pact-operator/pact-operator/blob/main/Makefile", None),
        ("https://github.com/pact-operator/pact-operator/security/advisories/new", None),
        ("nowhere.md", Some("is not there")),
        ("versions.md#nothing", Some("names no heading")),
        ("../Makefile", Some("is not in the book")),
        ("https://github.com/pact-operator/pact-operator/blob/main/nothing", Some("is not there")),
    ] {
        let said = problem("docs/README.md", target);
        assert_eq!(said.is_some(), what.is_some(), "{target}: {said:?}");
        assert!(said.unwrap_or_default().contains(what.unwrap_or_default()), "{target}");
    }
}

#[test]
fn the_book_holds_each_page_once() {
    let link = Regex::new(r"\]\(([^)\s]+)\)").unwrap();
    let summary = read("docs/SUMMARY.md");
    let mut held: Vec<_> = link.captures_iter(&summary).map(|target| format!("docs/{}", &target[1])).collect();
    held.sort();
    let pages: Vec<_> = below("docs", "md").into_iter().filter(|page| page != "docs/SUMMARY.md").collect();
    assert_eq!(held, pages, "docs/SUMMARY.md");
}

#[test]
fn each_block_of_yaml_can_be_read() {
    let mut blocks = 0;
    for page in pages() {
        let text = read(&page);
        for block in text.split("```yaml\n").skip(1) {
            blocks += 1;
            let block = block.split("\n```").next().unwrap();
            for document in serde_yaml_ng::Deserializer::from_str(block) {
                if let Err(problem) = Value::deserialize(document) {
                    panic!("{page}: {problem}\n{block}");
                }
            }
        }
    }
    assert!(blocks > 20, "only {blocks} blocks were found");
}
