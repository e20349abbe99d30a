//! Faults that a test can put between a client and the stand-in, by method and path, for some requests or all.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use regex::Regex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many requests a real broker carries out at once.
pub const THREADS: usize = 5;
/// How long each of them takes there.
pub const EACH: Duration = Duration::from_millis(20);

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The answer comes later. Several delays that match add up; another effect that matches as well still happens.
    Delay(Duration),
    /// This status, with the broker's body for a server error when it is 500 and an empty one otherwise.
    Status {
        /// The HTTP status.
        status: u16,
        /// The value of a `Retry-After` header, sent as it is (seconds, a date, or nonsense).
        retry_after: Option<String>,
    },
    /// No answer at all; the connection stays open.
    Hang,
    /// 200 with a page of HTML, as a login page in front of a broker would answer.
    Html,
    /// The right answer's head and half of its body, then the connection is cut. The request is always carried out.
    CutBody,
    /// Endpoints that list answer 200 with an empty list.
    EmptyLists,
    /// A redirect to this location.
    Redirect {
        /// 301, 302, 307 or 308.
        status: u16,
        /// The value of the `Location` header.
        location: String,
    },
    /// This status, with a body that repeats the caller's credentials, as they came and decoded, as the debugging page of a
    /// proxy does: in JSON as a broker's error, or in HTML.
    Echo {
        /// The HTTP status.
        status: u16,
        /// Whether it is JSON.
        json: bool,
    },
    /// 200 with this body, whatever was asked: what a cache in front of the broker has kept.
    Kept {
        /// The body of an earlier answer.
        body: String,
    },
    /// 200 with a JSON body of this many bytes, sent without a `Content-Length`.
    Flood {
        /// How many bytes follow the head.
        bytes: u64,
    },
}

/// An effect, and the requests it happens to.
#[derive(Clone, Debug)]
pub struct Fault {
    effect: Effect,
    method: Option<String>,
    path: Option<Regex>,
    left: Option<usize>,
    after_acting: bool,
}

impl Fault {
    /// This effect on every request, until it is cleared.
    pub fn new(effect: Effect) -> Self {
        Self { effect, method: None, path: None, left: None, after_acting: false }
    }

    /// Every request is answered with this status.
    pub fn status(status: u16) -> Self {
        Self::new(Effect::Status { status, retry_after: None })
    }

    /// Every answer comes this much later.
    pub fn delay(by: Duration) -> Self {
        Self::new(Effect::Delay(by))
    }

    /// Only for this method.
    pub fn method(mut self, method: &str) -> Self {
        self.method = Some(method.to_owned());
        self
    }

    /// Only where this regular expression is found in the path and query as they are on the wire.
    pub fn path(mut self, pattern: &str) -> Self {
        self.path = Some(Regex::new(pattern).expect("a fault's path is a regular expression"));
        self
    }

    /// Only the next `times` requests that match.
    pub fn times(mut self, times: usize) -> Self {
        self.left = Some(times);
        self
    }

    /// The request is carried out first: the state changes, only the answer is lost or late.
    pub fn after_acting(mut self) -> Self {
        self.after_acting = true;
        self
    }

    fn matches(&self, method: &str, path_and_query: &str) -> bool {
        self.left != Some(0)
            && self.method.as_ref().is_none_or(|wanted| wanted == method)
            && self.path.as_ref().is_none_or(|pattern| pattern.is_match(path_and_query))
    }
}

/// What to do to one request: the delays before and after it is carried out, and the effect in place of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) delay_before: Duration,
    pub(super) delay_after: Duration,
    pub(super) instead: Option<Effect>,
    pub(super) act_first: bool,
}

/// The faults in force. The first that replaces the answer wins.
#[derive(Default)]
pub struct Faults {
    all: Mutex<Vec<Fault>>,
    threads: Mutex<Option<Arc<Semaphore>>>,
}

impl Faults {
    fn list(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.all.lock().unwrap()
    }

    /// Adds a fault, after those in force.
    pub fn add(&self, fault: Fault) {
        self.list().push(fault);
    }

    /// At most so many requests are carried out at once, with their delays, as by a broker of so many threads. Until
    /// [`Self::clear`].
    pub fn threads(&self, threads: usize) {
        *self.threads.lock().unwrap() = Some(Arc::new(Semaphore::new(threads)));
    }

    /// A thread for one request, when one is free; `None` when their number is not limited.
    pub(super) async fn thread(&self) -> Option<OwnedSemaphorePermit> {
        let threads = self.threads.lock().unwrap().clone()?;
        threads.acquire_owned().await.ok()
    }

    /// It answers as a real broker does: [`THREADS`] requests at once, each of which takes [`EACH`]. Until
    /// [`Self::clear`].
    pub fn busy(&self) {
        self.add(Fault::delay(EACH));
        self.threads(THREADS);
    }

    /// Takes all faults away. Requests that hang keep hanging; new ones are answered.
    pub fn clear(&self) {
        self.list().clear();
        *self.threads.lock().unwrap() = None;
    }

    /// Decides what happens to one request and counts it against the faults that apply.
    pub(super) fn plan(&self, method: &str, path_and_query: &str) -> Plan {
        let mut plan = Plan::default();
        for fault in self.list().iter_mut().filter(|fault| fault.matches(method, path_and_query)) {
            match &fault.effect {
                Effect::Delay(by) if fault.after_acting => plan.delay_after += *by,
                Effect::Delay(by) => plan.delay_before += *by,
                _ if plan.instead.is_some() => continue,
                effect => {
                    plan.act_first = fault.after_acting || *effect == Effect::CutBody;
                    plan.instead = Some(effect.clone());
                }
            }
            if let Some(left) = &mut fault.left {
                *left -= 1;
            }
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_happens_as_often_and_where_it_should() {
        let faults = Faults::default();
        faults.add(Fault::delay(Duration::from_millis(5)).method("GET"));
        faults.add(Fault::status(500).path("^/environments").times(1));
        faults.add(Fault::new(Effect::Html).path("environments").after_acting());
        let get = || faults.plan("GET", "/environments?name=x");
        let first = get();
        assert_eq!(first.instead, Some(Effect::Status { status: 500, retry_after: None }));
        assert_eq!((first.delay_before, first.act_first), (Duration::from_millis(5), false));
        let second = get();
        assert_eq!((second.instead, second.act_first), (Some(Effect::Html), true));
        assert_eq!(faults.plan("POST", "/"), Plan::default());
        faults.clear();
        assert_eq!(get(), Plan::default());
    }
}
