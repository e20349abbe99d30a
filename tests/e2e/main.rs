//! The chart and the image on a cluster that runs containers: kubelet, probes, endpoints, Services, rolling updates.
//!
//! Run by `tests/e2e/run.sh` (`make e2e`), which sets these environment variables for the cluster: `KUBECONFIG`;
//! `E2E_IMAGE`, the operator's image, which the cluster has already; `E2E_WORKLOAD`, an image that runs until it is
//! stopped, there under the tags 1.0.0 and 2.0.0; `E2E_SHELL`, an image whose entrypoint is a shell; `E2E_BROKER`, an
//! address of this machine that pods reach.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so; clippy.toml excuses only functions marked as tests, not what they call"
)]

mod load;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use load::Load;
use pact_operator::api::annotations::PACTICIPANT;
use testbed::chart::{RELEASE, folder, helm_ok};
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::kubectl::kubectl_ok;
use testbed::namespace;
use testbed::standin::{Options, StandIn};
use testbed::webhook::{Person, sum};

/// How long anything may take that should happen soon, on a busy machine.
const SOON: Duration = Duration::from_mins(2);
/// A namespace that no environment maps.
const ELSEWHERE: &str = "elsewhere";

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
        for name in ["shop", ELSEWHERE] {
            namespace::ensure(&control_plane, &client, name, &[]).await;
        }
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

    /// The manifest of a Deployment: annotated, with one container, whose pods terminate within a second.
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

    /// Waits until every replica of the webhook is the newest one, and ready.
    async fn wait_rolled_out(&self) {
        let wait = ["-n", RELEASE, "rollout", "status", "deployment/pact-operator-webhook", "--timeout=180s"];
        self.kubectl(&wait).await;
    }

    /// Changes what the operator logs, as somebody does who looks for something.
    async fn set_log_filter(&self, filter: Value) {
        let patch = json!({"data": {"filter": filter}}).to_string();
        self.kubectl(&["-n", RELEASE, "patch", "configmap", "pact-operator-logging", "--type=merge", "-p", &patch])
            .await;
    }

    async fn scale(&self, replicas: &str) {
        self.kubectl(&["-n", RELEASE, "scale", "deployment/pact-operator-webhook", replicas]).await;
    }

    /// Scales the webhook to no replica.
    async fn no_replica(&self) {
        self.scale("--replicas=0").await;
        self.wait_pods(0).await;
    }

    /// Waits until the webhook has so many pods, terminating ones included.
    async fn wait_pods(&self, wanted: usize) {
        eventually(format!("{wanted} pods of the webhook"), SOON, async || {
            let count = self.webhook_pods().await.len();
            if count == wanted { Ok(()) } else { Err(count.to_string()) }
        })
        .await;
    }

    async fn webhook_pods(&self) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), RELEASE);
        let labels = "app.kubernetes.io/component=webhook";
        pods.list(&ListParams::default().labels(labels)).await.unwrap().items
    }

    async fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl_ok(self.control_plane.kubeconfig(), arguments).await
    }

    /// What the operator's containers use according to the kubelet: pod, memory in MiB, CPU in thousandths of a core.
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

