//! Each warning and each error of the log has an entry in the book, by its text.

use super::{below, entries::has_an_entry_for_each, read};

/// The longest text between quotes among the arguments of a macro that begin at `code`.
fn longest_text(code: &str) -> String {
    let (mut depth, mut quoted, mut text, mut longest) = (1, false, String::new(), String::new());
    let mut chars = code.chars();
    while let Some(char) = chars.next().filter(|_| depth > 0) {
        match char {
            '\\' if quoted => {
                // A line that is continued: neither the break nor the indentation belongs to the text.
                if let Some(next) = chars.next().filter(|next| *next != '\n') {
                    text.push(next);
                } else {
                    chars = chars.as_str().trim_start().chars();
                }
            }
            '"' => {
                quoted = !quoted;
                let whole = std::mem::take(&mut text);
                longest = if whole.len() > longest.len() { whole } else { longest };
            }
            _ if quoted => text.push(char),
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
    }
    longest
}

/// The text with `…` for what differs from line to line; nothing if it has no words of its own.
fn as_people_see_it(text: &str) -> Option<String> {
    let differing = regex::Regex::new(r"\{[^}]*\}").unwrap();
    let shown = differing.replace_all(text, "…").into_owned();
    shown.chars().any(char::is_alphabetic).then_some(shown)
}

#[test]
fn the_text_of_a_line_is_found_among_its_fields() {
    let code = r#"name, error = %why("x"), "the {what} of \
               it cannot (ever) be read: {}", 1); warn!("another")"#;
    let text = longest_text(code);
    assert_eq!(as_people_see_it(&text).as_deref(), Some("the … of it cannot (ever) be read: …"));
    assert_eq!(as_people_see_it("{}"), None);
}

#[test]
fn each_warning_and_error_of_the_log_has_an_entry() {
    let begins = regex::Regex::new(r"\b(?:warn|error)!\(").unwrap();
    let inline = regex::Regex::new(r"#\[cfg\(test\)\]\s*mod \w+ \{").unwrap();
    let mut texts = Vec::new();
    for file in [below("src", "rs"), below("crates/operator-kit/src", "rs")].concat() {
        if file.ends_with("tests.rs") || file.contains("documentation_tests/") {
            continue;
        }
        let source = read(&file);
        // What is within the file; tests in files of their own are left out above.
        let product = inline.split(&source).next().unwrap();
        texts.extend(
            begins.find_iter(product).filter_map(|found| as_people_see_it(&longest_text(&product[found.end()..]))),
        );
    }
    assert!(texts.len() > 30, "{texts:?}");
    has_an_entry_for_each("docs/troubleshooting/log.md", texts);
}
