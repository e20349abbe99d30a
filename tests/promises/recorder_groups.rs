//! Workloads that share a record key are one group: recorded once all of them run one version.

use crate::objects::Objects as _;
use serde_json::json;

use pact_operator::api::annotations::{APPLICATION_INSTANCE, PACTICIPANT};

use super::recorder_asserts::{condition, published, records, stays};
use testbed::eventually::eventually;
use testbed::namespace;
use testbed::rollout::Live;
use testbed::test_cluster::{SOON, TestCluster, annotated, image};

#[tokio::test]
async fn case_35_two_deployments_of_one_pacticipant_are_mixed_until_both_run_the_version() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "pair", &["1.0.0", "2.0.0"]);
            let [api, worker] = pair(&cluster, "pair", "1.0.0", [&namespace, &namespace]).await;
            cluster.wait_recorded(&environment, "pair", "1.0.0").await;

            api.set_image(&image("2.0.0")).await;
            api.wait_complete().await;
            let record = cluster.wait_condition(&environment, "pair", ("Ready", "False", "Mixed")).await;
            let mixed = condition(&record, "Mixed").expect("the condition Mixed");
            for word in ["pair-api", "pair-worker", "1.0.0", "2.0.0", APPLICATION_INSTANCE] {
                assert!(mixed.message.contains(word), "{word} is missing: {}", mixed.message);
            }
            assert_eq!(record.status.unwrap().desired_version, None);
            cluster.wait_event(&namespace, "pair-api", "Mixed").await;
            stays(&cluster, &environment, "pair", Some("1.0.0"), "the worker still runs it").await;

            worker.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "pair", "2.0.0").await;
            let record = cluster.wait_condition(&environment, "pair", ("Ready", "True", "Recorded")).await;
            assert_eq!(condition(&record, "Mixed"), None);
            assert_eq!(record.status.unwrap().members.len(), 2);
            assert_eq!(cluster.writes(&environment, "pair"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn a_name_that_a_common_annotation_put_on_other_applications_is_told_as_that() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "common", &["1.0.0"]);
            annotated("common", "common", "1.0.0").apply(&cluster.client(), &namespace).await.wait_complete().await;
            cluster.wait_recorded(&environment, "common", "1.0.0").await;
            let postgres = annotated("postgres", "common", "1.0.0").image("docker.io/library/postgres:16.2");
            postgres.apply(&cluster.client(), &namespace).await.wait_complete().await;
            let record = cluster.wait_condition(&environment, "common", ("Mixed", "True", "Mixed")).await;
            let mixed = condition(&record, "Mixed").expect("the condition Mixed").message;
            let told = format!(
                "Deployment {namespace}/common runs shop, Deployment {namespace}/postgres runs postgres: images of \
                 different repositories. A common annotation"
            );
            assert!(mixed.contains(&told), "{mixed}");
            let note = cluster.wait_event(&namespace, "postgres", "Mixed").await;
            assert!(note.contains(&told), "{note}");
        })
        .await;
}

#[tokio::test]
async fn case_35_a_group_is_not_recorded_while_one_of_its_members_still_rolls_out() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "slow-pair", &["1.0.0"]);
            annotated("quick", "slow-pair", "1.0.0").apply(&cluster.client(), &namespace).await.wait_complete().await;
            cluster.wait_recorded(&environment, "slow-pair", "1.0.0").await;
            published(&cluster, "slow-pair", &["2.0.0"]);
            let slow = annotated("slow", "slow-pair", "2.0.0").held().apply(&cluster.client(), &namespace).await;
            slow.wait_updated().await;
            let quick = Live::new(&cluster.client(), &namespace, "quick");
            quick.set_image(&image("2.0.0")).await;
            quick.wait_complete().await;
            stays(&cluster, &environment, "slow-pair", Some("1.0.0"), "one member has not finished").await;
            slow.release().await;
            cluster.wait_recorded(&environment, "slow-pair", "2.0.0").await;
            assert_eq!(cluster.writes(&environment, "slow-pair"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn cases_35_and_36_a_deployment_with_its_own_application_instance_has_its_own_record() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "copies", &["1.0.0", "2.0.0"]);
            annotated("copy-one", "copies", "1.0.0").apply(&cluster.client(), &namespace).await;
            let second = annotated("copy-two", "copies", "2.0.0").annotation(APPLICATION_INSTANCE, "Blue/Green + ü");
            let second = second.apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "copies", "1.0.0").await;
            wait_instance(&cluster, &environment, "copies", "Blue/Green + ü", Some("2.0.0")).await;
            assert_eq!(cluster.broker.store().current(&environment, "copies").len(), 2);

            // Without the annotation it joins the other: two versions in one group, so nothing is written for it.
            second.annotate(APPLICATION_INSTANCE, None).await;
            cluster.wait_condition(&environment, "copies", ("Ready", "False", "Mixed")).await;
            stays(&cluster, &environment, "copies", Some("1.0.0"), "the group is mixed").await;
        })
        .await;
}

#[tokio::test]
async fn case_36_an_environments_application_instance_is_the_one_of_all_its_workloads() {
    let cluster = TestCluster::shared().await;
    namespace::with_namespace(&cluster.control_plane, async |namespace| {
        let environment = cluster.environment(&[&namespace], json!({"applicationInstance": "eu-1"})).await;
        published(&cluster, "regional", &["1.0.0"]);
        // Another cluster's row, and one without an instance from a pipeline: neither is ours to touch.
        cluster.broker.store().record_deployment("regional", "0.8.0", &environment, Some("us-1"));
        cluster.broker.store().record_deployment("regional", "0.9.0", &environment, None);
        let live = annotated("regional", "regional", "1.0.0").apply(&cluster.client(), &namespace).await;
        wait_instance(&cluster, &environment, "regional", "eu-1", Some("1.0.0")).await;
        live.annotate(APPLICATION_INSTANCE, Some("eu-2")).await;
        wait_instance(&cluster, &environment, "regional", "eu-2", Some("1.0.0")).await;
        assert_eq!(cluster.recorded_as(&environment, "regional", Some("us-1")).as_deref(), Some("0.8.0"));
        assert_eq!(cluster.recorded(&environment, "regional").as_deref(), Some("0.9.0"));
    })
    .await;
}

