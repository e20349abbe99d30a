//! The controller's watches, and its readiness gates.

use std::sync::Arc;

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use kube::Api;
use tokio_util::sync::CancellationToken;

use super::{Recorder, optional::Optional};
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
    watch::{First, first_lists, follow},
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
        Optional::new("pactrecords.pact-operator.dev").follow(
            client.clone(),
            of_watched(&watched, PactRecords),
            pact_records,
            restored(),
            until(),
        ),
        {
            let cluster = Arc::clone(&recorder.cluster);
            let report = move |served| cluster.set_rollouts_served(served);
            let rollouts = Optional { definition: ROLLOUTS, labels: Some(HASH_LABEL), report };
            rollouts.follow(client.clone(), of_watched(&watched, RolloutRevisions), revisions, restored(), until())
        },
        Optional::new("canaries.flagger.app").follow(
            client.clone(),
            of_watched(&watched, Canaries),
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
        Optional::new(definition).follow(watched.cluster.client.clone(), make, first, restored, shutdown)
    }
}

/// Everything was listed once: everything is looked at.
fn listed(recorder: &Arc<Recorder>) {
    recorder.cluster.set_complete();
    recorder.schedule.everything();
    recorder.reporter.mistaken_workloads_soon(&recorder.cluster);
}
