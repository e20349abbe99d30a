//! etcd is restored from a backup while the operator runs: it goes on with what the cluster is now, without a restart.
#![allow(clippy::print_stdout, reason = "what was measured is read by people")]

use std::time::Instant;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use pact_operator::api::{PactBroker, PactEnvironment};
use serde_json::json;

use super::gate_setup::provider_that_breaks;
use super::objects::Objects as _;
use testbed::audit;
use testbed::eventually::eventually;
use testbed::restore::Revisions;
use testbed::rollout::Live;
use testbed::test_cluster::{BROKER, OPERATOR_NAMESPACE, SOON, TestCluster, annotated, image, quick};
use testbed::webhook::{Person, Webhook, WebhookOptions};

/// How much is written after the backup besides rollouts: so much that repeated revisions stay below those that the
/// operator knows until the test has ended.
const WRITES: u32 = 1_500;

/// Waits until the record and the broker have the version, and nothing is pending.
async fn wait_settled(cluster: &TestCluster, environment: &str, version: &str) {
    cluster.wait_recorded(environment, "orders", version).await;
    eventually(format!("the record of orders {version}"), SOON, async || {
        let status = cluster.record(environment, "orders").await.and_then(|record| record.status).ok_or("no status")?;
        let recorded = status.recorded.as_ref().map(|recorded| recorded.version.clone());
        let ready = status.conditions.iter().any(|one| one.type_ == "Ready" && one.status == "True");
        if ready && recorded.as_deref() == Some(version) { Ok(()) } else { Err(format!("{recorded:?} {status:?}")) }
    })
    .await;
}

/// Waits until both processes have looked at the history once more: they compare it with what they saw last.
async fn looked_at(cluster: &TestCluster) {
    let lists = || {
        ["pact-operator-controller", "pact-operator-webhook"].map(|account| {
            let requests = audit::requests(&cluster.control_plane, OPERATOR_NAMESPACE, account);
            requests.iter().filter(|one| one.verb == "list" && one.resource == "pactbrokers").count()
        })
    };
    let before = lists();
    eventually("both to look at the history", SOON, async || {
        let now = lists();
        if now[0] > before[0] && now[1] > before[1] { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
}

async fn goes_on_after_a_restore(revisions: Revisions) {
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(quick()).await;
    let (namespace, elsewhere) = (cluster.namespace().await, cluster.namespace().await);
    let environment = cluster.environment(&[&namespace], json!({"gate": {"mode": "Enforce"}})).await;
    for version in ["1.0.0", "1.1.0", "1.2.0", "1.3.0"] {
        cluster.broker.store().publish_version("orders", version);
    }
    annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await.wait_complete().await;
    wait_settled(&cluster, &environment, "1.0.0").await;
    let webhook = Webhook::start(&cluster.control_plane, WebhookOptions::default()).await;
    let developer = Person::developer(&cluster.control_plane).await;

    let backup = cluster.control_plane.backup();
    let orders = Live::new(&cluster.client(), &namespace, "orders");
    for version in ["1.1.0", "1.2.0"] {
        orders.set_image(&image(version)).await;
        wait_settled(&cluster, &environment, version).await;
    }
    let (how, notes) = (PatchParams::apply("test"), Api::<ConfigMap>::namespaced(cluster.client(), &namespace));
    for number in 0..WRITES {
        let note = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}, "data": {"number": number.to_string()}});
        notes.patch("note", &how, &Patch::Apply(note)).await.unwrap();
    }
    looked_at(&cluster).await;
    let pids = (cluster.operators[0].pid(), webhook.pid());
    let began = Instant::now();
    cluster.control_plane.restore(&backup, revisions).await;
    println!("{revisions:?}: the cluster was restored in {:.1?}", began.elapsed());

    // The Deployment is what it was then, and that is what runs. The next rollout is recorded, too.
    let began = Instant::now();
    wait_settled(&cluster, &environment, "1.0.0").await;
    println!("what runs was recorded {:.1?} after that", began.elapsed());
    orders.set_image(&image("1.3.0")).await;
    wait_settled(&cluster, &environment, "1.3.0").await;

    // The statuses of the other kinds are written, and the gate knows of what is made now.
    let brokers = Api::<PactBroker>::all(cluster.client());
    let changed =
        brokers.patch(BROKER, &PatchParams::default(), &Patch::Merge(json!({"spec": {"concurrency": 5}}))).await;
    let generation = changed.unwrap().metadata.generation;
    eventually("the status of the PactBroker", SOON, async || {
        let status = brokers.get(BROKER).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if status.observed_generation == generation { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    println!("the next rollout and the status of the PactBroker {:.1?} after that", began.elapsed());
    let made = cluster.environment(&[&elsewhere], json!({"gate": {"mode": "Enforce"}})).await;
    cluster.wait_environment(&made, ("Ready", "True", "Recording")).await;
    // What it was in the backup may be older than that: it is written anew within seconds.
    let environments = Api::<PactEnvironment>::all(cluster.client());
    eventually("the PactEnvironment to count the workload", SOON, async || {
        let status = environments.get(&environment).await.map_err(|error| error.to_string())?.status;
        if status.as_ref().is_some_and(|status| status.workloads == 1) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    provider_that_breaks(&cluster.broker, &made, "stock");
    eventually("the gate to deny in the environment that was made since", SOON, async || {
        let api = Api::<Deployment>::namespaced(developer.client(), &elsewhere);
        let (how, stock) =
            (PatchParams { dry_run: true, ..PatchParams::apply("test") }, annotated("stock", "stock", "2.0.0"));
        match api.patch("stock", &how, &Patch::Apply(stock.manifest())).await {
            Err(error) if error.to_string().contains("stock 2.0.0 may not be deployed") => Ok(()),
            other => Err(format!("{:?}", other.map(|_| "admitted"))),
        }
    })
    .await;
    println!("all of it {:.1?} after that", began.elapsed());
    assert_eq!((cluster.operators[0].pid(), webhook.pid()), pids, "nothing was restarted");
}

#[tokio::test]
async fn case_107_etcd_is_restored_with_revisions_that_were_there_before() {
    goes_on_after_a_restore(Revisions::Repeated).await;
}

#[tokio::test]
async fn case_107_etcd_is_restored_with_revisions_above_all_that_were_there_before() {
    goes_on_after_a_restore(Revisions::Bumped).await;
}
