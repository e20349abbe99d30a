//! `pact-operator why PACTICIPANT VERSION`: why a version may not be deployed, and the smallest way to a yes.

mod document;
mod text;

use std::{
    collections::HashMap,
    io::{self, Write},
    process::ExitCode,
    sync::{Arc, Mutex},
};

use clap::{Args, ValueEnum};
use futures::future::join_all;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    broker_connection::{BrokerConnection, SeveralBrokers},
    check::Outcome,
    columns::colourful,
    installed::Installed,
    process::{self, Failure},
    reached_brokers::{ReachedBrokers, SecretsArguments},
};
use crate::{
    api::{
        gate::{GateAction, GateMode, InFlight},
        names::{EnvironmentName, Pacticipant, Version},
    },
    broker::{Broker, FoundWay, Judge, NoCluster, Running, verdict_of},
    cluster::recorded::{RecordedIndex, RunningVersions},
    decide::{
        EnvironmentPolicy, GateRules, Judgement, Member, Question, Verdict,
        admission::{Basis, Cause, decision::wanted},
        messages,
    },
};

const VERB: &str = "why";

/// Arguments of the verb `why`.
#[derive(Args, Debug)]
#[command(
    disable_version_flag = true,
    after_help = "With --broker-base-url and --to-environment the broker alone is asked. Otherwise the cluster's \
                  PactEnvironments say which broker to ask, what is ignored, and what runs besides; without --to-environment, \
                  about each of them.\n\nExit codes: 0 it may be deployed; 1 not to one of the environments; 2 it could not be \
                  told; 64 the command line cannot be followed."
)]
pub(super) struct WhyArguments {
    /// The application.
    #[arg(value_name = "PACTICIPANT", value_parser = Pacticipant::parse)]
    pacticipant: Pacticipant,
    /// Its version.
    #[arg(value_name = "VERSION", value_parser = Version::parse)]
    version: Version,
    /// The environment, by its name at the broker; each of the cluster's if it is not given.
    #[arg(long, value_name = "NAME", alias = "environment", value_parser = EnvironmentName::parse)]
    to_environment: Option<EnvironmentName>,
    /// The format.
    #[arg(long, short, default_value = "text", value_enum)]
    output: Format,
    #[command(flatten)]
    connection: BrokerConnection,
    #[command(flatten)]
    secrets: SecretsArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    #[value(alias = "table")]
    Text,
    /// For programs.
    Json,
    /// The same.
    Yaml,
}

/// What is known about one environment.
#[derive(Clone, Debug)]
struct Answered {
    asked: Member,
    environment: EnvironmentName,
    /// The `PactEnvironment`, and how far its gate goes, where the cluster was asked.
    object: Option<(String, GateMode)>,
    judgement: Judgement,
    /// Whether the gate denies it all the same: it is a yes for which nothing had to be verified.
    refused: bool,
    /// The smallest way to a yes, where that was looked for.
    found: Option<FoundWay>,
    /// Why it could not be looked for, where that was tried.
    trouble: Option<String>,
    /// Where people see the matrix.
    link: Option<String>,
}

impl Answered {
    fn unanswered(asked: &Member, environment: EnvironmentName, object: Option<String>, why: String) -> Self {
        Self {
            asked: asked.clone(),
            environment,
            object: object.map(|object| (object, GateMode::default())),
            judgement: Judgement::without_pairs(Verdict::BrokerUnavailable, why),
            refused: false,
            found: None,
            trouble: None,
            link: None,
        }
    }

    /// What it means for whoever asked.
    fn outcome(&self) -> Outcome {
        if self.refused { Outcome::No } else { Outcome::of(self.judgement.verdict) }
    }
}

/// Whether the gate denies a yes: one for which nothing had to be verified, where evidence is required.
fn is_refused(rules: &GateRules, judgement: &Judgement) -> bool {
    judgement.verdict.is_yes() && wanted(&Cause::Judged(judgement.clone()), Basis::New, rules) == GateAction::Deny
}

/// Runs the verb.
pub(super) fn run(arguments: &WhyArguments) -> ExitCode {
    process::ended(VERB, SeveralBrokers::as_usage(VERB, process::on_this_thread(show(arguments))))
}

async fn show(arguments: &WhyArguments) -> Result<u8, Failure> {
    let asked = (arguments.pacticipant.clone(), arguments.version.clone());
    let answers = match (arguments.connection.url(), &arguments.to_environment) {
        (Some(url), Some(environment)) => vec![by_broker(arguments, &asked, url, environment).await?],
        _ => by_cluster(arguments, &asked).await?,
    };
    let outcome = answers.iter().map(Answered::outcome).max();
    let written = match arguments.output {
        Format::Text => text::render(&answers, colourful()),
        Format::Json => format!("{:#}\n", document::render(&answers)),
        Format::Yaml => serde_yaml_ng::to_string(&document::render(&answers))?,
    };
    io::stdout().write_all(written.as_bytes())?;
    Ok(outcome.map_or(Outcome::NoAnswer, |outcome| outcome).exit_code())
}

/// By what the broker alone knows.
async fn by_broker(
    arguments: &WhyArguments,
    asked: &Member,
    url: &str,
    environment: &EnvironmentName,
) -> Result<Answered, Failure> {
    let judge = Judge::new(Broker::new(arguments.connection.config(url, VERB)?)?, Arc::new(NoCluster));
    let question = |(pacticipant, version): &Member| Question {
        pacticipant: pacticipant.clone(),
        version: version.clone(),
        environment: environment.clone(),
        ignore: Vec::new(),
        in_flight: InFlight::default(),
    };
    Ok(answer(&arguments.connection, asked, (&judge, url), &question, None, &|_| false).await)
}

