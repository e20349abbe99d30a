//! Uninstalling the chart: in any state of an installation, `helm uninstall` leaves nothing that blocks a rollout and
//! changes nothing at the broker. Also the chart as a part of another chart, and as an upgrade of an older version.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::ListParams;
use proptest::collection::vec;
use proptest::sample::select;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::json;

use super::chart::ChartCluster;
use super::gate_setup::{CommandOutput, provider_that_breaks};
use testbed::chart::{RELEASE, folder, helm, helm_ok, helm_process};
use testbed::eventually::eventually;
use testbed::kubectl::{kubectl, kubectl_ok};
use testbed::namespace;
use testbed::rollout::Live;
use testbed::test_cluster::{SOON, annotated};
use testbed::webhook::Person;

/// In how many states it is uninstalled.
const STATES: usize = 20;

/// What may have happened to an installation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happened {
    /// The operator ran and recorded a rollout; it still runs when it is uninstalled.
    Ran,
    WebhookKilled,
    BrokerDown,
    /// The emergency command.
    GateDeleted,
    /// No webhook runs, and the API server requires an answer.
    FailAndNobodyServes,
    Upgraded,
    UpgradedAndRolledBack,
    /// The API server refused a part of it.
    UpgradeFailed,
    /// helm was killed before it had finished.
    UpgradeInterrupted,
    DefinitionsLeftToOthers,
    DefinitionsDeleted,
    EnvironmentDeleted,
    DeploymentsDeleted,
    AuthorityDeleted,
    /// With everything in it, helm's release Secrets included; then the chart was installed again.
    NamespaceDeletedAndInstalledAgain,
}

const HAPPENED: [Happened; 15] = [
    Happened::Ran,
    Happened::WebhookKilled,
    Happened::BrokerDown,
    Happened::GateDeleted,
    Happened::FailAndNobodyServes,
    Happened::Upgraded,
    Happened::UpgradedAndRolledBack,
    Happened::UpgradeFailed,
    Happened::UpgradeInterrupted,
    Happened::DefinitionsLeftToOthers,
    Happened::DefinitionsDeleted,
    Happened::EnvironmentDeleted,
    Happened::DeploymentsDeleted,
    Happened::AuthorityDeleted,
    Happened::NamespaceDeletedAndInstalledAgain,
];

