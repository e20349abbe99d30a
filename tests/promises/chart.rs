//! The chart, installed by the real helm: one command gives a working set-up, and taking it away leaves nothing in the
//! way. Its rights and its arguments are what the processes run with.
#![allow(clippy::print_stdout, reason = "what was measured is read by people")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Instant;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment};
use serde_json::{Value, json};

use super::gate_stage::{Said, provider_that_breaks};
use testbed::chart::{RELEASE, folder, helm, helm_ok};
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::kubectl::{kubectl, kubectl_ok, kubectl_reading};
use testbed::operator::Operator;
use testbed::process::free_port;
use testbed::rollout::Live;
use testbed::standin::StandIn;
use testbed::test_cluster::{SOON, annotated, image};
use testbed::webhook::{Person, Webhook};
use testbed::{crds, namespace};

/// A control plane with the chart on it, and what its Deployments describe as processes.
pub(super) struct Stage {
    pub(super) control_plane: ControlPlane,
    pub(super) broker: StandIn,
    port: u16,
    controller: Option<Operator>,
    webhook: Option<Webhook>,
}

impl Stage {
    /// helm upgrade --install with these values, over those that the stage needs.
    pub(super) async fn release(&self, more: &Value) -> Said {
        let mut values = json!({
            "broker": {"url": self.broker.url()},
            "environments": {"production": {"namespaces": {"names": ["shop"]}, "gate": {"mode": "Enforce"}}},
            "webhook": self.webhook_values("Ignore"),
            "controller": {"probeSeconds": 1, "resyncSeconds": 3, "retrySeconds": 2},
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            values[key] = value.clone();
        }
        let file = self.control_plane.folder().join("values.json");
        fs::write(&file, values.to_string()).unwrap();
        let (chart, file) = (folder().display().to_string(), file.display().to_string());
        Said::of(&helm(&self.control_plane, &["upgrade", "--install", RELEASE, &chart, "--values", &file]).await)
    }

    /// How the API server reaches the process, with this failure policy.
    pub(super) fn webhook_values(&self, failure_policy: &str) -> Value {
        let url = format!("https://127.0.0.1:{}/gate", self.port);
        json!({"url": url, "spreadSeconds": 0, "failurePolicy": failure_policy})
    }

    /// A cluster on which the chart was never installed.
    pub(super) async fn bare() -> Self {
        let (control_plane, broker) = (ControlPlane::start().await, StandIn::start().await);
        let client = control_plane.client();
        for name in [RELEASE, "shop"] {
            namespace::ensure(&control_plane, &client, name, &[]).await;
        }
        broker.store().add_environment("production", true);
        Self { control_plane, broker, port: free_port(), controller: None, webhook: None }
    }

    /// Starts what the Deployments describe, and waits until it is ready.
    pub(super) async fn run(&mut self) {
        let mut controller = Operator::start_installed(&self.control_plane).await;
        let mut webhook = Webhook::start_installed(&self.control_plane, self.port).await;
        controller.wait_ready().await;
        webhook.wait_ready().await;
        (self.controller, self.webhook) = (Some(controller), Some(webhook));
    }

    /// Kills the webhook.
    pub(super) fn stop_webhook(&mut self) {
        self.webhook = None;
    }

    /// Kills both.
    pub(super) fn stop(&mut self) {
        (self.controller, self.webhook) = (None, None);
    }

    /// Whether the controller was started.
    pub(super) fn runs(&self) -> bool {
        self.controller.is_some()
    }

    /// `kubectl set image` of `orders` as a developer.
    async fn set_version(&self, developer: &Person, version: &str, more: &[&str]) -> Said {
        let image = format!("app={}", image(version));
        let arguments = [&["-n", "shop", "set", "image", "deployment/orders", &image], more].concat();
        Said::of(&kubectl(developer.kubeconfig(), &arguments).await)
    }

    async fn wait_recorded(&self, version: &str) {
        eventually(format!("orders {version} to be recorded"), SOON, async || {
            let rows = self.broker.store().current("production", "orders");
            let versions: Vec<_> = rows.into_iter().map(|row| row.version).collect();
            let logs = self.controller.as_ref().map(|it| it.logs()).unwrap_or_default();
            if versions == [version] { Ok(()) } else { Err(format!("{versions:?}; {logs}")) }
        })
        .await;
    }
}

#[tokio::test]
async fn one_command_records_and_denies_upgrades_keep_that_and_uninstalling_leaves_nothing_in_the_way() {
    let mut stage = Stage::bare().await;
    provider_that_breaks(&stage.broker, "production", "orders");
    let began = Instant::now();
    let said = stage.release(&json!({})).await;
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("kubectl delete validatingwebhookconfiguration pact-operator"), "{said:?}");
    stage.run().await;
    let ready = began.elapsed();
    let client = stage.control_plane.client();
    let environments: Api<PactEnvironment> = Api::all(client.clone());
    let uid = environments.get("production").await.unwrap().metadata.uid;

