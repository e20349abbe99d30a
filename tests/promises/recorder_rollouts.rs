//! A rollout that finishes becomes a record at the broker, and nothing else does.

use crate::objects::Objects as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use pact_operator::api::condition::is_true;
use serde_json::json;

use super::recorder_asserts::{changing_requests, condition, published, stays};
use testbed::eventually::eventually;
use testbed::test_cluster::{SOON, TestCluster, annotated, image};

#[tokio::test]
async fn case_24_a_rollout_is_recorded_when_and_only_when_it_has_finished() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "orders", &["1.0.0", "2.0.0"]);
            let orders = annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "orders", "1.0.0").await;

            annotated("orders", "orders", "2.0.0").held().apply(&cluster.client(), &namespace).await;
            orders.wait_updated().await;
            stays(&cluster, &environment, "orders", Some("1.0.0"), "2.0.0 still rolls out").await;
            orders.release().await;
            cluster.wait_recorded(&environment, "orders", "2.0.0").await;
            assert_eq!(cluster.writes(&environment, "orders"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
            let note = cluster.wait_event(&namespace, "orders", "Recorded").await;
            assert!(note.contains("orders"), "{note}");
            cluster.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
            wait_history(&cluster, &environment, "orders", &["1.0.0"]).await;
        })
        .await;
}

#[tokio::test]
async fn case_27_a_rollout_overtaken_by_another_is_never_recorded() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "overtaken", &["1.0.0", "2.0.0", "3.0.0"]);
            let version = |version| annotated("overtaken", "overtaken", version).replicas(3);
            let live = version("1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "overtaken", "1.0.0").await;

            version("2.0.0").held().apply(&cluster.client(), &namespace).await;
            live.wait("its first new pod to exist", |live| {
                live.status.as_ref().and_then(|status| status.updated_replicas).unwrap_or(0) > 0
            })
            .await;
            version("3.0.0").held().apply(&cluster.client(), &namespace).await;
            // The remaining pods of 2.0.0 become ready, too: that does not finish its rollout.
            release_until_complete(&live).await;
            cluster.wait_recorded(&environment, "overtaken", "3.0.0").await;
            assert_eq!(cluster.writes(&environment, "overtaken"), ["Deployed 1.0.0", "Deployed 3.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn case_25_a_rollout_past_its_deadline_is_reported_and_recorded_once_it_recovers() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "late", &["1.0.0", "2.0.0"]);
            let live = annotated("late", "late", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "late", "1.0.0").await;

            let stuck = annotated("late", "late", "2.0.0").never_ready().progress_deadline(1);
            stuck.apply(&cluster.client(), &namespace).await;
            live.wait_failed().await;
            let record = cluster.wait_condition(&environment, "late", ("Ready", "False", "RolloutFailed")).await;
            let stalled = condition(&record, "Stalled").expect("a rollout that failed is stalled");
            assert!(stalled.message.contains("ProgressDeadlineExceeded"), "{}", stalled.message);
            assert_eq!(record.status.unwrap().desired_version.as_deref(), Some("2.0.0"));
            stays(&cluster, &environment, "late", Some("1.0.0"), "2.0.0 never became ready").await;

            live.release().await;
            cluster.wait_recorded(&environment, "late", "2.0.0").await;
            let record = cluster.wait_condition(&environment, "late", ("Ready", "True", "Recorded")).await;
            assert_eq!(condition(&record, "Stalled"), None);
        })
        .await;
}

#[tokio::test]
async fn case_25_a_first_rollout_that_never_becomes_ready_leaves_the_broker_alone() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "never", &["1.0.0"]);
            let stuck = annotated("never", "never", "1.0.0").never_ready().progress_deadline(1);
            stuck.apply(&cluster.client(), &namespace).await.wait_failed().await;
            cluster.wait_condition(&environment, "never", ("Ready", "False", "RolloutFailed")).await;
            stays(&cluster, &environment, "never", None, "no pod was ever ready").await;
            assert_eq!(changing_requests(&cluster, "never"), 0);
        })
        .await;
}

