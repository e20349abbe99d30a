//! `pact-operator webhook` as processes beside the cluster, and the configuration by which the API server calls them,
//! both as in the chart.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::balancer::Backend;
use crate::chart::RELEASE;
use crate::control_plane::ControlPlane;
use crate::kubectl;
use crate::process::free_port;
use crate::rendered::{AUTHORITY, GATE, HOLD, RIGHTS, Rendered, gate_name};
use crate::replica::{self, Replica};
use crate::values::Values;

/// The chart's `ServiceAccount` of the webhook.
pub const SERVICE_ACCOUNT: &str = "pact-operator-webhook";

/// The path by which the API server is known to a gate that [`Webhook::start`] starts.
pub const PATH: &str = "/gate/the-api-server-of-a-test-cluster";

/// Where the API server calls the gate, for the gate's own arguments: only the host is among them, for the certificate.
const CALLED: &str = "https://127.0.0.1/gate";

/// How the API server calls the gate, and how the gate's processes run.
#[derive(Clone, Debug)]
pub struct WebhookOptions {
    /// The operator's own namespace; made when missing.
    pub namespace: String,
    values: Values,
}

impl Default for WebhookOptions {
    /// For tests: it logs in detail, notices changes soon, and is not asked when the testbed's admin sets the scene.
    fn default() -> Self {
        let quick = Self::as_in_chart().arg("--renew-seconds=1");
        quick.but_for_the_admin().value("logging.format", "text").log("info,pact_operator=debug")
    }
}

impl WebhookOptions {
    /// As in the chart, except that it fails closed and that a process ends without delay.
    pub fn as_in_chart() -> Self {
        let chart = Self { namespace: RELEASE.to_owned(), values: Values::default() };
        chart.failure_policy("Fail").spread_seconds(0)
    }

    /// With this value of the chart: `webhook.excludedNamespaces`.
    #[must_use]
    pub fn value(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.set(name, value);
        self
    }

    /// Not asked about what the testbed's admin does, who sets the scene.
    #[must_use]
    pub fn but_for_the_admin(self) -> Self {
        let scene = json!([{"name": "not-the-scene", "expression": "request.userInfo.username != 'admin'"}]);
        self.value("webhook.matchConditions", scene)
    }

    /// Asked about what everybody does, the testbed's admin included.
    #[must_use]
    pub fn for_everybody(self) -> Self {
        self.value("webhook.matchConditions", json!([]))
    }

    /// With one more argument, for which the chart has no value.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.values.push("webhook.extraArgs", argument.into());
        self
    }

    /// Logging this.
    #[must_use]
    pub fn log(self, filter: &str) -> Self {
        self.value("logging.filter", filter)
    }

    /// Holding what waits for a verification.
    #[must_use]
    pub fn holding(self) -> Self {
        self.value("webhook.hold.enabled", true)
    }

    /// With this `failurePolicy`.
    #[must_use]
    pub fn failure_policy(self, policy: &str) -> Self {
        self.value("webhook.failurePolicy", policy)
    }

    /// With this `timeoutSeconds`.
    #[must_use]
    pub fn timeout_seconds(self, seconds: u32) -> Self {
        self.value("webhook.timeoutSeconds", seconds)
    }

    /// Asked about this namespace only, so that other tests on the same control plane are not disturbed.
    #[must_use]
    pub fn only(self, namespace: &str) -> Self {
        let term = json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": [namespace]});
        self.value("webhook.namespaceSelector", json!([term]))
    }

    /// With this time between SIGTERM and the drain.
    #[must_use]
    pub fn spread_seconds(self, seconds: u32) -> Self {
        self.value("webhook.spreadSeconds", seconds)
    }

    /// The name of the `ValidatingWebhookConfiguration`.
    pub fn configuration(&self) -> String {
        gate_name(&self.namespace)
    }
}

/// A running `pact-operator webhook`. Dropping it kills it.
#[derive(Debug)]
pub struct Webhook {
    address: String,
    replica: Replica,
}

impl Webhook {
    /// Starts one that the API server calls directly, and waits until it is ready.
    pub async fn start(control_plane: &ControlPlane, options: WebhookOptions) -> Self {
        let port = free_port();
        install(control_plane, &options, &format!("https://127.0.0.1:{port}{PATH}")).await;
        let mut webhook = Self::start_at(control_plane, options, port).await;
        webhook.wait_ready().await;
        webhook
    }

    /// Starts one at this port. The rights must have been [`install`]ed. Does not wait: see [`Replica::wait_ready`].
    pub async fn start_at(control_plane: &ControlPlane, options: WebhookOptions, port: u16) -> Self {
        let options = options.value("webhook.url", CALLED);
        let rendered = Rendered::with(control_plane, &options.namespace, &options.values).await;
        let address = format!("127.0.0.1:{port}");
        let replica = Replica::start(control_plane, &rendered.deployment("webhook"), Some(&address)).await;
        Self { address, replica }
    }

