//! The versions that the gate denied or held: they run nowhere, so no check of what runs shows which results they lack. The
//! gate's Events name them, and the question is asked again.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
/// How many are asked about at a time.
const AT_ONCE: usize = 5;
/// How soon one is asked about again.
const AGAIN: Backoff = Backoff { min: Duration::from_secs(15), max: Duration::from_mins(5) };

/// A denied version, or one that is held.
#[derive(Clone)]
struct One {
    reason: Reason,
    key: RecordKey,
    version: Version,
    regarding: Regarding,
    namespace: String,
    missing: Vec<MissingResult>,
    next: Instant,
    tries: u32,
}

/// The denied versions, by the uids of their Events.
#[derive(Default)]
pub(super) struct Denied(Mutex<HashMap<String, One>>);

impl Denied {
    /// Follows the Events.
    pub(super) async fn follow(&self, cluster: &Arc<Cluster>, restored: Restored) {
        let denied = self.follow_reason(cluster, Reason::RolloutDenied, restored.clone());
        join(denied, self.follow_reason(cluster, Reason::RolloutHeld, restored)).await;
    }

    async fn follow_reason(&self, cluster: &Arc<Cluster>, reason: Reason, restored: Restored) {
        let mut changes = pin!(gate_events(cluster.client.clone(), reason, restored));
        let mut listed = HashSet::new();
        while let Some(change) = changes.next().await {
            match change {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(event)) => listed.extend(self.apply(reason, &event)),
                Ok(Event::InitDone) => self.known().retain(|uid, one| one.reason != reason || listed.contains(uid)),
                Ok(Event::Apply(event)) => drop(self.apply(reason, &event)),
                Ok(Event::Delete(event)) => drop(self.known().remove(&event.uid().unwrap_or_default())),
                Err(error) => {
                    let error = explain(&error);
                    warn!(error, %reason, "watching for denied versions was interrupted and goes on");
                }
            }
        }
    }

    /// Takes in an Event; answers its uid, if it is about a version that is looked after.
    fn apply(&self, reason: Reason, event: &KubeEvent) -> Option<String> {
        let (uid, DenialEvent { denial, regarding, namespace }) = (event.uid()?, denial_of(event)?);
        let (key, version) = (denial.key().ok()?, Version::parse(&denial.version).ok()?);
        let mut known = self.known();
        if !known.contains_key(&uid) {
            let of_it = known.values().filter(|one| one.namespace == namespace).count();
            if known.len() >= MOST || of_it >= MOST_OF_A_NAMESPACE {
                return None;
            }
            let (missing, next, tries) = (Vec::new(), Instant::now(), 0);
            let one = One { reason, key, version, regarding, namespace, missing, next, tries };
            known.insert(uid.clone(), one);
        }
        Some(uid)
    }

    /// Asks about those of which it is time; none of a namespace that is not in the environment.
    pub(super) async fn judge(&self, cluster: &Cluster) {
        let now = Instant::now();
        let due: Vec<_> = {
            let known = self.known();
            let due = known.iter().filter(|(_, one)| one.next <= now).take(AT_ONCE);
            due.map(|(uid, one)| (uid.clone(), one.clone())).collect()
        };
        for (uid, one) in due {
            let missing = if lies_there(cluster, &one) { missing(cluster, &one).await } else { Some(Vec::new()) };
            if let Some(known) = self.known().get_mut(&uid) {
                known.next = now + AGAIN.delay(known.tries, entropy());
                known.tries = known.tries.saturating_add(1);
                if let Some(missing) = missing {
                    known.missing = missing;
                }
            }
        }
    }

    /// The results that denied versions lack, with the key and the workload of each.
    pub(super) fn missing(&self) -> Vec<(MissingResult, RecordKey, Regarding)> {
        let known = self.known();
        let of = |one: &One| -> Vec<_> {
            one.missing.iter().map(|it| (it.clone(), one.key.clone(), one.regarding.clone())).collect()
        };
        known.values().flat_map(of).collect()
    }

    /// Forgets all: another process leads.
    pub(super) fn forget(&self) {
        self.known().clear();
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, One>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the namespace of a denied workload is in the environment that the Event names.
fn lies_there(cluster: &Cluster, one: &One) -> bool {
    let index = cluster.index();
    let Some(NamespaceMapping::Mapped(objects)) = index.mapping(&one.namespace) else { return false };
    let environments = index.environments();
    let is_it =
        |object: &String| environments.rules(object).is_some_and(|it| it.environment_ref == one.key.environment_ref);
    objects.iter().any(is_it)
}

/// What a denied version lacks now; `None` when that cannot be asked.
async fn missing(cluster: &Cluster, one: &One) -> Option<Vec<MissingResult>> {
    let EnvironmentRef { broker, environment } = &one.key.environment_ref;
    let (rules, judge) = (cluster.gate_rules(&one.key)?, cluster.brokers.judge(broker).ok()?);
    let question = rules.question(&one.key.pacticipant, &one.version, environment, Timestamp::now());
    match judge.judge(&question).await {
        Ok(judgement) => Some(missing_of(broker, &judgement)),
        Err(error) => {
            debug!(key = %one.key, version = %one.version, %error, "it cannot be asked what a denied version lacks");
            None
        }
    }
}
