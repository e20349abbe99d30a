//! What one connection is doing and until when it may: pure bookkeeping, asked after each step of the connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::counts::Why;

/// How long an answer of one HTTP/2 stream that failed at its limit may take to leave before the whole connection is
/// held to it.
const GRACE: Duration = Duration::from_millis(250);
/// Stands for "never" where a limit is too long to be added to a moment.
const FAR: Duration = Duration::from_hours(24 * 365);

/// The limits that a connection is held to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header: Duration,
    pub(super) request: Duration,
    pub(super) idle: Duration,
    pub(super) linger: Duration,
}

/// The protocol that was agreed upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// What is to be done with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing before this moment.
    Fine(Instant),
    /// It has been idle for long enough: to be closed as the protocol has it.
    Close,
    /// A limit has passed: to be dropped where it stands.
    Cut(Why),
}

/// The book of one connection, shared by what reads and writes its bytes and what answers its requests.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: Limits,
    protocol: Protocol,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that have a head and no finished answer: number → when they arrived.
    in_flight: BTreeMap<u64, Instant>,
    next: u64,
    /// HTTP/1: when the first byte came of a head that is not whole yet.
    head_began: Option<Instant>,
    /// HTTP/1: when the request arrived whose answer is made but not yet handed to the system whole.
    unflushed: Option<Instant>,
    /// Since when nothing has been asked: the end of the handshake or of the last answer.
    idle_since: Instant,
    /// Since when each answer may be the last: the connection is old, or the server drains.
    closing: Option<Instant>,
    /// Since when the connection has been told to close.
    told: Option<Instant>,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    ledger: Arc<Ledger>,
    number: u64,
    arrived: Instant,
}

impl Ledger {
    pub(super) fn new(limits: Limits, protocol: Protocol) -> Self {
        let state = State {
            in_flight: BTreeMap::new(),
            next: 0,
            head_began: None,
            unflushed: None,
            idle_since: Instant::now(),
            closing: None,
            told: None,
        };
        Self { limits, protocol, state: Mutex::new(state) }
    }

    pub(super) fn protocol(&self) -> Protocol {
        self.protocol
    }

    // A panic elsewhere leaves nothing half-done in a book of this kind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in.
    pub(super) fn read(&self) {
        if self.protocol == Protocol::Http1 {
            let mut state = self.state();
            // While a request is in flight they are its body's; HTTP/2 mixes frames of its own into the bytes.
            if state.in_flight.is_empty() && state.head_began.is_none() {
                state.head_began = Some(Instant::now());
            }
        }
    }

    /// The system has taken all that was written.
    pub(super) fn flushed(&self) {
        if self.protocol == Protocol::Http1 {
            let mut state = self.state();
            if state.unflushed.take().is_some() {
                state.idle_since = Instant::now();
            }
        }
    }

    /// The head of a request is whole.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        let arrived = state.head_began.take().unwrap_or_else(Instant::now);
        let number = state.next;
        state.next += 1;
        state.in_flight.insert(number, arrived);
        InFlight { ledger: Arc::clone(self), number, arrived }
    }

    /// From now on the connection is to end as soon as its client can do without. Says whether this is news.
    pub(super) fn begin_closing(&self) -> bool {
        let mut state = self.state();
        let news = state.closing.is_none();
        state.closing.get_or_insert_with(Instant::now);
        news
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().closing.is_some()
    }

    /// The connection has been told to close.
    pub(super) fn told(&self) {
        self.state().told.get_or_insert_with(Instant::now);
    }

    /// When the last byte of an answer to a request that came at `arrived` is to have left.
    pub(super) fn due(&self, arrived: Instant) -> Instant {
        after(arrived, self.limits.request)
    }

    /// What to do at this moment.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let Limits { header, request, idle, linger } = self.limits;
        let state = self.state();
        let (until, otherwise) = if let Some((_, arrived)) = state.in_flight.first_key_value() {
            (after(*arrived, request.saturating_add(GRACE)), Standing::Cut(Why::Request))
        } else if let Some(arrived) = state.unflushed {
            (after(arrived, request.saturating_add(GRACE)), Standing::Cut(Why::Answer))
        } else if let Some(began) = state.head_began {
            (after(began, header), Standing::Cut(Why::Header))
        } else if let Some(told) = state.told {
            (after(told.max(state.idle_since), linger), Standing::Cut(Why::Idle))
        } else if let Some(closing) = state.closing {
            (after(closing.max(state.idle_since), linger), Standing::Close)
        } else if state.next == 0 {
            // Whoever connects has something to ask: silence after the handshake is no pooled connection.
            (after(state.idle_since, header), Standing::Close)
        } else {
            (after(state.idle_since, idle), Standing::Close)
        };
        if now < until { Standing::Fine(until) } else { otherwise }
    }
}

