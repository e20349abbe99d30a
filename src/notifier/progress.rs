//! What was delivered of each object to a sink, and when it is tried again: kept in memory, between one note of it in the
//! cluster and the next.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use operator_kit::backoff::Backoff;
use tokio::time::Instant;

/// How long to wait after a delivery that failed.
const BACKOFF: Backoff = Backoff { min: Duration::from_millis(200), max: Duration::from_secs(30) };

/// How far the deliveries of one object are.
#[derive(Clone, Debug, Default, PartialEq)]
struct Progress {
    /// The uid of the object: a new one of the same name begins anew.
    uid: String,
    /// Up to which sequence it was delivered.
    sent: i64,
    /// How many tries failed since the last that did not.
    failures: u32,
    /// Before then nothing is tried.
    not_before: Option<Instant>,
    /// Whether a delivery is under way.
    busy: bool,
}

impl Progress {
    /// Whether it is about this object, in a state with these news. Where more was delivered than there is, the cluster went
    /// back to an earlier state (case 107), and other news get those numbers.
    fn is_of(&self, uid: &str, newest: i64) -> bool {
        self.uid == uid && self.sent <= newest
    }

    fn is_due(&self, uid: &str, now: Instant) -> bool {
        !self.busy && (self.uid != uid || self.not_before.is_none_or(|then| then <= now))
    }
}

/// The progress of all objects at one sink, by their keys.
pub(super) struct Progresses<K>(Mutex<HashMap<K, Progress>>);

impl<K> Default for Progresses<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Clone + Eq + Hash> Progresses<K> {
    /// Up to which sequence an object, of which this is the newest, was delivered by this process.
    pub(super) fn sent(&self, key: &K, uid: &str, newest: i64) -> i64 {
        self.all().get(key).filter(|known| known.is_of(uid, newest)).map_or(0, |known| known.sent)
    }

    /// Whether deliveries of an object may be begun now.
    pub(super) fn is_due(&self, key: &K, uid: &str, now: Instant) -> bool {
        self.all().get(key).is_none_or(|known| known.is_due(uid, now))
    }

    /// Begins deliveries of an object; says whether that may be done now.
    pub(super) fn begin(&self, key: &K, uid: &str, newest: i64, now: Instant) -> bool {
        let mut all = self.all();
        let known = all.entry(key.clone()).or_default();
        if !known.is_due(uid, now) {
            return false;
        }
        if !known.is_of(uid, newest) {
            *known = Progress { uid: uid.to_owned(), ..Progress::default() };
        }
        known.busy = true;
        true
    }

    /// An announcement was delivered.
    pub(super) fn delivered(&self, key: &K, sequence: i64) {
        if let Some(known) = self.all().get_mut(key) {
            (known.sent, known.failures, known.not_before) = (sequence, 0, None);
        }
    }

    /// A try failed.
    pub(super) fn failed(&self, key: &K, now: Instant, entropy: u64) {
        if let Some(known) = self.all().get_mut(key) {
            known.not_before = Some(now + BACKOFF.delay(known.failures, entropy));
            known.failures = known.failures.saturating_add(1);
        }
    }

    /// The deliveries of an object have ended. What is `noted` in the cluster need not be kept here.
    pub(super) fn end(&self, key: &K, noted: bool) {
        let mut all = self.all();
        if let Some(known) = all.get_mut(key) {
            known.busy = false;
            if noted && known.failures == 0 {
                all.remove(key);
            }
        }
    }

    /// Forgets what was delivered: the cluster went back to an earlier state, and other news get the same numbers.
    pub(super) fn forget(&self) {
        self.all().retain(|_, known| {
            known.sent = 0;
            known.busy
        });
    }

    /// Drops what is known of objects that are not wanted any more.
    pub(super) fn retain(&self, wanted: impl Fn(&K) -> bool) {
        self.all().retain(|key, known| known.busy || wanted(key));
    }

    fn all(&self) -> MutexGuard<'_, HashMap<K, Progress>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::record::fixtures::key;

    #[tokio::test(start_paused = true)]
    async fn one_delivery_of_an_object_is_under_way_and_failures_delay_the_next() {
        let (all, key, now) = (Progresses::default(), key("production", "a"), Instant::now());
        assert!(all.is_due(&key, "u", now) && all.begin(&key, "u", 9, now));
        assert!(!all.is_due(&key, "u", now) && !all.begin(&key, "u", 9, now), "one is under way");
        all.delivered(&key, 3);
        all.failed(&key, now, 0);
        all.end(&key, true);
        assert_eq!(all.sent(&key, "u", 9), 3, "it is kept while the next waits");
        assert!(!all.begin(&key, "u", 9, now + Duration::from_millis(199)));
        assert!(all.begin(&key, "u", 9, now + Duration::from_millis(200)));
        all.failed(&key, now, 0);
        all.end(&key, false);
        assert!(!all.begin(&key, "u", 9, now + Duration::from_millis(399)), "the delay doubles");
        assert!(all.begin(&key, "u", 9, now + Duration::from_millis(400)));
        all.delivered(&key, 4);
        all.end(&key, false);
        assert_eq!(all.sent(&key, "u", 9), 4, "it could not be noted");
        assert!(all.begin(&key, "u", 9, now));
        all.end(&key, true);
        assert_eq!(all.sent(&key, "u", 9), 0, "the cluster knows it");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_object_of_the_name_begins_anew() {
        let (all, key, now) = (Progresses::default(), key("production", "a"), Instant::now());
        assert!(all.begin(&key, "old", 9, now));
        all.delivered(&key, 9);
        all.failed(&key, now, 0);
        all.end(&key, false);
        assert_eq!(all.sent(&key, "new", 9), 0);
        assert!(all.begin(&key, "new", 9, now));
        assert_eq!(all.sent(&key, "new", 9), 0);
        all.retain(|_| false);
        assert!(!all.begin(&key, "new", 9, now), "what is under way is kept");
        all.delivered(&key, 7);
        assert_eq!((all.sent(&key, "new", 7), all.sent(&key, "new", 6)), (7, 0), "the cluster went back");
        all.forget();
        assert_eq!(all.sent(&key, "new", 9), 0);
        assert!(!all.begin(&key, "new", 9, now), "what is under way is kept");
    }
}
