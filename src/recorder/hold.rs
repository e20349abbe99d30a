//! The reconciler of a workload that is held: resumes it when its version may run, and reports when it may not.
//!
//! Level-triggered: what was reported is noted in the annotation, so a restart repeats nothing and forgets nothing. Each
//! write names the state of the object that was read, and is sent only while this process leads.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use operator_kit::{backoff::Backoff, lease::Leadership};
use tracing::{info, warn};

use super::{
    Settings,
    held_object::{self, HeldObject, Written},
    metrics::RecorderMetrics,
    queue::{Next, Tries},
    report::Reporter,
};
use crate::{
    api::names::Version,
    broker::verdict_of,
    cluster::Cluster,
    decide::{
        Finding, Judgement, Verdict,
        admission::{
            Cause, EnvironmentPolicy, GroupVersionKind, OpenSubject, Operation, Purpose, Review, Scope, User,
            claimants, scope,
        },
        hold::{Step, of_template, step, unclaimed, unclear, unreadable},
    },
    workload::{BrokenRules, Held, Told, Workload, WorkloadRef},
};

/// How soon the broker is asked again, at first.
const SOON: Duration = Duration::from_secs(2);
/// How often it is asked while a result is awaited.
const WAITING: Duration = Duration::from_secs(15);
/// How soon an object is read again of which somebody else wrote a new state.
const CHANGED: Duration = Duration::from_millis(200);

/// What there is to know of a workload that is held.
enum Asked {
    /// What each environment finds.
    Found(Vec<(OpenSubject, Finding)>),
    /// It cannot be asked about; this is why.
    Nothing(&'static str),
    /// This is why nobody can say that it may run.
    Unclear(String),
    /// What watches have not reported yet.
    NotYet,
}

/// The reconciler; see the module documentation.
pub(super) struct HoldReconciler {
    pub(super) cluster: Arc<Cluster>,
    pub(super) leadership: Leadership,
    pub(super) reporter: Reporter,
    pub(super) metrics: RecorderMetrics,
    pub(super) settings: Arc<Settings>,
}

impl HoldReconciler {
    /// Looks at a workload with our annotation; returns when to look again although nothing changes.
    pub(super) async fn reconcile(&self, reference: &WorkloadRef, mut tries: Tries) -> Next {
        if !self.settings.holds {
            return Next::wait();
        }
        let retry = Backoff { min: self.settings.retry_min, max: self.settings.retry_max };
        let object = match held_object::read(&self.cluster.client, reference).await {
            Ok(Some(object)) => object,
            Ok(None) => {
                self.cluster.holds.remove(reference);
                return Next::wait();
            }
            Err(why) => {
                warn!(%reference, why, "a workload that is held cannot be read");
                return Next::retry(tries.delay(retry, "read"), tries);
            }
        };
        if object.workload.annotations.held.is_none() || object.workload.deleting {
            return Next::wait();
        }
        if !object.workload.paused {
            return self.resumed_by_hand(&object, tries).await;
        }
        let (held, now) = (Held::of(&object.workload), Timestamp::now());
        let step = match (self.ask(&object.workload, held.as_ref()).await, &held) {
            (Asked::NotYet, _) => return Next::retry(tries.delay(retry, "not asked"), tries),
            (Asked::Found(found), None) => unreadable(version_of(&found), &found, now),
            (_, None) => unreadable(None, &[], now),
            // Nobody can say yes to it: it stays as it is, and that is said once.
            (Asked::Nothing(_), Some(held)) if held.told.is_some() => Step::Wait,
            (Asked::Nothing(why), Some(_)) => Step::Tell(Told::Overdue, why.to_owned()),
            (Asked::Unclear(why), Some(held)) => unclaimed(held, &why, now),
            (Asked::Found(found), Some(held)) => step(held, version_of(&found), &found, now),
        };
        let is_template = || self.cluster.index().is_template(reference);
        let step = match &held {
            Some(held) if is_template() => of_template(step, held),
            _ => step,
        };
        let written = match (&step, &held) {
            (Step::Resume, Some(held)) => self.resume(&object, held).await,
            (Step::Mark(anew), _) => self.note(&object, anew).await,
            (Step::Tell(told, why), Some(held)) => self.tell(&object, held, *told, why).await,
            _ => {
                let told = held.is_none_or(|held| held.told.is_some());
                let longest = if told { self.settings.retry_max.max(WAITING) } else { WAITING };
                let wait = Backoff { min: SOON, max: longest.min(self.settings.resync_period.max(SOON)) };
                return Next::retry(tries.delay(wait, "wait"), tries);
            }
        };
        match written {
            // The watch reports the new state, and this is looked at again.
            Ok(Written::Done | Written::NotLeading) => Next::wait(),
            Ok(Written::Changed) => Next::after(CHANGED),
            Err(why) => {
                warn!(%reference, why, "a workload that is held cannot be written");
                Next::retry(tries.delay(retry, "write"), tries)
            }
        }
    }

