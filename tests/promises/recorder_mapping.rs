//! Which environments a namespace belongs to, what happens where that is contradictory, wrong or changes.

use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use pact_operator::api::{PactEnvironment, annotations};

use k8s_openapi::api::core::v1::Namespace;

use super::recorder_asserts::{A_WHILE, condition, memories, published, stays};
use crate::testbed::eventually::{always, eventually};
use crate::testbed::namespace::with_namespace;
use crate::testbed::rollout::deployment;
use crate::testbed::scene::{BROKER, SOON, Scene, annotated, image};

#[tokio::test]
async fn case_42_a_namespace_in_two_environments_that_both_allow_it_is_recorded_in_each() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |namespace| {
        published(scene, "twice", &["1.0.0", "2.0.0"]);
        let first = scene.environment(&[&namespace], json!({"overlap": "Allow"})).await;
        let second = scene.environment(&[&namespace], json!({"overlap": "Allow"})).await;
        let live = annotated("twice", "twice", "1.0.0").apply(&scene.client(), &namespace).await;
        for environment in [&first, &second] {
            scene.wait_recorded(environment, "twice", "1.0.0").await;
        }
        live.set_image(&image("2.0.0")).await;
        for environment in [&first, &second] {
            scene.wait_recorded(environment, "twice", "2.0.0").await;
            scene.wait_environment(environment, ("Ready", "True", "Recording")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn case_42_one_environment_that_is_not_at_the_broker_holds_up_no_other() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |namespace| {
        published(scene, "half", &["1.0.0"]);
        let there = scene.environment(&[&namespace], json!({"overlap": "Allow"})).await;
        let absent = unique("absent");
        scene.map(&absent, &[&namespace], json!({"overlap": "Allow"})).await;
        annotated("half", "half", "1.0.0").apply(&scene.client(), &namespace).await;
        scene.wait_recorded(&there, "half", "1.0.0").await;
        scene.wait_condition(&there, "half", ("Ready", "True", "Recorded")).await;
        scene.wait_condition(&absent, "half", ("Ready", "False", "EnvironmentMissing")).await;
        scene.broker.store().add_environment(&absent, false);
        scene.wait_recorded(&absent, "half", "1.0.0").await;
    })
    .await;
}

#[tokio::test]
async fn case_41_a_namespace_claimed_twice_is_not_recorded_until_the_conflict_is_resolved() {
    let scene = Scene::shared().await;
    // One that allows an overlap is not enough: each has to.
    for (name, overlap) in [("torn", "Deny"), ("torn-half", "Allow")] {
        with_namespace(&scene.control_plane, async |namespace| {
            published(scene, name, &["1.0.0"]);
            let first = scene.environment(&[&namespace], json!({})).await;
            let second = scene.environment(&[&namespace], json!({"overlap": overlap})).await;
            for environment in [&first, &second] {
                let object = scene.wait_environment(environment, ("Conflicted", "True", "NamespaceClaimedTwice")).await;
                let conditions = object.status.unwrap().conditions;
                let conflicted = conditions.iter().find(|condition| condition.type_ == "Conflicted").unwrap();
                for word in [&namespace, &first, &second, "overlap: Allow"] {
                    assert!(conflicted.message.contains(word), "{word} is missing: {}", conflicted.message);
                }
                scene.wait_environment(environment, ("Ready", "False", "Conflicted")).await;
            }
            annotated(name, name, "1.0.0").apply(&scene.client(), &namespace).await.wait_complete().await;
            for environment in [&first, &second] {
                scene.wait_condition(environment, name, ("Ready", "False", "Conflicted")).await;
            }
            let note = scene.wait_event(&namespace, name, "Conflicted").await;
            assert!(note.contains(&first) && note.contains(&second), "{note}");
            always("nothing is recorded", A_WHILE, async || {
                let rows = [scene.recorded(&first, name), scene.recorded(&second, name)];
                if rows == [None, None] { Ok(()) } else { Err(format!("{rows:?}")) }
            })
            .await;

            scene.map(&second, &[&unique("elsewhere")], json!({"overlap": overlap})).await;
            scene.wait_recorded(&first, name, "1.0.0").await;
            for environment in [&first, &second] {
                scene.wait_environment(environment, ("Conflicted", "False", "NoOverlap")).await;
            }
            stays(scene, &second, name, None, "the namespace is no longer its").await;
            assert_eq!(memories(scene, &second).await.len(), 0, "nothing is worth remembering there");
        })
        .await;
    }
}

#[tokio::test]
async fn case_41_a_conflict_that_comes_later_leaves_what_is_recorded() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            published(scene, "disturbed", &["1.0.0", "2.0.0"]);
            let live = annotated("disturbed", "disturbed", "1.0.0").apply(&scene.client(), &namespace).await;
            scene.wait_recorded(&environment, "disturbed", "1.0.0").await;
            let other = scene.environment(&[&namespace], json!({})).await;
            scene.wait_condition(&environment, "disturbed", ("Ready", "False", "Conflicted")).await;
            live.set_image(&image("2.0.0")).await;
            live.wait_complete().await;
            stays(scene, &environment, "disturbed", Some("1.0.0"), "the namespace is in conflict").await;
            let api: Api<PactEnvironment> = Api::all(scene.client());
            api.delete(&other, &DeleteParams::default()).await.unwrap();
            scene.wait_recorded(&environment, "disturbed", "2.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn a_namespace_belongs_to_the_environment_whose_selector_its_labels_match() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |namespace| {
        published(scene, "selected", &["1.0.0"]);
        let stage = unique("stage");
        let expressions = json!([{"key": "stage", "operator": "In", "values": [stage, "another"]}]);
        let selector = json!({"selector": {"matchExpressions": expressions}});
        let environment = scene.environment(&[], json!({"namespaces": selector})).await;
        annotated("selected", "selected", "1.0.0").apply(&scene.client(), &namespace).await.wait_complete().await;
        stays(scene, &environment, "selected", None, "the namespace has no such label").await;
        label(scene, &namespace, &stage).await;
        scene.wait_recorded(&environment, "selected", "1.0.0").await;
    })
    .await;
}

