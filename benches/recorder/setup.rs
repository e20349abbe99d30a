//! The set-up of the measurements: a test cluster for each part, with Deployments made many at a time.

use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use pact_operator::api::{PactDeployment, PactEnvironment};
use serde_json::json;

use crate::started::{self, Started};
use testbed::audit;
use testbed::eventually::eventually;
use testbed::operator::{Operator, SERVICE_ACCOUNT};
use testbed::standin::{StandIn, WriteKind};
use testbed::test_cluster::{OPERATOR_NAMESPACE, TestCluster, annotated, image};

/// Longer than anything measured should take on the slowest machine.
pub const PATIENCE: Duration = Duration::from_mins(15);

/// How many requests the bench itself has under way at the API server.
const AT_ONCE: usize = 50;

/// How many namespaces there are, and how many Deployments are in each at most: for no more keys than that may the workloads
/// of one namespace speak.
const NAMESPACES: usize = 10;
const IN_NAMESPACE: usize = 1_000;

/// A test cluster with namespaces that are mapped to one environment.
pub struct Setup {
    /// Control plane and broker.
    pub cluster: TestCluster,
    /// The first namespace.
    pub namespace: String,
    namespaces: Vec<String>,
    /// The environment.
    pub environment: String,
}

impl Setup {
    /// A new one, without operator.
    pub async fn new() -> Self {
        let cluster = TestCluster::without_operator().await;
        let mut namespaces = Vec::new();
        for _ in 0..NAMESPACES {
            namespaces.push(cluster.namespace().await);
        }
        let names: Vec<&str> = namespaces.iter().map(String::as_str).collect();
        let environment = cluster.environment(&names, json!({})).await;
        Self { cluster, namespace: namespaces[0].clone(), namespaces, environment }
    }

    /// The namespace of the Deployment of a number.
    fn namespace_of(&self, number: usize) -> &str {
        &self.namespaces[number / IN_NAMESPACE]
    }

    /// Gives the namespace to another environment, and takes away what the cluster and the broker know of the one before.
    /// No operator may run meanwhile.
    pub async fn forget(&mut self) {
        let (client, how, all) = (self.cluster.client(), DeleteParams::default(), ListParams::default());
        drop(Api::<PactEnvironment>::all(client.clone()).delete_collection(&how, &all).await.unwrap());
        drop(Api::<PactDeployment>::all(client).delete_collection(&how, &all).await.unwrap());
        self.cluster.broker.store().remove_environment(&self.environment);
        self.cluster.broker.clear_writes();
        self.environment = self.cluster.environment(&[&self.namespace], json!({})).await;
    }

    /// Starts the operator with its default settings and waits until it is ready.
    pub async fn start_operator(&self) -> Operator {
        self.start_timed().await.operator
    }

    /// The same; returns when it started, and when it was ready, too.
    pub async fn start_timed(&self) -> Started {
        started::start_timed(&self.cluster).await
    }

    /// Makes the broker know these versions of all applications `NAME-0`, `NAME-1`, …
    pub fn publish(&self, name: &str, count: usize, versions: &[&str]) {
        publish(&self.cluster.broker, name, count, versions);
    }

