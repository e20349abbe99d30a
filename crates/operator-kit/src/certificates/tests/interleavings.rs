//! Any interleaving of three replicas with an API server that compares resourceVersions: stale readings, lost answers,
//! restarts, clocks that differ by minutes, a Secret that is deleted, created again or overwritten with nonsense, with
//! and without the right to create it. A replica that serves a trusted certificate never replaces it by one that the API
//! server no longer trusts or has only just begun to trust.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::{DAY, NAME, at};
use crate::certificates::authority::Leaf;
use crate::certificates::certificate::Id;
use crate::certificates::hooks::Hooks;
use crate::certificates::own::{Action, Observed, Own};
use crate::certificates::plan::{LeafView, MOST_PREVIOUS};
use crate::certificates::run::Live;
use crate::certificates::settings::OwnSource;
use crate::certificates::trust;

const OVERLAP: Duration = Duration::from_mins(1);

/// The next event. The number is the index of the replica.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// Time passes for all replicas.
    Wait { seconds: u64 },
    /// The replica reads the webhook configuration, which begins a step.
    Looks(usize),
    /// The replica reads the Secret and decides.
    Decides(usize),
    /// The replica carries out its decision: its request arrives, or it serves.
    Acts(usize),
    /// The replica abandons the step.
    GivesUp(usize),
    /// Whole steps without disturbance, until nothing is due.
    Smooth(usize),
    /// The replica is killed and started again.
    Restarts(usize),
    /// A person deletes the Secret.
    SecretDeleted,
    /// A person overwrites the Secret.
    SecretOverwritten,
    /// A person creates the Secret, empty.
    SecretCreated,
}

struct Replica {
    own: Own,
    live: Live,
    looked: bool,
    action: Option<Action>,
    leaf: Option<Leaf>,
    /// Whether that leaf has been trusted since the replica began to serve it.
    established: bool,
    /// The error of the replica's wall clock, in seconds.
    skew: i64,
}

struct World {
    /// Whether the replicas may create the Secret.
    may_create: bool,
    time: Duration,
    origin: Instant,
    version: u64,
    hooks: ValidatingWebhookConfiguration,
    /// Since when each authority has been trusted.
    since: BTreeMap<Id, Duration>,
    secret: Option<Secret>,
    replicas: Vec<Replica>,
}

