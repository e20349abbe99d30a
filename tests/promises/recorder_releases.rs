//! With releases instead of deployments, several versions may be supported at once.

use crate::objects::Objects as _;
use serde_json::json;

use super::recorder_asserts::{A_WHILE, published};
use testbed::eventually::{always, eventually};
use testbed::namespace::with_namespace;
use testbed::test_cluster::{SOON, TestCluster, annotated, image};

#[tokio::test]
async fn a_new_version_is_released_and_the_support_of_the_one_before_ends() {
    let cluster = TestCluster::shared().await;
    with_releases(&cluster, 600, async |namespace, environment| {
        published(&cluster, "app", &["1.0.0", "2.0.0"]);
        let live = annotated("app", "app", "1.0.0").apply(&cluster.client(), &namespace).await;
        wait_supported(&cluster, &environment, "app", &["1.0.0"]).await;

        annotated("app", "app", "2.0.0").held().apply(&cluster.client(), &namespace).await.wait_updated().await;
        always("1.0.0 stays supported while 2.0.0 rolls out", A_WHILE, async || {
            let supported = supported(&cluster, &environment, "app");
            (supported == ["1.0.0"]).then_some(()).ok_or(format!("{supported:?}"))
        })
        .await;
        live.release().await;
        wait_supported(&cluster, &environment, "app", &["2.0.0"]).await;
        let writes = ["Released 1.0.0", "Released 2.0.0", "SupportEnded 1.0.0"];
        assert_eq!(cluster.writes(&environment, "app"), writes, "2.0.0 comes before 1.0.0 goes");
        let record = cluster.wait_condition(&environment, "app", ("Ready", "True", "Recorded")).await;
        let status = record.status.unwrap();
        let in_record: Vec<_> = status.supported.iter().map(|recorded| recorded.version.as_str()).collect();
        assert_eq!(in_record, ["2.0.0"]);
        cluster.wait_event(&namespace, "app", "Recorded").await;
    })
    .await;
}

#[tokio::test]
async fn every_version_that_a_deployment_runs_is_supported() {
    let cluster = TestCluster::shared().await;
    with_releases(&cluster, 600, async |namespace, environment| {
        published(&cluster, "editions", &["1.0.0", "2.0.0", "3.0.0"]);
        let old = annotated("old", "editions", "1.0.0").apply(&cluster.client(), &namespace).await;
        let new = annotated("new", "editions", "2.0.0").apply(&cluster.client(), &namespace).await;
        wait_supported(&cluster, &environment, "editions", &["1.0.0", "2.0.0"]).await;
        new.set_image(&image("3.0.0")).await;
        wait_supported(&cluster, &environment, "editions", &["1.0.0", "3.0.0"]).await;
        // The other Deployment still runs: a version that it does not run is no longer supported.
        old.delete().await;
        wait_supported(&cluster, &environment, "editions", &["3.0.0"]).await;
    })
    .await;
}

#[tokio::test]
async fn a_release_of_another_client_is_left_alone() {
    let cluster = TestCluster::shared().await;
    with_releases(&cluster, 600, async |namespace, environment| {
        published(&cluster, "shared-app", &["1.0.0", "2.0.0"]);
        cluster.broker.store().record_release("shared-app", "0.9.0", &environment);
        let live = annotated("shared-app", "shared-app", "1.0.0").apply(&cluster.client(), &namespace).await;
        wait_supported(&cluster, &environment, "shared-app", &["0.9.0", "1.0.0"]).await;
        live.set_image(&image("2.0.0")).await;
        wait_supported(&cluster, &environment, "shared-app", &["0.9.0", "2.0.0"]).await;
        let writes = ["Released 1.0.0", "Released 2.0.0", "SupportEnded 1.0.0"];
        assert_eq!(cluster.writes(&environment, "shared-app"), writes);
    })
    .await;
}

