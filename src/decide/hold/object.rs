//! What becomes of an object at admission: whether it is paused, stays so, or is let go.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;

use crate::{
    api::{gate::GateAction, names::Version},
    decide::{
        Decision, Outcome, Verdict,
        admission::{Bypass, Cause, Review, Spared, subject::as_before},
    },
    workload::{Held, RolloutState, Workload, named},
};

/// How the API server names service accounts.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";
/// The names under which kubectl writes when a person changes one field of an object. What applies a whole manifest has
/// others, and does not mean the pause.
const BY_HAND: [&str; 3] = ["kubectl-rollout", "kubectl-patch", "kubectl-edit"];

/// What the mutating webhook changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    None,
    /// It is paused, with this annotation.
    Hold(Held),
    /// Our pause and our annotation go.
    Release,
}

/// Who ends a pause of ours at an unchanged version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumption {
    /// A person, who changes just that.
    ByHand,
    /// Somebody who applies a manifest that does not know of the pause.
    ByManifest,
}

/// What becomes of an object whatever the broker says; `None` where it has to be asked.
#[must_use]
pub fn before(review: &Review) -> Option<Change> {
    let Ok(new) = &review.new else { return Some(Change::None) };
    if !Held::is_possible(new.reference.kind) || new.deleting || !new.annotated() {
        return Some(Change::None);
    }
    let stated = review.old.as_ref().is_some_and(|old| states_bypass(old, new));
    if let Some(change) = kept(review).filter(|_| !stated) {
        return Some(change);
    }
    // The pause of its owner is neither made nor ended here.
    (new.paused && Held::of(new).is_none()).then_some(Change::None)
}

/// What becomes of an object after its version was asked about.
#[must_use]
pub fn asked(review: &Review, decision: &Decision, now: Timestamp) -> Change {
    let Ok(new) = &review.new else { return Change::None };
    // With a bypass that does not count it is as without.
    if let Some(change) = kept(review).filter(|_| !matches!(decision.bypass, Bypass::Counts(_))) {
        return change;
    }
    let (was, is) = (was_held(review).map(|(was, _)| was), Held::of(new));
    let hold = |held: Held| if is.as_ref() == Some(&held) { Change::None } else { Change::Hold(held) };
    if let Some(version) = holdable(review, decision) {
        let known = is.iter().chain(&was).find(|held| held.version == *version).cloned();
        let begun = Held::begin(version.clone(), holders(decision), now);
        return hold(known.map_or(begun.clone(), |held| Held { told: None, by: &held.by | &begun.by, ..held }));
    }
    if decision.outcome == Outcome::Denied {
        return Change::None;
    }
    // Only the operator lets a version go that waits: an answer that merely is no denial is not a yes.
    let ends = is.is_some() || (was.is_some() && new.annotations.held.is_some());
    let waits = |held: &Held| versions(decision).any(|version| *version == held.version);
    match was.filter(waits) {
        Some(was) => hold(was),
        None if ends => Change::Release,
        None => Change::None,
    }
}

/// What becomes of what is held while its template stays, without a bypass: only a person ends the pause. `None` where nothing
/// is held, or the template changes.
#[must_use]
pub fn kept(review: &Review) -> Option<Change> {
    let ((was, old), Ok(new)) = (was_held(review)?, &review.new) else { return None };
    // The annotation cannot be taken away alone: whoever resumed it afterwards would not be judged.
    let stays = || Held::of(new).is_some_and(|held| held.version == was.version) || by_hand(review, old, new);
    same_template(old, new).then(|| if stays() { Change::None } else { Change::Hold(was.clone()) })
}

/// The review as the validating webhook, and the mutating one, ask about it: what is held does not run, so nothing of it is
/// known to be fine. `None` where it is asked about as it is.
#[must_use]
pub fn judged_anew(review: &Review) -> Option<Review> {
    let ((_, old), Ok(new)) = (was_held(review)?, &review.new) else { return None };
    let stays = new.paused && same_template(old, new) && !states_bypass(old, new);
    (!stays).then(|| Review { old_waits: true, ..review.clone() })
}

/// Who ends the pause of what is held, if anybody does.
#[must_use]
pub fn resumes(review: &Review) -> Option<Resumption> {
    let ((_, old), Ok(new)) = (was_held(review)?, &review.new) else { return None };
    if new.paused || !same_template(old, new) {
        return None;
    }
    Some(if by_hand(review, old, new) { Resumption::ByHand } else { Resumption::ByManifest })
}

/// What is held, where a manifest ends its pause. The mutating webhook keeps it, so it was not asked: it is down, or was not
/// ready. The change waits for it then, unless the version may run.
#[must_use]
pub fn let_go_by_manifest(review: &Review) -> Option<Held> {
    (resumes(review) == Some(Resumption::ByManifest)).then(|| was_held(review).map(|(held, _)| held)).flatten()
}

