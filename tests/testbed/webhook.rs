//! `pact-operator webhook` as processes beside the cluster, and what has the API server call them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client, Config};

use super::balancer::Backend;
use super::control_plane::ControlPlane;
use super::operator::{binary, wait_ready};
use super::process::{Process, free_port};
use super::{audit, http, kubectl, namespace};

/// The `ServiceAccount` that `gate.yaml` makes.
pub const SERVICE_ACCOUNT: &str = "pact-operator-webhook";

/// How the API server is to call, and how the processes are to run.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// The operator's own namespace; made when missing.
    pub namespace: String,
    /// `Ignore` or `Fail`.
    pub failure_policy: &'static str,
    /// How long the API server waits.
    pub timeout_seconds: u32,
    /// The only namespace about which the API server asks; all but the system's own if `None`.
    pub only: Option<String>,
    /// More arguments of `pact-operator webhook`.
    pub args: Vec<String>,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        let args = ["--log", "info,pact_operator=debug", "--spread-seconds", "0", "--renew-seconds", "1"];
        Self {
            namespace: super::scene::OPERATOR_NAMESPACE.to_owned(),
            failure_policy: "Fail",
            timeout_seconds: 10,
            only: None,
            args: args.map(str::to_owned).to_vec(),
        }
    }
}

impl WebhookOptions {
    /// With one more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// With this `failurePolicy`.
    #[must_use]
    pub fn failure_policy(mut self, policy: &'static str) -> Self {
        self.failure_policy = policy;
        self
    }

    /// With this `timeoutSeconds`.
    #[must_use]
    pub fn timeout_seconds(mut self, seconds: u32) -> Self {
        self.timeout_seconds = seconds;
        self
    }

    /// Asked about this namespace only, so that others on the same control plane are not disturbed.
    #[must_use]
    pub fn only(mut self, namespace: &str) -> Self {
        self.only = Some(namespace.to_owned());
        self
    }

    /// With this time between SIGTERM and the drain, instead of none.
    #[must_use]
    pub fn spread_seconds(mut self, seconds: u32) -> Self {
        let spread = self.args.iter().position(|argument| argument == "--spread-seconds");
        self.args[spread.expect("among the default arguments") + 1] = seconds.to_string();
        self
    }

    /// The name of the `ValidatingWebhookConfiguration`.
    pub fn configuration(&self) -> String {
        format!("pact-operator-{}", self.namespace)
    }
}

/// A running `pact-operator webhook`. Dropping it kills it.
#[derive(Debug)]
pub struct Webhook {
    namespace: String,
    address: String,
    probe_address: String,
    process: Process,
}

impl Webhook {
    /// Starts one that the API server calls directly, and waits until it is ready.
    pub async fn start(control_plane: &ControlPlane, options: WebhookOptions) -> Self {
        let port = free_port();
        install(control_plane, &options, &format!("https://127.0.0.1:{port}/gate")).await;
        let mut webhook = Self::start_at(control_plane, options, port).await;
        webhook.wait_ready().await;
        webhook
    }

    /// Starts one at this port. The rights must have been [`install`]ed. Does not wait: see [`Self::wait_ready`].
    pub async fn start_at(control_plane: &ControlPlane, options: WebhookOptions, port: u16) -> Self {
        let kubeconfig = control_plane.user_kubeconfig(&options.namespace, SERVICE_ACCOUNT).await;
        let (address, probe_address) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", free_port()));
        let name = format!("webhook-{}-{}", options.namespace, control_plane.next_number());
        let mut command = Command::new(binary());
        command.args(["webhook", "--namespace", &options.namespace, "--name", &name]);
        command.args(["--listen", &address, "--probe-address", &probe_address, "--server-name", "127.0.0.1"]);
        command.args(["--webhook-configuration", &options.configuration()]).args(&options.args);
        // A proxy meant for the world outside must not see what goes to 127.0.0.1.
        command.env("NO_PROXY", "127.0.0.1,localhost").env("no_proxy", "127.0.0.1,localhost");
        command.env("KUBECONFIG", kubeconfig).env("RUST_BACKTRACE", "1");
        let process = Process::start(&name, control_plane.folder(), &command);
        Self { namespace: options.namespace, address, probe_address, process }
    }

