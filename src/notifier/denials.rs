//! The denials of the gate. The gate keeps no state and writes nothing but Events: the Event of a denial is its announcement,
//! and an annotation on it says which sink has it. It waits for as long as the API server keeps Events.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::{Stream, StreamExt};
use k8s_openapi::{api::events::v1::Event as KubeEvent, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::watcher::{self, Event},
};
use operator_kit::{
    backoff::entropy,
    events::Regarding,
    history::Restored,
    lease::Leadership,
    recently::Recently,
    watch::{events, explain},
};
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::deliver::{Delivery, Outlet};
use crate::{
    api::{annotations::DENIED, condition::truncated, deployment::Announcement},
    cluster::REPORTER,
    decide::{
        Reason,
        announcement::{Denial, Kind, Sink, Subject},
    },
    workload::RecordKey,
};

/// The number of the announcement of an Event: it has no other.
const ONE: i64 = 1;
/// How many denials are kept in memory. Whoever may create Events could make many that look like one.
const MOST: usize = 2_000;
/// How many of one namespace: who may create Events there silences no other.
const MOST_OF_A_NAMESPACE: usize = 200;
/// How many Events are listed with one request: they may be large.
const PAGE: u32 = 20;
/// The longest annotation of a denial, and the longest note of an Event that Kubernetes' newer API allows, in bytes.
const LONGEST_ANNOTATION: usize = 8 << 10;
const LONGEST_NOTE: usize = 1024;
/// The longest name of an object, or of a part of its reference.
const LONGEST_NAME: usize = 253;
/// For how long it is known at least that a denial was counted as lost: as long as most clusters keep Events.
const COUNTED_FOR: Duration = Duration::from_hours(1);

/// A denial, as its Event says.
#[derive(Clone, Debug)]
struct Denied {
    key: RecordKey,
    announcement: Announcement,
    regarding: Regarding,
    namespace: String,
    name: String,
    /// The sinks that have it.
    delivered: HashSet<Sink>,
}

impl Denied {
    /// Whether one of the sinks does not have it.
    fn waits(&self, sinks: &[Sink]) -> bool {
        sinks.iter().any(|sink| !self.delivered.contains(sink))
    }
}

/// The denials by the uid of their Events: those that one of the sinks does not have.
pub(super) struct Denials {
    client: Client,
    sinks: Vec<Sink>,
    known: Mutex<HashMap<String, Denied>>,
    dropped: Counter,
    /// What was counted as lost.
    counted: Recently,
    hasher: RandomState,
    /// Whether it was said that there are too many.
    too_many: AtomicBool,
}

impl Denials {
    pub(super) fn new(client: Client, sinks: Vec<Sink>, dropped: Counter) -> Self {
        Self {
            client,
            sinks,
            known: Mutex::default(),
            dropped,
            counted: Recently::new(MOST, COUNTED_FOR),
            hasher: RandomState::new(),
            too_many: AtomicBool::default(),
        }
    }

    /// Follows the Events while this process leads, until shutdown.
    pub(super) async fn follow(&self, leadership: &Leadership, restored: Restored, shutdown: CancellationToken) {
        let followed = async {
            loop {
                leadership.wait_leader().await;
                tokio::select! {
                    () = leads_no_longer(leadership) => {}
                    () = self.watch(restored.clone()) => return,
                }
                // A standby keeps nothing, and what it misses is not lost.
                self.known().clear();
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = followed => {}
        }
    }

    async fn watch(&self, restored: Restored) {
        let mut changes = pin!(gate_events(self.client.clone(), Reason::RolloutDenied, restored));
        let mut listed = HashSet::new();
        while let Some(change) = changes.next().await {
            match change {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(event)) => listed.extend(self.apply(&event)),
                Ok(Event::InitDone) => self.retain(&listed),
                Ok(Event::Apply(event)) => drop(self.apply(&event)),
                Ok(Event::Delete(event)) => self.gone(&event.uid().unwrap_or_default()),
                Err(error) => {
                    let error = explain(&error);
                    warn!(error, "watching for denials was interrupted and goes on");
                }
            }
        }
    }

