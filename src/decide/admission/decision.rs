//! From verdicts to one answer: what the environment's policy makes of each, how far its mode lets it go, and what
//! several of them come to together.

use super::{Basis, Bypass, GateRules, Problem, Subject, Unclear};
use crate::{
    api::gate::{DryRun, GateAction, GateActions, GateMode, RollbackPolicy},
    decide::{Judgement, Question, Verdict, hold},
    workload::VersionProblem,
};

/// Why something is not simply a yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// What was asked, and what came back.
    Judged(Judgement),
    /// Nothing could be asked.
    Problem(Problem),
    /// It is not known whether, or how, the environment judges it.
    Unclear(Unclear),
}

impl Cause {
    /// The cause in one word, for a status, a log line and a metric: the verdict's name, or the problem's kind.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Judged(judgement) => judgement.verdict.name(),
            Self::Problem(Problem::Version {
                problem: VersionProblem::Mismatch { .. } | VersionProblem::Stale { .. },
                ..
            }) => "VersionMismatch",
            Self::Problem(Problem::NotOwned(_)) => "NotOwned",
            Self::Problem(Problem::Identity(_) | Problem::Version { .. }) => "Unidentified",
            Self::Unclear(unclear) => unclear.name(),
        }
    }

    /// Whether the version may be deployed; `None` where that is not known.
    #[must_use]
    pub const fn deployable(&self) -> Option<bool> {
        match self {
            Self::Judged(judgement) => judgement.verdict.deployable(),
            Self::Problem(_) => Some(false),
            Self::Unclear(_) => None,
        }
    }
}

/// What one subject of a review came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The subject.
    pub subject: Subject,
    /// The verdict, or why there is none.
    pub cause: Cause,
    /// What the environment's policy does about it, whatever its mode.
    pub wanted: GateAction,
    /// What is done about it in the mode that is in force.
    pub action: GateAction,
    /// The mode that is in force.
    pub mode: GateMode,
    /// What was asked, if anything was.
    pub asked: Option<Question>,
    /// Whether the mode is `Enforce` and only waits for the list of what runs.
    pub awaits_members: bool,
    /// Whether the environment holds instead of denying here: only a verification has no result yet.
    pub may_hold: bool,
    /// Why it is admitted although the action would be `Deny`, if so.
    pub spared: Option<Spared>,
}

/// Why a rollout is admitted that the policy denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spared {
    /// It is held: paused until the answer is yes.
    Held,
    /// A person resumes it by hand.
    ByHand,
    /// It is a dry-run, of which the environment denies none.
    DryRun,
}

impl Finding {
    /// Judges one subject under the rules of its environment. `members_listed` says whether all that runs in
    /// the environment was listed: before that, a version that runs may be missing in every answer, so nothing is
    /// denied.
    #[must_use]
    pub fn new(subject: Subject, cause: Cause, rules: &GateRules, members_listed: bool) -> Self {
        let wanted = wanted(&cause, subject.basis, rules);
        let mode = in_force(rules.mode, members_listed);
        let (action, awaits_members) = (capped(wanted, mode), mode != rules.mode);
        let may_hold = action == GateAction::Deny && rules.hold.is_some() && hold::awaits_verification(&cause);
        Self { subject, cause, wanted, action, mode, asked: None, awaits_members, may_hold, spared: None }
    }

    /// The same finding about a dry-run: where the environment says so, it is warned about at most.
    #[must_use]
    pub fn of_dry_run(self, rules: &GateRules) -> Self {
        if rules.dry_run == DryRun::Full || self.action != GateAction::Deny {
            return self;
        }
        Self { action: GateAction::Warn, spared: Some(Spared::DryRun), ..self }
    }

    /// Whether the version may be deployed under the policy, whatever the mode; `None` where that is not known. What the
    /// policy denies may not be, although the broker says yes.
    #[must_use]
    pub fn deployable(&self) -> Option<bool> {
        self.cause.deployable().map(|deployable| deployable && !self.would_deny())
    }

    /// Whether it would be denied, or is, if nothing but the policy counted.
    #[must_use]
    pub fn would_deny(&self) -> bool {
        self.wanted == GateAction::Deny
    }
}

/// What the policy does about a cause, whatever the mode.
#[must_use]
pub fn wanted(cause: &Cause, basis: Basis, rules: &GateRules) -> GateAction {
    let action = match cause {
        Cause::Judged(judgement) => of_judgement(judgement, &rules.actions),
        Cause::Problem(Problem::Version {
            problem: VersionProblem::Mismatch { .. } | VersionProblem::Stale { .. },
            ..
        }) => rules.actions.version_mismatch,
        Cause::Problem(_) => rules.actions.unidentified,
        Cause::Unclear(_) => rules.actions.broker_unavailable,
    };
    match (basis, rules.rollback) {
        (Basis::Unchanged | Basis::Recorded, _) | (Basis::Former, RollbackPolicy::Skip) => GateAction::Allow,
        (Basis::Former, RollbackPolicy::Warn) => action.min(GateAction::Warn),
        (Basis::Former, RollbackPolicy::Enforce) | (Basis::New, _) => action,
    }
}

