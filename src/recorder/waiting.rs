//! What waits for a person: versions that nobody published, rights that are missing, names that are wrong (case 112).
//!
//! The first tries come within seconds, because mostly a pipeline is about to publish the version. After that, a list of
//! the broker tells which applications have a new version, and besides, one after the other is tried at a pace that does
//! not depend on how many wait. Only delays are kept here: after a restart, each is tried once.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use operator_kit::backoff::{Backoff, entropy, fraction};
use tokio::time::Instant;

use super::queue::Task;
use crate::{
    api::names::Version,
    decide::{Explanation, Reason, record::Refused},
    workload::RecordKey,
};

/// How many tries of one thing come quickly: within some two minutes.
const QUICK_TRIES: u32 = 7;
/// The longest delay between two quick tries.
const QUICK_MAX: Duration = Duration::from_secs(64);
/// How many quick tries there may be at a broker at once, and how soon one more is allowed again. When ten thousand
/// workloads wait after a restart, each is tried once, and then paced.
const QUICK_AT_ONCE: f64 = 60.0;
const QUICK_AGAIN: Duration = Duration::from_secs(10);
/// How often, in all, something is tried that waits at a broker: a version is looked for with one request.
const PACE: Duration = Duration::from_secs(5);
/// A try of anything else is several requests.
const COST_OF_A_WRITE: u32 = 3;
/// The longest delay of what no list tells about, where little else waits.
const LONGEST: Duration = Duration::from_hours(1);
/// How many things that a list tells about are tried at once, and how many a second after that.
const TOLD_AT_ONCE: usize = 50;
const TOLD_A_SECOND: u32 = 10;

/// The versions that were published last, by pacticipant; an empty text where none was.
pub(super) type Latest = HashMap<String, String>;

/// When something is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Again {
    /// After that time.
    pub(super) after: Duration,
    /// Whether that is one of the quick tries.
    pub(super) quick: bool,
}

/// What waits, by broker; see the module documentation.
pub(super) struct WaitingRoom {
    /// The longest delay of a version that waits for its publication, where little else waits.
    longest: Duration,
    rooms: Mutex<HashMap<String, Room>>,
}

/// What waits at one broker. There is none while nothing does.
struct Room {
    waiting: HashMap<Task, Waiter>,
    /// What it costs to try everything once.
    cost: u32,
    latest: Option<Latest>,
    next_list: Option<Instant>,
    quick_left: f64,
    quick_since: Instant,
}

struct Waiter {
    refused: Refused,
    tries: u32,
    quick: bool,
    due: Instant,
    /// A list, or another's success, tells that it may be possible now; since the last try began.
    told: bool,
    /// Whether a list was read since it waits.
    listed: bool,
}

impl Waiter {
    fn cost(&self) -> u32 {
        if self.refused.why.reason.waits_for_a_publication() { 1 } else { COST_OF_A_WRITE }
    }

    fn tell(&mut self, now: Instant) {
        self.told = true;
        self.due = now;
    }
}

impl Room {
    fn new(now: Instant) -> Self {
        let waiting = HashMap::new();
        Self { waiting, cost: 0, latest: None, next_list: None, quick_left: QUICK_AT_ONCE, quick_since: now }
    }

    fn remove(&mut self, task: &Task) -> Option<Waiter> {
        let waiter = self.waiting.remove(task)?;
        self.cost -= waiter.cost();
        Some(waiter)
    }

    /// Whether one more quick try is allowed.
    fn quick(&mut self, now: Instant) -> bool {
        let allowed = now.saturating_duration_since(self.quick_since).as_secs_f64() / QUICK_AGAIN.as_secs_f64();
        self.quick_left = (self.quick_left + allowed).min(QUICK_AT_ONCE);
        self.quick_since = now;
        let quick = self.quick_left >= 1.0;
        if quick {
            self.quick_left -= 1.0;
        }
        quick
    }

    /// How long it takes until everything was tried once, for each a bit earlier or later.
    fn round(&self) -> Duration {
        let round = PACE.saturating_mul(self.cost);
        round * 3 / 4 + fraction(round / 2, entropy())
    }
}

impl WaitingRoom {
    /// Nothing waits. `longest` is the longest delay of a version that waits for its publication, where little waits.
    pub(super) fn new(longest: Duration) -> Self {
        Self { longest, rooms: Mutex::default() }
    }

    /// What was refused of a task and is not tried again yet. `None` when its time has come: then a try begins.
    pub(super) fn begin(&self, task: &Task, now: Instant) -> Option<Refused> {
        let mut rooms = self.rooms();
        let waiter = rooms.get_mut(broker_of(task))?.waiting.get_mut(task)?;
        if now < waiter.due {
            return Some(waiter.refused.clone());
        }
        waiter.told = false;
        None
    }

    /// What was refused of a task, whether or not its time has come.
    pub(super) fn of(&self, task: &Task) -> Option<Refused> {
        Some(self.rooms().get(broker_of(task))?.waiting.get(task)?.refused.clone())
    }

    /// When a task is tried that waits and was not tried now.
    pub(super) fn again(&self, task: &Task, now: Instant) -> Option<Again> {
        let rooms = self.rooms();
        let waiter = rooms.get(broker_of(task))?.waiting.get(task)?;
        Some(Again { after: waiter.due.saturating_duration_since(now), quick: waiter.quick })
    }

