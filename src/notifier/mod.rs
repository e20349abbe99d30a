//! Delivers the announcements of `PactDeployment`s to the sinks of the controller: as CDEvents, and as JSON of a template.
//!
//! Level-triggered: the announcements are in the status of the objects, written with what they are about, and an annotation
//! says up to which one a sink has them. So none is lost by a restart: each is delivered at least once, those of an object in
//! their order. Only the leader delivers.

mod deliver;
pub(crate) mod denials;
mod endpoint;
mod metrics;
mod outcome;
mod post;
mod progress;
mod rest;
mod template;
pub mod verification;

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use operator_kit::{events::EventSink, history::Restored, lease::Leadership, metrics::Metrics};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use self::{
    deliver::{Delivery, Outlet},
    denials::Denials,
    metrics::NotifierMetrics,
};
pub use self::{
    endpoint::{Endpoint, EndpointError},
    post::SinkSettings,
    template::{Template, TemplateError},
};
use crate::{cluster::records::RecordStore, workload::RecordKey};

/// How often the records are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long deliveries that are under way may take at the end: until then no other process leads. What is broken off then is
/// delivered again.
const LAST: Duration = Duration::from_secs(1);

/// What the notifier needs of the process that it runs in.
pub struct Surroundings {
    /// The API server.
    pub client: Client,
    /// The records.
    pub records: RecordStore,
    /// Whether this process may deliver.
    pub leadership: Leadership,
    /// Where Events are published.
    pub events: EventSink,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// Counts announcements that are lost.
    pub dropped: Counter,
    /// The name of the cluster, if it has one.
    pub cluster: Option<String>,
    /// How the client names itself.
    pub user_agent: String,
    /// Tells that the API server's history went back.
    pub restored: Restored,
    /// Ends the notifier, after the deliveries that are under way, if they are quick.
    pub shutdown: CancellationToken,
}

/// Delivers until shutdown.
pub async fn run(sinks: Vec<SinkSettings>, surroundings: Surroundings) {
    let Surroundings { client: api_server, records, leadership, events, metrics, dropped, .. } = surroundings;
    let Surroundings { cluster, user_agent, mut restored, shutdown, .. } = surroundings;
    let client = match post::client(&user_agent) {
        Ok(client) => client,
        Err(error) => {
            error!(%error, "no client for the sinks can be made: nothing is announced");
            return;
        }
    };
    let outlets: Vec<_> = sinks.into_iter().map(|settings| Arc::new(Outlet::new(settings))).collect();
    let oldest: Vec<_> =
        outlets.iter().map(|it| (it.settings.sink, [&it.oldest, &it.oldest_denial].map(Arc::clone))).collect();
    let metrics = NotifierMetrics::register(&metrics, &leadership, &oldest);
    let shutdown_of_all = shutdown.clone();
    let delivery = Arc::new(Delivery { records, leadership, events, client, metrics, cluster, shutdown });
    let sinks = outlets.iter().map(|outlet| outlet.settings.sink).collect();
    let denials = Arc::new(Denials::new(api_server, sinks, dropped));
    let mut of_denials = JoinSet::new();
    for outlet in &outlets {
        of_denials.spawn(denials::run(Arc::clone(&denials), Arc::clone(&delivery), Arc::clone(outlet)));
    }
    let (following, leads, went_back) = (Arc::clone(&denials), delivery.leadership.clone(), restored.clone());
    let until = shutdown_of_all.clone();
    of_denials.spawn(async move { following.follow(&leads, went_back, until).await });
    let mut due: Vec<(Arc<Outlet>, Vec<RecordKey>)> = Vec::new();
    let mut under_way = JoinSet::new();
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown_of_all.cancelled() => break,
            _ = look.tick() => {
                due.clear();
                if delivery.leadership.is_leader() {
                    due.extend(outlets.iter().map(|it| (Arc::clone(it), it.due(&delivery.records, Timestamp::now()))));
                }
            }
            () = restored.again() => outlets.iter().for_each(|outlet| outlet.progress.forget()),
            Some(ended) = under_way.join_next(), if !under_way.is_empty() => {
                if let Err(error) = ended {
                    error!(%error, "a delivery panicked, which is a defect");
                }
            }
        }
        for (outlet, keys) in &mut due {
            start(&delivery, outlet, keys, &mut under_way);
        }
    }
    let ended = async {
        while under_way.join_next().await.is_some() {}
        while of_denials.join_next().await.is_some() {}
    };
    if tokio::time::timeout(LAST, ended).await.is_err() {
        info!("deliveries that were under way are broken off, and begun again by the next leader");
    }
}

/// Begins as many deliveries of these keys as may be under way at once.
fn start(delivery: &Arc<Delivery>, outlet: &Arc<Outlet>, keys: &mut Vec<RecordKey>, under_way: &mut JoinSet<()>) {
    while !keys.is_empty() && !outlet.rests(Instant::now()) {
        let Ok(permit) = Arc::clone(&outlet.permits).try_acquire_owned() else { return };
        let Some(key) = keys.pop() else { return };
        let (delivery, outlet) = (Arc::clone(delivery), Arc::clone(outlet));
        under_way.spawn(async move {
            delivery.deliver(&outlet, &key).await;
            drop(permit);
        });
    }
}
