//! What to do next about authorities and leaves: pure functions of what was read and of the time.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::certificate::{Id, Validity};

/// For how long each authority has been in the live `caBundle` of every webhook without a break, by this process's
/// monotonic clock. An authority that is missing from one of them has no entry.
pub(super) type Trusted = BTreeMap<Id, Duration>;

/// How many authorities that no longer sign stay trusted; beyond that number the oldest are dropped early. Every
/// lifetime needs far fewer, and far more would fit into an object: the limit counts when the Secret is deleted again
/// and again.
pub(super) const MOST_PREVIOUS: usize = 32;

/// The content of the live `caBundle`.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    pub(super) trusted: Trusted,
    /// Authorities with our name in the bundle of any webhook.
    pub(super) ours: Vec<Ca>,
}

/// The periods of a rotation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) leaf_life: Duration,
    pub(super) overlap: Duration,
}

/// An authority, reduced to what the plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ca {
    pub(super) id: Id,
    pub(super) validity: Validity,
}

/// The authorities in the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    /// The authority that signs.
    pub(super) current: Ca,
    /// The authority that will sign next.
    pub(super) next: Option<Ca>,
    /// The authorities that signed before, each with the time after which none of its leaves can be valid; `None` once
    /// that time has passed and the authority was dropped from the bundle to be written.
    pub(super) previous: Vec<(Ca, Option<SystemTime>)>,
}

/// What to change in the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RingStep {
    /// No change.
    Keep,
    /// Start again with a new authority that signs at once: the current one cannot sign.
    Found,
    /// Make the next authority.
    AddNext,
    /// The next authority becomes the current one.
    Promote,
    /// Add authorities of ours that the `caBundle` holds and the Secret does not list: another replica created the
    /// Secret again before it had read them. Replicas may serve with their leaves.
    Adopt,
    /// Drop authorities whose leaves have all expired, and delete the entries of dropped ones that left the `caBundle`.
    Prune,
}

/// A leaf, reduced to what the plan needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeafView {
    /// `None`: signed by another issuer.
    pub(super) issuer: Option<Id>,
    pub(super) validity: Validity,
}

impl Terms {
    /// The time after which no leaf of an authority that stops signing now can be valid: the life of a leaf, and a
    /// margin for a replica that signs one at this moment by a clock that is ahead.
    pub(super) fn retire_at(&self, ca: Ca, now: SystemTime) -> SystemTime {
        let longest = self.leaf_life + self.leaf_life.min(Duration::from_mins(10));
        now.checked_add(longest).map_or(ca.validity.until, |until| until.min(ca.validity.until))
    }
}

impl Ca {
    /// Whether it can sign: it has not expired, and does not begin so far ahead that only a wrong clock can have made
    /// it.
    pub(super) fn usable(&self, now: SystemTime) -> bool {
        const CLOCKS_DIFFER: Duration = Duration::from_mins(15);
        let ahead = self.validity.from.duration_since(now).unwrap_or_default();
        !self.validity.expired(now) && ahead <= CLOCKS_DIFFER
    }
}

impl Ring {
    /// Whether the ring lists this authority, also as a dropped one.
    fn knows(&self, ca: Ca) -> bool {
        let signing = [Some(self.current), self.next].into_iter().flatten();
        signing.chain(self.previous.iter().map(|(previous, _)| *previous)).any(|known| known.id == ca.id)
    }
}

impl Published {
    pub(super) fn mentions(&self, id: Id) -> bool {
        self.ours.iter().any(|ca| ca.id == id)
    }
}

/// What to change in the Secret that holds `ring` (`None`: the Secret holds no authority of ours).
pub(super) fn ring_step(ring: Option<&Ring>, published: &Published, now: SystemTime, terms: &Terms) -> RingStep {
    let Some(ring) = ring else { return RingStep::Found };
    let next = ring.next.filter(|next| next.usable(now));
    if !ring.current.usable(now) {
        // No client accepts what the current authority has signed, so waiting for the overlap gains nothing.
        return if next.is_some() { RingStep::Promote } else { RingStep::Found };
    }
    match next {
        Some(next) if published.trusted.get(&next.id).is_some_and(|trusted_for| *trusted_for >= terms.overlap) => {
            return RingStep::Promote;
        }
        None if ring.current.validity.renewal_due(now) => return RingStep::AddNext,
        _ => {}
    }
    if published.ours.iter().any(|ca| ca.usable(now) && !ring.knows(*ca)) {
        return RingStep::Adopt;
    }
    if ring.previous.iter().filter(|(_, until)| until.is_some()).count() > MOST_PREVIOUS {
        return RingStep::Prune;
    }
    let useless = |(ca, until): &(Ca, Option<SystemTime>)| match until {
        Some(until) => retired(*ca, *until, now),
        None => !published.mentions(ca.id),
    };
    if next != ring.next || ring.previous.iter().any(useless) { RingStep::Prune } else { RingStep::Keep }
}

/// Whether all leaves of a previous authority have expired.
pub(super) fn retired(ca: Ca, until: SystemTime, now: SystemTime) -> bool {
    until < now || ca.validity.expired(now)
}

/// Whether to sign a leaf with `current`, which is usable, and serve it instead of `served`.
///
/// A leaf that works is replaced only by one that the API server trusts, too.
pub(super) fn renew_leaf(
    served: Option<LeafView>,
    current: Ca,
    trusted: &Trusted,
    now: SystemTime,
    terms: &Terms,
) -> bool {
    let Some(served) = served.filter(|served| served.validity.holds(now)) else { return true };
    if served.issuer == Some(current.id) {
        let until = Validity::new(now, terms.leaf_life).until.min(current.validity.until);
        // A leaf that ends with its authority does not live longer when it is renewed.
        return served.validity.renewal_due(now) && until > served.validity.until;
    }
    match trusted.get(&current.id) {
        None => false,
        Some(trusted_for) if *trusted_for >= terms.overlap => true,
        Some(_) => !served.issuer.is_some_and(|issuer| trusted.contains_key(&issuer)),
    }
}
