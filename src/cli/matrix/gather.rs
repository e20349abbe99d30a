//! What the picture is made of: what the cluster's records say to run, and what the brokers say of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    sync::atomic::{AtomicU32, Ordering},
};

use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt};

use super::MatrixArguments;
use crate::{
    api::{
        PactBroker,
        deployment::Check,
        names::{EnvironmentName, Pacticipant},
    },
    broker::{Broker, BrokerError, EnvironmentMatrix},
    cli::{
        installed::Installed,
        process::{self, Failure},
    },
    cluster::recorded::RecordedIndex,
    decide::{EnvironmentPolicy, GateRules, LiveVersions, UnrecordedVersion},
    overview::{
        Environment,
        build::{self, Facts, Known},
    },
    workload::EnvironmentRef,
};

/// The environments that are asked for.
///
/// # Errors
/// When there is no cluster to be read, and no broker and environment are named instead.
pub(super) async fn environments(arguments: &MatrixArguments) -> Result<Vec<Environment>, Failure> {
    let url = arguments.connection.url().filter(|_| !arguments.environment.is_empty());
    let client = if arguments.no_cluster { None } else { Some(process::api_server().await) };
    match (client, url) {
        (Some(Ok(client)), _) => of_cluster(arguments, &client).await,
        (Some(Err(_)) | None, Some(url)) => of_broker(arguments, url).await,
        (Some(Err(error)), None) => {
            Err(format!("{error}; without a cluster, give --broker-base-url and --environment").into())
        }
        (None, None) => Err("no broker is named: give --broker-base-url, or set PACT_BROKER_BASE_URL".into()),
    }
}

/// By what a broker has, and nothing else.
async fn of_broker(arguments: &MatrixArguments, url: &str) -> Result<Vec<Environment>, Failure> {
    let broker = Broker::new(arguments.connection.config(url, "matrix")?)?;
    let rules = GateRules::default();
    let asked = arguments.environment.iter().map(async |name| {
        let at = Place { name, broker: None, address: Some(url), rules: &rules };
        match ask(arguments, &broker, name, |_| Vec::new()).await {
            Ok(matrix) => at.asked(&matrix),
            Err(why) => at.not_asked(&LiveVersions::default(), &[], Vec::new(), why),
        }
    });
    Ok(join_all(asked).await)
}

/// By what the records of a cluster say to run. A broker that does not answer leaves what the records say of the pairs.
async fn of_cluster(arguments: &MatrixArguments, client: &Client) -> Result<Vec<Environment>, Failure> {
    let without =
        |error| format!("{error}; without the cluster, give --no-cluster with --broker-base-url and --environment");
    let installed = Installed::read(client).await.map_err(without)?;
    let mut index = RecordedIndex::default();
    for (key, record) in &installed.records {
        index.set(key, Some(record));
    }
    let rules = rules(&installed);
    let wanted =
        |at: &&EnvironmentRef| arguments.environment.is_empty() || arguments.environment.contains(&at.environment);
    let places: BTreeSet<&EnvironmentRef> =
        rules.keys().chain(installed.records.iter().map(|(key, _)| &key.environment_ref)).filter(wanted).collect();
    if let Some(missing) = arguments.environment.iter().find(|name| places.iter().all(|at| at.environment != **name)) {
        return Err(format!("no PactEnvironment records in {missing}: look at kubectl get pactenv").into());
    }
    arguments.connection.is_of_all(places.iter().copied())?;
    let brokers = brokers(arguments, &installed, &places)?;
    let nothing = GateRules::default();
    let asked = places.into_iter().map(async |at| {
        let place = Place {
            name: &at.environment,
            broker: Some(&at.broker),
            address: installed.brokers.iter().find(|it| it.name_any() == at.broker).map(address),
            rules: rules.get(at).unwrap_or(&nothing),
        };
        let asked = match brokers.get(at.broker.as_str()) {
            Some(Ok(broker)) => {
                ask(arguments, broker, &at.environment, |recorded| index.running_beside(at, recorded)).await
            }
            Some(Err(why)) => Err(why.clone()),
            None => Err(format!("there is no PactBroker named {}", at.broker)),
        };
        match asked {
            Ok(matrix) => place.asked(&matrix),
            Err(why) => {
                let records = installed.records.iter().filter(|(key, _)| key.environment_ref == *at);
                let recorded = records.clone().flat_map(|(key, _)| {
                    let versions = index.of(at, &key.pacticipant).current;
                    versions.into_iter().map(|version| (key.pacticipant.clone(), version))
                });
                let recorded = LiveVersions::all(recorded);
                let checks = records.filter_map(|(_, record)| record.status.as_ref()).flat_map(|status| &status.checks);
                place.not_asked(&recorded, &index.running_beside(at, &recorded), checks.collect(), why)
            }
        }
    });
    Ok(join_all(asked).await)
}

