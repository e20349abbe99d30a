//! `pact-operator self-test`, as `helm test` runs it: the process that the hook's Pod describes, with the rights that
//! the hook grants.

use std::path::PathBuf;
use std::process::Stdio;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::json;

use super::chart::ChartCluster;
use super::gate_setup::CommandOutput;
use super::people_verbs::said;
use testbed::chart::{RELEASE, helm_ok};
use testbed::eventually::eventually;
use testbed::kubectl::{kubectl_ok, kubectl_reading};
use testbed::namespace;
use testbed::replica::binary;
use testbed::test_cluster::SOON;

/// The arguments of the hook's Pod, and its account's access to the API server.
pub(super) struct SelfTest {
    arguments: Vec<String>,
    kubeconfig: PathBuf,
}

impl SelfTest {
    /// Grants what the hook grants, as Helm does before it starts the Pod, which the restricted standard allows.
    pub(super) async fn of(cluster: &ChartCluster) -> Self {
        let restricted = ["label", "namespace", RELEASE, "pod-security.kubernetes.io/enforce=restricted"];
        kubectl_ok(cluster.control_plane.kubeconfig(), &restricted).await;
        let hooks = helm_ok(&cluster.control_plane, &["get", "hooks", RELEASE]).await;
        let documents = hooks.split("\n---\n").filter(|document| document.contains("helm.sh/hook: test"));
        let hooks = documents.collect::<Vec<_>>().join("\n---\n");
        let applied = kubectl_reading(cluster.control_plane.kubeconfig(), &["apply", "-f", "-"], &hooks).await;
        assert!(applied.status.success(), "{applied:?}");
        let pods: Api<Pod> = Api::namespaced(cluster.control_plane.client(), RELEASE);
        let pod = pods.get("pact-operator-self-test").await.unwrap().spec.unwrap();
        let arguments = pod.containers[0].args.clone().unwrap();
        let account = pod.service_account_name.unwrap();
        Self { arguments, kubeconfig: cluster.control_plane.user_kubeconfig(RELEASE, &account).await }
    }

    pub(super) async fn run(&self) -> CommandOutput {
        let mut command = tokio::process::Command::new(binary());
        command.args(&self.arguments).env("KUBECONFIG", &self.kubeconfig).env("POD_NAMESPACE", RELEASE);
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1").stdin(Stdio::null());
        CommandOutput::of(&command.kill_on_drop(true).output().await.expect("the operator runs"))
    }
}

/// What the chart leaves out in every cluster.
const LEFT_OUT: &str = "webhook: not asked about kube-node-lease, kube-system, pact-operator, because of its \
                        namespaceSelector (webhook.excludedNamespaces, webhook.namespaceSelector)";
/// What `failurePolicy: Ignore` means.
const IGNORES: &str = "webhook: not asked while no replica answers: its failurePolicy Ignore admits all then; \
                       webhook.failurePolicy=Fail blocks it";

/// The lines about checks, and those about what is not in force, which come last.
fn split(output: &CommandOutput) -> (Vec<&str>, Vec<&str>) {
    let lines: Vec<_> = output.out.lines().collect();
    let checks = lines.iter().take_while(|line| !line.starts_with("note    ")).count();
    let notes =
        lines[checks..].iter().map(|line| line.strip_prefix("note    ").unwrap_or_else(|| panic!("{output:?}")));
    (lines[..checks].to_vec(), notes.collect())
}

#[tokio::test]
async fn the_self_test_reports_whether_the_gate_and_the_brokers_answer() {
    let mut cluster = ChartCluster::without_chart().await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    cluster.run().await;
    let test = SelfTest::of(&cluster).await;

    eventually("nothing to be noted but what a usual installation leaves out", SOON, async || {
        let output = test.run().await;
        if split(&output).1 == [LEFT_OUT, IGNORES] { Ok(()) } else { Err(output.out) }
    })
    .await;
    let output = test.run().await;
    let version = env!("CARGO_PKG_VERSION");
    let &[gate, broker] = split(&output).0.as_slice() else { panic!("{output:?}") };
    assert_eq!(
        (output.code, gate),
        (0, &*format!("ok      gate: the gate of pact-operator answers, version {version}"))
    );
    assert!(broker.starts_with("ok      PactBroker main: http://127.0.0.1:"), "{output:?}");

    // The same and more, for people.
    let admin = &cluster.control_plane.kubeconfig().to_owned();
    let doctor = async || said(admin, &["doctor", "--operator-namespace", RELEASE], "").await;
    cluster.broker.store().publish_version("left-over", "1.0.0");
    cluster.broker.store().record_deployment("left-over", "1.0.0", "production", None);
    let found = doctor().await;
    for line in [
        "ok      webhook: the gate of pact-operator answers",
        " leads, and renewed its Lease ",
        "ok      PactBroker main: the broker answers, and may be read",
        "note    webhook: not asked while no replica answers",
        "ok      definitions and rights: as this program expects them",
        // Recorded by a pipeline before there was an operator.
        "note    production at main: nothing here runs what the broker has there of left-over 1.0.0; they count for the gate",
    ] {
        assert!(found.out.contains(line), "{line:?} is missing in\n{}{}", found.out, found.err);
    }

    // No webhook runs: with Ignore the API server admits everything, and only the self-test reports it.
    cluster.stop_webhook();
    cluster.broker.stop().await;
    let output = test.run().await;
    let &[gate, broker] = split(&output).0.as_slice() else { panic!("{output:?}") };
    assert!(gate.starts_with("FAILED  gate: ") && gate.contains("without asking the gate; see that"), "{output:?}");
    assert!(broker.starts_with("FAILED  PactBroker main: "), "{output:?}");
    assert_eq!((output.code, output.err.trim_end()), (1, "pact-operator self-test: 2 of the above failed"));
    let found = doctor().await;
    assert!(
        found.out.starts_with("problem webhook: the API server admitted a Deployment"),
        "{}{}",
        found.out,
        found.err
    );
    assert_eq!(found.code, Some(1));

    // With Fail the reason comes from the API server.
    let output = cluster.release(&json!({"webhook": cluster.webhook_values("Fail")})).await;
    assert_eq!(output.code, 0, "{output:?}");
    let output = test.run().await;
    assert!(output.out.contains("FAILED  gate: the API server refused a dry-run in default with 500"), "{output:?}");
}

