//! Which tasks are due, and when: each task runs at most once at a time, and a bounded number for each broker.
//!
//! Every broker has a lane of its own, so that a slow or dead broker does not delay the tasks of others.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::workload::{EnvironmentRef, RecordKey};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::runtime::scheduler::{ScheduleRequest, Scheduler, scheduler};
use operator_kit::backoff::{Backoff, entropy};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// A task. Running it twice does no harm; it reads the state that it needs by itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// A `PactBroker` by name: its settings, Secrets, reachability.
    Broker(String),
    /// An environment at a broker: whether it exists, and what it has recorded.
    Environment(EnvironmentRef),
    /// A `PactEnvironment` by name: its status.
    EnvironmentStatus(String),
    /// One record key.
    Record(RecordKey),
    /// The verdicts of the gate's policy on the versions of one record key.
    Verdict(RecordKey),
}

/// A group of tasks that wait for each other.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Lane {
    /// Tasks that do not depend on a broker's speed.
    Free,
    /// A broker's records.
    Records(String),
    /// A broker's checks: they cost the broker far more than records do, and can wait.
    Verdicts(String),
}

impl Lane {
    /// How many tasks may hold a slot.
    fn slots(&self) -> usize {
        match self {
            Self::Free | Self::Records(_) => SLOTS_PER_LANE,
            Self::Verdicts(_) => VERDICTS_AT_ONCE,
        }
    }
}

impl Task {
    /// The lane of the task, by the broker that may delay it. A broker's own probe is not in its lane: it has to detect
    /// that the broker has recovered while everything in the lane waits.
    fn lane(&self) -> Lane {
        match self {
            Self::Environment(environment_ref) => Lane::Records(environment_ref.broker.clone()),
            Self::Record(key) => Lane::Records(key.environment_ref.broker.clone()),
            Self::Verdict(key) => Lane::Verdicts(key.environment_ref.broker.clone()),
            Self::Broker(_) | Self::EnvironmentStatus(_) => Lane::Free,
        }
    }
}

/// When to run a task again although nothing changes, and the count of its tries until then.
#[derive(Debug, Default)]
pub struct Next {
    /// After that time; `None`: only on request.
    pub after: Option<Duration>,
    /// The tries that the task receives when it runs again.
    pub tries: Tries,
}

impl Next {
    /// Only on request; earlier tries are dropped.
    #[must_use]
    pub fn wait() -> Self {
        Self::default()
    }

    /// After that time; earlier tries are dropped.
    #[must_use]
    pub fn after(delay: Duration) -> Self {
        Self { after: Some(delay), tries: Tries::default() }
    }

    /// After that time, with these tries.
    #[must_use]
    pub fn retry(delay: Duration, tries: Tries) -> Self {
        Self { after: Some(delay), tries }
    }
}

/// How often in a row, and since when, a task has failed for the same cause.
#[derive(Clone, Debug, Default)]
pub struct Tries {
    cause: String,
    times: u32,
    since: Option<Instant>,
}

impl Tries {
    /// Counts one more try for this cause, or the first for a new one, and returns the delay before the next.
    pub fn delay(&mut self, backoff: Backoff, cause: impl Into<String>) -> Duration {
        self.begin(cause);
        let delay = backoff.delay(self.times, entropy());
        self.times = self.times.saturating_add(1);
        delay
    }

    /// How long this cause has lasted.
    pub fn lasting(&mut self, cause: impl Into<String>) -> Duration {
        self.begin(cause).elapsed()
    }

    fn begin(&mut self, cause: impl Into<String>) -> Instant {
        let cause = cause.into();
        if self.cause != cause {
            *self = Self { cause, times: 0, since: None };
        }
        *self.since.get_or_insert_with(Instant::now)
    }
}

/// A slot of a lane, held while a task occupies the lane's broker. Dropping it lets the next task begin.
pub type Slot = OwnedSemaphorePermit;

/// How many tasks of one lane may hold a slot. Far more than a broker's own limit of requests: a task also reads from
/// the API server, which may be slow, while others call the broker.
const SLOTS_PER_LANE: usize = 64;
/// How many checks of one broker may run at once.
const VERDICTS_AT_ONCE: usize = 2;
/// How many tasks of one lane may run in all, including those that have released their slot: the reports in the cluster
/// may lag behind the records by that many keys, at some kilobytes each.
const UNDER_WAY_PER_LANE: usize = 4_096;

type Request = ScheduleRequest<Task>;
type Lanes = HashMap<Lane, mpsc::UnboundedSender<Request>>;

