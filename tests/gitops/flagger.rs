//! Flagger itself: as a process beside the test control plane, with the account and the rights that it ships with.

use std::fs;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use kube::Api;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use testbed::crds::apply_crds;
use testbed::eventually::eventually;
use testbed::process::{Process, free_port};
use testbed::rollout::{Live, Progress, Rollout};
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::{SOON, annotated, image};
use testbed::{dump, http, namespace};

use crate::built::{apply, built, shipped};
use crate::endpoint::Endpoint;
use crate::gate_setup::MappedEnvironment;
use crate::team::api;

/// Where Flagger is installed.
const NAMESPACE: &str = "flagger-system";
/// The page whose hooks are tested.
const PAGE: &str = include_str!("../../docs/flagger.md");
/// How long an analysis may take: seven intervals of ten seconds, on a busy machine.
const ANALYSIS: Duration = Duration::from_mins(4);

/// A running Flagger.
pub struct Flagger {
    pub endpoint: InUse<Endpoint>,
    controller: Mutex<Process>,
    command: Command,
    /// Where it says whether it is ready.
    address: String,
}

impl Flagger {
    /// The one that tests share.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<Flagger> = Shared::new();
        SHARED.get(Self::start).await
    }

    async fn start() -> Self {
        Self::start_with(Endpoint::shared().await).await
    }

    /// Installs and starts it beside this one.
    pub async fn start_with(endpoint: InUse<Endpoint>) -> Self {
        let cp = &endpoint.setup.cluster.control_plane;
        let tool = built("flagger").await;
        apply_crds(cp, &fs::read_to_string(tool.join("crd.yaml")).unwrap()).await;
        namespace::ensure(cp, &cp.client(), NAMESPACE, &[]).await;
        let rights: Vec<_> = ["account.yaml", "rbac.yaml"].iter().flat_map(|file| shipped(&tool.join(file))).collect();
        apply(cp, NAMESPACE, &rights).await;

        let port = free_port();
        let mut command = Command::new(tool.join("flagger"));
        command.arg("-kubeconfig").arg(cp.user_kubeconfig(NAMESPACE, "flagger").await);
        command.args(["-mesh-provider=kubernetes", "-log-level=info", "-control-loop-interval=2s"]);
        // There is no Prometheus, and none of the analyses asks one.
        command.arg("-metrics-server=http://127.0.0.1:9").arg(format!("-port={port}"));
        command.env("SSL_CERT_FILE", &endpoint.authority).env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        let controller = Mutex::new(Process::start("flagger", cp.folder(), &command));
        let flagger = Self { controller, command, address: format!("127.0.0.1:{port}"), endpoint };
        flagger.wait_ready().await;
        flagger
    }

    /// Kills it, and starts it again.
    pub async fn restart(&self) {
        let folder = self.endpoint.setup.cluster.control_plane.folder();
        {
            let mut controller = self.controller.lock().unwrap();
            controller.kill9();
            *controller = Process::start("flagger", folder, &self.command);
        }
        self.wait_ready().await;
    }

    async fn wait_ready(&self) {
        eventually("Flagger to be ready", SOON, async || {
            let tail = dump::tail(&self.log(), 20);
            assert_eq!(self.controller.lock().unwrap().exit_code(), None, "Flagger ended:\n{tail}");
            match http::get(&self.address, "/healthz").await {
                Ok((200, _)) => Ok(()),
                other => Err(format!("{other:?}\n{tail}")),
            }
        })
        .await;
    }

    /// All that it has logged.
    pub fn log(&self) -> String {
        self.controller.lock().unwrap().logs()
    }

    /// A Deployment of this name, which is also its pacticipant, at 1.0.0, and a Canary over it with the hooks that the
    /// page prints. Waits until its primary is recorded.
    pub async fn canary(&self, environment: &MappedEnvironment, name: &str) -> Canary<'_> {
        let target = annotated(name, name, "1.0.0").replicas(2);
        let canary = self.create(environment, &target).await;
        canary.wait_phase("Initialized").await;
        canary.recorded_when_whole("1.0.0").await;
        canary
    }

    /// This Deployment, and a Canary over it as [`Self::canary`] makes it; waits for nothing.
    pub async fn create(&self, environment: &MappedEnvironment, target: &Rollout) -> Canary<'_> {
        let setup = &self.endpoint.setup;
        let live = target.apply(&setup.cluster.client(), &environment.namespace).await;
        let name = live.name();
        let mut analysis = self.endpoint.printed(PAGE, "analysis:")["analysis"].clone();
        analysis["interval"] = json!("10s");
        analysis["iterations"] = json!(1);
        let canary = json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": name},
            "spec": {
                "provider": "kubernetes", "service": {"port": 80}, "analysis": analysis,
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            },
        });
        apply(&setup.cluster.control_plane, &environment.namespace, &[canary]).await;
        self.existing(environment, name)
    }

    /// The Canary of this name.
    pub fn existing(&self, environment: &MappedEnvironment, name: &str) -> Canary<'_> {
        let setup = &self.endpoint.setup;
        let target = Live::new(&setup.cluster.client(), &environment.namespace, name);
        let api = api(setup, "flagger.app", "v1beta1", "Canary", &environment.namespace);
        Canary { flagger: self, environment: environment.clone(), name: name.to_owned(), target, api }
    }
}

