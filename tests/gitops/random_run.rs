//! Workloads to which anything happens under a deployment tool, which is killed as often as the operator is, and what must be
//! so all the while: the broker never names a version before its workload was whole with it, and names what serves at the
//! end; while pods of two versions serve, the gate counts both of them for others.
//!
//! By chance that can be repeated: `GITOPS_SEED=N` makes the choices of the run that printed it, and `GITOPS_COUNT` says how
//! many workloads there are. How far each gets before the next choice is not repeated.
#![expect(clippy::print_stderr, reason = "the seed of a run that failed is what repeats it")]

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::{Either, join_all, select};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use serde_json::Value;
use testbed::eventually::{always, eventually};
use testbed::operator::Operator;
use testbed::test_cluster::{annotated, quick};
use tokio::time::sleep;

use crate::dice::Dice;
use crate::gate_setup::{GateSetup, MappedEnvironment};

/// How long all may take to come to rest.
const REST: Duration = Duration::from_mins(5);
/// How long the gate may take to count pods that have come, while the operator is killed every few seconds.
const NOTICED: Duration = Duration::from_secs(10);

/// A version, by its number.
pub fn version(number: usize) -> String {
    format!("{number}.0.0")
}

/// A deployment tool, and what can happen to its workloads. All are named as their pacticipants.
pub trait Tool {
    /// The kind of what serves.
    fn kind(&self) -> ApiResource {
        ApiResource::erase::<Deployment>(&())
    }

    /// The name of what serves.
    fn serving(&self, name: &str) -> String {
        name.to_owned()
    }

    /// The names of all that have pods of this pacticipant.
    fn owners(&self, name: &str) -> Vec<String> {
        vec![name.to_owned()]
    }

    /// With which version the object of this state is whole, if it is, by nothing but itself and what was seen before.
    fn whole(&self) -> impl FnMut(&Value) -> Option<String> + Send + 'static {
        whole_deployment
    }

    /// Creates it at 1.0.0.
    async fn create(&self, name: &str);

    /// Has something happen, and says what. Versions up to `newest` were published; for another one, see [`Versions::next`].
    async fn act(&self, name: &str, versions: &mut Versions<'_>, dice: &mut Dice) -> String;

    /// Kills a part of the tool, and starts it again.
    async fn restart(&self, dice: &mut Dice);

    /// Helps it on; whether it has come to rest.
    async fn settle(&self, name: &str) -> Result<(), String>;

    /// Whether pods of a version may be there.
    fn may_serve(&self, _name: &str, _version: &str) -> bool {
        true
    }

    /// What there is to see of it, for a failure.
    fn log(&self) -> String;
}

/// How much happens.
pub struct Pace {
    /// How many things happen to each workload.
    pub actions: usize,
    /// The pause before each, in milliseconds.
    pub pause: Range<usize>,
    /// The pause between two deaths, in milliseconds.
    pub killed: Range<usize>,
}

fn within(dice: &mut Dice, range: &Range<usize>) -> Duration {
    Duration::from_millis((range.start + dice.below(range.len())) as u64)
}

/// The versions of a pacticipant, each with a consumer that may be deployed beside all but this one: what tells whether a
/// version counts.
pub struct Versions<'a> {
    setup: &'a GateSetup,
    name: &'a str,
    pub newest: usize,
}

impl<'a> Versions<'a> {
    fn first(setup: &'a GateSetup, name: &'a str) -> Self {
        let mut versions = Self { setup, name, newest: 0 };
        versions.next();
        versions
    }

    /// Publishes one more.
    pub fn next(&mut self) -> String {
        self.newest += 1;
        let store = self.setup.cluster.broker.store();
        let (name, next) = (self.name, version(self.newest));
        store.publish_version(name, &next);
        store.publish_pact(&beside(name), &next, name, &format!("anything but {next}"));
        for number in 1..=self.newest {
            let other = version(number);
            assert!(store.verify(&beside(name), &next, name, &other, number != self.newest));
            assert!(store.verify(&beside(name), &other, name, &next, number != self.newest));
        }
        next
    }
}

