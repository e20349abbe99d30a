//! JSON and YAML. The form is a promise.

use serde_json::{Value, json};

use super::Answered;
use crate::{
    api::names::{Pacticipant, Version},
    broker::FoundWay,
    cli::check::Outcome,
    decide::{Member, PairResult, Tried, messages},
};

pub(super) fn render(answers: &[Answered]) -> Value {
    let outcome = answers.iter().map(Answered::outcome).max();
    let all = match outcome {
        Some(Outcome::Yes) => Some(true),
        Some(Outcome::No) => Some(false),
        Some(Outcome::NoAnswer) | None => None,
    };
    json!({"deployable": all, "environments": answers.iter().map(one).collect::<Vec<_>>()})
}

fn one(answer: &Answered) -> Value {
    let (pacticipant, version) = &answer.asked;
    let judgement = &answer.judgement;
    let reason = messages::reason_clause(pacticipant, &answer.environment, judgement);
    let unverified = judgement.pairs.iter().filter(|pair| pair.result == PairResult::Unverified);
    json!({
        "pacticipant": pacticipant.as_str(),
        "version": version.as_str(),
        "environment": answer.environment.as_str(),
        "pactEnvironment": answer.object.as_ref().map(|(object, _)| object),
        "verdict": judgement.verdict.name(),
        "deployable": judgement.verdict.deployable().map(|deployable| deployable && !answer.refused),
        "reason": messages::one_line(&reason),
        "pairs": judgement.pairs,
        "missingVerifications": unverified.collect::<Vec<_>>(),
        "way": answer.found.as_ref().map(way),
        "trouble": answer.trouble,
        "link": answer.link,
    })
}

fn way(found: &FoundWay) -> Value {
    let FoundWay { considered, way, newest, objection } = found;
    // What the gate's own question does not confirm is no way.
    let newest = way.newest.as_ref().filter(|_| newest.is_some());
    let steps = way.steps.as_ref().map(|steps| steps.iter().map(|step| members(step)).collect::<Vec<_>>());
    let pending = considered.pending.iter().map(|(name, versions)| {
        let versions: Vec<_> = versions.iter().map(Version::as_str).collect();
        json!({"pacticipant": name.as_str(), "versions": versions})
    });
    json!({
        "newestDeployable": newest.map(Version::as_str),
        "newerNotDeployable": way.newer.iter().map(tried).collect::<Vec<_>>(),
        "steps": steps,
        "tried": way.tried.iter().map(tried).collect::<Vec<_>>(),
        "unconfirmed": objection.as_ref().map(|judgement| judgement.verdict.name()),
        "lookedAt": {
            "ownVersions": considered.own.len(),
            "pending": pending.collect::<Vec<_>>(),
            "leftOut": considered.left_out.iter().map(Pacticipant::as_str).collect::<Vec<_>>(),
            "deployments": way.looked_at,
            "unrecordedLeftOut": considered.unrecorded_left_out,
            "complete": !way.cut_short && considered.complete(),
        },
    })
}

fn members(members: &[Member]) -> Vec<Value> {
    let one = |(name, version): &Member| json!({"pacticipant": name.as_str(), "version": version.as_str()});
    members.iter().map(one).collect()
}

fn tried(tried: &Tried) -> Value {
    json!({
        "versions": members(&tried.members),
        "verdict": tried.verdict.name(),
        "pair": tried.pair,
    })
}
