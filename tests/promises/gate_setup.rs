//! The set-up of the gate's tests: a control plane, a broker, the recorder, the gate, and a developer. The admin
//! sets the scene, about which the gate is not asked; the developer is who it judges.

use crate::objects::Objects as _;
use std::process::Output;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};
use pact_operator::api::{PactBroker, PactEnvironment};
use pact_operator::gate::REPORTER;
use serde_json::{Value, json};

use testbed::eventually::eventually;
use testbed::kubectl::{kubectl, kubectl_reading};
use testbed::rollout::Live;
use testbed::shared::{InUse, Shared};
use testbed::standin::StandIn;
use testbed::test_cluster::{SOON, TestCluster, annotated, image};
use testbed::webhook::{Person, Webhook, WebhookOptions};

/// How the API server introduces a denial of ours.
pub const DENIED: &str = "admission webhook \"gate.pact-operator.dev\" denied the request: ";

/// A test cluster with a gate.
pub struct GateSetup {
    pub cluster: TestCluster,
    pub webhook: Webhook,
    pub developer: Person,
}

impl GateSetup {
    /// The set-up that tests share which use namespaces, environments and pacticipants of their own, and count nothing.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<GateSetup> = Shared::new();
        SHARED.get(Self::start).await
    }

    /// A new test cluster, whose gate is asked about every namespace.
    pub async fn start() -> Self {
        Self::start_with(WebhookOptions::default()).await
    }

    /// The same with a gate of the caller's choice.
    pub async fn start_with(options: WebhookOptions) -> Self {
        let cluster = TestCluster::start().await;
        let webhook = Webhook::start(&cluster.control_plane, options).await;
        let developer = Person::developer(&cluster.control_plane).await;
        Self { cluster, webhook, developer }
    }

    /// The developer's client. Belongs to the caller's runtime.
    pub fn client(&self) -> Client {
        self.developer.client()
    }

    /// The Deployments of a namespace, with the developer's rights.
    pub fn deployments(&self, namespace: &str) -> Api<Deployment> {
        Api::namespaced(self.client(), namespace)
    }

    /// The Events of the gate in a namespace, and not those of the controller: Deployment, reason, note.
    async fn events(&self, namespace: &str) -> Vec<(String, String, String)> {
        let events = Api::<Event>::namespaced(self.cluster.client(), namespace).list(&ListParams::default()).await;
        let ours = events.unwrap().into_iter().filter(|event| event.reporting_controller.as_deref() == Some(REPORTER));
        let reported = ours.map(|event| {
            let regarding = event.regarding.unwrap_or_default();
            assert_eq!(regarding.kind.as_deref(), Some("Deployment"));
            (regarding.name.unwrap_or_default(), event.reason.unwrap_or_default(), event.note.unwrap_or_default())
        });
        reported.collect()
    }

    /// The Events of the gate in a namespace, in order: `orders RolloutDenied`.
    pub async fn reported(&self, namespace: &str) -> Vec<String> {
        let events = self.events(namespace).await;
        let mut reported: Vec<_> = events.into_iter().map(|(name, reason, _)| format!("{name} {reason}")).collect();
        reported.sort();
        reported
    }

    /// Waits for an Event of the gate on a Deployment; gives its note.
    pub async fn wait_reported(&self, namespace: &str, deployment: &str, reason: &str) -> String {
        eventually(format!("the gate to report {reason} on {deployment}"), SOON, async || {
            let events = self.events(namespace).await;
            let found = events.iter().find(|(name, reported, _)| name == deployment && reported == reason);
            found.map(|(_, _, note)| note.clone()).ok_or(format!("{events:?}"))
        })
        .await
    }

    /// kubectl as the developer, in a namespace.
    pub async fn kubectl(&self, namespace: &str, arguments: &[&str]) -> CommandOutput {
        let arguments = [&["-n", namespace], arguments].concat();
        CommandOutput::of(&kubectl(self.developer.kubeconfig(), &arguments).await)
    }

    /// kubectl as the developer, in a namespace, reading this manifest.
    pub async fn kubectl_reading(&self, namespace: &str, arguments: &[&str], manifest: &str) -> CommandOutput {
        let arguments = [&["-n", namespace], arguments].concat();
        CommandOutput::of(&kubectl_reading(self.developer.kubeconfig(), &arguments, manifest).await)
    }

    /// `kubectl set image` of the only container to this version, with more arguments.
    pub async fn set_version(&self, namespace: &str, deployment: &str, version: &str, more: &[&str]) -> CommandOutput {
        let (target, image) = (format!("deployment/{deployment}"), image(version));
        let image = format!("app={image}");
        self.kubectl(namespace, &[&["set", "image", &target, &image], more].concat()).await
    }

    /// A new environment with these gate settings, over a new namespace; waits until its first inventory was recorded.
    pub async fn gated(&self, gate: Value) -> MappedEnvironment {
        let namespace = self.cluster.namespace().await;
        let environment = self.cluster.environment(&[&namespace], json!({"gate": gate})).await;
        self.members_listed(&environment).await;
        MappedEnvironment { namespace, name: environment }
    }

    /// The same at another broker than the cluster's.
    pub async fn gated_by(&self, broker: &str, stand_in: &StandIn, gate: Value) -> MappedEnvironment {
        let namespace = self.cluster.namespace().await;
        let environment = format!("env-{namespace}");
        stand_in.store().add_environment(&environment, false);
        let more = json!({"gate": gate, "brokerRef": {"name": broker}});
        self.cluster.map(&environment, &[&namespace], more).await;
        self.members_listed(&environment).await;
        MappedEnvironment { namespace, name: environment }
    }

    /// Waits until the gate may enforce in an environment.
    pub async fn members_listed(&self, environment: &str) {
        self.cluster.wait_environment(environment, ("MembersListed", "True", "Listed")).await;
        self.known(environment).await;
    }

    /// Waits until the gate knows an environment as it is now: it has a watch of its own.
    pub async fn known(&self, environment: &str) {
        // A watch delivers in order: when the gate knows a later object, it knows the earlier ones, too.
        let marker = format!("marker-{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        let namespace = self.cluster.namespace().await;
        self.cluster.map(&marker, &[&namespace], json!({"gate": {"mode": "Warn"}})).await;
        let deployment = annotated("marker", "marker", "latest");
        let create = ["create", "--dry-run=server", "-f", "-"];
        eventually(format!("the gate to know of {environment}"), SOON, async || {
            let output = self.kubectl_reading(&namespace, &create, &deployment.manifest().to_string()).await;
            if output.warnings().is_empty() { Err(format!("{output:?}")) } else { Ok(()) }
        })
        .await;
        drop(Api::<PactEnvironment>::all(self.cluster.client()).delete(&marker, &DeleteParams::default()).await);
    }

    /// A Deployment that runs this version already, applied by the admin, so that the gate is not asked.
    pub async fn running(&self, environment: &MappedEnvironment, name: &str, pacticipant: &str, version: &str) -> Live {
        let live = annotated(name, pacticipant, version).apply(&self.cluster.client(), &environment.namespace).await;
        live.wait_complete().await;
        Live::new(&self.client(), &environment.namespace, name)
    }

    /// Has 2.0.0 of a provider fail, and 1.0.0 pass, the pact of a consumer that is in the environment.
    pub fn provider_that_breaks(&self, environment: &str, provider: &str) {
        provider_that_breaks(&self.cluster.broker, environment, provider);
    }

    /// A broker of the test's own under this name, to stop or to break. Waits until the gate has a client for it: the
    /// gate has a watch of its own, and sends no question before.
    pub async fn own_broker(&self, name: &str) -> StandIn {
        let broker = StandIn::start().await;
        self.cluster.apply::<PactBroker>("PactBroker", name, json!({"url": broker.url()})).await;
        eventually(format!("the gate to have a client for {name}"), SOON, async || {
            let logs = self.webhook.logs();
            let made = format!("a client for the broker was made broker=\"{name}\"");
            if logs.contains(&made) { Ok(()) } else { Err(logs) }
        })
        .await;
        broker
    }
}

