//! A version that the broker does not know is reported and waited for, never created.

use crate::objects::Objects as _;
use k8s_openapi::jiff::Timestamp;

use super::recorder_asserts::{changing_requests, condition, published, stays};
use testbed::rollout::Live;
use testbed::test_cluster::{TestCluster, annotated, image};

#[tokio::test]
async fn cases_18_and_19_a_version_that_was_never_published_is_reported_and_never_created() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "unpublished", &["1.0.0"]);
            let live = annotated("unpublished", "unpublished", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "unpublished", "1.0.0").await;
            assert_eq!(changing_requests(&cluster, "unpublished"), 1);
            live.set_image(&image("2.0.0")).await;
            cluster.wait_condition(&environment, "unpublished", ("VersionMissing", "True", "VersionMissing")).await;
            let note = cluster.wait_event(&namespace, "unpublished", "VersionMissing").await;
            assert!(note.contains("2.0.0") && note.contains("publish"), "{note}");
            stays(&cluster, &environment, "unpublished", Some("1.0.0"), "the broker knows no other").await;
            assert!(!cluster.broker.store().has_version("unpublished", "2.0.0"));
            assert_nothing_is_created(&cluster, "unpublished");
        })
        .await;
}

#[tokio::test]
async fn a_version_published_later_is_recorded_without_any_change_in_the_cluster() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "belated", &["0.1.0"]);
            let live = annotated("belated", "belated", "1.0.0").apply(&cluster.client(), &namespace).await;
            live.wait_complete().await;
            let record =
                cluster.wait_condition(&environment, "belated", ("RecordPending", "True", "VersionMissing")).await;
            let pending = condition(&record, "RecordPending").unwrap();
            assert!(pending.message.contains("next try"), "{}", pending.message);
            let status = record.status.clone().unwrap();
            let next_try = status.next_try.expect("when it is tried again").0;
            assert!(next_try.duration_since(Timestamp::now()).as_secs() < 60, "{next_try}");
            assert_eq!(status.desired_version.as_deref(), Some("1.0.0"));

            let before = resource_version(&live).await;
            published(&cluster, "belated", &["1.0.0"]);
            cluster.wait_recorded(&environment, "belated", "1.0.0").await;
            let record = cluster.wait_condition(&environment, "belated", ("RecordPending", "False", "Recorded")).await;
            assert_eq!(condition(&record, "VersionMissing"), None);
            assert_eq!(record.status.unwrap().next_try, None);
            assert_eq!(resource_version(&live).await, before, "the Deployment was not touched");
            assert_eq!(cluster.writes(&environment, "belated"), ["Deployed 1.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn a_pacticipant_that_the_broker_does_not_know_is_reported_and_never_created() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            annotated("stranger", "Stranger", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_condition(&environment, "Stranger", ("Ready", "False", "PacticipantMissing")).await;
            let note = cluster.wait_event(&namespace, "stranger", "PacticipantMissing").await;
            assert!(note.contains("Stranger"), "{note}");
            // Names are case-sensitive: this is another pacticipant.
            published(&cluster, "stranger", &["1.0.0"]);
            stays(&cluster, &environment, "Stranger", None, "the broker knows no such pacticipant").await;
            assert_nothing_is_created(&cluster, "Stranger");
            published(&cluster, "Stranger", &["1.0.0"]);
            cluster.wait_recorded(&environment, "Stranger", "1.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn case_20_a_version_without_pacts_is_recorded_all_the_same() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "contentless", &["1.0.0"]);
            annotated("contentless", "contentless", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "contentless", "1.0.0").await;
        })
        .await;
}

/// No request was made that makes a pacticipant or version, or changes one: only deployments are ever posted.
fn assert_nothing_is_created(cluster: &TestCluster, pacticipant: &str) {
    let creating: Vec<_> = cluster
        .broker
        .requests()
        .into_iter()
        .filter(|request| request.method != "GET" && request.path_and_query.starts_with("/pacticipants"))
        .filter(|request| request.method != "POST" || !request.path_and_query.contains("/deployed-versions/"))
        .filter(|request| request.path_and_query.contains(pacticipant) || request.body.contains(pacticipant))
        .map(|request| format!("{} {}", request.method, request.path_and_query))
        .collect();
    assert!(creating.is_empty(), "{creating:?}");
}

async fn resource_version(live: &Live) -> Option<String> {
    live.get().await.metadata.resource_version
}
