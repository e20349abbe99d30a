//! Which environments a namespace belongs to, and what happens when the mapping is contradictory, wrong or changes.

use crate::objects::Objects as _;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use pact_operator::api::{PactEnvironment, annotations};

use k8s_openapi::api::core::v1::Namespace;

use super::recorder_asserts::{A_WHILE, condition, published, records, stays};
use testbed::eventually::{always, eventually};
use testbed::namespace::with_namespace;
use testbed::rollout::deployment;
use testbed::test_cluster::{BROKER, SOON, TestCluster, annotated, image};

#[tokio::test]
async fn case_42_a_namespace_in_two_environments_that_both_allow_it_is_recorded_in_each() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "twice", &["1.0.0", "2.0.0"]);
        let first = cluster.environment(&[&namespace], json!({"overlap": "Allow"})).await;
        let second = cluster.environment(&[&namespace], json!({"overlap": "Allow"})).await;
        let live = annotated("twice", "twice", "1.0.0").apply(&cluster.client(), &namespace).await;
        for environment in [&first, &second] {
            cluster.wait_recorded(environment, "twice", "1.0.0").await;
        }
        live.set_image(&image("2.0.0")).await;
        for environment in [&first, &second] {
            cluster.wait_recorded(environment, "twice", "2.0.0").await;
            cluster.wait_environment(environment, ("Ready", "True", "Recording")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn case_42_one_environment_that_is_not_at_the_broker_blocks_no_other() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "half", &["1.0.0"]);
        let there = cluster.environment(&[&namespace], json!({"overlap": "Allow"})).await;
        let absent = unique("absent");
        cluster.map(&absent, &[&namespace], json!({"overlap": "Allow"})).await;
        annotated("half", "half", "1.0.0").apply(&cluster.client(), &namespace).await;
        cluster.wait_recorded(&there, "half", "1.0.0").await;
        cluster.wait_condition(&there, "half", ("Ready", "True", "Recorded")).await;
        cluster.wait_condition(&absent, "half", ("Ready", "False", "EnvironmentMissing")).await;
        cluster.broker.store().add_environment(&absent, false);
        cluster.wait_recorded(&absent, "half", "1.0.0").await;
    })
    .await;
}

#[tokio::test]
async fn case_116_a_misspelt_namespace_is_said_with_the_near_miss_until_it_exists() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        let misspelt = format!("{namespace}x");
        let environment = cluster.environment(&[&misspelt], json!({})).await;
        let object = cluster.wait_environment(&environment, ("NamespacesFound", "False", "NamespaceMissing")).await;
        let conditions = object.status.unwrap().conditions;
        let message = &conditions.iter().find(|one| one.type_ == "NamespacesFound").unwrap().message;
        let wanted = format!("the namespace {misspelt} (did you mean {namespace}?) does not exist");
        assert_eq!(message, &wanted);
        cluster.wait_environment(&environment, ("Ready", "True", "Recording")).await;

        let corrected = Patch::Merge(json!({"spec": {"namespaces": {"names": [namespace]}}}));
        let api = Api::<PactEnvironment>::all(cluster.client());
        api.patch(&environment, &PatchParams::default(), &corrected).await.unwrap();
        cluster.wait_environment(&environment, ("NamespacesFound", "True", "NamespacesExist")).await;
    })
    .await;
}

#[tokio::test]
async fn case_76_rules_that_cannot_be_followed_leave_the_last_good_ones_in_force() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "steady", &["1.0.0", "2.0.0"]);
        let pattern = json!({"version": {"tagPattern": "^v(?P<version>.+)$"}});
        let environment = cluster.environment(&[&namespace], pattern).await;
        let live = annotated("steady", "steady", "v1.0.0").apply(&cluster.client(), &namespace).await;
        cluster.wait_recorded(&environment, "steady", "1.0.0").await;

        // RE2 knows `\Q`, the operator does not: so the CRD takes it.
        let broken = Patch::Merge(json!({"spec": {"version": {"tagPattern": r"\Qv\E(?P<version>.+)"}}}));
        let api = Api::<PactEnvironment>::all(cluster.client());
        api.patch(&environment, &PatchParams::default(), &broken).await.unwrap();
        let object = cluster.wait_environment(&environment, ("Ready", "False", "InvalidSpec")).await;
        let conditions = object.status.unwrap().conditions;
        let message = &conditions.iter().find(|one| one.type_ == "Ready").unwrap().message;
        assert!(message.contains("spec.version.tagPattern") && message.contains("stay in force"), "{message}");
        live.set_image(&image("v2.0.0")).await;
        cluster.wait_recorded(&environment, "steady", "2.0.0").await;
    })
    .await;
}

