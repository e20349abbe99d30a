//! Flux itself: kustomize-controller and helm-controller as processes beside the test control plane, each with an account
//! that has the rights it ships with. The tests play source-controller: they serve an archive, and say so in the status of
//! the source.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testbed::crds::apply_crds;
use testbed::eventually::eventually;
use testbed::process::{Process, free_port};
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::SOON;
use testbed::{dump, http, namespace};

use crate::archives::{Archives, archive_of};
use crate::built::{apply, built, shipped};
use crate::gate_setup::GateSetup;
use crate::team::api;
use crate::{guide, holding};

/// Where Flux is installed.
const NAMESPACE: &str = "flux-system";

/// The running controllers.
pub struct Flux {
    pub setup: InUse<GateSetup>,
    archives: Archives,
    controllers: Mutex<BTreeMap<&'static str, Controller>>,
}

impl Flux {
    /// The one that tests share.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<Flux> = Shared::new();
        SHARED.get(async || Self::start(GateSetup::shared().await).await).await
    }

    /// One beside an operator that holds.
    pub async fn holding() -> InUse<Self> {
        static SHARED: Shared<Flux> = Shared::new();
        SHARED.get(async || Self::start(holding::setup().await).await).await
    }

    /// Installs and starts it beside this one.
    pub async fn start(setup: InUse<GateSetup>) -> Self {
        let flux = Self { archives: Archives::start(), setup, controllers: Mutex::default() };
        for name in ["kustomize-controller", "helm-controller"] {
            let (command, health) = install(&flux.setup, name).await;
            let process = Process::start(name, flux.setup.cluster.control_plane.folder(), &command);
            flux.controllers.lock().unwrap().insert(name, Controller { process, command, health });
            flux.wait_ready(name).await;
        }
        flux
    }

    /// Kills one of the controllers, and starts it again.
    pub async fn restart(&self, name: &str) {
        if let Some(Controller { process, command, .. }) = self.controllers.lock().unwrap().get_mut(name) {
            process.kill9();
            *process = Process::start(name, self.setup.cluster.control_plane.folder(), command);
        }
        self.wait_ready(name).await;
    }

    async fn wait_ready(&self, name: &str) {
        let health = self.controllers.lock().unwrap()[name].health.clone();
        eventually(format!("{name} to be ready"), SOON, async || {
            let ended = self.controllers.lock().unwrap().get_mut(name).and_then(|one| one.process.exit_code());
            assert_eq!(ended, None, "{name} ended:\n{}", self.log());
            match http::get(&health, "/readyz").await {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}\n{}", self.log())),
            }
        })
        .await;
    }

    /// The last lines that the controllers have logged, for a failure.
    pub fn log(&self) -> String {
        self.controllers
            .lock()
            .unwrap()
            .values()
            .map(|one| dump::tail(&one.process.logs(), 20))
            .collect::<Vec<_>>()
            .join("\n---\n")
    }

    /// The `GitRepository` of a namespace now has these objects, as after a commit. Gives the revision.
    pub async fn commit(&self, namespace: &str, objects: &[Value]) -> String {
        self.commit_folders(namespace, &[("", objects)]).await
    }

    /// The same with these objects in these folders.
    pub async fn commit_folders(&self, namespace: &str, folders: &[(&str, &[Value])]) -> String {
        let spec = json!({"url": "https://git.example.com/shop", "interval": "1h"});
        self.publish("GitRepository", namespace, spec, &archive_of(folders), "main@sha1:").await
    }

    /// Plays source-controller: applies a source named `shop`, and says in its status that it has this archive. Gives
    /// the revision.
    pub async fn publish(&self, kind: &str, namespace: &str, spec: Value, archive: &[u8], prefix: &str) -> String {
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind, "metadata": {"name": "shop"}, "spec": spec,
        });
        apply(&self.setup.cluster.control_plane, namespace, &[source]).await;
        let digest = format!("{:x}", Sha256::digest(archive));
        let revision = format!("{prefix}{}", &digest[..40]);
        let artifact = json!({
            "path": "shop.tar.gz", "url": self.archives.add(archive), "revision": revision,
            "digest": format!("sha256:{digest}"), "size": archive.len(), "lastUpdateTime": "2026-01-01T00:00:00Z",
        });
        let api = api(&self.setup, "source.toolkit.fluxcd.io", "v1", kind, namespace);
        let generation = api.get("shop").await.expect("a source").metadata.generation;
        let ready = json!({
            "type": "Ready", "status": "True", "reason": "Succeeded", "message": "stored",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": generation,
        });
        let status = json!({"artifact": artifact, "conditions": [ready], "observedGeneration": generation});
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status("shop", &PatchParams::default(), &patch).await.expect("a source");
        revision
    }

    /// Applies the `Kustomization` that the guide has under this name over the `GitRepository` of its namespace, with
    /// shorter pauses; `more` is merged into its spec, and a `null` removes a field.
    pub async fn kustomization(&self, namespace: &str, name: &str, more: Value) -> Kustomization<'_> {
        let mut printed = guide::GITOPS.yaml("Kustomization", name);
        printed["spec"]["path"] = json!("./");
        self.apply_printed(namespace, printed, more).await
    }

    /// The guide's `Kustomization` of the team's manifests, under another name.
    pub async fn kustomization_as(&self, namespace: &str, name: &str, more: Value) -> Kustomization<'_> {
        let mut printed = guide::GITOPS.yaml("Kustomization", "shop");
        printed["metadata"]["name"] = json!(name);
        self.apply_printed(namespace, printed, more).await
    }

    /// The same of a `Kustomization` that is printed in the book.
    pub async fn apply_printed(&self, namespace: &str, mut kustomization: Value, more: Value) -> Kustomization<'_> {
        let name = kustomization["metadata"]["name"].as_str().expect("a name").to_owned();
        kustomization["metadata"] = json!({"name": name});
        let spec = &mut kustomization["spec"];
        assert!(spec["retryInterval"].is_string(), "the book advises one: {spec}");
        spec["retryInterval"] = json!("3s");
        spec["sourceRef"] = json!({"kind": "GitRepository", "name": "shop"});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        if let Some(spec) = spec.as_object_mut() {
            spec.retain(|_, value| !value.is_null());
        }
        apply(&self.setup.cluster.control_plane, namespace, &[kustomization]).await;
        let api = api(&self.setup, "kustomize.toolkit.fluxcd.io", "v1", "Kustomization", namespace);
        Kustomization { flux: self, api, name }
    }
}

