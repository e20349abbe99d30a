//! Whose a row is that a broker has for a key: only what the operator wrote is taken back, and only while it still carries
//! the operator's version.

use std::collections::BTreeSet;

use super::facts::{LastRecord, ReleasedRow, Row};
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

/// Whether a release is one of those, and in the row in which the operator recorded it, where that is known: the same version
/// may be released at another broker, or by another client since.
#[must_use]
pub fn is_released_by_operator(status: &PactDeploymentStatus, release: &ReleasedRow, adopts: bool) -> bool {
    let mut recorded = status.supported.iter().filter(|it| it.version == release.version.as_str());
    let uuid = recorded.find_map(|it| it.uuid.as_deref()).filter(|uuid| !uuid.is_empty());
    let is_its_row = uuid.is_none_or(|uuid| uuid == release.uuid);
    is_its_row && released_by_operator(Some(status), adopts).contains(&release.version)
}