/// The consumer of [`Versions`].
fn beside(name: &str) -> String {
    format!("beside-{name}")
}

/// What a watch has told of objects, by name.
#[derive(Clone, Default)]
struct Histories(Arc<Mutex<BTreeMap<String, History>>>);

#[derive(Default)]
struct History {
    /// At which resource version it was whole with which version, if it was.
    whole: Vec<(u64, Option<String>)>,
    /// What was seen, for a failure.
    lines: Vec<String>,
}

impl Histories {
    async fn watch(self, api: Api<DynamicObject>, mut whole: impl FnMut(&Value) -> Option<String>) {
        let mut objects = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
        while let Some(object) = objects.next().await {
            let Ok(object) = object else { continue };
            let object = serde_json::to_value(object).unwrap();
            let (at, name) = (resource_version(&object), object["metadata"]["name"].as_str().unwrap());
            let whole = whole(&object);
            let mut histories = self.0.lock().unwrap();
            let history = histories.entry(name.to_owned()).or_default();
            history.lines.push(format!("{at} {whole:?} {} {}", version_of(&object), object["status"]));
            history.whole.push((at, whole));
        }
    }

    /// Whether an object was whole with a version up to this resource version; not known before the watch has come so far.
    fn was_whole(&self, name: &str, version: &str, until: u64) -> Option<bool> {
        let histories = self.0.lock().unwrap();
        let whole = &histories.get(name)?.whole;
        (whole.last()?.0 >= until)
            .then(|| whole.iter().any(|(at, whole)| *at <= until && whole.as_deref() == Some(version)))
    }

    /// The versions with which it was whole, in order.
    fn whole(&self, name: &str) -> Vec<String> {
        let histories = self.0.lock().unwrap();
        let mut versions: Vec<_> = histories[name].whole.iter().filter_map(|(_, whole)| whole.clone()).collect();
        versions.dedup();
        versions
    }