/// Has 2.0.0 of a provider fail, and 1.0.0 pass, the pact of a consumer that is in the environment.
pub fn provider_that_breaks(broker: &StandIn, environment: &str, provider: &str) {
    consumer_of(broker, environment, provider);
    let consumer = format!("web-of-{provider}");
    assert!(broker.store().verify(&consumer, "7", provider, "1.0.0", true));
    assert!(broker.store().verify(&consumer, "7", provider, "2.0.0", false));
}

/// Puts a consumer of the provider, `web-of-PROVIDER` 7, into the environment, with a pact that is not verified.
pub fn consumer_of(broker: &StandIn, environment: &str, provider: &str) {
    let consumer = format!("web-of-{provider}");
    broker.store().publish_pact(&consumer, "7", provider, "what it expects");
    broker.store().record_deployment(&consumer, "7", environment, None);
}

/// A namespace and the environment in which it lies.
#[derive(Clone, Debug)]
pub struct MappedEnvironment {
    pub namespace: String,
    pub name: String,
}

/// The output of a command, and its exit code.
#[derive(Clone, Debug)]
pub struct CommandOutput {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl CommandOutput {
    pub fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// The texts of its `Warning:` lines.
    pub fn warnings(&self) -> Vec<&str> {
        self.err.lines().filter_map(|line| line.strip_prefix("Warning: ")).collect()
    }

    /// The whole text of our denial, if there is one.
    pub fn denial(&self) -> Option<&str> {
        Some(self.err.split_once(DENIED)?.1)
    }

    /// Asserts that the command succeeded without a warning.
    pub fn silent(&self) {
        assert!(self.code == 0 && self.warnings().is_empty(), "{self:?}");
    }
}
