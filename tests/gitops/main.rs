//! The operator beside the deployment tools that people have: the real programs, each with the account and the rights
//! that it ships with, against the real control plane and the stand-in broker.
//!
//! Run by `make test-gitops`, which builds the tools first (`tests/gitops/tools`). Needs git, and redis-server for
//! Argo CD. What each tool does around the gate is in `docs/deployment-tools.md`, each cell of which names a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_in_result,
    reason = "a test that cannot go on says so; clippy.toml excuses only functions marked as tests, not what they call"
)]

mod archives;
mod argocd;
mod argocd_application;
mod argocd_denial;
mod argocd_health;
mod argocd_hold;
mod argocd_notifications;
mod argocd_random;
mod argocd_recorded;
mod argocd_sets;
mod built;
#[allow(dead_code, reason = "the simulation's dice, of which these tests use a part")]
#[path = "../simulation/dice.rs"]
mod dice;
mod endpoint;
mod flagger;
mod flagger_canaries;
mod flagger_random;
mod flux;
mod flux_denial;
mod flux_helm;
mod flux_hold;
mod flux_random;
mod flux_recorded;
mod flux_waits;
#[allow(dead_code, reason = "the promises' set-up, of which these tests use a part")]
#[path = "../promises/gate_setup.rs"]
mod gate_setup;
mod guide;
mod helm;
#[allow(dead_code, reason = "as above")]
#[path = "../promises/hold_setup.rs"]
mod hold_setup;
mod holding;
#[allow(dead_code, reason = "as above")]
#[path = "../promises/objects.rs"]
mod objects;
mod random_commits;
mod random_run;
mod rollouts;
mod rollouts_analysis;
mod rollouts_paused;
mod rollouts_random;
mod rollouts_recorded;
mod team;
mod team_chart;
