//! Argo CD itself: its programs as processes beside the test control plane, each with the account and the rights that its
//! own `install.yaml` gives it, redis, and a git server on the loopback interface.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use serde_json::{Value, json};
use testbed::crds::apply_crds;
use testbed::eventually::eventually;
use testbed::process::{Folder, Process, free_port};
use testbed::shared::{InUse, Shared};
use testbed::test_cluster::SOON;
use testbed::{dump, http, namespace, tools};

use crate::built::{apply, built, shipped};
use crate::gate_setup::{CommandOutput, GateSetup};
use crate::holding;
use crate::team::api;

/// Where Argo CD is installed.
pub const NAMESPACE: &str = "argocd";

/// How often each Application is compared, in seconds. A comparison on this clock uses the remembered diff, which one
/// on request does not.
const RESYNC: u32 = 2;

/// A running Argo CD.
pub struct ArgoCd {
    pub setup: InUse<GateSetup>,
    tool: PathBuf,
    ports: Ports,
    // Dropped in this order: the programs end, then their files go.
    processes: Mutex<Vec<(Process, Command)>>,
    folder: Folder,
}

#[derive(Clone, Copy)]
struct Ports {
    redis: u16,
    git: u16,
    repo_server: u16,
    server: u16,
}

impl ArgoCd {
    /// The one that tests share.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<ArgoCd> = Shared::new();
        SHARED.get(async || Self::start(GateSetup::shared().await).await).await
    }

    /// One beside an operator that holds.
    pub async fn holding() -> InUse<Self> {
        static SHARED: Shared<ArgoCd> = Shared::new();
        SHARED.get(async || Self::start(holding::setup().await).await).await
    }

    /// Installs and starts it beside this one.
    pub async fn start(setup: InUse<GateSetup>) -> Self {
        let tool = built("argocd").await;
        install(&setup, &tool.join("install.yaml")).await;
        let [redis, git, repo_server, server] = std::array::from_fn(|_| free_port());
        let ports = Ports { redis, git, repo_server, server };
        let folder = Folder::new();
        let argo = Self { setup, tool, ports, processes: Mutex::default(), folder };
        argo.run().await;
        argo
    }

    async fn run(&self) {
        let Ports { redis, git, repo_server, server } = self.ports;
        for folder in ["bin", "git", "ui"] {
            fs::create_dir_all(self.path(folder)).unwrap();
        }
        // repo-server runs it for each commit, to look for a signature.
        let verify = self.path("bin/git-verify-wrapper.sh");
        fs::write(&verify, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&verify, fs::Permissions::from_mode(0o755)).unwrap();

        let mut command = Command::new(program("redis-server"));
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &redis.to_string()]);
        self.start_process("redis", command);

        let mut command = Command::new(git_daemon());
        command.args(["--listen=127.0.0.1", "--reuseaddr", "--export-all"]);
        command.arg(format!("--port={git}")).arg(format!("--base-path={}", self.path("git").display()));
        command.arg(self.path("git"));
        self.start_process("git-daemon", command);

        let metrics = |flag: &str| format!("--{flag}={}", free_port());
        let redis = format!("--redis=127.0.0.1:{redis}");
        let mut command = self.program("argocd-repo-server").await;
        // Without TLS it wants to be told that there is no authority of its clients either.
        command.args([
            &*redis,
            "--address=127.0.0.1",
            "--metrics-address=127.0.0.1",
            "--disable-tls",
            "--client-ca-path=",
        ]);
        command.args(["--revision-cache-expiration=1s", "--loglevel=info"]);
        command.arg(format!("--port={repo_server}")).arg(metrics("metrics-port"));
        self.start_process("argocd-repo-server", command);

        let repo_server = [format!("--repo-server=127.0.0.1:{repo_server}"), "--repo-server-plaintext".to_owned()];
        let mut command = self.program("argocd-server").await;
        command.args([&*redis, "--address=127.0.0.1", "--metrics-address=127.0.0.1", "--insecure", "--disable-auth"]);
        command.args(&repo_server).arg(format!("--port={server}")).arg(metrics("metrics-port"));
        command.arg(format!("--staticassets={}", self.path("ui").display()));
        self.start_process("argocd-server", command);

        let mut command = self.program("argocd-application-controller").await;
        command.arg(&redis).args(&repo_server).arg(metrics("metrics-port"));
        command.arg(format!("--app-resync={RESYNC}")).arg("--app-resync-jitter=0");
        self.start_process("argocd-application-controller", command);

        let address = format!("127.0.0.1:{server}");
        let project = api(&self.setup, "argoproj.io", "v1alpha1", "AppProject", NAMESPACE);
        eventually("Argo CD to be ready", SOON, async || {
            self.none_ended();
            http::get(&address, "/healthz")
                .await
                .map_err(|reason| format!("{reason}\n{}", self.log("argocd-server")))?;
            project.get("default").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }

    fn start_process(&self, name: &str, command: Command) {
        // The logs lie with those of the control plane, which a failing test names.
        let process = Process::start(name, self.setup.cluster.control_plane.folder(), &command);
        self.processes.lock().unwrap().push((process, command));
    }

    /// Kills one of the programs, and starts it again.
    pub fn restart(&self, name: &str) {
        let mut processes = self.processes.lock().unwrap();
        let (process, command) = processes.iter_mut().find(|(process, _)| process.name() == name).expect("a program");
        process.kill9();
        *process = Process::start(name, self.setup.cluster.control_plane.folder(), command);
    }

    /// Starts one more of its programs, for as long as the test holds it.
    pub async fn start_also(&self, name: &str, account: &str, arguments: &[String]) -> Process {
        let mut command = self.program_as(name, account).await;
        command.arg(format!("--argocd-repo-server=127.0.0.1:{}", self.ports.repo_server)).args(arguments);
        Process::start(name, self.setup.cluster.control_plane.folder(), &command)
    }

    /// One of Argo CD's programs, with the rights of the account of the same name.
    async fn program(&self, name: &str) -> Command {
        self.program_as(name, name).await
    }

    async fn program_as(&self, name: &str, account: &str) -> Command {
        let mut command = self.any_program(name).await;
        if name != "argocd-repo-server" {
            let kubeconfig = self.setup.cluster.control_plane.user_kubeconfig(NAMESPACE, account).await;
            command.arg(format!("--kubeconfig={}", kubeconfig.display())).args(["--namespace", NAMESPACE]);
            // What its manifests call the cluster that it runs in is the cluster of the kubeconfig.
            command.env("KUBECONFIG", kubeconfig).env("ARGOCD_FAKE_IN_CLUSTER", "true");
        }
        command
    }

    async fn any_program(&self, name: &str) -> Command {
        let mut command = Command::new(self.tool.join("argocd"));
        for variable in [
            "HOME",
            "TMPDIR",
            "ARGOCD_TLS_DATA_PATH",
            "ARGOCD_SSH_DATA_PATH",
            "ARGOCD_GNUPGHOME",
            "ARGOCD_PLUGINSOCKFILEPATH",
        ] {
            let folder = self.path(&format!("{name}-{variable}"));
            fs::create_dir_all(&folder).unwrap();
            command.env(variable, folder);
        }
        let tools = tools::folder().await;
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{}:{path}", self.path("bin").display(), tools.display()));
        command.env("ARGOCD_BINARY_NAME", name).env("ARGOCD_GPG_ENABLED", "false");
        command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn none_ended(&self) {
        for (process, _) in self.processes.lock().unwrap().iter_mut() {
            let code = process.exit_code();
            assert_eq!(code, None, "{} ended:\n{}", process.name(), dump::tail(&process.logs(), 20));
        }
    }

    /// The last lines that one of the programs has logged, for a failure.
    pub fn log(&self, name: &str) -> String {
        let processes = self.processes.lock().unwrap();
        let process = processes.iter().find(|(process, _)| process.name() == name);
        process.map(|(process, _)| dump::tail(&process.logs(), 15)).unwrap_or_default()
    }

    /// The command line `argocd`, as its users run it.
    pub async fn argocd(&self, arguments: &[&str]) -> CommandOutput {
        let mut command = tokio::process::Command::from(self.any_program("argocd").await);
        command.args(arguments).args(["--plaintext", "--server", &format!("127.0.0.1:{}", self.ports.server)]);
        CommandOutput::of(&command.kill_on_drop(true).output().await.expect("argocd runs"))
    }

    /// Where Argo CD finds a repository.
    pub fn repository(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.ports.git)
    }

    /// Commits these objects, and nothing else, to the branch `main` of a repository, which is made when it is missing.
    /// Gives the commit.
    pub fn commit(&self, repository: &str, objects: &[Value]) -> String {
        let folder = self.path("git").join(repository);
        if !folder.exists() {
            fs::create_dir_all(&folder).unwrap();
            git(&folder, &["init", "--quiet", "--initial-branch=main"]);
        }
        let manifests: Vec<_> = objects.iter().map(Value::to_string).collect();
        fs::write(folder.join("manifests.yaml"), manifests.join("\n---\n")).unwrap();
        git(&folder, &["add", "--all"]);
        git(&folder, &["commit", "--quiet", "--allow-empty", "--message", "a change"]);
        git(&folder, &["rev-parse", "HEAD"])
    }

    /// `git revert` of the last commit. Gives the commit that this makes.
    pub fn revert(&self, repository: &str) -> String {
        let folder = self.path("git").join(repository);
        git(&folder, &["revert", "--no-edit", "HEAD"]);
        git(&folder, &["rev-parse", "HEAD"])
    }
}

