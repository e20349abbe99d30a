//! A `CronJob` is judged when it is changed, and recorded when nothing of it runs that was started before. A Job is judged
//! when it is created, and never recorded; what a `CronJob` starts is not judged again.

use k8s_openapi::api::batch::v1::{CronJob, Job};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use super::gate_setup::{GateSetup, MappedEnvironment};
use super::recorder_asserts::{records, stays};
use crate::objects::Objects as _;
use testbed::eventually::eventually;
use testbed::test_cluster::{SOON, image};

/// How the API server introduces a denial of a `CronJob`.
const CRON_JOB_DENIED: &str = "admission webhook \"cronjob-gate.pact-operator.dev\" denied the request: ";
/// How it introduces one of a Job.
const JOB_DENIED: &str = "admission webhook \"gate.pact-operator.dev\" denied the request: ";

fn pod_template(version: &str) -> Value {
    json!({
        // Its pods wait for a node until the test deletes their Job.
        "spec": {"nodeSelector": {"no": "such-node"}, "restartPolicy": "Never", "containers": [{"name": "app", "image": image(version)}]},
    })
}

fn cron_job(name: &str, version: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "CronJob",
        "metadata": {"name": name, "annotations": {"pact-operator.dev/pacticipant": name}},
        "spec": {
            "schedule": "0 3 1 1 *",
            "jobTemplate": {
                "metadata": {"annotations": {"pact-operator.dev/pacticipant": name}},
                "spec": {"template": pod_template(version)},
            },
        },
    })
}

fn job(name: &str, pacticipant: &str, version: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {
            "name": name,
            "annotations": {"pact-operator.dev/pacticipant": pacticipant, "helm.sh/hook": "pre-upgrade"},
        },
        "spec": {"template": pod_template(version)},
    })
}

async fn apply<K>(setup: &GateSetup, environment: &MappedEnvironment, object: &Value) -> kube::Result<K>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(setup.client(), &environment.namespace);
    let name = object["metadata"]["name"].as_str().unwrap();
    api.patch(name, &PatchParams::apply("somebody").force(), &Patch::Apply(object)).await
}

#[track_caller]
fn denied<K: std::fmt::Debug>(result: kube::Result<K>, beginning: &str) {
    match result {
        Err(kube::Error::Api(status)) => {
            assert!(status.code == 403 && status.message.starts_with(beginning), "{status:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_cron_job_is_judged_when_it_is_changed_and_recorded_when_no_job_of_before_runs() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let name = "nightly";
    setup.provider_that_breaks(&environment.name, name);
    let at = &environment.name;

    let not_yet = format!("{CRON_JOB_DENIED}{name} 2.0.0 may not be deployed to ");
    denied(apply::<CronJob>(&setup, environment, &cron_job(name, "2.0.0")).await, &not_yet);
    let created: CronJob = apply(&setup, environment, &cron_job(name, "1.0.0")).await.expect("1.0.0 passes");
    setup.cluster.wait_recorded(at, name, "1.0.0").await;
    denied(apply::<CronJob>(&setup, environment, &cron_job(name, "2.0.0")).await, &not_yet);

    // A run, as its controller would start it. It is annotated, and passes whatever it runs: the CronJob was judged.
    let jobs: Api<Job> = Api::namespaced(setup.cluster.client(), &environment.namespace);
    let mut run = job("nightly-1", name, "2.0.0");
    run["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": created.metadata.uid, "controller": true,
    }]);
    let run: Job = apply(&setup, environment, &run).await.expect("a run is not judged");
    let active = json!({"status": {"active": [{
        "apiVersion": "batch/v1", "kind": "Job", "name": "nightly-1", "namespace": environment.namespace,
        "uid": run.metadata.uid,
    }]}});
    let cron_jobs: Api<CronJob> = Api::namespaced(setup.cluster.client(), &environment.namespace);
    cron_jobs.patch_status(name, &PatchParams::default(), &Patch::Merge(&active)).await.unwrap();

    setup.cluster.broker.store().publish_version(name, "1.1.0");
    assert!(setup.cluster.broker.store().verify(&format!("web-of-{name}"), "7", name, "1.1.0", true));
    let _: CronJob = apply(&setup, environment, &cron_job(name, "1.1.0")).await.expect("1.1.0 passes");
    let record = setup.cluster.wait_condition(at, name, ("Ready", "False", "RolloutInProgress")).await;
    let ready = record.status.unwrap().conditions.into_iter().find(|it| it.type_ == "Ready").unwrap();
    assert!(ready.message.contains("the Job nightly-1 still runs"), "{}", ready.message);
    stays(&setup.cluster, at, name, Some("1.0.0"), "a run of before is not over").await;
    jobs.delete("nightly-1", &DeleteParams::background()).await.unwrap();
    setup.cluster.wait_recorded(at, name, "1.1.0").await;
}

#[tokio::test]
async fn a_job_is_judged_when_it_is_created_and_never_recorded() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let name = "migration";
    setup.provider_that_breaks(&environment.name, name);
    let beginning = format!("{JOB_DENIED}{name} 2.0.0 may not be deployed to ");
    denied(apply::<Job>(&setup, environment, &job("migrate-2", name, "2.0.0")).await, &beginning);
    let _: Job = apply(&setup, environment, &job("migrate-1", name, "1.0.0")).await.expect("1.0.0 passes");
    eventually("the Job to run", SOON, async || {
        let api: Api<Job> = Api::namespaced(setup.cluster.client(), &environment.namespace);
        let status = api.get("migrate-1").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        if status.active == Some(1) { Ok(()) } else { Err(format!("{status:?}")) }
    })
    .await;
    stays(&setup.cluster, &environment.name, name, None, "a Job is no deployment").await;
    assert_eq!(records(&setup.cluster, &environment.name).await.len(), 0);
}
