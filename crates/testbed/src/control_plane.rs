//! A real Kubernetes control plane on free ports of 127.0.0.1.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::{node, tools};
use crate::components::{Component, Environment, Layout};
use crate::eventually::eventually;
use crate::process::{Folder, Process};
use crate::shared::{InUse, Shared};

/// How long the control plane may take to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok with fake nodes; or a cluster that already
/// runs ([`Self::from_kubeconfig`]). Dropping it ends the programs and removes their files; so does any end of this
/// process.
#[derive(Debug)]
pub struct ControlPlane {
    config: Config,
    kubeconfig: PathBuf,
    /// `None` for a cluster that was not started here.
    layout: Option<Layout>,
    counter: AtomicU32,
    // Dropped in this order: the programs end, then their files go.
    processes: Mutex<BTreeMap<Component, Process>>,
    folder: Folder,
}

impl ControlPlane {
    /// Starts one. Ready when it returns: the API serves, RBAC's default roles and the `default` `ServiceAccount` are
    /// there, the fake nodes take pods. About 5 s on 2 idle cores, minutes when the programs must be built first.
    ///
    /// # Panics
    /// When it does not come up; with the tail of the log of the program that failed.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with these variables in the API server's environment.
    ///
    /// # Panics
    /// As [`Self::start`].
    pub async fn start_with(api_server_environment: Environment) -> Self {
        let tools = tools::folder().await;
        let mut attempts = 3;
        loop {
            match Self::try_start(tools.clone(), api_server_environment).await {
                Ok(control_plane) => return control_plane,
                // Another process took a port between its choice and the program's start.
                Err(reason) if reason.contains("address already in use") && attempts > 1 => attempts -= 1,
                Err(reason) => panic!("the control plane did not start: {reason}"),
            }
        }
    }

