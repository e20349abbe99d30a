//! What becomes of what is watched, kind by kind: it is taken into the view, and whoever acts on it is informed of what
//! changed.

mod pact_records;
mod progressive;

use std::{
    collections::{BTreeSet, HashSet},
    marker::PhantomData,
    sync::Arc,
};

use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{Resource, ResourceExt, core::PartialObjectMeta};
use operator_kit::{
    events::Regarding,
    watch::{InvalidObject, WatchHandler},
};
use tracing::error;

use self::progressive::read_template;
pub use self::{
    pact_records::PactRecords,
    progressive::{Canaries, RolloutRevisions},
};
use super::{
    Cluster,
    index::{InvalidWorkload, StrayKeys},
    objects::{is_former, own_key},
    pact_records::PactRecordRef,
    recorded::VersionsChanged,
    records::RecordStore,
};
use crate::{
    api::{PactBroker, PactDeployment, PactEnvironment, annotations::CONFIRM_UNDEPLOY},
    decide::EnvironmentPolicy,
    workload::{EnvironmentRef, Kind, RecordKey, StaleSource, View, Workload, WorkloadRef},
};

/// What a watch changed in the view.
#[derive(Clone, Debug)]
pub enum Change {
    /// What runs, or may run, under these keys.
    Members(BTreeSet<RecordKey>),
    /// A workload was changed or deleted.
    Workload {
        /// Which one.
        workload: WorkloadRef,
        /// The keys whose members it may have changed.
        touched: BTreeSet<RecordKey>,
        /// Whether what `PactEnvironment`s say of their workloads, such as how many there are, may be otherwise now.
        counted: bool,
        /// Its annotations cannot be followed, or not in all that they say.
        invalid: Option<Box<InvalidWorkload>>,
        /// Its image became another build, and what says its version stayed.
        stale: Option<Box<(Workload, StaleSource)>>,
        /// It has keys that look like the operator's and mean nothing.
        stray: Option<Box<StrayKeys>>,
        /// It has the annotation of a hold, or lost it: another hold than before.
        held: Option<WorkloadRef>,
    },
    /// Namespaces or their labels.
    Namespaces {
        /// Which one; `None` for all that are gone.
        namespace: Option<String>,
        /// The keys whose members it may have changed.
        touched: BTreeSet<RecordKey>,
    },
    /// A `PactEnvironment`.
    Environment {
        /// The keys that it may say something about.
        touched: BTreeSet<RecordKey>,
        /// Where it records, if rules of it are in force.
        environment_ref: Option<EnvironmentRef>,
        /// Whether its spec changed, not only its status.
        spec: bool,
        /// Whether every `PactEnvironment` can be read again, after one could not.
        readable_again: bool,
    },
    /// The spec of a `PactBroker`, by its name.
    Broker(String),
    /// A `PactDeployment` was written.
    RecordWritten(RecordKey),
    /// A `PactDeployment` is gone.
    RecordGone(RecordKey),
    /// Other versions of a key are recorded, or run.
    Versions(RecordKey, VersionsChanged),
    /// A `PactRecord`.
    PactRecord(PactRecordRef),
    /// An object cannot be read.
    Unreadable {
        /// Which object.
        regarding: Regarding,
        /// Why.
        problem: String,
    },
}

/// Who is informed of changes.
pub trait OnChange: Send + Sync + 'static {
    /// The view has changed. Must not wait.
    fn on_change(&self, change: Change);
}

/// The view that watches feed, and who is informed.
pub struct Watched<C> {
    /// The view.
    pub cluster: Arc<Cluster>,
    /// Who is informed.
    pub changes: Arc<C>,
}

impl<C> Clone for Watched<C> {
    fn clone(&self) -> Self {
        Self { cluster: Arc::clone(&self.cluster), changes: Arc::clone(&self.changes) }
    }
}

impl<C: OnChange> Watched<C> {
    fn changed(&self, change: Change) {
        self.changes.on_change(change);
    }

    /// Takes in the versions of a `PactDeployment`, or that it is gone.
    fn versions(&self, key: &RecordKey, object: Option<&PactDeployment>) {
        let changed = self.cluster.recorded().set(key, object);
        if changed.any() {
            self.changed(Change::Versions(key.clone(), changed));
        }
    }

    fn unreadable<K: Resource<DynamicType: Default>>(&self, object: &InvalidObject) {
        let regarding = Regarding {
            api_version: K::api_version(&Default::default()).into_owned(),
            kind: K::kind(&Default::default()).into_owned(),
            namespace: object.metadata.namespace.clone(),
            name: object.metadata.name.clone().unwrap_or_default(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
        };
        let problem = object.error.clone();
        error!(kind = regarding.kind, name = regarding.name, problem, "an object cannot be read; the others go on");
        self.changed(Change::Unreadable { regarding, problem });
    }
}

/// Workloads of one kind.
pub struct Workloads<K, C>(Watched<C>, PhantomData<K>);

impl<K, C> Workloads<K, C> {
    /// The handler for the kind `K`.
    #[must_use]
    pub fn new(watched: Watched<C>) -> Self {
        Self(watched, PhantomData)
    }
}

impl<K: Kind, C: OnChange> WatchHandler for Workloads<K, C> {
    type Object = View<K>;
    type Id = WorkloadRef;

