//! Which versions are asked about together.

use super::*;

fn name(name: &str) -> Pacticipant {
    Pacticipant::parse(name).unwrap()
}

fn recorded(count: usize) -> LiveVersions {
    let version = Version::parse("1").unwrap();
    LiveVersions::all((0..count).map(|number| (name(&format!("app-{number:03}")), version.clone())))
}

fn arriving(numbers: std::ops::Range<usize>) -> Vec<UnrecordedVersion> {
    let version = Version::parse("2").unwrap();
    let one = |number| UnrecordedVersion {
        pacticipant: name(&format!("app-{number:03}")),
        version: version.clone(),
        in_flight: true,
    };
    numbers.map(one).collect()
}

/// How many versions each request names.
fn sizes(recorded: &LiveVersions, unrecorded: &[UnrecordedVersion]) -> Vec<usize> {
    let size = |live: &Vec<Live<'_>>| live.iter().map(|(_, versions)| versions.len()).sum();
    requests(recorded, unrecorded).iter().map(size).collect()
}

#[test]
fn two_hundred_applications_are_seven_requests() {
    assert_eq!(sizes(&recorded(0), &[]), [0; 0], "nothing is live, so nothing is asked");
    assert_eq!(sizes(&recorded(30), &[]), [30]);
    assert_eq!(sizes(&recorded(200), &[]), [30, 30, 30, 30, 30, 30, 20]);
}

#[test]
fn an_application_is_named_with_all_of_its_versions_and_what_is_not_recorded_with_each_other() {
    let (recorded, some, many) = (recorded(60), arriving(40..50), arriving(0..40));
    assert_eq!(sizes(&recorded, &some), [30, 30, 10], "ten applications have two versions");
    let first = &requests(&recorded, &some)[0];
    assert!(some.iter().all(|one| first.iter().any(|(it, versions)| **it == one.pacticipant && versions.len() == 2)));

    let asked = requests(&recorded, &many);
    for (one, other) in many.iter().flat_map(|one| many.iter().map(move |other| (one, other))) {
        let names = |request: &&Vec<Live<'_>>, wanted: &UnrecordedVersion| {
            request.iter().any(|(it, versions)| **it == wanted.pacticipant && versions.contains(&wanted.version))
        };
        assert!(asked.iter().any(|it| names(&it, one) && names(&it, other)), "{one:?} {other:?}");
    }
    assert!(asked.iter().all(|request| request.iter().map(|(_, versions)| versions.len()).sum::<usize>() <= 30));
}

#[test]
fn an_application_with_more_versions_than_a_request_names_is_one() {
    let version = |number: usize| Version::parse(&format!("{number}")).unwrap();
    let mobile = LiveVersions::all((0..45).map(|number| (name("mobile"), version(number))));
    assert_eq!(sizes(&mobile, &[]), [45]);
    let all: Vec<_> = (0..45)
        .map(|number| UnrecordedVersion { pacticipant: name("mobile"), version: version(number), in_flight: false })
        .collect();
    assert_eq!(sizes(&LiveVersions::default(), &all), [45]);
}
