use super::*;

fn versions(text: &str) -> Vec<Version> {
    text.split_whitespace().map(|version| Version::parse(version).unwrap()).collect()
}

fn set(text: &str) -> BTreeSet<Version> {
    versions(text).into_iter().collect()
}

#[test]
fn what_is_newer_than_what_is_live_may_come_and_so_may_what_is_only_half_there() {
    for (what, newest_first, making_way, staying, expected) in [
        ("nothing is live", "3 2 1", "", "", "3 2 1"),
        ("newer", "4 3 2 1", "2", "", "4 3"),
        ("the newest is live", "3 2 1", "3", "", ""),
        ("a rollout is under way", "3 2 1", "3 2", "", "3"),
        ("one instance of three has it, and one is older", "5 4 3 2 1", "4 3 1", "", "5 4 3 2"),
        ("the older one is not among the newest", "5 4 3", "4 1", "", "5 4 3"),
        ("releases stay", "5 4 3 2", "", "4 2", "5"),
        ("a release stays beside a rollout", "5 4 3 2", "4 2", "3", "5 4"),
        ("a release stays beside a deployment", "5 4 3 2", "2", "4", "5"),
        ("more than are looked at", "9 8 7 6 5 4 3 2", "4 2", "", "9 8 7 4"),
        ("more are half there than are looked at", "9 8 7 6 5 4", "9 8 7 6 5 4", "", "9 8 7 6"),
    ] {
        let (making_way, live) = (set(making_way), set(&format!("{making_way} {staying}")));
        let newer = newer(&versions(newest_first), &live, &making_way);
        assert_eq!(first(newer, &making_way), versions(expected), "{what}");
    }
}

#[test]
fn what_is_not_recorded_is_asked_about_in_as_many_requests_as_it_takes() {
    let members = |name: &str, count: usize| -> Vec<Member> {
        let version = |number: usize| (Pacticipant::parse(name).unwrap(), Version::parse(&number.to_string()).unwrap());
        (0..count).map(version).collect()
    };
    for (pending, unrecorded, requests) in [(21, 0, 1), (21, 9, 1), (21, 10, 2), (1, 58, 2), (30, 2, 2), (0, 5, 1)] {
        let (pending, unrecorded) = (members("web", pending), members("late", unrecorded));
        let asked = beside(&pending, &unrecorded);
        assert_eq!(asked.len(), requests);
        assert!(asked.iter().all(|one| one.len() <= ASKED_TOGETHER + 1 && pending.iter().all(|it| one.contains(it))));
        let all: BTreeSet<_> = asked.iter().flatten().filter(|(name, _)| name.as_str() == "late").collect();
        assert_eq!(all.len(), if pending.is_empty() { 0 } else { unrecorded.len() });
    }
    // What is on its way itself is not named twice.
    assert_eq!(beside(&members("web", 2), &members("web", 3)), [members("web", 3)]);
}
