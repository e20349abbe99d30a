//! What the API server tells, fed into the index; whatever a change may have touched is put into the queue.

use std::{collections::HashSet, fmt::Debug, pin::pin, sync::Arc};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Resource,
    core::{DeserializeGuard, PartialObjectMeta, error_boundary::InvalidObject},
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Recorder,
    watch_handlers::{BrokersFeed, Environments, Namespaces, RecordHandler, Templates, Workloads},
};
use crate::workload::{Dispatch, Kind, WorkloadKind};
use operator_kit::{
    events::Regarding,
    readiness::{Gate, Readiness},
    watch::{First, WatchHandler, events, first_lists, follow, words},
};

/// Says in the log, and in an Event once this process leads, that an object cannot be read.
pub(super) fn report_unreadable<K: Resource<DynamicType: Default>>(recorder: &Arc<Recorder>, object: &InvalidObject) {
    let regarding = Regarding {
        api_version: K::api_version(&Default::default()).into_owned(),
        kind: K::kind(&Default::default()).into_owned(),
        namespace: object.metadata.namespace.clone(),
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
    };
    let problem = object.error.clone();
    error!(kind = regarding.kind, name = regarding.name, problem, "an object cannot be read; the others go on");
    let recorder = Arc::clone(recorder);
    tokio::spawn(async move {
        recorder.leadership.wait_leader().await;
        recorder.reporter.unreadable(&regarding, &problem).await;
    });
}

/// What is watched besides the kinds of workload.
const OTHERS: [&str; 6] =
    ["namespaces", "pactenvironments", "pactbrokers", "pactdeployments", "argo-rollouts", "flagger-canaries"];
/// How many kinds are watched in all.
const WATCHED: usize = OTHERS.len() + WorkloadKind::ALL.len();

/// The readiness gates, one for each kind that is watched, in the order in which [`run`] follows them. Each is closed
/// until the kind was listed once.
pub(super) fn gates(readiness: &Readiness) -> [Gate; WATCHED] {
    std::array::from_fn(|at| {
        let name = OTHERS.get(at).copied().unwrap_or_else(|| WorkloadKind::ALL[at - OTHERS.len()].resource());
        readiness.gate(name)
    })
}

/// Watches everything until shutdown. Once all was listed, everything is looked at.
pub(super) async fn run(recorder: Arc<Recorder>, readiness: Readiness, shutdown: CancellationToken) {
    let all_listed = Arc::clone(&recorder);
    let [namespaces, environments, brokers, records, rollouts, canaries, workloads @ ..] =
        first_lists(gates(&readiness), move || listed(&all_listed));
    let client = recorder.cluster.client.clone();
    let until = || shutdown.clone();
    let mut watch_handlers: Vec<BoxFuture<'_, ()>> = vec![
        Box::pin(follow(Api::all(client.clone()), Namespaces(Arc::clone(&recorder)), namespaces, until())),
        Box::pin(follow(Api::all(client.clone()), Environments(Arc::clone(&recorder)), environments, until())),
        Box::pin(follow(Api::all(client.clone()), BrokersFeed(Arc::clone(&recorder)), brokers, until())),
        Box::pin(follow(Api::all(client.clone()), RecordHandler(Arc::clone(&recorder)), records, until())),
        Box::pin(while_served(
            &recorder,
            "rollouts.argoproj.io",
            || Templates::rollouts(Arc::clone(&recorder)),
            |served| recorder.cluster.set_rollouts_served(served),
            rollouts,
            until(),
        )),
        Box::pin(while_served(
            &recorder,
            "canaries.flagger.app",
            || Templates::canaries(Arc::clone(&recorder)),
            |_| {},
            canaries,
            until(),
        )),
    ];
    for (kind, first) in WorkloadKind::ALL.into_iter().zip(workloads) {
        watch_handlers.push(kind.dispatch(Follow { recorder: Arc::clone(&recorder), first, shutdown: until() }));
    }
    join_all(watch_handlers).await;
}

/// One kind of workload, followed until shutdown.
struct Follow<C> {
    recorder: Arc<Recorder>,
    first: First<C>,
    shutdown: CancellationToken,
}

impl<C: Fn() + Send + Sync + 'static> Dispatch for Follow<C> {
    type Output = BoxFuture<'static, ()>;

    fn with<K: Kind>(self) -> Self::Output {
        let Self { recorder, first, shutdown } = self;
        follow(Api::all(recorder.cluster.client.clone()), Workloads::<K>::new(recorder), first, shutdown).boxed()
    }
}

/// Everything was listed once: everything is looked at.
fn listed(recorder: &Arc<Recorder>) {
    recorder.cluster.set_complete();
    recorder.schedule.everything();
    recorder.reporter.invalid_workloads_soon(&recorder.cluster);
}

/// Follows a kind that need not be installed for as long as its definition is there.
async fn while_served<F, C>(
    recorder: &Recorder,
    definition: &str,
    make: impl Fn() -> F,
    report: impl Fn(bool),
    first: First<C>,
    shutdown: CancellationToken,
) where
    F: WatchHandler,
    C: Fn() + Clone + Send + Sync,
    DeserializeGuard<F::Object>: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned,
    F::Object: Resource,
{
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(recorder.cluster.client.clone());
    let only = watcher::Config::default().fields(&format!("metadata.name={definition}"));
    let mut events = pin!(events(definitions, only));
    let mut following: Option<BoxFuture<'_, ()>> = None;
    let mut seen = false;
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            () = async { match following.as_mut() {
                Some(following) => following.await,
                None => std::future::pending().await,
            } } => {
                following = None;
                continue;
            }
            event = events.next() => event,
        };
        let served = match event {
            None => return,
            Some(Err(error)) => {
                first.failed(&error);
                let error = words(&error);
                warn!(definition, error, "watching for the definition was interrupted and goes on");
                continue;
            }
            Some(Ok(Event::Init)) => {
                seen = false;
                continue;
            }
            Some(Ok(Event::InitApply(_) | Event::Apply(_))) => {
                seen = true;
                true
            }
            Some(Ok(Event::InitDone)) => seen,
            Some(Ok(Event::Delete(_))) => false,
        };
        report(served);
        if served && following.is_none() {
            info!(definition, "is installed: its templates are left out");
            let api = Api::all(recorder.cluster.client.clone());
            following = Some(Box::pin(follow(api, make(), first.clone(), shutdown.clone())));
        } else if !served {
            if following.take().is_some() {
                make().retain(&HashSet::new());
            }
            first.complete();
        }
    }
}
