//! What is recorded, what the broker has of it, and whether it still runs; and the write, with a read before and after it.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use kube::{Api, Client, ResourceExt};
use operator_kit::refusal;

use super::{VERB, Which, running::RunningNow};
use crate::{
    api::{PactDeployment, PactDeploymentStatus, deployment::Member, environment::RecordKind, names::Pacticipant},
    broker::{Broker, BrokerError, DeploymentId, EnvironmentId, ReleaseId, verdict_of},
    cli::{broker_connection::remedy, installed::Installed, reached_brokers::ReachedBrokers},
    cluster::{live::sighting, objects::own_key},
    decide::{
        EnvironmentPolicy,
        record::{
            EnvironmentSays, KeyAtBroker, LastRecord, Retirement, RetirementRules, Row, RowKind, Sighting,
            may_be_recorded, retirements,
        },
    },
    workload::{EnvironmentRef, RecordKey, Workload},
};

/// How many workloads are looked at at once.
const AT_ONCE: usize = 8;

/// A row of a record, or why nothing is known of the record's.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) key: RecordKey,
    /// The name of its `PactDeployment`.
    pub(super) object: String,
    pub(super) status: PactDeploymentStatus,
    pub(super) rules: RetirementRules,
    /// The workloads that run or ran it, and what became of them.
    pub(super) members: Vec<(Member, Sighting)>,
    /// Why there may be more of them, if so.
    pub(super) unlisted: Option<String>,
    /// What may be done, or why the broker could not be asked.
    pub(super) retirement: Result<Retirement, String>,
}

impl Item {
    /// Whether there is a row to be taken back.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.retirement, Ok(Retirement::TakeBack(..)))
    }
}

/// Why a row was not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotDone {
    /// It is there as before.
    Failed(String),
    /// It may be gone.
    Unknown(String),
}

/// An environment at a broker.
struct AtBroker {
    broker: Broker,
    id: EnvironmentId,
}

/// See the module.
pub(super) struct Gathered {
    pub(super) items: Vec<Item>,
    environments: BTreeMap<EnvironmentRef, Result<AtBroker, String>>,
    running: Result<RunningNow, String>,
}

impl Gathered {
    /// Reads all of it: what runs in the cluster, of each environment at its broker one to three lists, of each workload one
    /// or two objects.
    pub(super) async fn read(
        reaching: &ReachedBrokers<'_>,
        installed: &Installed,
        selected: BTreeMap<&RecordKey, &PactDeployment>,
        even_if_running: bool,
    ) -> Self {
        let running = RunningNow::read(reaching.client, installed).await;
        let mut gathered = Self { items: Vec::new(), environments: BTreeMap::new(), running };
        let mut read: BTreeMap<EnvironmentRef, Result<Rows, String>> = BTreeMap::new();
        for (key, object) in selected {
            let at = &key.environment_ref;
            let rules = RetirementRules { environment: says(installed, at), even_if_running };
            if !read.contains_key(at) {
                let reached = reach(reaching, installed, at).await;
                let rows = match &reached {
                    Ok(it) => Rows::read(reaching, it, None).await.map_err(|error| unanswered(&error)),
                    Err(why) => Err(why.clone()),
                };
                gathered.environments.insert(at.clone(), reached);
                read.insert(at.clone(), rows);
            }
            let status = object.status.clone().unwrap_or_default();
            let members = gathered.sightings(reaching.client, key, &status).await;
            let unlisted = gathered.running.as_ref().err().cloned();
            let seen = seen(&members, unlisted.as_ref());
            let item = |retirement| Item {
                key: key.clone(),
                object: object.name_any(),
                status: status.clone(),
                rules,
                members: members.clone(),
                unlisted: unlisted.clone(),
                retirement,
            };
            match read.get(at) {
                Some(Ok(rows)) => {
                    gathered
                        .items
                        .extend(retirements(&status, &rows.of(key), rules, &seen).into_iter().map(|it| item(Ok(it))));
                }
                Some(Err(why)) => gathered.items.push(item(Err(why.clone()))),
                None => {}
            }
        }
        gathered
    }

    /// Lists again what runs: somebody may have thought for long before saying yes.
    pub(super) async fn look_again(&mut self, client: &Client, installed: &Installed) {
        self.running = RunningNow::read(client, installed).await;
    }

