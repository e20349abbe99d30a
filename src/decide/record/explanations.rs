//! The explanations of a record that is not simply recorded.

use super::{breaker::Vanished, facts::Row};
use crate::{
    api::names::Version,
    decide::reason::{Explanation, Reason},
    workload::RecordKey,
};

/// Another client keeps writing the record.
pub(super) fn contested(key: &RecordKey, version: &Version, found: Option<&Version>) -> Explanation {
    let found = found.map_or_else(|| "nothing".to_owned(), Version::to_string);
    Explanation::new(
        Reason::Contested,
        format!(
            "{version} runs, but another client recorded {found} again after the operator had corrected it once; stop the \
             other recorder of {key}, or give one of the two an application instance"
        ),
    )
}

/// None of our records is at the broker any more.
pub(super) fn anomaly(key: &RecordKey) -> Explanation {
    Explanation::new(
        Reason::BrokerAnomaly,
        format!(
            "none of the operator's records in {} is at the broker any more; nothing is changed until it was read again: \
             was the broker reset, or may the operator's user no longer see it?",
            key.environment_ref
        ),
    )
}

/// The broker reports another version than the one that was just written.
pub(super) fn not_kept(version: &Version, row: Option<&Row>) -> Explanation {
    let found = row.map_or_else(|| "nothing".to_owned(), |row| row.version.to_string());
    let message =
        format!("{version} was recorded, but the broker then reported {found}: does another client record it, too?");
    Explanation::new(Reason::RecordNotKept, message)
}

/// There is no record to take back.
pub(super) fn nothing_recorded() -> Explanation {
    Explanation::new(Reason::NothingRecorded, "no workload runs it and nothing is recorded")
}

/// The row is not ours.
pub(super) fn recorded_by_others(row: &Row) -> Explanation {
    let message = format!("the broker has {}, which this operator did not record: it stays as it is", row.version);
    Explanation::new(Reason::RecordedByOthers, message)
}

/// The row was there before us.
pub(super) fn was_there_before(row: &Row) -> Explanation {
    let message = format!(
        "no workload runs it any more; the broker had {} before the operator came, so it stays: record.adopt says otherwise",
        row.version
    );
    Explanation::new(Reason::RecordedByOthers, message)
}

/// Pods are left although the workload is gone.
pub(super) fn serving() -> Explanation {
    Explanation::new(
        Reason::PodsLeft,
        "the workload that ran it is gone, but pods of it are left; the record stays as long as they do",
    )
}

/// It runs elsewhere and is not recorded there.
pub(super) fn moved() -> Explanation {
    Explanation::new(
        Reason::RecordedElsewhereFirst,
        "the workload that ran it has another pacticipant or environment now, and is not recorded there yet; the record \
         stays until it is",
    )
}

/// The environment takes nothing back.
pub(super) fn never_undeployed() -> Explanation {
    Explanation::new(Reason::Unmanaged, "no workload runs it any more; the record stays, as record.undeploy is Never")
}

/// Many records vanished at once.
pub(super) fn too_many(vanished: &Vanished, object: &str) -> Explanation {
    Explanation::new(Reason::UndeploysHeld, vanished.message(object).unwrap_or_default())
}

/// The record was taken back.
pub(super) fn undeployed(version: &Version) -> Explanation {
    let message = format!("no workload runs it any more; {version} is no longer recorded");
    Explanation::new(Reason::Undeployed, message)
}

/// The support of every release has ended.
pub(super) fn all_ended() -> Explanation {
    Explanation::new(Reason::Undeployed, "no workload runs it any more; the support of every version has ended")
}

/// A member cannot be judged.
pub(super) fn uncertain() -> Explanation {
    Explanation::new(
        Reason::MembersUncertain,
        "a workload that ran it exists, but cannot be judged: it is being deleted, its annotations cannot be read, its \
         namespace is in no environment or names more pacticipants than are recorded, other namespaces own the name, or \
         more ran it than are remembered; the record stays as it is until that is clear",
    )
}

/// A member is no longer managed.
pub(super) fn unmanaged() -> Explanation {
    Explanation::new(
        Reason::Unmanaged,
        "a workload that ran it exists, but is no longer annotated, or is only the template of another: it is not managed any \
         more, and the record stays as it is",
    )
}
