//! The chart as `helm template` renders it, for tests that need its rights, its arguments and its webhook
//! configuration, but no release: a cluster has one release, and tests that share a control plane have several
//! operators.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::Deployment;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{chart, kubectl, namespace};
use crate::control_plane::ControlPlane;
use crate::values::Values;

/// The kinds that grant the operator its rights.
pub const RIGHTS: [&str; 5] = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];

/// The kind of the Secret that the operator keeps its certificate authority in.
pub const AUTHORITY: &str = "Secret";

/// The brokers' Secrets that the operators of tests may read.
pub const BROKER_SECRETS: [&str; 7] = ["absent", "certificate", "half", "headers", "login", "malformed", "token"];

/// The kind by which the API server is configured to call the gate.
pub const GATE: &str = "ValidatingWebhookConfiguration";

/// The kind by which it is configured to have what is held paused.
pub const HOLD: &str = "MutatingWebhookConfiguration";

/// What the chart renders in one namespace with some values.
#[derive(Debug)]
pub struct Rendered {
    namespace: String,
    objects: Vec<Value>,
}

impl Rendered {
    /// Renders it with these values over its own; once for all tests of this process.
    ///
    /// # Panics
    /// When helm refuses it; with helm's error.
    pub async fn with(control_plane: &ControlPlane, namespace: &str, values: &Values) -> Arc<Self> {
        static KNOWN: Mutex<BTreeMap<(String, String), Arc<Rendered>>> = Mutex::const_new(BTreeMap::new());
        let mut values = values.clone();
        values.set("crds.install", false);
        values.set("rbac.brokerSecrets", &BROKER_SECRETS[..]);
        if namespace != chart::RELEASE {
            let name = format!("--webhook-configuration={}", cluster_wide(GATE_NAME, namespace));
            values.push("webhook.extraArgs", name);
        }
        let mut known = KNOWN.lock().await;
        let key = (namespace.to_owned(), values.text());
        if let Some(rendered) = known.get(&key) {
            return Arc::clone(rendered);
        }
        let file = control_plane.folder().join(format!("values-{}.json", control_plane.next_number()));
        fs::write(&file, values.text()).unwrap();
        let (chart, file) = (chart::folder().display().to_string(), file.display().to_string());
        let template = ["template", chart::RELEASE, &chart, "--skip-tests", "--values", &file];
        let output = chart::helm_as(control_plane.kubeconfig(), namespace, control_plane.folder(), &template).await;
        assert!(output.status.success(), "helm {template:?}: {}", String::from_utf8_lossy(&output.stderr));
        let documents = serde_yaml_ng::Deserializer::from_slice(&output.stdout);
        let objects = documents.map(|document| Value::deserialize(document).expect("helm renders YAML"));
        let objects = objects.filter(|object| !object.is_null()).map(|object| of_its_own(object, namespace)).collect();
        let rendered = Arc::new(Self { namespace: namespace.to_owned(), objects });
        known.insert(key, Arc::clone(&rendered));
        rendered
    }

    /// The Deployment of `controller` or `webhook`.
    pub fn deployment(&self, component: &str) -> Deployment {
        let name = format!("pact-operator-{component}");
        let is_it = |object: &&Value| object["kind"] == "Deployment" && object["metadata"]["name"] == name;
        let object = self.objects.iter().find(is_it).unwrap_or_else(|| panic!("the chart has no Deployment {name}"));
        serde_json::from_value(object.clone()).expect("a Deployment")
    }

    /// Applies the objects of these kinds as the admin, in the namespace, which is made when it is missing.
    ///
    /// # Panics
    /// When the API server refuses one.
    pub async fn apply(&self, control_plane: &ControlPlane, kinds: &[&str]) {
        namespace::ensure(control_plane, &control_plane.client(), &self.namespace, &[]).await;
        let of_kinds = |object: &&Value| kinds.iter().any(|kind| object["kind"] == *kind);
        let manifests: Vec<_> = self.objects.iter().filter(of_kinds).map(Value::to_string).collect();
        kubectl::apply(control_plane.kubeconfig(), &self.namespace, &manifests.join("\n---\n")).await;
    }
}

/// The name of the gate's configuration in the chart.
const GATE_NAME: &str = "pact-operator";

/// The name of the gate's configuration of the operator in this namespace.
pub fn gate_name(namespace: &str) -> String {
    cluster_wide(GATE_NAME, namespace)
}

/// The chart's names are fixed, since a cluster has one release. Operators that share a control plane would overwrite
/// each other's cluster-scoped objects; so an operator outside the usual namespace adds its namespace to these names.
fn cluster_wide(name: &str, namespace: &str) -> String {
    if namespace == chart::RELEASE { name.to_owned() } else { format!("{name}-{namespace}") }
}

/// The object with those names, and with the references to them.
fn of_its_own(mut object: Value, namespace: &str) -> Value {
    let rename = |name: &mut Value| *name = json!(cluster_wide(name.as_str().expect("a name"), namespace));
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if ["ClusterRole", "ClusterRoleBinding", GATE, HOLD].contains(&&*kind) {
        rename(&mut object["metadata"]["name"]);
    }
    if kind == "ClusterRoleBinding" {
        rename(&mut object["roleRef"]["name"]);
    }
    for rule in object.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten() {
        let configurations = ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"];
        if configurations.iter().any(|one| rule["resources"] == json!([one])) {
            rule["resourceNames"].as_array_mut().into_iter().flatten().for_each(rename);
        }
    }
    object
}
