//! When a sink is left alone: as long as it asks for, and after several failures in a row. Then one announcement is tried,
//! whatever else waits, and the others follow once that one was taken. Pure.

use std::time::Duration;

use operator_kit::backoff::Backoff;
use tokio::time::Instant;

use super::post::LIMIT;

/// How many tries in a row, of whatever, fail before the sink is left alone.
const MANY: u32 = 10;
/// For how long. At most, it is shorter than the longest delay of a single announcement: one that makes its sink fail is
/// not the one that is tried each time.
const BACKOFF: Backoff = Backoff { min: Duration::from_millis(200), max: Duration::from_secs(15) };
/// When a try counts as lost that was begun alone and of which nothing was heard.
const LOST: Duration = LIMIT.saturating_mul(2);

/// How a sink is doing.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// It asked to be left alone until then.
    asked: Option<Instant>,
    /// How many tries failed in a row, up to [`MANY`].
    failures: u32,
    /// How often it was left alone in a row.
    times: u32,
    /// It failed too often, and is left alone until then.
    until: Option<Instant>,
    /// Whether one is being tried alone.
    alone: bool,
}

impl Rest {
    /// Whether nothing is to be tried.
    pub(super) fn rests(&self, now: Instant) -> bool {
        [self.asked, self.until].into_iter().flatten().any(|until| until > now)
    }

    /// Begins a try; says whether that may be done now.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        if self.rests(now) {
            return false;
        }
        if self.failures >= MANY {
            (self.alone, self.until) = (true, Some(now + LOST));
        }
        true
    }

    /// The sink answered as one does that works.
    pub(super) fn works(&mut self) {
        *self = Self { asked: self.asked, ..Self::default() };
    }

    /// Nothing was sent after all.
    pub(super) fn not_tried(&mut self) {
        if std::mem::take(&mut self.alone) {
            self.until = None;
        }
    }

    /// A try failed. The sink asked for a `pause`, or not.
    pub(super) fn failed(&mut self, pause: Option<Duration>, now: Instant, entropy: u64) {
        if let Some(pause) = pause {
            self.asked = self.asked.max(Some(now + pause));
        }
        if self.failures < MANY {
            self.failures += 1;
            if self.failures < MANY {
                return;
            }
        } else if !std::mem::take(&mut self.alone) {
            // It began before the sink was left alone.
            return;
        }
        self.until = Some(now + BACKOFF.delay(self.times, entropy));
        self.times = self.times.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn after_many_failures_one_is_tried_alone_and_its_success_opens_the_sink() {
        let (mut sink, now) = (Rest::default(), Instant::now());
        for _ in 0..MANY {
            assert!(sink.begin(now));
            sink.failed(None, now, 0);
        }
        assert!(sink.rests(now) && !sink.begin(now + Duration::from_millis(199)));
        // Those that were under way make it no longer.
        sink.failed(None, now, 0);
        let mut now = now + Duration::from_millis(200);
        for delay in [400, 800, 1_600, 3_200, 6_400, 12_800, 15_000, 15_000] {
            assert!(sink.begin(now), "one is tried");
            assert!(!sink.begin(now), "and no other");
            sink.failed(None, now, 0);
            now += Duration::from_millis(delay);
            assert!(sink.rests(now - Duration::from_millis(1)), "{delay}");
        }
        assert!(sink.begin(now));
        sink.works();
        assert!(sink.begin(now) && sink.begin(now));
        sink.failed(None, now, 0);
        assert!(sink.begin(now), "one failure is none");
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_was_none_or_got_lost_is_followed_by_another() {
        let (mut sink, now) = (Rest::default(), Instant::now());
        (0..MANY).for_each(|_| sink.failed(None, now, 0));
        let now = now + SECOND;
        assert!(sink.begin(now));
        sink.not_tried();
        assert!(sink.begin(now));
        assert!(!sink.begin(now + LOST - SECOND));
        assert!(sink.begin(now + LOST));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_that_the_sink_asks_for_is_kept_whatever_others_are_answered() {
        let (mut sink, now) = (Rest::default(), Instant::now());
        sink.failed(Some(60 * SECOND), now, 0);
        sink.failed(Some(SECOND), now, 0);
        sink.works();
        assert!(!sink.begin(now + 59 * SECOND));
        assert!(sink.begin(now + 60 * SECOND));
    }
}
