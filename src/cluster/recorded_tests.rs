//! Which versions are known as recorded as `PactDeployment`s change and go.

use serde_json::json;

use super::*;
use crate::api::names::EnvironmentName;

fn environment_ref(environment: &str) -> EnvironmentRef {
    EnvironmentRef { broker: "main".into(), environment: EnvironmentName::parse(environment).unwrap() }
}

fn key(pacticipant: &str, instance: Option<&str>) -> RecordKey {
    RecordKey {
        environment_ref: environment_ref("production"),
        pacticipant: Pacticipant::parse(pacticipant).unwrap(),
        instance: instance.map(|instance| ApplicationInstance::parse(instance).unwrap()),
    }
}

/// The object of a key: what is recorded, what is supported, what was before.
fn object(key: &RecordKey, recorded: Option<&str>, supported: &[&str], history: &[&str]) -> PactDeployment {
    let one = |version: &str| json!({"version": version, "at": "2026-01-01T00:00:00Z"});
    let mut object = PactDeployment::new(&key.object_name(), key.spec());
    let all = |versions: &[&str]| versions.iter().map(|version| one(version)).collect::<Vec<_>>();
    let status = json!({"recorded": recorded.map(one), "supported": all(supported), "history": all(history)});
    object.status = Some(serde_json::from_value(status).unwrap());
    object
}

fn versions(versions: &std::collections::BTreeSet<Version>) -> Vec<&str> {
    versions.iter().map(Version::as_str).collect()
}

#[test]
fn the_versions_of_a_pacticipant_are_those_of_all_its_instances_together() {
    let mut index = RecordedIndex::default();
    let (plain, blue, other) = (key("orders", None), key("orders", Some("blue")), key("Orders", None));
    assert!(index.set(&plain, Some(&object(&plain, Some("2"), &[], &["1", "0"]))).recorded);
    assert!(index.set(&blue, Some(&object(&blue, None, &["3", "4"], &["1"]))).recorded);
    assert!(index.set(&other, Some(&object(&other, Some("9"), &[], &[]))).recorded);
    let versions_of = index.of(&plain.environment_ref, &plain.pacticipant);
    assert_eq!(versions(&versions_of.current), ["2", "3", "4"]);
    assert_eq!(versions(&versions_of.former), ["0", "1"]);
    assert_eq!(index.of(&environment_ref("test"), &plain.pacticipant), RecordedVersions::default());
    assert_eq!(index.of(&plain.environment_ref, &key("stranger", None).pacticipant), RecordedVersions::default());
}

#[test]
fn only_another_recorded_version_is_a_change() {
    let mut index = RecordedIndex::default();
    let key = key("orders", None);
    let mut set = |object: Option<&PactDeployment>| index.set(&key, object).recorded;
    let empty = PactDeployment::new(&key.object_name(), key.spec());
    for (object, changed) in [
        (Some(&empty), false),
        (Some(&object(&key, None, &[], &[])), false),
        (Some(&object(&key, Some("1"), &[], &[])), true),
        (Some(&object(&key, Some("1"), &[], &[])), false),
        (Some(&object(&key, Some("1"), &[], &["0"])), false),
        (Some(&object(&key, Some("2"), &[], &["1", "0"])), true),
        (Some(&object(&key, None, &["2"], &[])), false),
        (Some(&object(&key, None, &["2", "3"], &[])), true),
        (None, true),
        (None, false),
        (Some(&object(&key, Some(""), &[], &[""])), false),
    ] {
        assert_eq!(set(object), changed, "{object:?}");
    }
}

#[test]
fn records_that_are_listed_no_more_are_forgotten_and_their_environments_named() {
    let mut index = RecordedIndex::default();
    let (orders, blue, empty) = (key("orders", None), key("orders", Some("blue")), key("empty", None));
    for (key, recorded) in [(&orders, Some("1")), (&blue, Some("2")), (&empty, None)] {
        index.set(key, Some(&object(key, recorded, &[], &[])));
    }
    let recorded = VersionsChanged { recorded: true, running: false };
    assert_eq!(index.retain(|key| *key != empty), [], "nothing was recorded there");
    assert_eq!(index.retain(|key| *key == orders), [(blue, recorded)]);
    assert_eq!(versions(&index.of(&orders.environment_ref, &orders.pacticipant).current), ["1"]);
    assert_eq!(index.retain(|_| false), [(orders.clone(), recorded)]);
    assert_eq!(index.of(&orders.environment_ref, &orders.pacticipant), RecordedVersions::default());
    assert!(index.environments.is_empty(), "what is forgotten takes no room");
}

