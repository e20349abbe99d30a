//! When a `PactDeployment` of which nothing is left but its history is deleted (case 115).

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::PactDeploymentStatus;

/// How long the history is kept of what nobody runs, and of which nothing is recorded.
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Whether a status tells only what was recorded long ago: nothing of it changed for three months.
#[must_use]
pub fn outdated(status: &PactDeploymentStatus, now: Timestamp) -> bool {
    let over = status.members.is_empty()
        && status.recorded.is_none()
        && status.supported.is_empty()
        && status.intended.is_empty()
        && status.orphaned_since.is_none();
    let history = status.history.iter().map(|recorded| recorded.at.0);
    let conditions = status.conditions.iter().map(|condition| condition.last_transition_time.0);
    over && history.chain(conditions).max().is_some_and(|last| now.duration_since(last) > KEPT)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::{
        api::{
            condition::{Finding, conditions},
            deployment::Recorded,
        },
        decide::{
            Reason,
            record::fixtures::{at, member},
        },
        workload::RolloutState,
    };

    const DAY: i64 = 24 * 3600;

    fn record(day: i64) -> Recorded {
        Recorded { version: "1".into(), uuid: None, at: Time(at(day * DAY)), found: false, would_deny: None }
    }

    /// Recorded at one day, undeployed at another.
    fn left(recorded: i64, undeployed: i64) -> PactDeploymentStatus {
        let findings = [Finding::new("Ready", true, Reason::Undeployed, "")];
        PactDeploymentStatus {
            history: vec![record(recorded)],
            conditions: conditions(&[], &findings, None, at(undeployed * DAY)),
            ..PactDeploymentStatus::default()
        }
    }

    #[test]
    fn case_115_what_was_left_three_months_ago_is_outdated_and_nothing_else() {
        let now = at(1_000 * DAY);
        assert!(outdated(&left(1, 909), now));
        assert!(!outdated(&left(1, 911), now), "it was undeployed 89 days ago");
        assert!(!outdated(&left(911, 1), now), "it was recorded 89 days ago");
        assert!(!outdated(&PactDeploymentStatus::default(), now), "it was just made");
        let old = || left(1, 2);
        for (case, status) in [
            ("recorded", PactDeploymentStatus { recorded: Some(record(1)), ..old() }),
            ("supported", PactDeploymentStatus { supported: vec![record(1)], ..old() }),
            ("about to be recorded", PactDeploymentStatus { intended: vec!["1".into()], ..old() }),
            ("to be undeployed", PactDeploymentStatus { orphaned_since: Some(Time(at(3))), ..old() }),
            (
                "running",
                PactDeploymentStatus { members: vec![member("a", Ok("1"), RolloutState::Complete).shown()], ..old() },
            ),
        ] {
            assert!(!outdated(&status, now), "{case}");
        }
    }
}