    annotated("orders", "orders", "1.0.0").apply(&client, "shop").await.wait_complete().await;
    stage.wait_recorded("1.0.0").await;
    let developer = Person::developer(&stage.control_plane).await;
    eventually("2.0.0 to be denied", SOON, async || {
        let said = stage.set_version(&developer, "2.0.0", &["--dry-run=server"]).await;
        let log = stage.webhook.as_ref().map(|it| it.logs()).unwrap_or_default();
        said.denial().map(drop).ok_or(format!("{said:?} {log}"))
    })
    .await;

    println!("after helm install: ready {ready:.1?}, first record and first denial {:.1?}", began.elapsed());
    every_metric_that_is_named_is_there(&stage).await;

    // The second one makes the first objects part of the release, the third changes one of them; the bundle stays.
    for mode in ["Enforce", "Warn"] {
        let mode = json!({"production": {"namespaces": {"names": ["shop"]}, "gate": {"mode": mode}}});
        let said = stage.release(&json!({"environments": mode})).await;
        assert_eq!(said.code, 0, "{said:?}");
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let configuration = configurations.get("pact-operator").await.unwrap();
        assert!(configuration.webhooks.unwrap()[0].client_config.ca_bundle.is_some());
        assert_eq!(environments.get("production").await.unwrap().metadata.uid, uid, "made anew by an upgrade");
    }
    eventually("2.0.0 to be warned about", SOON, async || {
        let said = stage.set_version(&developer, "2.0.0", &["--dry-run=server"]).await;
        if said.code == 0 && said.warnings().len() == 1 { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    helm_ok(&stage.control_plane, &["rollback", RELEASE, "2"]).await;
    eventually("2.0.0 to be denied again", SOON, async || {
        let said = stage.set_version(&developer, "2.0.0", &["--dry-run=server"]).await;
        said.denial().map(drop).ok_or(format!("{said:?}"))
    })
    .await;

    // The emergency command, and the way back.
    Api::<ValidatingWebhookConfiguration>::all(client.clone())
        .delete("pact-operator", &DeleteParams::default())
        .await
        .unwrap();
    stage.set_version(&developer, "2.0.0", &["--dry-run=server"]).await.silent();
    let said = stage.release(&json!({})).await;
    assert_eq!(said.code, 0, "{said:?}");

    let before = stage.broker.writes().len();
    helm_ok(&stage.control_plane, &["uninstall", RELEASE]).await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    assert!(configurations.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(environments.get("production").await.unwrap().metadata.uid, uid, "kept");
    Api::<PactBroker>::all(client.clone()).get("main").await.expect("kept");
    assert_eq!(Api::<PactDeployment>::all(client.clone()).list(&ListParams::default()).await.unwrap().items.len(), 1);
    stage.set_version(&developer, "2.0.0", &[]).await.silent();
    Live::new(&client, "shop", "orders").wait_complete().await;
    assert_eq!(stage.broker.writes().len(), before, "uninstalling changed something at the broker");

    // What was kept is taken up by the next release, by whatever name the parent chart calls it.
    let said = stage.release(&json!({"global": {"anything": 1}, "enabled": true})).await;
    assert_eq!(said.code, 0, "{said:?}");
}

/// What alerts and dashboard ask for, and what the README names, is what the processes serve.
async fn every_metric_that_is_named_is_there(stage: &Stage) {
    let mut served = stage.controller.as_ref().unwrap().metrics().await;
    served.push_str(&stage.webhook.as_ref().unwrap().metrics().await);
    assert!(served.lines().any(|line| line == "pact_operator_leader 1"), "{served}");
    let kinds = |name: &str| {
        let kind = |suffix: &str| name.strip_suffix(suffix).unwrap_or(name).to_owned();
        ["", "_total", "_bucket", "_count", "_sum"].map(kind)
    };
    let files = ["charts/pact-operator/files/rules.yaml", "charts/pact-operator/files/dashboard.json", "README.md"];
    let files = files.map(|file| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap());
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let named: BTreeSet<_> =
        files.iter().flat_map(|text| text.split(word)).filter(|word| word.starts_with("pact_operator_")).collect();
    assert!(named.len() >= 20, "{named:?}");
    // Counted by their labels, so not there before there was something to count.
    let rare = ["pact_operator_gate_passed_total", "pact_operator_gate_connections_cut_total"];
    for name in named.iter().filter(|name| !rare.contains(name)) {
        let there = kinds(name).iter().any(|kind| served.contains(&format!("# TYPE {kind} ")));
        assert!(there, "nobody serves {name}: {served}");
    }
}

#[tokio::test]
async fn a_second_release_an_unknown_value_and_halves_of_a_choice_are_refused_in_words() {
    let stage = Stage::bare().await;
    let said = stage.release(&json!({})).await;
    assert_eq!(said.code, 0, "{said:?}");
    let chart = folder().display().to_string();
    for (arguments, word) in [
        (vec!["install", "second", &chart], "installed in this cluster already, as release pact-operator in namespace"),
        (vec!["template", &chart, "--set", "webhok.replicas=1"], "webhok"),
        (vec!["template", &chart, "--set", "webhook.replicas=none"], "/webhook/replicas"),
        (vec!["template", &chart, "--set", "webhook.failurePolicy=fail"], "failurePolicy"),
        (vec!["template", &chart, "--set", "certificates.source=existingSecret"], "needs certificates.existingSecret"),
        (vec!["template", &chart, "--set", "labelGuard.enabled=true"], "needs labelGuard.keys"),
        (vec!["template", &chart, "--kube-version", "1.32.0"], "incompatible with Kubernetes v1.32.0"),
        (
            vec![
                "template",
                &chart,
                "--set",
                "monitoring.serviceMonitor.enabled=true,monitoring.podMonitor.enabled=true",
            ],
            "Choose one",
        ),
    ] {
        let said = Said::of(&helm(&stage.control_plane, &arguments).await);
        assert!(said.code != 0 && said.err.contains(word), "{arguments:?}: {said:?}");
    }
}

#[tokio::test]
async fn what_both_accounts_may_do_is_what_is_checked_in() {
    let stage = Stage::bare().await;
    // What everybody may differs between the minors of Kubernetes: ask about themselves, read what the API server serves.
    let everybodys = may_do(&stage).await;
    let said = stage.release(&json!({})).await;
    assert_eq!(said.code, 0, "{said:?}");
    let mut rights: BTreeMap<_, String> = BTreeMap::new();
    for (at, lines) in may_do(&stage).await {
        let (component, place) = at;
        let own: Vec<_> = lines.difference(&everybodys[&at]).map(String::as_str).collect();
        rights.entry(component).or_default().extend(["in namespace ", place, ":\n", &own.join("\n"), "\n"]);
    }
    for (component, rights) in rights {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rights/{component}.txt"));
        let checked_in = fs::read_to_string(&file).unwrap_or_default();
        assert!(rights == checked_in, "{} is not what the chart grants, which is:\n{rights}", file.display());
    }
}

/// What the account of each component may do in each of two namespaces.
async fn may_do(stage: &Stage) -> BTreeMap<(&'static str, &'static str), BTreeSet<String>> {
    let mut rights = BTreeMap::new();
    for component in ["controller", "webhook"] {
        let account = format!("--as=system:serviceaccount:{RELEASE}:pact-operator-{component}");
        for place in [RELEASE, "shop"] {
            let list = ["auth", "can-i", "--list", "--no-headers", "-n", place, &account];
            let listed = kubectl_ok(stage.control_plane.kubeconfig(), &list).await;
            rights.insert((component, place), listed.lines().map(compact).collect());
        }
    }
    rights
}

/// A line of a table with one space between its columns.
fn compact(line: &str) -> String {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn every_choice_is_accepted_by_the_api_server_under_the_restricted_standard_and_rendered_twice_alike() {
    let stage = Stage::bare().await;
    let label = "pod-security.kubernetes.io/warn=restricted";
    kubectl_ok(stage.control_plane.kubeconfig(), &["label", "namespace", RELEASE, label]).await;
    crds::install_crds(&stage.control_plane).await;
    let (chart, without) = (folder().display().to_string(), "crds.install=false");
    for (file, values) in choices() {
        // The Pod of `helm test` needs an account that is there: chart_self_test.rs has it.
        let how = ["template", RELEASE, &chart, "--skip-tests", "--set", without, "--values", &file, "--api-versions"];
        let served = "pact-operator.dev/v1alpha1/PactBroker,pact-operator.dev/v1alpha1/PactEnvironment";
        let arguments = [&how[..], &[served]].concat();
        let rendered = helm_ok(&stage.control_plane, &arguments).await;
        assert_eq!(rendered, helm_ok(&stage.control_plane, &arguments).await, "{file}");
        let apply = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
        let said = Said::of(&kubectl_reading(stage.control_plane.kubeconfig(), &apply, &rendered).await);
        // The API server warns of pods that the namespace's standard would refuse, as it does the node's network.
        let warned = said.warnings().iter().any(|warning| warning.contains("violate PodSecurity"));
        let others = said.warnings().len() > usize::from(warned);
        assert!(said.code == 0 && !others && warned == values.contains("hostNetwork: true"), "{file}: {said:?}");
    }
}

/// The files of values that people might give: path and text of each.
fn choices() -> Vec<(String, String)> {
    let files = fs::read_dir(folder().join("ci")).unwrap().map(|entry| entry.unwrap().path().display().to_string());
    let mut choices: Vec<_> = files
        .filter(|file| file.ends_with("-values.yaml"))
        .map(|file| (file.clone(), fs::read_to_string(file).unwrap()))
        .collect();
    choices.sort();
    assert!(choices.len() >= 20, "{} files of values in the chart's ci/", choices.len());
    for (file, values) in &choices {
        assert!(values.starts_with("# For "), "{file} does not say on top for whom it is");
    }
    choices
}
