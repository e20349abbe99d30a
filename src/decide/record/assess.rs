//! The ladder: from what is known of a record to what is due.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::{
    desired::{Desired, desired, desired_releases},
    explanations as say,
    facts::{Done, Facts, Failure, Live, Row, Snapshot, Suspicion},
    plan::{Removal, Step, plan, removal},
    releases::assess_releases,
    state::{RecordState, Write},
};
use crate::{
    api::{condition::is_true, environment::RecordKind, names::Version},
    decide::reason::Explanation,
    workload::EnvironmentRules,
};

/// What is due.
#[derive(Clone, Debug)]
pub enum Assessment {
    /// This has to be done first; then everything is assessed anew.
    Act(Action),
    /// Nothing more is to be done now.
    Done {
        /// What was found.
        state: RecordState,
        /// When to look again though nothing changes.
        look_again: Option<Timestamp>,
    },
    /// Something should be done and could not be: it is tried again, each time later.
    Retry {
        /// Why it could not be.
        why: Explanation,
        /// What should be recorded, if anything.
        version: Option<Version>,
        /// How long the broker asked us to wait at least.
        at_least: Option<Duration>,
    },
    /// The world moved while we looked, or the lease is no longer ours: nothing is known, look again.
    Moved,
    /// Nothing runs it and nothing of ours is recorded: what was said last still holds.
    Unchanged,
    /// What the broker says has not been read for the first time; the key is looked at again once it was.
    NotRead,
}

/// What has to be done before more can be said.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Find out by live reads what became of the members that are remembered.
    FindFates,
    /// Read the members from the API server, and the key's rows from the broker: what was watched may be old.
    ReadLive,
    /// Write at the broker, and read back what it says then.
    Write(BrokerWrite),
}

/// A write at a broker.
#[derive(Clone, Debug, PartialEq)]
pub enum BrokerWrite {
    /// Record the version as deployed.
    Record {
        /// The version.
        version: Version,
        /// Whether this puts right somebody else's write.
        correction: bool,
    },
    /// Undeploy this row.
    Undeploy(Row),
    /// Record these versions as released and end the support of these rows.
    Release {
        /// The versions to release.
        release: Vec<Version>,
        /// The releases whose support ends.
        end: Vec<Row>,
    },
}

/// What is due for a record.
#[must_use]
pub fn assess(facts: &Facts<'_>, now: Timestamp) -> Assessment {
    let rules = match &facts.rules {
        Ok(rules) => rules,
        Err(why) => return done(RecordState::Held(why.clone())),
    };
    match (&facts.done, rules.kind) {
        (Some(Done::LeaseLost), _) => Assessment::Moved,
        (Some(Done::Refused(failure)), kind) => failed(failure, due(facts, kind).as_ref()),
        (_, RecordKind::Deployment) => deployment(facts, rules, now),
        (_, RecordKind::Release) => assess_releases(facts, rules, now),
    }
}

fn deployment(facts: &Facts<'_>, rules: &EnvironmentRules, now: Timestamp) -> Assessment {
    let desired = desired(&facts.members);
    let Desired::Runs(version) = &desired else {
        return match plan(&desired, &facts.memory(), None) {
            Step::Wait { why, look_again } => {
                still_recorded(facts, &desired).unwrap_or_else(|| waiting(&desired, why, look_again))
            }
            Step::Orphaned => orphaned(facts, rules, now),
            // `plan` answers the other steps only for a version that runs.
            _ if facts.remembered.is_some_and(|status| !status.members.is_empty()) => {
                done(RecordState::Undeployed(say::nothing_recorded()))
            }
            _ => Assessment::Unchanged,
        };
    };
    let (row, suspicion) = match &facts.snapshot {
        Snapshot::NotRead => return Assessment::NotRead,
        Snapshot::Missing(why) => return retry(why.clone(), Some(version)),
        Snapshot::Unavailable(why) => {
            return unasked(facts, version).unwrap_or_else(|| retry(why.clone(), Some(version)));
        }
        Snapshot::Read { row, suspicion, .. } => (row, *suspicion),
    };
    if facts.live.is_none()
        && let Some(row) = row
        && row.version == *version
    {
        return recorded(row, Write::None);
    }
    if let Some(why) = &facts.broker {
        return retry(why.clone(), Some(version));
    }
    match &facts.live {
        None => Assessment::Act(Action::ReadLive),
        Some(Err(failure)) => failed(failure, Some(version)),
        Some(Ok(live)) => match &facts.done {
            Some(Done::Recorded { version, correction }) => read_back(live, version, *correction),
            _ => write(facts, live, version, suspicion),
        },
    }
}

/// The write that is due for a version that runs, now that everything was read anew.
fn write(facts: &Facts<'_>, live: &Live, version: &Version, suspicion: Suspicion) -> Assessment {
    let desired = desired(&live.members);
    if desired != Desired::Runs(version.clone()) {
        return Assessment::Moved;
    }
    // Nobody contests a broker that was reset: it is told again, as often as that happens.
    let reset = suspicion == Suspicion::Again;
    let mut memory = facts.memory();
    if reset {
        memory.corrected = None;
    }
    match plan(&desired, &memory, live.row.as_ref().map(|row| &row.version)) {
        Step::Settled(_) => live.row.as_ref().map_or(Assessment::Moved, |row| recorded(row, Write::None)),
        Step::Contested { version, found } => {
            let why = say::contested(facts.key, &version, found.as_ref());
            done(RecordState::Contested { version, why })
        }
        Step::Record { version, correction } => {
            let correction = correction && !reset;
            if correction && suspicion == Suspicion::Once {
                return retry(say::anomaly(facts.key), Some(&version));
            }
            Assessment::Act(Action::Write(BrokerWrite::Record { version, correction }))
        }
        Step::Wait { .. } | Step::Orphaned | Step::Forgotten => Assessment::Moved,
    }
}