/// A Canary in the cluster.
pub struct Canary<'a> {
    flagger: &'a Flagger,
    pub environment: MappedEnvironment,
    name: String,
    /// What the team changes.
    pub target: Live,
    api: Api<DynamicObject>,
}

impl Canary<'_> {
    /// It, as it is now.
    async fn get(&self) -> Value {
        serde_json::to_value(self.api.get(&self.name).await.expect("a Canary")).unwrap()
    }

    /// The phase that Flagger says it is in.
    pub async fn phase(&self) -> String {
        self.get().await["status"]["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until Flagger says that it is in this phase.
    pub async fn wait_phase(&self, phase: &str) {
        eventually(format!("{} to be {phase}", self.name), ANALYSIS, async || {
            let status = self.get().await["status"].clone();
            let log = || dump::tail(&self.flagger.log(), 10);
            if status["phase"] == phase { Ok(()) } else { Err(format!("{status}\n{}", log())) }
        })
        .await;
    }

    /// What the broker has.
    pub fn recorded(&self) -> Option<String> {
        self.flagger.endpoint.setup.cluster.recorded(&self.environment.name, &self.name)
    }

    /// All that was ever recorded, in order.
    pub fn writes(&self) -> Vec<String> {
        self.flagger.endpoint.setup.cluster.writes(&self.environment.name, &self.name)
    }

    /// What serves.
    pub fn primary(&self) -> Live {
        let client = self.flagger.endpoint.setup.cluster.client();
        Live::new(&client, &self.environment.namespace, &format!("{}-primary", self.name))
    }

    /// Whether all that serves runs this version.
    async fn is_whole_with(&self, version: &str) -> Result<(), String> {
        let primary = self.primary().get().await;
        let numbers = Progress::of(&primary);
        let runs = primary.spec.and_then(|spec| spec.template.spec).map(|pod| pod.containers[0].image.clone());
        let Progress { observed, wanted, replicas, updated, available, .. } = numbers;
        let whole = observed && [replicas, updated, available] == [wanted; 3];
        let whole = whole && runs == Some(Some(image(version)));
        if whole { Ok(()) } else { Err(format!("{runs:?} {numbers:?}")) }
    }

    /// Waits until a version is recorded; at that moment all that serves must run it.
    pub async fn recorded_when_whole(&self, version: &str) {
        eventually(format!("{} {version} to be recorded", self.name), ANALYSIS, async || {
            let recorded = self.recorded();
            let whole = self.is_whole_with(version).await;
            if recorded.as_deref() == Some(version) {
                assert_eq!(whole, Ok(()), "{} {version} is recorded", self.name);
                return Ok(());
            }
            let phase = self.phase().await;
            Err(format!("{recorded:?} is recorded, {phase}, {whole:?}\n{}", dump::tail(&self.flagger.log(), 10)))
        })
        .await;
    }

    /// Waits for an Event on it whose note begins with this.
    pub async fn wait_event(&self, reason: &str, note: &str) {
        let cluster = &self.flagger.endpoint.setup.cluster;
        eventually(format!("the Event {reason} on {}: {note}", self.name), SOON, async || {
            let notes = cluster.events(&self.environment.namespace, &self.name, reason).await;
            if notes.iter().any(|it| it.starts_with(note)) { Ok(()) } else { Err(format!("{notes:?}")) }
        })
        .await;
    }
}
