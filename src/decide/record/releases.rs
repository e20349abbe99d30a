//! The ladder for a key whose versions are released, not deployed: several may be supported at once.

use std::collections::BTreeSet;

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    assess::{Action, Assessment, BrokerWrite, done, failed, kept_or_waiting, retry},
    desired::{DesiredReleases, desired_releases, held, standing},
    explanations as say,
    facts::{Done, Facts, Live, ReleasedRow, Snapshot, Suspicion},
    state::RecordState,
};
use crate::{
    api::{deployment::Recorded, names::Version},
    workload::EnvironmentRules,
};

/// What is due for a record of releases.
pub(super) fn assess_releases(facts: &Facts<'_>, rules: &EnvironmentRules, now: Timestamp) -> Assessment {
    let ours = ours(facts);
    let wanted = match wanted(facts, &ours, rules, now) {
        Ok(wanted) => wanted,
        Err(assessment) => return assessment,
    };
    let newest = wanted.supported.last();
    let (seen, suspicion) = match &facts.snapshot {
        Snapshot::NotRead => return Assessment::NotRead,
        Snapshot::Unavailable(_) if !facts.members.is_empty() && wanted.supported == ours => {
            // While the broker cannot be asked, what was released last is supported still.
            let supported = facts.remembered.map(|status| status.supported.clone()).unwrap_or_default();
            return released(facts, supported);
        }
        Snapshot::Missing(why) | Snapshot::Unavailable(why) => return retry(why.clone(), newest),
        Snapshot::Read { releases, suspicion, .. } => (releases, *suspicion),
    };
    let believed = suspicion == Suspicion::None;
    if !believed && facts.members.is_empty() {
        return retry(say::anomaly(facts.key), None);
    }
    if facts.live.is_none() && plan_releases(&wanted, &ours, &versions(seen)).is_empty() {
        return finished(facts, &wanted, seen, now);
    }
    if suspicion == Suspicion::Once {
        return retry(say::anomaly(facts.key), newest);
    }
    if let Some(why) = &facts.broker {
        return retry(why.clone(), newest);
    }
    match &facts.live {
        None => Assessment::Act(Action::ReadLive),
        Some(Err(failure)) => failed(failure, newest),
        Some(Ok(live)) if matches!(facts.done, Some(Done::Released)) => finished(facts, &wanted, &live.releases, now),
        Some(Ok(live)) => write(facts, live, &wanted, &ours, now),
    }
}

/// What should be supported; or what is found without asking the broker.
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
        let stale = facts.remembered.is_some_and(|status| !status.members.is_empty());
        let nothing = done(RecordState::Undeployed(say::nothing_recorded()));
        return Err(if stale { nothing } else { Assessment::Unchanged });
    }
    match kept_or_waiting(facts, rules, now) {
        Some(assessment) => Err(assessment),
        None => Ok(DesiredReleases { supported: BTreeSet::new(), others_end: true }),
    }
}

/// The writes that are due, now that everything was read anew.
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

/// What to do about releases: which versions to record as released, and of which to end the support.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ReleasePlan {
    /// Versions that run and are not supported yet.
    pub release: BTreeSet<Version>,
    /// Versions that we released, that are still supported and that nothing runs any more.
    pub end: BTreeSet<Version>,
}

/// The releases to record and to end. Support is only ended for what we released ourselves.
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

/// The versions that we released and that still count as supported by us.
fn ours(facts: &Facts<'_>) -> BTreeSet<Version> {
    let supported = facts.remembered.map(|status| &status.supported);
    supported.into_iter().flatten().filter_map(|recorded| Version::parse(&recorded.version).ok()).collect()
}

fn versions(releases: &[ReleasedRow]) -> BTreeSet<Version> {
    releases.iter().map(|release| release.version.clone()).collect()
}

/// What is remembered after the broker supports what it should: of the versions that run or may still run, those that
/// it supports.
fn finished(facts: &Facts<'_>, wanted: &DesiredReleases, seen: &[ReleasedRow], now: Timestamp) -> Assessment {
    if facts.members.is_empty() {
        return done(RecordState::Undeployed(say::all_ended()));
    }
    let before = facts.remembered.map(|status| status.supported.as_slice()).unwrap_or_default();
    let mut supported: Vec<Recorded> = before
        .iter()
        .filter(|recorded| {
            let still_wanted = wanted.supported.iter().any(|version| version.as_str() == recorded.version);
            let still_there = seen.iter().any(|release| release.version.as_str() == recorded.version);
            still_there && (still_wanted || !wanted.others_end)
        })
        .cloned()
        .collect();
    for release in seen.iter().filter(|release| wanted.supported.contains(&release.version)) {
        if !supported.iter().any(|recorded| recorded.version == release.version.as_str()) {
            let uuid = Some(release.uuid.clone());
            supported.insert(0, Recorded { version: release.version.as_str().to_owned(), uuid, at: Time(now) });
        }
    }
    released(facts, supported)
}

fn released(facts: &Facts<'_>, supported: Vec<Recorded>) -> Assessment {
    let (waiting, look_again) = standing(&facts.members);
    Assessment::Done { state: RecordState::Released { supported, waiting }, look_again }
}
