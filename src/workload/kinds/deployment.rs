//! The progress of a Deployment's rollout.
//!
//! Finished means: no pod of an older template is left, and the new one has been available as a whole once (cases 24 to
//! 27 and 75; <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#complete-deployment>). It is
//! available now if `updatedReplicas`, `replicas` and `availableReplicas` all equal the requested number. It was if the
//! controller says so: `Progressing` has the reason `NewReplicaSetAvailable` until the next rollout, through scaling and
//! whatever the pods do. A pause replaces that reason, so while it is paused only the numbers count. A controller that
//! gave up outranks the numbers.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::WorkloadKind;
use super::view::{Kind, PodTemplateView, Pods};
use crate::workload::RolloutState;
use crate::workload::excerpt::clause;

/// The termination grace period of a pod template that names none, in seconds.
const DEFAULT_GRACE_SECONDS: i64 = 30;
/// The part of the requested pods that may be unavailable where the spec does not say, in percent.
const DEFAULT_UNAVAILABLE_PERCENT: i32 = 25;
/// The reason of `Progressing` once the newest template has been available as a whole.
const AVAILABLE_ONCE: &str = "NewReplicaSetAvailable";
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
    /// How pods are replaced.
    pub strategy: Option<DeploymentStrategyView>,
    /// The pod template.
    pub template: Option<PodTemplateView>,
}

/// How pods are replaced.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStrategyView {
    /// `RollingUpdate`, which is the default, or `Recreate`.
    #[serde(rename = "type")]
    pub type_: Option<String>,
    /// The parameters of `RollingUpdate`.
    pub rolling_update: Option<DeploymentRollingUpdateView>,
}

/// The parameters of `RollingUpdate`: numbers, or percentages of the requested pods.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentRollingUpdateView {
    /// How many pods may be unavailable; the default is 25%.
    pub max_unavailable: Option<IntOrString>,
    /// How many pods there may be above the requested number; the default is 25%.
    pub max_surge: Option<IntOrString>,
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

    fn at_zero(spec: &DeploymentSpecView) -> bool {
        spec.replicas == Some(0)
    }

    fn observed(status: &DeploymentStatusView, generation: i64) -> bool {
        status.observed_generation.is_some_and(|observed| observed >= generation)
    }

    fn pods(_spec: &DeploymentSpecView, status: &DeploymentStatusView) -> Pods {
        let standing = numbers(status).0 > 0;
        Pods { standing, terminating: status.terminating_replicas.is_some_and(|remaining| remaining > 0) }
    }

    /// The time matters only while replaced pods are terminating; a later `now` never turns a finished rollout into an
    /// unfinished one.
    ///
    /// Paused at zero is not finished: a template that came during the pause is not the one that scaling up would run.
    fn progress(spec: &DeploymentSpecView, status: &DeploymentStatusView, now: Timestamp) -> RolloutState {
        let wanted = spec.replicas.unwrap_or(1);
        if Self::paused(spec) && wanted == 0 {
            return RolloutState::Paused;
        }
        if let Some(failed) = condition(status, "Progressing").filter(|condition| condition.status == "False") {
            return RolloutState::Failed { message: text_of(failed) };
        }
        if let Some(missing) = missing(wanted, status).filter(|_| !complete_once(wanted, spec, status)) {
            let failure = condition(status, "ReplicaFailure").filter(|condition| condition.status == "True");
            return RolloutState::Progressing { message: failure.map_or(missing, text_of) };
        }
        if let Some(terminating) = terminating(spec, status, now) {
            return terminating;
        }
        if wanted == 0 && numbers(status).0 == 0 { RolloutState::ScaledToZero } else { RolloutState::Complete }
    }
}

/// Whether no pod of another template is left, and the controller says that this one has been available as a whole
/// (case 75).
///
/// The controller says so of the template *before* for a while, where all old pods may go in one step: between them and
/// the new ones it counts as many updated pods as pods, none, and takes that for a rollout that is complete already.
/// After a rollback to a template that still has its `ReplicaSet` it never notices. With such a strategy only the
/// numbers count.
fn complete_once(wanted: i32, spec: &DeploymentSpecView, status: &DeploymentStatusView) -> bool {
    let (all, updated, _) = numbers(status);
    let confirmed = condition(status, "Progressing")
        .is_some_and(|condition| condition.status == "True" && condition.reason.as_deref() == Some(AVAILABLE_ONCE));
    confirmed && all == updated && !all_at_once(wanted.max(1), spec.strategy.as_ref())
}

/// Whether the strategy may take all the pods away before the first new one is there.
fn all_at_once(wanted: i32, strategy: Option<&DeploymentStrategyView>) -> bool {
    if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
        return true;
    }
    let parameters = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
    let unavailable = match parameters.and_then(|parameters| parameters.max_unavailable.as_ref()) {
        None => part_of(wanted, DEFAULT_UNAVAILABLE_PERCENT),
        Some(IntOrString::Int(number)) => *number,
        // A text that is no percentage is refused by the API server.
        Some(IntOrString::String(text)) => percent(text).map_or(wanted, |percent| part_of(wanted, percent)),
    };
    let no_surge = parameters.and_then(|parameters| parameters.max_surge.as_ref()).is_some_and(|surge| match surge {
        IntOrString::Int(number) => *number == 0,
        IntOrString::String(text) => percent(text) == Some(0),
    });
    // Without a surge at least one pod goes first.
    unavailable.max(i32::from(no_surge)) >= wanted
}

fn percent(text: &str) -> Option<i32> {
    text.strip_suffix('%')?.parse().ok()
}

/// A percentage of a number of pods, rounded down.
fn part_of(wanted: i32, percent: i32) -> i32 {
    i32::try_from(i64::from(wanted) * i64::from(percent) / 100).unwrap_or(i32::MAX)
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
/// ever. A confirmation from the future counts as now.
///
/// Without a progress deadline, and while it is paused, the controller confirms nothing, and no other time in the status
/// belongs to this rollout. Then the wait begins now (case 93); [`crate::workload::Workload::continuing`] keeps the
/// beginning from one observation to the next.
fn terminating(spec: &DeploymentSpecView, status: &DeploymentStatusView, now: Timestamp) -> Option<RolloutState> {
    let remaining = status.terminating_replicas.filter(|remaining| *remaining > 0)?;
    let confirmed = condition(status, "Progressing")
        .filter(|progressing| progressing.reason.as_deref() == Some(AVAILABLE_ONCE))
        .and_then(|progressing| progressing.last_update_time.as_ref())
        .map_or(now, |time| time.0.min(now));
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
#[path = "deployment_terminating_tests.rs"]
mod terminating_tests;
#[cfg(test)]
#[path = "deployment_tests.rs"]
mod tests;
