//! The environments: whether they are at their brokers, what is recorded there, and the status of `PactEnvironment`s.

use std::{collections::BTreeMap, sync::PoisonError, time::Duration};

use k8s_openapi::jiff::Timestamp;
use kube::Api;
use tracing::{info, warn};

use super::{
    Recorder,
    brokers::NOT_PROBED,
    index::Counts,
    inventory,
    places::{self, ENVIRONMENT_MISSING, NOT_READ, PlaceState, View},
    queue::{Next, Task},
    records::memory_of,
};
use crate::{
    api::{
        PactEnvironment, PactEnvironmentStatus,
        condition::{Explanation, Finding, Truth, conditions},
        environment::RecordKind,
    },
    broker::{Broker, BrokerError, NewEnvironment},
    decide::{GateRules, decision::in_force},
    workload::{BrokenRules, EnvironmentRef, EnvironmentRules},
};
use operator_kit::{
    backoff::{Backoff, entropy, fraction},
    refusal,
};

/// How long changes of the counts gather before the status is written: many rollouts end at once.
pub(super) const STATUS_DELAY: Duration = Duration::from_secs(2);
/// How soon a suspicious answer is asked for again before it is believed.
const SECOND_LOOK: Duration = Duration::from_mins(1);

impl Recorder {
    /// Reads what an environment has recorded, and has every key there compared with it.
    pub(super) async fn read_place(&self, environment_ref: &EnvironmentRef) -> Next {
        let rules: Vec<EnvironmentRules> =
            self.index().valid_rules().filter(|rules| rules.environment_ref == *environment_ref).cloned().collect();
        if rules.is_empty() {
            return None;
        }
        let before = self.places.state(environment_ref);
        let read = match self.brokers.get(&environment_ref.broker) {
            // It is read once the broker was probed.
            Err(why) if why.reason == NOT_PROBED => return None,
            Err(why) => Err(why),
            Ok(broker) => self.find_and_read(&broker, environment_ref, &rules).await,
        };
        let next = match read {
            Ok(view) => {
                self.place_tries().remove(environment_ref);
                let ours: Vec<_> = self
                    .records
                    .select(|key| key.environment_ref == *environment_ref)
                    .into_iter()
                    .filter_map(|(key, object)| Some((key, memory_of(Some(&object)).recorded?)))
                    .collect();
                let odd = places::suspicious(&view, ours.iter().map(|(key, version)| (key, version)));
                if before.view.is_none() {
                    info!(%environment_ref, "the environment was read");
                }
                let first_time = self.doubt(environment_ref, odd) == 1;
                if let Some(before) = &before.view
                    && !odd
                {
                    self.environment_changed(environment_ref, &view.changed_since(before));
                }
                self.places.set(environment_ref, Ok(view.marked(odd)));
                if first_time {
                    warn!(%environment_ref, records = ours.len(), "none of our records is at the broker any more; asking again before anything is changed");
                    SECOND_LOOK.min(self.settings.resync_period)
                } else {
                    self.settings.resync_period + fraction(self.settings.resync_period / 10, entropy())
                }
            }
            Err(why) => {
                if before.trouble.as_ref() != Some(&why) {
                    warn!(%environment_ref, reason = why.reason, "{}", why.message);
                }
                let broker_is_to_blame = why.reason != ENVIRONMENT_MISSING;
                self.places.set(environment_ref, Err(why));
                if broker_is_to_blame && before.trouble.is_none() {
                    self.queue.now(Task::Broker(environment_ref.broker.clone()));
                }
                let attempt = {
                    let mut tries = self.place_tries();
                    let failures = tries.entry(environment_ref.clone()).or_default();
                    *failures = failures.saturating_add(1);
                    *failures - 1
                };
                Backoff { min: self.settings.retry_min, max: self.settings.retry_max }.delay(attempt, entropy())
            }
        };
        for key in self.keys(|key| key.environment_ref == *environment_ref) {
            self.queue.now(Task::Record(key));
        }
        for rules in rules {
            self.queue.now(Task::EnvironmentStatus(rules.object));
        }
        Some(next)
    }

