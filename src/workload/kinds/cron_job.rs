//! The progress of a `CronJob`: a change is finished when none of its Jobs runs that was started before it. What is
//! recorded then is what the next run starts (<https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/>).
//!
//! The status has no generation, and names the Jobs that run, but not their template. So all that run when a generation is
//! first seen count as old, until each of them has ended: [`crate::workload::Workload::continuing`] leaves out the others.

use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::WorkloadKind;
use super::view::{Kind, PodTemplateView, Pods};
use crate::workload::RolloutState;

/// The kind `CronJob`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CronJob;

/// The part of a `CronJob`'s spec that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CronJobSpecView {
    /// Whether no further Jobs are started.
    pub suspend: Option<bool>,
    /// The template of its Jobs.
    pub job_template: Option<JobTemplateView>,
}

/// The part of a Job's template that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct JobTemplateView {
    /// The spec.
    pub spec: Option<super::JobSpecView>,
}

/// The part of a `CronJob`'s status that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct CronJobStatusView {
    /// The Jobs that run.
    pub active: Option<Vec<ActiveJobView>>,
}

/// A Job that runs.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct ActiveJobView {
    /// Its name.
    pub name: Option<String>,
}

impl CronJobStatusView {
    fn active(&self) -> &[ActiveJobView] {
        self.active.as_deref().unwrap_or_default()
    }
}

impl Kind for CronJob {
    const KIND: WorkloadKind = WorkloadKind::CronJob;

    type Spec = CronJobSpecView;
    type Status = CronJobStatusView;

    fn template(spec: &CronJobSpecView) -> Option<&PodTemplateView> {
        spec.job_template.as_ref()?.spec.as_ref()?.template.as_ref()
    }

    /// There is no controller to wait for: the next run starts what the spec says.
    fn observed(_status: &CronJobStatusView, _generation: i64) -> bool {
        true
    }

    /// One that will start Jobs counts as one with pods: it has a vote.
    fn pods(spec: &CronJobSpecView, status: &CronJobStatusView) -> Pods {
        Pods { standing: spec.suspend != Some(true) || !status.active().is_empty(), terminating: false }
    }

    fn jobs(status: &CronJobStatusView) -> Box<[String]> {
        status.active().iter().filter_map(|job| job.name.clone()).collect()
    }

    fn progress(spec: &CronJobSpecView, status: &CronJobStatusView, _now: Timestamp) -> RolloutState {
        match status.active() {
            [] if spec.suspend == Some(true) => RolloutState::ScaledToZero,
            [] => RolloutState::Complete,
            [job] => {
                let name = job.name.as_deref().unwrap_or_default();
                let message = format!("the Job {name} still runs, which may have been started before the change");
                RolloutState::Progressing { message }
            }
            jobs => {
                let message = format!("{} Jobs still run, which may have been started before the change", jobs.len());
                RolloutState::Progressing { message }
            }
        }
    }
}

#[cfg(test)]
#[path = "cron_job_tests.rs"]
mod tests;
