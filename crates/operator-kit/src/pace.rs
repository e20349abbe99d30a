//! Whether a peer sends what it has to send, or only keeps us waiting.

use std::time::Duration;

use tokio::time::Instant;

/// How many bytes make up for a second of waiting. A caller in a cluster sends a hundred times as many.
const BYTES_PER_SECOND: u32 = 1 << 20;

/// How long a peer has kept us waiting for bytes, less what it has sent since. Only the time counts in which we would
/// have read. So a peer that stalls is behind, and so is one that sends a byte from time to time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    behind: Duration,
    waiting_since: Option<Instant>,
}

impl Pace {
    /// From now on we wait for bytes.
    pub(crate) fn waits(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// So many bytes arrived.
    pub(crate) fn arrived(&mut self, bytes: usize, now: Instant) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let earned = Duration::from_secs(1).saturating_mul(bytes) / BYTES_PER_SECOND;
        self.behind = self.behind(now).saturating_sub(earned);
        self.waiting_since = None;
    }

    /// For how long the peer has been behind.
    pub(crate) fn behind(&self, now: Instant) -> Duration {
        self.behind + self.waiting_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn case_109_who_stalls_or_trickles_is_behind_and_who_sends_is_not() {
        let start = Instant::now();
        let behind_after_a_second = |piece: usize, every: u32| {
            let mut pace = Pace::default();
            for millis in (0..1_000).step_by(usize::try_from(every).unwrap()) {
                pace.waits(start + MILLISECOND * millis);
                pace.arrived(piece, start + MILLISECOND * (millis + every));
            }
            pace.behind(start + 1_000 * MILLISECOND).as_millis()
        };
        assert_eq!(behind_after_a_second(0, 1_000), 1_000);
        assert_eq!(behind_after_a_second(1, 100), 999, "a byte each 100 ms");
        assert_eq!(behind_after_a_second(16 << 10, 100), 843, "160 KiB in a second");
        assert_eq!(behind_after_a_second(16 << 10, 10), 0, "1.6 MiB in a second");
    }

    #[test]
    fn case_109_time_in_which_we_do_not_read_does_not_count() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.waits(start);
        pace.waits(start + 5 * MILLISECOND);
        pace.arrived(0, start + 10 * MILLISECOND);
        assert_eq!(pace.behind(start + 1_000 * MILLISECOND), 10 * MILLISECOND);
        pace.waits(start + 1_000 * MILLISECOND);
        assert_eq!(pace.behind(start + 1_001 * MILLISECOND), 11 * MILLISECOND);
    }
}
