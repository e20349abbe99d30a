//! The reconciler of a record: gather → assess → act → report → write the status.
//!
//! Level-triggered: each pass compares the desired record with the broker's. [`crate::decide::record::assess()`]
//! decides what is due; this module does it.

use std::{sync::Arc, time::Duration};

use k8s_openapi::jiff::Timestamp;
use operator_kit::backoff::Backoff;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::{
    Settings,
    queue::{Next, Slot, Task, Tries},
    report::Reporter,
    retry::NotDone,
    schedule::Schedule,
    verdict::yes_ends,
    verdicts::{Due, Verdicts, is_yes, versions},
    waiting::WaitingRoom,
    writes::Writes,
};
use crate::{
    api::{PactDeployment, PactDeploymentStatus, deployment::Member, gate::GateMode, names::Version},
    cluster::Cluster,
    decide::{
        Explanation, Reason,
        announcement::Sink,
        other_line,
        record::{
            Action, Assessment, Facts, MemberView, RecordState, Vanished, Write, add_bypassed, add_strangers,
            announced, assess, counted, dropped, outdated, remember_verdicts, show_all_members, status, strangers,
            with_strangers,
        },
    },
    workload::RecordKey,
};

/// When to assess again after the state changed during a pass: the watch is about to report the change; this delay
/// covers the case that it does not.
const MOVED_AGAIN: Duration = Duration::from_secs(1);
/// When to try again to report a rollout in progress while many other reports wait.
const REPORT_LATER: Duration = Duration::from_secs(1);
/// How long what was read live may be relied on for a write.
const FRESH: Duration = Duration::from_secs(10);
/// How long an environment may take to be read before what runs is written without it: mostly all is written together.
const UNREAD: Duration = Duration::from_secs(2);
/// When to look again whether the last announcements of a record that is to be deleted were delivered.
const ANNOUNCED_AGAIN: Backoff = Backoff { min: Duration::from_secs(2), max: Duration::from_secs(30) };
/// How long the status of a record waits for the verdict on its version.
const TOGETHER: Duration = Duration::from_millis(500);

/// The reconciler; see the module documentation.
pub(super) struct RecordReconciler {
    pub(super) cluster: Arc<Cluster>,
    pub(super) schedule: Schedule,
    pub(super) writes: Writes,
    pub(super) reporter: Reporter,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) waiting: Arc<WaitingRoom>,
    pub(super) settings: Arc<Settings>,
}

