//! A Deployment that is only a template for an Argo Rollout or a Flagger Canary is never the source of a record.
//!
//! Only the definitions of these kinds are installed, not their controllers: the tests do what the controllers would
//! do.

use crate::objects::Objects as _;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use pact_operator::api::PactDeployment;

use super::recorder_asserts::{published, records, stays};
use testbed::control_plane::ControlPlane;
use testbed::crds::apply_crds;
use testbed::eventually::eventually;
use testbed::kubectl;
use testbed::rollout::deployment;
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::{SOON, TestCluster, annotated, image};
use testbed::workload::{Workload, daemon_set};

/// A test cluster in which both kinds are installed after the operator has started. Not [`TestCluster::shared`], whose
/// other tests should not see these kinds.
async fn cluster() -> InUse<TestCluster> {
    static CLUSTER: Shared<TestCluster> = Shared::new();
    CLUSTER
        .get(async || {
            let cluster = TestCluster::start().await;
            install_kinds(&cluster.control_plane).await;
            follows_both(&cluster).await;
            cluster
        })
        .await
}

/// Waits until the operator has objects of both kinds: it follows them a moment after it has seen the definitions.
async fn follows_both(cluster: &TestCluster) {
    cluster
        .with_namespace(async |namespace, environment| {
            published(cluster, "marker", &["1.0.0"]);
            rollout(cluster, &namespace, "used").await;
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "analysed"});
            let canary = foreign("flagger.app/v1beta1", "Canary", "analysed", &json!({"targetRef": target}));
            kubectl::apply(cluster.control_plane.kubeconfig(), &namespace, &canary).await;
            for name in ["used", "analysed", "ordinary"] {
                annotated(name, "marker", "1.0.0").apply(&cluster.client(), &namespace).await;
            }
            eventually("the operator to follow both kinds", SOON, async || {
                let members = members(cluster, &environment, "marker").await;
                let all = members.join(", ");
                let known =
                    all.contains(" ordinary ") && !all.contains("Deployment used") && !all.contains(" analysed ");
                if known { Ok(()) } else { Err(all) }
            })
            .await;
        })
        .await;
}

#[tokio::test]
async fn case_31_the_template_of_an_argo_rollout_is_not_recorded_until_the_rollout_is_gone() {
    let cluster = cluster().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "argo", &["2.0.0"]);
            rollout(&cluster, &namespace, "argo").await;
            let live = annotated("argo", "argo", "2.0.0").replicas(0).apply(&cluster.client(), &namespace).await;
            live.wait_complete().await;
            stays(&cluster, &environment, "argo", None, "not one pod of it runs").await;
            wait_members(&cluster, &environment, "argo", "Rollout argo 2.0.0 Progressing").await;

            delete(&cluster, &namespace, "rollouts.argoproj.io", "argo").await;
            cluster.wait_recorded(&environment, "argo", "2.0.0").await;
        })
        .await;
}

