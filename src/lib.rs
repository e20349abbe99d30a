//! Keeps a Pact Broker right about what runs in a Kubernetes cluster.
//!
//! The rooms of the house, and who may know whom (arrows only downwards):
//! `cli` → `recorder`, `gate` → `cluster` → `broker` → `overview` → `decide` → `workload` → `api`.
//! What is not Pact is in the crate `operator-kit`.

pub mod api;
pub mod broker;
pub mod cli;
pub mod cluster;
pub mod decide;
pub mod gate;
pub mod notifier;
pub mod overview;
pub mod recorder;
pub mod workload;

#[cfg(test)]
mod rooms_tests;
