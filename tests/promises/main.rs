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

mod broker_faults;
mod broker_replay;
mod broker_replay_server;
mod broker_tls;
mod broker_under_test;
mod standin_server;
