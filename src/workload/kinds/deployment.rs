//! The progress of a Deployment's rollout.
//!
//! Finished means: `updatedReplicas`, `replicas` and `availableReplicas` all equal the requested number, so no pod of
//! an older template is left; the rollout is not paused, and the controller has not given up (case 24 to 27;
//! <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#complete-deployment>). A controller that gave
//! up outranks the numbers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::WorkloadKind;
use super::view::{Kind, PodTemplateView};
use crate::workload::RolloutState;
use crate::workload::excerpt::clause;

/// The termination grace period of a pod template that names none, in seconds.
const DEFAULT_GRACE_SECONDS: i64 = 30;
/// How much of a condition's message is kept, in characters.
const MESSAGE_CHARS: usize = 256;

/// The kind Deployment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deployment;

/// The part of a Deployment's spec that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpecView {
    /// The requested number of pods; the default is 1.
    pub replicas: Option<i32>,
    /// Whether the rollout is paused.
    pub paused: Option<bool>,
    /// The pod template.
    pub template: Option<PodTemplateView>,
}

/// The part of a Deployment's status that the operator reads. A missing number counts as 0. `terminatingReplicas` is
/// read although the typed API of the oldest supported version lacks it.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatusView {
    /// The generation that the rest of the status describes.
    pub observed_generation: Option<i64>,
    /// Pods of any template that are not terminating.
    pub replicas: Option<i32>,
    /// Pods of the newest template that are not terminating.
    pub updated_replicas: Option<i32>,
    /// Pods that have been ready for `minReadySeconds` and are not terminating.
    pub available_replicas: Option<i32>,
    /// Pods that are terminating; reported by servers with the feature `DeploymentReplicaSetTerminatingReplicas`.
    pub terminating_replicas: Option<i32>,
    /// Conditions.
    pub conditions: Option<Vec<DeploymentConditionView>>,
}

/// The part of a Deployment's condition that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentConditionView {
    /// `Progressing`, `Available`, `ReplicaFailure`.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// `True`, `False`, `Unknown`.
    #[serde(default)]
    pub status: String,
    /// The reason, CamelCase.
    pub reason: Option<String>,
    /// The message, for people.
    pub message: Option<String>,
    /// When the controller last confirmed it.
    pub last_update_time: Option<Time>,
}

impl Kind for Deployment {
    const KIND: WorkloadKind = WorkloadKind::Deployment;

    type Spec = DeploymentSpecView;
    type Status = DeploymentStatusView;

    fn template(spec: &DeploymentSpecView) -> Option<&PodTemplateView> {
        spec.template.as_ref()
    }

    fn paused(spec: &DeploymentSpecView) -> bool {
        spec.paused == Some(true)
    }

    fn observed_generation(status: &DeploymentStatusView) -> Option<i64> {
        status.observed_generation
    }

    /// The time matters only while replaced pods are terminating; a later `now` never turns a finished rollout into an
    /// unfinished one.
    fn progress(spec: &DeploymentSpecView, status: &DeploymentStatusView, now: Timestamp) -> RolloutState {
        if let Some(failed) = condition(status, "Progressing").filter(|condition| condition.status == "False") {
            return RolloutState::Failed { message: text_of(failed) };
        }
        let wanted = spec.replicas.unwrap_or(1);
        if let Some(missing) = missing(wanted, status) {
            let failure = condition(status, "ReplicaFailure").filter(|condition| condition.status == "True");
            return RolloutState::Progressing { message: failure.map_or(missing, text_of) };
        }
        if let Some(terminating) = terminating(spec, status, now) {
            return terminating;
        }
        if wanted == 0 { RolloutState::ScaledToZero } else { RolloutState::Complete }
    }
}

/// What the numbers lack; `None` when nothing is missing and no old pod is left.
fn missing(wanted: i32, status: &DeploymentStatusView) -> Option<String> {
    let (all, updated, available) = numbers(status);
    if [all, updated, available] == [wanted; 3] {
        return None;
    }
    if wanted == 0 {
        return Some(format!("{all} pods are left of 0 asked for"));
    }
    let old = all.saturating_sub(updated);
    Some(format!("{updated} of {wanted} pods are updated, {available} available, {old} old ones left"))
}

fn numbers(status: &DeploymentStatusView) -> (i32, i32, i32) {
    let read = |number: Option<i32>| number.unwrap_or_default();
    (read(status.replicas), read(status.updated_replicas), read(status.available_replicas))
}

/// Whether replaced pods are still waited for. The wait ends a grace period after the controller confirmed the rollout,
/// since all of them had begun to terminate by then; a pod that hangs on a lost node must not delay the record for
/// ever. Without that time (no progress deadline, so no condition) there is no wait: recording early by a grace period,
/// as on servers that do not report these pods, is better than never. A confirmation from the future counts as now.
fn terminating(spec: &DeploymentSpecView, status: &DeploymentStatusView, now: Timestamp) -> Option<RolloutState> {
    let remaining = status.terminating_replicas.filter(|remaining| *remaining > 0)?;
    let progressing = condition(status, "Progressing")?;
    if progressing.reason.as_deref() != Some("NewReplicaSetAvailable") {
        return None;
    }
    let confirmed = progressing.last_update_time.as_ref()?.0.min(now);
    let pod = spec.template.as_ref().and_then(|template| template.spec.as_ref());
    let grace = pod.and_then(|pod| pod.termination_grace_period_seconds).unwrap_or(DEFAULT_GRACE_SECONDS).max(0);
    let until = confirmed.checked_add(SignedDuration::from_secs(grace)).unwrap_or(Timestamp::MAX);
    (now < until).then_some(RolloutState::Terminating { until, remaining })
}

fn condition<'status>(status: &'status DeploymentStatusView, kind: &str) -> Option<&'status DeploymentConditionView> {
    status.conditions.as_deref().unwrap_or_default().iter().find(|condition| condition.type_ == kind)
}

fn text_of(condition: &DeploymentConditionView) -> String {
    let reason = condition.reason.as_deref().unwrap_or("no reason given");
    match condition.message.as_deref().map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => clause(&format!("{reason}: {message}"), MESSAGE_CHARS),
        None => clause(reason, MESSAGE_CHARS),
    }
}

#[cfg(test)]
#[path = "deployment_tests.rs"]
mod tests;
