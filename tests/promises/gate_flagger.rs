//! The gate believes no object that it is the primary of a Flagger Canary: it asks the Canary.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::gate_setup::GateSetup;
use super::recorder_templates::install_kinds;
use testbed::kubectl;
use testbed::test_cluster::annotated;

#[tokio::test]
async fn case_88_only_the_primary_of_a_canary_that_is_there_passes_unasked() {
    let setup = GateSetup::shared().await;
    install_kinds(&setup.cluster.control_plane).await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let namespace = &environment.namespace;
    setup.provider_that_breaks(&environment.name, "canary");
    let api = setup.deployments(namespace);
    let create = async |name: &str, owner: Value| {
        let owned = annotated(name, "canary", "2.0.0").with(|it| it["metadata"]["ownerReferences"] = json!([owner]));
        api.patch(name, &PatchParams::apply("flagger"), &Patch::Apply(owned.manifest())).await.map(drop)
    };
    let owner = |name: &str, uid: &str| json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": name, "uid": uid, "controller": true});
    let denied = |what: &str, result: kube::Result<()>| match result {
        Err(kube::Error::Api(status)) => {
            assert!(
                status.code == 403 && status.message.contains("canary 2.0.0 may not be deployed"),
                "{what}: {status:?}"
            );
        }
        other => panic!("{what}: {other:?}"),
    };
    denied("no Canary of that name", create("shop-primary", owner("shop", "4d2a")).await);

    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop"});
    let canary = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "shop"}, "spec": {"targetRef": target},
    });
    let kubeconfig = setup.cluster.control_plane.kubeconfig();
    kubectl::apply(kubeconfig, namespace, &canary.to_string()).await;
    let uid = ["get", "canaries.flagger.app", "shop", "-n", namespace, "-o", "jsonpath={.metadata.uid}"];
    let uid = kubectl::kubectl_ok(kubeconfig, &uid).await;
    denied("an earlier Canary of that name", create("shop-primary", owner("shop", "4d2a")).await);
    denied("a name that Flagger does not give", create("billing-primary", owner("shop", &uid)).await);
    for (what, key, value) in [
        ("not in control", "controller", json!(false)),
        ("another kind", "kind", json!("Rollout")),
        ("another group", "apiVersion", json!("example.com/v1")),
    ] {
        let mut other = owner("shop", &uid);
        other[key] = value;
        denied(what, create("shop-primary", other).await);
    }
    create("shop-primary", owner("shop", &uid)).await.expect("it was judged when its target changed (case 71)");
}
