//! What every format prints, word for word.

use serde_json::json;

use super::{
    super::answer::{Effect, Place},
    *,
};
use crate::{
    api::{
        gate::{GateAction, GateMode},
        names::{EnvironmentName, Pacticipant, Version},
    },
    decide::{Destination, Judgement, PairResult, Selection, Selector, Verdict, Versions},
    workload::{WorkloadKind, WorkloadRef},
};

fn pair(result: PairResult, consumer: &str, provider_version: Option<&str>) -> Pair {
    Pair {
        result,
        consumer: Pacticipant::parse(consumer).unwrap(),
        consumer_version: Version::parse("1").unwrap(),
        provider: Pacticipant::parse("orders").unwrap(),
        provider_version: provider_version.map(|version| Version::parse(version).unwrap()),
        in_flight: false,
    }
}

fn answer(verdict: Verdict, pairs: Vec<Pair>, explanation: Option<&str>) -> Answer {
    let selection = Selection {
        selectors: vec![Selector {
            pacticipant: Pacticipant::parse("orders").unwrap(),
            versions: Versions::One(Version::parse("2.0.0").unwrap()),
        }],
        destination: Destination::Environment(EnvironmentName::parse("production").unwrap()),
        ignore: Vec::new(),
    };
    let explanation = explanation.map(str::to_owned);
    let judgement = Judgement { verdict, pairs, cautions: Vec::new(), vacuous: None, meant: None, explanation };
    Answer::to(&selection, &judgement, "https://broker/matrix?a=1".to_owned())
}

fn failing() -> Answer {
    let pairs = vec![
        pair(PairResult::Failed, "web-shop", Some("2.0.0")),
        pair(PairResult::NotDeployed, "mobile", None),
        pair(PairResult::Verified, "admin", Some("2.0.0")),
    ];
    answer(Verdict::No, pairs, None)
}

/// Of a manifest: one that the gate denies, one that it would only warn of.
fn of_manifests() -> Vec<Answer> {
    let place = |name: &str| {
        let reference =
            WorkloadRef { kind: WorkloadKind::Deployment, namespace: "shop".to_owned(), name: name.to_owned() };
        Some(Place { file: "rendered/all.yaml".to_owned(), workload: reference })
    };
    let effect = |mode, action, wanted| Some(Effect { mode, action, wanted });
    let denied = effect(GateMode::Enforce, GateAction::Deny, GateAction::Deny);
    let warned = effect(GateMode::Warn, GateAction::Warn, GateAction::Deny);
    let yes = answer(Verdict::Yes, vec![pair(PairResult::Verified, "admin", Some("2.0.0"))], None);
    let unknown = answer(Verdict::Unknown, vec![pair(PairResult::Unverified, "web-shop", Some("2.0.0"))], None);
    vec![
        Answer { workload: place("orders"), effect: denied, ..failing() },
        Answer { workload: place("orders-next"), effect: warned, outcome: Outcome::Yes, ..unknown },
        Answer {
            workload: place("admin"),
            effect: effect(GateMode::Enforce, GateAction::Allow, GateAction::Allow),
            ..yes
        },
    ]
}

#[test]
fn one_answer_as_a_table_has_the_verdict_the_reason_every_pair_and_a_link() {
    let expected = "\
orders 2.0.0 → production: No
it failed to verify the pact of web-shop 1, and 1 more pair

RESULT       CONSUMER  VERSION  PROVIDER  VERSION
Failed       web-shop  1        orders    2.0.0
NotDeployed  mobile    1        orders    -
Verified     admin     1        orders    2.0.0

see https://broker/matrix?a=1
";
    assert_eq!(render(Format::Table, &[failing()], false, false), expected);
    let painted = render(Format::Table, &[failing()], false, true);
    assert!(painted.starts_with("orders 2.0.0 → production: \u{1b}[31mNo\u{1b}[0m\n"), "{painted}");
}

#[test]
fn several_answers_as_a_table_have_a_line_each_and_more_about_those_that_are_no_yes() {
    let expected = "\
WORKLOAD                PACTICIPANT  VERSION  ENVIRONMENT  VERDICT  GATE
deployment/orders       orders       2.0.0    production   No       Deny (Enforce)
deployment/orders-next  orders       2.0.0    production   Unknown  Warn (Warn)
deployment/admin        orders       2.0.0    production   Yes      Allow (Enforce)

orders 2.0.0 → production: No
  it failed to verify the pact of web-shop 1, and 1 more pair
  RESULT       CONSUMER  VERSION  PROVIDER  VERSION
  Failed       web-shop  1        orders    2.0.0
  NotDeployed  mobile    1        orders    -
  Verified     admin     1        orders    2.0.0
  see https://broker/matrix?a=1

orders 2.0.0 → production: Unknown
  it has not verified the pact of web-shop 1
  see https://broker/matrix?a=1
";
    assert_eq!(render(Format::Table, &of_manifests(), true, false), expected);
}

#[test]
fn a_table_fits_into_100_columns_and_shortens_the_widest_columns_first() {
    let mut answers = of_manifests();
    answers[0].versions = vec![("a-very-long-application-name-of-somebody".repeat(2), Some("0123456789".repeat(4)))];
    let table = render(Format::Table, &answers, true, false);
    let widest = table.lines().filter(|line| !line.contains("http")).map(|line| line.chars().count()).max().unwrap();
    assert!(widest <= 100, "{widest}\n{table}");
    assert!(table.contains("Deny (Enforce)") && table.contains("a-very-long"), "{table}");
}