    /// Starts one that listens where the chart says, on free ports, and that no API server calls. The rights must have
    /// been [`install`]ed. Waits until it is ready.
    pub async fn start_where_described(control_plane: &ControlPlane, options: WebhookOptions) -> Self {
        let (port, probe_port) = (free_port(), free_port());
        let options = options.value("webhook.port", port).value("webhook.probePort", probe_port);
        let options = options.value("webhook.url", CALLED);
        let rendered = Rendered::with(control_plane, &options.namespace, &options.values).await;
        let (address, probe_address) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{probe_port}"));
        let deployment = rendered.deployment("webhook");
        let replica = Replica::start_where_described(control_plane, &deployment, &probe_address).await;
        let mut webhook = Self { address, replica };
        webhook.wait_ready().await;
        webhook
    }

    /// Starts what helm has installed, at this port.
    pub async fn start_installed(control_plane: &ControlPlane, port: u16) -> Self {
        let (deployment, address) = (replica::installed(control_plane, "webhook").await, format!("127.0.0.1:{port}"));
        let replica = Replica::start(control_plane, &deployment, Some(&address)).await;
        Self { address, replica }
    }

    /// Where it serves: `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where the API server calls it, if [`Webhook::start`] started it.
    pub fn url(&self) -> String {
        format!("https://{}{PATH}", self.address)
    }

    /// As the backend of a balancer that follows its readiness.
    pub fn backend(&self) -> Backend {
        let address = self.address.parse().expect("an address and a port");
        Backend { address, readyz: format!("http://{}/readyz", self.probe_address()) }
    }

    /// How many reviews it has answered, whatever the answer.
    pub async fn reviews(&self) -> u64 {
        sum(&self.metrics().await, "pact_operator_gate_reviews_total")
    }
}

impl Deref for Webhook {
    type Target = Replica;

    fn deref(&self) -> &Replica {
        &self.replica
    }
}

impl DerefMut for Webhook {
    fn deref_mut(&mut self) -> &mut Replica {
        &mut self.replica
    }
}

/// The sum of a counter over all its labels.
pub fn sum(metrics: &str, name: &str) -> u64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values = metrics.lines().filter(of_name).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

/// Creates the operator's rights and its Secret, and configures the API server to call `url`.
pub async fn install(control_plane: &ControlPlane, options: &WebhookOptions, url: &str) {
    let options = options.clone().value("webhook.url", url);
    let rendered = Rendered::with(control_plane, &options.namespace, &options.values).await;
    rendered.apply(control_plane, &[&RIGHTS[..], &[AUTHORITY, GATE, HOLD]].concat()).await;
}

/// The configuration as it is now.
pub async fn configuration(client: &Client, name: &str) -> ValidatingWebhookConfiguration {
    Api::all(client.clone()).get(name).await.unwrap_or_else(|error| panic!("no configuration {name}: {error}"))
}

/// The path by which the API server calls the gate now.
pub async fn path(client: &Client, name: &str) -> String {
    let hooks = configuration(client, name).await.webhooks.unwrap_or_default();
    let called = hooks.into_iter().next().map(|hook| hook.client_config).expect("a webhook");
    let path = called.service.and_then(|service| service.path);
    let of_url = |url: String| url.parse::<reqwest::Url>().map(|url| url.path().to_owned()).ok();
    path.or_else(|| called.url.and_then(of_url)).unwrap_or_else(|| "/".to_owned())
}

/// A user of the cluster who is not its admin.
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

    /// An account of people.yaml: `argocd-application-controller`, `kustomize-controller`, `helm-controller`.
    pub async fn named(control_plane: &ControlPlane, account: &str) -> Self {
        kubectl::apply(control_plane.kubeconfig(), "people", include_str!("people.yaml")).await;
        let kubeconfig = control_plane.user_kubeconfig("people", account).await;
        Self { config: crate::control_plane::config(&kubeconfig).await, kubeconfig }
    }

    /// No account but a person, who has the developer's rights and the right to bypass the gate.
    pub async fn on_call(control_plane: &ControlPlane) -> Self {
        Self::impersonated(control_plane, "on-call").await
    }

    /// The same without that right.
    pub async fn jane(control_plane: &ControlPlane) -> Self {
        Self::impersonated(control_plane, "jane").await
    }

    async fn impersonated(control_plane: &ControlPlane, name: &str) -> Self {
        kubectl::apply(control_plane.kubeconfig(), "people", include_str!("people.yaml")).await;
        let text = std::fs::read_to_string(control_plane.kubeconfig()).expect("the admin's kubeconfig");
        let mut value: Value = serde_yaml_ng::from_str(&text).expect("a kubeconfig is YAML");
        value["users"][0]["user"]["as"] = json!(name);
        let kubeconfig = control_plane.folder().join(format!("kubeconfig-{name}-{}", control_plane.next_number()));
        std::fs::write(&kubeconfig, value.to_string()).expect("the folder of the control plane");
        Self { config: crate::control_plane::config(&kubeconfig).await, kubeconfig }
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
