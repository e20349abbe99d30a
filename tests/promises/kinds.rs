//! `StatefulSet`s and `DaemonSet`s are recorded as Deployments are: when their rollout has really finished.

use pact_operator::workload::WorkloadKind;
use serde_json::json;

use crate::kinds_setup::OTHERS;
use crate::objects::Objects as _;
use crate::recorder_asserts::{published, stays};
use testbed::eventually::eventually;
use testbed::namespace::with_namespace;
use testbed::rollout::Rollout;
use testbed::test_cluster::{SOON, TestCluster, annotated, image};
use testbed::workload::Workload;

#[tokio::test]
async fn a_rollout_of_each_kind_is_recorded_when_and_only_when_it_has_finished_and_so_is_its_rollback() {
    let cluster = TestCluster::shared().await;
    for tested in OTHERS {
        cluster
            .with_namespace(async |namespace, environment| {
                let name = &tested.name("rolled");
                published(&cluster, name, &["2.0.0"]);
                let live = tested.deployed(&cluster, &namespace, &environment, name).await;

                Workload::apply(&cluster.client(), &namespace, &tested.of(name, "2.0.0").held()).await;
                live.wait("its first new pod", |object| {
                    tested.numbers(object).is_some_and(|[_, updated, _]| updated > 0)
                })
                .await;
                stays(&cluster, &environment, name, Some("1.0.0"), "2.0.0 still rolls out").await;
                cluster.wait_condition(&environment, name, ("Ready", "False", "RolloutInProgress")).await;
                tested.release_until_complete(&live).await;
                cluster.wait_recorded(&environment, name, "2.0.0").await;
                let note = cluster.wait_event(&namespace, name, "Recorded").await;
                assert!(note.contains(name.as_str()), "{note}");
                let record = cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
                let members = record.status.unwrap().members.into_iter();
                let members: Vec<_> = members.map(|member| (member.kind, member.name, member.rollout)).collect();
                assert_eq!(members, [(tested.kind.kind().to_owned(), name.clone(), "Complete".to_owned())]);

                // The pods of 1.0.0 are not held.
                live.undo(cluster.control_plane.kubeconfig()).await;
                cluster.wait_recorded(&environment, name, "1.0.0").await;
                assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0", "Deployed 2.0.0", "Deployed 1.0.0"]);
            })
            .await;
    }
}

#[tokio::test]
async fn one_of_each_kind_that_is_deleted_is_undeployed_after_the_grace() {
    let cluster = TestCluster::shared().await;
    for tested in OTHERS {
        with_namespace(&cluster.control_plane, async |namespace| {
            let grace = json!({"record": {"undeployGraceSeconds": 4}});
            let environment = cluster.environment(&[&namespace], grace).await;
            let name = &tested.name("deleted");
            let live = tested.deployed(&cluster, &namespace, &environment, name).await;
            live.delete().await;
            cluster.wait_condition(&environment, name, ("Orphaned", "True", "Orphaned")).await;
            assert_eq!(cluster.recorded(&environment, name).as_deref(), Some("1.0.0"), "not before the grace");
            cluster.wait_condition(&environment, name, ("Ready", "True", "Undeployed")).await;
            assert_eq!(cluster.recorded(&environment, name), None);
            assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0", "Undeployed 1.0.0"]);
        })
        .await;
    }
}

#[tokio::test]
async fn with_on_delete_each_kind_is_recorded_when_the_last_old_pod_was_deleted() {
    let cluster = TestCluster::shared().await;
    for tested in OTHERS {
        cluster
            .with_namespace(async |namespace, environment| {
                let name = &tested.name("by-hand");
                published(&cluster, name, &["1.0.0", "2.0.0"]);
                let client = cluster.client();
                let live = Workload::apply(&client, &namespace, &tested.on_delete(name, "1.0.0")).await;
                cluster.wait_recorded(&environment, name, "1.0.0").await;

                Workload::apply(&client, &namespace, &tested.on_delete(name, "2.0.0")).await;
                for replaced in 0..tested.pods() {
                    live.wait("the new pods so far", |object| {
                        let (all, so_far) = (tested.pods() as u64, replaced as u64);
                        tested.numbers(object) == Some([all, so_far, all])
                    })
                    .await;
                    assert_eq!(
                        cluster.recorded(&environment, name).as_deref(),
                        Some("1.0.0"),
                        "{replaced} are replaced"
                    );
                    if replaced + 1 == tested.pods() {
                        stays(&cluster, &environment, name, Some("1.0.0"), "an old pod is left").await;
                    }
                    live.delete_a_pod_of(&image("1.0.0")).await;
                }
                let object = tested.wait_complete(&live).await;
                cluster.wait_recorded(&environment, name, "2.0.0").await;
                assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0", "Deployed 2.0.0"]);
                if tested.kind == WorkloadKind::StatefulSet {
                    let status = &object["status"];
                    assert_ne!(
                        status["currentRevision"], status["updateRevision"],
                        "the revisions do not show that the rollout is finished; the numbers do"
                    );
                }
            })
            .await;
    }
}

