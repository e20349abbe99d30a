//! Twenty Argo Rollouts to which anything happens: new versions, promotions, aborts, retries, undos, pauses, and the death
//! of their controller and of the operator. The broker never names a version before the Rollout was whole with it, and at
//! the end it names what serves.
//!
//! By chance that can be repeated: `ROLLOUTS_SEED=N` makes the choices of the run that printed it, and `ROLLOUTS_COUNT`
//! says how many Rollouts there are. How far each gets before the next choice is not repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{join_all, select};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::operator::Operator;
use testbed::shared::Shared;
use testbed::test_cluster::{image, quick};
use tokio::time::sleep;

use crate::built::apply;
use crate::dice::Dice;
use crate::endpoint::Endpoint;
use crate::gate_setup::MappedEnvironment;
use crate::rollouts::{ArgoRollouts, Rollout, manifest};

/// How many things happen to each Rollout.
const ACTIONS: usize = 8;
/// The longest pause between two of them, in milliseconds.
const PAUSE: usize = 1_500;
/// How long all may take to come to rest.
const REST: Duration = Duration::from_mins(2);

/// What a watch has told of the Rollouts, by name.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<String, History>>>);

#[derive(Default)]
struct History {
    /// At which resource version it was whole with which version, if it was.
    whole: Vec<(u64, Option<String>)>,
    /// The version of each of its revisions, by the hash of the pod template.
    versions: BTreeMap<String, String>,
    /// What was seen, for a failure.
    lines: Vec<String>,
}

impl Seen {
    fn push(&self, rollout: &Value) {
        let name = rollout["metadata"]["name"].as_str().unwrap().to_owned();
        let at = resource_version(rollout);
        let mut seen = self.0.lock().unwrap();
        let history = seen.entry(name).or_default();
        if let (true, Some(hash)) = (observed(rollout), rollout["status"]["currentPodHash"].as_str()) {
            history.versions.insert(hash.to_owned(), version_of(rollout));
        }
        let stable = rollout["status"]["stableRS"].as_str().unwrap_or_default();
        let aborted = || back_on_stable(rollout).then(|| history.versions.get(stable).cloned()).flatten();
        history.whole.push((at, whole(rollout).or_else(aborted)));
        history.lines.push(format!("{at} {} {}", version_of(rollout), rollout["status"]));
    }

    /// Whether a Rollout was whole with a version up to this resource version; not known before the watch has come so far.
    fn was_whole(&self, name: &str, version: &str, until: u64) -> Option<bool> {
        let seen = self.0.lock().unwrap();
        let whole = &seen.get(name)?.whole;
        (whole.last()?.0 >= until)
            .then(|| whole.iter().any(|(at, whole)| *at <= until && whole.as_deref() == Some(version)))
    }

    /// The versions with which it was whole, in order.
    fn whole(&self, name: &str) -> Vec<String> {
        let seen = self.0.lock().unwrap();
        let mut versions: Vec<_> = seen[name].whole.iter().filter_map(|(_, whole)| whole.clone()).collect();
        versions.dedup();
        versions
    }