/// The decision as it is about what is held.
#[must_use]
pub fn as_held(review: &Review, decision: Decision) -> Decision {
    if let_go_by_manifest(review).is_some() {
        return decision.barring();
    }
    match admits(review, &decision) {
        Some(why) => decision.sparing(why),
        None => decision,
    }
}

/// Why the validating webhook admits what a decision denies, if it does: it is held for exactly this version, or a person
/// resumes it while the answer is not a no.
#[must_use]
pub fn admits(review: &Review, decision: &Decision) -> Option<Spared> {
    let new = review.new.as_ref().ok()?;
    if decision.outcome != Outcome::Denied {
        return None;
    }
    if let Some(held) = Held::of(new).filter(|_| Held::is_possible(new.reference.kind))
        && holdable(review, decision) == Some(&held.version)
    {
        return Some(Spared::Held);
    }
    let denies = decision.findings.iter().filter(|finding| finding.action == GateAction::Deny);
    let mut refused =
        denies.filter(|it| matches!(&it.cause, Cause::Judged(judgement) if judgement.verdict == Verdict::No));
    (resumes(review) == Some(Resumption::ByHand) && refused.next().is_none()).then_some(Spared::ByHand)
}

/// Whether a hold keeps pods that serve, and of one version: the object is changed, has and asks for pods, and no rollout of
/// another version is half done. At zero the controller may scale up an older template than the one that ran last.
#[must_use]
pub fn keeps_pods(review: &Review) -> bool {
    let (Some(old), Ok(new)) = (&review.old, &review.new) else { return false };
    let settled = old.rollout.finished() || matches!(old.rollout, RolloutState::Terminating { .. });
    !new.at_zero && !old.without_pods && (settled || was_held(review).is_some())
}

/// The version that is held instead of denied: where every environment that denies it holds it, and all see one version. Not
/// where a name goes: nobody would ask about it any more when the result comes.
fn holdable<'a>(review: &Review, decision: &'a Decision) -> Option<&'a Version> {
    if !keeps_pods(review) || !names_stay(review) {
        return None;
    }
    let decisive = decision.decisive();
    if decision.outcome != Outcome::Denied || !decisive.iter().all(|finding| finding.may_hold) {
        return None;
    }
    let mut versions = decisive.iter().filter_map(|finding| Some(&finding.subject.identified.as_ref().ok()?.version));
    let first = versions.next()?;
    versions.all(|version| version == first).then_some(first)
}

/// Whether the object names each pacticipant that it named. Without the annotation it is judged as with it.
fn names_stay(review: &Review) -> bool {
    let (Some(old), Ok(new)) = (&review.old, &review.new) else { return true };
    let now = named(&as_before(old, new));
    named(old).iter().all(|name| now.contains(name))
}

/// The environments that hold what `decision` would deny.
fn holders(decision: &Decision) -> BTreeSet<String> {
    decision.decisive().iter().map(|finding| finding.subject.object.clone()).collect()
}

fn versions(decision: &Decision) -> impl Iterator<Item = &Version> {
    decision.findings.iter().filter_map(|finding| Some(&finding.subject.identified.as_ref().ok()?.version))
}

/// The hold of the object as it is, and that object.
fn was_held(review: &Review) -> Option<(Held, &Workload)> {
    let old = review.old.as_ref().filter(|old| Held::is_possible(old.reference.kind))?;
    Some((Held::of(old)?, old))
}

/// Whether a person ends our pause, and changes just that. A manifest that is applied loses the annotation, too, or has a
/// `paused` of its own that its author did not think of as an answer to ours.
fn by_hand(review: &Review, old: &Workload, new: &Workload) -> bool {
    let person = !review.user.username.starts_with(SERVICE_ACCOUNT);
    let manager = review.field_manager.as_deref().unwrap_or_default();
    let just_that = !new.paused && new.annotations.held == old.annotations.held;
    person && just_that && (manager.is_empty() || BY_HAND.contains(&manager))
}

/// Whether a change of what is held states a bypass, which then has to be looked at: one that is new, or with which somebody
/// ends the pause.
fn states_bypass(old: &Workload, new: &Workload) -> bool {
    let (was, is) = (&old.annotations.bypass, &new.annotations.bypass);
    is.is_some() && (is != was || !new.paused)
}

/// Whether both have pods of the same version, as far as anybody can tell.
fn same_template(old: &Workload, new: &Workload) -> bool {
    old.containers == new.containers
        && old.annotations.same_identity(&new.annotations)
        && old.version_label == new.version_label
        && old.default_container == new.default_container
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
