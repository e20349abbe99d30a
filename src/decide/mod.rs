//! Pure: every rule of the domain, once.
//!
//! Nothing here does I/O or waits. The admission gate, the controller's own checks and the verb `check` ask the same
//! functions, so that they cannot disagree.
//!
//! - [`verdict`]: a broker's matrix and the live versions → a judgement.
//! - [`admission`]: an admission review → what to ask → findings → the decision and its answer.
//! - [`hold`]: what becomes of a rollout whose verification is on its way.
//! - [`record`]: what the cluster runs and what the broker says → what to write.
//! - [`namespaces`]: whether the namespaces of an environment exist. [`owners`]: whether they name only what is theirs.
//!   [`near_miss`]: the name that somebody may have meant. [`other_line`]: a name that was put on unrelated workloads. [`stray_keys`]: what is wrong with keys that are not read.
//! - [`pact_record`]: whether what a workload runs is recorded, for those who wait for it.
//! - [`announcement`]: what sinks are told of a record: as a CDEvent, and for people.
//! - [`not_in_force`]: what of an installed gate is not in force, for `helm test`.
//! - [`broker_secrets`]: which Secrets a broker may be sent.
//! - [`clocks`]: whether a time that somebody wrote lies ahead.
//! - [`verification`]: which verifications are asked for, and when.
//! - [`mod@reason`]: the closed list of reasons. [`messages`]: the texts that people read.

pub mod admission;
pub mod announcement;
pub mod broker_secrets;
pub mod clocks;
pub mod hold;
pub mod messages;
pub mod namespaces;
pub mod near_miss;
pub mod not_in_force;
pub mod other_line;
pub mod owners;
pub mod pact_record;
pub mod reason;
pub mod record;
pub mod stray_keys;
pub mod verdict;
pub mod verification;

pub use admission::{
    Basis, Decision, EnvironmentPolicy, Finding, GateRules, Identified, Outcome, Problem, RecordedVersions, Subject,
    subjects,
};
pub use reason::{Explanation, Reason};
pub use verdict::{
    Destination, Evidence, Ignored, Judgement, KnownPairs, LATEST_BY, LiveVersions, Matrix, MatrixQuery, MatrixRow,
    Member, Pair, PairResult, Question, Selection, Selector, Situation, Tried, UnrecordedVersion, Vacuous, Verdict,
    Versions, WayToYes, among, brokers_spelling, by_rows, ignored_by_all, judge, of_other_spelling, together,
    wants_live, way_to_yes,
};
