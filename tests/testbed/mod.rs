//! The testbed: a real Kubernetes control plane on this machine, and what tests do with it.
//!
//! [`control_plane`] starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok (fake nodes) in a
//! temporary folder on free ports of 127.0.0.1; [`rollout`] rolls Deployments out; [`operator`] and [`webhook`] run the
//! built binary as the chart describes it (rights, arguments, environment: [`rendered`], [`replica`]); [`namespace`] and
//! [`eventually`] give each test its own room and show what was there when it failed.
//!
//! Included by path from the tests, from `examples/` and from `benches/`, so it refers to itself by `super` only.
//! Environment: `TESTBED_KEEP=1` keeps namespaces and the temporary folder with all logs.
#![allow(dead_code, unused_imports, reason = "each of the programs that include this module uses a part of it")]
#![allow(unreachable_pub, missing_docs, reason = "included in binaries, which export nothing")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    reason = "a testbed that cannot do its work has nothing better to do than to say so and stop"
)]

pub mod audit;
pub mod balancer;
pub mod cable;
pub mod certificates;
pub mod chart;
pub mod components;
pub mod control_plane;
pub mod crds;
pub mod dump;
pub mod eventually;
pub mod http;
pub mod kubectl;
pub mod load;
pub mod namespace;
pub mod node;
pub mod operator;
pub mod pact_cli;
pub mod process;
pub mod rendered;
pub mod replica;
pub mod rollout;
pub mod scene;
pub mod standin;
pub mod tools;
pub mod values;
pub mod webhook;