#[tokio::test]
async fn case_41_a_namespace_claimed_twice_is_not_recorded_until_the_conflict_is_resolved() {
    let cluster = TestCluster::shared().await;
    // Every environment has to allow the overlap; one is not enough.
    for (name, overlap) in [("torn", "Deny"), ("torn-half", "Allow")] {
        with_namespace(&cluster.control_plane, async |namespace| {
            published(&cluster, name, &["1.0.0"]);
            let first = cluster.environment(&[&namespace], json!({})).await;
            let second = cluster.environment(&[&namespace], json!({"overlap": overlap})).await;
            for environment in [&first, &second] {
                let object =
                    cluster.wait_environment(environment, ("Conflicted", "True", "NamespaceClaimedTwice")).await;
                let conditions = object.status.unwrap().conditions;
                let conflicted = conditions.iter().find(|condition| condition.type_ == "Conflicted").unwrap();
                for word in [&namespace, &first, &second, "overlap: Allow"] {
                    assert!(conflicted.message.contains(word), "{word} is missing: {}", conflicted.message);
                }
                cluster.wait_environment(environment, ("Ready", "False", "Conflicted")).await;
            }
            annotated(name, name, "1.0.0").apply(&cluster.client(), &namespace).await.wait_complete().await;
            for environment in [&first, &second] {
                cluster.wait_condition(environment, name, ("Ready", "False", "Conflicted")).await;
            }
            let note = cluster.wait_event(&namespace, name, "Conflicted").await;
            assert!(note.contains(&first) && note.contains(&second), "{note}");
            always("nothing is recorded", A_WHILE, async || {
                let rows = [cluster.recorded(&first, name), cluster.recorded(&second, name)];
                if rows == [None, None] { Ok(()) } else { Err(format!("{rows:?}")) }
            })
            .await;

            cluster.map(&second, &[&unique("elsewhere")], json!({"overlap": overlap})).await;
            cluster.wait_recorded(&first, name, "1.0.0").await;
            for environment in [&first, &second] {
                cluster.wait_environment(environment, ("Conflicted", "False", "NoOverlap")).await;
            }
            stays(&cluster, &second, name, None, "the namespace no longer belongs to it").await;
            assert_eq!(records(&cluster, &second).await.len(), 0, "it needs no record there");
        })
        .await;
    }
}

#[tokio::test]
async fn case_41_a_conflict_that_comes_later_leaves_what_is_recorded() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "disturbed", &["1.0.0", "2.0.0"]);
            let live = annotated("disturbed", "disturbed", "1.0.0").apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "disturbed", "1.0.0").await;
            let other = cluster.environment(&[&namespace], json!({})).await;
            cluster.wait_condition(&environment, "disturbed", ("Ready", "False", "Conflicted")).await;
            live.set_image(&image("2.0.0")).await;
            live.wait_complete().await;
            stays(&cluster, &environment, "disturbed", Some("1.0.0"), "the namespace is in conflict").await;
            let api: Api<PactEnvironment> = Api::all(cluster.client());
            api.delete(&other, &DeleteParams::default()).await.unwrap();
            cluster.wait_recorded(&environment, "disturbed", "2.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn a_namespace_belongs_to_the_environment_whose_selector_its_labels_match() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "selected", &["1.0.0"]);
        let stage = unique("stage");
        let expressions = json!([{"key": "stage", "operator": "In", "values": [stage, "another"]}]);
        let selector = json!({"selector": {"matchExpressions": expressions}});
        let environment = cluster.environment(&[], json!({"namespaces": selector})).await;
        annotated("selected", "selected", "1.0.0").apply(&cluster.client(), &namespace).await.wait_complete().await;
        stays(&cluster, &environment, "selected", None, "the namespace has no such label").await;
        label(&cluster, &namespace, &stage).await;
        cluster.wait_recorded(&environment, "selected", "1.0.0").await;
    })
    .await;
}

#[tokio::test]
async fn case_40_a_namespace_that_moves_is_recorded_anew_and_undeployed_where_it_was_after_the_grace() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "moving", &["1.0.0"]);
        let (here, there) = (unique("here"), unique("there"));
        let mapping = |stage: &str| {
            let selector = json!({"selector": {"matchLabels": {"stage": stage}}});
            json!({"namespaces": selector, "record": {"undeployGraceSeconds": 4}})
        };
        let old = cluster.environment(&[], mapping(&here)).await;
        let new = cluster.environment(&[], mapping(&there)).await;
        label(&cluster, &namespace, &here).await;
        annotated("moving", "moving", "1.0.0").apply(&cluster.client(), &namespace).await;
        cluster.wait_recorded(&old, "moving", "1.0.0").await;

        label(&cluster, &namespace, &there).await;
        cluster.wait_recorded(&new, "moving", "1.0.0").await;
        let record = cluster.wait_condition(&old, "moving", ("Orphaned", "True", "Orphaned")).await;
        assert!(
            condition(&record, "Orphaned").unwrap().message.contains("taken back"),
            "the status announces the undeployment"
        );
        assert_eq!(cluster.recorded(&old, "moving").as_deref(), Some("1.0.0"), "the grace has not passed");
        eventually("the record to be undeployed", SOON, async || cluster.recorded(&old, "moving").map_or(Ok(()), Err))
            .await;
        assert_eq!(cluster.writes(&old, "moving"), ["Deployed 1.0.0", "Undeployed 1.0.0"]);
        stays(&cluster, &new, "moving", Some("1.0.0"), "it runs there").await;
    })
    .await;
}

