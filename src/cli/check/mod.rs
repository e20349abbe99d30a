//! `pact-operator check`: asks the gate's question from the command line, through the same code, with the options of the
//! official `can-i-deploy`. `can-i-merge` asks the same about main branches.

mod answer;
mod manifests;
mod output;
mod policy;
mod selected;
mod workloads;

pub(super) use answer::Outcome;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;

use self::{answer::Answer, output::Format, policy::Policy, selected::Selected, workloads::Judging};
use super::{
    broker_connection::BrokerConnection,
    columns::colourful,
    process::{self, Failure, on_this_thread},
};
use crate::{
    api::names::EnvironmentName,
    broker::{Broker, BrokerError, Judge, NoCluster, verdict_of},
    decide::{Destination, Judgement, Selection, Verdict, messages},
};

/// What both verbs take.
#[derive(Args, Debug)]
pub(super) struct Asking {
    #[command(flatten)]
    selected: Selected,
    #[command(flatten)]
    connection: BrokerConnection,
    /// The format of the answer.
    #[arg(long, short, default_value = "table", value_enum)]
    output: Format,
    /// A file to which the answer is added as Markdown, such as GitHub's step summary.
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// How often to ask again while the answer may still become a yes: a result is missing, or the version is not
    /// published yet.
    #[arg(long, value_name = "TIMES", default_value_t = 0)]
    retry_while_unknown: u32,
    /// How long to wait before that, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=3600))]
    retry_interval: u64,
    /// Say the answer and end with 0 whatever it is; nothing is waited for. Also `PACT_BROKER_CAN_I_DEPLOY_DRY_RUN=true`.
    #[arg(long, env = "PACT_BROKER_CAN_I_DEPLOY_DRY_RUN", value_parser = clap::builder::FalseyValueParser::new(),
          action = clap::ArgAction::SetTrue)]
    dry_run: bool,
    /// Say on standard error what is waited for.
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    without_effect: WithoutEffect,
}

/// Options of the official command line that have no meaning here: a script that gives them goes on.
#[derive(Args, Debug)]
struct WithoutEffect {
    #[arg(long, hide = true)]
    log_level: Option<String>,
    #[arg(long, hide = true)]
    limit: Option<String>,
    #[arg(long, hide = true)]
    enable_otel: bool,
    #[arg(long, hide = true)]
    enable_otel_logs: bool,
    #[arg(long, hide = true)]
    enable_otel_traces: bool,
    #[arg(long, hide = true)]
    otel_exporter: Option<String>,
    #[arg(long, hide = true)]
    otel_exporter_endpoint: Option<String>,
    #[arg(long, hide = true)]
    otel_exporter_protocol: Option<String>,
}

/// Arguments of the verb `check`.
#[derive(Args, Debug)]
#[command(
    disable_version_flag = true,
    after_help = "Exit codes: 0 yes; 1 the broker answered, and not with a yes (No, Unknown, VersionMissing, \
                  PacticipantUnknown); 2 no answer could be had (EnvironmentMissing, Unauthorized, BrokerUnavailable); \
                  64 the command line cannot be followed. Of manifests: 0 the gate would admit all, 1 it would deny one, 2 what \
                  it would warn of could not be told."
)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    asking: Asking,
    /// The environment, by its name at the broker.
    #[arg(long, value_name = "NAME", alias = "environment")]
    to_environment: Option<String>,
    /// Check against the latest version with this tag of each application, as before there were environments.
    #[arg(long, value_name = "TAG", conflicts_with = "to_environment")]
    to: Option<String>,
    #[command(flatten)]
    manifests: ManifestArguments,
}

/// The check of manifests.
#[derive(Args, Debug)]
#[command(next_help_heading = "Manifests")]
struct ManifestArguments {
    /// Check every annotated workload in this file or folder, as the gate would; `-` is standard input: what helm template
    /// or kustomize build print. May be repeated.
    #[arg(long, short, value_name = "PATH", conflicts_with_all = ["pacticipant", "to_environment", "to"])]
    file: Vec<PathBuf>,
    /// A file or folder with the `PactEnvironments` (and `PactBrokers`, and Namespaces with their labels) to judge by, in
    /// place of those in the cluster. May be repeated.
    #[arg(long, value_name = "PATH", requires = "file")]
    policy: Vec<PathBuf>,
    /// The namespace of workloads that do not say theirs.
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,
    /// Ask about every environment, and not only about those that the namespace maps to.
    #[arg(long, requires = "file")]
    all_environments: bool,
    /// Fail also on what a gate that only warns or audits would let through.
    #[arg(long, requires = "file")]
    strict: bool,
}

/// Arguments of the verb `can-i-merge`.
#[derive(Args, Debug)]
#[command(disable_version_flag = true)]
pub(super) struct MergeArguments {
    #[command(flatten)]
    asking: Asking,
}

/// Runs the verb `check`.
pub(super) fn run(arguments: &CheckArguments) -> ExitCode {
    let CheckArguments { asking, to_environment, to, manifests } = arguments;
    if !manifests.file.is_empty() {
        return ended("check", asking, check_manifests(asking, manifests));
    }
    let destination = match (to_environment, to) {
        (Some(name), _) => EnvironmentName::parse(name).map(Destination::Environment),
        (None, Some(tag)) => Ok(Destination::Tag(tag.clone())),
        (None, None) if asking.selected.selectors.len() > 1 => Ok(Destination::EachOther),
        (None, None) => Ok(Destination::Latest),
    };
    match destination {
        Ok(destination) => ask("check", asking, destination),
        Err(error) => usage("check", &error.to_string()),
    }
}

