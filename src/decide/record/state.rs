//! How a pass over a record ends.

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{deployment::Recorded, names::Version},
    decide::reason::Explanation,
};

/// What was written at the broker for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing: it said so already.
    None,
    /// The version was recorded.
    First,
    /// Somebody else's write was put right.
    Correction,
}

/// What a pass over a key found, at its end.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordState {
    /// The broker says what it should.
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
        /// What we released and still runs, newest first.
        supported: Vec<Recorded>,
        /// What holds up a member that is not recorded yet.
        waiting: Option<Explanation>,
    },
    /// A rollout is not finished, or members differ: the broker keeps what it has.
    Waiting {
        /// Why.
        why: Explanation,
        /// The version that is rolled out to, if they agree on one.
        version: Option<Version>,
    },
    /// A person has to put something right first.
    Held(Explanation),
    /// Something should be done and could not be yet; it is tried again.
    Pending {
        /// Why it could not be.
        why: Explanation,
        /// What should be recorded, if anything.
        version: Option<Version>,
        /// When it is tried again at the latest.
        next_try: Timestamp,
    },
    /// Somebody else keeps writing this key.
    Contested {
        /// What we would record.
        version: Version,
        /// For people.
        why: Explanation,
    },
    /// No workload runs it any more; the record is taken back then.
    Orphaned {
        /// Since when.
        since: Timestamp,
        /// Until when a workload may come back.
        until: Timestamp,
    },
    /// No workload runs it any more, and nothing of ours is recorded any more.
    Undeployed(Explanation),
    /// No longer managed: the record stays.
    Kept(Explanation),
}
