//! The reconciler of the verdicts on running versions: asks the gate's question about each of them, with the
//! controller's own limits.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use operator_kit::backoff::{Backoff, entropy, fraction};
use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    Settings,
    metrics::RecorderMetrics,
    queue::{Next, Task, Tries},
    report::Reporter,
    schedule::Schedule,
    verdicts::{UNCHECKED, Verdicts, answered, check, is_missing, is_yes, versions},
    waiting::{WaitingRoom, refusal},
};
use crate::{
    api::{
        deployment::{CHECKS_LIMIT, Check},
        gate::InFlight,
        names::Version,
    },
    broker::verdict_of,
    cluster::Cluster,
    decide::{Explanation, Judgement, Question, Reason, Verdict, record::MemberView},
    workload::RecordKey,
};

/// How soon a verdict that is not a yes is checked again, the first time.
const SECOND_LOOK: Duration = Duration::from_secs(30);

/// How long a yes holds while nothing changes that the operator sees.
const YES_HOLDS: Duration = Duration::from_hours(1);

/// When a yes that was found earlier is checked again: spread, so that many are not checked at once.
pub(super) fn yes_ends() -> Duration {
    YES_HOLDS / 2 + fraction(YES_HOLDS / 2, entropy())
}

/// When a version is asked about.
enum When {
    Now,
    /// Nobody had published it. After this long, or when its record's pass says so.
    Later(Option<Duration>),
}

/// The reconciler; see the module documentation.
pub(super) struct VerdictReconciler {
    pub(super) cluster: Arc<Cluster>,
    pub(super) schedule: Schedule,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) waiting: Arc<WaitingRoom>,
    pub(super) reporter: Reporter,
    pub(super) metrics: RecorderMetrics,
    pub(super) settings: Arc<Settings>,
}

impl VerdictReconciler {
    /// Checks every version of a key; returns when to check again although nothing changes.
    pub(super) async fn reconcile(&self, key: &RecordKey, mut tries: Tries) -> Next {
        let members = self.cluster.members(key);
        if members.is_empty() {
            self.verdicts.end(key);
            self.verdicts.begin_anew(key);
            self.waiting.leave(&Task::Verdict(key.clone()));
            return self.judge_counterparts(key).await.map_or_else(Next::wait, Next::after);
        }
        let mut after = None;
        let anew = self.verdicts.begin_anew(key);
        for version in versions(&members) {
            let again = match self.when(key, &version) {
                When::Later(again) if !anew => again,
                _ => self.judge(key, &version, &members, &mut tries).await,
            };
            after = [after, again].into_iter().flatten().min();
        }
        self.verdicts.end(key);
        if self.cluster.index().members(key).is_empty() {
            // They are gone since it was asked: their record's pass came before.
            self.verdicts.forget(key);
        }
        if !self.verdicts.of(key).iter().any(is_missing) {
            self.waiting.leave(&Task::Verdict(key.clone()));
        }
        match after {
            Some(after) => Next::retry(after, tries),
            None => Next::wait(),
        }
    }

    /// When to ask about a version: now, unless nobody had published it when it was asked about last.
    fn when(&self, key: &RecordKey, version: &Version) -> When {
        let missing = |check: &Check| check.version == version.as_str() && is_missing(check);
        if !self.verdicts.of(key).iter().any(missing) {
            return When::Now;
        }
        let (now, own) = (Instant::now(), Task::Verdict(key.clone()));
        if self.record_waits(key, version) {
            return When::Later(None);
        }
        match self.waiting.begin(&own, now) {
            Some(refused) if refused.versions.contains(version) => {
                When::Later(self.waiting.again(&own, now).map(|again| again.after))
            }
            _ => When::Now,
        }
    }

    /// Whether the record of a key waits for the publication of a version.
    fn record_waits(&self, key: &RecordKey, version: &Version) -> bool {
        let refused = self.waiting.of(&Task::Record(key.clone()));
        refused.is_some_and(|it| it.why.reason.waits_for_a_publication() && it.versions.contains(version))
    }

