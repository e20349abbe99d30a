//! From an admission review to its answer.
//!
//! [`scope()`] says what has to be asked, or why nothing has; each answer becomes a [`Finding`] under the policy of its
//! environment; [`Decision`] is what they come to together, and [`Answer`] what the API server gets. [`asked()`] says what has
//! to be asked where there is no review: for a tool that asks before it acts. [`CanaryHook`] is for Flagger.

pub mod answer;
pub mod asked;
pub mod bypass;
pub mod canary_hook;
pub mod decision;
#[cfg(test)]
pub(crate) mod fixtures;
pub mod policy;
pub mod review;
pub mod scope;
pub mod subject;
pub mod unclear;

pub use answer::Answer;
pub use asked::{Asked, Known, Sought, asked};
pub use bypass::{Bypass, Ineffective, ServiceAccountName};
pub use canary_hook::{Advice, CanaryHook, canary_review, for_hook};
pub use decision::{Cause, Decision, Finding, Outcome, Spared};
pub use policy::{EnvironmentPolicy, GateRules};
pub use review::{GroupVersionKind, Operation, Purpose, Review, User};
pub use scope::{Notice, OpenSubject, Scope, Unjudged, claimants, scope, unjudged};
pub use subject::{Basis, Identified, Problem, RecordedVersions, Subject, subjects};
pub use unclear::Unclear;
