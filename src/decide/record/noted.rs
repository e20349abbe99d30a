//! What is stored in a record before a write at the broker, so that whoever comes afterwards knows what was done. Pure.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::{
    assess::BrokerWrite,
    facts::{Row, in_doubt},
    status::{remember_verdicts, take_over},
};
use crate::api::{PactDeploymentStatus, deployment::Recorded, names::Version};

/// How many intended versions are kept.
const INTENDED_LIMIT: usize = 5;

/// The status to store before a write, given the row that it replaces. `None` when nothing new is to be noted.
#[must_use]
pub fn noted(
    status: Option<&PactDeploymentStatus>,
    row: Option<&Row>,
    write: &BrokerWrite,
    now: Timestamp,
) -> Option<PactDeploymentStatus> {
    let mut after = status.cloned().unwrap_or_default();
    if let Some(row) = row {
        note_replaced(&mut after, row, now);
    }
    let versions = match write {
        BrokerWrite::Record { version, .. } => std::slice::from_ref(version),
        BrokerWrite::Release { release, .. } => release,
        BrokerWrite::Undeploy(_) => &[],
    };
    note_intended(&mut after, versions);
    (Some(&after) != status.or(Some(&PactDeploymentStatus::default()))).then_some(after)
}

/// A row that the operator wrote without noting that it is there, because the answer was lost or the process ended: it was
/// recorded, and a rollback to it later is one (cases 4 and 28).
fn note_replaced(status: &mut PactDeploymentStatus, row: &Row, now: Timestamp) {
    let is_row = |version: &String| version == row.version.as_str();
    if in_doubt(status).any(is_row) && !status.recorded.as_ref().is_some_and(|known| is_row(&known.version)) {
        let uuid = Some(row.uuid.clone());
        let version = row.version.to_string();
        take_over(status, Recorded { version, uuid, at: Time(now), found: false, would_deny: None });
        remember_verdicts(status);
    }
}

/// Whoever finds one of these versions at the broker afterwards knows that it is the operator's own, also when the answer
/// was lost, or the operator ended right after the write (case 105).
fn note_intended(status: &mut PactDeploymentStatus, versions: &[Version]) {
    let new = |version: &&Version| !status.intended.iter().any(|intended| intended == version.as_str());
    let new: Vec<_> = versions.iter().filter(new).map(ToString::to_string).collect();
    status.intended.splice(..0, new);
    status.intended.truncate(INTENDED_LIMIT);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::record::fixtures::{at, check, version};

    fn row(text: &str) -> Row {
        Row { version: version(text), uuid: format!("uuid-{text}") }
    }

    fn record(text: &str) -> BrokerWrite {
        BrokerWrite::Record { version: version(text), correction: false }
    }

    #[test]
    fn case_105_what_is_written_is_noted_before_once_beside_what_is_still_in_doubt() {
        let noted = |before: &[&str], write: &BrokerWrite| {
            let intended = before.iter().map(ToString::to_string).collect();
            let status = PactDeploymentStatus { intended, ..PactDeploymentStatus::default() };
            noted(Some(&status), None, write, at(1)).map(|after| after.intended.join(","))
        };
        assert_eq!(noted(&["1"], &record("2")).as_deref(), Some("2,1"));
        assert_eq!(noted(&["2"], &record("2")), None);
        assert_eq!(noted(&["9", "8", "7", "6", "5"], &record("2")).as_deref(), Some("2,9,8,7,6"));
        let release = BrokerWrite::Release { release: vec![version("3"), version("2")], end: Vec::new() };
        assert_eq!(noted(&["2"], &release).as_deref(), Some("3,2"));
        assert_eq!(noted(&[], &BrokerWrite::Undeploy(row("2"))), None);
        let first = super::noted(None, None, &record("2"), at(1)).unwrap();
        assert_eq!(first.intended, ["2"]);
        assert_eq!(super::noted(None, None, &BrokerWrite::Undeploy(row("2")), at(1)), None);
    }

    /// Found by the endurance proof: the leader was stopped after its write, and a newer version finished meanwhile.
    #[test]
    fn case_28_a_version_whose_answer_was_lost_was_recorded_before_the_one_that_replaces_it() {
        let recorded = |text: &str, found| Recorded {
            version: text.into(),
            uuid: Some(format!("uuid-{text}")),
            at: Time(at(1)),
            found,
            would_deny: None,
        };
        let status = |intended: &[&str]| PactDeploymentStatus {
            recorded: Some(recorded("1", true)),
            intended: intended.iter().map(ToString::to_string).collect(),
            ..PactDeploymentStatus::default()
        };
        let versions = |after: &PactDeploymentStatus| {
            let all = after.recorded.iter().chain(&after.history).map(|recorded| recorded.version.clone());
            all.collect::<Vec<_>>().join(",")
        };
        let after = noted(Some(&status(&["2"])), Some(&row("2")), &record("3"), at(9)).unwrap();
        assert_eq!((versions(&after), after.intended.join(",")), ("2,1".to_owned(), "3,2".to_owned()));
        assert_eq!(after.recorded, Some(Recorded { at: Time(at(9)), ..recorded("2", false) }));
        let again = noted(Some(&after), Some(&row("2")), &record("3"), at(10));
        assert_eq!(again, None, "it is noted once");
        let undeployed =
            noted(Some(&status(&["2"])), Some(&row("2")), &BrokerWrite::Undeploy(row("2")), at(9)).unwrap();
        assert_eq!(versions(&undeployed), "2,1", "also when nothing replaces it");
        let others = noted(Some(&status(&["2"])), Some(&row("9")), &record("3"), at(9)).unwrap();
        assert_eq!(versions(&others), "1", "somebody else wrote this row");
    }

    #[test]
    fn case_97_a_version_whose_answer_was_lost_keeps_its_verdict() {
        for would_deny in [false, true] {
            let before = PactDeploymentStatus {
                intended: vec!["2".into()],
                checks: vec![check("2", if would_deny { "No" } else { "Yes" }, would_deny)],
                ..PactDeploymentStatus::default()
            };
            let after = noted(Some(&before), Some(&row("2")), &record("3"), at(9)).unwrap();
            assert_eq!(after.recorded.unwrap().would_deny, Some(would_deny));
        }
    }
}
