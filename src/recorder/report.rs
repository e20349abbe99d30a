//! The Events on workloads and on the operator's own objects.

use std::sync::Arc;

use operator_kit::{
    events::{Event, EventSink, Regarding},
    lease::Leadership,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::warn;

use super::verdicts::UNCHECKED;
use crate::{
    api::{
        PactDeployment,
        deployment::{ANNOUNCEMENTS_LIMIT, Check},
        gate::GateMode,
    },
    cluster::{
        Cluster, FIELD_MANAGER,
        index::{InvalidWorkload, StrayKeys},
        records::regarding as regarding_record,
    },
    decide::{
        Problem, Reason, messages, owners,
        record::{MemberView, RecordState, counted, events, stated},
        stray_keys,
    },
    workload::{Held, RecordKey, StaleSource, Told, VersionSource, Workload, WorkloadRef},
};

/// How many passes may write Events and statuses at once: many rollouts that finish together are recorded at the
/// broker's pace, and their reports in the cluster follow.
const REPORTS_AT_ONCE: usize = 8;

/// Publishes Events. Cheap to clone.
#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) leadership: Leadership,
    events: EventSink,
    permits: Arc<Semaphore>,
}

impl Reporter {
    pub(super) fn new(events: EventSink, leadership: Leadership) -> Self {
        Self { leadership, events, permits: Arc::new(Semaphore::new(REPORTS_AT_ONCE)) }
    }

