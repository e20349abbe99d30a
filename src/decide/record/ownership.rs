//! Whose a row is that a broker has for a key: only what the operator wrote is taken back, and only while it still carries
//! the operator's version.

use std::collections::BTreeSet;

use super::facts::{LastRecord, Row};
use crate::api::{PactDeploymentStatus, names::Version};

/// Whose a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowOf {
    /// The operator's: it wrote it, or may take it for its own.
    Operator,
    /// Another client's: it has a version that the operator did not record.
    Others,
    /// Another client's with the operator's version: it was there before, or was written after it.
    Before,
}

/// Whose the row of a deployment is. `adopts` says that what was there before is taken for the operator's.
#[must_use]
pub fn row_of(last: &LastRecord, row: &Row, adopts: bool) -> RowOf {
    if !last.may_be_ours(&row.version) {
        RowOf::Others
    } else if last.is_found(row) && !adopts {
        RowOf::Before
    } else {
        RowOf::Operator
    }
}

/// The versions that the operator released, or may take for its own, and that still count as supported by it.
#[must_use]
pub fn released_by_operator(status: Option<&PactDeploymentStatus>, adopts: bool) -> BTreeSet<Version> {
    let supported = status.map(|status| &status.supported).into_iter().flatten();
    let supported = supported.filter(|recorded| !recorded.found || adopts);
    let supported = supported.filter_map(|recorded| Version::parse(&recorded.version).ok());
    supported.chain(status.map(LastRecord::of).unwrap_or_default().intended).collect()
}
