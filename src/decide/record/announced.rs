//! What of a new status is announced: decided from the status before and the new one, so that no announcement disagrees
//! with what is remembered. They are written with that status, so none is lost, and no request is made for them. Pure.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

use super::BYPASSED;
use crate::{
    api::{
        PactDeployment, PactDeploymentStatus,
        condition::truncated,
        deployment::{ANNOUNCEMENTS_LIMIT, Announcement, Check, Member, Recorded},
    },
    decide::{
        announcement::{Kind, Sink},
        reason::Reason,
    },
};

/// How many workloads an announcement names.
const WORKLOADS_NAMED: usize = 5;
/// The longest message of an announcement, in bytes.
const LONGEST_MESSAGE: usize = 512;

/// What happened, and of which version.
struct News<'a> {
    kind: Kind,
    version: &'a str,
    previous: Option<&'a str>,
    members: &'a [Member],
    message: &'a str,
}

/// A status with the announcements of what is new in it. `object` has the status before. `judged` says whether verdicts
/// are announced: with the gate off, nobody wants to know. A status without news stays as it is.
#[must_use]
pub fn announced(
    object: Option<&PactDeployment>,
    mut after: PactDeploymentStatus,
    sinks: &[Sink],
    judged: bool,
    now: Timestamp,
) -> PactDeploymentStatus {
    let nothing = PactDeploymentStatus::default();
    let before = object.and_then(|object| object.status.as_ref());
    if before == Some(&after) {
        return after;
    }
    if sinks.is_empty() {
        // The marks stay: the numbers go on when there is a sink again.
        after.announcements.clear();
        return after;
    }
    let new: Vec<_> = news(before.unwrap_or(&nothing), &after, judged)
        .into_iter()
        .map(|News { kind, version, previous, members, message }| Announcement {
            sequence: 0,
            kind: kind.name().to_owned(),
            at: Time(now),
            version: version.to_owned(),
            previous_version: previous.map(str::to_owned),
            workloads: members.iter().take(WORKLOADS_NAMED).map(called).collect(),
            message: truncated(message, LONGEST_MESSAGE),
            sinks: sinks.iter().map(|sink| sink.name().to_owned()).collect(),
        })
        .collect();
    let newest = after.announcements.last().map_or(0, |last| last.sequence);
    // The last one stays, so that the numbers go on also where somebody removes the marks.
    after.announcements.retain(|one| one.sequence == newest || waits(object, one, sinks));
    let marks = object.into_iter().flat_map(|object| [Sink::CdEvents, Sink::Webhook].map(|sink| sink.mark(object)));
    let first = marks.fold(newest, i64::max).saturating_add(1);
    after.announcements.extend((first..).zip(new).map(|(sequence, new)| Announcement { sequence, ..new }));
    let over = after.announcements.len().saturating_sub(ANNOUNCEMENTS_LIMIT);
    after.announcements.drain(..over);
    after
}

/// How many announcements that wait for their delivery a new status does not have any more.
#[must_use]
pub fn dropped(object: Option<&PactDeployment>, after: &PactDeploymentStatus, sinks: &[Sink]) -> usize {
    let before = object.and_then(|object| object.status.as_ref()).map_or(&[][..], |status| &status.announcements);
    let kept = |one: &Announcement| after.announcements.iter().any(|kept| kept.sequence == one.sequence);
    before.iter().filter(|one| !kept(one) && waits(object, one, sinks)).count()
}

/// Whether an announcement waits for its delivery to one of the sinks.
fn waits(object: Option<&PactDeployment>, one: &Announcement, sinks: &[Sink]) -> bool {
    let Some(object) = object else { return false };
    sinks.iter().any(|sink| sink.waiting(object, 0).any(|waiting| waiting.sequence == one.sequence))
}

fn news<'a>(before: &'a PactDeploymentStatus, after: &'a PactDeploymentStatus, judged: bool) -> Vec<News<'a>> {
    let mut news: Vec<_> = recorded(before, after).into_iter().collect();
    if let Some(version) = &after.corrected_version
        && before.corrected_version != after.corrected_version
    {
        news.push(News { kind: Kind::Drift, version, previous: None, members: &after.members, message: "" });
    }
    if judged {
        let told = |check: &Check| {
            let same = |told: &Check| told.would_deny && told.version == check.version && told.verdict == check.verdict;
            before.checks.iter().any(same)
        };
        news.extend(after.checks.iter().filter(|check| check.would_deny && !told(check)).map(|check| {
            let members = &after.members;
            News { kind: Kind::WouldDeny, version: &check.version, previous: None, members, message: &check.message }
        }));
    }
    news.extend(bypassed(before, after));
    news
}

/// What changed of what is recorded.
fn recorded<'a>(before: &'a PactDeploymentStatus, after: &'a PactDeploymentStatus) -> Option<News<'a>> {
    let before_it = |version: &String| before.history.iter().any(|recorded| recorded.version == *version);
    let found = |new: &Recorded| if new.found { "another client had recorded it" } else { "" };
    match (&before.recorded, &after.recorded) {
        (None, Some(new)) => {
            let (kind, message) = (Kind::Deployed, found(new));
            Some(News { kind, version: &new.version, previous: None, members: &after.members, message })
        }
        (Some(old), Some(new)) if old.version != new.version => {
            let kind = if before_it(&new.version) { Kind::RolledBack } else { Kind::Upgraded };
            let (previous, message) = (Some(old.version.as_str()), found(new));
            Some(News { kind, version: &new.version, previous, members: &after.members, message })
        }
        (Some(old), None) => {
            let ready = condition(after, "Ready")?;
            // A workload runs it still, or the environment keeps its records for ever.
            if ready.reason == Reason::Unmanaged.as_str() {
                return None;
            }
            let (kind, members) = (Kind::Removed, &before.members);
            Some(News { kind, version: &old.version, previous: None, members, message: &ready.message })
        }
        _ => None,
    }
}

/// That another statement is in force than before.
fn bypassed<'a>(before: &'a PactDeploymentStatus, after: &'a PactDeploymentStatus) -> Option<News<'a>> {
    let statement = condition(after, BYPASSED)?;
    if condition(before, BYPASSED).is_some_and(|told| told.message == statement.message) {
        return None;
    }
    let version = after.desired_version.as_ref().or_else(|| after.members.iter().find_map(|it| it.version.as_ref()))?;
    Some(News { kind: Kind::Bypassed, version, previous: None, members: &after.members, message: &statement.message })
}

fn condition<'a>(status: &'a PactDeploymentStatus, type_: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|it| it.type_ == type_ && it.status == "True")
}

fn called(member: &Member) -> String {
    format!("{} {}/{}", member.kind, member.namespace, member.name)
}

#[cfg(test)]
#[path = "announced_tests.rs"]
mod tests;
