//! Deployments, as far as the operator reads them.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::deployment_rollout::deployment_rollout;
use super::{Container, Observe, PactAnnotations, Workload, WorkloadKind, WorkloadRef};
use crate::api::annotations;

/// A Deployment without all that the operator does not read: a twentieth of the whole in memory. Every field may be
/// missing; `terminatingReplicas` is read though the typed API of the oldest supported version lacks it.
#[derive(kube::Resource, Deserialize, Clone, Debug, Default, PartialEq)]
#[resource(inherit = Deployment)]
pub struct DeploymentView {
    /// Name, namespace, uid, generation, annotations, labels, owners.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: Option<DeploymentSpecView>,
    /// What the Deployment controller last said.
    pub status: Option<DeploymentStatusView>,
}

/// The part of a Deployment's spec that matters here.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpecView {
    /// How many pods are asked for; 1 where it is missing.
    pub replicas: Option<i32>,
    /// Whether the rollout is held.
    pub paused: Option<bool>,
    /// The pod template.
    pub template: Option<PodTemplateView>,
}

/// The part of a pod template that matters here.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct PodTemplateView {
    /// The pods' spec.
    pub spec: Option<PodSpecView>,
}

/// The part of a pod's spec that matters here. Init containers, and so native sidecars, are left out on purpose
/// (domain.md case 22).
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSpecView {
    /// The containers, in order.
    pub containers: Option<Vec<ContainerView>>,
    /// How long a pod may take to end, in seconds; 30 where it is missing.
    pub termination_grace_period_seconds: Option<i64>,
}

/// The part of a container that matters here.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct ContainerView {
    /// Its name.
    pub name: Option<String>,
    /// Its image reference.
    pub image: Option<String>,
}

/// The part of a Deployment's status that matters here. A number that is missing reads 0.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatusView {
    /// The generation that the rest of the status speaks of.
    pub observed_generation: Option<i64>,
    /// Pods that are not ending, of any template.
    pub replicas: Option<i32>,
    /// Pods of the newest template that are not ending.
    pub updated_replicas: Option<i32>,
    /// Pods that have been ready for `minReadySeconds` and are not ending.
    pub available_replicas: Option<i32>,
    /// Pods that are ending; reported by servers with the feature `DeploymentReplicaSetTerminatingReplicas`.
    pub terminating_replicas: Option<i32>,
    /// Conditions.
    pub conditions: Option<Vec<DeploymentConditionView>>,
}

/// The part of a Deployment's condition that matters here.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentConditionView {
    /// `Progressing`, `Available`, `ReplicaFailure`.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// `True`, `False`, `Unknown`.
    #[serde(default)]
    pub status: String,
    /// Why, as one word.
    pub reason: Option<String>,
    /// Why, in words.
    pub message: Option<String>,
    /// When the controller last confirmed it.
    pub last_update_time: Option<Time>,
}

impl Observe for DeploymentView {
    const KIND: WorkloadKind = WorkloadKind::Deployment;

    fn prune(&mut self) {
        let metadata = &mut self.metadata;
        metadata.managed_fields = None;
        metadata.finalizers = None;
        let own =
            [annotations::PACTICIPANT, annotations::CONTAINER, annotations::VERSION, annotations::APPLICATION_INSTANCE];
        keep(&mut metadata.annotations, |key| own.contains(&key));
        keep(&mut metadata.labels, |key| key == annotations::VERSION_LABEL);
    }

    fn observe(&self, now: Timestamp) -> Workload {
        let metadata = &self.metadata;
        let annotation = |key: &str| metadata.annotations.as_ref().and_then(|all| all.get(key)).cloned();
        let template = self.spec.as_ref().and_then(|spec| spec.template.as_ref()).and_then(|it| it.spec.as_ref());
        let containers = template.and_then(|pod| pod.containers.as_deref()).unwrap_or_default();
        Workload {
            reference: WorkloadRef {
                kind: Self::KIND,
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
            },
            version_label: metadata.labels.as_ref().and_then(|all| all.get(annotations::VERSION_LABEL)).cloned(),
            containers: containers.iter().map(Container::from).collect(),
            rollout: deployment_rollout(self, now),
            deleting: metadata.deletion_timestamp.is_some(),
            canary_owner: canary_owner(metadata),
        }
    }
}

impl From<&ContainerView> for Container {
    fn from(view: &ContainerView) -> Self {
        Self { name: view.name.clone().unwrap_or_default(), image: view.image.clone().unwrap_or_default() }
    }
}

/// The Flagger Canary that controls an object (domain.md case 71). A reference alone is not enough: anybody may own.
fn canary_owner(metadata: &ObjectMeta) -> Option<String> {
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let canary = owners.iter().find(|owner| {
        owner.controller == Some(true) && owner.kind == "Canary" && owner.api_version.starts_with("flagger.app/")
    });
    canary.map(|owner| owner.name.clone())
}

fn keep(map: &mut Option<std::collections::BTreeMap<String, String>>, wanted: impl Fn(&str) -> bool) {
    if let Some(entries) = map {
        entries.retain(|key, _| wanted(key));
        if entries.is_empty() {
            *map = None;
        }
    }
}

#[cfg(test)]
#[path = "deployment_tests.rs"]
mod tests;
