//! What a view of an environment answers, when it is not believed, and how places are remembered.

use super::*;
use crate::{
    api::condition::Explanation,
    broker::{DeploymentId, ReleaseId},
    recorder::fixtures::{environment_ref, key, key_of_instance, version},
    workload::RecordKey,
};

#[test]
fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
    let names: Vec<_> =
        ["production", "staging", "test"].iter().map(|name| EnvironmentName::parse(name).unwrap()).collect();
    for (wanted, suggestion) in [
        ("prod", Some("production")),
        ("prodution", Some("production")),
        ("Production", Some("production")),
        ("stagign", Some("staging")),
        ("tset", Some("test")),
        ("integration", None),
        ("xy", None),
    ] {
        let wanted = EnvironmentName::parse(wanted).unwrap();
        assert_eq!(nearest(&wanted, names.iter()).map(EnvironmentName::as_str), suggestion, "{wanted}");
    }
}

fn row(key: &RecordKey, text: &str) -> DeployedVersion {
    DeployedVersion {
        id: DeploymentId::parse(&format!("uuid-{text}")).unwrap(),
        pacticipant: key.pacticipant.clone(),
        version: version(text),
        application_instance: key.instance.clone(),
        created_at: None,
    }
}

fn release(key: &RecordKey, text: &str) -> ReleasedVersion {
    let id = ReleaseId::parse(&format!("uuid-{text}")).unwrap();
    ReleasedVersion { id, pacticipant: key.pacticipant.clone(), version: version(text), created_at: None }
}

/// A view in which these keys have version 1.
fn view(keys: &[&RecordKey]) -> View {
    let at = |key: &RecordKey| (key.pacticipant.clone(), key.instance.clone());
    View {
        id: EnvironmentId::parse("env-1").unwrap(),
        deployed: keys.iter().map(|key| (at(key), row(key, "1"))).collect(),
        supported: HashMap::new(),
        suspicious: false,
    }
}

fn trouble(reason: &'static str) -> Explanation {
    Explanation::new(reason, "message")
}

#[test]
fn case_33_a_row_with_an_instance_is_not_the_row_without_one() {
    let (null, blue) = (key("production", "orders"), key_of_instance("production", "orders", "blue"));
    assert_eq!(view(&[&null]).row(&null).unwrap().version, version("1"));
    assert_eq!(view(&[&null]).row(&blue), None);
    assert_eq!(view(&[&blue]).row(&null), None);
    assert_eq!(view(&[&null]).row(&key("production", "Orders")), None, "names are case-sensitive");
}

#[test]
fn cases_45_and_46_a_view_without_any_of_at_least_three_records_is_suspicious() {
    let ours: Vec<_> = ["a", "b", "c", "d"].map(|name| key("production", name)).to_vec();
    let recorded = version("1");
    let odd = |view: &View, known: usize| suspicious(view, ours.iter().take(known).map(|key| (key, &recorded)));
    let empty = view(&[]);
    for (known, expected) in [(0, false), (1, false), (2, false), (3, true), (4, true)] {
        assert_eq!(odd(&empty, known), expected, "{known} records are missing, all there were");
    }
    assert!(!odd(&view(&[&ours[3]]), 4), "one is there: the others were taken back by somebody");
    let somebody_elses = key("production", "z");
    assert!(odd(&view(&[&somebody_elses]), 3), "the records of others prove nothing: it may be another tenant");
    let released =
        View { supported: HashMap::from([(ours[0].pacticipant.clone(), vec![release(&ours[0], "1")])]), ..empty };
    assert!(!odd(&released, 3), "what was released counts, too");
    assert!(view(&[]).marked(true).suspicious && !view(&[]).marked(true).marked(false).suspicious);
}

#[test]
fn an_environment_can_be_used_once_it_was_read_and_for_as_long_as_nothing_is_wrong() {
    let (places, key) = (Places::default(), key("production", "orders"));
    assert_eq!(places.look_up(&key).unwrap_err().reason, "EnvironmentNotRead");
    assert_eq!(places.look_up_releases(&key).unwrap_err().reason, "EnvironmentNotRead");
    places.set(&key.environment_ref, Ok(view(&[&key]).marked(true)));
    let (id, found, odd) = places.look_up(&key).unwrap();
    assert_eq!((id.as_str(), found, odd), ("env-1", Some(row(&key, "1")), true));
    places.set(&key.environment_ref, Err(trouble("BrokerUnavailable")));
    assert_eq!(places.look_up(&key), Err(trouble("BrokerUnavailable")));
    assert!(places.state(&key.environment_ref).view.is_some(), "what was read stays through an outage");
    places.set(&key.environment_ref, Ok(view(&[])));
    assert_eq!(places.look_up(&key).unwrap().1, None);
}

#[test]
fn case_44_what_was_read_of_an_environment_that_is_gone_is_forgotten() {
    let (places, key) = (Places::default(), key("production", "orders"));
    places.set(&key.environment_ref, Ok(view(&[&key])));
    places.set(&key.environment_ref, Err(trouble("EnvironmentMissing")));
    assert!(places.state(&key.environment_ref).view.is_none(), "it may come back with another uuid and no records");
    assert_eq!(places.look_up(&key), Err(trouble("EnvironmentMissing")));
}

#[test]
fn what_was_just_seen_of_one_key_counts_at_once() {
    let (places, key) = (Places::default(), key("production", "orders"));
    let blue = key_of_instance("production", "orders", "blue");
    places.saw_row(&key, Some(row(&key, "2")));
    assert!(places.state(&key.environment_ref).view.is_none(), "an environment that was not read has no rows");
    places.set(&key.environment_ref, Ok(view(&[&key, &blue])));
    places.saw_row(&key, Some(row(&key, "2")));
    places.saw_releases(&key, vec![release(&key, "3")]);
    assert_eq!(places.look_up(&key).unwrap().1, Some(row(&key, "2")));
    assert_eq!(places.look_up(&blue).unwrap().1, Some(row(&blue, "1")));
    assert_eq!(places.look_up_releases(&key).unwrap().1, [release(&key, "3")]);
    places.saw_row(&key, None);
    assert_eq!(places.look_up(&key).unwrap().1, None);
    places.retain(&HashSet::new());
    assert_eq!(places.look_up(&key).unwrap_err().reason, "EnvironmentNotRead");
}

#[test]
fn a_missing_environment_is_told_with_what_to_do() {
    let environment = |name: &str| Environment {
        id: EnvironmentId::parse("env-1").unwrap(),
        name: EnvironmentName::parse(name).unwrap(),
        display_name: name.to_owned(),
        production: false,
    };
    let told = |all: &[Environment]| {
        let why = missing(&environment_ref("prod"), all);
        assert_eq!(why.reason, "EnvironmentMissing");
        why.message
    };
    assert!(told(&[environment("test"), environment("production")]).contains("did you mean production?"));
    assert!(told(&[environment("test")]).contains("create it there, or say create:"));
    let none = told(&[]);
    assert!(none.contains("no environments at all") && none.contains("permission"), "domain case 47: {none}");
}
