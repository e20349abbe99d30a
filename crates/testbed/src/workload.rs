//! Workloads of other kinds than Deployments, in the cluster: of any kind, so read as JSON.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{kubectl, node};
use crate::eventually::eventually;
use crate::rollout::{Rollout, deployment};

/// How long a rollout of ready pods may take on a busy machine.
const ROLLOUT: Duration = Duration::from_mins(1);

/// A `StatefulSet` to apply, of one replica. The methods of [`Rollout`] that only Deployments have (strategy, deadline,
/// pause) have no effect on it.
pub fn stateful_set(name: &str) -> Rollout {
    deployment(name).with(|manifest| {
        manifest["kind"] = json!("StatefulSet");
        manifest["spec"]["serviceName"] = json!(name);
    })
}

/// A `DaemonSet` to apply: a pod on each of the [`node::NODES`] fake nodes. It has no replicas.
pub fn daemon_set(name: &str) -> Rollout {
    deployment(name).with(|manifest| {
        manifest["kind"] = json!("DaemonSet");
        manifest["spec"].as_object_mut().unwrap().remove("replicas");
    })
}

/// A workload in the cluster, of any kind of the API group `apps`.
#[derive(Clone)]
pub struct Workload {
    api: Api<DynamicObject>,
    client: Client,
    kind: String,
    namespace: String,
    name: String,
}

impl Workload {
    /// The workload of this kind and name, which should exist.
    pub fn new(client: &Client, kind: &str, namespace: &str, name: &str) -> Self {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let api = Api::namespaced_with(client.clone(), namespace, &resource);
        let [kind, namespace, name] = [kind, namespace, name].map(str::to_owned);
        Self { api, client: client.clone(), kind, namespace, name }
    }

    /// Applies it server-side: creates or changes it. Does not wait.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn apply(client: &Client, namespace: &str, rollout: &Rollout) -> Self {
        let applied = Self::try_apply(client, namespace, rollout, false).await;
        applied.unwrap_or_else(|error| panic!("the API server refuses a workload in {namespace}: {error}"))
    }

    /// As [`Self::apply`], as a dry-run if `dry_run`.
    ///
    /// # Errors
    /// The API server's error, for example an admission webhook's denial.
    pub async fn try_apply(
        client: &Client,
        namespace: &str,
        rollout: &Rollout,
        dry_run: bool,
    ) -> Result<Self, Box<kube::Error>> {
        let manifest = rollout.manifest();
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let (kind, name) = (text(&manifest["kind"]), text(&manifest["metadata"]["name"]));
        let live = Self::new(client, &kind, namespace, &name);
        let how = PatchParams { dry_run, ..PatchParams::apply("testbed").force() };
        live.api.patch(&name, &how, &Patch::Apply(manifest)).await.map_err(Box::new)?;
        Ok(live)
    }

    /// The object as it is now.
    ///
    /// # Panics
    /// When it is not there.
    pub async fn get(&self) -> Value {
        let object = self.api.get(&self.name).await;
        let object = object.unwrap_or_else(|error| panic!("no {} {}: {error}", self.kind, self.name));
        serde_json::to_value(object).unwrap()
    }

    /// The image of the container `app`.
    pub async fn set_image(&self, image: &str) {
        let containers = json!([{"name": "app", "image": image}]);
        self.patch(json!({"spec": {"template": {"spec": {"containers": containers}}}})).await;
    }

    /// A strategic merge patch, as kubectl sends it.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub async fn patch(&self, patch: Value) {
        let result = self.api.patch(&self.name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        drop(result.unwrap_or_else(|error| panic!("cannot patch the {} {}: {error}", self.kind, self.name)));
    }

    /// The real `kubectl rollout undo`, to the revision before.
    pub async fn undo(&self, kubeconfig: &Path) {
        let target = format!("{}/{}", self.kind.to_lowercase(), self.name);
        kubectl::kubectl_ok(kubeconfig, &["rollout", "undo", &target, "-n", &self.namespace]).await;
    }

    /// Deletes it (its pods go in the background).
    ///
    /// # Panics
    /// When the API server refuses.
    pub async fn delete(&self) {
        let result = self.api.delete(&self.name, &DeleteParams::background()).await;
        drop(result.unwrap_or_else(|error| panic!("cannot delete the {} {}: {error}", self.kind, self.name)));
    }

    /// Deletes one of its pods that has this image, as the strategy `OnDelete` requires it.
    ///
    /// # Panics
    /// When there is none.
    pub async fn delete_a_pod_of(&self, image: &str) {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pods = api.list(&ListParams::default().labels(&format!("app={}", self.name))).await.expect("a list");
        let has_it = |pod: &Pod| {
            let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
            containers.into_iter().any(|container| container.image.as_deref() == Some(image))
        };
        let old = pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).find(has_it);
        let name = old.and_then(|pod| pod.metadata.name).expect("a pod of that image");
        drop(api.delete(&name, &DeleteParams::default()).await.expect("the pod is deleted"));
    }

    /// Lets its held pods become ready; see [`node::release_pods`].
    pub async fn release(&self) {
        node::release_pods(&self.client, &self.namespace, &format!("app={}", self.name)).await;
    }

    /// Waits until the object satisfies `condition`, and gives it.
    pub async fn wait(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let what = format!("the {} {}/{}: {what}", self.kind, self.namespace, self.name);
        eventually(what, ROLLOUT, || async {
            let object = self.api.get(&self.name).await.map_err(|error| error.to_string())?;
            let object = serde_json::to_value(object).unwrap();
            if condition(&object) { Ok(object) } else { Err(object["status"].to_string()) }
        })
        .await
    }
}