#[tokio::test]
async fn case_31_a_deployment_that_becomes_the_template_of_an_argo_rollout_keeps_its_record() {
    let cluster = cluster().await;
    testbed::namespace::with_namespace(&cluster.control_plane, async |namespace| {
        let environment = cluster.environment(&[&namespace], json!({"record": {"undeployGraceSeconds": 0}})).await;
        published(&cluster, "adopted", &["1.0.0", "2.0.0"]);
        let live = annotated("adopted", "adopted", "1.0.0").apply(&cluster.client(), &namespace).await;
        cluster.wait_recorded(&environment, "adopted", "1.0.0").await;
        cluster.wait_condition(&environment, "adopted", ("Ready", "True", "Recorded")).await;

        rollout(&cluster, &namespace, "adopted").await;
        wait_members(&cluster, &environment, "adopted", "Rollout adopted 1.0.0 Progressing").await;
        live.set_replicas(0).await;
        live.set_image(&image("2.0.0")).await;
        live.wait_complete().await;
        // The Rollout runs 1.0.0 on, and 2.0.0 when it has promoted it: the Deployment shows neither.
        stays(&cluster, &environment, "adopted", Some("1.0.0"), "the Deployment is only a template").await;
        assert_eq!(cluster.writes(&environment, "adopted"), ["Deployed 1.0.0"]);

        // Its controller has seen the Deployment as it was before, then as it is.
        let generation = live.get().await.metadata.generation.unwrap();
        let seen = |generation: i64| json!({"workloadObservedGeneration": generation.to_string()});
        revision(&cluster, &namespace, "adopted", "bbb", "2.0.0", 1).await;
        report(&cluster, &namespace, "adopted", &seen(generation - 1)).await;
        stays(&cluster, &environment, "adopted", Some("1.0.0"), "it looks whole, and is about another template").await;
        report(&cluster, &namespace, "adopted", &seen(generation)).await;
        cluster.wait_recorded(&environment, "adopted", "2.0.0").await;
        wait_members(&cluster, &environment, "adopted", "Rollout adopted 2.0.0 Complete").await;
    })
    .await;
}

#[tokio::test]
async fn an_unannotated_deployment_is_known_to_an_annotated_rollout_that_comes_to_use_its_template() {
    let cluster = cluster().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let name = "migrated";
            published(&cluster, name, &["1.0.0", "2.0.0"]);
            let live = deployment(name).image(&image("1.0.0")).apply(&cluster.client(), &namespace).await;
            live.wait_complete().await;
            let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
            let spec = json!({"replicas": 1, "workloadRef": reference});
            annotated_rollout(&cluster, &namespace, name, &spec).await;
            let said = cluster.wait_event(&namespace, name, "TemplateDiffers").await;
            assert!(said.contains("annotate it, and not the Rollout"), "{said}");

            // It is promoted to a version that the Deployment, which keeps its pods, does not run.
            let generation = live.get().await.metadata.generation.unwrap();
            revision(&cluster, &namespace, name, "bbb", "2.0.0", 1).await;
            let seen = json!({"workloadObservedGeneration": generation.to_string()});
            report(&cluster, &namespace, name, &seen).await;
            wait_members(&cluster, &environment, name, "Rollout migrated 2.0.0 Mixed").await;
            stays(&cluster, &environment, name, None, "pods of 1.0.0 are left").await;
        })
        .await;
}