    fn apply(&self, object: View<K>) -> Option<WorkloadRef> {
        let workload = object.observe(Timestamp::now());
        let reference = workload.reference.clone();
        let held = self.0.cluster.holds.set(&workload).then(|| reference.clone());
        let (change, unseen) = {
            let mut index = self.0.cluster.index();
            let before = index.workload(&reference);
            let kept_before = before.is_some();
            let invalid_before = index.invalid_workload(&reference).cloned();
            let stale = before
                .and_then(|before| index.stale_source(before, &workload))
                .map(|source| Box::new((workload.clone(), source)));
            let touched = index.apply_workload(workload);
            let invalid = index.invalid_workload(&reference).cloned();
            let counted = kept_before != index.workload(&reference).is_some() || invalid != invalid_before;
            let invalid = invalid.map(Box::new);
            let stray = index.stray_keys_of(&reference).cloned().map(Box::new);
            let unseen = index.unseen_template(&reference);
            (Change::Workload { workload: reference.clone(), touched, counted, invalid, stale, stray, held }, unseen)
        };
        self.0.changed(change);
        if let Some(template) = unseen {
            tokio::spawn(read_template(self.0.clone(), reference.clone(), template));
        }
        Some(reference)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<WorkloadRef> {
        self.0.unreadable::<View<K>>(object);
        let namespace = object.metadata.namespace.clone()?;
        Some(WorkloadRef { kind: K::KIND, namespace, name: object.metadata.name.clone()? })
    }

    fn delete(&self, object: View<K>) {
        let reference =
            WorkloadRef { kind: K::KIND, namespace: object.namespace().unwrap_or_default(), name: object.name_any() };
        let (touched, invalid) = {
            let mut index = self.0.cluster.index();
            let invalid = index.invalid_workload(&reference).is_some();
            (index.remove_workload(&reference), invalid)
        };
        let counted = invalid || !touched.is_empty();
        let held = self.0.cluster.holds.remove(&reference).then(|| reference.clone());
        self.0.changed(Change::Workload {
            workload: reference,
            touched,
            counted,
            invalid: None,
            stale: None,
            stray: None,
            held,
        });
    }

    fn retain(&self, listed: &HashSet<WorkloadRef>) {
        self.0.cluster.holds.retain(K::KIND, listed);
        let touched = self.0.cluster.index().retain_workloads(K::KIND, listed);
        self.0.changed(Change::Members(touched));
    }
}

/// Namespaces with their labels.
pub struct Namespaces<C>(pub Watched<C>);

impl<C: OnChange> WatchHandler for Namespaces<C> {
    type Object = PartialObjectMeta<Namespace>;
    type Id = String;

    fn apply(&self, namespace: Self::Object) -> Option<String> {
        let name = namespace.name_any();
        let touched = self.0.cluster.index().set_namespace(&name, Some(namespace.labels().clone()));
        self.0.changed(Change::Namespaces { namespace: Some(name.clone()), touched });
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        self.0.unreadable::<Namespace>(object);
        object.metadata.name.clone()
    }

    fn delete(&self, namespace: Self::Object) {
        let touched = self.0.cluster.index().set_namespace(&namespace.name_any(), None);
        self.0.changed(Change::Namespaces { namespace: Some(namespace.name_any()), touched });
    }

    fn retain(&self, listed: &HashSet<String>) {
        let touched = self.0.cluster.index().retain_namespaces(listed);
        self.0.changed(Change::Namespaces { namespace: None, touched });
    }
}

/// `PactEnvironment`s, parsed.
pub struct Environments<C>(pub Watched<C>);

impl<C: OnChange> Environments<C> {
    fn set(&self, name: &str, environment: Option<PactEnvironment>) {
        let policy = environment.as_ref().map(EnvironmentPolicy::parse);
        // What a person confirms is an annotation.
        let generation = |environment: &PactEnvironment| {
            let confirmed = environment.annotations().get(CONFIRM_UNDEPLOY).cloned();
            (environment.uid(), environment.metadata.generation, confirmed)
        };
        let now = environment.as_ref().map(generation);
        let before = {
            let mut environments = self.0.cluster.environments();
            match environment {
                Some(environment) => environments.insert(name.to_owned(), environment),
                None => environments.remove(name),
            }
        };
        let spec = before.as_ref().map(generation) != now;
        let (touched, environment_ref, readable_again) = {
            let mut index = self.0.cluster.index();
            let unreadable = index.environments().unreadable().is_some();
            let touched = index.set_environment(name, policy);
            let environments = index.environments();
            let environment_ref = environments.rules(name).map(|rules| rules.environment_ref.clone());
            (touched, environment_ref, unreadable && environments.unreadable().is_none())
        };
        self.0.changed(Change::Environment { touched, environment_ref, spec, readable_again });
    }
}

impl<C: OnChange> WatchHandler for Environments<C> {
    type Object = PactEnvironment;
    type Id = String;

