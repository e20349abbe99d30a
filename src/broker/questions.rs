//! Questions to one broker: equal ones are asked once, few at a time and the urgent ones first, answers are kept for
//! seconds, one that came too late for its callers until it is asked for, and none is asked while the broker is known to
//! be down. The use of memory is bounded, however many callers there are.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as StdInstant},
};

use moka::{Expiry, sync::Cache};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use super::{
    BrokerError, Judge, Revision,
    circuit::Circuit,
    fair_queue::{Caller, Urgency},
    slots::{Place, Slots},
    verdict_of,
};
use crate::{
    api::names::EnvironmentName,
    decide::{Judgement, Question, Verdict},
};

/// How long a yes is kept. The operator's own records invalidate it at once ([`Questions::forget`]); this is how long
/// another client's write at the broker may stay unnoticed.
const YES_LIVES: Duration = Duration::from_secs(10);
/// How long every other answer is kept: long enough that a storm of retries causes one question a second, short enough
/// that a team which publishes a verification and retries at once gets the new answer.
const OTHERS_LIVE: Duration = Duration::from_secs(1);
/// How long an answer that came too late for its callers is kept: a GitOps controller tries again within that time (case
/// 78).
const LATE_LIVES: Duration = Duration::from_mins(5);
/// How many answers are kept.
const MOST_ANSWERS: u64 = 10_000;
/// How many different questions may wait for an answer at once; further ones are refused at once. What is less urgent
/// leaves room for what is more.
const fn most_waiting(urgency: Urgency) -> usize {
    match urgency {
        Urgency::Enforced => 256,
        Urgency::Warned => 192,
        Urgency::Asked | Urgency::Audited => 64,
        Urgency::Strange => 8,
    }
}
/// How often a new question is asked for callers who are not known (case 110), and how many may come at once.
const STRANGE_EVERY: Duration = Duration::from_secs(1);
const STRANGE_AT_ONCE: u32 = 10;
/// How long a question is pursued even without a waiting caller: the answer serves the next try.
const PURSUED: Duration = Duration::from_secs(30);

type Answer = Arc<Judgement>;

/// A question that is being asked.
struct Waiting {
    answer: watch::Sender<Option<Answer>>,
    /// Its place among those that wait for a slot.
    place: u64,
    /// Whether somebody asked who asks again.
    comes_again: bool,
}

/// An answer that is kept.
#[derive(Clone)]
struct Kept {
    answer: Answer,
    /// Nobody has had it yet.
    late: bool,
}

/// A question in one state of its environment, as far as the operator knows it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    question: Question,
    /// How often something was recorded there.
    recorded: u64,
    /// What ran there.
    running: Revision,
}

/// The questions to one broker. Clones share all state.
#[derive(Clone)]
pub struct Questions {
    shared: Arc<Shared>,
}

struct Shared {
    judge: Judge,
    slots: Arc<Slots>,
    answers: Cache<Key, Kept>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: HashMap<Key, Waiting>,
    /// How often anything was recorded anywhere.
    changed: u64,
    /// Which of these changes was the last one of each environment, and when. None of an environment that did not change
    /// for longer than any answer is kept.
    changes: HashMap<EnvironmentName, (u64, Instant)>,
    circuit: Circuit<Question>,
    /// When all that was asked for strangers is as if it had never been.
    strangers_settled: Option<Instant>,
}

impl State {
    /// Whether one more new question may be asked for strangers.
    fn admits_stranger(&mut self, now: Instant) -> bool {
        let settled = self.strangers_settled.unwrap_or(now).max(now);
        let admits = settled - now < STRANGE_EVERY * STRANGE_AT_ONCE;
        if admits {
            self.strangers_settled = Some(settled + STRANGE_EVERY);
        }
        admits
    }
}

struct ByVerdict;

