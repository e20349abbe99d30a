//! What the operator does about a workload that is held.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::{
    api::{
        gate::{GateAction, GateMode},
        names::Version,
    },
    decide::{
        Finding,
        admission::{Cause, OpenSubject},
        messages,
    },
    workload::{Held, Told},
};

/// How far ahead of our clock a hold may begin: others write the time, too.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(1);

/// What the operator does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is resumed: every environment that holds says yes, or none holds it any more.
    Resume,
    /// The annotation is made right: another version waits than it says, or from another time.
    Mark(Held),
    /// This is reported, once, and noted in the annotation.
    Tell(Told, String),
    /// Nothing yet.
    Wait,
}

/// What the answer of one environment means for a hold.
enum Answered {
    /// It has nothing against the version.
    Yes,
    /// It will not have it as things stand.
    No(String),
    /// It is not known yet.
    NotYet(String),
}

/// What to do about a hold, by what each environment of the workload finds now: its subject, and what came of the
/// question. `version` is what the workload would run, where that is known.
#[must_use]
pub fn step(held: &Held, version: Option<&Version>, found: &[(OpenSubject, Finding)], now: Timestamp) -> Step {
    let answers: Vec<_> = found.iter().map(|(open, finding)| answered(open, finding)).collect();
    if answers.iter().all(|answer| matches!(answer, Answered::Yes)) {
        return Step::Resume;
    }
    if let Some(version) =
        version.filter(|it| **it != held.version || held.since > now.saturating_add(CLOCKS_DIFFER).unwrap_or(now))
    {
        return Step::Mark(Held::begin(version.clone(), now));
    }
    let refused = answers.iter().find_map(|answer| if let Answered::No(why) = answer { Some(why) } else { None });
    if let Some(why) = refused {
        return if held.told == Some(Told::Refused) { Step::Wait } else { Step::Tell(Told::Refused, why.clone()) };
    }
    let waits = answers.iter().find_map(|answer| if let Answered::NotYet(why) = answer { Some(why) } else { None });
    match waits {
        Some(why) if held.told.is_none() && now >= deadline(held, found) => Step::Tell(Told::Overdue, why.clone()),
        _ => Step::Wait,
    }
}

/// When it is reported that a hold lasts: at the first of the environments' deadlines; at once where none holds any more.
fn deadline(held: &Held, found: &[(OpenSubject, Finding)]) -> Timestamp {
    let limits = found.iter().filter_map(|(open, _)| open.rules.hold.as_ref());
    let limit = limits.map(|hold| Duration::from_secs(hold.deadline_seconds.into())).min().unwrap_or_default();
    held.since.saturating_add(limit).unwrap_or(Timestamp::MAX)
}

/// What an environment's finding means. Its mode is looked at as it is written: while the list of what runs is awaited,
/// nothing is denied, and that is not a yes.
fn answered(open: &OpenSubject, finding: &Finding) -> Answered {
    if open.rules.mode != GateMode::Enforce {
        return Answered::Yes;
    }
    let sentence = || messages::sentence(finding);
    match &finding.cause {
        Cause::Judged(judgement) if !judgement.verdict.answered() => Answered::NotYet(sentence()),
        Cause::Unclear(_) => Answered::NotYet(sentence()),
        Cause::Judged(judgement) if judgement.verdict.is_yes() && finding.wanted != GateAction::Deny => Answered::Yes,
        Cause::Judged(judgement) if judgement.verdict.deployable().is_none() && finding.would_deny() => {
            Answered::NotYet(sentence())
        }
        _ if finding.would_deny() => Answered::No(sentence()),
        Cause::Judged(_) | Cause::Problem(_) if finding.awaits_members => Answered::NotYet(sentence()),
        Cause::Judged(_) | Cause::Problem(_) => Answered::Yes,
    }
}

#[cfg(test)]
#[path = "step_tests.rs"]
mod tests;
