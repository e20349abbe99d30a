//! promises

mod broker_faults;
mod broker_pact;
mod broker_replay;
mod broker_replay_server;
mod broker_tls;
mod broker_under_test;
