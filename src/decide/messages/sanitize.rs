//! Texts that are safe to send: one line where one is meant, not too long, and without the words on which GitOps
//! controllers delete what runs.
//!
//! Flux with force, and `kubectl apply --force`, take an error that says "is immutable" or "immutable field" for a
//! field that cannot be changed, delete the running Deployment and create it again: proved, also for words that a
//! denial merely quotes.

use std::sync::LazyLock;

use regex::Regex;

static FORBIDDEN: LazyLock<[Option<Regex>; 2]> =
    LazyLock::new(|| [Regex::new(r"(?i)(is\s+)immutable").ok(), Regex::new(r"(?i)immutable(\s+field)").ok()]);

/// The text without the words that get running Deployments deleted; everything else stays. It may become longer, so it
/// is to be cut afterwards.
#[must_use]
pub fn sanitize(text: &str) -> String {
    let [before, after] = &*FORBIDDEN;
    let mut text = text.to_owned();
    // Patterns of our own always compile; were one not to, the other rule below still holds.
    if let Some(before) = before {
        text = before.replace_all(&text, "${1}unchangeable").into_owned();
    }
    if let Some(after) = after {
        text = after.replace_all(&text, "unchangeable$1").into_owned();
    }
    text
}

/// The text on one line: control characters and line breaks, Unicode's own among them, become spaces, and so do the characters
/// that turn the text after them around.
#[must_use]
pub fn one_line(text: &str) -> String {
    let turns = |character: char| matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks =
        |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') || turns(character);
    text.chars().map(|character| if breaks(character) { ' ' } else { character }).collect()
}

/// At most `limit` characters of the text, with an ellipsis where something was cut.
#[must_use]
pub fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let kept: String = text.chars().take(limit.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}
