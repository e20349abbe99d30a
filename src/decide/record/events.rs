//! The Events of workloads about their record: for each result of a pass.

use operator_kit::events::Event;

use super::{
    member::MemberView,
    state::{RecordState, Write},
    strangers,
};
use crate::{decide::reason::Reason, workload::RecordKey};

/// The Event of a state on a member.
#[must_use]
pub fn event(key: &RecordKey, member: &MemberView, state: &RecordState) -> Option<Event<'static>> {
    let warning = |reason: Reason, note: String, once_key: String| {
        Some(Event {
            reason: reason.as_str(),
            action: "Record",
            warning: true,
            note,
            once_key: format!("{} {once_key}", key.object_name()),
        })
    };
    if member.stranger.is_some() {
        let sentence = strangers::sentence(std::slice::from_ref(member))?;
        return warning(Reason::Stranger, format!("{key}: {sentence}"), sentence);
    }
    match state {
        RecordState::Recorded { write: Write::None, .. } => None,
        RecordState::Recorded { version, uuid, write } => {
            let corrected = if *write == Write::Correction { "; another client's record was corrected" } else { "" };
            Some(Event {
                reason: Reason::Recorded.as_str(),
                action: "Record",
                warning: false,
                note: format!("version {version} of {key} is recorded as deployed{corrected}"),
                once_key: format!("{} {uuid}", key.object_name()),
            })
        }
        RecordState::Released { supported, .. } => {
            let version = match &member.version {
                Ok(version) => version,
                Err(problem) => {
                    return warning(
                        Reason::from(problem),
                        format!("nothing is recorded for {key}: {problem}"),
                        problem.to_string(),
                    );
                }
            };
            let release = supported.iter().find(|recorded| recorded.version == version.as_str())?;
            Some(Event {
                reason: Reason::Recorded.as_str(),
                action: "Record",
                warning: false,
                note: format!("version {version} of {key} is recorded as released"),
                once_key: format!("{} {}", key.object_name(), release.uuid.clone().unwrap_or_default()),
            })
        }
        RecordState::Pending { why, version: Some(version), .. } => match why.reason {
            Reason::VersionMissing | Reason::PacticipantMissing => {
                warning(why.reason, why.message.clone(), version.to_string())
            }
            reason => warning(
                Reason::RecordFailed,
                format!("version {version} of {key} is not recorded yet: {}", why.message),
                format!("{version} {reason}"),
            ),
        },
        RecordState::Held(why) => match &member.version {
            Err(problem) => {
                warning(Reason::from(problem), format!("nothing is recorded for {key}: {problem}"), problem.to_string())
            }
            Ok(_) if why.reason == Reason::Conflicted => warning(
                Reason::Conflicted,
                format!("nothing is recorded for {key}: {}", why.message),
                why.message.clone(),
            ),
            Ok(_) => None,
        },
        RecordState::Waiting { why, .. } if why.reason == Reason::Mixed && member.rollout.finished() => {
            warning(Reason::Mixed, format!("nothing is recorded for {key}: {}", why.message), why.message.clone())
        }
        RecordState::Waiting { why, version: Some(version) } if why.reason == Reason::RolloutFailed => warning(
            why.reason,
            format!("version {version} of {key} is not recorded: {}", why.message),
            version.to_string(),
        ),
        RecordState::Contested { why, version } => warning(Reason::Contested, why.message.clone(), version.to_string()),
        RecordState::Pending { .. }
        | RecordState::Waiting { .. }
        | RecordState::Orphaned { .. }
        | RecordState::UndeployHeld { .. }
        | RecordState::Undeployed(_)
        | RecordState::Kept(_) => None,
    }
}

/// The Event on the `PactDeployment` when no workload is left.
#[must_use]
pub fn last_event(key: &RecordKey, state: &RecordState) -> Option<Event<'static>> {
    let (reason, note, once_key) = match state {
        RecordState::Orphaned { since, until } => (
            Reason::Orphaned,
            format!("no workload runs {key} any more; its record is taken back after {until:.0}"),
            since.to_string(),
        ),
        RecordState::UndeployHeld { why, .. } => {
            (why.reason, format!("{key}: {}", why.message), why.reason.to_string())
        }
        // Published once for each distinct message: the object's resource version would differ, the state's messages do
        // not.
        RecordState::Undeployed(why) | RecordState::Kept(why) if why.reason != Reason::NothingRecorded => {
            (why.reason, format!("{key}: {}", why.message), why.message.clone())
        }
        _ => return None,
    };
    Some(Event { reason: reason.as_str(), action: "Record", warning: false, note, once_key })
}

#[cfg(test)]
#[path = "events_tests.rs"]
mod tests;
