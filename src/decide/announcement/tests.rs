use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use regex::Regex;
use serde_json::{Value, json};

use super::*;
use crate::decide::record::fixtures::{at, key, key_of_instance};

fn announcement(kind: &str) -> Announcement {
    Announcement {
        sequence: 7,
        kind: kind.into(),
        at: Time(at(1_700_000_000)),
        version: "2.0+b1".into(),
        previous_version: matches!(kind, "Upgraded" | "RolledBack").then(|| "1".into()),
        workloads: vec!["Deployment shop/orders".into()],
        message: match kind {
            "Removed" => "no workload runs it any more".into(),
            "Denied" => "orders 2.0+b1 → production: web 1 fails".into(),
            "WouldDeny" => "web 1 has a failed verification with it".into(),
            "Bypassed" => "Deployment shop/orders states that 2.0+b1 passes the gate unasked: \"outage\"".into(),
            _ => String::new(),
        },
        sinks: vec!["cdevents".into()],
    }
}

/// The rules that the schemas of CDEvents 0.5 have for these events: what is required, what may be there, and the forms.
fn assert_valid(event: &Value, kind: Kind) {
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let filled = |value: &Value| !value.as_str().unwrap().is_empty();
    assert_eq!(keys(event), ["context", "customData", "customDataContentType", "subject"]);
    let (context, subject) = (&event["context"], &event["subject"]);
    assert_eq!(keys(context), ["id", "source", "specversion", "timestamp", "type"]);
    assert!(context.as_object().unwrap().values().all(filled), "{context}");
    assert!(url::Url::parse("http://base").unwrap().join(context["source"].as_str().unwrap()).is_ok());
    assert!(context["timestamp"].as_str().unwrap().parse::<k8s_openapi::jiff::Timestamp>().is_ok());
    assert_eq!(keys(subject), ["content", "id", "type"]);
    assert!(filled(&subject["id"]));
    let (type_, inner) = (context["type"].as_str().unwrap(), &subject["content"]);
    assert_eq!(keys(&inner["environment"]), ["id"]);
    assert!(filled(&inner["environment"]["id"]));
    let purl = Regex::new(r"^pkg:generic/[A-Za-z0-9._~%-]+@[A-Za-z0-9._~%-]+$").unwrap();
    match kind {
        Kind::Removed => assert_eq!(keys(inner), ["environment"]),
        Kind::Deployed | Kind::Upgraded | Kind::RolledBack => {
            assert_eq!(keys(inner), ["artifactId", "environment"]);
            assert_eq!(subject["type"], "service");
            assert!(Regex::new(r"^dev\.cdevents\.service\.[a-z]+\.0\.3\.0$").unwrap().is_match(type_), "{type_}");
        }
        Kind::Drift | Kind::WouldDeny | Kind::Bypassed | Kind::Denied => {
            // The forms of custom events: of the type, and of the type of their subject.
            let form = r"^dev\.cdeventsx\.[a-zA-Z0-9]+-[a-zA-Z]+\.[a-zA-Z]+\.[0-9]\.[0-9]\.[0-9]$";
            assert!(Regex::new(form).unwrap().is_match(type_), "{type_}");
            let of_subject = subject["type"].as_str().unwrap();
            assert!(Regex::new("^[a-zA-Z0-9]+-[a-zA-Z]+$").unwrap().is_match(of_subject), "{of_subject}");
            assert!(type_.starts_with(&format!("dev.cdeventsx.{of_subject}.")), "{type_}");
        }
    }
    if let Some(artifact) = inner.get("artifactId") {
        assert!(purl.is_match(artifact.as_str().unwrap()), "{artifact}");
    }
    assert!(event["customData"].is_object());
}

#[test]
fn an_event_of_each_kind_keeps_the_schema_and_says_what_the_golden_says() {
    let key = key("production", "Order Service/eu");
    let mut text = String::new();
    for kind in Kind::ALL {
        let announcement = announcement(kind.name());
        let event = cdevent(&Subject { key: &key, uid: "uid-1", cluster: Some("eu-1"), announcement: &announcement });
        let event = event.unwrap();
        assert_valid(&event.body, *kind);
        for (repeated, of) in [
            (&event.id, "/context/id"),
            (&event.source, "/context/source"),
            (&event.type_, "/context/type"),
            (&event.time, "/context/timestamp"),
            (&event.subject, "/subject/id"),
        ] {
            assert_eq!(event.body.pointer(of).unwrap(), repeated.as_str(), "{of}");
        }
        writeln!(text, "{}", serde_json::to_string(&event.body).unwrap()).unwrap();
    }
    let golden = include_str!("cdevents.golden.jsonl");
    assert!(text == golden, "the golden is another:\n{text}");
}

