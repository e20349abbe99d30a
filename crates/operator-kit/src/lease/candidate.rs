//! A candidate for leadership as a state machine without I/O: what it has observed, whether it leads, what it writes.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;

use super::decide::{Claim, Decision, LeaseView, Observation, Terms, decide};

/// The known state of the Lease object.
#[derive(Clone, Debug)]
enum Known {
    /// Not read yet, or a write failed with unknown effect: read before deciding.
    Nothing,
    /// There is no such object.
    Absent,
    /// The whole object: a replace must keep what others wrote in it.
    Object(Box<Lease>, LeaseView),
}

/// One participant of the election.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    me: String,
    terms: Terms,
    known: Known,
    observed: Observation,
}

impl Candidate {
    pub(super) fn new(me: String, terms: Terms) -> Self {
        Self { me, terms, known: Known::Nothing, observed: Observation::default() }
    }

    /// The Lease was read (or came from a watch) at `now`; `None` if it does not exist.
    pub(super) fn saw(&mut self, lease: Option<Lease>, now: Instant) {
        let Some(lease) = lease else {
            self.known = Known::Absent;
            return;
        };
        let view = view(&lease);
        if self.observed.last.as_ref().is_none_or(|(claim, _)| *claim != view.claim) {
            self.observed.last = Some((view.claim.clone(), now));
        }
        self.known = Known::Object(Box::new(lease), view);
    }

    /// A watch event with the Lease arrived at `now`; `leads` is whether we lead.
    ///
    /// A watch lags and may deliver a state from before our last write. For a follower that is harmless: at worst a
    /// write fails for its resourceVersion. A leader reads the Lease before it concludes that it lost the leadership.
    pub(super) fn was_shown(&mut self, lease: Option<Lease>, leads: bool, now: Instant) {
        if !leads {
            self.saw(lease, now);
        } else if lease.is_none_or(|lease| view(&lease).claim.holder != self.me) {
            self.forget();
        }
    }

    /// Discards the known Lease, which may be out of date.
    pub(super) fn forget(&mut self) {
        self.known = Known::Nothing;
    }

    /// What to do at `now`; `None`: read the Lease first.
    pub(super) fn decide(&self, now: Instant) -> Option<Decision> {
        let view = match &self.known {
            Known::Nothing => return None,
            Known::Absent => None,
            Known::Object(_, view) => Some(view),
        };
        Some(decide(view, &self.me, &self.observed, now, &self.terms))
    }

    /// The claim to write: a new object when there is none, else the object that was read (with its resourceVersion and
    /// everything that others wrote in it) with us as the holder.
    pub(super) fn claim(&self, namespace: &str, name: &str, transitions: i32, wall: Timestamp) -> Lease {
        let mut lease = match &self.known {
            Known::Object(lease, _) => (**lease).clone(),
            Known::Nothing | Known::Absent => blank(namespace, name),
        };
        let mut spec = lease.spec.take().unwrap_or_default();
        let renewed = differing(wall, spec.renew_time.as_ref());
        if spec.holder_identity.as_deref() != Some(&self.me) {
            spec.acquire_time = Some(renewed.clone());
        }
        spec.holder_identity = Some(self.me.clone());
        spec.lease_duration_seconds = Some(whole_seconds(self.terms.duration));
        spec.lease_transitions = Some(transitions);
        spec.renew_time = Some(renewed);
        lease.spec = Some(spec);
        lease
    }

    /// The `leaseTransitions` that a renewal keeps.
    pub(super) fn transitions(&self) -> i32 {
        self.observed.last.as_ref().map_or(0, |(claim, _)| claim.transitions)
    }

    /// Records that a claim sent at `sent` succeeded and was answered with `lease`. Returns until when we lead.
    pub(super) fn claimed(&mut self, lease: Lease, sent: Instant, now: Instant) -> Instant {
        self.saw(Some(lease), now);
        self.observed.renewed_at = Some(sent);
        sent + self.terms.act_for
    }

    /// Records that we no longer lead.
    pub(super) fn stepped_down(&mut self) {
        self.observed.renewed_at = None;
    }

    /// The object that releases the Lease, when we hold it: it has no holder.
    pub(super) fn release(&self, wall: Timestamp) -> Option<Lease> {
        let Known::Object(lease, view) = &self.known else { return None };
        if view.claim.holder != self.me {
            return None;
        }
        let mut lease = (**lease).clone();
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.renew_time = Some(differing(wall, spec.renew_time.as_ref()));
        Some(lease)
    }

    /// The holder of the Lease; `None` when it is unknown or there is none.
    pub(super) fn holder(&self) -> Option<&str> {
        match &self.known {
            Known::Object(_, view) if !view.claim.holder.is_empty() => Some(&view.claim.holder),
            _ => None,
        }
    }

    pub(super) fn knows_nothing(&self) -> bool {
        matches!(self.known, Known::Nothing)
    }
}

/// Reads a Lease object.
pub(super) fn view(lease: &Lease) -> LeaseView {
    let empty = LeaseSpec::default();
    let spec = lease.spec.as_ref().unwrap_or(&empty);
    LeaseView {
        resource_version: lease.metadata.resource_version.clone().unwrap_or_default(),
        claim: Claim {
            holder: spec.holder_identity.clone().unwrap_or_default(),
            duration: spec
                .lease_duration_seconds
                .and_then(|seconds| u64::try_from(seconds).ok())
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            renewed: spec.renew_time.as_ref().map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or(0),
        },
    }
}

fn blank(namespace: &str, name: &str) -> Lease {
    let mut lease = Lease::default();
    lease.metadata.namespace = Some(namespace.to_owned());
    lease.metadata.name = Some(name.to_owned());
    lease
}

/// Others detect a renewal by its time, so two renewals in a row must differ even when the wall clock stands still or
/// is set back. The API transports whole microseconds.
fn differing(wall: Timestamp, last: Option<&MicroTime>) -> MicroTime {
    let micros = wall.as_microsecond();
    let micros = match last {
        Some(last) if last.0.as_microsecond() == micros => micros.saturating_add(1),
        _ => micros,
    };
    MicroTime(Timestamp::from_microsecond(micros).unwrap_or(wall))
}

/// The Lease holds whole seconds: rounded up, so that no candidate takes over sooner than promised.
fn whole_seconds(duration: Duration) -> i32 {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    i32::try_from(seconds).unwrap_or(i32::MAX).max(1)
}
