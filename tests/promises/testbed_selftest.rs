//! The testbed's own promises, on which the other tests rely.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{ListParams, PostParams};

use testbed::components::Component;
use testbed::control_plane::ControlPlane;
use testbed::eventually::{always, eventually};
use testbed::kubectl::{kubectl, kubectl_ok};
use testbed::namespace::with_namespace;
use testbed::operator::{SERVICE_ACCOUNT, install_rights};
use testbed::process::Process;
use testbed::rollout::{Live, Progress, deployment};
use testbed::webhook::{self, Webhook, WebhookOptions};
use testbed::{audit, crds};

/// Names the variable that turns the test below into the process that is killed.
const HOLDER: &str = "TESTBED_SELFTEST_HOLDER";

#[tokio::test]
async fn a_rollout_completes() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let orders = deployment("orders").image("reg.test/orders:1.0.0").replicas(3).apply(&cp.client(), &ns).await;
        orders.wait_complete().await;
        orders.set_image("reg.test/orders:2.0.0").await;
        let done = orders.wait_complete().await;
        assert_eq!(image(&done), "reg.test/orders:2.0.0");
        kubectl_ok(cp.kubeconfig(), &["rollout", "status", "deployment/orders", "-n", &ns, "--timeout=10s"]).await;
    })
    .await;
}

#[tokio::test]
async fn undo_brings_the_image_before_back() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let orders = deployment("orders").apply(&cp.client(), &ns).await;
        orders.wait_complete().await;
        orders.set_image("reg.test/orders:2.0.0").await;
        orders.wait_complete().await;
        orders.undo(cp.kubeconfig()).await;
        assert_eq!(image(&orders.wait_complete().await), "reg.test/orders:1.0.0");
    })
    .await;
}

#[tokio::test]
async fn never_ready_pods_exist_but_are_not_available_and_the_deadline_passes() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let orders = deployment("orders").replicas(2).never_ready().progress_deadline(2).apply(&cp.client(), &ns).await;
        let progress = Progress::of(&orders.wait_updated().await);
        assert_eq!((progress.updated, progress.available), (2, 0), "{progress:?}");
        let progress = Progress::of(&orders.wait_failed().await);
        assert_eq!((progress.updated, progress.available), (2, 0), "{progress:?}");
    })
    .await;
}

#[tokio::test]
async fn held_pods_wait_for_their_release() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let orders = deployment("orders").replicas(2).held().apply(&cp.client(), &ns).await;
        orders.wait_updated().await;
        always("held pods stay unready", Duration::from_millis(500), || none_available(&orders)).await;
        orders.release().await;
        orders.wait_complete().await;
    })
    .await;
}

#[tokio::test]
async fn slow_pods_become_ready_later() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let started = std::time::Instant::now();
        let slow = deployment("orders").ready_after(Duration::from_millis(1500)).apply(&cp.client(), &ns).await;
        slow.wait_complete().await;
        assert!(started.elapsed() >= Duration::from_millis(1500), "{:?}", started.elapsed());
    })
    .await;
}

#[tokio::test]
async fn terminating_pods_are_counted_until_they_are_released() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let orders = deployment("orders").replicas(2).held_terminating().apply(&cp.client(), &ns).await;
        orders.wait_complete().await;
        orders.set_image("reg.test/orders:2.0.0").await;
        let complete =
            orders.wait("complete with old pods terminating", |one| Progress::of(one).terminating == 2).await;
        assert_eq!(Progress::of(&complete).terminating, 2);
        orders.release_terminating().await;
        orders.wait("no pod terminating", |one| Progress::of(one).terminating == 0).await;
    })
    .await;
}

#[tokio::test]
async fn recreate_waits_for_slow_termination() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let recreate = deployment("orders").strategy_recreate().terminates_after(Duration::from_secs(1));
        let orders = recreate.apply(&cp.client(), &ns).await;
        orders.wait_complete().await;
        orders.set_image("reg.test/orders:2.0.0").await;
        orders
            .wait("no new pod while the old one terminates", |one| {
                let progress = Progress::of(one);
                progress.observed && progress.updated == 0 && progress.available == 0
            })
            .await;
        orders.wait_complete().await;
    })
    .await;
}

#[tokio::test]
async fn paused_scaled_and_deleted() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        let orders = deployment("orders").apply(&cp.client(), &ns).await;
        orders.wait_complete().await;
        orders.pause().await;
        orders.set_image("reg.test/orders:2.0.0").await;
        let paused = orders.wait("the change to be observed", |one| Progress::of(one).observed).await;
        assert_eq!(Progress::of(&paused).updated, 0, "a paused Deployment does not roll out");
        orders.resume().await;
        orders.wait_complete().await;
        orders.set_replicas(0).await;
        assert_eq!(Progress::of(&orders.wait_complete().await).wanted, 0);
        orders.delete().await;
        let deployments: Api<k8s_openapi::api::apps::v1::Deployment> = Api::namespaced(cp.client(), &ns);
        let gone = async || match deployments.get_opt("orders").await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually("the Deployment to be gone", Duration::from_secs(20), gone).await;
    })
    .await;
}

