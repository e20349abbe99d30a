//! The progress of a `StatefulSet`'s rollout.
//!
//! Finished means: `updatedReplicas`, `replicas` and `availableReplicas` all equal the requested number. `replicas`
//! includes terminating pods, and a pod is created again only when the old one of its name is gone, so no old pod is
//! left then. `currentRevision` is the revision to which pods return: the controller sets it to the `updateRevision`
//! once all pods are updated and ready, but never with the strategy `OnDelete`, where only the numbers count.
//!
//! A partition keeps pods at the current revision for an unlimited time: both versions are live, so the record stays
//! (<https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#partitions>). The controller never gives
//! up, so there is no failed state.
//!
//! Whether a revision has been available as a whole before is not in the status: while the first one comes up, both
//! revisions are the same already. So only the numbers count here, also for pods that crash afterwards (case 75).

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::WorkloadKind;
use super::view::{Kind, PodTemplateView, Pods};
use crate::workload::RolloutState;

/// The kind `StatefulSet`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StatefulSet;

/// The part of a `StatefulSet`'s spec that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StatefulSetSpecView {
    /// The requested number of pods; the default is 1.
    pub replicas: Option<i32>,
    /// How pods are replaced.
    pub update_strategy: Option<StatefulSetStrategyView>,
    /// The pod template.
    pub template: Option<PodTemplateView>,
}

/// How pods are replaced.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StatefulSetStrategyView {
    /// `RollingUpdate`, which is the default, or `OnDelete`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// The parameters of `RollingUpdate`.
    pub rolling_update: Option<StatefulSetRollingUpdateView>,
}

/// The parameters of `RollingUpdate`.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StatefulSetRollingUpdateView {
    /// How many pods, from the first on, are not updated; the default is 0.
    pub partition: Option<i32>,
}

/// The part of a `StatefulSet`'s status that the operator reads. A missing number counts as 0.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StatefulSetStatusView {
    /// The generation that the rest of the status describes.
    pub observed_generation: Option<i64>,
    /// Pods of any revision, including terminating ones.
    pub replicas: Option<i32>,
    /// Pods of the update revision that are not terminating.
    pub updated_replicas: Option<i32>,
    /// Pods that have been ready for `minReadySeconds`.
    pub available_replicas: Option<i32>,
    /// The revision that all pods had when a rollout last finished.
    pub current_revision: Option<String>,
    /// The revision of the current pod template.
    pub update_revision: Option<String>,
}

impl StatefulSetSpecView {
    fn on_delete(&self) -> bool {
        self.update_strategy.as_ref().and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
    }

    /// How many of the requested pods are not to be updated.
    fn kept_back(&self, wanted: i32) -> i32 {
        let rolling_update = self.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let partition = rolling_update.and_then(|rolling_update| rolling_update.partition).unwrap_or_default();
        if self.on_delete() { 0 } else { partition.clamp(0, wanted.max(0)) }
    }
}

impl Kind for StatefulSet {
    const KIND: WorkloadKind = WorkloadKind::StatefulSet;

    type Spec = StatefulSetSpecView;
    type Status = StatefulSetStatusView;

    fn template(spec: &StatefulSetSpecView) -> Option<&PodTemplateView> {
        spec.template.as_ref()
    }

    fn observed(status: &StatefulSetStatusView, generation: i64) -> bool {
        status.observed_generation.is_some_and(|observed| observed >= generation)
    }

    /// `replicas` includes the terminating ones.
    fn pods(_spec: &StatefulSetSpecView, status: &StatefulSetStatusView) -> Pods {
        Pods { standing: status.replicas.is_some_and(|all| all > 0), terminating: false }
    }

    fn progress(spec: &StatefulSetSpecView, status: &StatefulSetStatusView, _now: Timestamp) -> RolloutState {
        let wanted = spec.replicas.unwrap_or(1);
        let read = |number: Option<i32>| number.unwrap_or_default();
        let (all, updated, available) =
            (read(status.replicas), read(status.updated_replicas), read(status.available_replicas));
        let settled = spec.on_delete() || status.current_revision == status.update_revision;
        if [all, updated, available] == [wanted; 3] && settled {
            return if wanted == 0 { RolloutState::ScaledToZero } else { RolloutState::Complete };
        }
        let kept_back = spec.kept_back(wanted);
        if kept_back > 0 && !settled && updated < wanted {
            let message = format!(
                "the partition keeps {kept_back} of {wanted} pods at the version before, {updated} are updated, \
                 {available} available; it is recorded once the partition is 0 and the rollout has finished"
            );
            return RolloutState::Mixed { message };
        }
        let message = if wanted == 0 {
            format!("{all} pods are left of 0 asked for")
        } else if all > wanted {
            format!("{} pods are left over of {wanted} asked for", all - wanted)
        } else if spec.on_delete() && updated < all {
            let old = all - updated;
            format!("{updated} of {wanted} pods are updated, {available} available; {old} old ones wait to be deleted")
        } else {
            format!("{updated} of {wanted} pods are updated, {available} available")
        };
        RolloutState::Progressing { message }
    }
}

#[cfg(test)]
#[path = "stateful_set_tests.rs"]
mod tests;
