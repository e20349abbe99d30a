//! Room for the bodies of requests: one budget of bytes over all connections.
//!
//! Room is taken as bytes arrive, not as they are announced. Where it is short, a body waits, and bodies whose peers have
//! stalled are given up for it. So a peer that stalls costs others a third of a second. Long bodies leave
//! some room to short ones, and of those that wait, the one that is nearest to its end goes first.

mod ledger;
mod storage;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use ledger::{Ledger, Signals, Step};
use storage::Storage;

/// How much room there is, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// For all bodies: at least [`longest`](Self::longest) and [`reserved`](Self::reserved) together.
    pub total: usize,
    /// For one body.
    pub longest: usize,
    /// What is left to short bodies: at least [`short`](Self::short).
    pub reserved: usize,
    /// Up to this length a body is short.
    pub short: usize,
}

/// The budget. Clones share it.
#[derive(Clone, Debug)]
pub struct BodyBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    limits: BodyLimits,
    ledger: Mutex<Ledger>,
}

/// A complete body, which holds its room until it is dropped.
#[derive(Debug)]
pub struct CollectedBody {
    bytes: Storage,
    _room: Room,
}

/// Why there is no complete body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// It is longer than a body may be.
    #[error("the body is too long")]
    TooLong,
    /// The peer or the connection ended before the body did.
    #[error("the body was cut off")]
    CutOff,
    /// Its peer had stalled while other bodies needed room.
    #[error("the body stalled, and others needed its room")]
    Stalled,
}

impl BodyBudget {
    /// An empty budget.
    #[must_use]
    pub fn new(limits: BodyLimits) -> Self {
        Self(Arc::new(Budget { limits, ledger: Mutex::new(Ledger::new(limits)) }))
    }

    /// Reads a body to its end. Give it a deadline: where room stays short, it waits. Dropping this future gives the
    /// room back.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn collect(&self, headers: &HeaderMap, body: Body) -> Result<CollectedBody, BodyError> {
        let longest = self.0.limits.longest;
        let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: usize| length > longest) {
            return Err(BodyError::TooLong);
        }
        let length = announced.unwrap_or(longest);
        let room = self.enter(length);
        let (mut bytes, mut pieces) = (Storage::new(length), body.into_data_stream());
        loop {
            room.waits();
            let piece = tokio::select! {
                piece = pieces.next() => piece,
                () = room.signals.given_up.cancelled() => return Err(BodyError::Stalled),
            };
            let piece = match piece {
                Some(Ok(piece)) => piece,
                Some(Err(error)) => {
                    debug!(%error, "a body was cut off");
                    return Err(BodyError::CutOff);
                }
                None => return Ok(CollectedBody { bytes, _room: room }),
            };
            if bytes.len() + piece.len() > longest {
                return Err(BodyError::TooLong);
            }
            room.arrived(piece.len());
            room.granted().await;
            bytes.push(&piece);
        }
    }

    /// How many bytes are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.limits.total - self.0.ledger().free()
    }

    fn enter(&self, announced: usize) -> Room {
        let signals = Signals::default();
        let number = self.0.ledger().enter(announced, signals.clone());
        Room { budget: Arc::clone(&self.0), number, signals }
    }
}

impl Budget {
    // A panic elsewhere cannot leave this state half-written.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one body holds, until it is dropped.
#[derive(Debug)]
struct Room {
    budget: Arc<Budget>,
    number: u64,
    signals: Signals,
}

impl Room {
    fn waits(&self) {
        self.budget.ledger().waits(self.number, Instant::now());
    }

    fn arrived(&self, bytes: usize) {
        self.budget.ledger().arrived(self.number, bytes, Instant::now());
    }

    /// Waits until there is room for what has arrived.
    async fn granted(&self) {
        loop {
            let step = self.budget.ledger().step(self.number, Instant::now());
            match step {
                Step::Taken => return,
                Step::Wait(until) => tokio::select! {
                    () = self.signals.granted.notified() => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.ledger().leave(self.number);
    }
}

impl Deref for CollectedBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}