/// The gate's rules of each environment; those that cannot be followed leave nothing out.
fn rules(installed: &Installed) -> BTreeMap<EnvironmentRef, GateRules> {
    let policies = installed.environments.iter().filter_map(|it| EnvironmentPolicy::parse(it).ok());
    policies.map(|policy| (policy.rules.environment_ref, policy.gate)).collect()
}

/// What asks each broker, or why it cannot be asked.
fn brokers<'a>(
    arguments: &MatrixArguments,
    installed: &Installed,
    places: &BTreeSet<&'a EnvironmentRef>,
) -> Result<BTreeMap<&'a str, Result<Broker, String>>, Failure> {
    let mut brokers = BTreeMap::new();
    for name in places.iter().map(|at| at.broker.as_str()) {
        let of_object = || {
            let object = installed.brokers.iter().find(|it| it.name_any() == name);
            object
                .map(|object| address(object).to_owned())
                .ok_or_else(|| format!("there is no PactBroker named {name}"))
        };
        let broker = match arguments.connection.url_or(of_object)? {
            Ok(url) => match arguments.connection.config(&url, "matrix") {
                Ok(config) => Broker::new(config).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            },
            Err(why) => Err(why),
        };
        brokers.insert(name, broker);
    }
    Ok(brokers)
}

/// A broker's address as people reach it.
fn address(broker: &PactBroker) -> &str {
    broker.spec.public_url.as_ref().unwrap_or(&broker.spec.url)
}

/// Asks until there is an answer, or the tries are over.
async fn ask(
    arguments: &MatrixArguments,
    broker: &Broker,
    environment: &EnvironmentName,
    unrecorded: impl Fn(&LiveVersions) -> Vec<UnrecordedVersion>,
) -> Result<EnvironmentMatrix, String> {
    // Many requests may wait for the same reason: one line says it.
    let said = AtomicU32::new(0);
    let patience = |failures: u32, error: &BrokerError| {
        let wait = arguments.connection.wait_after(failures).filter(|_| error.retryable())?;
        if said.fetch_max(failures + 1, Ordering::Relaxed) <= failures {
            let again = format!("{error}; asked again in {} s", wait.as_secs_f32());
            drop(writeln!(io::stderr(), "pact-operator matrix: {again}"));
        }
        Some(wait)
    };
    match broker.environment_matrix(environment, unrecorded, &patience).await {
        Ok(Some(matrix)) => Ok(matrix),
        Ok(None) => Err(format!("the broker has no environment named {environment}")),
        Err(error) => Err(error.to_string()),
    }
}

/// An environment, and what is known of it before its broker is asked.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a EnvironmentName,
    broker: Option<&'a str>,
    address: Option<&'a str>,
    rules: &'a GateRules,
}

impl Place<'_> {
    fn asked(self, matrix: &EnvironmentMatrix) -> Environment {
        let EnvironmentMatrix { recorded, unrecorded, rows, unreadable, unknown } = matrix;
        let known = Known::Rows { rows, unreadable: *unreadable };
        self.picture(recorded, unrecorded, unknown, known)
    }

    fn not_asked(
        self,
        recorded: &LiveVersions,
        unrecorded: &[UnrecordedVersion],
        checks: Vec<&Check>,
        why: String,
    ) -> Environment {
        let known = if checks.is_empty() { Known::Nothing { why } } else { Known::Remembered { checks, why } };
        self.picture(recorded, unrecorded, &BTreeSet::new(), known)
    }

    fn picture(
        self,
        recorded: &LiveVersions,
        unrecorded: &[UnrecordedVersion],
        unknown: &BTreeSet<Pacticipant>,
        known: Known<'_>,
    ) -> Environment {
        let Self { name: environment, broker, address, rules } = self;
        let now = Timestamp::now();
        build::environment(&Facts { environment, broker, address, recorded, unrecorded, unknown, rules, known, now })
    }
}
