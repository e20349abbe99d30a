//! One pass over a record key: compare what the broker should say with what it says, do the one step that is due.
//!
//! Before each write at the broker: the lease is still ours, the live workloads still say the same, the broker's row
//! was just read. After it, the row is read back.

use std::time::Duration;

use futures::future::join;
use k8s_openapi::jiff::Timestamp;

use super::{
    Recorder,
    desired::{Desired, desired},
    member::MemberView,
    places::{ENVIRONMENT_MISSING, NOT_READ},
    plan::{Memory, Removal, Step, plan, removal},
    records::memory_of,
    status::Finish,
};
use crate::{
    api::{
        PactDeployment, PactDeploymentStatus,
        condition::{Explanation, is_true},
        environment::RecordKind,
        names::Version,
    },
    broker::{Broker, BrokerError, DeployedVersion, EnvironmentId},
    workload::{EnvironmentRules, RecordKey},
};

/// How a pass ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// With a finding to be remembered, and when to look again though nothing changes.
    Finished(Finish, Option<Timestamp>),
    /// Something could not be done; it is tried again.
    Troubled {
        /// Why.
        why: Explanation,
        /// What should be recorded.
        version: Option<Version>,
        /// How long the broker asked us to wait.
        retry_after: Option<Duration>,
    },
    /// The world moved while we looked, or the lease is no longer ours: nothing is known, look again.
    Moved,
    /// Nothing runs it and nothing of ours is recorded: what was said last still holds.
    Unchanged,
    /// What the broker says has not been read for the first time; the key is looked at again once it was.
    Later,
}

impl Outcome {
    pub(super) fn troubled(why: Explanation, version: Option<&Version>) -> Self {
        Self::Troubled { why, version: version.cloned(), retry_after: None }
    }
}

/// What a pass is about.
pub(super) struct Subject<'a> {
    pub(super) key: &'a RecordKey,
    pub(super) members: &'a [MemberView],
    pub(super) rules: &'a EnvironmentRules,
    pub(super) object: Option<&'a PactDeployment>,
    pub(super) memory: Memory,
    pub(super) now: Timestamp,
}

impl Subject<'_> {
    pub(super) fn remembered(&self) -> Option<&PactDeploymentStatus> {
        self.object.and_then(|object| object.status.as_ref())
    }

    /// A rollout to the version that is recorded, such as a restart, or pods that fail (domain cases 2 and 30), changes
    /// nothing about the record.
    fn still_recorded(&self, desired: &Desired) -> Option<Outcome> {
        let Desired::Unfinished { version, .. } = desired else { return None };
        self.remembered().filter(|status| is_true(&status.conditions, "Recorded"))?;
        self.unasked(version)
    }

    /// What holds while the broker cannot be asked: what was recorded last is recorded still, if it is what runs.
    fn unasked(&self, version: &Version) -> Option<Outcome> {
        let recorded = self.remembered()?.recorded.as_ref().filter(|it| it.version == version.as_str())?;
        let uuid = recorded.uuid.clone().unwrap_or_default();
        Some(Outcome::Finished(Finish::Recorded { version: version.clone(), uuid, write: Write::None }, None))
    }
}

impl Recorder {
    /// Compares and does the step that is due.
    pub(super) async fn compare_and_act(
        &self,
        key: &RecordKey,
        members: &[MemberView],
        object: Option<&PactDeployment>,
    ) -> Outcome {
        let rules = {
            let index = self.index();
            if let Some(broken) = index.broken_at(&key.environment_ref) {
                let message = format!("PactEnvironment {}: {}", broken.object, broken.problem);
                return Outcome::Finished(Finish::Held(Explanation::new("InvalidEnvironment", message)), None);
            }
            index.rules_for(key).cloned()
        };
        let Some(rules) = rules else {
            let message =
                format!("no PactEnvironment records in {} any more; the record stays as it is", key.environment_ref);
            return Outcome::Finished(Finish::Held(Explanation::new("EnvironmentUnmanaged", message)), None);
        };
        let memory = memory_of(object);
        let subject = Subject { key, members, rules: &rules, object, memory, now: Timestamp::now() };
        match subject.rules.kind {
            RecordKind::Deployment => self.deployment(&subject).await,
            RecordKind::Release => self.releases(&subject).await,
        }
    }

    async fn deployment(&self, subject: &Subject<'_>) -> Outcome {
        let desired = desired(subject.members);
        let Desired::Runs(version) = &desired else {
            return match plan(&desired, &subject.memory, None) {
                Step::Wait { why, look_again } => {
                    subject.still_recorded(&desired).unwrap_or_else(|| waiting(&desired, why, look_again))
                }
                Step::Orphaned => self.orphaned(subject).await,
                // `plan` answers the other steps only for a version that runs.
                _ if subject.remembered().is_some_and(|status| !status.members.is_empty()) => {
                    Outcome::Finished(Finish::Undeployed(nothing_recorded()), None)
                }
                _ => Outcome::Unchanged,
            };
        };
        let (environment, seen, suspicious) = match self.places.look_up(subject.key) {
            Ok(found) => found,
            Err(why) if why.reason == ENVIRONMENT_MISSING => return Outcome::troubled(why, Some(version)),
            Err(why) if why.reason == NOT_READ => return Outcome::Later,
            Err(why) => return subject.unasked(version).unwrap_or_else(|| Outcome::troubled(why, Some(version))),
        };
        if let Step::Settled(version) = plan(&desired, &subject.memory, seen.as_ref().map(|row| &row.version))
            && let Some(row) = seen
        {
            return recorded(version, &row, Write::None);
        }
        match self.brokers.get(&subject.key.environment_ref.broker) {
            Ok(broker) => self.record(subject, &broker, &environment, version, suspicious).await,
            Err(why) => Outcome::troubled(why, Some(version)),
        }
    }

