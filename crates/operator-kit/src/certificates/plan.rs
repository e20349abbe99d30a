//! What to do next about authorities and leaves: pure functions over what was read, and what the clocks say.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use super::certificate::{Id, Validity};

/// For how long each authority has been seen, without a break, in the live `caBundle` of every webhook, by this
/// process's monotonic clock. One that is missing there is missing here.
pub(super) type Trusted = BTreeMap<Id, Duration>;

/// How many authorities that sign no more stay trusted; beyond that the oldest are dropped before their time. Many more
/// than any life needs, and far fewer than fit into an object: somebody may delete the Secret again and again.
pub(super) const MOST_PREVIOUS: usize = 32;

/// What the live `caBundle` says.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    pub(super) trusted: Trusted,
    /// Authorities of our name that any webhook mentions.
    pub(super) ours: Vec<Ca>,
}

/// The lengths of time that rotation is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) leaf_life: Duration,
    pub(super) overlap: Duration,
}

/// An authority as the plan sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ca {
    pub(super) id: Id,
    pub(super) validity: Validity,
}

/// The authorities in the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    /// The one that signs.
    pub(super) current: Ca,
    /// The one that will.
    pub(super) next: Option<Ca>,
    /// Those that did, each with the time after which no leaf of it can be alive; `None` once that was so and it was
    /// dropped from the `caBundle`'s plan.
    pub(super) previous: Vec<(Ca, Option<SystemTime>)>,
}

/// What to change in the Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RingStep {
    /// Nothing.
    Keep,
    /// Begin anew with an authority that signs at once: what is there cannot sign.
    Found,
    /// Make the next authority.
    AddNext,
    /// The next authority becomes the current one.
    Promote,
    /// Take in authorities of ours that the `caBundle` holds and the Secret does not know: a Secret that was founded
    /// anew by somebody who did not see them yet. Replicas may serve with leaves of them.
    Adopt,
    /// Drop those that nobody can need any more, and forget those that were dropped and are gone from the `caBundle`.
    Prune,
}

/// A leaf as the plan sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeafView {
    /// `None`: not signed by us.
    pub(super) issuer: Option<Id>,
    pub(super) validity: Validity,
}

impl Terms {
    /// Until when a leaf signed by an authority that stops signing now may be alive: a leaf's life, and a little for
    /// the replica that signs one at this moment, by a clock that is ahead.
    pub(super) fn retire_at(&self, ca: Ca, now: SystemTime) -> SystemTime {
        let longest = self.leaf_life + self.leaf_life.min(Duration::from_mins(10));
        now.checked_add(longest).map_or(ca.validity.until, |until| until.min(ca.validity.until))
    }
}

impl Ca {
    /// Whether it can sign: not expired, and not from a future that only a wrong clock can have seen.
    pub(super) fn usable(&self, now: SystemTime) -> bool {
        const CLOCKS_DIFFER: Duration = Duration::from_mins(15);
        let ahead = self.validity.from.duration_since(now).unwrap_or_default();
        !self.validity.expired(now) && ahead <= CLOCKS_DIFFER
    }
}

impl Ring {
    /// Whether it knows this authority, be it as one that was dropped.
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

/// What to change in the Secret that holds `ring` (`None`: no authority of ours).
pub(super) fn ring_step(ring: Option<&Ring>, published: &Published, now: SystemTime, terms: &Terms) -> RingStep {
    let Some(ring) = ring else { return RingStep::Found };
    let next = ring.next.filter(|next| next.usable(now));
    if !ring.current.usable(now) {
        // Nobody can trust what the current one has signed, so there is nothing to wait for.
        return if next.is_some() { RingStep::Promote } else { RingStep::Found };
    }
    match next {
        Some(next) if published.trusted.get(&next.id).is_some_and(|seen| *seen >= terms.overlap) => {
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

/// Whether no leaf of a previous authority can be alive.
pub(super) fn retired(ca: Ca, until: SystemTime, now: SystemTime) -> bool {
    until < now || ca.validity.expired(now)
}

/// Whether to sign a leaf with `current`, which is usable, and serve it instead of `served`.
///
/// A leaf that works is only replaced by one that the API server trusts, too.
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
        // At the end of its authority's life a leaf cannot be made to live longer by renewing it.
        return served.validity.renewal_due(now) && until > served.validity.until;
    }
    match trusted.get(&current.id) {
        None => false,
        Some(seen) if *seen >= terms.overlap => true,
        Some(_) => !served.issuer.is_some_and(|issuer| trusted.contains_key(&issuer)),
    }
}
