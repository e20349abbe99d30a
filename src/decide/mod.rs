//! Pure: what a broker answered, to a verdict, to a decision, to messages.
//!
//! Nothing here does I/O or waits. The admission gate, the controller's own checks and the verb `check` ask the same
//! functions, so that they cannot disagree.

pub mod decision;
pub mod evidence;
pub mod gate_rules;
pub mod judge;
pub mod messages;
pub mod question;
pub mod reason;
pub mod record;
pub mod subject;
pub mod verdict;

pub use decision::{Decision, Finding, Outcome};
pub use evidence::{LiveVersions, Matrix, MatrixRow, Pair, PairResult};
pub use gate_rules::GateRules;
pub use judge::{Judgement, judge, wants_live};
pub use question::{Ignored, Question};
pub use reason::{Explanation, Reason};
pub use subject::{Basis, Identified, Problem, Remembered, Subject, subjects};
pub use verdict::Verdict;