    /// Waits for a permit to report. The semaphore is never closed, so every report has a permit.
    pub(super) async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.acquire().await.ok()
    }

    /// A permit to report, if one is free now.
    pub(super) fn permit_now(&self) -> Option<SemaphorePermit<'_>> {
        self.permits.try_acquire().ok()
    }

    /// Publishes the Events of a pass. The sink drops repeated ones.
    pub(super) async fn record(
        &self,
        key: &RecordKey,
        members: &[MemberView],
        object: Option<&PactDeployment>,
        state: &RecordState,
    ) {
        for member in members {
            if let Some(event) = events::event(key, member, state) {
                self.publish(&regarding(&member.workload, &member.uid), &event).await;
            }
            self.bypassed(key, member).await;
        }
        if counted(members).is_empty()
            && let Some(object) = object
            && let Some(event) = events::last_event(key, state)
        {
            self.publish(&regarding_record(object), &event).await;
        }
    }

    /// Reports that announcements were dropped before all sinks had them.
    pub(super) async fn dropped(&self, object: &PactDeployment, dropped: usize, newest: i64) {
        let note = format!(
            "{dropped} announcements were dropped before every sink had them, because more than {ANNOUNCEMENTS_LIMIT} waited: \
             does a sink not answer? The log of the leading controller says why"
        );
        let once_key = newest.to_string();
        let reason = Reason::AnnouncementsDropped.as_str();
        let event = Event { reason, action: "Announce", warning: true, note, once_key };
        self.publish(&regarding_record(object), &event).await;
    }

    /// Reports that a member runs a version by its statement: nobody else does, for the webhook may not have been called.
    async fn bypassed(&self, key: &RecordKey, member: &MemberView) {
        let Some(statement) = &member.bypass else { return };
        let note = format!(
            "{}. It is judged afterwards: kubectl get pactdep {}. The statement ends with the next version; remove it then",
            stated(member, statement),
            key.object_name()
        );
        let reason = Reason::RolloutBypassed.as_str();
        let once_key = format!("{} {} {}", key.object_name(), statement.version, statement.reason);
        let event = Event { reason, action: "Check", warning: true, note, once_key };
        self.publish(&regarding(&member.workload, &member.uid), &event).await;
    }

    /// Reports that a workload that was held goes on.
    pub(super) async fn rollout_resumed(&self, workload: &Workload, held: &Held, note: String) {
        let (reason, once_key) = (Reason::RolloutResumed.as_str(), held.to_string());
        let event = Event { reason, action: "Hold", warning: false, note, once_key };
        self.publish(&regarding(&workload.reference, &workload.uid), &event).await;
    }

    /// Reports that a workload stays held: the answer is no, or there is none for too long.
    pub(super) async fn hold_told(&self, workload: &Workload, held: &Held, told: Told, why: &str) {
        let (version, since) = (&held.version, held.since);
        let (reason, note) = match told {
            Told::Refused => (
                Reason::HoldRefused,
                format!(
                    "held, and the answer is no: {why}. The old pods serve on. It resumes by itself once the answer is \
                     yes; otherwise apply another version"
                ),
            ),
            Told::Overdue => (
                Reason::HoldOverdue,
                format!(
                    "held since {since}, and nothing lets it go yet: {why}. Its own old pods stay. It resumes by itself once \
                     {version} may run; by hand: kubectl rollout resume"
                ),
            ),
        };
        let (note, once_key) = (messages::sanitize(&note), format!("{version} {since} {}", told.name()));
        let event = Event { reason: reason.as_str(), action: "Hold", warning: true, note, once_key };
        self.publish(&regarding(&workload.reference, &workload.uid), &event).await;
    }

    /// Reports what is wrong with a workload's annotations.
    pub(super) async fn invalid_workload(&self, invalid: &InvalidWorkload) {
        for (object, problem) in &invalid.problems {
            let note = match problem {
                Problem::NotOwned(problem) => owners::note(object, problem),
                Problem::Identity(_) | Problem::Version { .. } => problem.to_string(),
            };
            let once_key = note.clone();
            let reason = Reason::from(problem).as_str();
            let event = Event { reason, action: "Record", warning: true, note, once_key };
            self.publish(&regarding(&invalid.workload, &invalid.uid), &event).await;
        }
    }

    /// Reports keys of a workload that look like ours and mean nothing (case 85).
    pub(super) async fn stray_keys(&self, stray: &StrayKeys) {
        for key in &stray.keys {
            let note = stray_keys::sentence(key);
            let once_key = note.clone();
            let event = Event { reason: Reason::KeyIgnored.as_str(), action: "Record", warning: true, note, once_key };
            self.publish(&regarding(&stray.workload, &stray.uid), &event).await;
        }
    }

    /// Reports a verdict on a running version: that it would be denied, or that it could not be checked yet.
    pub(super) async fn checked_member(&self, key: &RecordKey, member: &MemberView, check: &Check, mode: GateMode) {
        // With the gate off, the metrics are enough.
        if mode == GateMode::Off {
            return;
        }
        let (version, environment) = (&check.version, &key.environment_ref.environment);
        let subject = format!("{} {version} in {environment}", key.pacticipant);
        let (reason, note) = match (check.would_deny, mode) {
            (true, GateMode::Enforce) => (
                Reason::RunsUnsafe.as_str(),
                format!(
                    "{subject} would be denied now: {}. It was admitted while nobody could be asked, by its \
                     statement pact-operator.dev/bypass, or before the verdict changed",
                    check.message
                ),
            ),
            (true, _) => {
                (Reason::RolloutWouldBeDenied.as_str(), format!("{subject} would be denied: {}", check.message))
            }
            (false, _) if check.verdict == UNCHECKED => (
                UNCHECKED,
                format!("{subject} could not be checked yet: {}. It is checked once the broker answers", check.message),
            ),
            (false, _) => return,
        };
        let note = messages::sanitize(&note);
        let once_key = format!("{} {version} {}", key.object_name(), check.verdict);
        let event = Event { reason, action: "Check", warning: true, note, once_key };
        self.publish(&regarding(&member.workload, &member.uid), &event).await;
    }

    /// Reports that an object cannot be decoded.
    pub(super) async fn unreadable(&self, regarding: &Regarding, problem: &str) {
        let note = format!(
            "the object cannot be read and is not followed: {problem}; correct it, and have the CRDs of this version of \
             the operator installed"
        );
        let event = Event {
            reason: Reason::Unreadable.as_str(),
            action: "Read",
            warning: true,
            note,
            once_key: problem.to_owned(),
        };
        self.publish(regarding, &event).await;
    }

    /// Warns that a workload's image changed while its version annotation stayed (case 14).
    pub(super) async fn stale_version(&self, workload: &Workload, stale: &StaleSource) {
        let stated = &stale.stated;
        let source = match stale.source {
            VersionSource::Label => format!("the label {}", crate::api::annotations::VERSION_LABEL),
            _ => format!("the annotation {}", crate::api::annotations::VERSION),
        };
        let note = format!(
            "the image changed, but {source} still says {stated}: if that is not what the new image holds, the wrong \
             version is recorded. Change it with the image, or remove it"
        );
        let images: Vec<_> = workload.containers.iter().map(|container| container.image.as_str()).collect();
        let once_key = format!("{stated} {}", images.join(" "));
        let event =
            Event { reason: Reason::VersionAnnotationStale.as_str(), action: "Record", warning: true, note, once_key };
        self.publish(&regarding(&workload.reference, &workload.uid), &event).await;
    }

    async fn publish(&self, regarding: &Regarding, event: &Event<'_>) {
        if let Err(error) = self.events.publish(regarding, event).await {
            warn!(%error, reporting = FIELD_MANAGER, "an Event was not published");
        }
    }

    /// Publishes, while this process leads, the Events about workloads with invalid annotations, or with keys that mean
    /// nothing.
    pub(super) fn mistaken_workloads_soon(&self, cluster: &Cluster) {
        if !self.leadership.is_leader() {
            return;
        }
        let (invalid_workloads, strays): (Vec<_>, Vec<_>) = {
            let index = cluster.index();
            (index.invalid_workloads().cloned().collect(), index.stray_keys().cloned().collect())
        };
        let reporter = self.clone();
        tokio::spawn(async move {
            for invalid in invalid_workloads {
                reporter.invalid_workload(&invalid).await;
            }
            for stray in strays {
                reporter.stray_keys(&stray).await;
            }
        });
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{api::names::Pacticipant, decide::record::fixtures::key, workload::WorkloadKind};

    #[test]
    fn an_event_is_about_the_observed_object() {
        let workload = WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".into(), name: "a".into() };
        let about = regarding(&workload, "u-1");
        assert_eq!(
            (about.api_version.as_str(), about.kind.as_str(), about.uid.as_str()),
            ("apps/v1", "Deployment", "u-1")
        );
        assert_eq!((about.namespace.as_deref(), about.name.as_str()), (Some("shop"), "a"));
        let key = RecordKey { pacticipant: Pacticipant::parse("Order Service").unwrap(), ..key("production", "x") };
        let mut record = PactDeployment::new(&key.object_name(), key.spec());
        record.metadata.uid = Some("u-2".into());
        let about = regarding_record(&record);
        assert_eq!((about.kind.as_str(), about.namespace, about.name), ("PactDeployment", None, key.object_name()));
        assert_eq!(about.api_version, "pact-operator.dev/v1alpha1");
    }
}
