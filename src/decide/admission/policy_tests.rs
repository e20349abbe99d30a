//! What a gate block makes of a question: which versions are left out, for whom and until when.

use serde_json::{Value, json};

use super::*;

fn rules(ignore: &Value) -> GateRules {
    GateRules::parse(&serde_json::from_value(json!({ "ignore": ignore })).unwrap())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn name(text: &str) -> Pacticipant {
    Pacticipant::parse(text).unwrap()
}

/// What is ignored when `asked` is asked about, in the 100th second.
fn ignored(rules: &GateRules, asked: &str) -> Vec<String> {
    let (version, environment) = (Version::parse("1").unwrap(), EnvironmentName::parse("production").unwrap());
    let question = rules.question(&name(asked), &version, &environment, at(100));
    let text = |it: &Ignored| match &it.version {
        Some(version) => format!("{} {version}", it.pacticipant),
        None => it.pacticipant.to_string(),
    };
    question.ignore.iter().map(text).collect()
}

#[test]
fn what_is_ignored_depends_on_who_is_asked_about_and_on_the_time() {
    let until = |second: i64| at(second).to_string();
    for (what, ignore, asked, expected) in [
        ("whichever is asked about", json!([{"pacticipant": "web"}]), "orders", vec!["web"]),
        ("the ignored one itself", json!([{"pacticipant": "web"}]), "web", vec![]),
        ("a version of it", json!([{"pacticipant": "web", "version": "7"}]), "orders", vec!["web 7"]),
        ("a version of itself", json!([{"pacticipant": "web", "version": "7"}]), "web", vec![]),
        ("for this one", json!([{"pacticipant": "web", "for": ["stock", "orders"]}]), "orders", vec!["web"]),
        ("for another one", json!([{"pacticipant": "web", "for": ["stock"]}]), "orders", vec![]),
        ("for itself", json!([{"pacticipant": "web", "for": ["web"]}]), "web", vec![]),
        ("for a name that cannot be one", json!([{"pacticipant": "web", "for": ["orders", " "]}]), "orders", vec![]),
        ("not over yet", json!([{"pacticipant": "web", "until": until(101)}]), "orders", vec!["web"]),
        ("just over", json!([{"pacticipant": "web", "until": until(100)}]), "orders", vec![]),
        (
            "in order, each once",
            json!([{"pacticipant": "web"}, {"pacticipant": "app"}, {"pacticipant": "web", "until": until(200)}]),
            "orders",
            vec!["app", "web"],
        ),
    ] {
        let ignore = ignore.as_array().unwrap().iter().cloned().map(|mut it| {
            it["reason"] = json!("x");
            it
        });
        let rules = rules(&ignore.collect());
        assert_eq!(ignored(&rules, asked), expected, "{what}");
    }
}

#[test]
fn the_next_end_is_that_of_what_counts_for_the_one_that_is_asked_about() {
    let until = |second: i64| at(second).to_string();
    let rules = rules(&json!([
        {"pacticipant": "web", "reason": "x", "until": until(300)},
        {"pacticipant": "app", "reason": "x", "until": until(200)},
        {"pacticipant": "api", "reason": "x", "until": until(150), "for": ["stock"]},
        {"pacticipant": "old", "reason": "x", "until": until(50)},
        {"pacticipant": "ever", "reason": "x"},
    ]));
    for (asked, second) in [("orders", Some(200)), ("stock", Some(150)), ("app", Some(300))] {
        assert_eq!(rules.next_end(&name(asked), at(100)), second.map(at), "{asked}");
    }
    assert_eq!(rules.next_end(&name("orders"), at(300)), None);
}