#[test]
fn case_97_what_would_have_been_denied_is_no_way_back() {
    let mut index = RecordedIndex::default();
    let key = key("orders", None);
    let mut object = object(&key, Some("4"), &[], &["3", "2", "1"]);
    let history = &mut object.status.as_mut().unwrap().history;
    (history[0].would_deny, history[1].would_deny) = (Some(true), Some(false));
    index.set(&key, Some(&object));
    assert_eq!(versions(&index.of(&key.environment_ref, &key.pacticipant).former), ["1", "2"]);
}

#[test]
fn case_115_an_object_of_the_former_name_counts_until_the_other_one_is_written() {
    let (mut index, key) = (RecordedIndex::default(), key("orders", None));
    let state = |former: bool, number: &str, recorded: Option<&str>| {
        let mut object = object(&key, recorded, &[], &[]);
        object.metadata.resource_version = Some(number.into());
        if former {
            object.metadata.name = Some(key.former_object_name());
        }
        object
    };
    let unwritten = PactDeployment { status: None, ..state(false, "20", None) };
    let adopted = state(false, "21", Some("2"));
    for (step, object, version) in [
        ("the former one", state(true, "10", Some("1")), "1"),
        ("the other one is made", unwritten, "1"),
        ("and written", adopted.clone(), "2"),
        ("a late report", state(true, "11", Some("1")), "2"),
        ("another version of the operator leads again", state(true, "30", Some("3")), "3"),
        ("and a late report of the other one", adopted, "3"),
        ("which is written again", state(false, "40", Some("4")), "4"),
    ] {
        index.set(&key, Some(&object));
        assert_eq!(versions(&index.of(&key.environment_ref, &key.pacticipant).current), [version], "{step}");
    }
    assert!(!index.is_from(&key, &state(true, "30", None)), "its deletion says nothing");
    assert!(index.is_from(&key, &state(false, "40", None)));
}

#[test]
fn case_115_an_environment_that_is_gone_takes_no_room_and_its_next_state_is_another_one() {
    let (mut index, key) = (RecordedIndex::default(), key("orders", None));
    let rolling = running(&key, None, &[("1", "Progressing", &[])]);
    let (question, now) = (asked("web", "1"), Instant::now());
    let revision = |index: &RecordedIndex| index.revision(&key.environment_ref, &question, now);
    index.set(&key, Some(&rolling));
    let before = revision(&index);
    index.set(&key, None);
    assert!(index.environments.is_empty());
    index.set(&key, None);
    assert!(index.environments.is_empty(), "nor does one that never was");
    index.set(&key, Some(&rolling));
    assert_ne!(revision(&index), before);
}

/// The object of a key whose members run these versions, by the names of their rollouts' states.
fn running(key: &RecordKey, recorded: Option<&str>, members: &[(&str, &str, &[&str])]) -> PactDeployment {
    let mut object = object(key, recorded, &[], &[]);
    let member = |(version, rollout, earlier): &(&str, &str, &[&str])| {
        let (rollout, without_pods) = rollout.split_once(' ').map_or((*rollout, false), |(it, _)| (it, true));
        json!({"kind": "Deployment", "namespace": "shop", "name": "x", "version": version, "rollout": rollout,
               "earlierVersions": earlier, "withoutPods": without_pods})
    };
    let members = members.iter().map(member).collect::<Vec<_>>();
    object.status.as_mut().unwrap().members = serde_json::from_value(json!(members)).unwrap();
    object
}

