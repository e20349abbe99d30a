//! What the reconciler remembers besides what is kept: only what can be read anew, and delays.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use operator_kit::backoff::{Backoff, entropy};
use tokio::time::Instant;

use super::kept::Read;
use crate::{
    broker::PublishedPact,
    decide::verification::{BrokersWebhook, Contract, Ledger, MissingResult},
};

/// How long the webhooks of a broker are taken as they were read.
const WEBHOOKS_HOLD: Duration = Duration::from_mins(5);
/// How often it is said that what was asked for cannot be read.
const COMPLAINED_FOR: Duration = Duration::from_mins(10);

/// How long nothing is done after what was asked for could not be kept.
const UNKEPT: Backoff = Backoff { min: Duration::from_secs(4), max: Duration::from_mins(5) };

/// See the module.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) kept: Option<Read>,
    /// How often in a row it could not be kept, and until when that is not tried again.
    unkept: Option<(u32, Instant)>,
    /// The call that failed, and when, until that is kept: it is kept as made.
    failed: Option<(Contract, Timestamp)>,
    pacts: HashMap<MissingResult, PublishedPact>,
    waiting: HashMap<MissingResult, Instant>,
    calls: VecDeque<Instant>,
    webhooks: HashMap<String, (Instant, Vec<BrokersWebhook>)>,
    complained: Option<Instant>,
}

impl Memory {
    /// Forgets what is not wanted any more.
    pub(super) fn retain(&mut self, wanted: impl Fn(&MissingResult) -> bool) {
        self.pacts.retain(|missing, _| wanted(missing));
        self.waiting.retain(|missing, _| wanted(missing));
    }

    /// The pact that has no result.
    pub(super) fn pact(&self, missing: &MissingResult) -> Option<&PublishedPact> {
        self.pacts.get(missing)
    }

    /// Whether this is the content of the pact that has no result.
    pub(super) fn has_content(&self, missing: &MissingResult, content: &str) -> bool {
        self.pact(missing).is_some_and(|pact| pact.content.as_str() == content)
    }

    pub(super) fn set_pact(&mut self, missing: &MissingResult, pact: PublishedPact) {
        self.pacts.insert(missing.clone(), pact);
    }

    /// Whether a result is to be left alone.
    pub(super) fn waits(&self, missing: &MissingResult, now: Instant) -> bool {
        self.waiting.get(missing).is_some_and(|until| *until > now)
    }

    /// A result is left alone for so long.
    pub(super) fn wait(&mut self, missing: &MissingResult, pause: Duration) {
        self.waiting.insert(missing.clone(), Instant::now() + pause);
    }

    /// Whether there may be another call within this minute.
    pub(super) fn call_is_free(&mut self, per_minute: u32, now: Instant) -> bool {
        while self.calls.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_mins(1)) {
            self.calls.pop_front();
        }
        self.calls.len() < usize::try_from(per_minute).unwrap_or(usize::MAX)
    }

    /// There is a call.
    pub(super) fn begin_call(&mut self, now: Instant) {
        self.calls.push_back(now);
    }

    /// A call failed that is kept as made.
    pub(super) fn failed(&mut self, contract: &Contract, at: Timestamp) {
        self.failed = Some((contract.clone(), at));
    }

    /// What is kept was read anew: it lacks what could not be kept.
    pub(super) fn complete(&self, ledger: &mut Ledger) {
        if let Some((contract, at)) = &self.failed {
            ledger.failed(contract, *at);
        }
    }

    /// Whether what was asked for could be kept.
    pub(super) fn keeping(&mut self, kept: bool, now: Instant) {
        if kept {
            self.failed = None;
        }
        let tries = self.unkept.map_or(0, |(tries, _)| tries);
        self.unkept = (!kept).then(|| (tries.saturating_add(1), now + UNKEPT.delay(tries, entropy())));
    }

    /// Whether it could not be kept lately: without that nothing is asked for, so nothing is looked at.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.unkept.is_some_and(|(_, until)| now < until)
    }

    /// The webhooks of a broker, if they were read lately.
    pub(super) fn webhooks(&self, broker: &str, now: Instant) -> Option<&[BrokersWebhook]> {
        let (at, webhooks) = self.webhooks.get(broker)?;
        (now.duration_since(*at) < WEBHOOKS_HOLD).then_some(webhooks)
    }

    pub(super) fn set_webhooks(&mut self, broker: &str, webhooks: Vec<BrokersWebhook>) {
        self.webhooks.insert(broker.to_owned(), (Instant::now(), webhooks));
    }

    /// Whether something that goes on failing is to be said now.
    pub(super) fn complains(&mut self) -> bool {
        let now = Instant::now();
        let again = self.complained.is_none_or(|at| now.duration_since(at) >= COMPLAINED_FOR);
        if again {
            self.complained = Some(now);
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::verification::Pacing;

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_are_made_in_a_minute_than_are_allowed() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        let second = Duration::from_secs(1);
        for at in [0, 30] {
            assert!(memory.call_is_free(2, start + at * second));
            memory.begin_call(start + at * second);
        }
        assert!(!memory.call_is_free(2, start + 59 * second));
        assert!(memory.call_is_free(2, start + 60 * second));
        memory.begin_call(start + 60 * second);
        assert!(!memory.call_is_free(2, start + 61 * second), "the second one is still of this minute");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_failed_counts_as_failed_although_that_could_not_be_kept() {
        let at = crate::decide::record::fixtures::at;
        let contract = Contract {
            broker: "main".into(),
            consumer: "web".into(),
            content: "abc".into(),
            provider: "stock".into(),
            provider_version: "1".into(),
        };
        let pacing = Pacing { interval: Duration::from_hours(1), grace: Duration::ZERO, per_minute: 10 };
        let (mut memory, mut claimed) = (Memory::default(), Ledger::default());
        claimed.claim(&contract, at(0));
        memory.failed(&contract, at(5));
        memory.keeping(false, Instant::now());
        for _again in 0..2 {
            let mut read = claimed.clone();
            memory.complete(&mut read);
            assert!(!read.is_due(&contract, &pacing, at(14)) && read.is_due(&contract, &pacing, at(15)));
            // It may have been kept after all.
            memory.complete(&mut read);
            assert!(read.is_due(&contract, &pacing, at(15)));
        }
        memory.keeping(true, Instant::now());
        memory.complete(&mut claimed);
        assert!(!claimed.is_due(&contract, &pacing, at(15)), "what is kept since then is right");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_kept_is_tried_at_growing_intervals_until_it_can() {
        let (mut memory, start) = (Memory::default(), Instant::now());
        assert!(!memory.rests(start));
        for pause in [4, 8, 16, 32, 64, 128, 256, 300, 300] {
            memory.keeping(false, start);
            assert!(memory.rests(start + Duration::from_secs(pause) - Duration::from_millis(1)), "{pause}");
            assert!(!memory.rests(start + Duration::from_secs(pause + pause / 4)), "{pause}");
        }
        memory.keeping(true, start);
        assert!(!memory.rests(start));
        memory.keeping(false, start);
        assert!(!memory.rests(start + Duration::from_secs(5)), "from the start again");
    }
}
