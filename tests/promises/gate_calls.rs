//! Which requests reach the gate: one call for each change that may change a version, and none for any other.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::gate_setup::{GateSetup, MappedEnvironment};
use testbed::rollout::{Live, Progress, deployment};
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::{annotated, image};

/// Calls are counted for the whole process: one test at a time.
static COUNTING: Mutex<()> = Mutex::const_new(());

async fn setup() -> InUse<GateSetup> {
    static SETUP: Shared<GateSetup> = Shared::new();
    SETUP.get(GateSetup::start).await
}

/// The calls that came of each step, and how many there should have been.
#[derive(Default)]
struct Counts(Vec<(&'static str, u64, u64)>);

impl Counts {
    async fn step(&mut self, what: &'static str, wanted: u64, action: impl AsyncFnOnce()) {
        let before = setup().await.webhook.reviews().await;
        action().await;
        self.0.push((what, setup().await.webhook.reviews().await - before, wanted));
    }

    fn check(self) {
        let wrong: Vec<_> = self.0.iter().filter(|(_, made, wanted)| made != wanted).collect();
        assert!(wrong.is_empty(), "(step, calls, calls wanted): {wrong:?}");
    }
}

/// Waits until the Deployment controller leaves the Deployment alone: the API server repeats a patch, calls included,
/// that conflicts with another client's write.
async fn quiet(live: &Live) {
    live.wait("nothing to be going on", |live| {
        let progress = Progress::of(live);
        progress.observed
            && progress.terminating == 0
            && [progress.updated, progress.available, progress.replicas].iter().all(|n| *n == progress.wanted)
    })
    .await;
}

#[tokio::test]
async fn each_change_of_an_image_is_one_call_and_everything_else_is_none() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let MappedEnvironment { namespace, .. } = &setup.gated(json!({"mode": "Audit"})).await;
    let live = Live::new(&setup.client(), namespace, "orders");
    let manifest = |version| annotated("orders", "orders", version).manifest().to_string();
    let kubectl = async |arguments: &[&str]| {
        // (kubectl itself warns when an applied change is undone.)
        let output = setup.kubectl(namespace, arguments).await;
        assert!(output.code == 0, "{output:?}");
        quiet(&live).await;
    };
    let apply = async |version| {
        setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest(version)).await.silent();
        quiet(&live).await;
    };
    let patch = async |patch: Value| {
        live.patch(patch).await;
        quiet(&live).await;
    };
    let mut counts = Counts::default();
    counts.step("create", 1, async || apply("1.0.0").await).await;
    counts.step("apply the same again", 0, async || apply("1.0.0").await).await;
    counts.step("apply another image", 1, async || apply("2.0.0").await).await;
    let set_image = ["set", "image", "deployment/orders", "app=registry.example.com/shop:3.0.0"];
    let dry_run = [&set_image[..], &["--dry-run=server"]].concat();
    counts.step("set image as a dry-run", 1, async || kubectl(&dry_run).await).await;
    counts.step("set image", 1, async || kubectl(&set_image).await).await;
    counts.step("set the same image", 0, async || kubectl(&set_image).await).await;
    counts.step("undo to another image", 1, async || kubectl(&["rollout", "undo", "deployment/orders"]).await).await;
    counts.step("restart", 0, async || kubectl(&["rollout", "restart", "deployment/orders"]).await).await;
    counts.step("undo a restart", 0, async || kubectl(&["rollout", "undo", "deployment/orders"]).await).await;
    counts.step("scale", 0, async || kubectl(&["scale", "deployment/orders", "--replicas=3"]).await).await;
    counts.step("change replicas", 0, async || patch(json!({"spec": {"replicas": 1}})).await).await;
    let status = r#"{"status":{"conditions":[{"type":"Odd","status":"True"}]}}"#;
    let status = ["patch", "deployment/orders", "--subresource=status", "-p", status];
    counts.step("change the status", 0, async || kubectl(&status).await).await;
    counts.step("label", 0, async || kubectl(&["label", "deployment/orders", "team=shop"]).await).await;
    counts.step("annotate", 0, async || kubectl(&["annotate", "deployment/orders", "note=x"]).await).await;
    counts.step("set env", 0, async || kubectl(&["set", "env", "deployment/orders", "COLOUR=blue"]).await).await;
    counts.step("pause", 0, async || kubectl(&["rollout", "pause", "deployment/orders"]).await).await;
    counts.step("resume", 0, async || kubectl(&["rollout", "resume", "deployment/orders"]).await).await;
    let resources = ["set", "resources", "deployment/orders", "--requests=cpu=1m"];
    counts.step("set resources", 0, async || kubectl(&resources).await).await;
    let init = json!({"spec": {"template": {"spec": {"initContainers": [{"name": "init", "image": image("9")}]}}}});
    counts.step("add an init container", 0, async || patch(init).await).await;
    let side = json!({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": image("9")}]}}}});
    counts.step("add a container", 1, async || patch(side).await).await;
    let both = json!({
        "metadata": {"annotations": {"pact-operator.dev/pacticipant": null}},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image("4.0.0")}]}}},
    });
    counts.step("another image without the annotation", 1, async || patch(both).await).await;
    counts.step("another image, not annotated", 0, async || live.set_image(&image("5.0.0")).await).await;
    quiet(&live).await;
    counts.step("delete, not annotated", 0, async || live.delete().await).await;
    counts.check();
}

