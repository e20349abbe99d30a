//! The progress of an Argo `Rollout` (`argoproj.io/v1alpha1`). What was observed of its status, and why each condition is
//! needed: `docs/contributing/progressive-delivery.md`.
//!
//! Finished means, all at once: the status is about the current generation; the stable revision is the one that the spec
//! asks for; nothing pauses it; it is `Healthy`; and `spec.replicas`, `replicas`, `updatedReplicas` and
//! `availableReplicas` are equal. Less is not enough: `stableRS` is the new revision from the beginning of a first rollout
//! on and while old pods end, the phase is `Healthy` right after a change of the image, and blue-green keeps the old pods
//! after the traffic has moved.
//!
//! Where the template is a Deployment's, the status has to be about that one's generation, too: see
//! [`crate::workload::revisions`], which also knows what runs after an abort.

use k8s_openapi::{apimachinery::pkg::util::intstr::IntOrString, jiff::Timestamp};
use serde::{Deserialize, de::IgnoredAny};

use super::WorkloadKind;
use super::view::{Kind, PodTemplateView, Pods};
use crate::workload::{
    Revisions, RolloutState,
    excerpt::clause,
    template_only::{TargetView, workload},
};

/// The longest message of the controller that is quoted, in characters.
const MESSAGE_CHARS: usize = 200;

/// The kind `Rollout`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout;

/// The part of a Rollout's spec that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpecView {
    /// The requested number of pods; the default is 1.
    pub replicas: Option<i32>,
    /// Whether the rollout is paused.
    pub paused: Option<bool>,
    /// The pod template; absent with a reference.
    pub template: Option<PodTemplateView>,
    /// The workload whose pod template it uses.
    pub workload_ref: Option<TargetView>,
}

/// The part of a Rollout's status that the operator reads. A missing number counts as 0.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutStatusView {
    /// The generation that the rest of the status describes, as a decimal text; controllers before 1.0 wrote a hash.
    pub observed_generation: Option<IntOrString>,
    /// The generation of the referenced workload that the status describes, as a decimal text.
    pub workload_observed_generation: Option<IntOrString>,
    /// `Healthy`, `Progressing`, `Paused`, `Degraded`.
    pub phase: Option<String>,
    /// The controller's message, for people.
    pub message: Option<String>,
    /// The hash of the pod template that serves.
    #[serde(rename = "stableRS")]
    pub stable_rs: Option<String>,
    /// The hash of the pod template that the spec asks for.
    pub current_pod_hash: Option<String>,
    /// Whether the update was aborted.
    pub abort: Option<bool>,
    /// Why it is paused; empty when it is not.
    pub pause_conditions: Option<Vec<Paused>>,
    /// Whether the controller paused it.
    pub controller_pause: Option<bool>,
    /// Pods of any revision.
    pub replicas: Option<i32>,
    /// Pods of the current revision.
    pub updated_replicas: Option<i32>,
    /// Pods that are available; with blue-green only those of the active revision.
    pub available_replicas: Option<i32>,
    /// The conditions.
    pub conditions: Option<Vec<RolloutConditionView>>,
}

/// A reason for a pause, of which only the existence counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Paused;

impl<'de> Deserialize<'de> for Paused {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A condition of a Rollout.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RolloutConditionView {
    /// `Available`, `Completed`, `Healthy`, `Paused`, `Progressing`.
    #[serde(rename = "type", default)]
    pub type_: String,
    /// `True`, `False`, `Unknown`.
    #[serde(default)]
    pub status: String,
}

impl RolloutStatusView {
    /// All pods, those of the current revision, and the available ones.
    fn numbers(&self) -> [i32; 3] {
        [self.replicas, self.updated_replicas, self.available_replicas].map(Option::unwrap_or_default)
    }

    fn promoted(&self) -> bool {
        let stable = self.stable_rs.as_deref().filter(|hash| !hash.is_empty());
        stable.is_some() && stable == self.current_pod_hash.as_deref()
    }

    fn waits(&self) -> bool {
        self.controller_pause == Some(true) || self.pause_conditions.as_ref().is_some_and(|all| !all.is_empty())
    }

    fn aborted(&self) -> bool {
        self.abort == Some(true)
    }

