//! What is said, word for word.

use super::*;
use crate::{
    api::PactDeploymentStatus,
    decide::record::{
        EnvironmentSays, RetirementRules,
        fixtures::{key, key_of_instance, version},
    },
    workload::RecordKey,
};

const UUID: &str = "f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a";

fn item(key: RecordKey, retirement: Result<Retirement, String>, members: &[(&str, Sighting)]) -> Item {
    let member = |name: &str| Member {
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: name.into(),
        version: Some("2.0.0".into()),
        earlier_versions: Vec::new(),
        rollout: "Complete".into(),
        without_pods: false,
        problem: None,
    };
    let object = key.object_name();
    let members = members.iter().map(|(name, sighting)| (member(name), sighting.clone())).collect();
    let environment = Some(EnvironmentSays { undeploys: true, adopts: false, releases: false });
    let (status, rules) = (PactDeploymentStatus::default(), RetirementRules { environment, even_if_running: false });
    Item { key, object, status, rules, members, unlisted: None, retirement }
}

fn row(of: &str) -> Row {
    Row { version: version(of), uuid: UUID.into() }
}

fn items() -> Vec<Item> {
    let deployment = |of| (RowKind::Deployment, row(of));
    let take = |(kind, row)| Ok(Retirement::TakeBack(kind, row));
    let refused = |(kind, row)| Ok(Retirement::Refused(kind, row));
    vec![
        item(key("production", "orders"), take(deployment("2.0.0")), &[("orders", Sighting::Gone)]),
        item(
            key_of_instance("production", "web-shop", "blue"),
            refused(deployment("4.2.0")),
            &[("web", Sighting::Runs)],
        ),
        item(key("production", "stock"), Ok(Retirement::Kept(WhyKept::Others, row("9"))), &[("stock", Sighting::Gone)]),
        item(key("production", "app"), Ok(Retirement::Nothing), &[]),
        item(key("test", "orders"), Err("no answer; look whether it runs".into()), &[("orders", Sighting::Gone)]),
        item(key("test", "stock"), Err("no answer; look whether it runs".into()), &[("stock", Sighting::Gone)]),
        item(key("production", "old"), Ok(Retirement::Kept(WhyKept::Never, row("7"))), &[("old", Sighting::Gone)]),
        Item {
            rules: RetirementRules { environment: None, even_if_running: true },
            ..item(key("gone", "old"), Ok(Retirement::Unsure(RowKind::Deployment, row("7"))), &[])
        },
        item(key("test", "api"), refused(deployment("1")), &[("api", Sighting::Moved("orders-api".into()))]),
        item(key("test", "web"), take(deployment("1")), &[("web", Sighting::Elsewhere("shop-web".into()))]),
    ]
}