/// The operator's rights in these tests are no more than what it needs, and its requests are counted.
#[tokio::test]
async fn the_operators_account_has_its_rights_and_no_others() {
    let cp = ControlPlane::shared().await;
    with_namespace(&cp, async |ns| {
        install_rights(&cp, &ns).await;
        let user = cp.user_kubeconfig(&ns, SERVICE_ACCOUNT).await;
        let allowed = kubectl(&user, &["get", "deployments", "-A"]).await;
        assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
        for refused in [
            ["get", "secrets", "-n", &ns].as_slice(),
            &["get", "secret", "any", "-n", "default"],
            &["annotate", "deployment", "--all", "a=b", "-n", &ns],
            &["delete", "namespace", &ns],
            &["get", "leases", "-n", "kube-system"],
            &["create", "configmap", "any", "-n", &ns],
        ] {
            let output = kubectl(&user, refused).await;
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            // Annotating all of no Deployments only needs a list; a write would be refused by the API server.
            let nothing_to_write = refused[0] == "annotate" && output.status.success();
            assert!(nothing_to_write || message.contains("orbidden"), "{refused:?}: {message}");
        }
        let can_patch = kubectl(&user, &["auth", "can-i", "patch", "deployments", "-A"]).await;
        assert_eq!(String::from_utf8_lossy(&can_patch.stdout).trim(), "no");
        eventually("the audit log to hold the list", Duration::from_secs(10), || async {
            let requests = audit::requests(&cp, &ns, SERVICE_ACCOUNT);
            let found =
                requests.iter().any(|one| one.verb == "list" && one.resource == "deployments" && one.code == 200);
            if found { Ok(()) } else { Err(format!("{requests:?}")) }
        })
        .await;
    })
    .await;
}

/// Operators that share a control plane: each has cluster-scoped objects of its own, and rights to no others.
#[tokio::test]
async fn an_operator_in_another_namespace_has_a_gate_and_rights_of_its_own() {
    let cp = ControlPlane::shared().await;
    crds::install_crds(&cp).await;
    with_namespace(&cp, async |ns| {
        let usual = WebhookOptions::default().failure_policy("Ignore").only("nowhere");
        let mut other = usual.clone();
        other.namespace.clone_from(&ns);
        assert_ne!(usual.configuration(), other.configuration());
        for options in [&usual, &other] {
            // A webhook is ready once it has written its own caBundle.
            drop(Webhook::start(&cp, options.clone()).await);
            let hooks = webhook::configuration(&cp.client(), &options.configuration()).await.webhooks.unwrap();
            assert!(hooks[0].client_config.ca_bundle.is_some(), "{hooks:?}");
        }
        let user = cp.user_kubeconfig(&ns, webhook::SERVICE_ACCOUNT).await;
        let elsewhere = ["get", "validatingwebhookconfiguration", &usual.configuration()];
        let refused = kubectl(&user, &elsewhere).await;
        assert!(String::from_utf8_lossy(&refused.stderr).contains("orbidden"), "{refused:?}");
        let both = [usual.configuration(), other.configuration()];
        kubectl_ok(cp.kubeconfig(), &["delete", "validatingwebhookconfiguration", &both[0], &both[1]]).await;
    })
    .await;
}

#[tokio::test]
async fn crds_are_served_when_installed() {
    let cp = ControlPlane::shared().await;
    crds::apply_crds(
        &cp,
        "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.testbed.test}
spec:
  group: testbed.test
  scope: Cluster
  names: {plural: things, singular: thing, kind: Thing}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
",
    )
    .await;
    kubectl_ok(cp.kubeconfig(), &["get", "things.testbed.test"]).await;
}

/// Two control planes at once are separate, and each keeps its data when its API server is killed.
#[tokio::test]
async fn two_control_planes_beside_each_other() {
    let (one, other) = tokio::join!(ControlPlane::start(), ControlPlane::start());
    let map: ConfigMap = serde_json::from_value(serde_json::json!({"metadata": {"name": "only-here"}})).unwrap();
    Api::namespaced(one.client(), "default").create(&PostParams::default(), &map).await.unwrap();
    let there: Api<ConfigMap> = Api::namespaced(other.client(), "default");
    assert!(there.get_opt("only-here").await.unwrap().is_none());

    one.restart_apiserver().await;
    let here: Api<ConfigMap> = Api::namespaced(one.client(), "default");
    assert!(here.get_opt("only-here").await.unwrap().is_some());
    deployment("after").apply(&one.client(), "default").await.wait_complete().await;

    other.stop(Component::ControllerManager);
    let orders = deployment("orders").apply(&other.client(), "default").await;
    always("no controller observes it", Duration::from_millis(300), || not_observed(&orders)).await;
    other.resume(Component::ControllerManager).await;
    orders.wait_complete().await;

    let folders = [one.folder().to_owned(), other.folder().to_owned()];
    let pids: Vec<u32> = one.pids().into_iter().chain(other.pids()).collect();
    assert_eq!(pids.len(), 10);
    drop((one, other));
    all_gone(&pids, &folders.each_ref().map(std::path::PathBuf::as_path)).await;
}