    async fn judge(
        &self,
        key: &RecordKey,
        version: &Version,
        members: &[MemberView],
        tries: &mut Tries,
    ) -> Option<Duration> {
        let rules = self.cluster.gate_rules(key)?;
        let environment = &key.environment_ref.environment;
        let question = rules.question(&key.pacticipant, version, environment, Timestamp::now());
        let judgement = match self.cluster.brokers.judge(&key.environment_ref.broker) {
            // At a start: not a finding, and not a status for each key.
            Err(why) if why.reason == Reason::BrokerNotProbed => return Some(self.settings.retry_min),
            Err(why) => Judgement::without_pairs(Verdict::BrokerUnavailable, why.message),
            Ok(judge) => judge.judge(&question).await.unwrap_or_else(|error| {
                self.schedule.look_into(&key.environment_ref, &error);
                verdict_of(&error)
            }),
        };
        let found = check(&key.pacticipant, version, environment, &judgement, &rules, Timestamp::now());
        let ends = rules.next_end(&key.pacticipant, Timestamp::now());
        let again = if is_missing(&found) {
            self.look_for(key, version, &found)
        } else {
            Some(self.ask_again(&found, ends, tries))
        };
        if let Some((check, before)) = self.verdicts.set(key, found) {
            self.report(key, members, &check, before.as_ref()).await;
            // Only the pass of the record writes the status of the key.
            self.schedule.queue.after(Duration::from_millis(200), Task::Record(key.clone()));
        }
        again
    }

    /// A version is not published: it is looked for with all others that are not.
    fn look_for(&self, key: &RecordKey, version: &Version, check: &Check) -> Option<Duration> {
        if self.record_waits(key, version) {
            return None;
        }
        let known = check.verdict == Verdict::VersionMissing.name();
        let reason = if known { Reason::VersionMissing } else { Reason::PacticipantMissing };
        let refused = refusal(version, Explanation::new(reason, check.message.clone()));
        let (again, _) = self.waiting.refused(&Task::Verdict(key.clone()), refused, Instant::now());
        self.schedule.publications(&key.environment_ref.broker);
        Some(again.after.max(SECOND_LOOK.min(self.settings.resync_period)))
    }

    /// When to check again although nothing changes: a verdict may become a yes when a result is published, and an
    /// unanswered check may be answered when the broker can be asked. Soon at first, then at growing intervals. A yes may
    /// end, too: when the next of what is ignored `ends`, or by a new result that nobody here is told of.
    fn ask_again(&self, check: &Check, ends: Option<Timestamp>, tries: &mut Tries) -> Duration {
        let ends = ends.and_then(|ends| Duration::try_from(ends.duration_since(Timestamp::now())).ok());
        if is_yes(check) {
            let period = YES_HOLDS + fraction(YES_HOLDS / 10, entropy());
            return ends.map_or(period, |ends| period.min(ends + Duration::from_secs(1)));
        }
        let backoff = if answered(check) {
            Backoff { min: SECOND_LOOK.min(self.settings.resync_period), max: self.settings.resync_period }
        } else {
            Backoff { min: self.settings.retry_min, max: self.settings.retry_max }
        };
        tries.delay(backoff, "verdict")
    }

    async fn report(&self, key: &RecordKey, members: &[MemberView], check: &Check, before: Option<&Check>) {
        let late = before.is_some_and(|before| before.verdict == UNCHECKED);
        let news = before.is_none_or(|before| before.verdict != check.verdict);
        if !news {
            return;
        }
        let (version, verdict) = (&check.version, &check.verdict);
        self.metrics.checked(verdict, check.would_deny, late);
        if check.would_deny || check.verdict == UNCHECKED {
            warn!(%key, version, verdict, late, "checked: {}", check.message);
        } else {
            info!(%key, version, verdict, late, "checked: {}", check.message);
        }
        let mode = self.cluster.gate_rules(key).map(|rules| rules.mode).unwrap_or_default();
        for member in members.iter().filter(|member| member.version.as_ref().is_ok_and(|it| it.as_str() == version)) {
            self.reporter.checked_member(key, member, check, mode).await;
        }
    }

    /// An application that no workload here runs was recorded by another client: schedules the checks of those here
    /// that have a pact with it. One question for each of its live versions.
    async fn judge_counterparts(&self, stranger: &RecordKey) -> Option<Duration> {
        let environment_ref = &stranger.environment_ref;
        let versions = self.cluster.snapshots.state(environment_ref).snapshot?.versions_of(&stranger.pacticipant);
        let judge = self.cluster.brokers.judge(&environment_ref.broker).ok()?;
        let mut named = BTreeSet::new();
        for version in versions.into_iter().take(CHECKS_LIMIT) {
            let (pacticipant, environment) = (stranger.pacticipant.clone(), environment_ref.environment.clone());
            let question =
                Question { pacticipant, version, environment, ignore: Vec::new(), in_flight: InFlight::Count };
            match judge.judge(&question).await {
                Ok(judgement) => {
                    named.extend(judgement.pairs.into_iter().flat_map(|pair| [pair.consumer, pair.provider]));
                }
                Err(error) => {
                    self.schedule.look_into(environment_ref, &error);
                    return Some(self.settings.retry_max);
                }
            }
        }
        for pacticipant in named {
            self.schedule.judge(self.verdicts.keys_of(environment_ref, &pacticipant));
        }
        None
    }
}