impl Happened {
    async fn apply_to(self, cluster: &mut ChartCluster) {
        let kubeconfig = cluster.control_plane.kubeconfig().to_owned();
        let delete = async |what: &[&str]| {
            // An earlier step may have deleted it.
            let options = ["-n", RELEASE, "delete", "--ignore-not-found", "--timeout=60s"];
            let output = CommandOutput::of(&kubectl(&kubeconfig, &[&options[..], what].concat()).await);
            assert!(output.code == 0 || output.err.contains("the server doesn't have a resource type"), "{output:?}");
        };
        match self {
            Self::Ran => {
                if cluster.runs() || !served(cluster).await {
                    return;
                }
                cluster.run().await;
                let client = cluster.control_plane.client();
                let deployment = annotated("orders", "orders", "1.0.0").apply(&client, "shop").await;
                deployment.wait_complete().await;
                // An API server keeps a request to create one back for 2 s where the kind is new: it must not come to pass
                // between two looks, after whoever sent it was killed.
                eventually("the record of orders", SOON, async || {
                    let there = objects(cluster).await.unwrap_or_default();
                    let is_there = |kind: &str| there.iter().any(|object| object.starts_with(kind));
                    if is_there("pactdeployment") || !is_there("pactenvironment") {
                        Ok(())
                    } else {
                        Err(format!("{there:?}"))
                    }
                })
                .await;
            }
            Self::WebhookKilled => cluster.stop_webhook(),
            Self::BrokerDown => cluster.broker.stop().await,
            Self::GateDeleted => delete(&["validatingwebhookconfiguration", "pact-operator"]).await,
            Self::FailAndNobodyServes => {
                cluster.stop_webhook();
                // An earlier step may have made an upgrade impossible; then the release stays as it was.
                drop(cluster.release(&json!({"webhook": cluster.webhook_values("Fail")})).await);
            }
            Self::Upgraded => drop(cluster.release(&json!({"commonLabels": {"again": "yes"}})).await),
            Self::UpgradedAndRolledBack => {
                drop(cluster.release(&json!({"commonLabels": {"back": "no"}})).await);
                drop(helm(&cluster.control_plane, &["rollback", RELEASE]).await);
            }
            Self::UpgradeFailed => {
                let mut webhook = cluster.webhook_values("Ignore");
                webhook["resources"] = json!({"limits": {"memory": "much"}});
                let output = cluster.release(&json!({"webhook": webhook})).await;
                assert!(output.code != 0, "{output:?}");
            }
            Self::UpgradeInterrupted => {
                let chart = folder().display().to_string();
                let mut helm =
                    helm_process(&cluster.control_plane, &["upgrade", RELEASE, &chart, "--reuse-values"]).await;
                // Once helm has stored the pending release.
                eventually("helm to begin", SOON, async || {
                    let output = CommandOutput::of(&self::helm(&cluster.control_plane, &["status", RELEASE]).await);
                    let ended = helm.try_wait().unwrap().is_some();
                    if ended || output.out.contains("pending") { Ok(()) } else { Err(format!("{output:?}")) }
                })
                .await;
                drop(helm.kill().await);
            }
            Self::DefinitionsLeftToOthers => drop(cluster.release(&json!({"crds": {"install": false}})).await),
            Self::DefinitionsDeleted => {
                let kinds = ["pactbrokers", "pactenvironments", "pactdeployments", "pactrecords"];
                let kinds = kinds.map(|kind| format!("{kind}.pact-operator.dev"));
                delete(&["crd", &kinds[0], &kinds[1], &kinds[2], &kinds[3]]).await;
            }
            Self::EnvironmentDeleted => delete(&["pactenvironments.pact-operator.dev", "production"]).await,
            Self::DeploymentsDeleted => {
                delete(&["deployment", "pact-operator-webhook", "pact-operator-controller"]).await;
            }
            Self::AuthorityDeleted => delete(&["secret", "pact-operator-webhook-authority"]).await,
            Self::NamespaceDeletedAndInstalledAgain => {
                cluster.stop();
                delete(&["namespace", RELEASE]).await;
                namespace::ensure(&cluster.control_plane, &cluster.control_plane.client(), RELEASE, &[]).await;
                let output = cluster.release(&json!({})).await;
                assert_eq!(output.code, 0, "{output:?}");
            }
        }
    }
}

/// Whether everything exists that the operator needs to become ready.
async fn served(cluster: &ChartCluster) -> bool {
    let kubeconfig = cluster.control_plane.kubeconfig();
    let needed = ["deployment/pact-operator-webhook", "deployment/pact-operator-controller"];
    let needed = [&["-n", RELEASE, "get"], &needed[..], &["validatingwebhookconfiguration/pact-operator"]].concat();
    objects(cluster).await.is_some() && kubectl(kubeconfig, &needed).await.status.success()
}

