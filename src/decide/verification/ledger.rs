//! What was asked for and when: what has to be known after a restart, so that nothing is asked for twice within an
//! interval. Pure; the recorder keeps it in a `ConfigMap`.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Contract, Pacing};
use crate::decide::clocks::is_ahead;

/// How many are kept: with usual names about 400 KB of the 1 MiB that a `ConfigMap` may have.
const MOST_CONTRACTS: usize = 1_000;
/// How many bytes they may come to: names may be long.
const MOST_BYTES: usize = 900 << 10;
/// How long one is at most, with its key, without what its names come to.
const BESIDES_NAMES: usize = 288;
/// After how many calls without a result the intervals grow, and people are told.
const OFTEN: u32 = 3;
/// How many intervals the longest is.
const LONGEST: u32 = 24;
/// The first and the longest pause after a call that failed.
const RETRY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_mins(10));

/// What is known of one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    broker: String,
    consumer: String,
    content: String,
    provider: String,
    provider_version: String,
    /// When it was asked for last, or that failed.
    at: Timestamp,
    /// How often it was asked for.
    calls: u32,
    /// Whether the last call failed.
    #[serde(default)]
    failed: bool,
    /// How many calls in a row failed.
    #[serde(default)]
    failures: u32,
    /// Whether it was said that no result arrives.
    #[serde(default)]
    said: bool,
}

impl Asked {
    /// When it may be asked for again.
    fn next(&self, pacing: &Pacing) -> Timestamp {
        let pause = if self.failed { retry(self.failures).min(pacing.interval) } else { pause(pacing, self.calls) };
        later(self.at, pause)
    }
}

/// What was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    all: BTreeMap<Contract, Asked>,
    /// How long they are at most as they are kept.
    bytes: usize,
}

impl Ledger {
    /// As it is kept. What cannot be read is as if it had never been asked for.
    #[must_use]
    pub fn read<'a>(entries: impl IntoIterator<Item = &'a String>) -> Self {
        let read = entries.into_iter().filter_map(|text| serde_json::from_str::<Asked>(text).ok());
        Self::of(read.map(|asked| (contract_of(&asked), asked)).collect())
    }

    fn of(all: BTreeMap<Contract, Asked>) -> Self {
        let bytes = all.keys().map(longest).sum();
        Self { all, bytes }
    }

    /// As it is kept: by the hash of each.
    #[must_use]
    pub fn written(&self) -> BTreeMap<String, String> {
        let text = |asked| serde_json::to_string(asked).unwrap_or_default();
        self.all.iter().map(|(contract, asked)| (hash(contract), text(asked))).collect()
    }

    /// What was asked for in the future counts as asked for now: a clock was wrong, and may have been so by years. Says
    /// whether there is such a one.
    pub fn set_clocks_right(&mut self, now: Timestamp) -> bool {
        let mut ahead = self.all.values_mut().filter(|asked| is_ahead(asked.at, now)).peekable();
        let any = ahead.peek().is_some();
        ahead.for_each(|asked| asked.at = now);
        any
    }

    /// Whether it may be asked for now.
    #[must_use]
    pub fn is_due(&self, contract: &Contract, pacing: &Pacing, now: Timestamp) -> bool {
        match self.all.get(contract) {
            Some(asked) => asked.next(pacing) <= now,
            None => self.has_room(contract),
        }
    }

    /// In which order those are asked for that are ready: one of each provider, then the next of each. So a provider whose
    /// calls all fail, or that has many, keeps no other waiting. What was not asked for lately goes first.
    #[must_use]
    pub fn in_turn<'a>(&self, ready: impl IntoIterator<Item = &'a Contract>) -> Vec<&'a Contract> {
        let mut last = HashMap::<&str, Timestamp>::new();
        for (contract, asked) in &self.all {
            let last = last.entry(&contract.provider).or_insert(asked.at);
            *last = asked.at.max(*last);
        }
        let at = |contract: &Contract| self.all.get(contract).map(|asked| asked.at);
        let mut ready: Vec<_> = ready.into_iter().map(|contract| (at(contract), contract)).collect();
        ready.sort();
        let mut turns = HashMap::<&str, usize>::new();
        let turn = |(_, contract): (_, &'a Contract)| {
            let turn = turns.entry(&contract.provider).or_default();
            *turn += 1;
            (*turn, last.get(contract.provider.as_str()), contract)
        };
        let mut in_turn: Vec<_> = ready.into_iter().map(turn).collect();
        // Stable: what is of one provider stays in its order.
        in_turn.sort_by_key(|(turn, last, _)| (*turn, *last));
        in_turn.into_iter().map(|(_, _, contract)| contract).collect()
    }

    /// Whether it is kept, or can be.
    #[must_use]
    pub fn has_room(&self, contract: &Contract) -> bool {
        let fits = || self.all.len() < MOST_CONTRACTS && self.bytes + longest(contract) <= MOST_BYTES;
        self.all.contains_key(contract) || fits()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// It is asked for now. Noted before it is done: whoever leads next must not ask again.
    pub fn claim(&mut self, contract: &Contract, now: Timestamp) {
        let bytes = &mut self.bytes;
        let asked = self.all.entry(contract.clone()).or_insert_with(|| {
            *bytes += longest(contract);
            Asked {
                broker: contract.broker.clone(),
                consumer: contract.consumer.clone(),
                content: contract.content.clone(),
                provider: contract.provider.clone(),
                provider_version: contract.provider_version.clone(),
                at: now,
                calls: 0,
                failed: false,
                failures: 0,
                said: false,
            }
        });
        asked.calls = asked.calls.saturating_add(1);
        asked.at = now;
        asked.failed = false;
    }

    /// The call arrived.
    pub fn taken(&mut self, contract: &Contract) {
        if let Some(asked) = self.all.get_mut(contract) {
            asked.failures = 0;
        }
    }

    /// The call that was claimed failed: another follows sooner. Nothing changes if that is known.
    pub fn failed(&mut self, contract: &Contract, now: Timestamp) {
        if let Some(asked) = self.all.get_mut(contract).filter(|asked| !asked.failed) {
            asked.calls = asked.calls.saturating_sub(1);
            asked.at = now;
            asked.failed = true;
            asked.failures = asked.failures.saturating_add(1);
        }
    }

    /// How often it was asked for, if that is often and long enough ago for people to be told, and they were not.
    #[must_use]
    pub fn unanswered(&self, contract: &Contract, pacing: &Pacing, now: Timestamp) -> Option<u32> {
        let asked = self.all.get(contract)?;
        let long_ago = later(asked.at, pacing.interval) <= now;
        (asked.calls >= OFTEN && !asked.said && long_ago).then_some(asked.calls)
    }

    /// People were told.
    pub fn said(&mut self, contract: &Contract) {
        if let Some(asked) = self.all.get_mut(contract) {
            asked.said = true;
        }
    }

    /// There is a result. Says whether it had been asked for.
    pub fn forget(&mut self, contract: &Contract) -> bool {
        let known = self.all.remove(contract).is_some();
        if known {
            self.bytes = self.bytes.saturating_sub(longest(contract));
        }
        known
    }

    /// Drops what is not wanted any more: not at once, since whoever leads for a moment only does not know yet what is
    /// wanted. Says whether something was dropped.
    pub fn prune(&mut self, wanted: impl Fn(&Contract) -> bool, pacing: &Pacing, now: Timestamp) -> bool {
        let before = self.all.len();
        self.all.retain(|contract, asked| wanted(contract) || now < later(asked.next(pacing), pacing.interval));
        let dropped = self.all.len() != before;
        if dropped {
            self.bytes = self.all.keys().map(longest).sum();
        }
        dropped
    }
}

