//! The part of a workload that the operator reads. The parts that all kinds share are read here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{OwnEntries, WorkloadKind};
use crate::api::annotations;
use crate::workload::stray_keys::stray_keys;
use crate::workload::{CanaryOwner, Container, PactAnnotations, Revisions, RolloutState, Workload, WorkloadRef};

/// The parts that differ between kinds of workload.
pub trait Kind: Clone + Debug + Default + PartialEq + Send + Sync + 'static {
    /// The kind.
    const KIND: WorkloadKind;

    /// The part of its spec that the operator reads. Every field may be missing.
    type Spec: DeserializeOwned + Clone + Debug + Default + PartialEq + Send + Sync;

    /// The part of its status that the operator reads. Every field may be missing.
    type Status: DeserializeOwned + Clone + Debug + Default + PartialEq + Send + Sync;

    /// The pod template.
    fn template(spec: &Self::Spec) -> Option<&PodTemplateView>;

    /// Whether the spec pauses the rollout.
    fn paused(_spec: &Self::Spec) -> bool {
        false
    }

    /// Whether the spec asks for no pods; only for kinds that may be held.
    fn at_zero(_spec: &Self::Spec) -> bool {
        false
    }

    /// Whether the status describes this generation, or a newer one.
    fn observed(status: &Self::Status, generation: i64) -> bool;

    /// Its revisions, for a kind that may run another one than its spec asks for.
    fn revisions(_spec: &Self::Spec, _status: &Self::Status, _namespace: &str) -> Option<Box<Revisions>> {
        None
    }

    /// The names of the Jobs of it that run, for a kind that starts some: any template may be theirs.
    fn jobs(_status: &Self::Status) -> Box<[String]> {
        Box::default()
    }

    /// The pods that there are, as far as the status says.
    fn pods(spec: &Self::Spec, status: &Self::Status) -> Pods;

    /// The progress of the rollout at `now`, for an object that is not being deleted and whose status describes the
    /// current generation. For one that is paused, only a finished rollout counts.
    fn progress(spec: &Self::Spec, status: &Self::Status, now: Timestamp) -> RolloutState;
}

/// Which pods a workload has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// Some that are not terminating, ready or not.
    pub standing: bool,
    /// Some that are terminating, where the status counts them apart.
    pub terminating: bool,
}

/// A workload reduced to what the operator reads: a twentieth of the whole object's size. Every field may be missing.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(bound = "")]
pub struct View<K: Kind> {
    /// Name, namespace, uid, resourceVersion, generation, owners, deletion, and the annotations and labels that look like
    /// the operator's own.
    #[serde(default, deserialize_with = "super::metadata::read")]
    pub metadata: ObjectMeta,
    /// The spec.
    pub spec: Option<K::Spec>,
    /// What the kind's controller last reported.
    pub status: Option<K::Status>,
}

/// The part of a pod template that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct PodTemplateView {
    /// The pods' metadata.
    pub metadata: Option<PodMetadataView>,
    /// The pods' spec.
    pub spec: Option<PodSpecView>,
}

/// The part of the pods' metadata that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct PodMetadataView {
    /// The annotations.
    pub annotations: Option<OwnEntries>,
    /// The labels.
    pub labels: Option<OwnEntries>,
}

/// The part of a pod's spec that the operator reads. Init containers, and so native sidecars, are left out on purpose
/// (case 22).
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSpecView {
    /// The containers, in order.
    pub containers: Option<Vec<ContainerView>>,
    /// How long a pod may take to terminate, in seconds; the default is 30.
    pub termination_grace_period_seconds: Option<i64>,
}

/// The part of a container that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct ContainerView {
    /// Its name.
    pub name: Option<String>,
    /// Its image reference.
    pub image: Option<String>,
}

