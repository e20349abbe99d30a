//! promises
mod standin_server;
#[path = "../testbed/mod.rs"]
pub mod testbed;