    /// What each environment of the workload finds now.
    async fn ask(&self, workload: &Workload, held: Option<&Held>) -> Asked {
        // Other keys of ours on it would make it one to judge, and a judgement about nobody has nothing against it.
        if !workload.annotated() {
            return Asked::Nothing("it no longer says which pacticipant it is");
        }
        let subjects = {
            let index = self.cluster.index();
            let Some(mapping) = index.mapping(&workload.reference.namespace) else { return Asked::NotYet };
            let whereabouts = mapping.into();
            let (review, environments) = (review(workload), index.environments());
            let followed = |object: &str| environments.get(object).is_some_and(can_be_followed);
            if let Some(why) = unclear(held, claimants(&whereabouts).map(|(object, _)| object), followed) {
                return Asked::Unclear(why);
            }
            let recorded = self.cluster.recorded();
            match scope(&review, &whereabouts, |it| environments.get(it), |at, it| recorded.of(at, it)) {
                Scope::Judged { subjects, .. } => subjects,
                Scope::Unjudged(_) => return Asked::Nothing("it cannot be judged"),
            }
        };
        let mut found = Vec::with_capacity(subjects.len());
        for open in subjects {
            let cause = match open.question(Timestamp::now()) {
                Err(cause) => cause,
                Ok(question) => Cause::Judged(match self.cluster.brokers.judge(&open.subject.environment_ref.broker) {
                    Err(why) => Judgement::without_pairs(Verdict::BrokerUnavailable, why.message),
                    Ok(judge) => judge.judge(&question).await.unwrap_or_else(|error| verdict_of(&error)),
                }),
            };
            let finding = open.clone().finding(cause);
            found.push((open, finding));
        }
        Asked::Found(found)
    }

    async fn resume(&self, object: &HeldObject, held: &Held) -> Result<Written, String> {
        let written = object.resume(&self.cluster.client, &self.leadership).await?;
        if written == Written::Done {
            let reference = &object.workload.reference;
            info!(%reference, version = %held.version, "a rollout that was held is resumed: its version may run");
            self.metrics.hold_ended("Yes");
            let note = format!("{} may run: resumed after it was held since {}", held.version, held.since);
            self.reporter.rollout_resumed(&object.workload, held, note).await;
        }
        Ok(written)
    }

    /// Somebody resumed it: the annotation says nothing any more, and must not make a later pause of its owner ours.
    async fn resumed_by_hand(&self, object: &HeldObject, mut tries: Tries) -> Next {
        let written = object.note(&self.cluster.client, &self.leadership, None).await;
        match written {
            Ok(Written::Done) => {
                let reference = &object.workload.reference;
                warn!(%reference, "a rollout that was held was resumed by hand");
                self.metrics.hold_ended("ByHand");
                let known = object.workload.annotations.held.as_deref().and_then(Held::parse);
                if let Some(held) = known {
                    let note = format!("{} was held since {} and was resumed by hand", held.version, held.since);
                    self.reporter.rollout_resumed(&object.workload, &held, note).await;
                }
                Next::wait()
            }
            Ok(Written::NotLeading) => Next::wait(),
            Ok(Written::Changed) => Next::after(CHANGED),
            Err(why) => {
                warn!(reference = %object.workload.reference, why, "the annotation of a hold that ended cannot be removed");
                let retry = Backoff { min: self.settings.retry_min, max: self.settings.retry_max };
                Next::retry(tries.delay(retry, "write"), tries)
            }
        }
    }

    async fn note(&self, object: &HeldObject, held: &Held) -> Result<Written, String> {
        object.note(&self.cluster.client, &self.leadership, Some(held)).await
    }

    /// Reports, and notes that it was reported. In this order, so that nothing stays unsaid: the sink drops what it said.
    async fn tell(&self, object: &HeldObject, held: &Held, told: Told, why: &str) -> Result<Written, String> {
        if !self.leadership.is_leader() {
            return Ok(Written::NotLeading);
        }
        let reference = &object.workload.reference;
        warn!(%reference, version = %held.version, told = told.name(), why, "a rollout stays held");
        self.reporter.hold_told(&object.workload, held, told, why).await;
        let written = self.note(object, &Held { told: Some(told), ..held.clone() }).await?;
        if written == Written::Done {
            self.metrics.hold_told(told);
        }
        Ok(written)
    }
}

/// Whether anything is found out of an environment's workloads.
fn can_be_followed(policy: &Result<EnvironmentPolicy, Box<BrokenRules>>) -> bool {
    policy.as_ref().map_or_else(|broken| broken.usual_rules().is_some(), |_| true)
}

/// The version that a workload would run, by what its environments find.
fn version_of(found: &[(OpenSubject, Finding)]) -> Option<&Version> {
    found.iter().find_map(|(open, _)| Some(&open.subject.identified.as_ref().ok()?.version))
}

/// A workload as if it were created now: nothing of it is known to be fine because it runs already.
fn review(workload: &Workload) -> Review {
    let kind = workload.reference.kind;
    let [group, version, kind] = [kind.group(), kind.version(), kind.kind()].map(str::to_owned);
    Review {
        uid: String::new(),
        kind: GroupVersionKind { group, version, kind },
        subresource: false,
        namespace: workload.reference.namespace.clone(),
        name: workload.reference.name.clone(),
        operation: Operation::Create,
        user: User::default(),
        dry_run: true,
        purpose: Purpose::Ordinary,
        field_manager: None,
        old: None,
        old_waits: false,
        new: Ok(workload.clone()),
    }
}
