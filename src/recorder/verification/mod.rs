//! The reconciler of results that are missing: asks for the verification of a pact, once in an interval, where a provider
//! version that is live in an environment, or was denied there, never verified it. Off unless the controller is told whom
//! to ask. The rules are in [`crate::decide::verification`].
//!
//! Level-triggered: each look compares what is missing now with what was asked for. The latter is in a `ConfigMap`, written
//! before a call.

mod ask;
mod denied;
mod kept;
mod memory;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use kube::Client;
use operator_kit::{
    events::{EventSink, Regarding},
    history::Restored,
    lease::Leadership,
};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::{
    denied::Denied,
    kept::{Kept, Read},
    memory::Memory,
};
use super::{schedule::Schedule, verdicts::Verdicts};
use crate::{
    api::{gate::GateMode, names::EnvironmentName},
    cluster::{Cluster, records::regarding},
    decide::verification::{Contract, MissingResult, Pacing, Parties, missing_in},
    notifier::verification::Hooks,
    workload::{RecordKey, glob::Globs},
};

/// How often is looked at what is missing.
const LOOK: Duration = Duration::from_secs(2);
/// How long a look that is under way may take at the end.
const LAST: Duration = Duration::from_secs(1);
/// Of how many pacts the content is read in one look.
const PACTS_AT_ONCE: usize = 20;

/// The reconciler. See the module.
pub(super) struct VerificationReconciler {
    parts: Parts,
    kept: Kept,
    denied: Denied,
    full: AtomicBool,
}

/// Where a result is missing.
#[derive(Clone, Debug, Default)]
struct Where {
    /// Those of the keys whose checks show it; the provider's first, where it is among them.
    keys: Vec<RecordKey>,
    /// What an Event about it is about: the record of the first key, or the workload that was denied.
    regarding: Option<Regarding>,
}

impl Where {
    /// The environment's name at the broker.
    fn environment(&self) -> Option<&EnvironmentName> {
        self.keys.first().map(|key| &key.environment_ref.environment)
    }
}

/// What the reconciler is made of.
pub(super) struct Parts {
    pub(super) cluster: Arc<Cluster>,
    pub(super) schedule: Schedule,
    pub(super) verdicts: Arc<Verdicts>,
    pub(super) leadership: Leadership,
    pub(super) events: EventSink,
    pub(super) hooks: Hooks,
    pub(super) pacing: Pacing,
    pub(super) environments: Globs,
}

impl VerificationReconciler {
    pub(super) fn new(parts: Parts, client: Client, namespace: &str) -> Self {
        let (kept, denied, full) = (Kept::new(client, namespace), Denied::default(), AtomicBool::default());
        Self { parts, kept, denied, full }
    }

    /// Looks until shutdown.
    pub(super) async fn run(self, restored: Restored, shutdown: CancellationToken) {
        let over = async {
            shutdown.cancelled().await;
            tokio::time::sleep(LAST).await;
        };
        tokio::select! {
            () = over => {}
            () = self.looks(restored, &shutdown) => {}
        }
    }