#[tokio::test]
async fn case_35_two_namespaces_of_one_environment_are_one_group() {
    let cluster = TestCluster::shared().await;
    namespace::with_namespace(&cluster.control_plane, async |first| {
        namespace::with_namespace(&cluster.control_plane, async |second| {
            let environment = cluster.environment(&[&first, &second], json!({})).await;
            published(&cluster, "spread", &["1.0.0", "2.0.0"]);
            let [api, worker] = pair(&cluster, "spread", "1.0.0", [&first, &second]).await;
            cluster.wait_recorded(&environment, "spread", "1.0.0").await;
            eventually("both namespaces to be recorded", SOON, async || {
                let record = cluster.record(&environment, "spread").await.ok_or("no PactDeployment")?;
                let recorded_for = record.status.unwrap_or_default().recorded_for;
                if recorded_for.len() == 2 { Ok(()) } else { Err(format!("{recorded_for:?}")) }
            })
            .await;
            api.set_image(&image("2.0.0")).await;
            cluster.wait_condition(&environment, "spread", ("Ready", "False", "Mixed")).await;
            stays(&cluster, &environment, "spread", Some("1.0.0"), "the other namespace still runs it").await;
            worker.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "spread", "2.0.0").await;
            assert_eq!(cluster.writes(&environment, "spread"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
            assert_eq!(records(&cluster, &environment).await.len(), 1);
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn case_23_several_pacticipants_of_one_deployment_are_recorded_each() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            for pacticipant in ["Gateway Web", "Gateway Mobile"] {
                published(&cluster, pacticipant, &["1.0.0", "2.0.0"]);
            }
            let live = annotated("gateway", "Gateway Web, Gateway Mobile ,Gateway Web", "1.0.0");
            let live = live.apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "Gateway Web", "1.0.0").await;
            cluster.wait_recorded(&environment, "Gateway Mobile", "1.0.0").await;
            live.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "Gateway Web", "2.0.0").await;
            cluster.wait_recorded(&environment, "Gateway Mobile", "2.0.0").await;
            assert_eq!(cluster.broker.store().current_in(&environment).len(), 2);
            eventually("an Event for each pacticipant and version", SOON, async || {
                let notes = cluster.events(&namespace, "gateway", "Recorded").await;
                (notes.len() == 4).then_some(()).ok_or(format!("{notes:?}"))
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn case_23_a_pacticipant_that_the_broker_does_not_know_blocks_none_of_the_others() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "bff-known", &["1.0.0"]);
            annotated("bff", "bff-unknown,bff-known", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "bff-known", "1.0.0").await;
            cluster.wait_condition(&environment, "bff-unknown", ("Ready", "False", "PacticipantMissing")).await;
            published(&cluster, "bff-unknown", &["1.0.0"]);
            cluster.wait_recorded(&environment, "bff-unknown", "1.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn a_pacticipant_added_to_or_left_out_of_the_annotation_follows_without_a_rollout() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "first-name", &["1.0.0"]);
            published(&cluster, "second-name", &["1.0.0"]);
            let live = annotated("named", "first-name", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "first-name", "1.0.0").await;
            live.annotate(PACTICIPANT, Some("first-name,second-name")).await;
            cluster.wait_recorded(&environment, "second-name", "1.0.0").await;
            // Case 38: the old name stays recorded through its grace.
            live.annotate(PACTICIPANT, Some("second-name")).await;
            cluster.wait_condition(&environment, "first-name", ("Ready", "False", "Orphaned")).await;
            stays(&cluster, &environment, "first-name", Some("1.0.0"), "the grace has not passed").await;
        })
        .await;
}

#[tokio::test]
async fn case_35_when_a_member_of_a_group_is_deleted_the_others_decide() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "widowed", &["1.0.0", "2.0.0"]);
            let [api, worker] = pair(&cluster, "widowed", "1.0.0", [&namespace, &namespace]).await;
            cluster.wait_recorded(&environment, "widowed", "1.0.0").await;
            api.set_image(&image("2.0.0")).await;
            cluster.wait_condition(&environment, "widowed", ("Ready", "False", "Mixed")).await;
            worker.delete().await;
            cluster.wait_recorded(&environment, "widowed", "2.0.0").await;
            assert_eq!(cluster.writes(&environment, "widowed"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

/// Two Deployments of one pacticipant, `NAME-api` and `NAME-worker`, in these namespaces.
async fn pair(cluster: &TestCluster, name: &str, version: &str, namespaces: [&str; 2]) -> [Live; 2] {
    let [first, second] = [("api", namespaces[0]), ("worker", namespaces[1])].map(async |(part, namespace)| {
        annotated(&format!("{name}-{part}"), name, version).apply(&cluster.client(), namespace).await
    });
    [first.await, second.await]
}

async fn wait_instance(
    cluster: &TestCluster,
    environment: &str,
    pacticipant: &str,
    instance: &str,
    version: Option<&str>,
) {
    eventually(format!("{pacticipant} as {instance} to be {version:?}"), SOON, async || {
        let recorded = cluster.recorded_as(environment, pacticipant, Some(instance));
        (recorded.as_deref() == version).then_some(()).ok_or(format!("{recorded:?}"))
    })
    .await;
}
