//! The versions that the gate denied or held: they run nowhere, so no check of what runs shows which results they lack. The
//! gate's Events name them, and the question is asked again.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, future::join};
use k8s_openapi::{api::events::v1::Event as KubeEvent, jiff::Timestamp};
use kube::{ResourceExt, runtime::watcher::Event};
use operator_kit::{
    backoff::{Backoff, entropy},
    events::Regarding,
    history::Restored,
    watch::explain,
};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{
    api::names::Version,
    cluster::Cluster,
    decide::{
        Reason,
        verification::{MissingResult, missing_of},
    },
    notifier::denials::{DenialEvent, denial_of, gate_events},
    workload::{EnvironmentRef, NamespaceMapping, RecordKey},
};

/// How many denied versions are looked after, and how many of one namespace: whoever may create Events there could make
/// many that look like denials.
const MOST: usize = 100;
const MOST_OF_A_NAMESPACE: usize = 20;
/// How often is looked whether it is known which namespaces are in which environments.
const LOOK: Duration = Duration::from_millis(200);
/// How many are asked about at a time.
const AT_ONCE: usize = 5;
/// How soon one is asked about again.
const AGAIN: Backoff = Backoff { min: Duration::from_secs(15), max: Duration::from_mins(5) };

/// A version that was denied in a namespace, or is held there. It takes one place, however many Events are about it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    namespace: String,
    key: RecordKey,
    version: Version,
}

/// What is known of it.
#[derive(Clone)]
struct One {
    /// Its newest Event: the others are gone before.
    uid: String,
    reason: Reason,
    created: Timestamp,
    regarding: Regarding,
    /// The results that it lacks; `None` as long as that is not known.
    missing: Option<Vec<MissingResult>>,
    next: Instant,
    tries: u32,
}

impl One {
    /// Whether it is known that nothing can be asked for.
    fn lacks_nothing(&self) -> bool {
        self.missing.as_ref().is_some_and(Vec::is_empty)
    }
}

/// The denied versions.
#[derive(Default)]
pub(super) struct Denied {
    known: Mutex<HashMap<Place, One>>,
    /// Whether it was said that there are too many.
    too_many: AtomicBool,
}

impl Denied {
    /// Follows the Events, once it is known which namespaces are in which environments.
    pub(super) async fn follow(&self, cluster: &Arc<Cluster>, restored: Restored) {
        while !cluster.is_complete() {
            tokio::time::sleep(LOOK).await;
        }
        let denied = self.follow_reason(cluster, Reason::RolloutDenied, restored.clone());
        join(denied, self.follow_reason(cluster, Reason::RolloutHeld, restored)).await;
    }