/// A running controller, how it was started, and where it says whether it is ready.
struct Controller {
    process: Process,
    command: Command,
    health: String,
}

/// A `Kustomization` in the cluster.
pub struct Kustomization<'a> {
    flux: &'a Flux,
    api: Api<DynamicObject>,
    name: String,
}

impl Kustomization<'_> {
    /// It, as it is now.
    pub async fn get(&self) -> Value {
        serde_json::to_value(self.api.get(&self.name).await.expect("a Kustomization")).unwrap()
    }

    /// Its condition `Ready`: status, reason, message. Flux shows it in `flux get kustomizations`.
    pub async fn ready(&self) -> (String, String, String) {
        let object = self.get().await;
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let ready = conditions.into_iter().find(|one| one["type"] == "Ready").unwrap_or_default();
        let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        (text("status"), text("reason"), text("message"))
    }

    /// Waits until it is `Ready=True` with this revision applied.
    pub async fn applied(&self, revision: &str) {
        eventually(format!("{} to apply {revision}", self.name), SOON, async || {
            let (ready, applied) = (self.ready().await, self.get().await["status"]["lastAppliedRevision"].clone());
            let done = ready.0 == "True" && applied == revision;
            if done { Ok(()) } else { Err(format!("{ready:?}, applied {applied}\n{}", self.flux.log())) }
        })
        .await;
    }

    /// Whether it is refused for this reason, in Flux's words for it.
    pub async fn denied(&self, reason: &str) -> Result<(), String> {
        let (status, why, message) = self.ready().await;
        let denied = status == "False" && why == "ReconciliationFailed" && message.contains(reason);
        if denied { Ok(()) } else { Err(format!("{status} {why}: {message}\n{}", self.flux.log())) }
    }

    /// `flux reconcile`, and waits until that is done.
    pub async fn reconcile(&self) {
        let token = uuid::Uuid::new_v4().to_string();
        let asked = json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}});
        self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(asked)).await.expect("a Kustomization");
        eventually(format!("{} to be reconciled", self.name), SOON, async || {
            let object = self.get().await;
            let done = object["status"]["lastHandledReconcileAt"] == token && self.ready().await.0 != "Unknown";
            if done { Ok(()) } else { Err(object["status"].to_string()) }
        })
        .await;
    }

    /// Waits until kustomize-controller has tried this revision some more times.
    pub async fn tried_again(&self, times: u64) {
        let tries = async || {
            let history = self.get().await["status"]["history"].as_array().cloned().unwrap_or_default();
            history.iter().filter_map(|entry| entry["totalReconciliations"].as_u64()).sum::<u64>()
        };
        let before = tries().await;
        eventually(format!("{} to be tried {times} times more", self.name), SOON, async || {
            let now = tries().await;
            if now >= before + times { Ok(()) } else { Err(format!("{before} times before, {now} now")) }
        })
        .await;
    }

    /// Deletes it, and what it applied with it.
    pub async fn delete(&self) {
        drop(self.api.delete(&self.name, &kube::api::DeleteParams::default()).await);
        eventually(format!("{} to be gone", self.name), Duration::from_mins(1), async || {
            let left = self.api.get_opt(&self.name).await.map_err(|error| error.to_string())?;
            left.map_or(Ok(()), |left| Err(format!("{:?}", left.metadata.finalizers)))
        })
        .await;
    }
}

