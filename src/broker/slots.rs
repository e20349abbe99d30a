//! A few questions at a time: whoever asks waits for a slot, in the order of [`FairQueue`]. What nobody waits for takes
//! at most half of the slots, so that it never stands in the way (case 79).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use super::fair_queue::{Caller, FairQueue, Urgency};

/// The slots. See the module.
#[derive(Debug)]
pub(super) struct Slots {
    state: Mutex<State>,
    all: usize,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    taken: usize,
    audited: usize,
    queue: FairQueue,
    waiting: HashMap<u64, oneshot::Sender<Slot>>,
}

/// A place in the queue; leaves it when dropped.
#[derive(Debug)]
pub(super) struct Place {
    slots: Arc<Slots>,
    pub(super) number: u64,
    granted: oneshot::Receiver<Slot>,
}

/// A slot, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    slots: Arc<Slots>,
    urgency: Urgency,
}

impl Slots {
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), all: all.max(1) })
    }

    /// Takes a place in the queue.
    pub(super) fn queue(self: &Arc<Self>, caller: Caller) -> Place {
        let (grant, granted) = oneshot::channel();
        let mut state = self.state();
        let number = state.next;
        state.next += 1;
        state.queue.push(number, caller);
        state.waiting.insert(number, grant);
        drop(state);
        self.grant();
        Place { slots: Arc::clone(self), number, granted }
    }

    /// A more urgent caller wants what somebody waits for.
    pub(super) fn raise(self: &Arc<Self>, number: u64, caller: &Caller) {
        self.state().queue.raise(number, caller);
        self.grant();
    }

    /// Gives free slots to those who are next.
    fn grant(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let audits_fit = state.audited < (self.all / 2).max(1);
            if state.taken >= self.all {
                return;
            }
            let Some((number, urgency)) = state.queue.pop(|urgency| !urgency.gives_way() || audits_fit) else {
                return;
            };
            let Some(waiting) = state.waiting.remove(&number) else { continue };
            state.taken += 1;
            state.audited += usize::from(urgency.gives_way());
            drop(state);
            // Whoever left gives the slot back by dropping it.
            drop(waiting.send(Slot { slots: Arc::clone(self), urgency }));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for a slot. May be given up and called again.
    pub(super) async fn slot(&mut self) -> Option<Slot> {
        (&mut self.granted).await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.queue.remove(self.number);
        state.waiting.remove(&self.number);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.taken -= 1;
        state.audited -= usize::from(self.urgency.gives_way());
        drop(state);
        self.slots.grant();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(urgency: Urgency, namespace: &str) -> Caller {
        Caller { urgency, namespace: namespace.to_owned() }
    }

    fn granted(place: &mut Place) -> Option<Slot> {
        place.granted.try_recv().ok()
    }

    #[test]
    fn audits_take_half_of_the_slots_and_never_one_that_somebody_waits_for() {
        let slots = Slots::new(4);
        let audit = || slots.queue(caller(Urgency::Audited, "dev"));
        let mut audits = [audit(), audit(), audit()];
        let held: Vec<_> = audits.iter_mut().filter_map(granted).collect();
        assert_eq!(held.len(), 2);
        let enforced = || slots.queue(caller(Urgency::Enforced, "shop"));
        let mut waiting = [enforced(), enforced(), enforced()];
        let mut taken: Vec<_> = waiting.iter_mut().filter_map(granted).collect();
        assert_eq!(taken.len(), 2, "all four are taken now");
        drop(held);
        assert_eq!(
            (waiting.iter_mut().filter_map(granted).count(), audits.iter_mut().filter_map(granted).count()),
            (1, 1)
        );
        taken.clear();
        assert_eq!(slots.state().taken, 0, "each slot was given back");
    }

    #[test]
    fn who_leaves_is_passed_over_and_who_is_raised_goes_before() {
        let slots = Slots::new(1);
        let mut first = slots.queue(caller(Urgency::Enforced, "a"));
        let slot = granted(&mut first).unwrap();
        let (left, mut audit, mut warned) = (
            slots.queue(caller(Urgency::Enforced, "a")),
            slots.queue(caller(Urgency::Audited, "a")),
            slots.queue(caller(Urgency::Warned, "a")),
        );
        drop(left);
        slots.raise(audit.number, &caller(Urgency::Enforced, "b"));
        drop(slot);
        let raised = granted(&mut audit).unwrap();
        assert!(granted(&mut warned).is_none());
        drop(raised);
        assert!(granted(&mut warned).is_some());
        let state = slots.state();
        assert!(state.waiting.is_empty() && state.taken == 0 && state.audited == 0, "{state:?}");
    }
}