/// Removes what an earlier run left: the operator would know the versions that were recorded then, and admit them.
async fn clean(control_plane: &ControlPlane) {
    let gate = ["validatingwebhookconfiguration", "pact-operator"];
    let kinds = ["pactbrokers", "pactenvironments", "pactdeployments", "pactrecords"];
    let kinds = kinds.map(|kind| format!("{kind}.pact-operator.dev"));
    let kinds: Vec<_> = ["crd"].into_iter().chain(kinds.iter().map(String::as_str)).collect();
    for objects in [&gate[..], &["namespace", RELEASE, "shop", ELSEWHERE], &kinds] {
        let delete = [&["delete", "--ignore-not-found", "--timeout=120s"], objects].concat();
        kubectl_ok(control_plane.kubeconfig(), &delete).await;
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
    // The gate is never asked about the operator's own namespace, so the developer's first rollout is the first call.
    eventually("1.0.0 to be admitted", SOON, async || {
        let applied = cluster.apply(&cluster.developer.client(), "orders", "1.0.0", false).await;
        applied.map_err(|error| error.to_string())
    })
    .await;
    cluster.wait_recorded("orders", "1.0.0").await;
    cluster.wait_denied("orders", "2.0.0").await;
    println!("first record and first denial: {:.1} s", started.elapsed().as_secs_f32());
    println!("at rest: {:?}", cluster.usage().await);

    helm_ok(&cluster.control_plane, &["test", RELEASE, "--timeout", "60s"]).await;
    let logs = cluster.kubectl(&["-n", RELEASE, "logs", "pact-operator-self-test"]).await;
    assert!(logs.contains("ok      gate: ") && logs.contains("ok      PactBroker main: "), "{logs}");

    cluster.set_log_filter(json!("info,pact_operator=debug")).await;
    other_kinds_are_recorded(&cluster).await;
    the_log_filter_changed(&cluster).await;
    replicas_come_and_go_under_load(&cluster).await;
    a_replica_is_killed_under_load(&cluster).await;
    authorities_are_replaced_under_load(&cluster).await;
    the_api_server_is_known(&cluster).await;
    all_down(&cluster).await;

    helm_ok(&cluster.control_plane, &["uninstall", RELEASE, "--wait", "--timeout", "120s"]).await;
    let left = cluster.kubectl(&["get", "validatingwebhookconfigurations", "-o", "name"]).await;
    assert!(!left.contains("pact-operator"), "{left}");
    cluster.apply(&cluster.developer.client(), "orders", "2.0.0", false).await.expect("no gate blocks the rollout");
    let kept = cluster.kubectl(&["get", "pactenv,pactdep,pb", "-o", "name"]).await;
    // The PactEnvironment, the PactBroker, and a PactDeployment for each of orders, ledger and agent.
    assert_eq!(kept.lines().count(), 5, "{kept}");
}

/// A `StatefulSet` and a `DaemonSet` roll out on real pods. The operator records each version once the rollout has
/// finished.
async fn other_kinds_are_recorded(cluster: &Cluster) {
    let developer = cluster.developer.client();
    for (kind, name) in [("StatefulSet", "ledger"), ("DaemonSet", "agent")] {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
        let api = Api::<DynamicObject>::namespaced_with(developer.clone(), "shop", &resource);
        for version in ["1.0.0", "2.0.0"] {
            cluster.broker.store().publish_version(name, version);
            let mut manifest = Cluster::workload(name, version);
            manifest["kind"] = json!(kind);
            if kind == "StatefulSet" {
                (manifest["spec"]["replicas"], manifest["spec"]["serviceName"]) = (json!(2), json!(name));
            } else {
                manifest["spec"].as_object_mut().unwrap().remove("replicas");
            }
            let apply = PatchParams::apply("e2e").force();
            api.patch(name, &apply, &Patch::Apply(manifest)).await.expect("the gate admits the version");
            cluster.wait_recorded(name, version).await;
            // kubectl must agree that the rollout has finished. With --watch=false it succeeds either way, so its output
            // counts: each of its messages about an unfinished rollout starts with this word.
            let target = format!("{}/{name}", kind.to_lowercase());
            let status = cluster.kubectl(&["-n", "shop", "rollout", "status", &target, "--watch=false"]).await;
            assert!(
                !status.is_empty() && !status.to_lowercase().starts_with("waiting"),
                "{target} {version}: {status}"
            );
            let pods =
                cluster.kubectl(&["-n", "shop", "get", "pods", "-l", &format!("app={name}"), "-o", "json"]).await;
            let pods: Value = serde_json::from_str(&pods).expect("kubectl prints JSON");
            // The status of a DaemonSet does not count pods that are ending: one of the old version may still do so.
            let staying = pods["items"].as_array().expect("a list").iter();
            let staying: Vec<_> = staying.filter(|pod| pod["metadata"]["deletionTimestamp"].is_null()).collect();
            let (tag, image) = (format!(":{version}"), |pod: &Value| pod["spec"]["containers"][0]["image"].to_string());
            let right = |pod: &&Value| image(pod).trim_matches('"').ends_with(&tag);
            assert!(!staying.is_empty() && staying.iter().all(right), "{target}: {staying:?}");
        }
    }
}

/// The pods log what the `ConfigMap` says that somebody changed a while ago, and none was restarted for it.
async fn the_log_filter_changed(cluster: &Cluster) {
    for component in ["controller", "webhook"] {
        let label = format!("app.kubernetes.io/component={component}");
        eventually(format!("each {component} to log more"), SOON, async || {
            let logs = cluster.kubectl(&["-n", RELEASE, "logs", "-l", &label, "--tail=-1"]).await;
            let (pods, changed) =
                (logs.matches("\"starting\"").count(), logs.matches("the log filter changed").count());
            if pods == 2 && changed == 2 { Ok(()) } else { Err(format!("{pods} pods, {changed} changes:\n{logs}")) }
        })
        .await;
    }
    cluster.set_log_filter(Value::Null).await;
}

/// Each replica tells the API server from strangers by the path in the configuration, and has never taken it for one.
async fn the_api_server_is_known(cluster: &Cluster) {
    eventually("each replica to know the API server", SOON, async || {
        let pods = cluster.webhook_pods().await;
        for name in pods.into_iter().filter_map(|pod| pod.metadata.name) {
            let path = format!("/api/v1/namespaces/{RELEASE}/pods/{name}:8080/proxy/metrics");
            let metrics = cluster.kubectl(&["get", "--raw", &path]).await;
            assert!(!metrics.contains("outcome=\"Stranger\""), "{name}: {metrics}");
            if sum(&metrics, "pact_operator_gate_callers_verified") != 1 {
                return Err(name);
            }
        }
        Ok(())
    })
    .await;
}

/// How many times something is done: the value of `variable`, or `usual`.
fn times(variable: &str, usual: usize) -> usize {
    std::env::var(variable).map_or(usual, |count| count.parse().expect("a number"))
}

/// No admission fails while replicas are replaced, by a restart and by an upgrade.
async fn replicas_come_and_go_under_load(cluster: &Cluster) {
    let rollouts = times("E2E_ROLLOUTS", 2);
    let load = Load::default();
    load.during(cluster, async {
        for round in 1..=rollouts {
            if round.is_multiple_of(2) {
                cluster.release(&[&format!("webhook.podAnnotations.round=r{round}")]).await;
            } else {
                cluster.kubectl(&["-n", RELEASE, "rollout", "restart", "deployment/pact-operator-webhook"]).await;
            }
            cluster.wait_rolled_out().await;
            println!("rollout {round} of {rollouts}: {load}");
        }
        println!("under load: {:?}", cluster.usage().await);
    })
    .await;
    load.assert_none_failed();
}

/// When a replica is killed, only the calls under way at it fail, and those that come before the cluster has noticed.
async fn a_replica_is_killed_under_load(cluster: &Cluster) {
    // A terminating replica does not count.
    cluster.wait_pods(2).await;
    let restarts = async || {
        let statuses = cluster.webhook_pods().await.into_iter().filter_map(|pod| pod.status?.container_statuses);
        statuses.flatten().map(|container| container.restart_count).sum::<i32>()
    };
    let load = Load::default();
    let mut window = 0.0..0.0;
    load.during(cluster, async {
        eventually("some answers", SOON, async || if load.asked() > 100 { Ok(()) } else { Err(load.to_string()) })
            .await;
        let before = restarts().await;
        window.start = load.seconds();
        kill_a_replica(cluster).await;
        eventually("the kubelet to start it again", SOON, async || {
            let after = restarts().await;
            if after == before + 1 { Ok(()) } else { Err(format!("{after} restarts")) }
        })
        .await;
        window.end = load.seconds() + 1.0;
        cluster.wait_rolled_out().await;
        let seen = load.asked();
        eventually(
            "more answers",
            SOON,
            async || if load.asked() > seen + 300 { Ok(()) } else { Err(load.to_string()) },
        )
        .await;
    })
    .await;
    println!("a replica killed between {:.1} s and {:.1} s: {load}; {}", window.start, window.end, load.failures());
    load.assert_failed_only_in(&window);
}

/// SIGKILL to the process of one replica, from outside its pod: no process can kill the first one of its own PID
/// namespace.
async fn kill_a_replica(cluster: &Cluster) {
    // With what is built into any shell. The brackets keep the script from matching itself.
    let script = "for process in /proc/[0-9]*; do IFS= read -r line <$process/cmdline; case $line in \
                  */pact-operator[w]ebhook--*) kill -9 ${process#/proc/}; exit 0;; esac; done; exit 1";
    let pod = json!({
        "metadata": {"name": "kill"},
        "spec": {"hostPID": true, "restartPolicy": "Never", "containers": [
            {"name": "kill", "image": variable("E2E_SHELL"), "args": ["-c", script], "securityContext": {"runAsUser": 0}},
        ]},
    });
    let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), ELSEWHERE);
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    eventually("a replica to be killed", SOON, async || {
        let phase = pods.get("kill").await.unwrap().status.and_then(|status| status.phase);
        assert!(phase.as_deref() != Some("Failed"), "no replica was found, or it could not be killed");
        if phase.as_deref() == Some("Succeeded") { Ok(()) } else { Err(format!("{phase:?}")) }
    })
    .await;
}

