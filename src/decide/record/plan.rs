//! What to do about a key: from the desired version, the last record and the broker's row to one step. Pure.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{desired::Desired, facts::LastRecord};
use crate::{api::names::Version, decide::reason::Explanation};

/// The step to take for a key that is recorded as deployed.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// The broker reports the desired version: keep that in the status, do nothing.
    Settled(Version),
    /// Nothing has to be done at the broker, for this reason.
    Wait {
        /// Why.
        why: Explanation,
        /// When to assess again although nothing changes.
        look_again: Option<Timestamp>,
    },
    /// Record the version. `correction` if this only corrects another client's write.
    Record {
        /// The version.
        version: Version,
        /// Whether this corrects another client's write.
        correction: bool,
    },
    /// Another client keeps writing this key: do not change it (case 37).
    Contested {
        /// The version that we would record.
        version: Version,
        /// What the broker has.
        found: Option<Version>,
    },
    /// No workload runs it any more: determine what became of its members, and take the record back after the grace.
    Orphaned,
    /// No workload runs it and nothing of ours is recorded.
    Nothing,
}

/// The step to take for a key, given the broker's current row.
#[must_use]
pub fn plan(desired: &Desired, last: &LastRecord, row: Option<&Version>) -> Step {
    match desired {
        Desired::Held(why) | Desired::Mixed(why) => Step::Wait { why: why.clone(), look_again: None },
        Desired::Unfinished { why, look_again, .. } => Step::Wait { why: why.clone(), look_again: *look_again },
        Desired::NoWorkload if last.recorded.is_some() || !last.intended.is_empty() => Step::Orphaned,
        Desired::NoWorkload => Step::Nothing,
        Desired::Runs(version) if row == Some(version) => Step::Settled(version.clone()),
        Desired::Runs(version) if last.recorded.as_ref() != Some(version) => {
            Step::Record { version: version.clone(), correction: false }
        }
        // The row is our own, and its answer was lost: a rollback corrects nobody.
        Desired::Runs(version) if row.is_some_and(|row| last.intended.contains(row)) => {
            Step::Record { version: version.clone(), correction: false }
        }
        Desired::Runs(version) if last.corrected.as_ref() == Some(version) => {
            Step::Contested { version: version.clone(), found: row.cloned() }
        }
        Desired::Runs(version) => Step::Record { version: version.clone(), correction: true },
    }
}

/// What became of a member in the status, according to a live read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberFate {
    /// It is gone, or replaced by another object; or it runs under another name or in another environment, and is recorded
    /// there.
    Gone,
    /// It is gone, and pods of it are left (case 99).
    Serving,
    /// It runs under another name or in another environment, and is not recorded there yet (case 98).
    Moved,
    /// It exists, but is no longer annotated, or is a template only: we stop managing it and keep the record (case 39).
    Unmanaged,
    /// It exists and may still run this pacticipant: nothing is taken back.
    Unknown,
}

/// The step to take for a key that no workload runs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// Wait until then; a workload may return (case 48).
    Grace(Timestamp),
    /// The grace has passed: take the record back, if the broker's row still has our version.
    Undeploy,
    /// The annotation was removed: keep the record, stop managing.
    Keep,
    /// The grace has passed, and pods of it are left: the record stays as long as they do.
    Serving,
    /// The grace has passed, and it is not recorded yet where it runs now: the record stays until then.
    Moved,
    /// Nothing is certain enough to act on.
    Unknown,
}

/// What to do about a key that no workload runs any more, given what became of its members.
#[must_use]
pub fn removal(fates: &[MemberFate], orphaned_since: Option<Timestamp>, grace: Duration, now: Timestamp) -> Removal {
    if fates.contains(&MemberFate::Unknown) {
        return Removal::Unknown;
    }
    if fates.contains(&MemberFate::Unmanaged) {
        return Removal::Keep;
    }
    let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    let until = orphaned_since.unwrap_or(now).saturating_add(grace).unwrap_or(Timestamp::MAX);
    if now < until {
        Removal::Grace(until)
    } else if fates.contains(&MemberFate::Serving) {
        Removal::Serving
    } else if fates.contains(&MemberFate::Moved) {
        Removal::Moved
    } else {
        Removal::Undeploy
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
