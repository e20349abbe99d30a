//! Argo CD around the gate: what a denial looks like, and that it goes through by itself.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::eventually::always;

use crate::argocd::ArgoCd;
use crate::argocd_application::Application;
use crate::team::Team;

#[tokio::test]
async fn a_denied_sync_is_told_and_goes_through_by_itself_once_verified() {
    denied_and_verified("argo-orders", &[]).await;
}

/// Since Argo CD 3.6 it compares by a dry-run on the server then. If that were denied, it would say Synced.
#[tokio::test]
async fn with_server_side_apply_it_is_the_same_and_never_reported_as_synced() {
    denied_and_verified("argo-stock", &["ServerSideApply=true"]).await;
}

async fn denied_and_verified(name: &str, options: &[&str]) {
    let argo = ArgoCd::shared().await;
    let team = Team::new(&argo.setup, name).await;
    let first = argo.commit(name, &team.manifests("1.0.0"));
    let shop = Application::new(&argo, name, team.namespace(), options).await;
    shop.synced(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    let second = shop.commit(&team.manifests("2.0.0")).await;
    let denial = team.denial();
    team.stays_until(&uid, "the denial", async || shop.told(&denial).await).await;
    let shown = shop.argocd_app("get", &[]).await;
    let line = denial.split_once("denied the request: ").unwrap().1;
    assert!(shown.out.contains(line), "argocd app get: {shown:?}");
    // Comparisons on the clock, which use the remembered diff, with tries in between.
    shop.compared_again(6, |object| {
        let status = &object["status"];
        assert_eq!(status["sync"]["status"], "OutOfSync", "{}", shop.seen(object));
        assert_eq!(status["health"]["status"], "Healthy", "the old pods serve: {}", shop.seen(object));
    })
    .await;
    shop.retried(2).await;
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid.clone()));
    assert_eq!(team.settings().await, "2.0.0", "the rest of the wave is applied");
    assert_eq!(argo.setup.reported(team.namespace()).await, [format!("{name} RolloutDenied")]);

    team.verify();
    shop.synced(&second).await;
    team.recorded("2.0.0").await;
    assert_eq!(team.runs().await, ("2.0.0".to_owned(), uid));
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);

    let calls = argo.setup.webhook.reviews().await;
    shop.refresh().await;
    shop.compared_again(3, |_| ()).await;
    assert_eq!(argo.setup.webhook.reviews().await, calls, "what is in sync asks for nothing");
    shop.delete().await;
}

#[tokio::test]
async fn a_revert_while_denied_ends_well() {
    let argo = ArgoCd::shared().await;
    let team = Team::new(&argo.setup, "argo-reverted").await;
    let first = argo.commit(&team.name, &team.manifests("1.0.0"));
    let shop = Application::new(&argo, &team.name, team.namespace(), &[]).await;
    shop.synced(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;
    shop.commit(&team.manifests("2.0.0")).await;
    let denial = team.denial();
    team.stays_until(&uid, "the denial", async || shop.told(&denial).await).await;

    let reverted = shop.revert().await;
    shop.synced(&reverted).await;
    // The verdict turns afterwards: no attempt of the reverted commit may be left that this lets through.
    team.verify();
    always("1.0.0 runs", Duration::from_secs(8), async || {
        let (version, _) = team.runs().await;
        if version == "1.0.0" { Ok(()) } else { Err(version) }
    })
    .await;
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid));
    assert_eq!(team.writes(), ["Deployed 1.0.0"]);
    shop.delete().await;
}

#[tokio::test]
async fn a_denial_with_force_leaves_the_running_deployment() {
    denied_with("argo-forced", "Force=true").await;
}

#[tokio::test]
async fn a_denial_with_replace_leaves_the_running_deployment() {
    denied_with("argo-replaced", "Replace=true").await;
}

async fn denied_with(name: &str, option: &str) {
    let argo = ArgoCd::shared().await;
    let team = Team::new(&argo.setup, name).await;
    let forced = |version: &str| {
        let mut objects = team.manifests(version);
        objects[1]["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] = json!(option);
        objects
    };
    let first = argo.commit(&team.name, &forced("1.0.0"));
    let shop = Application::new(&argo, &team.name, team.namespace(), &[]).await;
    shop.synced(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    let second = shop.commit(&forced("2.0.0")).await;
    let denial = team.denial();
    team.stays_until(&uid, "the denial", async || shop.told(&denial).await).await;
    shop.retried(2).await;
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid.clone()), "the Deployment that ran is still there");
    let ready = team.live().get().await.status.unwrap_or_default().available_replicas;
    assert_eq!(ready, Some(1), "and serves");

    team.verify();
    shop.synced(&second).await;
    team.recorded("2.0.0").await;
    assert_eq!(team.runs().await, ("2.0.0".to_owned(), uid));
    shop.delete().await;
}

#[tokio::test]
async fn the_account_that_argo_cd_ships_with_is_judged_whatever_is_written_into_git() {
    let argo = ArgoCd::shared().await;
    let team = Team::new(&argo.setup, "argo-bypass").await;
    let first = argo.commit(&team.name, &team.manifests("1.0.0"));
    let shop = Application::new(&argo, &team.name, team.namespace(), &[]).await;
    shop.synced(&first).await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    let mut stated: Vec<Value> = team.manifests("2.0.0");
    stated[1]["metadata"]["annotations"]["pact-operator.dev/bypass"] = json!("2.0.0 the shop is down");
    shop.commit(&stated).await;
    let denial = team.denial();
    team.stays_until(&uid, "the denial", async || shop.told(&denial).await).await;
    shop.told("The annotation pact-operator.dev/bypass does not count").await.unwrap();
    shop.told("webhook.bypassServiceAccounts").await.unwrap();
    shop.delete().await;
}
