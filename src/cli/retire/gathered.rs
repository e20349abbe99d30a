//! What is recorded, what the broker has of it, and whether it still runs; and the write, with a read before and after it.

use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use kube::{Client, ResourceExt};

use super::{VERB, Which};
use crate::{
    api::{PactDeployment, PactDeploymentStatus, deployment::Member, environment::RecordKind, names::Pacticipant},
    broker::{Broker, BrokerError, DeploymentId, EnvironmentId, ReleaseId, verdict_of},
    cli::{broker_connection::remedy, installed::Installed, reached_brokers::ReachedBrokers},
    cluster::live::sighting,
    decide::{
        EnvironmentPolicy,
        record::{KeyAtBroker, Retirement, RetirementRules, Row, RowKind, Sighting, may_be_recorded, retirements},
    },
    workload::{EnvironmentRef, RecordKey},
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
    /// What may be done, or why the broker could not be asked.
    pub(super) retirement: Result<Retirement, String>,
}

impl Item {
    /// Whether there is a row to be taken back.
    pub(super) fn is_due(&self) -> bool {
        matches!(self.retirement, Ok(Retirement::TakeBack(..)))
    }
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
}

impl Gathered {
    /// Reads all of it: of each environment at its broker one to three lists, of each workload one or two objects.
    pub(super) async fn read(
        reaching: &ReachedBrokers<'_>,
        installed: &Installed,
        which: &Which,
        even_if_running: bool,
    ) -> Self {
        let selected = selected(installed, which);
        let mut gathered = Self { items: Vec::new(), environments: BTreeMap::new() };
        let mut read: BTreeMap<EnvironmentRef, Result<Rows, String>> = BTreeMap::new();
        for (key, object) in selected {
            let at = &key.environment_ref;
            let rules = rules(installed, at, even_if_running);
            if !read.contains_key(at) {
                let reached = reach(reaching, installed, at).await;
                let rows = match &reached {
                    Ok(it) => Rows::read(it, None).await.map_err(|error| unanswered(&error)),
                    Err(why) => Err(why.clone()),
                };
                gathered.environments.insert(at.clone(), reached);
                read.insert(at.clone(), rows);
            }
            let status = object.status.clone().unwrap_or_default();
            let members = sightings(reaching.client, key, &status.members).await;
            let item = |retirement| Item {
                key: key.clone(),
                object: object.name_any(),
                status: status.clone(),
                rules,
                members: members.clone(),
                retirement,
            };
            let seen: Vec<_> = members.iter().map(|(_, sighting)| sighting.clone()).collect();
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

    /// Takes a row back: it is read before, so that nothing goes but what was listed, and after it.
    ///
    /// # Errors
    /// When it cannot be taken back, with the reason.
    pub(super) async fn take_back(&self, client: &Client, item: &Item) -> Result<(), String> {
        let Ok(Retirement::TakeBack(kind, row)) = &item.retirement else { return Ok(()) };
        let Some(Ok(at)) = self.environments.get(&item.key.environment_ref) else {
            return Err("its environment was not read".to_owned());
        };
        let members: Vec<_> = item.members.iter().map(|(member, _)| member.clone()).collect();
        let seen: Vec<_> = sightings(client, &item.key, &members).await.into_iter().map(|(_, it)| it).collect();
        let failed = |error: BrokerError| unanswered(&error);
        let now = Rows::read(at, Some(&item.key.pacticipant)).await.map_err(failed)?.of(&item.key);
        if !retirements(&item.status, &now, item.rules, &seen).contains(&Retirement::TakeBack(*kind, row.clone())) {
            return Err("it is not what it was when it was listed: run it again".to_owned());
        }
        let unreadable = |_| "its uuid cannot be sent to the broker".to_owned();
        let written = match kind {
            RowKind::Deployment => at.broker.undeploy(&DeploymentId::parse(&row.uuid).map_err(unreadable)?).await,
            RowKind::Release => at.broker.end_support(&ReleaseId::parse(&row.uuid).map_err(unreadable)?).await,
        };
        // Whatever became of the answer: what counts is whether the row is there.
        let after = Rows::read(at, Some(&item.key.pacticipant)).await.map_err(failed)?;
        let of_key = after.of(&item.key);
        let is_there = of_key.row.iter().chain(&of_key.releases).any(|it| it.uuid == row.uuid);
        match written {
            _ if !is_there && !of_key.unreadable => Ok(()),
            Err(error) => Err(unanswered(&error)),
            Ok(()) if is_there => Err("the broker took the request, and still has the row: run it again".to_owned()),
            Ok(()) => Ok(()),
        }
    }
}

/// The records that are meant and say that something is at the broker. A key may have two objects while one of them is
/// adopted (case 115): the one of its own name counts once it was written.
fn selected<'a>(installed: &'a Installed, which: &Which) -> BTreeMap<&'a RecordKey, &'a PactDeployment> {
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

/// What the `PactEnvironments` say of an environment; one that is gone says nothing.
fn rules(installed: &Installed, at: &EnvironmentRef, even_if_running: bool) -> RetirementRules {
    let parsed = installed.environments.iter().filter_map(|object| EnvironmentPolicy::parse(object).ok());
    let of: Vec<_> = parsed.map(|policy| policy.rules).filter(|rules| rules.environment_ref == *at).collect();
    RetirementRules {
        adopts: !of.is_empty() && of.iter().all(|rules| rules.removal.adopts),
        releases: of.iter().any(|rules| rules.kind == RecordKind::Release),
        even_if_running,
    }
}

async fn reach(reaching: &ReachedBrokers<'_>, installed: &Installed, at: &EnvironmentRef) -> Result<AtBroker, String> {
    let (broker, _) = reaching.reach(installed, &at.broker).await.map_err(|error| error.to_string())?;
    let found = reaching.connection.ask(VERB, || broker.environment(&at.environment)).await;
    match found.map_err(|error| unanswered(&error))? {
        Some(environment) => Ok(AtBroker { broker, id: environment.id }),
        None => Err(format!(
            "the broker has no environment named {}, and so nothing in it: {}",
            at.environment, "kubectl delete the PactDeployment once no controller uses it"
        )),
    }
}

fn unanswered(error: &BrokerError) -> String {
    format!("{error}; {}", remedy(verdict_of(error).verdict))
}

async fn sightings(client: &Client, key: &RecordKey, members: &[Member]) -> Vec<(Member, Sighting)> {
    let reads = members.iter().map(async |member| (member.clone(), sighting(client, key, member).await));
    stream::iter(reads).buffered(AT_ONCE).collect().await
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
    async fn read(at: &AtBroker, pacticipant: Option<&Pacticipant>) -> Result<Self, BrokerError> {
        let deployed = at.broker.currently_deployed_rows(&at.id, pacticipant).await?;
        let released = at.broker.currently_supported_rows(&at.id, pacticipant).await?;
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
