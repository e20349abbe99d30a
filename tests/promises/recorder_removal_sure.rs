//! Nothing is taken back that may still serve, that somebody else wrote, or that vanished with many others.

use std::time::Duration;

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use pact_operator::api::{PactEnvironment, annotations};
use serde_json::{Value, json};

use super::objects::Objects as _;
use super::recorder_removal::deployed;
use testbed::eventually::{always, eventually};
use testbed::kubectl::kubectl_ok;
use testbed::test_cluster::{SOON, TestCluster, annotated};
use testbed::webhook::sum;
use testbed::workload::{Workload, daemon_set};

/// Seconds.
const GRACE: u64 = 2;

/// Longer than the grace and the next look at what no watch reports.
const LONG: Duration = Duration::from_secs(GRACE + 12);

fn record(more: &Value) -> Value {
    let mut record = json!({"undeployGraceSeconds": GRACE});
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"record": record})
}

async fn wait_gone(cluster: &TestCluster, environment: &str, name: &str) {
    eventually(format!("{name} to be undeployed from {environment}"), SOON, async || {
        cluster.recorded(environment, name).map_or(Ok(()), |version| Err(format!("{version} is recorded")))
    })
    .await;
}

async fn stays(cluster: &TestCluster, environment: &str, names: &[&str], time: Duration) {
    always(format!("{names:?} stay recorded in {environment}"), time, async || {
        let gone: Vec<_> = names.iter().filter(|name| cluster.recorded(environment, name).is_none()).collect();
        if gone.is_empty() { Ok(()) } else { Err(format!("{gone:?} are undeployed")) }
    })
    .await;
}

#[tokio::test]
async fn case_98_a_renamed_pacticipant_keeps_its_row_until_the_new_name_is_recorded() {
    let cluster = TestCluster::shared().await;
    let namespace = &cluster.namespace().await;
    let environment = &cluster.environment(&[namespace], record(&json!({}))).await;
    let live = deployed(&cluster, namespace, environment, "renamed").await;
    live.annotate(annotations::PACTICIPANT, Some("renaemd")).await;
    cluster.wait_condition(environment, "renamed", ("Orphaned", "True", "RecordedElsewhereFirst")).await;
    stays(&cluster, environment, &["renamed"], LONG).await;
    cluster.broker.store().publish_version("renaemd", "1.0.0");
    cluster.wait_recorded(environment, "renaemd", "1.0.0").await;
    wait_gone(&cluster, environment, "renamed").await;
}

#[tokio::test]
async fn case_99_a_workload_whose_pods_are_left_stays_recorded_while_they_are() {
    let cluster = TestCluster::shared().await;
    let namespace = &cluster.namespace().await;
    let environment = &cluster.environment(&[namespace], record(&json!({}))).await;
    deployed(&cluster, namespace, environment, "orphan").await;
    cluster.broker.store().publish_version("agent", "1.0.0");
    let agent =
        daemon_set("agent").image(&testbed::test_cluster::image("1.0.0")).annotation(annotations::PACTICIPANT, "agent");
    Workload::apply(&cluster.client(), namespace, &agent).await;
    cluster.wait_recorded(environment, "agent", "1.0.0").await;
    let kubeconfig = cluster.control_plane.kubeconfig();
    for what in ["deployment/orphan", "daemonset/agent"] {
        kubectl_ok(kubeconfig, &["-n", namespace, "delete", what, "--cascade=orphan"]).await;
    }
    for name in ["orphan", "agent"] {
        cluster.wait_condition(environment, name, ("Orphaned", "True", "PodsLeft")).await;
    }
    stays(&cluster, environment, &["orphan", "agent"], LONG).await;
    let sets: Api<ReplicaSet> = Api::namespaced(cluster.client(), namespace);
    for set in sets.list(&ListParams::default()).await.unwrap() {
        let name = set.metadata.name.unwrap();
        kubectl_ok(kubeconfig, &["-n", namespace, "delete", &format!("replicaset/{name}")]).await;
    }
    kubectl_ok(kubeconfig, &["-n", namespace, "delete", "pods", "--all", "--force", "--grace-period=0"]).await;
    for name in ["orphan", "agent"] {
        wait_gone(&cluster, environment, name).await;
    }
}