    /// Reads an environment; makes it first when it is missing and a `PactEnvironment` says so.
    async fn find_and_read(
        &self,
        broker: &Broker,
        environment_ref: &EnvironmentRef,
        rules: &[EnvironmentRules],
    ) -> Result<View, Explanation> {
        let why = |error: BrokerError| Explanation::new(error.reason(), error.to_string());
        let environment =
            match (broker.environment(&environment_ref.environment).await.map_err(why)?, self.creation(rules)) {
                (Some(environment), _) => environment,
                (None, Some(new)) => {
                    let lost = || Explanation::new("LeaseLost", "another replica leads now");
                    let created = self.while_leading(broker.create_environment(&new)).await.ok_or_else(lost)?;
                    let created = created.map_err(why)?;
                    info!(%environment_ref, "the environment was created at the broker");
                    created
                }
                (None, None) => {
                    return Err(places::missing(environment_ref, &broker.environments().await.map_err(why)?));
                }
            };
        let releases = rules.iter().any(|rules| rules.kind == RecordKind::Release);
        places::read(broker, environment, releases).await.map_err(why)
    }

    /// How the environment is to be made at the broker, if one of its `PactEnvironment`s says so.
    fn creation(&self, rules: &[EnvironmentRules]) -> Option<NewEnvironment> {
        let environments = self.environments.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter().find_map(|rules| {
            let create = environments.get(&rules.object)?.spec.create.as_ref()?;
            Some(NewEnvironment {
                name: rules.environment_ref.environment.clone(),
                display_name: create.display_name.clone(),
                production: create.production,
            })
        })
    }

    /// Counts how often in a row none of our records was in an environment.
    fn doubt(&self, environment_ref: &EnvironmentRef, odd: bool) -> u32 {
        let mut doubts = self.place_doubts.lock().unwrap_or_else(PoisonError::into_inner);
        if !odd {
            doubts.remove(environment_ref);
            return 0;
        }
        let times = doubts.entry(environment_ref.clone()).or_default();
        *times = times.saturating_add(1);
        *times
    }

    /// Whether it was seen more than once that none of our records is in an environment: then what runs is recorded
    /// anew, for a broker that was reset. Nothing is taken back on such an answer, however often it comes: it may come
    /// from a proxy, or from a broker that no longer lets us see.
    pub(super) fn seems_reset(&self, environment_ref: &EnvironmentRef) -> bool {
        let doubts = self.place_doubts.lock().unwrap_or_else(PoisonError::into_inner);
        doubts.get(environment_ref).is_some_and(|times| *times > 1)
    }

    fn place_tries(&self) -> std::sync::MutexGuard<'_, BTreeMap<EnvironmentRef, u32>> {
        self.place_tries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the status of a `PactEnvironment` if it changed.
    pub(super) async fn environment_status(&self, object: &str) -> Next {
        let environment = self.environments.lock().unwrap_or_else(PoisonError::into_inner).get(object).cloned()?;
        let (rules, counts, conflicts, keys) = {
            let index = self.index();
            let rules = index.rules(object)?.clone();
            let (counts, conflicts) = index.counts(object);
            (rules, counts, conflicts, index.keys_of_environment(object))
        };
        let inventory = self.inventory(&keys, &GateRules::parse(&environment.spec.gate));
        let state = rules.as_ref().map(|rules| self.places.state(&rules.environment_ref)).unwrap_or_default();

        let before = environment.status.clone().unwrap_or_default();
        let generation = environment.metadata.generation;
        // A restart is no news: what was said last holds until the environment was read, which asks for this again.
        let unread = rules.is_ok() && state.view.is_none() && state.trouble.is_none();
        if unread && before.observed_generation == generation {
            return None;
        }
        let backfilled = inventory::backfilled(&before.conditions, state.view.is_some(), &inventory);
        let mut findings = findings(&rules, &state, &conflicts, counts);
        findings.push(backfilled.clone());
        let status = PactEnvironmentStatus {
            observed_generation: generation,
            environment: rules.as_ref().ok().map(|rules| rules.environment_ref.environment.to_string()),
            environment_uuid: state.view.as_ref().map(|view| view.id.to_string()),
            namespaces: count(counts.namespaces),
            workloads: count(counts.workloads),
            recorded: count(inventory.recorded),
            mode: Some(in_force(environment.spec.gate.mode, backfilled.truth == Truth::True)),
            would_deny: count(inventory.would_deny),
            unchecked: count(inventory.unchecked),
            conditions: conditions(&before.conditions, &findings, generation, Timestamp::now()),
        };
        if status == before {
            return None;
        }
        self.write_environment_status(environment, status).await
    }