/// Killing the process that holds a control plane leaves neither processes nor files.
#[tokio::test]
async fn sigkill_of_the_holder_ends_the_control_plane() {
    if std::env::var_os(HOLDER).is_some() {
        let cp = ControlPlane::shared().await;
        println!("HOLDING {} {:?}", cp.folder().display(), cp.pids());
        std::future::pending::<()>().await;
    }
    let own = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "--nocapture", "testbed_selftest::sigkill_of_the_holder_ends_the_control_plane"]);
    command.env(HOLDER, "1");
    let mut holder = Process::start("holder", own.path(), &command);
    let line = eventually("the holder to hold", Duration::from_mins(2), || async {
        let logs = holder.logs();
        let line = logs.lines().find_map(|line| line.split_once("HOLDING ").map(|(_, rest)| rest.to_owned()));
        line.ok_or(logs)
    })
    .await;
    let (folder, pids) = line.split_once(' ').unwrap();
    let pids: Vec<u32> = serde_json::from_str(pids).unwrap();
    assert_eq!(pids.len(), 5);
    assert!(pids.iter().all(|pid| runs(*pid)));
    holder.kill9();
    all_gone(&pids, &[Path::new(folder)]).await;
}

#[tokio::test]
async fn a_process_ends_with_its_handle_and_reports_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new("/bin/sh");
    command.args(["-c", "echo hello; exit 7"]);
    let mut process = Process::start("short", folder.path(), &command);
    assert_eq!(process.wait(Duration::from_secs(20)).await, 7);
    assert_eq!(process.logs(), "hello\n");

    let mut command = std::process::Command::new("/bin/sleep");
    command.arg("600");
    let process = Process::start("long", folder.path(), &command);
    let pid = eventually("its pid", Duration::from_secs(20), || async { process.pid().ok_or("none".to_owned()) }).await;
    assert!(runs(pid));
    assert!(process.rss_bytes().is_some_and(|bytes| bytes > 0));
    drop(process);
    assert!(!runs(pid));
}

/// A test that fails inside `with_namespace` fails with its own message, and its namespace is deleted.
#[tokio::test]
async fn a_failing_test_is_not_swallowed() {
    let cp = ControlPlane::shared().await;
    let seen = std::cell::RefCell::new(String::new());
    let outcome = futures::FutureExt::catch_unwind(std::panic::AssertUnwindSafe(with_namespace(&cp, async |ns| {
        seen.borrow_mut().clone_from(&ns);
        eventually("what never comes", Duration::from_millis(50), || async { Err::<(), _>("not yet".to_owned()) })
            .await;
    })))
    .await;
    let panic = outcome.expect_err("it panicked");
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("what never comes") && message.contains("not yet"), "{message}");
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(cp.client());
    let name = seen.borrow().clone();
    eventually("the namespace to go", Duration::from_secs(30), || async {
        let namespace = namespaces.get_opt(&name).await.map_err(|error| error.to_string())?;
        if namespace.is_none_or(|one| one.metadata.deletion_timestamp.is_some()) { Ok(()) } else { Err(name.clone()) }
    })
    .await;
    let secrets: Api<Secret> = Api::all(cp.client());
    assert!(secrets.list(&ListParams::default().limit(1)).await.is_ok());
}

fn image(deployment: &k8s_openapi::api::apps::v1::Deployment) -> String {
    let template = &deployment.spec.as_ref().unwrap().template;
    template.spec.as_ref().unwrap().containers[0].image.clone().unwrap()
}

async fn none_available(live: &Live) -> Result<(), String> {
    let progress = Progress::of(&live.get().await);
    if progress.available == 0 { Ok(()) } else { Err(format!("{progress:?}")) }
}

async fn not_observed(live: &Live) -> Result<(), String> {
    let progress = Progress::of(&live.get().await);
    if progress.observed { Err(format!("{progress:?}")) } else { Ok(()) }
}

async fn all_gone(pids: &[u32], folders: &[&Path]) {
    eventually("processes and files to be gone", Duration::from_secs(30), || async {
        let left: Vec<_> = pids.iter().filter(|pid| runs(**pid)).collect();
        let kept: Vec<_> = folders.iter().filter(|folder| folder.exists()).collect();
        if left.is_empty() && kept.is_empty() { Ok(()) } else { Err(format!("left: {left:?} {kept:?}")) }
    })
    .await;
}

/// Whether a process of this id runs (a zombie does not).
fn runs(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