#[tokio::test]
async fn a_mistyped_environment_is_reported_with_the_nearest_name_and_never_created() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "misspelt", &["1.0.0"]);
        let meant = unique("checkout");
        let typed = meant.replace("checkout", "chekcout");
        cluster.broker.store().add_environment(&meant, false);
        cluster.map(&typed, &[&namespace], json!({})).await;
        let object = cluster.wait_environment(&typed, ("EnvironmentExists", "False", "EnvironmentMissing")).await;
        let conditions = object.status.unwrap().conditions;
        let message = &conditions.iter().find(|condition| condition.type_ == "EnvironmentExists").unwrap().message;
        assert!(message.contains(&format!("did you mean {meant}?")), "{message}");
        cluster.wait_environment(&typed, ("Ready", "False", "EnvironmentMissing")).await;

        let live = annotated("misspelt", "misspelt", "1.0.0").apply(&cluster.client(), &namespace).await;
        cluster.wait_condition(&typed, "misspelt", ("Ready", "False", "EnvironmentMissing")).await;
        let note = cluster.wait_event(&namespace, "misspelt", "RecordFailed").await;
        assert!(note.contains(&meant), "{note}");
        let before = live.get().await.metadata.resource_version;
        always("the environment is not created", A_WHILE, async || {
            cluster.broker.store().environment_uuid(&typed).map_or(Ok(()), Err)
        })
        .await;
        cluster.broker.store().add_environment(&typed, false);
        cluster.wait_recorded(&typed, "misspelt", "1.0.0").await;
        cluster.wait_environment(&typed, ("EnvironmentExists", "True", "Found")).await;
        assert_eq!(live.get().await.metadata.resource_version, before, "the Deployment was not touched");
    })
    .await;
}

#[tokio::test]
async fn an_environment_is_created_at_the_broker_where_its_object_says_so() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "founder", &["1.0.0"]);
        let (object, environment) = (unique("object"), unique("made"));
        let create = json!({"displayName": "Made by us", "production": true});
        cluster.map(&object, &[&namespace], json!({"environment": environment, "create": create})).await;
        annotated("founder", "founder", "1.0.0").apply(&cluster.client(), &namespace).await;
        cluster.wait_recorded(&environment, "founder", "1.0.0").await;
        let object = cluster.wait_environment(&object, ("EnvironmentExists", "True", "Found")).await;
        let status = object.status.unwrap();
        assert_eq!(status.environment.as_deref(), Some(environment.as_str()));
        assert_eq!(status.environment_uuid, cluster.broker.store().environment_uuid(&environment));
        let made: Vec<_> = cluster.broker.requests().into_iter().filter(|r| r.method == "POST").collect();
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
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |first| {
        with_namespace(&cluster.control_plane, async |second| {
            published(&cluster, "counted-one", &["1.0.0"]);
            published(&cluster, "counted-two", &["1.0.0"]);
            let environment = cluster.environment(&[&first, &second, "not-there-yet"], json!({})).await;
            let client = cluster.client();
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
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |unmapped| {
        cluster
            .with_namespace(async |mapped, environment| {
                published(&cluster, "elsewhere", &["1.0.0"]);
                let plain = deployment("plain").image(&image("1.0.0")).apply(&cluster.client(), &mapped).await;
                let nowhere = annotated("nowhere", "elsewhere", "1.0.0").apply(&cluster.client(), &unmapped).await;
                plain.wait_complete().await;
                nowhere.wait_complete().await;
                cluster.wait_environment(&environment, ("Ready", "True", "Recording")).await;
                always("no request to the broker concerns them", A_WHILE, async || {
                    let requests =
                        cluster.broker.count_requests(|request| request.path_and_query.contains("elsewhere"));
                    let rows = cluster.broker.store().current_in(&environment);
                    if requests == 0 && rows.is_empty() {
                        Ok(())
                    } else {
                        Err(format!("{requests} requests, {rows:?}"))
                    }
                })
                .await;
                assert_eq!(records(&cluster, &environment).await.len(), 0);

                // One annotation or one mapping makes the operator record either.
                plain.annotate(annotations::PACTICIPANT, Some("elsewhere")).await;
                cluster.wait_recorded(&environment, "elsewhere", "1.0.0").await;
                let other = cluster.environment(&[&unmapped], json!({})).await;
                cluster.wait_recorded(&other, "elsewhere", "1.0.0").await;
            })
            .await;
    })
    .await;
}

#[tokio::test]
async fn a_namespace_that_no_environment_claims_any_more_keeps_its_records() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |left_out| {
        with_namespace(&cluster.control_plane, async |kept| {
            published(&cluster, "left-out", &["1.0.0"]);
            let brief = json!({"record": {"undeployGraceSeconds": 0}});
            let environment = cluster.environment(&[&left_out, &kept], brief.clone()).await;
            annotated("left-out", "left-out", "1.0.0").apply(&cluster.client(), &left_out).await;
            cluster.wait_condition(&environment, "left-out", ("Ready", "True", "Recorded")).await;
            cluster.map(&environment, &[&kept], brief).await;
            cluster.wait_condition(&environment, "left-out", ("Ready", "False", "MembersUncertain")).await;
            stays(&cluster, &environment, "left-out", Some("1.0.0"), "it still runs").await;
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn removing_a_pact_environment_keeps_what_it_recorded() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "kept", &["1.0.0"]);
        let environment = cluster.environment(&[&namespace], json!({"record": {"undeployGraceSeconds": 0}})).await;
        annotated("kept", "kept", "1.0.0").apply(&cluster.client(), &namespace).await;
        cluster.wait_recorded(&environment, "kept", "1.0.0").await;
        cluster.wait_condition(&environment, "kept", ("Ready", "True", "Recorded")).await;
        let api: Api<PactEnvironment> = Api::all(cluster.client());
        api.delete(&environment, &DeleteParams::default()).await.unwrap();
        cluster.wait_condition(&environment, "kept", ("Ready", "False", "EnvironmentUnmanaged")).await;
        stays(&cluster, &environment, "kept", Some("1.0.0"), "it still runs; uninstalling undeploys nothing").await;
    })
    .await;
}

