use serde_json::{Value, json};

use super::*;
use crate::workload::{DeploymentView, RolloutState, identify};

fn now() -> Timestamp {
    "2026-11-23T10:00:00Z".parse().unwrap()
}

fn view(deployment: Value) -> DeploymentView {
    serde_json::from_value(deployment).unwrap()
}

/// A Deployment as an API server sends it.
fn real() -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "9e0e", "generation": 4, "resourceVersion": "77",
            "creationTimestamp": "2026-11-20T08:00:00Z",
            "annotations": {
                "pact-operator.dev/pacticipant": "Order Service, orders",
                "pact-operator.dev/container": "app",
                "pact-operator.dev/version": "1.2.3",
                "pact-operator.dev/application-instance": "eu",
                "pact-operator.dev/bypass": "1.2.3 the shop is down",
                "kubectl.kubernetes.io/last-applied-configuration": "{}",
                "deployment.kubernetes.io/revision": "4",
            },
            "labels": {"app": "orders", "app.kubernetes.io/version": "1.2"},
            "finalizers": ["example.com/keep"],
            "managedFields": [{"manager": "kubectl", "operation": "Apply", "apiVersion": "apps/v1"}],
        },
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "orders"}},
            "strategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": {"app": "orders"}, "annotations": {"pact-operator.dev/pacticipant": "not here"}},
                "spec": {
                    "initContainers": [{"name": "proxy", "image": "proxy:9", "restartPolicy": "Always"}],
                    "containers": [
                        {"name": "app", "image": "reg:5000/orders:1.2.3", "env": [{"name": "A", "value": "b"}]},
                        {"name": "log", "image": "log:5"},
                    ],
                    "terminationGracePeriodSeconds": 60,
                },
            },
        },
        "status": {
            "observedGeneration": 4, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2,
            "conditions": [{
                "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "done",
                "lastUpdateTime": "2026-11-23T09:00:00Z", "lastTransitionTime": "2026-11-23T08:00:00Z",
            }],
        },
    })
}

#[test]
fn a_real_deployment_is_observed() {
    let workload = view(real()).observe(now());
    assert_eq!(workload.reference.to_string(), "Deployment shop/orders");
    assert_eq!((workload.uid.as_str(), workload.generation), ("9e0e", 4));
    assert_eq!(
        workload.annotations,
        PactAnnotations {
            pacticipant: Some("Order Service, orders".into()),
            container: Some("app".into()),
            version: Some("1.2.3".into()),
            application_instance: Some("eu".into()),
            bypass: Some("1.2.3 the shop is down".into()),
            held: None,
        }
    );
    assert_eq!(workload.version_label.as_deref(), Some("1.2"));
    assert_eq!(workload.rollout, RolloutState::Complete);
    assert!(workload.annotated() && !workload.deleting && workload.canary_owner.is_none());
}

#[test]
fn case_22_init_containers_and_native_sidecars_do_not_count() {
    let workload = view(real()).observe(now());
    let names: Vec<_> = workload.containers.iter().map(|container| container.name.as_str()).collect();
    assert_eq!(names, ["app", "log"]);
    assert_eq!(workload.containers[0].image, "reg:5000/orders:1.2.3");
}

#[test]
fn annotations_of_the_pod_template_are_not_ours() {
    let mut deployment = real();
    deployment["metadata"]["annotations"] = json!({});
    let workload = view(deployment).observe(now());
    assert!(!workload.annotated());
    assert_eq!(identify(&workload, &crate::workload::VersionRules::default()), Ok(None));
}

#[test]
fn what_the_operator_does_not_read_is_not_kept() {
    let kept = view(real()).metadata;
    assert!(kept.managed_fields.is_none() && kept.finalizers.is_none());
    assert_eq!(kept.annotations.as_ref().map(std::collections::BTreeMap::len), Some(5));
    assert_eq!(kept.labels.as_ref().map(std::collections::BTreeMap::len), Some(1));
    assert_eq!(kept.resource_version.as_deref(), Some("77"), "the watch goes on from it");
    let foreign = view(json!({"metadata": {"annotations": {"a": "b"}, "labels": {"c": "d"}}})).metadata;
    assert_eq!((foreign.annotations, foreign.labels), (None, None));
}

#[test]
fn case_87_the_default_container_is_read_from_the_pod_template() {
    let mut deployment = real();
    let annotations = &mut deployment["spec"]["template"]["metadata"]["annotations"];
    annotations["kubectl.kubernetes.io/default-container"] = json!("app");
    assert_eq!(view(deployment).observe(now()).default_container.as_deref(), Some("app"));
    let mut elsewhere = real();
    elsewhere["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] = json!("app");
    assert_eq!(view(elsewhere).observe(now()).default_container, None, "it belongs on the pods");
}

#[test]
fn anything_may_be_missing() {
    for deployment in [
        json!({}),
        json!({"metadata": {}}),
        json!({"metadata": {}, "spec": null, "status": null}),
        json!({"metadata": {}, "spec": {"template": null}, "status": {"conditions": null}}),
        json!({"metadata": {}, "spec": {"template": {"spec": {"containers": null}}}, "status": {"conditions": [{}]}}),
        json!({"metadata": {}, "spec": {"template": {"spec": {"containers": [{}]}}}}),
    ] {
        let workload = view(deployment.clone()).observe(now());
        assert!(!workload.rollout.finished() && !workload.annotated(), "{deployment}");
    }
}

#[test]
fn case_71_a_primary_is_known_by_the_canary_that_controls_it() {
    let owned = |api: &str, kind: &str, controller: bool| {
        let mut deployment = real();
        deployment["metadata"]["ownerReferences"] =
            json!([{"apiVersion": api, "kind": kind, "name": "orders", "uid": "c1", "controller": controller}]);
        view(deployment).observe(now()).canary_owner
    };
    let canary = CanaryOwner { name: "orders".into(), uid: "c1".into(), unpromoted: false };
    assert_eq!(owned("flagger.app/v1beta1", "Canary", true), Some(canary));
    assert_eq!(owned("flagger.app/v1beta1", "Canary", false), None, "owns, but does not control");
    assert_eq!(owned("example.com/v1", "Canary", true), None, "another project's kind of that name");
    assert_eq!(owned("apps/v1", "ReplicaSet", true), None);
}

#[test]
fn the_kind_is_what_kubernetes_calls_it() {
    assert_eq!(DeploymentView::KIND.kind(), <DeploymentView as kube::Resource>::kind(&()));
    assert_eq!(DeploymentView::KIND.api_version(), <DeploymentView as kube::Resource>::api_version(&()));
    assert_eq!(<DeploymentView as kube::Resource>::plural(&()), "deployments");
}
