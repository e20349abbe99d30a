//! What to do about a record: every rule of it, for deployments and for releases. Pure.
//!
//! [`assess()`] gets the known [`Facts`] and answers the next step as an [`Assessment`]: a read or a write, after which
//! it is called again, or the result of the pass. So the order of the steps, the live reads before a write and the
//! reading back after it are rules like all others, and tables in `assess_tests.rs` and `releases_tests.rs` test them
//! in milliseconds.
//!
//! [`status()`] is the resulting status of the `PactDeployment`, [`events`] are the Events of the workloads.

mod announced;
mod assess;
mod breaker;
mod bypassed;
mod desired;
pub mod events;
mod explanations;
mod facts;
#[cfg(test)]
pub(crate) mod fixtures;
mod member;
mod merged;
mod noted;
mod outdated;
mod ownership;
mod plan;
mod releases;
mod retirement;
mod shown;
mod state;
mod status;
mod strangers;

pub use announced::{announced, dropped};
pub use assess::{Action, Assessment, BrokerWrite, assess};
pub use breaker::Vanished;
pub use bypassed::{BYPASSED, add_bypassed, bypass_of, stated};
pub use desired::{Desired, desired};
pub use facts::{
    Done, Facts, Failure, LastRecord, Live, Refused, ReleasedRow, Row, Snapshot, Suspicion, has_recorded,
    last_record_of,
};
pub use member::{Hold, MemberView};
pub use merged::merged;
pub use noted::noted;
pub use outdated::outdated;
pub use plan::MemberFate;
pub use retirement::{
    EnvironmentSays, KeyAtBroker, Retirement, RetirementRules, RowKind, Sighting, WhyKept, may_be_recorded, retirements,
};
pub use shown::show_members;
pub use state::{RecordState, Write};
pub use status::{agreed, remember_verdicts, status};
pub use strangers::{Stranger, add_strangers, counted, counted_before, show_all_members, strangers, with_strangers};
