//! Places for connections: bounded in all and for one source, and what is quiet gives way to what comes.
//!
//! A neighbour can open as many connections as there are places. So a full server closes the connection that has been
//! quiet for the longest time, and serves the one that has come. A connection on which something is under way never
//! gives way.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// How often a full server looks again whether a connection has become quiet.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotLimits {
    /// In all.
    pub(crate) total: usize,
    /// From one address.
    pub(crate) per_source: usize,
    /// How long a connection may be quiet before it gives way to one from a source that has as many quiet ones.
    pub(crate) grace: Duration,
}

/// What a connection says about itself.
pub(crate) trait Occupant: Send + Sync {
    /// Since when nothing has been under way on it; `None` while something is.
    fn quiet_since(&self, now: Instant) -> Option<Instant>;
}

/// The places of one server.
pub(crate) struct Slots {
    limits: SlotLimits,
    places: Arc<Places>,
}

#[derive(Default)]
struct Places {
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    by_number: BTreeMap<u64, Place>,
}

struct Place {
    source: IpAddr,
    occupant: Arc<dyn Occupant>,
    /// Asked to leave: no longer counted.
    leaving: bool,
    leave: Arc<Notify>,
}

/// Why a connection gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// Something is under way on every connection: there will be a place later.
    Full,
    /// Its source has as many connections as it may, and something is under way on each.
    Source,
}

/// The place of one connection, until it is dropped.
pub(crate) struct Slot {
    number: u64,
    places: Arc<Places>,
    leave: Arc<Notify>,
}

impl Slots {
    pub(crate) fn new(limits: SlotLimits) -> Self {
        Self { limits, places: Arc::default() }
    }

    /// Waits until there is a place, or a connection that would give way.
    pub(crate) async fn room(&self) {
        loop {
            let freed = self.places.freed.notified();
            if self.places.taken().has_room(self.limits.total, Instant::now()) {
                return;
            }
            tokio::select! {
                () = freed => {}
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }

    /// A place for a connection that has come from `source`. Where none is free, another connection is asked to leave.
    pub(crate) fn take(&self, source: IpAddr, occupant: Arc<dyn Occupant>) -> Result<Slot, NoPlace> {
        let (mut taken, now) = (self.places.taken(), Instant::now());
        let source = source.to_canonical();
        // More than one, where a connection that was to leave has stayed.
        while let Some(wanted) = taken.wanted(self.limits, source, now)? {
            if let Some(place) = taken.by_number.get_mut(&wanted) {
                place.leaving = true;
                place.leave.notify_one();
            }
        }
        let (number, leave) = (taken.next, Arc::<Notify>::default());
        taken.next += 1;
        taken.by_number.insert(number, Place { source, occupant, leaving: false, leave: Arc::clone(&leave) });
        Ok(Slot { number, places: Arc::clone(&self.places), leave })
    }
}

impl Places {
    // A panic elsewhere cannot leave this state half-written.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn staying(&self) -> impl Iterator<Item = (u64, &Place)> {
        self.by_number.iter().filter(|(_, place)| !place.leaving).map(|(number, place)| (*number, place))
    }

    fn has_room(&self, total: usize, now: Instant) -> bool {
        self.staying().count() < total || self.staying().any(|(_, place)| place.occupant.quiet_since(now).is_some())
    }

    /// Whose place a connection from `source` takes; `None` is a free one.
    fn wanted(&self, limits: SlotLimits, source: IpAddr, now: Instant) -> Result<Option<u64>, NoPlace> {
        let quiet = || {
            self.staying().filter_map(|(number, place)| Some((place.occupant.quiet_since(now)?, number, place.source)))
        };
        if self.staying().filter(|(_, place)| place.source == source).count() >= limits.per_source {
            let own = quiet().filter(|(_, _, its)| *its == source).min();
            return own.map(|(_, number, _)| Some(number)).ok_or(NoPlace::Source);
        }
        if self.staying().count() < limits.total {
            return Ok(None);
        }
        let (since, longest, _) = quiet().min().ok_or(NoPlace::Full)?;
        if now.saturating_duration_since(since) >= limits.grace {
            return Ok(Some(longest));
        }
        // All have just come. Then the source that has the most of them gives way, so that a flood from one source
        // displaces itself, and not who comes from elsewhere.
        let mut has: HashMap<IpAddr, usize> = HashMap::new();
        quiet().for_each(|(_, _, its)| *has.entry(its).or_default() += 1);
        let of = |source: IpAddr| has.get(&source).copied().unwrap_or_default();
        let may_go = |its: IpAddr| its == source || of(its) > of(source);
        let first =
            quiet().filter(|(_, _, its)| may_go(*its)).min_by_key(|(since, _, its)| (Reverse(of(*its)), *since));
        first.map(|(_, number, _)| Some(number)).ok_or(NoPlace::Full)
    }
}

impl Slot {
    /// Waits until another connection wants this place. The connection ends then, or [`stays`](Self::stays).
    pub(crate) async fn wanted(&self) {
        self.leave.notified().await;
    }

