//! What a candidate for leadership does next: a pure function over what it has seen and its own monotonic clock.

use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;

/// What the holder of a Lease says of itself. Two equal claims are the same renewal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// `spec.holderIdentity`; empty when nobody holds the Lease.
    pub holder: String,
    /// `spec.leaseDurationSeconds`: how long the holder may be silent. `None` when missing or not positive.
    pub duration: Option<Duration>,
    /// `spec.renewTime`, by the holder's wall clock. Only ever compared for equality: clocks of two machines differ.
    pub renewed: Option<Timestamp>,
    /// `spec.leaseTransitions`: how often the Lease has changed hands.
    pub transitions: i32,
}

/// A Lease as it was read or written last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// `metadata.resourceVersion`, the precondition of the next write.
    pub resource_version: String,
    /// Who holds it.
    pub claim: Claim,
}

/// What this candidate remembers, in terms of its own monotonic clock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// The last claim seen, and the local time at which it was first seen in this form. It is kept when the Lease
    /// disappears: its holder may not know yet.
    pub last: Option<(Claim, Instant)>,
    /// When our last successful write of the Lease was *sent*, while we believe to lead.
    pub renewed_at: Option<Instant>,
}

/// The lengths of time that leadership is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a holder may be silent before others take over.
    pub duration: Duration,
    /// How long after a renewal the holder renews again.
    pub renew_every: Duration,
    /// How long after sending a successful renewal the holder still acts. Less than `duration`: the difference is the
    /// margin for requests under way and for clocks that tick at different speeds.
    pub act_for: Duration,
    /// What this candidate waits beyond the expiry of somebody else's claim, so that candidates do not all jump at
    /// the same moment.
    pub patience: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Write our name into the Lease (or create it).
    Acquire {
        /// The `leaseTransitions` to write.
        transitions: i32,
    },
    /// We hold it and the renewal is due: write it again.
    Renew,
    /// We hold it and need do nothing before this moment.
    Hold {
        /// When the renewal is due.
        until: Instant,
    },
    /// Somebody else holds it; nothing to do before this moment unless the Lease changes.
    Follow {
        /// When the claim seen last runs out.
        until: Instant,
    },
    /// Somebody else holds what we believed was ours: stop acting at once.
    StepDown,
}

/// Decides what the candidate called `me` does at the local time `now`, having seen `lease` (`None`: there is none).
///
/// Expiry is judged only by how long *we* have seen the same claim, with the holder's own promised duration. A Lease
/// that vanished under a living claim is not taken before that claim has run out.
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
    // What we have not seen change before, we see from now on.
    let since = observed.last.as_ref().filter(|(seen, _)| seen == claim).map_or(now, |(_, since)| *since);
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