/// Whether the broker says what was just written.
fn read_back(live: &Live, version: &Version, correction: bool) -> Assessment {
    match &live.row {
        Some(row) if row.version == *version => {
            recorded(row, if correction { Write::Correction } else { Write::First })
        }
        row => retry(say::not_kept(version, row.as_ref()), Some(version)),
    }
}

/// Nobody runs it any more: waits for the grace, makes sure, and takes back what is ours.
fn orphaned(facts: &Facts<'_>, rules: &EnvironmentRules, now: Timestamp) -> Assessment {
    if let Some(assessment) = kept_or_waiting(facts, rules, now) {
        return assessment;
    }
    if let Some(why) = &facts.broker {
        return retry(why.clone(), None);
    }
    match &facts.snapshot {
        Snapshot::NotRead => return Assessment::NotRead,
        Snapshot::Missing(why) | Snapshot::Unavailable(why) => return retry(why.clone(), None),
        Snapshot::Read { suspicion: Suspicion::Once | Suspicion::Again, .. } => {
            return retry(say::anomaly(facts.key), None);
        }
        Snapshot::Read { suspicion: Suspicion::None, .. } => {}
    }
    let live = match &facts.live {
        None => return Assessment::Act(Action::ReadLive),
        Some(Err(failure)) => return failed(failure, None),
        Some(Ok(live)) => live,
    };
    match (&facts.done, &live.row) {
        (Some(Done::Undeployed { version }), None) => done(RecordState::Undeployed(say::undeployed(version))),
        (Some(Done::Undeployed { .. }), Some(_)) => Assessment::Moved,
        (_, None) => done(RecordState::Undeployed(say::nothing_recorded())),
        (_, Some(row)) if Some(&row.version) != facts.memory().recorded.as_ref() => {
            done(RecordState::Undeployed(say::recorded_by_others(row)))
        }
        // A workload may have come back while the broker was asked.
        (_, Some(_)) if !live.members.is_empty() => Assessment::Moved,
        (_, Some(row)) => Assessment::Act(Action::Write(BrokerWrite::Undeploy(row.clone()))),
    }
}

/// Why nothing is taken back of a record that no workload runs any more, or not yet. `None` when it is due.
pub(super) fn kept_or_waiting(facts: &Facts<'_>, rules: &EnvironmentRules, now: Timestamp) -> Option<Assessment> {
    if let Some(why) = &facts.unreadable {
        return Some(done(RecordState::Held(why.clone())));
    }
    let since = facts.memory().orphaned_since;
    let fates = match &facts.fates {
        None => return Some(Assessment::Act(Action::FindFates)),
        Some(Err(why)) => return Some(retry(why.clone(), None)),
        Some(Ok(fates)) => fates,
    };
    match removal(fates, since, rules.grace, now) {
        Removal::Unknown => Some(done(RecordState::Held(say::uncertain()))),
        Removal::Keep => Some(done(RecordState::Kept(say::unmanaged()))),
        Removal::Grace(until) => {
            let state = RecordState::Orphaned { since: since.unwrap_or(now), until };
            Some(Assessment::Done { state, look_again: Some(until) })
        }
        Removal::Undeploy => None,
    }
}

/// A rollout to the version that is recorded, such as a restart, or pods that fail (cases 2 and 30), changes nothing
/// about the record.
fn still_recorded(facts: &Facts<'_>, desired: &Desired) -> Option<Assessment> {
    let Desired::Unfinished { version, .. } = desired else { return None };
    facts.remembered.filter(|status| is_true(&status.conditions, "Recorded"))?;
    unasked(facts, version)
}

/// What holds while the broker cannot be asked: what was recorded last is recorded still, if it is what runs.
fn unasked(facts: &Facts<'_>, version: &Version) -> Option<Assessment> {
    let recorded = facts.remembered?.recorded.as_ref().filter(|it| it.version == version.as_str())?;
    let uuid = recorded.uuid.clone().unwrap_or_default();
    Some(done(RecordState::Recorded { version: version.clone(), uuid, write: Write::None }))
}

/// What should be recorded, for a status that says that it could not be.
fn due(facts: &Facts<'_>, kind: RecordKind) -> Option<Version> {
    match (kind, desired(&facts.members)) {
        (RecordKind::Deployment, Desired::Runs(version)) => Some(version),
        (RecordKind::Deployment, _) => None,
        (RecordKind::Release, _) => desired_releases(&facts.members).supported.pop_last(),
    }
}

fn waiting(desired: &Desired, why: Explanation, look_again: Option<Timestamp>) -> Assessment {
    let state = match desired {
        Desired::Held(_) => RecordState::Held(why),
        Desired::Unfinished { version, .. } => RecordState::Waiting { why, version: Some(version.clone()) },
        _ => RecordState::Waiting { why, version: None },
    };
    Assessment::Done { state, look_again }
}

fn recorded(row: &Row, write: Write) -> Assessment {
    done(RecordState::Recorded { version: row.version.clone(), uuid: row.uuid.clone(), write })
}

pub(super) fn done(state: RecordState) -> Assessment {
    Assessment::Done { state, look_again: None }
}

pub(super) fn retry(why: Explanation, version: Option<&Version>) -> Assessment {
    Assessment::Retry { why, version: version.cloned(), at_least: None }
}

pub(super) fn failed(failure: &Failure, version: Option<&Version>) -> Assessment {
    Assessment::Retry { why: failure.why.clone(), version: version.cloned(), at_least: failure.retry_after }
}

#[cfg(test)]
#[path = "assess_tests.rs"]
mod tests;
