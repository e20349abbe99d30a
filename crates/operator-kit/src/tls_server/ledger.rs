//! What one connection is doing and until when it may: pure bookkeeping, asked after each step of the connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::counts::Why;

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

/// What is to be done with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing before this moment.
    Fine(Instant),
    /// It has been idle for long enough: to be closed in good order.
    Close,
    /// A limit has passed: to be dropped where it stands.
    Cut(Why),
}

/// The book of one connection, shared by what reads and writes its bytes and what answers its requests.
#[derive(Debug)]
pub(super) struct Ledger {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Whether there has been a request.
    asked: bool,
    /// When the request arrived that has a head and no finished answer. The next head is read after that.
    in_flight: Option<Instant>,
    /// When the first byte came of a head that is not whole yet.
    head_began: Option<Instant>,
    /// When the request arrived whose answer is made but not yet handed to the system whole.
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
    arrived: Instant,
}

impl Ledger {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State {
            asked: false,
            in_flight: None,
            head_began: None,
            unflushed: None,
            idle_since: Instant::now(),
            closing: None,
            told: None,
        };
        Self { limits, state: Mutex::new(state) }
    }

    // A panic elsewhere leaves nothing half-done in a book of this kind.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in.
    pub(super) fn read(&self) {
        let mut state = self.state();
        // While a request is in flight they are its body's.
        if state.in_flight.is_none() && state.head_began.is_none() {
            state.head_began = Some(Instant::now());
        }
    }

    /// The system has taken all that was written.
    pub(super) fn flushed(&self) {
        let mut state = self.state();
        if state.unflushed.take().is_some() {
            state.idle_since = Instant::now();
        }
    }

    /// The head of a request is whole.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        let arrived = state.head_began.take().unwrap_or_else(Instant::now);
        state.asked = true;
        state.in_flight = Some(arrived);
        InFlight { ledger: Arc::clone(self), arrived }
    }

    /// From now on the connection is to end as soon as its client can do without.
    pub(super) fn begin_closing(&self) {
        self.state().closing.get_or_insert_with(Instant::now);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.state().closing.is_some()
    }

    /// The connection has been told to close.
    pub(super) fn told(&self) {
        self.state().told.get_or_insert_with(Instant::now);
    }

    /// What to do at this moment.
    pub(super) fn standing(&self, now: Instant) -> Standing {
        let Limits { header, request, idle, linger } = self.limits;
        let state = self.state();
        let (until, otherwise) = if let Some(arrived) = state.in_flight {
            (after(arrived, request), Standing::Cut(Why::Request))
        } else if let Some(arrived) = state.unflushed {
            (after(arrived, request), Standing::Cut(Why::Answer))
        } else if let Some(began) = state.head_began {
            (after(began, header), Standing::Cut(Why::Header))
        } else if let Some(told) = state.told {
            (after(told.max(state.idle_since), linger), Standing::Cut(Why::Idle))
        } else if let Some(closing) = state.closing {
            (after(closing.max(state.idle_since), linger), Standing::Close)
        } else if !state.asked {
            // Whoever connects has something to ask: silence after the handshake is no pooled connection.
            (after(state.idle_since, header), Standing::Close)
        } else {
            (after(state.idle_since, idle), Standing::Close)
        };
        if now < until { Standing::Fine(until) } else { otherwise }
    }
}

impl InFlight {
    /// When the first byte of the request came.
    pub(super) fn arrived(&self) -> Instant {
        self.arrived
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.ledger.state();
        state.in_flight = None;
        state.idle_since = Instant::now();
        state.unflushed = Some(self.arrived);
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

    fn ledger() -> Arc<Ledger> {
        Arc::new(Ledger::new(LIMITS))
    }

    /// What comes next: after how long from now, and what it is.
    fn next(ledger: &Ledger) -> (Duration, Standing) {
        let now = Instant::now();
        let Standing::Fine(until) = ledger.standing(now) else { return (Duration::ZERO, ledger.standing(now)) };
        (until - now, ledger.standing(until))
    }

    #[tokio::test(start_paused = true)]
    async fn each_state_has_its_limit() {
        let ledger = ledger();
        assert_eq!(next(&ledger), (SECOND, Standing::Close), "silent after the handshake");
        let request = ledger.begin();
        assert_eq!(next(&ledger), (LIMITS.request, Standing::Cut(Why::Request)));
        drop(request);
        ledger.flushed();
        assert_eq!(next(&ledger), (MINUTE, Standing::Close), "idle between requests");
        assert!(!ledger.is_closing());
        ledger.begin_closing();
        assert!(ledger.is_closing());
        assert_eq!(next(&ledger), (HALF, Standing::Close), "idle at the end");
        tokio::time::advance(HALF / 5).await;
        ledger.begin_closing();
        assert_eq!(next(&ledger), (HALF / 5 * 4, Standing::Close), "it began once");
        ledger.told();
        assert_eq!(next(&ledger), (HALF, Standing::Cut(Why::Idle)), "told to close and still there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_from_the_first_byte_of_its_head() {
        let ledger = ledger();
        ledger.read();
        let began = Instant::now();
        tokio::time::advance(HALF).await;
        ledger.read();
        assert_eq!(next(&ledger), (HALF, Standing::Cut(Why::Header)), "a byte more wins no time");
        let request = ledger.begin();
        assert_eq!(request.arrived(), began);
        assert_eq!(next(&ledger), (9 * SECOND + HALF, Standing::Cut(Why::Request)));
        ledger.read();
        assert_eq!(next(&ledger).1, Standing::Cut(Why::Request), "bytes of a body begin no head");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_until_the_system_has_taken_it() {
        let ledger = ledger();
        drop(ledger.begin());
        tokio::time::advance(SECOND).await;
        assert_eq!(next(&ledger), (9 * SECOND, Standing::Cut(Why::Answer)));
        ledger.flushed();
        assert_eq!(next(&ledger), (MINUTE, Standing::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_begins_before_the_answer_is_taken_counts_from_its_first_byte() {
        let ledger = ledger();
        drop(ledger.begin());
        ledger.read();
        tokio::time::advance(HALF).await;
        assert_eq!(next(&ledger).1, Standing::Cut(Why::Answer), "first the answer has to leave");
        ledger.flushed();
        assert_eq!(next(&ledger), (HALF, Standing::Cut(Why::Header)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_decides_also_at_the_end() {
        let ledger = ledger();
        let first = ledger.begin();
        tokio::time::advance(SECOND).await;
        ledger.begin_closing();
        assert_eq!(next(&ledger), (9 * SECOND, Standing::Cut(Why::Request)));
        drop(first);
        let _second = ledger.begin();
        assert_eq!(next(&ledger), (10 * SECOND, Standing::Cut(Why::Request)));
    }

    #[test]
    fn a_limit_beyond_all_time_is_no_panic() {
        let limits = Limits { idle: Duration::MAX, header: Duration::MAX, ..LIMITS };
        let ledger = Ledger::new(limits);
        assert!(matches!(ledger.standing(Instant::now()), Standing::Fine(_)));
    }
}
