//! How much memory the webhook needs for what it knows of a large cluster.

use std::process::Command;
use std::time::Duration;

use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use pact_operator::api::names::{EnvironmentName, Pacticipant};
use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment};
use pact_operator::workload::{EnvironmentRef, RecordKey};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cost::Memory;
use crate::report::{Goal, Report, mib, ratio};
use crate::setup::PATIENCE;
use crate::sizes::Sizes;
use testbed::components::Component;
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::process::Process;
use testbed::test_cluster::{BROKER, TestCluster};
use testbed::webhook::{Webhook, WebhookOptions};

/// The argument that makes the bench's own program a watch that keeps nothing.
pub const ARGUMENT: &str = "keep-nothing";

/// The number of records for which there is a goal.
const LARGE: usize = 10_000;
const LISTED: &str = "listed: ";
/// How many requests the bench has under way at the API server.
const AT_ONCE: usize = 50;

pub async fn measure(sizes: &Sizes, report: &mut Report) {
    let cluster = TestCluster::without_operator().await;
    let environment = cluster.environment(&["nowhere"], json!({})).await;
    let options = WebhookOptions::as_in_chart();
    // Once, for its rights and its certificate.
    drop(Webhook::start(&cluster.control_plane, options.clone()).await);
    // It would create a ServiceAccount and a ConfigMap in each namespace, which are not needed here.
    cluster.control_plane.stop(Component::ControllerManager);
    report.section(
        "Memory at rest",
        "A webhook that has just started and listed so many `PactDeployment`s (each with a member, a recorded version, ten \
         former ones and two checks) and as many namespaces, after 3 s of rest; and the most that was resident until \
         then. The floor is a process that watches the same four kinds with the same types and keeps nothing.",
    );
    let mut known = 0;
    for count in sizes.known {
        create(&cluster, &environment, known..*count).await;
        known = *count;
        let webhook = Webhook::start(&cluster.control_plane, options.clone()).await;
        let ours = at_rest(webhook.pid()).await;
        drop(webhook);
        let floor = without_keeping(&cluster.control_plane).await;
        let what = format!("{count} PactDeployments and namespaces: at rest");
        let figures = [&*mib(ours.rest), &*mib(floor.rest), &*ratio(ours.rest as f64, floor.rest as f64)];
        if *count == LARGE {
            report.judged(&what, figures, &Goal::at_most_mib(45.0, ours.rest));
        } else {
            report.row(&what, figures[0], figures[1], figures[2], "");
        }
        report.row(
            &format!("{count} PactDeployments and namespaces: at most"),
            &mib(ours.most),
            &mib(floor.most),
            &ratio(ours.most as f64, floor.most as f64),
            "",
        );
    }
}

async fn at_rest(pid: Option<u32>) -> Memory {
    // There is no event to wait for.
    tokio::time::sleep(Duration::from_secs(3)).await;
    Memory::of(pid)
}

async fn create(cluster: &TestCluster, environment: &str, range: std::ops::Range<usize>) {
    let client = cluster.client();
    let creations = stream::iter(range).map(|number| {
        let client = client.clone();
        async move {
            namespace(&client, number).await;
            record(&client, environment, number).await;
        }
    });
    creations.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

async fn namespace(client: &Client, number: usize) {
    let labels = json!({"team": format!("team-{}", number % 50), "pod-security.kubernetes.io/enforce": "baseline"});
    let object = json!({"metadata": {"name": format!("team-space-{number}"), "labels": labels}});
    let api: Api<Namespace> = Api::all(client.clone());
    drop(api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap());
}

/// The record of an application after a year.
async fn record(client: &Client, environment: &str, number: usize) {
    let pacticipant = format!("shop-service-{number}");
    let key = RecordKey {
        environment_ref: EnvironmentRef {
            broker: BROKER.to_owned(),
            environment: EnvironmentName::parse(environment).unwrap(),
        },
        pacticipant: Pacticipant::parse(&pacticipant).unwrap(),
        instance: None,
    };
    let name = key.object_name();
    let object = json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactDeployment", "metadata": {"name": name},
        "spec": {"broker": BROKER, "environment": environment, "pacticipant": pacticipant},
    });
    let api: Api<PactDeployment> = Api::all(client.clone());
    drop(api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap());
    let status = Patch::Merge(json!({"status": status(&pacticipant, number)}));
    drop(api.patch_status(&name, &PatchParams::default(), &status).await.unwrap());
}

fn status(pacticipant: &str, number: usize) -> Value {
    let at = "2026-02-20T10:01:02Z";
    let version = |age: usize| format!("4.{}.{}+{:07x}", 40 - age, number % 10, number * 41 + age);
    let recorded = |age: usize| json!({"version": version(age), "uuid": uuid::Uuid::new_v4().to_string(), "at": at});
    let pair = json!({
        "consumer": "web", "consumerVersion": "9.1.0+0a1b2c3", "provider": pacticipant, "providerVersion": version(0),
        "result": "Verified",
    });
    let check =
        |age| json!({"version": version(age), "verdict": "Yes", "wouldDeny": false, "since": at, "pairs": [pair]});
    let condition = |type_: &str| json!({"type": type_, "status": "True", "reason": "Recorded", "message": "the broker has it", "lastTransitionTime": at});
    json!({
        "members": [{
            "kind": "Deployment", "namespace": format!("team-space-{number}"), "name": pacticipant,
            "version": version(0), "rollout": "Complete",
        }],
        "desiredVersion": version(0),
        "recorded": recorded(0),
        "history": (1..=10).map(recorded).collect::<Vec<_>>(),
        "checks": [check(0), check(1)],
        "conditions": [condition("Ready"), condition("Recorded")],
    })
}

async fn without_keeping(control_plane: &ControlPlane) -> Memory {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(ARGUMENT).env("KUBECONFIG", control_plane.kubeconfig());
    let name = format!("{ARGUMENT}-{}", control_plane.next_number());
    let process = Process::start(&name, control_plane.folder(), &command);
    eventually("the bare watch to have listed all", PATIENCE, async || {
        let log = process.logs();
        if log.matches(LISTED).count() == 4 { Ok(()) } else { Err(log) }
    })
    .await;
    at_rest(process.pid()).await
}

/// The process that [`without_keeping`] starts: it watches what the webhook watches.
pub async fn keep_nothing() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::try_default().await.expect("KUBECONFIG is given");
    tokio::join!(
        watch::<PartialObjectMeta<Namespace>>(&client),
        watch::<PactEnvironment>(&client),
        watch::<PactBroker>(&client),
        watch::<PactDeployment>(&client),
    );
}

async fn watch<K>(client: &Client)
where
    K: kube::Resource<DynamicType: Default> + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let mut events = watcher(Api::<K>::all(client.clone()), watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitDone) => println!("{LISTED}{}", K::plural(&Default::default())),
            Ok(_) => {}
            Err(error) => println!("{error}"),
        }
    }
}
