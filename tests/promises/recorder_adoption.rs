//! What earlier versions of the operator left under other names is adopted, and what nobody needs any more is deleted.

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::{ListParams, PostParams};
use pact_operator::api::names::{EnvironmentName, Pacticipant};
use pact_operator::api::{PactDeployment, PactDeploymentStatus};
use pact_operator::workload::{EnvironmentRef, RecordKey};
use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::test_cluster::{BROKER, SOON, TestCluster, annotated, quick};

use crate::objects::Objects as _;

fn key(environment: &str, pacticipant: &str) -> RecordKey {
    RecordKey {
        environment_ref: EnvironmentRef {
            broker: BROKER.into(),
            environment: EnvironmentName::parse(environment).unwrap(),
        },
        pacticipant: Pacticipant::parse(pacticipant).unwrap(),
        instance: None,
    }
}

/// Makes an object of this name, as an operator that ended in the middle, or another version of it, leaves it.
async fn leave(cluster: &TestCluster, key: &RecordKey, name: &str, status: Option<Value>) {
    let api = Api::<PactDeployment>::all(cluster.client());
    let mut object = api.create(&PostParams::default(), &PactDeployment::new(name, key.spec())).await.unwrap();
    if let Some(status) = status {
        object.status = Some(serde_json::from_value::<PactDeploymentStatus>(status).unwrap());
        api.replace_status(name, &PostParams::default(), &object).await.unwrap();
    }
}

fn days_ago(days: i64) -> String {
    Timestamp::now().checked_sub(SignedDuration::from_hours(24 * days)).unwrap().to_string()
}

fn versions(status: &PactDeploymentStatus) -> Vec<&str> {
    status.history.iter().map(|recorded| recorded.version.as_str()).collect()
}

/// The status of a record that has 3 recorded, in this row, and had 2 and 1 before.
fn known(row: &str) -> Value {
    json!({
        "recorded": {"version": "3", "uuid": row, "at": days_ago(1)},
        "history": [{"version": "2", "at": days_ago(2)}, {"version": "1", "at": days_ago(3), "wouldDeny": false}],
    })
}

/// Waits until a record is settled under its own name, with its history, as the operator's own, and nothing is left under
/// the former name.
async fn wait_adopted(cluster: &TestCluster, environment: &str, pacticipant: &str) {
    let key = key(environment, pacticipant);
    eventually(format!("{pacticipant} to be adopted"), SOON, async || {
        let all = Api::<PactDeployment>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
        let ours: Vec<_> = all.iter().filter(|one| one.spec == key.spec()).collect();
        let names: Vec<_> = ours.iter().filter_map(|one| one.metadata.name.clone()).collect();
        let status = ours.last().and_then(|one| one.status.clone()).unwrap_or_default();
        let recorded = status.recorded.as_ref().map(|recorded| (recorded.version.as_str(), recorded.found));
        let settled = status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        let right = names == [key.object_name()] && recorded == Some(("3", false)) && versions(&status) == ["2", "1"];
        if right && settled { Ok(()) } else { Err(format!("{names:?} {status:?}")) }
    })
    .await;
}

#[tokio::test]
async fn case_115_what_was_written_under_former_names_is_adopted_with_its_history_wherever_that_was_interrupted() {
    let mut cluster = TestCluster::without_operator().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let all = ["untouched", "made", "copied", "returned"];
    for name in all {
        let key = key(&environment, name);
        let row = cluster.broker.store().record_deployment(name, "3", &environment, None);
        annotated(name, name, "3").replicas(0).apply(&cluster.client(), &namespace).await;
        let (ours, former) = (key.object_name(), key.former_object_name());
        // Another version of the operator that began anew: it has no history, and found the row.
        let anew = json!({"recorded": {"version": "3", "uuid": row, "at": days_ago(0), "found": true}});
        let left = match name {
            "untouched" => vec![(&former, Some(known(&row)))],
            "made" => vec![(&former, Some(known(&row))), (&ours, None)],
            "copied" => vec![(&former, Some(known(&row))), (&ours, Some(known(&row)))],
            _ => vec![(&ours, Some(known(&row))), (&former, Some(anew))],
        };
        for (name, status) in left {
            leave(&cluster, &key, name, status).await;
        }
    }
    cluster.start_operator(quick()).await;
    for name in all {
        wait_adopted(&cluster, &environment, name).await;
        assert_eq!(cluster.writes(&environment, name), [""; 0], "nothing had to be written at the broker");
    }

    // Another version of the operator leads once more, beside this one.
    let key = key(&environment, "untouched");
    let row = cluster.broker.store().current(&environment, "untouched")[0].uuid.clone();
    let anew = json!({"recorded": {"version": "3", "uuid": row, "at": days_ago(0), "found": true}});
    leave(&cluster, &key, &key.former_object_name(), Some(anew)).await;
    wait_adopted(&cluster, &environment, "untouched").await;
}

#[tokio::test]
async fn case_115_records_of_which_only_old_history_is_left_are_deleted() {
    let mut cluster = TestCluster::without_operator().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let left = |days: i64| {
        let undeployed = json!({"type": "Ready", "status": "True", "reason": "Undeployed", "message": "",
                                "lastTransitionTime": days_ago(days)});
        json!({"history": [{"version": "1", "at": days_ago(400)}], "conditions": [undeployed]})
    };
    for (name, days) in [("old", 91), ("recent", 89)] {
        let key = key(&environment, name);
        leave(&cluster, &key, &key.object_name(), Some(left(days))).await;
    }
    // An environment that no PactEnvironment records in any more.
    let unmanaged = key("unmanaged", "old");
    leave(&cluster, &unmanaged, &unmanaged.object_name(), Some(left(91))).await;
    cluster.start_operator(quick()).await;
    for environment in [environment.as_str(), "unmanaged"] {
        eventually(format!("the old record in {environment} to be deleted"), SOON, async || {
            let object = cluster.record(environment, "old").await;
            object.map_or(Ok(()), |object| Err(format!("{object:?}")))
        })
        .await;
    }
    assert!(cluster.record(&environment, "recent").await.is_some());
}
