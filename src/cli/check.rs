//! `pact-operator check`: asks the gate's question from the command line, through the same code.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::process::{Failure, USER_AGENT};
use crate::{
    api::{
        gate::InFlight,
        names::{EnvironmentName, Pacticipant, Version},
    },
    broker::{
        BaseUrl, Broker, BrokerConfig, ClientCertificate, Credentials, SecretText, TlsSettings, pause::LONGEST_PAUSE,
    },
    decide::{Ignored, Judgement, Question, messages},
};

/// The exit code of a yes.
const YES: u8 = 0;
/// The exit code when the broker answered, and it was not a yes.
const NO: u8 = 1;
/// The exit code without an answer; clap uses the same for invalid arguments.
const NO_ANSWER: u8 = 2;

/// Arguments of the verb `check`. Credentials are taken from environment variables, as the official command line does:
/// every user of a machine can read arguments.
#[derive(Args, Debug)]
#[command(after_help = "Credentials: PACT_BROKER_TOKEN, or PACT_BROKER_USERNAME and PACT_BROKER_PASSWORD.\n\
    Exit codes: 0 yes; 1 the broker answered, and not with a yes (No, Unknown, VersionMissing, PacticipantUnknown); \
    2 no answer could be had (EnvironmentMissing, Unauthorized, BrokerUnavailable).")]
pub(super) struct CheckArguments {
    /// The broker's URL, with its path prefix if it has one.
    #[arg(long, short, env = "PACT_BROKER_BASE_URL", value_name = "URL")]
    broker_url: String,
    /// The environment, by its name at the broker.
    #[arg(long, short, value_name = "NAME")]
    environment: String,
    /// The application.
    #[arg(long, short = 'a', value_name = "NAME")]
    pacticipant: String,
    /// Its version.
    #[arg(long = "version", short = 'v', value_name = "VERSION")]
    pacticipant_version: String,
    /// An application that the check ignores; may be repeated.
    #[arg(long, value_name = "NAME")]
    ignore: Vec<String>,
    /// One version of an application that the check ignores; may be repeated.
    #[arg(long, num_args = 2, value_names = ["NAME", "VERSION"])]
    ignore_version: Vec<String>,
    /// The format of the answer: a table for people, JSON for programs.
    #[arg(long, short, default_value = "table", value_enum)]
    output: Output,
    /// How long each request may take, in seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout_seconds: u64,
    /// A PEM file with authorities to trust besides those of the system.
    #[arg(long, env = "SSL_CERT_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// A PEM file with the client certificate to present.
    #[arg(long, env = "X509_CLIENT_CERT_FILE", value_name = "FILE", requires = "client_key_file")]
    client_certificate_file: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[arg(long, env = "X509_CLIENT_KEY_FILE", value_name = "FILE")]
    client_key_file: Option<PathBuf>,
    /// Accept any certificate. Anyone who intercepts the connection can then read the credentials.
    #[arg(long)]
    insecure_skip_verify: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Table,
    Json,
}

pub(super) fn run(arguments: &CheckArguments) -> ExitCode {
    match ask(arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            drop(writeln!(io::stderr(), "pact-operator check: {error}"));
            ExitCode::from(NO_ANSWER)
        }
    }
}

