//! What a person who retires a record may take back at the broker: the rows that the recorder would, without its grace, and
//! nothing that still runs unless that is said. Pure.

use super::{
    facts::{LastRecord, ReleasedRow, Row},
    ownership::{RowOf, released_by_operator, row_of},
};
use crate::api::PactDeploymentStatus;

/// What became of a workload that ran the pacticipant, by a live read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// It has pods.
    Runs,
    /// It is there, and has no pods.
    Asleep,
    /// It is gone, and pods of it are left.
    PodsLeft,
    /// It is gone, and all its pods.
    Gone,
    /// It could not be read, for this reason.
    Unread(String),
}

impl Sighting {
    /// Whether it is there: a controller that runs records it again.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        matches!(self, Self::Runs | Self::Asleep)
    }
}

/// What the broker has for a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyAtBroker {
    /// The row of its deployment.
    pub row: Option<Row>,
    /// The releases of its pacticipant.
    pub releases: Vec<ReleasedRow>,
    /// Whether there are rows that could not be read: what is not seen may be there.
    pub unreadable: bool,
}

/// What a row is at the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowKind {
    /// A deployment: it is undeployed.
    Deployment,
    /// A release: its support ends.
    Release,
}

/// What may be done about a record, or about one release of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// This row may be taken back.
    TakeBack(RowKind, Row),
    /// It still runs: it is not taken back.
    Refused(RowKind, Row),
    /// Whether it still runs is not known: it is not taken back.
    Unsure(RowKind, Row),
    /// The row is not the operator's.
    Kept(RowOf, Row),
    /// The broker has nothing of the operator's for it.
    Nothing,
    /// Rows of the broker cannot be read, and this one may be among them.
    Unreadable,
}

/// How records are retired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetirementRules {
    /// Whether what was at the broker before the operator is taken for the operator's.
    pub adopts: bool,
    /// Whether releases are recorded in the environment, and not deployments.
    pub releases: bool,
    /// Whether what still runs is taken back, too.
    pub even_if_running: bool,
}

/// What may be done about each row of a record.
#[must_use]
pub fn retirements(
    status: &PactDeploymentStatus,
    broker: &KeyAtBroker,
    rules: RetirementRules,
    sightings: &[Sighting],
) -> Vec<Retirement> {
    let RetirementRules { adopts, releases, even_if_running } = rules;
    // Those that the status does not show may run.
    let unsure = status.more_members.is_some() || sightings.iter().any(|it| matches!(it, Sighting::Unread(_)));
    let runs = sightings.iter().any(|it| matches!(it, Sighting::Runs | Sighting::PodsLeft));
    let allowed = |kind, row: &Row| match (runs, unsure) {
        _ if even_if_running => Retirement::TakeBack(kind, row.clone()),
        (true, _) => Retirement::Refused(kind, row.clone()),
        (false, true) => Retirement::Unsure(kind, row.clone()),
        (false, false) => Retirement::TakeBack(kind, row.clone()),
    };
    let last = LastRecord::of(status);
    let mut all = Vec::new();
    // An intended version does not say whether it was to be deployed or released: the other kind of row is not ours.
    let deployed = broker.row.as_ref().filter(|_| !releases || status.recorded.is_some());
    if let Some(row) = deployed {
        all.push(match row_of(&last, row, adopts) {
            RowOf::Operator => allowed(RowKind::Deployment, row),
            whose => Retirement::Kept(whose, row.clone()),
        });
    }
    let released = released_by_operator(Some(status), adopts);
    let recorded = releases || !status.supported.is_empty();
    let ours = broker.releases.iter().filter(|release| recorded && released.contains(&release.version));
    all.extend(ours.map(|release| allowed(RowKind::Release, release)));
    if all.is_empty() {
        all.push(if broker.unreadable { Retirement::Unreadable } else { Retirement::Nothing });
    }
    all
}

/// Whether a record says that something is, or may be, at the broker.
#[must_use]
pub fn may_be_recorded(status: &PactDeploymentStatus) -> bool {
    let last = LastRecord::of(status);
    last.recorded.is_some() || !last.intended.is_empty() || !status.supported.is_empty()
}

#[cfg(test)]
#[path = "retirement_tests.rs"]
mod tests;