    /// Takes a row back: its record, its workloads and the row are read before, so that nothing goes but what was listed, and
    /// the row after it.
    ///
    /// # Errors
    /// When it is not taken back, or that is not known, with the reason.
    pub(super) async fn take_back(&self, reaching: &ReachedBrokers<'_>, item: &Item) -> Result<(), NotDone> {
        let Ok(Retirement::TakeBack(kind, row)) = &item.retirement else { return Ok(()) };
        let failed = |why: &str| NotDone::Failed(why.to_owned());
        let Some(Ok(at)) = self.environments.get(&item.key.environment_ref) else {
            return Err(failed("its environment was not read"));
        };
        let status = status_now(reaching.client, item).await.map_err(NotDone::Failed)?;
        let members = self.sightings(reaching.client, &item.key, &status).await;
        let seen = seen(&members, self.running.as_ref().err());
        let unread = |error: BrokerError| NotDone::Failed(unanswered(&error));
        let now = Rows::read(reaching, at, Some(&item.key.pacticipant)).await.map_err(unread)?.of(&item.key);
        if !retirements(&status, &now, item.rules, &seen).contains(&Retirement::TakeBack(*kind, row.clone())) {
            return Err(failed("it is not what it was when it was listed: run it again"));
        }
        let unreadable = |_| failed("its uuid cannot be sent to the broker");
        let written = match kind {
            RowKind::Deployment => at.broker.undeploy(&DeploymentId::parse(&row.uuid).map_err(unreadable)?).await,
            RowKind::Release => at.broker.end_support(&ReleaseId::parse(&row.uuid).map_err(unreadable)?).await,
        };
        // Whatever became of the answer: what counts is whether the row is there.
        let after = Rows::read(reaching, at, Some(&item.key.pacticipant)).await.map(|rows| rows.of(&item.key));
        ended(&row.uuid, written, after)
    }

    /// The workloads that a record lists, and those that are found to run it, with what became of them.
    async fn sightings(
        &self,
        client: &Client,
        key: &RecordKey,
        status: &PactDeploymentStatus,
    ) -> Vec<(Member, Sighting)> {
        let mut members = status.members.clone();
        let running = self.running.as_ref().ok();
        for found in running.into_iter().flat_map(|running| running.members(key)) {
            let is_same =
                |it: &Member| (&it.kind, &it.namespace, &it.name) == (&found.kind, &found.namespace, &found.name);
            if !members.iter().any(is_same) {
                members.push(found.clone());
            }
        }
        let elsewhere = |workload: &Workload| running.and_then(|running| running.elsewhere(key, workload));
        let reads = members.iter().map(async |it| (it.clone(), sighting(client, key, it, elsewhere).await));
        stream::iter(reads).buffered(AT_ONCE).collect().await
    }
}

/// What was seen of the workloads of a key; where they could not be listed, there may be more.
fn seen(members: &[(Member, Sighting)], unlisted: Option<&String>) -> Vec<Sighting> {
    let unlisted = unlisted.map(|why| Sighting::Unread(why.clone()));
    members.iter().map(|(_, sighting)| sighting.clone()).chain(unlisted).collect()
}

/// The status of a record, read again: what it says to be recorded must be what was listed.
async fn status_now(client: &Client, item: &Item) -> Result<PactDeploymentStatus, String> {
    let read = Api::<PactDeployment>::all(client.clone()).get_opt(&item.object).await;
    let object = read.map_err(|error| format!("its PactDeployment cannot be read: {}", refusal::explain(&error)))?;
    let is_same = |it: &PactDeployment| own_key(it).as_ref() == Some(&item.key);
    let status = object.filter(is_same).ok_or("its PactDeployment is gone: run it again")?.status.unwrap_or_default();
    if says_the_same(&status, &item.status) {
        Ok(status)
    } else {
        Err("its PactDeployment says that something else is recorded by now: run it again".to_owned())
    }
}

/// Whether two states of a record say the same to be at the broker.
fn says_the_same(one: &PactDeploymentStatus, other: &PactDeploymentStatus) -> bool {
    let recorded = |status: &PactDeploymentStatus| LastRecord { orphaned_since: None, ..LastRecord::of(status) };
    let released = |status: &PactDeploymentStatus| -> Vec<_> {
        status.supported.iter().map(|it| (it.version.clone(), it.uuid.clone(), it.found)).collect()
    };
    recorded(one) == recorded(other) && released(one) == released(other)
}

/// How a write ended: by its answer, and by what the broker has after it.
fn ended(uuid: &str, written: Result<(), BrokerError>, after: Result<KeyAtBroker, BrokerError>) -> Result<(), NotDone> {
    let is_there = |after: &KeyAtBroker| after.row.iter().chain(&after.releases).any(|it| it.uuid == uuid);
    match (written, after) {
        (Ok(()), Ok(after)) if is_there(&after) => {
            Err(NotDone::Failed("the broker took the request, and still has the row: run it again".to_owned()))
        }
        (Err(error), Ok(after)) if is_there(&after) => Err(NotDone::Failed(unanswered(&error))),
        (_, Ok(after)) if !after.unreadable => Ok(()),
        (Ok(()), Ok(_)) => Ok(()),
        (Err(error), _) if refused(&error) => Err(NotDone::Failed(unanswered(&error))),
        (Err(error), _) | (Ok(()), Err(error)) => Err(NotDone::Unknown(unanswered(&error))),
    }
}

/// Whether an answer says that nothing was done. Without one, or with one that cannot be read, it may have been.
const fn refused(error: &BrokerError) -> bool {
    matches!(
        error,
        BrokerError::Unauthorized { .. }
            | BrokerError::Forbidden { .. }
            | BrokerError::Rejected { .. }
            | BrokerError::Unaddressable { .. }
    )
}

