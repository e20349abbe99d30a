//! The chart, installed by the real helm: one command gives a working set-up, and uninstalling leaves nothing that
//! blocks a rollout. The processes run with the chart's rights and arguments.
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

use super::chart_self_test::SelfTest;
use super::documentation::the_page_of_metrics_lists_what_is_served;
use super::gate_setup::{CommandOutput, provider_that_breaks};
use testbed::chart::{RELEASE, folder, helm, helm_ok};
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::kubectl::{kubectl, kubectl_ok, kubectl_reading};
use testbed::operator::Operator;
use testbed::process::free_port;
use testbed::rollout::Live;
use testbed::standin::StandIn;
use testbed::test_cluster::{SOON, annotated, image};
use testbed::webhook::{self, Person, Webhook};
use testbed::{crds, namespace};

/// A control plane with the chart on it, and what its Deployments describe as processes.
pub(super) struct ChartCluster {
    pub(super) control_plane: ControlPlane,
    pub(super) broker: StandIn,
    port: u16,
    controller: Option<Operator>,
    webhook: Option<Webhook>,
}

impl ChartCluster {
    /// helm upgrade --install with these values, over those that the test cluster needs.
    pub(super) async fn release(&self, more: &Value) -> CommandOutput {
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
        CommandOutput::of(
            &helm(&self.control_plane, &["upgrade", "--install", RELEASE, &chart, "--values", &file]).await,
        )
    }

    /// How the API server reaches the process, with this failure policy.
    pub(super) fn webhook_values(&self, failure_policy: &str) -> Value {
        let url = format!("https://127.0.0.1:{}{}", self.port, webhook::PATH);
        json!({"url": url, "spreadSeconds": 0, "failurePolicy": failure_policy})
    }

