//! Flux around the gate: what a denial looks like, that it goes through by itself, and that nothing is deleted.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::test_cluster::SOON;

use crate::flux::Flux;
use crate::team::Team;

/// It waits for no other `Kustomization`.
fn alone(team: &Team) -> Value {
    json!({"targetNamespace": team.namespace(), "dependsOn": null})
}

#[tokio::test]
async fn a_denied_change_is_told_applied_nothing_of_it_and_goes_through_by_itself_once_verified() {
    let flux = Flux::shared().await;
    let team = Team::new(&flux.setup, "flux-orders").await;
    let first = flux.commit(team.namespace(), &team.manifests("1.0.0")).await;
    let shop = flux.kustomization(team.namespace(), "shop", alone(&team)).await;
    shop.applied(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    let second = flux.commit(team.namespace(), &team.manifests("2.0.0")).await;
    let reason = format!("Deployment/{}/{} dry-run failed (Forbidden): {}", team.namespace(), team.name, team.denial());
    team.stays_until(&uid, "the denial", async || shop.denied(&reason).await).await;
    shop.tried_again(2).await;
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid.clone()));
    assert_eq!(team.settings().await, "1.0.0", "the rest of a denied revision is not applied");
    let status = shop.get().await["status"].clone();
    assert_eq!((&status["lastAttemptedRevision"], &status["lastAppliedRevision"]), (&json!(second), &json!(first)));
    // One Event for the version, however often Flux tries.
    assert_eq!(flux.setup.reported(team.namespace()).await, [format!("{} RolloutDenied", team.name)]);

    team.verify();
    shop.applied(&second).await;
    team.recorded("2.0.0").await;
    assert_eq!(team.runs().await, ("2.0.0".to_owned(), uid));
    assert_eq!(team.settings().await, "2.0.0");
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);

    let calls = flux.setup.webhook.reviews().await;
    for _ in 0..3 {
        shop.reconcile().await;
    }
    assert_eq!(flux.setup.webhook.reviews().await, calls, "a revision that is applied asks for nothing");
    shop.delete().await;
}

#[tokio::test]
async fn a_denial_with_force_leaves_the_running_deployment() {
    let flux = Flux::shared().await;
    let team = Team::new(&flux.setup, "flux-forced").await;
    let forced = |version: &str| {
        let mut objects = team.manifests(version);
        objects[1]["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/force"] = json!("enabled");
        objects
    };
    let first = flux.commit(team.namespace(), &forced("1.0.0")).await;
    let mut more = alone(&team);
    more["force"] = json!(true);
    let shop = flux.kustomization(team.namespace(), "shop", more).await;
    shop.applied(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    flux.commit(team.namespace(), &forced("2.0.0")).await;
    let denial = team.denial();
    team.stays_until(&uid, "the denial", async || shop.denied(&denial).await).await;
    shop.tried_again(2).await;
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid.clone()), "the Deployment that ran is still there");
    let ready = team.live().get().await.status.unwrap_or_default().available_replicas;
    assert_eq!(ready, Some(1), "and serves");
    shop.delete().await;
}

#[tokio::test]
async fn a_revert_ends_a_denial_without_a_call() {
    let flux = Flux::shared().await;
    let team = Team::new(&flux.setup, "flux-reverted").await;
    let first = flux.commit(team.namespace(), &team.manifests("1.0.0")).await;
    let shop = flux.kustomization(team.namespace(), "shop", alone(&team)).await;
    shop.applied(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;
    flux.commit(team.namespace(), &team.manifests("2.0.0")).await;
    let denial = team.denial();
    team.stays_until(&uid, "the denial", async || shop.denied(&denial).await).await;

    let mut reverted = team.manifests("1.0.0");
    reverted[0]["data"]["why"] = json!("reverted");
    let third = flux.commit(team.namespace(), &reverted).await;
    shop.applied(&third).await;
    team.verify();
    team.at_rest(Duration::from_secs(7)).await;
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid), "the denied version is not tried again");
    shop.delete().await;
}

#[tokio::test]
async fn the_account_that_flux_ships_with_is_judged_whatever_is_written_into_git() {
    let flux = Flux::shared().await;
    let team = Team::new(&flux.setup, "flux-bypass").await;
    let first = flux.commit(team.namespace(), &team.manifests("1.0.0")).await;
    let shop = flux.kustomization(team.namespace(), "shop", alone(&team)).await;
    shop.applied(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    let mut stated = team.manifests("2.0.0");
    stated[1]["metadata"]["annotations"]["pact-operator.dev/bypass"] = json!("2.0.0 the shop is down");
    flux.commit(team.namespace(), &stated).await;
    let denial = team.denial();
    team.stays_until(&uid, "the denial", async || shop.denied(&denial).await).await;
    eventually("the denial to say why the statement does not count", SOON, async || {
        shop.denied("The annotation pact-operator.dev/bypass does not count").await?;
        shop.denied("webhook.bypassServiceAccounts").await
    })
    .await;
    shop.delete().await;
}
