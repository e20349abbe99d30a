//! What becomes of what is watched, kind by kind: into the index, the memories, the brokers, and the queue.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Debug,
    sync::{Arc, PoisonError},
};

use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{
    Resource, ResourceExt,
    core::{PartialObjectMeta, error_boundary::InvalidObject},
};
use serde::de::DeserializeOwned;
use tracing::error;

use super::{
    Recorder,
    index::{Template, TemplateSource},
    key::RecordKey,
    queue::Task,
    rules::{self, BrokenRules},
    watch::Feed,
};
use crate::{
    api::{PactBroker, PactDeployment, PactEnvironment},
    workload::{
        CanaryView, DeploymentView, Observe, RolloutView, WorkloadKind, WorkloadRef, stale_annotation, target_of,
        template_of,
    },
};

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

/// Deployments, into the index.
pub(super) struct Deployments {
    recorder: Arc<Recorder>,
    listed: HashSet<WorkloadRef>,
}

impl Deployments {
    pub(super) fn new(recorder: &Arc<Recorder>) -> Self {
        Self { recorder: Arc::clone(recorder), listed: HashSet::new() }
    }
}

impl Feed for Deployments {
    type Object = DeploymentView;

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

/// Namespaces with their labels, into the index.
pub(super) struct Namespaces {
    recorder: Arc<Recorder>,
    listed: HashSet<String>,
}

impl Namespaces {
    pub(super) fn new(recorder: &Arc<Recorder>) -> Self {
        Self { recorder: Arc::clone(recorder), listed: HashSet::new() }
    }
}

impl Feed for Namespaces {
    type Object = PartialObjectMeta<Namespace>;

    fn apply(&mut self, namespace: Self::Object) {
        let name = namespace.name_any();
        self.listed.insert(name.clone());
        let touched = self.recorder.index().set_namespace(&name, Some(namespace.labels().clone()));
        self.recorder.touched(touched);
        self.recorder.environments_touched();
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

/// `PactEnvironment`s, parsed, into the index.
pub(super) struct Environments {
    recorder: Arc<Recorder>,
    listed: HashSet<String>,
}

impl Environments {
    pub(super) fn new(recorder: &Arc<Recorder>) -> Self {
        Self { recorder: Arc::clone(recorder), listed: HashSet::new() }
    }
}

impl Environments {
    fn set(&mut self, name: &str, environment: Option<PactEnvironment>) {
        let rules = environment.as_ref().map(rules::parse);
        let known = {
            let mut environments = self.recorder.environments.lock().unwrap_or_else(PoisonError::into_inner);
            match environment {
                Some(environment) => environments.insert(name.to_owned(), environment),
                None => environments.remove(name),
            }
        };
        let (touched, changed, place) = {
            let mut index = self.recorder.index();
            let changed = index.rules(name) != rules.as_ref();
            let place = rules.as_ref().and_then(|rules| rules.as_ref().ok()).map(|rules| rules.place.clone());
            (index.set_rules(name, rules), changed, place)
        };
        if !changed && known.is_some() {
            return;
        }
        if let Some(place) = place {
            self.recorder.queue.now(Task::Place(place));
        }
        self.recorder.touched(touched);
        self.recorder.environments_touched();
        let recorder = Arc::clone(&self.recorder);
        if recorder.leadership.is_leader() {
            tokio::spawn(async move { recorder.tell_misfits().await });
        }
    }
}

impl Feed for Environments {
    type Object = PactEnvironment;

    fn apply(&mut self, environment: PactEnvironment) {
        let name = environment.name_any();
        self.listed.insert(name.clone());
        self.set(&name, Some(environment));
    }

    fn undecodable(&mut self, object: &InvalidObject) {
        let name = object.metadata.name.clone().unwrap_or_default();
        error!(name, error = object.error, "a PactEnvironment cannot be read: nothing is written for any environment");
        self.listed.insert(name.clone());
        let problem = format!("the object cannot be read: {}", object.error);
        let broken = BrokenRules { object: name.clone(), claim: None, place: None, problem };
        let touched = self.recorder.index().set_rules(&name, Some(Err(Box::new(broken))));
        self.recorder.touched(touched);
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
        let known: Vec<_> = {
            let environments = self.recorder.environments.lock().unwrap_or_else(PoisonError::into_inner);
            environments.keys().filter(|name| !self.listed.contains(*name)).cloned().collect()
        };
        for name in known {
            self.set(&name, None);
        }
    }
}

/// `PactBroker`s, to their clients.
pub(super) struct BrokersFeed {
    recorder: Arc<Recorder>,
    listed: HashSet<String>,
}

impl BrokersFeed {
    pub(super) fn new(recorder: &Arc<Recorder>) -> Self {
        Self { recorder: Arc::clone(recorder), listed: HashSet::new() }
    }
}

impl Feed for BrokersFeed {
    type Object = PactBroker;

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

/// `PactDeployment`s, into the memories.
pub(super) struct MemoriesFeed {
    recorder: Arc<Recorder>,
    listed: BTreeSet<RecordKey>,
}

impl MemoriesFeed {
    pub(super) fn new(recorder: &Arc<Recorder>) -> Self {
        Self { recorder: Arc::clone(recorder), listed: BTreeSet::new() }
    }
}

impl Feed for MemoriesFeed {
    type Object = PactDeployment;

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
pub(super) struct Templates<K> {
    recorder: Arc<Recorder>,
    listed: HashSet<TemplateSource>,
    source: fn(String, String) -> TemplateSource,
    of_kind: fn(&TemplateSource) -> bool,
    template: fn(&K) -> Option<Template>,
}

impl Templates<RolloutView> {
    pub(super) fn rollouts(recorder: Arc<Recorder>) -> Self {
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
    pub(super) fn canaries(recorder: Arc<Recorder>) -> Self {
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

    fn apply(&mut self, object: K) {
        let source = (self.source)(object.namespace().unwrap_or_default(), object.name_any());
        self.listed.insert(source.clone());
        let touched = self.recorder.index().set_template(&source, (self.template)(&object));
        self.recorder.touched(touched);
    }

    fn delete(&mut self, object: K) {
        let source = (self.source)(object.namespace().unwrap_or_default(), object.name_any());
        let touched = self.recorder.index().set_template(&source, None);
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
