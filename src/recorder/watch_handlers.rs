//! What becomes of what is watched, kind by kind: into the index, the memories, the brokers, and the queue.

use std::{
    collections::{BTreeSet, HashSet},
    fmt::Debug,
    marker::PhantomData,
    sync::Arc,
};

use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{
    Resource, ResourceExt,
    core::{PartialObjectMeta, error_boundary::InvalidObject},
};
use serde::de::DeserializeOwned;

use super::{Recorder, queue::Task, watch::report_unreadable};
use crate::{
    api::{PactBroker, PactDeployment, PactEnvironment},
    cluster::index::{Template, TemplateSource},
    workload::{
        BrokenRules, CanaryView, Kind, RecordKey, RolloutView, View, WorkloadRef, environment_rules, stale_annotation,
        target_of, template_of,
    },
};
use operator_kit::watch::WatchHandler;

/// Workloads of one kind, into the index.
pub(super) struct Workloads<K>(Arc<Recorder>, PhantomData<K>);

impl<K> Workloads<K> {
    pub(super) fn new(recorder: Arc<Recorder>) -> Self {
        Self(recorder, PhantomData)
    }
}

impl<K: Kind> WatchHandler for Workloads<K> {
    type Object = View<K>;
    type Id = WorkloadRef;

    fn apply(&self, mut object: View<K>) -> Option<WorkloadRef> {
        object.prune();
        let workload = object.observe(Timestamp::now());
        let reference = workload.reference.clone();
        let (touched, invalid, stale, counted) = {
            let mut index = self.0.cluster.index();
            let before = index.workload(&reference);
            let counted = before.is_some() != workload.annotated();
            let stale = before
                .filter(|before| stale_annotation(before, &workload) && index.trusts_annotations(&reference.namespace))
                .map(|_| workload.clone());
            let touched = index.apply_workload(workload);
            (touched, index.invalid_workload(&reference).cloned(), stale, counted)
        };
        self.0.schedule.records(touched);
        if counted {
            self.0.schedule.environment_statuses();
        }
        if (invalid.is_some() || stale.is_some()) && self.0.leadership.is_leader() {
            let recorder = Arc::clone(&self.0);
            tokio::spawn(async move {
                if let Some(invalid) = invalid {
                    recorder.reporter.invalid_workload(&invalid).await;
                }
                if let Some(stale) = stale {
                    recorder.reporter.stale_version(&stale).await;
                }
            });
        }
        Some(reference)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<WorkloadRef> {
        report_unreadable::<View<K>>(&self.0, object);
        let namespace = object.metadata.namespace.clone()?;
        Some(WorkloadRef { kind: K::KIND, namespace, name: object.metadata.name.clone()? })
    }

    fn delete(&self, object: View<K>) {
        let reference =
            WorkloadRef { kind: K::KIND, namespace: object.namespace().unwrap_or_default(), name: object.name_any() };
        let touched = self.0.cluster.index().remove_workload(&reference);
        if !touched.is_empty() {
            self.0.schedule.environment_statuses();
        }
        self.0.schedule.records(touched);
    }

    fn retain(&self, listed: &HashSet<WorkloadRef>) {
        let touched = self.0.cluster.index().retain_workloads(K::KIND, listed);
        self.0.schedule.records(touched);
    }
}

/// Namespaces with their labels, into the index.
pub(super) struct Namespaces(pub(super) Arc<Recorder>);

impl Namespaces {
    fn touched(&self, touched: BTreeSet<RecordKey>) {
        self.0.schedule.records(touched);
        self.0.schedule.environment_statuses();
        if self.0.cluster.is_complete() {
            self.0.reporter.invalid_workloads_soon(&self.0.cluster);
        }
    }
}

impl WatchHandler for Namespaces {
    type Object = PartialObjectMeta<Namespace>;
    type Id = String;

    fn apply(&self, namespace: Self::Object) -> Option<String> {
        let name = namespace.name_any();
        let touched = self.0.cluster.index().set_namespace(&name, Some(namespace.labels().clone()));
        self.touched(touched);
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        report_unreadable::<Namespace>(&self.0, object);
        object.metadata.name.clone()
    }

    fn delete(&self, namespace: Self::Object) {
        let touched = self.0.cluster.index().set_namespace(&namespace.name_any(), None);
        self.touched(touched);
    }

    fn retain(&self, listed: &HashSet<String>) {
        let touched = self.0.cluster.index().retain_namespaces(listed);
        self.touched(touched);
    }
}

/// `PactEnvironment`s, parsed, into the index.
pub(super) struct Environments(pub(super) Arc<Recorder>);

impl Environments {
    fn set(&self, name: &str, environment: Option<PactEnvironment>) {
        let rules = environment.as_ref().map(environment_rules::parse);
        let environment_ref =
            rules.as_ref().and_then(|rules| rules.as_ref().ok()).map(|rules| rules.environment_ref.clone());
        let generation = |environment: &PactEnvironment| (environment.uid(), environment.metadata.generation);
        let now = environment.as_ref().map(generation);
        let before = {
            let mut environments = self.0.cluster.environments();
            match environment {
                Some(environment) => environments.insert(name.to_owned(), environment),
                None => environments.remove(name),
            }
        };
        let (touched, was_unreadable) = {
            let mut index = self.0.cluster.index();
            let was_unreadable = index.unreadable().is_some();
            (index.set_rules(name, rules), was_unreadable && index.unreadable().is_none())
        };
        if was_unreadable {
            // Nothing could be taken back anywhere meanwhile.
            self.0.schedule.everything();
        }
        // Our own writes of the status come back here, too.
        if touched.is_empty() && before.as_ref().map(generation) == now {
            return;
        }
        if let Some(environment_ref) = environment_ref {
            self.0.schedule.judge_all_in(&environment_ref);
            self.0.schedule.queue.now(Task::Environment(environment_ref));
        }
        self.0.schedule.records(touched);
        self.0.schedule.environment_statuses();
        self.0.reporter.invalid_workloads_soon(&self.0.cluster);
    }
}

impl WatchHandler for Environments {
    type Object = PactEnvironment;
    type Id = String;