    /// The last that was seen of it.
    fn tail(&self, name: &str) -> String {
        let seen = self.0.lock().unwrap();
        let lines = &seen[name].lines;
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

fn resource_version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// Whether its status is about its spec.
fn observed(rollout: &Value) -> bool {
    let generation = rollout["metadata"]["generation"].as_u64().unwrap_or_default().to_string();
    rollout["status"]["observedGeneration"] == generation.as_str()
}

/// The version that the spec names.
fn version_of(rollout: &Value) -> String {
    let image = rollout["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    image.rsplit(':').next().unwrap_or_default().to_owned()
}

/// All pods, those of the revision that the spec names, and the available ones.
fn numbers(rollout: &Value) -> [u64; 3] {
    ["replicas", "updatedReplicas", "availableReplicas"].map(|key| rollout["status"][key].as_u64().unwrap_or(0))
}

/// The version with which a Rollout is promoted as a whole, if it is, by nothing but its own status.
fn whole(rollout: &Value) -> Option<String> {
    let status = &rollout["status"];
    let promoted = status["phase"] == "Healthy" && status["stableRS"] == status["currentPodHash"];
    let is_whole = observed(rollout) && promoted && numbers(rollout) == [rollout["spec"]["replicas"].as_u64()?; 3];
    is_whole.then(|| version_of(rollout))
}

/// Whether it was aborted, and only pods of the revision that served before are left.
fn back_on_stable(rollout: &Value) -> bool {
    let wanted = rollout["spec"]["replicas"].as_u64().unwrap_or(1);
    observed(rollout) && rollout["status"]["abort"] == true && numbers(rollout) == [wanted, 0, wanted]
}

fn version(number: usize) -> String {
    format!("{number}.0.0")
}

struct World {
    argo: ArgoRollouts,
    environment: MappedEnvironment,
    seen: Seen,
}

impl World {
    /// What the broker has of a Rollout.
    fn recorded(&self, name: &str) -> Option<String> {
        self.argo.endpoint.setup.cluster.recorded(&self.environment.name, name)
    }

    /// Has things happen to a Rollout, one after the other, and leaves it in no pause.
    async fn stir(&self, rollout: &Rollout<'_>, mut dice: Dice) -> Vec<String> {
        let (mut newest, mut done) = (1, Vec::new());
        for _ in 0..ACTIONS {
            sleep(Duration::from_millis(dice.below(PAUSE) as u64)).await;
            let action = match dice.below(10) {
                0..=3 => {
                    newest += 1;
                    self.argo.endpoint.setup.cluster.broker.store().publish_version(&rollout.name, &version(newest));
                    rollout.set_version(&version(newest)).await;
                    format!("set {newest}")
                }
                4 | 5 => {
                    rollout.promote().await;
                    "promote".to_owned()
                }
                6 => {
                    rollout.set_status(json!({"promoteFull": true})).await;
                    "promote fully".to_owned()
                }
                7 => {
                    rollout.set_status(json!({"abort": true})).await;
                    "abort".to_owned()
                }
                8 => {
                    rollout.set_status(json!({"abort": false})).await;
                    "retry".to_owned()
                }
                _ => {
                    let back = 1 + dice.below(newest);
                    rollout.set_version(&version(back)).await;
                    format!("undo to {back}")
                }
            };
            done.push(action);
        }
        done
    }

    /// Promotes what waits until nothing moves: it is whole, or it was aborted and the old pods are all that is left. Gives
    /// the version that serves.
    async fn rest(&self, rollout: &Rollout<'_>) -> String {
        eventually(format!("{} to come to rest", rollout.name), REST, async || {
            let object = rollout.get().await;
            let status = &object["status"];
            let waits = status["pauseConditions"].as_array().is_some_and(|all| !all.is_empty());
            if observed(&object) && waits {
                rollout.promote().await;
            }
            if whole(&object).is_none() && !back_on_stable(&object) {
                return Err(status.to_string());
            }
            let served = rollout.served().await;
            match (served.len(), served.first()) {
                (1, Some(image)) => Ok(image.rsplit(':').next().unwrap_or_default().to_owned()),
                _ => Err(format!("{served:?} have pods; {status}")),
            }
        })
        .await
    }

    /// Looks again and again whether the broker has a version with which a Rollout was not whole before. Never ends.
    async fn watch_the_broker(&self, rollouts: &[Rollout<'_>]) {
        let mut known = BTreeSet::new();
        loop {
            for rollout in rollouts {
                let Some(recorded) = self.recorded(&rollout.name) else { continue };
                if known.contains(&(rollout.name.clone(), recorded.clone())) {
                    continue;
                }
                let now = resource_version(&rollout.get().await);
                let was_whole = eventually("the watch to come so far", REST, async || {
                    self.seen.was_whole(&rollout.name, &recorded, now).ok_or_else(|| format!("{now}"))
                });
                let (was_whole, name) = (was_whole.await, &rollout.name);
                assert!(was_whole, "{name} {recorded} is recorded, and was never whole:\n{}", self.seen.tail(name));
                known.insert((rollout.name.clone(), recorded));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills the operator or Argo Rollouts' controller every few seconds. Never ends.
    async fn kill(&self, mut dice: Dice, operator: &Mutex<Operator>) {
        loop {
            sleep(Duration::from_millis(1_000 + dice.below(3_000) as u64)).await;
            if dice.percent(50) {
                self.argo.restart().await;
            } else {
                operator.lock().unwrap().kill9();
                let next = start_operator(&self.argo).await;
                *operator.lock().unwrap() = next;
            }
        }
    }
}

/// A Rollout whose pods take a moment to be ready, and the Service that blue-green needs: every other one is of that kind,
/// and keeps its old pods for some seconds.
fn of_some_kind(name: &str) -> (Value, Value) {
    let strategy = if name.ends_with(['1', '3', '5', '7', '9']) {
        json!({"blueGreen": {
            "activeService": name, "autoPromotionEnabled": false,
            "scaleDownDelaySeconds": 3, "abortScaleDownDelaySeconds": 1,
        }})
    } else {
        json!({"canary": {"steps": [{"setWeight": 50}, {"pause": {}}, {"setWeight": 75}, {"pause": {"duration": "1s"}}]}})
    };
    let mut manifest = manifest(name, &version(1), &strategy);
    let metadata = &mut manifest["spec"]["template"]["metadata"];
    metadata["labels"]["testbed/ready"] = json!("slow");
    metadata["annotations"] = json!({"testbed/ready-after": "700ms"});
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80}]},
    });
    (manifest, service)
}

async fn start_operator(argo: &ArgoRollouts) -> Operator {
    let options = quick().value("controller.leaseSeconds", 3);
    let mut operator = Operator::start(&argo.endpoint.setup.cluster.control_plane, options).await;
    operator.wait_ready().await;
    operator
}

#[tokio::test]
async fn twenty_rollouts_to_which_anything_happens_are_recorded_as_they_serve() {
    static OWN: Shared<Endpoint> = Shared::new();
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("ROLLOUTS_SEED").unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
    let count = number("ROLLOUTS_COUNT").unwrap_or(20);
    eprintln!("ROLLOUTS_SEED={seed}");
    let argo = ArgoRollouts::start_with(OWN.get(Endpoint::start).await).await;
    // The first operator's Lease is longer.
    let setup = &argo.endpoint.setup;
    setup.cluster.operators[0].signal("KILL");
    let operator = Mutex::new(start_operator(&argo).await);
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    let world = World { seen: Seen::default(), environment, argo };
    let setup = &world.argo.endpoint.setup;

    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Rollout"));
    let api: Api<DynamicObject> = Api::namespaced_with(setup.cluster.client(), &world.environment.namespace, &kind);
    let states = world.seen.clone();
    let watching = tokio::spawn(async move {
        let mut objects = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
        while let Some(object) = objects.next().await {
            if let Ok(object) = object {
                states.push(&serde_json::to_value(object).unwrap());
            }
        }
    });

    let names: Vec<_> = (0..count).map(|one| format!("random-{one}")).collect();
    let rollouts = join_all(names.iter().map(async |name| {
        setup.cluster.broker.store().publish_version(name, &version(1));
        let (manifest, service) = of_some_kind(name);
        apply(&setup.cluster.control_plane, &world.environment.namespace, &[service]).await;
        world.argo.create(&world.environment.namespace, manifest).await
    }))
    .await;
    for name in &names {
        setup.cluster.wait_recorded(&world.environment.name, name, &version(1)).await;
    }

    let mut dice = Dice(seed);
    let chaos = Dice(dice.below(usize::MAX) as u64);
    let stirring = join_all(rollouts.iter().map(|rollout| world.stir(rollout, Dice(dice.below(usize::MAX) as u64))));
    let killing = Box::pin(world.kill(chaos, &operator));
    let looking = Box::pin(world.watch_the_broker(&rollouts));
    let stirred = async {
        match select(Box::pin(stirring), killing).await {
            futures::future::Either::Left((done, _)) => done,
            futures::future::Either::Right(((), _)) => unreachable!("killing never ends"),
        }
    };
    let resting = async {
        let done = stirred.await;
        // Whoever was killed last may not be back.
        world.argo.restart().await;
        operator.lock().unwrap().kill9();
        let last = start_operator(&world.argo).await;
        *operator.lock().unwrap() = last;
        let serving = join_all(rollouts.iter().map(|rollout| world.rest(rollout))).await;
        for ((rollout, serves), done) in rollouts.iter().zip(serving).zip(done) {
            let name = &rollout.name;
            let what = format!("{name} {serves} to be recorded (seed {seed}: {})", done.join(", "));
            let agrees = async || {
                let recorded = world.recorded(name);
                let log = || testbed::dump::tail(&setup.cluster.logs(), 5);
                if recorded.as_deref() == Some(&serves) { Ok(()) } else { Err(format!("{recorded:?} {}", log())) }
            };
            eventually(&what, REST, agrees).await;
            always(&what, Duration::from_millis(200), agrees).await;
            // What was recorded, in order, is among that with which it was whole, in order.
            let whole = world.seen.whole(name);
            let mut rest = whole.iter();
            for write in setup.cluster.writes(&world.environment.name, name) {
                let written = write.strip_prefix("Deployed ").unwrap_or_else(|| panic!("{name}: {write}"));
                assert!(
                    rest.any(|one| one == written),
                    "{what}: {written} is recorded out of turn; it was whole with {whole:?}"
                );
            }
            assert_eq!(rollout.served().await, [image(&serves)].into());
        }
    };
    select(Box::pin(resting), looking).await;
    watching.abort();
}
