//! A workload that was deleted is undeployed after a grace period, and nothing else is undeployed.

use crate::objects::Objects as _;
use std::time::{Duration, Instant};

use kube::api::DeleteParams;
use kube::{Api, Resource};
use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment, annotations};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use testbed::crds::install_crds;
use testbed::eventually::{always, eventually};
use testbed::kubectl::kubectl_ok;
use testbed::namespace::{self, with_namespace};
use testbed::rollout::Live;
use testbed::test_cluster::{BROKER, SOON, TestCluster, annotated, quick};

/// A grace short enough to wait for, and long enough for a step of the test on a slow machine.
const GRACE: u64 = 4;

/// Longer than the grace and the next comparison with the broker: an undeployment would have happened by then.
const LONG: Duration = Duration::from_secs(GRACE + 5);

fn grace(seconds: u64) -> Value {
    json!({"record": {"undeployGraceSeconds": seconds}})
}

/// Runs a test in a new namespace with an environment of that grace over it, where `orders` 1.0.0 is recorded.
async fn with_orders(cluster: &TestCluster, seconds: u64, test: impl AsyncFnOnce(String, String, Live)) {
    with_namespace(&cluster.control_plane, async |namespace| {
        let environment = cluster.environment(&[&namespace], grace(seconds)).await;
        let orders = deployed(cluster, &namespace, &environment, "orders").await;
        test(namespace, environment, orders).await;
    })
    .await;
}

/// Rolls out 1.0.0 of a pacticipant under its own name and waits until the broker and the record have it.
pub(super) async fn deployed(cluster: &TestCluster, namespace: &str, environment: &str, name: &str) -> Live {
    cluster.broker.store().publish_version(name, "1.0.0");
    let live = annotated(name, name, "1.0.0").apply(&cluster.client(), namespace).await;
    cluster.wait_recorded(environment, name, "1.0.0").await;
    cluster.wait_condition(environment, name, ("Ready", "True", "Recorded")).await;
    live
}

async fn wait_undeployed(cluster: &TestCluster, environment: &str, name: &str) {
    eventually(format!("{name} to be undeployed from {environment}"), SOON, async || {
        match cluster.recorded(environment, name) {
            None => Ok(()),
            Some(version) => Err(format!("{version} is recorded")),
        }
    })
    .await;
    cluster.wait_condition(environment, name, ("Ready", "True", "Undeployed")).await;
    assert_eq!(cluster.writes(environment, name), ["Deployed 1.0.0", "Undeployed 1.0.0"]);
}

/// Asserts that only the first record is written.
async fn stays_recorded(cluster: &TestCluster, environment: &str, name: &str, time: Duration) {
    always(format!("{name} stays recorded in {environment}"), time, async || {
        let writes = cluster.writes(environment, name);
        let recorded = cluster.recorded(environment, name);
        (writes == ["Deployed 1.0.0"] && recorded.as_deref() == Some("1.0.0"))
            .then_some(())
            .ok_or(format!("{recorded:?} after {writes:?}"))
    })
    .await;
}

async fn delete<K>(cluster: &TestCluster, name: &str)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    drop(Api::<K>::all(cluster.client()).delete(name, &DeleteParams::default()).await.unwrap());
}

#[tokio::test]
async fn case_48_a_deleted_workload_is_orphaned_and_undeployed_once_after_the_grace() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, GRACE, async |_, environment, orders| {
        let deleted = Instant::now();
        orders.delete().await;
        let record = cluster.wait_condition(&environment, "orders", ("Orphaned", "True", "Orphaned")).await;
        assert!(record.status.unwrap().orphaned_since.is_some());
        wait_undeployed(&cluster, &environment, "orders").await;
        let write = cluster.broker.writes().into_iter().rfind(|write| write.environment == environment).unwrap();
        // Times in the record have whole seconds.
        assert!(write.at - deleted >= Duration::from_secs(GRACE - 1), "{:?}", write.at - deleted);
        let name = cluster.record(&environment, "orders").await.unwrap().metadata.name.unwrap();
        for reason in ["Orphaned", "Undeployed"] {
            cluster.wait_event("default", &name, reason).await;
        }
    })
    .await;
}

