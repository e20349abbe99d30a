//! The result of a pass over a record.

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{deployment::Recorded, names::Version},
    decide::reason::Explanation,
};

/// What was written at the broker for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing: the broker reported the version already.
    None,
    /// The version was recorded.
    First,
    /// Another client's write was corrected.
    Correction,
}

/// The result of a pass over a key.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordState {
    /// The broker reports the desired version.
    Recorded {
        /// The version.
        version: Version,
        /// The uuid of the broker's row.
        uuid: String,
        /// What was written for it.
        write: Write,
    },
    /// The broker supports exactly the releases that it should.
    Released {
        /// The versions that we released and that still run, newest first.
        supported: Vec<Recorded>,
        /// Why a member is not recorded yet.
        waiting: Option<Explanation>,
    },
    /// A rollout is not finished, or members differ: the broker's record is not changed.
    Waiting {
        /// Why.
        why: Explanation,
        /// The version that is rolled out to, if all members agree.
        version: Option<Version>,
    },
    /// A person has to correct something first.
    Held(Explanation),
    /// A write is due and was not possible yet; it is retried.
    Pending {
        /// Why it was not possible.
        why: Explanation,
        /// The version to record, if any.
        version: Option<Version>,
        /// The latest time of the next attempt, while it is tried every few seconds.
        next_try: Option<Timestamp>,
    },
    /// Another client keeps writing this key.
    Contested {
        /// The version that we would record.
        version: Version,
        /// For people.
        why: Explanation,
    },
    /// No workload runs it any more; the record is taken back after `until`.
    Orphaned {
        /// Since when.
        since: Timestamp,
        /// Until when a workload may return.
        until: Timestamp,
    },
    /// No workload runs it any more, the grace has passed, and the record stays all the same: pods are left, it is not
    /// recorded yet where it runs now, or so many others vanished, too, that a person has to confirm it.
    UndeployHeld {
        /// Since when.
        since: Timestamp,
        /// For people.
        why: Explanation,
    },
    /// No workload runs it any more, and nothing of ours is recorded any more.
    Undeployed(Explanation),
    /// No longer managed: the record stays.
    Kept(Explanation),
}
