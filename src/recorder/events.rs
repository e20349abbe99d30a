//! What a pass tells people: Events on the workloads, each said once.

use std::sync::Arc;

use tracing::warn;

use super::{
    FIELD_MANAGER, Recorder, checks::UNCHECKED, index::InvalidWorkload, member::MemberView, record::Write,
    status::Finish,
};
use crate::{
    api::{PactDeployment, deployment::Check, gate::GateMode},
    decide::messages,
    workload::{RecordKey, Workload, WorkloadRef},
};
use operator_kit::events::{Event, Regarding};

impl Recorder {
    /// Publishes the Events that a pass gives rise to. What is said again is dropped by the sink.
    pub(super) async fn report(
        &self,
        key: &RecordKey,
        members: &[MemberView],
        object: Option<&PactDeployment>,
        finish: &Finish,
    ) {
        for member in members {
            if let Some(event) = event(key, member, finish) {
                self.publish(&regarding(&member.workload, &member.uid), &event).await;
            }
        }
        if members.is_empty()
            && let Some(object) = object
            && let Some(event) = parting(key, finish)
        {
            self.publish(&regarding_memory(object), &event).await;
        }
    }

    /// Tells that a workload's annotations cannot be followed.
    pub(super) async fn report_invalid_workload(&self, invalid: &InvalidWorkload) {
        let note = invalid.problem.to_string();
        let once_key = note.clone();
        let event = Event { reason: invalid.problem.reason(), action: "Record", warning: true, note, once_key };
        self.publish(&regarding(&invalid.workload, &invalid.uid), &event).await;
    }

    /// Tells what was found out about a version that runs: that it would be denied, or that nobody could be asked yet.
    pub(super) async fn report_checked_member(
        &self,
        key: &RecordKey,
        member: &MemberView,
        check: &Check,
        mode: GateMode,
    ) {
        // Who switched the gate off wants the numbers at most.
        if mode == GateMode::Off {
            return;
        }
        let (version, environment_ref) = (&check.version, &key.environment_ref.environment);
        let who = format!("{} {version} in {environment_ref}", key.pacticipant);
        let (reason, note) = match (check.would_deny, mode) {
            (true, GateMode::Enforce) => (
                "RunsUnsafe",
                format!(
                    "{who} would be denied now: {}. It was admitted while nobody could be asked, by somebody who may bypass \
                     the gate, or before the verdict changed",
                    check.message
                ),
            ),
            (true, _) => ("RolloutWouldBeDenied", format!("{who} would be denied: {}", check.message)),
            (false, _) if check.verdict == UNCHECKED => (
                UNCHECKED,
                format!("{who} could not be checked yet: {}. It is checked once the broker answers", check.message),
            ),
            (false, _) => return,
        };
        let note = messages::plain::plain(&note);
        let once_key = format!("{} {version} {}", key.object_name(), check.verdict);
        let event = Event { reason, action: "Check", warning: true, note, once_key };
        self.publish(&regarding(&member.workload, &member.uid), &event).await;
    }

    /// Tells that an object cannot be read.
    pub(super) async fn report_unreadable(&self, regarding: &Regarding, problem: &str) {
        let note = format!(
            "the object cannot be read and is not followed: {problem}; correct it, and have the CRDs of this version of \
             the operator installed"
        );
        let event = Event { reason: "Unreadable", action: "Read", warning: true, note, once_key: problem.to_owned() };
        self.publish(regarding, &event).await;
    }

    /// Warns that a workload's image changed while its version annotation stayed (domain case 14).
    pub(super) async fn report_stale(&self, workload: &Workload) {
        let stated = workload.annotations.version.clone().unwrap_or_default();
        let note = format!(
            "the image changed, but the annotation {} still says {stated}: if that is not what the new image holds, the \
             broker is told the wrong version. Change the annotation with the image, or remove it",
            crate::api::annotations::VERSION
        );
        let images: Vec<_> = workload.containers.iter().map(|container| container.image.as_str()).collect();
        let once_key = format!("{stated} {}", images.join(" "));
        let event = Event { reason: "VersionAnnotationStale", action: "Record", warning: true, note, once_key };
        self.publish(&regarding(&workload.reference, &workload.uid), &event).await;
    }

    async fn publish(&self, regarding: &Regarding, event: &Event<'_>) {
        if let Err(error) = self.events.publish(regarding, event).await {
            warn!(%error, reporting = FIELD_MANAGER, "an Event was not published");
        }
    }

