//! The set-up of the tests of hold: a cluster whose chart has `webhook.hold.enabled`, and a person who rolls out.

use std::ops::Deref;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::{Value, json};

use super::gate_setup::{CommandOutput, GateSetup, MappedEnvironment, consumer_of};
use testbed::eventually::eventually;
use testbed::kubectl::kubectl;
use testbed::operator::OperatorOptions;
use testbed::rollout::Live;
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::{SOON, TestCluster, annotated, quick};
use testbed::webhook::{Person, Webhook, WebhookOptions};

/// The annotation of what is held.
pub const HELD: &str = "pact-operator.dev/held";

/// A cluster that holds. Its developer is a person: what service accounts resume is paused again.
pub struct HoldSetup {
    gate: GateSetup,
    /// A service account with the developer's rights.
    pub account: Person,
}

impl Deref for HoldSetup {
    type Target = GateSetup;

    fn deref(&self) -> &GateSetup {
        &self.gate
    }
}

/// The controller's options, with the right to resume.
pub fn resuming() -> OperatorOptions {
    quick().value("webhook.hold.enabled", true)
}

impl HoldSetup {
    /// The set-up that tests share.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<HoldSetup> = Shared::new();
        SHARED.get(Self::start).await
    }

    /// A new one.
    pub async fn start() -> Self {
        Self::with(resuming(), WebhookOptions::default()).await
    }

    /// One with these options of the controller, and these of a webhook that holds.
    pub async fn with(controller: OperatorOptions, webhook: WebhookOptions) -> Self {
        let mut cluster = TestCluster::without_operator().await;
        cluster.start_operator(controller).await;
        let webhook = Webhook::start(&cluster.control_plane, webhook.holding()).await;
        let developer = Person::jane(&cluster.control_plane).await;
        let account = Person::developer(&cluster.control_plane).await;
        Self { gate: GateSetup { cluster, webhook, developer }, account }
    }

    /// A new environment that enforces and holds.
    pub async fn holding(&self, hold: Value) -> MappedEnvironment {
        self.gated(json!({"mode": "Enforce", "hold": hold})).await
    }

    /// A Deployment that runs 1.0.0 of a provider, whose consumer is in the environment; other versions of it are published
    /// and not verified. Waits until it is recorded and the mutating webhook is called.
    pub async fn waiting(&self, environment: &MappedEnvironment, app: &str) -> Live {
        let store = self.cluster.broker.store();
        consumer_of(&self.cluster.broker, &environment.name, app);
        let consumer = format!("web-of-{app}");
        assert!(store.verify(&consumer, "7", app, "1.0.0", true));
        for version in ["2.0.0", "3.0.0"] {
            store.publish_version(app, version);
        }
        let live = annotated(app, app, "1.0.0").replicas(2).apply(&self.cluster.client(), &environment.namespace).await;
        live.wait_complete().await;
        self.cluster.wait_recorded(&environment.name, app, "1.0.0").await;
        self.called(environment, app).await;
        Live::new(&self.client(), &environment.namespace, app)
    }

    /// Waits until the webhooks are called and know what is recorded: a dry-run is held.
    pub async fn called(&self, environment: &MappedEnvironment, app: &str) {
        eventually("a dry-run to be held", SOON, async || {
            let dry = ["--dry-run=server", "-o", "yaml"];
            let output = self.set_version(&environment.namespace, app, "2.0.0", &dry).await;
            if output.code == 0 && output.out.contains(HELD) { Ok(()) } else { Err(format!("{output:?}")) }
        })
        .await;
    }

    /// The verification of a version by the consumer's pact.
    pub fn verified(&self, app: &str, version: &str, ok: bool) {
        let consumer = format!("web-of-{app}");
        assert!(self.cluster.broker.store().verify(&consumer, "7", app, version, ok));
    }

    /// kubectl as a service account, in a namespace.
    pub async fn kubectl_as_account(&self, namespace: &str, arguments: &[&str]) -> CommandOutput {
        let arguments = [&["-n", namespace], arguments].concat();
        CommandOutput::of(&kubectl(self.account.kubeconfig(), &arguments).await)
    }
}

/// Whether a Deployment is paused, and what its annotation says.
pub fn held(deployment: &Deployment) -> (bool, Option<String>) {
    let paused = deployment.spec.as_ref().and_then(|spec| spec.paused).unwrap_or_default();
    (paused, deployment.metadata.annotations.as_ref().and_then(|all| all.get(HELD)).cloned())
}

/// Whether it is held at this version, with nothing reported.
pub fn waits(deployment: &Deployment, version: &str) -> bool {
    let (paused, note) = held(deployment);
    paused && note.is_some_and(|note| note.starts_with(&format!("{version} ")) && note.ends_with('Z'))
}

/// Whether nothing of a hold is left.
pub fn free(deployment: &Deployment) -> bool {
    held(deployment) == (false, None)
}

/// Who has set the pause, and who the annotation, as `managedFields` say: manager and operation.
pub fn setters(deployment: &Deployment) -> (Vec<String>, Vec<String>) {
    let all = deployment.metadata.managed_fields.clone().unwrap_or_default();
    let of = |path: &[&str]| {
        let sets = |fields: &Value| path.iter().try_fold(fields, |at, key| at.get(*key)).is_some();
        let by = all.iter().filter(|it| it.fields_v1.as_ref().is_some_and(|fields| sets(&fields.0)));
        let named = |it: &ManagedFieldsEntry| {
            format!("{} {}", it.manager.clone().unwrap_or_default(), it.operation.clone().unwrap_or_default())
        };
        by.map(named).collect::<Vec<_>>()
    };
    (of(&["f:spec", "f:paused"]), of(&["f:metadata", "f:annotations", &format!("f:{HELD}")]))
}
