//! The broker: one row for each pacticipant and environment, and who wrote it.

use std::collections::{BTreeMap, BTreeSet};

use pact_operator::workload::RecordKey;

/// Who wrote a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    Operator,
    Other,
}

#[derive(Clone, Debug)]
pub struct Row {
    pub version: String,
    pub uuid: String,
    pub writer: Writer,
}

#[derive(Clone, Debug, Default)]
pub struct Broker {
    pub rows: BTreeMap<RecordKey, Row>,
    pub published: BTreeSet<(String, String)>,
    pub down: bool,
    last_uuid: u64,
}

impl Broker {
    /// Whether it was recorded: not where the version is not published.
    pub fn record(&mut self, key: &RecordKey, version: &str, writer: Writer) -> bool {
        if !self.published.contains(&(key.pacticipant.to_string(), version.to_owned())) {
            return false;
        }
        match self.rows.get_mut(key) {
            // The same row; where two write the same at the same time, it is the operator's, too.
            Some(row) if row.version == version => {
                if writer == Writer::Operator {
                    row.writer = writer;
                }
            }
            _ => {
                self.last_uuid += 1;
                let uuid = format!("00000000-0000-4000-8000-{:012}", self.last_uuid);
                self.rows.insert(key.clone(), Row { version: version.to_owned(), uuid, writer });
            }
        }
        true
    }

    pub fn undeploy(&mut self, uuid: &str) {
        self.rows.retain(|_, row| row.uuid != uuid);
    }
}
