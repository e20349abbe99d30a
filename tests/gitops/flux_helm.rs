//! A `HelmRelease` around the gate: helm-controller releases a chart, is denied, and what it does then.

use std::fs;
use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::{Map, Value, json};
use testbed::chart::helm_as;
use testbed::eventually::eventually;
use testbed::test_cluster::SOON;

use crate::built::apply;
use crate::flux::Flux;
use crate::hold_setup::held;
use crate::team::{Team, api};
use crate::{guide, holding, team_chart};

#[tokio::test]
async fn a_denied_release_is_told_and_goes_through_by_itself_once_verified() {
    let flux = Flux::shared().await;
    let team = Team::new(&flux.setup, "flux-helm").await;
    chart(&flux, &team).await;
    release(&flux, &team, "1.0.0", Strategy::OfTheGuide).await;
    released(&flux, &team, "1.0.0").await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    release(&flux, &team, "2.0.0", Strategy::OfTheGuide).await;
    denied(&flux, &team, &uid).await;

    team.verify();
    released(&flux, &team, "2.0.0").await;
    team.recorded("2.0.0").await;
    assert_eq!(team.runs().await, ("2.0.0".to_owned(), uid));
    assert_eq!(team.writes(), ["Deployed 1.0.0", "Deployed 2.0.0"]);
    let calls = flux.setup.webhook.reviews().await;
    request(&flux, &team, &["requestedAt"]).await;
    assert_eq!(flux.setup.webhook.reviews().await, calls, "a release that is applied asks for nothing");
    drop(releases(&flux, &team).delete("shop", &DeleteParams::default()).await);
}

#[tokio::test]
async fn a_denied_release_without_a_strategy_gives_up_until_somebody_asks() {
    let flux = Flux::shared().await;
    let team = Team::new(&flux.setup, "flux-helm-once").await;
    chart(&flux, &team).await;
    release(&flux, &team, "1.0.0", Strategy::None).await;
    released(&flux, &team, "1.0.0").await;
    team.recorded("1.0.0").await;
    let (_, uid) = team.runs().await;

    release(&flux, &team, "2.0.0", Strategy::None).await;
    denied(&flux, &team, &uid).await;
    eventually("helm-controller to give up", SOON, async || {
        let stalled = condition(&helm_release(&flux, &team).await, "Stalled");
        if stalled["status"] == "True" { Ok(()) } else { Err(format!("{stalled}\n{}", flux.log())) }
    })
    .await;
    team.verify();
    // To reconcile it is not enough.
    request(&flux, &team, &["requestedAt"]).await;
    team.at_rest(Duration::from_secs(5)).await;
    assert_eq!(team.runs().await, ("1.0.0".to_owned(), uid.clone()));
    // `flux reconcile helmrelease shop --reset`
    request(&flux, &team, &["requestedAt", "resetAt"]).await;
    released(&flux, &team, "2.0.0").await;
    team.recorded("2.0.0").await;
    assert_eq!(team.runs().await, ("2.0.0".to_owned(), uid));
    drop(releases(&flux, &team).delete("shop", &DeleteParams::default()).await);
}

#[tokio::test]
async fn a_release_is_ready_while_it_is_held_and_sees_no_drift() {
    let flux = Flux::holding().await;
    let team = Team::holding(&flux.setup, "flux-helm-drift").await;
    chart(&flux, &team).await;
    let more = json!({"driftDetection": {"mode": "enabled"}, "timeout": "20s"});
    release_with(&flux, &team, "1.0.0", Strategy::OfTheGuide, &more).await;
    released(&flux, &team, "1.0.0").await;
    team.ready_to_hold().await;

    release_with(&flux, &team, "2.0.0", Strategy::OfTheGuide, &more).await;
    let before = team.held("2.0.0").await;
    // It waits for its objects by default, and takes one that is paused for ready.
    released(&flux, &team, "2.0.0").await;
    assert_eq!(held(&team.live().get().await), held(&before));
    let calls = holding::calls(&flux.setup).await;
    for _ in 0..3 {
        request(&flux, &team, &["requestedAt"]).await;
    }
    let live = team.live().get().await;
    assert_eq!((held(&live), live.metadata.generation), (held(&before), before.metadata.generation));
    assert_eq!(holding::calls(&flux.setup).await, calls, "nothing is corrected: {}", flux.log());

    // It does correct what is a drift.
    let count = live.spec.as_ref().and_then(|spec| spec.replicas);
    team.live().set_replicas(3).await;
    request(&flux, &team, &["requestedAt"]).await;
    let deployment = team.live();
    let corrected = deployment
        .wait("the drift to be corrected", |live| live.spec.as_ref().and_then(|spec| spec.replicas) == count)
        .await;
    assert_eq!(held(&corrected), held(&before));

    team.verify();
    team.resumed("2.0.0").await;
    drop(releases(&flux, &team).delete("shop", &DeleteParams::default()).await);
}