#[tokio::test]
async fn a_partition_that_keeps_old_pods_is_mixed_and_recorded_once_it_is_zero() {
    let cluster = TestCluster::shared().await;
    let tested = OTHERS[0];
    cluster
        .with_namespace(async |namespace, environment| {
            let name = &tested.name("partitioned");
            published(&cluster, name, &["2.0.0"]);
            let live = tested.deployed(&cluster, &namespace, &environment, name).await;

            Workload::apply(&cluster.client(), &namespace, &partitioned(tested.of(name, "2.0.0"), 2)).await;
            live.wait("its last pod to be updated", |object| tested.numbers(object) == Some([3, 1, 3])).await;
            let record = cluster.wait_condition(&environment, name, ("Mixed", "True", "Mixed")).await;
            let status = record.status.unwrap();
            assert_eq!(status.members[0].rollout, "Mixed");
            let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
            let message =
                format!("StatefulSet {namespace}/{name}: the partition keeps 2 of 3 pods at the version before");
            assert!(ready.status == "False" && ready.message.starts_with(&message), "{ready:?}");
            stays(&cluster, &environment, name, Some("1.0.0"), "both versions are live").await;

            Workload::apply(&cluster.client(), &namespace, &partitioned(tested.of(name, "2.0.0"), 0)).await;
            cluster.wait_recorded(&environment, name, "2.0.0").await;
            let record = cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
            let conditions = record.status.unwrap().conditions;
            assert!(conditions.iter().all(|condition| condition.type_ != "Mixed"), "{conditions:?}");
            assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

#[tokio::test]
async fn zero_pods_wanted_and_zero_left_is_finished_for_each_kind() {
    let cluster = TestCluster::shared().await;
    for tested in OTHERS {
        cluster
            .with_namespace(async |namespace, environment| {
                let name = &tested.name("nowhere");
                published(&cluster, name, &["2.0.0"]);
                let live = tested.deployed(&cluster, &namespace, &environment, name).await;
                let mut nowhere = json!({"template": {"spec": {"nodeSelector": {"no": "such-node"}}}});
                if tested.kind == WorkloadKind::StatefulSet {
                    nowhere = json!({"replicas": 0});
                }
                live.patch(json!({"spec": nowhere})).await;
                live.wait("its pods to be gone", |object| tested.numbers(object) == Some([0; 3])).await;
                live.set_image(&image("2.0.0")).await;
                cluster.wait_recorded(&environment, name, "2.0.0").await;
                let record = cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
                assert_eq!(record.status.unwrap().members[0].rollout, "ScaledToZero");
            })
            .await;
    }
}

#[tokio::test]
async fn case_35_workloads_of_several_kinds_and_one_name_are_a_group() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let name = "several";
            published(&cluster, name, &["1.0.0", "2.0.0"]);
            let client = cluster.client();
            let one = annotated(name, name, "1.0.0").pod_label("app", "several-one");
            let one = one.with(|manifest| manifest["spec"]["selector"]["matchLabels"]["app"] = json!("several-one"));
            let one = one.apply(&client, &namespace).await;
            cluster.wait_recorded(&environment, name, "1.0.0").await;
            let tested = OTHERS[1];
            let other = Workload::apply(&client, &namespace, &tested.of(name, "2.0.0")).await;
            tested.wait_complete(&other).await;
            let record = cluster.wait_condition(&environment, name, ("Mixed", "True", "Mixed")).await;
            let members = record.status.unwrap().members.into_iter();
            let members: Vec<_> = members.map(|it| format!("{} {}", it.kind, it.version.unwrap())).collect();
            assert_eq!(members, ["Deployment 1.0.0", "DaemonSet 2.0.0"]);
            stays(&cluster, &environment, name, Some("1.0.0"), "the two differ").await;
            one.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, name, "2.0.0").await;
            // The remaining member of the group still runs the version.
            one.delete().await;
            eventually("the DaemonSet to be the only member", SOON, async || {
                let members =
                    cluster.record(&environment, name).await.ok_or("none")?.status.unwrap_or_default().members;
                let kinds: Vec<_> = members.into_iter().map(|member| member.kind).collect();
                if kinds == ["DaemonSet"] { Ok(()) } else { Err(format!("{kinds:?}")) }
            })
            .await;
            assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

fn partitioned(rollout: Rollout, partition: u32) -> Rollout {
    let strategy = json!({"type": "RollingUpdate", "rollingUpdate": {"partition": partition}});
    rollout.with(|manifest| manifest["spec"]["updateStrategy"] = strategy)
}