#[tokio::test]
async fn case_100_a_workload_that_becomes_another_kind_keeps_its_record_and_the_new_kind_takes_over() {
    let cluster = TestCluster::shared().await;
    let namespace = &cluster.namespace().await;
    let environment = &cluster.environment(&[namespace], record(&json!({}))).await;
    deployed(&cluster, namespace, environment, "moved").await;
    cluster.broker.store().publish_version("moved", "2.0.0");
    let moved = |version| {
        let set = daemon_set("moved").image(&testbed::test_cluster::image(version));
        set.annotation(annotations::PACTICIPANT, "moved")
    };
    Workload::apply(&cluster.client(), namespace, &moved("1.0.0")).await;
    kubectl_ok(cluster.control_plane.kubeconfig(), &["-n", namespace, "delete", "deployment/moved"]).await;
    stays(&cluster, environment, &["moved"], LONG).await;
    Workload::apply(&cluster.client(), namespace, &moved("2.0.0")).await;
    cluster.wait_recorded(environment, "moved", "2.0.0").await;
    assert_eq!(cluster.writes(environment, "moved"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
}

#[tokio::test]
async fn case_101_many_records_that_vanish_at_once_stay_until_somebody_confirms() {
    let cluster = TestCluster::shared().await;
    let [namespace, other] = &[cluster.namespace().await, cluster.namespace().await];
    // Even without a grace: that all are gone is known before the first one is taken back.
    let at_once = record(&json!({"undeployGraceSeconds": 0}));
    let environment = &cluster.environment(&[namespace], at_once.clone()).await;
    let names: Vec<String> = (0..7).map(|number| format!("many-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for name in &names {
        deployed(&cluster, namespace, environment, name).await;
    }
    // The mistake: the environment claims another namespace now.
    cluster.map(environment, &[other], at_once).await;
    let delete = ["-n", namespace.as_str(), "delete", "deployments", "--all"];
    kubectl_ok(cluster.control_plane.kubeconfig(), &delete).await;
    for name in &names {
        cluster.wait_condition(environment, name, ("Orphaned", "True", "UndeploysHeld")).await;
    }
    let held = eventually("all to be named", SOON, async || {
        let found = Api::<PactEnvironment>::all(cluster.client()).get(environment).await.unwrap();
        let status = found.status.unwrap();
        let held = status.conditions.into_iter().find(|condition| condition.type_ == "UndeploysHeld");
        let message = held.filter(|held| held.status == "True").map(|held| held.message).unwrap_or_default();
        let all = message.starts_with("7 of 7 records have no workload any more (many-0, many-1,");
        if all && status.orphaned == 7 { Ok(message) } else { Err(message) }
    })
    .await;
    let metrics = cluster.operators[0].metrics().await;
    assert!(sum(&metrics, "pact_operator_undeploys_held") >= 7, "as an alert sees it; other tests have theirs");
    stays(&cluster, environment, &names, LONG).await;

    // The command in the message confirms it.
    let (_, confirm) = held.split_once("kubectl ").unwrap();
    let confirm: Vec<&str> = confirm.split(' ').collect();
    kubectl_ok(cluster.control_plane.kubeconfig(), &confirm).await;
    for name in &names {
        wait_gone(&cluster, environment, name).await;
    }
    eventually("the condition to end", SOON, async || {
        let object = Api::<PactEnvironment>::all(cluster.client()).get(environment).await.unwrap();
        let conditions = object.status.unwrap().conditions;
        let held = conditions.iter().any(|condition| condition.type_ == "UndeploysHeld");
        if held { Err("it is there".to_owned()) } else { Ok(()) }
    })
    .await;
}

#[tokio::test]
async fn case_105_a_row_that_was_there_before_us_stays_unless_adopt_says_otherwise() {
    let cluster = TestCluster::shared().await;
    for (adopt, name) in [(false, "found"), (true, "adopted")] {
        let namespace = &cluster.namespace().await;
        let environment = &cluster.environment(&[namespace], record(&json!({"adopt": adopt}))).await;
        cluster.broker.store().publish_version(name, "1.0.0");
        cluster.broker.store().record_deployment(name, "1.0.0", environment, None);
        let live = annotated(name, name, "1.0.0").apply(&cluster.client(), namespace).await;
        let record = cluster.wait_condition(environment, name, ("Ready", "True", "Recorded")).await;
        assert!(record.status.unwrap().recorded.unwrap().found);
        live.delete().await;
        if adopt {
            wait_gone(&cluster, environment, name).await;
        } else {
            cluster.wait_condition(environment, name, ("Ready", "True", "RecordedByOthers")).await;
            stays(&cluster, environment, &[name], Duration::from_secs(2)).await;
            assert_eq!(cluster.writes(environment, name), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_cluster_that_is_drained_undeploys_nothing() {
    let cluster = TestCluster::shared().await;
    let namespace = &cluster.namespace().await;
    let environment = &cluster.environment(&[namespace], record(&json!({}))).await;
    let live = deployed(&cluster, namespace, environment, "drained").await;
    let never = json!({"spec": {"record": {"undeploy": "Never"}}});
    let api = Api::<PactEnvironment>::all(cluster.client());
    api.patch(environment, &PatchParams::default(), &Patch::Merge(&never)).await.unwrap();
    live.delete().await;
    cluster.wait_condition(environment, "drained", ("Ready", "True", "Unmanaged")).await;
    stays(&cluster, environment, &["drained"], Duration::from_secs(GRACE + 2)).await;
}
