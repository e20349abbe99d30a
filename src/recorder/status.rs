//! The status of a `PactDeployment` after a pass: pure, so that a write is needed only when it differs.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{member::MemberView, record::Write};
use crate::api::{
    PactDeployment, PactDeploymentStatus,
    condition::{Explanation, Finding, Truth, conditions},
    deployment::{HISTORY_LIMIT, Recorded},
    names::Version,
};

/// What a pass over a key found, at its end.
#[derive(Clone, Debug, PartialEq)]
pub enum Finish {
    /// The broker says what it should.
    Recorded {
        /// The version.
        version: Version,
        /// The uuid of the broker's row.
        uuid: String,
        /// What was written for it.
        write: Write,
    },
    /// The broker supports exactly the releases that it should.
    Released {
        /// What we released and still runs, newest first.
        supported: Vec<Recorded>,
        /// What holds up a member that is not recorded yet.
        waiting: Option<Explanation>,
    },
    /// A rollout is not finished, or members differ: the broker keeps what it has.
    Waiting {
        /// Why.
        why: Explanation,
        /// The version that is rolled out to, if they agree on one.
        version: Option<Version>,
    },
    /// A person has to put something right first.
    Held(Explanation),
    /// Something should be done and could not be yet; it is tried again.
    Pending {
        /// Why it could not be.
        why: Explanation,
        /// What should be recorded, if anything.
        version: Option<Version>,
        /// When it is tried again at the latest.
        next_try: Timestamp,
    },
    /// Somebody else keeps writing this key.
    Contested {
        /// What we would record.
        version: Version,
        /// For people.
        why: Explanation,
    },
    /// No workload runs it any more; the record is taken back then.
    Orphaned {
        /// Since when.
        since: Timestamp,
        /// Until when a workload may come back.
        until: Timestamp,
    },
    /// No workload runs it any more, and nothing of ours is recorded any more.
    Undeployed(Explanation),
    /// No longer managed: the record stays.
    Kept(Explanation),
}

/// The status after a pass.
#[must_use]
pub fn status(
    before: Option<&PactDeployment>,
    members: &[MemberView],
    finish: &Finish,
    now: Timestamp,
) -> PactDeploymentStatus {
    let generation = before.and_then(|object| object.metadata.generation).or(Some(1));
    let mut status = before.and_then(|object| object.status.clone()).unwrap_or_default();
    status.observed_generation = generation;
    if matches!(finish, Finish::Undeployed(_)) && parted(&status) {
        return status;
    }
    // While nobody runs it, the last members stay: they are who has to be gone for good before anything is undone.
    if !members.is_empty() {
        status.members = members.iter().map(MemberView::shown).collect();
    }
    status.next_try = None;
    // The grace is for a workload that is gone all the while: whoever came back, or may have, lets it begin anew.
    if !members.is_empty() || !matches!(finish, Finish::Orphaned { .. } | Finish::Pending { .. }) {
        status.orphaned_since = None;
    }
    remember(&mut status, members, finish, now);
    status.conditions = conditions(&status.conditions, &findings(finish), generation, now);
    status
}

/// Whether nothing is ours any more and the conditions say why: later passes know less about it, so that stays.
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
fn agreed(members: &[MemberView]) -> Option<&Version> {
    let version = members.first()?.version.as_ref().ok()?;
    members.iter().all(|member| member.version.as_ref() == Ok(version)).then_some(version)
}

