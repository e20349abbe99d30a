//! Readiness as a list of named gates: the process is ready when every gate is open.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// The gates of this process. Clones share them.
#[derive(Clone)]
pub struct Readiness {
    /// Gate → why it is closed; `None` when it is open.
    gates: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
    shutdown: CancellationToken,
}

/// One gate, held by the task that knows its condition. It may close again.
#[derive(Clone)]
pub struct Gate {
    name: &'static str,
    readiness: Readiness,
}

/// A closed gate and why it is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The gate.
    pub gate: &'static str,
    /// The condition that is not met.
    pub why: String,
}

impl Readiness {
    /// No gates yet. Once `shutdown` is cancelled, this process is never ready again, so that no new work is sent to
    /// it.
    #[must_use]
    pub fn new(shutdown: CancellationToken) -> Self {
        Self { gates: Arc::default(), shutdown }
    }

    /// A new gate, closed until it is passed. A second gate with the same name is the same gate, closed again.
    #[must_use]
    pub fn gate(&self, name: &'static str) -> Gate {
        let gate = Gate { name, readiness: self.clone() };
        gate.fail("waiting");
        gate
    }

    /// The closed gates, by name. Empty: ready.
    #[must_use]
    pub fn pending(&self) -> Vec<Pending> {
        let mut pending: Vec<Pending> = self
            .gates()
            .iter()
            .filter_map(|(gate, why)| why.as_ref().map(|why| Pending { gate, why: why.clone() }))
            .collect();
        if self.shutdown.is_cancelled() {
            pending.insert(0, Pending { gate: "shutdown", why: "this process is shutting down".to_owned() });
        }
        pending
    }

    /// Whether every gate is open and no shutdown has begun.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.shutdown.is_cancelled() && self.gates().values().all(Option::is_none)
    }

    // A panic elsewhere cannot leave this map half-written.
    fn gates(&self) -> MutexGuard<'_, BTreeMap<&'static str, Option<String>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Opens the gate: its condition is met.
    pub fn pass(&self) {
        self.readiness.gates().insert(self.name, None);
    }

    /// Closes the gate, with the reason. Never pass a credential: every client of the probe port can read the reason.
    pub fn fail(&self, why: impl Into<String>) {
        self.readiness.gates().insert(self.name, Some(why.into()));
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").field("pending", &self.pending()).finish_non_exhaustive()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.name).finish()
    }
}

impl fmt::Display for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.gate, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_only_when_every_gate_is_passed_and_again_unready_when_one_closes() {
        let readiness = Readiness::new(CancellationToken::new());
        let (caches, listener) = (readiness.gate("caches"), readiness.gate("listener"));
        caches.pass();
        assert_eq!(readiness.pending(), [Pending { gate: "listener", why: "waiting".to_owned() }]);
        assert!(!readiness.is_ready());
        listener.pass();
        assert!(readiness.is_ready());
        caches.fail("the watch of Deployments was refused (403)");
        assert!(!readiness.is_ready());
        assert_eq!(readiness.pending()[0].to_string(), "caches: the watch of Deployments was refused (403)");
    }

    #[test]
    fn a_gate_that_is_never_passed_keeps_the_process_unready_even_after_it_is_dropped() {
        let readiness = Readiness::new(CancellationToken::new());
        drop(readiness.gate("crds"));
        assert!(!readiness.is_ready());
    }

    #[test]
    fn a_shutdown_makes_it_unready() {
        let shutdown = CancellationToken::new();
        let readiness = Readiness::new(shutdown.clone());
        assert!(readiness.is_ready());
        shutdown.cancel();
        assert!(!readiness.is_ready());
        assert_eq!(readiness.pending()[0].gate, "shutdown");
    }
}
