//! `pact-operator matrix`: the whole picture of what runs and whether it gets along, in the terminal or as a page. It reads
//! the cluster and asks the brokers; it writes nothing there.

mod gather;
mod table;

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;

use super::{
    broker_connection::{BrokerConnection, SeveralBrokers},
    columns::colourful,
    process::{self, Failure},
};
use crate::{
    api::names::{EnvironmentName, Pacticipant},
    overview::{Overview, State, document, page},
};

/// Arguments of the verb `matrix`.
#[derive(Args, Debug)]
#[command(
    after_help = "Exit codes: 0 shown, whatever it is; 2 the pairs of an environment could not be had; 64 the command \
                        line cannot be followed."
)]
pub(super) struct MatrixArguments {
    /// Only this environment, by its name at the broker; may be repeated.
    #[arg(long, value_name = "NAME", value_parser = environment)]
    environment: Vec<EnvironmentName>,
    /// Only the pairs of this application; may be repeated.
    #[arg(long, short = 'a', value_name = "NAME", value_parser = pacticipant)]
    pacticipant: Vec<Pacticipant>,
    /// Only the pairs in this state; may be repeated.
    #[arg(long, value_name = "STATE", value_enum)]
    state: Vec<StateArgument>,
    /// Write a page to this file that can be opened, sent and printed; `-` is standard output.
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    html: Option<PathBuf>,
    /// The format.
    #[arg(long, short, default_value = "table", value_enum)]
    output: Format,
    /// Read no cluster: what the broker has as deployed and supported in --environment is what runs. So it is, too, where
    /// there is no kubeconfig.
    #[arg(long, requires = "environment")]
    no_cluster: bool,
    #[command(flatten)]
    connection: BrokerConnection,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The same.
    Yaml,
}

/// A state, as it is named on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StateArgument {
    /// The verification failed.
    Failing,
    /// A provider is needed that is not there.
    Missing,
    /// There is no result.
    Unverified,
    /// It is verified, and one of the two versions is rolling out.
    RollingOut,
    /// It is verified, and both versions run.
    Verified,
}

impl From<StateArgument> for State {
    fn from(argument: StateArgument) -> Self {
        match argument {
            StateArgument::Failing => Self::Failing,
            StateArgument::Missing => Self::Missing,
            StateArgument::Unverified => Self::Unverified,
            StateArgument::RollingOut => Self::RollingOut,
            StateArgument::Verified => Self::Verified,
        }
    }
}

fn environment(text: &str) -> Result<EnvironmentName, String> {
    EnvironmentName::parse(text).map_err(|error| error.to_string())
}

fn pacticipant(text: &str) -> Result<Pacticipant, String> {
    Pacticipant::parse(text).map_err(|error| error.to_string())
}

/// Runs the verb.
pub(super) fn run(arguments: &MatrixArguments) -> ExitCode {
    if arguments.no_cluster && arguments.connection.url().is_none() {
        let problem = "no broker is named: give --broker-base-url, or set PACT_BROKER_BASE_URL";
        drop(writeln!(io::stderr(), "pact-operator matrix: {problem}"));
        return ExitCode::from(super::USAGE);
    }
    process::ended("matrix", SeveralBrokers::as_usage("matrix", process::on_this_thread(show(arguments))))
}

async fn show(arguments: &MatrixArguments) -> Result<u8, Failure> {
    let environments = gather::environments(arguments).await?;
    let known = environments.iter().all(|environment| environment.known);
    let overview = filtered(Overview::of(Timestamp::now(), environments), arguments);
    let text = match (&arguments.html, arguments.output) {
        (Some(_), _) => page(&overview),
        (None, Format::Table) => table::render(&overview, colourful()),
        (None, Format::Json) => format!("{:#}\n", document(&overview)),
        (None, Format::Yaml) => serde_yaml_ng::to_string(&document(&overview))?,
    };
    match arguments.html.as_ref().filter(|path| path.as_os_str() != "-") {
        None => io::stdout().write_all(text.as_bytes())?,
        Some(path) => {
            let unwritable = |error| format!("{} cannot be written: {error}; name another file", path.display());
            fs::write(path, text).map_err(unwritable)?;
            let (_, headline) = overview.headline();
            writeln!(io::stdout(), "{headline}\nwritten to {}", path.display())?;
        }
    }
    Ok(if known { 0 } else { 2 })
}

fn filtered(overview: Overview, arguments: &MatrixArguments) -> Overview {
    let states: Vec<State> = arguments.state.iter().copied().map(State::from).collect();
    let named = &arguments.pacticipant;
    overview.only(
        |relation| {
            (states.is_empty() || states.contains(&relation.state()))
                && (named.is_empty() || named.iter().any(|name| relation.is_about(name)))
        },
        |application| named.is_empty() || named.contains(&application.pacticipant),
    )
}
