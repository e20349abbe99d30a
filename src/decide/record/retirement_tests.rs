use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::{
    api::deployment::Recorded,
    decide::record::fixtures::{at, version},
};

fn recorded(version: &str, uuid: Option<&str>, found: bool) -> Recorded {
    Recorded { version: version.into(), uuid: uuid.map(str::to_owned), at: Time(at(1)), found, would_deny: None }
}

/// A record of version 1 in the row `uuid-1`.
fn status() -> PactDeploymentStatus {
    PactDeploymentStatus { recorded: Some(recorded("1", Some("uuid-1"), false)), ..PactDeploymentStatus::default() }
}

fn row(of: &str, uuid: &str) -> Row {
    Row { version: version(of), uuid: uuid.into() }
}

fn at_broker(row: Option<Row>) -> KeyAtBroker {
    KeyAtBroker { row, ..KeyAtBroker::default() }
}

/// Where deployments are recorded and taken back.
const SAYS: EnvironmentSays = EnvironmentSays { undeploys: true, adopts: false, releases: false };

/// What still runs is not taken back.
const fn saying(environment: EnvironmentSays) -> RetirementRules {
    RetirementRules { environment: Some(environment), even_if_running: false }
}

fn rules() -> RetirementRules {
    saying(SAYS)
}

fn adopting(adopts: bool) -> RetirementRules {
    saying(EnvironmentSays { adopts, ..SAYS })
}

/// As a word and the version.
fn shown(all: &[Retirement]) -> Vec<String> {
    let one = |it: &Retirement| match it {
        Retirement::TakeBack(kind, row) => format!("{kind:?} {}", row.version),
        Retirement::Refused(_, row) => format!("refused {}", row.version),
        Retirement::Unsure(_, row) => format!("unsure {}", row.version),
        Retirement::Kept(whose, row) => format!("{whose:?} {}", row.version),
        Retirement::Nothing => "nothing".to_owned(),
        Retirement::Unreadable => "unreadable".to_owned(),
    };
    all.iter().map(one).collect()
}

#[test]
fn what_still_runs_or_may_run_is_taken_back_only_where_that_is_said() {
    let unread = || Sighting::Unread("no answer".into());
    let broker = at_broker(Some(row("1", "uuid-1")));
    let even = RetirementRules { even_if_running: true, ..rules() };
    for (sightings, expected) in [
        (vec![Sighting::Gone], "Deployment 1"),
        (vec![], "Deployment 1"),
        (vec![Sighting::Asleep], "Deployment 1"),
        (vec![Sighting::Gone, Sighting::Runs], "refused 1"),
        (vec![Sighting::PodsLeft], "refused 1"),
        (vec![Sighting::Moved("orders-api".into())], "refused 1"),
        (vec![Sighting::Elsewhere("orders-api".into())], "Deployment 1"),
        (vec![unread()], "unsure 1"),
        (vec![unread(), Sighting::Runs], "refused 1"),
    ] {
        assert_eq!(shown(&retirements(&status(), &broker, rules(), &sightings)), [expected], "{sightings:?}");
        assert_eq!(shown(&retirements(&status(), &broker, even, &sightings)), ["Deployment 1"], "{sightings:?}");
    }
    let more = PactDeploymentStatus { more_members: Some(3), ..status() };
    assert_eq!(shown(&retirements(&more, &broker, rules(), &[Sighting::Gone])), ["unsure 1"]);
}

#[test]
fn what_an_environment_never_takes_back_is_kept_and_of_one_that_says_nothing_nothing_is() {
    let released = vec![row("2", "r-2")];
    let broker = KeyAtBroker { row: Some(row("1", "uuid-1")), releases: released, unreadable: false };
    let supported = vec![recorded("2", Some("r-2"), false)];
    let status = PactDeploymentStatus { supported, ..status() };
    let drained = EnvironmentSays { undeploys: false, adopts: true, ..SAYS };
    for even_if_running in [false, true] {
        for sightings in [vec![Sighting::Gone], vec![], vec![Sighting::Runs]] {
            let rules = RetirementRules { environment: Some(drained), even_if_running };
            let all = retirements(&status, &broker, rules, &sightings);
            assert_eq!(shown(&all), ["Never 1", "Never 2"], "{sightings:?}");
            let rules = RetirementRules { environment: None, even_if_running };
            let expected = match sightings.as_slice() {
                [Sighting::Runs] if !even_if_running => ["refused 1", "refused 2"],
                _ => ["unsure 1", "unsure 2"],
            };
            assert_eq!(shown(&retirements(&status, &broker, rules, &sightings)), expected, "{sightings:?}");
        }
    }
}