#[tokio::test]
async fn case_48_a_row_that_another_client_changed_meanwhile_is_not_undeployed() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, GRACE, async |_, environment, orders| {
        orders.delete().await;
        cluster.wait_condition(&environment, "orders", ("Orphaned", "True", "Orphaned")).await;
        cluster.broker.store().record_deployment("orders", "9.9.9", &environment, None);
        cluster.wait_condition(&environment, "orders", ("Ready", "True", "RecordedByOthers")).await;
        assert_eq!(cluster.recorded(&environment, "orders").as_deref(), Some("9.9.9"));
        assert_eq!(cluster.writes(&environment, "orders"), ["Deployed 1.0.0"]);
    })
    .await;
}

#[tokio::test]
async fn case_48_a_workload_created_again_within_the_grace_is_not_undeployed() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, GRACE * 3, async |namespace, environment, orders| {
        orders.delete().await;
        cluster.wait_condition(&environment, "orders", ("Orphaned", "True", "Orphaned")).await;
        annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
        let record = cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
        assert_eq!(record.status.unwrap().orphaned_since, None);
        stays_recorded(&cluster, &environment, "orders", Duration::from_secs(GRACE * 3 + 2)).await;
    })
    .await;
}

#[tokio::test]
async fn case_35_a_deleted_workload_whose_key_another_one_holds_is_not_undeployed() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, 1, async |namespace, environment, orders| {
        let worker = annotated("orders-worker", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
        worker.wait_complete().await;
        eventually("both to be members", SOON, async || {
            let members = cluster.record(&environment, "orders").await.unwrap().status.unwrap().members.len();
            if members == 2 { Ok(()) } else { Err(format!("{members} members")) }
        })
        .await;
        orders.delete().await;
        stays_recorded(&cluster, &environment, "orders", LONG).await;
    })
    .await;
}

#[tokio::test]
async fn case_49_the_workloads_of_a_deleted_namespace_are_undeployed_after_the_grace() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, 1, async |namespace, environment, _| {
        namespace::delete(&cluster.client(), &namespace).await;
        wait_undeployed(&cluster, &environment, "orders").await;
    })
    .await;
}

#[tokio::test]
async fn case_39_removing_the_annotation_keeps_the_record_even_when_the_workload_is_deleted_later() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, 1, async |_, environment, orders| {
        orders.annotate(annotations::PACTICIPANT, None).await;
        cluster.wait_condition(&environment, "orders", ("Ready", "True", "Unmanaged")).await;
        orders.delete().await;
        stays_recorded(&cluster, &environment, "orders", LONG).await;
    })
    .await;
}

#[tokio::test]
async fn case_38_a_renamed_annotation_records_the_new_name_and_undeploys_the_old_after_the_grace() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, GRACE, async |_, environment, orders| {
        cluster.broker.store().publish_version("order-service", "1.0.0");
        orders.annotate(annotations::PACTICIPANT, Some("order-service")).await;
        cluster.wait_recorded(&environment, "order-service", "1.0.0").await;
        cluster.wait_condition(&environment, "orders", ("Orphaned", "True", "Orphaned")).await;
        assert_eq!(cluster.recorded(&environment, "orders").as_deref(), Some("1.0.0"), "not before the grace");
        wait_undeployed(&cluster, &environment, "orders").await;
        assert_eq!(cluster.writes(&environment, "order-service"), ["Deployed 1.0.0"]);
    })
    .await;
}

#[tokio::test]
async fn case_40_a_namespace_that_moves_to_another_environment_is_recorded_there_and_undeployed_here_after_the_grace() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, GRACE, async |namespace, environment, _| {
        let elsewhere = cluster.environment(&["nowhere"], json!({})).await;
        cluster.map(&environment, &["nowhere-either"], grace(GRACE)).await;
        cluster.map(&elsewhere, &[&namespace], json!({})).await;
        cluster.wait_recorded(&elsewhere, "orders", "1.0.0").await;
        wait_undeployed(&cluster, &environment, "orders").await;
        assert_eq!(cluster.recorded(&elsewhere, "orders").as_deref(), Some("1.0.0"));
    })
    .await;
}

