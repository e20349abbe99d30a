//! Rows of a broker's lists, read one by one: an unreadable row must not hide the others.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::names::{NameError, Pacticipant, Version};

/// A list from a broker: the readable rows, and the number of unreadable ones.
///
/// A row is unreadable when its uuid is not a path segment, when a name in it is one that the operator would never send
/// (control characters, surrounding white space, more than 255 characters), or when its application instance is the
/// empty string. An empty string is neither "no instance" nor any instance: a client that sends `""` replaces the row
/// without an instance (case 33). The operator treats such a row as absent, so its own next record, without an
/// instance, replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows<T> {
    /// The readable rows, in the broker's order.
    pub rows: Vec<T>,
    /// The number of unreadable rows. A caller that concludes from a row's absence must check this number first.
    pub unreadable: usize,
}

/// One element of a list, readable or not.
pub(super) enum Row<T> {
    Shaped(T),
    Other,
}

// From the text of the element: an untagged enum would first build a tree of each of ten thousand rows.
impl<'de, T: DeserializeOwned> Deserialize<'de> for Row<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?;
        Ok(serde_json::from_str(text.get()).map_or(Self::Other, Self::Shaped))
    }
}

impl<T> Rows<T> {
    /// Reads each row, and counts and logs those that cannot be read.
    pub(super) fn read<W>(what: &'static str, rows: Vec<Row<W>>, read: impl Fn(W) -> Option<T>) -> Self {
        let all = rows.len();
        let shaped = rows.into_iter().filter_map(|row| match row {
            Row::Shaped(row) => Some(row),
            Row::Other => None,
        });
        let rows: Vec<T> = shaped.filter_map(read).collect();
        let unreadable = all - rows.len();
        if unreadable > 0 {
            tracing::warn!(
                unreadable,
                of = all,
                "the broker's list of {what} has rows that cannot be read; they are skipped"
            );
        }
        Self { rows, unreadable }
    }
}

/// The part of a deployed or released version that identifies it.
#[derive(Deserialize)]
pub(super) struct Embedded {
    pacticipant: Named,
    version: Numbered,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Numbered {
    number: String,
}

impl Embedded {
    pub(super) fn read(&self) -> Option<(Pacticipant, Version)> {
        let pacticipant = exact(&self.pacticipant.name, Pacticipant::parse, Pacticipant::as_str)?;
        let version = exact(&self.version.number, Version::parse, Version::as_str)?;
        Some((pacticipant, version))
    }
}

/// Parses a name from a broker; a name that parsing would change is a different name there.
pub(super) fn exact<N>(text: &str, parse: fn(&str) -> Result<N, NameError>, as_str: fn(&N) -> &str) -> Option<N> {
    parse(text).ok().filter(|name| as_str(name) == text)
}