impl Expiry<Key, Kept> for ByVerdict {
    fn expire_after_create(&self, _: &Key, kept: &Kept, _: StdInstant) -> Option<Duration> {
        Some(match kept {
            Kept { late: true, .. } => LATE_LIVES,
            Kept { answer, .. } if answer.verdict.is_yes() => YES_LIVES,
            Kept { .. } => OTHERS_LIVE,
        })
    }

    fn expire_after_update(
        &self,
        key: &Key,
        kept: &Kept,
        updated_at: StdInstant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, kept, updated_at)
    }
}

/// The origin of an answer, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The answer was kept from an earlier question.
    Remembered,
    /// The broker was asked, for this caller or for an earlier one with the same question.
    Asked,
    /// The broker was not asked, or did not answer in time.
    None,
}

impl Source {
    /// As metrics and spans have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Remembered => "Remembered",
            Self::Asked => "Asked",
            Self::None => "None",
        }
    }
}

impl Questions {
    /// No questions yet. At most `at_once` are sent to the broker at a time.
    #[must_use]
    pub fn new(judge: Judge, at_once: usize) -> Self {
        let answers = Cache::builder().max_capacity(MOST_ANSWERS).expire_after(ByVerdict).build();
        let slots = Slots::new(at_once);
        Self { shared: Arc::new(Shared { judge, slots, answers, state: Mutex::default() }) }
    }

    /// The answer to a question, by `deadline` at the latest: an answer that is not known by then is
    /// [`Verdict::BrokerUnavailable`].
    pub async fn ask(&self, question: &Question, caller: Caller, deadline: Instant) -> (Answer, Source) {
        let asked = Instant::now();
        let mut answer = match self.shared.look_up(question, caller) {
            Found::Kept(answer) => return (answer, Source::Remembered),
            Found::Refused(why) => return (unavailable(&why), Source::None),
            Found::UnderWay(answer) => answer,
            Found::New(key, place, answer) => {
                // A separate task: the first caller may have the least time, and the others wait for the same answer.
                tokio::spawn(Arc::clone(&self.shared).pursue(key, place));
                answer
            }
        };
        match timeout_at(deadline, answer.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => match answer.clone() {
                Some(answer) => (answer, Source::Asked),
                None => (unavailable("the question was given up"), Source::None),
            },
            Ok(Err(_)) => (unavailable("the question was given up"), Source::None),
            Err(_) => {
                let waited = asked.elapsed().as_secs_f32();
                (unavailable(&format!("it gave no answer within {waited:.1} s")), Source::None)
            }
        }
    }

    /// Invalidates the answers about an environment, including those in flight: something was recorded there.
    pub fn forget(&self, environment: &EnvironmentName) {
        let mut state = self.shared.state();
        let now = Instant::now();
        state.changes.retain(|_, (_, at)| now.duration_since(*at) < 2 * LATE_LIVES);
        state.changed = state.changed.wrapping_add(1);
        let change = (state.changed, now);
        state.changes.insert(environment.clone(), change);
        self.shared.judge.forget(environment);
    }
}

enum Found {
    Kept(Answer),
    UnderWay(watch::Receiver<Option<Answer>>),
    New(Key, Place, watch::Receiver<Option<Answer>>),
    Refused(String),
}

impl Shared {
    fn look_up(&self, question: &Question, caller: Caller) -> Found {
        let mut state = self.state();
        let recorded = state.changes.get(&question.environment).map_or(0, |(change, _)| *change);
        let key = Key { question: question.clone(), recorded, running: self.judge.revision(question) };
        if let Some(kept) = self.answers.get(&key) {
            if kept.late {
                // From now on it lives as long as any other.
                self.answers.insert(key, Kept { late: false, ..kept.clone() });
            }
            return Found::Kept(kept.answer);
        }
        if let Some(waiting) = state.under_way.get_mut(&key) {
            waiting.comes_again |= caller.urgency.comes_again();
            let answer = waiting.answer.subscribe();
            self.slots.raise(waiting.place, &caller);
            return Found::UnderWay(answer);
        }
        let waiting = state.under_way.len();
        if waiting >= most_waiting(caller.urgency) {
            return Found::Refused(format!("{waiting} other questions wait for its answers already"));
        }
        if caller.urgency == Urgency::Strange && !state.admits_stranger(Instant::now()) {
            return Found::Refused("few questions are asked for callers who are not known".to_owned());
        }
        if let Err(why) = state.circuit.admit(Instant::now()) {
            return Found::Refused(why);
        }
        let (sender, answer) = watch::channel(None);
        let comes_again = caller.urgency.comes_again();
        let place = self.slots.queue(caller);
        state.under_way.insert(key.clone(), Waiting { answer: sender, place: place.number, comes_again });
        Found::New(key, place, answer)
    }

