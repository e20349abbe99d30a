//! What was asked for and when: what has to be known after a restart, so that nothing is asked for twice within an
//! interval. Pure; the recorder keeps it in a `ConfigMap`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Contract, Pacing};

/// How many are kept: about 400 KB of the 1 MiB that a `ConfigMap` may have.
pub const MOST_CONTRACTS: usize = 1_000;
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
pub struct Ledger(BTreeMap<Contract, Asked>);

impl Ledger {
    /// As it is kept. What cannot be read is as if it had never been asked for.
    #[must_use]
    pub fn read<'a>(entries: impl IntoIterator<Item = &'a String>) -> Self {
        let read = entries.into_iter().filter_map(|text| serde_json::from_str::<Asked>(text).ok());
        Self(read.map(|asked| (contract_of(&asked), asked)).collect())
    }

    /// As it is kept: by the hash of each.
    #[must_use]
    pub fn written(&self) -> BTreeMap<String, String> {
        let text = |asked| serde_json::to_string(asked).unwrap_or_default();
        self.0.iter().map(|(contract, asked)| (hash(contract), text(asked))).collect()
    }

    /// Whether it may be asked for now.
    #[must_use]
    pub fn is_due(&self, contract: &Contract, pacing: &Pacing, now: Timestamp) -> bool {
        match self.0.get(contract) {
            Some(asked) => asked.next(pacing) <= now,
            None => !self.is_full(),
        }
    }

    /// Whether it holds as many as are kept.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() >= MOST_CONTRACTS
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// It is asked for now. Noted before it is done: whoever leads next must not ask again.
    pub fn claim(&mut self, contract: &Contract, now: Timestamp) {
        let asked = self.0.entry(contract.clone()).or_insert_with(|| Asked {
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
        });
        asked.calls = asked.calls.saturating_add(1);
        asked.at = now;
        asked.failed = false;
    }

    /// The call arrived.
    pub fn taken(&mut self, contract: &Contract) {
        if let Some(asked) = self.0.get_mut(contract) {
            asked.failures = 0;
        }
    }

    /// The call that was claimed failed: another follows sooner.
    pub fn failed(&mut self, contract: &Contract, now: Timestamp) {
        if let Some(asked) = self.0.get_mut(contract) {
            asked.calls = asked.calls.saturating_sub(1);
            asked.at = now;
            asked.failed = true;
            asked.failures = asked.failures.saturating_add(1);
        }
    }

    /// How often it was asked for, if that is often and long enough ago for people to be told, and they were not.
    #[must_use]
    pub fn unanswered(&self, contract: &Contract, pacing: &Pacing, now: Timestamp) -> Option<u32> {
        let asked = self.0.get(contract)?;
        let long_ago = later(asked.at, pacing.interval) <= now;
        (asked.calls >= OFTEN && !asked.said && long_ago).then_some(asked.calls)
    }

    /// People were told.
    pub fn said(&mut self, contract: &Contract) {
        if let Some(asked) = self.0.get_mut(contract) {
            asked.said = true;
        }
    }

    /// There is a result. Says whether it had been asked for.
    pub fn forget(&mut self, contract: &Contract) -> bool {
        self.0.remove(contract).is_some()
    }

    /// Drops what is not wanted any more: not at once, since whoever leads for a moment only does not know yet what is
    /// wanted. Says whether something was dropped.
    pub fn prune(&mut self, wanted: &BTreeSet<Contract>, pacing: &Pacing, now: Timestamp) -> bool {
        let before = self.0.len();
        self.0.retain(|contract, asked| wanted.contains(contract) || now < later(asked.next(pacing), pacing.interval));
        self.0.len() != before
    }
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
