//! The objects that say which broker there is and which namespaces belong to which of its environments.

use serde_json::{Value, json};

use super::control_plane::ControlPlane;
use super::kubectl::{self, kubectl_ok};

/// A `PactBroker` without credentials.
pub fn broker(name: &str, url: &str) -> Value {
    json!({
        "apiVersion": "pact-operator.dev/v1alpha1",
        "kind": "PactBroker",
        "metadata": {"name": name},
        "spec": {"url": url},
    })
}

/// A `PactEnvironment`, named like the environment at the broker, for these namespaces.
pub fn environment(name: &str, broker: &str, namespaces: &[&str]) -> Value {
    json!({
        "apiVersion": "pact-operator.dev/v1alpha1",
        "kind": "PactEnvironment",
        "metadata": {"name": name},
        "spec": {"brokerRef": {"name": broker}, "namespaces": {"names": namespaces}},
    })
}

/// Applies objects as the admin.
///
/// # Panics
/// When the API server refuses one.
pub async fn apply(control_plane: &ControlPlane, objects: &[Value]) {
    let manifests: Vec<String> = objects.iter().map(Value::to_string).collect();
    kubectl::apply(control_plane.kubeconfig(), "default", &manifests.join("\n---\n")).await;
}

/// Waits until the condition `Ready` of an object (`pactenvironment/test`) is `True`.
///
/// # Panics
/// After a minute, with what kubectl says.
pub async fn wait_ready(control_plane: &ControlPlane, object: &str) {
    let arguments = ["wait", "--for=condition=Ready", "--timeout=60s", object];
    kubectl_ok(control_plane.kubeconfig(), &arguments).await;
}
