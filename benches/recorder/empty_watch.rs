//! The floor of everything that watches: a process that keeps nothing. Shared by the benches of this folder.

use std::process::Command;

use futures::StreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use pact_operator::workload::DeploymentView;

use crate::cost::Memory;
use crate::setup::PATIENCE;
use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::process::Process;

/// The argument that makes the bench's own program a watch that keeps nothing.
pub const ARGUMENT: &str = "keep-nothing";

const LISTED: &str = "everything was listed";

/// The memory of a process that watches all Deployments with the operator's own partial type and keeps none.
pub async fn without_keeping(control_plane: &ControlPlane) -> Memory {
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
    Memory::of(process.pid())
}

/// The process that [`without_keeping`] starts.
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
