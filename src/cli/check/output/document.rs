//! JSON and YAML. What the official command line prints (`summary`, `notices`, `matrix`) is there under the same names, so
//! that a script that reads it goes on; the rest is ours.

use serde_json::{Value, json};

use super::{Answer, Outcome, outcome};
use crate::{
    api::names::Version,
    decide::{Pair, PairResult},
};

pub(super) fn render(answers: &[Answer], several: bool) -> Value {
    match answers {
        [only] if !several => one(only),
        _ => {
            let deployable = match outcome(answers) {
                Outcome::Yes => Some(true),
                Outcome::No => Some(false),
                Outcome::NoAnswer => None,
            };
            json!({"deployable": deployable, "checks": answers.iter().map(one).collect::<Vec<_>>()})
        }
    }
}

fn one(answer: &Answer) -> Value {
    let count = |wanted: &[PairResult]| answer.pairs.iter().filter(|pair| wanted.contains(&pair.result)).count();
    let kind = match answer.deployable {
        Some(true) => "success",
        Some(false) => "error",
        None => "warning",
    };
    let (pacticipant, version) = match answer.versions.as_slice() {
        [(pacticipant, version)] => (Some(pacticipant), version.as_ref()),
        _ => (None, None),
    };
    let versions = answer.versions.iter().map(|(name, version)| json!({"pacticipant": name, "version": version}));
    let mut document = json!({
        "pacticipant": pacticipant,
        "version": version,
        "versions": versions.collect::<Vec<_>>(),
        "environment": answer.destination,
        "verdict": answer.verdict,
        "deployable": answer.deployable,
        "reason": answer.reason,
        "pairs": answer.pairs.iter().map(pair_document).collect::<Vec<_>>(),
        "cautions": answer.cautions,
        "link": answer.link,
        "summary": {
            "deployable": answer.deployable,
            "reason": answer.reason,
            "success": count(&[PairResult::Verified]),
            "failed": count(&[PairResult::Failed]),
            "unknown": count(&[PairResult::Unverified, PairResult::NotDeployed]),
        },
        "notices": [{"type": kind, "text": answer.reason}],
        "matrix": answer.pairs.iter().map(row).collect::<Vec<_>>(),
    });
    if let Some(place) = &answer.workload {
        let workload = &place.workload;
        document["workload"] = json!({"kind": workload.kind.kind(), "namespace": workload.namespace,
                                      "name": workload.name, "file": place.file});
    }
    if let Some(effect) = &answer.effect {
        document["gate"] = json!({"mode": effect.mode, "action": effect.action, "wanted": effect.wanted});
    }
    document
}

/// A pair.
pub(in crate::cli) fn pair_document(pair: &Pair) -> Value {
    json!({
        "result": pair.result.name(),
        "consumer": pair.consumer.as_str(),
        "consumerVersion": pair.consumer_version.as_str(),
        "provider": pair.provider.as_str(),
        "providerVersion": pair.provider_version.as_ref().map(Version::as_str),
    })
}

/// A pair in the shape of a row of the broker's matrix.
fn row(pair: &Pair) -> Value {
    let result = match pair.result {
        PairResult::Verified => json!({"success": true}),
        PairResult::Failed => json!({"success": false}),
        PairResult::Unverified | PairResult::NotDeployed => Value::Null,
    };
    let version = pair.provider_version.as_ref().map(|version| json!({"number": version.as_str()}));
    json!({
        "consumer": {"name": pair.consumer.as_str(), "version": {"number": pair.consumer_version.as_str()}},
        "provider": {"name": pair.provider.as_str(), "version": version},
        "verificationResult": result,
    })
}
