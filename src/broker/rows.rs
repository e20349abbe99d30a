//! Rows of a broker's lists, read one by one: what cannot be read must not hide the others.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::api::names::{NameError, Pacticipant, Version};

/// A list that a broker gave: what could be read, and how many rows could not.
///
/// A row cannot be read when its uuid is no path segment, when a name in it is one that we would never send (control
/// characters, surrounding white space, more than 255 characters), or when its application instance is the empty
/// string. That last one is neither "no instance" nor any instance: a client that sends `""` takes the place of the row
/// without an instance (case 33). For us it does not exist, so our own next record, without an instance,
/// takes its place back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows<T> {
    /// The rows that could be read, in the broker's order.
    pub rows: Vec<T>,
    /// How many could not. Whoever concludes from a row's absence must look here first.
    pub unreadable: usize,
}

/// One element of a list, whatever it is.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Row<T> {
    Shaped(T),
    Other(IgnoredAny),
}

impl<T> Rows<T> {
    /// Reads each row, and counts and logs those that cannot be read.
    pub(super) fn read<W>(what: &'static str, rows: Vec<Row<W>>, read: impl Fn(W) -> Option<T>) -> Self {
        let all = rows.len();
        let shaped = rows.into_iter().filter_map(|row| match row {
            Row::Shaped(row) => Some(row),
            Row::Other(_) => None,
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

/// The part of a deployed or released version that says what it is.
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

/// Parses a name that a broker has; one that parsing would change is another name there.
pub(super) fn exact<N>(text: &str, parse: fn(&str) -> Result<N, NameError>, as_str: fn(&N) -> &str) -> Option<N> {
    parse(text).ok().filter(|name| as_str(name) == text)
}