impl RecordReconciler {
    /// Assesses a key and does what is due; returns when to assess it again although nothing changes.
    pub(super) async fn reconcile(&self, key: &RecordKey, slot: Slot, mut tries: Tries) -> Next {
        let now = Timestamp::now();
        if let Err(error) = self.cluster.records.adopt(key).await {
            warn!(%key, %error, "the PactDeployment {} cannot be adopted", key.former_object_name());
            return Next::retry(self.delay(&mut tries, None, None), tries);
        }
        let object = self.cluster.records.get(key);
        let object = object.as_deref();
        let (mut facts, members) = self.gather(key, object, now);
        let over = object.is_none() || facts.status.is_some_and(|status| outdated(status, now));
        if members.is_empty() && over {
            self.waits_no_longer(key, &[], false);
            return self.delete(key, object, tries).await;
        }
        self.judge_if_new(key, &members, object);

        let mut read = Instant::now();
        let assessment = loop {
            match assess(&facts, now) {
                // This process was stopped in between, or a request took long: what was read live is read again.
                Assessment::Act(Action::Write(_)) if read.elapsed() > FRESH => {
                    (facts.fates, facts.live, read) = (None, None, Instant::now());
                }
                Assessment::Act(action) => {
                    if facts.fates.is_none() && facts.live.is_none() {
                        read = Instant::now();
                    }
                    self.act(action, &mut facts).await;
                }
                assessment => break assessment,
            }
        };
        if let Assessment::Done { .. } | Assessment::Unchanged = &assessment {
            let recorded = |state: &_| matches!(state, RecordState::Recorded { .. } | RecordState::Released { .. });
            let recorded = matches!(&assessment, Assessment::Done { state, .. } if recorded(state));
            self.waits_no_longer(key, &members, recorded);
            self.schedule.traces.settled(key);
        }
        let (state, look_again) = match assessment {
            Assessment::Act(_) | Assessment::Moved => return Next::retry(MOVED_AGAIN, tries),
            Assessment::NotRead => {
                let unread = tries.lasting("not read");
                if let Some(left) = UNREAD.checked_sub(unread).filter(|left| !left.is_zero()) {
                    return Next::retry(left, tries);
                }
                // What runs counts for the gate, whether or not the environment could be read.
                let after = self.signed(show_all_members(object, &members));
                if !members.is_empty() && object.and_then(|object| object.status.as_ref()) != Some(&after) {
                    self.store(key, object, after).await;
                    self.schedule.environment_statuses_of(key);
                }
                return Next { after: None, tries };
            }
            Assessment::Unchanged if never_recorded(object) => return self.delete(key, object, tries).await,
            Assessment::Unchanged => return Next::wait(),
            Assessment::Done { state, look_again } => (state, look_again),
            Assessment::Retry { why, version, at_least } => {
                let (state, at) = self.not_done(&facts, NotDone { why, version, at_least }, now, &mut tries);
                (state, Some(at))
            }
        };
        log(key, &state);
        // What this pass intended was noted there meanwhile.
        let noted = self.cluster.records.get(key);
        let object = noted.as_deref().or(object);
        // The slot is released: the next key may be recorded at the broker while this one is reported in the cluster.
        drop(slot);
        let over = matches!(state, RecordState::Undeployed(_)) && never_recorded(object);
        // While something waits to be announced, the status has to say that nothing runs any more: the gate goes by it.
        if over && !waits_to_be_announced(object, &self.settings.sinks) {
            return self.delete(key, object, tries).await;
        }
        let after = look_again.map(|at| until(now, at));
        if let Some(quiet) = self.remaining_quiet(&state, object, &members, &mut tries) {
            return Next { after: Some(after.map_or(quiet, |after| after.min(quiet))), tries };
        }
        if matches!(state, RecordState::Pending { .. }) && self.news(key, object, &members, &state, now).is_none() {
            return Next { after, tries };
        }
        let permit = if matches!(state, RecordState::Waiting { .. }) {
            // A rollout in progress can be reported later: the pass that finds it finished must not wait for that.
            let Some(permit) = self.reporter.permit_now() else {
                return Next { after: Some(after.map_or(REPORT_LATER, |after| after.min(REPORT_LATER))), tries };
            };
            Some(permit)
        } else {
            self.await_verdict(key, &state).await;
            self.reporter.permit().await
        };
        // The Events come before the status: if its write fails, the next pass finds the version recorded already, and
        // has nothing to report.
        self.reporter.record(key, &members, object, &state).await;
        let written = self.write_status(key, object, &members, &state, now).await;
        drop(permit);
        match (written, state) {
            (false, _) => Next::retry(self.delay(&mut tries, None, None), tries),
            (true, RecordState::Pending { .. } | RecordState::Waiting { .. }) => Next { after, tries },
            // The next pass deletes it, once that was announced.
            (true, _) if over => Next::after(ANNOUNCED_AGAIN.min),
            // Of another record, or of none, they may be no strangers.
            (true, state) if changed(&state) && !strangers(&members).is_empty() => Next::after(Duration::ZERO),
            (true, _) => Next { after, tries: Tries::default() },
        }
    }

