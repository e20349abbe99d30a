//! The set-up of the measurements: a control plane and a broker whose contents grow step by step.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use pact_operator::api::{PactDeployment, PactEnvironment, annotations};
use serde_json::json;

use crate::deployment::{finished, realistic};
use crate::measured::until_at_rest;
use crate::started::start_timed;
use crate::world::World;
use testbed::components::Component;
use testbed::eventually::eventually;
use testbed::test_cluster::TestCluster;

/// Longer than anything measured should take on the slowest machine.
pub const PATIENCE: Duration = Duration::from_mins(15);

/// The version of all Deployments but the first.
const VERSION: &str = "1.0.0";
/// How many requests the bench itself has under way at the API server.
const AT_ONCE: usize = 50;

/// See the module.
pub struct Setup {
    /// Control plane and broker.
    pub cluster: TestCluster,
    client: Client,
    namespaces: Vec<String>,
    environments: Vec<String>,
    /// The pacticipant of each Deployment that is there.
    pacticipants: Vec<Option<usize>>,
    /// How often the first Deployment was rolled out.
    pub rollouts: i64,
}

impl Setup {
    /// A new one, with one environment over all namespaces and nothing in them. Nothing but the bench writes statuses.
    pub async fn new(namespaces: usize) -> Self {
        let cluster = TestCluster::without_operator().await;
        cluster.control_plane.stop(Component::ControllerManager);
        let client = cluster.client();
        let names: Vec<String> = (0..namespaces).map(|number| format!("team-{number}")).collect();
        let api: Api<Namespace> = Api::all(client.clone());
        for name in &names {
            let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
            drop(api.create(&PostParams::default(), &object).await.unwrap());
        }
        let mut setup = Self {
            cluster,
            client,
            namespaces: names,
            environments: Vec::new(),
            pacticipants: Vec::new(),
            rollouts: 0,
        };
        setup.divide(1).await;
        setup
    }

    /// Makes the cluster what it is to be, and lets the operator remember what the broker knows of it.
    pub async fn become_(&mut self, world: &World) {
        let names = |setup: &Self| setup.pacticipants.iter().flatten().copied().collect::<BTreeSet<_>>();
        let before = names(self);
        self.annotate(world).await;
        self.create(world).await;
        if self.environments.len() != world.environments || !before.is_subset(&names(self)) {
            self.divide(world.environments).await;
        }
        let keys = self.keys();
        let store = self.cluster.broker.store();
        for (pacticipant, environment) in &keys {
            if store.current(environment, pacticipant).is_empty() {
                store.record_deployment(pacticipant, &self.version_of(pacticipant), environment, None);
            }
        }
        let started = start_timed(&self.cluster).await;
        self.wait_recorded(keys.len()).await;
        // The verdicts of all are checked, too.
        until_at_rest(&started.operator).await;
        started.stop().await;
    }

    /// The name of a pacticipant.
    pub fn pacticipant(number: usize) -> String {
        format!("shop-service-{number}")
    }

    /// The environment of the first Deployment.
    pub fn first_environment(&self) -> &str {
        &self.environments[0]
    }

