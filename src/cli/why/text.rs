//! For people: what is wrong, what to do, and what was looked at, in that order.

use std::collections::BTreeMap;

use super::Answered;
use crate::{
    api::{
        gate::GateMode,
        names::{Pacticipant, Version},
    },
    broker::FoundWay,
    cli::{
        broker_connection::remedy,
        check::Outcome,
        columns::{Shade, named_line, painted},
    },
    decide::{
        Judgement, Member, Pair, PairResult, Tried, Verdict, messages,
        verdict::way_to_yes::{AT_ONCE, VERSIONS},
    },
};

/// How many pairs and versions a section names.
const SHOWN: usize = 8;

pub(super) fn render(answers: &[Answered], colour: bool) -> String {
    answers.iter().map(|answer| one(answer, colour)).collect::<Vec<_>>().join("\n")
}

/// The lines of one answer.
struct Lines(String);

impl Lines {
    /// A line that begins with what it is about; the following ones go on below.
    fn say(&mut self, name: &str, what: &str) {
        self.0.push_str(&named_line(name, &messages::one_line(what)));
    }

    fn section(&mut self, name: &str, lines: &[String]) {
        for (at, line) in lines.iter().enumerate() {
            self.say(if at == 0 { name } else { "" }, line);
        }
    }
}

fn one(answer: &Answered, colour: bool) -> String {
    let Answered { asked: (pacticipant, version), environment, object, judgement, .. } = answer;
    let verdict = judgement.verdict;
    let shade = match (answer.outcome(), verdict.deployable()) {
        (Outcome::Yes, _) => Shade::Good,
        (Outcome::No, Some(false)) => Shade::Bad,
        _ => Shade::Unsure,
    };
    let by = match object {
        Some((object, GateMode::Off)) => format!(" (PactEnvironment {object}, its gate is off)"),
        Some((object, mode)) => format!(" (PactEnvironment {object}, its gate is on {mode:?})"),
        None => String::new(),
    };
    let mut lines = Lines(format!(
        "{} → {}: {}{by}\n",
        messages::one_line(&format!("{pacticipant} {version}")),
        environment,
        painted(verdict.name(), shade, colour)
    ));
    let reason = messages::reason_clause(pacticipant, environment, judgement);
    lines.say("because", &reason);
    let failing: Vec<_> = judgement.failing().collect();
    if failing.len() > 1 {
        lines.section("", &listed(failing.iter().map(|pair| of_pair(pair))));
    }
    if answer.refused {
        let what = "its gate requires evidence: gate.actions.yesVacuous is Deny. Publish a pact with what is there, or have one \
                    verified";
        lines.say("denied", what);
    }
    match answer.found.as_ref() {
        None => lines.section("do", &without_way(answer)),
        Some(found) => with_way(answer, found, &mut lines),
    }
    if let Some(link) = &answer.link {
        // One that is broken cannot be followed.
        lines.0.push_str("  see        ");
        lines.0.push_str(link);
        lines.0.push('\n');
    }
    lines.0
}

/// What to do where no way was looked for.
fn without_way(answer: &Answered) -> Vec<String> {
    let verdict = answer.judgement.verdict;
    let what = match verdict {
        Verdict::Yes | Verdict::YesVacuous if !answer.refused => "nothing: it may be deployed".to_owned(),
        Verdict::PacticipantUnknown => "publish its pacts, or correct the name (case counts)".to_owned(),
        Verdict::EnvironmentMissing | Verdict::Unauthorized | Verdict::BrokerUnavailable => remedy(verdict).to_owned(),
        Verdict::Yes | Verdict::YesVacuous | Verdict::No | Verdict::Unknown | Verdict::VersionMissing => {
            let trouble = answer.trouble.as_deref().unwrap_or("it was not looked for");
            format!("ask again: the way to a yes could not be looked for, {trouble}")
        }
    };
    vec![what]
}

fn with_way(answer: &Answered, found: &FoundWay, lines: &mut Lines) {
    let judgement = &answer.judgement;
    if judgement.verdict == Verdict::VersionMissing {
        let (pacticipant, version) = &answer.asked;
        let what = format!(
            "let the pipeline of {pacticipant} publish its pacts or verification results with exactly {version}, or correct \
             the version"
        );
        lines.say("do", &what);
    } else {
        lines.section("missing", &missing(judgement, found.considered.unreadable));
        lines.section("way", &way(answer, found));
    }
    lines.section("instead", &instead(answer, found));
    lines.say("looked at", &looked_at(answer, found));
}

