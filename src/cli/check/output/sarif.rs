//! SARIF 2.1.0: one result for each answer that is not a yes, with the verdict as its rule.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Answer, Outcome, details, sentence};

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn render(answers: &[Answer]) -> Value {
    let shown = answers.iter().filter(|answer| !answer.is_plain_yes());
    let results: Vec<_> = shown.clone().map(result).collect();
    let rules: BTreeSet<_> = shown.map(|answer| answer.verdict).collect();
    let rules: Vec<_> = rules.into_iter().map(|verdict| json!({"id": verdict, "name": verdict})).collect();
    let driver = json!({"name": "pact-operator", "version": env!("CARGO_PKG_VERSION"),
                        "informationUri": env!("CARGO_PKG_REPOSITORY"), "rules": rules});
    json!({"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]})
}

fn result(answer: &Answer) -> Value {
    let level = match answer.outcome {
        Outcome::No | Outcome::NoAnswer => "error",
        Outcome::Yes => "warning",
    };
    let text = [vec![sentence(answer)], details(answer)].concat().join("\n");
    let locations = answer.workload.iter().filter(|place| place.file != "-").map(|place| {
        let logical = json!({"fullyQualifiedName": place.workload.to_string(), "kind": "resource"});
        json!({"physicalLocation": {"artifactLocation": {"uri": place.file}}, "logicalLocations": [logical]})
    });
    json!({"ruleId": answer.verdict, "level": level, "message": {"text": text},
           "locations": locations.collect::<Vec<_>>()})
}