impl World {
    fn new(skews: [i64; 3], may_create: bool) -> Self {
        let hook = |name: &str| {
            json!({"name": name, "clientConfig": {"service": {"name": "webhook", "namespace": "ns"}},
                   "sideEffects": "None", "admissionReviewVersions": ["v1"]})
        };
        let hooks = json!({"metadata": {"name": "hooks", "resourceVersion": "0"}, "webhooks": [hook("a"), hook("b")]});
        Self {
            may_create,
            time: Duration::ZERO,
            origin: Instant::now(),
            version: 0,
            hooks: serde_json::from_value(hooks).unwrap(),
            since: BTreeMap::new(),
            secret: None,
            replicas: skews.map(Replica::new).into(),
        }
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Wait { seconds } => self.time += Duration::from_secs(seconds),
            Happens::Looks(who) => {
                let hooks = Hooks::read(self.hooks.clone());
                let now = self.origin + self.time;
                let replica = &mut self.replicas[who];
                replica.live.observe(Some(hooks), now);
                (replica.looked, replica.action) = (true, None);
            }
            Happens::Decides(who) => {
                let replica = &mut self.replicas[who];
                if !std::mem::take(&mut replica.looked) {
                    return;
                }
                let served = replica.leaf.as_ref();
                let observed = Observed {
                    live: &replica.live,
                    secret: self.secret.clone(),
                    served: served.map(|leaf| LeafView { issuer: leaf.issuer, validity: leaf.validity }),
                    now: replica.wall(self.time),
                    monotonic: self.origin + self.time,
                };
                replica.action = Some(replica.own.next(observed).unwrap());
                // Serving takes no time.
                if matches!(replica.action, Some(Action::Serve(_))) {
                    self.happen(Happens::Acts(who));
                }
            }
            Happens::Acts(who) => match self.replicas[who].action.take() {
                Some(Action::Write { secret, .. }) => self.write(who, *secret),
                Some(Action::Patch(patch)) => self.patch(&patch),
                Some(Action::Serve(leaf)) => self.serve(who, leaf),
                Some(Action::Nothing) | None => {}
            },
            Happens::GivesUp(who) => self.replicas[who].action = None,
            Happens::Smooth(who) => {
                for _ in 0..6 {
                    self.happen(Happens::Looks(who));
                    self.happen(Happens::Decides(who));
                    self.happen(Happens::Acts(who));
                }
            }
            Happens::Restarts(who) => self.replicas[who] = Replica::new(self.replicas[who].skew),
            Happens::SecretDeleted => self.secret = None,
            Happens::SecretCreated if self.secret.is_none() => {
                self.version += 1;
                let metadata = json!({"name": "authority", "resourceVersion": self.version.to_string()});
                self.secret = Some(serde_json::from_value(json!({"metadata": metadata})).unwrap());
            }
            Happens::SecretCreated => {}
            Happens::SecretOverwritten => {
                if let Some(mut secret) = self.secret.take() {
                    let nonsense = ByteString(b"nonsense".to_vec());
                    secret.data = Some([("current.crt".to_owned(), nonsense)].into());
                    self.version += 1;
                    secret.metadata.resource_version = Some(self.version.to_string());
                    self.secret = Some(secret);
                }
            }
        }
        self.check();
    }

    fn write(&mut self, who: usize, mut secret: Secret) {
        if secret.metadata.resource_version.is_none() && !self.may_create {
            let replica = &mut self.replicas[who];
            if replica.own.may_go_on_alone(&replica.live) {
                replica.own.go_on_alone(secret, "no right".to_owned());
            }
            return;
        }
        let version = self.secret.as_ref().and_then(|secret| secret.metadata.resource_version.clone());
        if secret.metadata.resource_version == version {
            self.version += 1;
            secret.metadata.resource_version = Some(self.version.to_string());
            self.secret = Some(secret);
        }
    }

    /// Applies a strategic merge patch as the API server does.
    fn patch(&mut self, patch: &Value) {
        if patch["metadata"]["resourceVersion"].as_str() != self.hooks.metadata.resource_version.as_deref() {
            return;
        }
        for change in patch["webhooks"].as_array().unwrap() {
            let hooks = self.hooks.webhooks.as_mut().unwrap();
            let hook = hooks.iter_mut().find(|hook| change["name"] == hook.name.as_str()).unwrap();
            hook.client_config.ca_bundle = serde_json::from_value(change["clientConfig"]["caBundle"].clone()).unwrap();
        }
        self.version += 1;
        self.hooks.metadata.resource_version = Some(self.version.to_string());
        let trusted = Hooks::read(self.hooks.clone()).trusted();
        self.since.retain(|id, _| trusted.contains(id));
        for id in trusted {
            self.since.entry(id).or_insert(self.time);
        }
    }

    fn serve(&mut self, who: usize, leaf: Leaf) {
        let replica = &mut self.replicas[who];
        let issuer = leaf.issuer.unwrap();
        let replaced = replica.leaf.replace(leaf);
        let worked = std::mem::take(&mut replica.established)
            && replaced.is_some_and(|leaf| {
                [at(self.time), replica.wall(self.time)].iter().all(|now| leaf.validity.holds(*now))
            });
        if worked {
            let since = self.since.get(&issuer).expect("what works is replaced by what is trusted");
            let trusted_for = self.time.saturating_sub(*since);
            assert!(trusted_for >= OVERLAP, "trusted for {trusted_for:?} only");
        }
    }

    fn trusts(&self, leaf: &Leaf) -> bool {
        leaf.issuer.is_some_and(|issuer| self.since.contains_key(&issuer))
    }

    /// By the clock of the API server, which is right: a leaf that was trusted once stays trusted as long as it is
    /// valid.
    fn check(&mut self) {
        let now = at(self.time);
        for who in 0..self.replicas.len() {
            let Some(leaf) = self.replicas[who].leaf.as_ref().filter(|leaf| leaf.validity.holds(now)) else { continue };
            let trusted = self.trusts(leaf);
            assert!(trusted || !self.replicas[who].established, "no longer trusted: {leaf:?}");
            self.replicas[who].established |= trusted;
        }
    }

    /// Without further disturbance, every replica serves a certificate that is accepted.
    fn settle(&mut self) {
        for _ in 0..6 {
            for who in 0..self.replicas.len() {
                self.happen(Happens::Smooth(who));
            }
            self.happen(Happens::Wait { seconds: OVERLAP.as_secs() });
        }
        let hooks = Hooks::read(self.hooks.clone());
        for replica in &self.replicas {
            let leaf = replica.leaf.as_ref().expect("everybody serves");
            let accepted = trust::verify(&leaf.key.cert, &hooks, at(self.time), Duration::from_hours(1));
            assert_eq!(accepted, Ok(()), "{leaf:?}");
        }
    }
}

