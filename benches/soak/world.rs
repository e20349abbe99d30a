//! The world of a run: a control plane, a stand-in broker, two webhooks behind a balancer, and Deployments.

use std::sync::Arc;

use futures::future::join_all;
use kube::Client;
use kube::api::DynamicObject;
use serde_json::json;

use testbed::balancer::Balancer;
use testbed::control_plane::ControlPlane;
use testbed::crds::install_crds;
use testbed::eventually::eventually;
use testbed::operator::install_rights;
use testbed::process::free_port;
use testbed::standin::StandIn;
use testbed::test_cluster::{BROKER, OPERATOR_NAMESPACE, SOON, TestCluster, annotated};
use testbed::webhook::{self, Person, Webhook, WebhookOptions};

use crate::changes::{Change, Outcome};
use crate::controllers::Controllers;
use crate::finished::Finished;

/// How many Deployments there are, each with one pod and a pacticipant of its name.
const APPS: usize = 40;
/// The consumer that all of them have a contract with. It runs in the environment all the time.
pub const CONSUMER: &str = "storefront";
/// The version of the consumer that runs.
const CONSUMER_VERSION: &str = "1";
/// The version that each Deployment starts with.
pub const FIRST: &str = "0.0.0";
/// How long a certificate lives, in seconds: it is renewed after two thirds of that, two minutes.
const CERTIFICATE_SECONDS: u32 = 180;

/// See the module. Dropping it ends all of it, what needs the cluster first.
pub struct World {
    /// What the rollouts of the Deployments have come to, since before the first one.
    pub finished: Finished,
    /// The webhooks.
    pub webhooks: [Webhook; 2],
    /// Control plane and broker.
    pub cluster: TestCluster,
    /// A client with all rights.
    pub client: Client,
    /// The namespace of the Deployments.
    pub namespace: String,
    /// Its environment, in which the gate enforces.
    pub environment: String,
    /// The names of the Deployments.
    pub apps: Vec<String>,
    /// Whoever changes the images.
    pub person: Person,
    /// Distributes the API server's connections among them.
    pub balancer: Balancer,
}

impl World {
    /// A world with its controllers, in which everything is ready, recorded and answered right.
    pub async fn start() -> (Self, Controllers) {
        let cluster = cluster().await;
        let controllers = Controllers::start(&cluster.control_plane, cluster.client()).await;
        let (client, namespace) = (cluster.client(), cluster.namespace().await);
        let environment = cluster.environment(&[&namespace], json!({"gate": {"mode": "Enforce"}})).await;
        let apps: Vec<_> = (0..APPS).map(|number| format!("app-{number}")).collect();
        let finished = Finished::watch(client.clone(), &namespace);
        seed(&cluster, &environment, &apps);
        roll_out_first(&cluster, &client, &namespace, &environment, &apps).await;

        let balancer = Balancer::start(Vec::new()).await;
        balancer.be_strict();
        let webhooks = webhooks(&cluster.control_plane, &balancer).await;
        let person = Person::developer(&cluster.control_plane).await;
        let world = Self { finished, webhooks, cluster, client, namespace, environment, apps, person, balancer };
        world.wait_right_answers().await;
        (world, controllers)
    }

    /// Makes the broker know a version of a Deployment, which passes the consumer's contract or fails it.
    pub fn publish(&self, app: &str, version: &str, passes: bool) {
        self.cluster.broker.store().verify(CONSUMER, CONSUMER_VERSION, app, version, passes);
    }

    /// Until the API server trusts the webhooks, and these have read the cluster.
    async fn wait_right_answers(&self) {
        let (client, app) = (self.person.client(), &self.apps[0]);
        for (version, passes) in [("0.0.1", true), ("0.0.2", false)] {
            self.publish(app, version, passes);
            let change = Change::new(app, version, passes).rehearsed();
            eventually("the first right answers", SOON, async || match change.send(&client, &self.namespace).await {
                Outcome::Failed(message) => Err(message),
                Outcome::Allowed | Outcome::Denied => Ok(()),
            })
            .await;
        }
    }
}

/// A control plane whose API server calls webhooks as it calls those behind a Service: over HTTP/1.1, with a connection for
/// each call that is under way, so that both webhooks are called.
async fn cluster() -> TestCluster {
    let control_plane = ControlPlane::start_with(&[("GODEBUG", "http2client=0")]).await;
    install_crds(&control_plane).await;
    install_rights(&control_plane, OPERATOR_NAMESPACE).await;
    let broker = Arc::new(StandIn::start().await);
    let cluster = TestCluster { control_plane, broker, operators: Vec::new() };
    cluster.apply::<DynamicObject>("PactBroker", BROKER, json!({"url": cluster.broker.url()})).await;
    cluster
}

fn seed(cluster: &TestCluster, environment: &str, apps: &[String]) {
    let store = cluster.broker.store();
    for app in apps {
        store.publish_pact(CONSUMER, CONSUMER_VERSION, app, "a");
        store.verify(CONSUMER, CONSUMER_VERSION, app, FIRST, true);
    }
    store.record_deployment(CONSUMER, CONSUMER_VERSION, environment, None);
}

/// Creates the Deployments, before anybody is asked about them, and waits until they are recorded.
async fn roll_out_first(cluster: &TestCluster, client: &Client, namespace: &str, environment: &str, apps: &[String]) {
    join_all(apps.iter().map(async |app| annotated(app, app, FIRST).create(client, namespace).await)).await;
    for app in apps {
        cluster.wait_recorded(environment, app, FIRST).await;
    }
}

/// As in the chart, but for the life of the certificate; the arguments in seconds exclude the chart's in days and hours.
fn options() -> WebhookOptions {
    let options = WebhookOptions::as_in_chart().for_everybody();
    let options = options.value("certificates.authorityDays", ()).value("certificates.certificateHours", ());
    options.arg(format!("--certificate-seconds={CERTIFICATE_SECONDS}")).arg("--authority-seconds=86400")
}

async fn webhooks(control_plane: &ControlPlane, balancer: &Balancer) -> [Webhook; 2] {
    let options = options();
    webhook::install(control_plane, &options, &format!("https://{}/gate", balancer.address())).await;
    let start = async || Webhook::start_at(control_plane, options.clone(), free_port()).await;
    let mut webhooks = [start().await, start().await];
    for webhook in &mut webhooks {
        webhook.wait_ready().await;
    }
    balancer.set_backends(webhooks.iter().map(Webhook::backend).collect());
    eventually("the balancer to follow", SOON, async || match balancer.ready().len() {
        2 => Ok(()),
        ready => Err(format!("{ready} of 2 are ready")),
    })
    .await;
    webhooks
}
