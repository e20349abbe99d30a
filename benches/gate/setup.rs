//! The set-up of the gate's measurements: a control plane, two brokers, the webhook with its default settings, and its
//! floor.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use pact_operator::api::{PactBroker, PactEnvironment};
use serde_json::{Value, json};

use crate::always_yes::AlwaysYes;
use crate::load::Target;
use crate::reviewed::Reviews;
use testbed::eventually::eventually;
use testbed::namespace;
use testbed::standin::{Effect, Fault, StandIn};
use testbed::test_cluster::TestCluster;
use testbed::webhook::{Webhook, WebhookOptions};

/// Longer than anything here should take on the slowest machine.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// How large the reviews are that are sent directly.
pub const REVIEW_BYTES: usize = 20 << 10;

/// The label by which namespaces choose the webhook that is asked about them.
const ASKED: &str = "bench/asked";

/// The application that is rolled out. Others consume it, so that a question about it is one request to the broker.
pub const PROVIDER: &str = "orders";
/// An application that consumes another one: what is live of that has to be read, too.
pub const CONSUMER: &str = "shop";
/// What it consumes: it runs, and is never rolled out, or each version on its way would count for its consumers.
pub const CONSUMED: &str = "stock";
/// The version whose verdict is cached.
pub const CACHED: &str = "2.0.0";

/// How many more environments there are: a cluster has more than one team.
pub const OTHERS: usize = 20;
/// How many each of them names.
pub const NAMED_BY_EACH: usize = 100;

/// How many Deployments take turns in what is sent directly.
const DEPLOYMENTS: usize = 32;

/// See the module.
pub struct Setup {
    /// Control plane and the broker that answers.
    pub cluster: TestCluster,
    /// The webhook.
    pub webhook: Webhook,
    /// Its floor.
    pub always_yes: AlwaysYes,
    /// The namespace about which the webhook is asked, in an environment of the broker that answers.
    pub gated: String,
    /// A namespace about which the webhook is asked, in an environment of a broker that never answers.
    pub unanswered: String,
    /// The namespace about which the floor is asked.
    pub floor: String,
    /// The namespace about which no webhook is asked.
    pub free: String,
    _black_hole: StandIn,
}

