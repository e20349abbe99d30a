//! The explanation, from facts to text. It holds no rule: it asks the functions that the controller and the gate ask.

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::Facts;
use crate::{
    api::{
        PactDeployment, PactEnvironment,
        annotations::PACTICIPANT,
        deployment::Check,
        gate::GateAction,
        names::{Pacticipant, Version},
    },
    cli::columns::{Shade, painted},
    cluster::environments::Environments,
    decide::{
        Basis, EnvironmentPolicy, Finding, Identified, Judgement, Pair, PairResult, Subject, Verdict, admission::Cause,
        messages, stray_keys,
    },
    workload::{
        NamespaceMapping, NamespaceSelector, NotOwned, Ownership, RecordKey, VersionSource, Workload, identify,
        version::chosen_container,
    },
};

/// How far what belongs to a heading is moved in.
const INDENT: &str = "  ";

/// Lines of text, each a name and what there is to say of it.
#[derive(Default)]
struct Lines {
    text: String,
    colour: bool,
}

impl Lines {
    fn heading(&mut self, heading: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(heading);
        self.text.push('\n');
    }

    fn say(&mut self, name: &str, what: &str) {
        self.say_raw(name, &messages::one_line(what));
    }

    fn shaded(&mut self, name: &str, word: &str, shade: Shade, rest: &str) {
        let word = painted(word, shade, self.colour);
        self.say_raw(name, &format!("{word}{}", messages::one_line(rest)));
    }

    fn say_raw(&mut self, name: &str, what: &str) {
        self.text.push_str(format!("{INDENT}{name:<11}{what}").trim_end());
        self.text.push('\n');
    }
}

/// Everything about one workload.
pub(super) fn explained(facts: &Facts, now: Timestamp, colour: bool) -> String {
    let Facts { workload, labels, installed } = facts;
    let mut lines = Lines { colour, ..Lines::default() };
    let reference = &workload.reference;
    lines.heading(&reference.to_string());
    match &workload.annotations.pacticipant {
        Some(names) => lines.say("names", &format!("{names} (annotation {PACTICIPANT})")),
        None if workload.canary_owner.is_some() => {
            lines.say("names", "what its Flagger Canary's target names, once that is promoted");
        }
        None => lines.say("names", &format!("nobody: annotate it with {PACTICIPANT} to have it recorded and judged")),
    }
    for stray in &workload.stray_keys {
        lines.say("", &stray_keys::sentence(stray));
    }
    lines.say("rollout", &workload.rollout.to_string());

    let mut environments = Environments::default();
    for environment in &installed.environments {
        environments.set(&environment.name_any(), Some(EnvironmentPolicy::parse(environment)));
    }
    let (mapping, possible) = match labels {
        Ok(labels) => (environments.mapping(&reference.namespace, labels), Vec::new()),
        Err(why) => {
            lines.say("namespace", &format!("its labels cannot be read: {why}"));
            let whereabouts = environments.whereabouts_without_labels(&reference.namespace);
            (whereabouts.mapping, whereabouts.possible)
        }
    };
    let (objects, conflict) = match mapping {
        NamespaceMapping::Unmapped => (Vec::new(), false),
        NamespaceMapping::Mapped(objects) => (objects, false),
        NamespaceMapping::Conflicted(objects) => (objects, true),
    };
    if objects.is_empty() && possible.is_empty() {
        lines.say("namespace", &unmapped(&reference.namespace, &installed.environments));
    }
    if conflict {
        let claimants = objects.join(", ");
        let what = "nothing is recorded until only one does, or each says overlap: Allow";
        lines.say("namespace", &format!("{} is claimed by {claimants}: {what}", reference.namespace));
    }
    for object in objects.iter().chain(&possible) {
        let Some(environment) = installed.environments.iter().find(|it| it.name_any() == *object) else { continue };
        match environments.get(object) {
            Some(Ok(policy)) => in_environment(facts, environment, policy, now, &mut lines),
            Some(Err(broken)) => {
                lines.heading(&format!("PactEnvironment {object}"));
                lines.shaded("broken", "cannot be followed", Shade::Bad, &format!(": {}", broken.problem));
            }
            None => {}
        }
    }
    lines.text
}

fn unmapped(namespace: &str, environments: &[PactEnvironment]) -> String {
    let names: Vec<_> = environments.iter().map(ResourceExt::name_any).collect();
    if names.is_empty() {
        return format!("{namespace} lies in no environment: there is no PactEnvironment yet");
    }
    format!(
        "{namespace} lies in no environment, so nothing is recorded or judged: of the PactEnvironments {}, add it to \
         spec.namespaces.names of one, or label it as one selects",
        names.join(", ")
    )
}

