//! Deployments that roll out.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{kubectl, node};
use crate::eventually::eventually;

/// How long a rollout of ready pods may take on a busy machine.
const ROLLOUT: Duration = Duration::from_mins(1);

/// A Deployment to apply: `deployment("orders").image("reg/orders:1.0.0").replicas(2)`. One container `app` unless
/// [`Self::container`] adds one; its pods carry the label `app: NAME`.
#[derive(Clone, Debug)]
pub struct Rollout {
    name: String,
    manifest: Value,
}

/// Starts a [`Rollout`] with one replica of the image `reg.test/NAME:1.0.0`.
pub fn deployment(name: &str) -> Rollout {
    let manifest = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": {}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {}},
                "spec": {"containers": [{"name": "app", "image": format!("reg.test/{name}:1.0.0")}]},
            },
        },
    });
    Rollout { name: name.to_owned(), manifest }
}

impl Rollout {
    /// The image of the first container.
    #[must_use]
    pub fn image(mut self, image: &str) -> Self {
        self.manifest["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        self
    }

    /// One more container.
    #[must_use]
    pub fn container(mut self, name: &str, image: &str) -> Self {
        let containers = self.manifest["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap();
        containers.push(json!({"name": name, "image": image}));
        self
    }

    /// How many pods; zero is fine.
    #[must_use]
    pub fn replicas(self, replicas: u32) -> Self {
        self.spec("replicas", json!(replicas))
    }

    /// An annotation of the Deployment (not of its pods).
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.manifest["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// A label of the Deployment (not of its pods).
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.manifest["metadata"]["labels"][key] = json!(value);
        self
    }

    /// A label of the pods.
    #[must_use]
    pub fn pod_label(mut self, key: &str, value: &str) -> Self {
        self.manifest["spec"]["template"]["metadata"]["labels"][key] = json!(value);
        self
    }

    /// An annotation of the pods.
    #[must_use]
    pub fn pod_annotation(mut self, key: &str, value: &str) -> Self {
        self.manifest["spec"]["template"]["metadata"]["annotations"][key] = json!(value);
        self
    }

    /// Its pods run but never become ready.
    #[must_use]
    pub fn never_ready(self) -> Self {
        self.pod_label("testbed/ready", "never")
    }

    /// Its pods become ready this much later.
    #[must_use]
    pub fn ready_after(self, time: Duration) -> Self {
        self.pod_label("testbed/ready", "slow")
            .pod_annotation("testbed/ready-after", &format!("{}ms", time.as_millis()))
    }

    /// Its pods stay unready until [`Live::release`].
    #[must_use]
    pub fn held(self) -> Self {
        self.pod_label("testbed/ready", "hold")
    }

    /// Its pods take this long to terminate.
    #[must_use]
    pub fn terminates_after(self, time: Duration) -> Self {
        let after = format!("{}ms", time.as_millis());
        self.pod_label("testbed/terminate", "slow").pod_annotation("testbed/terminate-after", &after)
    }

    /// Its pods stay terminating until [`Live::release_terminating`].
    #[must_use]
    pub fn held_terminating(self) -> Self {
        self.pod_label("testbed/terminate", "hold")
    }

    /// All old pods are gone before the first new pod is created.
    #[must_use]
    pub fn strategy_recreate(self) -> Self {
        self.spec("strategy", json!({"type": "Recreate"}))
    }

    /// `spec.progressDeadlineSeconds`.
    #[must_use]
    pub fn progress_deadline(self, seconds: u32) -> Self {
        self.spec("progressDeadlineSeconds", json!(seconds))
    }

    /// `spec.minReadySeconds`.
    #[must_use]
    pub fn min_ready(self, seconds: u32) -> Self {
        self.spec("minReadySeconds", json!(seconds))
    }

    /// `terminationGracePeriodSeconds` of the pods.
    #[must_use]
    pub fn termination_grace(mut self, seconds: u32) -> Self {
        self.manifest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(seconds);
        self
    }

    /// `spec.paused`.
    #[must_use]
    pub fn paused(self, paused: bool) -> Self {
        self.spec("paused", json!(paused))
    }

    /// The whole manifest, for what has no method here.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.manifest);
        self
    }

    /// The manifest, for kubectl.
    pub fn manifest(&self) -> &Value {
        &self.manifest
    }

    /// Applies it server-side: creates or changes it. Does not wait.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn apply(&self, client: &Client, namespace: &str) -> Live {
        match self.try_apply(client, namespace).await {
            Ok(live) => live,
            Err(error) => panic!("the API server refuses the Deployment {namespace}/{}: {error}", self.name),
        }
    }

    /// As [`Self::apply`].
    ///
    /// # Errors
    /// The API server's error, for example an admission webhook's denial.
    pub async fn try_apply(&self, client: &Client, namespace: &str) -> Result<Live, Box<kube::Error>> {
        let live = Live::new(client, namespace, &self.name);
        let how = PatchParams::apply("testbed").force();
        live.api.patch(&self.name, &how, &Patch::Apply(&self.manifest)).await.map_err(Box::new)?;
        Ok(live)
    }

    /// Creates it with a plain POST, as a client that does not know server-side apply.
    ///
    /// # Panics
    /// When the API server refuses it, also because it exists.
    pub async fn create(&self, client: &Client, namespace: &str) -> Live {
        let live = Live::new(client, namespace, &self.name);
        let object: Deployment = serde_json::from_value(self.manifest.clone()).unwrap();
        let created = live.api.create(&PostParams::default(), &object).await;
        drop(created.unwrap_or_else(|error| panic!("cannot create {namespace}/{}: {error}", self.name)));
        live
    }

