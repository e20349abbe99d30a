//! Taking the chart away: in whatever state an installation is, `helm uninstall` leaves nothing in the way of a rollout and
//! changes nothing at the broker. And the chart as a part of another one, and after an older one of itself.

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

use super::chart::Stage;
use super::gate_stage::{Said, provider_that_breaks};
use testbed::chart::{RELEASE, folder, helm, helm_ok, helm_process};
use testbed::eventually::eventually;
use testbed::kubectl::{kubectl, kubectl_ok};
use testbed::namespace;
use testbed::rollout::Live;
use testbed::test_cluster::{SOON, annotated};
use testbed::webhook::Person;

/// In how many states it is taken away.
const STATES: usize = 20;

/// What may have happened to an installation.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Happened {
    /// The operator ran and recorded a rollout; it runs when it is taken away.
    Ran,
    WebhookKilled,
    BrokerDown,
    /// The emergency command.
    GateDeleted,
    /// Nobody serves, and the API server insists on an answer.
    FailAndNobodyServes,
    Upgraded,
    UpgradedAndRolledBack,
    /// The API server refused a part of it.
    UpgradeFailed,
    /// helm was killed before it was through.
    UpgradeInterrupted,
    DefinitionsLeftToOthers,
    DefinitionsDeleted,
    EnvironmentDeleted,
    DeploymentsDeleted,
    AuthorityDeleted,
    /// With everything in it, the release's own notes included; then it was installed again.
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
    async fn to(self, stage: &mut Stage) {
        let kubeconfig = stage.control_plane.kubeconfig().to_owned();
        let delete = async |what: &[&str]| {
            // What is gone already is gone.
            let options = ["-n", RELEASE, "delete", "--ignore-not-found", "--timeout=60s"];
            let said = Said::of(&kubectl(&kubeconfig, &[&options[..], what].concat()).await);
            assert!(said.code == 0 || said.err.contains("the server doesn't have a resource type"), "{said:?}");
        };
        match self {
            Self::Ran => {
                if stage.runs() || !served(stage).await {
                    return;
                }
                stage.run().await;
                let client = stage.control_plane.client();
                let deployment = annotated("orders", "orders", "1.0.0").apply(&client, "shop").await;
                deployment.wait_complete().await;
            }
            Self::WebhookKilled => stage.stop_webhook(),
            Self::BrokerDown => stage.broker.stop().await,
            Self::GateDeleted => delete(&["validatingwebhookconfiguration", "pact-operator"]).await,
            Self::FailAndNobodyServes => {
                stage.stop_webhook();
                // What happened before may have made an upgrade impossible; then it stays as it was.
                drop(stage.release(&json!({"webhook": stage.webhook_values("Fail")})).await);
            }
            Self::Upgraded => drop(stage.release(&json!({"commonLabels": {"again": "yes"}})).await),
            Self::UpgradedAndRolledBack => {
                drop(stage.release(&json!({"commonLabels": {"back": "no"}})).await);
                drop(helm(&stage.control_plane, &["rollback", RELEASE]).await);
            }
            Self::UpgradeFailed => {
                let mut webhook = stage.webhook_values("Ignore");
                webhook["resources"] = json!({"limits": {"memory": "much"}});
                let said = stage.release(&json!({"webhook": webhook})).await;
                assert!(said.code != 0, "{said:?}");
            }
            Self::UpgradeInterrupted => {
                let chart = folder().display().to_string();
                let mut helm =
                    helm_process(&stage.control_plane, &["upgrade", RELEASE, &chart, "--reuse-values"]).await;
                // Once it has written down what it is about to do.
                eventually("helm to begin", SOON, async || {
                    let said = Said::of(&self::helm(&stage.control_plane, &["status", RELEASE]).await);
                    let ended = helm.try_wait().unwrap().is_some();
                    if ended || said.out.contains("pending") { Ok(()) } else { Err(format!("{said:?}")) }
                })
                .await;
                drop(helm.kill().await);
            }
            Self::DefinitionsLeftToOthers => drop(stage.release(&json!({"crds": {"install": false}})).await),
            Self::DefinitionsDeleted => {
                let kinds = ["pactbrokers", "pactenvironments", "pactdeployments"];
                let kinds = kinds.map(|kind| format!("{kind}.pact-operator.dev"));
                delete(&["crd", &kinds[0], &kinds[1], &kinds[2]]).await;
            }
            Self::EnvironmentDeleted => delete(&["pactenvironments.pact-operator.dev", "production"]).await,
            Self::DeploymentsDeleted => {
                delete(&["deployment", "pact-operator-webhook", "pact-operator-controller"]).await;
            }
            Self::AuthorityDeleted => delete(&["secret", "pact-operator-webhook-authority"]).await,
            Self::NamespaceDeletedAndInstalledAgain => {
                stage.stop();
                delete(&["namespace", RELEASE]).await;
                namespace::ensure(&stage.control_plane, &stage.control_plane.client(), RELEASE, &[]).await;
                let said = stage.release(&json!({})).await;
                assert_eq!(said.code, 0, "{said:?}");
            }
        }
    }
}