/// The verifications that are missing, and who runs them.
fn missing(judgement: &Judgement, unreadable: usize) -> Vec<String> {
    let mut by_provider: BTreeMap<String, Vec<&Pair>> = BTreeMap::new();
    for pair in judgement.failing().filter(|pair| pair.result == PairResult::Unverified) {
        let version = pair.provider_version.as_ref().map_or(String::new(), |version| format!(" {version}"));
        by_provider.entry(format!("{}{version}", pair.provider)).or_default().push(pair);
    }
    let mut missing = Vec::new();
    for (provider, pairs) in &by_provider {
        let consumers = pairs.iter().map(|pair| format!("{} {}", pair.consumer, pair.consumer_version));
        let of = match pairs.len() {
            1 => "the pact of",
            _ => "the pacts of",
        };
        let consumers = listed(consumers).join(", ");
        missing.push(format!("{provider} has to verify {of} {consumers}, and publish the result:"));
        let name = pairs.first().map(|pair| pair.provider.to_string()).unwrap_or_default();
        missing.push(format!("the pipeline of {name} runs that"));
    }
    let all = judgement.failing().all(|pair| pair.result == PairResult::Unverified);
    if !missing.is_empty() && unreadable > 0 {
        let rows = messages::counted(unreadable, "row");
        missing.push(format!("whether more fails is not known: {rows} of the broker's answers cannot be read"));
    } else if !missing.is_empty() && all {
        missing.push("once that succeeds, it is a yes: nothing else fails".to_owned());
    }
    missing
}

/// The steps, or that there are none and what each version fails on.
fn way(answer: &Answered, found: &FoundWay) -> Vec<String> {
    if let Some(objection) = &found.objection {
        return vec![format!(
            "the first step that was found is not confirmed by the gate's own question ({}): something changed meanwhile, or \
             more runs than was looked at; ask again",
            objection.verdict
        )];
    }
    let Some(steps) = &found.way.steps else { return no_way(answer, found) };
    let mut lines = vec![match steps.len() {
        1 => "deploy at once:".to_owned(),
        _ => "deploy in this order, each step once the one before it is recorded:".to_owned(),
    }];
    let live = &found.considered.live;
    // What was deployed by an earlier step is what runs then.
    let mut before: BTreeMap<&Pacticipant, String> = BTreeMap::new();
    for (at, step) in steps.iter().enumerate() {
        let named = step.iter().map(|(name, version)| {
            let now =
                live.get(name).map(|versions| versions.iter().map(Version::as_str).collect::<Vec<_>>().join(" and "));
            let now = before
                .get(name)
                .cloned()
                .or(now)
                .map_or_else(|| "not there yet".to_owned(), |now| format!("now {now}"));
            let first = !before.contains_key(name);
            let making_way = found.considered.making_way.get(name).filter(|_| first);
            let (finish, several) = making_way.map_or((false, false), |all| (all.contains(version), all.len() > 1));
            let finish = if finish { "finish rolling out " } else { "" };
            // The other ways of an application with several instances were not looked at.
            let everywhere = if several { " in every instance" } else { "" };
            format!("{finish}{name} {version}{everywhere} ({now})")
        });
        lines.push(format!("{}. {}", at + 1, named.collect::<Vec<_>>().join(" together with ")));
        before.extend(step.iter().map(|(name, version)| (name, version.to_string())));
    }
    if steps.iter().any(|step| step.len() > 1) {
        lines.push(
            "what is in one step passes only together, and the gate judges each alone: Enforce denies each. Publish a \
             version that gets along with the old and the new one, or deploy them with a bypass"
                .to_owned(),
        );
    }
    lines
}