#[tokio::test]
async fn case_40_a_namespace_that_moves_is_recorded_anew_and_taken_back_where_it_was_after_the_grace() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |namespace| {
        published(scene, "moving", &["1.0.0"]);
        let (here, there) = (unique("here"), unique("there"));
        let mapping = |stage: &str| {
            let selector = json!({"selector": {"matchLabels": {"stage": stage}}});
            json!({"namespaces": selector, "record": {"undeployGraceSeconds": 4}})
        };
        let old = scene.environment(&[], mapping(&here)).await;
        let new = scene.environment(&[], mapping(&there)).await;
        label(scene, &namespace, &here).await;
        annotated("moving", "moving", "1.0.0").apply(&scene.client(), &namespace).await;
        scene.wait_recorded(&old, "moving", "1.0.0").await;

        label(scene, &namespace, &there).await;
        scene.wait_recorded(&new, "moving", "1.0.0").await;
        let memory = scene.wait_condition(&old, "moving", ("Orphaned", "True", "Orphaned")).await;
        assert!(condition(&memory, "Orphaned").unwrap().message.contains("taken back"), "the status says what comes");
        assert_eq!(scene.recorded(&old, "moving").as_deref(), Some("1.0.0"), "the grace has not passed");
        eventually("the record to be taken back", SOON, async || scene.recorded(&old, "moving").map_or(Ok(()), Err))
            .await;
        assert_eq!(scene.writes(&old, "moving"), ["Deployed 1.0.0", "Undeployed 1.0.0"]);
        stays(scene, &new, "moving", Some("1.0.0"), "it runs there").await;
    })
    .await;
}

#[tokio::test]
async fn a_mistyped_environment_is_reported_with_the_nearest_name_and_never_created() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |namespace| {
        published(scene, "misspelt", &["1.0.0"]);
        let meant = unique("checkout");
        let typed = meant.replace("checkout", "chekcout");
        scene.broker.store().add_environment(&meant, false);
        scene.map(&typed, &[&namespace], json!({})).await;
        let object = scene.wait_environment(&typed, ("EnvironmentExists", "False", "EnvironmentMissing")).await;
        let conditions = object.status.unwrap().conditions;
        let message = &conditions.iter().find(|condition| condition.type_ == "EnvironmentExists").unwrap().message;
        assert!(message.contains(&format!("did you mean {meant}?")), "{message}");
        scene.wait_environment(&typed, ("Ready", "False", "EnvironmentMissing")).await;

        let live = annotated("misspelt", "misspelt", "1.0.0").apply(&scene.client(), &namespace).await;
        scene.wait_condition(&typed, "misspelt", ("Ready", "False", "EnvironmentMissing")).await;
        let note = scene.wait_event(&namespace, "misspelt", "RecordFailed").await;
        assert!(note.contains(&meant), "{note}");
        let before = live.get().await.metadata.resource_version;
        always("the environment is not created", A_WHILE, async || {
            scene.broker.store().environment_uuid(&typed).map_or(Ok(()), Err)
        })
        .await;
        scene.broker.store().add_environment(&typed, false);
        scene.wait_recorded(&typed, "misspelt", "1.0.0").await;
        scene.wait_environment(&typed, ("EnvironmentExists", "True", "Found")).await;
        assert_eq!(live.get().await.metadata.resource_version, before, "the Deployment was not touched");
    })
    .await;
}