/// No admission fails while authorities and certificates of short lives are replaced, on connections that live seconds.
async fn authorities_are_replaced_under_load(cluster: &Cluster) {
    let wanted = times("E2E_ROTATIONS", 3);
    let lives = "--certificate-seconds=20,--authority-seconds=50,--overlap-seconds=3,--connection-seconds=2";
    let lives = format!("webhook.extraArgs={{{lives}}}");
    let short = [&lives, "certificates.authorityDays=null", "certificates.certificateHours=null"];
    cluster.release(&short).await;
    cluster.wait_rolled_out().await;
    // The present authority is valid for a year; its successor has the short life. The chart makes the Secret again.
    cluster.kubectl(&["-n", RELEASE, "delete", "secret", "pact-operator-webhook-authority"]).await;
    cluster.release(&short).await;
    eventually("a new authority", SOON, async || {
        let get = ["-n", RELEASE, "get", "secret", "pact-operator-webhook-authority", "-o", "jsonpath={.data}"];
        let found = cluster.kubectl(&get).await;
        if found.is_empty() { Err("none".to_owned()) } else { Ok(()) }
    })
    .await;
    cluster.wait_denied("orders", "2.0.0").await;
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client.clone());
    let load = Load::default();
    load.during(cluster, async {
        let mut bundles = BTreeSet::new();
        // Each replacement shows as two bundles: the old and the new one together, then the new one alone.
        eventually(format!("{wanted} authorities to be replaced"), Duration::from_mins(10), async || {
            let configuration = configurations.get("pact-operator").await.unwrap();
            bundles.extend(configuration.webhooks.unwrap()[0].client_config.ca_bundle.clone().map(|bundle| bundle.0));
            if bundles.len() > 2 * wanted { Ok(()) } else { Err(format!("{} bundles", bundles.len())) }
        })
        .await;
    })
    .await;
    println!("{wanted} authorities replaced: {load}");
    load.assert_none_failed();
    // Replicas with short lives and replicas with long ones would go on replacing each other's authority.
    cluster.no_replica().await;
    cluster.kubectl(&["-n", RELEASE, "delete", "secret", "pact-operator-webhook-authority"]).await;
    cluster.release(&[]).await;
}

