//! A replica of one of the chart's Deployments, as a process beside the cluster.
//!
//! The nodes of the test control plane run nothing. So the operator runs here, with the arguments and the environment of the
//! container and a token of the pods' `ServiceAccount`. Only where it listens is changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodSpec;
use kube::Api;

use super::{audit, dump, http};
use crate::chart::RELEASE;
use crate::control_plane::ControlPlane;
use crate::eventually::eventually;
use crate::process::{Process, free_port};

/// A running replica. Dropping it kills it.
#[derive(Debug)]
pub struct Replica {
    namespace: String,
    account: String,
    probe_address: String,
    process: Process,
}

impl Replica {
    /// Starts one with a token of the `ServiceAccount` that the Deployment names. Does not wait: see [`Self::wait_ready`].
    pub async fn start(control_plane: &ControlPlane, deployment: &Deployment, listen: Option<&str>) -> Self {
        let kubeconfig = control_plane.user_kubeconfig(namespace(deployment), account(deployment)).await;
        Self::start_as(control_plane, deployment, listen, &kubeconfig)
    }

    /// Starts one with a kubeconfig of the caller's choice; `listen` is where it serves, if it does.
    pub fn start_as(
        control_plane: &ControlPlane,
        deployment: &Deployment,
        listen: Option<&str>,
        kubeconfig: &Path,
    ) -> Self {
        let probe_address = format!("127.0.0.1:{}", free_port());
        let addresses = [("--probe-address", Some(&*probe_address)), ("--listen", listen)];
        Self::run(control_plane, deployment, &addresses, &probe_address, kubeconfig)
    }

    /// Starts one that listens where its arguments say, which is to be on a port of its own; `probe_address` is where its
    /// probes are reached then. Does not wait.
    pub async fn start_where_described(
        control_plane: &ControlPlane,
        deployment: &Deployment,
        probe_address: &str,
    ) -> Self {
        let kubeconfig = control_plane.user_kubeconfig(namespace(deployment), account(deployment)).await;
        Self::run(control_plane, deployment, &[], probe_address, &kubeconfig)
    }

    fn run(
        control_plane: &ControlPlane,
        deployment: &Deployment,
        addresses: &[(&str, Option<&str>)],
        probe_address: &str,
        kubeconfig: &Path,
    ) -> Self {
        // Each replica has a name of its own, as pods have; the Lease uses it, too.
        let name = deployment.metadata.name.as_deref().expect("a name");
        let name = format!("{name}-{}", control_plane.next_number());
        let mut command = command(deployment, &name, addresses);
        command.env("KUBECONFIG", kubeconfig).env("RUST_BACKTRACE", "1");
        // A proxy that is meant for other hosts must not get what goes to 127.0.0.1.
        command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
        Self {
            namespace: namespace(deployment).to_owned(),
            account: account(deployment).to_owned(),
            process: Process::start(&name, control_plane.folder(), &command),
            probe_address: probe_address.to_owned(),
        }
    }

    /// Its name among the replicas. As a holder of the Lease it has a random suffix.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Where its probes and metrics are: `127.0.0.1:PORT`.
    pub fn probe_address(&self) -> &str {
        &self.probe_address
    }

    /// What `/readyz`, `/livez` or `/metrics` answers: the status and the text.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn probe(&self, path: &str) -> Result<(u16, String), String> {
        http::get(&self.probe_address, path).await
    }

    /// Waits until `/readyz` answers 200.
    ///
    /// # Panics
    /// When it does not within 60 s or has ended; with the tail of its log.
    pub async fn wait_ready(&mut self) {
        let what = self.process.name().to_owned();
        eventually(format!("{what} to be ready"), Duration::from_mins(1), async || {
            if let Some(code) = self.process.exit_code() {
                panic!("{what} ended with {code}:\n{}", dump::tail(&self.logs(), 40));
            }
            match self.probe("/readyz").await {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("/readyz answers {status}: {body}")),
                Err(reason) => Err(format!("{reason}; its log:\n{}", dump::tail(&self.logs(), 20))),
            }
        })
        .await;
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

    /// SIGKILL: connections are cut, a Lease stays taken.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Sends a signal: `TERM`; `STOP` and `CONT` make it hang, as a paused virtual machine does.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// SIGTERM, and waits until it has ended; gives its exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.process.signal("TERM");
        self.ended().await
    }

    /// Waits until it has ended by itself; gives its exit code.
    pub async fn ended(&mut self) -> i32 {
        self.process.wait(Duration::from_mins(1)).await
    }

    /// Its process id; `None` once it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn rss_bytes(&self) -> u64 {
        self.process.rss_bytes().expect("it runs, on Linux")
    }

    /// All requests that it and the others of its account have made to the API server.
    pub fn requests(&self, control_plane: &ControlPlane) -> Vec<audit::Request> {
        audit::requests(control_plane, &self.namespace, &self.account)
    }
}

/// The Deployment of `controller` or `webhook` that helm has installed.
///
/// # Panics
/// When there is none.
pub async fn installed(control_plane: &ControlPlane, component: &str) -> Deployment {
    let api: Api<Deployment> = Api::namespaced(control_plane.client(), RELEASE);
    api.get(&format!("pact-operator-{component}")).await.expect("the chart is installed")
}

/// The command of a Deployment's container, in a pod of this name, with these addresses instead of its own.
fn command(deployment: &Deployment, pod_name: &str, addresses: &[(&str, Option<&str>)]) -> Command {
    let container = &pod(deployment).containers[0];
    let mut command = Command::new(binary());
    for argument in container.args.iter().flatten() {
        let flag = argument.split('=').next();
        match addresses.iter().find(|(name, _)| Some(*name) == flag) {
            Some((name, Some(address))) => command.arg(format!("{name}={address}")),
            _ => command.arg(argument),
        };
    }
    for variable in container.env.iter().flatten() {
        let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        let value = match field.map(|field| field.field_path.as_str()) {
            Some("metadata.name") => pod_name,
            Some("metadata.namespace") => namespace(deployment),
            Some(other) => panic!("the field {other} has no value for a process"),
            None => variable.value.as_deref().unwrap_or_default(),
        };
        command.env(&variable.name, value);
    }
    command
}

fn pod(deployment: &Deployment) -> &PodSpec {
    deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref()).expect("a template of pods")
}

fn account(deployment: &Deployment) -> &str {
    pod(deployment).service_account_name.as_deref().expect("an account of its own")
}

fn namespace(deployment: &Deployment) -> &str {
    deployment.metadata.namespace.as_deref().expect("a namespace")
}

/// The binary that belongs to the running program: cargo names it to tests and benches; for an example it lies in the
/// parent folder.
///
/// # Panics
/// When it was not built.
pub fn binary() -> PathBuf {
    const NAME: &str = "pact-operator";
    if let Some(path) = option_env!("CARGO_BIN_EXE_pact-operator") {
        return PathBuf::from(path);
    }
    let ours = std::env::current_exe().expect("a program knows its own path");
    let candidates = ours.ancestors().skip(1).take(2).map(|folder| folder.join(NAME));
    let mut candidates = candidates.filter(|path| path.is_file());
    candidates.next().unwrap_or_else(|| panic!("there is no {NAME} near {}: run `cargo build` first", ours.display()))
}