/// The sending end of the queue. Cheap to clone.
///
/// Its channels are unbounded, but a lane accepts requests at once and keeps each task once, so the number of waiting
/// tasks is bounded by the number of objects.
#[derive(Clone)]
pub struct Queue {
    lanes: Arc<Mutex<Lanes>>,
    new_lanes: mpsc::UnboundedSender<(Lane, mpsc::UnboundedReceiver<Request>)>,
}

/// The receiving end of a [`Queue`], for [`run`].
pub struct Receiver(mpsc::UnboundedReceiver<(Lane, mpsc::UnboundedReceiver<Request>)>);

impl Queue {
    /// A queue and its receiving end.
    #[must_use]
    pub fn new() -> (Self, Receiver) {
        let (new_lanes, receiver) = mpsc::unbounded_channel();
        (Self { lanes: Arc::default(), new_lanes }, Receiver(receiver))
    }

    /// Run the task as soon as possible.
    pub fn now(&self, task: Task) {
        self.after(Duration::ZERO, task);
    }

    /// Run the task after that time, or earlier if another request asks for it.
    pub fn after(&self, delay: Duration, task: Task) {
        let lane = task.lane();
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = lanes.entry(lane.clone()).or_insert_with(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            // No new lanes are received once the process shuts down; then no task has to run any more.
            drop(self.new_lanes.send((lane, receiver)));
            sender
        });
        drop(sender.send(ScheduleRequest { message: task, run_at: Instant::now() + delay }));
    }
}

/// Runs tasks as they fall due until the token is cancelled; tasks in progress then are finished first.
pub async fn run<F>(queue: Queue, mut requests: Receiver, shutdown: CancellationToken, work: Arc<F>)
where
    F: Fn(Task, Slot, Tries) -> BoxFuture<'static, Next> + Send + Sync + 'static,
{
    let mut lanes = JoinSet::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            Some((lane, receiver)) = requests.0.recv() => {
                lanes.spawn(run_lane(queue.clone(), lane.slots(), receiver, shutdown.clone(), Arc::clone(&work)));
            }
        }
    }
    while lanes.join_next().await.is_some() {}
}

async fn run_lane<F>(
    queue: Queue,
    slots: usize,
    requests: mpsc::UnboundedReceiver<Request>,
    shutdown: CancellationToken,
    work: Arc<F>,
) where
    F: Fn(Task, Slot, Tries) -> BoxFuture<'static, Next> + Send + Sync + 'static,
{
    let requests = futures::stream::unfold(requests, async |mut requests| {
        let request = requests.recv().await?;
        Some((request, requests))
    });
    let mut scheduler = Box::pin(scheduler(requests.boxed()));
    let slots = Arc::new(Semaphore::new(slots));
    let mut under_way = HashSet::new();
    let mut running: FuturesUnordered<BoxFuture<'static, (Task, Result<Next, JoinError>)>> = FuturesUnordered::new();
    // Of tasks that are retried; the others have none.
    let mut tries: HashMap<Task, Tries> = HashMap::new();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some((task, next)) = running.next(), if !running.is_empty() => {
                under_way.remove(&task);
                let next = next.unwrap_or_else(|_| {
                    error!(?task, "a task panicked, which is a defect; it is tried again in a minute");
                    Next::after(Duration::from_mins(1))
                });
                if next.tries.since.is_some() {
                    tries.insert(task.clone(), next.tries);
                }
                if let Some(delay) = next.after {
                    queue.after(delay, task);
                }
            }
            (task, slot) = next_due(&mut scheduler, &under_way, &slots) => {
                under_way.insert(task.clone());
                let work = tokio::spawn(work(task.clone(), slot, tries.remove(&task).unwrap_or_default()));
                running.push(work.map(move |next| (task, next)).boxed());
            }
        }
    }
    while running.next().await.is_some() {}
}

