//! What the API server tells, fed into the index; whatever a change may have touched is put into the queue.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Debug,
    sync::{
        Arc, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures::{StreamExt, future::join_all};
use k8s_openapi::{
    api::core::v1::Namespace, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    jiff::Timestamp,
};
use kube::{
    Api, Resource, ResourceExt,
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
    index::{Template, TemplateSource},
    key::RecordKey,
    queue::Task,
    rules::{self, BrokenRules},
};
use crate::{
    api::{PactBroker, PactDeployment, PactEnvironment},
    runtime::{
        events::Regarding,
        readiness::{Gate, Readiness},
    },
    workload::{
        CanaryView, DeploymentView, Observe, RolloutView, WorkloadKind, WorkloadRef, stale_annotation, target_of,
        template_of,
    },
};

/// One kind of object, and what is to be done with what the API server tells of it.
trait Feed: Send {
    type Object: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned + Send + 'static;

    /// The object is there, as it is now.
    fn apply(&mut self, object: Self::Object);
    /// The object is there, but cannot be read.
    fn undecodable(&mut self, object: &InvalidObject) {
        tell_unreadable::<Self::Object>(self.recorder(), object);
    }
    /// An object that could not be read is gone.
    fn undecodable_gone(&mut self, _object: &InvalidObject) {}
    /// Whom it feeds.
    fn recorder(&self) -> &Arc<Recorder>;
    /// The object is gone.
    fn delete(&mut self, object: Self::Object);
    /// A complete list begins.
    fn list_begins(&mut self);
    /// The complete list is over: whatever it did not hold is gone.
    fn list_ends(&mut self);
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
        Box::pin(follow(
            Api::all(client.clone()),
            Deployments { recorder: Arc::clone(&recorder), listed: HashSet::new() },
            feeding(deployments),
        )),
        Box::pin(follow(
            Api::all(client.clone()),
            Namespaces { recorder: Arc::clone(&recorder), listed: HashSet::new() },
            feeding(namespaces),
        )),
        Box::pin(follow(
            Api::all(client.clone()),
            Environments { recorder: Arc::clone(&recorder), listed: HashSet::new() },
            feeding(environments),
        )),
        Box::pin(follow(
            Api::all(client.clone()),
            BrokersFeed { recorder: Arc::clone(&recorder), listed: HashSet::new() },
            feeding(brokers),
        )),
        Box::pin(follow(
            Api::all(client.clone()),
            MemoriesFeed { recorder: Arc::clone(&recorder), listed: BTreeSet::new() },
            feeding(memories),
        )),
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
            tell_misfits(recorder);
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

async fn follow<F: Feed>(api: Api<DeserializeGuard<F::Object>>, mut feed: F, mut feeding: Feeding)
where
    DeserializeGuard<F::Object>: Resource<DynamicType: Default> + Clone + Debug + DeserializeOwned,
{
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
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
            Some(Ok(Event::Init)) => feed.list_begins(),
            Some(Ok(Event::InitDone)) => {
                feed.list_ends();
                feeding.first.complete();
            }
            Some(Ok(Event::InitApply(object) | Event::Apply(object))) => match object.0 {
                Ok(object) => feed.apply(object),
                Err(invalid) => feed.undecodable(&invalid),
            },
            Some(Ok(Event::Delete(object))) => match object.0 {
                Ok(object) => feed.delete(object),
                Err(invalid) => feed.undecodable_gone(&invalid),
            },
        }
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
                let mut feed = make();
                feed.list_begins();
                feed.list_ends();
            }
            feeding.first.complete();
        }
    }
}

/// Publishes, while this process leads, what there is to say about workloads whose annotations cannot be followed.
pub(super) fn tell_misfits(recorder: &Arc<Recorder>) {
    let recorder = Arc::clone(recorder);
    if recorder.leadership.is_leader() {
        tokio::spawn(async move { recorder.tell_misfits().await });
    }
}

/// Says in the log, and in an Event once this process leads, that an object cannot be read.
fn tell_unreadable<K>(recorder: &Arc<Recorder>, object: &InvalidObject)
where
    K: Resource<DynamicType: Default>,
{
    let kind = K::kind(&Default::default()).into_owned();
    let regarding = Regarding {
        api_version: K::api_version(&Default::default()).into_owned(),
        kind,
        namespace: object.metadata.namespace.clone(),
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
    };
    let problem = object.error.clone();
    error!(kind = regarding.kind, name = regarding.name, problem, "an object cannot be read and is passed over");
    let recorder = Arc::clone(recorder);
    tokio::spawn(async move {
        recorder.leadership.wait_leader().await;
        recorder.tell_unreadable(&regarding, &problem).await;
    });
}

impl Recorder {
    fn touched(&self, keys: BTreeSet<RecordKey>) {
        for key in keys {
            self.queue.now(Task::Record(key));
        }
    }

    fn environments_touched(&self) {
        let (_, objects) = self.places_and_objects();
        for object in objects {
            self.queue.after(super::environment::STATUS_DELAY, Task::EnvironmentStatus(object));
        }
    }
}

struct Deployments {
    recorder: Arc<Recorder>,
    listed: HashSet<WorkloadRef>,
}

