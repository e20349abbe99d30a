//! The fake nodes, and the pods that wait until a test releases them.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use crate::eventually::eventually;

/// How many fake nodes there are; each takes 100,000 pods.
pub const NODES: usize = 4;

/// Creates the fake nodes.
pub async fn create(client: &Client) {
    let api: Api<Node> = Api::all(client.clone());
    for number in 0..NODES {
        let resources = json!({"cpu": "100k", "memory": "100Ti", "pods": "100k", "ephemeral-storage": "100Ti"});
        let node = json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {
                "name": format!("node-{number}"),
                "annotations": {"kwok.x-k8s.io/node": "fake"},
                "labels": {"kubernetes.io/hostname": format!("node-{number}"), "kubernetes.io/os": "linux"},
            },
            "status": {"allocatable": resources, "capacity": resources},
        });
        api.create(&PostParams::default(), &serde_json::from_value(node).unwrap()).await.expect("a node is created");
    }
}

/// Whether all fake nodes are ready and pods may be created in the namespace `default`.
///
/// # Errors
/// With what is missing.
pub async fn ready(client: &Client) -> Result<(), String> {
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.map_err(|e| e.to_string())?;
    let ready = nodes.items.iter().filter(|node| {
        let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
    });
    let ready = ready.count();
    if ready < NODES {
        return Err(format!("{ready} of {NODES} nodes are ready"));
    }
    Api::<ServiceAccount>::namespaced(client.clone(), "default")
        .get("default")
        .await
        .map(drop)
        .map_err(|e| e.to_string())
}

/// Releases the pods that stay unready because of `testbed/ready: hold` (or never, slow), and waits until they are
/// ready. Pods that the `ReplicaSet` makes later are held again: the label is in the pod template.
///
/// # Panics
/// When a pod does not become ready, or none matches within 30 s.
pub async fn release_pods(client: &Client, namespace: &str, selector: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let what = format!("pods {selector} in {namespace} to be released and ready");
    eventually(&what, Duration::from_secs(30), || async {
        let pods = api.list(&ListParams::default().labels(selector)).await.map_err(|e| e.to_string())?;
        let live: Vec<_> = pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
        if live.is_empty() {
            return Err("there is no such pod".to_owned());
        }
        let mut waiting = 0;
        for pod in live.into_iter().filter(|pod| !is_ready(pod)) {
            waiting += 1;
            if label(pod, "testbed/ready").is_some_and(|value| value != "now") {
                set_label(&api, pod, "testbed/ready", "now").await?;
            }
        }
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} pods are not ready")) }
    })
    .await;
}

/// Releases the pods that stay terminating because of `testbed/terminate: hold` (or slow), and waits until no matching
/// pod is terminating.
pub async fn release_terminating(client: &Client, namespace: &str, selector: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let what = format!("terminating pods {selector} in {namespace} to be gone");
    eventually(&what, Duration::from_secs(30), || async {
        let pods = api.list(&ListParams::default().labels(selector)).await.map_err(|e| e.to_string())?;
        let mut waiting = 0;
        for pod in pods.items.iter().filter(|pod| pod.metadata.deletion_timestamp.is_some()) {
            waiting += 1;
            if label(pod, "testbed/terminate").is_some_and(|value| value != "now") {
                set_label(&api, pod, "testbed/terminate", "now").await?;
            }
        }
        if waiting == 0 { Ok(()) } else { Err(format!("{waiting} pods are terminating")) }
    })
    .await;
}

/// Removes all pods of a namespace at once, held ones too, as a node that is gone does.
pub async fn remove_pods(client: &Client, namespace: &str) {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let now = DeleteParams::default().grace_period(0);
    let _ = api.delete_collection(&now, &ListParams::default()).await;
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a str> {
    pod.metadata.labels.as_ref()?.get(key).map(String::as_str)
}

async fn set_label(api: &Api<Pod>, pod: &Pod, key: &str, value: &str) -> Result<(), String> {
    let patch = Patch::Merge(json!({"metadata": {"labels": {key: value}}}));
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    match api.patch(name, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(drop).map_err(|error| error.to_string()),
    }
}