fn ask(arguments: &CheckArguments) -> Result<u8, Failure> {
    let question = question(arguments)?;
    let broker = Broker::new(config(arguments)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let judgement = runtime.block_on(broker.can_i_deploy(&question));
    let link = messages::matrix_link(&arguments.broker_url, &question);
    let text = match arguments.output {
        Output::Table => table(&question, &judgement, &link),
        Output::Json => format!("{:#}\n", document(&question, &judgement, &link)),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(exit_code(&judgement))
}

fn exit_code(judgement: &Judgement) -> u8 {
    match judgement.verdict {
        verdict if verdict.is_yes() => YES,
        verdict if verdict.answered() => NO,
        _ => NO_ANSWER,
    }
}

fn question(arguments: &CheckArguments) -> Result<Question, Failure> {
    let mut ignore = Vec::new();
    for name in &arguments.ignore {
        ignore.push(Ignored { pacticipant: Pacticipant::parse(name)?, version: None });
    }
    for pair in arguments.ignore_version.chunks_exact(2) {
        ignore.push(Ignored { pacticipant: Pacticipant::parse(&pair[0])?, version: Some(Version::parse(&pair[1])?) });
    }
    ignore.sort();
    Ok(Question {
        pacticipant: Pacticipant::parse(&arguments.pacticipant)?,
        version: Version::parse(&arguments.pacticipant_version)?,
        environment: EnvironmentName::parse(&arguments.environment)?,
        ignore,
        in_flight: InFlight::default(),
    })
}

fn config(arguments: &CheckArguments) -> Result<BrokerConfig, Failure> {
    let file = |path: &PathBuf| {
        fs::read(path).map_err(|error| format!("{} cannot be read: {error}; name another file", path.display()))
    };
    let client_certificate = match (&arguments.client_certificate_file, &arguments.client_key_file) {
        (Some(certificate), Some(key)) => Some(ClientCertificate { cert_pem: file(certificate)?, key_pem: file(key)? }),
        _ => None,
    };
    Ok(BrokerConfig {
        base_url: BaseUrl::parse(&arguments.broker_url)?,
        credentials: credentials(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))?,
        headers: Vec::new(),
        tls: TlsSettings {
            ca_bundle_pem: arguments.ca_file.as_ref().map(file).transpose()?,
            client_certificate,
            insecure_skip_verify: arguments.insecure_skip_verify,
        },
        request_timeout: Duration::from_secs(arguments.timeout_seconds),
        concurrency: 4,
        longest_pause: LONGEST_PAUSE,
        user_agent: format!("{USER_AGENT} check"),
    })
}

/// The credentials that the official command line would use, too.
fn credentials(variable: impl Fn(&str) -> Option<String>) -> Result<Credentials, Failure> {
    if let Some(token) = variable("PACT_BROKER_TOKEN") {
        return Ok(Credentials::Bearer(SecretText::new(token)));
    }
    match (variable("PACT_BROKER_USERNAME"), variable("PACT_BROKER_PASSWORD")) {
        (None, None) => Ok(Credentials::None),
        (Some(username), Some(password)) => {
            Ok(Credentials::Basic { username: SecretText::new(username), password: SecretText::new(password) })
        }
        (Some(_), None) => {
            Err("PACT_BROKER_USERNAME is set, and PACT_BROKER_PASSWORD is not; set both or neither".into())
        }
        (None, Some(_)) => {
            Err("PACT_BROKER_PASSWORD is set, and PACT_BROKER_USERNAME is not; set both or neither".into())
        }
    }
}

/// The answer for people: the verdict, the reason, every pair, and a link.
fn table(question: &Question, judgement: &Judgement, link: &str) -> String {
    let reason = messages::reason_clause(&question.pacticipant, &question.environment, judgement);
    let mut text = format!("{question}: {}\n{}\n", judgement.verdict, messages::one_line(&reason));
    if !judgement.pairs.is_empty() {
        let head = ["RESULT", "CONSUMER", "VERSION", "PROVIDER", "VERSION"].map(str::to_owned);
        let rows = judgement.pairs.iter().map(|pair| {
            let provider_version = pair.provider_version.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
            [
                pair.result.name().to_owned(),
                pair.consumer.to_string(),
                pair.consumer_version.to_string(),
                pair.provider.to_string(),
                provider_version,
            ]
        });
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths: Vec<_> = (0..5).map(width).collect();
        text.push('\n');
        for row in &rows {
            let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
    }
    if judgement.verdict.answered() {
        text.push_str("\nsee ");
        text.push_str(link);
        text.push('\n');
    }
    text
}

/// The answer for programs. `deployable` is null when it is unknown or there is no answer.
fn document(question: &Question, judgement: &Judgement, link: &str) -> Value {
    let pairs: Vec<_> = judgement
        .pairs
        .iter()
        .map(|pair| {
            json!({
                "result": pair.result.name(),
                "consumer": pair.consumer.as_str(),
                "consumerVersion": pair.consumer_version.as_str(),
                "provider": pair.provider.as_str(),
                "providerVersion": pair.provider_version.as_ref().map(Version::as_str),
            })
        })
        .collect();
    let deployable = match exit_code(judgement) {
        YES => Some(true),
        NO if judgement.verdict != crate::decide::Verdict::Unknown => Some(false),
        _ => None,
    };
    json!({
        "pacticipant": question.pacticipant.as_str(),
        "version": question.version.as_str(),
        "environment": question.environment.as_str(),
        "verdict": judgement.verdict.name(),
        "deployable": deployable,
        "reason": messages::reason_clause(&question.pacticipant, &question.environment, judgement),
        "pairs": pairs,
        "link": link,
    })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
