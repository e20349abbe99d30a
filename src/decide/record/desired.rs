//! What the broker should report about a key, determined by its members alone. Pure.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::member::{Hold, MemberView};
use crate::{
    api::names::Version,
    decide::reason::{Explanation, Reason},
    workload::{RolloutState, Told},
};

/// What the broker should report about a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Desired {
    /// No workload runs the pacticipant.
    NoWorkload,
    /// Nothing may be written: a person has to correct something first.
    Held(Explanation),
    /// Members are, or roll out to, different versions (case 35).
    Mixed(Explanation),
    /// A rollout is not finished; the broker's record is not changed.
    Unfinished {
        /// Why it is not finished.
        why: Explanation,
        /// The version that it rolls out to.
        version: Version,
        /// When to assess again although nothing changes.
        look_again: Option<Timestamp>,
    },
    /// Every member runs this version and nothing else.
    Runs(Version),
}

/// What the broker should report about the key of these members, for `record-deployment`.
///
/// A member that is being deleted no longer counts while others remain, and one without pods no longer counts while
/// another has some. Order of precedence: what a person has to correct, then differing versions, then unfinished
/// rollouts. A group is recorded once all members that count run one version.
///
/// Where no member has pods and they do not agree, nothing runs that could replace the `recorded` version: as long as a
/// member still has it, it stays, and the others cannot hold it up (case 102).
#[must_use]
pub fn desired(members: &[MemberView], recorded: Option<&Version>) -> Desired {
    if members.is_empty() {
        return Desired::NoWorkload;
    }
    if let Some(why) = held(members) {
        return Desired::Held(why);
    }
    let staying: Vec<_> = members.iter().filter(|member| member.rollout != RolloutState::Deleting).collect();
    let counted = voters(if staying.is_empty() { members.iter().collect() } else { staying });

    if let Some(recorded) = recorded.filter(|recorded| asleep_and_apart(&counted, recorded)) {
        return Desired::Runs(recorded.clone());
    }
    for member in &counted {
        if let Err(problem) = &member.version {
            return Desired::Held(Explanation::new(Reason::from(problem), format!("{}: {problem}", member.workload)));
        }
    }
    let versions: BTreeSet<_> = counted.iter().filter_map(|member| member.version.as_ref().ok()).collect();
    let Some(version) = versions.first().copied().cloned() else { return Desired::NoWorkload };
    if versions.len() > 1 {
        return Desired::Mixed(Explanation::new(Reason::Mixed, different(&counted)));
    }
    for member in &counted {
        if let Some((why, look_again)) = unfinished(member) {
            return Desired::Unfinished { why, version, look_again };
        }
    }
    Desired::Runs(version)
}

/// The members that count: one without pods does not while another has some (blue/green, scale to zero). If none has
/// pods, all count.
fn voters(members: Vec<&MemberView>) -> Vec<&MemberView> {
    let with_pods: Vec<_> = members.iter().copied().filter(|member| member.has_pods()).collect();
    if with_pods.is_empty() { members } else { with_pods }
}

/// Whether none of the members has pods, and one of them has the recorded version and another one not.
fn asleep_and_apart(members: &[&MemberView], recorded: &Version) -> bool {
    let keeps = |member: &&MemberView| member.version.as_ref() == Ok(recorded);
    !members.iter().any(|member| member.has_pods())
        && members.iter().any(|member| keeps(member) && member.rollout.finished())
        && !members.iter().all(keeps)
}

/// What should be supported, for `record-release`: versions are released independently of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredReleases {
    /// Versions that a member runs, with a finished rollout.
    pub supported: BTreeSet<Version>,
    /// Whether support of other versions may end: the version of every member that has pods is known, and its rollout
    /// finished.
    pub others_end: bool,
}