/// The records that are meant and say that something is at the broker. A key may have two objects while one of them is
/// adopted (case 115): the one of its own name counts once it was written.
pub(super) fn selected<'a>(installed: &'a Installed, which: &Which) -> BTreeMap<&'a RecordKey, &'a PactDeployment> {
    let mut selected: BTreeMap<&RecordKey, &PactDeployment> = BTreeMap::new();
    for (key, object) in &installed.records {
        let counts = object.name_any() == key.object_name() && object.status.is_some();
        if counts || !selected.contains_key(key) {
            selected.insert(key, object);
        }
    }
    selected.retain(|key, object| {
        let is = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
        let Some(status) = object.status.as_ref().filter(|status| may_be_recorded(status)) else { return false };
        let in_namespace = |namespace: &String| {
            status.members.iter().any(|member| member.namespace == *namespace)
                || status.recorded_for.contains(namespace)
        };
        is(&which.environment, key.environment_ref.environment.as_str())
            && is(&which.pacticipant, key.pacticipant.as_str())
            && which.namespace.as_ref().is_none_or(in_namespace)
    });
    selected
}

/// What the `PactEnvironments` say of an environment. One that cannot be followed might say that nothing is taken back: then
/// nothing is known, as where there is none any more.
fn says(installed: &Installed, at: &EnvironmentRef) -> Option<EnvironmentSays> {
    let mut all = Vec::new();
    for object in &installed.environments {
        match EnvironmentPolicy::parse(object) {
            Ok(policy) if policy.rules.environment_ref == *at => all.push(policy.rules),
            Err(broken) if broken.environment_ref.as_ref() == Some(at) => return None,
            Ok(_) | Err(_) => {}
        }
    }
    (!all.is_empty()).then(|| EnvironmentSays {
        undeploys: all.iter().all(|rules| rules.removal.undeploys),
        adopts: all.iter().all(|rules| rules.removal.adopts),
        releases: all.iter().any(|rules| rules.kind == RecordKind::Release),
    })
}

async fn reach(reaching: &ReachedBrokers<'_>, installed: &Installed, at: &EnvironmentRef) -> Result<AtBroker, String> {
    let (broker, _) = reaching.reach(installed, &at.broker).await.map_err(|error| error.to_string())?;
    let found = reaching.connection.ask(VERB, || broker.environment(&at.environment)).await;
    if let Some(environment) = found.map_err(|error| unanswered(&error))? {
        return Ok(AtBroker { broker, id: environment.id });
    }
    let missing = format!("the broker has no environment named {}", at.environment);
    Err(match reaching.connection.url() {
        // At the broker of the record, it may be there all the same.
        Some(_) => format!("{missing}: is --broker-base-url the address of PactBroker {}?", at.broker),
        None => {
            format!("{missing}, and so nothing in it: kubectl delete the PactDeployment once no controller uses it")
        }
    })
}

fn unanswered(error: &BrokerError) -> String {
    format!("{error}; {}", remedy(verdict_of(error).verdict))
}

/// What a broker has in an environment.
struct Rows {
    deployed: Vec<(RecordKeyPart, Row)>,
    released: Vec<(Pacticipant, Row)>,
    unreadable: usize,
}

/// The pacticipant and the application instance of a row.
type RecordKeyPart = (Pacticipant, Option<crate::api::names::ApplicationInstance>);

impl Rows {
    async fn read(
        reaching: &ReachedBrokers<'_>,
        at: &AtBroker,
        pacticipant: Option<&Pacticipant>,
    ) -> Result<Self, BrokerError> {
        let connection = reaching.connection;
        let deployed = connection.ask(VERB, || at.broker.currently_deployed_rows(&at.id, pacticipant)).await?;
        let released = connection.ask(VERB, || at.broker.currently_supported_rows(&at.id, pacticipant)).await?;
        Ok(Self {
            unreadable: deployed.unreadable + released.unreadable,
            deployed: (deployed.rows.into_iter())
                .map(|row| {
                    let uuid = row.id.as_str().to_owned();
                    ((row.pacticipant, row.application_instance), Row { version: row.version, uuid })
                })
                .collect(),
            released: (released.rows.into_iter())
                .map(|row| (row.pacticipant, Row { version: row.version, uuid: row.id.as_str().to_owned() }))
                .collect(),
        })
    }

    fn of(&self, key: &RecordKey) -> KeyAtBroker {
        let row =
            self.deployed.iter().find(|((name, instance), _)| (name, instance) == (&key.pacticipant, &key.instance));
        let releases = self.released.iter().filter(|(name, _)| *name == key.pacticipant);
        KeyAtBroker {
            row: row.map(|(_, row)| row.clone()),
            releases: releases.map(|(_, row)| row.clone()).collect(),
            unreadable: self.unreadable > 0,
        }
    }
}

#[cfg(test)]
#[path = "gathered_tests.rs"]
mod tests;
