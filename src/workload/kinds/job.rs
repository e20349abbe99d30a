//! A `Job` runs once and is over: a hook of a Helm release or of Argo CD, a migration. It is judged when it is created, and
//! never recorded. One that another object controls, such as a `CronJob`, is not judged either: its owner was.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::WorkloadKind;
use super::view::{Kind, PodTemplateView, Pods};
use crate::workload::RolloutState;

/// The kind `Job`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Job;

/// The part of a Job's spec that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct JobSpecView {
    /// The pod template.
    pub template: Option<PodTemplateView>,
}

/// The part of a Job's status that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct JobStatusView {
    /// Pods that run or wait.
    pub active: Option<i32>,
}

impl Kind for Job {
    const KIND: WorkloadKind = WorkloadKind::Job;

    type Spec = JobSpecView;
    type Status = JobStatusView;

    fn template(spec: &JobSpecView) -> Option<&PodTemplateView> {
        spec.template.as_ref()
    }

    fn observed(_status: &JobStatusView, _generation: i64) -> bool {
        true
    }

    fn pods(_spec: &JobSpecView, status: &JobStatusView) -> Pods {
        Pods { standing: status.active.is_some_and(|active| active > 0), terminating: false }
    }

    fn progress(_spec: &JobSpecView, _status: &JobStatusView, _now: Timestamp) -> RolloutState {
        RolloutState::Progressing { message: "a Job runs once: it is judged and never recorded".to_owned() }
    }
}