    /// Reads the row and the workloads anew, and records the version if that is still right.
    async fn record(
        &self,
        subject: &Subject<'_>,
        broker: &Broker,
        environment: &EnvironmentId,
        version: &Version,
        suspicious: bool,
    ) -> Outcome {
        let key = subject.key;
        let (row, live) = join(self.read_row(broker, environment, key), self.live_members(key, subject.members)).await;
        let (row, live) = match (row, live) {
            (Ok(row), Ok(live)) => (row, live),
            (Err(error), _) => return self.refused(key, &error, Some(version)),
            (_, Err(why)) => return Outcome::troubled(why, Some(version)),
        };
        let live = desired(&live);
        if live != Desired::Runs(version.clone()) {
            return Outcome::Moved;
        }
        // Nobody contests a broker that was reset: it is told again, as often as that happens.
        let reset = suspicious && self.seems_reset(&key.environment_ref);
        let mut memory = subject.memory.clone();
        if reset {
            memory.corrected = None;
        }
        let (version, correction) = match plan(&live, &memory, row.as_ref().map(|row| &row.version)) {
            Step::Settled(version) => {
                return row.map_or(Outcome::Moved, |row| recorded(version, &row, Write::None));
            }
            Step::Contested { version, found } => return contested(key, version, found.as_ref()),
            Step::Record { version, correction } => (version, correction),
            Step::Wait { .. } | Step::Orphaned | Step::Forgotten => return Outcome::Moved,
        };
        let correction = correction && !reset;
        if suspicious && correction {
            return Outcome::troubled(anomaly(key), Some(&version));
        }
        let written = self
            .while_leading(broker.record_deployment(&key.pacticipant, &version, environment, key.instance.as_ref()))
            .await;
        match written {
            None => return Outcome::Moved,
            Some(Err(error)) => return self.refused(key, &error, Some(&version)),
            Some(Ok(_)) => self.metrics.recorded.inc(),
        };
        match self.read_row(broker, environment, key).await {
            Ok(Some(row)) if row.version == version => {
                recorded(version, &row, if correction { Write::Correction } else { Write::First })
            }
            Ok(row) => {
                let found = row.map_or_else(|| "nothing".to_owned(), |row| row.version.to_string());
                let message = format!(
                    "{version} was recorded, but the broker then said {found}: does somebody else record it, too?"
                );
                Outcome::troubled(Explanation::new("RecordNotKept", message), Some(&version))
            }
            Err(error) => self.refused(key, &error, Some(&version)),
        }
    }

    /// Nobody runs it any more: waits for the grace, makes sure, and takes back what is ours.
    async fn orphaned(&self, subject: &Subject<'_>) -> Outcome {
        if let Some(why) = self.unreadable() {
            return Outcome::Finished(Finish::Held(why), None);
        }
        let since = subject.memory.orphaned_since.unwrap_or(subject.now);
        match self.removal(subject).await {
            Err(why) => Outcome::troubled(why, None),
            Ok(Removal::Unknown) => uncertain(),
            Ok(Removal::Keep) => kept(),
            Ok(Removal::Grace(until)) => Outcome::Finished(Finish::Orphaned { since, until }, Some(until)),
            Ok(Removal::Undeploy) => self.undeploy(subject).await,
        }
    }

    /// Why nothing may be taken back, if so.
    pub(super) fn unreadable(&self) -> Option<Explanation> {
        let index = self.index();
        let broken = index.unreadable()?;
        Some(Explanation::new("InvalidEnvironment", format!("PactEnvironment {}: {}", broken.object, broken.problem)))
    }

    /// What to do about a key without members, from live reads of those it had.
    pub(super) async fn removal(&self, subject: &Subject<'_>) -> Result<Removal, Explanation> {
        let members = subject.remembered().map(|status| status.members.as_slice()).unwrap_or_default();
        let fates = self.fates(subject.key, members).await?;
        Ok(removal(&fates, subject.memory.orphaned_since, subject.rules.grace, subject.now))
    }

