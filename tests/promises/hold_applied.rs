//! What is held stays held when its manifest is applied again, by whatever way, and shows no difference from it.

use std::fs;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::gate_setup::{CommandOutput, MappedEnvironment};
use super::hold_setup::{HoldSetup, free, held, setters, waits};
use testbed::chart::helm_as;
use testbed::kubectl::kubectl_reading;
use testbed::rollout::Live;
use testbed::test_cluster::{annotated, image};

/// The manifest of an app at a version.
fn manifest(app: &str, version: &str) -> Value {
    annotated(app, app, version).replicas(2).manifest().clone()
}

/// kubectl as the person, reading a manifest; has to succeed.
async fn apply(setup: &HoldSetup, at: &MappedEnvironment, verb: &[&str], manifest: &Value) -> CommandOutput {
    let output = setup.kubectl_reading(&at.namespace, &[verb, &["-f", "-"]].concat(), &manifest.to_string()).await;
    assert_eq!(output.code, 0, "{verb:?}: {output:?}");
    output
}

/// A way of applying a manifest: the words of kubectl for it, the words of its diff, and who has set the pause afterwards.
type Way<'a> = (&'a str, &'a [&'a str], Option<&'a [&'a str]>);

const WAYS: [Way<'static>; 3] = [
    ("client-side", &["apply"], Some(&["diff"])),
    (
        "server-side",
        &["apply", "--server-side", "--force-conflicts"],
        Some(&["diff", "--server-side", "--force-conflicts"]),
    ),
    ("replace", &["replace"], None),
];

#[tokio::test]
async fn a_manifest_that_is_applied_again_does_not_resume_what_is_held() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    for (way, verb, diff) in WAYS {
        let app = &format!("app-{way}");
        let store = setup.cluster.broker.store();
        super::gate_setup::consumer_of(&setup.cluster.broker, &environment.name, app);
        setup.verified(app, "1.0.0", true);
        for version in ["2.0.0", "3.0.0"] {
            store.publish_version(app, version);
        }
        let first: &[&str] = if way == "replace" { &["create"] } else { verb };
        apply(&setup, &environment, first, &manifest(app, "1.0.0")).await;
        let live = Live::new(&setup.client(), &environment.namespace, app);
        live.wait_complete().await;
        setup.cluster.wait_recorded(&environment.name, app, "1.0.0").await;
        setup.called(&environment, app).await;

        apply(&setup, &environment, verb, &manifest(app, "2.0.0")).await;
        let before = live.get().await;
        assert!(waits(&before, "2.0.0"), "{way}: {:?}", held(&before));
        assert_eq!(setters(&before), (Vec::new(), Vec::new()), "{way}: nobody has set what the webhook changed");
        for paused in [None, Some(false)] {
            let mut again = manifest(app, "2.0.0");
            if let Some(paused) = paused {
                again["spec"]["paused"] = json!(paused);
            }
            apply(&setup, &environment, verb, &again).await;
            assert_eq!(held(&live.get().await), held(&before), "{way}, paused: {paused:?}");
            if let Some(diff) = diff {
                apply(&setup, &environment, diff, &again).await;
            }
        }
        // A template without another version, too: what is held does not run, so nothing of it is known to be fine.
        let sidecar = annotated(app, app, "2.0.0").replicas(2).container("proxy", "envoy:2");
        let sidecar = sidecar.annotation("pact-operator.dev/container", "app");
        apply(&setup, &environment, verb, sidecar.manifest()).await;
        assert_eq!(held(&live.get().await), held(&before), "{way}: a sidecar comes");

        apply(&setup, &environment, verb, &manifest(app, "3.0.0")).await;
        assert!(waits(&live.get().await, "3.0.0"), "{way}: {:?}", held(&live.get().await));
        setup.verified(app, "3.0.0", true);
        live.wait("it to be resumed", free).await;
        setup.cluster.wait_recorded(&environment.name, app, "3.0.0").await;
        apply(&setup, &environment, verb, &manifest(app, "3.0.0")).await;
        assert!(free(&live.get().await), "{way}: {:?}", held(&live.get().await));
        assert_eq!(setters(&live.get().await), (Vec::new(), Vec::new()), "{way}");
    }
}

