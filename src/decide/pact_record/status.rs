//! The status of a `PactRecord`, and whether writing it may wait.

use k8s_openapi::jiff::Timestamp;

use super::outcome::Outcome;
use crate::{
    api::{
        PactRecord, PactRecordStatus,
        condition::{Finding, conditions, is_true},
        record::RECORDS_LIMIT,
    },
    decide::reason::Meaning,
};

/// The status after `outcome` was found.
#[must_use]
pub fn status(object: &PactRecord, outcome: Outcome, now: Timestamp) -> PactRecordStatus {
    let recorded = outcome.recorded();
    let Outcome { why, workload_generation, version, mut records } = outcome;
    let about = |type_, truth: bool| Finding::new(type_, truth, why.reason, why.message.clone());
    let mut findings = vec![about("Ready", recorded), about("Recorded", recorded)];
    match why.reason.meaning() {
        _ if recorded => {}
        Meaning::Stalled => findings.push(about("Stalled", true)),
        Meaning::UnderWay | Meaning::Settled => findings.push(about("Reconciling", true)),
    }
    let more = records.len().saturating_sub(RECORDS_LIMIT);
    records.truncate(RECORDS_LIMIT);
    let before = object.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let generation = object.metadata.generation;
    PactRecordStatus {
        observed_generation: generation,
        workload_generation,
        version,
        records,
        more_records: i32::try_from(more).ok().filter(|more| *more > 0),
        conditions: conditions(before, &findings, generation, now),
    }
}

/// Whether a status has to be written at once: it says that all is recorded, or what is shown is not true any more. The
/// others are mostly over a moment later: a scaling, the moment between the end of a rollout and its record, a namespace
/// that an environment is about to claim.
#[must_use]
pub fn at_once(before: &PactRecordStatus, after: &PactRecordStatus) -> bool {
    let (was, is) = (is_true(&before.conditions, "Recorded"), is_true(&after.conditions, "Recorded"));
    let new = before.observed_generation != after.observed_generation;
    let another = was && before.version != after.version;
    is || another || (new && !is_true(&after.conditions, "Stalled"))
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
