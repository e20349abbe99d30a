//! Argo Rollouts itself: its controller as a process beside the test control plane, with the account and the rights that it
//! ships with.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use k8s_openapi::api::apps::v1::ReplicaSet;
use kube::Api;
use kube::api::{DynamicObject, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::crds::apply_crds;
use testbed::eventually::eventually;
use testbed::process::{Process, free_port};
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::{SOON, image};
use testbed::{dump, http, namespace};

use crate::built::{apply, built, shipped};
use crate::endpoint::Endpoint;
use crate::random_run::images_with_pods;
use crate::team::api;

/// Where Argo Rollouts is installed.
const NAMESPACE: &str = "argo-rollouts";

/// A running Argo Rollouts.
pub struct ArgoRollouts {
    pub endpoint: InUse<Endpoint>,
    tool: PathBuf,
    controller: Mutex<Process>,
}

impl ArgoRollouts {
    /// The one that tests share.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<ArgoRollouts> = Shared::new();
        SHARED.get(Self::start).await
    }

    async fn start() -> Self {
        Self::start_with(Endpoint::shared().await).await
    }

    /// Installs and starts it beside this one.
    pub async fn start_with(endpoint: InUse<Endpoint>) -> Self {
        let cp = &endpoint.setup.cluster.control_plane;
        let tool = built("argo-rollouts").await;
        let files = fs::read_dir(&tool).unwrap().flatten().map(|file| file.path());
        let definitions = files.filter(|file| file.to_string_lossy().ends_with("-crd.yaml"));
        let definitions: Vec<_> = definitions.map(|file| fs::read_to_string(file).unwrap()).collect();
        assert_eq!(definitions.len(), 5, "the definitions in {}", tool.display());
        apply_crds(cp, &definitions.join("\n---\n")).await;
        namespace::ensure(cp, &cp.client(), NAMESPACE, &[]).await;
        let files =
            ["argo-rollouts-sa.yaml", "argo-rollouts-clusterrole.yaml", "argo-rollouts-clusterrolebinding.yaml"];
        let rights: Vec<_> = files.iter().flat_map(|file| shipped(&tool.join(file))).collect();
        apply(cp, NAMESPACE, &rights).await;
        let controller = Mutex::new(run(&endpoint, &tool).await);
        Self { endpoint, tool, controller }
    }

    /// Kills the controller, and starts another one.
    pub async fn restart(&self) {
        self.controller.lock().unwrap().kill9();
        *self.controller.lock().unwrap() = run(&self.endpoint, &self.tool).await;
    }

    /// The last lines that the controller has logged, for a failure.
    pub fn log(&self) -> String {
        dump::tail(&self.controller.lock().unwrap().logs(), 20)
    }

    /// Creates a Rollout of this name, which is also its pacticipant, at 1.0.0, and waits until it is healthy.
    pub async fn rollout(&self, namespace: &str, name: &str, strategy: &Value) -> Rollout<'_> {
        self.create(namespace, manifest(name, "1.0.0", strategy)).await
    }

    /// Creates this Rollout at 1.0.0, and waits until it is healthy.
    pub async fn create(&self, namespace: &str, manifest: Value) -> Rollout<'_> {
        let rollout = self.existing(namespace, manifest["metadata"]["name"].as_str().expect("a name"));
        apply(&self.endpoint.setup.cluster.control_plane, namespace, &[manifest]).await;
        rollout.wait_healthy("1.0.0").await;
        rollout
    }

    /// The Rollout of this name.
    pub fn existing(&self, namespace: &str, name: &str) -> Rollout<'_> {
        let api = |kind: &str| api(&self.endpoint.setup, "argoproj.io", "v1alpha1", kind, namespace);
        let sets = Api::namespaced(self.endpoint.setup.cluster.client(), namespace);
        Rollout { argo: self, api: api("Rollout"), analyses: api("AnalysisRun"), sets, name: name.to_owned() }
    }
}

/// A Rollout with two replicas and this strategy.
pub fn manifest(name: &str, version: &str, strategy: &Value) -> Value {
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
        "metadata": {"name": name, "annotations": {"pact-operator.dev/pacticipant": name}},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": name}}, "strategy": strategy,
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image(version)}]},
            },
        },
    })
}

/// Starts the controller, and waits until it is ready.
async fn run(endpoint: &Endpoint, tool: &std::path::Path) -> Process {
    let cp = &endpoint.setup.cluster.control_plane;
    let (health, metrics) = (free_port(), free_port());
    let mut command = Command::new(tool.join("argo-rollouts"));
    command.arg("--kubeconfig").arg(cp.user_kubeconfig(NAMESPACE, "argo-rollouts").await);
    command.args(["--namespace", NAMESPACE, "--leader-elect=false", "--loglevel", "info"]);
    command.arg(format!("--healthzPort={health}")).arg(format!("--metricsPort={metrics}"));
    command.env("SSL_CERT_FILE", &endpoint.authority).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    let mut controller = Process::start("argo-rollouts", cp.folder(), &command);
    let address = format!("127.0.0.1:{health}");
    eventually("Argo Rollouts to be ready", SOON, async || {
        let tail = dump::tail(&controller.logs(), 20);
        assert_eq!(controller.exit_code(), None, "Argo Rollouts ended:\n{tail}");
        match http::get(&address, "/healthz").await {
            Ok((200, _)) => Ok(()),
            other => Err(format!("{other:?}\n{tail}")),
        }
    })
    .await;
    controller
}

/// A Rollout in the cluster.
pub struct Rollout<'a> {
    argo: &'a ArgoRollouts,
    api: Api<DynamicObject>,
    analyses: Api<DynamicObject>,
    sets: Api<ReplicaSet>,
    pub name: String,
}