#[tokio::test]
async fn case_26_a_paused_rollout_is_recorded_once_it_is_resumed_and_has_finished() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "paused", &["1.0.0", "2.0.0"]);
            let live = annotated("paused", "paused", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "paused", "1.0.0").await;

            live.pause().await;
            live.set_image(&image("2.0.0")).await;
            cluster.wait_condition(&environment, "paused", ("Ready", "False", "RolloutPaused")).await;
            stays(&cluster, &environment, "paused", Some("1.0.0"), "the rollout is paused").await;
            live.resume().await;
            cluster.wait_recorded(&environment, "paused", "2.0.0").await;
            assert_eq!(cluster.writes(&environment, "paused"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn case_31_scaled_to_zero_stays_recorded_and_a_new_template_at_zero_is_recorded() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "zero", &["1.0.0", "2.0.0"]);
            let live = annotated("zero", "zero", "1.0.0").replicas(2).apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "zero", "1.0.0").await;

            live.set_replicas(0).await;
            live.wait_complete().await;
            stays(&cluster, &environment, "zero", Some("1.0.0"), "it answers again when it is scaled up").await;
            live.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "zero", "2.0.0").await;
            live.set_replicas(2).await;
            live.wait_complete().await;
            stays(&cluster, &environment, "zero", Some("2.0.0"), "scaling up changes no version").await;
            assert_eq!(cluster.writes(&environment, "zero"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn case_31_a_deployment_created_at_zero_replicas_is_recorded() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "asleep", &["1.0.0"]);
            annotated("asleep", "asleep", "1.0.0").replicas(0).apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "asleep", "1.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn case_32_with_recreate_the_old_version_stays_recorded_until_the_new_one_runs() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "recreate", &["1.0.0", "2.0.0"]);
            let version = |version| annotated("recreate", "recreate", version).replicas(2).strategy_recreate();
            let live = version("1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "recreate", "1.0.0").await;

            version("2.0.0").held().apply(&cluster.client(), &namespace).await;
            live.wait_updated().await;
            stays(&cluster, &environment, "recreate", Some("1.0.0"), "nothing runs at all, and nothing has finished")
                .await;
            live.release().await;
            cluster.wait_recorded(&environment, "recreate", "2.0.0").await;
            assert_eq!(cluster.writes(&environment, "recreate"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn case_05_a_rollback_by_kubectl_is_recorded_back_with_history_and_event() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "undone", &["1.0.0", "2.0.0"]);
            let live = annotated("undone", "undone", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "undone", "1.0.0").await;
            live.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "undone", "2.0.0").await;

            live.undo(cluster.control_plane.kubeconfig()).await;
            cluster.wait_recorded(&environment, "undone", "1.0.0").await;
            let writes = ["Deployed 1.0.0", "Deployed 2.0.0", "Deployed 1.0.0"];
            assert_eq!(cluster.writes(&environment, "undone"), writes);
            wait_history(&cluster, &environment, "undone", &["2.0.0", "1.0.0"]).await;
            eventually("an Event for each of the three records", SOON, async || {
                let mut notes = cluster.events(&namespace, "undone", "Recorded").await;
                notes.sort();
                let complete = notes.len() == 3 && notes[1].contains("1.0.0") && notes[2].contains("2.0.0");
                complete.then_some(()).ok_or(format!("{notes:?}"))
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn case_03_undoing_a_rollout_that_never_finished_writes_nothing() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "regretted", &["1.0.0", "2.0.0"]);
            let live = annotated("regretted", "regretted", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "regretted", "1.0.0").await;
            let held = annotated("regretted", "regretted", "2.0.0").held();
            held.apply(&cluster.client(), &namespace).await.wait_updated().await;
            live.undo(cluster.control_plane.kubeconfig()).await;
            live.wait_complete().await;
            stays(&cluster, &environment, "regretted", Some("1.0.0"), "2.0.0 never finished").await;
            assert_eq!(cluster.writes(&environment, "regretted"), ["Deployed 1.0.0"]);
            assert_eq!(changing_requests(&cluster, "regretted"), 1);
        })
        .await;
}

