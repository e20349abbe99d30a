//! What Flagger's hooks are told: whether a Canary goes on, waits, or rolls back.
//!
//! The target of a Canary is judged as an admission review of its change would judge it now: what runs is the primary,
//! what would run is the target.

use super::{Cause, Decision, GroupVersionKind, OpenSubject, Operation, Purpose, Review, User};
use crate::{
    api::gate::{GateAction, GateMode},
    decide::Verdict,
    workload::{CanaryView, Workload, effective_primary},
};

/// A hook of a Canary's analysis that asks us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanaryHook {
    /// Before the target gets pods: a refusal is repeated for as long as it takes.
    ConfirmRollout,
    /// Before the first iteration: each refusal counts as a failed check.
    PreRollout,
    /// Before the primary gets the new version: a refusal is repeated for as long as it takes.
    ConfirmPromotion,
    /// At each iteration, and the other way round: to accept is to roll back.
    Rollback,
}

impl CanaryHook {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ConfirmRollout, Self::PreRollout, Self::ConfirmPromotion, Self::Rollback];

    /// As Flagger names its type.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConfirmRollout => "confirm-rollout",
            Self::PreRollout => "pre-rollout",
            Self::ConfirmPromotion => "confirm-promotion",
            Self::Rollback => "rollback",
        }
    }

    /// The hook of this type.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.name() == name)
    }

    /// What a decision comes to for this hook. Only a no that is certain rolls back: what is not known, or not there, is
    /// no reason to take away what serves already.
    #[must_use]
    pub fn advice(self, decision: &Decision) -> Advice {
        let decisive = decision.decisive();
        let denied = decisive.first().is_some_and(|finding| finding.action == GateAction::Deny);
        match self {
            Self::Rollback => {
                let failed = |cause: &Cause| matches!(cause, Cause::Judged(it) if it.verdict == Verdict::No);
                let certain = denied && decisive.iter().any(|finding| failed(&finding.cause));
                if certain { Advice::RollBack } else { Advice::GoOn }
            }
            Self::ConfirmRollout | Self::PreRollout | Self::ConfirmPromotion => {
                if denied {
                    Advice::Wait
                } else {
                    Advice::GoOn
                }
            }
        }
    }

    /// Whether Flagger is told that the hook passed.
    #[must_use]
    pub const fn passes(self, advice: Advice) -> bool {
        match self {
            Self::Rollback => matches!(advice, Advice::RollBack),
            Self::ConfirmRollout | Self::PreRollout | Self::ConfirmPromotion => matches!(advice, Advice::GoOn),
        }
    }
}

/// What Flagger should do with a Canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Go on with it.
    GoOn,
    /// Ask again later.
    Wait,
    /// Roll it back.
    RollBack,
}

/// The review of a Canary's change: from what the primary runs, with the target's annotations, to the target. Without a
/// primary, or with one of which it is not known what it is, everything in the target is new. `enforced` says that the
/// actions of the environments count as if each of them enforced them.
#[must_use]
pub fn canary_review(canary: &CanaryView, target: Workload, primary: Option<Workload>, enforced: bool) -> Review {
    let live = primary.filter(|primary| canary.has_primary(primary)).and_then(|primary| {
        let primary = effective_primary(&primary, &target, canary.promoted())?;
        Some(Workload { reference: target.reference.clone(), ..primary })
    });
    let kind = target.reference.kind;
    Review {
        uid: canary.metadata.uid.clone().unwrap_or_default(),
        kind: GroupVersionKind {
            group: kind.group().to_owned(),
            version: kind.version().to_owned(),
            kind: kind.kind().to_owned(),
        },
        subresource: false,
        namespace: target.reference.namespace.clone(),
        name: target.reference.name.clone(),
        operation: if live.is_some() { Operation::Update } else { Operation::Create },
        user: User::default(),
        field_manager: None,
        // What the environment says of dry-runs is not about Flagger's questions.
        dry_run: false,
        purpose: if enforced { Purpose::AsEnforced } else { Purpose::Ordinary },
        old: live,
        old_waits: false,
        new: Ok(target),
    }
}

/// What has to be asked for a hook. No bypass statement counts: it is not known whether whoever wrote the one that the target
/// carries now may bypass.
#[must_use]
pub fn for_hook(hook: CanaryHook, mut subjects: Vec<OpenSubject>) -> Vec<OpenSubject> {
    for open in &mut subjects {
        if hook != CanaryHook::Rollback && open.rules.mode == GateMode::Enforce {
            wait_without_an_answer(open);
        }
    }
    subjects
}

/// A hook that Canaries wait at is asked again until it passes, so it must not pass because once there was no answer. To
/// wait costs little: the primary serves meanwhile. For the same reason it waits although what runs is not listed yet.
const fn wait_without_an_answer(open: &mut OpenSubject) {
    let actions = &mut open.rules.actions;
    actions.broker_unavailable = GateAction::Deny;
    actions.unauthorized = GateAction::Deny;
    actions.environment_missing = GateAction::Deny;
    open.members_listed = true;
}

#[cfg(test)]
#[path = "canary_hook_tests.rs"]
mod tests;
