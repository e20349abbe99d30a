//! What a workload runs is recorded whatever its health, as long as it has been available as a whole once; and who has
//! no pods has no say.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use super::recorder_asserts::{condition, published, stays};
use crate::objects::Objects as _;
use testbed::eventually::eventually;
use testbed::namespace;
use testbed::rollout::Progress;
use testbed::test_cluster::{SOON, TestCluster, annotated, image};

/// `progressDeadlineSeconds` of a Deployment that has no progress deadline.
const NO_DEADLINE: u32 = 2_147_483_647;

#[tokio::test]
async fn case_75_what_is_unhealthy_when_the_operator_first_sees_it_is_recorded() {
    let cluster = TestCluster::shared().await;
    namespace::with_namespace(&cluster.control_plane, async |namespace| {
        let names = ["crashed", "scaling", "paused", "drained"];
        for name in names {
            published(&cluster, name, &["1.0.0"]);
            // Each pod is held until it is released: its replacement will not become ready.
            let live = annotated(name, name, "1.0.0").replicas(2).held().apply(&cluster.client(), &namespace).await;
            live.wait_updated().await;
            live.release().await;
            live.wait_complete().await;
            live.wait("the controller's word", |live| progressing(live).as_deref() == Some("NewReplicaSetAvailable"))
                .await;
            match name {
                "scaling" => live.set_replicas(3).await,
                "paused" => live.pause().await,
                _ => delete_pods(&cluster, &namespace, name, usize::from(name == "crashed")).await,
            }
            live.wait("to be changed", |live| {
                let progress = Progress::of(live);
                let unhealthy = progress.available < progress.wanted && progress.updated == progress.wanted;
                let paused = progressing(live).as_deref() == Some("DeploymentPaused");
                progress.observed && if name == "paused" { paused } else { unhealthy }
            })
            .await;
        }
        let environment = cluster.environment(&[&namespace], json!({})).await;
        for name in names {
            cluster.wait_recorded(&environment, name, "1.0.0").await;
            cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn case_75_a_rollback_with_recreate_is_not_finished_before_its_pods_are_available() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "recreated", &["1.0.0", "2.0.0"]);
            let version = |version| annotated("recreated", "recreated", version).strategy_recreate();
            let live = version("1.0.0").held().apply(&cluster.client(), &namespace).await;
            live.wait_updated().await;
            live.release().await;
            cluster.wait_recorded(&environment, "recreated", "1.0.0").await;
            version("2.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "recreated", "2.0.0").await;

            // The controller goes on saying that the ReplicaSet of 2.0.0 is available.
            live.undo(cluster.control_plane.kubeconfig()).await;
            live.wait_updated().await;
            stays(&cluster, &environment, "recreated", Some("2.0.0"), "no pod of 1.0.0 is ready").await;
            live.release().await;
            cluster.wait_recorded(&environment, "recreated", "1.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn case_93_without_a_deadline_old_pods_that_still_terminate_are_waited_for_a_grace_period_at_most() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            for (name, grace) in [("endless", 600), ("endless-hung", 6)] {
                published(&cluster, name, &["1.0.0", "2.0.0"]);
                let version =
                    |version| annotated(name, name, version).termination_grace(grace).progress_deadline(NO_DEADLINE);
                let live = version("1.0.0").held_terminating().apply(&cluster.client(), &namespace).await;
                cluster.wait_recorded(&environment, name, "1.0.0").await;
                version("2.0.0").apply(&cluster.client(), &namespace).await;
                let complete = live.wait_complete().await;
                assert_eq!(progressing(&complete), None, "the controller confirms nothing");
                stays(&cluster, &environment, name, Some("1.0.0"), "an old pod still answers").await;
                if grace == 600 {
                    live.release_terminating().await;
                }
                // The other one hangs, and nothing changes in the cluster any more: only the time passes.
                cluster.wait_recorded(&environment, name, "2.0.0").await;
            }
        })
        .await;
}

#[tokio::test]
async fn case_92_blue_is_recorded_while_green_has_no_pods_whatever_green_says() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "shop", &["1.3.0", "1.4.0", "1.5.0"]);
            let green = annotated("shop-green", "shop", "1.3.0").replicas(0).apply(&cluster.client(), &namespace).await;
            let blue = annotated("shop-blue", "shop", "1.4.0").replicas(3).apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "shop", "1.4.0").await;
            wait_without_pods(&cluster, &environment, "shop", "shop-green").await;

            // The next version comes to green, which is still without pods; then it is paused.
            green.set_image(&image("1.5.0")).await;
            stays(&cluster, &environment, "shop", Some("1.4.0"), "nothing of 1.5.0 runs").await;
            green.pause().await;
            cluster.wait_condition(&environment, "shop", ("Ready", "True", "Recorded")).await;
            green.resume().await;

            // Both run, then only green does.
            green.set_replicas(1).await;
            cluster.wait_condition(&environment, "shop", ("Ready", "False", "Mixed")).await;
            blue.set_replicas(0).await;
            cluster.wait_recorded(&environment, "shop", "1.5.0").await;
            let record = cluster.wait_condition(&environment, "shop", ("Ready", "True", "Recorded")).await;
            assert_eq!(condition(&record, "Mixed"), None);
        })
        .await;
}