    async fn looks(&self, restored: Restored, shutdown: &CancellationToken) {
        let mut leads = self.parts.leadership.watch();
        while !shutdown.is_cancelled() {
            self.parts.leadership.wait_leader().await;
            let lost = async {
                if leads.wait_for(|leads| !leads).await.is_err() {
                    // Without election it always leads.
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = lost => {}
                () = self.denied.follow(&self.parts.cluster, restored.clone()) => return,
                () = self.lead(restored.clone(), shutdown) => return,
            }
            self.denied.forget();
        }
    }

    /// Looks while this process leads. What another leader knew is read anew when this one leads again.
    async fn lead(&self, mut restored: Restored, shutdown: &CancellationToken) {
        let mut memory = Memory::default();
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = restored.again() => memory.kept = None,
                _ = look.tick() => {
                    if self.parts.cluster.is_complete() {
                        self.look(&mut memory).await;
                    }
                }
            }
        }
    }

    async fn look(&self, memory: &mut Memory) {
        self.denied.judge(&self.parts.cluster).await;
        let wanted = self.wanted();
        memory.retain(|missing| wanted.contains_key(missing));
        let Some(mut read) = self.read(memory, wanted.is_empty()).await else { return };
        let (contracts, unread) = self.contracts(memory, &wanted).await;
        let is_wanted =
            |contract: &Contract| contracts.contains_key(contract) || unread.contains(&Parties::of(contract));
        // First, so that what is wanted no longer takes no room.
        let right = read.ledger.set_clocks_right(Timestamp::now());
        let pruned = read.ledger.prune(is_wanted, &self.parts.pacing, Timestamp::now());
        if (right || pruned) && !(self.parts.leadership.is_leader() && self.write(memory, &mut read).await) {
            return;
        }
        if contracts.keys().all(|contract| read.ledger.has_room(contract)) {
            self.full.store(false, Ordering::Relaxed);
        } else if !self.full.swap(true, Ordering::Relaxed) {
            warn!("more results are missing than is kept which were asked for: no further ones are asked for");
        }
        let (now, waits) = (Timestamp::now(), Instant::now());
        let is_ready = |(contract, missing): &(&Contract, &MissingResult)| {
            read.ledger.is_due(contract, &self.parts.pacing, now) && !memory.waits(missing, waits)
        };
        let (ready, others): (Vec<_>, Vec<_>) = contracts.iter().partition(is_ready);
        let in_turn = read.ledger.in_turn(ready.into_iter().map(|(contract, _)| contract));
        for contract in in_turn.into_iter().chain(others.into_iter().map(|(contract, _)| contract)) {
            let Some((missing, found)) = contracts.get(contract).and_then(|it| wanted.get_key_value(it)) else {
                continue;
            };
            if !self.parts.leadership.is_leader() || !self.pursue(memory, &mut read, contract, (missing, found)).await {
                // It is not known what is kept now: it is read anew.
                return;
            }
        }
        memory.kept = Some(read);
    }

    /// What is kept. `None` when it cannot be read or written, and when nobody wants to know.
    async fn read(&self, memory: &mut Memory, nothing_wanted: bool) -> Option<Read> {
        if memory.rests(Instant::now()) {
            return None;
        }
        if let Some(read) = memory.kept.take() {
            return Some(read);
        }
        if nothing_wanted {
            return None;
        }
        match self.kept.read().await {
            Ok(mut read) => {
                memory.complete(&mut read.ledger);
                Some(read)
            }
            Err(error) => {
                if memory.complains() {
                    let error = operator_kit::refusal::explain(&error);
                    warn!(error, "it cannot be read which verifications were asked for: none is asked for");
                }
                None
            }
        }
    }

    /// Keeps what was asked for; says whether that succeeded.
    async fn write(&self, memory: &mut Memory, read: &mut Read) -> bool {
        let written = self.kept.write(read).await;
        memory.keeping(written.is_ok(), Instant::now());
        if let Err(error) = &written {
            let error = operator_kit::refusal::explain(error);
            warn!(error, "it cannot be kept which verification is asked for: it is not asked for");
        }
        written.is_ok()
    }

    /// Every result that is missing now and that somebody can be asked for.
    fn wanted(&self) -> BTreeMap<MissingResult, Where> {
        let mut wanted = BTreeMap::<MissingResult, Where>::new();
        let keys = self.parts.verdicts.keys(|_, checks| checks.iter().any(|check| !missing_in("", check).is_empty()));
        for key in keys.into_iter().filter(|key| self.is_asked_for(key)) {
            let regarding = self.parts.cluster.records.get(&key).map(|object| regarding(&object));
            for check in self.parts.verdicts.of(&key) {
                for missing in missing_in(&key.environment_ref.broker, &check) {
                    let of_provider = key.pacticipant == missing.provider;
                    let found = wanted.entry(missing).or_default();
                    if found.keys.is_empty() || of_provider {
                        found.keys.insert(0, key.clone());
                        found.regarding.clone_from(&regarding);
                    } else {
                        found.keys.push(key.clone());
                    }
                }
            }
        }
        for (missing, key, regarding) in self.denied.missing() {
            if self.is_asked_for(&key) {
                wanted.entry(missing).or_insert(Where { keys: vec![key], regarding: Some(regarding) });
            }
        }
        wanted.retain(|missing, _| self.parts.hooks.way(&missing.provider).is_some());
        wanted
    }

    /// Whether verifications are asked for in the environment of a key.
    fn is_asked_for(&self, key: &RecordKey) -> bool {
        self.parts.environments.matching(key.environment_ref.environment.as_str()).is_some()
            && self.parts.cluster.gate_rules(key).is_some_and(|rules| rules.mode != GateMode::Off)
    }

    /// What is to be asked for, by content, with one of the results that it gives; and of whom it is not known, because the
    /// pact could not be read.
    async fn contracts(
        &self,
        memory: &mut Memory,
        wanted: &BTreeMap<MissingResult, Where>,
    ) -> (BTreeMap<Contract, MissingResult>, BTreeSet<Parties>) {
        let (mut contracts, mut unread, mut read) = (BTreeMap::new(), BTreeSet::new(), 0);
        for missing in wanted.keys() {
            if memory.pact(missing).is_none() && read < PACTS_AT_ONCE && !memory.waits(missing, Instant::now()) {
                read += 1;
                self.read_pact(memory, missing).await;
            }
            match memory.pact(missing) {
                Some(pact) => {
                    let contract = Contract {
                        broker: missing.broker.clone(),
                        consumer: missing.consumer.to_string(),
                        content: pact.content.as_str().to_owned(),
                        provider: missing.provider.to_string(),
                        provider_version: missing.provider_version.to_string(),
                    };
                    contracts.entry(contract).or_insert_with(|| missing.clone());
                }
                None => drop(unread.insert(Parties::wanting(missing))),
            }
        }
        (contracts, unread)
    }
}
