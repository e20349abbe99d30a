//! The address of the matrix at the broker, for people.

use std::sync::LazyLock;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::{Captures, Regex};

use crate::decide::Question;

/// As for the broker's own client: what is not unreserved is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

static FORBIDDEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("(?i)i(mmutable)").ok());

/// Where a person sees the matrix of a question, without what it ignores. `base` is the broker's address as people reach it.
///
/// The first letter of the word "immutable" is percent-encoded: the address stays the same, and the text does not hold
/// the word (see [`super::sanitize()`]).
#[must_use]
pub fn matrix_link(base: &str, question: &Question) -> String {
    let value = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut link = format!(
        "{}/matrix?q%5B%5D%5Bpacticipant%5D={}&q%5B%5D%5Bversion%5D={}&latestby=cvpv&environment={}",
        base.trim_end_matches('/'),
        value(question.pacticipant.as_str()),
        value(question.version.as_str()),
        value(question.environment.as_str()),
    );
    for ignored in &question.ignore {
        link.push_str("&ignore%5B%5D%5Bpacticipant%5D=");
        link.push_str(&value(ignored.pacticipant.as_str()));
        if let Some(version) = &ignored.version {
            link.push_str("&ignore%5B%5D%5Bversion%5D=");
            link.push_str(&value(version.as_str()));
        }
    }
    let Some(forbidden) = FORBIDDEN.as_ref() else { return link };
    let spelled = |found: &Captures<'_>| {
        let first = if found[0].starts_with('I') { "%49" } else { "%69" };
        format!("{first}{}", &found[1])
    };
    forbidden.replace_all(&link, spelled).into_owned()
}
