//! What the operator does about a workload that is held.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{
        gate::{GateAction, GateMode, HoldPolicy},
        names::Version,
    },
    decide::{
        Finding,
        admission::{Cause, OpenSubject},
        clocks::is_ahead,
        messages,
    },
    workload::{Held, Told},
};

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
    if let Some(version) = version.filter(|it| **it != held.version || is_ahead(held.since, now)) {
        return Step::Mark(Held::begin(version.clone(), held.by.clone(), now));
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

/// Why nobody can say that a workload that is paused may run, if so: a `PactEnvironment` that holds it, or each, does not claim
/// its namespace, or one that does cannot be followed. That may be so for a moment only, and is never a yes.
#[must_use]
pub fn unclear<'a>(
    held: Option<&Held>,
    claimants: impl Iterator<Item = &'a str>,
    can_be_followed: impl Fn(&str) -> bool,
) -> Option<String> {
    let claimants: BTreeSet<_> = claimants.collect();
    let gone = held.and_then(|held| held.by.iter().find(|name| !claimants.contains(name.as_str())));
    if let Some(name) = gone {
        return Some(format!("the PactEnvironment {name}, which holds it, does not claim its namespace"));
    }
    if claimants.is_empty() {
        return Some("no PactEnvironment claims its namespace".to_owned());
    }
    let broken = claimants.into_iter().find(|name| !can_be_followed(name))?;
    Some(format!("the PactEnvironment {broken}, which claims its namespace, cannot be followed"))
}

/// What to do about a hold while it is [`unclear`], for this reason, who can say that it may run.
#[must_use]
pub fn unclaimed(held: &Held, why: &str, now: Timestamp) -> Step {
    let limit = Duration::from_secs(HoldPolicy::default().deadline_seconds.into());
    if held.told.is_some() || now < held.since.saturating_add(limit).unwrap_or(Timestamp::MAX) {
        return Step::Wait;
    }
    Step::Tell(Told::Overdue, format!("{why}, so nobody can say that it may run"))
}

/// What to do about a pause of ours whose annotation cannot be read, at the version that the workload would run.
#[must_use]
pub fn unreadable(version: Option<&Version>, found: &[(OpenSubject, Finding)], now: Timestamp) -> Step {
    let holds = |(open, _): &&(OpenSubject, Finding)| open.rules.hold.is_some() && open.rules.mode == GateMode::Enforce;
    let by = found.iter().filter(holds).map(|(open, _)| open.subject.object.clone()).collect();
    version.map_or(Step::Wait, |version| Step::Mark(Held::begin(version.clone(), by, now)))
}

/// What to do about a hold of what has become the template of other pods since: that it holds nothing is told at once.
#[must_use]
pub fn of_template(step: Step, held: &Held) -> Step {
    match step {
        Step::Wait if held.told.is_none() => {
            let why = "a Rollout or a Canary that came later makes pods of it, does not look at its pause, and may run the \
                       version already";
            Step::Tell(Told::Overdue, why.to_owned())
        }
        other => other,
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
