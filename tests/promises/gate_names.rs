//! Names that are nearly right, spelled otherwise, or behind which there is nothing.

use serde_json::json;

use super::gate_setup::{GateSetup, provider_that_breaks};
use super::objects::Objects as _;
use testbed::eventually::eventually;
use testbed::test_cluster::{SOON, annotated};

#[tokio::test]
async fn case_89_a_near_miss_is_denied_where_its_name_is_known_and_an_empty_version_is_told_apart() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let (namespace, name) = (&environment.namespace, &environment.name);
    let apply = async |name: &str, pacticipant: &str| {
        let manifest = annotated(name, pacticipant, "1.0.0").manifest().to_string();
        setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await
    };
    setup.provider_that_breaks(name, "payments");
    setup.running(environment, "payments", "payments", "1.0.0").await;
    setup.cluster.wait_recorded(name, "payments", "1.0.0").await;
    let output = apply("slip", "paymnets").await;
    let denial = output.denial().unwrap_or_else(|| panic!("{output:?}"));
    let expected = format!(
        "paymnets 1.0.0 may not be deployed to {name}: the broker knows no pacticipant named paymnets; {name} has payments"
    );
    assert_eq!(denial.lines().next(), Some(&*expected));
    assert!(denial.contains("Correct the name in the annotation (case counts)"), "{denial}");
    let output = apply("case", "Payments").await;
    assert!(
        output.denial().is_some_and(|denial| denial.contains("; ") && denial.contains("has payments")),
        "{output:?}"
    );
    let output = apply("far", "a-new-one").await;
    let &[warning] = output.warnings().as_slice() else { panic!("{output:?}") };
    assert!(output.code == 0 && warning.ends_with("the broker knows no pacticipant named a-new-one"), "{warning}");

    setup.cluster.broker.store().publish_version("hollow", "1.0.0");
    let output = apply("hollow", "hollow").await;
    let expected = "nothing had to be verified, the version is empty at the broker, without pacts and results";
    let &[warning] = output.warnings().as_slice() else { panic!("{output:?}") };
    assert!(output.code == 0 && warning.ends_with(expected), "{warning}");
    eventually("the record to tell it apart", SOON, async || {
        let record = setup.cluster.record(name, "hollow").await.ok_or("no PactDeployment")?;
        let checks = record.status.unwrap_or_default().checks;
        let found = checks.first().map(|check| (check.verdict.as_str(), check.vacuous.as_deref()));
        if found == Some(("YesVacuous", Some("Contentless"))) { Ok(()) } else { Err(format!("{checks:?}")) }
    })
    .await;
}

#[tokio::test]
async fn case_90_a_broker_that_spells_the_name_otherwise_is_not_believed_and_the_difference_is_said() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("loose").await;
    broker.store().ignore_case();
    let environment = &setup.gated_by("loose", &broker, json!({"mode": "Enforce"})).await;
    let (namespace, name) = (&environment.namespace, &environment.name);
    provider_that_breaks(&broker, name, "Order Service");
    let manifest = annotated("orders", "order service", "1.0.0").manifest().to_string();
    let output = setup.kubectl_reading(namespace, &["apply", "-f", "-"], &manifest).await;
    let expected = format!(
        "order service 1.0.0 may not be deployed to {name}: the broker spells the pacticipant Order Service, and not order \
         service: correct the annotation, for names are compared as they are written"
    );
    assert_eq!(output.denial().and_then(|denial| denial.lines().next()), Some(&*expected), "{output:?}");

    // What runs all the same is not recorded again and again: it is said.
    setup.running(environment, "orders", "order service", "1.0.0").await;
    let record = setup.cluster.wait_condition(name, "order service", ("Ready", "False", "PacticipantSpelling")).await;
    let message = record.status.unwrap().conditions.into_iter().find(|it| it.type_ == "Ready").unwrap().message;
    assert!(message.contains("the broker spells the pacticipant Order Service"), "{message}");
    let again = setup.cluster.wait_event(namespace, "orders", "RecordFailed").await;
    assert!(again.contains("spells the pacticipant Order Service"), "{again}");
    assert!(broker.writes().len() <= 1, "{:?}", broker.writes());
}
