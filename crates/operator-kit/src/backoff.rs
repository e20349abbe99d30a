//! How long to wait before the next try.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Exponential back-off with jitter. The wait doubles from `min` to `max`. Up to a quarter is added, so that tasks
/// which failed together do not retry together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first failure. Taken as one millisecond when it is shorter.
    pub min: Duration,
    /// The longest wait before jitter. Taken as `min` when it is shorter.
    pub max: Duration,
}

impl Backoff {
    /// The wait before try number `attempt` + 1, counted from 0 for the first retry.
    ///
    /// At least `min`, at most 1.25 × `max`, never zero; for the same `entropy` it never shrinks as `attempt` grows.
    /// `entropy` is any number; [`entropy`] gives one that differs from call to call.
    #[must_use]
    pub fn delay(self, attempt: u32, entropy: u64) -> Duration {
        let min = self.min.max(Duration::from_millis(1));
        let max = self.max.max(min);
        let base = 1_u32.checked_shl(attempt).map_or(max, |factor| min.saturating_mul(factor)).min(max);
        base.saturating_add(fraction(base / 4, entropy))
    }
}

/// A part of `whole`, chosen by `entropy`: from zero up to, but not including, all of it.
#[must_use]
pub fn fraction(whole: Duration, entropy: u64) -> Duration {
    // 10 bits spread retries enough, and the product stays exact.
    let parts = u32::try_from(entropy % 1024).unwrap_or(0);
    whole.saturating_mul(parts) / 1024
}

/// A number that differs from call to call and from process to process. It spreads load; it is not a secret.
#[must_use]
pub fn entropy() -> u64 {
    // std seeds every RandomState differently, from the operating system once per thread.
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn doubles_up_to_the_cap() {
        let backoff = Backoff { min: SECOND, max: 60 * SECOND };
        let waits: Vec<u64> = (0..9).map(|attempt| backoff.delay(attempt, 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff.delay(u32::MAX, 0), 60 * SECOND);
    }

    #[test]
    fn odd_settings_still_wait() {
        assert!(!Backoff { min: Duration::ZERO, max: Duration::ZERO }.delay(0, 0).is_zero());
        assert_eq!(Backoff { min: 5 * SECOND, max: SECOND }.delay(3, 0), 5 * SECOND);
        assert!(Backoff { min: Duration::MAX, max: Duration::MAX }.delay(70, 1023) >= SECOND);
    }

    #[test]
    fn entropy_differs_from_call_to_call() {
        let drawn: std::collections::HashSet<u64> = (0..100).map(|_| entropy()).collect();
        assert!(drawn.len() > 90, "{drawn:?}");
    }

    proptest! {
        #[test]
        fn never_zero_never_far_above_the_cap_never_shrinking(
            min in 1_u64..100_000, max in 1_u64..10_000_000, attempt in 0_u32..80, entropy: u64,
        ) {
            let backoff = Backoff { min: Duration::from_millis(min), max: Duration::from_millis(max) };
            let delay = backoff.delay(attempt, entropy);
            prop_assert!(delay >= backoff.min);
            prop_assert!(delay <= backoff.max.max(backoff.min).mul_f64(1.25));
            prop_assert!(backoff.delay(attempt + 1, entropy) >= delay);
        }
    }
}
