//! What a `PactRecord` says: whether the version that a workload runs is recorded at the broker. Pure.
//!
//! [`Found`] is what is known of the workload, [`outcome()`] what follows from it, [`status()`] what is written, and
//! [`at_once()`] whether that may wait for a moment. People wait for `Recorded`, so every doubt is a no: a rollout that is
//! not finished for the newest generation, an environment whose rules cannot be followed, a write at the broker whose
//! answer is not known.

mod found;
mod outcome;
mod status;

pub use found::{Found, RecordSeen, Seen, SeenKey, workload_of};
pub use outcome::{Outcome, outcome};
pub use status::{at_once, status};
