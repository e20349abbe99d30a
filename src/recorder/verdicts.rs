//! The verdicts of the gate's policy on running versions: determined by the controller itself, independently of
//! admission, and kept on the `PactDeployment`s.

use std::{
    collections::{BTreeSet, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use tokio::sync::Notify;

use super::checks::Checks;
use crate::{
    api::{
        PactDeployment,
        deployment::{CHECKS_LIMIT, Check, CheckedPair, PAIRS_LIMIT},
        gate::GateAction,
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{
        Basis, GateRules, Judgement, Reason, Verdict,
        admission::decision::{Cause, wanted},
        messages,
        record::MemberView,
    },
    workload::{EnvironmentRef, RecordKey},
};

/// The verdict of a version that was never judged, because the broker could not be asked.
pub const UNCHECKED: &str = Reason::Unchecked.as_str();

/// The check of a judgement under a policy, for the status of a `PactDeployment`.
#[must_use]
pub fn check(
    pacticipant: &Pacticipant,
    version: &Version,
    environment: &EnvironmentName,
    judgement: &Judgement,
    rules: &GateRules,
    now: Timestamp,
) -> Check {
    let unchecked = judgement.verdict == Verdict::BrokerUnavailable;
    let shown = judgement.pairs.iter().take(PAIRS_LIMIT).map(|pair| CheckedPair {
        consumer: pair.consumer.to_string(),
        consumer_version: pair.consumer_version.to_string(),
        provider: pair.provider.to_string(),
        provider_version: pair.provider_version.as_ref().map(ToString::to_string),
        result: pair.result.name().to_owned(),
    });
    let more = judgement.pairs.len().saturating_sub(PAIRS_LIMIT);
    let message = messages::reason_clause(pacticipant, environment, judgement);
    Check {
        version: version.to_string(),
        verdict: if unchecked { UNCHECKED } else { judgement.verdict.name() }.to_owned(),
        vacuous: judgement.vacuous.map(|why| why.name().to_owned()),
        // A running version is judged as if it were new: the exception for recorded versions would excuse every one.
        would_deny: !unchecked && wanted(&Cause::Judged(judgement.clone()), Basis::New, rules) == GateAction::Deny,
        message: crate::api::condition::truncated(&messages::one_line(&message), 512),
        since: Time(now),
        pairs: shown.collect(),
        more_pairs: i32::try_from(more).ok().filter(|more| *more > 0),
    }
}

/// Whether the broker answered: unanswered checks are repeated when it is back.
#[must_use]
pub fn answered(check: &Check) -> bool {
    Verdict::named(&check.verdict).is_some_and(Verdict::answered)
}

/// Whether the check is a yes.
#[must_use]
pub fn is_yes(check: &Check) -> bool {
    Verdict::named(&check.verdict).is_some_and(Verdict::is_yes)
}

/// Whether the version, or its pacticipant, was not published when it was checked.
#[must_use]
pub fn is_missing(check: &Check) -> bool {
    Verdict::named(&check.verdict).is_some_and(Verdict::is_unpublished)
}

/// The versions that members run or roll out to, in the members' order, each once; none for members on hold, and none that
/// waits for its verdict paused: nothing of it runs.
#[must_use]
pub fn versions(members: &[MemberView]) -> Vec<Version> {
    let mut seen = BTreeSet::new();
    let free = members.iter().filter(|member| member.hold.is_none() && member.held.is_none());
    let versions = free.filter_map(|member| member.version.as_ref().ok());
    versions.filter(|version| seen.insert(*version)).take(CHECKS_LIMIT).cloned().collect()
}

/// When a key has to be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// At once.
    Now,
    /// It was, by an earlier process: when its verdict has held long enough.
    Sometime,
    /// It is, or will be.
    No,
}

/// The checks by key that this process knows.
#[derive(Default)]
pub(super) struct Verdicts {
    checks: Mutex<Checks>,
    /// Keys that wait for the first check of a version.
    pending: Mutex<HashSet<RecordKey>>,
    /// Keys of which the policy changed: every version is asked about, also one that waits for its publication.
    anew: Mutex<HashSet<RecordKey>>,
    done: Notify,
}

impl Verdicts {
    /// Whether a key has to be checked: at once when one of these versions was never judged, or not answered since this
    /// process started. Takes over the checks in the object's status.
    pub(super) fn begin(&self, key: &RecordKey, versions: &[Version], object: Option<&PactDeployment>) -> Due {
        let mut all = self.checks();
        let known = all.get(key);
        let fresh = known.is_none();
        let of_object = || object.and_then(|object| object.status.as_ref()).map(|status| &status.checks);
        let wanted = |check: &&Check| versions.iter().any(|version| check.version == version.as_str());
        let kept: Vec<_> = known.or_else(of_object).into_iter().flatten().filter(wanted).cloned().collect();
        let is_known = |version: &Version| {
            kept.iter().any(|check| check.version == version.as_str() && (!fresh || answered(check)))
        };
        let needed = !versions.iter().all(is_known);
        if versions.is_empty() {
            all.remove(key);
        } else if known != Some(&kept) {
            all.set(key, kept);
        }
        drop(all);
        match (needed, fresh) {
            (true, _) if self.pending().insert(key.clone()) => Due::Now,
            (false, true) if !versions.is_empty() => Due::Sometime,
            _ => Due::No,
        }
    }

    /// Stores the check of a version. An answer is not replaced by a check without one. Returns the new check and the
    /// one before, if they differ.
    pub(super) fn set(&self, key: &RecordKey, mut check: Check) -> Option<(Check, Option<Check>)> {
        let mut all = self.checks();
        let mut checks = all.get(key).cloned().unwrap_or_default();
        let before = checks.iter().position(|before| before.version == check.version);
        let Some(at) = before else {
            checks.insert(0, check.clone());
            checks.truncate(CHECKS_LIMIT);
            all.set(key, checks);
            return Some((check, None));
        };
        let before = checks[at].clone();
        if answered(&before) && !answered(&check) {
            return None;
        }
        if before.verdict == check.verdict {
            check.since = before.since.clone();
        }
        if before == check {
            return None;
        }
        checks[at] = check.clone();
        all.set(key, checks);
        Some((check, Some(before)))
    }

    /// The policy of these keys changed.
    pub(super) fn ask_anew(&self, keys: &[RecordKey]) {
        self.anew().extend(keys.iter().cloned());
    }

    /// Whether the policy of a key changed since its checks last began.
    pub(super) fn begin_anew(&self, key: &RecordKey) -> bool {
        self.anew().remove(key)
    }

    /// Marks a key's checks as finished, successful or not.
    pub(super) fn end(&self, key: &RecordKey) {
        self.pending().remove(key);
        self.done.notify_waiters();
    }

    /// The checks of a key, for the status of its `PactDeployment`.
    pub(super) fn of(&self, key: &RecordKey) -> Vec<Check> {
        self.checks().get(key).cloned().unwrap_or_default()
    }

    /// Drops a key.
    pub(super) fn forget(&self, key: &RecordKey) {
        self.checks().remove(key);
        self.anew().remove(key);
        self.end(key);
    }

    /// Forgets every check: another process may have led meanwhile, and then the statuses know more. What is asked about
    /// anew is no check.
    pub(super) fn forget_all(&self) {
        *self.checks() = Checks::default();
        self.pending().clear();
        self.done.notify_waiters();
    }

    /// Every key for whose checks `wanted` holds.
    pub(super) fn keys(&self, wanted: impl Fn(&RecordKey, &[Check]) -> bool) -> Vec<RecordKey> {
        let all = self.checks();
        all.iter().filter(|(key, checks)| wanted(key, checks)).map(|(key, _)| key.clone()).collect()
    }

    /// The keys of an application in an environment.
    pub(super) fn keys_of(&self, environment_ref: &EnvironmentRef, pacticipant: &Pacticipant) -> Vec<RecordKey> {
        self.checks().of(environment_ref, pacticipant)
    }

    /// The keys of other applications in an environment that have a pair with this one.
    pub(super) fn keys_mentioning(&self, environment_ref: &EnvironmentRef, pacticipant: &str) -> Vec<RecordKey> {
        self.checks().mentioning(environment_ref, pacticipant)
    }

    /// Waits until a key's first checks are finished, or the time is up, so that one write of the status reports both.
    pub(super) async fn settled(&self, key: &RecordKey, limit: Duration) {
        let settled = async {
            loop {
                let done = self.done.notified();
                if !self.pending().contains(key) {
                    return;
                }
                done.await;
            }
        };
        drop(tokio::time::timeout(limit, settled).await);
    }

    fn checks(&self) -> MutexGuard<'_, Checks> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn anew(&self) -> MutexGuard<'_, HashSet<RecordKey>> {
        self.anew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, HashSet<RecordKey>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "verdicts_tests.rs"]
mod tests;
