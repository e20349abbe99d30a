//! Workloads that share a record key are one group: recorded once all of them run one version.

use serde_json::json;

use pact_operator::api::annotations::{APPLICATION_INSTANCE, PACTICIPANT};

use super::recorder_asserts::{condition, memories, published, stays};
use crate::testbed::eventually::eventually;
use crate::testbed::namespace;
use crate::testbed::rollout::Live;
use crate::testbed::scene::{SOON, Scene, annotated, image};

#[tokio::test]
async fn case_35_two_deployments_of_one_pacticipant_are_mixed_until_both_run_the_version() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            published(scene, "pair", &["1.0.0", "2.0.0"]);
            let [api, worker] = pair(scene, "pair", "1.0.0", [&namespace, &namespace]).await;
            scene.wait_recorded(&environment, "pair", "1.0.0").await;

            api.set_image(&image("2.0.0")).await;
            api.wait_complete().await;
            let memory = scene.wait_condition(&environment, "pair", ("Ready", "False", "Mixed")).await;
            let mixed = condition(&memory, "Mixed").expect("the condition Mixed");
            for word in ["pair-api", "pair-worker", "1.0.0", "2.0.0", APPLICATION_INSTANCE] {
                assert!(mixed.message.contains(word), "{word} is missing: {}", mixed.message);
            }
            assert_eq!(memory.status.unwrap().desired_version, None);
            scene.wait_event(&namespace, "pair-api", "Mixed").await;
            stays(scene, &environment, "pair", Some("1.0.0"), "the worker still runs it").await;

            worker.set_image(&image("2.0.0")).await;
            scene.wait_recorded(&environment, "pair", "2.0.0").await;
            let memory = scene.wait_condition(&environment, "pair", ("Ready", "True", "Recorded")).await;
            assert_eq!(condition(&memory, "Mixed"), None);
            assert_eq!(memory.status.unwrap().members.len(), 2);
            assert_eq!(scene.writes(&environment, "pair"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn case_35_a_group_is_not_recorded_while_one_of_its_members_still_rolls_out() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            published(scene, "slow-pair", &["1.0.0"]);
            annotated("quick", "slow-pair", "1.0.0").apply(&scene.client(), &namespace).await.wait_complete().await;
            scene.wait_recorded(&environment, "slow-pair", "1.0.0").await;
            published(scene, "slow-pair", &["2.0.0"]);
            let slow = annotated("slow", "slow-pair", "2.0.0").held().apply(&scene.client(), &namespace).await;
            slow.wait_updated().await;
            let quick = Live::new(&scene.client(), &namespace, "quick");
            quick.set_image(&image("2.0.0")).await;
            quick.wait_complete().await;
            stays(scene, &environment, "slow-pair", Some("1.0.0"), "one member has not finished").await;
            slow.release().await;
            scene.wait_recorded(&environment, "slow-pair", "2.0.0").await;
            assert_eq!(scene.writes(&environment, "slow-pair"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn cases_35_and_36_a_deployment_with_its_own_application_instance_has_its_own_record() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            published(scene, "copies", &["1.0.0", "2.0.0"]);
            annotated("copy-one", "copies", "1.0.0").apply(&scene.client(), &namespace).await;
            let second = annotated("copy-two", "copies", "2.0.0").annotation(APPLICATION_INSTANCE, "Blue/Green + ü");
            let second = second.apply(&scene.client(), &namespace).await;
            scene.wait_recorded(&environment, "copies", "1.0.0").await;
            wait_instance(scene, &environment, "copies", "Blue/Green + ü", Some("2.0.0")).await;
            assert_eq!(scene.broker.store().current(&environment, "copies").len(), 2);

            // Without the annotation it joins the other: two versions in one group, so nothing is written for it.
            second.annotate(APPLICATION_INSTANCE, None).await;
            scene.wait_condition(&environment, "copies", ("Ready", "False", "Mixed")).await;
            stays(scene, &environment, "copies", Some("1.0.0"), "the group is mixed").await;
        })
        .await;
}

#[tokio::test]
async fn case_36_an_environments_application_instance_is_the_one_of_all_its_workloads() {
    let scene = Scene::shared().await;
    namespace::with_namespace(&scene.control_plane, async |namespace| {
        let environment = scene.environment(&[&namespace], json!({"applicationInstance": "eu-1"})).await;
        published(scene, "regional", &["1.0.0"]);
        // Another cluster's row, and one without an instance from a pipeline: neither is ours to touch.
        scene.broker.store().record_deployment("regional", "0.8.0", &environment, Some("us-1"));
        scene.broker.store().record_deployment("regional", "0.9.0", &environment, None);
        let live = annotated("regional", "regional", "1.0.0").apply(&scene.client(), &namespace).await;
        wait_instance(scene, &environment, "regional", "eu-1", Some("1.0.0")).await;
        live.annotate(APPLICATION_INSTANCE, Some("eu-2")).await;
        wait_instance(scene, &environment, "regional", "eu-2", Some("1.0.0")).await;
        assert_eq!(scene.recorded_as(&environment, "regional", Some("us-1")).as_deref(), Some("0.8.0"));
        assert_eq!(scene.recorded(&environment, "regional").as_deref(), Some("0.9.0"));
    })
    .await;
}

#[tokio::test]
async fn case_35_two_namespaces_of_one_environment_are_one_group() {
    let scene = Scene::shared().await;
    namespace::with_namespace(&scene.control_plane, async |first| {
        namespace::with_namespace(&scene.control_plane, async |second| {
            let environment = scene.environment(&[&first, &second], json!({})).await;
            published(scene, "spread", &["1.0.0", "2.0.0"]);
            let [api, worker] = pair(scene, "spread", "1.0.0", [&first, &second]).await;
            scene.wait_recorded(&environment, "spread", "1.0.0").await;
            api.set_image(&image("2.0.0")).await;
            scene.wait_condition(&environment, "spread", ("Ready", "False", "Mixed")).await;
            stays(scene, &environment, "spread", Some("1.0.0"), "the other namespace still runs it").await;
            worker.set_image(&image("2.0.0")).await;
            scene.wait_recorded(&environment, "spread", "2.0.0").await;
            assert_eq!(scene.writes(&environment, "spread"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
            assert_eq!(memories(scene, &environment).await.len(), 1);
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn case_23_several_pacticipants_of_one_deployment_are_recorded_each() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            for pacticipant in ["Gateway Web", "Gateway Mobile"] {
                published(scene, pacticipant, &["1.0.0", "2.0.0"]);
            }
            let live = annotated("gateway", "Gateway Web, Gateway Mobile ,Gateway Web", "1.0.0");
            let live = live.apply(&scene.client(), &namespace).await;
            scene.wait_recorded(&environment, "Gateway Web", "1.0.0").await;
            scene.wait_recorded(&environment, "Gateway Mobile", "1.0.0").await;
            live.set_image(&image("2.0.0")).await;
            scene.wait_recorded(&environment, "Gateway Web", "2.0.0").await;
            scene.wait_recorded(&environment, "Gateway Mobile", "2.0.0").await;
            assert_eq!(scene.broker.store().current_in(&environment).len(), 2);
            eventually("an Event for each pacticipant and version", SOON, async || {
                let notes = scene.events(&namespace, "gateway", "Recorded").await;
                (notes.len() == 4).then_some(()).ok_or(format!("{notes:?}"))
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn case_23_a_pacticipant_that_the_broker_does_not_know_holds_up_none_of_the_others() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            published(scene, "bff-known", &["1.0.0"]);
            annotated("bff", "bff-unknown,bff-known", "1.0.0").apply(&scene.client(), &namespace).await;
            scene.wait_recorded(&environment, "bff-known", "1.0.0").await;
            scene.wait_condition(&environment, "bff-unknown", ("Ready", "False", "PacticipantMissing")).await;
            published(scene, "bff-unknown", &["1.0.0"]);
            scene.wait_recorded(&environment, "bff-unknown", "1.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn a_pacticipant_added_to_or_left_out_of_the_annotation_follows_without_a_rollout() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            published(scene, "first-name", &["1.0.0"]);
            published(scene, "second-name", &["1.0.0"]);
            let live = annotated("named", "first-name", "1.0.0").apply(&scene.client(), &namespace).await;
            scene.wait_recorded(&environment, "first-name", "1.0.0").await;
            live.annotate(PACTICIPANT, Some("first-name,second-name")).await;
            scene.wait_recorded(&environment, "second-name", "1.0.0").await;
            // Case 38: the old name stays recorded through its grace.
            live.annotate(PACTICIPANT, Some("second-name")).await;
            scene.wait_condition(&environment, "first-name", ("Ready", "False", "Orphaned")).await;
            stays(scene, &environment, "first-name", Some("1.0.0"), "the grace has not passed").await;
        })
        .await;
}

#[tokio::test]
async fn case_35_when_a_member_of_a_group_is_deleted_the_others_decide() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            published(scene, "widowed", &["1.0.0", "2.0.0"]);
            let [api, worker] = pair(scene, "widowed", "1.0.0", [&namespace, &namespace]).await;
            scene.wait_recorded(&environment, "widowed", "1.0.0").await;
            api.set_image(&image("2.0.0")).await;
            scene.wait_condition(&environment, "widowed", ("Ready", "False", "Mixed")).await;
            worker.delete().await;
            scene.wait_recorded(&environment, "widowed", "2.0.0").await;
            assert_eq!(scene.writes(&environment, "widowed"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

/// Two Deployments of one pacticipant, `NAME-api` and `NAME-worker`, in these namespaces.
async fn pair(scene: &Scene, name: &str, version: &str, namespaces: [&str; 2]) -> [Live; 2] {
    let [first, second] = [("api", namespaces[0]), ("worker", namespaces[1])].map(async |(part, namespace)| {
        annotated(&format!("{name}-{part}"), name, version).apply(&scene.client(), namespace).await
    });
    [first.await, second.await]
}

async fn wait_instance(scene: &Scene, environment: &str, pacticipant: &str, instance: &str, version: Option<&str>) {
    eventually(format!("{pacticipant} as {instance} to be {version:?}"), SOON, async || {
        let recorded = scene.recorded_as(environment, pacticipant, Some(instance));
        (recorded.as_deref() == version).then_some(()).ok_or(format!("{recorded:?}"))
    })
    .await;
}
