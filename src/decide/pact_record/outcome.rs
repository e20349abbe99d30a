//! From what is known of a workload to whether its version is recorded.

use super::found::{Found, Seen, SeenKey};
use crate::{
    api::{names::Version, record::WorkloadRecord},
    decide::{Explanation, Problem, Reason, messages::brief, reason::Meaning},
    workload::{NamespaceMapping, RolloutState},
};

/// What a `PactRecord` is to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether everything is recorded as it runs, and why (not).
    pub why: Explanation,
    /// The generation of the workload.
    pub workload_generation: Option<i64>,
    /// Its version, where its environments agree.
    pub version: Option<String>,
    /// Its records.
    pub records: Vec<WorkloadRecord>,
}

impl Outcome {
    /// Whether everything is recorded as it runs.
    #[must_use]
    pub fn recorded(&self) -> bool {
        self.why.reason == Reason::Recorded
    }
}

/// Whether what a workload runs is recorded. `wanted` is the version that is waited for, if one is.
///
/// The first that applies says why not: the workload cannot be recorded as it is, a person has to act on one of its
/// records, it has not come to the version that is waited for, its rollout is not finished, a record waits.
#[must_use]
pub fn outcome(found: &Found, wanted: Option<&str>) -> Outcome {
    let nothing = |why| Outcome { why, workload_generation: None, version: None, records: Vec::new() };
    let seen = match found {
        Found::Unknown(why) => return nothing(why.clone()),
        Found::Missing(workload) => {
            let message = format!("there is no {} {} in this namespace", workload.kind, workload.name);
            return nothing(Explanation::new(Reason::WorkloadMissing, message));
        }
        Found::Seen(seen) => seen,
    };
    let judged: Vec<_> = seen.keys.iter().map(|key| (key, reason(seen, key, wanted))).collect();
    let stalled = judged.iter().find(|(_, reason)| reason.meaning() == Meaning::Stalled);
    let waiting = stalled.or_else(|| judged.iter().find(|(_, reason)| *reason != Reason::Recorded));
    let why = match (objection(seen), waiting) {
        (Some(why), _) => why,
        (None, Some((key, reason))) => explanation(seen, key, *reason, wanted),
        (None, None) => recorded(seen),
    };
    Outcome {
        why,
        workload_generation: Some(seen.generation),
        version: version(seen).map(|version| version.as_str().to_owned()),
        records: judged.into_iter().map(|(key, reason)| shown(key, reason)).collect(),
    }
}

/// Why a workload is not recorded at all, or not in everything that it says.
fn objection(seen: &Seen) -> Option<Explanation> {
    let workload = format!("{} {}", seen.workload.kind, seen.workload.name);
    let (reason, message) = if seen.template {
        let message = "is only the template of an Argo Rollout or a Flagger Canary, whose own workload is recorded";
        (Reason::TemplateOnly, format!("{workload} {message}: refer to that one"))
    } else if !seen.annotated {
        let annotation = crate::api::annotations::PACTICIPANT;
        (Reason::NotAnnotated, format!("{workload} does not say what it runs: give it the annotation {annotation}"))
    } else if let NamespaceMapping::Unmapped = &seen.mapping {
        let namespace = &seen.workload.namespace;
        (Reason::NamespaceUnmapped, format!("no PactEnvironment claims the namespace {namespace}"))
    } else if let NamespaceMapping::Conflicted(claimants) = &seen.mapping {
        let claimants = claimants.join(", ");
        (Reason::Conflicted, format!("the namespace {} is claimed by {claimants}", seen.workload.namespace))
    } else if let Some(problem) = seen.problems.first() {
        let message = match problem {
            // Which namespaces they are is not for everybody.
            Problem::NotOwned(it) => {
                format!("{workload} names {}, which other namespaces own", brief(it.pacticipant.as_str()))
            }
            problem => format!("{workload}: {problem}"),
        };
        (Reason::from(problem), message)
    } else if let Some(object) = seen.unusable.first() {
        let message = format!("the rules of the PactEnvironment {object} cannot be followed: kubectl describe pactenv");
        (Reason::InvalidEnvironment, message)
    } else if seen.keys.is_empty() {
        (Reason::NotRecorded, format!("{workload} is not known to the recorder yet"))
    } else {
        return None;
    };
    Some(Explanation::new(reason, message))
}