#[tokio::test]
async fn an_environment_is_created_at_the_broker_where_its_object_says_so() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |namespace| {
        published(scene, "founder", &["1.0.0"]);
        let (object, environment) = (unique("object"), unique("made"));
        let create = json!({"displayName": "Made by us", "production": true});
        scene.map(&object, &[&namespace], json!({"environment": environment, "create": create})).await;
        annotated("founder", "founder", "1.0.0").apply(&scene.client(), &namespace).await;
        scene.wait_recorded(&environment, "founder", "1.0.0").await;
        let object = scene.wait_environment(&object, ("EnvironmentExists", "True", "Found")).await;
        let status = object.status.unwrap();
        assert_eq!(status.environment.as_deref(), Some(environment.as_str()));
        assert_eq!(status.environment_uuid, scene.broker.store().environment_uuid(&environment));
        let made: Vec<_> = scene.broker.requests().into_iter().filter(|r| r.method == "POST").collect();
        let made: Vec<_> = made.iter().filter(|r| r.path_and_query == "/environments").collect();
        let made: Vec<_> = made.iter().filter(|r| r.body.contains(&environment)).collect();
        let [request] = made.as_slice() else { panic!("{made:?}") };
        let body: Value = serde_json::from_str(&request.body).unwrap();
        assert_eq!((&body["displayName"], &body["production"]), (&json!("Made by us"), &json!(true)));
    })
    .await;
}

