//! What a person who retires a record may take back at the broker: the rows that the recorder would, without its grace, and
//! nothing that still runs unless that is said. Pure.

use super::{
    facts::{LastRecord, ReleasedRow, Row},
    ownership::{RowOf, is_released_by_operator, row_of},
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
    /// It is there and runs this now, which is recorded as such: it is none of this record any more.
    Elsewhere(String),
    /// It is there and runs this now, which is not recorded yet.
    Moved(String),
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

    /// Whether what is recorded may still answer somebody.
    #[must_use]
    pub const fn serves(&self) -> bool {
        matches!(self, Self::Runs | Self::PodsLeft | Self::Moved(_))
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
    /// The row stays.
    Kept(WhyKept, Row),
    /// The broker has nothing of the operator's for it.
    Nothing,
    /// Rows of the broker cannot be read, and this one may be among them.
    Unreadable,
}

/// Why a row stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyKept {
    /// It has a version that the operator did not record.
    Others,
    /// It has the operator's version, and is another client's.
    Before,
    /// The environment says that nothing is taken back: the cluster is drained, and another one serves under the record.
    Never,
}

/// How records are retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetirementRules {
    /// What the environment says; `None` when nothing says it that can be followed.
    pub environment: Option<EnvironmentSays>,
    /// Whether what still runs is taken back, too.
    pub even_if_running: bool,
}

/// What an environment says of the records in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnvironmentSays {
    /// Whether a record is taken back at all.
    pub undeploys: bool,
    /// Whether what was at the broker before the operator is taken for the operator's.
    pub adopts: bool,
    /// Whether releases are recorded in the environment, and not deployments.
    pub releases: bool,
}

/// What may be done about each row of a record.
#[must_use]
pub fn retirements(
    status: &PactDeploymentStatus,
    broker: &KeyAtBroker,
    rules: RetirementRules,
    sightings: &[Sighting],
) -> Vec<Retirement> {
    let says = rules.environment;
    // Of an environment of which nothing is known, every row that may be ours is listed, and none is taken back.
    let (adopts, unknown) = (says.is_some_and(|it| it.adopts), says.is_none());
    let (deployments, releases) = (says.is_none_or(|it| !it.releases), says.is_none_or(|it| it.releases));
    // Those that the status does not show may run.
    let unsure = status.more_members.is_some() || sightings.iter().any(|it| matches!(it, Sighting::Unread(_)));
    let runs = sightings.iter().any(Sighting::serves);
    let allowed = |kind, row: &Row| match says {
        Some(says) if !says.undeploys => Retirement::Kept(WhyKept::Never, row.clone()),
        Some(_) if rules.even_if_running => Retirement::TakeBack(kind, row.clone()),
        _ if runs && !rules.even_if_running => Retirement::Refused(kind, row.clone()),
        _ if unsure || unknown => Retirement::Unsure(kind, row.clone()),
        _ => Retirement::TakeBack(kind, row.clone()),
    };
    let last = LastRecord::of(status);
    let mut all = Vec::new();
    // An intended version does not say whether it was to be deployed or released: the other kind of row is not ours.
    let deployed = broker.row.as_ref().filter(|_| deployments || status.recorded.is_some());
    if let Some(row) = deployed {
        all.push(match row_of(&last, row, adopts) {
            RowOf::Operator => allowed(RowKind::Deployment, row),
            RowOf::Others => Retirement::Kept(WhyKept::Others, row.clone()),
            RowOf::Before => Retirement::Kept(WhyKept::Before, row.clone()),
        });
    }
    let recorded = releases || !status.supported.is_empty();
    let ours = broker.releases.iter().filter(|it| recorded && is_released_by_operator(status, it, adopts));
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