impl Replica {
    fn new(skew: i64) -> Self {
        let mut source = OwnSource::new("ns", "authority", NAME, vec!["webhook.ns.svc".to_owned()]);
        source.authority_life = 30 * DAY;
        let own = Own::new(source, OVERLAP);
        Self { own, live: Live::default(), looked: false, action: None, leaf: None, established: false, skew }
    }

    fn wall(&self, time: Duration) -> SystemTime {
        let skew = Duration::from_secs(self.skew.unsigned_abs());
        if self.skew < 0 { at(time) - skew } else { at(time) + skew }
    }
}

fn happens() -> impl Strategy<Value = Happens> {
    let who = || 0_usize..3;
    prop_oneof![
        3 => (1_u64..200).prop_map(|seconds| Happens::Wait { seconds }),
        3 => (3600_u64..5 * 86_400).prop_map(|seconds| Happens::Wait { seconds }),
        6 => who().prop_map(Happens::Looks),
        6 => who().prop_map(Happens::Decides),
        6 => who().prop_map(Happens::Acts),
        1 => who().prop_map(Happens::GivesUp),
        8 => who().prop_map(Happens::Smooth),
        1 => who().prop_map(Happens::Restarts),
        1 => Just(Happens::SecretDeleted),
        1 => Just(Happens::SecretOverwritten),
        1 => Just(Happens::SecretCreated),
    ]
}

#[test]
fn a_trusted_certificate_is_only_replaced_by_a_trusted_one() {
    let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
    let events = proptest::collection::vec(happens(), 1..100);
    let skews = proptest::array::uniform3(-120_i64..120);
    runner
        .run(&(events, skews, any::<bool>()), |(events, skews, may_create)| {
            let mut world = World::new(skews, may_create);
            for event in events {
                world.happen(event);
            }
            world.settle();
            Ok(())
        })
        .unwrap();
}

#[test]
fn replicas_that_start_again_and_again_without_a_secret_do_not_fill_the_bundle() {
    let mut world = World::new([0; 3], false);
    world.happen(Happens::Smooth(1));
    for _ in 0..2 * MOST_PREVIOUS {
        world.happen(Happens::Restarts(0));
        world.happen(Happens::Smooth(0));
    }
    let mentioned = Hooks::read(world.hooks.clone()).mentioned().len();
    assert_eq!(mentioned, MOST_PREVIOUS);
    // The replica that runs stays trusted; the other one waits for the Secret.
    assert!(world.replicas[1].established && world.replicas[0].leaf.is_none());
    world.happen(Happens::SecretCreated);
    world.settle();
}