    /// Takes in an Event; answers its uid, if it is of a denial that waits.
    fn apply(&self, event: &KubeEvent) -> Option<String> {
        let uid = event.uid()?;
        let denied = denied(event, &self.sinks)?;
        let mut known = self.known();
        if !denied.waits(&self.sinks) {
            known.remove(&uid);
            return None;
        }
        if !known.contains_key(&uid) {
            let of_it = known.values().filter(|known| known.namespace == denied.namespace).count();
            if known.len() >= MOST || of_it >= MOST_OF_A_NAMESPACE {
                drop(known);
                self.too_many(&uid, &denied);
                return None;
            }
            self.too_many.store(false, Ordering::Relaxed);
        }
        known.insert(uid.clone(), denied);
        Some(uid)
    }

    /// A denial does not fit. Each is counted once, and the first is said.
    fn too_many(&self, uid: &str, denied: &Denied) {
        if self.counted.insert(self.hasher.hash_one(uid)) {
            self.dropped.inc();
        }
        if !self.too_many.swap(true, Ordering::Relaxed) {
            let namespace = &denied.namespace;
            warn!(namespace, "more denials wait to be announced than are kept: those that come now are left out");
        }
    }

    /// An Event is gone: what a sink does not have of it will never be delivered.
    fn gone(&self, uid: &str) {
        let gone = self.known().remove(uid);
        if let Some(gone) = gone {
            self.dropped.inc();
            let (key, version) = (&gone.key, &gone.announcement.version);
            warn!(%key, version, "a denial was not delivered before its Event was deleted");
        }
    }

    /// A list has ended: what it did not hold is gone.
    fn retain(&self, listed: &HashSet<String>) {
        let gone: Vec<_> = self.known().keys().filter(|uid| !listed.contains(*uid)).cloned().collect();
        for uid in &gone {
            self.gone(uid);
        }
    }

    /// The uids of the denials that wait for a sink, oldest first, and since when the first does.
    fn waiting(&self, sink: Sink) -> (Vec<String>, Option<Timestamp>) {
        let known = self.known();
        let waiting = known.iter().filter(|(_, denied)| !denied.delivered.contains(&sink));
        let mut waiting: Vec<_> = waiting.map(|(uid, denied)| (denied.announcement.at.0, uid.clone())).collect();
        drop(known);
        waiting.sort();
        let oldest = waiting.first().map(|(at, _)| *at);
        (waiting.into_iter().map(|(_, uid)| uid).collect(), oldest)
    }

    /// Delivers what waits for a sink, one after the other.
    pub(super) async fn deliver(&self, delivery: &Delivery, outlet: &Outlet) {
        let (sink, progress) = (outlet.settings.sink, &outlet.denials);
        let (uids, oldest) = self.waiting(sink);
        let age = oldest.map_or(0, |oldest| Timestamp::now().duration_since(oldest).as_secs().max(0));
        outlet.oldest_denial.store(age, Ordering::Relaxed);
        for uid in uids {
            if outlet.rests(Instant::now()) || delivery.shutdown.is_cancelled() {
                break;
            }
            if !progress.begin(&uid, &uid, ONE, Instant::now()) {
                continue;
            }
            let denied = self.known().get(&uid).cloned();
            let known = progress.sent(&uid, &uid, ONE) > 0;
            let Some(denied) = denied.filter(|_| known || delivery.may_try(outlet)) else {
                progress.end(&uid, true);
                continue;
            };
            let (key, cluster) = (&denied.key, delivery.cluster.as_deref());
            let subject = Subject { key, uid: &uid, cluster, announcement: &denied.announcement };
            let done = known || delivery.attempt(outlet, &subject, &denied.regarding).await;
            if done {
                progress.delivered(&uid, denied.announcement.sequence);
            } else {
                progress.failed(&uid, Instant::now(), entropy());
            }
            let noted = done && self.note(sink, &uid, &denied).await;
            if done && !noted {
                progress.failed(&uid, Instant::now(), entropy());
            }
            progress.end(&uid, noted);
        }
        let known = self.known();
        progress.retain(|uid| known.contains_key(uid));
    }

