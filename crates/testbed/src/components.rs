//! The command line of each of the control plane's programs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::process::free_port;

/// One of the control plane's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    Etcd,
    ApiServer,
    ControllerManager,
    Scheduler,
    /// Simulates the nodes: without it pods stay Pending.
    Kwok,
}

impl Component {
    /// All, in the order in which they start.
    pub const ALL: [Self; 5] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Kwok];

    /// The program's name, and that of its log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Kwok => "kwok",
        }
    }
}

/// Names and values of environment variables.
pub type Environment = &'static [(&'static str, &'static str)];

/// Where one control plane's files and ports are.
#[derive(Debug)]
pub struct Layout {
    pub tools: PathBuf,
    pub folder: PathBuf,
    /// Variables that the API server gets in its environment.
    api_server_environment: Environment,
    etcd: u16,
    etcd_peers: u16,
    api_server: u16,
    kwok: u16,
}

/// Pods of the system's priorities need a quota of their namespace that allows them, as on GKE (case 117).
const ADMISSION: &str = "apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: ResourceQuota
    configuration:
      apiVersion: apiserver.config.k8s.io/v1
      kind: ResourceQuotaConfiguration
      limitedResources:
        - resource: pods
          matchScopes:
            - scopeName: PriorityClass
              operator: In
              values: [system-node-critical, system-cluster-critical]
";

/// Every request of a `ServiceAccount`, so that tests can count the requests of a program under test. The control
/// plane's own programs run as admin and are left out.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, userGroups: ['system:serviceaccounts']}
- {level: None}
";

impl Layout {
    /// Chooses free ports.
    pub fn new(tools: PathBuf, folder: PathBuf, api_server_environment: Environment) -> Self {
        let [etcd, etcd_peers, api_server, kwok] = std::array::from_fn(|_| free_port());
        Self { tools, folder, api_server_environment, etcd, etcd_peers, api_server, kwok }
    }

