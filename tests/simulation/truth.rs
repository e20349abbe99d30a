//! What really is in the cluster: workloads and their pods, and the pods that were left behind.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use pact_operator::{
    api::annotations::PACTICIPANT,
    workload::{
        DeploymentView, WorkloadKind, WorkloadRef,
        kinds::{
            ContainerView, DeploymentConditionView, DeploymentSpecView, DeploymentStatusView, PodSpecView,
            PodTemplateView,
        },
    },
};

/// A Deployment, and the pods that it has.
#[derive(Clone, Debug)]
pub struct Truth {
    pub uid: u64,
    pub generation: i64,
    pub observed: i64,
    pub pacticipant: Option<String>,
    pub version: String,
    pub replicas: u32,
    /// How many pods there are of each version.
    pub pods: BTreeMap<String, u32>,
    /// The newest template was available as a whole once.
    pub confirmed: bool,
}

impl Truth {
    pub fn new(uid: u64, pacticipant: &str, version: &str) -> Self {
        Self {
            uid,
            generation: 1,
            observed: 0,
            pacticipant: Some(pacticipant.to_owned()),
            version: version.to_owned(),
            replicas: 2,
            pods: BTreeMap::new(),
            confirmed: false,
        }
    }

    pub fn all_pods(&self) -> u32 {
        self.pods.values().sum()
    }

    /// Whether it runs its version and no other, and does so as a whole, or did once: pods may crash or be scaled since (case
    /// 75).
    pub fn finished(&self) -> bool {
        let no_other = self.pods.keys().all(|version| *version == self.version);
        let whole = self.all_pods() == self.replicas;
        self.observed == self.generation && no_other && (whole || self.confirmed)
    }

    /// One step of the Deployment controller.
    pub fn progress(&mut self) {
        if self.observed < self.generation {
            self.observed = self.generation;
            self.confirmed = self.confirmed && self.pods.keys().all(|version| *version == self.version);
            return;
        }
        let old = self.pods.keys().find(|version| **version != self.version).cloned();
        if let Some(old) = old {
            self.remove_one(&old);
            if self.all_pods() < self.replicas {
                *self.pods.entry(self.version.clone()).or_default() += 1;
            }
        } else if self.all_pods() < self.replicas {
            *self.pods.entry(self.version.clone()).or_default() += 1;
        } else if self.all_pods() > self.replicas {
            let version = self.version.clone();
            self.remove_one(&version);
        } else {
            self.confirmed = true;
        }
    }

    fn remove_one(&mut self, version: &str) {
        let count = self.pods.get_mut(version).expect("a pod of it");
        *count -= 1;
        if *count == 0 {
            self.pods.remove(version);
        }
    }

    /// The object as an API server has it. `observed` says whether the status tells which generation it describes; the
    /// mutant without that check sees none.
    pub fn object(&self, reference: &WorkloadRef, blind: bool) -> DeploymentView {
        let number = |count: u32| Some(i32::try_from(count).unwrap());
        // The status is about the template that the controller has seen.
        let seen = self.observed == self.generation;
        let newest = if seen { self.pods.get(&self.version).copied().unwrap_or_default() } else { self.all_pods() };
        let reason = if self.confirmed { "NewReplicaSetAvailable" } else { "ReplicaSetUpdated" };
        let annotations = self.pacticipant.iter().map(|name| (PACTICIPANT.to_owned(), name.clone())).collect();
        let image = format!("registry.example.com/app:{}", self.version);
        DeploymentView {
            metadata: ObjectMeta {
                name: Some(reference.name.clone()),
                namespace: Some(reference.namespace.clone()),
                uid: Some(self.uid.to_string()),
                generation: Some(self.generation),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            spec: Some(DeploymentSpecView {
                replicas: number(self.replicas),
                template: Some(PodTemplateView {
                    metadata: None,
                    spec: Some(PodSpecView {
                        containers: Some(vec![ContainerView { name: Some("app".into()), image: Some(image) }]),
                        termination_grace_period_seconds: None,
                    }),
                }),
                ..DeploymentSpecView::default()
            }),
            status: Some(DeploymentStatusView {
                observed_generation: Some(if blind { self.generation } else { self.observed }),
                replicas: number(self.all_pods()),
                updated_replicas: number(newest),
                available_replicas: number(self.all_pods()),
                terminating_replicas: None,
                conditions: Some(vec![DeploymentConditionView {
                    type_: "Progressing".into(),
                    status: "True".into(),
                    reason: Some(reason.into()),
                    ..DeploymentConditionView::default()
                }]),
            }),
        }
    }
}

/// Pods whose Deployment is gone: `kubectl delete --cascade=orphan`.
#[derive(Clone, Debug)]
pub struct Left {
    pub namespace: String,
    pub pacticipant: String,
    pub versions: BTreeSet<String>,
    /// The environment in which the operator knew them.
    pub stage: String,
}

pub fn deployment(namespace: &str, name: &str) -> WorkloadRef {
    WorkloadRef { kind: WorkloadKind::Deployment, namespace: namespace.into(), name: name.into() }
}

/// The cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub workloads: BTreeMap<WorkloadRef, Truth>,
    pub left: Vec<Left>,
    /// The stage of each namespace: the environment that claims it.
    pub stages: BTreeMap<String, String>,
}

impl Cluster {
    /// The workloads that run a pacticipant in an environment, by reference.
    pub fn members<'a>(
        &'a self,
        environment: &'a str,
        pacticipant: &'a str,
    ) -> impl Iterator<Item = (&'a WorkloadRef, &'a Truth)> {
        let here =
            move |reference: &WorkloadRef| self.stages.get(&reference.namespace).is_some_and(|it| it == environment);
        let named = move |truth: &Truth| truth.pacticipant.as_deref() == Some(pacticipant);
        self.workloads.iter().filter(move |(reference, truth)| here(reference) && named(truth))
    }

    /// The workloads that run a pacticipant in an environment.
    pub fn of<'a>(&'a self, environment: &'a str, pacticipant: &'a str) -> impl Iterator<Item = &'a Truth> {
        self.members(environment, pacticipant).map(|(_, truth)| truth)
    }

    /// The versions of a pacticipant of which pods serve in an environment, with or without a workload.
    pub fn serves(&self, environment: &str, pacticipant: &str) -> BTreeSet<String> {
        let left = self.left.iter().filter(|left| left.pacticipant == pacticipant && left.stage == environment);
        let of_workloads = self.of(environment, pacticipant).flat_map(|truth| truth.pods.keys());
        of_workloads.chain(left.flat_map(|left| &left.versions)).cloned().collect()
    }

    /// The versions that a workload of the pacticipant has finished in an environment.
    pub fn finished(&self, environment: &str, pacticipant: &str) -> BTreeSet<String> {
        self.of(environment, pacticipant).filter(|it| it.finished()).map(|it| it.version.clone()).collect()
    }
}
