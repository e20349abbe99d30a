//! The chart, and the real helm.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Child;

use crate::control_plane::ControlPlane;
use crate::tools;

/// The release, and the namespace that it is installed in.
pub const RELEASE: &str = "pact-operator";

/// The chart's folder.
pub fn folder() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join("charts/pact-operator")
}

/// helm as the admin, in the release's namespace.
pub async fn helm(control_plane: &ControlPlane, arguments: &[&str]) -> Output {
    helm_as(control_plane.kubeconfig(), RELEASE, control_plane.folder(), arguments).await
}

/// helm as the admin, running.
pub async fn helm_process(control_plane: &ControlPlane, arguments: &[&str]) -> Child {
    let mut command = helm_command(control_plane.kubeconfig(), RELEASE, control_plane.folder(), arguments).await;
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("helm runs")
}

/// helm with this kubeconfig in a namespace; its caches lie in `folder`, so that no other helm shares them.
pub async fn helm_as(kubeconfig: &Path, namespace: &str, folder: &Path, arguments: &[&str]) -> Output {
    helm_command(kubeconfig, namespace, folder, arguments).await.output().await.expect("helm runs")
}

async fn helm_command(
    kubeconfig: &Path,
    namespace: &str,
    folder: &Path,
    arguments: &[&str],
) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(tools::folder().await.join("helm"));
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        command.env(variable, folder.join(variable));
    }
    command.arg("--kubeconfig").arg(kubeconfig).args(["--namespace", namespace]).args(arguments);
    command.kill_on_drop(true);
    command
}

/// helm, which has to succeed; gives what it printed.
///
/// # Panics
/// When it fails; with its standard error.
pub async fn helm_ok(control_plane: &ControlPlane, arguments: &[&str]) -> String {
    let output = helm(control_plane, arguments).await;
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm {arguments:?}: {err}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