#[tokio::test]
async fn the_self_test_says_what_is_not_in_force_in_the_cluster_and_does_not_fail_for_it() {
    let mut cluster = ChartCluster::without_chart().await;
    namespace::ensure(&cluster.control_plane, &cluster.control_plane.client(), "bank", &[]).await;
    let mut webhook = cluster.webhook_values("Ignore");
    webhook["excludedNamespaces"] = json!(["bank"]);
    webhook["matchConditions"] =
        json!([{"name": "not-by-robots", "expression": "request.userInfo.username != 'robot'"}]);
    webhook["bypassServiceAccounts"] = json!(["ci:deployer"]);
    let environments = json!({
        "production": {"namespaces": {"names": ["bank", "shop"]}, "gate": {"mode": "Enforce"}},
        "staging": {"namespaces": {"names": ["stagin"]}},
    });
    let output = cluster.release(&json!({"webhook": webhook, "environments": environments})).await;
    assert_eq!(output.code, 0, "{output:?}");
    let test = SelfTest::of(&cluster).await;

    // Nothing runs yet.
    let output = test.run().await;
    let (_, notes) = split(&output);
    let awaits = "PactEnvironment production: Enforce awaits the list of what runs, and behaves as Warn until then";
    let unseen = "PactEnvironment production: not Ready: no controller has looked at it; see that a pod of \
                  pact-operator-controller runs";
    assert!(notes.contains(&awaits) && notes.contains(&unseen), "{output:?}");

    cluster.run().await;
    let expected = [
        "PactEnvironment production: claimed, but never asked about: bank (the webhook's namespaceSelector leaves that \
         out); correct webhook.excludedNamespaces, webhook.namespaceSelector or the labels of the namespace",
        &LEFT_OUT.replace("about kube", "about bank, kube"),
        IGNORES,
        "webhook: not asked about what further matchConditions leave out: not-by-robots (webhook.matchConditions)",
        "webhook: bypass statements of service accounts that hold the verb bypass count: ci:deployer \
         (webhook.bypassServiceAccounts)",
        "PactEnvironment staging: claims no namespace: the namespace stagin does not exist",
        "PactEnvironment staging: not Ready (EnvironmentMissing): ",
        "PactEnvironment staging: its gate.mode is Audit, which denies nothing; Enforce denies",
    ];
    eventually("exactly that to be said", SOON, async || {
        let output = test.run().await;
        let (_, notes) = split(&output);
        let all = notes.len() == expected.len()
            && notes.iter().zip(expected).all(|(note, expected)| note.starts_with(expected));
        if all && output.code == 0 { Ok(()) } else { Err(format!("{} {}", output.code, output.out)) }
    })
    .await;

    // The cluster counts, not the values: there, somebody limited the gate to labelled namespaces, and labelled bank.
    let selector = json!({"matchLabels": {"gate": "on"}});
    let patch = json!([{"op": "replace", "path": "/webhooks/0/namespaceSelector", "value": selector}]).to_string();
    let what = ["patch", "validatingwebhookconfiguration", "pact-operator", "--type=json", "--patch", &patch];
    kubectl_ok(cluster.control_plane.kubeconfig(), &what).await;
    kubectl_ok(cluster.control_plane.kubeconfig(), &["label", "namespace", "bank", "default", "gate=on"]).await;
    let output = test.run().await;
    let (_, notes) = split(&output);
    assert!(notes[0].starts_with("PactEnvironment production: claimed, but never asked about: shop ("), "{output:?}");
    let left_out = "webhook: not asked about kube-node-lease, kube-public, kube-system, pact-operator, shop, because";
    assert!(notes[1].starts_with(left_out), "{output:?}");

    // And the command of an emergency.
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(cluster.control_plane.client());
    configurations.delete("pact-operator", &DeleteParams::default()).await.unwrap();
    let output = test.run().await;
    let (_, notes) = split(&output);
    assert!(
        notes[0].starts_with("webhook: asked about nothing, because no ValidatingWebhookConfiguration"),
        "{output:?}"
    );
    assert!(notes.iter().all(|note| !note.contains("failurePolicy")), "{output:?}");
}