/// By what the cluster says of its environments, and knows to run in them.
async fn by_cluster(arguments: &WhyArguments, asked: &Member) -> Result<Vec<Answered>, Failure> {
    let without = |error| format!("{error}; without the cluster, give --broker-base-url and --to-environment");
    let client = process::api_server().await.map_err(without)?;
    let installed = Installed::read(&client).await.map_err(without)?;
    let index = Arc::new(Mutex::new(index(&installed)));
    let parsed = installed.environments.iter().map(|object| (object.name_any(), EnvironmentPolicy::parse(object)));
    let (mut wanted, mut answers) = (Vec::new(), Vec::new());
    for ((object, parsed), environment) in parsed.zip(&installed.environments) {
        let name = environment.spec.environment.clone().unwrap_or_else(|| object.clone());
        let is_wanted = arguments.to_environment.as_ref().is_none_or(|wanted| wanted.as_str() == name);
        match parsed {
            _ if !is_wanted => {}
            Ok(policy) => wanted.push((object, policy)),
            Err(broken) => {
                let why = format!("the PactEnvironment {object} cannot be followed: {}", broken.problem);
                // Where the name at the broker is what is wrong, that of the object stands for it.
                let name = EnvironmentName::parse(&name).or_else(|_| EnvironmentName::parse(&object));
                let Ok(name) = name else { return Err(why.into()) };
                answers.push(Answered::unanswered(asked, name, Some(object), why));
            }
        }
    }
    if wanted.is_empty() && answers.is_empty() {
        return Err(nowhere(&installed, arguments.to_environment.as_ref()).into());
    }
    let (connection, secrets) = (&arguments.connection, &arguments.secrets);
    connection.is_of_all(wanted.iter().map(|(_, policy)| &policy.rules.environment_ref))?;
    let reaching = ReachedBrokers { verb: VERB, client: &client, connection, secrets };
    let mut judges: HashMap<String, Result<(Judge, String), String>> = HashMap::new();
    for (_, policy) in &wanted {
        let name = &policy.rules.environment_ref.broker;
        if !judges.contains_key(name) {
            let reached = reaching.reach(&installed, name).await.map_err(|error| error.to_string());
            let running: Arc<dyn Running> =
                Arc::new(RunningVersions { index: Arc::clone(&index), broker: name.clone() });
            judges.insert(name.clone(), reached.map(|(broker, url)| (Judge::new(broker, running), url)));
        }
    }
    let now = Timestamp::now();
    let asking = wanted.into_iter().map(async |(object, policy)| {
        let at = policy.rules.environment_ref.clone();
        let missing = || Err(format!("there is no PactBroker named {}", at.broker));
        match judges.get(&at.broker).cloned().unwrap_or_else(missing) {
            Err(why) => Answered::unanswered(asked, at.environment, Some(object), why),
            Ok((judge, url)) => {
                let question =
                    |(pacticipant, version): &Member| policy.gate.question(pacticipant, version, &at.environment, now);
                let object = Some((object, policy.gate.mode));
                let denies = |judgement: &Judgement| is_refused(&policy.gate, judgement);
                answer(connection, asked, (&judge, &url), &question, object, &denies).await
            }
        }
    });
    answers.extend(join_all(asking).await);
    Ok(answers)
}

/// What the `PactDeployments` say.
fn index(installed: &Installed) -> RecordedIndex {
    let mut index = RecordedIndex::default();
    for (key, record) in &installed.records {
        index.set(key, Some(record));
    }
    index
}

/// That no `PactEnvironment` is about the environment.
fn nowhere(installed: &Installed, wanted: Option<&EnvironmentName>) -> String {
    let known = installed
        .environments
        .iter()
        .map(|object| object.spec.environment.clone().unwrap_or_else(|| object.name_any()));
    let known: Vec<_> = known.collect();
    match (wanted, known.as_slice()) {
        (_, []) => "there is no PactEnvironment in the cluster: create one, or give --broker-base-url and \
                    --to-environment"
            .to_owned(),
        (wanted, known) => format!(
            "no PactEnvironment of the cluster is about {}, only about {}: name one of them, or give --broker-base-url",
            wanted.map_or("it", EnvironmentName::as_str),
            known.join(", ")
        ),
    }
}

async fn answer(
    connection: &BrokerConnection,
    asked: &Member,
    (judge, url): (&Judge, &str),
    question: &(dyn Fn(&Member) -> Question + Sync),
    object: Option<(String, GateMode)>,
    denies: &(dyn Fn(&Judgement) -> bool + Sync),
) -> Answered {
    let ours = question(asked);
    let judgement = connection.ask(VERB, || judge.judge(&ours)).await.unwrap_or_else(|error| verdict_of(&error));
    let verdict = judgement.verdict;
    let refused = denies(&judgement);
    let passes = |judgement: &Judgement| judgement.verdict.is_yes() && !denies(judgement);
    let (mut found, mut trouble) = (None, None);
    if verdict.answered() && !passes(&judgement) && verdict != Verdict::PacticipantUnknown {
        match connection.ask(VERB, || judge.way_to_yes(asked, &judgement, question, &passes)).await {
            Ok(Some(way)) => found = Some(way),
            Ok(None) => trouble = Some("the environment is gone by now".to_owned()),
            Err(error) => trouble = Some(error.to_string()),
        }
    }
    let link =
        (verdict.answered() && !verdict.is_unpublished()).then(|| messages::matrix_link(url, &ours.matrix_query()));
    Answered { asked: asked.clone(), environment: ours.environment, object, judgement, refused, found, trouble, link }
}