#[tokio::test]
async fn case_102_a_stranger_without_pods_does_not_freeze_our_record() {
    let cluster = TestCluster::shared().await;
    namespace::with_namespace(&cluster.control_plane, async |ours| {
        namespace::with_namespace(&cluster.control_plane, async |theirs| {
            let environment = cluster.environment(&[&ours, &theirs], json!({})).await;
            published(&cluster, "named", &["1.0.0", "2.0.0", "9.0.0"]);
            let live = annotated("named", "named", "1.0.0").apply(&cluster.client(), &ours).await;
            cluster.wait_recorded(&environment, "named", "1.0.0").await;
            // One of another version, one without any.
            annotated("claims", "named", "9.0.0").replicas(0).apply(&cluster.client(), &theirs).await;
            annotated("claims-latest", "named", "latest").replicas(0).apply(&cluster.client(), &theirs).await;
            wait_without_pods(&cluster, &environment, "named", "claims").await;
            wait_without_pods(&cluster, &environment, "named", "claims-latest").await;
            live.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "named", "2.0.0").await;

            // Not even while we have no pods either.
            live.set_replicas(0).await;
            wait_without_pods(&cluster, &environment, "named", "named").await;
            cluster.wait_condition(&environment, "named", ("Ready", "True", "Recorded")).await;
            stays(&cluster, &environment, "named", Some("2.0.0"), "nothing else runs").await;
            assert_eq!(cluster.writes(&environment, "named"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
    })
    .await;
}

/// The reason of the condition `Progressing`.
fn progressing(deployment: &Deployment) -> Option<String> {
    let conditions = deployment.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().find(|condition| condition.type_ == "Progressing")?.reason.clone()
}

/// Deletes one pod of a Deployment, or all.
async fn delete_pods(cluster: &TestCluster, namespace: &str, name: &str, keep: usize) {
    use k8s_openapi::api::core::v1::Pod;
    use kube::Api;
    use kube::api::{DeleteParams, ListParams};
    let pods: Api<Pod> = Api::namespaced(cluster.client(), namespace);
    for pod in pods.list(&ListParams::default().labels(&format!("app={name}"))).await.unwrap().items.iter().skip(keep) {
        let name = pod.metadata.name.as_deref().unwrap();
        drop(pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap());
    }
}

/// Waits until the record says that this member has no pods.
async fn wait_without_pods(cluster: &TestCluster, environment: &str, pacticipant: &str, name: &str) {
    eventually(format!("{name} to be shown without pods"), SOON, async || {
        let members = cluster.record(environment, pacticipant).await.ok_or("none")?.status.unwrap_or_default().members;
        let found = members.iter().any(|member| member.name == name && member.without_pods);
        found.then_some(()).ok_or(format!("{members:?}"))
    })
    .await;
}