    /// Something has begun on the connection in the meantime: it keeps its place.
    pub(crate) fn stays(&self) {
        if let Some(place) = self.places.taken().by_number.get_mut(&self.number) {
            place.leaving = false;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.places.taken().by_number.remove(&self.number);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quiet since this moment, or busy.
    struct Visitor(Mutex<Option<Instant>>);

    impl Occupant for Visitor {
        fn quiet_since(&self, _now: Instant) -> Option<Instant> {
            *self.0.lock().unwrap()
        }
    }

    const GRACE: Duration = Duration::from_secs(1);

    fn slots(total: usize, per_source: usize) -> Slots {
        Slots::new(SlotLimits { total, per_source, grace: GRACE })
    }

    fn from(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn quiet() -> Arc<Visitor> {
        Arc::new(Visitor(Mutex::new(Some(Instant::now()))))
    }

    fn busy() -> Arc<Visitor> {
        Arc::new(Visitor(Mutex::new(None)))
    }

    /// Whether this connection has been asked to leave.
    async fn leaves(slot: &Slot) -> bool {
        tokio::time::timeout(Duration::from_millis(1), slot.wanted()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn case_109_the_connection_that_has_been_quiet_for_the_longest_time_gives_way() {
        let slots = slots(3, 3);
        let mut taken = Vec::new();
        for last in [1, 2, 3] {
            taken.push(slots.take(from(last), quiet()).unwrap());
            tokio::time::advance(GRACE).await;
        }
        let fourth = slots.take(from(4), quiet()).unwrap();
        assert!(leaves(&taken[0]).await);
        // While it is leaving, it is not asked again.
        let fifth = slots.take(from(5), quiet()).unwrap();
        assert!(leaves(&taken[1]).await && !leaves(&taken[2]).await && !leaves(&fourth).await && !leaves(&fifth).await);
        // A place that is free is taken first.
        drop(taken);
        tokio::time::advance(GRACE).await;
        let _sixth = slots.take(from(6), quiet()).unwrap();
        assert!(!leaves(&fourth).await && !leaves(&fifth).await);
    }

    #[tokio::test(start_paused = true)]
    async fn case_109_a_connection_on_which_something_is_under_way_never_gives_way() {
        let slots = slots(2, 2);
        let first = slots.take(from(1), busy()).unwrap();
        let second = slots.take(from(2), busy()).unwrap();
        tokio::time::advance(100 * GRACE).await;
        assert_eq!(slots.take(from(3), quiet()).err(), Some(NoPlace::Full));
        assert!(!leaves(&first).await && !leaves(&second).await);
        let waiting = tokio::time::timeout(GRACE, slots.room()).await;
        assert!(waiting.is_err(), "more wait where nothing can give way");
        drop(first);
        slots.room().await;
        assert!(slots.take(from(3), quiet()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn case_109_room_is_noticed_when_a_connection_becomes_quiet() {
        let slots = slots(1, 1);
        let visitor = busy();
        let _taken = slots.take(from(1), Arc::<Visitor>::clone(&visitor)).unwrap();
        let becoming_quiet = async {
            tokio::time::sleep(GRACE).await;
            *visitor.0.lock().unwrap() = Some(Instant::now());
        };
        let noticed = tokio::time::timeout(2 * GRACE, slots.room());
        assert!(tokio::join!(noticed, becoming_quiet).0.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn case_109_one_source_has_no_more_than_its_share_however_its_address_is_written() {
        let slots = slots(4, 2);
        let mapped = |last: u8| IpAddr::from(std::net::Ipv4Addr::new(10, 0, 0, last).to_ipv6_mapped());
        let first = slots.take(from(1), quiet()).unwrap();
        tokio::time::advance(GRACE / 10).await;
        let second = slots.take(mapped(1), quiet()).unwrap();
        let third = slots.take(from(1), quiet()).unwrap();
        assert!(leaves(&first).await && !leaves(&second).await, "its own, the longest quiet, also before the grace");
        let other = slots.take(mapped(2), busy()).unwrap();
        assert!(!leaves(&second).await && !leaves(&third).await && !leaves(&other).await);
        let _busy = slots.take(from(2), busy()).unwrap();
        let one_more = slots.take(from(2), quiet()).err();
        assert_eq!(one_more, Some(NoPlace::Source), "two of its reviews are under way");
    }

    #[tokio::test(start_paused = true)]
    async fn case_108_a_connection_that_has_just_come_is_not_displaced_by_a_flood_from_elsewhere() {
        let slots = slots(4, 4);
        let kubelet = slots.take(from(1), quiet()).unwrap();
        let mut flood = Vec::new();
        for _ in 0..100 {
            flood.push(slots.take(from(2), quiet()).unwrap());
            assert!(!leaves(&kubelet).await);
        }
        // Nor is one refused that comes while all the others have just come.
        let prometheus = slots.take(from(3), quiet()).unwrap();
        assert!(leaves(&flood[97]).await && !leaves(&kubelet).await);
        flood.push(slots.take(from(2), quiet()).unwrap());
        assert!(leaves(&flood[98]).await && !leaves(&kubelet).await && !leaves(&prometheus).await);
    }

    #[tokio::test(start_paused = true)]
    async fn case_109_a_connection_that_stays_is_counted_again() {
        let slots = slots(1, 1);
        let visitor = quiet();
        let first = slots.take(from(1), Arc::<Visitor>::clone(&visitor)).unwrap();
        let second = slots.take(from(2), quiet()).unwrap();
        first.wanted().await;
        // Its next request has just come.
        *visitor.0.lock().unwrap() = None;
        first.stays();
        let third = slots.take(from(3), quiet());
        assert!(third.is_err() && leaves(&second).await, "one is asked, and there is no second one to ask");
    }
}