/// The versions that should be supported for the key of these members.
#[must_use]
pub fn desired_releases(members: &[MemberView]) -> DesiredReleases {
    let mut releases = DesiredReleases { supported: BTreeSet::new(), others_end: true };
    let some_have_pods = members.iter().any(MemberView::has_pods);
    for member in members {
        match &member.version {
            Ok(version) if member.rollout.finished() => {
                releases.supported.insert(version.clone());
            }
            // It runs nothing, so it cannot keep another version in support.
            _ if some_have_pods && !member.has_pods() => {}
            _ => releases.others_end = false,
        }
    }
    releases
}

/// Why the first member, by name, that is not recorded yet has to wait, and when to assess again although nothing
/// changes. Where versions are released, the other members are recorded all the same. One without pods does not count
/// while another has some.
#[must_use]
pub fn standing(members: &[MemberView]) -> (Option<Explanation>, Option<Timestamp>) {
    for member in voters(members.iter().collect()) {
        match (&member.version, unfinished(member)) {
            (Err(problem), _) => {
                return (
                    Some(Explanation::new(Reason::from(problem), format!("{}: {problem}", member.workload))),
                    None,
                );
            }
            (Ok(_), Some((why, look_again))) => return (Some(why), look_again),
            (Ok(_), None) => {}
        }
    }
    (None, None)
}

/// Why nothing may be written about a key with these members, if anything forbids it. A member without pods forbids
/// nothing while another has some.
#[must_use]
pub fn held(members: &[MemberView]) -> Option<Explanation> {
    voters(members.iter().collect()).into_iter().find_map(|member| {
        let Hold::Conflicted(claimants) = member.hold.as_ref()?;
        Some(Explanation::new(
            Reason::Conflicted,
            format!(
                "namespace {} is claimed by {}; nothing is recorded until only one does, or each says overlap: Allow",
                member.workload.namespace,
                claimants.join(", ")
            ),
        ))
    })
}

/// Why a member's rollout is not finished, and when to assess again although nothing changes.
fn unfinished(member: &MemberView) -> Option<(Explanation, Option<Timestamp>)> {
    let workload = &member.workload;
    let (reason, message, look_again) = match &member.rollout {
        RolloutState::Complete | RolloutState::ScaledToZero => return None,
        RolloutState::Progressing { message } => (Reason::RolloutInProgress, format!("{workload}: {message}"), None),
        RolloutState::Terminating { until, remaining } => (
            Reason::RolloutInProgress,
            format!("{workload}: {remaining} old pods still terminate and may still answer"),
            Some(*until),
        ),
        RolloutState::Mixed { message } => (Reason::Mixed, format!("{workload}: {message}"), None),
        RolloutState::Paused if let Some(held) = &member.held => {
            let so_far = match held.told {
                Some(Told::Refused) => "the answer is no, see its Events",
                Some(Told::Overdue) => "its deadline passed",
                None => "it resumes by itself",
            };
            let message = format!(
                "{workload} is held at {} since {}: paused until that may run; {so_far}",
                held.version, held.since
            );
            (Reason::RolloutHeld, message, None)
        }
        RolloutState::Paused => {
            (Reason::RolloutPaused, format!("{workload} is paused; it is recorded once resumed and finished"), None)
        }
        RolloutState::Failed { message } => (
            Reason::RolloutFailed,
            format!("{workload}: {message}; the record stays as it is until a rollout finishes"),
            None,
        ),
        RolloutState::Deleting => (Reason::RolloutInProgress, format!("{workload} is being deleted"), None),
    };
    Some((Explanation::new(reason, message), look_again))
}

fn different(members: &[&MemberView]) -> String {
    let mut list: Vec<String> = members
        .iter()
        .take(4)
        .filter_map(|member| Some(format!("{} has {}", member.workload, member.version.as_ref().ok()?)))
        .collect();
    if members.len() > 4 {
        list.push(format!("{} more", members.len() - 4));
    }
    format!(
        "{}; one version is recorded once all run it. Permanent copies need their own {}",
        list.join(", "),
        crate::api::annotations::APPLICATION_INSTANCE
    )
}

#[cfg(test)]
#[path = "desired_tests.rs"]
mod tests;