    /// A cluster on which the chart was never installed.
    pub(super) async fn without_chart() -> Self {
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
    async fn set_version(&self, developer: &Person, version: &str, more: &[&str]) -> CommandOutput {
        let image = format!("app={}", image(version));
        let arguments = [&["-n", "shop", "set", "image", "deployment/orders", &image], more].concat();
        CommandOutput::of(&kubectl(developer.kubeconfig(), &arguments).await)
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
    let mut cluster = ChartCluster::without_chart().await;
    provider_that_breaks(&cluster.broker, "production", "orders");
    let began = Instant::now();
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.out.contains("kubectl delete validatingwebhookconfiguration pact-operator"), "{output:?}");
    cluster.run().await;
    let ready = began.elapsed();
    let client = cluster.control_plane.client();
    let environments: Api<PactEnvironment> = Api::all(client.clone());
    let uid = environments.get("production").await.unwrap().metadata.uid;

    annotated("orders", "orders", "1.0.0").apply(&client, "shop").await.wait_complete().await;
    cluster.wait_recorded("1.0.0").await;
    let developer = Person::developer(&cluster.control_plane).await;
    eventually("2.0.0 to be denied", SOON, async || {
        let output = cluster.set_version(&developer, "2.0.0", &["--dry-run=server"]).await;
        let log = cluster.webhook.as_ref().map(|it| it.logs()).unwrap_or_default();
        output.denial().map(drop).ok_or(format!("{output:?} {log}"))
    })
    .await;

    println!("after helm install: ready {ready:.1?}, first record and first denial {:.1?}", began.elapsed());
    every_metric_that_is_named_is_served(&cluster).await;

    // The second one makes the first objects part of the release, the third changes one of them; the bundle stays.
    for mode in ["Enforce", "Warn"] {
        let mode = json!({"production": {"namespaces": {"names": ["shop"]}, "gate": {"mode": mode}}});
        let output = cluster.release(&json!({"environments": mode})).await;
        assert_eq!(output.code, 0, "{output:?}");
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
        let configuration = configurations.get("pact-operator").await.unwrap();
        assert!(configuration.webhooks.unwrap()[0].client_config.ca_bundle.is_some());
        assert_eq!(environments.get("production").await.unwrap().metadata.uid, uid, "made anew by an upgrade");
    }
    eventually("2.0.0 to be warned about", SOON, async || {
        let output = cluster.set_version(&developer, "2.0.0", &["--dry-run=server"]).await;
        if output.code == 0 && output.warnings().len() == 1 { Ok(()) } else { Err(format!("{output:?}")) }
    })
    .await;
    helm_ok(&cluster.control_plane, &["rollback", RELEASE, "2"]).await;
    eventually("2.0.0 to be denied again", SOON, async || {
        let output = cluster.set_version(&developer, "2.0.0", &["--dry-run=server"]).await;
        output.denial().map(drop).ok_or(format!("{output:?}"))
    })
    .await;

    // The emergency command, and the release that restores the gate.
    Api::<ValidatingWebhookConfiguration>::all(client.clone())
        .delete("pact-operator", &DeleteParams::default())
        .await
        .unwrap();
    cluster.set_version(&developer, "2.0.0", &["--dry-run=server"]).await.silent();
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");

    let before = cluster.broker.writes().len();
    helm_ok(&cluster.control_plane, &["uninstall", RELEASE]).await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    assert!(configurations.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert_eq!(environments.get("production").await.unwrap().metadata.uid, uid, "kept");
    Api::<PactBroker>::all(client.clone()).get("main").await.expect("kept");
    assert_eq!(Api::<PactDeployment>::all(client.clone()).list(&ListParams::default()).await.unwrap().items.len(), 1);
    cluster.set_version(&developer, "2.0.0", &[]).await.silent();
    Live::new(&client, "shop", "orders").wait_complete().await;
    assert_eq!(cluster.broker.writes().len(), before, "uninstalling wrote to the broker");

    // The next release adopts what was kept, also with the values that a parent chart adds.
    let output = cluster.release(&json!({"global": {"anything": 1}, "enabled": true})).await;
    assert_eq!(output.code, 0, "{output:?}");
}

/// The processes serve every metric that alerts and dashboard query and that the book names.
async fn every_metric_that_is_named_is_served(cluster: &ChartCluster) {
    let mut served = cluster.controller.as_ref().unwrap().metrics().await;
    served.push_str(&cluster.webhook.as_ref().unwrap().metrics().await);
    assert!(served.lines().any(|line| line == "pact_operator_leader 1"), "{served}");
    let kinds = |name: &str| {
        let kind = |suffix: &str| name.strip_suffix(suffix).unwrap_or(name).to_owned();
        ["", "_total", "_bucket", "_count", "_sum"].map(kind)
    };
    let files = ["charts/pact-operator/files/rules.yaml", "charts/pact-operator/files/dashboard.json"];
    let files = files.map(|file| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap());
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let named: BTreeSet<_> =
        files.iter().flat_map(|text| text.split(word)).filter(|word| word.starts_with("pact_operator_")).collect();
    assert!(named.len() >= 15, "{named:?}");
    // These have labels, so they are not served before the first count; and without a sink nothing is announced.
    let rare = [
        "pact_operator_gate_passed_total",
        "pact_operator_gate_connections_cut_total",
        "pact_operator_gate_tool_questions_total",
        "pact_operator_holds_ended_total",
        "pact_operator_verification_request_failures_total",
        "pact_operator_verifications_requested_total",
        "pact_operator_holds_reported_total",
        "pact_operator_announcements_delivered_total",
        "pact_operator_announcement_failures_total",
        "pact_operator_announcements_refused_total",
        "pact_operator_announcements_oldest_waiting_seconds",
    ];
    the_page_of_metrics_lists_what_is_served(&served, &rare);
    for name in named.iter().filter(|name| !rare.contains(name)) {
        let there = kinds(name).iter().any(|kind| served.contains(&format!("# TYPE {kind} ")));
        assert!(there, "no process serves {name}: {served}");
    }
}

#[tokio::test]
async fn a_second_release_an_unknown_value_and_incomplete_choices_are_refused_with_the_reason() {
    let cluster = ChartCluster::without_chart().await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
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
        let output = CommandOutput::of(&helm(&cluster.control_plane, &arguments).await);
        assert!(output.code != 0 && output.err.contains(word), "{arguments:?}: {output:?}");
    }
}

#[tokio::test]
async fn the_rights_of_the_three_accounts_are_those_checked_in() {
    let cluster = ChartCluster::without_chart().await;
    // The rights that every account has differ between the minors of Kubernetes: to ask about themselves, to read what
    // the API server serves.
    let everybodys = may_do(&cluster).await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    drop(SelfTest::of(&cluster).await);
    let mut rights: BTreeMap<_, String> = BTreeMap::new();
    for (at, lines) in may_do(&cluster).await {
        let (component, namespace) = at;
        let own: Vec<_> = lines.difference(&everybodys[&at]).map(String::as_str).collect();
        rights.entry(component).or_default().extend(["in namespace ", namespace, ":\n", &own.join("\n"), "\n"]);
    }
    for (component, rights) in rights {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/rights/{component}.txt"));
        let checked_in = fs::read_to_string(&file).unwrap_or_default();
        assert!(rights == checked_in, "{} is not what the chart grants, which is:\n{rights}", file.display());
    }
}

/// What the account of each component may do in the operator's namespace, in one of an environment, and where the self-test
/// makes its dry-run.
async fn may_do(cluster: &ChartCluster) -> BTreeMap<(&'static str, &'static str), BTreeSet<String>> {
    let mut rights = BTreeMap::new();
    for component in ["controller", "self-test", "webhook"] {
        let account = format!("--as=system:serviceaccount:{RELEASE}:pact-operator-{component}");
        let dry_run = (component == "self-test").then_some("default");
        for namespace in [RELEASE, "shop"].into_iter().chain(dry_run) {
            let list = ["auth", "can-i", "--list", "--no-headers", "-n", namespace, &account];
            let listed = kubectl_ok(cluster.control_plane.kubeconfig(), &list).await;
            rights.insert((component, namespace), listed.lines().map(compact).collect());
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
    let cluster = ChartCluster::without_chart().await;
    let label = "pod-security.kubernetes.io/warn=restricted";
    kubectl_ok(cluster.control_plane.kubeconfig(), &["label", "namespace", RELEASE, label]).await;
    crds::install_crds(&cluster.control_plane).await;
    let (chart, without) = (folder().display().to_string(), "crds.install=false");
    for (file, values) in choices() {
        // The Pod of `helm test` needs an account that exists: chart_self_test.rs covers it.
        let how = ["template", RELEASE, &chart, "--skip-tests", "--set", without, "--values", &file, "--api-versions"];
        let served = "pact-operator.dev/v1alpha1/PactBroker,pact-operator.dev/v1alpha1/PactEnvironment";
        let arguments = [&how[..], &[served]].concat();
        let rendered = helm_ok(&cluster.control_plane, &arguments).await;
        assert_eq!(rendered, helm_ok(&cluster.control_plane, &arguments).await, "{file}");
        let apply = ["apply", "--server-side", "--dry-run=server", "-f", "-"];
        let output = CommandOutput::of(&kubectl_reading(cluster.control_plane.kubeconfig(), &apply, &rendered).await);
        // The API server warns of pods that the namespace's standard would refuse, as it does the node's network.
        let warned = output.warnings().iter().any(|warning| warning.contains("violate PodSecurity"));
        let others = output.warnings().len() > usize::from(warned);
        assert!(output.code == 0 && !others && warned == values.contains("hostNetwork: true"), "{file}: {output:?}");
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
        assert!(values.starts_with("# For "), "{file} does not name its users in its first line");
    }
    choices
}
