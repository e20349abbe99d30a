//! A broker that is slow, busy or asks for patience: who waits gets the true answer, and soon after it is back.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;

use super::gate_setup::{GateSetup, MappedEnvironment, provider_that_breaks};
use testbed::eventually::eventually;
use testbed::standin::{Effect, Fault};
use testbed::test_cluster::{SOON, annotated};

/// Asks about a new Deployment of this version, as a dry-run.
async fn tried(setup: &GateSetup, environment: &MappedEnvironment, app: &str, version: &str) -> String {
    let manifest = annotated(app, app, version).manifest().to_string();
    let create = ["create", "--dry-run=server", "-f", "-"];
    let output = setup.kubectl_reading(&environment.namespace, &create, &manifest).await;
    format!("{} {}", if output.denial().is_some() { "denied:" } else { "admitted:" }, output.err)
}

#[tokio::test]
async fn case_78_an_answer_that_came_too_late_is_there_for_the_next_try() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("nine-seconds").await;
    let environment = &setup.gated_by("nine-seconds", &broker, json!({"mode": "Enforce"})).await;
    provider_that_breaks(&broker, &environment.name, "late");
    broker.faults().add(Fault::delay(Duration::from_secs(9)));
    let first = Instant::now();
    let answer = tried(&setup, environment, "late", "2.0.0").await;
    assert!(answer.starts_with("admitted:") && answer.contains("could not be asked"), "{answer}");
    // A GitOps controller tries again twenty seconds later.
    tokio::time::sleep_until((first + Duration::from_secs(20)).into()).await;
    let again = Instant::now();
    let answer = tried(&setup, environment, "late", "2.0.0").await;
    assert!(answer.starts_with("denied:") && answer.contains("failed to verify the pact of web-of-late 7"), "{answer}");
    assert!(again.elapsed() < Duration::from_secs(6), "it was there already: {:?}", again.elapsed());
}

#[tokio::test]
async fn case_79_audits_never_stand_in_the_way_of_who_is_enforced() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("one-queue").await;
    let production = &setup.gated_by("one-queue", &broker, json!({"mode": "Enforce"})).await;
    let development = &setup.gated_by("one-queue", &broker, json!({"mode": "Audit"})).await;
    provider_that_breaks(&broker, &production.name, "first");
    broker.faults().add(Fault::delay(Duration::from_secs(1)).path("^/matrix"));
    let audits = (0..100).map(|number| {
        let (setup, app) = (&setup, format!("audited-{number}"));
        async move { tried(setup, development, &app, "1").await }
    });
    for audit in join_all(audits).await {
        assert!(audit.starts_with("admitted:"), "{audit}");
    }
    let answer = tried(&setup, production, "first", "2.0.0").await;
    assert!(answer.starts_with("denied:") && answer.contains("failed to verify the pact"), "{answer}");
    let asked = broker.count_requests(|request| request.path_and_query.contains("audited-"));
    assert!(asked < 60, "the audits wait, {asked} were asked");
    broker.faults().clear();
}

#[tokio::test]
async fn case_80_the_gate_rests_for_seconds_though_it_was_asked_for_minutes() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("ten-minutes").await;
    let environment = &setup.gated_by("ten-minutes", &broker, json!({"mode": "Enforce"})).await;
    provider_that_breaks(&broker, &environment.name, "patient");
    let page = Effect::Status { status: 503, retry_after: Some("600".to_owned()) };
    broker.faults().add(Fault::new(page).path("^/matrix"));
    let answer = tried(&setup, environment, "patient", "2.0.0").await;
    assert!(answer.starts_with("admitted:") && answer.contains("nothing is sent for"), "{answer}");
    broker.faults().clear();
    eventually("the gate to ask again", SOON, async || {
        let answer = tried(&setup, environment, "patient", "2.0.0").await;
        if answer.starts_with("denied:") { Ok(()) } else { Err(answer) }
    })
    .await;
}

#[tokio::test]
async fn a_question_costs_one_request_while_what_runs_is_recorded() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("counted").await;
    let environment = &setup.gated_by("counted", &broker, json!({"mode": "Enforce"})).await;
    let store = broker.store();
    store.publish_pact("web-counted", "7", "api-counted", "what it expects");
    assert!(store.verify("web-counted", "7", "api-counted", "1", true));
    for (app, version) in [("api-counted", "1"), ("web-counted", "7")] {
        setup.running(environment, app, app, version).await;
        eventually(format!("{app} to be recorded"), SOON, async || {
            if store.current(&environment.name, app).is_empty() { Err("not recorded".to_owned()) } else { Ok(()) }
        })
        .await;
    }
    let versions: Vec<_> = (10..40).map(|number| number.to_string()).collect();
    for version in &versions {
        store.publish_pact("web-counted", version, "api-counted", &format!("what {version} expects"));
        assert!(store.verify("web-counted", version, "api-counted", "1", true));
    }
    let began = Instant::now();
    broker.clear_requests();
    for version in &versions {
        let answer = tried(&setup, environment, "web-counted", version).await;
        assert!(answer.starts_with("admitted:") && !answer.contains("Warning"), "{answer}");
    }
    let seconds = began.elapsed().as_secs();
    let asked = |path: &str| broker.count_requests(|request| request.path_and_query.contains(path));
    let questions = versions.iter().map(|version| asked(&format!("[version]={version}&"))).sum::<usize>();
    assert_eq!(questions, versions.len());
    // Two lists for all questions, at most every three seconds; the controller reads them every three, too, and once more
    // after it has recorded.
    let readings = usize::try_from(seconds).unwrap() / 3 + 2;
    let read = asked("currently-deployed") + asked("currently-supported");
    assert!(read <= 4 * readings && read < versions.len(), "{read} lists in {seconds} s");
}
