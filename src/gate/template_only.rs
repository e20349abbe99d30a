//! Whether the pods of something else are made from a workload: an Argo Rollout's, or a Flagger Canary's. Neither looks at
//! the pause of its template, so a hold of it would hold nothing, and admit what should be denied.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use operator_kit::refusal;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::Gate;
use crate::{
    cluster::if_served::list_if_served,
    workload::{CanaryView, View, WorkloadRef, kinds::Rollout, target_of},
};

/// How long reading either kind may take.
const LIMIT: Duration = Duration::from_secs(1);

impl Gate {
    /// Whether a Rollout or a Canary may use a workload as its template. Where that cannot be read before half of the time
    /// until `deadline` is over, it may.
    pub(super) async fn may_be_a_template(&self, workload: &WorkloadRef, deadline: Instant) -> bool {
        let limit = LIMIT.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let client = &self.cluster.client;
        let rollouts = Api::<View<Rollout>>::namespaced(client.clone(), &workload.namespace);
        let canaries = Api::<CanaryView>::namespaced(client.clone(), &workload.namespace);
        let (rollouts, canaries) =
            tokio::join!(timeout(limit, list_if_served(&rollouts)), timeout(limit, list_if_served(&canaries)));
        let late = "it was not read in time".to_owned();
        let (rollouts, canaries) = match (rollouts, canaries) {
            (Ok(Ok(rollouts)), Ok(Ok(canaries))) => (rollouts, canaries),
            (Ok(Err(error)), _) | (_, Ok(Err(error))) => return unknown(workload, &refusal::explain(&error)),
            _ => return unknown(workload, &late),
        };
        let now = Timestamp::now();
        let mut templates = rollouts.iter().filter_map(|rollout| rollout.observe(now).revisions?.template);
        let mut targets = canaries.iter().filter_map(target_of);
        templates.any(|template| template == *workload) || targets.any(|target| target == *workload)
    }
}

fn unknown(workload: &WorkloadRef, error: &str) -> bool {
    let WorkloadRef { namespace, name, .. } = workload;
    warn!(namespace, name, error, "Rollouts or Canaries cannot be read: the workload is not held, but denied");
    true
}
