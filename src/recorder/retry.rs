//! What becomes of a record that could not be written: when it is tried again, and what the status says until then.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use operator_kit::backoff::Backoff;
use tokio::time::Instant;
use tracing::warn;

use super::{
    queue::{Task, Tries},
    record::RecordReconciler,
    waiting::Again,
};
use crate::{
    api::names::Version,
    decide::{
        Explanation, Reason,
        record::{Facts, Failure, MemberView, RecordState, Refused},
    },
    workload::RecordKey,
};

/// How long the status says when the next try is. What has lasted longer is tried at growing intervals; the status says
/// that, once.
const QUICK: Duration = Duration::from_secs(45);
/// After so many tries, only a person can bring about that the broker keeps a record.
const NOT_KEPT_TRIES: u32 = 5;

/// A record that could not be written.
pub(super) struct NotDone {
    pub(super) why: Explanation,
    pub(super) version: Option<Version>,
    /// How long the broker asked to wait at least.
    pub(super) at_least: Option<Duration>,
}

impl RecordReconciler {
    /// The state of a record that could not be written, and when it is assessed again.
    pub(super) fn not_done(
        &self,
        facts: &Facts<'_>,
        not_done: NotDone,
        now: Timestamp,
        tries: &mut Tries,
    ) -> (RecordState, Timestamp) {
        let again = self.again(facts, &not_done, tries);
        let next_try = again.quick.then(|| later(now, again.after.max(QUICK)));
        (RecordState::Pending { why: not_done.why, version: not_done.version, next_try }, later(now, again.after))
    }

    fn again(&self, facts: &Facts<'_>, not_done: &NotDone, tries: &mut Tries) -> Again {
        let (now, key) = (Instant::now(), facts.key);
        let (task, versions) = (Task::Record(key.clone()), facts.wanted());
        if facts.still_refused(&versions).is_some()
            && let Some(again) = self.waiting.again(&task, now)
        {
            self.schedule.publications(&key.environment_ref.broker);
            return again;
        }
        let NotDone { why, version, at_least } = not_done;
        self.writes.metrics.pending.inc();
        warn!(%key, reason = %why.reason, "{}", why.message);
        let not_kept = why.reason == Reason::RecordNotKept && tries.times() >= NOT_KEPT_TRIES;
        if (why.reason.waits_for_a_person() || not_kept) && facts.broker.is_none() && !versions.is_empty() {
            let (again, changed) = self.waiting.refused(&task, Refused { versions, why: why.clone() }, now);
            if why.reason.waits_for_a_publication() {
                // It is looked for once, for both.
                self.waiting.leave(&Task::Verdict(key.clone()));
                self.schedule.publications(&key.environment_ref.broker);
            }
            if changed {
                self.schedule.queue.now(Task::Verdict(key.clone()));
            }
            return Again { after: at_least.map_or(again.after, |asked| asked.max(again.after)), ..again };
        }
        self.waiting.leave(&task);
        let quick = tries.lasting(cause(version.as_ref())) < QUICK;
        Again { after: self.delay(tries, version.as_ref(), *at_least), quick }
    }

    /// A record that waited for a person waits no longer: its verdict may be another, too, and a right that it lacked is
    /// there for others.
    pub(super) fn waits_no_longer(&self, key: &RecordKey, members: &[MemberView], recorded: bool) {
        let Some(reason) = self.waiting.leave(&Task::Record(key.clone())) else { return };
        if !members.is_empty() {
            self.schedule.queue.now(Task::Verdict(key.clone()));
        }
        if recorded && reason.lacks_a_right() {
            self.schedule.try_again(&key.environment_ref.broker, |other| other == reason);
        }
    }

    /// Looks whether a version was published meanwhile that a key waits for: one request instead of those of a whole try.
    /// `None` when it was, or when that cannot be found out so cheaply.
    pub(super) async fn still_missing(&self, facts: &Facts<'_>) -> Option<Failure> {
        let Refused { versions, why } = self.waiting.of(&Task::Record(facts.key.clone()))?;
        let version = versions.first().filter(|_| versions.len() == 1 && versions == facts.wanted())?;
        if !why.reason.waits_for_a_publication() {
            return None;
        }
        let broker = self.cluster.brokers.get(&facts.key.environment_ref.broker).ok()?;
        let there = broker.version_exists(&facts.key.pacticipant, version).await;
        matches!(there, Ok(false)).then_some(Failure { why, retry_after: None })
    }

    /// The delay before the next try: it doubles with each try for the same version, with jitter, and is never shorter
    /// than the broker asked for.
    pub(super) fn delay(&self, tries: &mut Tries, version: Option<&Version>, at_least: Option<Duration>) -> Duration {
        let backoff = Backoff { min: self.settings.retry_min, max: self.settings.retry_max };
        let delay = tries.delay(backoff, cause(version));
        // Jitter is added to the broker's delay, or all callers would return at the same moment.
        at_least.map_or(delay, |asked| asked + delay.min(self.settings.retry_min))
    }
}

fn cause(version: Option<&Version>) -> String {
    version.map_or_else(|| "record".to_owned(), |version| format!("record {version}"))
}

/// The time after a delay, or the last one that there is.
pub(super) fn later(now: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay).ok().and_then(|delay| now.checked_add(delay).ok()).unwrap_or(Timestamp::MAX)
}
