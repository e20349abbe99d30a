//! Delivers the announcements of one object to one sink: in order, each until the sink has it or refuses it for good; then
//! notes how far it came. What was delivered and could not be noted is delivered again after a restart.

use std::{
    cmp::Reverse,
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use operator_kit::{
    backoff::entropy,
    events::{Event, EventSink, Regarding},
    lease::Leadership,
};
use reqwest::Client;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::{
    metrics::NotifierMetrics,
    outcome::Outcome,
    post::{SinkSettings, TakenAt},
    progress::Progresses,
    rest::Rest,
};
use crate::{
    api::PactDeployment,
    cluster::records::{RecordStore, regarding},
    decide::{
        Reason,
        announcement::{Subject, described},
    },
    workload::RecordKey,
};

/// How many objects' announcements are delivered to a sink at once.
const AT_ONCE: usize = 16;

/// One sink, and what is known of the deliveries to it.
pub(super) struct Outlet {
    pub(super) settings: SinkSettings,
    pub(super) progress: Progresses<RecordKey>,
    /// The same of denials, by the uids of their Events.
    pub(super) denials: Progresses<String>,
    /// How many seconds the oldest announcement has waited.
    pub(super) oldest: Arc<AtomicI64>,
    /// The same of denials.
    pub(super) oldest_denial: Arc<AtomicI64>,
    pub(super) permits: Arc<Semaphore>,
    rest: Mutex<Rest>,
    failing: AtomicBool,
    taken: TakenAt,
}

impl Outlet {
    pub(super) fn new(settings: SinkSettings) -> Self {
        Self {
            settings,
            progress: Progresses::default(),
            denials: Progresses::default(),
            oldest: Arc::default(),
            oldest_denial: Arc::default(),
            permits: Arc::new(Semaphore::new(AT_ONCE)),
            rest: Mutex::default(),
            failing: AtomicBool::default(),
            taken: TakenAt::default(),
        }
    }

    /// The keys that have something to deliver or to note now, the one that has waited longest last.
    pub(super) fn due(&self, records: &RecordStore, now: Timestamp) -> Vec<RecordKey> {
        let (sink, at) = (self.settings.sink, Instant::now());
        let (mut due, mut waiting_keys, mut oldest) = (Vec::new(), HashSet::new(), now);
        records.each(|key, object| {
            let Some(status) = object.status.as_ref().filter(|status| !status.announcements.is_empty()) else { return };
            let uid = object.metadata.uid.as_deref().unwrap_or_default();
            let sent = self.progress.sent(key, uid, newest(object));
            let waiting = sink.waiting(object, sent).next();
            if waiting.is_some() || sent > sink.mark(object) {
                let since = waiting.or(status.announcements.first()).map_or(now, |waiting| waiting.at.0);
                waiting_keys.insert(key.clone());
                if self.progress.is_due(key, uid, at) {
                    due.push((Reverse(since), key.clone()));
                }
            }
            oldest = waiting.map_or(oldest, |waiting| oldest.min(waiting.at.0));
        });
        self.oldest.store(now.duration_since(oldest).as_secs(), Ordering::Relaxed);
        due.sort();
        self.progress.retain(|key| waiting_keys.contains(key));
        due.into_iter().map(|(_, key)| key).collect()
    }

    /// Whether the sink is to be left alone.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rest().rests(now)
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of the last thing that happened to an object.
fn newest(object: &PactDeployment) -> i64 {
    let last = object.status.as_ref().and_then(|status| status.announcements.last());
    last.map_or(0, |last| last.sequence)
}

/// What all deliveries share.
pub(super) struct Delivery {
    pub(super) records: RecordStore,
    pub(super) leadership: Leadership,
    pub(super) events: EventSink,
    pub(super) client: Client,
    pub(super) metrics: NotifierMetrics,
    pub(super) cluster: Option<String>,
    pub(super) shutdown: CancellationToken,
}

impl Delivery {
    /// Whether one more announcement may be tried at a sink now. If so, it has to be.
    pub(super) fn may_try(&self, outlet: &Outlet) -> bool {
        !self.shutdown.is_cancelled() && self.leadership.is_leader() && outlet.rest().begin(Instant::now())
    }

    /// Delivers what waits of an object.
    pub(super) async fn deliver(&self, outlet: &Outlet, key: &RecordKey) {
        let (sink, progress) = (outlet.settings.sink, &outlet.progress);
        let Some(object) = self.records.get(key) else { return };
        let (uid, newest) = (object.uid().unwrap_or_default(), newest(&object));
        if !progress.begin(key, &uid, newest, Instant::now()) {
            return;
        }
        let cluster = self.cluster.as_deref();
        for announcement in sink.waiting(&object, progress.sent(key, &uid, newest)) {
            if !self.may_try(outlet) {
                break;
            }
            let subject = Subject { key, uid: &uid, cluster, announcement };
            if !self.attempt(outlet, &subject, &regarding(&object)).await {
                progress.failed(key, Instant::now(), entropy());
                break;
            }
            progress.delivered(key, announcement.sequence);
        }
        let sent = progress.sent(key, &uid, newest);
        let noted = sent <= sink.mark(&object) || self.note(outlet, key, &object, sent).await;
        progress.end(key, noted);
    }

    /// Tries to deliver an announcement; says whether that is over: the sink has it, or will never have it.
    pub(super) async fn attempt(&self, outlet: &Outlet, subject: &Subject<'_>, about: &Regarding) -> bool {
        let (key, sink) = (subject.key, outlet.settings.sink);
        match outlet.settings.post(&self.client, subject, self.leadership.time_left(), &outlet.taken).await {
            Outcome::Delivered => {
                outlet.rest().works();
                debug!(%key, sink = sink.name(), id = subject.id(), "delivered");
                self.metrics.delivered(sink);
                if outlet.failing.swap(false, Ordering::Relaxed) {
                    info!(sink = sink.name(), "the sink takes announcements again");
                }
                true
            }
            Outcome::LeftOut => {
                outlet.rest().not_tried();
                debug!(%key, sink = sink.name(), id = subject.id(), "left out by the template");
                true
            }
            Outcome::Refused { why } => {
                outlet.rest().works();
                self.refused(outlet, about, subject, &why).await;
                true
            }
            Outcome::Unmakeable { why } => {
                outlet.rest().not_tried();
                self.refused(outlet, about, subject, &why).await;
                true
            }
            Outcome::Again { why, pause } => {
                outlet.rest().failed(pause, Instant::now(), entropy());
                self.metrics.failed(sink);
                if outlet.failing.swap(true, Ordering::Relaxed) {
                    debug!(%key, sink = sink.name(), why, "not delivered yet");
                } else {
                    warn!(%key, sink = sink.name(), "an announcement is not delivered yet: {why}; it is tried until it is");
                }
                false
            }
        }
    }

    /// Notes how far an object's announcements are delivered; says whether that is known in the cluster.
    async fn note(&self, outlet: &Outlet, key: &RecordKey, object: &PactDeployment, sent: i64) -> bool {
        let sink = outlet.settings.sink;
        // Another leader may have come further while this process was stopped.
        let now = self.records.get(key).filter(|now| now.metadata.uid == object.metadata.uid);
        if now.is_some_and(|now| sink.mark(&now) >= sent) {
            return true;
        }
        if !self.leadership.is_leader() {
            return false;
        }
        let noted = self.records.annotate(object, &sink.annotation(), &sent.to_string()).await;
        if let Err(error) = &noted {
            warn!(%key, %error, "it cannot be noted what was delivered; after a restart it is delivered again");
            outlet.progress.failed(key, Instant::now(), entropy());
        }
        noted.is_ok()
    }

    /// Reports an announcement that the sink will never take.
    async fn refused(&self, outlet: &Outlet, about: &Regarding, subject: &Subject<'_>, why: &str) {
        self.metrics.refused(outlet.settings.sink);
        let (key, sink) = (subject.key, outlet.settings.sink.name());
        let text = described(subject).text;
        error!(%key, sink, id = subject.id(), "the sink refuses an announcement for good ({why}), and it is left out: {text}");
        let note = format!("the sink {sink} refuses an announcement for good ({why}), and it is left out: {text}");
        let reason = Reason::AnnouncementRefused.as_str();
        let event =
            Event { reason, action: "Announce", warning: true, note, once_key: format!("{sink} {}", subject.id()) };
        if let Err(error) = self.events.publish(about, &event).await {
            warn!(%error, "an Event was not published");
        }
    }
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
