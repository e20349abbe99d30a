//! Leader election with a Lease of coordination.k8s.io: one replica writes, the others stand by.
//!
//! Every write of the Lease is a replace with the resourceVersion that was read, so two candidates can never both
//! succeed. Expiry depends on the local monotonic clock alone: a claim expires when *this* process has observed it
//! unchanged for as long as its holder promised. The holder counts from before it sent its renewal and stops at two
//! thirds of that time, so it stops before another candidate may start, as long as no two clocks differ in speed by
//! half.
//!
//! Rights needed in the Lease's namespace: get, create and update on leases. With list and watch a standby reacts to a
//! release within milliseconds, without them it reads the Lease once a second.
//!
//! One gap that no Lease can close: when a person deletes the Lease under a working leader, a process that starts in
//! that moment and has observed no holder takes the Lease. The old leader notices that only through its watch,
//! milliseconds later. So a leader must read the live state once more before each write.

mod candidate;
mod decide;
mod leadership;
mod run;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

use super::backoff;
pub use decide::{Claim, Decision, LeaseView, Observation, Terms, decide};
pub use leadership::{Leadership, LeadershipSender, leadership};
pub use run::run;

/// How long a holder may be silent by default. With [`LeaseSettings::new`] it renews every 5 s and acts for 10 s.
pub const DEFAULT_DURATION: Duration = Duration::from_secs(15);

/// Which Lease, under which identity, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseSettings {
    /// The namespace of the Lease.
    pub namespace: String,
    /// The name of the Lease.
    pub name: String,
    /// The identity of this process as the holder. It must differ from that of every other process, including a
    /// restarted container of the same Pod.
    pub identity: String,
    /// How long a holder may go without a renewal before others take over. In the Lease it is whole seconds, rounded
    /// up.
    pub duration: Duration,
    /// How long after a renewal the holder renews again.
    pub renew_every: Duration,
    /// How long after sending a successful renewal the holder acts.
    pub act_for: Duration,
    /// The limit of each single request; less than `renew_every`.
    pub request_limit: Duration,
}

/// Why an election could not be run at all. Everything else is retried.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LeaseError {
    /// A setting that cannot work.
    #[error("the election settings cannot work: {0}")]
    Settings(String),
}

impl LeaseSettings {
    /// The default terms for the Lease `namespace`/`name`: 15 s, renewed every 5 s, acted upon for 10 s.
    ///
    /// `who` (the Pod's name) gets a random suffix, so that a container that was killed and started again in the same
    /// Pod does not take its predecessor's claim for its own.
    #[must_use]
    pub fn new(namespace: impl Into<String>, name: impl Into<String>, who: &str) -> Self {
        let suffix = backoff::entropy();
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: format!("{who}_{suffix:016x}"),
            duration: Duration::ZERO,
            renew_every: Duration::ZERO,
            act_for: Duration::ZERO,
            request_limit: Duration::ZERO,
        }
        .with_duration(DEFAULT_DURATION)
    }

    /// The same Lease with another duration: renewed after a third of it, acted upon for two thirds, each request
    /// limited to a sixth, so that a renewal can be tried twice before the holder has to stop.
    #[must_use]
    pub fn with_duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self.renew_every = duration / 3;
        self.act_for = duration * 2 / 3;
        self.request_limit = duration / 6;
        self
    }

    fn check(&self) -> Result<(), LeaseError> {
        let wrong = |why: &str| Err(LeaseError::Settings(why.to_owned()));
        if self.namespace.is_empty() || self.name.is_empty() || self.identity.is_empty() {
            return wrong("the namespace, the name and the identity must not be empty");
        }
        if self.duration < Duration::from_secs(1) {
            return wrong("the lease duration must be at least 1 s");
        }
        if self.duration > Duration::from_hours(24) {
            return wrong("the lease duration must be at most a day");
        }
        if self.request_limit.is_zero() || self.request_limit > self.renew_every {
            return wrong("the limit of a request must be above zero and at most the renewal interval");
        }
        if self.renew_every >= self.act_for || self.act_for >= self.duration {
            return wrong(
                "the renewal interval must be shorter than the time the holder acts, and that shorter than the duration",
            );
        }
        Ok(())
    }

    fn terms(&self) -> Terms {
        Terms {
            duration: self.duration,
            renew_every: self.renew_every,
            act_for: self.act_for,
            patience: backoff::fraction(self.renew_every / 10, backoff::entropy()),
        }
    }
}