    async fn follow_reason(&self, cluster: &Arc<Cluster>, reason: Reason, restored: Restored) {
        let mut changes = pin!(gate_events(cluster.client.clone(), reason, restored));
        let mut listed = HashSet::new();
        let there = |namespace: &str, environment_ref: &EnvironmentRef| lies_there(cluster, namespace, environment_ref);
        while let Some(change) = changes.next().await {
            match change {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(event)) => listed.extend(self.apply(reason, &event, there)),
                Ok(Event::InitDone) => self.retain(reason, &listed),
                Ok(Event::Apply(event)) => drop(self.apply(reason, &event, there)),
                Ok(Event::Delete(event)) => self.gone(&event.uid().unwrap_or_default()),
                Err(error) => {
                    let error = explain(&error);
                    warn!(error, %reason, "watching for denied versions was interrupted and goes on");
                }
            }
        }
    }

    /// Takes in an Event; answers its uid, if it is the newest about a version that is looked after.
    fn apply(
        &self,
        reason: Reason,
        event: &KubeEvent,
        lies_there: impl Fn(&str, &EnvironmentRef) -> bool,
    ) -> Option<String> {
        let (uid, DenialEvent { denial, regarding, namespace }) = (event.uid()?, denial_of(event)?);
        let (key, version) = (denial.key().ok()?, Version::parse(&denial.version).ok()?);
        let created = event.creation_timestamp().map_or(Timestamp::MIN, |time| time.0);
        let place = Place { namespace, key, version };
        let mut known = self.known();
        match known.get(&place) {
            Some(one) if one.uid == uid => return Some(uid),
            Some(one) if created < one.created => return None,
            _ => {}
        }
        let before = known.remove(&place);
        let is_known = before.is_some();
        let (missing, next, tries) = (before.and_then(|one| one.missing), Instant::now(), 0);
        let one = One { uid: uid.clone(), reason, created, regarding, missing, next, tries };
        known.insert(place.clone(), one);
        if !is_known {
            self.make_room(&mut known, &place.namespace, lies_there);
        }
        known.contains_key(&place).then_some(uid)
    }

    /// Leaves one out if there are too many now that one of a namespace was added. First one whose namespace is not in the
    /// environment, as far as is known: anybody may have made its Event. Otherwise one of the namespace with the most, so who
    /// may create Events there silences no other: one that lacks nothing, or else the oldest, which may be long since past.
    fn make_room(
        &self,
        known: &mut HashMap<Place, One>,
        namespace: &str,
        lies_there: impl Fn(&str, &EnvironmentRef) -> bool,
    ) {
        let of = |namespace: &str| known.keys().filter(|place| place.namespace == namespace).count();
        let too_many_of_it = of(namespace) > MOST_OF_A_NAMESPACE;
        if known.len() <= MOST && !too_many_of_it {
            self.too_many.store(false, Ordering::Relaxed);
            return;
        }
        let there = |place: &Place| lies_there(&place.namespace, &place.key.environment_ref);
        let in_order = |(place, one): &(&Place, &One)| {
            (!there(place), of(&place.namespace), one.lacks_nothing(), Reverse(one.created))
        };
        let among = known.iter().filter(|(place, _)| !too_many_of_it || place.namespace == namespace);
        let Some(left_out) = among.max_by_key(in_order).map(|(place, _)| place.clone()) else { return };
        let counts = there(&left_out);
        let counts = known.remove(&left_out).is_some_and(|one| counts && !one.lacks_nothing());
        if counts && !self.too_many.swap(true, Ordering::Relaxed) {
            let (key, version, namespace) = (&left_out.key, &left_out.version, &left_out.namespace);
            warn!(%key, %version, namespace, "more versions were denied or are held than are looked after: the oldest is left out");
        }
    }

    /// An Event is gone.
    fn gone(&self, uid: &str) {
        self.known().retain(|_, one| one.uid != uid);
    }

    /// The Events with a reason are these.
    fn retain(&self, reason: Reason, listed: &HashSet<String>) {
        self.known().retain(|_, one| one.reason != reason || listed.contains(&one.uid));
    }

    /// Asks about those of which it is time, in turn; none of a namespace that is not in the environment.
    pub(super) async fn judge(&self, cluster: &Cluster) {
        let now = Instant::now();
        let mut due = Vec::new();
        for (place, one) in self.known().iter_mut() {
            if !lies_there(cluster, &place.namespace, &place.key.environment_ref) {
                one.missing = None;
            } else if one.next <= now {
                due.push((one.next, place.clone()));
            }
        }
        due.sort_by_key(|(next, _)| *next);
        for (_, place) in due.into_iter().take(AT_ONCE) {
            let missing = missing(cluster, &place).await;
            if let Some(known) = self.known().get_mut(&place) {
                known.next = now + AGAIN.delay(known.tries, entropy());
                known.tries = known.tries.saturating_add(1);
                if missing.is_some() {
                    known.missing = missing;
                }
            }
        }
    }

    /// The results that denied versions lack, with the key and the workload of each.
    pub(super) fn missing(&self) -> Vec<(MissingResult, RecordKey, Regarding)> {
        let known = self.known();
        let of = |(place, one): (&Place, &One)| -> Vec<_> {
            one.missing.iter().flatten().map(|it| (it.clone(), place.key.clone(), one.regarding.clone())).collect()
        };
        known.iter().flat_map(of).collect()
    }

    /// Forgets all: another process leads.
    pub(super) fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Place, One>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a namespace is in an environment.
fn lies_there(cluster: &Cluster, namespace: &str, environment_ref: &EnvironmentRef) -> bool {
    let index = cluster.index();
    let Some(NamespaceMapping::Mapped(objects)) = index.mapping(namespace) else { return false };
    let environments = index.environments();
    objects.iter().any(|object| environments.rules(object).is_some_and(|it| it.environment_ref == *environment_ref))
}

/// What a denied version lacks now; `None` when that cannot be asked.
async fn missing(cluster: &Cluster, Place { key, version, .. }: &Place) -> Option<Vec<MissingResult>> {
    let EnvironmentRef { broker, environment } = &key.environment_ref;
    let (rules, judge) = (cluster.gate_rules(key)?, cluster.brokers.judge(broker).ok()?);
    let question = rules.question(&key.pacticipant, version, environment, Timestamp::now());
    match judge.judge(&question).await {
        Ok(judgement) => Some(missing_of(broker, &judgement)),
        Err(error) => {
            debug!(%key, %version, %error, "it cannot be asked what a denied version lacks");
            None
        }
    }
}

#[cfg(test)]
#[path = "denied_tests.rs"]
mod tests;
