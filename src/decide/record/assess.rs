//! The decision: from the facts about a record to the next step.

use std::{collections::BTreeSet, time::Duration};

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use super::{
    desired::{Desired, desired, desired_releases},
    explanations,
    facts::{Done, Facts, Failure, Live, Row, Snapshot, Suspicion},
    ownership::{RowOf, row_of},
    plan::{Removal, Step, plan, removal},
    releases::assess_releases,
    state::{RecordState, Write},
};
use crate::{
    api::{condition::is_true, environment::RecordKind, names::Version},
    decide::{other_line, reason::Explanation},
    workload::EnvironmentRules,
};

/// How soon pods that are left, or a record elsewhere, are looked for again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(10);

/// The next step.
#[derive(Clone, Debug)]
pub enum Assessment {
    /// This action comes first; then everything is assessed again.
    Act(Action),
    /// Nothing more has to be done now.
    Done {
        /// What the pass found.
        state: RecordState,
        /// When to assess again although nothing changes.
        look_again: Option<Timestamp>,
    },
    /// A write is due and was not possible: it is retried, each time after a longer delay.
    Retry {
        /// Why it was not possible.
        why: Explanation,
        /// The version to record, if any.
        version: Option<Version>,
        /// How long the broker asked to wait at least.
        at_least: Option<Duration>,
    },
    /// The state changed during the pass, or the lease is lost: nothing is certain, assess again.
    Moved,
    /// No workload runs the pacticipant and nothing of ours is recorded: the last status still holds.
    Unchanged,
    /// The environment at the broker has not been read yet; the key is assessed again once it was.
    NotRead,
}

/// What has to be done before the pass can end.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Determine by live reads what became of the members in the status.
    FindFates,
    /// Read the members from the API server, and the key's rows from the broker: the watched state may be stale.
    ReadLive,
    /// Write at the broker, and read back the result.
    Write(BrokerWrite),
}

/// A write at a broker.
#[derive(Clone, Debug, PartialEq)]
pub enum BrokerWrite {
    /// Record the version as deployed.
    Record {
        /// The version.
        version: Version,
        /// Whether this corrects another client's write.
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

/// The next step for a record.
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
    let desired = with_hint(desired(&facts.members, facts.last_record().recorded.as_ref()), facts);
    let Desired::Runs(version) = &desired else {
        return match plan(&desired, &facts.last_record(), None) {
            Step::Wait { why, look_again } => {
                still_recorded(facts, &desired).unwrap_or_else(|| waiting(&desired, why, look_again))
            }
            Step::Orphaned => orphaned(facts, rules, now),
            // `plan` answers the other steps only for a version that runs.
            _ if facts.status.is_some_and(|status| !status.members.is_empty()) => {
                done(RecordState::Undeployed(explanations::nothing_recorded()))
            }
            _ => Assessment::Unchanged,
        };
    };
    let suspicion = match &facts.snapshot {
        Snapshot::NotRead => return Assessment::NotRead,
        Snapshot::Read { row: Some(row), .. } if facts.live.is_none() && row.version == *version => {
            return recorded(row, Write::None);
        }
        // Also while the broker is away: what it says when it is back is most likely the same.
        _ if let Some(why) = facts.still_refused(&BTreeSet::from([version.clone()])) => {
            return retry(why.clone(), Some(version));
        }
        Snapshot::Missing(why) => return retry(why.clone(), Some(version)),
        Snapshot::Unavailable(why) => {
            return unasked(facts, version).unwrap_or_else(|| retry(why.clone(), Some(version)));
        }
        Snapshot::Read { suspicion, .. } => *suspicion,
    };
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

/// What is desired; of members that differ, also that some of them obviously have their name by mistake.
fn with_hint(desired: Desired, facts: &Facts<'_>) -> Desired {
    let Desired::Mixed(why) = desired else { return desired };
    let recorded = facts.status.map(|status| status.recorded_images.as_slice()).unwrap_or_default();
    let hint = other_line::of_members(&facts.members, recorded).map(|hint| format!(". {hint}")).unwrap_or_default();
    Desired::Mixed(Explanation::new(why.reason, format!("{}{hint}", why.message)))
}

/// The write that is due for a version that runs, after everything was read live.
fn write(facts: &Facts<'_>, live: &Live, version: &Version, suspicion: Suspicion) -> Assessment {
    let desired = desired(&live.members, facts.last_record().recorded.as_ref());
    if desired != Desired::Runs(version.clone()) {
        return Assessment::Moved;
    }
    // A broker that was reset is not contested: the version is recorded again after every reset.
    let reset = suspicion == Suspicion::Again;
    let mut last = facts.last_record();
    if reset {
        last.corrected = None;
    }
    match plan(&desired, &last, live.row.as_ref().map(|row| &row.version)) {
        Step::Settled(_) => live.row.as_ref().map_or(Assessment::Moved, |row| recorded(row, Write::None)),
        Step::Contested { version, found } => {
            let why = explanations::contested(facts.key, &version, found.as_ref());
            done(RecordState::Contested { version, why })
        }
        Step::Record { version, correction } => {
            let correction = correction && !reset;
            if correction && suspicion == Suspicion::Once {
                return retry(explanations::anomaly(facts.key), Some(&version));
            }
            Assessment::Act(Action::Write(BrokerWrite::Record { version, correction }))
        }
        Step::Wait { .. } | Step::Orphaned | Step::Nothing => Assessment::Moved,
    }
}

/// Whether the broker reports the version that was just written.
fn read_back(live: &Live, version: &Version, correction: bool) -> Assessment {
    match &live.row {
        Some(row) if row.version == *version => {
            recorded(row, if correction { Write::Correction } else { Write::First })
        }
        row => retry(explanations::not_kept(version, row.as_ref()), Some(version)),
    }
}

/// No workload runs the pacticipant any more: waits for the grace, reads live, and takes back our record.
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
            return retry(explanations::anomaly(facts.key), None);
        }
        Snapshot::Read { suspicion: Suspicion::None, .. } => {}
    }
    let live = match &facts.live {
        None => return Assessment::Act(Action::ReadLive),
        Some(Err(failure)) => return failed(failure, None),
        Some(Ok(live)) => live,
    };
    match (&facts.done, &live.row) {
        (Some(Done::Undeployed { version }), None) => done(RecordState::Undeployed(explanations::undeployed(version))),
        (Some(Done::Undeployed { .. }), Some(_)) => Assessment::Moved,
        (_, None) => done(RecordState::Undeployed(explanations::nothing_recorded())),
        (_, Some(row)) => match row_of(&facts.last_record(), row, rules.removal.adopts) {
            RowOf::Others => done(RecordState::Undeployed(explanations::recorded_by_others(row))),
            RowOf::Before => done(RecordState::Undeployed(explanations::was_there_before(row))),
            // A workload may have returned while the broker was asked.
            RowOf::Operator if !live.members.is_empty() => Assessment::Moved,
            RowOf::Operator => Assessment::Act(Action::Write(BrokerWrite::Undeploy(row.clone()))),
        },
    }
}

