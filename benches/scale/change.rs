//! What one rollout costs the operator.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cost;
use crate::deployment::finished;
use crate::report::Spread;
use crate::requests;
use crate::setup::{PATIENCE, Setup};
use testbed::eventually::eventually;
use testbed::operator::Operator;
use testbed::test_cluster::image;

/// What is written with a delay is written by then.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    /// Seconds on a CPU, until all is written.
    pub cpu: f64,
    /// Requests at the broker for the key.
    pub requests: f64,
}

impl Change {
    /// The medians of so many rollouts of the first Deployment. What the operator needs in as long a time of rest is taken
    /// off.
    pub async fn of(setup: &mut Setup, operator: &Operator, changes: usize) -> Self {
        let resting = cpu_of_rest(operator).await;
        let (mut cpu, mut requests) = (Vec::new(), Vec::new());
        for _ in 0..changes {
            let (one, sent) = change(setup, operator).await;
            cpu.push(one.saturating_sub(resting).as_secs_f64());
            requests.push(sent as f64);
        }
        Self { cpu: Spread::of(cpu).median(), requests: Spread::of(requests).median() }
    }
}

/// What the operator needs on a CPU while it waits as long as for a change.
async fn cpu_of_rest(operator: &Operator) -> Duration {
    let before = cost::exact_cpu(operator.pid());
    tokio::time::sleep(AFTERWARDS).await;
    cost::exact_cpu(operator.pid()).saturating_sub(before)
}

/// One rollout: time on a CPU, and requests.
async fn change(setup: &mut Setup, operator: &Operator) -> (Duration, usize) {
    setup.rollouts += 1;
    let (broker, api, pid) = (&setup.cluster.broker, setup.api_of(0), operator.pid());
    let (name, version, pacticipant) = (Setup::name_of(0), Setup::version(setup.rollouts), Setup::pacticipant(0));
    broker.store().publish_version(&pacticipant, &version);
    broker.clear_requests();
    let (before, how) = (cost::exact_cpu(pid), PatchParams::default());
    let containers = json!([{"name": "app", "image": image(&version)}]);
    let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": containers}}}}));
    let generation = api.patch(&name, &how, &patch).await.unwrap().metadata.generation.unwrap();
    drop(api.patch_status(&name, &how, &Patch::Merge(finished(generation))).await.unwrap());
    eventually(format!("{version} to be recorded"), PATIENCE, async || {
        let rows = broker.store().current(setup.first_environment(), &pacticipant);
        if rows.iter().any(|row| row.version == version) { Ok(()) } else { Err(format!("{} rows", rows.len())) }
    })
    .await;
    tokio::time::sleep(AFTERWARDS).await;
    (cost::exact_cpu(pid).saturating_sub(before), broker.count_requests(requests::is_for_a_key))
}
