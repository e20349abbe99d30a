//! `pact-operator self-test`, as `helm test` runs it: the process that the hook's Pod describes, with the rights that
//! the hook grants.

use std::path::PathBuf;
use std::process::Stdio;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;

use super::chart::ChartCluster;
use super::gate_setup::CommandOutput;
use testbed::chart::{RELEASE, helm_ok};
use testbed::kubectl::{kubectl_ok, kubectl_reading};
use testbed::replica::binary;

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

#[tokio::test]
async fn the_self_test_reports_whether_the_gate_and_the_brokers_answer() {
    let mut cluster = ChartCluster::without_chart().await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    cluster.run().await;
    let test = SelfTest::of(&cluster).await;

    let output = test.run().await;
    let lines: Vec<_> = output.out.lines().collect();
    let version = env!("CARGO_PKG_VERSION");
    let &[gate, broker] = lines.as_slice() else { panic!("{output:?}") };
    assert_eq!(
        (output.code, gate),
        (0, &*format!("ok      gate: the gate of pact-operator answers, version {version}"))
    );
    assert!(broker.starts_with("ok      PactBroker main: http://127.0.0.1:"), "{output:?}");

    // No webhook runs: with Ignore the API server admits everything, and only the self-test reports it.
    cluster.stop_webhook();
    cluster.broker.stop().await;
    let output = test.run().await;
    let lines: Vec<_> = output.out.lines().collect();
    let &[gate, broker] = lines.as_slice() else { panic!("{output:?}") };
    assert!(gate.starts_with("FAILED  gate: ") && gate.contains("without asking the gate; see that"), "{output:?}");
    assert!(broker.starts_with("FAILED  PactBroker main: "), "{output:?}");
    assert_eq!((output.code, output.err.trim_end()), (1, "pact-operator self-test: 2 of the above failed"));

    // With Fail the reason comes from the API server.
    let output = cluster.release(&json!({"webhook": cluster.webhook_values("Fail")})).await;
    assert_eq!(output.code, 0, "{output:?}");
    let output = test.run().await;
    assert!(output.out.contains("FAILED  gate: the API server refused a dry-run in default with 500"), "{output:?}");
}