    fn spec(mut self, key: &str, value: Value) -> Self {
        self.manifest["spec"][key] = value;
        self
    }
}

/// A Deployment in the cluster.
#[derive(Clone)]
pub struct Live {
    api: Api<Deployment>,
    client: Client,
    namespace: String,
    name: String,
}

impl Live {
    /// The Deployment of this name, which should exist.
    pub fn new(client: &Client, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        Self { api, client: client.clone(), namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The object as it is now.
    pub async fn get(&self) -> Deployment {
        self.api.get(&self.name).await.unwrap_or_else(|error| panic!("no Deployment {}: {error}", self.name))
    }

    /// `kubectl set image`: the image of the container `app`.
    pub async fn set_image(&self, image: &str) {
        self.set_container_image("app", image).await;
    }

    /// The image of one container.
    pub async fn set_container_image(&self, container: &str, image: &str) {
        let containers = json!([{"name": container, "image": image}]);
        self.patch(json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
    }

    /// Scales it.
    pub async fn set_replicas(&self, replicas: u32) {
        self.patch(json!({"spec": {"replicas": replicas}})).await;
    }

    /// `kubectl rollout pause`.
    pub async fn pause(&self) {
        self.patch(json!({"spec": {"paused": true}})).await;
    }

    /// `kubectl rollout resume`.
    pub async fn resume(&self) {
        self.patch(json!({"spec": {"paused": null}})).await;
    }

    /// Sets annotations of the Deployment; `None` removes one.
    pub async fn annotate(&self, key: &str, value: Option<&str>) {
        self.patch(json!({"metadata": {"annotations": {key: value}}})).await;
    }

    /// Sets a label of the pods (a new rollout); `None` removes it.
    pub async fn set_pod_label(&self, key: &str, value: Option<&str>) {
        self.patch(json!({"spec": {"template": {"metadata": {"labels": {key: value}}}}})).await;
    }

    /// A strategic merge patch, as kubectl sends it.
    pub async fn patch(&self, patch: Value) {
        let result = self.api.patch(&self.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        result.unwrap_or_else(|error| panic!("cannot patch the Deployment {}: {error}", self.name));
    }

    /// The real `kubectl rollout undo`, to the revision before.
    pub async fn undo(&self, kubeconfig: &Path) {
        let target = format!("deployment/{}", self.name);
        kubectl::kubectl_ok(kubeconfig, &["rollout", "undo", &target, "-n", &self.namespace]).await;
    }

    /// Deletes it (its pods go in the background).
    pub async fn delete(&self) {
        let result = self.api.delete(&self.name, &DeleteParams::background()).await;
        drop(result.unwrap_or_else(|error| panic!("cannot delete the Deployment {}: {error}", self.name)));
    }

    /// Lets its held pods become ready; see [`node::release_pods`].
    pub async fn release(&self) {
        node::release_pods(&self.client, &self.namespace, &format!("app={}", self.name)).await;
    }

    /// Lets its held terminating pods go; see [`node::release_terminating`].
    pub async fn release_terminating(&self) {
        node::release_terminating(&self.client, &self.namespace, &format!("app={}", self.name)).await;
    }

    /// Waits until the rollout of the present spec is complete: observed, and all replicas updated and available,
    /// none old. (Old pods may still be terminating.)
    pub async fn wait_complete(&self) -> Deployment {
        self.wait("its rollout to complete", |deployment| {
            let progress = Progress::of(deployment);
            progress.observed
                && [progress.updated, progress.available, progress.replicas].iter().all(|n| *n == progress.wanted)
        })
        .await
    }

    /// Waits until all new pods exist, ready or not.
    pub async fn wait_updated(&self) -> Deployment {
        self.wait("all its new pods to exist", |deployment| {
            let progress = Progress::of(deployment);
            progress.observed && progress.updated == progress.wanted
        })
        .await
    }

    /// Waits until the condition `Progressing` is `False`: the deadline has passed.
    pub async fn wait_failed(&self) -> Deployment {
        self.wait("its progress deadline to pass", |deployment| {
            let conditions = deployment.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|one| one.type_ == "Progressing" && one.status == "False")
        })
        .await
    }

    /// Waits until the object satisfies `condition`, and gives it.
    pub async fn wait(&self, what: &str, condition: impl Fn(&Deployment) -> bool) -> Deployment {
        let what = format!("the Deployment {}/{}: {what}", self.namespace, self.name);
        eventually(what, ROLLOUT, || async {
            let deployment = self.api.get(&self.name).await.map_err(|error| error.to_string())?;
            if condition(&deployment) { Ok(deployment) } else { Err(format!("{:?}", Progress::of(&deployment))) }
        })
        .await
    }
}

/// The numbers that show the progress of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    pub observed: bool,
    pub wanted: i32,
    pub replicas: i32,
    pub updated: i32,
    pub available: i32,
    pub terminating: i32,
}

impl Progress {
    /// Reads them from the object.
    pub fn of(deployment: &Deployment) -> Self {
        let status = deployment.status.clone().unwrap_or_default();
        Self {
            observed: status.observed_generation >= deployment.metadata.generation,
            wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
            replicas: status.replicas.unwrap_or(0),
            updated: status.updated_replicas.unwrap_or(0),
            available: status.available_replicas.unwrap_or(0),
            terminating: status.terminating_replicas.unwrap_or(0),
        }
    }
}