    async fn write_environment_status(&self, environment: PactEnvironment, status: PactEnvironmentStatus) -> Next {
        let name = environment.metadata.name.clone().unwrap_or_default();
        let object = PactEnvironment { status: Some(status), ..environment };
        let params = super::as_field_manager();
        match Api::<PactEnvironment>::all(self.client.clone()).replace_status(&name, &params, &object).await {
            Ok(written) => {
                let mut environments = self.environments.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(known) = environments.get_mut(&name)
                    && known.metadata.uid == written.metadata.uid
                {
                    *known = written;
                }
                None
            }
            Err(kube::Error::Api(answer)) if answer.is_not_found() => None,
            // The watch brings the newer object.
            Err(kube::Error::Api(answer)) if answer.is_conflict() => Some(STATUS_DELAY),
            Err(error) => {
                let error = refusal::explain(&error);
                warn!(environment = name, error, "the status of the PactEnvironment cannot be written");
                Some(self.settings.retry_max)
            }
        }
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The conditions of a `PactEnvironment`.
fn findings(
    rules: &Result<EnvironmentRules, Box<BrokenRules>>,
    state: &PlaceState,
    conflicts: &BTreeMap<String, Vec<String>>,
    counts: Counts,
) -> Vec<Finding> {
    let conflicted = if conflicts.is_empty() {
        Finding::new("Conflicted", false, "NoOverlap", "no namespace is claimed by another environment")
    } else {
        Finding::new("Conflicted", true, "NamespaceClaimedTwice", conflict(conflicts))
    };
    let rules = match rules {
        Ok(rules) => rules,
        Err(broken) => {
            return vec![
                Finding::new("Ready", false, "InvalidSpec", broken.problem.clone()),
                Finding::new("EnvironmentExists", Truth::Unknown, "InvalidSpec", broken.problem.clone()),
                conflicted,
            ];
        }
    };
    let unread = Explanation::new(NOT_READ, "the environment has not been read yet");
    let (exists, why) = match (&state.trouble, &state.view) {
        (None, Some(_)) => (
            Truth::True,
            Explanation::new(
                "Found",
                format!(
                    "the broker {} has the environment {}",
                    rules.environment_ref.broker, rules.environment_ref.environment
                ),
            ),
        ),
        (None, None) => (Truth::Unknown, unread),
        (Some(why), _) if why.reason == ENVIRONMENT_MISSING => (Truth::False, why.clone()),
        (Some(why), _) => (Truth::Unknown, why.clone()),
    };
    let ready = if exists != Truth::True {
        Finding::new("Ready", false, why.reason, why.message.clone())
    } else if !conflicts.is_empty() {
        Finding::new("Ready", false, "Conflicted", conflicted.message.clone())
    } else if state.view.as_ref().is_some_and(|view| view.suspicious) {
        let message = "none of our records is at the broker any more; nothing is taken back until they are. Was it \
                       reset, or may the operator's user no longer see them?";
        Finding::new("Ready", false, "BrokerAnomaly", message)
    } else {
        let plural = if counts.namespaces == 1 { "" } else { "s" };
        let message = format!("what runs in {} namespace{plural} is recorded", counts.namespaces);
        Finding::new("Ready", true, "Recording", message)
    };
    vec![ready, Finding::new("EnvironmentExists", exists, why.reason, why.message), conflicted]
}

fn conflict(conflicts: &BTreeMap<String, Vec<String>>) -> String {
    let shown: Vec<_> = conflicts
        .iter()
        .take(3)
        .map(|(namespace, claimants)| format!("namespace {namespace} is claimed by {}", claimants.join(", ")))
        .collect();
    let more = conflicts.len().saturating_sub(3);
    let more = if more > 0 { format!(" and {more} more namespaces") } else { String::new() };
    format!(
        "{}{more}; nothing is recorded there until only one claims it, or each says overlap: Allow",
        shown.join("; ")
    )
}
