//! One pass over a record key whose versions are released, not deployed: several may be supported at once.

use std::collections::BTreeSet;

use futures::future::join;
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    Recorder,
    desired::{DesiredReleases, desired_releases, held, standing},
    places::{ENVIRONMENT_MISSING, NOT_READ},
    plan::{Removal, plan_releases},
    record::{Outcome, Subject, anomaly, kept, nothing_recorded, uncertain},
    status::Finish,
};
use crate::{
    api::{condition::Explanation, deployment::Recorded, names::Version},
    broker::{Broker, BrokerError, EnvironmentId, ReleasedVersion},
    workload::RecordKey,
};

impl Recorder {
    pub(super) async fn releases(&self, subject: &Subject<'_>) -> Outcome {
        let ours = ours(subject);
        let wanted = if subject.members.is_empty() {
            if ours.is_empty() {
                let stale = subject.remembered().is_some_and(|status| !status.members.is_empty());
                let finish = Finish::Undeployed(nothing_recorded());
                return if stale { Outcome::Finished(finish, None) } else { Outcome::Unchanged };
            }
            if let Some(why) = self.unreadable() {
                return Outcome::Finished(Finish::Held(why), None);
            }
            match self.removal(subject).await {
                Err(why) => return Outcome::troubled(why, None),
                Ok(Removal::Unknown) => return uncertain(),
                Ok(Removal::Keep) => return kept(),
                Ok(Removal::Grace(until)) => {
                    let since = subject.memory.orphaned_since.unwrap_or(subject.now);
                    return Outcome::Finished(Finish::Orphaned { since, until }, Some(until));
                }
                Ok(Removal::Undeploy) => DesiredReleases { supported: BTreeSet::new(), others_end: true },
            }
        } else {
            if let Some(why) = held(subject.members) {
                return Outcome::Finished(Finish::Held(why), None);
            }
            desired_releases(subject.members)
        };
        let newest = wanted.supported.last().cloned();
        let (environment, seen, suspicious) = match self.places.look_up_releases(subject.key) {
            Ok(found) => found,
            Err(why) if why.reason == NOT_READ => return Outcome::Later,
            Err(why)
                if why.reason != ENVIRONMENT_MISSING && !subject.members.is_empty() && wanted.supported == ours =>
            {
                // While the broker cannot be asked, what was released last is supported still.
                let supported = subject.remembered().map(|status| status.supported.clone()).unwrap_or_default();
                let (waiting, look_again) = standing(subject.members);
                return Outcome::Finished(Finish::Released { supported, waiting }, look_again);
            }
            Err(why) => return Outcome::troubled(why, newest.as_ref()),
        };
        let plan = plan_releases(&wanted, &ours, &versions(&seen));
        if suspicious && subject.members.is_empty() {
            return Outcome::troubled(anomaly(subject.key), None);
        }
        if plan.release.is_empty() && plan.end.is_empty() {
            return finished(subject, &wanted, &seen);
        }
        if suspicious && !self.seems_reset(&subject.key.environment_ref) {
            return Outcome::troubled(anomaly(subject.key), newest.as_ref());
        }
        match self.brokers.get(&subject.key.environment_ref.broker) {
            Err(why) => Outcome::troubled(why, newest.as_ref()),
            Ok(broker) => match self.write_releases(subject, &broker, &environment, &wanted, &ours).await {
                Ok(outcome) => outcome,
                Err(error) => self.refused(subject.key, &error, newest.as_ref()),
            },
        }
    }

    async fn write_releases(
        &self,
        subject: &Subject<'_>,
        broker: &Broker,
        environment: &EnvironmentId,
        wanted: &DesiredReleases,
        ours: &BTreeSet<Version>,
    ) -> Result<Outcome, BrokerError> {
        let key = subject.key;
        let (seen, live) =
            join(self.read_releases(broker, environment, key), self.live_members(key, subject.members)).await;
        let seen = seen?;
        let live = match live {
            Ok(live) => live,
            Err(why) => return Ok(Outcome::troubled(why, None)),
        };
        let unchanged = if subject.members.is_empty() {
            self.index().members(key).is_empty()
        } else {
            desired_releases(&live) == *wanted
        };
        if !unchanged {
            return Ok(Outcome::Moved);
        }
        let plan = plan_releases(wanted, ours, &versions(&seen));
        for version in &plan.release {
            match self.while_leading(broker.record_release(&key.pacticipant, version, environment)).await {
                None => return Ok(Outcome::Moved),
                Some(written) => {
                    written?;
                    self.metrics.recorded.inc();
                }
            }
        }
        for release in seen.iter().filter(|release| plan.end.contains(&release.version)) {
            match self.while_leading(broker.end_support(&release.id)).await {
                None => return Ok(Outcome::Moved),
                Some(written) => {
                    written?;
                    self.metrics.undeployed.inc();
                }
            }
        }
        let seen = self.read_releases(broker, environment, key).await?;
        Ok(finished(subject, wanted, &seen))
    }

    async fn read_releases(
        &self,
        broker: &Broker,
        environment: &EnvironmentId,
        key: &RecordKey,
    ) -> Result<Vec<ReleasedVersion>, BrokerError> {
        let mut releases = broker.currently_supported(environment, Some(&key.pacticipant)).await?;
        releases.retain(|release| release.pacticipant == key.pacticipant);
        self.places.saw_releases(key, releases.clone());
        Ok(releases)
    }
}

/// The versions that we released and that still count as supported by us.
fn ours(subject: &Subject<'_>) -> BTreeSet<Version> {
    let supported = subject.remembered().map(|status| &status.supported);
    supported.into_iter().flatten().filter_map(|recorded| Version::parse(&recorded.version).ok()).collect()
}

fn versions(releases: &[ReleasedVersion]) -> BTreeSet<Version> {
    releases.iter().map(|release| release.version.clone()).collect()
}

/// What is remembered after the broker supports what it should: of the versions that run or may still run, those that
/// it supports.
fn finished(subject: &Subject<'_>, wanted: &DesiredReleases, seen: &[ReleasedVersion]) -> Outcome {
    let before = subject.remembered().map(|status| status.supported.as_slice()).unwrap_or_default();
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
            let uuid = Some(release.id.to_string());
            let at = Time(Timestamp::now());
            supported.insert(0, Recorded { version: release.version.as_str().to_owned(), uuid, at });
        }
    }
    if subject.members.is_empty() {
        let why =
            Explanation::new("Undeployed", "no workload runs it any more; the support of every version has ended");
        return Outcome::Finished(Finish::Undeployed(why), None);
    }
    let (waiting, look_again) = standing(subject.members);
    Outcome::Finished(Finish::Released { supported, waiting }, look_again)
}
