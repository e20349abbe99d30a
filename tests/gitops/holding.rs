//! A set-up that holds: the chart has `webhook.hold.enabled`, and what a test sees of a Deployment while it is held.

use k8s_openapi::api::apps::v1::Deployment;
use testbed::eventually::eventually;
use testbed::kubectl::kubectl_ok;
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::{SOON, TestCluster};
use testbed::webhook::{Person, Webhook, WebhookOptions};

use crate::gate_setup::GateSetup;
use crate::hold_setup::{HELD, free, resuming, waits};
use crate::team::Team;

/// The one that tests share.
pub async fn setup() -> InUse<GateSetup> {
    static SHARED: Shared<GateSetup> = Shared::new();
    SHARED.get(start).await
}

async fn start() -> GateSetup {
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(resuming()).await;
    let webhook = Webhook::start(&cluster.control_plane, WebhookOptions::default().holding()).await;
    let developer = Person::developer(&cluster.control_plane).await;
    GateSetup { cluster, webhook, developer }
}

impl Team {
    /// Waits until 1.0.0 is recorded and the mutating webhook is called: a dry-run of 2.0.0 is held.
    pub async fn ready_to_hold(&self) {
        self.recorded("1.0.0").await;
        eventually("a dry-run to be held", SOON, async || {
            let output = self
                .setup
                .set_version(self.namespace(), &self.name, "2.0.0", &["--dry-run=server", "-o", "yaml"])
                .await;
            if output.code == 0 && output.out.contains(HELD) { Ok(()) } else { Err(format!("{output:?}")) }
        })
        .await;
    }

    /// Waits until its Deployment is held at this version.
    pub async fn held(&self, version: &str) -> Deployment {
        self.live().wait(&format!("{version} to be held"), |live| waits(live, version)).await
    }

    /// Waits until its Deployment was resumed and this version is recorded.
    pub async fn resumed(&self, version: &str) {
        self.live().wait(&format!("{version} to be resumed"), free).await;
        self.recorded(version).await;
    }
}

/// How often the API server has called each of the two webhooks: the validating one, the mutating one.
pub async fn calls(setup: &GateSetup) -> (u64, u64) {
    let metrics = kubectl_ok(setup.cluster.control_plane.kubeconfig(), &["get", "--raw", "/metrics"]).await;
    let of = |webhook: &str| {
        let named = format!("name=\"{webhook}\"");
        let lines = metrics.lines().filter(|line| line.starts_with("apiserver_admission_webhook_request_total{"));
        let counts =
            lines.filter(|line| line.contains(&named)).filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum()
    };
    (of("gate.pact-operator.dev"), of("hold.pact-operator.dev"))
}