fn no_way(answer: &Answered, found: &FoundWay) -> Vec<String> {
    let others: Vec<_> = found.considered.pending.iter().filter(|(name, _)| **name != answer.asked.0).collect();
    let without: Vec<_> =
        others.iter().filter(|(_, versions)| versions.is_empty()).map(|(name, _)| name.to_string()).collect();
    let only_missing = answer.judgement.failing().all(|pair| pair.result == PairResult::Unverified);
    let mut lines = Vec::new();
    if found.way.tried.is_empty() && only_missing && answer.judgement.failing().next().is_some() {
        lines.push("no other: nothing that is published and newer than what is live helps".to_owned());
    } else if found.way.tried.is_empty() {
        lines.push("none with what is published: one side has to change, and be verified".to_owned());
    } else {
        lines.push(format!(
            "{} with what is published ({} tried, {VERSIONS} versions in a row and {AT_ONCE} at once at most):",
            if only_missing { "no other" } else { "none" },
            messages::counted(found.way.looked_at, "deployment")
        ));
        lines.extend(listed(found.way.tried.iter().map(|it| with_other(answer, it))));
    }
    if !without.is_empty() {
        let what = if without.len() == 1 { "has" } else { "have" };
        lines.push(format!("{} {what} no newer version than what is live", without.join(", ")));
    }
    lines
}

/// What a pending version of another application fails on.
fn with_other(answer: &Answered, tried: &Tried) -> String {
    let others: Vec<_> = tried.members.iter().filter(|member| **member != answer.asked).cloned().collect();
    format!("with {}: {}", versions(&others, ", "), failure(tried))
}

fn failure(tried: &Tried) -> String {
    tried.pair.as_ref().map_or_else(|| tried.verdict.name().to_owned(), of_pair)
}

/// The newest version that may be deployed now, and what keeps the newer ones from it.
fn instead(answer: &Answered, found: &FoundWay) -> Vec<String> {
    let pacticipant = &answer.asked.0;
    let own = found.considered.own.len();
    let mut lines = Vec::new();
    match (&found.way.newest, &found.newest) {
        (Some(version), Some(judgement)) => {
            let vacuous =
                if judgement.verdict == Verdict::YesVacuous { ", though nothing had to be verified" } else { "" };
            let runs = found.considered.live.get(pacticipant).is_some_and(|live| live.contains(version));
            let runs = if runs { "; it is what runs" } else { "" };
            lines
                .push(format!("{pacticipant} {version} is the newest version that may be deployed now{vacuous}{runs}"));
        }
        (Some(version), None) => lines.push(format!(
            "{pacticipant} {version} seemed deployable, and the gate's own question does not confirm it: ask again"
        )),
        (None, _) if own == 0 => lines.push(format!("the broker lists no version of {pacticipant}")),
        (None, _) => {
            lines.push(format!("no version of {pacticipant} may be deployed now, of its newest {own}"));
        }
    }
    let newer = found.way.newer.iter().filter(|it| !it.members.contains(&answer.asked));
    lines.extend(listed(newer.map(|it| {
        let of: Vec<&Version> = it.members.iter().map(|(_, version)| version).collect();
        let of = of.first().map_or(String::new(), ToString::to_string);
        format!("not {of}: {}", failure(it))
    })));
    lines
}

fn looked_at(answer: &Answered, found: &FoundWay) -> String {
    let considered = &found.considered;
    let own = format!("{} of {}", messages::counted(considered.own.len(), "version"), answer.asked.0);
    let others = considered.pending.iter().filter(|(name, versions)| **name != answer.asked.0 && !versions.is_empty());
    let others = others.map(|(name, versions)| format!("{} of {name}", versions.len()));
    let mut text = std::iter::once(own).chain(others).collect::<Vec<_>>().join(", ");
    text.push_str(", the newest ones");
    if !considered.left_out.is_empty() {
        text.push_str("; not at other versions of ");
        text.push_str(&listed(considered.left_out.iter().map(ToString::to_string)).join(", "));
    }
    if considered.unrecorded_left_out > 0 {
        let left_out = messages::counted(considered.unrecorded_left_out, "version");
        text = format!("{text}; not at {left_out} of what runs and is not recorded");
    }
    if found.way.cut_short {
        text.push_str("; the search was cut short");
    }
    text
}

fn versions(members: &[Member], between: &str) -> String {
    members.iter().map(|(name, version)| format!("{name} {version}")).collect::<Vec<_>>().join(between)
}

fn of_pair(pair: &Pair) -> String {
    format!("{}: {}", pair.result.name(), messages::pair(pair))
}

/// The first lines, and how many more there are.
fn listed(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<_> = lines.collect();
    let more = all.len().saturating_sub(SHOWN);
    all.truncate(SHOWN);
    if more > 0 {
        all.push(format!("and {more} more"));
    }
    all
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
