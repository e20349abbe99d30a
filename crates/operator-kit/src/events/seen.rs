//! A bounded memory of what was said lately.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Two generations of at most so many entries each.
const GENERATION: usize = 4096;
/// Kubernetes keeps Events for an hour; remembering longer would suppress what is no longer there.
const AGE: Duration = Duration::from_mins(30);

/// Remembers each digest for between 30 minutes and an hour, or until some thousand others came.
#[derive(Debug)]
pub(super) struct Seen {
    young: HashSet<u64>,
    old: HashSet<u64>,
    since: Instant,
}

impl Default for Seen {
    fn default() -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), since: Instant::now() }
    }
}

impl Seen {
    pub(super) fn contains(&mut self, digest: u64) -> bool {
        self.contains_at(digest, Instant::now())
    }

    pub(super) fn insert(&mut self, digest: u64) {
        self.insert_at(digest, Instant::now());
    }

    fn contains_at(&mut self, digest: u64, now: Instant) -> bool {
        self.turn(now);
        self.young.contains(&digest) || self.old.contains(&digest)
    }

    fn insert_at(&mut self, digest: u64, now: Instant) {
        self.turn(now);
        self.young.insert(digest);
    }

    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.since);
        if age >= AGE * 2 {
            self.young.clear();
        }
        if age >= AGE || self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_within_the_hour() {
        let mut seen = Seen::default();
        let start = seen.since;
        seen.insert_at(1, start);
        assert!(seen.contains_at(1, start + AGE));
        assert!(!seen.contains_at(1, start + AGE * 2), "the Event may be gone by now");
        seen.insert_at(2, start + AGE * 2);
        assert!(!seen.contains_at(2, start + AGE * 5));
    }

    #[test]
    fn never_holds_more_than_two_generations() {
        let mut seen = Seen::default();
        for digest in 0..100_000 {
            seen.insert(digest);
        }
        assert!(seen.contains(99_999));
        assert!(seen.young.len() + seen.old.len() <= 2 * GENERATION);
    }
}