/// Whether everything is there without which the operator does not become ready.
async fn served(stage: &Stage) -> bool {
    let kubeconfig = stage.control_plane.kubeconfig();
    let needed = ["deployment/pact-operator-webhook", "deployment/pact-operator-controller"];
    let needed = [&["-n", RELEASE, "get"], &needed[..], &["validatingwebhookconfiguration/pact-operator"]].concat();
    objects(stage).await.is_some() && kubectl(kubeconfig, &needed).await.status.success()
}

/// The objects of the operator's kinds, or `None` when these are not served.
async fn objects(stage: &Stage) -> Option<BTreeSet<String>> {
    let kinds = "pactbrokers.pact-operator.dev,pactenvironments.pact-operator.dev,pactdeployments.pact-operator.dev";
    let said = Said::of(&kubectl(stage.control_plane.kubeconfig(), &["get", kinds, "-o", "name"]).await);
    (said.code == 0).then(|| said.out.lines().map(str::to_owned).collect())
}

#[tokio::test]
async fn in_whatever_state_it_is_taken_away_nothing_is_left_in_the_way() {
    let mut stage = Stage::bare().await;
    provider_that_breaks(&stage.broker, "production", "orders");
    let developer = Person::developer(&stage.control_plane).await;
    let happens = vec(select(&HAPPENED[..]), 1..=4);
    let mut runner = TestRunner::deterministic();
    let mut seen = Vec::new();
    for state in 0..STATES {
        let mut happened = happens.new_tree(&mut runner).unwrap().current();
        // Each of them at least once, and whatever chance adds.
        happened.insert(0, HAPPENED[state % HAPPENED.len()]);
        let said = stage.release(&json!({})).await;
        assert_eq!(said.code, 0, "{said:?} after {seen:?}");
        for happened in &happened {
            happened.to(&mut stage).await;
        }
        seen.push(happened.clone());
        let (writes, before) = (stage.broker.writes().len(), objects(&stage).await);

        helm_ok(&stage.control_plane, &["uninstall", RELEASE, "--timeout", "60s"]).await;
        stage.stop();
        let left = kubectl_ok(
            stage.control_plane.kubeconfig(),
            &[
                "get",
                "validatingwebhookconfigurations,validatingadmissionpolicies,clusterroles,clusterrolebindings,roles,\
                 rolebindings,serviceaccounts,services,deployments,poddisruptionbudgets,resourcequotas,configmaps",
                "--all-namespaces",
                "--selector=app.kubernetes.io/name=pact-operator",
                "--output=name",
            ],
        )
        .await;
        assert!(left.is_empty(), "{left} is left after {happened:?}");
        assert_eq!(objects(&stage).await, before, "after {happened:?}");
        assert_eq!(stage.broker.writes().len(), writes, "something was written to the broker after {happened:?}");
        let orders = annotated("orders", "orders", "2.0.0").apply(&developer.client(), "shop").await;
        orders.wait_complete().await;
        Live::new(&stage.control_plane.client(), "shop", "orders").delete().await;
        stage.broker.restart().await;
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
    let stage = Stage::bare().await;
    let older = older(stage.control_plane.folder()).display().to_string();
    let url = stage.broker.url();
    let broker = format!("broker.url={url}");
    let environment = "environments.production.namespaces.names={shop}";
    let install = ["install", RELEASE, &older, "--set", &broker, "--set", environment];
    helm_ok(&stage.control_plane, &install).await;
    let definitions: Api<CustomResourceDefinition> = Api::all(stage.control_plane.client());
    let columns = async || {
        let definition = definitions.get("pactenvironments.pact-operator.dev").await.unwrap();
        let columns = definition.spec.versions[0].additional_printer_columns.clone().unwrap_or_default();
        columns.into_iter().map(|column| column.name).collect::<Vec<_>>()
    };
    assert!(columns().await.contains(&"Older".to_owned()), "{:?}", columns().await);
    let said = stage.release(&json!({})).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(columns().await.contains(&"Would-Deny".to_owned()), "{:?}", columns().await);
    helm_ok(&stage.control_plane, &["rollback", RELEASE, "1"]).await;
    let before = objects(&stage).await.expect("the kinds are served");
    assert_eq!(before.len(), 2, "{before:?}");
}

#[tokio::test]
async fn as_a_part_of_another_chart_it_works_and_can_be_switched_off() {
    let stage = Stage::bare().await;
    let parent = stage.control_plane.folder().join("umbrella");
    copy_folder(&folder().with_file_name("umbrella"), &parent);
    fs::create_dir(parent.join("charts")).unwrap();
    copy_folder(&folder(), &parent.join("charts/pact-operator"));
    let values = json!({
        "global": {"imageRegistry": "registry.example.com", "team": {"name": "platform"}},
        "pact-operator": {"enabled": true, "broker": {"url": stage.broker.url()}},
    });
    fs::write(parent.join("values.yaml"), values.to_string()).unwrap();
    let parent = parent.display().to_string();
    helm_ok(&stage.control_plane, &["install", "platform", &parent]).await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(stage.control_plane.client());
    configurations.get("pact-operator").await.expect("installed");
    assert_eq!(objects(&stage).await.map(|it| it.len()), Some(1));
    helm_ok(&stage.control_plane, &["upgrade", "platform", &parent, "--set", "pact-operator.enabled=false"]).await;
    assert!(configurations.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(objects(&stage).await.map(|it| it.len()), Some(1), "kept");
}
