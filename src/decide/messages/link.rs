//! The address of the matrix at the broker, for people.

use std::sync::LazyLock;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::{Captures, Regex};

use crate::decide::MatrixQuery;

/// As for the broker's own client: what is not unreserved is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

static FORBIDDEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("(?i)i(mmutable)").ok());

/// Where a person sees the matrix of a question. `base` is the broker's address as people reach it.
///
/// The first letter of the word "immutable" is percent-encoded: the address stays the same, and the text does not hold
/// the word (see [`super::sanitize()`]).
#[must_use]
pub fn matrix_link(base: &str, query: &MatrixQuery<'_>) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    let link = format!("{}/matrix?{}", base.trim_end_matches('/'), query.join("&"));
    let Some(forbidden) = FORBIDDEN.as_ref() else { return link };
    let spelled = |found: &Captures<'_>| {
        let first = if found[0].starts_with('I') { "%49" } else { "%69" };
        format!("{first}{}", &found[1])
    };
    forbidden.replace_all(&link, spelled).into_owned()
}