#[tokio::test]
async fn cases_01_02_and_21_scaling_restarts_and_labels_write_nothing() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "restless", &["1.0.0"]);
            let live = annotated("restless", "restless", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "restless", "1.0.0").await;
            cluster.wait_condition(&environment, "restless", ("Ready", "True", "Recorded")).await;
            let before = changing_requests(&cluster, "restless");

            live.set_replicas(3).await;
            live.wait_complete().await;
            live.set_replicas(1).await;
            live.wait_complete().await;
            let restarted = json!({"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"});
            live.patch(json!({"spec": {"template": {"metadata": {"annotations": restarted}}}})).await;
            live.wait_complete().await;
            live.patch(json!({"metadata": {"labels": {"team": "shop"}, "annotations": {"note": "hello"}}})).await;
            live.set_pod_label("colour", Some("blue")).await;
            live.wait_complete().await;
            stays(&cluster, &environment, "restless", Some("1.0.0"), "no version changed").await;
            assert_eq!(changing_requests(&cluster, "restless"), before);
            assert_eq!(cluster.writes(&environment, "restless"), ["Deployed 1.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn case_30_pods_that_crash_after_the_rollout_change_nothing_at_the_broker() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "crashing", &["1.0.0"]);
            // Each pod is held until it is released: its replacement will not become ready.
            let live = annotated("crashing", "crashing", "1.0.0").held().apply(&cluster.client(), &namespace).await;
            live.wait_updated().await;
            live.release().await;
            cluster.wait_recorded(&environment, "crashing", "1.0.0").await;

            let pods: Api<Pod> = Api::namespaced(cluster.client(), &namespace);
            let now = DeleteParams::default().grace_period(0);
            pods.delete_collection(&now, &ListParams::default()).await.unwrap();
            live.wait("none of its pods to be available", |live| {
                live.status.as_ref().and_then(|status| status.available_replicas).unwrap_or(0) == 0
            })
            .await;
            stays(&cluster, &environment, "crashing", Some("1.0.0"), "a crash is not a deployment").await;
            assert_eq!(cluster.writes(&environment, "crashing"), ["Deployed 1.0.0"]);
            let record = cluster.record(&environment, "crashing").await.unwrap().status.unwrap();
            assert!(is_true(&record.conditions, "Recorded"), "the broker still says so: {:?}", record.conditions);
        })
        .await;
}

#[tokio::test]
async fn case_24_old_pods_that_still_terminate_are_waited_for() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "lingering", &["1.0.0", "2.0.0"]);
            let version = |version| annotated("lingering", "lingering", version).termination_grace(600);
            let live = version("1.0.0").held_terminating().apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "lingering", "1.0.0").await;

            version("2.0.0").apply(&cluster.client(), &namespace).await;
            live.wait_complete().await;
            stays(&cluster, &environment, "lingering", Some("1.0.0"), "an old pod still answers").await;
            live.release_terminating().await;
            cluster.wait_recorded(&environment, "lingering", "2.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn case_24_old_pods_that_hang_are_waited_for_at_most_their_grace() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "hanging", &["1.0.0", "2.0.0"]);
            let version = |version| annotated("hanging", "hanging", version).termination_grace(5);
            let live = version("1.0.0").held_terminating().apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "hanging", "1.0.0").await;

            version("2.0.0").apply(&cluster.client(), &namespace).await;
            live.wait_complete().await;
            assert_eq!(cluster.recorded(&environment, "hanging").as_deref(), Some("1.0.0"), "an old pod still answers");
            // Nothing changes in the cluster any more: only the time passes.
            cluster.wait_recorded(&environment, "hanging", "2.0.0").await;
        })
        .await;
}

/// Releases held pods as they come until the rollout is complete.
async fn release_until_complete(live: &testbed::rollout::Live) {
    eventually("the rollout to complete", SOON, async || {
        live.release().await;
        let deployment = live.get().await;
        let progress = testbed::rollout::Progress::of(&deployment);
        let complete = progress.observed
            && [progress.updated, progress.available, progress.replicas].iter().all(|n| *n == progress.wanted);
        complete.then_some(()).ok_or(format!("{progress:?}"))
    })
    .await;
}

/// Waits until the record has exactly these former versions, newest first.
async fn wait_history(cluster: &TestCluster, environment: &str, pacticipant: &str, wanted: &[&str]) {
    eventually(format!("{pacticipant} to have been {wanted:?}"), SOON, async || {
        let status = cluster.record(environment, pacticipant).await.ok_or("none")?.status.unwrap_or_default();
        let history: Vec<_> = status.history.iter().map(|recorded| recorded.version.as_str()).collect();
        (history == wanted).then_some(()).ok_or(format!("{history:?}"))
    })
    .await;
}
