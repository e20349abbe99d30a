//! A rollout that is held, in Argo CD: it is in sync, nothing is tried again and again, and nothing but the operator or the
//! next commit ends the pause.

use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::shared::InUse;
use testbed::test_cluster::SOON;

use crate::argocd::ArgoCd;
use crate::argocd_application::{Application, spec};
use crate::guide;
use crate::hold_setup::held;
use crate::holding::calls;
use crate::team::Team;

/// What Git says of the pause.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Git {
    /// Nothing.
    Silent,
    /// `paused: false`.
    False,
}

/// The Application of the guide that heals itself, with these sync options.
async fn application(argo: &InUse<ArgoCd>, team: &Team, settings: Option<Value>, options: &[&str]) -> Application {
    let mut spec = spec(argo, &team.name, team.namespace(), options);
    spec["syncPolicy"]["automated"]["selfHeal"] = json!(true);
    for (key, value) in settings.iter().flat_map(|settings| settings.as_object().expect("settings")) {
        spec[key] = value.clone();
    }
    Application::with(argo, &team.name, spec).await
}

/// What the book prints for a manifest that says `paused: false`.
fn printed() -> Value {
    guide::HOLD.part("the Application")["spec"].take()
}

/// What is committed for a version, with a note in its `ConfigMap`.
fn manifests(team: &Team, git: Git, version: &str, note: &str) -> Vec<Value> {
    let mut objects = team.manifests(version);
    objects[0]["data"]["note"] = json!(note);
    if git == Git::False {
        objects[1]["spec"]["paused"] = json!(false);
    }
    objects
}

async fn held_until_verified(name: &str, git: Git, settings: Option<Value>, options: &[&str]) {
    let argo = ArgoCd::holding().await;
    let team = Team::holding(&argo.setup, name).await;
    let first = argo.commit(name, &manifests(&team, git, "1.0.0", ""));
    let shop = application(&argo, &team, settings, options).await;
    shop.synced(&first).await;
    team.ready_to_hold().await;

    let second = shop.commit(&manifests(&team, git, "2.0.0", "")).await;
    let before = team.held("2.0.0").await;
    stays_in_sync(&argo, &shop, &second, git).await;
    assert_eq!(argo.setup.reported(team.namespace()).await, [format!("{name} RolloutHeld")]);

    // A commit on top, which has nothing to do with it.
    let third = shop.commit(&manifests(&team, git, "2.0.0", "on top")).await;
    stays_in_sync(&argo, &shop, &third, git).await;
    let now = team.held("2.0.0").await;
    assert_eq!(now.metadata.generation, before.metadata.generation, "nothing of it was changed");
    assert_eq!(held(&now), held(&before), "since when it is held");

    // What the operator notes is no difference either.
    team.verified("2.0.0", false);
    argo.setup.cluster.wait_event(team.namespace(), name, "HoldRefused").await;
    team.live().wait("the note", |live| held(live).1.is_some_and(|note| note.ends_with("Refused"))).await;
    stays_in_sync(&argo, &shop, &third, git).await;

    team.verify();
    team.resumed("2.0.0").await;
    shop.synced(&third).await;
    at_rest(&argo, &shop, "Healthy", git).await;

    // The next version is held, and a revert lets go of it.
    shop.commit(&manifests(&team, git, "3.0.0", "")).await;
    team.held("3.0.0").await;
    let reverted = shop.revert().await;
    team.rolled_out("2.0.0").await;
    shop.synced(&reverted).await;
    team.resumed("2.0.0").await;
    at_rest(&argo, &shop, "Healthy", git).await;
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);
    shop.delete().await;
}

/// Waits until Argo CD is done with this commit, whose Deployment is held, and checks that it stays so.
async fn stays_in_sync(argo: &ArgoCd, shop: &Application, commit: &str, git: Git) {
    shop.wait(&format!("to be Synced at {commit} and Suspended"), |object| {
        let status = &object["status"];
        status["sync"]["status"] == "Synced"
            && status["sync"]["revision"] == commit
            && status["health"]["status"] == "Suspended"
            && status["operationState"]["phase"] == "Succeeded"
    })
    .await;
    at_rest(argo, shop, "Suspended", git).await;
}

/// Checks over some comparisons that it is in sync with this health, and that nobody asks for anything.
async fn at_rest(argo: &ArgoCd, shop: &Application, health: &str, git: Git) {
    let before = calls(&argo.setup).await;
    shop.refresh().await;
    shop.compared_again(5, |object| {
        let status = &object["status"];
        assert_eq!(status["sync"]["status"], "Synced", "{}", shop.seen(object));
        assert_eq!(status["health"]["status"], health, "{}", shop.seen(object));
    })
    .await;
    let now = calls(&argo.setup).await;
    assert_eq!(now.0, before.0, "nothing is applied: {}", shop.seen(&shop.get().await));
    // A server-side diff of `paused: false` is a dry-run that the mutating webhook is asked about.
    if git == Git::Silent {
        assert_eq!(now.1, before.1, "nothing is compared by the webhook");
    }
}

#[tokio::test]
async fn what_is_held_is_in_sync_and_suspended_and_goes_on_by_itself_once_verified() {
    held_until_verified("argo-held", Git::Silent, None, &[]).await;
}

#[tokio::test]
async fn with_server_side_apply_what_is_held_is_in_sync_too() {
    held_until_verified("argo-held-ssa", Git::Silent, None, &["ServerSideApply=true"]).await;
}

#[tokio::test]
async fn with_the_printed_settings_a_manifest_that_says_paused_false_is_in_sync() {
    held_until_verified("argo-held-false", Git::False, Some(printed()), &[]).await;
}

#[tokio::test]
async fn with_server_side_apply_a_manifest_that_says_paused_false_is_in_sync_without_settings() {
    held_until_verified("argo-held-false-ssa", Git::False, None, &["ServerSideApply=true"]).await;
}

#[tokio::test]
async fn without_settings_a_manifest_that_says_paused_false_is_applied_again_and_again() {
    let argo = ArgoCd::holding().await;
    let team = Team::holding(&argo.setup, "argo-held-loop").await;
    let first = argo.commit(&team.name, &manifests(&team, Git::False, "1.0.0", ""));
    let shop = application(&argo, &team, None, &[]).await;
    shop.synced(&first).await;
    team.ready_to_hold().await;
    let second = shop.commit(&manifests(&team, Git::False, "2.0.0", "")).await;
    let before = team.held("2.0.0").await;
    let start = calls(&argo.setup).await;
    eventually("it to be applied again and again", SOON * 2, async || {
        let object = shop.get().await;
        let status = &object["status"];
        assert_ne!((&status["sync"]["revision"], &status["sync"]["status"]), (&json!(second), &json!("Synced")));
        let now = calls(&argo.setup).await;
        assert_eq!(
            now.0, start.0,
            "the mutating webhook makes no change of it, of which the validating one would be asked"
        );
        if now.1 >= start.1 + 3 { Ok(()) } else { Err(shop.seen(&object)) }
    })
    .await;
    assert_eq!(held(&team.live().get().await), held(&before));
    team.verify();
    team.resumed("2.0.0").await;
    shop.synced(&second).await;
    shop.delete().await;
}