/// Of members: version, the name of the rollout's state, earlier versions.
type Members = &'static [(&'static str, &'static str, &'static [&'static str])];
/// What the members are, what the broker has, what is unrecorded and whether it is in flight.
type Row = (&'static str, Members, &'static [&'static str], &'static [(&'static str, bool)]);

#[test]
fn what_runs_and_the_broker_does_not_have_is_unrecorded_in_flight_or_not() {
    let key = key("orders", None);
    let all = |texts: &[&str]| {
        LiveVersions::all(texts.iter().map(|text| (key.pacticipant.clone(), Version::parse(text).unwrap())))
    };
    let rows: [Row; 12] = [
        ("recorded", &[("1", "Complete", &[])], &["1"], &[]),
        ("recorded here, and lost at the broker", &[("1", "Complete", &[])], &[], &[("1", false)]),
        ("rolling out", &[("2", "Progressing", &[])], &["1"], &[("2", true)]),
        ("failed, with pods perhaps", &[("2", "Failed", &[])], &["1"], &[("2", true)]),
        ("old pods still end", &[("2", "Terminating", &[])], &["1"], &[("2", false)]),
        ("no pods", &[("2", "ScaledToZero", &[])], &["1"], &[]),
        ("paused without pods", &[("2", "Paused withoutPods", &[])], &["1"], &[]),
        ("no pods yet", &[("2", "Progressing withoutPods", &[])], &["1"], &[("2", true)]),
        ("overtaken before it was finished", &[("3", "Progressing", &["2"])], &["1"], &[("2", false), ("3", true)]),
        ("of two members", &[("1", "Complete", &[]), ("2", "Paused", &[])], &["1"], &[("2", true)]),
        ("one runs what another rolls out", &[("2", "Progressing", &[]), ("2", "Complete", &[])], &[], &[("2", false)]),
        ("no version", &[("", "Complete", &[])], &[], &[]),
    ];
    for (what, members, recorded, unrecorded) in rows {
        let mut index = RecordedIndex::default();
        index.set(&key, Some(&running(&key, Some("1"), members)));
        let found = index.unrecorded(&key.environment_ref, &asked("web", "1"), &all(recorded), Instant::now());
        let found: Vec<_> = found.iter().map(|one| (one.version.as_str(), one.in_flight)).collect();
        assert_eq!(found, unrecorded, "{what}");
        assert_eq!(
            index.unrecorded(&environment_ref("test"), &asked("web", "1"), &all(&[]), Instant::now()),
            [],
            "{what}"
        );
    }
}

/// A question in production.
fn asked(pacticipant: &str, version: &str) -> Question {
    Question {
        pacticipant: Pacticipant::parse(pacticipant).unwrap(),
        version: Version::parse(version).unwrap(),
        environment: EnvironmentName::parse("production").unwrap(),
        ignore: Vec::new(),
        in_flight: crate::api::gate::InFlight::default(),
    }
}

#[test]
fn case_94_what_is_being_admitted_counts_for_what_comes_after_it() {
    let (mut index, start, nothing) = (RecordedIndex::default(), Instant::now(), LiveVersions::all([]));
    let at = environment_ref("production");
    let (web, api, stock) = (asked("web", "2"), asked("api", "2"), asked("stock", "2"));
    let seen = |index: &RecordedIndex, question: &Question, now: Instant| {
        let unrecorded = index.unrecorded(&at, question, &nothing, now);
        assert!(unrecorded.iter().all(|it| it.in_flight));
        unrecorded.iter().map(|it| it.pacticipant.to_string()).collect::<Vec<_>>()
    };
    for question in [&web, &api, &web] {
        index.begin_admission(&at, question, start);
    }
    assert_eq!(seen(&index, &web, start), [""; 0], "it came first, and again does not change that");
    assert_eq!(seen(&index, &api, start), ["web"]);
    assert_eq!(seen(&index, &stock, start), ["api", "web"], "a dry-run comes after all");
    assert_eq!(index.revision(&at, &web, start).1, 0, "what came after it changes nothing for it");
    assert_ne!(index.revision(&at, &api, start), index.revision(&at, &stock, start));
    assert_eq!(seen(&index, &asked("api", "3"), start), ["web"], "another version of itself does not count");
    let recorded = LiveVersions::all([(web.pacticipant.clone(), web.version.clone())]);
    assert_eq!(index.unrecorded(&at, &api, &recorded, start), []);
    index.end_admission(&at, &web);
    assert_eq!(seen(&index, &api, start), [""; 0], "it was denied");
    assert_eq!(seen(&index, &stock, start + ADMISSION_COUNTS), [""; 0], "it is over");
    index.begin_admission(&at, &stock, start + ADMISSION_COUNTS);
    assert_eq!(index.environments[&at].admissions.len(), 1, "what is over takes no room");
}

#[test]
fn the_revision_of_an_environment_changes_whenever_something_else_runs_and_only_then() {
    let index = Arc::new(Mutex::new(RecordedIndex::default()));
    let key = key("orders", None);
    let of = |environment: &str| {
        let running = RunningVersions { index: Arc::clone(&index), broker: "main".to_owned() };
        running.revision(&Question { environment: EnvironmentName::parse(environment).unwrap(), ..asked("web", "1") })
    };
    let set = |object: Option<&PactDeployment>| {
        let before = of("production");
        let changed = index.lock().unwrap().set(&key, object);
        assert_eq!(of("production") != before, changed.running, "{object:?}");
        changed.running
    };
    assert!(set(Some(&running(&key, None, &[("1", "Progressing", &[])]))));
    assert!(!set(Some(&running(&key, Some("0"), &[("1", "Progressing", &[])]))));
    assert!(set(Some(&running(&key, Some("1"), &[("1", "Complete", &[])]))));
    assert!(set(Some(&running(&key, Some("1"), &[("2", "Progressing", &[])]))));
    assert!(set(None));
    assert_eq!(of("test"), (0, 0));
}