#[test]
fn a_kind_that_this_version_does_not_know_makes_no_event_and_still_a_text() {
    let (key, announcement) = (key("production", "orders"), announcement("Teleported"));
    let subject = Subject { key: &key, uid: "u", cluster: None, announcement: &announcement };
    assert_eq!(cdevent(&subject), None);
    assert_eq!(described(&subject).text, "2.0+b1 of orders in production: Teleported");
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(*kind));
    }
}

#[test]
fn without_the_name_of_a_cluster_and_with_an_instance() {
    let (key, announcement) = (key_of_instance("production", "orders", "blue"), announcement("Upgraded"));
    let event = cdevent(&Subject { key: &key, uid: "u", cluster: None, announcement: &announcement }).unwrap();
    assert_eq!(
        (event.source.as_str(), event.subject.as_str(), event.id.as_str()),
        ("/pact-operator", "orders/blue", "u-1700000000-7")
    );
}

#[test]
fn a_rollout_whose_version_nobody_knows_is_described_without_one() {
    let (key, announcement) =
        (key("production", "orders"), Announcement { version: String::new(), ..announcement("Denied") });
    let subject = Subject { key: &key, uid: "u", cluster: None, announcement: &announcement };
    assert!(described(&subject).text.starts_with("a rollout of orders in production was denied: "));
    assert_eq!(cdevent(&subject).unwrap().body["subject"]["content"]["artifactId"], "pkg:generic/orders");
}

#[test]
fn case_107_other_news_of_the_same_number_have_another_id() {
    let key = key("production", "orders");
    let (before, mut after) = (announcement("Deployed"), announcement("Deployed"));
    after.at = Time(at(1_700_000_001));
    let id = |announcement: &Announcement| Subject { key: &key, uid: "u", cluster: None, announcement }.id();
    assert_eq!(id(&before), id(&announcement("Deployed")));
    assert_ne!(id(&before), id(&after));
}

#[test]
fn each_kind_has_a_sentence() {
    let key = key("production", "orders");
    let text = |kind: &Kind| {
        let announcement = announcement(kind.name());
        let described = described(&Subject { key: &key, uid: "u", cluster: None, announcement: &announcement });
        format!("{}{}", if described.warning { "! " } else { "" }, described.text)
    };
    assert_eq!(
        Kind::ALL.iter().map(text).collect::<Vec<_>>(),
        [
            "2.0+b1 of orders in production is deployed",
            "2.0+b1 of orders in production is deployed, after 1",
            "2.0+b1 of orders in production is deployed again, after 1",
            "2.0+b1 of orders in production was removed: no workload runs it any more",
            "! 2.0+b1 of orders in production was recorded again: another client had recorded something else",
            "! 2.0+b1 of orders in production would be denied: web 1 has a failed verification with it",
            "! 2.0+b1 of orders in production bypassed the gate: Deployment shop/orders states that 2.0+b1 passes the gate \
             unasked: \"outage\"",
            "! 2.0+b1 of orders in production was denied: orders 2.0+b1 → production: web 1 fails",
        ]
    );
}

#[test]
fn what_waits_for_a_sink_is_what_is_for_it_and_after_its_mark() {
    let mut object = PactDeployment::new("name", key("production", "orders").spec());
    let for_sinks = |sequence, sinks: &[&str]| Announcement {
        sequence,
        sinks: sinks.iter().map(ToString::to_string).collect(),
        ..announcement("Deployed")
    };
    object.status = Some(crate::api::PactDeploymentStatus {
        announcements: vec![
            for_sinks(1, &["cdevents"]),
            for_sinks(2, &["cdevents", "webhook"]),
            for_sinks(3, &["webhook"]),
        ],
        ..Default::default()
    });
    object.metadata.annotations = Some([("pact-operator.dev/announced-cdevents".to_owned(), "1".to_owned())].into());
    let waiting = |sink: Sink, sent| sink.waiting(&object, sent).map(|one| one.sequence).collect::<Vec<_>>();
    assert_eq!(waiting(Sink::CdEvents, 0), [2]);
    assert_eq!(waiting(Sink::CdEvents, 2), [0_i64; 0]);
    assert_eq!(waiting(Sink::Webhook, 0), [2, 3], "the first was before it was configured");
    assert_eq!(waiting(Sink::Webhook, 2), [3]);
    assert_eq!(json!(Sink::Webhook.mark(&object)), 0);
}