    async fn undeploy(&self, subject: &Subject<'_>) -> Outcome {
        let key = subject.key;
        let broker = match self.brokers.get(&key.environment_ref.broker) {
            Ok(broker) => broker,
            Err(why) => return Outcome::troubled(why, None),
        };
        let (environment, _, suspicious) = match self.places.look_up(key) {
            Ok(found) => found,
            Err(why) if why.reason == NOT_READ => return Outcome::Later,
            Err(why) => return Outcome::troubled(why, None),
        };
        if suspicious {
            return Outcome::troubled(anomaly(key), None);
        }
        let row = match self.read_row(&broker, &environment, key).await {
            Ok(row) => row,
            Err(error) => return self.refused(key, &error, None),
        };
        let ours = subject.memory.recorded.as_ref();
        let Some(row) = row else {
            return Outcome::Finished(Finish::Undeployed(nothing_recorded()), None);
        };
        if Some(&row.version) != ours {
            let message = format!("the broker has {}, which this operator did not record: left as it is", row.version);
            return Outcome::Finished(Finish::Undeployed(Explanation::new("RecordedByOthers", message)), None);
        }
        // A workload may have come back while the broker was asked.
        if !self.index().members(key).is_empty() {
            return Outcome::Moved;
        }
        match self.while_leading(broker.undeploy(&row.id)).await {
            None => return Outcome::Moved,
            Some(Err(error)) => return self.refused(key, &error, None),
            Some(Ok(())) => self.metrics.undeployed.inc(),
        };
        match self.read_row(&broker, &environment, key).await {
            Ok(None) => {
                let message = format!("no workload runs it any more; {} is no longer recorded", row.version);
                Outcome::Finished(Finish::Undeployed(Explanation::new("Undeployed", message)), None)
            }
            Ok(Some(_)) => Outcome::Moved,
            Err(error) => self.refused(key, &error, None),
        }
    }

    /// Does a write at a broker if the lease is ours, and only for as long as it certainly is.
    pub(super) async fn while_leading<T>(
        &self,
        write: impl Future<Output = Result<T, BrokerError>>,
    ) -> Option<Result<T, BrokerError>> {
        if !self.leadership.is_leader() {
            return None;
        }
        tokio::time::timeout(self.leadership.time_left(), write).await.ok()
    }

    async fn read_row(
        &self,
        broker: &Broker,
        environment: &EnvironmentId,
        key: &RecordKey,
    ) -> Result<Option<DeployedVersion>, BrokerError> {
        let rows = broker.currently_deployed(environment, Some(&key.pacticipant)).await?;
        let row =
            rows.into_iter().find(|row| row.pacticipant == key.pacticipant && row.application_instance == key.instance);
        self.places.saw_row(key, row.clone());
        Ok(row)
    }

    /// A call at the broker failed: says so, and has whoever can find out more look into it.
    pub(super) fn refused(&self, key: &RecordKey, error: &BrokerError, version: Option<&Version>) -> Outcome {
        self.look_into(&key.environment_ref, error);
        Outcome::Troubled {
            why: Explanation::new(error.reason(), error.to_string()),
            version: version.cloned(),
            retry_after: error.retry_after(),
        }
    }
}

/// What was written at the broker for a finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Nothing: it said so already.
    None,
    /// The version was recorded.
    First,
    /// Somebody else's write was put right.
    Correction,
}

fn recorded(version: Version, row: &DeployedVersion, write: Write) -> Outcome {
    Outcome::Finished(Finish::Recorded { version, uuid: row.id.to_string(), write }, None)
}

fn waiting(desired: &Desired, why: Explanation, look_again: Option<Timestamp>) -> Outcome {
    let finish = match desired {
        Desired::Held(_) => Finish::Held(why),
        Desired::Unfinished { version, .. } => Finish::Waiting { why, version: Some(version.clone()) },
        _ => Finish::Waiting { why, version: None },
    };
    Outcome::Finished(finish, look_again)
}

fn contested(key: &RecordKey, version: Version, found: Option<&Version>) -> Outcome {
    let found = found.map_or_else(|| "nothing".to_owned(), Version::to_string);
    let message = format!(
        "{version} runs, but somebody else made the broker say {found} again after it was put right once; stop the other \
         recorder of {key}, or give one of the two an application instance"
    );
    Outcome::Finished(Finish::Contested { version, why: Explanation::new("Contested", message) }, None)
}

pub(super) fn anomaly(key: &RecordKey) -> Explanation {
    Explanation::new(
        "BrokerAnomaly",
        format!(
            "the broker says that nothing recorded in {} is there any more; nothing is changed until it was read again: \
             was the broker reset, or may the operator's user no longer see it?",
            key.environment_ref
        ),
    )
}

pub(super) fn nothing_recorded() -> Explanation {
    Explanation::new("NothingRecorded", "no workload runs it and nothing is recorded")
}

pub(super) fn uncertain() -> Outcome {
    let why = Explanation::new(
        "MembersUncertain",
        "a workload that ran it is there, but cannot be judged: it is being deleted, its annotations cannot be read, or its \
         namespace is in no environment; the record stays as it is until that is clear",
    );
    Outcome::Finished(Finish::Held(why), None)
}

pub(super) fn kept() -> Outcome {
    let why = Explanation::new(
        "Unmanaged",
        "a workload that ran it is there, but no longer annotated, or only the template of another: it is not managed any \
         more, and the record stays as it is",
    );
    Outcome::Finished(Finish::Kept(why), None)
}
