//! A rollout that finishes becomes a record at the broker, and nothing else does.

use crate::testbed::eventually::{always, eventually};
use crate::testbed::scene::{SOON, Scene, annotated};
use std::time::Duration;

#[tokio::test]
async fn case_24_a_rollout_is_recorded_when_and_only_when_it_has_finished() {
    let scene = Scene::shared().await;
    scene
        .act(async |namespace, environment| {
            for version in ["1.0.0", "2.0.0"] {
                scene.broker.store().publish_version("orders", version);
            }
            let orders = annotated("orders", "orders", "1.0.0").apply(&scene.client(), &namespace).await;
            scene.wait_recorded(&environment, "orders", "1.0.0").await;

            annotated("orders", "orders", "2.0.0").held().apply(&scene.client(), &namespace).await;
            orders.wait_updated().await;
            always("1.0.0 stays recorded while 2.0.0 rolls out", Duration::from_secs(2), async || {
                let recorded = scene.recorded(&environment, "orders");
                (recorded.as_deref() == Some("1.0.0")).then_some(()).ok_or(format!("{recorded:?}"))
            })
            .await;
            orders.release().await;
            scene.wait_recorded(&environment, "orders", "2.0.0").await;
            assert_eq!(scene.writes(&environment, "orders"), ["Deployed 1.0.0", "Deployed 2.0.0"]);
            let note = scene.wait_event(&namespace, "orders", "Recorded").await;
            assert!(note.contains("orders"), "{note}");
            let memory = scene.wait_condition(&environment, "orders", ("Ready", "True", "Recorded")).await;
            eventually("the memory of both versions", SOON, async || {
                let memory = scene.memory(&environment, "orders").await.ok_or("none")?;
                let status = memory.status.unwrap_or_default();
                let history: Vec<_> = status.history.iter().map(|recorded| recorded.version.clone()).collect();
                (history == ["1.0.0"]).then_some(()).ok_or(format!("{history:?}"))
            })
            .await;
            drop(memory);
        })
        .await;
}
