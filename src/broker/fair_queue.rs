//! Whose question is next: the most urgent first, and among equally urgent ones each namespace in turn. Pure.

use std::collections::{HashMap, VecDeque};

/// How urgent a question is, the most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Somebody waits, and may be denied.
    Enforced,
    /// Somebody waits, and is warned at most.
    Warned,
    /// A tool waits that asks before it acts: nothing is admitted or denied by the answer.
    Asked,
    /// Nobody waits.
    Audited,
    /// Somebody waits who is not known to be the API server.
    Strange,
}

impl Urgency {
    const ALL: [Self; 5] = [Self::Enforced, Self::Warned, Self::Asked, Self::Audited, Self::Strange];

    /// Whether it gives way to every rollout that waits for its answer.
    pub(super) fn gives_way(self) -> bool {
        self >= Self::Asked
    }

    /// Whether it is about a rollout that is tried again, which an answer that came too late serves then (case 78).
    pub(super) fn comes_again(self) -> bool {
        self <= Self::Audited && self != Self::Asked
    }
}

/// For whom a question is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// How urgent it is.
    pub urgency: Urgency,
    /// The namespace of the workload.
    pub namespace: String,
}

/// Those that wait, of one urgency.
#[derive(Debug, Default)]
struct Waiting {
    /// The namespaces that have somebody waiting, the next one first.
    turns: VecDeque<String>,
    by_namespace: HashMap<String, VecDeque<u64>>,
}

/// Numbers that wait for their turn. See the module.
#[derive(Debug, Default)]
pub(super) struct FairQueue {
    waiting: [Waiting; 5],
    callers: HashMap<u64, Caller>,
}

impl FairQueue {
    /// Puts a number in.
    pub(super) fn push(&mut self, number: u64, caller: Caller) {
        let of = &mut self.waiting[caller.urgency as usize];
        let queue = of.by_namespace.entry(caller.namespace.clone()).or_default();
        if queue.is_empty() {
            of.turns.push_back(caller.namespace.clone());
        }
        queue.push_back(number);
        self.callers.insert(number, caller);
    }

    /// Takes the next number out, of an urgency for which `admits` holds.
    pub(super) fn pop(&mut self, admits: impl Fn(Urgency) -> bool) -> Option<(u64, Urgency)> {
        let next = Urgency::ALL.into_iter().filter(|urgency| admits(*urgency)).find_map(|urgency| {
            let of = &mut self.waiting[urgency as usize];
            let namespace = of.turns.pop_front()?;
            let queue = of.by_namespace.get_mut(&namespace)?;
            let number = queue.pop_front()?;
            if queue.is_empty() {
                of.by_namespace.remove(&namespace);
            } else {
                of.turns.push_back(namespace);
            }
            Some((number, urgency))
        })?;
        self.callers.remove(&next.0);
        Some(next)
    }

    /// Takes a number out wherever it waits; answers whether it did.
    pub(super) fn remove(&mut self, number: u64) -> bool {
        let Some(caller) = self.callers.remove(&number) else { return false };
        let of = &mut self.waiting[caller.urgency as usize];
        if let Some(queue) = of.by_namespace.get_mut(&caller.namespace) {
            queue.retain(|waiting| *waiting != number);
            if queue.is_empty() {
                of.by_namespace.remove(&caller.namespace);
                of.turns.retain(|namespace| *namespace != caller.namespace);
            }
        }
        true
    }

    /// A more urgent caller wants what a number stands for: it waits for that one from now on.
    pub(super) fn raise(&mut self, number: u64, caller: &Caller) {
        if self.callers.get(&number).is_some_and(|waiting| caller.urgency < waiting.urgency) {
            self.remove(number);
            self.push(number, caller.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn caller(urgency: Urgency, namespace: &str) -> Caller {
        Caller { urgency, namespace: namespace.to_owned() }
    }

    fn all(queue: &mut FairQueue) -> Vec<u64> {
        std::iter::from_fn(|| queue.pop(|_| true).map(|(number, _)| number)).collect()
    }

    #[test]
    fn the_most_urgent_comes_first_and_each_namespace_in_turn() {
        let mut queue = FairQueue::default();
        for number in 0..4 {
            queue.push(number, caller(Urgency::Audited, "dev"));
        }
        for number in 10..14 {
            queue.push(number, caller(Urgency::Enforced, "shop"));
        }
        queue.push(20, caller(Urgency::Enforced, "billing"));
        queue.push(30, caller(Urgency::Warned, "dev"));
        assert_eq!(all(&mut queue), [10, 20, 11, 12, 13, 30, 0, 1, 2, 3]);
    }

    #[test]
    fn what_is_not_admitted_waits_and_what_is_raised_goes_before() {
        let mut queue = FairQueue::default();
        queue.push(1, caller(Urgency::Audited, "dev"));
        queue.push(2, caller(Urgency::Audited, "dev"));
        assert_eq!(queue.pop(|urgency| urgency < Urgency::Audited), None);
        queue.raise(2, &caller(Urgency::Enforced, "shop"));
        queue.raise(1, &caller(Urgency::Audited, "shop"));
        assert_eq!(queue.pop(|urgency| urgency < Urgency::Audited), Some((2, Urgency::Enforced)));
        assert!(queue.remove(1) && !queue.remove(1));
        assert_eq!(all(&mut queue), [0_u64; 0]);
    }

    proptest! {
        #[test]
        fn everyone_comes_out_once_and_nothing_is_left(steps in prop::collection::vec((0..4_u8, 0..3_usize, "[ab]"), 0..60)) {
            let (mut queue, mut inside, mut next) = (FairQueue::default(), std::collections::BTreeSet::new(), 0);
            for (step, urgency, namespace) in steps {
                let caller = caller(Urgency::ALL[urgency], &namespace);
                match (step, inside.first().copied()) {
                    (0, Some(number)) => prop_assert!(queue.remove(number) && inside.remove(&number)),
                    (1, Some(number)) => queue.raise(number, &caller),
                    (2, _) => {
                        let out = queue.pop(|_| true).map(|(number, _)| number);
                        prop_assert_eq!(out.is_none(), inside.is_empty());
                        prop_assert!(out.is_none_or(|number| inside.remove(&number)));
                    }
                    _ => {
                        queue.push(next, caller);
                        inside.insert(next);
                        next += 1;
                    }
                }
            }
            let left: std::collections::BTreeSet<_> = all(&mut queue).into_iter().collect();
            prop_assert_eq!(left, inside);
            let empty = queue.waiting.iter().all(|of| of.turns.is_empty() && of.by_namespace.is_empty());
            prop_assert!(empty && queue.callers.is_empty());
        }
    }
}
