//! `make cluster`: a control plane, a broker and the operator to play with, until Ctrl-C.
//!
//! `KUBECONFIG` uses a cluster that runs already, `BROKER_URL` a broker of yours (it needs the environment `test`).
#![allow(clippy::print_stdout, reason = "it is run by people, who read what it prints")]

use std::path::Path;

use testbed::control_plane::ControlPlane;
use testbed::kubectl::kubectl;
use testbed::operator::{Operator, OperatorOptions};
use testbed::standin::{Options, StandIn};
use testbed::webhook::{Person, Webhook, WebhookOptions};
use testbed::{crds, operator, pact, tools};
use tokio::signal::unix::{SignalKind, signal};

#[path = "../tests/testbed/mod.rs"]
mod testbed;

/// The operator's own namespace.
const NAMESPACE: &str = "pact-operator";
/// The namespace to play in, and the environment it belongs to.
const PLAYGROUND: &str = "default";
const ENVIRONMENT: &str = "test";

#[tokio::main]
async fn main() -> std::io::Result<()> {
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
    let crds_were_there = has_crds(&control_plane).await;
    crds::install_crds(&control_plane).await;
    let objects = [pact::broker("broker", &broker), pact::environment(ENVIRONMENT, "broker", &[PLAYGROUND])];
    pact::apply(&control_plane, &objects).await;
    println!("starting the operator ...");
    let mut operator = Operator::start(&control_plane, OperatorOptions::default().namespace(NAMESPACE)).await;
    operator.wait_ready().await;
    // An API server elsewhere cannot call a process of this machine.
    let gate = if given_cluster.is_none() {
        let options = WebhookOptions { failure_policy: "Ignore", ..WebhookOptions::default() };
        let gate = Webhook::start(&control_plane, options).await;
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
        leave(&control_plane, crds_were_there).await;
    }
    Ok(())
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
        "The broker is the tests' stand-in; it knows the versions 1.0.0, 1.1.0 and 2.0.0 of orders and of billing."
    } else {
        "Your broker must know the environment test and the versions 1.0.0 and 1.1.0 of the pacticipant orders."
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

/// What there is to try at the gate.
fn gate_invitation(developer: Option<&Person>) -> String {
    let Some(developer) = developer else {
        return "\nThe gate is not there: it is a webhook, and a cluster elsewhere cannot call this machine.\n"
            .to_owned();
    };
    format!(
        "
The gate is there, too, and only audits. To be stopped by it, enforce, and be somebody who may not bypass it:

  kubectl patch pactenv {ENVIRONMENT} --type merge -p '{{\"spec\":{{\"gate\":{{\"mode\":\"Enforce\"}}}}}}'
  export KUBECONFIG={kubeconfig}
  kubectl -n {PLAYGROUND} set image deployment/orders orders=reg.test/orders:9.9.9

",
        kubeconfig = developer.kubeconfig().display(),
    )
}

async fn has_crds(control_plane: &ControlPlane) -> bool {
    kubectl(control_plane.kubeconfig(), &["get", "crd", "pactbrokers.pact-operator.dev"]).await.status.success()
}

/// Takes what we made from a cluster that is not ours.
async fn leave(control_plane: &ControlPlane, crds_were_there: bool) {
    let kubeconfig = control_plane.kubeconfig();
    let rights = format!("{}-{NAMESPACE}", operator::SERVICE_ACCOUNT);
    let environment = format!("pactenvironment/{ENVIRONMENT}");
    let crds =
        ["pactbrokers", "pactenvironments", "pactdeployments"].map(|kind| format!("crd/{kind}.pact-operator.dev"));
    let mut removals: Vec<Vec<&str>> = vec![
        vec![&environment, "pactbroker/broker"],
        vec!["clusterrole", &rights],
        vec!["clusterrolebinding", &rights],
        vec!["namespace", NAMESPACE],
    ];
    if !crds_were_there {
        removals.push(crds.iter().map(String::as_str).collect());
    }
    for removal in removals {
        let mut arguments = vec!["delete", "--ignore-not-found", "--wait=false"];
        arguments.extend(removal);
        kubectl(kubeconfig, &arguments).await;
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