fn remember(status: &mut PactDeploymentStatus, members: &[MemberView], finish: &Finish, now: Timestamp) {
    let text = |version: &Version| Some(version.as_str().to_owned());
    match finish {
        Finish::Recorded { version, uuid, write } => {
            if *write == Write::Correction {
                status.corrected_version = text(version);
            } else if status.corrected_version != text(version) {
                status.corrected_version = None;
            }
            status.desired_version = text(version);
            let same = status.recorded.as_ref().is_some_and(|recorded| recorded.version == version.as_str());
            if same {
                if let Some(recorded) = &mut status.recorded {
                    recorded.uuid = Some(uuid.clone());
                }
            } else {
                archive(status);
                status.recorded =
                    Some(Recorded { version: version.as_str().to_owned(), uuid: Some(uuid.clone()), at: Time(now) });
            }
        }
        Finish::Released { supported, .. } => {
            let newest = supported.first().cloned();
            status.desired_version = newest.as_ref().map(|recorded| recorded.version.clone());
            if status.recorded.as_ref().map(|recorded| &recorded.version)
                != newest.as_ref().map(|recorded| &recorded.version)
            {
                archive(status);
                status.recorded = newest;
            }
            status.supported.clone_from(supported);
        }
        Finish::Waiting { version, .. } => status.desired_version = version.as_ref().and_then(text),
        Finish::Held(_) => status.desired_version = agreed(members).and_then(text),
        Finish::Pending { version, next_try, .. } => {
            status.desired_version = version.as_ref().and_then(text);
            status.next_try = Some(Time(*next_try));
        }
        Finish::Contested { version, .. } => status.desired_version = text(version),
        Finish::Orphaned { since, .. } => {
            status.desired_version = None;
            status.orphaned_since = Some(Time(*since));
        }
        // What is kept is no longer ours: it is not undeployed later, when the workload goes without its annotation.
        Finish::Undeployed(_) | Finish::Kept(_) => {
            status.desired_version = None;
            status.corrected_version = None;
            status.members.clear();
            status.supported.clear();
            archive(status);
        }
    }
}

/// Moves the current record into the history.
fn archive(status: &mut PactDeploymentStatus) {
    if let Some(recorded) = status.recorded.take() {
        status.history.insert(0, recorded);
        status.history.truncate(HISTORY_LIMIT);
    }
}

/// The conditions: `Ready`, `Recorded` and `RecordPending` always, the others while they are true. `Reconciling` and
/// `Stalled` are kstatus's: something is under way; nothing goes on without a person.
fn findings(finish: &Finish) -> Vec<Finding> {
    let all = |ready: Truth, reason: &'static str, message: &str, pending: bool, more: &[&'static str]| {
        let not_pending = if ready == Truth::True { "Recorded" } else { "NothingPending" };
        let mut findings = vec![
            Finding::new("Ready", ready, reason, message),
            Finding::new("Recorded", ready, reason, message),
            Finding::new(
                "RecordPending",
                pending,
                if pending { reason } else { not_pending },
                if pending { message } else { "" },
            ),
        ];
        findings.extend(more.iter().map(|type_| Finding::new(type_, true, reason, message)));
        findings
    };
    match finish {
        Finish::Recorded { version, .. } => {
            all(Truth::True, "Recorded", &format!("the broker says that {version} is deployed"), false, &[])
        }
        Finish::Released { waiting: Some(why), .. } => {
            let goes_on = matches!(why.reason, "RolloutInProgress" | "RolloutPaused" | "Mixed");
            all(Truth::False, why.reason, &why.message, false, if goes_on { &["Reconciling"] } else { &["Stalled"] })
        }
        Finish::Released { supported, waiting: None } => {
            let versions: Vec<_> = supported.iter().map(|recorded| recorded.version.as_str()).collect();
            all(Truth::True, "Recorded", &format!("the broker supports {}", versions.join(", ")), false, &[])
        }
        Finish::Waiting { why, .. } => {
            let more: &[&str] = match why.reason {
                "Mixed" => &["Mixed", "Reconciling"],
                "RolloutFailed" => &["Stalled"],
                _ => &["Reconciling"],
            };
            all(Truth::False, why.reason, &why.message, false, more)
        }
        Finish::Held(why) => all(Truth::False, why.reason, &why.message, false, &["Stalled"]),
        Finish::Pending { why, next_try, .. } => {
            let more: &[&str] = match why.reason {
                "VersionMissing" | "PacticipantMissing" => &["VersionMissing", "Reconciling"],
                _ => &["Reconciling"],
            };
            let message = format!("{}; next try by {next_try:.0}", why.message);
            all(Truth::False, why.reason, &message, true, more)
        }
        Finish::Contested { why, .. } => all(Truth::False, "Contested", &why.message, false, &["Contested", "Stalled"]),
        Finish::Orphaned { until, .. } => {
            let message = format!("no workload runs it any more; the record is taken back after {until:.0}");
            all(Truth::False, "Orphaned", &message, false, &["Orphaned", "Reconciling"])
        }
        // Nothing is left to be done, so all is well, though nothing (of ours) is recorded.
        Finish::Undeployed(why) | Finish::Kept(why) => vec![
            Finding::new("Ready", true, why.reason, &*why.message),
            Finding::new("Recorded", false, why.reason, &*why.message),
            Finding::new("RecordPending", false, "NothingPending", ""),
        ],
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
