//! The pause that a broker asked for (`Retry-After`), shared by all callers.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// The longest pause that is accepted at all. A wrong clock or a typing error must not stop the operator for a day.
pub const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// The longest pause of whoever stands between people and their rollouts: rollouts go unchecked for that long after the
/// broker is back. What asks for minutes is mostly a proxy's error page (case 80).
pub const GATES_LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The time until which no request may be sent. It can only move later.
#[derive(Debug)]
pub(super) struct Pause {
    until: Mutex<Option<Instant>>,
    longest: Duration,
}

impl Pause {
    /// No pause. None will be longer than `longest`, or than [`LONGEST_PAUSE`].
    pub(super) fn new(longest: Duration) -> Self {
        Self { until: Mutex::default(), longest: longest.min(LONGEST_PAUSE) }
    }

    /// How much of a pause that a broker asks for is kept.
    pub(super) fn limited(&self, wait: Duration) -> Duration {
        wait.min(self.longest)
    }

    /// Begins a pause at `now`; a longer one that is already running stays.
    pub(super) fn ask(&self, now: Instant, wait: Duration) {
        let until = now + self.limited(wait);
        let mut held = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(held.map_or(until, |before| before.max(until)));
    }

    /// The remaining pause, or `None` when the broker may be called.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let held = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
        held.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero())
    }
}

/// Reads a `Retry-After` header: seconds or a date (RFC 9110, 10.2.3). The date is compared with the answer's own
/// `Date` if it has one, because clocks differ. `None` when it cannot be read; at most [`LONGEST_PAUSE`].
#[must_use]
pub fn retry_after(value: &str, date: Option<&str>, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number with too many digits is longer than any pause.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = httpdate::parse_http_date(value).ok()?;
        let from = date.and_then(|date| httpdate::parse_http_date(date.trim()).ok()).unwrap_or(now);
        until.duration_since(from).unwrap_or(Duration::ZERO)
    };
    Some(wait.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_pause_only_moves_later_and_ends() {
        let (pause, now) = (Pause::new(Duration::MAX), Instant::now());
        assert_eq!(pause.left(now), None);
        pause.ask(now, 5 * SECOND);
        pause.ask(now + SECOND, 2 * SECOND);
        assert_eq!(pause.left(now + SECOND), Some(4 * SECOND));
        pause.ask(now + SECOND, 9 * SECOND);
        assert_eq!(pause.left(now + SECOND), Some(9 * SECOND));
        assert_eq!(pause.left(now + 10 * SECOND), None);
        pause.ask(now, Duration::MAX);
        assert_eq!(pause.left(now), Some(LONGEST_PAUSE));
        let gate = Pause::new(GATES_LONGEST_PAUSE);
        gate.ask(now, 600 * SECOND);
        assert_eq!(gate.left(now), Some(GATES_LONGEST_PAUSE));
    }

    #[test]
    fn seconds_and_dates_are_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        for (value, date, wait) in [
            ("0", None, Some(0)),
            (" 17 ", None, Some(17)),
            ("86400", None, Some(600)),
            ("99999999999999999999999", None, Some(600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", None, Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("Sun, 06 Nov 1994 08:49:07 GMT"), Some(30)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some("yesterday"), Some(7)),
            ("Sun, 06 Nov 1994 08:49:29 GMT", None, Some(0)),
            ("Sat, 06 Nov 2094 08:49:37 GMT", None, Some(600)),
            ("-1", None, None),
            ("", None, None),
            ("soon", None, None),
        ] {
            assert_eq!(retry_after(value, date, now), wait.map(Duration::from_secs), "{value}");
        }
    }
}