    /// The API server's address.
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_server)
    }

    /// The address of etcd.
    pub fn etcd_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.etcd)
    }

    /// The folder with etcd's data.
    pub fn etcd_data(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// The kubeconfig of the admin (`system:masters`).
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// The audit log (JSON, one request per line).
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    /// Writes the files that the programs read.
    pub fn write_files(&self, admin_token: &str) {
        crate::certificates::write(&self.folder);
        let users = format!("{admin_token},admin,admin,\"system:masters\"\n");
        fs::write(self.folder.join("tokens.csv"), users).unwrap();
        fs::write(self.folder.join("audit-policy.yaml"), AUDIT_POLICY).unwrap();
        fs::write(self.folder.join("admission.yaml"), ADMISSION).unwrap();
        fs::write(self.kubeconfig(), self.kubeconfig_text(admin_token, "default")).unwrap();
        let stages = fs::read_to_string(self.tools.join("stages.yaml")).unwrap();
        let stages = format!("{}\n{stages}", include_str!("stages.yaml"));
        fs::write(self.folder.join("kwok.yaml"), stages).unwrap();
    }

    /// A kubeconfig for the bearer of `token`.
    pub fn kubeconfig_text(&self, token: &str, namespace: &str) -> String {
        let (url, ca) = (self.url(), self.folder.join("ca.crt").display().to_string());
        format!(
            "apiVersion: v1
kind: Config
clusters: [{{name: testbed, cluster: {{server: '{url}', certificate-authority: '{ca}'}}}}]
users: [{{name: user, user: {{token: '{token}'}}}}]
contexts: [{{name: testbed, context: {{cluster: testbed, user: user, namespace: '{namespace}'}}}}]
current-context: testbed
"
        )
    }

    /// How the component is started.
    pub fn command(&self, component: Component) -> Command {
        let mut command = Command::new(self.tools.join(component.name()));
        command.args(match component {
            Component::Etcd => self.etcd(),
            Component::ApiServer => self.api_server(),
            Component::ControllerManager => self.controller_manager(),
            Component::Scheduler => self.scheduler(),
            Component::Kwok => self.kwok(),
        });
        if component == Component::ApiServer {
            command.envs(self.api_server_environment.iter().copied());
        }
        command
    }

    fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn etcd(&self) -> Vec<String> {
        let clients = self.etcd_url();
        let peers = format!("http://127.0.0.1:{}", self.etcd_peers);
        vec![
            format!("--data-dir={}", self.etcd_data().display()),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peers}"),
            format!("--initial-advertise-peer-urls={peers}"),
            format!("--initial-cluster=default={peers}"),
            // The data need not survive this machine.
            "--unsafe-no-fsync".into(),
            "--log-level=warn".into(),
        ]
    }

    fn api_server(&self) -> Vec<String> {
        vec![
            format!("--etcd-servers=http://127.0.0.1:{}", self.etcd),
            "--bind-address=127.0.0.1".into(),
            "--advertise-address=127.0.0.1".into(),
            format!("--secure-port={}", self.api_server),
            format!("--tls-cert-file={}", self.file("server.crt")),
            format!("--tls-private-key-file={}", self.file("server.key")),
            format!("--service-account-key-file={}", self.file("service-account.pub")),
            format!("--service-account-signing-key-file={}", self.file("service-account.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--token-auth-file={}", self.file("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--service-cluster-ip-range=10.96.0.0/16".into(),
            // The kubernetes Service's own Endpoints may not be a loopback address.
            "--endpoint-reconciler-type=none".into(),
            // The node controller, which would lift this plugin's taint, does not run (see below).
            "--disable-admission-plugins=TaintNodesByCondition".into(),
            format!("--admission-control-config-file={}", self.file("admission.yaml")),
            format!("--audit-policy-file={}", self.file("audit-policy.yaml")),
            format!("--audit-log-path={}", self.audit_log().display()),
            // For load tests: what is measured is not to be the API server's own throttle.
            "--max-requests-inflight=4000".into(),
            "--max-mutating-requests-inflight=2000".into(),
            "--profiling=false".into(),
        ]
    }

    /// For programs that are newer than the API server: the minor that they are to behave as (`build.sh` writes it).
    fn emulated_version(&self) -> Option<String> {
        let version = fs::read_to_string(self.tools.join("emulated-version")).ok()?;
        Some(format!("--emulated-version={version}"))
    }

    fn controller_manager(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--kubeconfig={}", self.kubeconfig().display()),
            format!("--service-account-private-key-file={}", self.file("service-account.key")),
            format!("--root-ca-file={}", self.file("ca.crt")),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            // On a busy machine a late heartbeat would make the fake nodes NotReady and evict every pod: no node
            // controllers. Other controllers that cost time and are not needed here are left out, too.
            "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller,-node-ipam-controller,\
             -node-route-controller,-service-lb-controller,-cloud-node-lifecycle-controller,\
             -persistentvolume-attach-detach-controller,-horizontal-pod-autoscaler-controller,-ttl-controller"
                .into(),
            "--concurrent-deployment-syncs=50".into(),
            "--concurrent-replicaset-syncs=50".into(),
            "--concurrent-namespace-syncs=20".into(),
            "--concurrent-gc-syncs=50".into(),
            "--kube-api-qps=5000".into(),
            "--kube-api-burst=10000".into(),
        ];
        arguments.extend(self.emulated_version());
        arguments
    }

    fn scheduler(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--kubeconfig={}", self.kubeconfig().display()),
            "--leader-elect=false".into(),
            "--secure-port=0".into(),
            "--kube-api-qps=5000".into(),
            "--kube-api-burst=10000".into(),
        ];
        arguments.extend(self.emulated_version());
        arguments
    }

    fn kwok(&self) -> Vec<String> {
        vec![
            format!("--kubeconfig={}", self.kubeconfig().display()),
            "--manage-all-nodes=true".into(),
            "--node-lease-duration-seconds=40".into(),
            format!("--server-address=127.0.0.1:{}", self.kwok),
            format!("--config={}", self.file("kwok.yaml")),
        ]
    }
}
