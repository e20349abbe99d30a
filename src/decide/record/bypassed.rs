//! Versions that run by a statement and were not judged yes since: found out from the workloads as they are, because the
//! webhook may never have been called (case 73).

use k8s_openapi::jiff::Timestamp;

use super::MemberView;
use crate::{
    api::{
        PactDeploymentStatus,
        condition::{self, Finding},
        deployment::Check,
    },
    decide::{Reason, Verdict, messages},
    workload::BypassStatement,
};

/// The type of the condition.
pub const BYPASSED: &str = "Bypassed";

/// The statement of a member by which it runs a version that no check judged yes.
#[must_use]
pub fn bypass_of<'a>(member: &'a MemberView, checks: &[Check]) -> Option<&'a BypassStatement> {
    let statement = member.bypass.as_ref()?;
    let version = member.version.as_ref().ok()?;
    let yes = |check: &Check| [Verdict::Yes, Verdict::YesVacuous].iter().any(|verdict| verdict.name() == check.verdict);
    let judged_yes = checks.iter().any(|check| check.version == version.as_str() && yes(check));
    (!judged_yes).then_some(statement)
}

/// What a statement says, in a sentence without a full stop.
#[must_use]
pub fn stated(member: &MemberView, statement: &BypassStatement) -> String {
    let version = member.version.as_ref().unwrap_or(&statement.version);
    let text = format!("{} states that {version} passes the gate unasked: {}", member.workload, statement.reason);
    messages::sanitize(&messages::shortened(&messages::one_line(&text), 512))
}

/// Adds the condition to a status whose checks are up to date, while a member runs by its statement. `before` are the
/// conditions as they were.
pub fn add_bypassed(
    status: &mut PactDeploymentStatus,
    before: Option<&PactDeploymentStatus>,
    members: &[MemberView],
    now: Timestamp,
) {
    let by_statement = |member| Some(stated(member, bypass_of(member, &status.checks)?));
    let stated: Vec<_> = members.iter().filter_map(by_statement).collect();
    if stated.is_empty() {
        return;
    }
    let finding = Finding::new(BYPASSED, true, Reason::RolloutBypassed, stated.join("; "));
    let before = before.map(|before| before.conditions.as_slice()).unwrap_or_default();
    status.conditions.extend(condition::conditions(before, &[finding], status.observed_generation, now));
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::{decide::record::fixtures::member, workload::RolloutState};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn check(version: &str, verdict: &str) -> Check {
        Check {
            version: version.into(),
            verdict: verdict.into(),
            vacuous: None,
            would_deny: false,
            message: String::new(),
            since: Time(at(0)),
            pairs: Vec::new(),
            more_pairs: None,
        }
    }

    #[test]
    fn it_is_bypassed_until_its_version_is_judged_yes() {
        let statement = BypassStatement::parse("2 the shop is down").unwrap();
        let by_statement = MemberView { bypass: Some(statement), ..member("a", Ok("2"), RolloutState::Complete) };
        let plain = member("b", Ok("2"), RolloutState::Complete);
        for (what, members, checks, bypassed) in [
            ("nobody states anything", vec![plain.clone()], vec![check("2", "No")], false),
            ("not judged yet", vec![plain.clone(), by_statement.clone()], vec![], true),
            ("judged no", vec![by_statement.clone()], vec![check("2", "No")], true),
            ("not to be asked", vec![by_statement.clone()], vec![check("2", "Unchecked")], true),
            ("another version was judged yes", vec![by_statement.clone()], vec![check("1", "Yes")], true),
            ("judged yes", vec![by_statement.clone()], vec![check("1", "No"), check("2", "Yes")], false),
            ("nobody needs it", vec![by_statement.clone()], vec![check("2", "YesVacuous")], false),
        ] {
            let mut status = PactDeploymentStatus { checks, ..PactDeploymentStatus::default() };
            add_bypassed(&mut status, None, &members, at(1));
            assert_eq!(condition::is_true(&status.conditions, BYPASSED), bypassed, "{what}");
        }
    }

    #[test]
    fn the_condition_says_who_states_what_and_keeps_its_time() {
        let statement = BypassStatement::parse("2 the shop\nis down").unwrap();
        let members = [MemberView { bypass: Some(statement), ..member("a", Ok("2"), RolloutState::Complete) }];
        let mut first = PactDeploymentStatus::default();
        add_bypassed(&mut first, None, &members, at(1));
        let condition = &first.conditions[0];
        assert_eq!(condition.reason, "RolloutBypassed");
        assert_eq!(condition.message, "Deployment shop/a states that 2 passes the gate unasked: the shop is down");
        let mut second = PactDeploymentStatus::default();
        add_bypassed(&mut second, Some(&first), &members, at(2));
        assert_eq!(second.conditions[0].last_transition_time.0, at(1));
    }
}
