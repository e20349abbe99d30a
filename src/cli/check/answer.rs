//! What the check found, as every format shows it.

use crate::{
    api::gate::{GateAction, GateMode},
    decide::{Judgement, Pair, Selection, Verdict, admission::Cause, messages},
    workload::WorkloadRef,
};

/// What one question, or one workload in one environment, came to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answer {
    /// What was asked, for people: `orders 2.0.0 → production`.
    pub(super) question: String,
    /// The applications, and the versions as they were asked about.
    pub(super) versions: Vec<(String, Option<String>)>,
    /// With what they have to get along.
    pub(super) destination: String,
    /// The verdict, or why nothing could be asked, in one word.
    pub(super) verdict: &'static str,
    /// Whether it is a yes; `None` when that is not known.
    pub(super) deployable: Option<bool>,
    /// Why.
    pub(super) reason: String,
    /// The pairs that were looked at, the worst first.
    pub(super) pairs: Vec<Pair>,
    /// What whoever deploys should know besides: of versions that are rolling out and that decide nothing.
    pub(super) cautions: Vec<String>,
    /// Where people see the matrix.
    pub(super) link: Option<String>,
    /// The workload, where it was found in a manifest.
    pub(super) workload: Option<Place>,
    /// What the gate would do, where a policy says so.
    pub(super) effect: Option<Effect>,
    /// What it means for whoever asked.
    pub(super) outcome: Outcome,
}

/// A workload in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The file, as it was named; `-` is standard input.
    pub(super) file: String,
    /// The workload.
    pub(super) workload: WorkloadRef,
}

/// What the gate would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Effect {
    /// The mode that is in force.
    pub(super) mode: GateMode,
    /// What is done in that mode.
    pub(super) action: GateAction,
    /// What the policy wants, whatever the mode.
    pub(super) wanted: GateAction,
}

/// What an answer means for whoever asked, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Outcome {
    /// Go ahead.
    Yes,
    /// It could not be told.
    NoAnswer,
    /// Do not.
    No,
}

impl Outcome {
    /// What a verdict means where no policy says otherwise.
    pub(in crate::cli) const fn of(verdict: Verdict) -> Self {
        if verdict.is_yes() {
            Self::Yes
        } else if verdict.answered() {
            Self::No
        } else {
            Self::NoAnswer
        }
    }

    /// The exit code.
    pub(in crate::cli) const fn exit_code(self) -> u8 {
        match self {
            Self::Yes => 0,
            Self::No => 1,
            Self::NoAnswer => 2,
        }
    }
}

impl Answer {
    /// Whether there is nothing more to say: it is a yes, and a gate would not even warn.
    pub(super) fn is_plain_yes(&self) -> bool {
        let silent = self.effect.is_none_or(|effect| effect.action == GateAction::Allow);
        self.outcome == Outcome::Yes && self.deployable == Some(true) && silent && self.cautions.is_empty()
    }

    /// The answer to a selection.
    pub(super) fn to(selection: &Selection, judgement: &Judgement, link: String) -> Self {
        let named = judgement.verdict.answered() && !judgement.verdict.is_unpublished();
        Self {
            question: selection.to_string(),
            versions: (selection.selectors.iter())
                .map(|it| (it.pacticipant.to_string(), it.version().map(ToString::to_string)))
                .collect(),
            destination: selection.destination.to_string(),
            verdict: judgement.verdict.name(),
            deployable: judgement.verdict.deployable(),
            reason: messages::one_line(&messages::selection_clause(selection, judgement)),
            pairs: judgement.pairs.clone(),
            // They are of what only a cluster knows.
            cautions: Vec::new(),
            link: named.then_some(link),
            workload: None,
            effect: None,
            outcome: Outcome::of(judgement.verdict),
        }
    }
}

/// Whether a cause is that nobody could be asked.
pub(super) fn unanswered(cause: &Cause) -> bool {
    match cause {
        Cause::Judged(judgement) => !judgement.verdict.answered(),
        Cause::Unclear(_) => true,
        Cause::Problem(_) => false,
    }
}