/// Why a namespace belongs to an environment.
fn claimed_by(selector: &NamespaceSelector, namespace: &str) -> String {
    if selector.names().any(|name| name == namespace) {
        format!("it names the namespace {namespace}")
    } else if selector.is_named(namespace) {
        "it claims every namespace".to_owned()
    } else {
        format!("its label selector matches the namespace {namespace}")
    }
}

fn in_environment(
    facts: &Facts,
    environment: &PactEnvironment,
    policy: &EnvironmentPolicy,
    now: Timestamp,
    lines: &mut Lines,
) {
    let Facts { workload, installed, .. } = facts;
    let rules = &policy.rules;
    let at = &rules.environment_ref;
    lines.heading(&format!("{} (PactEnvironment {}, PactBroker {})", at.environment, rules.object, at.broker));
    lines.say("because", &claimed_by(&rules.claim.selector, &workload.reference.namespace));
    let mode = policy.gate.mode;
    let awaited = if policy.members_listed { "" } else { "; what runs is not listed yet, so that nothing is denied" };
    lines.say("gate", &format!("{mode:?}{awaited}"));
    if let Some(not_ready) = not_ready(environment) {
        lines.shaded("trouble", "not ready", Shade::Bad, &format!(": {not_ready}"));
    }
    let identity = match identify(workload, &rules.version) {
        Ok(Some(identity)) => identity,
        Ok(None) => return,
        Err(problem) => return lines.shaded("names", "unclear", Shade::Bad, &format!(": {problem}")),
    };
    let version = match &identity.version {
        Ok(resolved) => {
            lines.say("version", &format!("{}, {}", resolved.version, found_in(workload, resolved.source)));
            Some(resolved.version.clone())
        }
        Err(problem) => {
            lines.shaded("version", "unclear", Shade::Bad, &format!(": {problem}"));
            None
        }
    };
    let instance = match identity.application_instance {
        Ok(own) => own.or_else(|| rules.instance.clone()),
        Err(problem) => return lines.shaded("instance", "refused", Shade::Bad, &format!(": {problem}")),
    };
    for pacticipant in identity.pacticipants {
        if let Ownership::NotOwned(why) = rules.owners.ownership(&pacticipant, &workload.reference.namespace) {
            not_owned(&why, lines);
            continue;
        }
        let key = RecordKey { environment_ref: at.clone(), pacticipant, instance: instance.clone() };
        let record = installed.records.iter().find(|(known, _)| *known == key).map(|(_, record)| record);
        of_key(&key, record, workload, policy, version.as_ref(), now, lines);
    }
}

fn not_owned(why: &NotOwned, lines: &mut Lines) {
    lines.shaded(why.pacticipant.as_str(), "not owned", Shade::Bad, &format!(": {why}"));
}

/// Why an environment is not ready, if so.
fn not_ready(environment: &PactEnvironment) -> Option<String> {
    let conditions = &environment.status.as_ref()?.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready")?;
    (ready.status != "True").then(|| format!("{} ({})", ready.message, ready.reason))
}

fn found_in(workload: &Workload, source: VersionSource) -> String {
    match source {
        VersionSource::Annotation => "from the annotation pact-operator.dev/version".to_owned(),
        VersionSource::Label => "from the label app.kubernetes.io/version".to_owned(),
        VersionSource::ImageTag => match chosen_container(workload) {
            Ok(container) => format!("from the image of the container {}: {}", container.name, container.image),
            Err(_) => "from the image".to_owned(),
        },
    }
}

