//! The members that a status shows: all of them, or those that the gate needs to know of, and how many more there are
//! (case 115).

use std::collections::{BTreeSet, HashMap};

use super::member::MemberView;
use crate::api::{
    PactDeployment, PactDeploymentStatus,
    deployment::{EARLIER_LIMIT, MEMBERS_LIMIT, Member},
};

/// What distinguishes a workload from all others.
type Id<'a> = (&'a str, &'a str, &'a str);

fn id(member: &Member) -> Id<'_> {
    (&member.kind, &member.namespace, &member.name)
}

/// The status before, with the members as they are now.
#[must_use]
pub fn show_members(before: Option<&PactDeployment>, members: &[MemberView]) -> PactDeploymentStatus {
    let mut status = before.and_then(|object| object.status.clone()).unwrap_or_default();
    let then: HashMap<Id<'_>, &Member> = status.members.iter().map(|member| (id(member), member)).collect();
    let now = members.iter().map(|member| {
        let now = member.shown();
        let earlier_versions = earlier(then.get(&id(&now)).copied(), member, &now);
        Member { earlier_versions, ..now }
    });
    let all: Vec<Member> = now.collect();
    let more = all.len().saturating_sub(MEMBERS_LIMIT);
    let shown = if more == 0 { all } else { chosen(all, &then.into_keys().collect()) };
    status.members = shown;
    status.more_members = i32::try_from(more).ok().filter(|more| *more > 0);
    status
}

/// The members to show where there are too many: one for each thing that may run, then those that were shown before, so
/// that newcomers push nobody out, then the others by name.
fn chosen(all: Vec<Member>, before: &BTreeSet<Id<'_>>) -> Vec<Member> {
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by_key(|&at| !before.contains(&id(&all[at])));
    let mut seen = BTreeSet::new();
    let telling = |&at: &usize| {
        let Member { version, earlier_versions, rollout, without_pods, .. } = &all[at];
        seen.insert((version.clone(), earlier_versions.clone(), rollout.clone(), *without_pods))
    };
    let (telling, others): (Vec<_>, Vec<_>) = order.into_iter().partition(telling);
    let chosen: BTreeSet<usize> = telling.into_iter().chain(others).take(MEMBERS_LIMIT).collect();
    let numbered = all.into_iter().enumerate();
    numbered.filter(|(at, _)| chosen.contains(at)).map(|(_, member)| member).collect()
}

/// The versions of which a member may still have pods: those that its revisions name, and those that it had since its last
/// finished rollout.
fn earlier(then: Option<&Member>, member: &MemberView, now: &Member) -> Vec<String> {
    if member.rollout.finished() {
        return Vec::new();
    }
    let left = then.into_iter().flat_map(|then| then.version.iter().chain(&then.earlier_versions));
    let mut versions: Vec<String> = Vec::new();
    for version in now.earlier_versions.iter().chain(left) {
        if Some(version) != now.version.as_ref() && !versions.contains(version) {
            versions.push(version.clone());
        }
    }
    versions.truncate(EARLIER_LIMIT);
    versions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decide::record::fixtures::{key, member, progressing},
        workload::RolloutState,
    };

    fn object(status: PactDeploymentStatus) -> PactDeployment {
        let mut object = PactDeployment::new("name", key("production", "orders").spec());
        object.status = Some(status);
        object
    }

    fn finished(number: usize) -> MemberView {
        member(&format!("m-{number:03}"), Ok("1"), RolloutState::Complete)
    }

    #[test]
    fn case_115_fifty_members_are_shown_and_the_others_counted() {
        let members: Vec<_> = (0..MEMBERS_LIMIT + 7).map(finished).collect();
        let all = show_members(None, &members[..MEMBERS_LIMIT]);
        assert_eq!((all.members.len(), all.more_members), (MEMBERS_LIMIT, None));
        let status = show_members(None, &members);
        assert_eq!((status.members.len(), status.more_members), (MEMBERS_LIMIT, Some(7)));
        let fewer = show_members(Some(&object(status)), &members[..3]);
        assert_eq!((fewer.members.len(), fewer.more_members), (3, None));
    }

    #[test]
    fn case_115_every_version_that_may_run_is_shown_and_newcomers_push_nobody_out() {
        let before: Vec<_> = (100..100 + MEMBERS_LIMIT).map(finished).collect();
        let shown = object(show_members(None, &before));
        let mut members: Vec<_> = (0..20).map(finished).collect();
        members.extend(before);
        members.push(member("z-rolls-out", Ok("2"), progressing()));
        members.push(member("z-sleeps", Ok("3"), RolloutState::ScaledToZero));
        let status = show_members(Some(&shown), &members);
        let names: Vec<_> = status.members.iter().map(|member| member.name.as_str()).collect();
        assert!(names.contains(&"z-rolls-out") && names.contains(&"z-sleeps"), "{names:?}");
        assert!(!names.iter().any(|name| name.starts_with("m-0")), "{names:?}");
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(status.more_members, Some(22));
        assert_eq!(show_members(Some(&object(status.clone())), &members), status, "the same again");
    }
}
