//! The loop that makes the broker right: watch, plan, act, status.
//!
//! Level-triggered: each pass compares what the broker should say with what it says. Everything that matters is read
//! anew from the cluster and the broker after a restart; only delays are kept in memory.
//!
//! Pure: [`index`], [`desired`], [`plan`], [`status`]. The rest acts.

pub mod brokers;
mod check;
pub mod checks;
pub mod desired;
mod environment;
mod events;
#[cfg(test)]
mod fixtures;
pub mod index;
pub mod inventory;
mod live;
pub mod member;
mod metrics;
mod pass;
pub mod places;
pub mod plan;
pub mod queue;
mod record;
pub mod records;
mod release;
pub mod status;
mod watch;
mod watch_handlers;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt;
use kube::{Client, api::PostParams};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use self::{
    brokers::{Brokers, Change},
    checks::Checks,
    index::Index,
    metrics::RecorderMetrics,
    places::Places,
    queue::{Next, Queue, Slot, Task},
    records::RecordStore,
};
use crate::{
    api::{PactEnvironment, names::Version},
    broker::BrokerError,
    workload::{EnvironmentRef, RecordKey},
};
use operator_kit::{events::EventSink, lease::Leadership, liveness::Liveness, metrics::Metrics, readiness::Readiness};

/// The name under which the recorder writes, for `managedFields` and Events.
pub const FIELD_MANAGER: &str = "pact-operator.dev/controller";

/// How the recorder writes objects: under its own name.
fn as_field_manager() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// What the recorder is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace: Secrets are read there and nowhere else.
    pub namespace: String,
    /// How the broker client names itself.
    pub user_agent: String,
    /// How often a broker that answers is probed, and its Secrets read again.
    pub probe_period: Duration,
    /// How often what an environment has recorded is read and compared.
    pub resync_period: Duration,
    /// The first delay after something could not be done; it doubles each time.
    pub retry_min: Duration,
    /// The longest delay after something could not be done.
    pub retry_max: Duration,
    /// How long a rollout may take before the status says that it is under way: most end sooner, unwritten.
    pub quiet_period: Duration,
}

/// What the recorder needs of the process that it runs in.
pub struct Surroundings {
    /// The API server.
    pub client: Client,
    /// Whether this process may write.
    pub leadership: Leadership,
    /// Where readiness gates are registered.
    pub readiness: Readiness,
    /// Where the loop says that it turns.
    pub liveness: Liveness,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// This process, in Events.
    pub instance: String,
    /// Ends the recorder.
    pub shutdown: CancellationToken,
}

/// The recorder: see the module.
pub struct Recorder {
    client: Client,
    settings: Arc<Settings>,
    leadership: Leadership,
    index: Mutex<Index>,
    environments: Mutex<HashMap<String, PactEnvironment>>,
    records: RecordStore,
    brokers: Brokers,
    places: Places,
    events: EventSink,
    queue: Queue,
    metrics: RecorderMetrics,
    /// By key: how often in a row something could not be done, and for which version.
    tries: Mutex<HashMap<RecordKey, (u32, Option<Version>)>>,
    /// By key: since when a rollout is under way that the status does not tell of yet.
    quiet_since: Mutex<HashMap<RecordKey, Instant>>,
    /// By environment: how often in a row it could not be read.
    place_tries: Mutex<BTreeMap<EnvironmentRef, u32>>,
    /// By environment: how often in a row none of our records was in it.
    place_doubts: Mutex<BTreeMap<EnvironmentRef, u32>>,
    /// What the gate's policy says of the versions that run.
    checks: Checks,
    /// By key: how often in a row a version could not be checked.
    check_tries: Mutex<HashMap<RecordKey, u32>>,
    /// The places of those who tell what they did.
    reports: Semaphore,
    rollouts_served: AtomicBool,
    /// Whether everything that is watched was listed once: before, what is missing only seems to be.
    complete: AtomicBool,
}

/// Closes the gates that [`run`] will open. Before readiness is served: without gates a process counts as ready.
pub fn close_gates(readiness: &Readiness) {
    drop(watch::gates(readiness));
}