#[tokio::test]
async fn controllers_that_apply_again_and_again_do_not_resume_it_and_see_no_difference() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let store = setup.cluster.broker.store();
    super::gate_setup::consumer_of(&setup.cluster.broker, &environment.name, "synced");
    setup.verified("synced", "1.0.0", true);
    store.publish_version("synced", "2.0.0");
    let api = kube::Api::<Deployment>::namespaced(setup.account.client(), &environment.namespace);
    let applied = async |manager: &str, manifest: &Value, dry_run| {
        let how = PatchParams { dry_run, ..PatchParams::apply(manager).force() };
        api.patch("synced", &how, &Patch::Apply(manifest)).await.unwrap()
    };
    for manager in ["kustomize-controller", "argocd-controller", "helm"] {
        applied(manager, &manifest("synced", "1.0.0"), false).await;
        let live = Live::new(&setup.client(), &environment.namespace, "synced");
        live.wait_complete().await;
        setup.cluster.wait_recorded(&environment.name, "synced", "1.0.0").await;
        setup.called(&environment, "synced").await;
        let held_now = applied(manager, &manifest("synced", "2.0.0"), false).await;
        assert!(waits(&held_now, "2.0.0"), "{manager}: {:?}", held(&held_now));
        for round in 0..3 {
            let predicted = applied(manager, &manifest("synced", "2.0.0"), true).await;
            let (mut live_now, mut predicted) = (live.get().await, predicted);
            for object in [&mut live_now, &mut predicted] {
                object.metadata.managed_fields = None;
                object.metadata.resource_version = None;
                object.status = None;
            }
            assert_eq!(predicted, live_now, "{manager}, {round}: a dry-run predicts what there is");
            assert!(waits(&applied(manager, &manifest("synced", "2.0.0"), false).await, "2.0.0"), "{manager}, {round}");
        }
        // Back, which is never held: the next tool begins.
        assert!(free(&applied(manager, &manifest("synced", "1.0.0"), false).await), "{manager}");
    }
}

#[tokio::test]
async fn a_release_of_helm_is_held_and_its_next_upgrade_does_not_resume_it() {
    let setup = HoldSetup::shared().await;
    let environment = setup.holding(json!({})).await;
    let store = setup.cluster.broker.store();
    super::gate_setup::consumer_of(&setup.cluster.broker, &environment.name, "released");
    setup.verified("released", "1.0.0", true);
    store.publish_version("released", "2.0.0");
    let folder = tempfile::tempdir().unwrap();
    let templates = folder.path().join("chart/templates");
    fs::create_dir_all(&templates).unwrap();
    fs::write(folder.path().join("chart/Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 1.0.0\n").unwrap();
    let text = manifest("released", "VERSION").to_string().replace(&image("VERSION"), &image("{{ .Values.tag }}"));
    fs::write(templates.join("deployment.yaml"), text).unwrap();
    let upgrade = async |version: &str, note: &str| {
        let chart = folder.path().join("chart").display().to_string();
        let (version, note) = (format!("tag={version}"), format!("note={note}"));
        let words = ["upgrade", "shop", &chart, "--install", "--set-string", &version, "--set-string", &note];
        // The developer's account, as a pipeline has one.
        let output = helm_as(setup.account.kubeconfig(), &environment.namespace, folder.path(), &words).await;
        let output = CommandOutput::of(&output);
        assert_eq!(output.code, 0, "{output:?}");
    };
    let live = Live::new(&setup.client(), &environment.namespace, "released");
    upgrade("1.0.0", "a").await;
    live.wait_complete().await;
    setup.cluster.wait_recorded(&environment.name, "released", "1.0.0").await;
    setup.called(&environment, "released").await;
    upgrade("2.0.0", "b").await;
    let before = held(&live.get().await);
    assert!(waits(&live.get().await, "2.0.0"), "{before:?}");
    upgrade("2.0.0", "c").await;
    assert_eq!(held(&live.get().await), before);
    setup.verified("released", "2.0.0", true);
    live.wait("it to be resumed", free).await;
    setup.cluster.wait_recorded(&environment.name, "released", "2.0.0").await;
    upgrade("2.0.0", "d").await;
    assert!(free(&live.get().await));
}

#[tokio::test]
async fn without_hold_in_the_chart_an_environment_that_says_so_denies_and_nothing_is_mutated() {
    let setup = super::gate_setup::GateSetup::shared().await;
    let environment = setup.gated(json!({"mode": "Enforce", "hold": {}})).await;
    super::gate_setup::consumer_of(&setup.cluster.broker, &environment.name, "unheld");
    assert!(setup.cluster.broker.store().verify("web-of-unheld", "7", "unheld", "1.0.0", true));
    setup.cluster.broker.store().publish_version("unheld", "2.0.0");
    setup.running(&environment, "unheld", "unheld", "1.0.0").await;
    let output = setup.set_version(&environment.namespace, "unheld", "2.0.0", &[]).await;
    assert!(output.denial().is_some_and(|it| it.starts_with("unheld 2.0.0 may not be deployed to ")), "{output:?}");
    let arguments = ["get", "mutatingwebhookconfigurations", "pact-operator", "--ignore-not-found", "-o", "name"];
    let output = kubectl_reading(setup.cluster.control_plane.kubeconfig(), &arguments, "").await;
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}
