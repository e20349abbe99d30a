//! The verbs that people call about a cluster: `status`, `explain`, and `check` of manifests by what the cluster says.

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::{Value, json};

use super::gate_setup::GateSetup;
use crate::objects::Objects as _;
use testbed::{
    eventually::eventually,
    kubectl::kubectl_reading,
    replica::binary,
    test_cluster::{SOON, annotated},
};

pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// Runs a verb as whoever has this kubeconfig.
pub async fn said(kubeconfig: &Path, arguments: &[&str], input: &str) -> Said {
    let mut command = Command::new(binary());
    command.args(arguments).env("KUBECONFIG", kubeconfig).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    run(command, input).await
}

/// Runs a command; `input` is what comes on its standard input.
pub async fn run(mut command: Command, input: &str) -> Said {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let input = input.to_owned();
    let ran = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn()?;
        // A verb that reads nothing has closed it.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output()
    });
    let Output { status, stdout, stderr } = ran.await.unwrap().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: status.code(), out: text(stdout), err: text(stderr) }
}

/// Ends with this code and has these words on its standard output, wherever its lines break.
#[track_caller]
pub fn shows(said: &Said, code: i32, wanted: &[&str]) {
    let text = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in wanted {
        assert!(text.contains(words), "{words:?} is missing in\n{}{}", said.out, said.err);
    }
    assert_eq!(said.code, Some(code), "{}{}", said.out, said.err);
}

/// The lines, with single spaces.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[track_caller]
fn has(said: &Said, wanted: &[&str]) {
    let found = lines(&said.out);
    for line in wanted {
        assert!(found.iter().any(|it| it.contains(line)), "{line:?} is missing in\n{}{}", said.out, said.err);
    }
}

#[tokio::test]
async fn a_workload_is_explained_from_its_annotation_to_what_would_change_the_answer() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Warn"})).await;
    let (name, namespace) = (&environment.name, &environment.namespace);
    setup.provider_that_breaks(name, "seen");
    let admin = setup.cluster.control_plane.kubeconfig();
    setup.running(environment, "seen", "seen", "1.0.0").await;
    setup.cluster.wait_condition(name, "seen", ("Ready", "True", "Recorded")).await;
    let explain = async |workload: &str| said(admin, &["explain", workload, "-n", namespace], "").await;
    let settled = explain("deployment/seen").await;
    has(
        &settled,
        &[
            &format!("Deployment {namespace}/seen"),
            "names seen (annotation pact-operator.dev/pacticipant)",
            &format!("because it names the namespace {namespace}"),
            "gate Warn",
            "version 1.0.0, from the image of the container app:",
            "recorded 1.0.0 of seen since",
            "next Recorded:",
            "verdict Yes since",
            "admission a rollout of this version is admitted",
        ],
    );
    assert!(settled.code == Some(0) && !settled.out.contains("remedy"), "{}", settled.out);

    setup.set_version(namespace, "seen", "2.0.0", &[]).await;
    eventually("the denial that Enforce would be to be explained", SOON, async || {
        let said = explain("deploy/seen").await;
        let wanted = ["verdict No since", "Failed: web-of-seen", "admitted with a warning", "remedy Deploy a version"];
        let found = lines(&said.out);
        let missing = wanted.iter().find(|line| !found.iter().any(|it| it.contains(*line)));
        missing.map_or(Ok(()), |missing| Err(format!("{missing:?} is missing in\n{}{}", said.out, said.err)))
    })
    .await;

    let bare = json!({"apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"name": "bare", "annotations": {"pact-operator.dev/pacticipent": "bare"}},
        "spec": {"selector": {"matchLabels": {"app": "bare"}}, "template": {
            "metadata": {"labels": {"app": "bare"}}, "spec": {"containers": [{"name": "bare", "image": "bare:1"}]}}}});
    kubectl_reading(admin, &["-n", namespace, "apply", "-f", "-"], &bare.to_string()).await;
    let unannotated = explain("ds/bare").await;
    has(&unannotated, &["names nobody: annotate it", "the annotation pact-operator.dev/pacticipent is not read"]);

    let elsewhere = &setup.cluster.namespace().await;
    annotated("lost", "lost", "1.0.0").replicas(0).apply(&setup.cluster.client(), elsewhere).await;
    let unmapped = said(admin, &["explain", "deployment/lost", "-n", elsewhere], "").await;
    has(&unmapped, &[&format!("{elsewhere} lies in no environment, so nothing is recorded or judged")]);
    let missing = explain("sts/nowhere").await;
    assert!(missing.code == Some(1) && missing.out.contains("there is no StatefulSet"), "{}", missing.out);
    let pod = explain("pod/x").await;
    assert!(pod.code == Some(64) && pod.err.contains("neither recorded nor judged"), "{}", pod.err);
}

