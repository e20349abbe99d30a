//! The built binary, run as a process beside the cluster with the rights of its own `ServiceAccount`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::control_plane::ControlPlane;
use super::eventually::eventually;
use super::process::{Process, free_port};
use super::{audit, http, kubectl, namespace};

/// The `ServiceAccount` that `rbac.yaml` makes.
pub const SERVICE_ACCOUNT: &str = "pact-operator-controller";

/// How to start it.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// The operator's own namespace (Lease, Secrets); made when missing.
    pub namespace: String,
    /// More arguments after `controller --namespace NS --probe-address ADDRESS`.
    pub args: Vec<String>,
    /// More environment.
    pub env: Vec<(String, String)>,
}

impl Default for OperatorOptions {
    fn default() -> Self {
        Self { namespace: "pact-operator".to_owned(), args: Vec::new(), env: Vec::new() }
    }
}

impl OperatorOptions {
    /// In this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// With one more variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl Into<String>) -> Self {
        self.env.push((key.to_owned(), value.into()));
        self
    }
}

/// A running `pact-operator controller`. Dropping it kills it.
#[derive(Debug)]
pub struct Operator {
    namespace: String,
    probe_address: String,
    process: Process,
}

impl Operator {
    /// Starts it: makes namespace, `ServiceAccount` and rights when missing, gets a token of the `ServiceAccount`, runs
    /// the binary. Does not wait: see [`Self::wait_ready`]. Several at once are a leader and its standbys.
    pub async fn start(control_plane: &ControlPlane, options: OperatorOptions) -> Self {
        install_rights(control_plane, &options.namespace).await;
        let kubeconfig = control_plane.user_kubeconfig(&options.namespace, SERVICE_ACCOUNT).await;
        Self::start_as(control_plane, options, &kubeconfig)
    }

    /// Starts it with a kubeconfig of the caller's choice, e.g. one with fewer rights.
    pub fn start_as(control_plane: &ControlPlane, options: OperatorOptions, kubeconfig: &Path) -> Self {
        let probe_address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(binary());
        command.args(["controller", "--namespace", &options.namespace, "--probe-address", &probe_address]);
        command.args(&options.args);
        // A proxy meant for the world outside must not see what goes to 127.0.0.1.
        command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
        command.env("KUBECONFIG", kubeconfig).env("RUST_BACKTRACE", "1");
        // As in a pod: each replica is known by a name of its own, also to the Lease.
        let name = format!("operator-{}-{}", options.namespace, control_plane.next_number());
        command.env("POD_NAME", &name).envs(options.env);
        let process = Process::start(&name, control_plane.folder(), &command);
        Self { namespace: options.namespace, probe_address, process }
    }

    /// Where its probes and metrics are: `127.0.0.1:PORT`.
    pub fn probe_address(&self) -> &str {
        &self.probe_address
    }

    /// Waits until `/readyz` says 200.
    ///
    /// # Panics
    /// When it does not within 60 s or has ended; with the tail of its log.
    pub async fn wait_ready(&mut self) {
        wait_ready("the operator", &mut self.process, &self.probe_address).await;
    }

    /// SIGKILL: no goodbye, the Lease stays taken.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// SIGTERM, and waits until it has ended; gives its exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.process.signal("TERM");
        self.process.wait(Duration::from_mins(1)).await
    }

    /// Sends a signal: `STOP` and `CONT` make it hang, as a paused virtual machine does.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Its exit code once it has ended.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.process.exit_code()
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

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When it does not run.
    pub fn rss_bytes(&self) -> u64 {
        self.process.rss_bytes().expect("the operator runs, on Linux")
    }

    /// All requests that operators of this namespace have made to the API server.
    pub fn requests(&self, control_plane: &ControlPlane) -> Vec<audit::Request> {
        audit::requests(control_plane, &self.namespace, SERVICE_ACCOUNT)
    }
}

/// Makes the operator's namespace, its `ServiceAccount` and its rights.
pub async fn install_rights(control_plane: &ControlPlane, operator_namespace: &str) {
    namespace::ensure(control_plane, &control_plane.client(), operator_namespace, &[]).await;
    let manifests = include_str!("rbac.yaml").replace("OPERATOR_NAMESPACE", operator_namespace);
    kubectl::apply(control_plane.kubeconfig(), operator_namespace, &manifests).await;
}

/// Waits until `/readyz` at `probe_address` says 200; `what` names the process for people.
///
/// # Panics
/// When it does not within 60 s or has ended; with the tail of its log.
pub(super) async fn wait_ready(what: &str, process: &mut Process, probe_address: &str) {
    eventually(format!("{what} to be ready"), Duration::from_mins(1), async || {
        if let Some(code) = process.exit_code() {
            panic!("{what} ended with {code}:\n{}", super::dump::tail(&process.logs(), 40));
        }
        match http::get(probe_address, "/readyz").await {
            Ok((200, _)) => Ok(()),
            Ok((status, body)) => Err(format!("/readyz says {status}: {body}")),
            Err(reason) => Err(format!("{reason}; its log:\n{}", super::dump::tail(&process.logs(), 20))),
        }
    })
    .await;
}

/// The binary that belongs to the program we are in: cargo names it to tests and benches; for an example it is in the
/// folder above ours.
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
