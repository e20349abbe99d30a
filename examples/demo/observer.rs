//! The demo's own watch of the cluster: it records each state of the Deployments and when it was reported.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};

use testbed::rollout::Progress;

/// A Deployment at one moment, as the watch reported it.
#[derive(Clone, Debug)]
pub struct Observed {
    /// When the watch reported it.
    pub at: Instant,
    /// The Deployment's name.
    pub name: String,
    /// The tag of its image: the version that its pods shall run.
    pub version: String,
    /// The numbers of its status.
    pub progress: Progress,
    /// Whether the status says that the rollout failed.
    pub failed: bool,
    /// Whether it is being, or has been, deleted.
    pub gone: bool,
}

impl Observed {
    fn of(deployment: &Deployment, gone: bool) -> Self {
        let template = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let image = template.and_then(|pod| pod.containers.first()?.image.clone()).unwrap_or_default();
        let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let failed = conditions.into_iter().any(|one| one.type_ == "Progressing" && one.status == "False");
        Self {
            at: Instant::now(),
            name: deployment.name_any(),
            version: image.rsplit(':').next().unwrap_or_default().to_owned(),
            progress: Progress::of(deployment),
            failed,
            gone: gone || deployment.metadata.deletion_timestamp.is_some(),
        }
    }

    /// Whether the rollout has finished: the status is about the present spec, all pods are new and available, and no
    /// old pod still terminates.
    pub fn complete(&self) -> bool {
        let it = self.progress;
        let all = [it.replicas, it.updated, it.available] == [it.wanted; 3];
        it.observed && all && it.terminating == 0 && !self.failed && !self.gone
    }

    /// The numbers in one line, much as `kubectl get deployment` puts them.
    pub fn describe(&self) -> String {
        let it = self.progress;
        if self.gone {
            return format!("the Deployment {} is deleted", self.name);
        }
        if self.failed {
            return "the progress deadline has passed: rollout failed".to_owned();
        }
        if self.complete() {
            return format!("{} of {} pods run {}: rollout complete", it.updated, it.wanted, self.version);
        }
        let old = it.replicas - it.updated;
        let old = if old > 0 { format!(", {old} of the old left") } else { String::new() };
        format!("{} of {} pods updated{old}, {} available", it.updated, it.wanted, it.available)
    }
}

/// Every state observed so far; clones share it.
#[derive(Clone, Default)]
pub struct Observer(Arc<Mutex<Vec<Observed>>>);

impl Observer {
    /// Watches the Deployments of a namespace until the demo ends.
    pub fn start(client: Client, namespace: &str) -> Self {
        let observer = Self::default();
        let (states, api) = (observer.clone(), Api::<Deployment>::namespaced(client, namespace));
        tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
            while let Some(event) = events.next().await {
                let state = match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                        Observed::of(&object, false)
                    }
                    Ok(watcher::Event::Delete(object)) => Observed::of(&object, true),
                    // The watcher tries again by itself.
                    Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
                };
                states.0.lock().unwrap_or_else(PoisonError::into_inner).push(state);
            }
        });
        observer
    }

    /// The states of a Deployment observed since then, in order.
    pub fn since(&self, since: Instant, name: &str) -> Vec<Observed> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states.iter().filter(|state| state.at >= since && state.name == name).cloned().collect()
    }
}
