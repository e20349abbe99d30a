//! `pact-operator self-test`, as `helm test` runs it: what the hook's Pod describes, with the rights that the hook grants.

use std::path::PathBuf;
use std::process::Stdio;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;

use super::chart::Stage;
use super::gate_stage::Said;
use testbed::chart::{RELEASE, helm_ok};
use testbed::kubectl::{kubectl_ok, kubectl_reading};
use testbed::replica::binary;

/// The hook's Pod and the way to the API server that its account has.
pub(super) struct SelfTest {
    arguments: Vec<String>,
    kubeconfig: PathBuf,
}

impl SelfTest {
    /// Grants what the hook grants, as Helm does before it starts the Pod, which the restricted standard allows.
    pub(super) async fn of(stage: &Stage) -> Self {
        let restricted = ["label", "namespace", RELEASE, "pod-security.kubernetes.io/enforce=restricted"];
        kubectl_ok(stage.control_plane.kubeconfig(), &restricted).await;
        let hooks = helm_ok(&stage.control_plane, &["get", "hooks", RELEASE]).await;
        let documents = hooks.split("\n---\n").filter(|document| document.contains("helm.sh/hook: test"));
        let hooks = documents.collect::<Vec<_>>().join("\n---\n");
        let applied = kubectl_reading(stage.control_plane.kubeconfig(), &["apply", "-f", "-"], &hooks).await;
        assert!(applied.status.success(), "{applied:?}");
        let pods: Api<Pod> = Api::namespaced(stage.control_plane.client(), RELEASE);
        let pod = pods.get("pact-operator-self-test").await.unwrap().spec.unwrap();
        let arguments = pod.containers[0].args.clone().unwrap();
        let account = pod.service_account_name.unwrap();
        Self { arguments, kubeconfig: stage.control_plane.user_kubeconfig(RELEASE, &account).await }
    }

    pub(super) async fn run(&self) -> Said {
        let mut command = tokio::process::Command::new(binary());
        command.args(&self.arguments).env("KUBECONFIG", &self.kubeconfig).env("POD_NAMESPACE", RELEASE);
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1").stdin(Stdio::null());
        Said::of(&command.kill_on_drop(true).output().await.expect("the operator runs"))
    }
}

#[tokio::test]
async fn it_says_whether_the_gate_and_the_brokers_answer_and_what_to_do_when_not() {
    let mut stage = Stage::bare().await;
    let said = stage.release(&json!({})).await;
    assert_eq!(said.code, 0, "{said:?}");
    stage.run().await;
    let test = SelfTest::of(&stage).await;

    let said = test.run().await;
    let lines: Vec<_> = said.out.lines().collect();
    let version = env!("CARGO_PKG_VERSION");
    let &[gate, broker] = lines.as_slice() else { panic!("{said:?}") };
    assert_eq!((said.code, gate), (0, &*format!("ok      gate: the gate of pact-operator answers, version {version}")));
    assert!(broker.starts_with("ok      PactBroker main: http://127.0.0.1:"), "{said:?}");

    // Nobody serves: with Ignore the API server lets everything through, and nothing but this says so.
    stage.stop_webhook();
    stage.broker.stop().await;
    let said = test.run().await;
    let lines: Vec<_> = said.out.lines().collect();
    let &[gate, broker] = lines.as_slice() else { panic!("{said:?}") };
    assert!(gate.starts_with("FAILED  gate: ") && gate.contains("without asking the gate; see that"), "{said:?}");
    assert!(broker.starts_with("FAILED  PactBroker main: "), "{said:?}");
    assert_eq!((said.code, said.err.trim_end()), (1, "pact-operator self-test: 2 of the above failed"));

    // With Fail it is the API server that says why.
    let said = stage.release(&json!({"webhook": stage.webhook_values("Fail")})).await;
    assert_eq!(said.code, 0, "{said:?}");
    let said = test.run().await;
    assert!(said.out.contains("FAILED  gate: the API server refused a dry-run in default with 500"), "{said:?}");
}
