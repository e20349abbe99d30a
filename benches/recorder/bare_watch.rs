//! Floors for a watch: one that sends one request when a rollout is complete, and one that keeps nothing.

use std::process::Command;
use std::sync::Arc;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use pact_operator::workload::DeploymentView;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bare_requests;
use crate::completions::{Completion, Completions};
use crate::setup::PATIENCE;
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::process::Process;
use testbed::standin::StandIn;
use testbed::test_cluster::TestCluster;

/// The argument that makes the bench's own program a watch that keeps nothing.
pub const ARGUMENT: &str = "keep-nothing";

const LISTED: &str = "everything was listed";

/// Watches a namespace and sends one request for each rollout that is complete, nothing before and nothing after.
pub struct BareRecorder {
    /// When its watch delivered each completion.
    pub completions: Completions,
    task: JoinHandle<()>,
}

impl BareRecorder {
    /// Begins. The versions are recorded in `environment` of `broker`, with the Deployment's name as the application's.
    pub fn start(cluster: &TestCluster, namespace: &str, broker: &Arc<StandIn>, environment: &str) -> Self {
        let (sender, mut receiver) = mpsc::unbounded_channel::<Completion>();
        let completions = Completions::watch(cluster, namespace, Some(sender));
        let environment = broker.store().environment_uuid(environment).unwrap();
        let (client, broker) = (bare_requests::client(), Arc::clone(broker));
        let task = tokio::spawn(async move {
            while let Some(one) = receiver.recv().await {
                bare_requests::record(&client, &broker, &environment, &one.name, &one.tag).await;
            }
        });
        Self { completions, task }
    }
}

impl Drop for BareRecorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The resident memory of a process that watches all Deployments with the operator's own partial type and keeps none.
pub async fn resident_without_keeping(control_plane: &ControlPlane) -> u64 {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(ARGUMENT).env("KUBECONFIG", control_plane.kubeconfig());
    let name = format!("{ARGUMENT}-{}", control_plane.next_number());
    let process = Process::start(&name, control_plane.folder(), &command);
    eventually("the bare watch to have listed all", PATIENCE, async || {
        let log = process.logs();
        if log.contains(LISTED) { Ok(()) } else { Err(log) }
    })
    .await;
    crate::setup::rest().await;
    process.rss_bytes().expect("the bare watch runs, on Linux")
}

/// The process that [`resident_without_keeping`] starts.
pub async fn keep_nothing() {
    drop(rustls::crypto::ring::default_provider().install_default());
    let client = Client::try_default().await.expect("KUBECONFIG is given");
    let mut events = watcher(Api::<DeploymentView>::all(client), watcher::Config::default()).boxed();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitDone) => println!("{LISTED}"),
            Ok(_) => {}
            Err(error) => println!("{error}"),
        }
    }
}
