//! promises

#[path = "../testbed/mod.rs"]
pub mod testbed;

mod testbed_selftest;
