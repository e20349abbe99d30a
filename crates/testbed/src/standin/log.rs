//! The requests to the stand-in, and the changes that clients made by them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::{Instant, SystemTime};

use axum::http::HeaderMap;

/// How many requests are kept; the oldest are dropped first.
const KEPT_REQUESTS: usize = 200_000;

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub struct LoggedRequest {
    /// When its head and body had been read.
    pub at: Instant,
    /// `GET`, `POST` …
    pub method: String,
    /// The path and query as they were on the wire, percent-encoded, with the path prefix.
    pub path_and_query: String,
    /// The headers as they arrived, credentials included.
    pub headers: HeaderMap,
    /// The body, as text; empty when there was none.
    pub body: String,
    /// The status answered; `None` while there is no answer (delayed, hanging, or the caller has gone).
    pub status: Option<u16>,
}

/// What a client's write did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// A version became the current one of its key. The one it displaced is not listed by itself.
    Deployed,
    /// A current row was undeployed by a PATCH.
    Undeployed,
    /// A version became supported (first time, or again after its support had ended).
    Released,
    /// Support of a released version ended.
    SupportEnded,
}

/// A change that a client made over HTTP. Repetitions that change nothing are not listed, nor is what tests seed
/// through the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// When it took effect, by the monotonic clock.
    pub at: Instant,
    /// When it took effect, by the wall clock.
    pub wall: SystemTime,
    /// The application.
    pub pacticipant: String,
    /// Its version.
    pub version: String,
    /// The environment's name.
    pub environment: String,
    /// The application instance, `None` for the row without one. Releases have none.
    pub instance: Option<String>,
    /// What happened.
    pub kind: WriteKind,
    /// Who did it: the client's user agent.
    pub by: String,
}

#[derive(Default)]
struct Ring {
    forgotten: usize,
    requests: VecDeque<LoggedRequest>,
}

/// The requests that were made, in order of arrival.
#[derive(Default)]
pub(super) struct RequestLog(Mutex<Ring>);

impl RequestLog {
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap()
    }

    /// Notes a request and returns the number by which its answer is noted.
    pub(super) fn arrived(&self, request: LoggedRequest) -> usize {
        let mut ring = self.ring();
        if ring.requests.len() == KEPT_REQUESTS {
            ring.requests.pop_front();
            ring.forgotten += 1;
        }
        ring.requests.push_back(request);
        ring.forgotten + ring.requests.len() - 1
    }

    pub(super) fn answered(&self, number: usize, status: u16) {
        let mut ring = self.ring();
        let Some(index) = number.checked_sub(ring.forgotten) else { return };
        if let Some(request) = ring.requests.get_mut(index) {
            request.status = Some(status);
        }
    }

    pub(super) fn all(&self) -> Vec<LoggedRequest> {
        self.ring().requests.iter().cloned().collect()
    }

    pub(super) fn count(&self, matches: impl Fn(&LoggedRequest) -> bool) -> usize {
        self.ring().requests.iter().filter(|request| matches(request)).count()
    }

    pub(super) fn clear(&self) {
        let mut ring = self.ring();
        ring.forgotten += ring.requests.len();
        ring.requests.clear();
    }
}
