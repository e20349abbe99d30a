//! One pass over a record key, from its members to its status: act, remember, tell.

use std::{collections::BTreeSet, sync::PoisonError, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Recorder,
    check::TOGETHER,
    member::MemberView,
    queue::{Next, Slot, Task},
    record::{Outcome, Write},
    status::{Finish, status},
};
use crate::{
    api::{PactDeployment, PactDeploymentStatus, condition::Explanation, names::Version},
    workload::RecordKey,
};
use operator_kit::backoff::{Backoff, entropy};

/// How soon to look again when the world moved while we looked: the watch is about to tell, this is in case it does not.
const MOVED_AGAIN: Duration = Duration::from_secs(1);
/// How many passes may write Events and statuses at once: many rollouts that end together are recorded at the broker's
/// own pace, and what is told of them in the cluster follows.
pub(super) const REPORTS_AT_ONCE: usize = 8;

/// When to try again to tell of a rollout under way while there is much else to tell.
const REPORT_LATER: Duration = Duration::from_secs(1);

impl Recorder {
    /// Looks at a key and does what is due; answers when to look again though nothing changes.
    pub(super) async fn pass(&self, key: &RecordKey, slot: Slot) -> Next {
        let now = Timestamp::now();
        let members: Vec<_> = self.index().members(key).into_iter().map(|member| member.at(now)).collect();
        let object = self.records.get(key);
        self.begin_check(key, &members);
        let (finish, look_again) = match self.compare_and_act(key, &members, object.as_deref()).await {
            Outcome::Moved => return Some(MOVED_AGAIN),
            Outcome::Later => return None,
            Outcome::Unchanged => {
                self.tries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
                return if never_recorded(object.as_deref()) {
                    self.forget(key, object.as_deref()).await
                } else {
                    None
                };
            }
            Outcome::Finished(finish, look_again) => {
                self.tries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
                (finish, look_again)
            }
            Outcome::Troubled { why, version, retry_after } => {
                let delay = self.next_delay(key, version.as_ref(), retry_after);
                let next_try = later(now, delay);
                (Finish::Pending { why, version, next_try }, Some(next_try))
            }
        };
        self.log(key, &finish);
        // The broker is told of the next key while the cluster is told of this one.
        drop(slot);
        if matches!(finish, Finish::Undeployed(_)) && never_recorded(object.as_deref()) {
            return self.forget(key, object.as_deref()).await;
        }
        let next = look_again.map(|at| until(now, at));
        if let Some(quiet) = self.still_quiet(key, &finish, object.as_deref(), &members) {
            return Some(next.map_or(quiet, |next| next.min(quiet)));
        }
        if matches!(&finish, Finish::Recorded { write, .. } if *write != Write::None) {
            self.check_again_if_no(key);
            self.checks.settled(key, TOGETHER).await;
        }
        let environment_ref = if matches!(finish, Finish::Waiting { .. }) {
            // That a rollout is under way can be told later: the pass that finds it finished must not wait for that.
            match self.reports.try_acquire() {
                Ok(environment_ref) => Some(environment_ref),
                Err(_) => return Some(next.map_or(REPORT_LATER, |next| next.min(REPORT_LATER))),
            }
        } else {
            // It is never closed, so nobody tells without a place.
            self.reports.acquire().await.ok()
        };
        // Told before it is remembered: should the status not be written, the next pass finds nothing left to tell.
        self.report(key, &members, object.as_deref(), &finish).await;
        let mut after = status(object.as_deref(), &members, &finish, now);
        if !members.is_empty() {
            after.checks = self.checks.of(key);
        } else if matches!(finish, Finish::Undeployed(_) | Finish::Kept(_)) {
            after.checks.clear();
        }
        if object.as_ref().and_then(|object| object.status.as_ref()) != Some(&after) {
            if live(object.as_ref().and_then(|object| object.status.as_ref())) != live(Some(&after)) {
                self.environment_changed(&key.environment_ref, &BTreeSet::from([key.pacticipant.to_string()]));
            }
            if let Err(error) = self.records.write(key, object.as_deref(), after).await {
                if !error.is_conflict() {
                    warn!(%key, %error, "the PactDeployment {} cannot be written", key.object_name());
                }
                return Some(self.next_delay(key, None, None));
            }
            self.touch_environments(key);
        }
        drop(environment_ref);
        next
    }