#[tokio::test]
async fn each_change_of_what_determines_the_version_is_one_call_and_deleting_is_none() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let MappedEnvironment { namespace, .. } = &setup.gated(json!({"mode": "Audit"})).await;
    let unannotated = deployment("orders").image(&image("1.0.0"));
    let mut counts = Counts::default();
    counts.step("create, not annotated", 0, async || drop(unannotated.apply(&setup.client(), namespace).await)).await;
    let live = Live::new(&setup.client(), namespace, "orders");
    quiet(&live).await;
    // A change of annotations, too, makes a generation that the controller observes.
    let patch = async |patch: Value| {
        live.patch(patch).await;
        quiet(&live).await;
    };
    let annotations = ["pacticipant", "container", "version", "application-instance", "bypass"];
    for (what, value, wanted) in
        [("add one of ours", json!("app"), 1), ("change one of ours", json!("app2"), 1), ("the same", json!("app2"), 0)]
    {
        for key in annotations {
            let one = json!({"metadata": {"annotations": {format!("pact-operator.dev/{key}"): value}}});
            counts.step(what, wanted, async || patch(one).await).await;
        }
    }
    for (what, value, wanted) in [
        ("add the label", json!("1"), 1),
        ("change the label", json!("2"), 1),
        ("the same label", json!("2"), 0),
        ("remove the label", json!(null), 1),
    ] {
        let one = json!({"metadata": {"labels": {"app.kubernetes.io/version": value}}});
        counts.step(what, wanted, async || patch(one).await).await;
    }
    for (what, value, wanted) in [("name the default container", json!("app"), 1), ("the same again", json!("app"), 0)]
    {
        let annotations = json!({"kubectl.kubernetes.io/default-container": value});
        let one = json!({"spec": {"template": {"metadata": {"annotations": annotations}}}});
        counts.step(what, wanted, async || patch(one).await).await;
    }
    // The last one: after it, the Deployment is not annotated any more.
    for key in annotations.into_iter().rev() {
        let one = json!({"metadata": {"annotations": {format!("pact-operator.dev/{key}"): null}}});
        counts.step("remove one of ours", 1, async || patch(one).await).await;
    }
    patch(json!({"metadata": {"annotations": {"pact-operator.dev/pacticipant": "orders"}}})).await;
    counts.step("delete, annotated", 0, async || live.delete().await).await;
    counts.check();
}

#[tokio::test]
async fn the_diff_of_argo_cd_is_no_call_and_its_sync_is_one() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "synced");
    let live = setup.running(environment, "synced", "synced", "1.0.0").await;
    quiet(&live).await;
    let api = setup.deployments(&environment.namespace);
    let applied = async |manager: &str, version: &str, dry_run: bool| {
        let mut how = PatchParams::apply(manager).force();
        how.dry_run = dry_run;
        let manifest = annotated("synced", "synced", version).manifest().clone();
        api.patch("synced", &how, &Patch::Apply(&manifest)).await
    };
    let mut counts = Counts::default();
    counts
        .step("Argo CD's diff of what would be denied", 0, async || {
            applied("argocd-controller", "2.0.0", true).await.expect("after a denial Argo CD would show Synced");
        })
        .await;
    counts
        .step("Argo CD's sync", 1, async || {
            applied("argocd-controller", "2.0.0", false).await.expect_err("it is real");
        })
        .await;
    counts
        .step("Flux's dry-run", 1, async || {
            applied("kustomize-controller", "2.0.0", true).await.expect_err("Flux sends nothing else");
        })
        .await;
    counts
        .step("Argo CD's sync of what runs", 0, async || {
            applied("argocd-controller", "1.0.0", false).await.expect("nothing changes");
        })
        .await;
    counts.check();
}

#[tokio::test]
async fn argo_cds_diff_of_a_new_deployment_is_no_call_and_a_generated_name_is_one() {
    let (setup, _one) = (setup().await, COUNTING.lock().await);
    let MappedEnvironment { namespace, .. } = &setup.gated(json!({"mode": "Audit"})).await;
    let api = setup.deployments(namespace);
    let mut manifest = annotated("fresh", "fresh", "1.0.0").manifest().clone();
    let mut counts = Counts::default();
    let create = async |manifest: &Value, how: PostParams| {
        let object: Deployment = serde_json::from_value(manifest.clone()).unwrap();
        api.create(&how, &object).await.unwrap()
    };
    let diff = PostParams { dry_run: true, field_manager: Some("argocd-controller".to_owned()) };
    counts.step("Argo CD's diff", 0, async || drop(create(&manifest, diff).await)).await;
    counts.step("create", 1, async || drop(create(&manifest, PostParams::default()).await)).await;
    manifest["metadata"]["name"] = Value::Null;
    manifest["metadata"]["generateName"] = json!("fresh-");
    counts.step("create under any name", 1, async || drop(create(&manifest, PostParams::default()).await)).await;
    let all = DeleteParams::default();
    counts
        .step("delete all of them", 0, async || {
            drop(api.delete_collection(&all, &ListParams::default()).await);
        })
        .await;
    counts.check();
}
