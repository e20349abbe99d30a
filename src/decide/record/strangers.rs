//! Members from namespaces for which a key was not recorded (cases 102 and 103): they run, and count as running for the
//! gate, but they neither hold up nor change the record of the others. Where an owner rule names the pacticipant, its
//! namespaces are no strangers.
//!
//! What the others run stays recorded, and is taken back when they are gone; then whoever is left is recorded.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use super::{member::MemberView, shown::show_members};
use crate::{
    api::{
        PactDeployment, PactDeploymentStatus,
        condition::{self, Finding},
        deployment::{Member, RECORDED_FOR_LIMIT},
        names::Version,
    },
    decide::reason::Reason,
};

/// How many strangers, and namespaces, a message names.
const SHOWN: usize = 3;

/// Why a member does not count: it is recorded for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// The version that is recorded.
    pub recorded: String,
    /// The namespaces for which it is.
    pub namespaces: Vec<String>,
}

/// The members of a key, with those marked that are strangers to its record; these come last. One that runs the recorded
/// version is none: it joins. Where nobody else is left, one that still rolls it out counts as well: it has pods of it, so
/// the record must not be taken back.
#[must_use]
pub fn with_strangers(members: Vec<MemberView>, status: Option<&PactDeploymentStatus>) -> Vec<MemberView> {
    let Some((recorded, namespaces)) = status.and_then(|it| Some((it.recorded.as_ref()?, &it.recorded_for))) else {
        return members;
    };
    // An object of an earlier version does not say for which namespaces it was recorded.
    if namespaces.is_empty() {
        return members;
    }
    let same = |member: &MemberView| member.version.as_ref().is_ok_and(|it| it.as_str() == recorded.version);
    let joins = |member: &MemberView| member.rollout.finished() && same(member);
    let counts = |member: &MemberView| member.owner || namespaces.contains(&member.workload.namespace) || joins(member);
    let (mut all, mut strangers): (Vec<_>, Vec<_>) = members.into_iter().partition(counts);
    if all.is_empty() {
        (all, strangers) = strangers.into_iter().partition(same);
    }
    let why = Stranger { recorded: recorded.version.clone(), namespaces: namespaces.clone() };
    all.extend(strangers.into_iter().map(|member| MemberView { stranger: Some(why.clone()), ..member }));
    all
}

/// Of members with strangers last: those that count for the record.
#[must_use]
pub fn counted(members: &[MemberView]) -> &[MemberView] {
    &members[..members.partition_point(|member| member.stranger.is_none())]
}

/// Of members with strangers last: the strangers.
#[must_use]
pub fn strangers(members: &[MemberView]) -> &[MemberView] {
    &members[counted(members).len()..]
}

/// The members in a status that counted for the record, but for those among `now` that are strangers to it now: what they
/// run says nothing of what became of the record.
pub fn counted_before<'a>(
    status: &'a PactDeploymentStatus,
    now: &'a [MemberView],
) -> impl Iterator<Item = &'a Member> + use<'a> {
    let is_now = |member: &&Member| {
        let same = |it: &MemberView| (&it.workload.namespace, &it.workload.name) == (&member.namespace, &member.name);
        !strangers(now).iter().any(|it| same(it) && it.workload.kind.kind() == member.kind)
    };
    status.members.iter().filter(|member| !is_stranger(member)).filter(is_now)
}

fn is_stranger(member: &Member) -> bool {
    member.problem.as_deref() == Some(Reason::Stranger.as_str())
}

/// The namespaces for which a key is recorded, given those from before and the members that count now. One that counts only
/// because nobody else is left joins when its rollout has finished. Of too many, those without a member are forgotten; if
/// there still are too many, all, so that nobody is a stranger.
#[must_use]
pub fn recorded_for(before: &[String], members: &[MemberView]) -> Vec<String> {
    let joins = |member: &&MemberView| {
        let known = before.is_empty() || before.contains(&member.workload.namespace);
        known || member.owner || member.rollout.finished()
    };
    let here: BTreeSet<_> = members.iter().filter(joins).map(|member| &member.workload.namespace).collect();
    let all: BTreeSet<_> = before.iter().chain(here.iter().copied()).collect();
    let few = [all, here].into_iter().find(|namespaces| namespaces.len() <= RECORDED_FOR_LIMIT);
    few.into_iter().flatten().cloned().collect()
}

/// What is said about strangers to one record; nothing about those that roll out the recorded version and will join.
#[must_use]
pub fn sentence(strangers: &[MemberView]) -> Option<String> {
    let runs_another = |member: &&MemberView| {
        let recorded = member.stranger.as_ref().map(|why| why.recorded.as_str());
        recorded != member.version.as_ref().ok().map(Version::as_str)
    };
    let strangers: Vec<_> = strangers.iter().filter(runs_another).collect();
    let first = strangers.first()?;
    let Stranger { recorded, namespaces } = first.stranger.as_ref()?;
    let who = strangers.iter().map(|member| match &member.version {
        Ok(version) => format!("{} ({version})", member.workload),
        Err(_) => format!("{} (without a version)", member.workload),
    });
    let (verb, remedy) = if strangers.len() == 1 {
        let namespace = &first.workload.namespace;
        ("does", format!("It joins once it has rolled out {recorded}, or once spec.owners names {namespace}"))
    } else {
        ("do", format!("Each joins once it has rolled out {recorded}, or once spec.owners names its namespace"))
    };
    let (who, namespaces) = (listed(who), listed(namespaces.iter().cloned()));
    Some(format!("{who} {verb} not count: {recorded} is recorded for {namespaces}. {remedy}"))
}

fn listed(texts: impl ExactSizeIterator<Item = String>) -> String {
    let more = texts.len().saturating_sub(SHOWN);
    let shown = texts.take(SHOWN).collect::<Vec<_>>().join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

/// The status before, with the members as they are now. Without any that count, those from before stay beside the
/// strangers: they must be gone for good before the record is taken back.
#[must_use]
pub fn show_all_members(before: Option<&PactDeployment>, members: &[MemberView]) -> PactDeploymentStatus {
    let mut status = before.and_then(|object| object.status.clone()).unwrap_or_default();
    if !counted(members).is_empty() {
        let shown = show_members(before, counted(members));
        (status.members, status.more_members) = (shown.members, shown.more_members);
    }
    show_strangers(&mut status, before, members);
    status
}

fn show_strangers(status: &mut PactDeploymentStatus, before: Option<&PactDeployment>, members: &[MemberView]) {
    status.members.retain(|member| !is_stranger(member));
    status.members.extend(show_members(before, strangers(members)).members);
}

/// Adds the strangers among the members to a status that has those that count, and the condition. `before` is the object
/// as it was.
pub fn add_strangers(
    status: &mut PactDeploymentStatus,
    before: Option<&PactDeployment>,
    members: &[MemberView],
    now: Timestamp,
) {
    show_strangers(status, before, members);
    let Some(sentence) = sentence(strangers(members)) else { return };
    let finding = Finding::new("Stranger", true, Reason::Stranger, sentence);
    let before = before.and_then(|object| object.status.as_ref()).map(|status| status.conditions.as_slice());
    let before = before.unwrap_or_default();
    status.conditions.extend(condition::conditions(before, &[finding], status.observed_generation, now));
}

#[cfg(test)]
#[path = "strangers_tests.rs"]
mod tests;
