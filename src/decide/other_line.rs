//! A name that obviously runs another line of versions. Kustomize's `commonAnnotations`, and annotations that a chart gives
//! all its objects, put one pacticipant on workloads that have nothing to do with each other: orders, postgres, redis.
//! They run images of different repositories, at versions that will never agree.
//!
//! What is kept for it is little: mostly an image is named as its pacticipant is, and only others are remembered.

use std::collections::BTreeSet;

use super::{
    messages::{brief, shortened},
    record::MemberView,
};
use crate::api::{
    PactDeploymentStatus,
    condition::is_true,
    deployment::RECORDED_IMAGES_LIMIT,
    names::{Pacticipant, Version},
};

/// How many workloads a hint names.
const SHOWN: usize = 3;
/// How long a hint about one workload may be, in characters.
const HINT: usize = 256;

/// Whether two repositories, without their registries, are of one line of versions: the same, or the same behind a proxy
/// that puts a path before it.
#[must_use]
pub fn same_line(one: &str, other: &str) -> bool {
    let behind = |long: &str, short: &str| long.strip_suffix(short).is_some_and(|rest| rest.ends_with('/'));
    one == other || behind(one, other) || behind(other, one)
}

/// Whether a repository has the name of a pacticipant, whatever stands between the words.
#[must_use]
pub fn named_like(repository: &str, pacticipant: &Pacticipant) -> bool {
    let plain = |text: &str| -> String {
        text.chars().filter(|it| it.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let last = |text: &str| plain(text.rsplit('/').next().unwrap_or_default());
    let (image, name) = (last(repository), pacticipant.as_str());
    image == plain(name) || image == last(name)
}

/// Takes in which repositories the recorded version runs, but for those that are named as the pacticipant is. While a rollout
/// is under way, or nobody knows an image, those from before stay.
pub fn remember(status: &mut PactDeploymentStatus, members: &[MemberView], pacticipant: &Pacticipant) {
    let Some(recorded) = &status.recorded else { return status.recorded_images.clear() };
    let runs_it = |member: &&MemberView| member.version.as_ref().is_ok_and(|it| it.as_str() == recorded.version);
    let images: BTreeSet<_> = members.iter().filter(runs_it).filter_map(|member| member.image.as_deref()).collect();
    if !is_true(&status.conditions, "Recorded") || images.is_empty() {
        return;
    }
    let others = images.into_iter().filter(|image| !named_like(image, pacticipant));
    status.recorded_images = others.take(RECORDED_IMAGES_LIMIT).map(str::to_owned).collect();
}

/// The hint about members that differ, if some of them obviously run another line of versions. `recorded` are the
/// repositories that were remembered when they last agreed: what was recorded together belongs together.
#[must_use]
pub fn of_members(members: &[MemberView], recorded: &[String]) -> Option<String> {
    let known = |image: &str| recorded.iter().any(|it| same_line(it, image));
    let running: Vec<(&MemberView, &Version, &str)> = members
        .iter()
        .filter_map(|member| Some((member, member.version.as_ref().ok()?, member.image.as_deref()?)))
        .collect();
    let differs = running.iter().any(|(_, version, image)| {
        running.iter().any(|(_, other_version, other_image)| {
            let together = known(image) && known(other_image);
            version != other_version && !same_line(image, other_image) && !together
        })
    });
    if !differs {
        return None;
    }
    // One of each line.
    let mut shown: Vec<(&MemberView, &str)> = Vec::new();
    for (member, _, image) in running {
        if !shown.iter().any(|(_, known)| same_line(known, image)) {
            shown.push((member, image));
        }
    }
    let more = shown.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let named = shown.iter().take(SHOWN).map(|(member, image)| format!("{} runs {}", member.workload, brief(image)));
    let named = named.collect::<Vec<_>>().join(", ");
    Some(format!(
        "{named}{more}: images of different repositories. A common annotation (Kustomize's commonAnnotations, one that a \
         chart gives all its objects) may have put the name there"
    ))
}

/// The repository of a workload that would run a version of a pacticipant, if it obviously is of another line than what is
/// recorded. `recorded` is what was remembered of that, `before` the repository that the same workload ran under this name.
#[must_use]
pub fn of_workload<'a>(
    image: Option<&'a str>,
    before: Option<&str>,
    pacticipant: &Pacticipant,
    recorded: &BTreeSet<String>,
) -> Option<&'a str> {
    let image = image.filter(|image| !named_like(image, pacticipant))?;
    let known = before.into_iter().chain(recorded.iter().map(String::as_str)).any(|known| same_line(known, image));
    (!known).then_some(image)
}

/// The hint about one workload, to stand as a sentence.
#[must_use]
pub fn hint(image: &str, pacticipant: &Pacticipant) -> String {
    let text = format!(
        "Its image {} is not the one that is recorded as {}: a common annotation (Kustomize's commonAnnotations, one that a \
         chart gives all its objects) may have put the name there.",
        brief(image),
        brief(pacticipant.as_str())
    );
    shortened(&text, HINT)
}

#[cfg(test)]
#[path = "other_line_tests.rs"]
mod tests;