/// Waits until the release is refused for our reason, while the Deployment stays.
async fn denied(flux: &Flux, team: &Team, uid: &str) {
    let denial = team.denial();
    team.stays_until(uid, "the denial", async || {
        let ready = condition(&helm_release(flux, team).await, "Ready");
        let told = ready["status"] == "False" && ready["message"].as_str().unwrap_or_default().contains(&denial);
        if told { Ok(()) } else { Err(format!("{ready}\n{}", flux.log())) }
    })
    .await;
}

/// Asks for a reconciliation with these of Flux's annotations, and waits until it is done.
async fn request(flux: &Flux, team: &Team, annotations: &[&str]) {
    let token = uuid::Uuid::new_v4().to_string();
    let asked: Map<_, _> =
        annotations.iter().map(|name| (format!("reconcile.fluxcd.io/{name}"), json!(token))).collect();
    let patch = Patch::Merge(json!({"metadata": {"annotations": asked}}));
    releases(flux, team).patch("shop", &PatchParams::default(), &patch).await.expect("a HelmRelease");
    eventually("the release to be reconciled", SOON, async || {
        let handled = helm_release(flux, team).await["status"]["lastHandledReconcileAt"].clone();
        if handled == token { Ok(()) } else { Err(handled.to_string()) }
    })
    .await;
}

/// The team's chart, as source-controller would have fetched it.
async fn chart(flux: &Flux, team: &Team) {
    publish_chart(flux, team.namespace(), &team.name, &team.deployment("{{ .Values.version }}")).await;
}

/// A chart of this name with this Deployment, as the `HelmChart` of a namespace.
pub async fn publish_chart(flux: &Flux, namespace: &str, name: &str, deployment: &Value) {
    let folder = tempfile::tempdir().unwrap();
    team_chart::write(folder.path(), name, deployment);
    let (chart, to) = (folder.path().join("chart").display().to_string(), folder.path().display().to_string());
    let kubeconfig = flux.setup.developer.kubeconfig();
    let packed = helm_as(kubeconfig, namespace, folder.path(), &["package", &chart, "--destination", &to]).await;
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let archive = fs::read(folder.path().join(format!("{name}-1.0.0.tgz"))).unwrap();
    let spec = json!({
        "chart": name, "version": "1.0.0", "interval": "1h", "sourceRef": {"kind": "HelmRepository", "name": "shop"},
    });
    flux.publish("HelmChart", namespace, spec, &archive, "1.0.0+").await;
}

/// What helm-controller does after a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// As the guide has it, but for shorter pauses.
    OfTheGuide,
    /// As without one.
    None,
}

/// The release that the guide has, with this version.
async fn release(flux: &Flux, team: &Team, version: &str, strategy: Strategy) {
    release_with(flux, team, version, strategy, &json!({})).await;
}

/// The same, with this in its spec.
async fn release_with(flux: &Flux, team: &Team, version: &str, strategy: Strategy, more: &Value) {
    let mut release = printed_release(version, strategy);
    for (key, value) in more.as_object().into_iter().flatten() {
        release["spec"][key] = value.clone();
    }
    apply(&flux.setup.cluster.control_plane, team.namespace(), &[release]).await;
}

/// The release `shop` that the guide has, of the `HelmChart` of its namespace, with this version.
pub fn printed_release(version: &str, strategy: Strategy) -> Value {
    let mut release = guide::GITOPS.yaml("HelmRelease", "shop");
    release["metadata"] = json!({"name": "shop"});
    let spec = &mut release["spec"];
    assert!(spec["upgrade"]["strategy"]["retryInterval"].is_string(), "{spec}");
    for action in ["install", "upgrade"] {
        match strategy {
            Strategy::OfTheGuide => spec[action]["strategy"]["retryInterval"] = json!("3s"),
            Strategy::None => spec[action] = json!({}),
        }
    }
    spec["chartRef"] = json!({"kind": "HelmChart", "name": "shop"});
    spec["values"] = json!({"version": version});
    release
}

fn releases(flux: &Flux, team: &Team) -> Api<DynamicObject> {
    api(&flux.setup, "helm.toolkit.fluxcd.io", "v2", "HelmRelease", team.namespace())
}

async fn helm_release(flux: &Flux, team: &Team) -> Value {
    serde_json::to_value(releases(flux, team).get("shop").await.expect("a HelmRelease")).unwrap()
}

/// Waits until helm-controller has released this version.
async fn released(flux: &Flux, team: &Team, version: &str) {
    team.rolled_out(version).await;
    eventually(format!("the release of {version} to be Ready"), SOON, async || {
        let object = helm_release(flux, team).await;
        let ready = condition(&object, "Ready");
        let observed = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        if ready["status"] == "True" && observed { Ok(()) } else { Err(format!("{ready}\n{}", flux.log())) }
    })
    .await;
}

fn condition(object: &Value, type_: &str) -> Value {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|one| one["type"] == type_).unwrap_or_default()
}
