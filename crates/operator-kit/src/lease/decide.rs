//! What a candidate for leadership does next: a pure function of what it has observed and its own monotonic clock.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

/// The claim of the holder of a Lease. Two equal claims are the same renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// `spec.holderIdentity`; empty when the Lease has no holder.
    pub holder: String,
    /// `spec.leaseDurationSeconds`: how long the holder may go without a renewal. `None` when missing or not positive.
    pub duration: Option<Duration>,
    /// `spec.renewTime`, by the holder's wall clock. It is only compared for equality: clocks of two machines differ.
    pub renewed: Option<Timestamp>,
    /// `spec.leaseTransitions`: how often the holder has changed.
    pub transitions: i32,
}

/// A Lease as it was read or written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// `metadata.resourceVersion`, the precondition of the next write.
    pub resource_version: String,
    /// The claim in it.
    pub claim: Claim,
}

/// What this candidate has observed, in terms of its own monotonic clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The last claim observed, and the local time at which it was first observed in this form. It is kept when the
    /// Lease disappears: its holder may not have noticed yet.
    pub last: Option<(Claim, Instant)>,
    /// When our last successful write of the Lease was *sent*, while we lead.
    pub renewed_at: Option<Instant>,
}

/// The periods of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a holder may go without a renewal before others take over.
    pub duration: Duration,
    /// How long after a renewal the holder renews again.
    pub renew_every: Duration,
    /// How long after sending a successful renewal the holder still acts. Less than `duration`: the difference is the
    /// margin for requests in flight and for clocks that run at different speeds.
    pub act_for: Duration,
    /// How long this candidate waits beyond the expiry of another candidate's claim, so that candidates do not all
    /// write at the same moment.
    pub patience: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write our claim into the Lease (or create it).
    Acquire {
        /// The `leaseTransitions` to write.
        transitions: i32,
    },
    /// We hold the Lease and the renewal is due: write it again.
    Renew,
    /// We hold the Lease and need do nothing before this moment.
    Hold {
        /// When the renewal is due.
        until: Instant,
    },
    /// Another candidate holds the Lease; nothing to do before this moment unless the Lease changes.
    Follow {
        /// When the last observed claim expires.
        until: Instant,
    },
    /// Another candidate holds the Lease that we held: stop acting at once.
    StepDown,
}

/// Decides what the candidate called `me` does at the local time `now`, given `lease` (`None`: it does not exist).
///
/// Expiry depends only on how long *this candidate* has observed the same claim, and on the duration in the claim. When
/// a Lease disappears under a valid claim, it is not taken before that claim has expired.
#[must_use]
pub fn decide(lease: Option<&LeaseView>, me: &str, observed: &Observation, now: Instant, terms: &Terms) -> Decision {
    let Some(lease) = lease else {
        return match &observed.last {
            Some((claim, since)) if !claim.holder.is_empty() && claim.holder != me => {
                take_or_follow(claim, *since, now, terms)
            }
            Some((claim, _)) => Decision::Acquire { transitions: claim.transitions },
            None => Decision::Acquire { transitions: 0 },
        };
    };
    let claim = &lease.claim;
    if claim.holder == me {
        return match observed.renewed_at {
            Some(renewed) if now < renewed + terms.renew_every => Decision::Hold { until: renewed + terms.renew_every },
            _ => Decision::Renew,
        };
    }
    if observed.renewed_at.is_some() {
        return Decision::StepDown;
    }
    if claim.holder.is_empty() {
        return Decision::Acquire { transitions: claim.transitions.saturating_add(1) };
    }
    // A claim that differs from the last observed one counts from now.
    let since = observed.last.as_ref().filter(|(last, _)| last == claim).map_or(now, |(_, since)| *since);
    take_or_follow(claim, since, now, terms)
}

fn take_or_follow(claim: &Claim, since: Instant, now: Instant, terms: &Terms) -> Decision {
    let promised = claim.duration.unwrap_or(terms.duration);
    let until = since + promised + terms.patience;
    if now < until {
        Decision::Follow { until }
    } else {
        Decision::Acquire { transitions: claim.transitions.saturating_add(1) }
    }
}
