//! Whose record it is: who may speak for a pacticipant where the environment says so, and where it does not.

use crate::objects::Objects as _;
use kube::Api;
use kube::api::{Patch, PatchParams};
use pact_operator::api::annotations::{APPLICATION_INSTANCE, PACTICIPANT};
use pact_operator::api::{PactDeployment, PactEnvironment};
use serde_json::{Value, json};

use super::recorder_asserts::{A_WHILE, condition, published, records, stays};
use testbed::eventually::{always, eventually};
use testbed::namespace::with_namespace;
use testbed::test_cluster::{SOON, TestCluster, annotated, image};

#[tokio::test]
async fn case_103_who_does_not_own_a_pacticipant_is_no_member_and_is_named() {
    let cluster = TestCluster::shared().await;
    with_two_namespaces(&cluster, async |ours, theirs| {
        let owners = json!([{"pacticipants": ["owned-*"], "namespaces": [ours]}]);
        let environment = cluster.environment(&[&ours, &theirs], json!({"owners": owners})).await;
        for name in ["owned-orders", "unruled"] {
            published(&cluster, name, &["1.0.0", "2.0.0", "9.0.0"]);
        }
        cluster.wait_environment(&environment, ("OwnersRespected", "True", "OwnersRespected")).await;
        let live = annotated("orders", "owned-orders", "1.0.0").apply(&cluster.client(), &ours).await;
        cluster.wait_recorded(&environment, "owned-orders", "1.0.0").await;

        let claims = annotated("claims", "owned-orders, unruled", "9.0.0").apply(&cluster.client(), &theirs).await;
        // A copy of its own would be another live row.
        let copy = annotated("copy", "owned-orders", "9.0.0").annotation(APPLICATION_INSTANCE, "copy");
        copy.apply(&cluster.client(), &theirs).await;
        cluster.wait_recorded(&environment, "unruled", "9.0.0").await;
        let said = format!("namespace {theirs} does not own it, only {ours} does");
        for name in ["claims", "copy"] {
            let note = cluster.wait_event(&theirs, name, "NotOwned").await;
            assert!(note.starts_with(&format!("nothing is recorded for owned-orders from here: {said}")), "{note}");
            assert!(note.contains(&format!("spec.owners of the PactEnvironment {environment}")), "{note}");
        }
        eventually("both to be named in the environment's status", SOON, async || {
            let message = owners_respected(&cluster, &environment).await;
            let named = ["claims", "copy"].map(|name| format!("Deployment {theirs}/{name} names owned-orders: {said}"));
            if named.iter().all(|it| message.contains(it)) { Ok(()) } else { Err(message) }
        })
        .await;
        cluster.wait_environment(&environment, ("OwnersRespected", "False", "NotOwned")).await;
        cluster.wait_environment(&environment, ("Ready", "True", "Recording")).await;

        live.set_image(&image("2.0.0")).await;
        cluster.wait_recorded(&environment, "owned-orders", "2.0.0").await;
        let record = cluster.wait_condition(&environment, "owned-orders", ("Ready", "True", "Recorded")).await;
        assert_eq!(members(&record), [format!("{ours} None")]);
        assert_eq!(records(&cluster, &environment).await.len(), 2, "none for the copy");
        assert_eq!(cluster.writes(&environment, "owned-orders"), ["Deployed 1.0.0", "Deployed 2.0.0"]);

        claims.annotate(PACTICIPANT, Some("unruled")).await;
        eventually("only the copy to be named", SOON, async || {
            let message = owners_respected(&cluster, &environment).await;
            if message.contains("/claims") { Err(message) } else { Ok(()) }
        })
        .await;
        let more = json!([{"pacticipants": ["owned-*"], "namespaces": [ours, theirs]}]);
        patch_owners(&cluster, &environment, more).await;
        cluster.wait_environment(&environment, ("OwnersRespected", "True", "OwnersRespected")).await;
        eventually("the copy of an owner to be recorded", SOON, async || {
            let recorded = cluster.recorded_as(&environment, "owned-orders", Some("copy"));
            (recorded.as_deref() == Some("9.0.0")).then_some(()).ok_or(format!("{recorded:?}"))
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn case_102_who_does_not_own_a_pacticipant_keeps_no_record_of_it_alive() {
    let cluster = TestCluster::shared().await;
    with_two_namespaces(&cluster, async |ours, theirs| {
        let owners = json!([{"pacticipants": ["kept-102"], "namespaces": [ours]}]);
        let more = json!({"owners": owners, "record": {"undeployGraceSeconds": 1}});
        let environment = cluster.environment(&[&ours, &theirs], more).await;
        published(&cluster, "kept-102", &["1.0.0"]);
        annotated("idle", "kept-102", "1.0.0").replicas(0).apply(&cluster.client(), &theirs).await;
        let live = annotated("kept", "kept-102", "1.0.0").apply(&cluster.client(), &ours).await;
        cluster.wait_recorded(&environment, "kept-102", "1.0.0").await;
        let record = cluster.wait_condition(&environment, "kept-102", ("Ready", "True", "Recorded")).await;
        assert_eq!(members(&record), [format!("{ours} None")]);
        live.delete().await;
        cluster.wait_condition(&environment, "kept-102", ("Recorded", "False", "Undeployed")).await;
        assert_eq!(cluster.writes(&environment, "kept-102"), ["Deployed 1.0.0", "Undeployed 1.0.0"]);
    })
    .await;
}

#[tokio::test]
async fn case_103_a_rule_about_owners_that_comes_later_takes_nothing_back() {
    let cluster = TestCluster::shared().await;
    with_two_namespaces(&cluster, async |ours, theirs| {
        let brief = json!({"record": {"undeployGraceSeconds": 0}});
        let environment = cluster.environment(&[&ours, &theirs], brief).await;
        published(&cluster, "ruled-later", &["1.0.0", "2.0.0"]);
        annotated("there", "ruled-later", "1.0.0").apply(&cluster.client(), &theirs).await;
        cluster.wait_recorded(&environment, "ruled-later", "1.0.0").await;
        let owners = json!([{"pacticipants": ["ruled-*"], "namespaces": [ours]}]);
        patch_owners(&cluster, &environment, owners).await;
        cluster.wait_condition(&environment, "ruled-later", ("Ready", "False", "MembersUncertain")).await;
        stays(&cluster, &environment, "ruled-later", Some("1.0.0"), "its pods run").await;
        annotated("orders", "ruled-later", "2.0.0").apply(&cluster.client(), &ours).await;
        cluster.wait_recorded(&environment, "ruled-later", "2.0.0").await;
        let record = cluster.wait_condition(&environment, "ruled-later", ("Ready", "True", "Recorded")).await;
        assert_eq!(members(&record), [format!("{ours} None")]);
        assert_eq!(cluster.writes(&environment, "ruled-later"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
    })
    .await;
}

#[tokio::test]
async fn case_103_the_record_goes_on_while_a_stranger_runs_another_version_and_it_joins_with_the_recorded_one() {
    let cluster = TestCluster::shared().await;
    with_two_namespaces(&cluster, async |ours, theirs| {
        let environment = cluster.environment(&[&ours, &theirs], json!({})).await;
        published(&cluster, "joined", &["1.0.0", "2.0.0", "3.0.0", "9.0.0"]);
        let live = annotated("joined", "joined", "1.0.0").apply(&cluster.client(), &ours).await;
        cluster.wait_recorded(&environment, "joined", "1.0.0").await;
        wait_recorded_for(&cluster, &environment, "joined", &[&ours]).await;

        let stranger = annotated("claims", "joined", "9.0.0").apply(&cluster.client(), &theirs).await;
        let record = cluster.wait_condition(&environment, "joined", ("Stranger", "True", "Stranger")).await;
        let said = format!("Deployment {theirs}/claims (9.0.0) does not count: 1.0.0 is recorded for {ours}");
        let message = condition(&record, "Stranger").unwrap().message;
        assert!(message.starts_with(&said), "{message}");
        let note = cluster.wait_event(&theirs, "claims", "Stranger").await;
        assert!(note.contains(&said) && note.contains("spec.owners"), "{note}");
        let record = cluster.wait_condition(&environment, "joined", ("Ready", "True", "Recorded")).await;
        assert_eq!(members(&record), [format!("{ours} None"), format!("{theirs} Some(\"Stranger\")")]);
        live.set_image(&image("2.0.0")).await;
        cluster.wait_recorded(&environment, "joined", "2.0.0").await;

        stranger.set_image(&image("2.0.0")).await;
        wait_recorded_for(&cluster, &environment, "joined", &[&ours, &theirs]).await;
        let record = cluster.wait_condition(&environment, "joined", ("Ready", "True", "Recorded")).await;
        assert_eq!(condition(&record, "Stranger"), None);
        assert_eq!(cluster.writes(&environment, "joined"), ["Deployed 1.0.0", "Deployed 2.0.0"]);

        // From now on they are one group.
        live.set_image(&image("3.0.0")).await;
        cluster.wait_condition(&environment, "joined", ("Ready", "False", "Mixed")).await;
        stays(&cluster, &environment, "joined", Some("2.0.0"), "the other runs it").await;
    })
    .await;
}

#[tokio::test]
async fn case_103_when_the_others_are_gone_their_record_is_taken_back_and_the_stranger_takes_over() {
    let cluster = TestCluster::shared().await;
    with_two_namespaces(&cluster, async |ours, theirs| {
        let grace = json!({"record": {"undeployGraceSeconds": 4}});
        let environment = cluster.environment(&[&ours, &theirs], grace).await;
        published(&cluster, "left", &["1.0.0", "9.0.0"]);
        let live = annotated("left", "left", "1.0.0").apply(&cluster.client(), &ours).await;
        cluster.wait_recorded(&environment, "left", "1.0.0").await;
        wait_recorded_for(&cluster, &environment, "left", &[&ours]).await;
        annotated("claims", "left", "9.0.0").apply(&cluster.client(), &theirs).await;
        cluster.wait_condition(&environment, "left", ("Stranger", "True", "Stranger")).await;

        // Deleted and made anew: the record is ours all the time.
        live.delete().await;
        cluster.wait_condition(&environment, "left", ("Orphaned", "True", "Orphaned")).await;
        let live = annotated("left", "left", "1.0.0").apply(&cluster.client(), &ours).await;
        let record = cluster.wait_condition(&environment, "left", ("Ready", "True", "Recorded")).await;
        assert!(condition(&record, "Stranger").is_some());
        assert_eq!(cluster.writes(&environment, "left"), ["Deployed 1.0.0"]);

        live.delete().await;
        cluster.wait_recorded(&environment, "left", "9.0.0").await;
        assert_eq!(cluster.writes(&environment, "left"), ["Deployed 1.0.0", "Undeployed 1.0.0", "Deployed 9.0.0"]);
        wait_recorded_for(&cluster, &environment, "left", &[&theirs]).await;
        let record = cluster.wait_condition(&environment, "left", ("Ready", "True", "Recorded")).await;
        assert_eq!(condition(&record, "Stranger"), None);
        assert_eq!(members(&record), [format!("{theirs} None")]);
    })
    .await;
}

#[tokio::test]
async fn case_102_a_stranger_without_pods_does_not_count_even_while_ours_have_none() {
    let cluster = TestCluster::shared().await;
    with_two_namespaces(&cluster, async |ours, theirs| {
        let environment = cluster.environment(&[&ours, &theirs], json!({})).await;
        published(&cluster, "asleep", &["1.0.0", "2.0.0", "9.0.0"]);
        let live = annotated("asleep", "asleep", "1.0.0").apply(&cluster.client(), &ours).await;
        cluster.wait_recorded(&environment, "asleep", "1.0.0").await;
        wait_recorded_for(&cluster, &environment, "asleep", &[&ours]).await;
        annotated("claims", "asleep", "9.0.0").replicas(0).apply(&cluster.client(), &theirs).await;
        let record = cluster.wait_condition(&environment, "asleep", ("Stranger", "True", "Stranger")).await;
        assert!(condition(&record, "Stranger").unwrap().message.contains("claims (9.0.0)"));
        // Without the rule neither would be recorded: nobody has pods, and nobody has what is recorded.
        live.set_replicas(0).await;
        live.set_image(&image("2.0.0")).await;
        cluster.wait_recorded(&environment, "asleep", "2.0.0").await;
        cluster.wait_condition(&environment, "asleep", ("Ready", "True", "Recorded")).await;
    })
    .await;
}

#[tokio::test]
async fn cases_103_and_104_an_application_instance_is_refused_where_the_environment_says_so_or_records_releases() {
    let cluster = TestCluster::shared().await;
    for (name, more) in [
        ("no-copies", json!({"version": {"applicationInstance": "Refuse"}})),
        ("no-copies-released", json!({"record": {"kind": "Release"}})),
    ] {
        with_namespace(&cluster.control_plane, async |namespace| {
            let environment = cluster.environment(&[&namespace], more).await;
            published(&cluster, name, &["1.0.0"]);
            let copy = annotated("copy", name, "1.0.0").annotation(APPLICATION_INSTANCE, "blue");
            let live = copy.apply(&cluster.client(), &namespace).await;
            let note = cluster.wait_event(&namespace, "copy", "ApplicationInstanceRefused").await;
            assert!(note.contains(APPLICATION_INSTANCE) && note.contains("remove"), "{note}");
            always("nothing to be recorded", A_WHILE, async || {
                let writes = cluster.writes(&environment, name);
                if writes.is_empty() { Ok(()) } else { Err(format!("{writes:?}")) }
            })
            .await;
            live.annotate(APPLICATION_INSTANCE, None).await;
            cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
        })
        .await;
    }
}

/// Runs a test with two new namespaces.
async fn with_two_namespaces(cluster: &TestCluster, test: impl AsyncFnOnce(String, String)) {
    with_namespace(&cluster.control_plane, async |ours| {
        with_namespace(&cluster.control_plane, async |theirs| test(ours, theirs).await).await;
    })
    .await;
}

/// The members of a record, each as its namespace and problem.
fn members(record: &PactDeployment) -> Vec<String> {
    let members = record.status.iter().flat_map(|status| &status.members);
    members.map(|member| format!("{} {:?}", member.namespace, member.problem)).collect()
}

/// The message of the condition `OwnersRespected`.
async fn owners_respected(cluster: &TestCluster, environment: &str) -> String {
    let object = Api::<PactEnvironment>::all(cluster.client()).get(environment).await.unwrap();
    let conditions = object.status.unwrap_or_default().conditions;
    conditions.into_iter().find(|it| it.type_ == "OwnersRespected").map(|it| it.message).unwrap_or_default()
}

async fn patch_owners(cluster: &TestCluster, environment: &str, owners: Value) {
    let patch = Patch::Merge(json!({"spec": {"owners": owners}}));
    Api::<PactEnvironment>::all(cluster.client()).patch(environment, &PatchParams::default(), &patch).await.unwrap();
}

/// Waits until a record is remembered for exactly these namespaces.
async fn wait_recorded_for(cluster: &TestCluster, environment: &str, pacticipant: &str, namespaces: &[&str]) {
    let mut wanted = namespaces.to_vec();
    wanted.sort_unstable();
    eventually(format!("{pacticipant} to be recorded for {wanted:?}"), SOON, async || {
        let record = cluster.record(environment, pacticipant).await.ok_or("no PactDeployment")?;
        let found = record.status.unwrap_or_default().recorded_for;
        if found == wanted { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}