    /// The known facts about a key, without any request, and its members, strangers included.
    fn gather<'a>(
        &self,
        key: &'a RecordKey,
        object: Option<&'a PactDeployment>,
        now: Timestamp,
    ) -> (Facts<'a>, Vec<MemberView>) {
        let index = self.cluster.index();
        let invalid = |object: &str, problem: &str| {
            Explanation::new(Reason::InvalidEnvironment, format!("PactEnvironment {object}: {problem}"))
        };
        let rules = match (index.environments().broken_at(&key.environment_ref), index.rules_for(key)) {
            (Some(broken), _) => Err(invalid(&broken.object, &broken.problem)),
            (None, Some(rules)) => Ok(rules.clone()),
            (None, None) => Err(Explanation::new(
                Reason::EnvironmentUnmanaged,
                format!("no PactEnvironment records in {} any more; the record stays as it is", key.environment_ref),
            )),
        };
        let status = object.and_then(|object| object.status.as_ref());
        let members = index.members(key).into_iter().map(|member| member.at(now)).collect();
        let members = with_strangers(members, status);
        let facts = Facts {
            key,
            rules,
            unreadable: index.environments().unreadable().map(|broken| invalid(&broken.object, &broken.problem)),
            members: counted(&members).to_vec(),
            status,
            snapshot: self.cluster.snapshots.of(key),
            broker: self.cluster.brokers.get(&key.environment_ref.broker).err(),
            refused: (self.cluster.brokers.object(&key.environment_ref.broker))
                .and_then(|_| self.waiting.begin(&Task::Record(key.clone()), Instant::now())),
            fates: None,
            vanished: match index.rules_for(key) {
                Some(rules) if counted(&members).is_empty() => {
                    let (records, confirmed) = (&self.cluster.records, rules.removal.confirmed);
                    records.vanished(&key.environment_ref, confirmed, |key| index.has_members(key))
                }
                _ => Vanished::default(),
            },
            live: None,
            done: None,
        };
        (facts, members)
    }

    /// Writes the status if it changed; returns whether nothing is left to be written.
    async fn write_status(
        &self,
        key: &RecordKey,
        object: Option<&PactDeployment>,
        members: &[MemberView],
        state: &RecordState,
        now: Timestamp,
    ) -> bool {
        let Some(after) = self.news(key, object, members, state, now) else { return true };
        if !self.store(key, object, after).await {
            return false;
        }
        self.schedule.environment_statuses_of(key);
        true
    }

    /// The status in a state. `None` when the object has it.
    fn news(
        &self,
        key: &RecordKey,
        object: Option<&PactDeployment>,
        members: &[MemberView],
        state: &RecordState,
        now: Timestamp,
    ) -> Option<PactDeploymentStatus> {
        let before = object.and_then(|object| object.status.as_ref());
        let mut after = status(object, counted(members), state, now);
        add_strangers(&mut after, object, members, now);
        if !members.is_empty() {
            after.checks = self.verdicts.of(key);
        } else if matches!(state, RecordState::Undeployed(_) | RecordState::Kept(_)) {
            after.checks.clear();
        }
        remember_verdicts(&mut after);
        other_line::remember(&mut after, counted(members), &key.pacticipant);
        add_bypassed(&mut after, before, members, now);
        let after = self.signed(after);
        (before != Some(&after)).then(|| self.announced(key, object, after))
    }

    /// The status, with the name of the cluster that writes it.
    fn signed(&self, status: PactDeploymentStatus) -> PactDeploymentStatus {
        PactDeploymentStatus { cluster: self.settings.cluster_name.clone(), ..status }
    }

    /// The status as it is written: signed, and with the announcements of what is new in it.
    pub(super) fn announced(
        &self,
        key: &RecordKey,
        object: Option<&PactDeployment>,
        status: PactDeploymentStatus,
    ) -> PactDeploymentStatus {
        let (status, sinks) = (self.signed(status), &self.settings.sinks);
        let judged = self.cluster.gate_rules(key).is_some_and(|rules| rules.mode != GateMode::Off);
        announced(object, status, sinks, judged, Timestamp::now())
    }

    /// Reports the announcements that a status that was written does not have any more, although they wait.
    pub(super) async fn report_dropped(&self, object: Option<&PactDeployment>, dropped: usize) {
        if let Some(object) = object.filter(|_| dropped > 0) {
            let newest = object.status.iter().flat_map(|status| &status.announcements).map(|it| it.sequence).max();
            self.writes.metrics.dropped.inc_by(u64::try_from(dropped).unwrap_or(u64::MAX));
            self.reporter.dropped(object, dropped, newest.unwrap_or(0)).await;
        }
    }

    /// Writes a status; returns whether that succeeded.
    async fn store(&self, key: &RecordKey, object: Option<&PactDeployment>, status: PactDeploymentStatus) -> bool {
        let dropped = dropped(object, &status, &self.settings.sinks);
        if let Err(error) = self.cluster.records.write(key, object, status).await {
            if !error.is_conflict() {
                warn!(%key, %error, "the PactDeployment {} cannot be written", key.object_name());
            }
            return false;
        }
        self.report_dropped(object, dropped).await;
        true
    }

    /// Schedules the check of a key if one of its versions was never judged.
    fn judge_if_new(&self, key: &RecordKey, members: &[MemberView], object: Option<&PactDeployment>) {
        match self.verdicts.begin(key, &versions(members), object) {
            Due::Now => self.schedule.queue.now(Task::Verdict(key.clone())),
            Due::Sometime => self.schedule.queue.after(yes_ends(), Task::Verdict(key.clone())),
            Due::No => {}
        }
    }

    /// After a version was recorded: waits for its verdict, so that one write of the status reports both. If a verdict
    /// was not a yes, it is checked again: the missing result may have been published meanwhile.
    async fn await_verdict(&self, key: &RecordKey, state: &RecordState) {
        if matches!(state, RecordState::Recorded { write, .. } if *write != Write::None) {
            if self.verdicts.of(key).iter().any(|check| !is_yes(check)) {
                self.schedule.queue.now(Task::Verdict(key.clone()));
            }
            self.verdicts.settled(key, TOGETHER).await;
        }
    }

    /// How long the status may still omit a rollout in progress. `None` when it should be written now.
    fn remaining_quiet(
        &self,
        state: &RecordState,
        object: Option<&PactDeployment>,
        members: &[MemberView],
        tries: &mut Tries,
    ) -> Option<Duration> {
        let RecordState::Waiting { why, version } = state else { return None };
        if matches!(why.reason, Reason::RolloutFailed | Reason::RolloutPaused) {
            return None;
        }
        let lasting = tries.lasting("rollout");
        let shown = object.and_then(|object| object.status.as_ref());
        let now = show_all_members(object, members).members;
        // The gate judges other rollouts against what is on its way: another version is written at once.
        if shown.is_none_or(|shown| versions_of(&shown.members) != versions_of(&now)) {
            return None;
        }
        if shown.is_some_and(|shown| reports(shown, why, version.as_ref()) && shown.members == now) {
            // It is reported already; its progress changes too often to be written each time.
            return Some(self.settings.resync_period);
        }
        self.settings.quiet_period.checked_sub(lasting).filter(|left| !left.is_zero())
    }

    /// Deletes the `PactDeployment` of a key without any record.
    async fn delete(&self, key: &RecordKey, object: Option<&PactDeployment>, mut tries: Tries) -> Next {
        self.verdicts.forget(key);
        if waits_to_be_announced(object, &self.settings.sinks) {
            return Next::retry(tries.delay(ANNOUNCED_AGAIN, "announced"), tries);
        }
        let Some(object) = object else { return Next::wait() };
        match self.cluster.records.delete(object).await {
            Ok(()) => Next::wait(),
            Err(error) => {
                warn!(%key, %error, "the PactDeployment {} cannot be deleted", key.object_name());
                Next::retry(self.delay(&mut tries, None, None), tries)
            }
        }
    }
}