impl InFlight {
    /// When the request arrived: its first byte in HTTP/1, its whole head in HTTP/2.
    pub(super) fn arrived(&self) -> Instant {
        self.arrived
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.ledger.state();
        state.in_flight.remove(&self.number);
        state.idle_since = Instant::now();
        if self.ledger.protocol == Protocol::Http1 {
            state.unflushed = Some(self.arrived);
        }
    }
}

fn after(moment: Instant, limit: Duration) -> Instant {
    moment.checked_add(limit).unwrap_or_else(|| moment + FAR)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const LIMITS: Limits = Limits { header: SECOND, request: SECOND.saturating_mul(10), idle: MINUTE, linger: HALF };
    const MINUTE: Duration = Duration::from_mins(1);
    const HALF: Duration = Duration::from_millis(500);

    fn ledger(protocol: Protocol) -> Arc<Ledger> {
        Arc::new(Ledger::new(LIMITS, protocol))
    }

    /// What comes next: after how long from now, and what it is.
    fn next(ledger: &Ledger) -> (Duration, Standing) {
        let now = Instant::now();
        let Standing::Fine(until) = ledger.standing(now) else { return (Duration::ZERO, ledger.standing(now)) };
        (until - now, ledger.standing(until))
    }

    #[tokio::test(start_paused = true)]
    async fn each_state_has_its_limit() {
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let ledger = ledger(protocol);
            assert_eq!(next(&ledger), (SECOND, Standing::Close), "silent after the handshake");
            let request = ledger.begin();
            assert_eq!(next(&ledger), (LIMITS.request + GRACE, Standing::Cut(Why::Request)));
            drop(request);
            ledger.flushed();
            assert_eq!(next(&ledger), (MINUTE, Standing::Close), "idle between requests");
            assert!(ledger.begin_closing());
            assert_eq!(next(&ledger), (HALF, Standing::Close), "idle at the end");
            ledger.told();
            assert_eq!(next(&ledger), (HALF, Standing::Cut(Why::Idle)), "told to close and still there");
            assert!(!ledger.begin_closing());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_from_the_first_byte_of_its_head() {
        let ledger = ledger(Protocol::Http1);
        ledger.read();
        let began = Instant::now();
        tokio::time::advance(HALF).await;
        ledger.read();
        assert_eq!(next(&ledger), (HALF, Standing::Cut(Why::Header)), "a byte more wins no time");
        let request = ledger.begin();
        assert_eq!((request.arrived(), ledger.due(began)), (began, began + LIMITS.request));
        ledger.read();
        assert_eq!(next(&ledger).1, Standing::Cut(Why::Request), "bytes of a body begin no head");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_until_the_system_has_taken_it() {
        let ledger = ledger(Protocol::Http1);
        drop(ledger.begin());
        tokio::time::advance(SECOND).await;
        assert_eq!(next(&ledger), (9 * SECOND + GRACE, Standing::Cut(Why::Answer)));
        ledger.flushed();
        assert_eq!(next(&ledger), (MINUTE, Standing::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_request_in_flight_decides() {
        let ledger = ledger(Protocol::Http2);
        let first = ledger.begin();
        tokio::time::advance(SECOND).await;
        let _second = ledger.begin();
        ledger.begin_closing();
        assert_eq!(next(&ledger).0, 9 * SECOND + GRACE, "also at the end");
        drop(first);
        assert_eq!(next(&ledger).0, 10 * SECOND + GRACE);
    }

    #[test]
    fn a_limit_beyond_all_time_is_no_panic() {
        let limits = Limits { idle: Duration::MAX, header: Duration::MAX, ..LIMITS };
        let ledger = Ledger::new(limits, Protocol::Http1);
        assert!(matches!(ledger.standing(Instant::now()), Standing::Fine(_)));
    }
}
