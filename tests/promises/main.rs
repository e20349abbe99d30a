//! promises
mod standin_recordings;
mod standin_server;
#[path = "../testbed/mod.rs"]
pub mod testbed;