    /// The last that was seen of it.
    fn tail(&self, name: &str) -> String {
        let histories = self.0.lock().unwrap();
        let lines = &histories[name].lines;
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}

fn resource_version(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

/// The version that the spec of a workload names.
pub fn version_of(workload: &Value) -> String {
    tag(workload["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default())
}

fn tag(image: &str) -> String {
    image.rsplit(':').next().unwrap_or_default().to_owned()
}

/// The images of the `ReplicaSet`s of these owners that have pods.
pub async fn images_with_pods(sets: &Api<ReplicaSet>, owners: &[String]) -> BTreeSet<String> {
    let serves = |set: &ReplicaSet| {
        let mut of = set.metadata.owner_references.iter().flatten();
        set.status.as_ref().is_some_and(|status| status.replicas > 0) && of.any(|it| owners.contains(&it.name))
    };
    let sets = sets.list(&ListParams::default()).await.expect("the ReplicaSets").items.into_iter().filter(serves);
    sets.filter_map(|set| set.spec?.template?.spec?.containers.remove(0).image).collect()
}

/// With which version a Deployment is whole, if it is.
pub fn whole_deployment(deployment: &Value) -> Option<String> {
    let (status, wanted) = (&deployment["status"], deployment["spec"]["replicas"].as_u64()?);
    let observed = status["observedGeneration"] == deployment["metadata"]["generation"];
    let numbers = ["replicas", "updatedReplicas", "availableReplicas"].map(|key| status[key].as_u64().unwrap_or(0));
    (observed && wanted > 0 && numbers == [wanted; 3]).then(|| version_of(deployment))
}

/// A run.
pub struct RandomRun<'a> {
    setup: &'a GateSetup,
    environment: MappedEnvironment,
    names: Vec<String>,
    seed: u64,
}

impl<'a> RandomRun<'a> {
    /// Chosen by the environment's variables. The names of its workloads begin with `prefix`. Of the set-up, which must be
    /// the caller's own, it takes over the operator.
    pub fn new(setup: &'a GateSetup, environment: &MappedEnvironment, prefix: &str) -> Self {
        let number = |name: &str| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let seed = number("GITOPS_SEED").unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
        eprintln!("GITOPS_SEED={seed}");
        let names = (0..number("GITOPS_COUNT").unwrap_or(20)).map(|one| format!("{prefix}-{one}")).collect();
        Self { setup, environment: environment.clone(), names, seed }
    }

    /// Runs it.
    ///
    /// # Panics
    /// When something is not as it must be.
    pub async fn with(&self, tool: &impl Tool, pace: &Pace) {
        // The first operator's Lease is longer.
        self.setup.cluster.operators[0].signal("KILL");
        let operator = Mutex::new(self.start_operator().await);
        let histories = Histories::default();
        let api = Api::namespaced_with(self.setup.cluster.client(), &self.environment.namespace, &tool.kind());
        let watching = tokio::spawn(histories.clone().watch(api.clone(), tool.whole()));
        let versions = join_all(self.names.iter().map(async |name| {
            let versions = Versions::first(self.setup, name);
            tool.create(name).await;
            self.setup.cluster.wait_recorded(&self.environment.name, name, &version(1)).await;
            versions
        }))
        .await;

        let mut dice = Dice(self.seed);
        let mut another = || Dice(dice.below(usize::MAX) as u64);
        let killing = Box::pin(self.kill(tool, pace, another(), &operator));
        let stirring = versions.into_iter().map(|versions| self.stir(tool, pace, versions, another()));
        let stirring = Box::pin(join_all(stirring));
        let mixed = Mutex::new(0);
        let looking = Box::pin(async {
            futures::join!(self.ask_the_broker(tool, &api, &histories), self.ask_the_gate(tool, &mixed));
        });
        let stirred = async {
            let Either::Left((done, _)) = select(stirring, killing).await else { unreachable!("killing never ends") };
            // Whoever was killed last may not be back.
            tool.restart(&mut another()).await;
            self.restart_operator(&operator).await;
            self.agree(tool, &histories, done).await;
        };
        select(Box::pin(stirred), looking).await;
        watching.abort();
        let mixed = *mixed.lock().unwrap();
        eprintln!("{mixed} times two versions served, and both counted");
        assert!(mixed > self.names.len() / 4, "hardly ever did two versions serve, so nothing was shown of that");
    }

    /// Has things happen to a workload, one after the other; gives what.
    async fn stir(&self, tool: &impl Tool, pace: &Pace, mut versions: Versions<'_>, mut dice: Dice) -> String {
        let mut done = Vec::new();
        for _ in 0..pace.actions {
            sleep(within(&mut dice, &pace.pause)).await;
            done.push(tool.act(versions.name, &mut versions, &mut dice).await);
        }
        done.join(", ")
    }

    /// Kills the operator or a part of the tool again and again. Never ends.
    async fn kill(&self, tool: &impl Tool, pace: &Pace, mut dice: Dice, operator: &Mutex<Operator>) {
        loop {
            sleep(within(&mut dice, &pace.killed)).await;
            if dice.percent(50) {
                tool.restart(&mut dice).await;
            } else {
                self.restart_operator(operator).await;
            }
        }
    }

    async fn restart_operator(&self, operator: &Mutex<Operator>) {
        operator.lock().unwrap().kill9();
        let next = self.start_operator().await;
        *operator.lock().unwrap() = next;
    }

    async fn start_operator(&self) -> Operator {
        // The chart's rights are installed anew with it, and the verdict endpoint has some of its own.
        let options = quick().value("controller.leaseSeconds", 3).value("verdictEndpoint.enabled", true);
        let options = options.value("verdictEndpoint.flagger.enabled", true);
        let mut operator = Operator::start(&self.setup.cluster.control_plane, options).await;
        operator.wait_ready().await;
        operator
    }

    /// Looks again and again whether the broker has a version with which a workload was not whole before. Never ends.
    async fn ask_the_broker(&self, tool: &impl Tool, api: &Api<DynamicObject>, histories: &Histories) {
        let mut known = BTreeSet::new();
        loop {
            for name in &self.names {
                let Some(recorded) = self.recorded(name) else { continue };
                if known.contains(&(name, recorded.clone())) {
                    continue;
                }
                let object = tool.serving(name);
                let now = serde_json::to_value(api.get(&object).await.expect("what serves")).unwrap();
                let now = resource_version(&now);
                let was_whole = eventually("the watch to come so far", REST, async || {
                    histories.was_whole(&object, &recorded, now).ok_or_else(|| format!("{now}"))
                });
                let was_whole = was_whole.await;
                assert!(was_whole, "{name} {recorded} is recorded, and was never whole:\n{}", histories.tail(&object));
                known.insert((name, recorded));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Looks again and again whether the gate counts each version that has pods, where there are several. Never ends.
    async fn ask_the_gate(&self, tool: &impl Tool, mixed: &Mutex<usize>) {
        loop {
            for name in &self.names {
                let served = self.served(tool, name).await;
                let denied: Vec<_> = served.iter().filter(|version| !tool.may_serve(name, version)).collect();
                assert_eq!(denied, [""; 0], "{name}: these have pods (seed {})", self.seed);
                if served.len() < 2 {
                    continue;
                }
                for version in &served {
                    eventually(format!("{name} {version} to count, of {served:?}"), NOTICED, async || {
                        let counts = self.counts(name, version).await;
                        let gone = async || !self.served(tool, name).await.contains(version);
                        if counts || gone().await { Ok(()) } else { Err(tool.log()) }
                    })
                    .await;
                }
                *mixed.lock().unwrap() += 1;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether the gate counts a version as one that serves: whoever may be deployed beside all others is denied.
    async fn counts(&self, name: &str, version: &str) -> bool {
        let consumer = annotated(&beside(name), &beside(name), version).manifest().clone();
        let consumer: Deployment = serde_json::from_value(consumer).unwrap();
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        match self.setup.deployments(&self.environment.namespace).create(&dry_run, &consumer).await {
            Ok(_) => false,
            Err(kube::Error::Api(status)) if status.code == 403 => true,
            Err(error) => panic!("{error}"),
        }
    }

    /// The versions that have pods.
    async fn served(&self, tool: &impl Tool, name: &str) -> BTreeSet<String> {
        let sets = Api::namespaced(self.setup.cluster.client(), &self.environment.namespace);
        images_with_pods(&sets, &tool.owners(name)).await.iter().map(|image| tag(image)).collect()
    }

    /// What the broker has.
    fn recorded(&self, name: &str) -> Option<String> {
        self.setup.cluster.recorded(&self.environment.name, name)
    }

    /// Waits until nothing moves, and the broker has what serves; everything that it ever had must have served, in this order.
    async fn agree(&self, tool: &impl Tool, histories: &Histories, done: Vec<String>) {
        let at_rest = self.names.iter().map(async |name| {
            eventually(format!("{name} to come to rest"), REST, async || {
                tool.settle(name).await?;
                let served = self.served(tool, name).await;
                let tail = || histories.tail(&tool.serving(name));
                if served.len() == 1 { Ok(served) } else { Err(format!("{served:?} have pods\n{}", tail())) }
            })
            .await
        });
        for ((name, served), done) in self.names.iter().zip(join_all(at_rest).await).zip(done) {
            let serves = served.first().expect("one version");
            let what = format!("{name} {serves} to be recorded (seed {}: {done})", self.seed);
            let agrees = async || {
                let (recorded, log) = (self.recorded(name), || testbed::dump::tail(&self.setup.cluster.logs(), 5));
                if recorded.as_ref() == Some(serves) { Ok(()) } else { Err(format!("{recorded:?} {}", log())) }
            };
            eventually(&what, REST, agrees).await;
            always(&what, Duration::from_millis(200), agrees).await;
            let whole = histories.whole(&tool.serving(name));
            let mut rest = whole.iter();
            for write in self.setup.cluster.writes(&self.environment.name, name) {
                let written = write.strip_prefix("Deployed ").unwrap_or_else(|| panic!("{name}: {write}"));
                assert!(
                    rest.any(|one| one == written),
                    "{what}: {written} is recorded out of turn; it was whole with {whole:?}"
                );
            }
            assert_eq!(self.served(tool, name).await, [serves.clone()].into());
        }
    }
}