/// With `Fail` and without a replica: only what the gate is asked about is blocked; the emergency command ends that;
/// the pods come back without help.
async fn all_down(cluster: &Cluster) {
    // The gate is asked about labelled namespaces only: a cluster that runs with Fail labels the namespaces that it
    // maps.
    cluster.kubectl(&["label", "namespace", "shop", "gated=yes"]).await;
    cluster.release(&["webhook.namespaceSelector[0].key=gated", "webhook.namespaceSelector[0].operator=Exists"]).await;
    cluster.wait_denied("orders", "2.0.0").await;
    cluster.no_replica().await;
    let developer = cluster.developer.client();
    let result = cluster.apply(&developer, "orders", "1.1.0", true).await;
    assert!(
        matches!(&result, Err(kube::Error::Api(status)) if status.message.contains("failed calling webhook")),
        "{result:?}"
    );
    for namespace in ["kube-system", RELEASE, ELSEWHERE] {
        let api: Api<Deployment> = Api::namespaced(cluster.client.clone(), namespace);
        let how = PatchParams { dry_run: true, ..PatchParams::apply("e2e").force() };
        let result = api.patch("orders", &how, &Patch::Apply(Cluster::workload("orders", "1.0.0"))).await;
        result.unwrap_or_else(|error| panic!("{namespace} must not be blocked: {error}"));
    }
    let mut plain = Cluster::workload("plain", "1.0.0");
    plain["metadata"]["annotations"] = json!({});
    let shop: Api<Deployment> = Api::namespaced(developer.clone(), "shop");
    let how = PatchParams { dry_run: true, ..PatchParams::apply("e2e") };
    shop.patch("plain", &how, &Patch::Apply(plain)).await.expect("a Deployment without annotation is not blocked");

    cluster.scale("--replicas=2").await;
    cluster.wait_denied("orders", "2.0.0").await;
    let notes = helm_ok(&cluster.control_plane, &["get", "notes", RELEASE]).await;
    let emergency = notes.lines().find_map(|line| line.trim().strip_prefix("kubectl delete ")).expect("in the notes");
    cluster.kubectl(&[&["delete"], &emergency.split(' ').collect::<Vec<_>>()[..]].concat()).await;
    cluster.apply(&developer, "orders", "2.0.0", true).await.expect("the gate is off");
    cluster.release(&[]).await;
    cluster.wait_denied("orders", "2.0.0").await;
}
