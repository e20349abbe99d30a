//! Sets of versions, and rows without an environment.

use super::*;
use crate::decide::MatrixRow;

fn row(consumer: (&str, &str), provider: (&str, Option<&str>), success: Option<bool>) -> MatrixRow {
    MatrixRow {
        consumer: Pacticipant::parse(consumer.0).unwrap(),
        consumer_version: Version::parse(consumer.1).unwrap(),
        provider: Pacticipant::parse(provider.0).unwrap(),
        provider_version: provider.1.map(|version| Version::parse(version).unwrap()),
        success,
        ignored: false,
    }
}

fn matrix(rows: Vec<MatrixRow>) -> Matrix {
    let count = |wanted| u64::try_from(rows.iter().filter(|row| row.success == wanted).count()).unwrap();
    let (success, failed, unknown) = (count(Some(true)), count(Some(false)), count(None));
    let deployable = if unknown > 0 { None } else { Some(failed == 0) };
    Matrix { deployable, success, failed, unknown, rows, unreadable: 0 }
}

fn members() -> Vec<Member> {
    let member = |name, version| (Pacticipant::parse(name).unwrap(), Version::parse(version).unwrap());
    vec![member("web", "2"), member("api", "10")]
}

fn alone(verdict: Verdict) -> Judgement {
    of_pairs(verdict, BTreeSet::new())
}

#[test]
fn rows_without_an_environment_are_read_with_what_failed_first_and_never_more_lightly_than_the_broker_reads_them() {
    let verified = row(("web", "2"), ("api", Some("10")), Some(true));
    let failed = row(("web", "2"), ("cart", Some("3")), Some(false));
    let unverified = row(("web", "2"), ("stock", None), None);
    for (rows, verdict) in [
        (vec![], Verdict::YesVacuous),
        (vec![verified.clone()], Verdict::Yes),
        (vec![verified.clone(), unverified.clone()], Verdict::Unknown),
        (vec![verified.clone(), unverified, failed], Verdict::No),
    ] {
        assert_eq!(by_rows(&matrix(rows.clone())).verdict, verdict, "{rows:?}");
    }
    let missing = Matrix { deployable: Some(false), ..Matrix::default() };
    assert_eq!(by_rows(&missing).verdict, Verdict::VersionMissing);
    let whole = matrix(vec![verified]);
    for doubtful in [
        Matrix { deployable: None, ..whole.clone() },
        Matrix { deployable: Some(false), ..whole.clone() },
        Matrix { unreadable: 1, ..whole.clone() },
        Matrix { unknown: 1, ..whole.clone() },
        Matrix { success: 2, ..whole.clone() },
    ] {
        assert_eq!(by_rows(&doubtful).verdict, Verdict::Unknown, "{doubtful:?}");
    }
}

#[test]
fn a_set_is_a_yes_only_when_each_member_is_and_they_get_along_with_each_other() {
    use Verdict::{No, PacticipantUnknown, Unknown, VersionMissing, Yes, YesVacuous};
    let nothing = Matrix::default();
    let between = |success| matrix(vec![row(("web", "2"), ("api", success), success.map(|_| true))]);
    let failing = matrix(vec![row(("web", "2"), ("api", Some("10")), Some(false))]);
    let old = matrix(vec![row(("web", "2"), ("api", Some("9")), Some(false))]);
    for (first, second, between, verdict) in [
        (Yes, Yes, &between(Some("10")), Yes),
        (YesVacuous, YesVacuous, &nothing, YesVacuous),
        (YesVacuous, YesVacuous, &between(Some("10")), Yes),
        // A result of another version of a member says nothing of the set.
        (Yes, Yes, &old, Yes),
        (Yes, Yes, &between(None), Unknown),
        (Yes, Yes, &failing, No),
        (Yes, Unknown, &failing, No),
        (Yes, No, &nothing, No),
        (Yes, VersionMissing, &nothing, VersionMissing),
        (Unknown, PacticipantUnknown, &nothing, PacticipantUnknown),
        (No, Verdict::BrokerUnavailable, &nothing, Verdict::BrokerUnavailable),
    ] {
        let judged = together(&members(), &[alone(first), alone(second)], between, &[]);
        assert_eq!(judged.verdict, verdict, "{first:?} {second:?} {between:?}");
    }
}

#[test]
fn a_pair_of_a_set_shows_the_members_version_and_what_is_ignored_is_left_out() {
    let unverified = matrix(vec![row(("web", "2"), ("api", None), None)]);
    let judged = together(&members(), &[alone(Verdict::Yes), alone(Verdict::Yes)], &unverified, &[]);
    let [pair] = judged.pairs.as_slice() else { panic!("{judged:?}") };
    assert_eq!(pair.provider_version.as_ref().unwrap().as_str(), "10");
    for version in [None, Some("10")] {
        let version = version.map(|version| Version::parse(version).unwrap());
        let ignore = [Ignored { pacticipant: Pacticipant::parse("api").unwrap(), version }];
        let judged = together(&members(), &[alone(Verdict::Yes), alone(Verdict::Yes)], &unverified, &ignore);
        assert_eq!((judged.verdict, judged.pairs.len()), (Verdict::Yes, 0), "{ignore:?}");
    }
}