fn of_key(
    key: &RecordKey,
    record: Option<&PactDeployment>,
    workload: &Workload,
    policy: &EnvironmentPolicy,
    version: Option<&Version>,
    now: Timestamp,
    lines: &mut Lines,
) {
    let instance = key.instance.as_ref().map(|instance| format!(" ({instance})")).unwrap_or_default();
    let name = format!("{}{instance}", key.pacticipant);
    let Some(status) = record.and_then(|record| record.status.as_ref()) else {
        lines.shaded(
            "recorded",
            "not yet",
            Shade::Unsure,
            &format!(": the controller has not seen {name} yet; is it running?"),
        );
        return;
    };
    match &status.recorded {
        Some(recorded) => {
            let by = if recorded.found { ", by somebody else" } else { "" };
            let runs = version.is_none_or(|version| version.as_str() == recorded.version);
            let shade = if runs { Shade::Good } else { Shade::Unsure };
            lines.shaded("recorded", &recorded.version, shade, &format!(" of {name} since {}{by}", recorded.at.0));
        }
        None => lines.shaded("recorded", "nothing", Shade::Unsure, &format!(" of {name} yet")),
    }
    if let Some(ready) = status.conditions.iter().find(|condition| condition.type_ == "Ready") {
        let shade = if ready.status == "True" { Shade::Good } else { Shade::Unsure };
        lines.shaded("next", &ready.reason, shade, &format!(": {}", ready.message));
    }
    let others = status.members.iter().filter(|member| {
        (member.kind.as_str(), &member.namespace, &member.name)
            != (workload.reference.kind.kind(), &workload.reference.namespace, &workload.reference.name)
    });
    for other in others.take(5) {
        let version = other.version.as_deref().unwrap_or("no version");
        let (kind, namespace, name, rollout) = (&other.kind, &other.namespace, &other.name, &other.rollout);
        lines.say("beside", &format!("{kind} {namespace}/{name} runs {version} ({rollout})"));
    }
    let Some(check) =
        status.checks.iter().find(|check| version.is_some_and(|version| version.as_str() == check.version))
    else {
        return lines.shaded("verdict", "none yet", Shade::Unsure, "");
    };
    verdict(key, check, workload, policy, now, lines);
}

fn verdict(
    key: &RecordKey,
    check: &Check,
    workload: &Workload,
    policy: &EnvironmentPolicy,
    now: Timestamp,
    lines: &mut Lines,
) {
    let known = Verdict::named(&check.verdict);
    let shade = match known {
        Some(verdict) if verdict.is_yes() => Shade::Good,
        Some(Verdict::No) => Shade::Bad,
        _ => Shade::Unsure,
    };
    lines.shaded("verdict", &check.verdict, shade, &format!(" since {}: {}", check.since.0, check.message));
    let failing = check.pairs.iter().filter(|pair| pair.result != PairResult::Verified.name());
    for pair in failing {
        let provider_version = pair.provider_version.as_deref().unwrap_or("(no version)");
        let (consumer, consumer_version, provider) = (&pair.consumer, &pair.consumer_version, &pair.provider);
        lines.say("", &format!("{}: {consumer} {consumer_version} → {provider} {provider_version}", pair.result));
    }
    if let Some(more) = check.more_pairs {
        lines.say("", &format!("and {more} more pairs"));
    }
    let Some(finding) = known.and_then(|verdict| finding(key, check, verdict, workload, policy)) else {
        return;
    };
    let effect = match finding.action {
        GateAction::Deny => "a rollout of this version is denied",
        GateAction::Warn => "a rollout of this version is admitted with a warning",
        GateAction::Allow if finding.would_deny() => "a rollout of this version is admitted, and reported",
        GateAction::Allow => "a rollout of this version is admitted",
    };
    lines.say("admission", effect);
    if finding.wanted != GateAction::Allow {
        lines.say("remedy", &messages::remedy(&finding));
    }
    if let Some(ends) = policy.gate.next_end(&key.pacticipant, now) {
        lines.say("ignores", &format!("what is ignored changes at {ends}"));
    }
}

/// The finding that a rollout of a checked version would be now, as if it were new.
fn finding(
    key: &RecordKey,
    check: &Check,
    verdict: Verdict,
    workload: &Workload,
    policy: &EnvironmentPolicy,
) -> Option<Finding> {
    let subject = Subject {
        object: policy.rules.object.clone(),
        environment_ref: key.environment_ref.clone(),
        kind: workload.reference.kind,
        identified: Ok(Identified {
            pacticipant: key.pacticipant.clone(),
            version: Version::parse(&check.version).ok()?,
        }),
        basis: Basis::New,
        other_image: None,
    };
    let pairs = check.pairs.iter().filter_map(|pair| {
        let provider_version = pair.provider_version.as_deref().map(Version::parse).transpose().ok()?;
        Some(Pair {
            result: PairResult::named(&pair.result)?,
            consumer: Pacticipant::parse(&pair.consumer).ok()?,
            consumer_version: Version::parse(&pair.consumer_version).ok()?,
            provider: Pacticipant::parse(&pair.provider).ok()?,
            provider_version,
            in_flight: false,
        })
    });
    let judgement = Judgement { pairs: pairs.collect(), ..Judgement::without_pairs(verdict, check.message.clone()) };
    Some(Finding::new(subject, Cause::Judged(judgement), &policy.gate, policy.members_listed))
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