#[tokio::test]
async fn two_pact_environments_of_one_environment_are_one_group() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |first| {
        with_namespace(&cluster.control_plane, async |second| {
            published(&cluster, "joined", &["1.0.0", "2.0.0"]);
            let environment = cluster.environment(&[&first], json!({})).await;
            cluster.map(&unique("second"), &[&second], json!({"environment": environment})).await;
            annotated("one", "joined", "1.0.0").apply(&cluster.client(), &first).await;
            cluster.wait_recorded(&environment, "joined", "1.0.0").await;
            // Case 103: with another version it would be a stranger.
            let other = annotated("two", "joined", "1.0.0").apply(&cluster.client(), &second).await;
            eventually("the record to be for both namespaces", SOON, async || {
                let record = cluster.record(&environment, "joined").await.ok_or("no PactDeployment")?;
                let found = record.status.unwrap_or_default().recorded_for;
                if found.len() == 2 { Ok(()) } else { Err(format!("{found:?}")) }
            })
            .await;
            other.set_image(&image("2.0.0")).await;
            cluster.wait_condition(&environment, "joined", ("Ready", "False", "Mixed")).await;
            other.set_image(&image("1.0.0")).await;
            cluster.wait_condition(&environment, "joined", ("Ready", "True", "Recorded")).await;
            assert_eq!(cluster.writes(&environment, "joined"), ["Deployed 1.0.0"]);
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn an_environment_of_a_missing_broker_is_reported_and_writes_nothing() {
    let cluster = TestCluster::shared().await;
    with_namespace(&cluster.control_plane, async |namespace| {
        published(&cluster, "brokerless", &["1.0.0"]);
        let environment = unique("env");
        cluster.broker.store().add_environment(&environment, false);
        let absent = unique("broker");
        cluster.map(&environment, &[&namespace], json!({"brokerRef": {"name": absent}})).await;
        annotated("brokerless", "brokerless", "1.0.0").apply(&cluster.client(), &namespace).await;
        let object = cluster.wait_environment(&environment, ("Ready", "False", "BrokerMissing")).await;
        let message = &object.status.unwrap().conditions[0].message;
        assert!(message.contains(&absent) && absent != BROKER, "{message}");
        stays(&cluster, &environment, "brokerless", None, "its broker is unknown").await;
        let url = cluster.broker.url();
        cluster.apply::<pact_operator::api::PactBroker>("PactBroker", &absent, json!({"url": url})).await;
        cluster.wait_recorded(&environment, "brokerless", "1.0.0").await;
    })
    .await;
}

/// A name that no other test uses.
fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", &uuid::Uuid::new_v4().simple().to_string()[..10])
}

async fn label(cluster: &TestCluster, namespace: &str, stage: &str) {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"stage": stage}}}));
    Api::<Namespace>::all(cluster.client()).patch(namespace, &PatchParams::default(), &patch).await.unwrap();
}
