//! What waits for the operator's own objects in Flux, and goes on by itself.

use kube::api::{DeleteParams, DynamicObject};
use kube::{Api, api::ApiResource, api::GroupVersionKind};
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::test_cluster::{BROKER, SOON};

use crate::flux::Flux;
use crate::team::Team;

#[tokio::test]
async fn what_depends_on_a_pact_environment_waits_until_it_is_ready() {
    let flux = Flux::shared().await;
    let team = Team::new(&flux.setup, "flux-waits").await;
    let name = format!("later-{}", team.environment.name);
    let elsewhere = flux.setup.cluster.namespace().await;
    let environment = json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": name},
        "spec": {"brokerRef": {"name": BROKER}, "namespaces": {"names": [elsewhere]}},
    });
    // Two sources, each in a namespace of its own: what the platform's people own, and what the team owns.
    let platform_revision = flux.commit(&elsewhere, &[environment]).await;
    let platform = flux.kustomization(&elsewhere, "platform", json!({"targetNamespace": null})).await;
    let first = flux.commit(team.namespace(), &team.manifests("1.0.0")).await;
    let more =
        json!({"targetNamespace": team.namespace(), "dependsOn": [{"name": "platform", "namespace": elsewhere}]});
    let shop = flux.kustomization(team.namespace(), "shop", more).await;

    // The broker does not know the environment yet.
    eventually("the platform to wait for its PactEnvironment", SOON, async || {
        let environment = pact_environment(&flux, &name).await.ok_or("none")?;
        let ready = environment["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = ready.into_iter().find(|one| one["type"] == "Ready").ok_or("no condition")?;
        if ready["status"] == "False" { Ok(()) } else { Err(ready.to_string()) }
    })
    .await;
    eventually("the team to wait for the platform", SOON, async || {
        let (status, why, message) = shop.ready().await;
        if (&*status, &*why) == ("False", "DependencyNotReady") { Ok(()) } else { Err(format!("{why}: {message}")) }
    })
    .await;
    always("the platform is not ready", std::time::Duration::from_secs(5), async || {
        let (status, _, message) = platform.ready().await;
        if status == "True" { Err(message) } else { Ok(()) }
    })
    .await;

    flux.setup.cluster.broker.store().add_environment(&name, false);
    platform.applied(&platform_revision).await;
    shop.applied(&first).await;
    team.recorded("1.0.0").await;
    shop.delete().await;
    platform.delete().await;
    drop(environments(&flux).delete(&name, &DeleteParams::default()).await);
}

fn environments(flux: &Flux) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("pact-operator.dev", "v1alpha1", "PactEnvironment");
    Api::all_with(flux.setup.cluster.client(), &ApiResource::from_gvk(&kind))
}

async fn pact_environment(flux: &Flux, name: &str) -> Option<Value> {
    let found = environments(flux).get_opt(name).await.expect("the API server answers");
    found.map(|found| serde_json::to_value(found).expect("an object"))
}
