//! Anything that happens in Git, for the random runs of the tools that deploy from it: versions that keep their contract,
//! versions that break it until they are mended, reverts, and pauses.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use testbed::rollout::Live;
use testbed::test_cluster::annotated;

use crate::dice::Dice;
use crate::gate_setup::{GateSetup, MappedEnvironment, consumer_of};
use crate::random_run::{Versions, version, version_of, whole_deployment};

/// A tool that brings what is in Git into the cluster.
pub trait FromGit {
    /// The Deployment of this name has this version in Git from now on.
    async fn commit(&self, name: &str, version: &str);

    /// It is not brought into the cluster for now, or is again.
    async fn pause(&self, name: &str, paused: bool);
}

/// What is in Git, and which versions keep the contract with a consumer that is live.
pub struct Commits<'a> {
    setup: &'a GateSetup,
    environment: &'a MappedEnvironment,
    in_git: Mutex<BTreeMap<String, String>>,
    /// A version that was verified once stays so.
    verified: Mutex<BTreeSet<(String, String)>>,
}

impl<'a> Commits<'a> {
    pub fn new(setup: &'a GateSetup, environment: &'a MappedEnvironment) -> Self {
        Self { setup, environment, in_git: Mutex::default(), verified: Mutex::default() }
    }

    /// The Deployment of a version, whose pods take a moment to be ready.
    pub fn deployment(name: &str, version: &str) -> Value {
        annotated(name, name, version).replicas(2).ready_after(Duration::from_millis(700)).manifest().clone()
    }

    /// Commits 1.0.0, which is verified.
    pub async fn first(&self, tool: &impl FromGit, name: &str) {
        consumer_of(&self.setup.cluster.broker, &self.environment.name, name);
        self.verify(name, &version(1), true);
        self.commit(tool, name, &version(1)).await;
    }

    async fn commit(&self, tool: &impl FromGit, name: &str, version: &str) {
        self.in_git.lock().unwrap().insert(name.to_owned(), version.to_owned());
        tool.commit(name, version).await;
    }

    fn verify(&self, name: &str, version: &str, works: bool) {
        // Before the broker knows of it, so that nobody sees pods of it that are not known here.
        if works {
            self.verified.lock().unwrap().insert((name.to_owned(), version.to_owned()));
        }
        assert!(self.setup.cluster.broker.store().verify(&format!("web-of-{name}"), "7", name, version, works));
    }

    /// Whether pods of a version may be there.
    pub fn is_verified(&self, name: &str, version: &str) -> bool {
        self.verified.lock().unwrap().contains(&(name.to_owned(), version.to_owned()))
    }

    fn in_git(&self, name: &str) -> String {
        self.in_git.lock().unwrap()[name].clone()
    }

    /// Has something happen, and says what.
    pub async fn act(&self, tool: &impl FromGit, name: &str, versions: &mut Versions<'_>, dice: &mut Dice) -> String {
        match dice.below(11) {
            choice @ 0..=5 => {
                let (next, works) = (versions.next(), choice <= 3);
                self.verify(name, &next, works);
                self.commit(tool, name, &next).await;
                format!("commit {next}{}", if works { "" } else { ", which breaks its contract" })
            }
            6 | 7 => {
                let mended = self.in_git(name);
                self.verify(name, &mended, true);
                format!("verify {mended}")
            }
            8 => {
                let back = version(1 + dice.below(versions.newest));
                self.commit(tool, name, &back).await;
                format!("back to {back}")
            }
            choice => {
                let paused = choice == 9;
                tool.pause(name, paused).await;
                format!("pause: {paused}")
            }
        }
    }

    /// Has the version that is in Git keep its contract, and nothing be paused. Whether it is all that runs.
    pub async fn settle(&self, tool: &impl FromGit, name: &str) -> Result<(), String> {
        let wanted = self.in_git(name);
        if !self.is_verified(name, &wanted) {
            self.verify(name, &wanted, true);
        }
        tool.pause(name, false).await;
        let live = Live::new(&self.setup.cluster.client(), &self.environment.namespace, name).get().await;
        let live = serde_json::to_value(live).unwrap();
        let whole = whole_deployment(&live);
        let state = || format!("{} of {wanted}: {}", version_of(&live), live["status"]);
        if whole.as_ref() == Some(&wanted) { Ok(()) } else { Err(state()) }
    }
}