    fn apply(&self, environment: PactEnvironment) -> Option<String> {
        let name = environment.name_any();
        self.set(&name, Some(environment));
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        self.0.unreadable::<PactEnvironment>(object);
        let name = object.metadata.name.clone()?;
        let problem = format!("the object cannot be read: {}", object.error);
        let touched = self.0.cluster.index().break_environment(&name, problem);
        self.0.cluster.environments().remove(&name);
        self.0.changed(Change::Members(touched));
        Some(name)
    }

    fn undecodable_gone(&self, object: &InvalidObject) {
        self.set(object.metadata.name.as_deref().unwrap_or_default(), None);
    }

    fn delete(&self, environment: PactEnvironment) {
        self.set(&environment.name_any(), None);
    }

    fn retain(&self, listed: &HashSet<String>) {
        let known = self.0.cluster.index().environments().objects();
        for name in known.into_iter().filter(|name| !listed.contains(name)) {
            self.set(&name, None);
        }
    }
}

/// `PactBroker`s.
pub struct Brokers<C>(pub Watched<C>);

impl<C: OnChange> WatchHandler for Brokers<C> {
    type Object = PactBroker;
    type Id = String;

    fn apply(&self, broker: PactBroker) -> Option<String> {
        let name = broker.name_any();
        if self.0.cluster.brokers.apply(broker) {
            self.0.changed(Change::Broker(name.clone()));
        }
        Some(name)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        self.0.unreadable::<PactBroker>(object);
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

/// `PactDeployment`s as a whole: what the controller needs of them.
pub struct Records<C>(pub Watched<C>);

impl<C: OnChange> Records<C> {
    fn take(
        &self,
        object: PactDeployment,
        into: fn(&RecordStore, PactDeployment) -> Option<RecordKey>,
    ) -> Option<String> {
        let name = object.name_any();
        let former = own_key(&object).is_some_and(|key| is_former(&key, &object));
        let key = into(&self.0.cluster.records, object)?;
        // What is newer than the report counts: our own write may be.
        let known = self.0.cluster.records.get(&key);
        self.0.versions(&key, known.as_deref());
        self.0.changed(Change::RecordWritten(key.clone()));
        if former {
            // Another version of the operator wrote it: it is adopted.
            self.0.changed(Change::Members(BTreeSet::from([key])));
        }
        Some(name)
    }
}

impl<C: OnChange> WatchHandler for Records<C> {
    type Object = PactDeployment;
    /// The name: a key may have two objects.
    type Id = String;

    fn apply(&self, object: PactDeployment) -> Option<String> {
        self.take(object, RecordStore::apply)
    }

    fn listed(&self, object: PactDeployment) -> Option<String> {
        self.take(object, RecordStore::set)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<String> {
        self.0.unreadable::<PactDeployment>(object);
        None
    }

    fn delete(&self, object: PactDeployment) {
        if let Some(key) = self.0.cluster.records.remove(&object) {
            let left = self.0.cluster.records.get(&key);
            self.0.versions(&key, left.as_deref());
            if left.is_none() {
                self.0.changed(Change::RecordGone(key));
            }
        }
    }

    fn retain(&self, listed: &HashSet<String>) {
        for key in self.0.cluster.records.retain(listed) {
            self.0.versions(&key, None);
            self.0.changed(Change::RecordGone(key));
        }
    }
}

/// The versions in `PactDeployment`s: what the gate needs of them.
pub struct RecordedVersions<C>(pub Watched<C>);

impl<C: OnChange> WatchHandler for RecordedVersions<C> {
    type Object = PactDeployment;
    type Id = RecordKey;

    fn apply(&self, object: PactDeployment) -> Option<RecordKey> {
        let key = own_key(&object)?;
        self.0.versions(&key, Some(&object));
        Some(key)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<RecordKey> {
        self.0.unreadable::<PactDeployment>(object);
        None
    }

    fn delete(&self, object: PactDeployment) {
        if let Some(key) = own_key(&object)
            && self.0.cluster.recorded().is_from(&key, &object)
        {
            self.0.versions(&key, None);
        }
    }

    fn retain(&self, listed: &HashSet<RecordKey>) {
        let changed = self.0.cluster.recorded().retain(|key| listed.contains(key));
        for (key, changed) in changed {
            self.0.changed(Change::Versions(key, changed));
        }
    }
}