    /// Creates annotated Deployments `NAME-FROM` … of one version, many at a time.
    pub async fn create(&self, name: &str, range: std::ops::Range<usize>, version: &str, replicas: u32) {
        let client = self.cluster.client();
        let creations = stream::iter(range).map(|number| {
            let (client, name) = (client.clone(), format!("{name}-{number}"));
            async move {
                annotated(&name, &name, version).replicas(replicas).create(&client, self.namespace_of(number)).await;
            }
        });
        creations.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    /// Gives all of them the image of another version, many at a time.
    pub async fn set_version(&self, name: &str, count: usize, version: &str) {
        let containers = json!([{"name": "app", "image": image(version)}]);
        self.patch_all(
            name,
            0..count,
            None,
            |_| json!({"spec": {"template": {"spec": {"containers": containers.clone()}}}}),
        )
        .await;
    }

    /// Writes the status that the Deployment controller writes when it has observed a generation and nothing else has
    /// changed.
    pub async fn set_observed(&self, name: &str, range: std::ops::Range<usize>, generation: i64) {
        self.patch_all(name, range, Some("status"), |_| json!({"status": {"observedGeneration": generation}})).await;
    }

    async fn patch_all(
        &self,
        name: &str,
        range: std::ops::Range<usize>,
        subresource: Option<&str>,
        patch: impl Fn(usize) -> serde_json::Value,
    ) {
        let client = self.cluster.client();
        let patches = stream::iter(range).map(|number| {
            let (name, patch) = (format!("{name}-{number}"), Patch::Strategic(patch(number)));
            let api: Api<Deployment> = Api::namespaced(client.clone(), self.namespace_of(number));
            async move {
                let how = PatchParams::default();
                let patched = match subresource {
                    Some(_) => api.patch_status(&name, &how, &patch).await,
                    None => api.patch(&name, &how, &patch).await,
                };
                drop(patched.unwrap_or_else(|error| panic!("cannot patch {name}: {error}")));
            }
        });
        patches.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    }

    /// Waits until the Deployment controller has observed every Deployment.
    pub async fn wait_observed(&self, count: usize) {
        let api: Api<Deployment> = Api::all(self.cluster.client());
        eventually("all Deployments to be observed", PATIENCE, async || {
            let all = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let seen = all.items.iter().filter(|one| {
                one.status.as_ref().and_then(|status| status.observed_generation) == one.metadata.generation
            });
            let seen = seen.count();
            if seen == count { Ok(()) } else { Err(format!("{seen} of {count}")) }
        })
        .await;
    }

    /// Waits until so many rows of a version were written since the writes were last cleared.
    pub async fn wait_rows(&self, version: &str, count: usize) {
        eventually(format!("{count} rows of {version}"), PATIENCE, async || {
            let rows = rows(&self.cluster.broker, &self.environment, version).len();
            if rows == count { Ok(()) } else { Err(format!("{rows} rows")) }
        })
        .await;
    }

    /// Waits until so many records have this version as recorded: the operator has finished with their rollouts.
    pub async fn wait_recorded_in_cluster(&self, version: &str, count: usize) {
        let api = Api::<PactDeployment>::all(self.cluster.client());
        eventually(format!("records with {version} as recorded"), PATIENCE, async || {
            let all = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let recorded = all.items.into_iter().filter_map(|one| Some(one.status?.recorded?.version));
            let recorded = recorded.filter(|recorded| recorded == version).count();
            if recorded == count { Ok(()) } else { Err(format!("{recorded} of {count}")) }
        })
        .await;
    }

    /// All requests that operators have made to the API server so far.
    pub fn api_requests(&self) -> Vec<audit::Request> {
        audit::requests(&self.cluster.control_plane, OPERATOR_NAMESPACE, SERVICE_ACCOUNT)
    }

    /// Waits until the status of the `PactEnvironment` counts so many recorded workloads, and nothing more happens.
    pub async fn wait_settled(&self, recorded: usize) {
        let api = Api::<PactEnvironment>::all(self.cluster.client());
        eventually(format!("{recorded} workloads to be counted as recorded"), PATIENCE, async || {
            let status =
                api.get(&self.environment).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            if usize::try_from(status.recorded) == Ok(recorded) {
                Ok(())
            } else {
                Err(format!("{} are", status.recorded))
            }
        })
        .await;
    }
}

/// Makes a broker know these versions of all applications `NAME-0`, `NAME-1`, …
pub fn publish(broker: &StandIn, name: &str, count: usize, versions: &[&str]) {
    for number in 0..count {
        for version in versions {
            broker.store().publish_version(&format!("{name}-{number}"), version);
        }
    }
}

/// The rows of a version that clients wrote into an environment, with the moment of each: `(pacticipant, when)`.
pub fn rows(broker: &StandIn, environment: &str, version: &str) -> Vec<(String, Instant)> {
    let writes = broker.writes().into_iter();
    writes
        .filter(|write| write.kind == WriteKind::Deployed)
        .filter(|write| write.environment == environment && write.version == version)
        .map(|write| (write.pacticipant, write.at))
        .collect()
}

/// Lets a process come to rest before its memory is read. There is no event to wait for.
pub async fn rest() {
    tokio::time::sleep(Duration::from_secs(5)).await;
}
