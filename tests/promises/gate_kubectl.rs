//! What a person with kubectl sees of the gate.

use serde_json::json;

use crate::testbed::kubectl::kubectl;
use crate::testbed::rollout::deployment;
use crate::testbed::scene::{Scene, annotated};
use crate::testbed::webhook::{Person, Webhook, WebhookOptions};

#[tokio::test]
async fn an_incompatible_version_is_denied_and_a_compatible_one_is_admitted() {
    let scene = Scene::start().await;
    let webhook = Webhook::start(&scene.control_plane, WebhookOptions::default()).await;
    let person = Person::developer(&scene.control_plane).await;
    scene
        .act(async |namespace, environment| {
            let store = scene.broker.store();
            store.publish_pact("web", "1", "orders", "a");
            store.record_deployment("web", "1", &environment, None);
            store.verify("web", "1", "orders", "1.0.0", true);
            store.verify("web", "1", "orders", "2.0.0", false);
            scene.map(&environment, &[&namespace], json!({"gate": {"mode": "Enforce"}})).await;
            scene.wait_environment(&environment, ("Backfilled", "True", "Recorded")).await;
            let live = annotated("orders", "orders", "1.0.0").apply(&person.client(), &namespace).await;
            scene.wait_recorded(&environment, "orders", "1.0.0").await;
            let said = kubectl(
                person.kubeconfig(),
                &["-n", &namespace, "set", "image", "deployment/orders", "app=reg.test/orders:2.0.0"],
            )
            .await;
            println!("{}", String::from_utf8_lossy(&said.stderr));
            println!("{}", webhook.logs());
            assert!(!said.status.success());
            drop(live);
            let _ = deployment("x");
        })
        .await;
}
