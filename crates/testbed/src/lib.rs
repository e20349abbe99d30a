//! The testbed: a real Kubernetes control plane on this machine, and what tests do with it.
//!
//! [`control_plane`] starts etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok (fake nodes) in a
//! temporary folder on free ports of 127.0.0.1; [`rollout`] rolls Deployments out, [`workload`] other kinds;
//! [`operator`] and [`webhook`] run the built binary as the chart describes it (rights, arguments, environment:
//! [`rendered`], [`replica`]); [`namespace`] and [`eventually`] give each test its own namespace and show the state of
//! the cluster when it fails.
//!
//! A crate that knows nothing of the operator's own types, so that it is compiled once.
//! Environment: `TESTBED_KEEP=1` keeps namespaces and the temporary folder with all logs.

pub mod audit;
pub mod balancer;
pub mod certificates;
pub mod chart;
pub mod components;
pub mod control_plane;
pub mod crds;
pub mod dump;
pub mod eventually;
pub mod flaky_client;
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
pub mod restore;
pub mod rollout;
pub mod shared;
pub mod standin;
pub mod test_cluster;
pub mod tools;
pub mod values;
pub mod webhook;
pub mod workload;
