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
    assert!(index.set(&plain, Some(&object(&plain, Some("2"), &[], &["1", "0"]))));
    assert!(index.set(&blue, Some(&object(&blue, None, &["3", "4"], &["1"]))));
    assert!(index.set(&other, Some(&object(&other, Some("9"), &[], &[]))));
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
    let mut set = |object: Option<&PactDeployment>| index.set(&key, object);
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
    assert_eq!(index.retain(|key| *key != empty), Vec::<EnvironmentRef>::new(), "nothing was recorded there");
    assert_eq!(index.retain(|key| *key == orders), [environment_ref("production")]);
    assert_eq!(versions(&index.of(&orders.environment_ref, &orders.pacticipant).current), ["1"]);
    assert_eq!(index.retain(|_| false), [environment_ref("production")]);
    assert_eq!(index.of(&orders.environment_ref, &orders.pacticipant), RecordedVersions::default());
    assert!(index.by_pacticipant.is_empty(), "what is forgotten takes no room");
}