#[tokio::test]
async fn case_86_a_rollout_is_recorded_once_it_is_promoted_and_never_what_it_aborted() {
    let cluster = cluster().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let name = "stepwise";
            published(&cluster, name, &["1.0.0", "2.0.0"]);
            let apply = async |version: &str| {
                let template = json!({"spec": {"containers": [{"name": "app", "image": image(version)}]}});
                let spec = json!({"replicas": 1, "template": template});
                annotated_rollout(&cluster, &namespace, name, &spec).await;
            };
            apply("1.0.0").await;
            stays(&cluster, &environment, name, None, "its controller has said nothing").await;
            revision(&cluster, &namespace, name, "aaa", "1.0.0", 1).await;
            let first = json!({"stableRS": "aaa", "currentPodHash": "aaa"});
            report(&cluster, &namespace, name, &first).await;
            cluster.wait_recorded(&environment, name, "1.0.0").await;

            apply("2.0.0").await;
            revision(&cluster, &namespace, name, "bbb", "2.0.0", 1).await;
            let canary = json!({"stableRS": "aaa", "currentPodHash": "bbb", "phase": "Paused", "replicas": 2,
                "pauseConditions": [{"reason": "CanaryPauseStep"}]});
            report(&cluster, &namespace, name, &canary).await;
            eventually("both versions to be known", SOON, async || {
                let status = cluster.record(&environment, name).await.ok_or("none")?.status.unwrap_or_default();
                let member = status.members.first().cloned().ok_or("no member")?;
                let known = (member.version.as_deref(), member.rollout.as_str()) == (Some("2.0.0"), "Paused")
                    && member.earlier_versions == ["1.0.0"];
                if known { Ok(()) } else { Err(format!("{member:?}")) }
            })
            .await;
            stays(&cluster, &environment, name, Some("1.0.0"), "two versions run").await;

            let aborted = json!({"stableRS": "aaa", "currentPodHash": "bbb", "phase": "Degraded", "abort": true,
                "updatedReplicas": 0});
            report(&cluster, &namespace, name, &aborted).await;
            revision(&cluster, &namespace, name, "bbb", "2.0.0", 0).await;
            cluster.wait_condition(&environment, name, ("Ready", "True", "Recorded")).await;
            wait_members(&cluster, &environment, name, "Rollout stepwise 1.0.0 Complete").await;

            report(&cluster, &namespace, name, &json!({"stableRS": "bbb", "currentPodHash": "bbb"})).await;
            cluster.wait_recorded(&environment, name, "2.0.0").await;
            assert_eq!(cluster.writes(&environment, name), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

/// A cluster of its own: a definition takes the objects of every other test with it.
#[tokio::test]
async fn a_rollout_whose_definition_is_deleted_is_undeployed_after_the_grace() {
    let cluster = TestCluster::start().await;
    install_kinds(&cluster.control_plane).await;
    testbed::namespace::with_namespace(&cluster.control_plane, async |namespace| {
        let environment = cluster.environment(&[&namespace], json!({"record": {"undeployGraceSeconds": 1}})).await;
        published(&cluster, "uninstalled", &["2.0.0"]);
        let kubeconfig = cluster.control_plane.kubeconfig();
        let runs = async || {
            let template = json!({"spec": {"containers": [{"name": "app", "image": image("2.0.0")}]}});
            let spec = json!({"replicas": 1, "template": template});
            annotated_rollout(&cluster, &namespace, "uninstalled", &spec).await;
            revision(&cluster, &namespace, "uninstalled", "bbb", "2.0.0", 1).await;
            report(&cluster, &namespace, "uninstalled", &json!({})).await;
            cluster.wait_recorded(&environment, "uninstalled", "2.0.0").await;
        };
        runs().await;
        kubectl::kubectl_ok(kubeconfig, &["delete", "customresourcedefinition", "rollouts.argoproj.io"]).await;
        // As the garbage collector does once it knows that the kind is gone.
        kubectl::kubectl_ok(kubeconfig, &["delete", "replicaset", "uninstalled-bbb", "-n", &namespace]).await;
        cluster.wait_condition(&environment, "uninstalled", ("Ready", "True", "Undeployed")).await;
        assert_eq!(cluster.recorded(&environment, "uninstalled"), None);
        // Installed again, it is followed again.
        install_kinds(&cluster.control_plane).await;
        runs().await;
    })
    .await;
}

#[tokio::test]
async fn case_71_a_flagger_canary_is_recorded_from_its_primary_with_the_annotations_of_its_target() {
    let cluster = cluster().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "canary", &["1.0.0", "2.0.0"]);
            let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"});
            let canary = foreign("flagger.app/v1beta1", "Canary", "shop", &json!({"targetRef": target}));
            kubectl::apply(cluster.control_plane.kubeconfig(), &namespace, &canary).await;
            let uid = kubectl::kubectl_ok(
                cluster.control_plane.kubeconfig(),
                &["get", "canaries.flagger.app", "shop", "-n", &namespace, "-o", "jsonpath={.metadata.uid}"],
            )
            .await;
            let owner = json!([{
                "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "shop", "uid": uid, "controller": true,
            }]);
            let primary = deployment("shop-primary").image(&image("1.0.0"));
            let primary = primary.with(|manifest| manifest["metadata"]["ownerReferences"] = owner);
            let primary = primary.apply(&cluster.client(), &namespace).await;
            let shop = annotated("shop", "canary", "1.0.0").replicas(0).apply(&cluster.client(), &namespace).await;
            cluster.wait_recorded(&environment, "canary", "1.0.0").await;

            // The team applies 2.0.0: it is analysed, then promoted.
            shop.set_image(&image("2.0.0")).await;
            shop.set_replicas(1).await;
            shop.wait_complete().await;
            stays(&cluster, &environment, "canary", Some("1.0.0"), "2.0.0 is only analysed").await;
            primary.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "canary", "2.0.0").await;
            assert_eq!(cluster.writes(&environment, "canary"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
            let all = Api::<PactDeployment>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
            let record = all.into_iter().find(|one| one.spec.environment == environment).unwrap();
            let members: Vec<_> = record.status.unwrap().members.into_iter().map(|member| member.name).collect();
            assert_eq!(members, ["shop-primary"]);
        })
        .await;
}