/// The objects of the operator's kinds, or `None` when these are not served.
async fn objects(cluster: &ChartCluster) -> Option<BTreeSet<String>> {
    let kinds = "pactbrokers.pact-operator.dev,pactenvironments.pact-operator.dev,pactdeployments.pact-operator.dev,pactrecords.pact-operator.dev";
    let output = CommandOutput::of(&kubectl(cluster.control_plane.kubeconfig(), &["get", kinds, "-o", "name"]).await);
    (output.code == 0).then(|| output.out.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn uninstalling_in_any_state_leaves_nothing_in_the_way() {
    let mut cluster = ChartCluster::without_chart().await;
    provider_that_breaks(&cluster.broker, "production", "orders");
    let developer = Person::developer(&cluster.control_plane).await;
    let happens = vec(select(&HAPPENED[..]), 1..=4);
    let mut runner = TestRunner::deterministic();
    let mut states = Vec::new();
    for state in 0..STATES {
        let mut happened = happens.new_tree(&mut runner).unwrap().current();
        // Each of them at least once, and random further ones.
        happened.insert(0, HAPPENED[state % HAPPENED.len()]);
        let output = cluster.release(&json!({})).await;
        assert_eq!(output.code, 0, "{output:?} after {states:?}");
        for happened in &happened {
            happened.apply_to(&mut cluster).await;
        }
        states.push(happened.clone());
        let (writes, before) = (cluster.broker.writes().len(), objects(&cluster).await);

        helm_ok(&cluster.control_plane, &["uninstall", RELEASE, "--timeout", "60s"]).await;
        cluster.stop();
        let left = kubectl_ok(
            cluster.control_plane.kubeconfig(),
            &[
                "get",
                "validatingwebhookconfigurations,validatingadmissionpolicies,clusterroles,clusterrolebindings,roles,\
                 rolebindings,serviceaccounts,secrets,services,deployments,poddisruptionbudgets,resourcequotas,configmaps,\
                 priorityclasses",
                "--all-namespaces",
                "--selector=app.kubernetes.io/name=pact-operator",
                "--output=name",
            ],
        )
        .await;
        assert!(left.is_empty(), "{left} is left after {happened:?}");
        assert_eq!(objects(&cluster).await, before, "after {happened:?}");
        assert_eq!(cluster.broker.writes().len(), writes, "something was written to the broker after {happened:?}");
        let orders = annotated("orders", "orders", "2.0.0").apply(&developer.client(), "shop").await;
        orders.wait_complete().await;
        Live::new(&cluster.control_plane.client(), "shop", "orders").delete().await;
        cluster.broker.restart().await;
    }
}

fn copy_folder(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").args([from, to]).status().unwrap().success());
}

/// A copy of the chart as an older version of itself, whose definitions lack something.
fn older(folder_of_copy: &Path) -> PathBuf {
    let copy = folder_of_copy.join("older");
    copy_folder(&folder(), &copy);
    let (chart, definition) = (copy.join("Chart.yaml"), copy.join("files/crds/pactenvironments.yaml"));
    let text = fs::read_to_string(&chart).unwrap().replace("\nversion: ", "\nversion: 0.0.1 # ");
    fs::write(&chart, text).unwrap();
    let text = fs::read_to_string(&definition).unwrap();
    let lacking = text.replace("Would-Deny", "Older");
    assert_ne!(text, lacking);
    fs::write(&definition, lacking).unwrap();
    copy
}

#[tokio::test]
async fn an_upgrade_from_an_older_chart_brings_newer_definitions_and_a_rollback_keeps_them_usable() {
    let cluster = ChartCluster::without_chart().await;
    let older = older(cluster.control_plane.folder()).display().to_string();
    let url = cluster.broker.url();
    let broker = format!("broker.url={url}");
    let environment = "environments.production.namespaces.names={shop}";
    let install = ["install", RELEASE, &older, "--set", &broker, "--set", environment];
    helm_ok(&cluster.control_plane, &install).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(cluster.control_plane.client());
    let columns = async || {
        let definition = definitions.get("pactenvironments.pact-operator.dev").await.unwrap();
        let columns = definition.spec.versions[0].additional_printer_columns.clone().unwrap_or_default();
        columns.into_iter().map(|column| column.name).collect::<Vec<_>>()
    };
    assert!(columns().await.contains(&"Older".to_owned()), "{:?}", columns().await);
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(columns().await.contains(&"Would-Deny".to_owned()), "{:?}", columns().await);
    helm_ok(&cluster.control_plane, &["rollback", RELEASE, "1"]).await;
    let before = objects(&cluster).await.expect("the kinds are served");
    assert_eq!(before.len(), 2, "{before:?}");
}

#[tokio::test]
async fn the_chart_works_as_a_part_of_another_chart_and_can_be_switched_off() {
    let cluster = ChartCluster::without_chart().await;
    let parent = cluster.control_plane.folder().join("umbrella");
    copy_folder(&folder().with_file_name("umbrella"), &parent);
    fs::create_dir(parent.join("charts")).unwrap();
    copy_folder(&folder(), &parent.join("charts/pact-operator"));
    let values = json!({
        "global": {"imageRegistry": "registry.example.com", "team": {"name": "platform"}},
        "pact-operator": {"enabled": true, "broker": {"url": cluster.broker.url()}},
    });
    fs::write(parent.join("values.yaml"), values.to_string()).unwrap();
    let parent = parent.display().to_string();
    helm_ok(&cluster.control_plane, &["install", "platform", &parent]).await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(cluster.control_plane.client());
    configurations.get("pact-operator").await.expect("installed");
    assert_eq!(objects(&cluster).await.map(|it| it.len()), Some(1));
    helm_ok(&cluster.control_plane, &["upgrade", "platform", &parent, "--set", "pact-operator.enabled=false"]).await;
    assert!(configurations.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(objects(&cluster).await.map(|it| it.len()), Some(1), "kept");
}
