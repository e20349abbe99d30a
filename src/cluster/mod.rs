//! The view of the cluster, and of what its brokers answered last, that both processes decide from.
//!
//! Fed by watches ([`watch_handlers`]) and by what was read and written; it decides nothing and writes at no broker.
//! Synchronous, except for the live reads in [`live`], the writes of our own objects in [`records`] and the Secrets that
//! [`client_factory`] reads.

pub mod brokers;
pub mod client_factory;
pub mod environments;
mod fate;
pub mod holds;
pub mod if_served;
pub mod index;
pub mod inventory;
pub mod live;
pub mod objects;
pub mod pact_records;
pub mod recorded;
pub mod records;
pub mod snapshots;
pub mod watch_handlers;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use k8s_openapi::jiff::Timestamp;
use kube::{Client, api::PostParams};

use self::{
    brokers::Brokers, holds::Holds, index::Index, pact_records::PactRecords, recorded::RecordedIndex,
    records::RecordStore, snapshots::Snapshots,
};
use crate::{
    api::PactEnvironment,
    decide::{
        GateRules,
        record::{MemberView, with_strangers},
    },
    workload::{EnvironmentRef, RecordKey},
};

/// The name under which the controller writes, for `managedFields` and Events.
pub const FIELD_MANAGER: &str = "pact-operator.dev/controller";

/// The name under which the gate publishes Events.
pub const REPORTER: &str = "pact-operator.dev/webhook";

/// How the controller writes objects: under its own name.
pub(crate) fn as_field_manager() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// The view. See the module.
pub struct Cluster {
    /// The API server.
    pub client: Client,
    /// The `PactDeployment`s; kept for the controller only.
    pub records: RecordStore,
    /// The clients of the brokers.
    pub brokers: Brokers,
    /// What the brokers last answered about their environments.
    pub snapshots: Snapshots,
    /// The workloads that are held; kept for the controller only.
    pub holds: Holds,
    index: Mutex<Index>,
    recorded: Arc<Mutex<RecordedIndex>>,
    environments: Mutex<HashMap<String, PactEnvironment>>,
    pact_records: Mutex<PactRecords>,
    rollouts_served: AtomicBool,
    complete: AtomicBool,
}

impl Cluster {
    /// An empty view.
    #[must_use]
    pub fn new(client: Client) -> Self {
        let recorded = Arc::<Mutex<RecordedIndex>>::default();
        Self {
            records: RecordStore::new(client.clone()),
            client,
            brokers: Brokers::new(Arc::clone(&recorded)),
            snapshots: Snapshots::default(),
            holds: Holds::default(),
            index: Mutex::default(),
            recorded,
            environments: Mutex::default(),
            pact_records: Mutex::default(),
            rollouts_served: AtomicBool::new(false),
            complete: AtomicBool::new(false),
        }
    }

    /// What runs where.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which versions are recorded, and which run.
    pub fn recorded(&self) -> MutexGuard<'_, RecordedIndex> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `PactEnvironment`s by name.
    pub fn environments(&self) -> MutexGuard<'_, HashMap<String, PactEnvironment>> {
        self.environments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The `PactRecord`s; kept for the controller only.
    pub fn pact_records(&self) -> MutexGuard<'_, PactRecords> {
        self.pact_records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether everything that is watched was listed once: before, what is missing only seems to be.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Everything was listed once.
    pub fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Whether Argo Rollouts are installed.
    #[must_use]
    pub fn rollouts_served(&self) -> bool {
        self.rollouts_served.load(Ordering::Relaxed)
    }

    /// Argo Rollouts are installed, or no longer.
    pub fn set_rollouts_served(&self, served: bool) {
        self.rollouts_served.store(served, Ordering::Relaxed);
    }

    /// Every key that has members or a `PactDeployment`, and for which `wanted` holds.
    pub fn keys(&self, wanted: impl Fn(&RecordKey) -> bool) -> HashSet<RecordKey> {
        let mut keys: HashSet<_> = self.records.keys().into_iter().filter(&wanted).collect();
        keys.extend(self.index().keys().filter(|key| wanted(key)).cloned());
        keys
    }

    /// The members of a key: those that count for its record, and then strangers to it.
    #[must_use]
    pub fn members(&self, key: &RecordKey) -> Vec<MemberView> {
        let object = self.records.get(key);
        let members = self.index().members(key).into_iter().map(|member| member.at(Timestamp::now())).collect();
        with_strangers(members, object.as_ref().and_then(|object| object.status.as_ref()))
    }

    /// Every environment in which a `PactEnvironment` that can be followed records.
    #[must_use]
    pub fn environment_refs(&self) -> HashSet<EnvironmentRef> {
        self.index().environments().valid_rules().map(|rules| rules.environment_ref.clone()).collect()
    }

    /// The names of the `PactEnvironment`s.
    #[must_use]
    pub fn environment_names(&self) -> Vec<String> {
        self.environments().keys().cloned().collect()
    }

    /// The gate block that a key is under.
    #[must_use]
    pub fn gate_rules(&self, key: &RecordKey) -> Option<GateRules> {
        gate_rules(&self.index(), key).cloned()
    }
}

/// The gate block that a key is under.
fn gate_rules<'a>(index: &'a Index, key: &RecordKey) -> Option<&'a GateRules> {
    let object = &index.rules_for(key)?.object;
    index.environments().get(object)?.as_ref().ok().map(|policy| &policy.gate)
}