#[test]
fn json_holds_what_the_official_command_line_prints_and_more() {
    let document: serde_json::Value = serde_json::from_str(&render(Format::Json, &[failing()], false, false)).unwrap();
    let reason = "it failed to verify the pact of web-shop 1, and 1 more pair";
    let summary = json!({"deployable": false, "reason": reason, "success": 1, "failed": 1, "unknown": 1});
    assert_eq!(document["summary"], summary);
    assert_eq!(document["notices"], json!([{"type": "error", "text": reason}]));
    let row = json!({"consumer": {"name": "web-shop", "version": {"number": "1"}},
                     "provider": {"name": "orders", "version": {"number": "2.0.0"}},
                     "verificationResult": {"success": false}});
    assert_eq!(document["matrix"][0], row);
    assert_eq!(document["matrix"][1]["provider"]["version"], json!(null));
    assert_eq!((&document["pacticipant"], &document["version"]), (&json!("orders"), &json!("2.0.0")));
    assert_eq!((&document["verdict"], &document["deployable"]), (&json!("No"), &json!(false)));
    assert_eq!(document["pairs"][1]["result"], "NotDeployed");
}

#[test]
fn programs_get_a_list_of_manifests_even_when_it_is_of_one() {
    let answers = of_manifests();
    for (answers, deployable) in [(&answers[..], json!(false)), (&answers[2..], json!(true)), (&[], json!(true))] {
        let yaml = render(Format::Yaml, answers, true, false);
        let document: serde_json::Value = serde_yaml_ng::from_str(&yaml).unwrap();
        assert_eq!(document["deployable"], deployable);
        assert_eq!(document["checks"].as_array().unwrap().len(), answers.len());
    }
    let document: serde_json::Value = serde_json::from_str(&render(Format::Json, &answers, true, false)).unwrap();
    let workload = json!({"kind": "Deployment", "namespace": "shop", "name": "orders", "file": "rendered/all.yaml"});
    assert_eq!(document["checks"][0]["workload"], workload);
    assert_eq!(document["checks"][0]["gate"], json!({"mode": "Enforce", "action": "Deny", "wanted": "Deny"}));
}

#[test]
fn junit_has_a_case_for_each_answer_and_nothing_in_it_is_markup() {
    let mut answers = of_manifests();
    answers[0].reason = "a <b> & \"c\" \u{7}".to_owned();
    let expected = "\
<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<testsuites name=\"can-i-deploy\" tests=\"3\" failures=\"1\" errors=\"0\">
  <testsuite name=\"can-i-deploy\" tests=\"3\" failures=\"1\" errors=\"0\">
    <testcase classname=\"Deployment shop/orders\" name=\"orders 2.0.0 → production\">
      <failure type=\"No\" message=\"orders 2.0.0 → production: No, a &lt;b&gt; &amp; &quot;c&quot; \u{fffd}\">\
Failed: web-shop 1 → orders 2.0.0
NotDeployed: mobile 1 → orders (no version)
https://broker/matrix?a=1</failure>
    </testcase>
    <testcase classname=\"Deployment shop/orders-next\" name=\"orders 2.0.0 → production\"/>
    <testcase classname=\"Deployment shop/admin\" name=\"orders 2.0.0 → production\"/>
  </testsuite>
</testsuites>
";
    assert_eq!(render(Format::Junit, &answers, true, false), expected);
}

#[test]
fn sarif_has_a_result_with_its_place_for_each_answer_that_is_no_yes() {
    let document: serde_json::Value =
        serde_json::from_str(&render(Format::Sarif, &of_manifests(), true, false)).unwrap();
    let results = document["runs"][0]["results"].as_array().unwrap();
    let found: Vec<_> = results.iter().map(|it| (it["ruleId"].clone(), it["level"].clone())).collect();
    assert_eq!(found, [(json!("No"), json!("error")), (json!("Unknown"), json!("warning"))]);
    let place = &results[0]["locations"][0];
    assert_eq!(place["physicalLocation"]["artifactLocation"]["uri"], "rendered/all.yaml");
    assert_eq!(place["logicalLocations"][0]["fullyQualifiedName"], "Deployment shop/orders");
    assert_eq!(document["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().len(), 2);
}

#[test]
fn github_gets_annotations_that_cannot_hold_another_command() {
    let mut answers = of_manifests();
    answers[0].reason = "a\n::warning::b%".to_owned();
    let text = render(Format::Github, &answers, true, false);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "::error file=rendered/all.yaml,title=can-i-deploy%3A No::orders 2.0.0 → production: No, a%0A::warning::b%25%0A\
         Failed: web-shop 1 → orders 2.0.0%0ANotDeployed: mobile 1 → orders (no version)%0Ahttps://broker/matrix?a=1"
    );
    assert!(lines[1].starts_with("::warning ") && lines[2].starts_with("::notice ") && lines.len() == 3, "{text}");
}

#[test]
fn markdown_is_a_table_in_which_names_are_no_markup() {
    let mut answers = of_manifests();
    answers[0].reason = "a | [b](c)".to_owned();
    let expected = "\
| | question | verdict | why |
|---|---|---|---|
| ❌ | Deployment shop/orders · orders 2.0.0 → production | No | a \\| \\[b\\](c) [matrix](https://broker/matrix?a=1) |
| ⚠️ | Deployment shop/orders-next · orders 2.0.0 → production | Unknown | it has not verified the pact of web-shop 1 \
[matrix](https://broker/matrix?a=1) |
| ✅ | Deployment shop/admin · orders 2.0.0 → production | Yes | its only pair is verified \
[matrix](https://broker/matrix?a=1) |

**orders 2.0.0 → production**

- Failed: web-shop 1 → orders 2.0.0
- NotDeployed: mobile 1 → orders (no version)
";
    assert_eq!(render(Format::Markdown, &answers, true, false), expected);
}
