//! How much is measured.

use std::time::Duration;

/// The numbers of one run.
pub struct Sizes {
    /// Rollouts measured one after the other.
    pub singles: usize,
    /// Rollouts at once.
    pub at_once: usize,
    /// Deployments that are there when the operator starts.
    pub known: usize,
    /// How long the operator is watched at rest.
    pub rest: Duration,
}

impl Sizes {
    /// What `benches/RESULTS.md` shows.
    pub fn full() -> Self {
        Self { singles: 50, at_once: 200, known: 1_000, rest: Duration::from_mins(1) }
    }

    /// Enough to see that the measurements work.
    pub fn quick() -> Self {
        Self { singles: 4, at_once: 12, known: 60, rest: Duration::from_secs(5) }
    }
}