#[tokio::test]
async fn the_status_shows_what_runs_beside_what_is_recorded() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Audit"})).await;
    let (name, namespace) = (&environment.name, &environment.namespace);
    setup.provider_that_breaks(name, "listed");
    let admin = setup.cluster.control_plane.kubeconfig();
    setup.running(environment, "listed", "listed", "1.0.0").await;
    setup.cluster.wait_condition(name, "listed", ("Ready", "True", "Recorded")).await;
    let status =
        async |more: &[&str]| said(admin, &[&["status", "--environment", name.as_str()], more].concat(), "").await;
    let found = lines(&status(&[]).await.out);
    assert_eq!(found[0], "ENVIRONMENT PACTICIPANT RUNS RECORDED SINCE VERDICT NOTES");
    assert!(found[1].starts_with(&format!("{name} listed 1.0.0 1.0.0 ")) && found[1].ends_with(" Yes -"), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(lines(&status(&["--unsettled"]).await.out)[0].starts_with("nothing"), "it is as it should be");

    setup.set_version(namespace, "listed", "2.0.0", &[]).await;
    setup.cluster.wait_recorded(name, "listed", "2.0.0").await;
    eventually("the status to tell it", SOON, async || {
        let document: Value = serde_json::from_str(&status(&["-o", "json"]).await.out).unwrap();
        let record = &document[0];
        let told = (&record["recorded"]["version"], &record["check"]["verdict"], &record["notes"]);
        let wanted = (&json!("2.0.0"), &json!("No"), &json!(["WouldDeny"]));
        if told == wanted { Ok(()) } else { Err(document.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_manifest_is_judged_by_what_the_cluster_says_as_the_gate_judges_it() {
    let setup = GateSetup::shared().await;
    let admin = setup.cluster.control_plane.kubeconfig();
    for (mode, code) in [("Enforce", 1), ("Warn", 0)] {
        let environment = &setup.gated(json!({"mode": mode})).await;
        let pacticipant = &format!("manifest-{}", mode.to_lowercase());
        setup.provider_that_breaks(&environment.name, pacticipant);
        let manifest = annotated("app", pacticipant, "2.0.0").manifest().to_string();
        let arguments = ["check", "-f", "-", "-n", &environment.namespace, "-o", "json"];
        let checked = said(admin, &arguments, &manifest).await;
        let document: Value = serde_json::from_str(&checked.out).unwrap_or_else(|_| panic!("{}", checked.err));
        let gate = &document["checks"][0]["gate"];
        let action = if mode == "Enforce" { "Deny" } else { "Warn" };
        assert_eq!((checked.code, &gate["mode"], &gate["action"]), (Some(code), &json!(mode), &json!(action)));
        let create = ["create", "--dry-run=server", "-f", "-"];
        let tried = setup.kubectl_reading(&environment.namespace, &create, &manifest).await;
        assert_eq!(tried.denial().is_some(), mode == "Enforce", "{tried:?}");
    }
}

#[tokio::test]
async fn without_rights_or_a_cluster_one_sentence_says_what_to_do() {
    let setup = GateSetup::shared().await;
    let refused = said(setup.developer.kubeconfig(), &["status"], "").await;
    assert!(refused.code == Some(2) && refused.err.contains("cannot list"), "{}{}", refused.out, refused.err);
    assert_eq!(refused.err.lines().count(), 1, "{}", refused.err);
    for arguments in [&["status"][..], &["explain", "deployment/x"], &["check", "-f", "-"]] {
        let nowhere = said(Path::new("/no/such/kubeconfig"), arguments, "").await;
        assert!(nowhere.code == Some(2) && nowhere.err.contains("KUBECONFIG"), "{}{}", nowhere.out, nowhere.err);
        assert_eq!(nowhere.err.lines().count(), 1, "{}", nowhere.err);
    }
}