    /// Publishes, while this process leads, what there is to say about workloads whose annotations cannot be followed.
    pub(super) fn report_invalid_workloads_soon(self: &Arc<Self>) {
        if !self.leadership.is_leader() {
            return;
        }
        let invalid_workloads: Vec<_> = self.index().invalid_workloads().cloned().collect();
        let recorder = Arc::clone(self);
        tokio::spawn(async move {
            for invalid in invalid_workloads {
                recorder.report_invalid_workload(&invalid).await;
            }
        });
    }
}

/// The Event on a member that a finish gives rise to.
fn event(key: &RecordKey, member: &MemberView, finish: &Finish) -> Option<Event<'static>> {
    let warning = |reason: &'static str, note: String, once_key: String| {
        Some(Event {
            reason,
            action: "Record",
            warning: true,
            note,
            once_key: format!("{} {once_key}", key.object_name()),
        })
    };
    match finish {
        Finish::Recorded { write: Write::None, .. } => None,
        Finish::Recorded { version, uuid, write } => {
            let put_right = if *write == Write::Correction { "; somebody else's record was put right" } else { "" };
            Some(Event {
                reason: "Recorded",
                action: "Record",
                warning: false,
                note: format!("version {version} of {key} is recorded as deployed{put_right}"),
                once_key: format!("{} {uuid}", key.object_name()),
            })
        }
        Finish::Released { supported, .. } => {
            let version = match &member.version {
                Ok(version) => version,
                Err(problem) => {
                    return warning(
                        problem.reason(),
                        format!("nothing is recorded for {key}: {problem}"),
                        problem.to_string(),
                    );
                }
            };
            let release = supported.iter().find(|recorded| recorded.version == version.as_str())?;
            Some(Event {
                reason: "Recorded",
                action: "Record",
                warning: false,
                note: format!("version {version} of {key} is recorded as released"),
                once_key: format!("{} {}", key.object_name(), release.uuid.clone().unwrap_or_default()),
            })
        }
        Finish::Pending { why, version: Some(version), .. } => match why.reason {
            "VersionMissing" | "PacticipantMissing" => warning(why.reason, why.message.clone(), version.to_string()),
            reason => warning(
                "RecordFailed",
                format!("version {version} of {key} is not recorded yet: {}", why.message),
                format!("{version} {reason}"),
            ),
        },
        Finish::Held(why) => match &member.version {
            Err(problem) => {
                warning(problem.reason(), format!("nothing is recorded for {key}: {problem}"), problem.to_string())
            }
            Ok(_) if why.reason == "Conflicted" => {
                warning("Conflicted", format!("nothing is recorded for {key}: {}", why.message), why.message.clone())
            }
            Ok(_) => None,
        },
        Finish::Waiting { why, .. } if why.reason == "Mixed" && member.rollout.finished() => {
            warning("Mixed", format!("nothing is recorded for {key}: {}", why.message), why.message.clone())
        }
        Finish::Waiting { why, version: Some(version) } if why.reason == "RolloutFailed" => warning(
            why.reason,
            format!("version {version} of {key} is not recorded: {}", why.message),
            version.to_string(),
        ),
        Finish::Contested { why, version } => warning("Contested", why.message.clone(), version.to_string()),
        Finish::Pending { .. }
        | Finish::Waiting { .. }
        | Finish::Orphaned { .. }
        | Finish::Undeployed(_)
        | Finish::Kept(_) => None,
    }
}

/// The Event on the operator's memory when no workload is left to tell.
fn parting(key: &RecordKey, finish: &Finish) -> Option<Event<'static>> {
    let (reason, note, once_key) = match finish {
        Finish::Orphaned { since, until } => (
            "Orphaned",
            format!("no workload runs {key} any more; its record is taken back after {until:.0}"),
            since.to_string(),
        ),
        // Said once for each time: the object's own resource version would differ, the finish's messages do not.
        Finish::Undeployed(why) | Finish::Kept(why) if why.reason != "NothingRecorded" => {
            (why.reason, format!("{key}: {}", why.message), why.message.clone())
        }
        _ => return None,
    };
    Some(Event { reason, action: "Record", warning: false, note, once_key })
}

fn regarding(workload: &WorkloadRef, uid: &str) -> Regarding {
    Regarding {
        api_version: workload.kind.api_version().to_owned(),
        kind: workload.kind.kind().to_owned(),
        namespace: Some(workload.namespace.clone()),
        name: workload.name.clone(),
        uid: uid.to_owned(),
    }
}

fn regarding_memory(object: &PactDeployment) -> Regarding {
    Regarding {
        api_version: format!("{}/{}", crate::api::GROUP, crate::api::API_VERSION),
        kind: "PactDeployment".to_owned(),
        namespace: None,
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
