//! What the operator costs in one world: its start, its memory, and one change.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::ListParams;
use pact_operator::workload::DeploymentView;

use crate::change::Change;
use crate::cost::{self, Memory};
use crate::report::Spread;
use crate::setup::{PATIENCE, Setup, rest};
use crate::started::{Started, start_timed};
use testbed::operator::Operator;

/// How often the LIST is sent, and after which time no more often.
const LISTS: usize = 3;
const LISTING: Duration = Duration::from_secs(5);
/// A second in which a process needs less than this is one of rest.
const RESTING: Duration = Duration::from_millis(50);
/// A start with everything recorded.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// From the start of the process until `/readyz` says 200, the median.
    pub ready: Duration,
    /// Of a plain LIST of all Deployments, the median.
    pub list: Duration,
    /// Of the process after that start.
    pub memory: Memory,
}

impl Start {
    /// Starts the operator so often; the last one runs, and is at rest.
    pub async fn of(setup: &Setup, starts: usize) -> (Self, Started) {
        let list = list(setup).await;
        let mut started = start_timed(&setup.cluster).await;
        let mut ready = vec![started.ready.as_secs_f64()];
        for _ in 1..starts {
            started.stop().await;
            started = start_timed(&setup.cluster).await;
            ready.push(started.ready.as_secs_f64());
        }
        let memory = at_rest(&started.operator).await;
        let ready = Duration::from_secs_f64(Spread::of(ready).median());
        (Self { ready, list, memory }, started)
    }
}

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// One start.
    pub start: Start,
    /// One rollout, the median of several.
    pub change: Change,
}

impl Measured {
    /// Starts the operator, rolls out so often, and ends it again.
    pub async fn of(setup: &mut Setup, changes: usize) -> Self {
        let (start, started) = Start::of(setup, 1).await;
        let change = Change::of(setup, &started.operator, changes).await;
        started.stop().await;
        Self { start, change }
    }
}

/// The memory of an operator that has started and is at rest.
pub async fn at_rest(operator: &Operator) -> Memory {
    rest().await;
    until_at_rest(operator).await;
    Memory::of(operator.pid())
}

/// Waits until it needs next to nothing for a second.
pub async fn until_at_rest(operator: &Operator) {
    let began = Instant::now();
    loop {
        let before = cost::exact_cpu(operator.pid());
        tokio::time::sleep(Duration::from_secs(1)).await;
        if cost::exact_cpu(operator.pid()).saturating_sub(before) < RESTING {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the operator does not come to rest; its log:\n{}", operator.logs());
    }
}

/// The median time of a plain LIST.
async fn list(setup: &Setup) -> Duration {
    let api: Api<DeploymentView> = Api::all(setup.cluster.client());
    let (all, mut seconds) = (Instant::now(), Vec::new());
    while seconds.len() < LISTS && all.elapsed() < LISTING {
        let began = Instant::now();
        drop(api.list(&ListParams::default()).await.unwrap());
        seconds.push(began.elapsed().as_secs_f64());
    }
    Duration::from_secs_f64(Spread::of(seconds).median())
}
