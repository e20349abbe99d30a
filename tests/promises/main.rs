//! promises

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
