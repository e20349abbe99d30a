//! Whether a workload that claims to be the primary of a Flagger Canary is one (case 88).

use std::time::Duration;

use kube::Api;
use operator_kit::refusal;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::Gate;
use crate::{
    cluster::live::live_workload,
    decide::admission::Review,
    workload::{CanaryView, Held, WorkloadRef, target_of},
};

/// How long reading the Canary may take.
const LIMIT: Duration = Duration::from_secs(1);

impl Gate {
    /// Whether the workload under review is a Canary's primary, as the Canary itself says. A claim that cannot be checked
    /// before half of the time until `deadline` is over does not count.
    pub(super) async fn is_primary(&self, review: &Review, deadline: Instant) -> bool {
        let Ok(workload) = &review.new else { return false };
        let Some(owner) = &workload.canary_owner else { return false };
        let api: Api<CanaryView> = Api::namespaced(self.cluster.client.clone(), &review.namespace);
        let limit = LIMIT.min(deadline.saturating_duration_since(Instant::now()) / 2);
        let error = match timeout(limit, api.get_opt(&owner.name)).await {
            Ok(Ok(canary)) => {
                let canary = canary.filter(|canary| canary.has_primary(workload));
                let Some(target) = canary.as_ref().and_then(target_of) else { return false };
                return !self.holds || !self.may_be_held(&target, limit).await;
            }
            Ok(Err(error)) => refusal::explain(&error),
            Err(_) => "it was not read in time".to_owned(),
        };
        let (namespace, name, canary) = (&review.namespace, review.object_name(), &owner.name);
        warn!(namespace, name, canary, error, "the Canary cannot be read: the workload is judged as any other");
        false
    }

    /// Whether a Canary's target is held, so that what Flagger makes of it was not found to be fine there: the Canary came
    /// after the hold. It may be where it cannot be read.
    async fn may_be_held(&self, target: &WorkloadRef, limit: Duration) -> bool {
        if !Held::is_possible(target.kind) {
            return false;
        }
        let error = match timeout(limit, live_workload(&self.cluster.client, target)).await {
            Ok(Ok(workload)) => return workload.is_some_and(|workload| Held::of(&workload).is_some()),
            Ok(Err(error)) => error.message,
            Err(_) => "it was not read in time".to_owned(),
        };
        warn!(%target, error, "a Canary's target cannot be read: its primary is judged as any other");
        true
    }
}
