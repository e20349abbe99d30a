//! The rooms of docs/contributing/architecture.md, held against the source: no import runs up, no room knows what it may
//! not, and no comment cites a page that is not there.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use regex::Regex;

/// Each room, and how high it is: a room knows only lower ones, so there is no circle either.
const ROOMS: [(&str, u8); 10] = [
    ("api", 0),
    ("workload", 1),
    ("decide", 2),
    ("overview", 3),
    ("broker", 4),
    ("cluster", 5),
    ("notifier", 6),
    ("recorder", 7),
    ("gate", 7),
    ("cli", 8),
];

/// What a room may not even name, tests aside.
const UNKNOWN: [(&str, &[&str]); 5] = [
    ("api", &["tokio", "reqwest", "axum"]),
    ("workload", &["tokio", "reqwest", "axum"]),
    ("decide", &["tokio", "reqwest", "axum", "kube"]),
    ("overview", &["tokio", "reqwest", "axum", "kube"]),
    ("broker", &["kube", "axum"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with one of these endings.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(files(&path, endings));
        } else if path.extension().is_some_and(|ending| endings.iter().any(|it| ending == *it)) {
            found.push(path);
        }
    }
    found
}

fn is_test(file: &Path) -> bool {
    let name = file.file_stem().unwrap().to_string_lossy();
    name.ends_with("tests") || name == "fixtures" || file.components().any(|part| part.as_os_str() == "tests")
}

/// The code of a file without its comments and without the tests at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    product.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The rooms that a text imports: `crate::room…` and the first names of `use crate::{…}`.
fn imported(text: &str) -> Vec<String> {
    let single = Regex::new(r"\bcrate::([a-z_]+)").unwrap();
    let mut rooms: Vec<String> = single.captures_iter(text).map(|found| found[1].to_owned()).collect();
    for (start, begin) in text.match_indices("crate::{") {
        let (mut depth, mut item) = (1, String::new());
        for character in text[start + begin.len()..].chars() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && character == ',') {
                rooms.push(item.trim().split("::").next().unwrap().to_owned());
                item.clear();
            } else {
                item.push(character);
            }
            if depth == 0 {
                break;
            }
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

#[test]
fn imports_are_read_in_both_forms() {
    let text = "use crate::api::names;\nuse crate::{\n broker::{a, b},\n decide::x,\n};\nlet y = crate::cli::z();";
    let mut rooms = imported(text);
    rooms.sort();
    assert_eq!(rooms, ["api", "broker", "cli", "decide"]);
}

#[test]
fn no_import_runs_up_and_no_room_knows_what_it_may_not() {
    let heights = BTreeMap::from(ROOMS);
    let mut wrong = Vec::new();
    for (room, height) in ROOMS {
        for file in files(&root().join("src").join(room), &["rs"]) {
            if is_test(&file) {
                continue;
            }
            let code = code(&file);
            for other in imported(&code) {
                match heights.get(other.as_str()) {
                    _ if other == room => {}
                    Some(other_height) if *other_height < height => {}
                    _ => wrong.push(format!("{} imports {other}", file.display())),
                }
            }
            let unknown = UNKNOWN.iter().filter(|(of, _)| *of == room).flat_map(|(_, crates)| *crates);
            for name in unknown
                .filter(|name| code.contains(&format!("use {name}::")) || code.contains(&format!("use {name}::{{")))
            {
                wrong.push(format!("{} uses {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let rooms: Vec<_> = fs::read_dir(root().join("src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    for room in rooms.iter().filter(|path| path.is_dir()) {
        let name = room.file_name().unwrap().to_string_lossy().into_owned();
        assert!(heights.contains_key(name.as_str()), "src/{name} is no room of the list");
    }
}

#[test]
fn every_page_and_case_that_is_cited_is_there() {
    let page = Regex::new(r"docs/[A-Za-z0-9_/.-]+\.md(?:#([a-z0-9-]+))?").unwrap();
    let elsewhere = Regex::new(r"\b(domain\.md|DESIGN(\.md)?\b|code-anchors|test-cluster\.md|cases-73)").unwrap();
    let case = Regex::new(r"\b[Cc]ases? ([0-9]{1,3})\b").unwrap();
    let cases: String = files(&root().join("docs/contributing/cases"), &["md"])
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for folder in ["src", "crates", "tests", "benches", "examples"] {
        for file in files(&root().join(folder), &["rs", "sh", "py"]) {
            if file.ends_with("rooms_tests.rs") {
                continue;
            }
            let text = fs::read_to_string(&file).unwrap();
            for cited in page.captures_iter(&text) {
                seen += 1;
                let whole = cited.get(0).unwrap().as_str();
                let path = whole.split('#').next().unwrap();
                let Ok(content) = fs::read_to_string(root().join(path)) else {
                    wrong.push(format!("{}: {whole}", file.display()));
                    continue;
                };
                let headings = content.lines().filter(|line| line.starts_with('#')).map(anchor);
                if let Some(wanted) = cited.get(1)
                    && !headings.into_iter().any(|heading| heading == wanted.as_str())
                {
                    wrong.push(format!("{}: {whole}", file.display()));
                }
            }
            for cited in case.captures_iter(&text) {
                seen += 1;
                if !cases.contains(&format!("\n### {}. ", &cited[1])) {
                    wrong.push(format!("{}: case {}", file.display(), &cited[1]));
                }
            }
            for cited in elsewhere.find_iter(&text) {
                wrong.push(format!("{}: {}", file.display(), cited.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 50, "only {seen} citations were found");
}

/// The anchor of a heading, as a repository's host makes it.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-').collect::<String>().replace(' ', "-")
}
