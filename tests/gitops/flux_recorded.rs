//! A Kustomization that depends on one with a `PactRecord`, with the manifests that the book prints.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::standin::Fault;
use testbed::test_cluster::{SOON, annotated};

use crate::flux::{Flux, Kustomization};
use crate::guide;
use crate::team::Team;

/// How the Kustomization knows that the record is there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Checks {
    /// By the expressions that are printed.
    Expressions,
    /// By the conditions, as kstatus reads them.
    Alone,
}

/// Commits a version to the folders that the book names: the workload with its `PactRecord`, and what comes after it.
async fn commit(flux: &Flux, team: &Team, version: &str) -> String {
    let deployment = annotated(&team.name, &team.name, version).held().manifest().clone();
    let mut record = guide::WAITING.yaml("PactRecord", "stock");
    record["metadata"]["name"] = json!(team.name);
    record["spec"]["workloadRef"]["name"] = json!(team.name);
    assert!(record["spec"]["version"].is_string(), "the book advises one: {record}");
    record["spec"]["version"] = json!(version);
    let after = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"for": version},
    });
    flux.commit_folders(team.namespace(), &[("stock", &[deployment, record]), ("web", &[after])]).await
}

/// The two Kustomizations that the book prints.
async fn kustomizations<'a>(flux: &'a Flux, team: &Team, checks: Checks) -> [Kustomization<'a>; 2] {
    let stock = guide::WAITING.yaml("Kustomization", "stock");
    let mut checked = stock["spec"]["healthChecks"].clone();
    checked[0]["name"] = json!(team.name);
    checked[0]["namespace"] = json!(team.namespace());
    let mut more = json!({"targetNamespace": team.namespace(), "healthChecks": checked});
    if checks == Checks::Alone {
        more["healthCheckExprs"] = Value::Null;
    }
    let stock = flux.apply_printed(team.namespace(), stock, more).await;
    let web = guide::WAITING.yaml("Kustomization", "web");
    let web = flux.apply_printed(team.namespace(), web, json!({"targetNamespace": team.namespace()})).await;
    [stock, web]
}

/// The version of what comes after the record.
async fn after(team: &Team) -> Option<String> {
    let api = Api::<ConfigMap>::namespaced(team.setup.cluster.client(), team.namespace());
    let found = api.get_opt("settings").await.expect("the API server answers");
    found.and_then(|found| found.data?.remove("for"))
}

/// Checks for a while that what depends on it is as it was.
async fn stays(team: &Team, why: &str, version: Option<&str>) {
    always(format!("what depends on it is as it was: {why}"), Duration::from_secs(6), async || {
        let found = after(team).await;
        if found.as_deref() == version { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await;
}

/// Waits until it waits for the other one.
async fn waits(web: &Kustomization<'_>) {
    eventually("it to wait for what it depends on", SOON, async || {
        let (status, why, message) = web.ready().await;
        if (&*status, &*why) == ("False", "DependencyNotReady") { Ok(()) } else { Err(format!("{why}: {message}")) }
    })
    .await;
}

async fn waits_until_recorded(name: &str, checks: Checks) {
    let flux = Flux::shared().await;
    let team = Team::new(&flux.setup, name).await;
    team.verified("3.0.0", true);
    let first = commit(&flux, &team, "1.0.0").await;
    let [stock, web] = kustomizations(&flux, &team, checks).await;
    waits(&web).await;
    team.live().wait_updated().await;
    stays(&team, "the pods are not ready", None).await;
    team.live().release().await;
    web.applied(&first).await;
    assert_eq!(team.setup.cluster.recorded(&team.environment.name, name).as_deref(), Some("1.0.0"));
    stock.applied(&first).await;

    // Denied; verified; rolled out; and only the broker does not take the record yet.
    let second = commit(&flux, &team, "2.0.0").await;
    let denial = team.denial();
    eventually("the denial", SOON, async || stock.denied(&denial).await).await;
    let faults = team.setup.cluster.broker.faults();
    faults.add(Fault::status(503).method("POST").path(&format!("/pacticipants/{name}/versions/")));
    team.verify();
    team.rolled_out("2.0.0").await;
    team.live().wait_updated().await;
    waits(&web).await;
    stays(&team, "the pods are not ready", Some("1.0.0")).await;
    team.live().release().await;
    stays(&team, "it is not recorded", Some("1.0.0")).await;
    faults.clear();
    web.applied(&second).await;
    assert_eq!(team.setup.cluster.recorded(&team.environment.name, name).as_deref(), Some("2.0.0"));
    assert_eq!(after(&team).await.as_deref(), Some("2.0.0"));

    // Nobody looks at the next one: the status says that the one before is recorded.
    let operator = &team.setup.cluster.operators[0];
    operator.signal("STOP");
    let outcome = AssertUnwindSafe(async {
        let third = commit(&flux, &team, "3.0.0").await;
        team.rolled_out("3.0.0").await;
        team.live().wait_updated().await;
        team.live().release().await;
        stays(&team, "the status of the release before is no answer", Some("2.0.0")).await;
        third
    });
    let outcome = outcome.catch_unwind().await;
    operator.signal("CONT");
    web.applied(&outcome.unwrap()).await;
    assert_eq!(team.setup.cluster.recorded(&team.environment.name, name).as_deref(), Some("3.0.0"));
    assert_eq!(after(&team).await.as_deref(), Some("3.0.0"));
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0", "Deployed 3.0.0"]);
    web.delete().await;
    stock.delete().await;
}

#[tokio::test]
async fn what_depends_on_a_pact_record_waits_until_the_version_is_recorded() {
    waits_until_recorded("flux-recorded", Checks::Expressions).await;
}

#[tokio::test]
async fn health_checks_without_expressions_suffice_for_a_pact_record() {
    waits_until_recorded("flux-recorded-alone", Checks::Alone).await;
}
