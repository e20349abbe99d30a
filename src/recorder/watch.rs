//! What the API server tells, fed into the index; whatever a change may have touched is put into the queue.

use std::{
    collections::HashSet,
    fmt::Debug,
    hash::Hash,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt, future::join_all};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Resource,
    core::{DeserializeGuard, PartialObjectMeta, error_boundary::InvalidObject},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{
    Recorder,
    feeds::{BrokersFeed, Deployments, Environments, MemoriesFeed, Namespaces, Templates},
};
use crate::runtime::{
    events::Regarding,
    readiness::{Gate, Readiness},
};

/// One kind of object, and what is to be done with what the API server tells of it.
pub(super) trait Feed: Send {
    type Object: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static;
    /// What tells one object from another.
    type Id: Eq + Hash + Send;

    /// The object is there, as it is now. Answers who it is, if it is anybody we know.
    fn apply(&self, object: Self::Object) -> Option<Self::Id>;
    /// The object is there, but cannot be read. Answers who it is, if that much can be told: then what was known of it
    /// stays.
    fn undecodable(&self, object: &InvalidObject) -> Option<Self::Id>;
    /// An object that could not be read is gone.
    fn undecodable_gone(&self, _object: &InvalidObject) {}
    /// The object is gone.
    fn delete(&self, object: Self::Object);
    /// A complete list is over: whatever it did not hold is gone.
    fn retain(&self, listed: &HashSet<Self::Id>);
}

/// How many objects are listed with one request: some megabytes of Deployments.
const PAGE: u32 = 2_000;

/// Says in the log, and in an Event once this process leads, that an object cannot be read.
pub(super) fn tell_unreadable<K: Resource<DynamicType: Default>>(recorder: &Arc<Recorder>, object: &InvalidObject) {
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
        recorder.tell_unreadable(&regarding, &problem).await;
    });
}

/// The readiness gates, one for each kind that is watched, in the order in which [`run`] follows them. Each is closed
/// until the kind was listed once.
pub(super) fn gates(readiness: &Readiness) -> [Gate; 7] {
    [
        "deployments",
        "namespaces",
        "pactenvironments",
        "pactbrokers",
        "pactdeployments",
        "argo-rollouts",
        "flagger-canaries",
    ]
    .map(|name| readiness.gate(name))
}

/// Watches everything until shutdown. Once all was listed, everything is looked at.
pub(super) async fn run(recorder: Arc<Recorder>, readiness: Readiness, shutdown: CancellationToken) {
    let gates = gates(&readiness);
    let listed = Listed { missing: Arc::new(AtomicUsize::new(gates.len())), recorder: Arc::clone(&recorder) };
    let [deployments, namespaces, environments, brokers, memories, rollouts, canaries] =
        gates.map(|gate| First { gate, listed: listed.clone(), done: false });
    let client = recorder.client.clone();
    let feeding = |first| Feeding { first, shutdown: shutdown.clone() };
    let feeds: Vec<futures::future::BoxFuture<'_, ()>> = vec![
        Box::pin(follow(Api::all(client.clone()), Deployments(Arc::clone(&recorder)), feeding(deployments))),
        Box::pin(follow(Api::all(client.clone()), Namespaces(Arc::clone(&recorder)), feeding(namespaces))),
        Box::pin(follow(Api::all(client.clone()), Environments(Arc::clone(&recorder)), feeding(environments))),
        Box::pin(follow(Api::all(client.clone()), BrokersFeed(Arc::clone(&recorder)), feeding(brokers))),
        Box::pin(follow(Api::all(client.clone()), MemoriesFeed(Arc::clone(&recorder)), feeding(memories))),
        Box::pin(while_served(
            &recorder,
            "rollouts.argoproj.io",
            || Templates::rollouts(Arc::clone(&recorder)),
            |served| recorder.rollouts_served.store(served, Ordering::Relaxed),
            feeding(rollouts),
        )),
        Box::pin(while_served(
            &recorder,
            "canaries.flagger.app",
            || Templates::canaries(Arc::clone(&recorder)),
            |_| {},
            feeding(canaries),
        )),
    ];
    join_all(feeds).await;
}

/// Counts down the kinds that were not listed yet.
#[derive(Clone)]
struct Listed {
    missing: Arc<AtomicUsize>,
    recorder: Arc<Recorder>,
}

/// The first complete list of one kind.
#[derive(Clone)]
struct First {
    gate: Gate,
    listed: Listed,
    done: bool,
}

impl First {
    fn complete(&mut self) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        self.gate.pass();
        if self.listed.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            let recorder = &self.listed.recorder;
            recorder.complete.store(true, Ordering::Release);
            info!("everything watched has been listed");
            recorder.look_at_everything();
            recorder.tell_misfits_soon();
        }
    }

    fn failed(&self, error: &watcher::Error) {
        if !self.done {
            self.gate.fail(error.to_string());
        }
    }
}

struct Feeding {
    first: First,
    shutdown: CancellationToken,
}

async fn follow<F: Feed>(api: Api<DeserializeGuard<F::Object>>, feed: F, mut feeding: Feeding)
where
    DeserializeGuard<F::Object>: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned,
{
    let mut events = watcher(api, watcher::Config::default().page_size(PAGE)).default_backoff().boxed();
    let mut listed = HashSet::new();
    loop {
        let event = tokio::select! {
            () = feeding.shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            None => return,
            Some(Err(error)) => {
                feeding.first.failed(&error);
                let kind = F::Object::kind(&Default::default()).into_owned();
                warn!(kind, %error, "watching was interrupted and goes on");
            }
            Some(Ok(Event::Init)) => listed.clear(),
            Some(Ok(Event::InitApply(object))) => listed.extend(take(&feed, object)),
            Some(Ok(Event::InitDone)) => {
                feed.retain(&std::mem::take(&mut listed));
                feeding.first.complete();
            }
            Some(Ok(Event::Apply(object))) => drop(take(&feed, object)),
            Some(Ok(Event::Delete(object))) => match object.0 {
                Ok(object) => feed.delete(object),
                Err(invalid) => feed.undecodable_gone(&invalid),
            },
        }
    }
}

fn take<F: Feed>(feed: &F, object: DeserializeGuard<F::Object>) -> Option<F::Id> {
    match object.0 {
        Ok(object) => feed.apply(object),
        Err(invalid) => feed.undecodable(&invalid),
    }
}

/// Follows a kind that need not be installed for as long as its definition is there.
async fn while_served<F: Feed>(
    recorder: &Recorder,
    definition: &str,
    make: impl Fn() -> F,
    tell: impl Fn(bool),
    mut feeding: Feeding,
) where
    DeserializeGuard<F::Object>: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned,
    F::Object: Resource,
{
    let definitions: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(recorder.client.clone());
    let only = watcher::Config::default().fields(&format!("metadata.name={definition}"));
    let mut events = watcher(definitions, only).default_backoff().boxed();
    let mut following: Option<futures::future::BoxFuture<'_, ()>> = None;
    let mut seen = false;
    loop {
        let event = tokio::select! {
            () = feeding.shutdown.cancelled() => return,
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
                feeding.first.failed(&error);
                warn!(definition, %error, "watching for the definition was interrupted and goes on");
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
        tell(served);
        if served && following.is_none() {
            info!(definition, "is installed: its templates are left out");
            let feeding = Feeding { first: feeding.first.clone(), shutdown: feeding.shutdown.clone() };
            following = Some(Box::pin(follow(Api::all(recorder.client.clone()), make(), feeding)));
        } else if !served {
            if following.take().is_some() {
                make().retain(&HashSet::new());
            }
            feeding.first.complete();
        }
    }
}