#[tokio::test]
async fn a_deleted_pact_environment_undeploys_nothing_and_one_that_comes_back_goes_on() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, 1, async |namespace, environment, orders| {
        delete::<PactEnvironment>(&cluster, &environment).await;
        cluster.wait_condition(&environment, "orders", ("Ready", "False", "EnvironmentUnmanaged")).await;
        stays_recorded(&cluster, &environment, "orders", LONG).await;
        cluster.map(&environment, &[&namespace], grace(1)).await;
        cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
        assert_eq!(cluster.writes(&environment, "orders"), ["Deployed 1.0.0"]);

        delete::<PactEnvironment>(&cluster, &environment).await;
        cluster.wait_condition(&environment, "orders", ("Ready", "False", "EnvironmentUnmanaged")).await;
        orders.delete().await;
        stays_recorded(&cluster, &environment, "orders", LONG).await;
    })
    .await;
}

#[tokio::test]
async fn case_53_a_pact_deployment_deleted_by_hand_is_made_again_without_a_write() {
    let cluster = TestCluster::shared().await;
    with_orders(&cluster, 1, async |_, environment, _| {
        let before = cluster.record(&environment, "orders").await.unwrap();
        delete::<PactDeployment>(&cluster, before.metadata.name.as_deref().unwrap()).await;
        eventually("a new PactDeployment", SOON, async || {
            let now = cluster.record(&environment, "orders").await.ok_or("none")?;
            let recorded = now.status.and_then(|status| status.recorded).map(|recorded| recorded.version);
            let new = now.metadata.uid != before.metadata.uid;
            if new && recorded.as_deref() == Some("1.0.0") { Ok(()) } else { Err(format!("{new} {recorded:?}")) }
        })
        .await;
        stays_recorded(&cluster, &environment, "orders", LONG).await;
    })
    .await;
}

#[tokio::test]
async fn cases_50_to_53_what_an_absent_operator_missed_is_found_and_its_removal_undeploys_nothing() {
    let mut cluster = TestCluster::start().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], grace(1)).await;
    let orders = deployed(&cluster, &namespace, &environment, "orders").await;
    let stock = deployed(&cluster, &namespace, &environment, "stock").await;
    deployed(&cluster, &namespace, &environment, "carts").await;

    // Case 50: deleted while no operator runs.
    assert_eq!(cluster.operators[0].terminate().await, 0);
    cluster.operators.clear();
    orders.delete().await;
    eventually("the Deployment to be gone", SOON, async || {
        let api = Api::<k8s_openapi::api::apps::v1::Deployment>::namespaced(cluster.client(), &namespace);
        if api.get_opt("orders").await.unwrap().is_none() { Ok(()) } else { Err("it is there".to_owned()) }
    })
    .await;
    stays_recorded(&cluster, &environment, "orders", Duration::from_secs(3)).await;
    cluster.start_operator(quick()).await;
    wait_undeployed(&cluster, &environment, "orders").await;

    // Case 53: the definition of PactDeployment is deleted, and installed again later.
    let kubeconfig = cluster.control_plane.kubeconfig().to_owned();
    kubectl_ok(&kubeconfig, &["delete", "crd", "pactdeployments.pact-operator.dev"]).await;
    for name in ["stock", "carts"] {
        stays_recorded(&cluster, &environment, name, Duration::from_secs(4)).await;
    }
    install_crds(&cluster.control_plane).await;
    for name in ["stock", "carts"] {
        cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
        assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0"]);
    }

    // Case 52: the whole installation is removed, first the objects, then the operator and its definitions.
    delete::<PactEnvironment>(&cluster, &environment).await;
    delete::<PactBroker>(&cluster, BROKER).await;
    cluster.wait_condition(&environment, "stock", ("Ready", "False", "EnvironmentUnmanaged")).await;
    stock.delete().await;
    for kind in ["pactdeployments", "pactenvironments", "pactbrokers"] {
        kubectl_ok(&kubeconfig, &["delete", "crd", &format!("{kind}.pact-operator.dev")]).await;
    }
    stays_recorded(&cluster, &environment, "stock", Duration::from_secs(4)).await;
    assert_eq!(cluster.operators[0].terminate().await, 0);
    for name in ["stock", "carts"] {
        stays_recorded(&cluster, &environment, name, Duration::from_secs(1)).await;
    }
    assert!(!cluster.logs().contains("panicked"), "{}", cluster.logs());
}
