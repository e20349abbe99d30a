//! Whose request to a broker is next: so many at a time, in the order in which they come, and those that give way after
//! all others.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit, watch},
    time::timeout,
};

/// How long a request gives way at most: longer than the records of a first start take, and bounded if they never end.
const LONGEST: Duration = Duration::from_mins(1);

/// The slots of one broker. See the module.
pub(super) struct Turns {
    slots: Semaphore,
    /// How many requests wait for a slot.
    waiting: watch::Sender<usize>,
}

/// A request that waits; it leaves when dropped.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

impl Turns {
    /// So many slots.
    pub(super) fn new(at_once: usize) -> Self {
        Self { slots: Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)), waiting: watch::Sender::new(0) }
    }

    /// Waits for a slot. There is always one in the end: `None` is never seen.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(slot) = self.slots.try_acquire() {
            return Some(slot);
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waiting = Waiting(&self.waiting);
        self.slots.acquire().await.ok()
    }

    /// Waits until no request waits for a slot, a minute at most.
    pub(super) async fn give_way(&self) {
        let mut waiting = self.waiting.subscribe();
        drop(timeout(LONGEST, waiting.wait_for(|waiting| *waiting == 0)).await);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::{FutureExt, future::join};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_gives_way_waits_while_another_waits_and_a_minute_at_most() {
        let turns = Turns::new(1);
        turns.give_way().now_or_never().expect("nobody waits");
        let slot = turns.take().await;
        turns.give_way().now_or_never().expect("nobody waits for the slot that is taken");
        let mut next = pin!(turns.take());
        assert!(next.as_mut().now_or_never().is_none());
        assert!(turns.give_way().now_or_never().is_none());
        let began = Instant::now();
        turns.give_way().await;
        assert_eq!(began.elapsed(), LONGEST);
        let (_next, ()) = join(next, async {
            drop(slot);
            turns.give_way().await;
        })
        .await;
        assert_eq!(began.elapsed(), LONGEST, "it had its slot at once");
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_is_waited_for_no_longer() {
        let turns = Turns::new(1);
        let _slot = turns.take().await;
        drop(timeout(Duration::from_secs(1), turns.take()).await);
        turns.give_way().now_or_never().expect("nobody waits any more");
    }
}