impl<K: Kind> kube::Resource for View<K> {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        K::KIND.kind().into()
    }

    fn group((): &()) -> Cow<'_, str> {
        K::KIND.group().into()
    }

    fn version((): &()) -> Cow<'_, str> {
        K::KIND.version().into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::KIND.resource().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl<K: Kind> View<K> {
    /// The kind.
    pub const KIND: WorkloadKind = K::KIND;

    /// The observed workload, with its rollout judged at `now`: only [`RolloutState::Terminating`] depends on the time.
    #[must_use]
    pub fn observe(&self, now: Timestamp) -> Workload {
        let metadata = &self.metadata;
        let annotation = |key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
        let template = self.spec.as_ref().and_then(K::template);
        let pod = template.and_then(|template| template.spec.as_ref());
        let none = BTreeMap::new();
        let pod_metadata = template.and_then(|it| it.metadata.as_ref());
        let pod_annotations = pod_metadata.and_then(|it| it.annotations.as_ref()).map_or(&none, |it| &it.0);
        let pod_labels = pod_metadata.and_then(|it| it.labels.as_ref()).map_or(&none, |it| &it.0);
        let containers = pod.and_then(|pod| pod.containers.as_deref()).unwrap_or_default();
        let canary_owner = canary_owner(metadata);
        let rollout = self.rollout(now);
        let (no_spec, no_status) = (K::Spec::default(), K::Status::default());
        let (spec, status) = (self.spec.as_ref().unwrap_or(&no_spec), self.status.as_ref().unwrap_or(&no_status));
        let pods = K::pods(spec, status);
        let waited_for = matches!(rollout, RolloutState::ScaledToZero | RolloutState::Terminating { .. });
        Workload {
            reference: WorkloadRef {
                kind: K::KIND,
                namespace: metadata.namespace.clone().unwrap_or_default(),
                name: metadata.name.clone().unwrap_or_default(),
            },
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            annotations: PactAnnotations {
                pacticipant: annotation(annotations::PACTICIPANT),
                container: annotation(annotations::CONTAINER),
                version: annotation(annotations::VERSION),
                application_instance: annotation(annotations::APPLICATION_INSTANCE),
                bypass: annotation(annotations::BYPASS),
                held: annotation(annotations::HELD),
            },
            version_label: metadata.labels.as_ref().and_then(|all| all.get(annotations::VERSION_LABEL)).cloned(),
            containers: containers.iter().map(Container::from).collect(),
            default_container: pod_annotations.get(annotations::DEFAULT_CONTAINER).cloned(),
            stray_keys: match canary_owner {
                // Flagger copies and removes annotations as it likes.
                Some(_) => Box::default(),
                None => stray_keys(
                    metadata.annotations.as_ref().unwrap_or(&none),
                    metadata.labels.as_ref().unwrap_or(&none),
                    [pod_annotations, pod_labels],
                ),
            },
            rollout,
            paused: self.spec.as_ref().is_some_and(K::paused),
            at_zero: K::at_zero(spec),
            without_pods: !pods.standing && (!pods.terminating || waited_for),
            deleting: metadata.deletion_timestamp.is_some(),
            controlled: metadata.owner_references.iter().flatten().any(|owner| owner.controller == Some(true)),
            canary_owner,
            revisions: K::revisions(spec, status, metadata.namespace.as_deref().unwrap_or_default()),
            jobs: K::jobs(status),
        }
    }

    /// The state of the rollout at `now`.
    ///
    /// Deletion outranks everything. A status of an older generation describes nothing of this rollout, not even a
    /// failure. Then the kind judges. A rollout that is paused before it has finished is paused, and nothing else.
    #[must_use]
    pub fn rollout(&self, now: Timestamp) -> RolloutState {
        let (no_spec, no_status) = (K::Spec::default(), K::Status::default());
        let spec = self.spec.as_ref().unwrap_or(&no_spec);
        let status = self.status.as_ref().unwrap_or(&no_status);
        if self.metadata.deletion_timestamp.is_some() {
            return RolloutState::Deleting;
        }
        let generation = self.metadata.generation.unwrap_or_default();
        let state = if K::observed(status, generation) {
            K::progress(spec, status, now)
        } else {
            let message = format!("the {} controller has not yet seen generation {generation}", K::KIND);
            RolloutState::Progressing { message }
        };
        match state {
            // Paused after it had finished: it runs that version and no other.
            RolloutState::Complete | RolloutState::Terminating { .. } => state,
            _ if K::paused(spec) => RolloutState::Paused,
            _ => state,
        }
    }
}

impl From<&ContainerView> for Container {
    fn from(view: &ContainerView) -> Self {
        Self { name: view.name.clone().unwrap_or_default(), image: view.image.clone().unwrap_or_default() }
    }
}

/// The Flagger Canary that controls an object (case 71). An owner reference is not enough: any object may be an owner.
fn canary_owner(metadata: &ObjectMeta) -> Option<CanaryOwner> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let canary = owners.iter().find(|owner| {
        owner.controller == Some(true) && owner.kind == "Canary" && owner.api_version.starts_with("flagger.app/")
    });
    canary.map(|owner| CanaryOwner { name: owner.name.clone(), uid: owner.uid.clone(), unpromoted: false })
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