    fn phase(&self) -> &str {
        self.phase.as_deref().unwrap_or_default()
    }

    fn conditions(&self) -> impl Iterator<Item = &RolloutConditionView> {
        self.conditions.iter().flatten()
    }

    fn is_true(&self, kind: &str) -> bool {
        self.conditions().any(|condition| condition.type_ == kind && condition.status == "True")
    }

    fn message(&self) -> Option<String> {
        let message = self.message.as_deref().map(str::trim).filter(|message| !message.is_empty());
        message.map(|message| clause(message, MESSAGE_CHARS))
    }
}

/// A generation as the controller writes it; `None` for anything else.
fn generation(text: Option<&IntOrString>) -> Option<i64> {
    match text? {
        IntOrString::String(text) => text.parse().ok(),
        IntOrString::Int(_) => None,
    }
}

impl Kind for Rollout {
    const KIND: WorkloadKind = WorkloadKind::Rollout;

    type Spec = RolloutSpecView;
    type Status = RolloutStatusView;

    fn template(spec: &RolloutSpecView) -> Option<&PodTemplateView> {
        spec.template.as_ref()
    }

    fn paused(spec: &RolloutSpecView) -> bool {
        spec.paused == Some(true)
    }

    fn observed(status: &RolloutStatusView, current: i64) -> bool {
        generation(status.observed_generation.as_ref()).is_some_and(|observed| observed >= current)
    }

    fn pods(_spec: &RolloutSpecView, status: &RolloutStatusView) -> Pods {
        Pods { standing: status.replicas.is_some_and(|all| all > 0), terminating: false }
    }

    fn revisions(spec: &RolloutSpecView, status: &RolloutStatusView, namespace: &str) -> Option<Box<Revisions>> {
        let hash = |hash: &Option<String>| hash.clone().unwrap_or_default();
        Some(Box::new(Revisions {
            current: hash(&status.current_pod_hash),
            stable: hash(&status.stable_rs),
            by_reference: spec.workload_ref.is_some(),
            template: spec.workload_ref.as_ref().and_then(|target| {
                workload(namespace, target).filter(|template| template.kind == WorkloadKind::Deployment)
            }),
            template_seen: generation(status.workload_observed_generation.as_ref()),
            template_generation: None,
            back_on_stable: status.aborted() && status.numbers()[1] == 0,
            degraded: status.message().filter(|_| status.phase() == "Degraded"),
        }))
    }

    fn progress(spec: &RolloutSpecView, status: &RolloutStatusView, _now: Timestamp) -> RolloutState {
        let wanted = spec.replicas.unwrap_or(1);
        let [all, updated, available] = status.numbers();
        let told = |fallback: String| status.message().unwrap_or(fallback);
        if status.aborted() {
            return RolloutState::Failed { message: told("the update was aborted".to_owned()) };
        }
        if status.waits() {
            return RolloutState::Paused;
        }
        if status.promoted() {
            let whole =
                [all, updated, available] == [wanted; 3] && status.phase() == "Healthy" && status.is_true("Healthy");
            // It has been available as a whole before, and no pod of another revision is left (case 75): in a first rollout
            // the condition `Healthy` is absent until then, and a later revision becomes the stable one only then.
            let once = all > 0 && all == updated && status.conditions().any(|it| it.type_ == "Healthy");
            if whole || once {
                return if all == 0 { RolloutState::ScaledToZero } else { RolloutState::Complete };
            }
            if status.phase() == "Healthy" && all > updated && wanted > 0 {
                let message = format!("{} old pods are kept until the delay of the scale-down is over", all - updated);
                return RolloutState::Progressing { message };
            }
        }
        if status.phase() == "Degraded" {
            return RolloutState::Failed { message: told("it is degraded".to_owned()) };
        }
        let counted = if wanted == 0 && all > 0 {
            format!("{all} pods are left of 0 asked for")
        } else {
            let old = all.saturating_sub(updated);
            format!("{updated} of {wanted} pods are updated, {available} available, {old} old ones left")
        };
        let message = status.message().map_or_else(|| counted.clone(), |message| format!("{counted}: {message}"));
        RolloutState::Progressing { message }
    }
}

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod tests;