/// Runs the recorder until shutdown. A standby keeps everything warm and does nothing until it leads.
pub async fn run(settings: Settings, surroundings: Surroundings) {
    let Surroundings { client, leadership, readiness, liveness, metrics, instance, shutdown } = surroundings;
    let settings = Arc::new(settings);
    let (queue, outlet) = Queue::new();
    let observer = crate::broker::metrics::observer(&metrics);
    let (records, places) = (RecordStore::new(client.clone()), Places::default());
    let metrics = RecorderMetrics::register(&metrics, &leadership, &records, &places);
    let recorder = Arc::new(Recorder {
        client: client.clone(),
        leadership: leadership.clone(),
        index: Mutex::default(),
        environments: Mutex::default(),
        records,
        brokers: Brokers::new(client.clone(), Arc::clone(&settings), observer),
        places,
        events: EventSink::new(client, FIELD_MANAGER, &instance),
        queue: queue.clone(),
        metrics,
        tries: Mutex::default(),
        quiet_since: Mutex::default(),
        place_tries: Mutex::default(),
        place_doubts: Mutex::default(),
        checks: Checks::default(),
        check_tries: Mutex::default(),
        reports: Semaphore::new(pass::REPORTS_AT_ONCE),
        rollouts_served: AtomicBool::new(false),
        complete: AtomicBool::new(false),
        settings,
    });

    let work = {
        let recorder = Arc::clone(&recorder);
        Arc::new(move |task, slot| {
            let recorder = Arc::clone(&recorder);
            async move { recorder.work(task, slot).await }.boxed()
        })
    };
    let watching = tokio::spawn(watch::run(Arc::clone(&recorder), readiness, shutdown.clone()));
    let leading = tokio::spawn(follow_leadership(Arc::clone(&recorder), liveness, shutdown.clone()));
    queue::run(queue, outlet, shutdown, work).await;
    for ended in [watching.await, leading.await] {
        if let Err(error) = ended {
            tracing::error!(%error, "a task of the recorder panicked, which is a defect");
        }
    }
}

/// Looks at everything when this process begins to lead, and says that the loop turns.
async fn follow_leadership(recorder: Arc<Recorder>, liveness: Liveness, shutdown: CancellationToken) {
    let mut leads = recorder.leadership.watch();
    let mut tick = tokio::time::interval(Duration::from_secs(5));
    let mut may_change = true;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = tick.tick() => liveness.tick(),
            changed = leads.changed(), if may_change => {
                // Without election nobody can grant or end leadership: it stays as it is.
                may_change = changed.is_ok();
                if *leads.borrow_and_update() {
                    recorder.look_at_everything();
                    recorder.report_invalid_workloads_soon();
                }
            }
        }
    }
}

impl Recorder {
    async fn work(&self, task: Task, slot: Slot) -> Next {
        // A standby watches and decides nothing; all is looked at once it leads.
        if !self.complete.load(Ordering::Acquire) || !self.leadership.is_leader() {
            if let Task::Check(key) = &task {
                // Or it would count as under way for ever, and not be checked when this process leads again.
                self.checks.end(key);
            }
            return None;
        }
        match task {
            Task::Broker(name) => {
                let (change, next) = self.brokers.reconcile(&name).await;
                if change == Change::TryAgain {
                    self.try_again(&name);
                }
                next
            }
            Task::EnvironmentRef(environment_ref) => self.read_place(&environment_ref).await,
            Task::EnvironmentStatus(object) => self.environment_status(&object).await,
            Task::Record(key) => self.pass(&key, slot).await,
            Task::Check(key) => self.check(&key).await,
        }
    }

    /// Puts in a task for everything there is.
    fn look_at_everything(&self) {
        for name in self.brokers.names() {
            self.queue.now(Task::Broker(name));
        }
        let (places, objects) = self.places_and_objects();
        for environment_ref in places {
            self.queue.now(Task::EnvironmentRef(environment_ref));
        }
        for object in objects {
            self.queue.now(Task::EnvironmentStatus(object));
        }
        for key in self.keys(|_| true) {
            self.queue.now(Task::Record(key));
        }
    }

    /// Puts in a task for everything that waits for a broker.
    fn try_again(&self, broker: &str) {
        let (places, _) = self.places_and_objects();
        for environment_ref in places.into_iter().filter(|environment_ref| environment_ref.broker == broker) {
            self.queue.now(Task::EnvironmentRef(environment_ref));
        }
        self.check_unanswered(broker);
    }

    /// A call at a broker failed: has whoever can find out more look into it.
    fn look_into(&self, environment_ref: &EnvironmentRef, error: &BrokerError) {
        match error {
            BrokerError::EnvironmentMissing { .. } => self.queue.now(Task::EnvironmentRef(environment_ref.clone())),
            BrokerError::PacticipantMissing { .. }
            | BrokerError::VersionMissing { .. }
            | BrokerError::Rejected { .. }
            | BrokerError::Unaddressable { .. } => {}
            _ => self.queue.now(Task::Broker(environment_ref.broker.clone())),
        }
    }

    /// Every key that has members or a memory, and for which `wanted` holds.
    fn keys(&self, wanted: impl Fn(&RecordKey) -> bool) -> HashSet<RecordKey> {
        let mut keys: HashSet<_> = self.records.keys().into_iter().filter(&wanted).collect();
        keys.extend(self.index().keys().filter(|key| wanted(key)).cloned());
        keys
    }

    fn places_and_objects(&self) -> (HashSet<EnvironmentRef>, Vec<String>) {
        let places = self.index().valid_rules().map(|rules| rules.environment_ref.clone()).collect();
        let environments = self.environments.lock().unwrap_or_else(PoisonError::into_inner);
        (places, environments.keys().cloned().collect())
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
