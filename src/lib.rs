//! Keeps a Pact Broker right about what runs in a Kubernetes cluster.
//!
//! The rooms of the house, and who may know whom (arrows only downwards):
//! `cli` → `recorder`, `gate` → `broker`, `runtime` → `policy` → `workload` → `api`.

pub mod api;
pub mod broker;
pub mod cli;
pub mod gate;
pub mod policy;
pub mod recorder;
pub mod runtime;
pub mod workload;