impl Setup {
    /// A new one, with the webhook ready.
    pub async fn new() -> Self {
        let cluster = TestCluster::without_operator().await;
        let black_hole = StandIn::start().await;
        black_hole.faults().add(Fault::new(Effect::Hang));
        cluster.apply::<PactBroker>("PactBroker", "black-hole", json!({"url": black_hole.url()})).await;
        let client = cluster.client();
        let make = async |asked: &str| namespace::create(&cluster.control_plane, &client, &[(ASKED, asked)]).await;
        let (gated, unanswered) = (make("gate").await, make("gate").await);
        let (floor, free) = (make("floor").await, make("nobody").await);

        let environment = cluster.environment(&[&gated], json!({"gate": {"mode": "Enforce"}})).await;
        let nowhere = json!({"gate": {"mode": "Enforce"}, "brokerRef": {"name": "black-hole"}});
        cluster.map("nowhere", &[&unanswered], nowhere).await;
        for name in [&environment, "nowhere"] {
            members_listed(&cluster, name).await;
        }
        for other in 0..OTHERS {
            let names: Vec<_> = (0..NAMED_BY_EACH).map(|number| format!("team-{other}-space-{number}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            cluster.map(&format!("other-{other}"), &names, json!({})).await;
        }
        let store = cluster.broker.store();
        store.publish_pact("web", "1", PROVIDER, "what web wants");
        store.record_deployment("web", "1", &environment, None);
        store.verify("web", "1", PROVIDER, "1.0.0", true);
        store.verify("web", "1", PROVIDER, CACHED, true);
        store.record_deployment(PROVIDER, "1.0.0", &environment, None);
        store.record_deployment(CONSUMED, "1.0.0", &environment, None);

        let always_yes = AlwaysYes::start(&cluster.control_plane).await;
        let options = WebhookOptions::as_in_chart().but_for_the_admin();
        let webhook = Webhook::start(&cluster.control_plane, options.clone()).await;
        let setup = Self { cluster, webhook, always_yes, gated, unanswered, floor, free, _black_hole: black_hole };
        setup.route(&options.configuration()).await;
        setup
    }

    /// Configures the API server to ask the gate about the gate's namespaces, and the floor about the floor's: under
    /// the same conditions, so that both mean the same work for it.
    async fn route(&self, name: &str) {
        let api: Api<ValidatingWebhookConfiguration> = Api::all(self.cluster.client());
        let mut gate = eventually("the gate's caBundle", PATIENCE, async || {
            let found = api.get(name).await.map_err(|error| error.to_string())?;
            let bundle = found.webhooks.iter().flatten().find_map(|one| one.client_config.ca_bundle.as_ref());
            if bundle.is_some() { Ok(found) } else { Err("it is empty".to_owned()) }
        })
        .await;
        let mut floor = serde_json::to_value(&gate).unwrap();
        floor["metadata"] = json!({"name": "always-yes"});
        let one = &mut floor["webhooks"][0];
        one["name"] = json!("always.yes.test");
        one["clientConfig"] = json!({"url": self.always_yes.url, "caBundle": base64(&self.always_yes.authority)});
        one["namespaceSelector"] = json!({"matchLabels": {ASKED: "floor"}});
        api.create(&PostParams::default(), &serde_json::from_value(floor).unwrap()).await.unwrap();

        let selector = json!({"matchLabels": {ASKED: "gate"}});
        for one in gate.webhooks.iter_mut().flatten() {
            one.namespace_selector = Some(serde_json::from_value(selector.clone()).unwrap());
        }
        api.replace(name, &PostParams::default(), &gate).await.unwrap();
    }

    /// Reviews of rollouts to the version whose verdict is cached.
    pub fn cached(&self) -> Arc<[Bytes]> {
        let reviews = Reviews::of(REVIEW_BYTES);
        let review = |number| reviews.one(&self.gated, &format!("{PROVIDER}-{number}"), PROVIDER, CACHED);
        (0..DEPLOYMENTS).map(review).collect()
    }

    /// The webhook, called directly.
    pub fn gate(&self, bodies: &Arc<[Bytes]>) -> Target {
        Target::new(&self.webhook.url(), bodies)
    }

    /// Its floor, called directly.
    pub fn yes(&self, bodies: &Arc<[Bytes]>) -> Target {
        Target::new(&self.always_yes.url, bodies)
    }

    /// How many answers to questions came from where: `Remembered`, `Asked`, `None`.
    pub async fn answers(&self, source: &str) -> u64 {
        let metrics = self.webhook.metrics().await;
        let label = format!("source=\"{source}\"");
        let of_source = |line: &&str| line.starts_with("pact_operator_gate_answers_total{") && line.contains(&label);
        let count = metrics.lines().find(of_source).and_then(|line| line.rsplit(' ').next()?.parse().ok());
        count.unwrap_or_default()
    }
}

/// Writes what the recorder would have written: without it `Enforce` does no more than `Warn`.
async fn members_listed(cluster: &TestCluster, name: &str) {
    let condition = json!({
        "type": "MembersListed", "status": "True", "reason": "Listed", "message": "",
        "lastTransitionTime": "2026-01-12T08:30:00Z",
    });
    let status = Patch::Merge(json!({"status": {"conditions": [condition]}}));
    let api: Api<PactEnvironment> = Api::all(cluster.client());
    drop(api.patch_status(name, &PatchParams::default(), &status).await.unwrap());
}

fn base64(text: &str) -> Value {
    use base64::Engine;
    json!(base64::engine::general_purpose::STANDARD.encode(text))
}