impl Feed for Deployments {
    type Object = DeploymentView;

    fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    fn apply(&mut self, mut deployment: DeploymentView) {
        deployment.prune();
        let workload = deployment.observe(Timestamp::now());
        let reference = workload.reference.clone();
        self.listed.insert(reference.clone());
        let (touched, misfit, stale, counted) = {
            let mut index = self.recorder.index();
            let before = index.workload(&reference);
            let counted = before.is_some() != workload.annotated();
            let stale = before.filter(|before| stale_annotation(before, &workload)).map(|_| workload.clone());
            let touched = index.apply_workload(workload);
            (touched, index.misfit_of(&reference).cloned(), stale, counted)
        };
        self.recorder.touched(touched);
        if counted {
            self.recorder.environments_touched();
        }
        if !self.recorder.leadership.is_leader() {
            return;
        }
        let recorder = Arc::clone(&self.recorder);
        if misfit.is_some() || stale.is_some() {
            tokio::spawn(async move {
                if let Some(misfit) = misfit {
                    recorder.tell_misfit(&misfit).await;
                }
                if let Some(stale) = stale {
                    recorder.tell_stale(&stale).await;
                }
            });
        }
    }

    fn delete(&mut self, deployment: DeploymentView) {
        let reference = WorkloadRef {
            kind: WorkloadKind::Deployment,
            namespace: deployment.namespace().unwrap_or_default(),
            name: deployment.name_any(),
        };
        self.listed.remove(&reference);
        let touched = self.recorder.index().remove_workload(&reference);
        if !touched.is_empty() {
            self.recorder.environments_touched();
        }
        self.recorder.touched(touched);
    }

    fn list_begins(&mut self) {
        self.listed.clear();
    }

    fn list_ends(&mut self) {
        let touched = self.recorder.index().retain_workloads(&std::mem::take(&mut self.listed));
        self.recorder.touched(touched);
    }
}

struct Namespaces {
    recorder: Arc<Recorder>,
    listed: HashSet<String>,
}

impl Feed for Namespaces {
    type Object = PartialObjectMeta<Namespace>;

    fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    fn apply(&mut self, namespace: Self::Object) {
        let name = namespace.name_any();
        self.listed.insert(name.clone());
        let touched = self.recorder.index().set_namespace(&name, Some(namespace.labels().clone()));
        self.recorder.touched(touched);
        self.recorder.environments_touched();
        if self.recorder.complete.load(Ordering::Acquire) {
            tell_misfits(&self.recorder);
        }
    }

    fn delete(&mut self, namespace: Self::Object) {
        let touched = self.recorder.index().set_namespace(&namespace.name_any(), None);
        self.recorder.touched(touched);
        self.recorder.environments_touched();
    }

    fn list_begins(&mut self) {
        self.listed.clear();
    }

    fn list_ends(&mut self) {
        let touched = self.recorder.index().retain_namespaces(&std::mem::take(&mut self.listed));
        self.recorder.touched(touched);
    }
}

struct Environments {
    recorder: Arc<Recorder>,
    listed: HashSet<String>,
}

impl Environments {
    fn set(&mut self, name: &str, environment: Option<PactEnvironment>) {
        let rules = environment.as_ref().map(|environment| rules::parse(environment).map_err(|broken| *broken));
        let known = {
            let mut environments = self.recorder.environments.lock().unwrap_or_else(PoisonError::into_inner);
            match environment {
                Some(environment) => environments.insert(name.to_owned(), environment),
                None => environments.remove(name),
            }
        };
        let (touched, changed, place, held_all) = {
            let mut index = self.recorder.index();
            let held_all = matches!(index.rules(name), Some(Err(broken)) if broken.place.is_none());
            let changed = index.rules(name) != rules.as_ref();
            let place = rules.as_ref().and_then(|rules| rules.as_ref().ok()).map(|rules| rules.place.clone());
            (index.set_rules(name, rules), changed, place, held_all)
        };
        if !changed && known.is_some() {
            return;
        }
        if let Some(place) = place {
            self.recorder.queue.now(Task::Place(place));
        }
        self.recorder.touched(touched);
        if held_all {
            self.recorder.look_at_everything();
        }
        self.recorder.environments_touched();
        tell_misfits(&self.recorder);
    }
}

impl Feed for Environments {
    type Object = PactEnvironment;

    fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    fn apply(&mut self, environment: PactEnvironment) {
        let name = environment.name_any();
        self.listed.insert(name.clone());
        self.set(&name, Some(environment));
    }

    fn undecodable(&mut self, object: &InvalidObject) {
        tell_unreadable::<Self::Object>(&self.recorder, object);
        let name = object.metadata.name.clone().unwrap_or_default();
        self.listed.insert(name.clone());
        let problem = format!("the object cannot be read: {}", object.error);
        let touched = {
            let mut index = self.recorder.index();
            // What it claimed and where it recorded when it could be read is still the best that is known.
            let (claim, place) = match index.rules(&name) {
                None => (None, None),
                Some(Ok(rules)) => (Some(rules.claim.clone()), Some(rules.place.clone())),
                Some(Err(broken)) => (broken.claim.clone(), broken.place.clone()),
            };
            index.set_rules(&name, Some(Err(BrokenRules { object: name.clone(), claim, place, problem })))
        };
        self.recorder.environments.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        self.recorder.touched(touched);
        self.recorder.look_at_everything();
    }

