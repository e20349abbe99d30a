//! One status from two: another version of the operator kept a `PactDeployment` of the same key under another name.

use crate::api::{
    PactDeploymentStatus,
    deployment::{HISTORY_LIMIT, Recorded},
};

/// What both statuses know together. Where they contradict each other, the later one is right; what only the earlier one
/// knows (history, and that a record is the operator's own) is kept.
#[must_use]
pub fn merged(earlier: &PactDeploymentStatus, later: &PactDeploymentStatus) -> PactDeploymentStatus {
    let mut status = later.clone();
    let known = |version: &str| earlier.recorded.iter().chain(&earlier.supported).find(move |it| it.version == version);
    for recorded in status.recorded.iter_mut().chain(&mut status.supported) {
        let Some(known) = known(&recorded.version) else { continue };
        if known.uuid.is_none() || recorded.uuid.is_none() || known.uuid == recorded.uuid {
            recorded.found &= known.found;
            recorded.at.0 = recorded.at.0.min(known.at.0);
        }
        recorded.would_deny = least_denied(recorded.would_deny, known.would_deny);
    }
    let current = status.recorded.as_ref().map(|recorded| recorded.version.clone());
    let past = earlier.recorded.iter().map(|recorded| Recorded { uuid: None, found: false, ..recorded.clone() });
    let mut history = std::mem::take(&mut status.history);
    for one in past.chain(earlier.history.iter().cloned()) {
        match history.iter_mut().find(|known| known.version == one.version) {
            Some(known) => known.would_deny = least_denied(known.would_deny, one.would_deny),
            None if current.as_ref() != Some(&one.version) => history.push(one),
            None => {}
        }
    }
    history.sort_by_key(|recorded| std::cmp::Reverse(recorded.at.0));
    history.truncate(HISTORY_LIMIT);
    status.history = history;
    if status.recorded_for.is_empty() && status.recorded.is_some() {
        status.recorded_for.clone_from(&earlier.recorded_for);
    }
    // Those of the object that stays: its annotations say what of them was delivered.
    if !earlier.announcements.is_empty() {
        status.announcements.clone_from(&earlier.announcements);
    }
    status.corrected_version = status.corrected_version.or_else(|| earlier.corrected_version.clone());
    status
}

/// What was fine once stays so (case 97).
fn least_denied(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one && other),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::{api::deployment::Announcement, decide::record::fixtures::at};

    fn record(version: &str, second: i64, found: bool) -> Recorded {
        let uuid = Some(format!("uuid-{version}"));
        Recorded { version: version.into(), uuid, at: Time(at(second)), found, would_deny: None }
    }

    fn status(recorded: Recorded, history: &[Recorded]) -> PactDeploymentStatus {
        PactDeploymentStatus { recorded: Some(recorded), history: history.to_vec(), ..PactDeploymentStatus::default() }
    }

    fn versions(status: &PactDeploymentStatus) -> Vec<&str> {
        status.history.iter().map(|recorded| recorded.version.as_str()).collect()
    }

    #[test]
    fn case_115_an_operator_that_began_anew_takes_away_no_history_and_no_record_of_ours() {
        let earlier = status(record("3", 30, false), &[record("2", 20, false), record("1", 10, false)]);
        let same = merged(&earlier, &status(record("3", 90, true), &[]));
        assert_eq!(same.recorded, Some(record("3", 30, false)), "it was ours before");
        assert_eq!(versions(&same), ["2", "1"]);
        let next = merged(&earlier, &status(record("4", 90, false), &[record("3", 80, false)]));
        assert_eq!((next.recorded.as_ref().unwrap().version.as_str(), versions(&next)), ("4", vec!["3", "2", "1"]));
        let gone = merged(&earlier, &PactDeploymentStatus::default());
        assert_eq!((gone.recorded.as_ref(), versions(&gone)), (None, vec!["3", "2", "1"]), "the later one decides");
        let other_row = Recorded { uuid: Some("another".into()), ..record("3", 90, true) };
        assert!(merged(&earlier, &status(other_row, &[])).recorded.unwrap().found, "somebody wrote it again");
    }

    #[test]
    fn what_waits_for_its_delivery_still_does() {
        let announced = |number: i64| Announcement {
            sequence: number,
            kind: "Deployed".into(),
            at: Time(at(number)),
            version: "1".into(),
            previous_version: None,
            workloads: Vec::new(),
            message: String::new(),
            sinks: vec!["cdevents".into()],
        };
        let with = |numbers: &[i64]| PactDeploymentStatus {
            announcements: numbers.iter().copied().map(announced).collect(),
            ..PactDeploymentStatus::default()
        };
        for (earlier, later, kept) in [(&[7, 8][..], &[][..], &[7, 8][..]), (&[7], &[1, 2], &[7]), (&[], &[1], &[1])] {
            assert_eq!(merged(&with(earlier), &with(later)), with(kept));
        }
    }

    #[test]
    fn what_was_fine_once_stays_so_and_the_history_stays_bounded() {
        let fine = Recorded { would_deny: Some(false), ..record("1", 10, false) };
        let denied = Recorded { would_deny: Some(true), ..record("1", 90, false) };
        let both = merged(&status(record("9", 1, false), &[fine]), &status(record("9", 1, false), &[denied]));
        assert_eq!(both.history[0].would_deny, Some(false));
        let many: Vec<_> = (0..i64::try_from(HISTORY_LIMIT).unwrap())
            .map(|number| record(&format!("a{number}"), number, false))
            .collect();
        let more: Vec<_> = (0..i64::try_from(HISTORY_LIMIT).unwrap())
            .map(|number| record(&format!("b{number}"), 100 + number, false))
            .collect();
        let both = merged(&status(record("9", 1, false), &many), &status(record("9", 1, false), &more));
        assert_eq!((both.history.len(), versions(&both)[0]), (HISTORY_LIMIT, "b49"));
    }
}