#[tokio::test]
async fn case_104_the_support_of_a_version_that_others_released_before_is_not_ended() {
    let cluster = TestCluster::shared().await;
    with_releases(&cluster, 1, async |namespace, environment| {
        published(&cluster, "theirs", &["1.0.0", "2.0.0"]);
        cluster.broker.store().record_release("theirs", "1.0.0", &environment);
        let live = annotated("theirs", "theirs", "1.0.0").apply(&cluster.client(), &namespace).await;
        let record = cluster.wait_condition(&environment, "theirs", ("Ready", "True", "Recorded")).await;
        assert!(record.status.unwrap().supported[0].found);
        live.set_image(&image("2.0.0")).await;
        wait_supported(&cluster, &environment, "theirs", &["1.0.0", "2.0.0"]).await;
        live.delete().await;
        wait_supported(&cluster, &environment, "theirs", &["1.0.0"]).await;
        assert_eq!(cluster.writes(&environment, "theirs"), ["Released 2.0.0", "SupportEnded 2.0.0"]);
    })
    .await;
}

#[tokio::test]
async fn when_the_last_deployment_is_deleted_support_ends_after_the_grace() {
    let cluster = TestCluster::shared().await;
    with_releases(&cluster, 4, async |namespace, environment| {
        published(&cluster, "retired", &["1.0.0"]);
        let live = annotated("retired", "retired", "1.0.0").apply(&cluster.client(), &namespace).await;
        wait_supported(&cluster, &environment, "retired", &["1.0.0"]).await;
        cluster.wait_condition(&environment, "retired", ("Ready", "True", "Recorded")).await;
        live.delete().await;
        cluster.wait_condition(&environment, "retired", ("Orphaned", "True", "Orphaned")).await;
        assert_eq!(supported(&cluster, &environment, "retired"), ["1.0.0"], "the grace has not passed");
        wait_supported(&cluster, &environment, "retired", &[]).await;
        assert_eq!(cluster.writes(&environment, "retired"), ["Released 1.0.0", "SupportEnded 1.0.0"]);
    })
    .await;
}

#[tokio::test]
async fn case_18_a_release_waits_for_a_version_that_the_broker_does_not_know() {
    let cluster = TestCluster::shared().await;
    with_releases(&cluster, 600, async |namespace, environment| {
        published(&cluster, "unreleased", &["0.1.0"]);
        annotated("unreleased", "unreleased", "1.0.0").apply(&cluster.client(), &namespace).await;
        cluster.wait_condition(&environment, "unreleased", ("RecordPending", "True", "VersionMissing")).await;
        cluster.wait_event(&namespace, "unreleased", "VersionMissing").await;
        published(&cluster, "unreleased", &["1.0.0"]);
        wait_supported(&cluster, &environment, "unreleased", &["1.0.0"]).await;
    })
    .await;
}

/// Runs a test with an environment that records releases; checks that no deployment was recorded there.
async fn with_releases(cluster: &TestCluster, grace: u32, test: impl AsyncFnOnce(String, String)) {
    with_namespace(&cluster.control_plane, async |namespace| {
        let record = json!({"kind": "Release", "undeployGraceSeconds": grace});
        let environment = cluster.environment(&[&namespace], json!({"record": record})).await;
        test(namespace, environment.clone()).await;
        assert_eq!(cluster.broker.store().current_in(&environment), [], "releases are no deployments");
    })
    .await;
}

/// The supported versions at the broker, sorted.
fn supported(cluster: &TestCluster, environment: &str, pacticipant: &str) -> Vec<String> {
    let rows = cluster.broker.store().supported(environment, pacticipant);
    let mut versions: Vec<_> = rows.into_iter().map(|row| row.version).collect();
    versions.sort();
    versions
}

async fn wait_supported(cluster: &TestCluster, environment: &str, pacticipant: &str, wanted: &[&str]) {
    eventually(format!("{pacticipant} {wanted:?} to be supported in {environment}"), SOON, async || {
        let supported = supported(cluster, environment, pacticipant);
        (supported == wanted).then_some(()).ok_or(format!("{supported:?}"))
    })
    .await;
}