#[tokio::test]
async fn a_pact_environment_counts_its_namespaces_workloads_and_records() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |first| {
        with_namespace(&scene.control_plane, async |second| {
            published(scene, "counted-one", &["1.0.0"]);
            published(scene, "counted-two", &["1.0.0"]);
            let environment = scene.environment(&[&first, &second, "not-there-yet"], json!({})).await;
            let client = scene.client();
            annotated("one", "counted-one", "1.0.0").apply(&client, &first).await;
            annotated("one-more", "counted-one", "1.0.0").apply(&client, &second).await;
            annotated("two", "counted-two", "1.0.0").apply(&client, &second).await;
            annotated("unknown", "counted-unknown", "1.0.0").apply(&client, &second).await;
            deployment("not-ours").apply(&client, &first).await;
            let api: Api<PactEnvironment> = Api::all(client.clone());
            eventually("2 namespaces, 4 workloads, 2 records", SOON, async || {
                let status = api.get(&environment).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
                let counts = [status.namespaces, status.workloads, status.recorded];
                (counts == [2, 4, 2]).then_some(()).ok_or(format!("{counts:?}"))
            })
            .await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn deployments_without_annotation_and_namespaces_without_environment_are_left_alone() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |unmapped| {
        scene
            .act(async |mapped, environment| {
                published(scene, "elsewhere", &["1.0.0"]);
                let plain = deployment("plain").image(&image("1.0.0")).apply(&scene.client(), &mapped).await;
                let nowhere = annotated("nowhere", "elsewhere", "1.0.0").apply(&scene.client(), &unmapped).await;
                plain.wait_complete().await;
                nowhere.wait_complete().await;
                scene.wait_environment(&environment, ("Ready", "True", "Recording")).await;
                always("the broker hears nothing of them", A_WHILE, async || {
                    let told = scene.broker.count_requests(|request| request.path_and_query.contains("elsewhere"));
                    let rows = scene.broker.store().current_in(&environment);
                    if told == 0 && rows.is_empty() { Ok(()) } else { Err(format!("{told} requests, {rows:?}")) }
                })
                .await;
                assert_eq!(memories(scene, &environment).await.len(), 0);

                // Either becomes ours by a word.
                plain.annotate(annotations::PACTICIPANT, Some("elsewhere")).await;
                scene.wait_recorded(&environment, "elsewhere", "1.0.0").await;
                let other = scene.environment(&[&unmapped], json!({})).await;
                scene.wait_recorded(&other, "elsewhere", "1.0.0").await;
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_no_environment_claims_any_more_keeps_its_records() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |left_out| {
        with_namespace(&scene.control_plane, async |kept| {
            published(scene, "left-out", &["1.0.0"]);
            let brief = json!({"record": {"undeployGraceSeconds": 0}});
            let environment = scene.environment(&[&left_out, &kept], brief.clone()).await;
            annotated("left-out", "left-out", "1.0.0").apply(&scene.client(), &left_out).await;
            scene.wait_condition(&environment, "left-out", ("Ready", "True", "Recorded")).await;
            scene.map(&environment, &[&kept], brief).await;
            scene.wait_condition(&environment, "left-out", ("Ready", "False", "MembersUncertain")).await;
            stays(scene, &environment, "left-out", Some("1.0.0"), "it still runs").await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn removing_a_pact_environment_keeps_what_it_recorded() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |namespace| {
        published(scene, "kept", &["1.0.0"]);
        let environment = scene.environment(&[&namespace], json!({"record": {"undeployGraceSeconds": 0}})).await;
        annotated("kept", "kept", "1.0.0").apply(&scene.client(), &namespace).await;
        scene.wait_recorded(&environment, "kept", "1.0.0").await;
        scene.wait_condition(&environment, "kept", ("Ready", "True", "Recorded")).await;
        let api: Api<PactEnvironment> = Api::all(scene.client());
        api.delete(&environment, &DeleteParams::default()).await.unwrap();
        scene.wait_condition(&environment, "kept", ("Ready", "False", "EnvironmentUnmanaged")).await;
        stays(scene, &environment, "kept", Some("1.0.0"), "it still runs; uninstalling takes nothing back").await;
    })
    .await;
}

#[tokio::test]
async fn two_pact_environments_of_one_environment_are_one_group() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |first| {
        with_namespace(&scene.control_plane, async |second| {
            published(scene, "joined", &["1.0.0", "2.0.0"]);
            let environment = scene.environment(&[&first], json!({})).await;
            scene.map(&unique("second"), &[&second], json!({"environment": environment})).await;
            annotated("one", "joined", "1.0.0").apply(&scene.client(), &first).await;
            scene.wait_recorded(&environment, "joined", "1.0.0").await;
            let other = annotated("two", "joined", "2.0.0").apply(&scene.client(), &second).await;
            scene.wait_condition(&environment, "joined", ("Ready", "False", "Mixed")).await;
            other.set_image(&image("1.0.0")).await;
            scene.wait_condition(&environment, "joined", ("Ready", "True", "Recorded")).await;
            assert_eq!(scene.writes(&environment, "joined"), ["Deployed 1.0.0"]);
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_environment_of_a_broker_that_is_not_there_says_so_and_writes_nothing() {
    let scene = Scene::shared().await;
    with_namespace(&scene.control_plane, async |namespace| {
        published(scene, "brokerless", &["1.0.0"]);
        let environment = unique("env");
        scene.broker.store().add_environment(&environment, false);
        let absent = unique("broker");
        scene.map(&environment, &[&namespace], json!({"brokerRef": {"name": absent}})).await;
        annotated("brokerless", "brokerless", "1.0.0").apply(&scene.client(), &namespace).await;
        let object = scene.wait_environment(&environment, ("Ready", "False", "BrokerMissing")).await;
        let message = &object.status.unwrap().conditions[0].message;
        assert!(message.contains(&absent) && absent != BROKER, "{message}");
        stays(scene, &environment, "brokerless", None, "nobody said at which broker").await;
        let url = scene.broker.url();
        scene.apply::<pact_operator::api::PactBroker>("PactBroker", &absent, json!({"url": url})).await;
        scene.wait_recorded(&environment, "brokerless", "1.0.0").await;
    })
    .await;
}

/// A name that no other test uses.
fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
}

async fn label(scene: &Scene, namespace: &str, stage: &str) {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"stage": stage}}}));
    Api::<Namespace>::all(scene.client()).patch(namespace, &PatchParams::default(), &patch).await.unwrap();
}
