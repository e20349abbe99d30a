//! The health script that the guide has, in the real controller: what Argo CD shows of the operator's kinds, and that a
//! wave waits for them.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::shared::InUse;
use testbed::standin::StandIn;
use testbed::test_cluster::{BROKER, SOON};

use crate::argocd::{ArgoCd, NAMESPACE};
use crate::argocd_application::Application;
use crate::guide;

/// Argo CD with the script, in the `ConfigMap` that the guide names.
async fn with_scripts() -> InUse<ArgoCd> {
    let argo = ArgoCd::shared().await;
    let script = guide::GITOPS.block("lua");
    let data = json!({
        "resource.customizations.health.pact-operator.dev_PactBroker": script,
        "resource.customizations.health.pact-operator.dev_PactEnvironment": script,
    });
    let api = Api::<ConfigMap>::namespaced(argo.setup.cluster.client(), NAMESPACE);
    let patch = Patch::Merge(json!({"data": data}));
    api.patch("argocd-cm", &PatchParams::default(), &patch).await.expect("Argo CD's settings");
    argo
}

fn object(kind: &str, name: &str, wave: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": kind, "spec": spec,
        "metadata": {"name": name, "annotations": {"argocd.argoproj.io/sync-wave": wave}},
    })
}

async fn delete(argo: &ArgoCd, kind: &str, name: &str) {
    let kind = GroupVersionKind::gvk("pact-operator.dev", "v1alpha1", kind);
    let api = Api::<DynamicObject>::all_with(argo.setup.cluster.client(), &ApiResource::from_gvk(&kind));
    drop(api.delete(name, &DeleteParams::default()).await);
}

#[tokio::test]
async fn a_wave_waits_for_a_pact_environment_until_the_broker_has_it() {
    let argo = with_scripts().await;
    let namespace = argo.setup.cluster.namespace().await;
    let name = format!("argo-{namespace}");
    let spec = json!({"brokerRef": {"name": BROKER}, "namespaces": {"names": [namespace]}});
    let after = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "after", "annotations": {"argocd.argoproj.io/sync-wave": "1"}},
    });
    let commit = argo.commit(&name, &[object("PactEnvironment", &name, "0", &spec), after]);
    let app = Application::new(&argo, &name, &namespace, &[]).await;
    let waiting = format!("waiting for healthy state of pact-operator.dev/PactEnvironment/{name}");
    eventually("the wave to wait", SOON, async || app.told(&waiting).await).await;
    app.wait("to be Progressing", |object| object["status"]["health"]["status"] == "Progressing").await;
    let maps = Api::<ConfigMap>::namespaced(argo.setup.cluster.client(), &namespace);
    always("the next wave is not applied", Duration::from_secs(5), async || {
        let found = maps.get_opt("after").await.map_err(|error| error.to_string())?;
        found.map_or(Ok(()), |_| Err("it was applied".to_owned()))
    })
    .await;
    // People see why, in the tree of the Application.
    let shown = app.argocd_app("get", &["--output", "tree=detailed"]).await;
    assert!(shown.out.contains("Progressing"), "{shown:?}");

    argo.setup.cluster.broker.store().add_environment(&name, false);
    app.synced(&commit).await;
    maps.get("after").await.expect("the next wave");
    app.delete().await;
    delete(&argo, "PactEnvironment", &name).await;
}

#[tokio::test]
async fn a_pact_broker_is_healthy_only_while_it_is_ready_in_its_present_form() {
    let argo = with_scripts().await;
    let namespace = argo.setup.cluster.namespace().await;
    let name = format!("broker-{namespace}");
    let (reachable, unreachable) = (StandIn::start().await, StandIn::start().await);
    unreachable.stop().await;
    let spec = |broker: &StandIn| json!({"url": broker.url()});
    argo.commit(&name, &[object("PactBroker", &name, "0", &spec(&unreachable))]);
    let app = Application::new(&argo, &name, &namespace, &[]).await;
    app.wait("to be Progressing while the broker is down", |object| {
        object["status"]["health"]["status"] == "Progressing" && object["status"]["sync"]["status"] == "Synced"
    })
    .await;
    let commit = app.commit(&[object("PactBroker", &name, "0", &spec(&reachable))]).await;
    app.synced(&commit).await;
    app.commit(&[object("PactBroker", &name, "0", &spec(&unreachable))]).await;
    app.wait("to be Progressing again", |object| object["status"]["health"]["status"] == "Progressing").await;

    // A broker that is reached again, and one in its place that the operator has not looked at: its conditions are of the
    // broker before.
    let commit = app.commit(&[object("PactBroker", &name, "0", &spec(&reachable))]).await;
    app.synced(&commit).await;
    let operator = &argo.setup.cluster.operators[0];
    operator.signal("STOP");
    let other = StandIn::start().await;
    let commit = app.commit(&[object("PactBroker", &name, "0", &spec(&other))]).await;
    let outcome = app
        .try_wait("to be Progressing while nobody looked", Duration::from_secs(20), |object| {
            object["status"]["sync"]["revision"] == commit
                && object["status"]["sync"]["status"] == "Synced"
                && object["status"]["health"]["status"] == "Progressing"
        })
        .await;
    operator.signal("CONT");
    outcome.unwrap();
    app.synced(&commit).await;
    app.delete().await;
    delete(&argo, "PactBroker", &name).await;
}
