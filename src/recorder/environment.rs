//! The reconciler of an environment at a broker: whether it exists, and what it has recorded.

use std::{sync::Arc, time::Duration};

use operator_kit::backoff::{Backoff, entropy, fraction};
use tracing::{info, warn};

use super::{
    Settings,
    queue::{Next, Task, Tries},
    schedule::{Changed, Schedule},
    writes::Writes,
};
use crate::{
    api::environment::RecordKind,
    broker::{Broker, BrokerError, NewEnvironment},
    cluster::{
        Cluster,
        snapshots::{self, BrokerSnapshot},
    },
    decide::{Explanation, Reason, record::last_record_of},
    workload::{EnvironmentRef, EnvironmentRules},
};

/// How soon a suspicious answer is checked by a second reading.
const SECOND_LOOK: Duration = Duration::from_mins(1);

/// The reconciler; see the module documentation.
pub(super) struct EnvironmentReconciler {
    pub(super) cluster: Arc<Cluster>,
    pub(super) schedule: Schedule,
    pub(super) writes: Writes,
    pub(super) settings: Arc<Settings>,
}

impl EnvironmentReconciler {
    /// Reads the records of an environment, and schedules the comparison of every key in it.
    pub(super) async fn reconcile(&self, environment_ref: &EnvironmentRef, mut tries: Tries) -> Next {
        let rules: Vec<EnvironmentRules> = self
            .cluster
            .index()
            .environments()
            .valid_rules()
            .filter(|rules| rules.environment_ref == *environment_ref)
            .cloned()
            .collect();
        if rules.is_empty() {
            return Next::wait();
        }
        let before = self.cluster.snapshots.state(environment_ref);
        let read = match self.cluster.brokers.get(&environment_ref.broker) {
            // The environment is read after the broker was probed.
            Err(why) if why.reason == Reason::BrokerNotProbed => return Next::wait(),
            Err(why) => Err(why),
            Ok(broker) => self.find_and_read(&broker, environment_ref, &rules).await,
        };
        let next = match read {
            Ok(snapshot) => {
                let ours: Vec<_> = self
                    .cluster
                    .records
                    .select(|key| key.environment_ref == *environment_ref)
                    .into_iter()
                    .filter_map(|(key, object)| Some((key, last_record_of(Some(&object)).recorded?)))
                    .collect();
                let odd = snapshots::suspicious(&snapshot, ours.iter().map(|(key, version)| (key, version)));
                if before.snapshot.is_none() {
                    info!(%environment_ref, "the environment was read");
                }
                let first_time = self.cluster.snapshots.doubt(environment_ref, odd) == 1;
                if let Some(before) = &before.snapshot
                    && !odd
                {
                    let changed = snapshot.changed_since(before);
                    self.schedule.judge_counterparts(environment_ref, &changed, Changed::Recorded);
                }
                self.cluster.snapshots.set(environment_ref, Ok(snapshot.marked(odd)));
                Next::after(if first_time {
                    warn!(%environment_ref, records = ours.len(), "none of our records is at the broker any more; reading again before anything is changed");
                    SECOND_LOOK.min(self.settings.resync_period)
                } else {
                    self.settings.resync_period + fraction(self.settings.resync_period / 10, entropy())
                })
            }
            Err(why) => {
                if before.trouble.as_ref() != Some(&why) {
                    warn!(%environment_ref, reason = %why.reason, "{}", why.message);
                }
                let broker_is_to_blame = why.reason != Reason::EnvironmentMissing;
                self.cluster.snapshots.set(environment_ref, Err(why));
                if broker_is_to_blame && before.trouble.is_none() {
                    self.schedule.queue.now(Task::Broker(environment_ref.broker.clone()));
                }
                let backoff = Backoff { min: self.settings.retry_min, max: self.settings.retry_max };
                Next::retry(tries.delay(backoff, "read"), tries)
            }
        };
        for key in self.cluster.keys(|key| key.environment_ref == *environment_ref) {
            self.schedule.queue.now(Task::Record(key));
        }
        for rules in rules {
            self.schedule.queue.now(Task::EnvironmentStatus(rules.object));
        }
        next
    }

    /// Reads an environment; creates it first when it is missing and a `PactEnvironment` allows that.
    async fn find_and_read(
        &self,
        broker: &Broker,
        environment_ref: &EnvironmentRef,
        rules: &[EnvironmentRules],
    ) -> Result<BrokerSnapshot, Explanation> {
        let why = |error: BrokerError| Explanation::new(error.reason(), error.to_string());
        let environment =
            match (broker.environment(&environment_ref.environment).await.map_err(why)?, self.creation(rules)) {
                (Some(environment), _) => environment,
                (None, Some(new)) => {
                    let lost = || Explanation::new(Reason::LeaseLost, "another replica leads now");
                    let created = self.writes.while_leading(broker.create_environment(&new)).await.ok_or_else(lost)?;
                    let created = created.map_err(why)?;
                    info!(%environment_ref, "the environment was created at the broker");
                    created
                }
                (None, None) => {
                    return Err(snapshots::missing(environment_ref, &broker.environments().await.map_err(why)?));
                }
            };
        let releases = rules.iter().any(|rules| rules.kind == RecordKind::Release);
        snapshots::read(broker, environment, releases).await.map_err(why)
    }

    /// The environment to create at the broker, if one of its `PactEnvironment`s allows that.
    fn creation(&self, rules: &[EnvironmentRules]) -> Option<NewEnvironment> {
        let environments = self.cluster.environments();
        rules.iter().find_map(|rules| {
            let create = environments.get(&rules.object)?.spec.create.as_ref()?;
            Some(NewEnvironment {
                name: rules.environment_ref.environment.clone(),
                display_name: create.display_name.clone(),
                production: create.production,
            })
        })
    }
}
