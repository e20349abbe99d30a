//! The chart, installed by the real helm, and the processes that its Deployments describe.
//!
//! The nodes of the test control plane run nothing, so the operator runs as processes beside it: with the arguments and
//! the environment of the rendered containers and a token of their `ServiceAccount`s. Only where it listens is changed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use tokio::process::Child;

use super::control_plane::ControlPlane;
use super::operator::{binary, wait_ready};
use super::process::{Process, free_port};
use super::{http, tools};

/// The release, and the namespace that it is installed in.
pub const RELEASE: &str = "pact-operator";

/// The chart's folder.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/pact-operator")
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

/// helm with this kubeconfig in a namespace; its caches are kept in `folder`, so that it is nobody else's.
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
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command.arg("--kubeconfig").arg(kubeconfig).args(["--namespace", namespace]).args(arguments);
    command.kill_on_drop(true);
    command
}

/// helm, which has to succeed; gives what it printed.
///
/// # Panics
/// When it fails; with what it said.
pub async fn helm_ok(control_plane: &ControlPlane, arguments: &[&str]) -> String {
    let output = helm(control_plane, arguments).await;
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "helm {arguments:?}: {err}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A process that one of the chart's Deployments describes. Dropping it kills it.
#[derive(Debug)]
pub struct Replica {
    component: &'static str,
    probe_address: String,
    process: Process,
}

impl Replica {
    /// Starts what the Deployment of `controller` or `webhook` describes. `listen` is where the webhook serves.
    pub async fn start(control_plane: &ControlPlane, component: &'static str, listen: Option<&str>) -> Self {
        let api: Api<Deployment> = Api::namespaced(control_plane.client(), RELEASE);
        let deployment = api.get(&format!("pact-operator-{component}")).await.expect("the chart is installed");
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        let account = pod.service_account_name.as_deref().expect("an account of its own");
        let kubeconfig = control_plane.user_kubeconfig(RELEASE, account).await;
        let probe_address = format!("127.0.0.1:{}", free_port());
        let name = format!("{component}-{}", control_plane.next_number());
        let mut command = Command::new(binary());
        let container = &pod.containers[0];
        for argument in container.args.iter().flatten() {
            match (argument.split_once('='), listen) {
                (Some(("--probe-address", _)), _) => command.arg(format!("--probe-address={probe_address}")),
                (Some(("--listen", _)), Some(listen)) => command.arg(format!("--listen={listen}")),
                _ => command.arg(argument),
            };
        }
        for variable in container.env.iter().flatten() {
            let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
            let value = match field.map(|field| field.field_path.as_str()) {
                Some("metadata.name") => name.clone(),
                Some("metadata.namespace") => RELEASE.to_owned(),
                Some(other) => panic!("a field {other}, which processes have not"),
                None => variable.value.clone().unwrap_or_default(),
            };
            command.env(&variable.name, value);
        }
        command.env("KUBECONFIG", kubeconfig).env("RUST_BACKTRACE", "1");
        command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
        let process = Process::start(&name, control_plane.folder(), &command);
        Self { component, probe_address, process }
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// When it does not within 60 s or has ended; with the tail of its log.
    pub async fn wait_ready(&mut self) {
        wait_ready(self.component, &mut self.process, &self.probe_address).await;
    }

    /// The text of `/metrics`.
    ///
    /// # Panics
    /// When it does not answer with 200.
    pub async fn metrics(&self) -> String {
        http::metrics(&self.probe_address).await
    }

    /// Everything it has logged.
    pub fn logs(&self) -> String {
        self.process.logs()
    }
}