    fn undecodable_gone(&mut self, object: &InvalidObject) {
        let name = object.metadata.name.clone().unwrap_or_default();
        self.listed.remove(&name);
        self.set(&name, None);
    }

    fn delete(&mut self, environment: PactEnvironment) {
        let name = environment.name_any();
        self.listed.remove(&name);
        self.set(&name, None);
    }

    fn list_begins(&mut self) {
        self.listed.clear();
    }

    fn list_ends(&mut self) {
        let known = self.recorder.index().objects();
        let known: Vec<_> = known.into_iter().filter(|name| !self.listed.contains(name)).collect();
        for name in known {
            self.set(&name, None);
        }
    }
}

struct BrokersFeed {
    recorder: Arc<Recorder>,
    listed: HashSet<String>,
}

impl Feed for BrokersFeed {
    type Object = PactBroker;

    fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    fn undecodable(&mut self, object: &InvalidObject) {
        // What was last read of it is still the best that is known.
        self.listed.insert(object.metadata.name.clone().unwrap_or_default());
        tell_unreadable::<Self::Object>(&self.recorder, object);
    }

    fn undecodable_gone(&mut self, object: &InvalidObject) {
        self.recorder.brokers.remove(object.metadata.name.as_deref().unwrap_or_default());
    }

    fn apply(&mut self, broker: PactBroker) {
        let name = broker.name_any();
        self.listed.insert(name.clone());
        if self.recorder.brokers.apply(broker) {
            self.recorder.queue.now(Task::Broker(name));
        }
    }

    fn delete(&mut self, broker: PactBroker) {
        self.recorder.brokers.remove(&broker.name_any());
    }

    fn list_begins(&mut self) {
        self.listed.clear();
    }

    fn list_ends(&mut self) {
        for name in self.recorder.brokers.names() {
            if !self.listed.contains(&name) {
                self.recorder.brokers.remove(&name);
            }
        }
    }
}

struct MemoriesFeed {
    recorder: Arc<Recorder>,
    listed: BTreeSet<RecordKey>,
}

impl Feed for MemoriesFeed {
    type Object = PactDeployment;

    fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    fn apply(&mut self, memory: PactDeployment) {
        if let Some(key) = self.recorder.memories.apply(memory) {
            self.listed.insert(key);
        }
    }

    fn delete(&mut self, memory: PactDeployment) {
        // What was lost is found out again from the cluster and the broker (domain case 53).
        if let Some(key) = self.recorder.memories.remove(&memory) {
            self.recorder.queue.now(Task::Record(key));
        }
    }

    fn list_begins(&mut self) {
        self.listed.clear();
    }

    fn list_ends(&mut self) {
        for key in self.recorder.memories.retain(&std::mem::take(&mut self.listed)) {
            self.recorder.queue.now(Task::Record(key));
        }
    }
}

/// A kind whose objects name a workload as their template.
struct Templates<K> {
    recorder: Arc<Recorder>,
    listed: HashSet<TemplateSource>,
    source: fn(String, String) -> TemplateSource,
    of_kind: fn(&TemplateSource) -> bool,
    template: fn(&K) -> Option<Template>,
}

impl Templates<RolloutView> {
    fn rollouts(recorder: Arc<Recorder>) -> Self {
        Self {
            recorder,
            listed: HashSet::new(),
            source: TemplateSource::Rollout,
            of_kind: |source| matches!(source, TemplateSource::Rollout(..)),
            template: |rollout| template_of(rollout).map(|workload| Template { workload, promoted: false }),
        }
    }
}

impl Templates<CanaryView> {
    fn canaries(recorder: Arc<Recorder>) -> Self {
        Self {
            recorder,
            listed: HashSet::new(),
            source: TemplateSource::Canary,
            of_kind: |source| matches!(source, TemplateSource::Canary(..)),
            template: |canary| target_of(canary).map(|workload| Template { workload, promoted: canary.promoted() }),
        }
    }
}

impl<K> Feed for Templates<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    type Object = K;

    fn recorder(&self) -> &Arc<Recorder> {
        &self.recorder
    }

    fn apply(&mut self, object: K) {
        let source = (self.source)(object.namespace().unwrap_or_default(), object.name_any());
        self.listed.insert(source.clone());
        let touched = self.recorder.index().set_template(source, (self.template)(&object));
        self.recorder.touched(touched);
    }

    fn delete(&mut self, object: K) {
        let source = (self.source)(object.namespace().unwrap_or_default(), object.name_any());
        let touched = self.recorder.index().set_template(source, None);
        self.recorder.touched(touched);
    }

    fn list_begins(&mut self) {
        self.listed.clear();
    }

    fn list_ends(&mut self) {
        let touched = self.recorder.index().retain_templates(&std::mem::take(&mut self.listed), self.of_kind);
        self.recorder.touched(touched);
    }
}