impl Rollout<'_> {
    /// It, as it is now.
    pub async fn get(&self) -> Value {
        serde_json::to_value(self.api.get(&self.name).await.expect("a Rollout")).unwrap()
    }

    /// The admin gives it another image.
    pub async fn set_version(&self, version: &str) {
        let containers = json!([{"name": "app", "image": image(version)}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(patch)).await.expect("a Rollout");
    }

    /// What `kubectl argo rollouts` does to its status.
    pub async fn set_status(&self, status: Value) {
        let patch = Patch::Merge(json!({"status": status}));
        self.api.patch_status(&self.name, &PatchParams::default(), &patch).await.expect("a Rollout");
    }

    /// Waits until it has this phase, as seen of the current spec.
    pub async fn wait_phase(&self, phase: &str) -> Value {
        eventually(format!("{} to be {phase}", self.name), SOON, async || {
            let rollout = self.get().await;
            let observed = rollout["status"]["observedGeneration"].as_str().map(str::to_owned);
            let current = observed == rollout["metadata"]["generation"].as_u64().map(|it| it.to_string());
            let there = current && rollout["status"]["phase"] == phase;
            if there { Ok(rollout) } else { Err(format!("{}\n{}", rollout["status"], self.argo.log())) }
        })
        .await
    }

    /// Whether it is promoted to this version as a whole, and nothing of another one is left. Of a Rollout that uses a
    /// Deployment's template, the `ReplicaSet` of the stable revision says which version that is.
    pub async fn whole_with(&self, version: &str) -> Result<(), String> {
        let rollout = self.get().await;
        let status = &rollout["status"];
        let generation = rollout["metadata"]["generation"].as_u64().map(|it| it.to_string());
        let observed = status["observedGeneration"].as_str().map(str::to_owned) == generation;
        let promoted = status["phase"] == "Healthy" && status["stableRS"] == status["currentPodHash"];
        let numbers = ["replicas", "updatedReplicas", "availableReplicas"].map(|key| status[key].as_u64().unwrap_or(0));
        let whole = numbers == [rollout["spec"]["replicas"].as_u64().unwrap_or(1); 3];
        let runs = self.image_of(status["stableRS"].as_str().unwrap_or_default()).await;
        let holds = observed && promoted && whole && runs == Some(image(version));
        if holds { Ok(()) } else { Err(format!("{runs:?} {status}")) }
    }

    /// The image of a revision.
    pub async fn image_of(&self, hash: &str) -> Option<String> {
        let set = self.sets.get_opt(&format!("{}-{hash}", self.name)).await.ok()??;
        set.spec?.template?.spec?.containers.remove(0).image
    }

    /// The images of all its revisions that have pods.
    pub async fn served(&self) -> BTreeSet<String> {
        images_with_pods(&self.sets, std::slice::from_ref(&self.name)).await
    }

    /// Ends the pause that it is in.
    pub async fn promote(&self) {
        self.set_status(json!({"pauseConditions": null})).await;
    }

    /// Waits until its status is this.
    pub async fn wait_status(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        eventually(format!("{}: {what}", self.name), SOON, async || {
            let status = self.get().await["status"].clone();
            if holds(&status) { Ok(()) } else { Err(format!("{status}\n{}", self.argo.log())) }
        })
        .await;
    }

    /// Waits until it is healthy with this version, and nothing of another one is left.
    pub async fn wait_healthy(&self, version: &str) {
        eventually(format!("{} to be healthy with {version}", self.name), SOON, async || {
            self.whole_with(version).await.map_err(|why| format!("{why}\n{}", self.argo.log()))
        })
        .await;
    }

    /// Waits until as many analyses as this have ended; gives the phase, and the value that was measured, of each in the order
    /// in which they were made.
    pub async fn wait_analyses(&self, count: usize) -> Vec<(String, String)> {
        eventually(format!("{count} analyses of {} to end", self.name), SOON, async || {
            let runs = self.analyses.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let mut runs: Vec<_> = runs.items.into_iter().map(|run| serde_json::to_value(run).unwrap()).collect();
            runs.retain(|run| run["metadata"]["ownerReferences"][0]["name"] == self.name.as_str());
            runs.sort_by_key(|run| run["status"]["startedAt"].as_str().unwrap_or("~").to_owned());
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let ended = |run: &Value| {
                let (phase, measured) =
                    (text(&run["status"]["phase"]), &run["status"]["metricResults"][0]["measurements"][0]);
                (!["", "Pending", "Running"].contains(&&*phase)).then(|| (phase, text(&measured["value"])))
            };
            let phases: Vec<_> = runs.iter().filter_map(ended).collect();
            if phases.len() == count { Ok(phases) } else { Err(format!("{phases:?}\n{}", self.argo.log())) }
        })
        .await
    }

    /// Waits until an analysis that goes on has measured something that is not known this many times.
    pub async fn wait_inconclusive(&self, times: u64) {
        eventually(format!("{times} inconclusive measurements of {}", self.name), SOON, async || {
            let runs = self.analyses.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
            let run = runs
                .items
                .into_iter()
                .find(|run| run.metadata.name.as_deref().is_some_and(|it| it.starts_with(&self.name)));
            let status = run.map(|run| run.data["status"].clone()).unwrap_or_default();
            let waits =
                status["phase"] == "Running" && status["metricResults"][0]["inconclusive"].as_u64() >= Some(times);
            if waits { Ok(()) } else { Err(format!("{status}\n{}", self.argo.log())) }
        })
        .await;
    }
}
