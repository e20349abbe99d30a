//! `pact-operator explain KIND/NAME`: how a workload's version is found, where it is recorded and judged, what happens
//! next, and what would change it. Reads the cluster only; what the broker said is taken from the `PactDeployment`s.

mod text;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    process::ExitCode,
    str::FromStr,
};

use clap::Args;
use k8s_openapi::{api::core::v1::Namespace, jiff::Timestamp};
use kube::{Api, Client, core::PartialObjectMeta};
use operator_kit::refusal;

use super::{
    columns::colourful,
    installed::Installed,
    process::{self, Failure},
};
use crate::{
    cluster::live::as_it_runs,
    workload::{Dispatch, Kind, View, Workload, WorkloadKind},
};

/// Arguments of the verb `explain`.
#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    /// The workload: `deployment/orders`, `sts/orders`, `ds/orders`.
    #[arg(value_name = "KIND/NAME")]
    workload: Named,
    /// Its namespace; the one of the current context if it is not given.
    #[arg(long, short, value_name = "NAME")]
    namespace: Option<String>,
}

/// A workload, as people name it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    kind: WorkloadKind,
    name: String,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').ok_or("write it as KIND/NAME, such as deployment/orders")?;
        let lower = kind.to_lowercase();
        let is_meant = |kind: &WorkloadKind| {
            lower == kind.kind().to_lowercase() || lower == kind.resource() || lower == kind.short()
        };
        let kind = WorkloadKind::ALL.into_iter().find(is_meant).ok_or_else(|| {
            let known = WorkloadKind::ALL.map(|kind| kind.kind().to_lowercase()).join(", ");
            format!("{kind} is neither recorded nor judged, only {known}")
        })?;
        if name.is_empty() {
            return Err("the name is empty".to_owned());
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

/// What is known of a workload and of what surrounds it.
#[derive(Clone, Debug)]
struct Facts {
    workload: Workload,
    /// The labels of its namespace, or why they are not known.
    labels: Result<BTreeMap<String, String>, String>,
    installed: Installed,
}

/// Runs the verb. Exit codes: 0 explained, 1 there is no such workload, 2 it could not be read.
pub(super) fn run(arguments: &ExplainArguments) -> ExitCode {
    process::ended("explain", process::on_this_thread(explain(arguments)))
}

async fn explain(arguments: &ExplainArguments) -> Result<u8, Failure> {
    let client = process::api_server().await?;
    let namespace = arguments.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let Named { kind, name } = &arguments.workload;
    let read = ReadWorkload { client: client.clone(), namespace: namespace.clone(), name: name.clone() };
    let read: ReadingWorkload = kind.dispatch(read);
    let Some(workload) = read.await? else {
        writeln!(io::stdout(), "there is no {kind} {namespace}/{name}")?;
        return Ok(1);
    };
    let workload = as_it_runs(&client, workload).await.map_err(|why| why.message)?;
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let labels = match namespaces.get(&namespace).await {
        Ok(found) => Ok(found.metadata.labels.unwrap_or_default()),
        Err(error) => Err(refusal::explain(&error)),
    };
    let installed = Installed::read(&client).await?;
    let text = text::explained(&Facts { workload, labels, installed }, Timestamp::now(), colourful());
    io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

type ReadingWorkload = futures::future::BoxFuture<'static, Result<Option<Workload>, Failure>>;

/// Reads one workload, as what it is.
struct ReadWorkload {
    client: Client,
    namespace: String,
    name: String,
}

impl Dispatch for ReadWorkload {
    type Output = ReadingWorkload;

    fn with<K: Kind>(self) -> ReadingWorkload {
        let Self { client, namespace, name } = self;
        Box::pin(async move {
            let api: Api<View<K>> = Api::namespaced(client, &namespace);
            let found = api.get_opt(&name).await;
            let unreadable =
                |error| format!("{} {namespace}/{name} cannot be read: {}", K::KIND, refusal::explain(&error));
            Ok(found.map_err(unreadable)?.map(|object| object.observe(Timestamp::now())))
        })
    }
}