    /// Takes in that a try was refused; answers when the next one is, and whether it was refused for another reason
    /// before.
    pub(super) fn refused(&self, task: &Task, refused: Refused, now: Instant) -> (Again, bool) {
        let mut rooms = self.rooms();
        let room = rooms.entry(broker_of(task).to_owned()).or_insert_with(|| Room::new(now));
        let before = room.remove(task);
        let changed = before.as_ref().is_some_and(|before| before.refused.why.reason != refused.why.reason);
        let same = |before: &Waiter| {
            before.refused.versions == refused.versions && before.refused.why.reason == refused.why.reason
        };
        let before = before.filter(same);
        let tries = before.as_ref().map_or(0, |before| before.tries);
        let fresh = tries < QUICK_TRIES && before.as_ref().is_none_or(|before| before.quick);
        let told = before.as_ref().is_some_and(|before| before.told);
        let listed = before.is_some_and(|before| before.listed);
        let longest = if refused.why.reason.waits_for_a_publication() { self.longest } else { LONGEST };
        let mut waiter = Waiter { refused, tries: tries.saturating_add(1), quick: false, due: now, told, listed };
        room.cost = room.cost.saturating_add(waiter.cost());
        // A verdict is not as urgent.
        waiter.quick = matches!(task, Task::Record(_)) && fresh && room.quick(now);
        let max = if waiter.quick { QUICK_MAX.min(longest) } else { longest };
        let delay = Backoff { min: Duration::from_secs(1), max }.delay(tries, entropy());
        let after = match waiter {
            // A list told of it while it was tried: the try may have been too early.
            Waiter { told: true, .. } => Duration::ZERO,
            Waiter { quick: true, .. } => delay,
            _ => delay.max(room.round()),
        };
        waiter.due = now + after;
        let again = Again { after, quick: waiter.quick };
        room.waiting.insert(task.clone(), waiter);
        (again, changed)
    }

    /// A task waits no longer. Answers what it waited for, if it did.
    pub(super) fn leave(&self, task: &Task) -> Option<Reason> {
        let mut rooms = self.rooms();
        let room = rooms.get_mut(broker_of(task))?;
        let waiter = room.remove(task);
        if room.waiting.is_empty() {
            rooms.remove(broker_of(task));
        }
        waiter.map(|waiter| waiter.refused.why.reason)
    }

    /// What waits at a broker for one of these reasons may be possible now: answers these tasks.
    pub(super) fn tell(&self, broker: &str, reasons: impl Fn(Reason) -> bool, now: Instant) -> Vec<Task> {
        let mut rooms = self.rooms();
        let waiting = rooms.get_mut(broker).map(|room| &mut room.waiting);
        let told = waiting.into_iter().flatten().filter(|(_, waiter)| reasons(waiter.refused.why.reason));
        told.map(|(task, waiter)| {
            waiter.tell(now);
            task.clone()
        })
        .collect()
    }

    /// Forgets everything: another process may have led meanwhile. Each is tried once, as after a restart.
    pub(super) fn forget_all(&self) {
        self.rooms().clear();
    }

    /// When the list of a broker is read next; `None` while nothing waits there for a publication.
    pub(super) fn next_list(&self, broker: &str, now: Instant) -> Option<Instant> {
        let rooms = self.rooms();
        let room = rooms.get(broker)?;
        let wanted = room.waiting.values().any(|waiter| waiter.refused.why.reason.waits_for_a_publication());
        wanted.then(|| room.next_list.unwrap_or(now))
    }

    /// Takes in which versions were published last, or that no list can be had now, and when the list is read next.
    /// Answers what may be possible now, each with when it is tried: a broker that was restored has them all at once.
    pub(super) fn listed(
        &self,
        broker: &str,
        latest: Option<Latest>,
        next: Instant,
        now: Instant,
    ) -> Vec<(Task, Duration)> {
        let mut rooms = self.rooms();
        let Some(room) = rooms.get_mut(broker) else { return Vec::new() };
        room.next_list = Some(next);
        let Some(latest) = latest else { return Vec::new() };
        let before = room.latest.as_ref();
        let mut told = Vec::new();
        let waiting = room.waiting.iter_mut();
        for (task, waiter) in waiting.filter(|(_, waiter)| waiter.refused.why.reason.waits_for_a_publication()) {
            let pacticipant = key_of(task).map(|key| key.pacticipant.as_str()).unwrap_or_default();
            let there = latest.get(pacticipant);
            let news = there.is_some() && before.is_some_and(|before| before.get(pacticipant) != there);
            // It may have been published between its try and the list.
            let first = !std::mem::replace(&mut waiter.listed, true);
            let itself = there.is_some_and(|there| {
                waiter.refused.why.reason == Reason::PacticipantMissing
                    || waiter.refused.versions.iter().any(|version| version.as_str() == there)
            });
            if news || (first && itself) {
                waiter.tell(now);
                told.push((waiter.tries, task.clone()));
            }
        }
        room.latest = Some(latest);
        // What was rolled out last comes first.
        told.sort_by_key(|(tries, _)| *tries);
        let told = told.into_iter().enumerate();
        told.map(|(place, (_, task))| {
            let later = u32::try_from(place.saturating_sub(TOLD_AT_ONCE)).unwrap_or(u32::MAX);
            (task, Duration::from_secs(1).saturating_mul(later) / TOLD_A_SECOND)
        })
        .collect()
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A refusal of one version.
pub(super) fn refusal(version: &Version, why: Explanation) -> Refused {
    Refused { versions: BTreeSet::from([version.clone()]), why }
}

/// The key that a task is about, if it is about one.
fn key_of(task: &Task) -> Option<&RecordKey> {
    match task {
        Task::Record(key) | Task::Verdict(key) => Some(key),
        Task::Broker(_)
        | Task::Environment(_)
        | Task::EnvironmentStatus(_)
        | Task::Publications(_)
        | Task::PactRecord(_)
        | Task::Hold(_) => None,
    }
}

fn broker_of(task: &Task) -> &str {
    key_of(task).map(|key| key.environment_ref.broker.as_str()).unwrap_or_default()
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