/// Runs the verb `can-i-merge`.
pub(super) fn run_merge(arguments: &MergeArguments) -> ExitCode {
    ask("can-i-merge", &arguments.asking, Destination::MainBranches)
}

fn usage(verb: &str, problem: &str) -> ExitCode {
    drop(writeln!(io::stderr(), "pact-operator {verb}: {problem}"));
    ExitCode::from(super::USAGE)
}

/// The exit code of a verb, and what is said on the way out.
fn ended(verb: &str, asking: &Asking, asked: Result<u8, Failure>) -> ExitCode {
    let code = process::code(verb, asked);
    if asking.dry_run && code != 0 {
        drop(writeln!(io::stderr(), "pact-operator {verb}: a dry run, so it ends with 0 and not with {code}"));
        return ExitCode::SUCCESS;
    }
    ExitCode::from(code)
}

fn ask(verb: &str, asking: &Asking, destination: Destination) -> ExitCode {
    let Selected { selectors, ignore } = asking.selected.clone();
    if selectors.is_empty() {
        return usage(verb, "which application? Say --pacticipant and --version");
    }
    let Some(url) = asking.connection.url() else {
        return usage(verb, "no broker is named: give --broker-base-url, or set PACT_BROKER_BASE_URL");
    };
    let selection = Selection { selectors, destination, ignore };
    ended(verb, asking, answer(verb, asking, url, &selection))
}

fn answer(verb: &str, asking: &Asking, url: &str, selection: &Selection) -> Result<u8, Failure> {
    let judge = Judge::new(Broker::new(asking.connection.config(url, verb)?)?, Arc::new(NoCluster));
    let judgement = on_this_thread(async { Ok(patiently(verb, asking, || judge.judge_selection(selection)).await) })?;
    let link = messages::matrix_link(url, &selection.matrix_query());
    show(asking, &[Answer::to(selection, &judgement, link)], false)
}

fn check_manifests(asking: &Asking, arguments: &ManifestArguments) -> Result<u8, Failure> {
    let ManifestArguments { file, policy, namespace, all_environments, strict } = arguments;
    let manifests = manifests::read(file)?;
    let judging = Judging { namespace, everywhere: *all_environments, strict: *strict };
    let answers = on_this_thread(async {
        let mut policy = if policy.is_empty() {
            let client = process::api_server().await?;
            Policy::of_cluster(&client, &workloads::namespaces(&manifests, namespace)).await?
        } else {
            // What is applied together may be labelled there.
            let policy = [manifests::read(policy)?, manifests.clone()].concat();
            Policy::of_manifests(&policy)?
        };
        workloads::judge(asking, &manifests, &mut policy, judging).await
    })?;
    show(asking, &answers, true)
}

/// Writes the answers where they are wanted; returns the exit code.
fn show(asking: &Asking, answers: &[Answer], several: bool) -> Result<u8, Failure> {
    io::stdout().write_all(output::render(asking.output, answers, several, colourful()).as_bytes())?;
    if let Some(path) = &asking.summary {
        let unwritable =
            |error| format!("the summary {} cannot be written: {error}; name another file", path.display());
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(unwritable)?;
        file.write_all(output::render(Format::Markdown, answers, several, false).as_bytes()).map_err(unwritable)?;
    }
    Ok(output::outcome(answers).exit_code())
}

/// Asks until there is an answer that waiting does not change, or the tries are over.
async fn patiently<Asked>(verb: &str, asking: &Asking, ask: impl Fn() -> Asked) -> Judgement
where
    Asked: Future<Output = Result<Judgement, BrokerError>>,
{
    let (mut failures, mut waits) = (0, 0);
    loop {
        let asked = ask().await;
        let (judgement, retryable) = match asked {
            Ok(judgement) => (judgement, false),
            Err(error) => (verdict_of(&error), error.retryable()),
        };
        let again = asking.connection.wait_after(failures).filter(|_| retryable && !asking.dry_run);
        let wait = if let Some(wait) = again {
            failures += 1;
            wait
        } else if may_become_a_yes(judgement.verdict) && waits < asking.retry_while_unknown && !asking.dry_run {
            (failures, waits) = (0, waits + 1);
            Duration::from_secs(asking.retry_interval)
        } else {
            return judgement;
        };
        if asking.verbose || retryable {
            let (verdict, why) = (judgement.verdict, judgement.explanation.as_deref().unwrap_or("a result is missing"));
            let said = format!("pact-operator {verb}: {verdict}, {why}; asked again in {} s", wait.as_secs_f32());
            drop(writeln!(io::stderr(), "{said}"));
        }
        tokio::time::sleep(wait).await;
    }
}

/// Whether time alone may turn a verdict into a yes: results and versions are still being published.
const fn may_become_a_yes(verdict: Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Unknown | Verdict::VersionMissing | Verdict::PacticipantUnknown | Verdict::BrokerUnavailable
    )
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
