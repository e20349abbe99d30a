//! The loop that makes the broker right.
//!
//! Level-triggered: each pass compares what the broker should say with what it says. Everything that matters is read
//! anew from the cluster and the broker after a restart; only delays are kept in memory, by the [`queue`].
//!
//! Seven reconcilers, each of a few handles: of a record, of the verdicts on what runs, of an environment, of a broker, of
//! what is published there, of who waits for a record, of a workload that is held.
//! What they decide is in [`crate::decide`], what they know in [`crate::cluster`].

mod broker;
mod changes;
mod checks;
mod environment;
mod environment_status;
mod held_object;
mod hold;
mod metrics;
mod optional;
mod pact_record;
mod publications;
pub mod queue;
mod record;
mod record_act;
mod report;
mod retry;
mod schedule;
mod trace;
mod verdict;
mod verdicts;
mod verification;
mod waiting;
mod watch;
mod writes;

use std::{sync::Arc, time::Duration};

use futures::FutureExt;
use kube::Client;
use operator_kit::{
    events::EventSink, history::History, lease::Leadership, liveness::Liveness, metrics::Metrics, readiness::Readiness,
    traces::Traces,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::{
    broker::BrokerReconciler,
    environment::EnvironmentReconciler,
    hold::HoldReconciler,
    metrics::RecorderMetrics,
    pact_record::PactRecordReconciler,
    publications::PublicationsReconciler,
    queue::{Next, Queue, Slot, Task, Tries},
    record::RecordReconciler,
    report::Reporter,
    schedule::Schedule,
    trace::WriteTraces,
    verdict::VerdictReconciler,
    verdicts::Verdicts,
    verification::{Parts, VerificationReconciler},
    waiting::WaitingRoom,
    writes::Writes,
};
use crate::{
    cluster::{Cluster, FIELD_MANAGER, client_factory::ClientFactory},
    decide::announcement::Sink,
    notifier::{
        self, SinkSettings,
        verification::{Hooks, VerificationSettings},
    },
};

/// How often every record is looked at, also where no environment is left: some are outdated by then (case 115).
const SWEEP: Duration = Duration::from_hours(6);

/// The settings of the recorder.
#[derive(Clone)]
pub struct Settings {
    /// The operator's own namespace: Secrets are read there and nowhere else.
    pub namespace: String,
    /// How the broker client names itself.
    pub user_agent: String,
    /// The name of the cluster, on `PactDeployment`s.
    pub cluster_name: Option<String>,
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
    /// For how many keys the workloads of one namespace may speak.
    pub keys_per_namespace: usize,
    /// For which sinks what happens to records is announced.
    pub sinks: Vec<Sink>,
    /// Whether what is held is resumed: the chart grants the right to do so.
    pub holds: bool,
    /// Where the spans of writes go.
    pub traces: Traces,
}

/// What the recorder needs of the process that it runs in.
pub struct Surroundings {
    /// The API server.
    pub client: Client,
    /// Whether this process may write.
    pub leadership: Leadership,
    /// Where readiness gates are registered.
    pub readiness: Readiness,
    /// Where the loop shows that it is alive.
    pub liveness: Liveness,
    /// Where metrics are registered.
    pub metrics: Metrics,
    /// This process, in Events.
    pub instance: String,
    /// Ends the recorder.
    pub shutdown: CancellationToken,
}

/// Closes the gates that [`run`] will open. Before readiness is served: without gates a process counts as ready.
pub fn close_gates(readiness: &Readiness) {
    drop(watch::gates(readiness));
}

/// The recorder: see the module.
struct Recorder {
    cluster: Arc<Cluster>,
    leadership: Leadership,
    schedule: Schedule,
    reporter: Reporter,
    verdicts: Arc<Verdicts>,
    record: RecordReconciler,
    verdict: VerdictReconciler,
    environment: EnvironmentReconciler,
    broker: BrokerReconciler,
    publications: PublicationsReconciler,
    pact_record: PactRecordReconciler,
    hold: HoldReconciler,
}

impl Recorder {
    fn new(settings: Settings, surroundings: &Surroundings, queue: Queue) -> Self {
        let Surroundings { client, leadership, metrics: registry, instance, .. } = surroundings;
        let settings = Arc::new(settings);
        let cluster = Arc::new(Cluster::new(client.clone()));
        cluster.index().limit_keys(settings.keys_per_namespace);
        let verdicts = Arc::new(Verdicts::default());
        let waiting = Arc::new(WaitingRoom::new(settings.retry_max));
        let metrics = RecorderMetrics::register(registry, leadership, &cluster);
        let reporter = Reporter::new(EventSink::new(client.clone(), FIELD_MANAGER, instance), leadership.clone());
        let writes = Writes { leadership: leadership.clone(), metrics: metrics.clone() };
        let schedule = Schedule {
            queue,
            cluster: Arc::clone(&cluster),
            verdicts: Arc::clone(&verdicts),
            waiting: Arc::clone(&waiting),
            resync_period: settings.resync_period,
            traces: WriteTraces::new(settings.traces.clone()),
        };
        let client_factory = ClientFactory {
            client: client.clone(),
            namespace: settings.namespace.clone(),
            user_agent: settings.user_agent.clone(),
            longest_pause: crate::broker::pause::LONGEST_PAUSE,
            observer: crate::broker::metrics::observer(registry),
        };
        Self {
            hold: HoldReconciler {
                cluster: Arc::clone(&cluster),
                leadership: leadership.clone(),
                reporter: reporter.clone(),
                metrics: metrics.clone(),
                settings: Arc::clone(&settings),
            },
            record: RecordReconciler {
                cluster: Arc::clone(&cluster),
                schedule: schedule.clone(),
                writes: writes.clone(),
                reporter: reporter.clone(),
                verdicts: Arc::clone(&verdicts),
                waiting: Arc::clone(&waiting),
                settings: Arc::clone(&settings),
            },
            verdict: VerdictReconciler {
                cluster: Arc::clone(&cluster),
                schedule: schedule.clone(),
                verdicts: Arc::clone(&verdicts),
                waiting: Arc::clone(&waiting),
                reporter: reporter.clone(),
                metrics,
                settings: Arc::clone(&settings),
            },
            environment: EnvironmentReconciler {
                cluster: Arc::clone(&cluster),
                schedule: schedule.clone(),
                writes,
                settings: Arc::clone(&settings),
            },
            publications: PublicationsReconciler {
                cluster: Arc::clone(&cluster),
                schedule: schedule.clone(),
                waiting,
                settings: Arc::clone(&settings),
            },
            pact_record: PactRecordReconciler {
                cluster: Arc::clone(&cluster),
                leadership: leadership.clone(),
                settings: Arc::clone(&settings),
            },
            broker: BrokerReconciler {
                cluster: Arc::clone(&cluster),
                schedule: schedule.clone(),
                client_factory,
                settings,
            },
            leadership: leadership.clone(),
            cluster,
            schedule,
            reporter,
            verdicts,
        }
    }

    /// What asks for verifications. `None` when it cannot be made.
    fn verification(
        &self,
        settings: VerificationSettings,
        surroundings: &Surroundings,
        user_agent: &str,
        namespace: &str,
    ) -> Option<VerificationReconciler> {
        let Surroundings { client, leadership, metrics, instance, .. } = surroundings;
        let (pacing, environments) = (settings.pacing, settings.environments.clone());
        let hooks = match Hooks::new(settings, user_agent, leadership.clone(), metrics) {
            Ok(hooks) => hooks,
            Err(error) => {
                tracing::error!(%error, "no client for the hooks can be made: no verification is asked for");
                return None;
            }
        };
        let parts = Parts {
            cluster: Arc::clone(&self.cluster),
            schedule: self.schedule.clone(),
            verdicts: Arc::clone(&self.verdicts),
            leadership: leadership.clone(),
            events: EventSink::new(client.clone(), FIELD_MANAGER, instance),
            hooks,
            pacing,
            environments,
        };
        Some(VerificationReconciler::new(parts, client.clone(), namespace))
    }

    async fn work(&self, task: Task, slot: Slot, tries: Tries) -> Next {
        // A standby watches and decides nothing; all is looked at once it leads.
        if !self.cluster.is_complete() || !self.leadership.is_leader() {
            if let Task::Verdict(key) = &task {
                // Or it would count as under way for ever, and not be judged when this process leads again.
                self.verdicts.end(key);
            }
            return Next::wait();
        }
        match task {
            Task::Broker(name) => self.broker.reconcile(&name, tries).await,
            Task::Environment(environment_ref) => self.environment.reconcile(&environment_ref, tries).await,
            Task::EnvironmentStatus(object) => self.environment.reconcile_status(&object).await,
            Task::Record(key) => self.record.reconcile(&key, slot, tries).await,
            Task::Verdict(key) => self.verdict.reconcile(&key, tries).await,
            Task::Publications(broker) => self.publications.reconcile(&broker).await,
            Task::PactRecord(object) => self.pact_record.reconcile(&object, tries).await,
            Task::Hold(workload) => self.hold.reconcile(&workload, tries).await,
        }
    }

    /// Looks at everything when this process begins to lead, and now and then at records that nothing else makes it look
    /// at; and shows that the loop is alive.
    async fn follow_leadership(self: Arc<Self>, liveness: Liveness, shutdown: CancellationToken) {
        let mut leads = self.leadership.watch();
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        let mut sweep = tokio::time::interval(SWEEP);
        let mut may_change = true;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = tick.tick() => liveness.tick(),
                _ = sweep.tick() => self.schedule.records(self.cluster.records.keys()),
                changed = leads.changed(), if may_change => {
                    // Without election nobody can grant or end leadership: it stays as it is.
                    may_change = changed.is_ok();
                    // What this process found when it led is no news when it leads again: the statuses say what was found
                    // since.
                    self.schedule.forget_findings();
                    if *leads.borrow_and_update() {
                        self.schedule.everything();
                        self.reporter.mistaken_workloads_soon(&self.cluster);
                    }
                }
            }
        }
    }
}

