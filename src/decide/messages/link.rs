//! Addresses at the broker, for people.

use std::sync::LazyLock;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use regex::{Captures, Regex};

use crate::{
    api::names::{Pacticipant, Version},
    decide::MatrixQuery,
};

/// As for the broker's own client: what is not unreserved is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

static FORBIDDEN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new("(?i)i(mmutable)").ok());

/// Where a person sees the matrix of a question. `base` is the broker's address as people reach it.
#[must_use]
pub fn matrix_link(base: &str, query: &MatrixQuery<'_>) -> String {
    let query: Vec<_> = query.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    address(base, &format!("matrix?{}", query.join("&")))
}

/// Where a person reads the pact of a consumer version with a provider.
#[must_use]
pub fn pact_link(base: &str, consumer: &Pacticipant, version: &Version, provider: &Pacticipant) -> String {
    let [consumer, version, provider] = [consumer.as_str(), version.as_str(), provider.as_str()].map(encoded);
    address(base, &format!("pacts/provider/{provider}/consumer/{consumer}/version/{version}"))
}

/// Where the content of a pact is, whichever consumer version has it.
#[must_use]
pub fn content_link(base: &str, consumer: &Pacticipant, provider: &Pacticipant, content: &str) -> String {
    let [consumer, provider, content] = [consumer.as_str(), provider.as_str(), content].map(encoded);
    address(base, &format!("pacts/provider/{provider}/consumer/{consumer}/pact-version/{content}"))
}

/// Where a person sees an application.
#[must_use]
pub fn pacticipant_link(base: &str, pacticipant: &Pacticipant) -> String {
    address(base, &format!("pacticipants/{}", encoded(pacticipant.as_str())))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// The first letter of the word "immutable" is percent-encoded: the address stays the same, and the text does not hold
/// the word (see [`super::sanitize()`]).
fn address(base: &str, path: &str) -> String {
    let link = format!("{}/{path}", base.trim_end_matches('/'));
    let Some(forbidden) = FORBIDDEN.as_ref() else { return link };
    let spelled = |found: &Captures<'_>| {
        let first = if found[0].starts_with('I') { "%49" } else { "%69" };
        format!("{first}{}", &found[1])
    };
    forbidden.replace_all(&link, spelled).into_owned()
}