/// Why the record of a pacticipant that no workload runs any more is kept, or not taken back yet. `None` when it is
/// due.
pub(super) fn kept_or_waiting(facts: &Facts<'_>, rules: &EnvironmentRules, now: Timestamp) -> Option<Assessment> {
    if let Some(why) = &facts.unreadable {
        return Some(done(RecordState::Held(why.clone())));
    }
    let since = facts.last_record().orphaned_since;
    let fates = match &facts.fates {
        None => return Some(Assessment::Act(Action::FindFates)),
        Some(Err(why)) => return Some(retry(why.clone(), None)),
        Some(Ok(fates)) => fates,
    };
    let still_held = |why| {
        let state = RecordState::UndeployHeld { since: since.unwrap_or(now), why };
        Some(Assessment::Done { state, look_again: now.checked_add(LOOK_AGAIN).ok() })
    };
    match removal(fates, since, rules.removal.grace, now) {
        // What became of those that the status does not show, nobody knows.
        _ if facts.status.is_some_and(|status| status.more_members.is_some()) => {
            Some(done(RecordState::Held(explanations::uncertain())))
        }
        Removal::Unknown => Some(done(RecordState::Held(explanations::uncertain()))),
        Removal::Keep => Some(done(RecordState::Kept(explanations::unmanaged()))),
        _ if !rules.removal.undeploys => Some(done(RecordState::Kept(explanations::never_undeployed()))),
        Removal::Grace(until) => {
            let state = RecordState::Orphaned { since: since.unwrap_or(now), until };
            Some(Assessment::Done { state, look_again: Some(until) })
        }
        Removal::Serving => still_held(explanations::serving()),
        Removal::Moved => still_held(explanations::moved()),
        Removal::Undeploy if facts.vanished.holds(since.unwrap_or(now)) => {
            let why = explanations::too_many(&facts.vanished, &rules.object);
            Some(done(RecordState::UndeployHeld { since: since.unwrap_or(now), why }))
        }
        Removal::Undeploy => None,
    }
}

/// A rollout to the recorded version (a restart, or failing pods: cases 2 and 30) does not change the record.
fn still_recorded(facts: &Facts<'_>, desired: &Desired) -> Option<Assessment> {
    let Desired::Unfinished { version, .. } = desired else { return None };
    facts.status.filter(|status| is_true(&status.conditions, "Recorded"))?;
    unasked(facts, version)
}

/// The state while the broker cannot be asked: the last recorded version still counts as recorded, if it runs.
fn unasked(facts: &Facts<'_>, version: &Version) -> Option<Assessment> {
    let recorded = facts.status?.recorded.as_ref().filter(|it| it.version == version.as_str())?;
    let uuid = recorded.uuid.clone().unwrap_or_default();
    Some(done(RecordState::Recorded { version: version.clone(), uuid, write: Write::None }))
}

/// The version to record, for the status of a failed write.
fn due(facts: &Facts<'_>, kind: RecordKind) -> Option<Version> {
    match (kind, desired(&facts.members, facts.last_record().recorded.as_ref())) {
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
#[path = "refused_tests.rs"]
mod refused_tests;
#[cfg(test)]
#[path = "releases_tests.rs"]
mod releases_tests;
#[cfg(test)]
#[path = "removal_tests.rs"]
mod removal_tests;
#[cfg(test)]
#[path = "assess_tests.rs"]
mod tests;