    fn apply(&self, environment: PactEnvironment) -> Option<String> {
        let name = environment.name_any();
        self.set(&name, Some(environment));
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        report_unreadable::<PactEnvironment>(&self.0, object);
        let name = object.metadata.name.clone()?;
        let problem = format!("the object cannot be read: {}", object.error);
        let touched = {
            let mut index = self.0.cluster.index();
            // What it claimed and where it recorded when it could be read is still the best that is known.
            let (claim, environment_ref) = match index.rules(&name) {
                None => (None, None),
                Some(Ok(rules)) => (Some(rules.claim.clone()), Some(rules.environment_ref.clone())),
                Some(Err(broken)) => (broken.claim.clone(), broken.environment_ref.clone()),
            };
            let broken = BrokenRules { object: name.clone(), claim, environment_ref, problem };
            index.set_rules(&name, Some(Err(Box::new(broken))))
        };
        self.0.cluster.environments().remove(&name);
        self.0.schedule.records(touched);
        Some(name)
    }

    fn undecodable_gone(&self, object: &InvalidObject) {
        self.set(object.metadata.name.as_deref().unwrap_or_default(), None);
    }

    fn delete(&self, environment: PactEnvironment) {
        self.set(&environment.name_any(), None);
    }

    fn retain(&self, listed: &HashSet<String>) {
        let known = self.0.cluster.index().objects();
        for name in known.into_iter().filter(|name| !listed.contains(name)) {
            self.set(&name, None);
        }
    }
}

/// `PactBroker`s, to their clients.
pub(super) struct BrokersFeed(pub(super) Arc<Recorder>);

impl WatchHandler for BrokersFeed {
    type Object = PactBroker;
    type Id = String;

    fn apply(&self, broker: PactBroker) -> Option<String> {
        let name = broker.name_any();
        if self.0.cluster.brokers.apply(broker) {
            self.0.schedule.queue.now(Task::Broker(name.clone()));
        }
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        report_unreadable::<PactBroker>(&self.0, object);
        object.metadata.name.clone()
    }

    fn undecodable_gone(&self, object: &InvalidObject) {
        self.0.cluster.brokers.remove(object.metadata.name.as_deref().unwrap_or_default());
    }

    fn delete(&self, broker: PactBroker) {
        self.0.cluster.brokers.remove(&broker.name_any());
    }

    fn retain(&self, listed: &HashSet<String>) {
        for name in self.0.cluster.brokers.names() {
            if !listed.contains(&name) {
                self.0.cluster.brokers.remove(&name);
            }
        }
    }
}

/// `PactDeployment`s, into the memories.
pub(super) struct RecordHandler(pub(super) Arc<Recorder>);

impl WatchHandler for RecordHandler {
    type Object = PactDeployment;
    type Id = RecordKey;

    fn apply(&self, memory: PactDeployment) -> Option<RecordKey> {
        self.0.cluster.records.apply(memory)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<RecordKey> {
        report_unreadable::<PactDeployment>(&self.0, object);
        None
    }

    fn delete(&self, memory: PactDeployment) {
        // What was lost is found out again from the cluster and the broker (case 53).
        if let Some(key) = self.0.cluster.records.remove(&memory) {
            self.0.schedule.queue.now(Task::Record(key));
        }
    }

    fn retain(&self, listed: &HashSet<RecordKey>) {
        for key in self.0.cluster.records.retain(listed) {
            self.0.schedule.queue.now(Task::Record(key));
        }
    }
}

/// A kind whose objects name a workload as their template.
pub(super) struct Templates<K> {
    recorder: Arc<Recorder>,
    source: fn(String, String) -> TemplateSource,
    of_kind: fn(&TemplateSource) -> bool,
    template: fn(&K) -> Option<Template>,
}

impl Templates<RolloutView> {
    pub(super) fn rollouts(recorder: Arc<Recorder>) -> Self {
        Self {
            recorder,
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
            source: TemplateSource::Canary,
            of_kind: |source| matches!(source, TemplateSource::Canary(..)),
            template: |canary| target_of(canary).map(|workload| Template { workload, promoted: canary.promoted() }),
        }
    }
}

impl<K> WatchHandler for Templates<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    type Object = K;
    type Id = TemplateSource;

    fn apply(&self, object: K) -> Option<TemplateSource> {
        let source = (self.source)(object.namespace().unwrap_or_default(), object.name_any());
        let touched = self.recorder.cluster.index().set_template(&source, (self.template)(&object));
        self.recorder.schedule.records(touched);
        Some(source)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<TemplateSource> {
        report_unreadable::<K>(&self.recorder, object);
        Some((self.source)(object.metadata.namespace.clone()?, object.metadata.name.clone()?))
    }

    fn delete(&self, object: K) {
        let source = (self.source)(object.namespace().unwrap_or_default(), object.name_any());
        let touched = self.recorder.cluster.index().set_template(&source, None);
        self.recorder.schedule.records(touched);
    }

    fn retain(&self, listed: &HashSet<TemplateSource>) {
        let touched = self.recorder.cluster.index().retain_templates(listed, self.of_kind);
        self.recorder.schedule.records(touched);
    }
}
