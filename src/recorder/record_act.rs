//! The actions of an assessment: reads from the API server and the broker, and writes at the broker.

use futures::future::join;
use k8s_openapi::jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::{record::RecordReconciler, writes::AtBroker};
use crate::{
    api::{environment::RecordKind, names::Pacticipant},
    broker::{Broker, BrokerError, EnvironmentId, Rows},
    cluster::{
        records::RecordStoreError,
        snapshots::{release, row},
    },
    decide::{
        Explanation, Reason,
        near_miss::{other_spelling, spelling},
        record::{
            Action, BrokerWrite, Done, Facts, Failure, Live, MemberView, counted, counted_before, dropped, noted,
            show_all_members, with_strangers,
        },
    },
    workload::RecordKey,
};

impl RecordReconciler {
    /// Does the action, and adds its result to the facts.
    pub(super) async fn act(&self, action: Action, facts: &mut Facts<'_>) {
        match action {
            Action::FindFates => {
                let now = with_strangers(self.cluster.index().members(facts.key), facts.status);
                let before = facts.status.into_iter().flat_map(|status| counted_before(status, &now));
                let members: Vec<_> = before.cloned().collect();
                facts.fates = Some(self.cluster.fates(facts.key, &members).await);
            }
            Action::ReadLive => {
                facts.live = Some(match self.still_missing(facts).await {
                    Some(failure) => Err(failure),
                    None => self.read_live(facts).await,
                });
            }
            Action::Write(write) => {
                let (traces, key) = (&self.schedule.traces, facts.key);
                // On the heap: it is large, and moved through what traces it.
                let done = Box::pin(self.write(&write, facts));
                facts.done = Some(traces.write(key, &write, done).await);
            }
        }
    }

    /// Reads the members and the key's rows live.
    async fn read_live(&self, facts: &Facts<'_>) -> Result<Live, Failure> {
        let (broker, environment) = self.reach(facts.key)?;
        let live_members = self.cluster.live_members(facts.key, &facts.members);
        let rows = self.read_rows(&broker, &environment, facts);
        let (rows, members) = join(rows, live_members).await;
        let rows = rows?;
        let mut members = members.map_err(|why| Failure { why, retry_after: None })?;
        if facts.members.is_empty() {
            // The members that appeared meanwhile; the former ones were read live for their fate.
            members = self.cluster.index().members(facts.key);
        }
        let members = counted(&with_strangers(members, facts.status)).to_vec();
        Ok(Live { members, ..rows })
    }

    /// Notes what a write does, and what it replaces; says whether that could be stored. An object of another client that
    /// has the name keeps nothing from being recorded.
    async fn note(&self, facts: &Facts<'_>, write: &BrokerWrite) -> bool {
        let live = facts.live.as_ref().and_then(|live| live.as_ref().ok());
        let row = live.and_then(|live| live.row.as_ref());
        let Some(mut status) = noted(facts.status, row, write, Timestamp::now()) else { return true };
        let object = self.cluster.records.get(facts.key);
        if let (None, Some(live)) = (&object, live) {
            status.members = show_all_members(None, &live.members).members;
        }
        let object = object.as_deref();
        let status = self.announced(facts.key, object, status);
        let dropped = dropped(object, &status, &self.settings.sinks);
        match self.cluster.records.write(facts.key, object, status).await {
            Ok(()) => {
                self.report_dropped(object, dropped).await;
                true
            }
            Err(RecordStoreError::Taken { .. }) => true,
            Err(error) => {
                warn!(key = %facts.key, %error, "the PactDeployment {} cannot be written", facts.key.object_name());
                false
            }
        }
    }