#[test]
fn a_release_in_another_row_is_not_the_operators() {
    let released =
        |uuid| PactDeploymentStatus { supported: vec![recorded("2", uuid, false)], ..PactDeploymentStatus::default() };
    let partner = KeyAtBroker { releases: vec![row("2", "partner")], ..KeyAtBroker::default() };
    for (uuid, expected) in
        [(Some("main"), "nothing"), (Some("partner"), "Release 2"), (None, "Release 2"), (Some(""), "Release 2")]
    {
        for rules in [rules(), adopting(true)] {
            let all = retirements(&released(uuid), &partner, rules, &[Sighting::Gone]);
            assert_eq!(shown(&all), [expected], "{uuid:?}");
        }
    }
}

#[test]
fn case_105_only_a_row_that_the_operator_wrote_and_that_has_its_version_is_taken_back() {
    let found = PactDeploymentStatus { recorded: Some(recorded("1", Some("uuid-1"), true)), ..status() };
    let lost = PactDeploymentStatus { intended: vec!["2".into()], ..status() };
    for (what, status, broker, adopts, expected) in [
        ("ours", status(), at_broker(Some(row("1", "uuid-1"))), false, "Deployment 1"),
        ("another version", status(), at_broker(Some(row("9", "uuid-9"))), false, "Others 9"),
        ("another version, even then", status(), at_broker(Some(row("9", "uuid-9"))), true, "Others 9"),
        ("the same version by another client", status(), at_broker(Some(row("1", "uuid-9"))), false, "Before 1"),
        ("it was there before", found.clone(), at_broker(Some(row("1", "uuid-1"))), false, "Before 1"),
        ("that is adopted", found, at_broker(Some(row("1", "uuid-1"))), true, "Deployment 1"),
        ("its answer was lost", lost, at_broker(Some(row("2", "uuid-2"))), false, "Deployment 2"),
        ("nothing", status(), at_broker(None), false, "nothing"),
        ("not seen", status(), KeyAtBroker { unreadable: true, ..KeyAtBroker::default() }, false, "unreadable"),
    ] {
        let all = retirements(&status, &broker, adopting(adopts), &[Sighting::Gone]);
        assert_eq!(shown(&all), [expected], "{what}");
    }
}

#[test]
fn of_releases_the_support_of_the_operators_own_ends() {
    let status = PactDeploymentStatus {
        supported: vec![recorded("2", Some("r-2"), false), recorded("1", Some("r-1"), true)],
        ..PactDeploymentStatus::default()
    };
    let releases = vec![row("3", "r-3"), row("2", "r-2"), row("1", "r-1")];
    let broker = KeyAtBroker { releases, ..KeyAtBroker::default() };
    assert_eq!(shown(&retirements(&status, &broker, rules(), &[Sighting::Gone])), ["Release 2"]);
    assert_eq!(shown(&retirements(&status, &broker, adopting(true), &[Sighting::Gone])), ["Release 2", "Release 1"]);
    assert_eq!(shown(&retirements(&status, &broker, rules(), &[Sighting::Runs])), ["refused 2"]);
}

#[test]
fn an_intended_version_makes_no_row_of_the_other_kind_the_operators() {
    let status = PactDeploymentStatus { intended: vec!["2".into()], ..PactDeploymentStatus::default() };
    let broker = KeyAtBroker { row: Some(row("2", "d-2")), releases: vec![row("2", "r-2")], unreadable: false };
    let released = saying(EnvironmentSays { releases: true, ..SAYS });
    assert_eq!(shown(&retirements(&status, &broker, rules(), &[Sighting::Gone])), ["Deployment 2"]);
    assert_eq!(shown(&retirements(&status, &broker, released, &[Sighting::Gone])), ["Release 2"]);
}

#[test]
fn a_record_of_nothing_is_not_listed() {
    assert!(may_be_recorded(&status()) && !may_be_recorded(&PactDeploymentStatus::default()));
    let intended = PactDeploymentStatus { intended: vec!["2".into()], ..PactDeploymentStatus::default() };
    assert!(may_be_recorded(&intended));
}
