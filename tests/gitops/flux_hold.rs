//! A rollout that is held, in Flux: its reconciliations do not end the pause, and what they say of it.

use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::test_cluster::SOON;

use crate::flux::Flux;
use crate::hold_setup::held;
use crate::holding::calls;
use crate::team::Team;

/// What is committed for a version; with what Git says of the pause, if anything.
fn manifests(team: &Team, version: &str, paused: Option<bool>) -> Vec<Value> {
    let mut objects = team.manifests(version);
    if let Some(paused) = paused {
        objects[1]["spec"]["paused"] = json!(paused);
    }
    objects
}

/// Gives how often the two webhooks were called by a reconciliation while it was held.
async fn held_until_verified(name: &str, paused: Option<bool>) -> (u64, u64) {
    let flux = Flux::holding().await;
    let team = Team::holding(&flux.setup, name).await;
    let first = flux.commit(team.namespace(), &manifests(&team, "1.0.0", paused)).await;
    let alone = json!({"targetNamespace": team.namespace(), "dependsOn": null});
    let shop = flux.kustomization(team.namespace(), "shop", alone).await;
    shop.applied(&first).await;
    team.ready_to_hold().await;

    let second = flux.commit(team.namespace(), &manifests(&team, "2.0.0", paused)).await;
    let before = team.held("2.0.0").await;
    // Nothing waits for the rollout.
    shop.applied(&second).await;
    assert_eq!(team.settings().await, "2.0.0", "the rest is applied");
    shop.reconcile().await;
    let (validating, mutating) = calls(&flux.setup).await;
    for _ in 0..3 {
        shop.reconcile().await;
    }
    let now = calls(&flux.setup).await;
    let live = team.live().get().await;
    assert_eq!((held(&live), live.metadata.generation), (held(&before), before.metadata.generation));
    assert_eq!(shop.ready().await.0, "True");

    // A commit on top, which has nothing to do with it.
    let mut more = manifests(&team, "2.0.0", paused);
    more[0]["data"]["note"] = json!("on top");
    let third = flux.commit(team.namespace(), &more).await;
    shop.applied(&third).await;
    let live = team.live().get().await;
    assert_eq!((held(&live), live.metadata.generation), (held(&before), before.metadata.generation));

    team.verify();
    team.resumed("2.0.0").await;
    shop.reconcile().await;
    team.resumed("2.0.0").await;

    // The next version is held, and a revert lets go of it.
    let fourth = flux.commit(team.namespace(), &manifests(&team, "3.0.0", paused)).await;
    team.held("3.0.0").await;
    shop.applied(&fourth).await;
    let fifth = flux.commit(team.namespace(), &manifests(&team, "2.0.0", paused)).await;
    shop.applied(&fifth).await;
    team.rolled_out("2.0.0").await;
    team.resumed("2.0.0").await;
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);
    assert_eq!(
        flux.setup.reported(team.namespace()).await,
        [format!("{name} RolloutHeld"), format!("{name} RolloutHeld")]
    );
    shop.delete().await;
    (now.0 - validating, now.1 - mutating)
}

#[tokio::test]
async fn what_is_held_stays_so_through_reconciliations_and_goes_on_once_verified() {
    assert_eq!(held_until_verified("flux-held", None).await, (0, 0), "calls of the webhooks by three reconciliations");
}

#[tokio::test]
async fn a_manifest_that_says_paused_false_does_not_end_the_pause() {
    // kustomize-controller leaves a `false` out that means the same as nothing.
    assert_eq!(held_until_verified("flux-held-false", Some(false)).await, (0, 0), "calls of the webhooks");
}

#[tokio::test]
async fn a_kustomization_that_waits_is_not_ready_while_something_is_held() {
    let flux = Flux::holding().await;
    let team = Team::holding(&flux.setup, "flux-held-waits").await;
    let first = flux.commit(team.namespace(), &team.manifests("1.0.0")).await;
    let more = json!({"targetNamespace": team.namespace(), "dependsOn": null, "wait": true, "timeout": "1s"});
    let shop = flux.kustomization(team.namespace(), "shop", more).await;
    shop.applied(&first).await;
    team.ready_to_hold().await;
    let second = flux.commit(team.namespace(), &team.manifests("2.0.0")).await;
    let before = team.held("2.0.0").await;
    eventually("the health check to time out", SOON, async || {
        let ready = shop.ready().await;
        let told = format!("Deployment/{}/{} status: 'InProgress'", team.namespace(), team.name);
        if ready.0 == "False" && ready.1 == "HealthCheckFailed" && ready.2.contains(&told) {
            Ok(())
        } else {
            Err(format!("{ready:?}"))
        }
    })
    .await;
    shop.tried_again(1).await;
    assert_eq!(held(&team.live().get().await), held(&before));
    team.verify();
    team.resumed("2.0.0").await;
    shop.applied(&second).await;
    shop.delete().await;
}