/// Why a key is not recorded, or that it is.
fn reason(seen: &Seen, key: &SeenKey, wanted: Option<&str>) -> Reason {
    let version = match &key.version {
        Err(problem) => return problem.into(),
        Ok(version) => version,
    };
    if key.beyond_limit {
        return Reason::NamespaceLimit;
    }
    if key.stranger {
        return Reason::Stranger;
    }
    if wanted.is_some_and(|wanted| wanted != version.as_str()) {
        return Reason::OtherVersion;
    }
    match &seen.rollout {
        RolloutState::Complete | RolloutState::ScaledToZero => {}
        RolloutState::Progressing { .. } | RolloutState::Terminating { .. } | RolloutState::Deleting => {
            return Reason::RolloutInProgress;
        }
        RolloutState::Mixed { .. } => return Reason::Mixed,
        RolloutState::Paused => return Reason::RolloutPaused,
        RolloutState::Failed { .. } => return Reason::RolloutFailed,
    }
    match &key.record {
        Some(record) if record.has(version) => Reason::Recorded,
        // What is said of another version, or of the rollout that has finished by now, is no answer.
        Some(record) => match record.reason {
            Some(Reason::RolloutInProgress) | None => Reason::NotRecorded,
            Some(reason) if reason.meaning() == Meaning::Settled => Reason::NotRecorded,
            Some(reason) => reason,
        },
        None => Reason::NotRecorded,
    }
}

/// For people: why a key is not recorded. It names nothing of other namespaces, as the `PactDeployment`'s own message may.
fn explanation(seen: &Seen, seen_key: &SeenKey, reason: Reason, wanted: Option<&str>) -> Explanation {
    let workload = format!("{} {}", seen.workload.kind, seen.workload.name);
    let (pacticipant, environment) =
        (brief(seen_key.key.pacticipant.as_str()), &seen_key.key.environment_ref.environment);
    let message = match (&seen_key.version, reason, wanted) {
        (Err(problem), ..) => format!("{workload}: {problem}"),
        (Ok(version), Reason::OtherVersion, Some(wanted)) => {
            format!("{workload} has {}, and {} is waited for", brief(version.as_str()), brief(wanted))
        }
        (Ok(version), Reason::RolloutInProgress, _) => {
            format!("the rollout of {workload} with {} is not finished", brief(version.as_str()))
        }
        (Ok(version), reason, _) => {
            let description = reason.description();
            format!("{pacticipant} {} is not recorded in {environment}. {description}", brief(version.as_str()))
        }
    };
    Explanation::new(reason, message)
}

fn recorded(seen: &Seen) -> Explanation {
    let mut environments: Vec<_> = seen.keys.iter().map(|key| key.key.environment_ref.environment.as_str()).collect();
    environments.dedup();
    let what = version(seen).map_or_else(|| "what it runs".to_owned(), |version| brief(version.as_str()));
    let message =
        format!("{} {}: {what} is recorded in {}", seen.workload.kind, seen.workload.name, environments.join(", "));
    Explanation::new(Reason::Recorded, message)
}

/// The version of a workload, where all its keys have the same.
fn version(seen: &Seen) -> Option<&Version> {
    let mut versions = seen.keys.iter().map(|key| key.version.as_ref().ok());
    let first = versions.next()??;
    versions.all(|version| version == Some(first)).then_some(first)
}

fn shown(key: &SeenKey, reason: Reason) -> WorkloadRecord {
    let has_a_say = !key.stranger && !key.beyond_limit;
    let recorded = key.record.as_ref().filter(|_| has_a_say);
    WorkloadRecord {
        broker: key.key.environment_ref.broker.clone(),
        environment: key.key.environment_ref.environment.to_string(),
        pacticipant: key.key.pacticipant.to_string(),
        application_instance: key.key.instance.as_ref().map(ToString::to_string),
        recorded: recorded.and_then(|record| record.shown(key.version.as_ref().ok())),
        reason: reason.to_string(),
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
