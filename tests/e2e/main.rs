//! The chart and the image on a cluster that runs containers: kubelet, probes, endpoints, Services, rolling updates.
//!
//! Run by `tests/e2e/run.sh` (`make e2e`), which says in the environment where the cluster is:
//! `KUBECONFIG`; `E2E_IMAGE`, the operator's image, which the cluster has already; `E2E_WORKLOAD`, an image that runs
//! until it is stopped, there under the tags 1.0.0 and 2.0.0; `E2E_BROKER`, an address of this machine that pods reach.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so; clippy.toml excuses only functions marked as tests, not what they call"
)]

#[path = "../testbed/mod.rs"]
mod testbed;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use pact_operator::api::annotations::PACTICIPANT;
use testbed::chart::{RELEASE, folder, helm_ok};
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::kubectl::kubectl_ok;
use testbed::namespace;
use testbed::standin::{Options, StandIn};
use testbed::webhook::Person;

/// How long anything may take that should happen soon, on a busy machine.
const SOON: Duration = Duration::from_mins(2);
/// Image changes a second that are asked about while replicas come and go.
const PER_SECOND: u64 = 100;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run tests/e2e/run.sh"))
}

struct Cluster {
    control_plane: ControlPlane,
    client: Client,
    broker: StandIn,
    developer: Person,
}

impl Cluster {
    async fn open() -> Self {
        let control_plane = ControlPlane::from_kubeconfig(Path::new(&variable("KUBECONFIG"))).await;
        clean(&control_plane).await;
        let client = control_plane.client();
        let bind = variable("E2E_BROKER").parse().expect("E2E_BROKER is an IP address");
        let broker = StandIn::start_with(Options { bind: Some(bind), ..Options::default() }).await;
        broker.store().add_environment("production", true);
        let restricted = ("pod-security.kubernetes.io/enforce", "restricted");
        namespace::ensure(&control_plane, &client, RELEASE, &[restricted]).await;
        namespace::ensure(&control_plane, &client, "shop", &[]).await;
        let developer = Person::developer(&control_plane).await;
        Self { control_plane, client, broker, developer }
    }

    /// helm upgrade --install, waiting until everything is ready.
    async fn release(&self, more: &[&str]) {
        let image = variable("E2E_IMAGE");
        let (repository, tag) = image.rsplit_once(':').expect("E2E_IMAGE is name:tag");
        let (repository, tag) = (format!("image.repository={repository}"), format!("image.tag={tag}"));
        let broker = format!("broker.url={}", self.broker.url());
        let chart = folder().display().to_string();
        let mut how = vec!["upgrade", "--install", RELEASE, &chart, "--wait", "--timeout", "120s"];
        for value in [
            repository.as_str(),
            &tag,
            &broker,
            "environments.production.namespaces.names={shop}",
            "environments.production.gate.mode=Enforce",
            "controller.probeSeconds=1",
            "controller.retrySeconds=2",
            "webhook.failurePolicy=Fail",
        ]
        .iter()
        .chain(more)
        {
            how.extend(["--set", value]);
        }
        helm_ok(&self.control_plane, &how).await;
    }

