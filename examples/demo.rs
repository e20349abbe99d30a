//! `make demo`: the recorder and the gate with real Deployments on a real control plane, reported as it happens.
//!
//! Every line with a ✔ was verified. At the first promise that is not kept the demo stops with ✘ and exits with 1.
//! `KEEP=1` leaves everything running at the end, until Ctrl-C.
#![allow(clippy::print_stdout, reason = "people run it and read what it prints")]

use std::process::ExitCode;
use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use gate_steps::GateSteps;
use observer::Observer;
use set_up::{Broken, Demo, ENVIRONMENT, NAMESPACE, Step, show_kubectl};
use testbed::control_plane::ControlPlane;
use testbed::operator::Operator;
use testbed::process::free_port;
use testbed::standin::{Options, StandIn};
use testbed::webhook::Webhook;
use testbed::{dump, namespace, tools};
use transcript::{Transcript, shown};

#[path = "demo/gate_steps.rs"]
mod gate_steps;
#[path = "demo/observer.rs"]
mod observer;
#[path = "demo/set_up.rs"]
mod set_up;
#[path = "demo/steps.rs"]
mod steps;
#[path = "demo/transcript.rs"]
mod transcript;

/// What is published at the broker before the demo begins.
const PUBLISHED: [(&str, &str); 6] = [
    ("orders", "1.0.0"),
    ("orders", "2.0.0"),
    ("orders", "3.0.0"),
    ("web-shop", "4.2.0"),
    ("shop-admin", "4.2.0"),
    ("billing", "1.0.0"),
];

#[tokio::main]
async fn main() -> std::io::Result<ExitCode> {
    let started = Instant::now();
    let transcript = Transcript::new();
    let demo = match start(transcript).await {
        Ok(demo) => demo,
        Err(broken) => {
            transcript.broken(&broken.expected, &broken.found);
            return Ok(ExitCode::FAILURE);
        }
    };
    let outcome = run(&demo).await;
    match &outcome {
        Ok(()) => {
            transcript.gap();
            transcript.kept(&format!("all promises kept, in {}", shown(started.elapsed())));
        }
        Err(broken) => {
            transcript.broken(&broken.expected, &broken.found);
            transcript.say("The end of the operator's log:");
            transcript.output(&dump::tail(&demo.operator.logs(), 20));
        }
    }
    if std::env::var_os("KEEP").is_some_and(|value| !value.is_empty() && value != "0") {
        keep(&demo).await?;
    } else if outcome.is_ok() {
        transcript.say("Everything is stopped now; `make demo KEEP=1` leaves it running to try things on.");
    }
    Ok(if outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(demo: &Demo) -> Step {
    steps::deploy(demo).await?;
    steps::new_image(demo).await?;
    steps::never_ready(demo).await?;
    steps::roll_back(demo).await?;
    steps::two_pacticipants(demo).await?;
    steps::version_missing(demo).await?;
    steps::delete(demo).await?;
    let gate = GateSteps::set_up(demo).await?;
    gate.enforce().await?;
    gate.compatible().await?;
    gate.incompatible().await?;
    gate.verified().await?;
    gate.rollback_without_a_broker().await?;
    gate.never_in_the_way().await?;
    gate.all_is_well("Enforce").await?;
    gate.bypass().await?;
    steps::summary(demo).await
}

/// Starts everything, and reports it.
async fn start(transcript: Transcript) -> Step<Demo> {
    transcript.heading(0, "What is started");
    let begun = Instant::now();
    let control_plane = ControlPlane::start().await;
    let version = control_plane.client().apiserver_version().await;
    let version = version.map_err(|error| failed("the API server reports its version", &error))?.git_version;
    transcript.kept(&format!(
        "Kubernetes {version}: etcd, API server, controllers, scheduler; kwok simulates the nodes, in {}",
        shown(begun.elapsed())
    ));
    let broker = StandIn::start_with(Options { seed_example_environments: true, ..Options::default() }).await;
    for (pacticipant, version) in PUBLISHED {
        broker.store().publish_version(pacticipant, version);
    }
    transcript.kept(&format!("a stand-in for the Pact Broker at {}", broker.url()));
    transcript.gap();
    transcript.say("The platform team names the broker and says which namespaces belong to which environment, once:");
    transcript.gap();
    namespace::ensure(&control_plane, &control_plane.client(), NAMESPACE, &[]).await;
    let port = free_port();
    let gate_url = format!("https://127.0.0.1:{port}/gate");
    let values = include_str!("demo/values.yaml").replace("BROKER_URL", &broker.url()).replace("GATE_URL", &gate_url);
    transcript.output(&values);
    transcript.gap();
    set_up::install(transcript, &control_plane, &values).await?;
    let begun = Instant::now();
    let mut operator = Operator::start_installed(&control_plane).await;
    let mut webhook = Webhook::start_installed(&control_plane, port).await;
    operator.wait_ready().await;
    webhook.wait_ready().await;
    transcript.kept(&format!(
        "the operator: what its two Deployments describe, controller and gate, run as processes with the rights of \
         their ServiceAccounts, ready after {}",
        shown(begun.elapsed())
    ));
    transcript.gap();
    let kubeconfig = control_plane.kubeconfig();
    let objects = ["wait", "--for=condition=Ready", "pactbroker/main", "pactenvironment/production"];
    show_kubectl(transcript, kubeconfig, &objects).await?;
    show_kubectl(transcript, kubeconfig, &["get", "pactbroker"]).await?;
    show_kubectl(transcript, kubeconfig, &["get", "pactenvironment"]).await?;
    show_kubectl(transcript, kubeconfig, &["config", "set-context", "--current", "--namespace", NAMESPACE]).await?;
    let observer = Observer::start(control_plane.client(), NAMESPACE);
    Ok(Demo { control_plane, broker, operator, webhook, observer, transcript })
}

fn failed(expected: &str, error: &dyn std::fmt::Display) -> Broken {
    Broken { expected: expected.to_owned(), found: error.to_string() }
}

/// Leaves everything running until Ctrl-C.
async fn keep(demo: &Demo) -> std::io::Result<()> {
    let environment = demo.broker.store().environment_uuid(ENVIRONMENT).unwrap_or_default();
    println!(
        "
Everything keeps running until this command ends. In another terminal:

  export KUBECONFIG={kubeconfig}
  export PATH={tools}:$PATH        # kubectl and helm
  export BROKER={broker}

  kubectl get deployments,pactdep
  kubectl set image deployment/shopfront app=registry.example.com/shopfront:4.3.0   # not published
  kubectl describe pactdep
  curl -s $BROKER/environments/{environment}/deployed-versions/currently-deployed
  curl -s http://{probes}/metrics                                            # the controller's
  curl -s http://{gate}/metrics                                            # the gate's
  tail -f {log}

Ctrl-C ends it all and leaves nothing behind.",
        kubeconfig = demo.control_plane.kubeconfig().display(),
        tools = tools::folder().await.display(),
        broker = demo.broker.url(),
        probes = demo.operator.probe_address(),
        gate = demo.webhook.probe_address(),
        log = demo.control_plane.folder().join("pact-operator-controller-*.log").display(),
    );
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated.recv() => {}
    }
    println!("\ncleaning up ...");
    Ok(())
}