fn log(key: &RecordKey, state: &RecordState) {
    match state {
        RecordState::Recorded { version, write: Write::None, .. } => debug!(%key, %version, "recorded already"),
        RecordState::Recorded { version, write, .. } => {
            info!(%key, %version, correction = *write == Write::Correction, "recorded");
        }
        RecordState::Held(why) | RecordState::Contested { why, .. } | RecordState::UndeployHeld { why, .. } => {
            warn!(%key, reason = %why.reason, "{}", why.message);
        }
        RecordState::Undeployed(why) | RecordState::Kept(why) => {
            info!(%key, reason = %why.reason, "{}", why.message);
        }
        RecordState::Released { .. }
        | RecordState::Waiting { .. }
        | RecordState::Pending { .. }
        | RecordState::Orphaned { .. } => {
            debug!(%key, ?state);
        }
    }
}

/// Whether another version is recorded than before the pass, or none any more.
fn changed(state: &RecordState) -> bool {
    match state {
        RecordState::Recorded { write, .. } => *write != Write::None,
        RecordState::Undeployed(_) | RecordState::Kept(_) => true,
        _ => false,
    }
}

/// Whether the object holds nothing worth keeping: nothing is recorded, and nothing ever was.
fn never_recorded(object: Option<&PactDeployment>) -> bool {
    object
        .and_then(|object| object.status.as_ref())
        .is_none_or(|status| status.recorded.is_none() && status.supported.is_empty() && status.history.is_empty())
}

/// Whether a sink does not have all yet that happened to an object.
fn waits_to_be_announced(object: Option<&PactDeployment>, sinks: &[Sink]) -> bool {
    object.is_some_and(|object| sinks.iter().any(|sink| sink.waiting(object, 0).next().is_some()))
}

/// What the members run, each with its versions: the part of them that the gate goes by.
fn versions_of(members: &[Member]) -> Vec<(&str, &str, Option<&str>, &[String])> {
    let versions = |member| -> (_, _, _, _) {
        let Member { namespace, name, version, earlier_versions, .. }: &Member = member;
        (namespace.as_str(), name.as_str(), version.as_deref(), earlier_versions.as_slice())
    };
    members.iter().map(versions).collect()
}

/// Whether a status already reports a rollout in progress for this reason and to this version.
fn reports(status: &PactDeploymentStatus, why: &Explanation, version: Option<&Version>) -> bool {
    status.desired_version.as_deref() == version.map(Version::as_str)
        && status
            .conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.reason == why.reason.as_str())
}

fn until(now: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
