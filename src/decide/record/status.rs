//! The status of a `PactDeployment` after a pass: pure, so that only a different status has to be written.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    facts::in_doubt,
    member::MemberView,
    shown::show_members,
    state::{RecordState, Write},
    strangers::recorded_for,
};
use crate::{
    api::{
        PactDeployment, PactDeploymentStatus,
        condition::{Finding, Truth, conditions},
        deployment::{HISTORY_LIMIT, Recorded},
        names::Version,
    },
    decide::{
        reason::{Meaning, Reason},
        verdict::Verdict,
    },
};

/// The status after a pass.
#[must_use]
pub fn status(
    before: Option<&PactDeployment>,
    members: &[MemberView],
    state: &RecordState,
    now: Timestamp,
) -> PactDeploymentStatus {
    let generation = before.and_then(|object| object.metadata.generation).or(Some(1));
    let mut status = before.and_then(|object| object.status.clone()).unwrap_or_default();
    status.observed_generation = generation;
    if matches!(state, RecordState::Undeployed(_)) && parted(&status) {
        return status;
    }
    // Without members the last ones stay in the status: they must be gone for good before the record is taken back.
    if !members.is_empty() {
        let shown = show_members(before, members);
        (status.members, status.more_members) = (shown.members, shown.more_members);
    }
    let told = told(&status, state);
    if !told {
        status.next_try = None;
    }
    // The grace counts only while no workload exists: one that returned, or may have, restarts it.
    let grace_goes_on =
        matches!(state, RecordState::Orphaned { .. } | RecordState::Pending { .. } | RecordState::UndeployHeld { .. });
    if !members.is_empty() || !grace_goes_on {
        status.orphaned_since = None;
    }
    update(&mut status, members, state, now);
    let mut findings = findings(state);
    if told {
        for finding in &mut findings {
            let shown = status.conditions.iter().find(|condition| condition.type_ == finding.type_);
            finding.message = shown.map_or_else(String::new, |shown| shown.message.clone());
        }
    }
    status.conditions = conditions(&status.conditions, &findings, generation, now);
    status
}

/// Whether the status tells already that this could not be done, and how soon it is tried again. A broker's message that
/// differs a little each time is no news, and the time of each try is none, either.
fn told(before: &PactDeploymentStatus, state: &RecordState) -> bool {
    let RecordState::Pending { why, version, next_try } = state else { return false };
    let pending = before.conditions.iter().find(|it| it.type_ == "RecordPending" && it.status == "True");
    pending.is_some_and(|pending| pending.reason == why.reason.as_str())
        && before.desired_version.as_deref() == version.as_ref().map(Version::as_str)
        && before.next_try.is_some() == next_try.is_some()
}

/// Whether nothing is ours any more and the conditions say why: later passes know less, so the conditions stay.
fn parted(status: &PactDeploymentStatus) -> bool {
    status.members.is_empty()
        && status.recorded.is_none()
        && status.supported.is_empty()
        && status.conditions.iter().any(|condition| {
            condition.type_ == "Ready"
                && matches!(condition.reason.as_str(), "Undeployed" | "RecordedByOthers" | "Unmanaged")
        })
}

/// The version that all members have, if they do.
#[must_use]
pub fn agreed(members: &[MemberView]) -> Option<&Version> {
    let version = members.first()?.version.as_ref().ok()?;
    members.iter().all(|member| member.version.as_ref() == Ok(version)).then_some(version)
}

fn update(status: &mut PactDeploymentStatus, members: &[MemberView], state: &RecordState, now: Timestamp) {
    let text = |version: &Version| Some(version.as_str().to_owned());
    match state {
        RecordState::Recorded { version, uuid, write } => {
            let ours = *write != Write::None || in_doubt(status).any(|intended| intended == version.as_str());
            if *write == Write::Correction {
                status.corrected_version = text(version);
            } else if status.corrected_version != text(version) {
                status.corrected_version = None;
            }
            status.recorded_for = recorded_for(&status.recorded_for, members);
            status.desired_version = text(version);
            let same = status.recorded.as_ref().is_some_and(|recorded| recorded.version == version.as_str());
            if same {
                if let Some(recorded) = &mut status.recorded {
                    // Another row with the same version was written by somebody, too.
                    let same_row = recorded.uuid.as_ref().is_none_or(|known| known == uuid || uuid.is_empty());
                    recorded.found = !ours && (recorded.found || !same_row);
                    recorded.uuid = Some(uuid.clone());
                }
            } else {
                let (version, uuid) = (version.to_string(), Some(uuid.clone()));
                take_over(status, Recorded { version, uuid, at: Time(now), found: !ours, would_deny: None });
            }
            status.intended.clear();
        }
        RecordState::Released { supported, .. } => {
            let newest = supported.first().cloned();
            status.desired_version = newest.as_ref().map(|recorded| recorded.version.clone());
            if status.recorded.as_ref().map(|recorded| &recorded.version)
                != newest.as_ref().map(|recorded| &recorded.version)
            {
                archive(status);
                status.recorded = newest;
            }
            status.supported.clone_from(supported);
            status.intended.clear();
        }
        RecordState::Waiting { version, .. } => status.desired_version = version.as_ref().and_then(text),
        RecordState::Held(_) => status.desired_version = agreed(members).and_then(text),
        RecordState::Pending { why, version, next_try } => {
            status.desired_version = version.as_ref().and_then(text);
            // A correction that somebody took back before it was read back is not made again either (case 37).
            let recorded = status.recorded.as_ref().map(|recorded| &recorded.version);
            if why.reason == Reason::RecordNotKept && recorded == status.desired_version.as_ref() {
                status.corrected_version.clone_from(&status.desired_version);
            }
            status.next_try = status.next_try.take().or(next_try.map(Time));
        }
        RecordState::Contested { version, .. } => status.desired_version = text(version),
        RecordState::Orphaned { since, .. } | RecordState::UndeployHeld { since, .. } => {
            status.desired_version = None;
            status.orphaned_since = Some(Time(*since));
        }
        // A kept record is no longer ours: it is not undeployed later, when the workload without annotation is deleted.
        RecordState::Undeployed(_) | RecordState::Kept(_) => {
            status.desired_version = None;
            status.corrected_version = None;
            status.members.clear();
            status.more_members = None;
            status.supported.clear();
            status.intended.clear();
            status.recorded_for.clear();
            archive(status);
        }
    }
}