/// Installs what `install.yaml` has but for its pods, which run here as processes, and what belongs to pods.
async fn install(setup: &GateSetup, file: &Path) {
    let cp = &setup.cluster.control_plane;
    let (kinds, rest): (Vec<_>, Vec<_>) =
        shipped(file).into_iter().partition(|object| object["kind"] == "CustomResourceDefinition");
    let kinds: Vec<_> = kinds.iter().map(Value::to_string).collect();
    assert_eq!(kinds.len(), 3, "the kinds of {}", file.display());
    apply_crds(cp, &kinds.join("\n---\n")).await;
    namespace::ensure(cp, &cp.client(), NAMESPACE, &[]).await;
    let of_pods = ["Deployment", "NetworkPolicy", "Service", "StatefulSet"].map(|kind| json!(kind));
    let rest: Vec<_> = rest.into_iter().filter(|object| !of_pods.contains(&object["kind"])).collect();
    apply(cp, NAMESPACE, &rest).await;
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=team", "-c", "user.email=team@example.com"]).args(arguments);
    // Not the settings of whoever runs the tests: signatures, hooks, templates.
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// `git daemon` without the `git` in front of it, which would outlive it.
fn git_daemon() -> PathBuf {
    let output = Command::new("git").arg("--exec-path").output().expect("git runs");
    Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("git-daemon")
}

/// A program on the PATH.
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: install it, the tests with Argo CD need it"))
}