/// How long one is at most as it is kept.
fn longest(contract: &Contract) -> usize {
    let Contract { broker, consumer, content, provider, provider_version } = contract;
    // In JSON, two bytes for a quote or a backslash; a name holds no control character.
    let escaped = |byte: &u8| matches!(byte, b'"' | b'\\');
    let length = |name: &String| name.len() + name.as_bytes().iter().filter(|byte| escaped(byte)).count();
    BESIDES_NAMES + [broker, consumer, content, provider, provider_version].map(length).iter().sum::<usize>()
}

/// How long one is left alone that was asked for so often.
fn pause(pacing: &Pacing, calls: u32) -> Duration {
    let factor = if calls < OFTEN { 1 } else { 1_u32.checked_shl(calls - OFTEN + 1).unwrap_or(LONGEST).min(LONGEST) };
    pacing.interval.saturating_mul(factor)
}

/// How long one is left alone of which so many calls in a row failed.
fn retry(failures: u32) -> Duration {
    let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY.0.saturating_mul(factor).min(RETRY.1)
}

fn later(from: Timestamp, pause: Duration) -> Timestamp {
    from.checked_add(pause).unwrap_or(Timestamp::MAX)
}

fn contract_of(asked: &Asked) -> Contract {
    Contract {
        broker: asked.broker.clone(),
        consumer: asked.consumer.clone(),
        content: asked.content.clone(),
        provider: asked.provider.clone(),
        provider_version: asked.provider_version.clone(),
    }
}

/// A key of a `ConfigMap`.
fn hash(contract: &Contract) -> String {
    let Contract { broker, consumer, content, provider, provider_version } = contract;
    let mut hasher = Sha256::new();
    for part in [broker, consumer, content, provider, provider_version] {
        // No name holds a control character.
        hasher.update(part.as_bytes());
        hasher.update([0]);
    }
    hasher.finalize().iter().take(12).fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
