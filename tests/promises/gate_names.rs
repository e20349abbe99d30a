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

#[tokio::test]
async fn a_version_that_nobody_published_is_told_to_be_that_of_another_application_where_its_image_is_another() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    setup.provider_that_breaks(&environment.name, "named-in-common");
    setup.running(environment, "named-in-common", "named-in-common", "1.0.0").await;
    setup.cluster.wait_recorded(&environment.name, "named-in-common", "1.0.0").await;
    let postgres = annotated("postgres", "named-in-common", "1.0.0").image("docker.io/library/postgres:16.2");
    let (create, postgres) = (["create", "--dry-run=server", "-f", "-"], postgres.manifest().to_string());
    let denial = eventually("the gate to know what is recorded", SOON, async || {
        let output = setup.kubectl_reading(&environment.namespace, &create, &postgres).await;
        let denial = output.denial().unwrap_or_else(|| panic!("{output:?}")).to_owned();
        if denial.contains("Its image") { Ok(denial) } else { Err(denial) }
    })
    .await;
    let lines: Vec<_> = denial.lines().collect();
    assert!(lines[0].starts_with("named-in-common 16.2 may not be deployed to "), "{denial}");
    let hint = "Its image postgres is not the one that is recorded as named-in-common: a common annotation";
    assert!(lines[1..].iter().any(|line| line.trim().starts_with(hint)), "{denial}");
    let other = annotated("other", "named-in-common", "3.0.0").manifest().to_string();
    let output = setup.kubectl_reading(&environment.namespace, &create, &other).await;
    assert!(output.denial().is_some_and(|denial| !denial.contains("Its image")), "{output:?}");
}
