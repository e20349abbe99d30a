//! Which digests were seen lately: bounded in number and in time, for ten bytes each. A cache that keeps a time for each
//! entry takes thirty times as much, which a process that meets something new with each request fills for an hour.

use std::{
    collections::HashSet,
    mem,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The digests. Those that came since some moment are in one set, those of the time before that in another, and the older
/// set is dropped as a whole.
#[derive(Debug)]
pub struct Recently {
    most: usize,
    age: Duration,
    sets: Mutex<Sets>,
}

#[derive(Debug)]
struct Sets {
    newer: HashSet<u64>,
    older: HashSet<u64>,
    since: Instant,
}

impl Recently {
    /// Nothing was seen yet. A digest is known for at least `age` after it was inserted last, unless `most` others come
    /// meanwhile, and for twice as long at most; twice `most` are known at most.
    #[must_use]
    pub fn new(most: usize, age: Duration) -> Self {
        let sets = Sets { newer: HashSet::new(), older: HashSet::new(), since: Instant::now() };
        Self { most, age, sets: Mutex::new(sets) }
    }

    /// Whether a digest is known.
    #[must_use]
    pub fn contains(&self, digest: u64) -> bool {
        self.contains_at(digest, Instant::now())
    }

    /// Takes in a digest; answers whether it was not known.
    pub fn insert(&self, digest: u64) -> bool {
        self.insert_at(digest, Instant::now())
    }

    fn contains_at(&self, digest: u64, now: Instant) -> bool {
        self.with_sets(now, |sets| sets.newer.contains(&digest) || sets.older.contains(&digest))
    }

    fn insert_at(&self, digest: u64, now: Instant) -> bool {
        self.with_sets(now, |sets| {
            let known = sets.older.contains(&digest);
            let fresh = sets.newer.insert(digest) && !known;
            if sets.newer.len() >= self.most {
                sets.turn(now);
            }
            fresh
        })
    }

    fn with_sets<T>(&self, now: Instant, with: impl FnOnce(&mut Sets) -> T) -> T {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        // After a longer rest both are too old.
        for _ in 0..2 {
            if now.saturating_duration_since(sets.since) >= self.age {
                let since = sets.since + self.age;
                sets.turn(since);
            }
        }
        if now.saturating_duration_since(sets.since) >= self.age {
            sets.since = now;
        }
        with(&mut sets)
    }
}

impl Sets {
    fn turn(&mut self, since: Instant) {
        self.older = mem::take(&mut self.newer);
        self.since = since;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(100);

    #[test]
    fn a_digest_is_known_for_its_age_and_not_for_more_than_twice_that() {
        for inserted in [0, 1, 50, 99] {
            let (recently, begin) = (Recently::new(10, AGE), Instant::now());
            let at = |second| begin + Duration::from_secs(second);
            assert!(recently.insert_at(7, at(inserted)));
            assert!(!recently.insert_at(7, at(inserted)) && recently.contains_at(7, at(inserted)));
            assert!(recently.contains_at(7, at(inserted + 99)), "{inserted}");
            assert!(!recently.contains_at(7, at(inserted + 201)), "{inserted}");
        }
        let (recently, begin) = (Recently::new(10, AGE), Instant::now());
        recently.insert_at(7, begin);
        assert!(!recently.contains_at(7, begin + 100 * AGE), "after a long rest at once");
    }

    #[test]
    fn inserting_it_again_makes_it_young_again() {
        let (recently, begin) = (Recently::new(10, AGE), Instant::now());
        assert!(recently.insert_at(7, begin));
        for round in 1..20 {
            assert!(!recently.insert_at(7, begin + round * Duration::from_secs(99)), "{round}");
        }
    }

    #[test]
    fn the_latest_are_known_and_never_more_than_twice_the_most() {
        let (recently, now) = (Recently::new(1_000, AGE), Instant::now());
        for digest in 0..100_000_u64 {
            recently.insert_at(digest, now);
            assert!(recently.contains_at(digest, now) && recently.contains_at(digest.saturating_sub(999), now));
        }
        let known = (0..100_000).filter(|digest| recently.contains_at(*digest, now)).count();
        assert!((1_000..=2_000).contains(&known), "{known}");
    }
}