/// Runs the recorder until shutdown, and delivers to the sinks what it announces. A standby keeps everything warm and does
/// nothing until it leads.
pub async fn run(
    settings: Settings,
    sinks: Vec<SinkSettings>,
    verification: Option<VerificationSettings>,
    surroundings: Surroundings,
) {
    let (queue, requests) = Queue::new();
    let (cluster_name, user_agent) = (settings.cluster_name.clone(), settings.user_agent.clone());
    let namespace = settings.namespace.clone();
    let recorder = Arc::new(Recorder::new(settings, &surroundings, queue.clone()));
    let history = History::new();
    let verifying = verification
        .and_then(|verification| recorder.verification(verification, &surroundings, &user_agent, &namespace))
        .map(|reconciler| tokio::spawn(reconciler.run(history.restored(), surroundings.shutdown.clone())));
    let Surroundings { client, leadership, readiness, liveness, metrics, instance, shutdown } = surroundings;
    let notifying = (!sinks.is_empty()).then(|| {
        let notifier = notifier::Surroundings {
            client: client.clone(),
            dropped: recorder.record.writes.metrics.dropped.clone(),
            records: recorder.cluster.records.clone(),
            leadership,
            events: EventSink::new(client, FIELD_MANAGER, &instance),
            metrics,
            cluster: cluster_name,
            user_agent,
            restored: history.restored(),
            shutdown: shutdown.clone(),
        };
        tokio::spawn(notifier::run(sinks, notifier))
    });
    let work = {
        let recorder = Arc::clone(&recorder);
        Arc::new(move |task, slot, tries| {
            let recorder = Arc::clone(&recorder);
            async move { recorder.work(task, slot, tries).await }.boxed()
        })
    };
    let watching = tokio::spawn(watch::run(Arc::clone(&recorder), readiness, history, shutdown.clone()));
    let leading = tokio::spawn(Arc::clone(&recorder).follow_leadership(liveness, shutdown.clone()));
    queue::run(queue, requests, shutdown, work).await;
    let ended = async |task: Option<JoinHandle<()>>| match task {
        Some(task) => task.await,
        None => Ok(()),
    };
    for ended in [watching.await, leading.await, ended(notifying).await, ended(verifying).await] {
        if let Err(error) = ended {
            tracing::error!(%error, "a task of the recorder panicked, which is a defect");
        }
    }
}
