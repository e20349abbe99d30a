//! promises
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy knows #[test] functions, not what they call"
)]

#[path = "../testbed/mod.rs"]
mod testbed;

mod events;
mod lease;
mod testbed_selftest;
