//! A rollout that is held, in Argo CD: it is in sync, nothing is tried again and again, and nothing but the operator or the
//! next commit ends the pause.

use serde_json::{Value, json};

use crate::argocd::ArgoCd;
use crate::argocd_application::{Application, spec};
use crate::guide;
use crate::holding::calls;
use crate::team::Team;

/// What Git says of the pause, and whether the Application has the settings that the book prints.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// Nothing, and no settings.
    Silent,
    /// Nothing, with the settings.
    SilentWithSettings,
    /// `paused: false`, with the settings.
    FalseWithSettings,
}

/// The Application of the guide that heals itself, in this case, with these sync options.
async fn application(argo: &testbed::shared::InUse<ArgoCd>, team: &Team, case: Case, options: &[&str]) -> Application {
    let mut spec = spec(argo, &team.name, team.namespace(), options);
    spec["syncPolicy"]["automated"]["selfHeal"] = json!(true);
    if case != Case::Silent {
        let printed = guide::HOLD.part("the Application")["spec"].take();
        spec["ignoreDifferences"] = printed["ignoreDifferences"].clone();
        assert!(spec["ignoreDifferences"].is_array(), "{printed}");
        let all = spec["syncPolicy"]["syncOptions"].as_array_mut().expect("options");
        all.extend(printed["syncPolicy"]["syncOptions"].as_array().expect("options").iter().cloned());
    }
    Application::with(argo, &team.name, spec).await
}

/// What is committed for a version, with a note in its `ConfigMap`.
fn manifests(team: &Team, case: Case, version: &str, note: &str) -> Vec<Value> {
    let mut objects = team.manifests(version);
    objects[0]["data"]["note"] = json!(note);
    if case == Case::FalseWithSettings {
        objects[1]["spec"]["paused"] = json!(false);
    }
    objects
}

async fn held_until_verified(name: &str, case: Case, options: &[&str]) {
    let argo = ArgoCd::holding().await;
    let team = Team::holding(&argo.setup, name).await;
    let first = argo.commit(name, &manifests(&team, case, "1.0.0", ""));
    let shop = application(&argo, &team, case, options).await;
    shop.synced(&first).await;
    team.ready_to_hold().await;

    let second = shop.commit(&manifests(&team, case, "2.0.0", "")).await;
    let before = team.held("2.0.0").await;
    held_and_in_sync(&argo, &shop, &second).await;
    assert_eq!(argo.setup.reported(team.namespace()).await, [format!("{name} RolloutHeld")]);

    // A commit on top, which has nothing to do with it.
    let third = shop.commit(&manifests(&team, case, "2.0.0", "on top")).await;
    held_and_in_sync(&argo, &shop, &third).await;
    let now = team.held("2.0.0").await;
    assert_eq!(now.metadata.generation, before.metadata.generation, "nothing of it was changed");
    assert_eq!(crate::hold_setup::held(&now), crate::hold_setup::held(&before), "since when it is held");

    team.verify();
    team.resumed("2.0.0").await;
    shop.synced(&third).await;
    at_rest(&argo, &shop, "Healthy").await;

    // The next version is held, and a revert lets go of it.
    shop.commit(&manifests(&team, case, "3.0.0", "")).await;
    team.held("3.0.0").await;
    let reverted = shop.revert().await;
    team.rolled_out("2.0.0").await;
    shop.synced(&reverted).await;
    team.resumed("2.0.0").await;
    at_rest(&argo, &shop, "Healthy").await;
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);
    shop.delete().await;
}

/// Waits until Argo CD is done with this commit, whose Deployment is held, and checks that it stays so.
async fn held_and_in_sync(argo: &ArgoCd, shop: &Application, commit: &str) {
    shop.wait(&format!("to be Synced at {commit} and Suspended"), |object| {
        let status = &object["status"];
        status["sync"]["status"] == "Synced"
            && status["sync"]["revision"] == commit
            && status["health"]["status"] == "Suspended"
            && status["operationState"]["phase"] == "Succeeded"
    })
    .await;
    at_rest(argo, shop, "Suspended").await;
}

/// Checks over some comparisons that it is in sync with this health, and that nobody asks for anything.
async fn at_rest(argo: &ArgoCd, shop: &Application, health: &str) {
    let before = calls(&argo.setup).await;
    shop.refresh().await;
    shop.compared_again(5, |object| {
        let status = &object["status"];
        assert_eq!(status["sync"]["status"], "Synced", "{}", shop.seen(object));
        assert_eq!(status["health"]["status"], health, "{}", shop.seen(object));
    })
    .await;
    assert_eq!(calls(&argo.setup).await, before, "the webhooks are not called: {}", shop.seen(&shop.get().await));
}

#[tokio::test]
async fn what_is_held_is_in_sync_and_suspended_and_goes_on_by_itself_once_verified() {
    held_until_verified("argo-held", Case::Silent, &[]).await;
}

#[tokio::test]
async fn with_server_side_apply_what_is_held_is_in_sync_too() {
    held_until_verified("argo-held-ssa", Case::Silent, &["ServerSideApply=true"]).await;
}

#[tokio::test]
async fn the_printed_settings_do_no_harm() {
    held_until_verified("argo-held-set", Case::SilentWithSettings, &[]).await;
}

#[tokio::test]
async fn with_the_printed_settings_a_manifest_that_says_paused_false_is_in_sync() {
    held_until_verified("argo-held-false", Case::FalseWithSettings, &[]).await;
}

#[tokio::test]
async fn with_the_printed_settings_and_server_side_apply_so_is_one_that_says_paused_false() {
    held_until_verified("argo-held-false-ssa", Case::FalseWithSettings, &["ServerSideApply=true"]).await;
}
