//! promises
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_in_result,
    reason = "a test that cannot go on says so; clippy.toml excuses only functions marked as tests, not their helpers"
)]

mod broker_faults;
mod broker_pact;
mod broker_pact_verified;
mod broker_replay;
mod broker_replay_server;
mod broker_tls;
mod broker_under_test;
mod standin_server;
#[path = "../testbed/mod.rs"]
pub mod testbed;
