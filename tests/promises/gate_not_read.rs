//! What somebody wrote for the operator and the operator does not read is said at admission and by an Event.

use kube::Api;
use pact_operator::decide::Reason;
use serde_json::{Value, json};

use super::gate_setup::GateSetup;
use super::recorder_templates::definition;
use testbed::crds::apply_crds;
use testbed::eventually::eventually;
use testbed::rollout::{Rollout, deployment};
use testbed::test_cluster::{SOON, annotated, image};

const PACTICIPANT: &str = "pact-operator.dev/pacticipant";

#[tokio::test]
async fn case_85_a_key_that_is_not_read_is_said_at_admission_by_an_event_and_counted() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Audit"})).await;
    let namespace = &environment.namespace;
    let plain = |name: &str| deployment(name).image(&image("1.0.0")).replicas(1);
    let misspelt = "the annotation pact-operator.dev/pacticipent is not read: pact-operator.dev/pacticipant is";
    let cases: [(Rollout, &str); 4] = [
        (plain("misspelt").annotation("pact-operator.dev/pacticipent", "misspelt"), misspelt),
        (
            plain("labelled").label(PACTICIPANT, "labelled"),
            "the label pact-operator.dev/pacticipant is not read: make it an annotation",
        ),
        (
            plain("on-pods").pod_annotation(PACTICIPANT, "on-pods"),
            "pact-operator.dev/pacticipant on the pod template is not read: annotate the workload itself",
        ),
        (
            annotated("beside", "beside", "1.0.0").annotation("pact-operator.dev/versoin", "1.0.0"),
            "the annotation pact-operator.dev/versoin is not read: pact-operator.dev/version is",
        ),
    ];
    for (rollout, expected) in &cases {
        let manifest = rollout.manifest();
        let name = manifest["metadata"]["name"].as_str().unwrap();
        let output = setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest.to_string()).await;
        assert_eq!((output.code, output.warnings()), (0, vec![*expected]), "{name}: {output:?}");
        assert_eq!(setup.cluster.wait_event(namespace, name, Reason::KeyIgnored.as_str()).await, *expected, "{name}");
    }
    eventually("the keys to be counted", SOON, async || {
        let metrics = setup.cluster.operators[0].metrics().await;
        let line = metrics.lines().find(|line| line.starts_with("pact_operator_workloads_with_stray_keys "));
        let count = line.and_then(|line| line.split(' ').nth(1)?.parse::<u32>().ok());
        if count >= Some(4) { Ok(()) } else { Err(format!("{line:?}")) }
    })
    .await;

    // `kubectl annotate` is when most people make the mistake; what changes neither keys nor version says nothing.
    setup.kubectl_reading(namespace, &["apply", "-f", "-"], &plain("later").manifest().to_string()).await.silent();
    let annotate = ["annotate", "deployment/later", "pact-operator.dev/pacticipent=later"];
    assert_eq!(setup.kubectl(namespace, &annotate).await.warnings(), [misspelt]);
    setup.kubectl(namespace, &["scale", "deployment/later", "--replicas=0"]).await.silent();
    setup.kubectl(namespace, &["rollout", "restart", "deployment/later"]).await.silent();
    assert_eq!(setup.set_version(namespace, "later", "2.0.0", &[]).await.warnings(), [misspelt]);
    setup.kubectl(namespace, &["annotate", "deployment/later", "pact-operator.dev/pacticipent-"]).await.silent();
}

#[tokio::test]
async fn case_86_an_annotated_workload_of_a_kind_that_is_not_handled_is_said() {
    let setup = GateSetup::shared().await;
    let knative = definition("serving.knative.dev", "v1", "Service", "services");
    apply_crds(&setup.cluster.control_plane, &knative).await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let namespace = &environment.namespace;
    let containers = json!([{"name": "app", "image": image("1.0.0")}]);
    let pods = json!({"metadata": {"labels": {"app": "old"}}, "spec": {"containers": containers}});
    let metadata = |name: &str| json!({"name": name, "annotations": {PACTICIPANT: name}});
    let old = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": metadata("old"),
        "spec": {"selector": {"app": "old"}, "template": pods},
    });
    let service = json!({
        "apiVersion": "serving.knative.dev/v1", "kind": "Service", "metadata": metadata("knative"),
        "spec": {"template": pods},
    });
    for (object, expected) in [
        (
            old,
            "pact-operator judges and records no ReplicationController, only Deployment, StatefulSet, DaemonSet, Rollout, CronJob",
        ),
        (
            service,
            "no Service is judged or recorded: annotate spec.template of the Knative Service instead, for its Deployments",
        ),
    ] {
        let name = object["metadata"]["name"].as_str().unwrap();
        let manifest = object.to_string();
        let output = setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await;
        assert_eq!((output.code, output.warnings()), (0, vec![expected]), "{output:?}");
        assert_eq!(setup.cluster.wait_event(namespace, name, Reason::KindNotHandled.as_str()).await, expected);
    }

    // A ReplicaSet has the annotations of its Deployment: nothing is said about it.
    let live = annotated("owner", "owner", "1.0.0").apply(&setup.client(), namespace).await;
    live.wait_complete().await;
    let sets: Api<k8s_openapi::api::apps::v1::ReplicaSet> = Api::namespaced(setup.cluster.client(), namespace);
    let sets = sets.list(&kube::api::ListParams::default()).await.unwrap();
    let annotated_sets: Vec<Value> = sets.iter().map(|it| json!(it.metadata)).collect();
    assert_eq!(annotated_sets[0]["annotations"][PACTICIPANT], json!("owner"), "else this proves nothing");
    let of_set = annotated_sets[0]["name"].as_str().unwrap();
    assert_eq!(setup.cluster.events(namespace, of_set, Reason::KindNotHandled.as_str()).await, [""; 0]);
}
