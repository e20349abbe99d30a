//! The links in the broker's bodies.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One name, percent-encoded for a path segment or a query value.
pub fn encoded(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// Makes URLs that start with what the broker believes to be its own address.
#[derive(Clone, Debug)]
pub(super) struct Links {
    base: String,
}

impl Links {
    pub(super) fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned() }
    }

    /// The base and a path that is percent-encoded already (or a template).
    pub(super) fn raw(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The base and these names, each one path segment.
    pub(super) fn to(&self, segments: &[&str]) -> String {
        let mut url = self.base.clone();
        for segment in segments {
            url.push('/');
            url.extend(utf8_percent_encode(segment, SEGMENT));
        }
        url
    }

    pub(super) fn pacticipant(&self, name: &str) -> String {
        self.to(&["pacticipants", name])
    }

    pub(super) fn version(&self, pacticipant: &str, number: &str) -> String {
        self.to(&["pacticipants", pacticipant, "versions", number])
    }

    pub(super) fn environment(&self, uuid: &str) -> String {
        self.to(&["environments", uuid])
    }

    /// A pacticipant as it is embedded in other resources.
    pub(super) fn embedded_pacticipant(&self, name: &str) -> Value {
        json!({"name": name, "_links": {"self": {"href": self.pacticipant(name)}}})
    }

    /// A version as it is embedded in other resources.
    pub(super) fn embedded_version(&self, pacticipant: &str, number: &str) -> Value {
        let href = self.version(pacticipant, number);
        json!({"number": number, "_links": {"self": {"title": "Version", "name": number, "href": href}}})
    }
}
