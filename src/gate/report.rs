//! What a decision leaves behind: a log line, counts, and Events on the workload. Nobody waits for it.
//!
//! Reviews repeat: Flux asks again at each retry, Argo CD at each attempt, a dry-run before each real one. So counts and
//! Events are once for each workload, version and verdict; each review leaves a log line.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::sync::{Semaphore, TryAcquireError};
use tracing::{info, warn};

use super::Gate;
use crate::{
    api::{annotations::DENIED, gate::GateAction},
    broker::questions::Source,
    decide::{
        Decision, Finding, Outcome, Problem, Reason,
        admission::{Bypass, Cause, Review, Spared, Unjudged},
        announcement::Denial,
        messages,
    },
    workload::NotOwned,
};
use operator_kit::{
    events::{Event, Regarding},
    recently::Recently,
};

/// How many decisions are remembered as reported, at least.
const REMEMBERED: usize = 5_000;
/// For how long after one was found last, at least.
const REMEMBERED_FOR: Duration = Duration::from_mins(30);
/// How many reviews' Events may be under way at once; more are dropped and counted, never waited for.
pub(super) const REPORTS_AT_ONCE: usize = 64;

/// What was counted already, by a hash of what makes it the same.
pub(super) struct Reported {
    once: Recently,
    hasher: RandomState,
}

impl Reported {
    pub(super) fn new() -> Self {
        Self { once: Recently::new(REMEMBERED, REMEMBERED_FOR), hasher: RandomState::new() }
    }

    /// Whether this was not found lately.
    fn first(&self, key: &str) -> bool {
        self.once.insert(self.hasher.hash_one(key))
    }
}

impl Gate {
    /// Logs and counts a decision, and has its Events published.
    pub(super) fn report(&self, review: &Review, decision: &Decision, sources: &[Source]) {
        if let Bypass::Counts(statement) = &decision.bypass {
            let (uid, namespace, name) = (&review.uid, &review.namespace, review.object_name());
            let user = messages::shortened(&messages::one_line(&review.user.username), 128);
            let (version, reason) = (statement.version.as_str(), messages::one_line(&statement.reason));
            warn!(uid, namespace, name, user, dry_run = review.dry_run, version, reason, "the gate is bypassed");
            self.metrics.bypassed();
        }
        for finding in &decision.findings {
            log(review, finding);
            if self.reported.first(&once(review, finding)) {
                self.metrics.decided(finding);
            }
        }
        self.metrics.sources(sources);
        // A dry-run that is admitted changes nothing, and the real request that follows is reported. One that is denied
        // is all that there ever is of a rollout by Flux.
        if review.dry_run && decision.outcome != Outcome::Denied {
            return;
        }
        let annotations = |finding| if self.announces_denials { annotations(review, finding) } else { BTreeMap::new() };
        let annotated = |finding| Some((self.event(review, finding)?, annotations(finding)));
        let events: Vec<_> = decision.findings.iter().filter_map(annotated).collect();
        if !events.is_empty() {
            self.publish(review, events);
        }
    }

    /// Has an Event published about a workload of a kind that is not handled (case 86): nobody else finds it.
    pub(super) fn report_unjudged(&self, review: &Review, why: &Unjudged) {
        let Unjudged::OtherKind(kind) = why else { return };
        if review.dry_run {
            return;
        }
        let note = messages::sanitize(&messages::one_line(&why.sentence().unwrap_or_default()));
        let (reason, once_key) = (Reason::KindNotHandled.as_str(), kind.clone());
        let event = Event { reason, action: "Check", warning: true, note, once_key };
        self.publish(review, vec![(event, BTreeMap::new())]);
    }

    /// Has Events about the workload of a review published. Nobody waits for it.
    fn publish(&self, review: &Review, events: Vec<(Event<'static>, BTreeMap<String, String>)>) {
        self.publish_about(regarding(review), events);
    }

    /// Has Events about an object published. Nobody waits for it.
    pub(super) fn publish_about(&self, regarding: Regarding, events: Vec<(Event<'static>, BTreeMap<String, String>)>) {
        let permit = match std::sync::Arc::clone(&self.reports).try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                self.metrics.events_dropped();
                return;
            }
        };
        let sink = self.events.clone();
        tokio::spawn(async move {
            let _permit = permit;
            for (event, annotations) in events {
                if let Err(error) = sink.publish_annotated(&regarding, &event, annotations).await {
                    warn!(%error, "an Event was not published");
                }
            }
        });
    }