    /// A Deployment as it is applied: annotated, of one container, in a second gone.
    fn workload(name: &str, version: &str) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "annotations": {PACTICIPANT: name}},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [
                    {"name": "app", "image": format!("{}:{version}", variable("E2E_WORKLOAD"))}]},
            }},
        })
    }

    /// Applies a version as a developer does.
    async fn apply(&self, client: &Client, name: &str, version: &str, dry_run: bool) -> Result<(), kube::Error> {
        let api: Api<Deployment> = Api::namespaced(client.clone(), "shop");
        let how = PatchParams { dry_run, ..PatchParams::apply("e2e").force() };
        api.patch(name, &how, &Patch::Apply(Self::workload(name, version))).await.map(drop)
    }

    async fn wait_recorded(&self, name: &str, version: &str) {
        eventually(format!("{name} {version} to be recorded"), SOON, async || {
            let rows = self.broker.store().current("production", name);
            let versions: Vec<_> = rows.into_iter().map(|row| row.version).collect();
            if versions == [version] { Ok(()) } else { Err(format!("{versions:?}")) }
        })
        .await;
    }

    async fn wait_denied(&self, name: &str, version: &str) {
        let client = self.developer.client();
        eventually(format!("{name} {version} to be denied"), SOON, async || {
            match self.apply(&client, name, version, true).await {
                Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl_ok(self.control_plane.kubeconfig(), arguments).await
    }

    /// What the kubelet says that the operator's containers use: pod, memory in MiB, CPU in thousandths of a core.
    async fn usage(&self) -> Vec<(String, u64, u64)> {
        let node = self.kubectl(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"]).await;
        let summary = self.kubectl(&["get", "--raw", &format!("/api/v1/nodes/{node}/proxy/stats/summary")]).await;
        let summary: Value = serde_json::from_str(&summary).unwrap();
        let pods = summary["pods"].as_array().cloned().unwrap_or_default();
        let ours = pods.into_iter().filter(|pod| pod["podRef"]["namespace"] == RELEASE);
        let used = ours.map(|pod| {
            let name = pod["podRef"]["name"].as_str().unwrap_or_default().to_owned();
            let container = &pod["containers"][0];
            let memory = container["memory"]["workingSetBytes"].as_u64().unwrap_or_default() / (1 << 20);
            (name, memory, container["cpu"]["usageNanoCores"].as_u64().unwrap_or_default() / 1_000_000)
        });
        used.collect()
    }
}

/// Takes away what an earlier run left: what was recorded then is known to the operator, and let through.
async fn clean(control_plane: &ControlPlane) {
    let gate = ["validatingwebhookconfiguration", "pact-operator"];
    let kinds = ["pactbrokers", "pactenvironments", "pactdeployments"].map(|kind| format!("{kind}.pact-operator.dev"));
    let kinds: Vec<_> = ["crd"].into_iter().chain(kinds.iter().map(String::as_str)).collect();
    for objects in [&gate[..], &["namespace", RELEASE, "shop"], &kinds] {
        let delete = [&["delete", "--ignore-not-found", "--timeout=120s"], objects].concat();
        kubectl_ok(control_plane.kubeconfig(), &delete).await;
    }
}

/// What a load came to.
#[derive(Debug, Default)]
struct Load {
    asked: AtomicU32,
    /// In which second, and what was said.
    failed: std::sync::Mutex<Vec<(u64, String)>>,
    stop: AtomicBool,
}

impl Load {
    /// Asks about image changes, evenly, until it is told to stop. Each is a server-side dry-run, so that what is measured
    /// is admission; allowed and denied ones alternate, and both are answers.
    async fn run(&self, cluster: &Cluster) {
        let client = cluster.developer.client();
        let mut tick = tokio::time::interval(Duration::from_micros(1_000_000 / PER_SECOND));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let started = Instant::now();
        let mut under_way = futures::stream::FuturesUnordered::new();
        while !self.stop.load(Ordering::Relaxed) && started.elapsed() < Duration::from_mins(20) {
            tokio::select! {
                _ = tick.tick() => {
                    let number = self.asked.fetch_add(1, Ordering::Relaxed);
                    under_way.push(self.ask(cluster, client.clone(), number, started));
                }
                Some(()) = futures::StreamExt::next(&mut under_way) => {}
            }
        }
        while futures::StreamExt::next(&mut under_way).await.is_some() {}
    }

    async fn ask(&self, cluster: &Cluster, client: Client, number: u32, started: Instant) {
        let second = started.elapsed().as_secs();
        let version = if number.is_multiple_of(2) { "1.1.0" } else { "2.0.0" };
        let said = cluster.apply(&client, "orders", version, true).await;
        let right = match &said {
            Ok(()) => version == "1.1.0",
            Err(kube::Error::Api(status)) => {
                version == "2.0.0" && status.code == 403 && status.message.contains("orders 2.0.0 may not be deployed")
            }
            Err(_) => false,
        };
        if !right {
            self.failed.lock().unwrap().push((second, format!("{number} {version}: {said:?}")));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chart_and_the_image_on_real_pods() {
    let cluster = Cluster::open().await;
    let store = cluster.broker.store();
    store.publish_pact("web", "7", "orders", "what it expects");
    store.record_deployment("web", "7", "production", None);
    for (version, ok) in [("1.0.0", true), ("1.1.0", true), ("2.0.0", false)] {
        assert!(store.verify("web", "7", "orders", version, ok));
    }

    let started = Instant::now();
    cluster.release(&[]).await;
    println!("helm upgrade --install --wait: {:.1} s", started.elapsed().as_secs_f32());
    // A namespace of the operator's own is never asked about, so developers' first rollout is the first call.
    eventually("1.0.0 to be admitted", SOON, async || {
        let applied = cluster.apply(&cluster.developer.client(), "orders", "1.0.0", false).await;
        applied.map_err(|error| error.to_string())
    })
    .await;
    cluster.wait_recorded("orders", "1.0.0").await;
    cluster.wait_denied("orders", "2.0.0").await;
    println!("first record and first denial: {:.1} s", started.elapsed().as_secs_f32());
    println!("at rest: {:?}", cluster.usage().await);

    replicas_come_and_go_under_load(&cluster).await;
    all_down(&cluster).await;

    helm_ok(&cluster.control_plane, &["uninstall", RELEASE, "--wait", "--timeout", "120s"]).await;
    let left = cluster.kubectl(&["get", "validatingwebhookconfigurations", "-o", "name"]).await;
    assert!(!left.contains("pact-operator"), "{left}");
    cluster.apply(&cluster.developer.client(), "orders", "2.0.0", false).await.expect("nothing is in the way");
    let kept = cluster.kubectl(&["get", "pactenv,pactdep,pb", "-o", "name"]).await;
    assert_eq!(kept.lines().count(), 3, "{kept}");
}

/// No admission fails while replicas are replaced, by a restart and by an upgrade.
async fn replicas_come_and_go_under_load(cluster: &Cluster) {
    let rollouts: u32 = std::env::var("E2E_ROLLOUTS").map_or(2, |count| count.parse().expect("a number"));
    let (load, started) = (Load::default(), Instant::now());
    let changes = async {
        for round in 0..rollouts {
            if round.is_multiple_of(2) {
                cluster.kubectl(&["-n", RELEASE, "rollout", "restart", "deployment/pact-operator-webhook"]).await;
            } else {
                cluster.release(&[&format!("webhook.podAnnotations.round=r{round}")]).await;
            }
            let wait = ["-n", RELEASE, "rollout", "status", "deployment/pact-operator-webhook", "--timeout=180s"];
            cluster.kubectl(&wait).await;
            let (asked, seconds) = (load.asked.load(Ordering::Relaxed), started.elapsed().as_secs());
            let failed = load.failed.lock().unwrap().len();
            println!("rollout {} of {rollouts} after {seconds} s, {asked} asked, {failed} failed", round + 1);
        }
        println!("under load: {:?}", cluster.usage().await);
        load.stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(load.run(cluster), changes);
    let failed = load.failed.lock().unwrap();
    println!("{} admissions in {rollouts} rollouts, {} failed", load.asked.load(Ordering::Relaxed), failed.len());
    let mut seconds = BTreeMap::<u64, u32>::new();
    for (second, _) in failed.iter() {
        *seconds.entry(*second).or_default() += 1;
    }
    assert!(
        failed.is_empty(),
        "failed, by the second they were asked in: {seconds:?}; the first: {:?}",
        failed.first()
    );
}

/// With `Fail` and every replica gone: only what the gate is asked about waits; the emergency command ends that; the pods
/// come back unaided.
async fn all_down(cluster: &Cluster) {
    let scale = |replicas: &'static str| ["-n", RELEASE, "scale", "deployment/pact-operator-webhook", replicas];
    cluster.kubectl(&scale("--replicas=0")).await;
    let gone = ["-n", RELEASE, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=webhook"];
    cluster.kubectl(&[&gone[..], &["--timeout=120s"]].concat()).await;
    let developer = cluster.developer.client();
    let held = cluster.apply(&developer, "orders", "1.1.0", true).await;
    assert!(
        matches!(&held, Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook")),
        "{held:?}"
    );
    for namespace in ["kube-system", RELEASE] {
        let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
        let how = PatchParams { dry_run: true, ..PatchParams::apply("e2e").force() };
        let held = api.patch("orders", &how, &Patch::Apply(Cluster::workload("orders", "1.0.0"))).await;
        held.expect("system namespaces never wait");
    }
    cluster.kubectl(&scale("--replicas=2")).await;
    cluster.wait_denied("orders", "2.0.0").await;
    let notes = helm_ok(&cluster.control_plane, &["get", "notes", RELEASE]).await;
    let emergency = notes.lines().find_map(|line| line.trim().strip_prefix("kubectl delete ")).expect("in the notes");
    cluster.kubectl(&[&["delete"], &emergency.split(' ').collect::<Vec<_>>()[..]].concat()).await;
    cluster.apply(&developer, "orders", "2.0.0", true).await.expect("the gate is off");
    cluster.release(&[]).await;
    cluster.wait_denied("orders", "2.0.0").await;
}
