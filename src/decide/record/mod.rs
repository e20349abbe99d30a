//! What to do about a record: every rule of it, for deployments and for releases. Pure.
//!
//! [`assess()`] is asked with what is known ([`Facts`]) and answers what is due ([`Assessment`]): a read or a write, after
//! which it is asked again, or what the pass found. So the order of the steps, what is read anew before a write, and what
//! is read back after it are rules like the others, and tables in `assess_tests.rs` try them in milliseconds.
//!
//! [`status()`] is what the `PactDeployment` says afterwards, [`events`] what workloads are told.

mod assess;
mod desired;
pub mod events;
mod explanations;
mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
mod member;
mod plan;
mod releases;
mod state;
mod status;

pub use assess::{Action, Assessment, BrokerWrite, assess};
pub use desired::{Desired, desired};
pub use facts::{Done, Facts, Failure, Live, Memory, ReleasedRow, Row, Snapshot, Suspicion, memory_of};
pub use member::{Hold, MemberView};
pub use plan::MemberFate;
pub use state::{RecordState, Write};
pub use status::{agreed, status};
