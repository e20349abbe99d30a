//! Questions put to one broker: equal ones once, few at a time, answers kept for seconds, and none while the broker is
//! known to be down. Memory stays flat, however many ask.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant as StdInstant},
};

use moka::{Expiry, sync::Cache};
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{Broker, BrokerError, circuit::Circuit, verdict_of};
use crate::{
    api::names::EnvironmentName,
    decide::{Judgement, Question, Verdict},
};

/// How long a yes is remembered. What the operator records itself is forgotten at once ([`Questions::forget`]); this is
/// how long somebody else's write at the broker may go unseen.
const YES_LIVES: Duration = Duration::from_secs(10);
/// How long everything else is remembered: long enough that a storm of retries is one question a second, short enough
/// that whoever publishes a verification and tries again at once gets the new answer.
const OTHERS_LIVE: Duration = Duration::from_secs(1);
/// How many answers are remembered.
const REMEMBERED: u64 = 10_000;
/// How many different questions may wait for an answer at once; more are told at once that the broker is too slow.
const WAITING: usize = 256;
/// How long a question is pursued though nobody may be left who waits: the answer serves the next try.
const PURSUED: Duration = Duration::from_secs(30);

type Answer = Arc<Judgement>;
type Waiting = watch::Sender<Option<Answer>>;

/// A question in one state of the environment that it is about, as far as we know of it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    question: Question,
    state: u64,
}

/// The questions put to one broker. Clones share everything.
#[derive(Clone)]
pub struct Questions {
    shared: Arc<Shared>,
}

struct Shared {
    broker: Broker,
    places: Semaphore,
    answers: Cache<Key, Answer>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    under_way: HashMap<Key, Waiting>,
    /// How often each environment has changed.
    changes: HashMap<EnvironmentName, u64>,
    circuit: Circuit<Question>,
}

struct ByVerdict;

impl Expiry<Key, Answer> for ByVerdict {
    fn expire_after_create(&self, _: &Key, answer: &Answer, _: StdInstant) -> Option<Duration> {
        Some(if answer.verdict.is_yes() { YES_LIVES } else { OTHERS_LIVE })
    }
}

/// Where an answer came from, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// It was remembered.
    Remembered,
    /// The broker was asked, by us or by whoever asked the same before us.
    Asked,
    /// Nobody was asked, or the broker did not answer in time.
    None,
}

impl Questions {
    /// No questions yet. At most `at_once` are put to the broker at a time.
    #[must_use]
    pub fn new(broker: Broker, at_once: usize) -> Self {
        let answers = Cache::builder().max_capacity(REMEMBERED).expire_after(ByVerdict).build();
        let places = Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS));
        Self { shared: Arc::new(Shared { broker, places, answers, state: Mutex::default() }) }
    }

    /// The answer to a question, by `deadline` at the latest: what is not known by then is
    /// [`Verdict::BrokerUnavailable`].
    pub async fn ask(&self, question: &Question, deadline: Instant) -> (Answer, Source) {
        let asked = Instant::now();
        let mut answer = match self.shared.look_up(question) {
            Found::Remembered(answer) => return (answer, Source::Remembered),
            Found::Refused(why) => return (unavailable(&why), Source::None),
            Found::UnderWay(answer) => answer,
            Found::New(key, answer) => {
                // A task of its own: who asked first may have the least time, and the others wait for the same answer.
                tokio::spawn(Arc::clone(&self.shared).pursue(key));
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

    /// Forgets what was answered about an environment, and does not take an answer for one that is under way: something
    /// was recorded there.
    pub fn forget(&self, environment: &EnvironmentName) {
        let mut state = self.shared.state();
        let changes = state.changes.entry(environment.clone()).or_default();
        *changes = changes.wrapping_add(1);
    }
}

enum Found {
    Remembered(Answer),
    UnderWay(watch::Receiver<Option<Answer>>),
    New(Key, watch::Receiver<Option<Answer>>),
    Refused(String),
}

impl Shared {
    fn look_up(&self, question: &Question) -> Found {
        let mut state = self.state();
        let key = Key {
            question: question.clone(),
            state: state.changes.get(&question.environment).copied().unwrap_or_default(),
        };
        if let Some(answer) = self.answers.get(&key) {
            return Found::Remembered(answer);
        }
        if let Some(waiting) = state.under_way.get(&key) {
            return Found::UnderWay(waiting.subscribe());
        }
        if state.under_way.len() >= WAITING {
            return Found::Refused(format!("{WAITING} other questions wait for its answers already"));
        }
        if let Err(why) = state.circuit.admit(Instant::now()) {
            return Found::Refused(why);
        }
        let (waiting, answer) = watch::channel(None);
        state.under_way.insert(key.clone(), waiting);
        Found::New(key, answer)
    }

    /// Puts a question and gives everybody the answer.
    async fn pursue(self: Arc<Self>, key: Key) {
        let pursuit = Pursuit { shared: &self, key: &key, over: false };
        let _place = loop {
            let environment_ref = timeout(PURSUED, self.places.acquire()).await;
            // Nothing was sent yet.
            if self.gave_up(&key) {
                return pursuit.over();
            }
            if let Ok(environment_ref) = environment_ref {
                break environment_ref;
            }
        };
        let judged = timeout(PURSUED, self.broker.judge(&key.question)).await;
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
        self.answers.insert(key.clone(), Arc::clone(&answer));
        if let Some(waiting) = state.under_way.remove(&key) {
            waiting.send_replace(Some(answer));
        }
    }

    /// Gives a question up if nobody waits for it any more. Whoever joins later finds it gone and asks anew: joining
    /// and giving up exclude each other.
    fn gave_up(&self, key: &Key) -> bool {
        let mut state = self.state();
        let waited_for = state.under_way.get(key).is_some_and(|waiting| waiting.receiver_count() > 0);
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

/// A question while it is pursued. Should that end in a panic, those who wait are told so, and the next one asks anew.
struct Pursuit<'a> {
    shared: &'a Shared,
    key: &'a Key,
    over: bool,
}

impl Pursuit<'_> {
    /// It has ended as it should.
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

/// Whether an error says that the broker, or the way to it, is down, rather than that it will not answer this.
fn is_down(error: &BrokerError) -> bool {
    error.retryable() || matches!(error, BrokerError::NotABroker { .. } | BrokerError::Redirected { .. })
}

fn unavailable(why: &str) -> Answer {
    Arc::new(Judgement::without_pairs(Verdict::BrokerUnavailable, format!("the Pact Broker could not be asked: {why}")))
}

#[cfg(test)]
#[path = "questions_tests.rs"]
mod tests;