fn of_judgement(judgement: &Judgement, actions: &GateActions) -> GateAction {
    match judgement.verdict {
        Verdict::Yes => GateAction::Allow,
        Verdict::YesVacuous => actions.yes_vacuous,
        Verdict::No => actions.failed,
        Verdict::Unknown => actions.unknown,
        Verdict::VersionMissing => actions.version_missing,
        // A name with a slip does not say which pacticipant it is; a new name may be right.
        Verdict::PacticipantUnknown if judgement.meant.is_some() => {
            actions.pacticipant_unknown.max(actions.unidentified)
        }
        Verdict::PacticipantUnknown => actions.pacticipant_unknown,
        Verdict::EnvironmentMissing => actions.environment_missing,
        Verdict::Unauthorized => actions.unauthorized,
        Verdict::BrokerUnavailable => actions.broker_unavailable,
    }
}

/// The mode that is in force: `Enforce` behaves as `Warn` until all that runs was listed.
#[must_use]
pub fn in_force(mode: GateMode, members_listed: bool) -> GateMode {
    if mode == GateMode::Enforce && !members_listed { GateMode::Warn } else { mode }
}

/// What a mode leaves of an action.
#[must_use]
pub fn capped(action: GateAction, mode: GateMode) -> GateAction {
    match mode {
        GateMode::Off | GateMode::Audit => GateAction::Allow,
        GateMode::Warn => action.min(GateAction::Warn),
        GateMode::Enforce => action,
    }
}

/// Whether there is anything to find out about a subject: not when what is known says enough, or the mode is off.
#[must_use]
pub fn must_be_asked(subject: &Subject, rules: &GateRules) -> bool {
    match (rules.mode, subject.basis) {
        (GateMode::Off, _) | (_, Basis::Unchanged | Basis::Recorded) => false,
        (_, Basis::Former) => rules.rollback != RollbackPolicy::Skip,
        (_, Basis::New) => true,
    }
}

/// How a review is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Admitted without warnings.
    Allowed,
    /// Admitted with warnings.
    Warned,
    /// Denied.
    Denied,
}

/// What all subjects of a review came to together: the rollout is admitted only if all of them are.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The answer.
    pub outcome: Outcome,
    /// The findings, the weightiest first: by what is done, then by what the policy wants, then in the order of the
    /// environments and pacticipants.
    pub findings: Vec<Finding>,
    /// What the workload's statement came to. One that counts is about none of the findings.
    pub bypass: Bypass,
}

impl Decision {
    /// The decision on the findings of one review that makes no statement.
    #[must_use]
    pub fn over(mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse((finding.action, finding.wanted)));
        let outcome = match findings.first().map(|finding| finding.action) {
            Some(GateAction::Deny) => Outcome::Denied,
            Some(GateAction::Warn) => Outcome::Warned,
            Some(GateAction::Allow) | None => Outcome::Allowed,
        };
        Self { outcome, findings, bypass: Bypass::Unstated }
    }

    /// The decision that admits what this one denies, with warnings, and why.
    #[must_use]
    pub fn sparing(mut self, why: Spared) -> Self {
        for finding in self.findings.iter_mut().filter(|finding| finding.action == GateAction::Deny) {
            finding.action = GateAction::Warn;
            finding.spared = Some(why);
        }
        self.outcome = self.outcome.min(Outcome::Warned);
        self
    }

    /// The decision that denies also what this one only warns about for want of an answer.
    #[must_use]
    pub fn barring(mut self) -> Self {
        for finding in &mut self.findings {
            let is_yes = matches!(&finding.cause, Cause::Judged(judgement) if judgement.verdict.is_yes());
            let enforces = finding.mode == GateMode::Enforce || finding.awaits_members;
            if finding.action == GateAction::Warn && enforces && !is_yes {
                finding.action = GateAction::Deny;
            }
        }
        Self { bypass: self.bypass, ..Self::over(self.findings) }
    }

    /// The same decision about a workload that cannot be held.
    #[must_use]
    pub fn without_hold(mut self) -> Self {
        self.findings.iter_mut().for_each(|finding| finding.may_hold = false);
        self
    }

    /// The same decision, with what the review's statement came to.
    #[must_use]
    pub fn beside(self, bypass: Bypass) -> Self {
        Self { bypass, ..self }
    }

    /// The findings on which the answer rests, the first of which it names; empty when it is simply allowed.
    #[must_use]
    pub fn decisive(&self) -> &[Finding] {
        let action = match self.outcome {
            Outcome::Denied => GateAction::Deny,
            Outcome::Warned => GateAction::Warn,
            Outcome::Allowed => return &[],
        };
        let count = self.findings.iter().take_while(|finding| finding.action == action).count();
        &self.findings[..count]
    }
}

#[cfg(test)]
#[path = "decision_tests.rs"]
mod tests;
