//! Twenty Canaries to which anything happens: versions that are promoted, versions that nobody has verified yet, versions that
//! turn out to be broken during their analysis, undos, and the death of Flagger and of the operator.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::shared::Shared;
use testbed::test_cluster::{annotated, image};
use tokio::time::sleep;

use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::flagger::Flagger;
use crate::gate_setup::{MappedEnvironment, consumer_of};
use crate::random_run::{Pace, RandomRun, Tool, Versions, version, version_of};

/// Flagger looks at a Canary every ten seconds: one that has not changed for longer has come to rest.
const AT_REST: Duration = Duration::from_secs(25);

struct World {
    flagger: Flagger,
    environment: MappedEnvironment,
    /// Since when each Canary and its target are as they are.
    unchanged: Mutex<BTreeMap<String, (String, Instant)>>,
}

impl World {
    fn verify(&self, name: &str, version: &str, works: bool) {
        let store = self.flagger.endpoint.setup.cluster.broker.store();
        assert!(store.verify(&format!("web-of-{name}"), "7", name, version, works));
    }

    async fn target(&self, name: &str) -> Value {
        let target = self.flagger.existing(&self.environment, name).target.get().await;
        serde_json::to_value(target).unwrap()
    }

    async fn set(&self, name: &str, version: &str) {
        self.flagger.existing(&self.environment, name).target.set_image(&image(version)).await;
    }
}

impl Tool for World {
    fn serving(&self, name: &str) -> String {
        format!("{name}-primary")
    }

    fn owners(&self, name: &str) -> Vec<String> {
        vec![name.to_owned(), self.serving(name)]
    }

    async fn create(&self, name: &str) {
        consumer_of(&self.flagger.endpoint.setup.cluster.broker, &self.environment.name, name);
        self.verify(name, &version(1), true);
        let target = annotated(name, name, &version(1)).replicas(2).ready_after(Duration::from_millis(700));
        self.flagger.create(&self.environment, &target).await.wait_phase("Initialized").await;
    }

    async fn act(&self, name: &str, versions: &mut Versions<'_>, dice: &mut Dice) -> String {
        let now = version_of(&self.target(name).await);
        match dice.below(10) {
            0..=3 => {
                let next = versions.next();
                self.verify(name, &next, true);
                self.set(name, &next).await;
                format!("set {next}")
            }
            4 | 5 => {
                let next = versions.next();
                self.set(name, &next).await;
                format!("set {next}, which nobody has verified")
            }
            6 => {
                self.verify(name, &now, true);
                format!("verify {now}")
            }
            7 | 8 => {
                let next = versions.next();
                self.verify(name, &next, true);
                self.set(name, &next).await;
                sleep(Duration::from_millis(10_000 + dice.below(25_000) as u64)).await;
                self.verify(name, &next, false);
                format!("set {next}, which turned out to be broken")
            }
            _ => {
                let back = version(1 + dice.below(versions.newest));
                self.set(name, &back).await;
                format!("undo to {back}")
            }
        }
    }

    async fn restart(&self, _: &mut Dice) {
        self.flagger.restart().await;
    }

    /// Verifies what waits.
    async fn settle(&self, name: &str) -> Result<(), String> {
        let (target, phase) = (self.target(name).await, self.flagger.existing(&self.environment, name).phase().await);
        let mut told = String::new();
        if ["Waiting", "WaitingPromotion"].contains(&&*phase) {
            self.verify(name, &version_of(&target), true);
            told = self.flagger.endpoint.hook("confirm-rollout", &self.environment.namespace, name).await;
        }
        let state = format!("{phase}, target {} {}", version_of(&target), target["spec"]["replicas"]);
        let mut all = self.unchanged.lock().unwrap();
        let (before, since) = all.entry(name.to_owned()).or_insert_with(|| (state.clone(), Instant::now()));
        if *before != state {
            (*before, *since) = (state.clone(), Instant::now());
        }
        let ended = ["Initialized", "Succeeded", "Failed"].contains(&&*phase) && target["spec"]["replicas"] == 0;
        if ended && since.elapsed() > AT_REST {
            return Ok(());
        }
        let (logged, its) = (self.flagger.log(), format!("{name}."));
        let logged: Vec<_> = logged.lines().filter(|line| line.contains(&its)).collect();
        let last = logged[logged.len().saturating_sub(10)..].join("\n");
        Err(format!("{state}; the hook says {told}\n{last}"))
    }

    fn log(&self) -> String {
        testbed::dump::tail(&self.flagger.log(), 10)
    }
}

#[tokio::test]
async fn twenty_canaries_to_which_anything_happens_are_recorded_as_their_primaries_serve() {
    static OWN: Shared<Endpoint> = Shared::new();
    let flagger = Flagger::start_with(OWN.get(Endpoint::start).await).await;
    let environment = flagger.endpoint.setup.gated(json!({"mode": "Enforce"})).await;
    let world = World { flagger, environment, unchanged: Mutex::default() };
    let run = RandomRun::new(&world.flagger.endpoint.setup, &world.environment, "any-canary");
    // A release takes about a minute.
    run.with(&world, &Pace { actions: 4, pause: 5_000..45_000, killed: 8_000..25_000 }).await;
}
