//! Which versions have finished their rollout: the truth that the broker's rows are compared with, from a watch of our own.
//!
//! The API server gives each watch each state of an object. So a state that the operator has seen is one that this watch
//! sees, too; unless the watch breaks off and has to list again, which is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::task::AbortHandle;

use testbed::rollout::Progress;

/// What the watch has seen so far. Dropping it ends the watch.
pub struct Finished {
    seen: Arc<Mutex<Seen>>,
    watching: AbortHandle,
}

#[derive(Default)]
struct Seen {
    /// Each Deployment's versions that were complete at one moment.
    finished: BTreeMap<String, BTreeSet<String>>,
    /// Each Deployment's version, if its rollout is complete now.
    now: BTreeMap<String, Option<String>>,
    lists: usize,
}

impl Finished {
    /// Watches the Deployments of a namespace from now on.
    pub fn watch(client: Client, namespace: &str) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let api = Api::<Deployment>::namespaced(client, namespace);
        let into = Arc::clone(&seen);
        let watching = tokio::spawn(async move {
            let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
            while let Some(event) = events.next().await {
                let mut seen = into.lock().unwrap();
                match event {
                    Ok(Event::Apply(deployment) | Event::InitApply(deployment)) => seen.add(&deployment),
                    Ok(Event::Init) => seen.lists += 1,
                    Ok(Event::InitDone | Event::Delete(_)) => {}
                    Err(error) => eprintln!("the watch of the Deployments: {error}"),
                }
            }
        });
        Self { seen, watching: watching.abort_handle() }
    }

    /// Whether this version of a Deployment was ever complete.
    pub fn ever(&self, app: &str, version: &str) -> bool {
        let seen = self.seen.lock().unwrap();
        seen.finished.get(app).is_some_and(|versions| versions.contains(version))
    }

    /// The Deployment's version, if its rollout is complete now.
    pub fn now(&self, app: &str) -> Option<String> {
        self.seen.lock().unwrap().now.get(app).cloned().flatten()
    }

    /// How many versions have finished, of all Deployments.
    pub fn count(&self) -> usize {
        self.seen.lock().unwrap().finished.values().map(BTreeSet::len).sum()
    }

    /// How many times the watch began anew and may have missed a state; 0 is right.
    pub fn gaps(&self) -> usize {
        self.seen.lock().unwrap().lists.saturating_sub(1)
    }
}

impl Drop for Finished {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Seen {
    fn add(&mut self, deployment: &Deployment) {
        let (name, version) = (deployment.name_any(), version(deployment));
        let progress = Progress::of(deployment);
        let all = [progress.replicas, progress.updated, progress.available];
        let complete = progress.observed && all.iter().all(|number| *number == progress.wanted);
        if complete {
            self.finished.entry(name.clone()).or_default().insert(version.clone());
        }
        self.now.insert(name, complete.then_some(version));
    }
}

/// The tag of the image.
fn version(deployment: &Deployment) -> String {
    let pods = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let image = pods.and_then(|pods| pods.containers.first()?.image.as_deref());
    image.and_then(|image| image.rsplit_once(':')).map(|(_, tag)| tag.to_owned()).expect("an image with a tag")
}