    /// Where it serves: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
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
        wait_ready("the webhook", &mut self.process, &self.probe_address).await;
    }

    /// SIGKILL: connections are cut.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Sends a signal: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// SIGTERM, and waits until it has ended; gives its exit code.
    pub async fn terminate(&mut self) -> i32 {
        self.process.signal("TERM");
        self.process.wait(Duration::from_mins(1)).await
    }

    /// The text of `/metrics`.
    ///
    /// # Panics
    /// When it does not answer with 200.
    pub async fn metrics(&self) -> String {
        http::metrics(&self.probe_address).await
    }

    /// How many reviews it has answered, however.
    pub async fn reviews(&self) -> u64 {
        sum(&self.metrics().await, "pact_operator_gate_reviews_total")
    }

    /// Everything it has logged.
    pub fn logs(&self) -> String {
        self.process.logs()
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
        self.process.rss_bytes().expect("the webhook runs, on Linux")
    }

    /// All requests that webhooks of this namespace have made to the API server.
    pub fn requests(&self, control_plane: &ControlPlane) -> Vec<audit::Request> {
        audit::requests(control_plane, &self.namespace, SERVICE_ACCOUNT)
    }
}

/// The sum of a counter over all its labels.
pub fn sum(metrics: &str, name: &str) -> u64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values = metrics.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

/// Makes the rights of the webhook, and has the API server call `url`.
pub async fn install(control_plane: &ControlPlane, options: &WebhookOptions, url: &str) {
    namespace::ensure(control_plane, &control_plane.client(), &options.namespace, &[]).await;
    let manifests = include_str!("gate.yaml")
        .replace("OPERATOR_NAMESPACE", &options.namespace)
        .replace("WEBHOOK_URL", url)
        .replace("FAILURE_POLICY", options.failure_policy)
        .replace("TIMEOUT_SECONDS", &options.timeout_seconds.to_string());
    let selector = "namespaceSelector:\n      matchExpressions:\n";
    let only = options
        .only
        .iter()
        .map(|only| format!("        - {{key: kubernetes.io/metadata.name, operator: In, values: [{only}]}}\n"));
    let manifests = manifests.replace(selector, &only.fold(selector.to_owned(), |selector, only| selector + &only));
    kubectl::apply(control_plane.kubeconfig(), &options.namespace, &manifests).await;
}

/// The configuration as it is now.
pub async fn configuration(client: &Client, name: &str) -> ValidatingWebhookConfiguration {
    Api::all(client.clone()).get(name).await.unwrap_or_else(|error| panic!("no configuration {name}: {error}"))
}

/// Somebody who uses the cluster without being its admin.
#[derive(Clone, Debug)]
pub struct Person {
    /// For kubectl and helm.
    pub kubeconfig: PathBuf,
    config: Config,
}

impl Person {
    /// A developer: may do everything to workloads, nothing to the operator's kinds.
    pub async fn developer(control_plane: &ControlPlane) -> Self {
        Self::named(control_plane, "developer").await
    }

    /// The same with the right to break the glass.
    pub async fn on_call(control_plane: &ControlPlane) -> Self {
        Self::named(control_plane, "on-call").await
    }

    async fn named(control_plane: &ControlPlane, name: &str) -> Self {
        kubectl::apply(control_plane.kubeconfig(), "people", include_str!("people.yaml")).await;
        let kubeconfig = control_plane.user_kubeconfig("people", name).await;
        Self { config: super::control_plane::config(&kubeconfig).await, kubeconfig }
    }

    /// A client with this person's rights. Belongs to the caller's runtime.
    pub fn client(&self) -> Client {
        Client::try_from(self.config.clone()).expect("the kubeconfig is usable")
    }

    /// For kubectl and helm.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
}

impl Webhook {
    /// As a balancer that follows its readiness has it.
    pub fn backend(&self) -> Backend {
        let address = self.address.parse().expect("an address and a port");
        Backend { address, readyz: format!("http://{}/readyz", self.probe_address) }
    }

    /// What `/readyz`, `/livez` or `/metrics` answers: the status and the text.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn probe(&self, path: &str) -> Result<(u16, String), String> {
        http::get(&self.probe_address, path).await
    }

    /// Waits until it has ended by itself; gives its exit code.
    pub async fn ended(&mut self) -> i32 {
        self.process.wait(Duration::from_mins(1)).await
    }
}
