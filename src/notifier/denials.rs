//! The denials of the gate. The gate keeps no state and writes nothing but Events: the Event of a denial is its announcement,
//! and an annotation on it says which sink has it. It waits for as long as the API server keeps Events.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::StreamExt;
use k8s_openapi::{api::events::v1::Event as KubeEvent, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
    runtime::watcher::{self, Event},
};
use operator_kit::{
    events::Regarding,
    history::History,
    watch::{events, explain},
};
use prometheus_client::metrics::counter::Counter;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::deliver::{Delivery, Outlet};
use crate::{
    api::{annotations::DENIED, deployment::Announcement},
    cluster::REPORTER,
    decide::{
        Reason,
        announcement::{Denial, Kind, Sink, Subject},
    },
    workload::RecordKey,
};

/// How many denials are kept in memory. Whoever may create Events could make many that look like one.
const MOST: usize = 2_000;

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

/// The denials by the uid of their Events.
pub(super) struct Denials {
    client: Client,
    dropped: Counter,
    known: Mutex<HashMap<String, Denied>>,
}

impl Denials {
    pub(super) fn new(client: Client, dropped: Counter) -> Self {
        Self { client, dropped, known: Mutex::default() }
    }

    /// Follows the Events until shutdown.
    pub(super) async fn follow(&self, sinks: Vec<Sink>, shutdown: CancellationToken) {
        let of_denials = format!("reason={},reportingController={REPORTER}", Reason::RolloutDenied);
        let only = watcher::Config::default().fields(&of_denials);
        let history = History::new();
        let mut changes = pin!(events(Api::<KubeEvent>::all(self.client.clone()), only, history.restored()));
        let mut listed = HashSet::new();
        loop {
            let change = tokio::select! {
                () = shutdown.cancelled() => return,
                change = changes.next() => change,
            };
            match change {
                None => return,
                Some(Ok(Event::Init)) => listed.clear(),
                Some(Ok(Event::InitApply(event))) => listed.extend(self.apply(&event, &sinks)),
                Some(Ok(Event::InitDone)) => self.known().retain(|uid, _| listed.contains(uid)),
                Some(Ok(Event::Apply(event))) => drop(self.apply(&event, &sinks)),
                Some(Ok(Event::Delete(event))) => self.gone(&event, &sinks),
                Some(Err(error)) => {
                    let error = explain(&error);
                    warn!(error, "watching for denials was interrupted and goes on");
                }
            }
        }
    }

    /// Takes in an Event; answers its uid, if it is of a denial.
    fn apply(&self, event: &KubeEvent, sinks: &[Sink]) -> Option<String> {
        let uid = event.uid()?;
        let denied = denied(event, sinks)?;
        let mut known = self.known();
        if known.len() >= MOST && !known.contains_key(&uid) {
            self.dropped.inc();
            return None;
        }
        known.insert(uid.clone(), denied);
        Some(uid)
    }

    /// An Event is gone: what no sink has of it will never be delivered.
    fn gone(&self, event: &KubeEvent, sinks: &[Sink]) {
        let gone = event.uid().and_then(|uid| self.known().remove(&uid));
        if let Some(gone) = gone.filter(|gone| sinks.iter().any(|sink| !gone.delivered.contains(sink))) {
            self.dropped.inc();
            let (key, version) = (&gone.key, &gone.announcement.version);
            warn!(%key, version, "a denial was not delivered before its Event was deleted");
        }
    }

    /// The denials that wait for a sink, oldest first.
    fn waiting(&self, sink: Sink) -> Vec<(String, Denied)> {
        let known = self.known();
        let waiting = known.iter().filter(|(_, denied)| !denied.delivered.contains(&sink));
        let mut waiting: Vec<_> = waiting.map(|(uid, denied)| (uid.clone(), denied.clone())).collect();
        waiting.sort_by_key(|(_, denied)| denied.announcement.at.0);
        waiting
    }

    /// Delivers what waits for a sink, one after the other.
    pub(super) async fn deliver(&self, delivery: &Delivery, outlet: &Outlet) {
        let (sink, progress) = (outlet.settings.sink, &outlet.denials);
        for (uid, denied) in self.waiting(sink) {
            if !delivery.may_go_on(outlet) {
                return;
            }
            if !progress.begin(&uid, &uid, Instant::now()) {
                continue;
            }
            let (key, cluster) = (&denied.key, delivery.cluster.as_deref());
            let subject = Subject { key, uid: &uid, cluster, announcement: &denied.announcement };
            let known = progress.sent(&uid, &uid) > 0;
            let done = known || delivery.attempt(outlet, &subject, &denied.regarding).await;
            if done {
                progress.delivered(&uid, denied.announcement.sequence);
            } else {
                progress.failed(&uid, Instant::now(), operator_kit::backoff::entropy());
            }
            let noted = done && self.note(sink, &uid, &denied).await;
            if done && !noted {
                progress.failed(&uid, Instant::now(), operator_kit::backoff::entropy());
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
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
            Err(error) => {
                let error = operator_kit::refusal::explain(&error);
                warn!(key = %denied.key, error, "it cannot be noted that a denial was delivered; after a restart it is delivered again");
                return false;
            }
        }
        if let Some(known) = self.known().get_mut(uid) {
            known.delivered.insert(sink);
        }
        true
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Denied>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The denial that an Event is about.
fn denied(event: &KubeEvent, sinks: &[Sink]) -> Option<Denied> {
    let denial = Denial::parse(event.annotations().get(DENIED)?)?;
    let about = event.regarding.clone().unwrap_or_default();
    let (kind, name) = (about.kind.unwrap_or_default(), about.name.unwrap_or_default());
    let namespace = event.namespace()?;
    let at = event.event_time.as_ref().map_or_else(Timestamp::now, |time| time.0);
    let note = event.note.as_deref().unwrap_or_default();
    let announcement = Announcement {
        sequence: 1,
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
        regarding: Regarding {
            api_version: about.api_version.unwrap_or_default(),
            kind,
            namespace: Some(namespace.clone()),
            name,
            uid: about.uid.unwrap_or_default(),
        },
        namespace,
        name: event.name_any(),
        delivered: sinks.iter().copied().filter(|sink| event.annotations().contains_key(&sink.annotation())).collect(),
    })
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