    fn event(&self, review: &Review, finding: &Finding) -> Option<Event<'static>> {
        let reason = match (&finding.cause, finding.action, finding.wanted) {
            _ if finding.spared == Some(Spared::Held) => Reason::RolloutHeld,
            _ if finding.spared == Some(Spared::ByHand) => Reason::RolloutResumed,
            (_, GateAction::Deny, _) => Reason::RolloutDenied,
            // In no mode is it silent: the controller cannot find out afterwards that nothing was asked.
            (Cause::Unclear(_), _, _) => Reason::RolloutUnchecked,
            (_, _, GateAction::Deny) => Reason::RolloutWouldBeDenied,
            (_, GateAction::Warn, _) => Reason::RolloutWarned,
            _ => return None,
        };
        Some(Event {
            reason: reason.as_str(),
            action: "Check",
            warning: true,
            note: messages::note(finding, self.link(finding)),
            once_key: once(review, finding),
        })
    }
}

/// What the controller announces of a denial, and what it has verified of that or of a hold. Where nobody can tell which
/// application it is about, there is nothing to announce it under.
fn annotations(review: &Review, finding: &Finding) -> BTreeMap<String, String> {
    if finding.action != GateAction::Deny && finding.spared != Some(Spared::Held) {
        return BTreeMap::new();
    }
    let (pacticipant, version) = match &finding.subject.identified {
        Ok(identified) => (&identified.pacticipant, identified.version.to_string()),
        Err(Problem::Version { pacticipant, .. } | Problem::NotOwned(NotOwned { pacticipant, .. })) => {
            (pacticipant, String::new())
        }
        Err(Problem::Identity(_)) => return BTreeMap::new(),
    };
    let denial = Denial {
        broker: finding.subject.environment_ref.broker.clone(),
        environment: finding.subject.environment_ref.environment.to_string(),
        pacticipant: pacticipant.to_string(),
        version,
        user: messages::shortened(&messages::one_line(&review.user.username), 128),
    };
    BTreeMap::from([(DENIED.to_owned(), denial.text())])
}

/// What makes a finding the same when it is found again.
pub(super) fn once(review: &Review, finding: &Finding) -> String {
    let version = match &finding.subject.identified {
        Ok(it) => format!("{} {}", it.pacticipant, it.version),
        Err(_) => messages::sentence(finding),
    };
    let (environment_ref, verdict) = (&finding.subject.environment_ref, finding.cause.name());
    let (kind, namespace) = (&review.kind.kind, &review.namespace);
    let done = match finding.spared {
        None => format!("{:?}", finding.action),
        Some(spared) => format!("{spared:?}"),
    };
    format!("{kind} {namespace}/{} {version} {environment_ref} {verdict} {done}", review.object_name())
}

fn log(review: &Review, finding: &Finding) {
    let verdict = finding.cause.name();
    let (action, wanted) = (finding.action, finding.wanted);
    let sentence = messages::sentence(finding);
    let (uid, namespace, name) = (&review.uid, &review.namespace, review.object_name());
    let user = messages::shortened(&messages::one_line(&review.user.username), 128);
    let mode = finding.mode.name();
    if action == GateAction::Allow && wanted == GateAction::Allow {
        info!(uid, namespace, name, user, dry_run = review.dry_run, verdict, ?action, mode, "{sentence}");
    } else {
        warn!(uid, namespace, name, user, dry_run = review.dry_run, verdict, ?action, ?wanted, mode, "{sentence}");
    }
}

/// The workload. One that is being created has no uid that will last if it is denied.
fn regarding(review: &Review) -> Regarding {
    Regarding {
        api_version: match review.kind.group.as_str() {
            "" => review.kind.version.clone(),
            group => format!("{group}/{}", review.kind.version),
        },
        kind: review.kind.kind.clone(),
        namespace: Some(review.namespace.clone()),
        name: review.object_name().to_owned(),
        uid: review.old.as_ref().map(|old| old.uid.clone()).unwrap_or_default(),
    }
}

/// One permit for each review whose Events may be under way.
pub(super) fn permits() -> std::sync::Arc<Semaphore> {
    std::sync::Arc::new(Semaphore::new(REPORTS_AT_ONCE))
}
