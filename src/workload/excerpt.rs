//! The beginning of a text from outside, for use in a message.

/// At most `max` characters of a text, escaped so that it stays on one line; an ellipsis marks a cut.
pub(super) fn excerpt(text: &str, max: usize) -> String {
    let mut short: String = text.chars().take(max).flat_map(char::escape_debug).collect();
    if text.chars().nth(max).is_some() {
        short.push('…');
    }
    short
}

/// At most `max` characters of a foreign sentence, to be part of one of ours: on one line, its own quotes unchanged,
/// without a full stop at the end.
pub(super) fn clause(text: &str, max: usize) -> String {
    let mut short = String::new();
    for character in text.trim().trim_end_matches('.').chars().take(max) {
        match character {
            '"' | '\'' | '\\' => short.push(character),
            other => short.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(max).is_some() {
        short.push('…');
    }
    short
}

/// Like [`excerpt`] with at most 100 characters, in quotes: long enough for most image references.
pub(super) fn quoted_long(text: &str) -> String {
    format!("\"{}\"", excerpt(text, 100))
}

/// A few names in quotes, and the number of the others.
pub(super) fn quoted_names(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut list: Vec<String> = names.iter().take(SHOWN).map(|name| quoted_long(name)).collect();
    if names.len() > SHOWN {
        list.push(format!("and {} more", names.len() - SHOWN));
    }
    list.join(", ")
}
