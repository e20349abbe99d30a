//! A wave that waits for a `PactRecord`, with the script and the manifest that the book prints.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::standin::Fault;
use testbed::test_cluster::{SOON, annotated};

use crate::argocd::{ArgoCd, NAMESPACE};
use crate::argocd_application::Application;
use crate::guide;
use crate::hold_setup::free;
use crate::team::Team;

/// What the team commits: a Deployment whose pods the test releases, the `PactRecord` of the book in the next wave, and
/// in the one after that what must not come before it.
fn manifests(team: &Team, version: &str) -> Vec<Value> {
    let deployment = annotated(&team.name, &team.name, version).held().manifest().clone();
    let wave = |object: &Value| object["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"].clone();
    let mut record = guide::WAITING.yaml_where("PactRecord", "stock", |object| wave(object) == "1");
    record["metadata"]["name"] = json!(team.name);
    record["spec"]["workloadRef"]["name"] = json!(team.name);
    assert!(record["spec"]["version"].is_string(), "the book advises one: {record}");
    record["spec"]["version"] = json!(version);
    let after = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"for": version},
        "metadata": {"name": "settings", "annotations": {"argocd.argoproj.io/sync-wave": "2"}},
    });
    vec![deployment, record, after]
}

/// Argo CD with the script, in the `ConfigMap` that the book names.
async fn with_script(argo: &ArgoCd) {
    let data = json!({"resource.customizations.health.pact-operator.dev_PactRecord": guide::WAITING.block("lua")});
    let api = Api::<ConfigMap>::namespaced(argo.setup.cluster.client(), NAMESPACE);
    let patch = Patch::Merge(json!({"data": data}));
    api.patch("argocd-cm", &PatchParams::default(), &patch).await.expect("Argo CD's settings");
}

/// The version of what comes after the record.
async fn after(team: &Team) -> Option<String> {
    let api = Api::<ConfigMap>::namespaced(team.setup.cluster.client(), team.namespace());
    let found = api.get_opt("settings").await.expect("the API server answers");
    found.and_then(|found| found.data?.remove("for"))
}

/// Checks for a while that what comes after the record is as it was.
async fn stays(team: &Team, why: &str, version: Option<&str>) {
    always(format!("the last wave is as it was: {why}"), Duration::from_secs(5), async || {
        let found = after(team).await;
        if found.as_deref() == version { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Waits until the operation's message has this text.
async fn told(app: &Application, text: &str) {
    eventually(format!("to be told {text}"), SOON, async || app.told(text).await).await;
}

#[tokio::test]
async fn a_wave_waits_until_the_version_of_the_commit_is_recorded() {
    let argo = ArgoCd::shared().await;
    with_script(&argo).await;
    let team = Team::new(&argo.setup, "argo-waits").await;
    team.verified("3.0.0", true);
    let for_rollout = format!("waiting for healthy state of apps/Deployment/{}", team.name);
    let for_record = format!("waiting for healthy state of pact-operator.dev/PactRecord/{}", team.name);

    let first = argo.commit(&team.name, &manifests(&team, "1.0.0"));
    let app = Application::new(&argo, &team.name, team.namespace(), &[]).await;
    told(&app, &for_rollout).await;
    stays(&team, "the pods are not ready", None).await;
    team.live().release().await;
    app.synced(&first).await;
    assert_eq!(team.setup.cluster.recorded(&team.environment.name, &team.name).as_deref(), Some("1.0.0"));
    assert_eq!(after(&team).await.as_deref(), Some("1.0.0"));

    // Denied; verified; rolled out; and only the broker does not take the record yet.
    let second = app.commit(&manifests(&team, "2.0.0")).await;
    told(&app, &team.denial()).await;
    app.retried(2).await;
    let faults = team.setup.cluster.broker.faults();
    faults.add(Fault::status(503).method("POST").path(&format!("/pacticipants/{}/versions/", team.name)));
    team.verify();
    told(&app, &for_rollout).await;
    stays(&team, "the pods are not ready", Some("1.0.0")).await;
    team.live().release().await;
    told(&app, &for_record).await;
    stays(&team, "it is not recorded", Some("1.0.0")).await;
    let waiting = app.get().await;
    assert_eq!(waiting["status"]["health"]["status"], "Progressing", "{}", app.seen(&waiting));
    faults.clear();
    app.synced(&second).await;
    team.recorded("2.0.0").await;
    assert_eq!(after(&team).await.as_deref(), Some("2.0.0"));

    // Nobody looks at the next one: the status says that the one before is recorded.
    let operator = &team.setup.cluster.operators[0];
    operator.signal("STOP");
    // The operator has to go on whatever comes of this.
    let outcome = AssertUnwindSafe(async {
        let third = app.commit(&manifests(&team, "3.0.0")).await;
        told(&app, &for_rollout).await;
        team.live().release().await;
        told(&app, &for_record).await;
        stays(&team, "the status of the release before is no answer", Some("2.0.0")).await;
        third
    });
    let outcome = outcome.catch_unwind().await;
    operator.signal("CONT");
    let third = outcome.unwrap();
    app.synced(&third).await;
    assert_eq!(team.setup.cluster.recorded(&team.environment.name, &team.name).as_deref(), Some("3.0.0"));
    assert_eq!(after(&team).await.as_deref(), Some("3.0.0"));
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0", "Deployed 3.0.0"]);
    app.delete().await;
}

/// What comes after the Deployment waits for the verification, too.
#[tokio::test]
async fn a_wave_waits_while_its_deployment_is_held() {
    let argo = ArgoCd::holding().await;
    with_script(&argo).await;
    let team = Team::holding(&argo.setup, "argo-waits-held").await;
    let first = argo.commit(&team.name, &manifests(&team, "1.0.0"));
    let app = Application::new(&argo, &team.name, team.namespace(), &[]).await;
    team.rolled_out("1.0.0").await;
    team.live().release().await;
    app.synced(&first).await;
    team.ready_to_hold().await;

    let second = app.commit(&manifests(&team, "2.0.0")).await;
    team.held("2.0.0").await;
    told(&app, &format!("waiting for healthy state of apps/Deployment/{}", team.name)).await;
    stays(&team, "its Deployment is held", Some("1.0.0")).await;
    team.verify();
    team.live().wait("it to be resumed", free).await;
    team.live().wait_updated().await;
    stays(&team, "the pods are not ready", Some("1.0.0")).await;
    team.live().release().await;
    app.synced(&second).await;
    assert_eq!(argo.setup.cluster.recorded(&team.environment.name, &team.name).as_deref(), Some("2.0.0"));
    assert_eq!(after(&team).await.as_deref(), Some("2.0.0"));
    app.delete().await;
}