    /// The delay before the next try: it doubles with each try for the same version, with jitter, and is never shorter
    /// than the broker asked for.
    fn next_delay(&self, key: &RecordKey, version: Option<&Version>, retry_after: Option<Duration>) -> Duration {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = tries.entry(key.clone()).or_default();
        if entry.1.as_ref() != version {
            *entry = (0, version.cloned());
        }
        let delay = Backoff { min: self.settings.retry_min, max: self.settings.retry_max }.delay(entry.0, entropy());
        entry.0 = entry.0.saturating_add(1);
        // Jitter on top of what was asked for, or all callers would come back at the same moment.
        retry_after.map_or(delay, |asked| asked + delay.min(self.settings.retry_min))
    }

    /// How long the status may still leave out that a rollout is under way. `None` when it should be written now.
    fn still_quiet(
        &self,
        key: &RecordKey,
        finish: &Finish,
        object: Option<&PactDeployment>,
        members: &[MemberView],
    ) -> Option<Duration> {
        let mut quiet = self.quiet_since.lock().unwrap_or_else(PoisonError::into_inner);
        let Finish::Waiting { why, version } = finish else {
            quiet.remove(key);
            return None;
        };
        if matches!(why.reason, "RolloutFailed" | "RolloutPaused") {
            quiet.remove(key);
            return None;
        }
        if object.and_then(|object| object.status.as_ref()).is_some_and(|shown| {
            tells_of(shown, why, version.as_ref())
                && shown.members == members.iter().map(MemberView::shown).collect::<Vec<_>>()
        }) {
            // It is told already; how far it is changes too often to be written each time.
            return Some(self.settings.resync_period);
        }
        let since = *quiet.entry(key.clone()).or_insert_with(Instant::now);
        self.settings.quiet_period.checked_sub(since.elapsed()).filter(|left| !left.is_zero())
    }

    /// Drops the memory of a key about which nothing is worth remembering.
    async fn forget(&self, key: &RecordKey, object: Option<&PactDeployment>) -> Next {
        self.checks.forget(key);
        let object = object?;
        match self.records.delete(object).await {
            Ok(()) => None,
            Err(error) => {
                warn!(%key, %error, "the PactDeployment {} cannot be deleted", key.object_name());
                Some(self.next_delay(key, None, None))
            }
        }
    }

    /// The counts of the environments that a key belongs to may have changed.
    fn touch_environments(&self, key: &RecordKey) {
        let objects: Vec<_> = {
            let index = self.index();
            index
                .valid_rules()
                .filter(|rules| rules.environment_ref == key.environment_ref)
                .map(|rules| rules.object.clone())
                .collect()
        };
        for object in objects {
            self.queue.after(super::environment::STATUS_DELAY, Task::EnvironmentStatus(object));
        }
    }

    fn log(&self, key: &RecordKey, finish: &Finish) {
        match finish {
            Finish::Recorded { version, write: Write::None, .. } => debug!(%key, %version, "recorded already"),
            Finish::Recorded { version, write, .. } => {
                info!(%key, %version, correction = *write == Write::Correction, "recorded");
            }
            Finish::Pending { why, next_try, .. } => {
                self.metrics.pending.inc();
                warn!(%key, reason = why.reason, %next_try, "{}", why.message);
            }
            Finish::Held(why) | Finish::Contested { why, .. } => warn!(%key, reason = why.reason, "{}", why.message),
            Finish::Undeployed(why) | Finish::Kept(why) => info!(%key, reason = why.reason, "{}", why.message),
            Finish::Released { .. } | Finish::Waiting { .. } | Finish::Orphaned { .. } => debug!(%key, ?finish),
        }
    }
}

/// Whether nothing would be lost with the object: nothing is recorded, and nothing ever was.
fn never_recorded(object: Option<&PactDeployment>) -> bool {
    object
        .and_then(|object| object.status.as_ref())
        .is_none_or(|status| status.recorded.is_none() && status.supported.is_empty() && status.history.is_empty())
}

/// The versions that a status says are recorded, and so live in the environment.
fn live(status: Option<&PactDeploymentStatus>) -> BTreeSet<&str> {
    let recorded = status.into_iter().flat_map(|status| status.recorded.iter().chain(&status.supported));
    recorded.map(|recorded| recorded.version.as_str()).collect()
}

/// Whether a status already tells of a rollout under way for this reason and to this version.
fn tells_of(status: &PactDeploymentStatus, why: &Explanation, version: Option<&Version>) -> bool {
    status.desired_version.as_deref() == version.map(Version::as_str)
        && status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.reason == why.reason)
}

fn later(now: Timestamp, delay: Duration) -> Timestamp {
    SignedDuration::try_from(delay).ok().and_then(|delay| now.checked_add(delay).ok()).unwrap_or(Timestamp::MAX)
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
#[path = "pass_tests.rs"]
mod tests;