/// Installs a controller with its rights. Gives how to start it, and where it says whether it is ready.
async fn install(setup: &GateSetup, name: &str) -> (Command, String) {
    let cp = &setup.cluster.control_plane;
    let tool = built(name).await;
    let files: Vec<PathBuf> = fs::read_dir(&tool).unwrap().flatten().map(|file| file.path()).collect();
    let files_with = |part: &'static str| files.iter().filter(move |file| file.to_string_lossy().contains(part));
    let kinds: Vec<_> = files_with(".toolkit.fluxcd.io_").map(|file| fs::read_to_string(file).unwrap()).collect();
    assert!(!kinds.is_empty(), "no definitions in {}", tool.display());
    apply_crds(cp, &kinds.join("\n---\n")).await;

    namespace::ensure(cp, &cp.client(), NAMESPACE, &[]).await;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE},
    });
    let shipped = files_with("role").flat_map(|file| shipped(file)).map(|object| as_installed(object, name));
    let rights: Vec<_> = [account].into_iter().chain(shipped).collect();
    assert!(rights.len() > 3, "no rights in {}", tool.display());
    apply(cp, NAMESPACE, &rights).await;

    let health = format!("127.0.0.1:{}", free_port());
    let mut command = Command::new(tool.join(name));
    command.arg(format!("--metrics-addr=127.0.0.1:{}", free_port())).arg(format!("--health-addr={health}"));
    // Pauses as they are written, and no waiting for a dependency of half a minute.
    command.args(["--interval-jitter-percentage=0", "--requeue-dependency=2s"]);
    command.env("KUBECONFIG", cp.user_kubeconfig(NAMESPACE, name).await).env("RUNTIME_NAMESPACE", NAMESPACE);
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    (command, health)
}

/// As Flux's own kustomization installs it: with a prefix, and for the controller's account.
fn as_installed(mut object: Value, controller: &str) -> Value {
    let prefix = controller.trim_end_matches("controller");
    let prefixed = |name: &Value| json!(format!("{prefix}{}", name.as_str().unwrap_or_default()));
    object["metadata"]["name"] = prefixed(&object["metadata"]["name"]);
    if object["kind"] == "ClusterRoleBinding" {
        if object["roleRef"]["name"] != "cluster-admin" {
            object["roleRef"]["name"] = prefixed(&object["roleRef"]["name"]);
        }
        let account = json!({"kind": "ServiceAccount", "name": controller, "namespace": NAMESPACE});
        object["subjects"] = json!([account]);
    }
    object
}