/// The next task that is due and may begin, and its slot. Requests are accepted meanwhile.
async fn next_due<S>(
    scheduler: &mut Pin<Box<Scheduler<Task, S>>>,
    under_way: &HashSet<Task>,
    slots: &Arc<Semaphore>,
) -> (Task, Slot)
where
    S: Stream<Item = Request>,
{
    let slot = async {
        if under_way.len() >= UNDER_WAY_PER_LANE {
            return std::future::pending().await;
        }
        match Arc::clone(slots).acquire_owned().await {
            Ok(slot) => slot,
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    };
    let held = async {
        loop {
            // While held, the scheduler returns no task, but accepts requests.
            if scheduler.as_mut().hold().next().await.is_none() {
                return std::future::pending().await;
            }
        }
    };
    let slot = tokio::select! {
        biased;
        slot = slot => slot,
        slot = held => slot,
    };
    match scheduler.as_mut().hold_unless(|task| !under_way.contains(task)).next().await {
        Some(task) => (task, slot),
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::api::names::{EnvironmentName, Pacticipant};

    fn record(broker: &str, pacticipant: &str) -> Task {
        Task::Record(RecordKey {
            environment_ref: EnvironmentRef {
                broker: broker.into(),
                environment: EnvironmentName::parse("e").unwrap(),
            },
            pacticipant: Pacticipant::parse(pacticipant).unwrap(),
            instance: None,
        })
    }

    /// Runs the queue over `work` until the test drops the returned guard.
    fn start<F>(work: F) -> (Queue, tokio_util::sync::DropGuard)
    where
        F: Fn(Task, Slot, Tries) -> BoxFuture<'static, Next> + Send + Sync + 'static,
    {
        let (queue, receiver) = Queue::new();
        let shutdown = CancellationToken::new();
        tokio::spawn(run(queue.clone(), receiver, shutdown.clone(), Arc::new(work)));
        (queue, shutdown.drop_guard())
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_never_runs_concurrently_with_itself_and_a_request_meanwhile_is_not_lost() {
        let (done, mut done_tasks) = mpsc::unbounded_channel();
        let at_once = Arc::new(AtomicUsize::new(0));
        let (queue, _guard) = start(move |_, _slot, _tries| {
            let (at_once, done) = (Arc::clone(&at_once), done.clone());
            async move {
                assert_eq!(at_once.fetch_add(1, Ordering::SeqCst), 0);
                tokio::time::sleep(Duration::from_secs(1)).await;
                at_once.fetch_sub(1, Ordering::SeqCst);
                done.send(Instant::now()).unwrap();
                Next::wait()
            }
            .boxed()
        });
        queue.now(record("a", "x"));
        tokio::time::sleep(Duration::from_millis(500)).await;
        queue.now(record("a", "x"));
        queue.now(record("a", "x"));
        let first = done_tasks.recv().await.unwrap();
        let second = done_tasks.recv().await.unwrap();
        assert!(second - first >= Duration::from_secs(1));
        assert!(
            tokio::time::timeout(Duration::from_mins(1), done_tasks.recv()).await.is_err(),
            "asked twice, done once"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_never_answers_delays_no_other() {
        let (done, mut done_tasks) = mpsc::unbounded_channel();
        let (queue, _guard) = start(move |task, _slot, _tries| {
            let done = done.clone();
            async move {
                match task {
                    Task::Record(key) if key.environment_ref.broker == "black-hole" => std::future::pending().await,
                    task => done.send(task).unwrap(),
                }
                Next::wait()
            }
            .boxed()
        });
        for number in 0..100 {
            queue.now(record("black-hole", &format!("p{number}")));
        }
        queue.now(record("good", "x"));
        queue.now(Task::Broker("black-hole".into()));
        let mut got = vec![done_tasks.recv().await.unwrap(), done_tasks.recv().await.unwrap()];
        got.sort_by_key(|task| format!("{task:?}"));
        assert_eq!(got, [Task::Broker("black-hole".into()), record("good", "x")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_repeated_task_runs_again_and_an_earlier_request_wins() {
        let (done, mut done_tasks) = mpsc::unbounded_channel();
        let (queue, _guard) = start(move |_, _slot, _tries| {
            let done = done.clone();
            async move {
                done.send(Instant::now()).unwrap();
                Next::after(Duration::from_secs(100))
            }
            .boxed()
        });
        let start = Instant::now();
        queue.now(record("a", "x"));
        done_tasks.recv().await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        queue.after(Duration::from_secs(9), record("a", "x"));
        assert_eq!((done_tasks.recv().await.unwrap() - start).as_secs(), 10);
        assert_eq!((done_tasks.recv().await.unwrap() - start).as_secs(), 110);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_is_retried_and_the_others_continue() {
        let times = Arc::new(AtomicUsize::new(0));
        let (done, mut done_tasks) = mpsc::unbounded_channel();
        let (queue, _guard) = start(move |task, _slot, _tries| {
            let (times, done) = (Arc::clone(&times), done.clone());
            async move {
                assert!(task != record("a", "bad") || times.fetch_add(1, Ordering::SeqCst) > 0, "planned panic");
                done.send(task).unwrap();
                Next::wait()
            }
            .boxed()
        });
        queue.now(record("a", "bad"));
        queue.now(record("a", "good"));
        assert_eq!(done_tasks.recv().await.unwrap(), record("a", "good"));
        assert_eq!(done_tasks.recv().await.unwrap(), record("a", "bad"));
    }
}
