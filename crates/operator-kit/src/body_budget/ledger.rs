//! Who holds how much, and who may take more: pure bookkeeping.
//!
//! Short and long bodies are two classes. Long ones leave some room to short ones. Within a class room is given only
//! while all can still be completed, one after the other; else each could hold a part and wait for the rest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::BodyLimits;
use crate::pace::Pace;

/// How long a peer may be behind before its body is given up for others: a packet that is lost and sent again takes less.
const PATIENCE: Duration = Duration::from_millis(300);
/// When a body that waits looks again, after others were asked to leave.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

#[derive(Debug)]
pub(super) struct Ledger {
    limits: BodyLimits,
    free: usize,
    next: u64,
    bodies: BTreeMap<u64, Arriving>,
}

/// How a body learns what was decided about it while it waited.
#[derive(Clone, Debug, Default)]
pub(super) struct Signals {
    /// It has the room that it wished.
    pub(super) granted: Arc<Notify>,
    /// It is given up.
    pub(super) given_up: CancellationToken,
}

#[derive(Debug)]
struct Arriving {
    held: usize,
    /// How long it is, or may be.
    length: usize,
    /// How much it waits for.
    wish: usize,
    pace: Pace,
    signals: Signals,
}

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The room is taken.
    Taken,
    /// It is to be looked at again when it is granted, and at this moment at the latest.
    Wait(Instant),
}

impl Arriving {
    fn missing(&self) -> usize {
        self.length.saturating_sub(self.held)
    }

    fn is_long(&self, limits: BodyLimits) -> bool {
        self.length > limits.short
    }

    fn is_given_up(&self) -> bool {
        self.signals.given_up.is_cancelled()
    }
}

impl Ledger {
    pub(super) fn new(limits: BodyLimits) -> Self {
        Self { limits, free: limits.total, next: 0, bodies: BTreeMap::new() }
    }

    pub(super) fn free(&self) -> usize {
        self.free
    }

    /// A body that holds nothing yet.
    pub(super) fn enter(&mut self, length: usize, signals: Signals) -> u64 {
        let number = self.next;
        self.next += 1;
        self.bodies.insert(number, Arriving { held: 0, length, wish: 0, pace: Pace::default(), signals });
        number
    }

    /// It is gone, and what it held goes to those who wait.
    pub(super) fn leave(&mut self, number: u64) {
        self.free += self.bodies.remove(&number).map_or(0, |body| body.held);
        for long in [false, true] {
            while let Some(first) = self.first_waiting(long).filter(|first| self.fits(*first, self.free)) {
                self.take(first);
            }
        }
    }

    pub(super) fn waits(&mut self, number: u64, now: Instant) {
        if let Some(body) = self.bodies.get_mut(&number) {
            body.pace.waits(now);
        }
    }

    pub(super) fn arrived(&mut self, number: u64, bytes: usize, now: Instant) {
        if let Some(body) = self.bodies.get_mut(&number) {
            body.pace.arrived(bytes, now);
            body.wish = bytes;
        }
    }

    /// Takes the room that a body wishes. Where it is short, bodies that are behind are given up, as many as it takes,
    /// the one that is the furthest behind first.
    pub(super) fn step(&mut self, number: u64, now: Instant) -> Step {
        if self.bodies.get(&number).is_none_or(|body| body.wish == 0) {
            return Step::Taken;
        }
        if self.fits(number, self.free) {
            self.take(number);
            return Step::Taken;
        }
        let others = self.staying().filter(|(of, body)| *of != number && body.held > 0);
        let mut behind: Vec<_> = others.map(|(of, body)| (body.pace.behind(now), of)).collect();
        behind.sort_unstable();
        while !self.fits(number, self.free + self.leaving()) {
            match behind.pop() {
                Some((time, of)) if time >= PATIENCE => self.give_up(of),
                next => {
                    return Step::Wait(now + PATIENCE.saturating_sub(next.map_or(Duration::ZERO, |(time, _)| time)));
                }
            }
        }
        Step::Wait(now + LOOK_AGAIN)
    }

    fn take(&mut self, number: u64) {
        let Some(body) = self.bodies.get_mut(&number) else { return };
        self.free = self.free.saturating_sub(body.wish);
        body.held += body.wish;
        body.wish = 0;
        body.signals.granted.notify_one();
    }

    fn give_up(&self, number: u64) {
        if let Some(body) = self.bodies.get(&number) {
            body.signals.given_up.cancel();
        }
    }

    fn staying(&self) -> impl Iterator<Item = (u64, &Arriving)> {
        self.bodies.iter().filter(|(_, body)| !body.is_given_up()).map(|(number, body)| (*number, body))
    }

    /// What those hold who are given up.
    fn leaving(&self) -> usize {
        self.bodies.values().filter(|body| body.is_given_up()).map(|body| body.held).sum()
    }

    /// Of a class, who waits and misses the least: it is completed the soonest, and frees what it holds.
    fn first_waiting(&self, long: bool) -> Option<u64> {
        let waiting = self.staying().filter(|(_, body)| body.wish > 0 && body.is_long(self.limits) == long);
        waiting.min_by_key(|(number, body)| (body.missing(), *number)).map(|(number, _)| number)
    }

    /// Whether a body may take what it wishes while so much is free.
    fn fits(&self, number: u64, free: usize) -> bool {
        let Some(body) = self.bodies.get(&number) else { return true };
        let (long, BodyLimits { longest, reserved, short, .. }) = (body.is_long(self.limits), self.limits);
        let (most, kept) = if long { (longest, reserved) } else { (short, 0) };
        let Some(mut left) = free.checked_sub(body.wish + kept) else { return false };
        if left >= most {
            return true;
        }
        // Who misses the least is completed first, and what it held helps the next.
        let class = self.staying().filter(|(_, body)| body.is_long(self.limits) == long);
        let with_wish = |of: u64, held: usize| held + if of == number { body.wish } else { 0 };
        let mut class: Vec<_> = class
            .map(|(of, other)| (other.length.saturating_sub(with_wish(of, other.held)), with_wish(of, other.held)))
            .collect();
        class.sort_unstable();
        class.into_iter().all(|(missing, held)| {
            let completed = missing <= left;
            left += held;
            completed
        })
    }
}
