//! The decision for a key whose versions are released, not deployed: several may be supported at once.

use std::collections::BTreeSet;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    assess::{Action, Assessment, BrokerWrite, done, failed, kept_or_waiting, retry},
    desired::{DesiredReleases, desired_releases, held, standing},
    explanations,
    facts::{Done, Facts, Live, ReleasedRow, Snapshot, Suspicion, in_doubt},
    ownership::released_by_operator,
    state::RecordState,
};
use crate::{
    api::{deployment::Recorded, names::Version},
    workload::EnvironmentRules,
};

/// The next step for a record of releases.
pub(super) fn assess_releases(facts: &Facts<'_>, rules: &EnvironmentRules, now: Timestamp) -> Assessment {
    let ours = released_by_operator(facts.status, rules.removal.adopts);
    let wanted = match wanted(facts, &ours, rules, now) {
        Ok(wanted) => wanted,
        Err(assessment) => return assessment,
    };
    let newest = wanted.supported.last();
    let (at_broker, suspicion) = match &facts.snapshot {
        Snapshot::NotRead => return Assessment::NotRead,
        Snapshot::Unavailable(_) if !facts.members.is_empty() && wanted.supported == ours => {
            // While the broker cannot be asked, the last released versions still count as supported.
            let supported = facts.status.map(|status| status.supported.clone()).unwrap_or_default();
            return released(facts, supported);
        }
        Snapshot::Missing(why) | Snapshot::Unavailable(why) => return retry(why.clone(), newest),
        Snapshot::Read { releases, suspicion, .. } => (releases, *suspicion),
    };
    let believed = suspicion == Suspicion::None;
    if !believed && facts.members.is_empty() {
        return retry(explanations::anomaly(facts.key), None);
    }
    if facts.live.is_none() && plan_releases(&wanted, &ours, &versions(at_broker)).is_empty() {
        return finished(facts, &wanted, at_broker, now);
    }
    if let Some(why) = facts.still_refused(&wanted.supported) {
        return retry(why.clone(), newest);
    }
    if suspicion == Suspicion::Once {
        return retry(explanations::anomaly(facts.key), newest);
    }
    if let Some(why) = &facts.broker {
        return retry(why.clone(), newest);
    }
    match &facts.live {
        None => Assessment::Act(Action::ReadLive),
        Some(Err(failure)) => failed(failure, newest),
        Some(Ok(live)) if matches!(facts.done, Some(Done::Released { .. })) => {
            finished(facts, &wanted, &live.releases, now)
        }
        Some(Ok(live)) => write(facts, live, &wanted, &ours, now),
    }
}

/// What should be supported; or the result without asking the broker.
fn wanted(
    facts: &Facts<'_>,
    ours: &BTreeSet<Version>,
    rules: &EnvironmentRules,
    now: Timestamp,
) -> Result<DesiredReleases, Assessment> {
    if !facts.members.is_empty() {
        return match held(&facts.members) {
            Some(why) => Err(done(RecordState::Held(why))),
            None => Ok(desired_releases(&facts.members)),
        };
    }
    if ours.is_empty() {
        let stale = facts.status.is_some_and(|status| !status.members.is_empty());
        let nothing = done(RecordState::Undeployed(explanations::nothing_recorded()));
        return Err(if stale { nothing } else { Assessment::Unchanged });
    }
    match kept_or_waiting(facts, rules, now) {
        Some(assessment) => Err(assessment),
        None => Ok(DesiredReleases { supported: BTreeSet::new(), others_end: true }),
    }
}

/// The writes that are due, after everything was read live.
fn write(
    facts: &Facts<'_>,
    live: &Live,
    wanted: &DesiredReleases,
    ours: &BTreeSet<Version>,
    now: Timestamp,
) -> Assessment {
    let unchanged =
        if facts.members.is_empty() { live.members.is_empty() } else { desired_releases(&live.members) == *wanted };
    if !unchanged {
        return Assessment::Moved;
    }
    let plan = plan_releases(wanted, ours, &versions(&live.releases));
    if plan.is_empty() {
        return finished(facts, wanted, &live.releases, now);
    }
    let end = live.releases.iter().filter(|release| plan.end.contains(&release.version)).cloned().collect();
    Assessment::Act(Action::Write(BrokerWrite::Release { release: plan.release.into_iter().collect(), end }))
}

/// What to do about releases: which versions to record as released, and for which to end the support.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReleasePlan {
    /// Versions that run and are not supported yet.
    pub release: BTreeSet<Version>,
    /// Versions that we released, that are still supported and that no workload runs any more.
    pub end: BTreeSet<Version>,
}

/// The releases to record and to end. Support is ended only for versions that we released ourselves.
#[must_use]
pub(super) fn plan_releases(
    desired: &DesiredReleases,
    ours: &BTreeSet<Version>,
    supported_at_broker: &BTreeSet<Version>,
) -> ReleasePlan {
    ReleasePlan {
        release: desired.supported.difference(supported_at_broker).cloned().collect(),
        end: if desired.others_end {
            ours.iter()
                .filter(|version| !desired.supported.contains(version) && supported_at_broker.contains(version))
                .cloned()
                .collect()
        } else {
            BTreeSet::new()
        },
    }
}

impl ReleasePlan {
    fn is_empty(&self) -> bool {
        self.release.is_empty() && self.end.is_empty()
    }
}

fn versions(releases: &[ReleasedRow]) -> BTreeSet<Version> {
    releases.iter().map(|release| release.version.clone()).collect()
}

/// The result once the broker supports what it should: the supported ones of the versions that run or may still run.
fn finished(facts: &Facts<'_>, wanted: &DesiredReleases, at_broker: &[ReleasedRow], now: Timestamp) -> Assessment {
    if facts.members.is_empty() {
        return done(RecordState::Undeployed(explanations::all_ended()));
    }
    let just_released = |version: &str| match &facts.done {
        Some(Done::Released { versions }) => versions.iter().any(|released| released.as_str() == version),
        _ => false,
    };
    let before = facts.status.map(|status| status.supported.as_slice()).unwrap_or_default();
    let mut supported: Vec<Recorded> = before
        .iter()
        .filter(|recorded| {
            let still_wanted = wanted.supported.iter().any(|version| version.as_str() == recorded.version);
            let still_there = at_broker.iter().any(|release| release.version.as_str() == recorded.version);
            still_there && (still_wanted || !wanted.others_end)
        })
        .map(|recorded| Recorded { found: recorded.found && !just_released(&recorded.version), ..recorded.clone() })
        .collect();
    // The last answer about the environment may be older than a release of another client: only what this pass or an
    // earlier one wrote is ours.
    let in_doubt = |version: &str| facts.status.is_some_and(|status| in_doubt(status).any(|it| it == version));
    for release in at_broker.iter().filter(|release| wanted.supported.contains(&release.version)) {
        if !supported.iter().any(|recorded| recorded.version == release.version.as_str()) {
            let uuid = Some(release.uuid.clone());
            let version = release.version.as_str().to_owned();
            let found = !just_released(&version) && !in_doubt(&version);
            supported.insert(0, Recorded { version, uuid, at: Time(now), found, would_deny: None });
        }
    }
    released(facts, supported)
}

fn released(facts: &Facts<'_>, supported: Vec<Recorded>) -> Assessment {
    let (waiting, look_again) = standing(&facts.members);
    Assessment::Done { state: RecordState::Released { supported, waiting }, look_again }
}
