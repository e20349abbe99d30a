//! The state of the cluster when a test has failed.

use crate::control_plane::ControlPlane;
use crate::kubectl::kubectl;

/// The operator's own kinds, by their plural names.
const OUR_KINDS: [&str; 4] = ["pactbrokers", "pactenvironments", "pactdeployments", "pactrecords"];

/// Prints to stderr: the namespace's workloads and Events, the operator's kinds where their CRDs exist, the tails of
/// the operators' logs.
pub async fn dump(control_plane: &ControlPlane, namespace: &str) {
    let kubeconfig = control_plane.kubeconfig();
    let show = async |title: &str, arguments: &[&str]| {
        let output = kubectl(kubeconfig, arguments).await;
        eprintln!("--- {title}\n{}", String::from_utf8_lossy(&output.stdout).trim_end());
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
    };
    eprintln!("=== the testbed when it failed, namespace {namespace}");
    show(
        "workloads",
        &[
            "get",
            "deployments,replicasets,statefulsets,daemonsets,pods",
            "-n",
            namespace,
            "-o",
            "wide",
            "--show-labels",
        ],
    )
    .await;
    show("their objects", &["get", "deployments,statefulsets,daemonsets", "-n", namespace, "-o", "yaml"]).await;
    show("Events", &["get", "events", "-n", namespace, "--sort-by=.metadata.creationTimestamp"]).await;
    for kind in OUR_KINDS {
        let full = format!("{kind}.pact-operator.dev");
        if kubectl(kubeconfig, &["get", "crd", &full]).await.status.success() {
            show(kind, &["get", &full, "-o", "yaml"]).await;
        }
    }
    let Ok(files) = std::fs::read_dir(control_plane.folder()) else { return };
    for file in files.flatten() {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with("pact-operator-") && file.path().extension().is_some_and(|extension| extension == "log") {
            let text = std::fs::read(file.path()).unwrap_or_default();
            eprintln!("--- {name}\n{}", tail(&String::from_utf8_lossy(&text), 60));
        }
    }
    eprintln!("===");
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
