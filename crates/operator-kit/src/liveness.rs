//! Liveness: whether the main loop still turns, and nothing else. A failed dependency is no reason to restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a loop may go without a tick by default.
pub const DEFAULT_LIMIT: Duration = Duration::from_mins(1);

/// The heartbeat of a loop. Clones share it.
#[derive(Clone, Debug)]
pub struct Liveness {
    start: Instant,
    /// Milliseconds after `start`.
    last: Arc<AtomicU64>,
    limit: Duration,
}

impl Liveness {
    /// Alive now, and dead once `limit` has passed without a tick.
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self { start: Instant::now(), last: Arc::default(), limit }
    }

    /// Records that the loop has turned. Call it more often than `limit`, also when there is nothing to do.
    pub fn tick(&self) {
        self.tick_at(Instant::now());
    }

    /// How long ago the last tick was, once that exceeds the limit.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        self.silent_at(Instant::now())
    }

    fn tick_at(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.start).as_millis();
        self.last.fetch_max(u64::try_from(millis).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn silent_at(&self, now: Instant) -> Option<Duration> {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        let silent = now.saturating_duration_since(self.start).saturating_sub(last);
        (silent > self.limit).then_some(silent)
    }
}

impl Default for Liveness {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_only_after_the_limit_without_a_tick_and_alive_again_after_one() {
        let heart = Liveness::new(Duration::from_mins(1));
        let at = |seconds| heart.start + Duration::from_secs(seconds);
        assert_eq!(heart.silent_at(at(60)), None);
        assert_eq!(heart.silent_at(at(61)), Some(Duration::from_secs(61)));
        heart.clone().tick_at(at(61));
        assert_eq!(heart.silent_at(at(121)), None);
        assert_eq!(heart.silent_at(at(122)), Some(Duration::from_secs(61)));
    }
}
