//! Hold: a rollout whose verification is on its way is admitted paused, and resumed once the answer is yes. The design is in
//! docs/contributing/hold.md.
//!
//! [`before`] and [`asked`] say what the mutating webhook changes, [`resumes`] and [`admits`] how the validating webhook judges
//! what is held, and [`step()`] what the operator does about a workload that is.

mod object;
mod step;

pub use object::{
    Change, Resumption, admits, as_held, asked, before, judged_anew, keeps_pods, kept, let_go_by_manifest, resumes,
};
pub use step::{Step, of_template, step, unclaimed, unclear, unreadable};

use crate::decide::{PairResult, Verdict, admission::Cause};

/// Whether nothing but verifications without a result stands in the way. A provider that is not in the environment is
/// nothing that comes by itself.
#[must_use]
pub fn awaits_verification(cause: &Cause) -> bool {
    let Cause::Judged(judgement) = cause else { return false };
    let mut failing = judgement.failing().peekable();
    judgement.verdict == Verdict::Unknown
        && failing.peek().is_some()
        && failing.all(|pair| pair.result == PairResult::Unverified)
}
