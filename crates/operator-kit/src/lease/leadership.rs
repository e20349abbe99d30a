//! Whether this process leads. The answer needs no request.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

const ALWAYS: u64 = u64::MAX;

/// Answers whether this process leads. Cloning and asking are cheap.
///
/// The answer is a deadline on the local monotonic clock, set from *before* the last successful renewal was sent. So it
/// becomes false without any action: when the API server does not answer, when the renewing task hangs, after a pause
/// of the process. (This clock stops while a machine is suspended; reading the live state before each write covers that
/// case.)
#[derive(Clone)]
pub struct Leadership {
    shared: Arc<Shared>,
    changes: watch::Receiver<bool>,
}

struct Shared {
    start: Instant,
    /// Nanoseconds after `start` until which we lead; 0 for not at all.
    until: AtomicU64,
}

/// The granting end of a [`Leadership`], held by the task that keeps the Lease. Dropping it ends the leadership.
pub struct LeadershipSender {
    shared: Arc<Shared>,
    changes: watch::Sender<bool>,
}

/// A leadership that is not granted yet, and its granting end.
#[must_use]
pub fn leadership() -> (LeadershipSender, Leadership) {
    let shared = Arc::new(Shared { start: Instant::now(), until: AtomicU64::new(0) });
    let (changes, receiver) = watch::channel(false);
    (LeadershipSender { shared: Arc::clone(&shared), changes }, Leadership { shared, changes: receiver })
}

impl Shared {
    fn time_left(&self) -> Duration {
        match self.until.load(Ordering::Acquire) {
            0 => Duration::ZERO,
            ALWAYS => Duration::MAX,
            until => Duration::from_nanos(until).saturating_sub(self.start.elapsed()),
        }
    }
}

impl Leadership {
    /// The leadership of a process that runs without election: it always leads.
    #[must_use]
    pub fn always() -> Self {
        let shared = Arc::new(Shared { start: Instant::now(), until: AtomicU64::new(ALWAYS) });
        // The sender is not needed: a receiver keeps the last value.
        let (_, changes) = watch::channel(true);
        Self { shared, changes }
    }

    /// Whether this process leads now. Check right before each write.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !self.time_left().is_zero()
    }

    /// How long this process still leads for certain: the longest time in which a write that begins now may be sent.
    /// Zero when it does not lead, [`Duration::MAX`] without election.
    #[must_use]
    pub fn time_left(&self) -> Duration {
        self.shared.time_left()
    }

    /// Changes of leadership. The value may lag behind [`Self::is_leader`] by a scheduling delay.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.changes.clone()
    }

    /// Waits until this process leads. Does not return when the granting end is gone and this process does not lead.
    pub async fn wait_leader(&self) {
        let mut changes = self.changes.clone();
        while !self.is_leader() {
            // A value that is true here is stale while the deadline has passed: wait for the next one.
            if changes.changed().await.is_err() && !self.is_leader() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl LeadershipSender {
    /// Grants leadership until `deadline`; one that is past grants nothing.
    pub fn lead_until(&self, deadline: Instant) {
        let lapsed = !self.is_leader();
        let nanos = deadline.saturating_duration_since(self.shared.start).as_nanos();
        self.shared.until.store(u64::try_from(nanos).unwrap_or(ALWAYS - 1), Ordering::Release);
        // After a lapse that was not reported, the last reported value is still true: report the new grant all the
        // same.
        self.publish(lapsed);
    }

    /// Ends leadership now.
    pub fn step_down(&self) {
        self.shared.until.store(0, Ordering::Release);
        self.publish(false);
    }

    /// Whether leadership is granted at this moment.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        !self.shared.time_left().is_zero()
    }

    /// Awaits `work` and reports to the watchers when the deadline passes meanwhile.
    pub async fn while_watching<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            let left = self.shared.time_left();
            if left.is_zero() {
                self.publish(false);
                return work.await;
            }
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    fn publish(&self, repeat: bool) {
        let leads = self.is_leader();
        self.changes.send_if_modified(|reported| std::mem::replace(reported, leads) != leads || repeat);
    }
}

impl Drop for LeadershipSender {
    fn drop(&mut self) {
        self.step_down();
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership").field("is_leader", &self.is_leader()).finish_non_exhaustive()
    }
}

impl fmt::Debug for LeadershipSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeadershipSender").field("is_leader", &self.is_leader()).finish_non_exhaustive()
    }
}