    /// Sends a question and gives the answer to all its callers.
    async fn pursue(self: Arc<Self>, key: Key, mut place: Place) {
        let pursuit = Pursuit { shared: &self, key: &key, over: false };
        let _slot = loop {
            let slot = timeout(PURSUED, place.slot()).await;
            // Nothing was sent yet.
            if self.gave_up(&key) {
                return pursuit.over();
            }
            match slot {
                Ok(Some(slot)) => break slot,
                // The slots end with the questions.
                Ok(None) => return,
                Err(_) => {}
            }
        };
        let judged = timeout(PURSUED, self.judge.judge(&key.question)).await;
        let mut state = self.state();
        let answer = match judged {
            Ok(Ok(judgement)) => {
                state.circuit.answered();
                Arc::new(judgement)
            }
            Ok(Err(error)) => {
                if is_down(&error) {
                    state.circuit.failed(Instant::now(), key.question.clone(), &error.to_string());
                } else {
                    state.circuit.answered();
                }
                Arc::new(verdict_of(&error))
            }
            Err(_) => {
                let why = format!("it gave no answer within {} s", PURSUED.as_secs());
                state.circuit.failed(Instant::now(), key.question.clone(), &why);
                unavailable(&why)
            }
        };
        pursuit.over();
        let waiting = state.under_way.remove(&key);
        let awaited = waiting.as_ref().is_some_and(|waiting| waiting.answer.receiver_count() > 0);
        let comes_again = waiting.as_ref().is_some_and(|waiting| waiting.comes_again);
        let late = !awaited && comes_again && answer.verdict.answered();
        self.answers.insert(key, Kept { answer: Arc::clone(&answer), late });
        if let Some(waiting) = waiting {
            waiting.answer.send_replace(Some(answer));
        }
    }

    /// Abandons a question that has no waiting caller. A later caller finds it gone and asks again: joining and
    /// abandoning exclude each other.
    fn gave_up(&self, key: &Key) -> bool {
        let mut state = self.state();
        let waited_for = state.under_way.get(key).is_some_and(|waiting| waiting.answer.receiver_count() > 0);
        if !waited_for {
            state.under_way.remove(key);
            state.circuit.given_up();
        }
        !waited_for
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question while it is pursued. If the pursuit panics, its callers are notified, and the next caller asks again.
struct Pursuit<'a> {
    shared: &'a Shared,
    key: &'a Key,
    over: bool,
}

impl Pursuit<'_> {
    /// Ends the pursuit regularly.
    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Pursuit<'_> {
    fn drop(&mut self) {
        if !self.over {
            let mut state = self.shared.state();
            state.under_way.remove(self.key);
            state.circuit.given_up();
        }
    }
}

/// Whether an error means that the broker, or the network in between, is down, rather than that it refuses this
/// question.
fn is_down(error: &BrokerError) -> bool {
    error.retryable() || matches!(error, BrokerError::NotABroker { .. } | BrokerError::Redirected { .. })
}

fn unavailable(why: &str) -> Answer {
    Arc::new(Judgement::without_pairs(Verdict::BrokerUnavailable, format!("the Pact Broker could not be asked: {why}")))
}

#[cfg(test)]
#[path = "questions_tests.rs"]
mod tests;
