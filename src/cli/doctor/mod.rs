//! `pact-operator doctor`: looks at a whole installation and says what is wrong with it, each with its remedy. It reads the
//! cluster with the rights of whoever asks and creates one Deployment as a dry-run; it reads what the brokers have.

mod at_brokers;
mod findings;
mod installation;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::Namespace},
    jiff::Timestamp,
};
use kube::{Api, Client, ResourceExt, api::ListParams};
use operator_kit::refusal;
use serde_json::json;

use self::findings::{Facts, Found, Grade};
use super::{
    broker_connection::{BrokerConnection, SeveralBrokers},
    columns::{Shade, colourful, painted},
    installed::Installed,
    listed_workloads::listed_workloads,
    process::{self, Failure},
    reached_brokers::{ReachedBrokers, SecretsArguments},
    self_test,
};
use crate::decide::{EnvironmentPolicy, admission::ServiceAccountName, messages, not_in_force};

/// Arguments of the verb `doctor`.
#[derive(Args, Debug)]
pub(super) struct DoctorArguments {
    /// The namespace in which a Deployment is created as a dry-run: not the operator's own, and none that is excluded.
    #[arg(long, default_value = "default", value_name = "NAME")]
    dry_run_namespace: String,
    /// A service account whose bypass statements count, as the webhook is told; may be repeated.
    #[arg(long = "bypass-service-account", value_name = "NAMESPACE:NAME")]
    bypass_accounts: Vec<ServiceAccountName>,
    /// The format.
    #[arg(long, short, default_value = "text", value_enum)]
    output: Format,
    #[command(flatten)]
    secrets: SecretsArguments,
    #[command(flatten)]
    connection: BrokerConnection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs the verb. Exit codes: 0 nothing is wrong, 1 something is, 2 it could not be looked at.
pub(super) fn run(arguments: &DoctorArguments) -> ExitCode {
    process::ended("doctor", SeveralBrokers::as_usage("doctor", process::on_this_thread(examine(arguments))))
}

async fn examine(arguments: &DoctorArguments) -> Result<u8, Failure> {
    let client = process::api_server().await?;
    let facts = gather(&client, arguments).await?;
    let found = findings::of(&facts, Timestamp::now());
    let text = match arguments.output {
        Format::Text => found.iter().map(|found| line(found, colourful())).collect(),
        Format::Json => format!("{:#}\n", json!(found.iter().map(document).collect::<Vec<_>>())),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(u8::from(found.iter().any(|found| found.grade == Grade::Problem)))
}

async fn gather(client: &Client, arguments: &DoctorArguments) -> Result<Facts, Failure> {
    let installed = Installed::read(client).await?;
    let namespaces = Api::<Namespace>::all(client.clone()).list_metadata(&ListParams::default()).await;
    let unreadable = |error| format!("namespaces cannot be listed: {}", refusal::explain(&error));
    let namespaces: BTreeMap<_, _> = (namespaces.map_err(unreadable)?.into_iter())
        .map(|namespace| (namespace.name_any(), namespace.metadata.labels.unwrap_or_default()))
        .collect();
    // Those that are annotated, or seem to be meant to be.
    let mut workloads = listed_workloads(client).await?;
    workloads.retain(|workload| workload.annotated() || !workload.stray_keys.is_empty());
    let operator_namespace = arguments.secrets.operator_namespace.clone();
    let leases: Api<Lease> = Api::namespaced(client.clone(), &operator_namespace);
    let lease = leases.get_opt(findings::LEASE).await.map_err(|error| refusal::explain(&error));
    let gate = self_test::gate(client, &arguments.dry_run_namespace).await.map_err(|error| error.to_string());
    let notes = self_test::notes(client, &arguments.bypass_accounts, not_in_force::notes_of_webhook).await;
    let pieces = installation::look(client, &operator_namespace).await;
    let policies = installed.environments.iter().filter_map(|it| EnvironmentPolicy::parse(it).ok());
    let places: BTreeSet<_> = policies.map(|policy| policy.rules.environment_ref).collect();
    arguments.connection.is_of_all(&places)?;
    let DoctorArguments { connection, secrets, .. } = arguments;
    let reached = ReachedBrokers { verb: "doctor", client, connection, secrets };
    let at_brokers = at_brokers::read(&reached, &installed, &places).await;
    Ok(Facts { installed, namespaces, workloads, lease, gate, notes, pieces, at_brokers, operator_namespace })
}

fn line(found: &Found, colour: bool) -> String {
    let (word, shade) = match found.grade {
        Grade::Fine => ("ok", Shade::Good),
        Grade::Note => ("note", Shade::Unsure),
        Grade::Problem => ("problem", Shade::Bad),
    };
    let word = painted(&format!("{word:<8}"), shade, colour);
    format!("{word}{}\n", messages::one_line(&found.text))
}

fn document(found: &Found) -> serde_json::Value {
    let grade = match found.grade {
        Grade::Fine => "ok",
        Grade::Note => "note",
        Grade::Problem => "problem",
    };
    json!({"grade": grade, "text": messages::one_line(&found.text)})
}
