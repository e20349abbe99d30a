//! How far a Deployment's rollout is.
//!
//! Finished means: the status speaks of this generation, and `updatedReplicas`, `replicas` and `availableReplicas` all
//! equal the number asked for, so none of an older template is left; not paused, not given up, not being deleted
//! (domain.md cases 24 to 27; <https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#complete-deployment>).
//!
//! What is asked for outranks what was observed: deleting, then paused, then a status of an older generation (which
//! says nothing about this rollout, not even that it failed), then failed, then the numbers.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::RolloutState;
use super::deployment::{DeploymentConditionView, DeploymentSpecView, DeploymentStatusView, DeploymentView};
use super::excerpt::clause;

/// The termination grace period of a pod template that names none, in seconds.
const DEFAULT_GRACE_SECONDS: i64 = 30;
/// How much of a condition's message is kept, in characters.
const MESSAGE_CHARS: usize = 256;

/// How far the rollout is at `now`. The time matters only while replaced pods still end; a later `now` never turns a
/// finished rollout into an unfinished one.
pub(super) fn deployment_rollout(deployment: &DeploymentView, now: Timestamp) -> RolloutState {
    let (no_spec, no_status) = (DeploymentSpecView::default(), DeploymentStatusView::default());
    let spec = deployment.spec.as_ref().unwrap_or(&no_spec);
    let status = deployment.status.as_ref().unwrap_or(&no_status);
    if deployment.metadata.deletion_timestamp.is_some() {
        return RolloutState::Deleting;
    }
    if spec.paused == Some(true) {
        return RolloutState::Paused;
    }
    let generation = deployment.metadata.generation.unwrap_or_default();
    if status.observed_generation.is_none_or(|observed| observed < generation) {
        return progressing(format!("the Deployment controller has not yet seen generation {generation}"));
    }
    if let Some(failed) = condition(status, "Progressing").filter(|condition| condition.status == "False") {
        return RolloutState::Failed { message: in_words(failed) };
    }
    let wanted = spec.replicas.unwrap_or(1);
    if let Some(missing) = missing(wanted, status) {
        let failure = condition(status, "ReplicaFailure").filter(|condition| condition.status == "True");
        return progressing(failure.map_or(missing, in_words));
    }
    if let Some(terminating) = terminating(spec, status, now) {
        return terminating;
    }
    if wanted == 0 { RolloutState::ScaledToZero } else { RolloutState::Complete }
}

/// What the numbers lack; `None` when nothing is missing and nothing old is left.
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

/// Whether replaced pods still have to be waited for. The wait ends a grace period after the controller confirmed the
/// rollout, since all of them had been told to end by then; a pod that hangs on a lost node must not hold up the record
/// for ever. Without that time (no progress deadline, so no condition) there is no wait: better early by a grace period,
/// as on servers that do not report these pods, than never. A confirmation from the future counts as now.
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

fn in_words(condition: &DeploymentConditionView) -> String {
    let reason = condition.reason.as_deref().unwrap_or("no reason given");
    match condition.message.as_deref().map(str::trim).filter(|message| !message.is_empty()) {
        Some(message) => clause(&format!("{reason}: {message}"), MESSAGE_CHARS),
        None => clause(reason, MESSAGE_CHARS),
    }
}

fn progressing(message: String) -> RolloutState {
    RolloutState::Progressing { message }
}

#[cfg(test)]
#[path = "deployment_rollout_tests.rs"]
mod tests;