#[tokio::test]
async fn case_71_a_flagger_canary_of_a_daemon_set_is_recorded_from_its_primary() {
    let cluster = cluster().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "agent", &["1.0.0", "2.0.0"]);
            let target = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent"});
            let canary = foreign("flagger.app/v1beta1", "Canary", "agent", &json!({"targetRef": target}));
            kubectl::apply(cluster.control_plane.kubeconfig(), &namespace, &canary).await;
            let uid = kubectl::kubectl_ok(
                cluster.control_plane.kubeconfig(),
                &["get", "canaries.flagger.app", "agent", "-n", &namespace, "-o", "jsonpath={.metadata.uid}"],
            )
            .await;
            let owner = json!([{
                "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "agent", "uid": uid, "controller": true,
            }]);
            let primary = daemon_set("agent-primary").image(&image("1.0.0"));
            let primary = primary.with(|manifest| manifest["metadata"]["ownerReferences"] = owner);
            let primary = Workload::apply(&cluster.client(), &namespace, &primary).await;
            // Flagger takes a DaemonSet's pods away by a selector that no node satisfies.
            let agent = daemon_set("agent").image(&image("1.0.0")).annotation("pact-operator.dev/pacticipant", "agent");
            let agent = agent.with(|manifest| {
                manifest["spec"]["template"]["spec"]["nodeSelector"] = json!({"flagger.app/scale-to-zero": "true"});
            });
            let agent = Workload::apply(&cluster.client(), &namespace, &agent).await;
            cluster.wait_recorded(&environment, "agent", "1.0.0").await;

            agent.set_image(&image("2.0.0")).await;
            stays(&cluster, &environment, "agent", Some("1.0.0"), "2.0.0 is in no pod, though it looks finished").await;
            primary.set_image(&image("2.0.0")).await;
            cluster.wait_recorded(&environment, "agent", "2.0.0").await;
            let record = records(&cluster, &environment).await.remove(0);
            let members = record.status.unwrap().members.into_iter();
            let members: Vec<_> = members.map(|member| format!("{} {}", member.kind, member.name)).collect();
            assert_eq!(members, ["DaemonSet agent-primary"]);
            assert_eq!(cluster.writes(&environment, "agent"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
        })
        .await;
}

/// Makes the API server know both kinds.
pub(super) async fn install_kinds(control_plane: &ControlPlane) {
    let rollouts = definition("argoproj.io", "v1alpha1", "Rollout", "rollouts");
    let canaries = definition("flagger.app", "v1beta1", "Canary", "canaries");
    apply_crds(control_plane, &format!("{rollouts}\n---\n{canaries}")).await;
}

/// A definition that accepts any object.
pub(super) fn definition(group: &str, version: &str, kind: &str, plural: &str) -> String {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
            "versions": [{
                "name": version, "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
    .to_string()
}

pub(super) fn foreign(api_version: &str, kind: &str, name: &str, spec: &Value) -> String {
    json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}).to_string()
}

