//! The state and the deadline of one connection: pure bookkeeping, read after each step of the connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::counts::CutReason;
use crate::pace::Pace;
use crate::slots::Occupant;

/// Stands for "never" where a limit is too long to be added to an instant.
const FAR: Duration = Duration::from_hours(24 * 365);

/// How long a head, a body or an answer that is taken may make no progress before the connection counts as quiet.
const STALLED: Duration = Duration::from_millis(500);

/// The time limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) header: Duration,
    pub(super) request: Duration,
    pub(super) idle: Duration,
    pub(super) linger: Duration,
}

/// What to do with the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Nothing before this instant.
    Wait(Instant),
    /// It has been idle for too long: close it gracefully.
    Close,
    /// A limit has passed: drop the connection.
    Cut(CutReason),
}

/// The state of one connection, shared by the stream and the request handler.
#[derive(Debug)]
pub(super) struct ConnectionState {
    limits: Limits,
    progress: Mutex<Progress>,
}

#[derive(Debug)]
struct Progress {
    /// When the request in flight arrived: it has a head and no finished answer. The next head is read after that.
    in_flight: Option<Instant>,
    /// How its body arrives, until it is complete.
    body: Option<Pace>,
    /// When the first byte of an incomplete head arrived.
    head_began: Option<Instant>,
    /// When the request arrived whose answer is finished but not completely taken by the system.
    unflushed: Option<Instant>,
    /// Since when the connection has been idle: the end of the handshake or of the last answer.
    idle_since: Instant,
    /// Whether the next answer is to be the last: the connection has reached its age, or the server is leaving.
    closing: bool,
    /// Since when the server has been draining.
    draining: Option<Instant>,
    /// Since when the server has been closing the connection.
    shutdown: Option<Instant>,
}

/// A request in flight, until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    connection: Arc<ConnectionState>,
    arrived: Instant,
}

impl ConnectionState {
    pub(super) fn new(limits: Limits) -> Self {
        let progress = Progress {
            in_flight: None,
            body: None,
            head_began: None,
            unflushed: None,
            idle_since: Instant::now(),
            closing: false,
            draining: None,
            shutdown: None,
        };
        Self { limits, progress: Mutex::new(progress) }
    }

    // A panic elsewhere cannot leave this state half-written.
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the handshake is done.
    pub(super) fn established(&self) {
        self.progress().idle_since = Instant::now();
    }

    /// Records that bytes arrived.
    pub(super) fn bytes_arrived(&self) {
        let mut progress = self.progress();
        // While a request is in flight, the bytes belong to its body.
        if progress.in_flight.is_none() && progress.head_began.is_none() {
            progress.head_began = Some(Instant::now());
        }
    }

    /// Records that the system has taken all written bytes.
    pub(super) fn flushed(&self) {
        let mut progress = self.progress();
        if progress.unflushed.take().is_some() {
            progress.idle_since = Instant::now();
        }
    }

    /// Records that the head of a request is complete, and whether a body follows.
    pub(super) fn begin(self: &Arc<Self>, body: bool) -> InFlight {
        let mut progress = self.progress();
        progress.body = body.then(Pace::default);
        let arrived = progress.head_began.take().unwrap_or_else(Instant::now);
        progress.in_flight = Some(arrived);
        InFlight { connection: Arc::clone(self), arrived }
    }

    /// Records that the handler waits for bytes of the body.
    pub(super) fn body_waits(&self) {
        if let Some(pace) = &mut self.progress().body {
            pace.waits(Instant::now());
        }
    }

    /// Records that the handler got bytes of the body.
    pub(super) fn body_arrived(&self, bytes: usize) {
        if let Some(pace) = &mut self.progress().body {
            pace.arrived(bytes, Instant::now());
        }
    }

    /// Records that nothing more of the body is waited for.
    pub(super) fn body_ended(&self) {
        self.progress().body = None;
    }

