//! Which tasks are due, and when: each task runs at most once at a time, and a bounded number for each broker.
//!
//! Every broker has lanes of its own, so that a slow or dead broker does not delay the tasks of others. In a lane, what is
//! urgent (a rollout that just finished) comes before what is not, and finds slots that nothing else may take: thousands
//! of comparisons after a restart do not delay it (case 112).

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use kube::runtime::scheduler::{ScheduleRequest, Scheduler, scheduler};
use operator_kit::backoff::{Backoff, entropy};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::{
    cluster::pact_records::PactRecordRef,
    workload::{EnvironmentRef, RecordKey, WorkloadRef},
};

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
    /// What was published at a broker, by the name of its `PactBroker`, while something waits for that.
    Publications(String),
    /// A `PactRecord`.
    PactRecord(PactRecordRef),
    /// A workload that is held.
    Hold(WorkloadRef),
}

/// A group of tasks that wait for each other.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Lane {
    /// Tasks that do not depend on a broker's speed.
    Free,
    /// A broker's environments: what they have recorded is needed before anything else.
    Environments(String),
    /// A broker's records.
    Records(String),
    /// `PactRecord`s: they wait for the API server only.
    PactRecords,
    /// A broker's checks: they cost the broker far more than records do, and can wait.
    Verdicts(String),
    /// What is held: a workload may lie in environments of several brokers.
    Holds,
}

impl Lane {
    fn slots(&self) -> Slots {
        match self {
            Self::Free | Self::Holds | Self::Environments(_) => Slots::new(0, SLOTS_PER_LANE),
            Self::Records(_) => Slots::new(SLOTS_PER_LANE, SLOTS_WITHOUT_HURRY),
            Self::PactRecords => Slots::new(0, PACT_RECORDS_AT_ONCE),
            Self::Verdicts(_) => Slots::new(0, VERDICTS_AT_ONCE),
        }
    }
}

