//! The controller's watches, and its readiness gates.

use std::{collections::HashSet, fmt::Debug, pin::pin, sync::Arc};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, join_all},
};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Resource,
    core::PartialObjectMeta,
    runtime::watcher::{self, Event},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Recorder;
use crate::{
    api::PactBroker,
    cluster::watch_handlers::{
        Brokers, Canaries, Environments, Namespaces, PactRecords, Records, RolloutRevisions, Watched, Workloads,
    },
    workload::{Dispatch, Kind, WorkloadKind, revisions::HASH_LABEL},
};
use operator_kit::{
    history::{History, Restored},
    readiness::{Gate, Readiness},
    watch::{Decoded, First, WatchHandler, events, explain, first_lists, follow, follow_selected},
};

/// What is watched besides the kinds of workload.
const OTHERS: [&str; 7] = [
    "namespaces",
    "pactenvironments",
    "pactbrokers",
    "pactdeployments",
    "pactrecords",
    "rollout-revisions",
    "flagger-canaries",
];
/// The definition whose objects have the revisions.
const ROLLOUTS: &str = "rollouts.argoproj.io";
/// How many kinds are watched in all.
const WATCHED: usize = OTHERS.len() + WorkloadKind::RECORDED.len();

/// The readiness gates, one for each kind that is watched, in the order in which [`run`] follows them. Each is closed
/// until the kind was listed once.
pub(super) fn gates(readiness: &Readiness) -> [Gate; WATCHED] {
    std::array::from_fn(|at| {
        let name = OTHERS.get(at).copied().unwrap_or_else(|| WorkloadKind::RECORDED[at - OTHERS.len()].resource());
        readiness.gate(name)
    })
}

/// Watches everything until shutdown. Once all was listed, everything is looked at.
pub(super) async fn run(recorder: Arc<Recorder>, readiness: Readiness, history: History, shutdown: CancellationToken) {
    let all_listed = Arc::clone(&recorder);
    let [namespaces, environments, brokers, records, pact_records, revisions, canaries, workloads @ ..] =
        first_lists(gates(&readiness), move || listed(&all_listed));
    let client = recorder.cluster.client.clone();
    let watched = Watched { cluster: Arc::clone(&recorder.cluster), changes: Arc::clone(&recorder) };
    let until = || shutdown.clone();
    let restored = || history.restored();
    let mut followed: Vec<BoxFuture<'_, ()>> = vec![
        Box::pin(follow(Api::all(client.clone()), Namespaces(watched.clone()), namespaces, restored(), until())),
        Box::pin(follow(Api::all(client.clone()), Environments(watched.clone()), environments, restored(), until())),
        Box::pin(follow(Api::all(client.clone()), Brokers(watched.clone()), brokers, restored(), until())),
        Box::pin(follow(Api::all(client.clone()), Records(watched.clone()), records, restored(), until())),
        // Whoever upgrades without the new definition has no such objects, and what runs is recorded all the same.
        while_served(
            client.clone(),
            "pactrecords.pact-operator.dev",
            None,
            of_watched(&watched, PactRecords),
            |_| {},
            pact_records,
            restored(),
            until(),
        ),
        while_served(
            client.clone(),
            ROLLOUTS,
            Some(HASH_LABEL),
            of_watched(&watched, RolloutRevisions),
            {
                let cluster = Arc::clone(&recorder.cluster);
                move |served| cluster.set_rollouts_served(served)
            },
            revisions,
            restored(),
            until(),
        ),
        while_served(
            client.clone(),
            "canaries.flagger.app",
            None,
            of_watched(&watched, Canaries),
            |_| {},
            canaries,
            restored(),
            until(),
        ),
    ];
    for (kind, first) in WorkloadKind::RECORDED.into_iter().zip(workloads) {
        followed.push(kind.dispatch(Follow {
            watched: watched.clone(),
            first,
            restored: restored(),
            shutdown: until(),
        }));
    }
    followed.push(Box::pin(history.watch(Api::<PactBroker>::all(client), shutdown)));
    join_all(followed).await;
}

/// What makes a handler again and again.
fn of_watched<F: 'static>(
    watched: &Watched<Recorder>,
    make: fn(Watched<Recorder>) -> F,
) -> impl Fn() -> F + Send + 'static {
    let watched = watched.clone();
    move || make(watched.clone())
}

/// One kind of workload, followed until shutdown.
struct Follow<C> {
    watched: Watched<Recorder>,
    first: First<C>,
    restored: Restored,
    shutdown: CancellationToken,
}

impl<C: Fn() + Clone + Send + Sync + 'static> Dispatch for Follow<C> {
    type Output = BoxFuture<'static, ()>;

    fn with<K: Kind>(self) -> Self::Output {
        let Self { watched, first, restored, shutdown } = self;
        let Some(definition) = K::KIND.definition() else {
            let api = Api::all(watched.cluster.client.clone());
            return follow(api, Workloads::<K, _>::new(watched), first, restored, shutdown).boxed();
        };
        let make = of_watched(&watched, Workloads::<K, _>::new);
        while_served(watched.cluster.client.clone(), definition, None, make, |_| {}, first, restored, shutdown)
    }
}

/// Everything was listed once: everything is looked at.
fn listed(recorder: &Arc<Recorder>) {
    recorder.cluster.set_complete();
    recorder.schedule.everything();
    recorder.reporter.mistaken_workloads_soon(&recorder.cluster);
}

/// Follows what there is only while a definition is installed: its objects, or of another kind those with a label. `make`
/// gives the handler, and `report` is informed whether the definition is there.
fn while_served<F, C>(
    client: Client,
    definition: &'static str,
    labels: Option<&'static str>,
    make: impl Fn() -> F + Send + 'static,
    report: impl Fn(bool) + Send + 'static,
    first: First<C>,
    restored: Restored,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()>
where
    F: WatchHandler + Sync + 'static,
    C: Fn() + Clone + Send + Sync + 'static,
    Decoded<F::Object>:
        Resource<DynamicType: Default, Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send,
    F::Object: Resource + Send,
    F::Id: Send,
{
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client.clone());
    let only = watcher::Config::default().fields(&format!("metadata.name={definition}"));
    async move {
        let mut events = pin!(events(definitions, only, restored.clone()));
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
                    let error = explain(&error);
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
                info!(definition, "is installed: what belongs to it is followed");
                let api = Api::all(client.clone());
                let stop = shutdown.clone();
                following = Some(Box::pin(follow_selected(api, labels, make(), first.clone(), restored.clone(), stop)));
            } else if !served {
                if following.take().is_some() {
                    make().retain(&HashSet::new());
                }
                first.complete();
            }
        }
    }
    .boxed()
}
