//! The bench's own watch: when it delivered the completion of a rollout.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event, watcher};
use pact_operator::workload::DeploymentView;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use testbed::test_cluster::TestCluster;

/// A rollout that is complete: the Deployment's name and the tag of its image.
#[derive(Clone, Debug)]
pub struct Completion {
    /// The Deployment's name.
    pub name: String,
    /// The tag of its image.
    pub tag: String,
}

/// Watches the Deployments of one namespace until dropped.
pub struct Completions {
    completed: Arc<Mutex<HashMap<(String, String), Instant>>>,
    /// A runtime of its own, so that no other work of the bench delays the watch.
    runtime: Option<Runtime>,
}

impl Completions {
    /// Begins to watch; each completion is noted, and sent to `sender` if there is one.
    pub fn watch(cluster: &TestCluster, namespace: &str, sender: Option<mpsc::UnboundedSender<Completion>>) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = {
            // A client belongs to the runtime in which it is made.
            let _in_it = runtime.enter();
            cluster.client()
        };
        let api: Api<DeploymentView> = Api::namespaced(client, namespace);
        let completed: Arc<Mutex<HashMap<_, _>>> = Arc::default();
        let noted = Arc::clone(&completed);
        runtime.spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                let at = Instant::now();
                let Ok(Event::Apply(deployment) | Event::InitApply(deployment)) = event else { continue };
                let (name, Some(tag)) = (deployment.metadata.name.clone().unwrap_or_default(), tag(&deployment)) else {
                    continue;
                };
                if !complete(&deployment) {
                    continue;
                }
                let mut noted = noted.lock().unwrap();
                if noted.contains_key(&(name.clone(), tag.clone())) {
                    continue;
                }
                noted.insert((name.clone(), tag.clone()), at);
                if let Some(sender) = &sender {
                    drop(sender.send(Completion { name, tag }));
                }
            }
        });
        Self { completed, runtime: Some(runtime) }
    }

    /// When a rollout was complete.
    pub fn of(&self, name: &str, tag: &str) -> Option<Instant> {
        self.completed.lock().unwrap().get(&(name.to_owned(), tag.to_owned())).copied()
    }

    /// When each rollout to a tag was complete.
    pub fn to(&self, tag: &str) -> HashMap<String, Instant> {
        let completed = self.completed.lock().unwrap();
        completed
            .iter()
            .filter(|((_, completed), _)| completed == tag)
            .map(|((name, _), at)| (name.clone(), *at))
            .collect()
    }
}

impl Drop for Completions {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The definition of docs/contributing/rules.md#when-a-rollout-is-finished, written here a second time so that a defect
/// of the operator's cannot hide in both.
fn complete(deployment: &DeploymentView) -> bool {
    let (Some(spec), Some(status)) = (&deployment.spec, &deployment.status) else { return false };
    let wanted = spec.replicas.unwrap_or(1);
    let number = |value: Option<i32>| value.unwrap_or(0);
    status.observed_generation >= deployment.metadata.generation
        && [status.replicas, status.updated_replicas, status.available_replicas].map(number) == [wanted; 3]
        && number(status.terminating_replicas) == 0
}

fn tag(deployment: &DeploymentView) -> Option<String> {
    let pod = deployment.spec.as_ref()?.template.as_ref()?.spec.as_ref()?;
    let image = pod.containers.as_ref()?.first()?.image.as_ref()?;
    Some(image.rsplit_once(':')?.1.to_owned())
}
