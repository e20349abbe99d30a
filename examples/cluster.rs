//! `make cluster`: a control plane, a broker and the operator to try things on, until Ctrl-C.
//!
//! helm installs the chart. Its Deployments have no pods: the operator runs as processes of this machine, as they
//! describe it. `KUBECONFIG` names a cluster that runs already, `BROKER_URL` your own broker (it needs the environment
//! `test`).
#![allow(clippy::print_stdout, reason = "people run it and read what it prints")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use serde_json::json;
use testbed::chart::{RELEASE, folder, helm};
use testbed::control_plane::ControlPlane;
use testbed::kubectl::kubectl;
use testbed::operator::Operator;
use testbed::process::free_port;
use testbed::standin::{Options, StandIn};
use testbed::tools;
use testbed::values::Values;
use testbed::webhook::{Person, Webhook};
use tokio::signal::unix::{SignalKind, signal};

/// The namespace to try things in, and the environment that it belongs to.
const PLAYGROUND: &str = "default";
const ENVIRONMENT: &str = "test";

/// The objects that the chart creates from the values, as kubectl names them.
const OBJECTS: [&str; 2] = ["pactbroker.pact-operator.dev/main", "pactenvironment.pact-operator.dev/test"];

#[tokio::main]
async fn main() -> std::io::Result<ExitCode> {
    let given_cluster = variable("KUBECONFIG");
    let given_broker = variable("BROKER_URL");

    let control_plane = if let Some(path) = &given_cluster {
        ControlPlane::from_kubeconfig(Path::new(path)).await
    } else {
        println!("starting a Kubernetes control plane ...");
        ControlPlane::start().await
    };
    let (broker, stand_in) = if let Some(url) = given_broker {
        (url, None)
    } else {
        let stand_in = stand_in().await;
        (stand_in.url(), Some(stand_in))
    };
    let before = found(&control_plane).await;
    if let Some(reason) = refused(&control_plane, &before).await {
        println!("{reason}");
        return Ok(ExitCode::FAILURE);
    }
    // An API server elsewhere cannot call a process of this machine.
    let gate_port = given_cluster.is_none().then(free_port);
    if let Err(reason) = install(&control_plane, &values(&broker, gate_port, &before)).await {
        println!("helm cannot install the chart: {reason}");
        leave(&control_plane, &before).await;
        return Ok(ExitCode::FAILURE);
    }
    println!("starting the operator ...");
    let mut operator = Operator::start_installed(&control_plane).await;
    operator.wait_ready().await;
    let gate = if let Some(port) = gate_port {
        let mut gate = Webhook::start_installed(&control_plane, port).await;
        gate.wait_ready().await;
        Some((gate, Person::developer(&control_plane).await))
    } else {
        None
    };

    let tools = tools::folder().await;
    let developer = gate.as_ref().map(|(_, developer)| developer);
    print!("{}", invitation(control_plane.kubeconfig(), &tools, &broker, stand_in.is_some(), &operator));
    println!("{}Ctrl-C ends it all.", gate_invitation(developer));

    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    println!("\ncleaning up ...");
    operator.terminate().await;
    if given_cluster.is_some() {
        leave(&control_plane, &before).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// Why the chart must not be installed in this cluster.
async fn refused(control_plane: &ControlPlane, before: &BTreeSet<String>) -> Option<String> {
    if helm(control_plane, &["status", RELEASE]).await.status.success() {
        return Some(format!(
            "pact-operator is already installed in this cluster: `helm uninstall {RELEASE} --namespace {RELEASE}` removes \
             it. Without KUBECONFIG, `make cluster` starts a control plane of its own."
        ));
    }
    let kept = OBJECTS.into_iter().find(|object| before.contains(*object))?;
    Some(format!("This cluster already has a {kept}, which would be changed. Delete it, if nobody needs it."))
}

/// The chart's values: this broker, one environment, no pods (the processes run here), and how to call the gate.
fn values(broker: &str, gate_port: Option<u16>, before: &BTreeSet<String>) -> Values {
    let mut values = Values::default();
    values.set("broker.url", broker);
    values.set(&format!("environments.{ENVIRONMENT}.namespaces.names"), vec![PLAYGROUND]);
    values.set("controller.replicas", 0);
    values.set("webhook.replicas", 0);
    // Definitions that exist may belong to another release, and helm does not take them over.
    values.set("crds.install", !before.iter().any(|object| object.starts_with("customresourcedefinition")));
    if let Some(port) = gate_port {
        values.set("webhook.url", format!("https://127.0.0.1:{port}/gate"));
    } else {
        // Every namespace has this label, so the gate is called for none.
        let none = json!([{"key": "kubernetes.io/metadata.name", "operator": "DoesNotExist"}]);
        values.set("webhook.namespaceSelector", none);
    }
    values
}

/// Installs the chart; otherwise gives helm's output.
async fn install(control_plane: &ControlPlane, values: &Values) -> Result<(), String> {
    let file = control_plane.folder().join("values.json");
    std::fs::write(&file, values.text()).map_err(|error| error.to_string())?;
    let (chart, file) = (folder().display().to_string(), file.display().to_string());
    println!(
        "helm install {RELEASE} charts/pact-operator --namespace {RELEASE} --create-namespace --values {file} ..."
    );
    let output = helm(control_plane, &["install", RELEASE, &chart, "--create-namespace", "--values", &file]).await;
    output.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// A broker with the environments test and production that knows some versions of `orders` and `billing`.
async fn stand_in() -> StandIn {
    let stand_in = StandIn::start_with(Options { seed_example_environments: true, ..Options::default() }).await;
    for pacticipant in ["orders", "billing"] {
        for version in ["1.0.0", "1.1.0", "2.0.0"] {
            stand_in.store().publish_version(pacticipant, version);
        }
    }
    stand_in
}

fn invitation(kubeconfig: &Path, tools: &Path, broker: &str, ours: bool, operator: &Operator) -> String {
    let known = if ours {
        "The broker is the tests' stand-in; it has the versions 1.0.0, 1.1.0 and 2.0.0 of orders and of billing."
    } else {
        "Your broker must have the environment test and the versions 1.0.0 and 1.1.0 of the pacticipant orders."
    };
    format!(
        "
  export KUBECONFIG={kubeconfig}
  export PATH={tools}:$PATH        # kubectl and helm
  broker    {broker}
  operator  http://{probes}/metrics

{known}
The namespace {PLAYGROUND} belongs to the environment {ENVIRONMENT}. Three commands to try:

  kubectl create deployment orders --image=reg.test/orders:1.0.0 && \\
    kubectl annotate deployment orders pact-operator.dev/pacticipant=orders
  kubectl set image deployment/orders orders=reg.test/orders:1.1.0
  kubectl get pactdeployments

",
        kubeconfig = kubeconfig.display(),
        tools = tools.display(),
        probes = operator.probe_address(),
    )
}

/// What can be tried at the gate.
fn gate_invitation(developer: Option<&Person>) -> String {
    let Some(developer) = developer else {
        return "\nThe gate is not installed: it is a webhook, and a remote cluster cannot call this machine.\n"
            .to_owned();
    };
    format!(
        "
The gate is installed and only audits. To see a denial, enforce, and act as a developer, who may not bypass it:

  kubectl patch pactenv {ENVIRONMENT} --type merge -p '{{\"spec\":{{\"gate\":{{\"mode\":\"Enforce\"}}}}}}'
  export KUBECONFIG={kubeconfig}
  kubectl -n {PLAYGROUND} set image deployment/orders orders=reg.test/orders:9.9.9

",
        kubeconfig = developer.kubeconfig().display(),
    )
}

/// The objects in the cluster that helm does not delete: the namespace, the definitions and our objects.
async fn found(control_plane: &ControlPlane) -> BTreeSet<String> {
    const OURS: &str = "pactbrokers.pact-operator.dev,pactenvironments.pact-operator.dev,pactdeployments.pact-operator.dev,pactrecords.pact-operator.dev";
    let mut found = BTreeSet::new();
    for kinds in ["namespaces,customresourcedefinitions", OURS] {
        // Before the definitions are installed, the API server does not know our kinds.
        let listed = kubectl(control_plane.kubeconfig(), &["get", kinds, "--output=name"]).await;
        found.extend(String::from_utf8_lossy(&listed.stdout).lines().map(str::to_owned));
    }
    let namespace = format!("namespace/{RELEASE}");
    found.retain(|name| *name == namespace || name.contains("pact-operator.dev"));
    found
}

/// Uninstalls the release from a cluster that is not ours, and deletes what it leaves, unless that was there before.
async fn leave(control_plane: &ControlPlane, before: &BTreeSet<String>) {
    helm(control_plane, &["uninstall", RELEASE, "--ignore-not-found"]).await;
    let found = found(control_plane).await;
    // The objects first, the definitions last: names in reverse order.
    let ours: Vec<_> = found.iter().rev().filter(|name| !before.contains(*name)).map(String::as_str).collect();
    if !ours.is_empty() {
        let delete = ["delete", "--ignore-not-found", "--wait=false"];
        kubectl(control_plane.kubeconfig(), &[&delete, &ours[..]].concat()).await;
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