    /// Makes the next answer the last.
    pub(super) fn begin_closing(&self) {
        self.progress().closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.progress().closing
    }

    /// Shortens the wait for the next request to the linger time.
    pub(super) fn begin_draining(&self) {
        let mut progress = self.progress();
        progress.closing = true;
        progress.draining.get_or_insert_with(Instant::now);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.progress().draining.is_some()
    }

    /// Records that the server has begun to close the connection.
    pub(super) fn begin_shutdown(&self) {
        self.progress().shutdown.get_or_insert_with(Instant::now);
    }

    /// What to do now.
    pub(super) fn next_step(&self, now: Instant) -> NextStep {
        let Limits { header, request, idle, linger } = self.limits;
        let progress = self.progress();
        let (until, otherwise) = if let Some(arrived) = progress.in_flight {
            (after(arrived, request), NextStep::Cut(CutReason::Request))
        } else if let Some(arrived) = progress.unflushed {
            (after(arrived, request), NextStep::Cut(CutReason::Answer))
        } else if let Some(began) = progress.head_began {
            (after(began, header), NextStep::Cut(CutReason::Header))
        } else if let Some(shutdown) = progress.shutdown {
            (after(shutdown.max(progress.idle_since), linger), NextStep::Cut(CutReason::Idle))
        } else if let Some(draining) = progress.draining {
            (after(draining.max(progress.idle_since), linger), NextStep::Close)
        } else {
            (after(progress.idle_since, idle), NextStep::Close)
        };
        if now < until { NextStep::Wait(until) } else { otherwise }
    }
}

impl Occupant for ConnectionState {
    fn quiet_since(&self, now: Instant) -> Option<Instant> {
        let progress = self.progress();
        if progress.in_flight.is_some() {
            // A review whose body is complete is under way, however long it takes.
            let behind = progress.body?.behind(now);
            return now.checked_sub(behind).filter(|_| behind >= STALLED);
        }
        let under_way = progress.head_began.or_else(|| progress.unflushed.map(|_| progress.idle_since));
        match under_way {
            Some(since) => Some(since).filter(|since| now.saturating_duration_since(*since) >= STALLED),
            None => Some(progress.idle_since),
        }
    }
}