    /// Notes on the Event that a sink has it; says whether that is known in the cluster.
    async fn note(&self, sink: Sink, uid: &str, denied: &Denied) -> bool {
        let api: Api<KubeEvent> = Api::namespaced(self.client.clone(), &denied.namespace);
        let change = json!({"metadata": {"uid": uid, "annotations": {sink.annotation(): "1"}}});
        match api.patch(&denied.name, &PatchParams::default(), &Patch::Merge(change)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            // It is another Event: then the watch says that this one is gone.
            Err(kube::Error::Api(status)) if status.is_conflict() && !self.known().contains_key(uid) => {}
            Err(error) => {
                let error = operator_kit::refusal::explain(&error);
                warn!(key = %denied.key, error, "it cannot be noted that a denial was delivered; after a restart it is delivered again");
                return false;
            }
        }
        let mut known = self.known();
        if let Some(denied) = known.get_mut(uid) {
            denied.delivered.insert(sink);
            if !denied.waits(&self.sinks) {
                known.remove(uid);
            }
        }
        true
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Denied>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gate's Events with a reason, and what becomes of them.
pub(crate) fn gate_events(
    client: Client,
    reason: Reason,
    restored: Restored,
) -> impl Stream<Item = Result<Event<KubeEvent>, watcher::Error>> {
    let of_reason = format!("reason={reason},reportingController={REPORTER}");
    let only = watcher::Config::default().fields(&of_reason).page_size(PAGE);
    events(Api::<KubeEvent>::all(client), only, restored)
}

/// What an Event says of a denial, or of a hold.
pub(crate) struct DenialEvent {
    /// What was denied, or held.
    pub(crate) denial: Denial,
    /// The workload.
    pub(crate) regarding: Regarding,
    /// Its namespace.
    pub(crate) namespace: String,
}

/// The denial that an Event is about. Whoever may create Events may have made it: it is no longer than the gate's.
pub(crate) fn denial_of(event: &KubeEvent) -> Option<DenialEvent> {
    let denial = event.annotations().get(DENIED).filter(|text| text.len() <= LONGEST_ANNOTATION)?;
    let denial = Denial::parse(denial)?;
    let about = event.regarding.as_ref()?;
    let part = |part: &Option<String>| part.clone().filter(|part| part.len() <= LONGEST_NAME);
    let namespace = event.namespace()?;
    let regarding = Regarding {
        api_version: part(&about.api_version).unwrap_or_default(),
        kind: part(&about.kind)?,
        namespace: Some(namespace.clone()),
        name: part(&about.name)?,
        uid: part(&about.uid).unwrap_or_default(),
    };
    Some(DenialEvent { denial, regarding, namespace })
}

/// The denial of an Event as an announcement.
fn denied(event: &KubeEvent, sinks: &[Sink]) -> Option<Denied> {
    let DenialEvent { denial, regarding, namespace } = denial_of(event)?;
    let Regarding { kind, name, .. } = &regarding;
    let at = event.event_time.as_ref().map_or_else(Timestamp::now, |time| time.0);
    let note = truncated(event.note.as_deref().unwrap_or_default(), LONGEST_NOTE);
    let announcement = Announcement {
        sequence: ONE,
        kind: Kind::Denied.name().to_owned(),
        at: Time(at),
        version: denial.version.clone(),
        previous_version: None,
        workloads: vec![format!("{kind} {namespace}/{name}")],
        message: format!("{note} (asked by {})", denial.user),
        sinks: sinks.iter().map(|sink| sink.name().to_owned()).collect(),
    };
    Some(Denied {
        key: denial.key().ok()?,
        announcement,
        regarding,
        namespace,
        name: event.name_any(),
        delivered: sinks.iter().copied().filter(|sink| event.annotations().contains_key(&sink.annotation())).collect(),
    })
}

/// Ends when this process leads no longer.
async fn leads_no_longer(leadership: &Leadership) {
    if leadership.watch().wait_for(|leads| !leads).await.is_err() {
        // Without election it always leads.
        std::future::pending::<()>().await;
    }
}

/// Delivers denials to one sink until shutdown.
pub(super) async fn run(denials: Arc<Denials>, delivery: Arc<Delivery>, outlet: Arc<Outlet>) {
    let mut look = tokio::time::interval(super::LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = delivery.shutdown.cancelled() => return,
            _ = look.tick() => denials.deliver(&delivery, &outlet).await,
        }
    }
}

#[cfg(test)]
#[path = "denials_tests.rs"]
mod tests;
