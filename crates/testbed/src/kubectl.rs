//! The real kubectl.

use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;

/// Runs kubectl with these arguments and gives status and output.
pub async fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Output {
    command(kubeconfig, arguments).await.stdin(Stdio::null()).output().await.expect("kubectl runs")
}

/// Runs kubectl and gives its standard output.
///
/// # Panics
/// When it fails; with its standard error.
pub async fn kubectl_ok(kubeconfig: &Path, arguments: &[&str]) -> String {
    succeeded(&kubectl(kubeconfig, arguments).await, arguments)
}

/// `kubectl apply --server-side` of these manifests; objects without a namespace go to `namespace`.
///
/// # Panics
/// When the API server refuses one.
pub async fn apply(kubeconfig: &Path, namespace: &str, manifests: &str) -> String {
    let arguments = ["apply", "--server-side", "--force-conflicts", "-n", namespace, "-f", "-"];
    succeeded(&kubectl_reading(kubeconfig, &arguments, manifests).await, &arguments)
}

/// Runs kubectl with these arguments and this on its standard input, and gives status and output.
pub async fn kubectl_reading(kubeconfig: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = command(kubeconfig, arguments).await;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

async fn command(kubeconfig: &Path, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(crate::tools::folder().await.join("kubectl"));
    command.arg("--kubeconfig").arg(kubeconfig).args(arguments).kill_on_drop(true);
    command
}

fn succeeded(output: &Output, arguments: &[&str]) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {}: {}: {error}", arguments.join(" "), output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
