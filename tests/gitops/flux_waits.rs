//! What waits for the operator's own objects in Flux, and goes on by itself.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use kube::Api;
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind};
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
    // Two sources, each in a namespace of its own: what the platform's people own, and what the team owns.
    let platform_revision = flux.commit(&elsewhere, &[environment(&name, &elsewhere)]).await;
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
    always("the platform is not ready", Duration::from_secs(5), async || {
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

/// Without the expressions of the guide, what has no status yet would do.
#[tokio::test]
async fn a_pact_environment_that_nobody_has_looked_at_is_not_healthy() {
    let flux = Flux::shared().await;
    let namespaces = [flux.setup.cluster.namespace().await, flux.setup.cluster.namespace().await];
    let names = namespaces.clone().map(|namespace| format!("unseen-{namespace}"));
    let operator = &flux.setup.cluster.operators[0];
    operator.signal("STOP");
    // The operator has to go on whatever comes of this.
    let outcome = AssertUnwindSafe(async {
        let mut revisions = Vec::new();
        for (namespace, name) in namespaces.iter().zip(&names) {
            revisions.push(flux.commit(namespace, &[environment(name, namespace)]).await);
        }
        let of_the_guide = json!({"targetNamespace": null});
        let without = json!({"targetNamespace": null, "healthCheckExprs": null});
        let without = flux.kustomization(&namespaces[1], "platform", without).await;
        let platform = flux.kustomization(&namespaces[0], "platform", of_the_guide).await;
        without.applied(&revisions[1]).await;
        always("it is not ready", Duration::from_secs(4), async || {
            let (status, _, message) = platform.ready().await;
            if status == "True" { Err(message) } else { Ok(()) }
        })
        .await;
        [without, platform]
    });
    let outcome = outcome.catch_unwind().await;
    operator.signal("CONT");
    let kustomizations = outcome.unwrap();
    // What still waits is deleted when it has done so.
    for name in &names {
        flux.setup.cluster.broker.store().add_environment(name, false);
    }
    for kustomization in kustomizations {
        kustomization.delete().await;
    }
}

/// A `PactEnvironment` over this namespace, whose environment the broker does not have.
fn environment(name: &str, namespace: &str) -> Value {
    json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": name},
        "spec": {"brokerRef": {"name": BROKER}, "namespaces": {"names": [namespace]}},
    })
}

fn environments(flux: &Flux) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("pact-operator.dev", "v1alpha1", "PactEnvironment");
    Api::all_with(flux.setup.cluster.client(), &ApiResource::from_gvk(&kind))
}

async fn pact_environment(flux: &Flux, name: &str) -> Option<Value> {
    let found = environments(flux).get_opt(name).await.expect("the API server answers");
    found.map(|found| serde_json::to_value(found).expect("an object"))
}
