//! The progress of a `DaemonSet`'s rollout.
//!
//! Finished means: on every node that is to have a pod, the pod is updated and available. Where an old and a new pod
//! are on one node, the controller counts the old one, so no old pod is left then
//! (<https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/>). With the strategy `OnDelete` a person must
//! delete the last old pod first. The controller never gives up, so there is no failed state. The status has no
//! history, so only the numbers count, also for pods that crash afterwards (case 75).

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::WorkloadKind;
use super::view::{Kind, PodTemplateView, Pods};
use crate::workload::RolloutState;

/// The kind `DaemonSet`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DaemonSet;

/// The part of a `DaemonSet`'s spec that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DaemonSetSpecView {
    /// How pods are replaced.
    pub update_strategy: Option<DaemonSetStrategyView>,
    /// The pod template.
    pub template: Option<PodTemplateView>,
}

/// How pods are replaced.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct DaemonSetStrategyView {
    /// `RollingUpdate`, which is the default, or `OnDelete`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
}

/// The part of a `DaemonSet`'s status that the operator reads. A missing number counts as 0.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DaemonSetStatusView {
    /// The generation that the rest of the status describes.
    pub observed_generation: Option<i64>,
    /// Nodes that should have a pod.
    pub desired_number_scheduled: Option<i32>,
    /// How many of these nodes have a pod, of whatever template.
    pub current_number_scheduled: Option<i32>,
    /// How many of these nodes have a pod of the current template.
    pub updated_number_scheduled: Option<i32>,
    /// How many of these nodes have a pod that has been ready for `minReadySeconds`.
    pub number_available: Option<i32>,
    /// Nodes that have a pod and should not.
    pub number_misscheduled: Option<i32>,
}

impl Kind for DaemonSet {
    const KIND: WorkloadKind = WorkloadKind::DaemonSet;

    type Spec = DaemonSetSpecView;
    type Status = DaemonSetStatusView;

    fn template(spec: &DaemonSetSpecView) -> Option<&PodTemplateView> {
        spec.template.as_ref()
    }

    fn observed(status: &DaemonSetStatusView, generation: i64) -> bool {
        status.observed_generation.is_some_and(|observed| observed >= generation)
    }

    fn pods(_spec: &DaemonSetSpecView, status: &DaemonSetStatusView) -> Pods {
        let numbers = [status.current_number_scheduled, status.updated_number_scheduled, status.number_misscheduled];
        Pods { standing: numbers.into_iter().flatten().any(|number| number > 0), terminating: false }
    }

    /// Pods on nodes that should not have one are in no other number. They count in two cases in which they may stay
    /// old for ever: with `OnDelete`, where only a person replaces them, and when there are no other pods. Otherwise
    /// the controller ends old ones by itself, and one that is not old may stay for as long as its node does.
    fn progress(spec: &DaemonSetSpecView, status: &DaemonSetStatusView, _now: Timestamp) -> RolloutState {
        let on_delete = spec.update_strategy.as_ref().and_then(|it| it.type_.as_deref()) == Some("OnDelete");
        let read = |number: Option<i32>| number.unwrap_or_default();
        let wanted = read(status.desired_number_scheduled);
        let (updated, available) = (read(status.updated_number_scheduled), read(status.number_available));
        let elsewhere = read(status.number_misscheduled);
        let message = if [updated, available] != [wanted; 2] {
            let who = if on_delete { "; old ones wait to be deleted" } else { "" };
            format!("{updated} of {wanted} pods are updated, {available} available{who}")
        } else if elsewhere > 0 && (on_delete || wanted == 0) {
            format!("{elsewhere} pods are left on nodes that should have none, of whatever version")
        } else if wanted == 0 {
            return RolloutState::ScaledToZero;
        } else {
            return RolloutState::Complete;
        };
        RolloutState::Progressing { message }
    }
}

#[cfg(test)]
#[path = "daemon_set_tests.rs"]
mod tests;