/// An Argo Rollout that takes the template of the Deployment of its name.
async fn rollout(cluster: &TestCluster, namespace: &str, name: &str) {
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let rollout = foreign("argoproj.io/v1alpha1", "Rollout", name, &json!({"workloadRef": reference}));
    kubectl::apply(cluster.control_plane.kubeconfig(), namespace, &rollout).await;
}

/// A Rollout with this spec, annotated with the pacticipant of its name.
async fn annotated_rollout(cluster: &TestCluster, namespace: &str, name: &str, spec: &Value) {
    let mut rollout: Value = serde_json::from_str(&foreign("argoproj.io/v1alpha1", "Rollout", name, spec)).unwrap();
    rollout["metadata"]["annotations"] = json!({"pact-operator.dev/pacticipant": name});
    kubectl::apply(cluster.control_plane.kubeconfig(), namespace, &rollout.to_string()).await;
}

/// Reports of a Rollout what its controller would of one that is whole, but for this.
async fn report(cluster: &TestCluster, namespace: &str, name: &str, changes: &Value) {
    let kubeconfig = cluster.control_plane.kubeconfig();
    let resource = "rollouts.argoproj.io";
    let generation = ["get", resource, name, "-n", namespace, "-o", "jsonpath={.metadata.generation}"];
    // The definition has no status subresource: this write is a generation of its own.
    let generation: i64 = kubectl::kubectl_ok(kubeconfig, &generation).await.parse().unwrap();
    let mut status = json!({
        "observedGeneration": (generation + 1).to_string(), "phase": "Healthy", "stableRS": "bbb", "currentPodHash": "bbb",
        "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "abort": false, "pauseConditions": null,
        "conditions": [{"type": "Healthy", "status": "True"}],
    });
    status.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let patch = json!({"status": status}).to_string();
    kubectl::kubectl_ok(kubeconfig, &["patch", resource, name, "-n", namespace, "--type=merge", "-p", &patch]).await;
}

/// The `ReplicaSet` of a Rollout with this hash, with this many pods.
async fn revision(cluster: &TestCluster, namespace: &str, rollout: &str, hash: &str, version: &str, pods: i32) {
    let kubeconfig = cluster.control_plane.kubeconfig();
    let uid = ["get", "rollouts.argoproj.io", rollout, "-n", namespace, "-o", "jsonpath={.metadata.uid}"];
    let uid = kubectl::kubectl_ok(kubeconfig, &uid).await;
    let labels = json!({"rollouts-pod-template-hash": hash, "app": rollout});
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": format!("{rollout}-{hash}"), "labels": labels,
            "ownerReferences": [{
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": rollout, "uid": uid, "controller": true,
            }],
        },
        "spec": {
            "replicas": pods, "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{"name": "app", "image": image(version)}]},
            },
        },
    });
    kubectl::apply(kubeconfig, namespace, &set.to_string()).await;
}

/// The members of a record: kind, name, version, state.
async fn members(cluster: &TestCluster, environment: &str, pacticipant: &str) -> Vec<String> {
    let status = cluster.record(environment, pacticipant).await.and_then(|record| record.status).unwrap_or_default();
    let shown = |member: pact_operator::api::deployment::Member| {
        let version = member.version.unwrap_or_default();
        format!("{} {} {version} {}", member.kind, member.name, member.rollout)
    };
    status.members.into_iter().map(shown).collect()
}

/// Waits until a record has this member and no other.
async fn wait_members(cluster: &TestCluster, environment: &str, pacticipant: &str, member: &str) {
    eventually(format!("{member} to be the member of {pacticipant}"), SOON, async || {
        let members = members(cluster, environment, pacticipant).await;
        if members == [member] { Ok(()) } else { Err(format!("{members:?}")) }
    })
    .await;
}

async fn delete(cluster: &TestCluster, namespace: &str, kind: &str, name: &str) {
    kubectl::kubectl_ok(cluster.control_plane.kubeconfig(), &["delete", kind, name, "-n", namespace]).await;
}
