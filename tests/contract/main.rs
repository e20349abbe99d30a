//! The pact between the operator and a Pact Broker: written by the broker client, kept by the stand-in broker.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so; clippy.toml excuses only functions marked as tests, not what they call"
)]

#[path = "../promises/broker_under_test.rs"]
mod client;
mod matrix;
mod pact;
mod verification;
mod verified;