/// Takes in whether the versions that are recorded would be denied: a version that was fine once stays so, whatever
/// happens to its counterparts later (case 97).
pub fn remember_verdicts(status: &mut PactDeploymentStatus) {
    for recorded in status.recorded.iter_mut().chain(&mut status.supported) {
        let mut checks = status.checks.iter().filter(|check| check.version == recorded.version);
        let Some(check) = checks.find(|check| Verdict::named(&check.verdict).is_some_and(Verdict::answered)) else {
            continue;
        };
        recorded.would_deny = Some(recorded.would_deny.unwrap_or(true) && check.would_deny);
    }
}

/// Another version is recorded now.
pub(super) fn take_over(status: &mut PactDeploymentStatus, recorded: Recorded) {
    archive(status);
    status.recorded = Some(recorded);
}

/// Moves the current record into the history.
fn archive(status: &mut PactDeploymentStatus) {
    if let Some(mut recorded) = status.recorded.take() {
        // Two that take turns must not push out all others (case 96).
        let same = |before: &Recorded| before.version == recorded.version;
        let fine_before = status.history.iter().any(|before| same(before) && before.would_deny == Some(false));
        status.history.retain(|before| !same(before));
        recorded.would_deny = if fine_before { Some(false) } else { recorded.would_deny };
        recorded.uuid = None;
        recorded.found = false;
        status.history.insert(0, recorded);
        status.history.truncate(HISTORY_LIMIT);
    }
}

/// The conditions: `Ready`, `Recorded` and `RecordPending` always, the others while they are true. `Reconciling` and
/// `Stalled` are kstatus's: the operator continues by itself; nothing continues without a person.
fn findings(state: &RecordState) -> Vec<Finding> {
    match state {
        RecordState::Recorded { version, .. } => {
            settled(Truth::True, Reason::Recorded, &format!("the broker says that {version} is deployed"))
        }
        RecordState::Released { supported, waiting: None } => {
            let versions: Vec<_> = supported.iter().map(|recorded| recorded.version.as_str()).collect();
            settled(Truth::True, Reason::Recorded, &format!("the broker supports {}", versions.join(", ")))
        }
        RecordState::Released { waiting: Some(why), .. }
        | RecordState::Waiting { why, .. }
        | RecordState::Held(why)
        | RecordState::UndeployHeld { why, .. }
        | RecordState::Contested { why, .. } => unsettled(why.reason, &why.message, false),
        RecordState::Pending { why, next_try, .. } => {
            let again = match next_try {
                Some(next_try) => format!("next try by {next_try:.0}"),
                None if why.reason.waits_for_a_publication() => "it is recorded once that is published".to_owned(),
                None => "it is tried again at growing intervals".to_owned(),
            };
            unsettled(why.reason, &format!("{}; {again}", why.message), true)
        }
        RecordState::Orphaned { until, .. } => {
            let message = format!("no workload runs it any more; the record is taken back after {until:.0}");
            unsettled(Reason::Orphaned, &message, false)
        }
        // Nothing is left to do, so `Ready` is true, though nothing (of ours) is recorded.
        RecordState::Undeployed(why) | RecordState::Kept(why) => settled(Truth::False, why.reason, &why.message),
    }
}

/// The conditions of a finished record, and whether it is recorded.
fn settled(recorded: Truth, reason: Reason, message: &str) -> Vec<Finding> {
    let nothing_pending = if recorded == Truth::True { reason } else { Reason::NothingPending };
    vec![
        Finding::new("Ready", true, reason, message),
        Finding::new("Recorded", recorded, reason, message),
        Finding::new("RecordPending", false, nothing_pending, ""),
    ]
}

/// The conditions of an unfinished record: the reason decides whether a person is needed. Some reasons have a condition
/// of their own.
fn unsettled(reason: Reason, message: &str, pending: bool) -> Vec<Finding> {
    let (why_pending, pending_message) = if pending { (reason, message) } else { (Reason::NothingPending, "") };
    let own = match reason {
        Reason::Mixed => Some("Mixed"),
        Reason::Contested => Some("Contested"),
        Reason::Orphaned | Reason::PodsLeft | Reason::RecordedElsewhereFirst | Reason::UndeploysHeld => {
            Some("Orphaned")
        }
        Reason::VersionMissing | Reason::PacticipantMissing => Some("VersionMissing"),
        _ => None,
    };
    let going_on = if reason.meaning() == Meaning::Stalled { "Stalled" } else { "Reconciling" };
    let mut findings = vec![
        Finding::new("Ready", false, reason, message),
        Finding::new("Recorded", false, reason, message),
        Finding::new("RecordPending", pending, why_pending, pending_message),
    ];
    let more = own.into_iter().chain([going_on]);
    findings.extend(more.map(|type_| Finding::new(type_, true, reason, message)));
    findings
}

#[cfg(test)]
#[path = "status_found_tests.rs"]
mod found_tests;
#[cfg(test)]
#[path = "news_tests.rs"]
mod news_tests;
#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
