//! What is said, word for word.

use super::*;
use crate::{
    api::PactDeploymentStatus,
    decide::record::{
        RetirementRules,
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
    let (status, rules) = (PactDeploymentStatus::default(), RetirementRules::default());
    Item { key, object, status, rules, members, retirement }
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
        item(key("production", "stock"), Ok(Retirement::Kept(RowOf::Others, row("9"))), &[("stock", Sighting::Gone)]),
        item(key("production", "app"), Ok(Retirement::Nothing), &[]),
        item(key("test", "orders"), Err("no answer; look whether it runs".into()), &[("orders", Sighting::Gone)]),
        item(key("test", "stock"), Err("no answer; look whether it runs".into()), &[("stock", Sighting::Gone)]),
    ]
}

#[test]
fn the_plan_shows_each_row_and_why_it_is_not_taken_back() {
    let text = plan(&items(), false);
    let expected = "
ENVIRONMENT  PACTICIPANT      VERSION  RUNS  DOES      UUID
production   orders           2.0.0    no    undeploy  f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
production   web-shop (blue)  4.2.0    yes   REFUSED   f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
production   stock            9        no    keep      f2800ac1-0969-4e82-9a0b-1f2e3d4c5b6a
production   app              -        no    nothing   -
test         orders           ?        no    unknown   -
test         stock            ?        no    unknown   -

  refused    web-shop (blue) in production still runs (deployment shop/web): delete it first, or say
             --even-if-running
  kept       stock in production: 9 was recorded by somebody else
  unknown    no answer; look whether it runs
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
    assert_eq!(result(&orders, None, false), "undeployed    orders 2.0.0 in production at main\n");
    assert_eq!(result(&asleep, None, false), "support ended batch 1 in production at main\n");
    let failed = result(&orders, Some("no answer"), false);
    assert_eq!(failed, "FAILED        orders 2.0.0 in production at main: no answer\n");
    let text = afterwards(&[&orders, &asleep]);
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