impl InFlight {
    /// When the first byte of the request arrived.
    pub(super) fn arrived(&self) -> Instant {
        self.arrived
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut progress = self.connection.progress();
        progress.in_flight = None;
        progress.body = None;
        progress.idle_since = Instant::now();
        progress.unflushed = Some(self.arrived);
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

    fn fresh() -> Arc<ConnectionState> {
        Arc::new(ConnectionState::new(LIMITS))
    }

    /// The next step, and how long from now it is due.
    fn next(state: &ConnectionState) -> (Duration, NextStep) {
        let now = Instant::now();
        let NextStep::Wait(until) = state.next_step(now) else { return (Duration::ZERO, state.next_step(now)) };
        (until - now, state.next_step(until))
    }

    #[tokio::test(start_paused = true)]
    async fn each_state_has_its_limit() {
        let state = fresh();
        assert_eq!(next(&state), (MINUTE, NextStep::Close), "silent after the handshake");
        let request = state.begin(false);
        assert_eq!(next(&state), (LIMITS.request, NextStep::Cut(CutReason::Request)));
        drop(request);
        state.flushed();
        assert_eq!(next(&state), (MINUTE, NextStep::Close), "idle between requests");
        assert!(!state.is_closing());
        state.begin_closing();
        assert!(state.is_closing() && !state.is_draining());
        assert_eq!(next(&state), (MINUTE, NextStep::Close), "idle, and the next answer is the last");
        state.begin_draining();
        assert!(state.is_closing() && state.is_draining());
        assert_eq!(next(&state), (HALF, NextStep::Close), "idle at the end");
        tokio::time::advance(HALF / 5).await;
        state.begin_draining();
        assert_eq!(next(&state), (HALF / 5 * 4, NextStep::Close), "it began once");
        state.begin_shutdown();
        assert_eq!(next(&state), (HALF, NextStep::Cut(CutReason::Idle)), "being closed and still there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_counts_from_the_first_byte_of_its_head() {
        let state = fresh();
        state.bytes_arrived();
        let began = Instant::now();
        tokio::time::advance(HALF).await;
        state.bytes_arrived();
        assert_eq!(next(&state), (HALF, NextStep::Cut(CutReason::Header)), "a byte more wins no time");
        let request = state.begin(false);
        assert_eq!(request.arrived(), began);
        assert_eq!(next(&state), (9 * SECOND + HALF, NextStep::Cut(CutReason::Request)));
        state.bytes_arrived();
        assert_eq!(next(&state).1, NextStep::Cut(CutReason::Request), "bytes of a body begin no head");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_until_the_system_has_taken_it() {
        let state = fresh();
        drop(state.begin(false));
        tokio::time::advance(SECOND).await;
        assert_eq!(next(&state), (9 * SECOND, NextStep::Cut(CutReason::Answer)));
        state.flushed();
        assert_eq!(next(&state), (MINUTE, NextStep::Close));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_begins_before_the_answer_is_taken_counts_from_its_first_byte() {
        let state = fresh();
        drop(state.begin(false));
        state.bytes_arrived();
        tokio::time::advance(HALF).await;
        assert_eq!(next(&state).1, NextStep::Cut(CutReason::Answer), "first the answer has to leave");
        state.flushed();
        assert_eq!(next(&state), (HALF, NextStep::Cut(CutReason::Header)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_in_flight_decides_also_at_the_end() {
        let state = fresh();
        let first = state.begin(false);
        tokio::time::advance(SECOND).await;
        state.begin_draining();
        assert_eq!(next(&state), (9 * SECOND, NextStep::Cut(CutReason::Request)));
        drop(first);
        let _second = state.begin(false);
        assert_eq!(next(&state), (10 * SECOND, NextStep::Cut(CutReason::Request)));
    }

    #[tokio::test(start_paused = true)]
    async fn case_109_what_is_idle_or_stalled_is_quiet_and_a_request_under_way_is_not() {
        let state = fresh();
        // For how long it has been quiet.
        let quiet = || state.quiet_since(Instant::now()).map(|since| since.elapsed());
        tokio::time::advance(SECOND).await;
        assert_eq!(quiet(), Some(SECOND), "the handshake does not end");
        state.established();
        tokio::time::advance(SECOND).await;
        assert_eq!(quiet(), Some(SECOND), "no request comes");
        state.bytes_arrived();
        assert_eq!(quiet(), None, "a head has begun to come");
        tokio::time::advance(STALLED).await;
        assert_eq!(quiet(), Some(STALLED), "and does not end");
        let request = state.begin(true);
        state.body_waits();
        assert_eq!(quiet(), None, "a body is to come");
        tokio::time::advance(STALLED).await;
        assert_eq!(quiet(), Some(STALLED), "and does not come");
        state.body_arrived(1 << 20);
        tokio::time::advance(SECOND).await;
        assert_eq!(quiet(), None, "it comes, and the handler has not asked for more yet");
        state.body_ended();
        tokio::time::advance(100 * SECOND).await;
        assert_eq!(quiet(), None, "a complete request is under way");
        drop(request);
        assert_eq!(quiet(), None, "its answer is being taken");
        tokio::time::advance(STALLED).await;
        assert_eq!(quiet(), Some(STALLED), "and nobody reads it");
        state.flushed();
        assert_eq!(quiet(), Some(Duration::ZERO), "idle from now on");
    }

    #[test]
    fn a_limit_beyond_all_time_is_no_panic() {
        let limits = Limits { idle: Duration::MAX, header: Duration::MAX, ..LIMITS };
        let state = ConnectionState::new(limits);
        assert!(matches!(state.next_step(Instant::now()), NextStep::Wait(_)));
    }
}