#[test]
fn the_plan_shows_each_row_and_why_it_is_not_taken_back() {
    let text = plan(&items(), false);
    let expected = "
ENVIRONMENT  PACTICIPANT      VERSION  RUNS   DOES      UUID
production   orders           2.0.0    no     undeploy  f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
production   web-shop (blue)  4.2.0    yes    REFUSED   f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
production   stock            9        no     keep      f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
production   app              -        no     nothing   -
test         orders           ?        no     unknown   -
test         stock            ?        no     unknown   -
production   old              7        no     keep      f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
gone         old              7        no     unknown   f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
test         api              1        moves  REFUSED   f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
test         web              1        no     undeploy  f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a

  refused    web-shop (blue) in production still runs (deployment shop/web): delete it first, or say
             --even-if-running
  kept       stock in production: 9 was recorded by somebody else
  unknown    no answer; look whether it runs
  kept       old in production: the PactEnvironment says record.undeploy: Never, as of a cluster
             that is drained while another one serves; say AfterGrace there to have it taken back
  unknown    old in gone: no PactEnvironment that can be followed says whether its records are taken
             back (record.undeploy): mend or create it
  refused    api in test: deployment shop/api runs orders-api now, which is not recorded yet; run it
             again once it is, or say --even-if-running
  careful    web in test: deployment shop/web runs shop-web now
";
    assert_eq!(text, expected.trim_start_matches('\n'), "\n{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 100));
}

#[test]
fn the_end_says_what_the_controller_does_next_and_what_is_left_to_delete() {
    let orders = item(
        key("production", "orders"),
        Ok(Retirement::TakeBack(RowKind::Deployment, row("2.0.0"))),
        &[("orders", Sighting::Gone)],
    );
    let asleep = item(
        key("production", "batch"),
        Ok(Retirement::TakeBack(RowKind::Release, row("1"))),
        &[("batch", Sighting::Asleep)],
    );
    assert_eq!(result(&orders, &Ok(()), false), "undeployed    orders 2.0.0 in production at main\n");
    assert_eq!(result(&asleep, &Ok(()), false), "support ended batch 1 in production at main\n");
    let failed = result(&orders, &Err(NotDone::Failed("no answer".into())), false);
    assert_eq!(failed, "FAILED        orders 2.0.0 in production at main: no answer\n");
    let unknown = result(&orders, &Err(NotDone::Unknown("no answer".into())), false);
    assert_eq!(unknown, "unknown       orders 2.0.0 in production at main: it may be undeployed: no answer\n");
    let text = afterwards(&[(&orders, Settled::Done), (&asleep, Settled::Done)]);
    let expected = format!(
        "
  again      deployment shop/batch: still there. A controller that runs records it again at its next
             look at the environment, and marks the record Contested if it is taken back a second
             time. Delete the workload, or its annotation pact-operator.dev/pacticipant, or stop the
             controller; then run retire again
  left       nothing records it again, as the workloads are gone. Delete what the operator remembers
             of it: else an environment that is suddenly empty looks to the controller like a broker
             that was reset (BrokerAnomaly)
             kubectl delete pactdeployment {}
",
        key("production", "orders").object_name()
    );
    assert_eq!(text, expected, "\n{text}");
    assert_eq!(afterwards(&[]), "");
}

#[test]
fn an_object_is_left_to_delete_once_all_of_it_is_settled_and_all_that_ran_it_is_gone() {
    let released = |of, sighting| {
        item(key("production", "orders"), Ok(Retirement::TakeBack(RowKind::Release, row(of))), &[("orders", sighting)])
    };
    let nothing = |sighting| item(key("production", "web"), Ok(Retirement::Nothing), &[("web", sighting)]);
    let unread = || Sighting::Unread("no answer".into());
    let unlisted = Item { unlisted: Some("they cannot be listed".into()), ..released("1", Sighting::Gone) };
    for (what, items, expected) in [
        ("all of it", vec![(released("1", Sighting::Gone), Settled::Done); 2], "left"),
        (
            "one row is there",
            vec![(released("1", Sighting::Gone), Settled::Done), (released("2", Sighting::Gone), Settled::Left)],
            "",
        ),
        ("interrupted before", vec![(nothing(Sighting::Gone), Settled::Nothing)], "left"),
        ("nothing, and it runs", vec![(nothing(Sighting::Runs), Settled::Nothing)], ""),
        ("it runs something else", vec![(released("1", Sighting::Elsewhere("x".into())), Settled::Done)], "left"),
        ("pods are left", vec![(released("1", Sighting::PodsLeft), Settled::Done)], "not yet"),
        ("not known", vec![(released("1", unread()), Settled::Done)], "not yet"),
        ("not listed", vec![(unlisted, Settled::Done)], "not yet"),
        ("it runs", vec![(released("1", Sighting::Runs), Settled::Done)], "again"),
        ("failed", vec![(released("1", Sighting::Runs), Settled::Left)], ""),
    ] {
        let items: Vec<_> = items.iter().map(|(item, settled)| (item, *settled)).collect();
        let text = afterwards(&items);
        let words: Vec<_> =
            ["again", "not yet", "left"].into_iter().filter(|it| text.contains(&format!("\n  {it} "))).collect();
        assert_eq!(words.concat(), expected, "{what}: {text}");
        let named = text.matches(items[0].0.object.as_str()).count();
        assert_eq!(named, usize::from(expected == "left"), "{what}: {text}");
    }
}

#[test]
fn what_occurs_in_no_record_is_more_likely_a_slip() {
    let record = |key: RecordKey| {
        let object = crate::api::PactDeployment::new(&key.object_name(), key.spec());
        (key, object)
    };
    let mut environment: crate::api::PactEnvironment = serde_json::from_value(serde_json::json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": "object"},
        "spec": {"brokerRef": {"name": "main"}, "environment": "at-the-broker", "namespaces": {"all": true}},
    }))
    .unwrap();
    let records = vec![record(key("production", "orders"))];
    let installed = Installed { environments: vec![environment.clone()], records, ..Installed::default() };
    for (environment, pacticipant, known) in [
        (Some("production"), None, true),
        (Some("at-the-broker"), None, true),
        (Some("object"), None, false),
        (Some("Production"), None, false),
        (None, Some("orders"), true),
        (Some("production"), Some("order"), false),
        (None, None, true),
    ] {
        let said = unknown(&installed, environment, pacticipant);
        assert_eq!(said.is_none(), known, "{environment:?} {pacticipant:?}: {said:?}");
    }
    let said = unknown(&installed, Some("object"), None).unwrap();
    assert!(said.ends_with("Environments, by their names at the broker: at-the-broker, production.\n"), "{said}");
    environment.spec.environment = None;
    let installed = Installed { environments: vec![environment], ..Installed::default() };
    assert!(unknown(&installed, Some("object"), None).is_none());
    assert!(nothing(&installed).ends_with("Environments: object.\n"));
}
