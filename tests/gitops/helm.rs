//! The real helm around the gate, as a person or a pipeline runs it. Its rollback on failure is in
//! `tests/promises/gate_helm.rs`, too.

use std::path::Path;

use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use testbed::chart::helm_as;
use testbed::eventually::eventually;
use testbed::test_cluster::SOON;

use crate::gate_setup::{CommandOutput, GateSetup};
use crate::hold_setup::held;
use crate::holding;
use crate::team::Team;
use crate::team_chart::{self, HOOK};

#[tokio::test]
async fn a_denied_upgrade_shows_the_reason_after_its_hooks_ran_and_goes_through_once_verified() {
    let (team, folder) = released("helm-orders").await;
    let (_, uid) = team.runs().await;
    let output = upgrade(&team, folder.path(), "2.0.0", &["--wait", "--timeout=60s"]).await;
    assert_ne!(output.code, 0, "{output:?}");
    assert!(output.err.contains(&team.denial()), "{output:?}");
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid.clone()));
    // What runs before an upgrade has run: a hook is no part of what helm applies at once.
    let jobs = Api::<Job>::namespaced(team.setup.cluster.client(), team.namespace());
    let hook = jobs.get(HOOK).await.expect("the hook of the denied upgrade");
    let image = hook.spec.unwrap().template.spec.unwrap().containers.remove(0).image.unwrap();
    assert!(image.ends_with(":2.0.0"), "{image}");
    let status = helm(&team, folder.path(), &["status", "shop"]).await.out;
    assert!(status.contains("STATUS: failed"), "{status}");

    team.verify();
    eventually("the same command to go through", SOON, async || {
        let output = upgrade(&team, folder.path(), "2.0.0", &["--wait", "--timeout=60s"]).await;
        if output.code == 0 { Ok(()) } else { Err(output.err) }
    })
    .await;
    team.recorded("2.0.0").await;
    assert_eq!(team.runs().await, ("2.0.0".to_owned(), uid));
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);
}

#[tokio::test]
async fn the_way_back_of_a_denied_upgrade_is_not_denied() {
    let (team, folder) = released("helm-back").await;
    let (_, uid) = team.runs().await;
    let output = upgrade(&team, folder.path(), "2.0.0", &["--rollback-on-failure", "--wait", "--timeout=60s"]).await;
    assert_ne!(output.code, 0, "{output:?}");
    assert!(output.err.contains(&team.denial()), "{output:?}");
    let history = helm(&team, folder.path(), &["history", "shop"]).await.out;
    let last = history.lines().last().unwrap_or_default();
    assert!(last.contains("deployed") && last.contains("Rollback to 1"), "{history}");
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid));
}

/// `kubectl diff` asks the API server with a dry-run. That changes nothing, and still gets the verdict.
#[tokio::test]
async fn a_look_ahead_on_the_server_shows_the_denial_and_helms_own_dry_run_does_not() {
    let (team, folder) = released("helm-ahead").await;
    let calls = team.setup.webhook.reviews().await;
    let output = upgrade(&team, folder.path(), "2.0.0", &["--dry-run=server"]).await;
    assert_eq!((output.code, team.setup.webhook.reviews().await), (0, calls), "{output:?}");
    let chart = folder.path().join("chart").display().to_string();
    let template = ["template", "shop", &chart, "--no-hooks", "--set-string", "version=2.0.0"];
    let rendered = helm(&team, folder.path(), &template).await.out;
    let output = team.setup.kubectl_reading(team.namespace(), &["diff", "-f", "-"], &rendered).await;
    assert!(output.code > 1 && output.err.contains(&team.denial()), "{output:?}");
}

/// With each of its ways to wait: helm takes what is paused for ready.
#[tokio::test]
async fn an_upgrade_that_is_held_succeeds_and_does_not_resume_it() {
    let team = Team::holding(&holding::setup().await, "helm-held").await;
    let folder = release(&team).await;
    team.ready_to_hold().await;
    let output = upgrade(&team, folder.path(), "2.0.0", &[]).await;
    assert_eq!(output.code, 0, "{output:?}");
    let before = team.held("2.0.0").await;
    for wait in ["--wait", "--wait=legacy"] {
        let output = upgrade(&team, folder.path(), "2.0.0", &[wait, "--timeout=20s"]).await;
        assert_eq!(output.code, 0, "{wait}: {output:?}");
    }
    assert_eq!(held(&team.live().get().await), held(&before));

    team.verify();
    team.resumed("2.0.0").await;
    let output = upgrade(&team, folder.path(), "2.0.0", &["--wait", "--timeout=60s"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);
}

/// A team whose release `shop` runs 1.0.0, and the folder with its chart.
async fn released(name: &str) -> (Team, tempfile::TempDir) {
    let team = Team::new(&GateSetup::shared().await, name).await;
    let folder = release(&team).await;
    (team, folder)
}

/// Releases 1.0.0 of a team as `shop`; gives the folder with its chart.
async fn release(team: &Team) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    team_chart::write(folder.path(), &team.name, &team.deployment("{{ .Values.version }}"));
    let output = upgrade(team, folder.path(), "1.0.0", &["--wait", "--timeout=60s"]).await;
    assert_eq!(output.code, 0, "{output:?}");
    team.recorded("1.0.0").await;
    folder
}

async fn upgrade(team: &Team, folder: &Path, version: &str, more: &[&str]) -> CommandOutput {
    let (chart, version) = (folder.join("chart").display().to_string(), format!("version={version}"));
    let arguments = ["upgrade", "--install", "shop", &chart, "--set-string", &version];
    helm(team, folder, &[&arguments[..], more].concat()).await
}

async fn helm(team: &Team, folder: &Path, arguments: &[&str]) -> CommandOutput {
    let kubeconfig = team.setup.developer.kubeconfig();
    CommandOutput::of(&helm_as(kubeconfig, team.namespace(), folder, arguments).await)
}