    /// The one that all tests of this process share, started by the first that asks. For tests that stay in
    /// namespaces of their own and need no other objects of the whole cluster.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<ControlPlane> = Shared::new();
        SHARED.get(Self::start).await
    }

    /// A cluster that already runs. Only API calls work on it; its programs cannot be stopped or restarted.
    pub async fn from_kubeconfig(path: &Path) -> Self {
        let config = config(path).await;
        Self {
            config,
            kubeconfig: path.to_owned(),
            layout: None,
            counter: AtomicU32::new(0),
            processes: Mutex::default(),
            folder: Folder::new(),
        }
    }

    async fn try_start(tools: PathBuf, api_server_environment: Environment) -> Result<Self, String> {
        let folder = Folder::new();
        let layout = Layout::new(tools, folder.path().to_owned(), api_server_environment);
        layout.write_files(&uuid::Uuid::new_v4().simple().to_string());
        let control_plane = Self {
            config: config(&layout.kubeconfig()).await,
            kubeconfig: layout.kubeconfig(),
            layout: Some(layout),
            counter: AtomicU32::new(0),
            processes: Mutex::default(),
            folder,
        };
        control_plane.run(Component::Etcd);
        control_plane.run(Component::ApiServer);
        control_plane.wait_until_ready().await?;
        for component in [Component::ControllerManager, Component::Scheduler, Component::Kwok] {
            control_plane.run(component);
        }
        let client = control_plane.client();
        node::create(&client).await;
        control_plane.wait_until("fake nodes and default ServiceAccount", || node::ready(&client)).await?;
        Ok(control_plane)
    }

    /// The admin's kubeconfig (`system:masters`, which admission and RBAC never refuse).
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The admin's client. Each call makes a new one with connections of its own: a client may not outlive the tokio
    /// runtime (one per test) that it was made in. Clone it within one test.
    pub fn client(&self) -> Client {
        Client::try_from(self.config.clone()).expect("the kubeconfig is usable")
    }

    /// The folder for logs and other files of this control plane.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The API server's audit log: every request of a `ServiceAccount`. `None` for a cluster that was not started here.
    pub fn audit_log(&self) -> Option<PathBuf> {
        self.layout.as_ref().map(Layout::audit_log)
    }

    /// A number that was not given before, for names.
    pub fn next_number(&self) -> u32 {
        self.counter.fetch_add(1, Ordering::Relaxed)
    }

    /// A kubeconfig with a real token (`TokenRequest` API, 24 h) of a `ServiceAccount` that exists: exactly its rights.
    pub async fn user_kubeconfig(&self, namespace: &str, service_account: &str) -> PathBuf {
        let api: Api<ServiceAccount> = Api::namespaced(self.client(), namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec { expiration_seconds: Some(86_400), ..Default::default() },
            ..Default::default()
        };
        let token = api.create_token_request(service_account, &PostParams::default(), &request).await;
        let token = token.unwrap_or_else(|error| panic!("no token for {namespace}/{service_account}: {error}"));
        let token = token.status.expect("the API server answers with a token").token;
        let path = self.folder().join(format!("kubeconfig-{namespace}-{service_account}-{}", self.next_number()));
        let text = match &self.layout {
            Some(layout) => layout.kubeconfig_text(&token, namespace),
            None => with_token(&self.kubeconfig, &token),
        };
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Kills one of the programs (SIGKILL), as a crashed machine would.
    pub fn stop(&self, component: Component) {
        self.own_layout();
        drop(self.processes().remove(&component));
    }

    /// Starts a program that was stopped. Waits until the API serves.
    pub async fn resume(&self, component: Component) {
        self.run(component);
        if let Err(reason) = self.wait_until_ready().await {
            panic!("{} did not come back: {reason}", component.name());
        }
    }

    /// Kills the API server and starts it again on the same data: every watch breaks.
    pub async fn restart_apiserver(&self) {
        self.stop(Component::ApiServer);
        self.resume(Component::ApiServer).await;
    }

    /// Sends a signal to one of the programs: `STOP` and `CONT` make it hang for a while.
    pub fn signal(&self, component: Component, signal: &str) {
        if let Some(process) = self.processes().get(&component) {
            process.signal(signal);
        }
    }

    /// The pids of the programs that run.
    pub fn pids(&self) -> Vec<u32> {
        self.processes().values().filter_map(Process::pid).collect()
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<Component, Process>> {
        self.processes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn own_layout(&self) -> &Layout {
        self.layout.as_ref().expect("this works on a control plane of our own only, not on a given kubeconfig")
    }

    pub(crate) fn run(&self, component: Component) {
        let command = self.own_layout().command(component);
        let process = Process::start(component.name(), self.folder(), &command);
        self.processes().insert(component, process);
    }

    async fn wait_until_ready(&self) -> Result<(), String> {
        let client = self.client();
        self.wait_until("the API server to be ready", || async {
            let request = axum::http::Request::get("/readyz").body(Vec::new()).unwrap();
            client.request_text(request).await.map(drop).map_err(|error| error.to_string())
        })
        .await
    }

    /// Waits for a condition, and gives up at once when one of the programs ends.
    async fn wait_until(
        &self,
        what: &str,
        mut condition: impl AsyncFnMut() -> Result<(), String>,
    ) -> Result<(), String> {
        let deadline = tokio::time::Instant::now() + START;
        loop {
            let Err(reason) = condition().await else { return Ok(()) };
            for process in self.processes().values_mut() {
                if let Some(code) = process.exit_code() {
                    let tail = crate::dump::tail(&process.logs(), 20);
                    return Err(format!("{} ended with {code} while waiting for {what}:\n{tail}", process.name()));
                }
            }
            if tokio::time::Instant::now() > deadline {
                return Err(format!("waited {START:?} for {what}: {reason}"));
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Waits until the namespace's `default` `ServiceAccount` exists: before that the API server refuses its pods.
    pub async fn wait_service_account(&self, client: &Client, namespace: &str) {
        let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
        eventually("the default ServiceAccount", START, || async {
            api.get("default").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
}

/// The settings of a client for a kubeconfig; a proxy that is meant for other hosts is left out.
pub async fn config(kubeconfig: &Path) -> Config {
    let file = Kubeconfig::read_from(kubeconfig)
        .unwrap_or_else(|error| panic!("cannot read the kubeconfig {}: {error}", kubeconfig.display()));
    let mut config =
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a usable kubeconfig");
    if config.cluster_url.host() == Some("127.0.0.1") {
        config.proxy_url = None;
    }
    config
}

/// The same cluster as in `kubeconfig`, with another bearer token.
fn with_token(kubeconfig: &Path, token: &str) -> String {
    let text = std::fs::read_to_string(kubeconfig).unwrap();
    let mut value: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
    let user: serde_yaml_ng::Value = serde_yaml_ng::from_str(&format!("{{token: '{token}'}}")).unwrap();
    for entry in value["users"].as_sequence_mut().into_iter().flatten() {
        entry["user"] = user.clone();
    }
    serde_yaml_ng::to_string(&value).unwrap()
}
