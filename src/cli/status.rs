//! `pact-operator status`: what runs, what is recorded, and what the gate says of it, from the `PactDeployment`s.

use std::{
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    columns::{Shade, colourful, columns, line, painted},
    installed::Installed,
    process::{self, Failure},
};
use crate::{
    api::{
        PactDeploymentStatus,
        condition::is_true,
        deployment::{Check, Member},
    },
    workload::{RecordKey, RolloutState},
};

/// How often what is shown is read anew.
const AGAIN: Duration = Duration::from_secs(2);

/// Arguments of the verb `status`.
#[derive(Args, Debug)]
pub(super) struct StatusArguments {
    /// Only of this environment, by its name at the broker.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Only of this application.
    #[arg(long, short = 'a', value_name = "NAME")]
    pacticipant: Option<String>,
    /// Only what somebody may have to look at.
    #[arg(long)]
    unsettled: bool,
    /// Show it anew whenever it changes, until interrupted.
    #[arg(long, short)]
    watch: bool,
    /// The format.
    #[arg(long, short, default_value = "table", value_enum)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Runs the verb. Exit codes: 0 shown, 2 it could not be read.
pub(super) fn run(arguments: &StatusArguments) -> ExitCode {
    let shown = process::on_this_thread(show(arguments));
    process::ended("status", shown.map(|()| 0))
}

async fn show(arguments: &StatusArguments) -> Result<(), Failure> {
    let client = process::api_server().await?;
    let mut before = None;
    loop {
        let installed = Installed::read(&client).await?;
        let lines = lines(&installed, arguments);
        let text = match arguments.output {
            Format::Table => table(&lines, Timestamp::now(), colourful()),
            Format::Json => format!("{:#}\n", Value::Array(lines.iter().map(Line::document).collect())),
        };
        if before.as_ref() != Some(&lines) {
            if before.is_some() {
                writeln!(io::stdout())?;
            }
            io::stdout().write_all(text.as_bytes())?;
            before = Some(lines);
        }
        if !arguments.watch {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    key: RecordKey,
    /// The versions that finished rollouts run.
    runs: Vec<String>,
    /// The versions that are on their way.
    arriving: Vec<String>,
    recorded: Option<(String, Timestamp)>,
    check: Option<Check>,
    /// What there is to say beside that: the closed list of conditions and reasons.
    notes: Vec<String>,
    shade: Shade,
}

fn lines(installed: &Installed, arguments: &StatusArguments) -> Vec<Line> {
    let wanted = |key: &RecordKey| {
        let named = |wanted: &Option<String>, name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
        named(&arguments.environment, key.environment_ref.environment.as_str())
            && named(&arguments.pacticipant, key.pacticipant.as_str())
    };
    let records = installed.records.iter().filter(|(key, _)| wanted(key));
    let lines = records.map(|(key, record)| Line::of(key, record.status.as_ref()));
    lines.filter(|line| !arguments.unsettled || line.shade != Shade::Good).collect()
}

impl Line {
    fn of(key: &RecordKey, status: Option<&PactDeploymentStatus>) -> Self {
        let nothing = PactDeploymentStatus::default();
        let status = status.unwrap_or(&nothing);
        let idle = |member: &&Member| RolloutState::named_idle(&member.rollout, member.without_pods);
        let in_flight = |member: &&Member| RolloutState::named_in_flight(&member.rollout);
        let versions = |members: &mut dyn Iterator<Item = &Member>| {
            let mut versions: Vec<_> = members.filter_map(|member| member.version.clone()).collect();
            versions.sort();
            versions.dedup();
            versions
        };
        let runs = versions(&mut status.members.iter().filter(|member| !in_flight(member) && !idle(member)));
        let arriving = versions(&mut status.members.iter().filter(in_flight));
        let recorded = status.recorded.as_ref().map(|it| (it.version.clone(), it.at.0));
        let shown = arriving.first().or_else(|| runs.first()).or(recorded.as_ref().map(|(version, _)| version));
        let check = status.checks.iter().find(|check| Some(&check.version) == shown).or_else(|| status.checks.first());
        let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
        let mut notes = Vec::new();
        if let Some(ready) = ready.filter(|ready| ready.status != "True") {
            notes.push(ready.reason.clone());
        }
        let flags = ["Mixed", "Contested", "Orphaned", "Bypassed", "Stranger"];
        let flags = flags.into_iter().filter(|flag| is_true(&status.conditions, flag)).map(str::to_owned);
        notes.extend(flags.filter(|flag| ready.is_none_or(|ready| ready.reason != *flag)));
        let drift = |recorded: &String| !runs.is_empty() && !runs.contains(recorded);
        if recorded.as_ref().is_some_and(|(version, _)| drift(version)) {
            notes.push("Drift".to_owned());
        }
        let would_deny = check.is_some_and(|check| check.would_deny);
        if would_deny {
            notes.push("WouldDeny".to_owned());
        }
        let bad = would_deny || notes.iter().any(|note| note == "Drift" || note == "Contested");
        let shade = match (bad, notes.is_empty()) {
            (true, _) => Shade::Bad,
            (false, true) => Shade::Good,
            (false, false) => Shade::Unsure,
        };
        Self { key: key.clone(), runs, arriving, recorded, check: check.cloned(), notes, shade }
    }

    fn document(&self) -> Value {
        let Self { key, runs, arriving, recorded, check, notes, .. } = self;
        json!({
            "broker": key.environment_ref.broker,
            "environment": key.environment_ref.environment.as_str(),
            "pacticipant": key.pacticipant.as_str(),
            "applicationInstance": key.instance.as_ref().map(ToString::to_string),
            "runs": runs,
            "arriving": arriving,
            "recorded": recorded.as_ref().map(|(version, at)| json!({"version": version, "at": at})),
            "check": check,
            "notes": notes,
        })
    }
}

fn table(lines: &[Line], now: Timestamp, colour: bool) -> String {
    if lines.is_empty() {
        return "nothing is recorded: is a workload annotated, in a namespace of a PactEnvironment?\n".to_owned();
    }
    let head = ["ENVIRONMENT", "PACTICIPANT", "RUNS", "RECORDED", "SINCE", "VERDICT", "NOTES"].map(str::to_owned);
    let or_none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let rows = lines.iter().map(|line| {
        let instance = line.key.instance.as_ref().map(|instance| format!(" ({instance})")).unwrap_or_default();
        let arriving = line.arriving.iter().map(|version| format!("→{version}"));
        let runs: Vec<_> = line.runs.iter().cloned().chain(arriving).collect();
        let recorded = line.recorded.as_ref();
        [
            line.key.environment_ref.environment.to_string(),
            format!("{}{instance}", line.key.pacticipant),
            or_none(runs.join(" ")),
            or_none(recorded.map(|(version, _)| version.clone()).unwrap_or_default()),
            or_none(recorded.map(|(_, at)| age(*at, now)).unwrap_or_default()),
            or_none(line.check.as_ref().map(|check| check.verdict.clone()).unwrap_or_default()),
            or_none(line.notes.join(" ")),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let mut text = Vec::new();
    for (number, mut cells) in columns(&rows).into_iter().enumerate() {
        if let Some(of) = number.checked_sub(1).map(|number| &lines[number]) {
            cells[6] = painted(cells[6].trim_end(), of.shade, colour);
        }
        text.push(line(&cells));
    }
    text.concat()
}

/// How long ago, as kubectl writes it: `45s`, `12m`, `5h`, `3d`.
fn age(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs().max(0);
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7_199 => format!("{}m", seconds / 60),
        7_200..=172_799 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
