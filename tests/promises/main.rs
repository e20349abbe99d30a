//! promises

mod broker_replay;
mod broker_under_test;