    /// The Deployments of the namespace of one of them.
    pub fn api_of(&self, deployment: usize) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespaces[deployment % self.namespaces.len()])
    }

    /// The name of a Deployment.
    pub fn name_of(deployment: usize) -> String {
        format!("service-{deployment}")
    }

    /// The version that the first Deployment runs after so many rollouts.
    pub fn version(rollouts: i64) -> String {
        format!("1.0.{rollouts}")
    }

    fn version_of(&self, pacticipant: &str) -> String {
        if pacticipant == Self::pacticipant(0) { Self::version(self.rollouts) } else { VERSION.to_owned() }
    }

    /// What is to be recorded: pacticipants and environments.
    fn keys(&self) -> BTreeSet<(String, String)> {
        let all = self.pacticipants.iter().enumerate();
        all.filter_map(|(deployment, pacticipant)| {
            let space = deployment % self.namespaces.len();
            let environment = self.environments[space % self.environments.len()].clone();
            pacticipant.map(|pacticipant| (Self::pacticipant(pacticipant), environment))
        })
        .collect()
    }

    /// Annotates the Deployments that are there anew, where they name another pacticipant.
    async fn annotate(&mut self, world: &World) {
        let all = self.pacticipants.iter().enumerate();
        let others = all.filter(|(deployment, now)| world.pacticipant(*deployment) != **now);
        let others: Vec<usize> = others.map(|(deployment, _)| deployment).collect();
        at_once(others.iter().copied(), async |deployment| {
            let pacticipant = world.pacticipant(deployment).map(Self::pacticipant);
            let patch = Patch::Merge(json!({"metadata": {"annotations": {annotations::PACTICIPANT: pacticipant}}}));
            let name = Self::name_of(deployment);
            let patched = self.api_of(deployment).patch(&name, &PatchParams::default(), &patch).await.unwrap();
            // A Deployment's annotations belong to what its generation counts.
            self.finish(deployment, patched.metadata.generation.unwrap()).await;
        })
        .await;
        for deployment in others {
            self.pacticipants[deployment] = world.pacticipant(deployment);
        }
    }

    async fn create(&mut self, world: &World) {
        let (more, began) = (self.pacticipants.len()..world.deployments, Instant::now());
        at_once(more.clone(), async |deployment| {
            let pacticipant = world.pacticipant(deployment).map(Self::pacticipant);
            let object = realistic(&Self::name_of(deployment), pacticipant.as_deref(), VERSION);
            drop(self.api_of(deployment).create(&PostParams::default(), &object).await.unwrap());
            if pacticipant.is_some() {
                self.finish(deployment, 1).await;
            }
        })
        .await;
        if !more.is_empty() {
            eprintln!("{} Deployments created in {:.1} s", more.len(), began.elapsed().as_secs_f64());
        }
        self.pacticipants.extend(more.map(|deployment| world.pacticipant(deployment)));
    }

    /// Writes the status of one. Of those that are not annotated nobody looks at it.
    async fn finish(&self, deployment: usize, generation: i64) {
        let status = Patch::Merge(finished(generation));
        let name = Self::name_of(deployment);
        drop(self.api_of(deployment).patch_status(&name, &PatchParams::default(), &status).await.unwrap());
    }

    /// Divides the namespaces among new environments, of which nothing is recorded in the cluster.
    async fn divide(&mut self, environments: usize) {
        let (how, all) = (DeleteParams::default(), ListParams::default());
        drop(Api::<PactEnvironment>::all(self.client.clone()).delete_collection(&how, &all).await.unwrap());
        drop(Api::<PactDeployment>::all(self.client.clone()).delete_collection(&how, &all).await.unwrap());
        for environment in &self.environments {
            self.cluster.broker.store().remove_environment(environment);
        }
        self.environments.clear();
        for number in 0..environments {
            let of_it = self.namespaces.iter().skip(number).step_by(environments);
            let of_it: Vec<&str> = of_it.map(String::as_str).collect();
            self.environments.push(self.cluster.environment(&of_it, json!({})).await);
        }
    }

    /// Waits until the statuses of the environments count so many as recorded.
    async fn wait_recorded(&self, keys: usize) {
        let api = Api::<PactEnvironment>::all(self.client.clone());
        eventually(format!("{keys} to be counted as recorded"), PATIENCE, async || {
            let all = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let recorded: i32 = all.items.into_iter().filter_map(|one| Some(one.status?.recorded)).sum();
            if usize::try_from(recorded) == Ok(keys) { Ok(()) } else { Err(format!("{recorded} are")) }
        })
        .await;
    }
}

/// Does something for many, so many at once.
async fn at_once(all: impl Iterator<Item = usize>, one: impl AsyncFn(usize)) {
    stream::iter(all).map(|number| one(number)).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// Lets a process come to rest before its memory is read. There is no event to wait for.
pub async fn rest() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}