    /// Writes at the broker and reads back the result.
    async fn write(&self, write: &BrokerWrite, facts: &mut Facts<'_>) -> Done {
        let traces = &self.schedule.traces.traces;
        let (broker, environment) = match self.reach(facts.key) {
            Ok(reached) => reached,
            Err(failure) => return Done::Refused(failure),
        };
        // What this pass goes by is not the newest any more: another leader wrote meanwhile.
        let newest = self.cluster.records.get(facts.key);
        if newest.as_ref().and_then(|object| object.status.as_ref()) != facts.status {
            return Done::LeaseLost;
        }
        // Another leader may have recorded it for others meanwhile: what we know of the record is read anew before it goes.
        if matches!(write, BrokerWrite::Undeploy(_)) {
            match self.cluster.records.still_says(facts.key, facts.status).await {
                Ok(true) => {}
                Ok(false) => return Done::LeaseLost,
                Err(error) => {
                    let why = Explanation::new(Reason::ApiServerUnavailable, error.to_string());
                    return Done::Refused(Failure { why, retry_after: None });
                }
            }
        }
        if !traces.span("note", self.note(facts, write)).await {
            let message = "the PactDeployment could not be written; nothing is recorded before that".to_owned();
            let why = Explanation::new(Reason::ApiServerUnavailable, message);
            return Done::Refused(Failure { why, retry_after: None });
        }
        let at = AtBroker { broker: &broker, environment: &environment, key: facts.key };
        let done = match traces.span("write", self.writes.perform(&at, write)).await {
            Ok(done) => done,
            Err(error) => Done::Refused(self.refused(facts.key, &error)),
        };
        if matches!(done, Done::Released { .. }) {
            // Reading the releases of a pacticipant tells nothing of what else of it is live.
            self.cluster.brokers.forget(&facts.key.environment_ref);
        }
        if matches!(done, Done::Recorded { .. } | Done::Undeployed { .. } | Done::Released { .. }) {
            facts.live = Some(traces.span("read back", self.read_rows(&broker, &environment, facts)).await);
        }
        done
    }

    /// The broker of a key and the uuid of its environment there.
    fn reach(&self, key: &RecordKey) -> Result<(Broker, EnvironmentId), Failure> {
        let broker = self.cluster.brokers.get(&key.environment_ref.broker);
        let broker = broker.map_err(|why| Failure { why, retry_after: None })?;
        match self.cluster.snapshots.id(&key.environment_ref) {
            Some(environment) => Ok((broker, environment)),
            None => Err(Failure { why: not_read(key), retry_after: None }),
        }
    }

    /// The broker's current rows of a key. The members are those that were read before. Fails when the broker answers
    /// with another spelling of the pacticipant: under ours no record would ever be found again (case 90).
    async fn read_rows(
        &self,
        broker: &Broker,
        environment: &EnvironmentId,
        facts: &Facts<'_>,
    ) -> Result<Live, Failure> {
        let key = facts.key;
        let failed = |error: BrokerError| self.refused(key, &error);
        let members: Vec<MemberView> = match &facts.live {
            Some(Ok(live)) => live.members.clone(),
            _ => Vec::new(),
        };
        if facts.rules.as_ref().is_ok_and(|rules| rules.kind == RecordKind::Release) {
            let mut releases = broker.currently_supported(environment, Some(&key.pacticipant)).await.map_err(failed)?;
            same_spelling(key, releases.iter().map(|release| &release.pacticipant))?;
            releases.retain(|release| release.pacticipant == key.pacticipant);
            self.cluster.snapshots.saw_releases(key, releases.clone());
            return Ok(Live { members, row: None, releases: releases.iter().map(release).collect() });
        }
        let began = Instant::now();
        let Rows { rows, unreadable } =
            broker.currently_deployed_rows(environment, Some(&key.pacticipant)).await.map_err(failed)?;
        same_spelling(key, rows.iter().map(|row| &row.pacticipant))?;
        if unreadable == 0 {
            let ours = rows.iter().filter(|row| row.pacticipant == key.pacticipant);
            self.cluster.brokers.saw_deployed(key, began, ours.map(|row| row.version.clone()).collect());
        } else {
            self.cluster.brokers.forget(&key.environment_ref);
        }
        let found =
            rows.into_iter().find(|row| row.pacticipant == key.pacticipant && row.application_instance == key.instance);
        self.cluster.snapshots.saw_row(key, found.clone());
        Ok(Live { members, row: found.as_ref().map(row), releases: Vec::new() })
    }

    /// Converts a failed call at the broker, and schedules the task that can determine its cause.
    fn refused(&self, key: &RecordKey, error: &BrokerError) -> Failure {
        self.schedule.look_into(&key.environment_ref, error);
        Failure { why: Explanation::new(error.reason(), error.to_string()), retry_after: error.retry_after() }
    }
}

/// Fails when the rows that a broker has of our pacticipant bear another spelling of its name.
fn same_spelling<'a>(key: &RecordKey, mut names: impl Iterator<Item = &'a Pacticipant>) -> Result<(), Failure> {
    match names.find(|name| other_spelling(&key.pacticipant, name)) {
        None => Ok(()),
        Some(theirs) => {
            let message = spelling(&key.pacticipant, theirs.as_str());
            Err(Failure { why: Explanation::new(Reason::PacticipantSpelling, message), retry_after: None })
        }
    }
}

fn not_read(key: &RecordKey) -> Explanation {
    let message = format!("what {} has recorded has not been read yet", key.environment_ref);
    Explanation::new(Reason::EnvironmentNotRead, message)
}
