//! What others wrote by their clocks. Pure.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// How far the clocks of processes may differ.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

/// Whether a time that was written as the present lies so far ahead that the clock by which it was written is wrong, or ours.
#[must_use]
pub fn is_ahead(written: Timestamp, now: Timestamp) -> bool {
    written > now.saturating_add(CLOCKS_DIFFER).unwrap_or(now)
}