impl Task {
    /// The lane of the task, by the broker that may delay it. A broker's own probe is not in its lane: it has to detect
    /// that the broker has recovered while everything in the lane waits.
    fn lane(&self) -> Lane {
        match self {
            Self::Environment(environment_ref) => Lane::Environments(environment_ref.broker.clone()),
            Self::Record(key) => Lane::Records(key.environment_ref.broker.clone()),
            Self::Verdict(key) => Lane::Verdicts(key.environment_ref.broker.clone()),
            Self::PactRecord(_) => Lane::PactRecords,
            Self::Hold(_) => Lane::Holds,
            Self::Broker(_) | Self::EnvironmentStatus(_) | Self::Publications(_) => Lane::Free,
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

    /// How often it has failed.
    #[must_use]
    pub fn times(&self) -> u32 {
        self.times
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
/// How many records that are not urgent may hold one: few more than a broker's own limit of requests, for whatever they
/// have sent comes before an urgent record's request.
const SLOTS_WITHOUT_HURRY: usize = 16;
/// How many `PactRecord`s may be looked at at once.
const PACT_RECORDS_AT_ONCE: usize = 8;
/// How many checks of one broker may run at once.
const VERDICTS_AT_ONCE: usize = 2;
/// How many tasks of one lane may run in all, including those that have released their slot: the reports in the cluster
/// may lag behind the records by that many keys, at some kilobytes each.
const UNDER_WAY_PER_LANE: usize = 4_096;

type Request = ScheduleRequest<Task>;
type Lanes = HashMap<Lane, LaneQueue>;

/// The sending end of a lane.
struct LaneQueue {
    sender: mpsc::UnboundedSender<Request>,
    urgent: Arc<Urgent>,
}

/// The receiving end of a lane.
struct NewLane {
    lane: Lane,
    requests: mpsc::UnboundedReceiver<Request>,
    urgent: Arc<Urgent>,
}

/// Which of a lane's tasks are urgent, until they begin.
#[derive(Default)]
struct Urgent {
    tasks: Mutex<HashSet<Task>>,
    more: Notify,
}

impl Urgent {
    fn tasks(&self) -> MutexGuard<'_, HashSet<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slots of a lane: those for urgent tasks only, and the others.
struct Slots {
    urgent: Arc<Semaphore>,
    others: Arc<Semaphore>,
}

impl Slots {
    fn new(urgent: usize, others: usize) -> Self {
        Self { urgent: Arc::new(Semaphore::new(urgent)), others: Arc::new(Semaphore::new(others)) }
    }
}

/// The sending end of the queue. Cheap to clone.
///
/// Its channels are unbounded, but a lane accepts requests at once and keeps each task once, so the number of waiting
/// tasks is bounded by the number of objects.
#[derive(Clone)]
pub struct Queue {
    lanes: Arc<Mutex<Lanes>>,
    new_lanes: mpsc::UnboundedSender<NewLane>,
}

/// The receiving end of a [`Queue`], for [`run`].
pub struct Receiver(mpsc::UnboundedReceiver<NewLane>);

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

    /// Run the task before all that is not urgent.
    pub fn urgently(&self, task: Task) {
        self.send(Duration::ZERO, task, true);
    }

    /// Run the task after that time, or earlier if another request asks for it.
    pub fn after(&self, delay: Duration, task: Task) {
        self.send(delay, task, false);
    }

    fn send(&self, delay: Duration, task: Task, urgent: bool) {
        let lane = task.lane();
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = lanes.entry(lane.clone()).or_insert_with(|| {
            let (sender, requests) = mpsc::unbounded_channel();
            let urgent = Arc::<Urgent>::default();
            // No new lanes are received once the process shuts down; then no task has to run any more.
            drop(self.new_lanes.send(NewLane { lane, requests, urgent: Arc::clone(&urgent) }));
            LaneQueue { sender, urgent }
        });
        // Other lanes have no slots for it.
        let urgent = urgent && matches!(task.lane(), Lane::Records(_));
        if urgent {
            queue.urgent.tasks().insert(task.clone());
        }
        drop(queue.sender.send(ScheduleRequest { message: task, run_at: Instant::now() + delay }));
        if urgent {
            queue.urgent.more.notify_one();
        }
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
            Some(lane) = requests.0.recv() => {
                lanes.spawn(run_lane(queue.clone(), lane, shutdown.clone(), Arc::clone(&work)));
            }
        }
    }
    while lanes.join_next().await.is_some() {}
}

async fn run_lane<F>(queue: Queue, lane: NewLane, shutdown: CancellationToken, work: Arc<F>)
where
    F: Fn(Task, Slot, Tries) -> BoxFuture<'static, Next> + Send + Sync + 'static,
{
    let NewLane { lane, requests, urgent } = lane;
    let requests = futures::stream::unfold(requests, async |mut requests| {
        let request = requests.recv().await?;
        Some((request, requests))
    });
    let mut scheduler = Box::pin(scheduler(requests.boxed()));
    let slots = lane.slots();
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
            (task, slot) = next_due(&mut scheduler, &under_way, &slots, &urgent) => {
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
    slots: &Slots,
    urgent: &Urgent,
) -> (Task, Slot)
where
    S: Stream<Item = Request>,
{
    loop {
        let room = under_way.len() < UNDER_WAY_PER_LANE;
        let free = |slots: &Arc<Semaphore>| Arc::clone(slots).try_acquire_owned().ok().filter(|_| room);
        let (for_urgent, for_others) = (free(&slots.urgent), free(&slots.others));
        let may_begin = |task: &Task| {
            let slot = if urgent.tasks().contains(task) { for_urgent.is_some() } else { for_others.is_some() };
            slot && !under_way.contains(task)
        };
        let some_urgent = for_urgent.is_some() && !urgent.tasks().is_empty();
        let is_urgent = |task: &Task| urgent.tasks().contains(task) && !under_way.contains(task);
        let first = if some_urgent { scheduler.as_mut().hold_unless(is_urgent).next().now_or_never() } else { None };
        let next = async {
            match first {
                Some(first) => first,
                None if some_urgent || for_others.is_some() => scheduler.as_mut().hold_unless(may_begin).next().await,
                // While held, the scheduler returns no task, but accepts requests.
                None => scheduler.as_mut().hold().next().await,
            }
        };
        let task = tokio::select! {
            biased;
            task = next => task,
            () = urgent.more.notified(), if for_urgent.is_some() => continue,
            _ = slots.urgent.acquire(), if room && for_urgent.is_none() => continue,
            _ = slots.others.acquire(), if room && for_others.is_none() => continue,
        };
        let Some(task) = task else { return std::future::pending().await };
        let urgent = urgent.tasks().remove(&task);
        let (one, other) = if urgent { (for_urgent, for_others) } else { (for_others, for_urgent) };
        if let Some(slot) = one.or(other) {
            return (task, slot);
        }
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
