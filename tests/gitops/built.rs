//! Where the deployment tools are, and what they ship: built on first use by `tests/gitops/tools/build.sh`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use serde_json::Value;
use testbed::control_plane::ControlPlane;
use testbed::kubectl;

/// The folder of a tool, with the program of the same name and the manifests that its `files` names. Builds it when the
/// cache has none: minutes the first time, with progress on stderr.
///
/// # Panics
/// When the build fails; its output is on stderr.
pub async fn built(tool: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gitops/tools/build.sh");
    let mut command = tokio::process::Command::new("bash");
    command.arg(&script).arg(tool).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().await.expect("bash runs");
    assert!(output.status.success(), "{} {tool} failed ({}); its reason is on stderr", script.display(), output.status);
    let output = String::from_utf8(output.stdout).expect("a path");
    PathBuf::from(output.lines().last().expect("build.sh names the folder on its last line"))
}

/// The objects in a file of manifests.
pub fn shipped(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let documents = serde_yaml_ng::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    documents.filter(|object| !object.is_null()).collect()
}

/// Applies objects as the admin; those without a namespace go to `namespace`.
///
/// # Panics
/// When the API server refuses one.
pub async fn apply(control_plane: &ControlPlane, namespace: &str, objects: &[Value]) {
    let manifests: Vec<_> = objects.iter().map(Value::to_string).collect();
    kubectl::apply(control_plane.kubeconfig(), namespace, &manifests.join("\n---\n")).await;
}
