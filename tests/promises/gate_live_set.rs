//! A rollout is judged against what really runs: what the broker has, and what only the cluster knows.

use crate::objects::Objects as _;
use serde_json::json;

use super::gate_setup::{GateSetup, MappedEnvironment};
use testbed::eventually::eventually;
use testbed::rollout::Live;
use testbed::standin::Fault;
use testbed::test_cluster::{SOON, annotated};

/// Applied by the admin, whom the gate does not ask, and never available.
async fn in_flight(setup: &GateSetup, environment: &MappedEnvironment, name: &str, version: &str) -> Live {
    let never = annotated(name, name, version).never_ready();
    let live = never.apply(&setup.cluster.client(), &environment.namespace).await;
    wait_member(setup, environment, name, version).await;
    live
}

/// Waits until the record of a pacticipant shows a member at this version.
async fn wait_member(setup: &GateSetup, environment: &MappedEnvironment, name: &str, version: &str) {
    eventually(format!("{name} {version} to be known"), SOON, async || {
        let record = setup.cluster.record(&environment.name, name).await.and_then(|record| record.status);
        let members = record.unwrap_or_default().members;
        let known = members.iter().any(|member| member.version.as_deref() == Some(version));
        if known { Ok(()) } else { Err(format!("{members:?}")) }
    })
    .await;
}

/// What the gate says of a new Deployment of this version, as a dry-run, once it says something with this in it.
async fn wait_said(setup: &GateSetup, environment: &MappedEnvironment, name: &str, version: &str, text: &str) -> bool {
    let manifest = annotated(name, name, version).manifest().to_string();
    eventually(format!("the gate to say {text:?} of {name} {version}"), SOON, async || {
        let apply = ["apply", "--dry-run=server", "-f", "-"];
        let output = setup.kubectl_reading(&environment.namespace, &apply, &manifest).await;
        if output.err.contains(text) { Ok(output.denial().is_some()) } else { Err(format!("{output:?}")) }
    })
    .await
}

/// `web` 1 and 2 have pacts with `api` 1 and 2; each is verified but that of 2 with 2. Both run at 1.
async fn each_with_the_others_first(setup: &GateSetup, environment: &MappedEnvironment, web: &str, api: &str) {
    let store = setup.cluster.broker.store();
    for consumer in ["1", "2"] {
        store.publish_pact(web, consumer, api, &format!("what {consumer} expects"));
    }
    for (consumer, provider) in [("1", "1"), ("1", "2"), ("2", "1")] {
        assert!(store.verify(web, consumer, api, provider, true));
    }
    for app in [web, api] {
        setup.running(environment, app, app, "1").await;
        setup.cluster.wait_recorded(&environment.name, app, "1").await;
    }
}

#[tokio::test]
async fn case_94_two_rollouts_that_break_each_other_are_judged_against_each_other() {
    let setup = GateSetup::shared().await;
    for (policy, denied) in [("Count", true), ("Warn", false)] {
        let (web, api) = (&format!("web-94-{}", policy.to_lowercase()), &format!("api-94-{}", policy.to_lowercase()));
        let environment = &setup.gated(json!({"mode": "Enforce", "inFlight": policy})).await;
        each_with_the_others_first(&setup, environment, web, api).await;
        in_flight(&setup, environment, api, "2").await;
        let text = "2 (rolling out now) has not verified its pact";
        assert_eq!(wait_said(&setup, environment, web, "2", text).await, denied, "{policy}");
    }
}

#[tokio::test]
async fn case_95_a_provider_that_comes_in_the_same_release_counts_as_there_with_a_word() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let store = setup.cluster.broker.store();
    store.publish_pact("web-95", "1", "api-95", "what it expects");
    assert!(store.verify("web-95", "1", "api-95", "1", true));
    assert!(wait_said(&setup, environment, "web-95", "1", "and no version of that is in").await);
    in_flight(&setup, environment, "api-95", "1").await;
    let denied =
        wait_said(&setup, environment, "web-95", "1", "it needs api-95 1, which is only rolling out now").await;
    assert!(!denied);
}

#[tokio::test]
async fn case_74_what_the_broker_refuses_to_record_is_that_keys_alone_and_counts_all_the_same() {
    let setup = GateSetup::shared().await;
    let broker = setup.own_broker("refusing").await;
    let environment = &setup.gated_by("refusing", &broker, json!({"mode": "Enforce"})).await;
    let store = broker.store();
    store.publish_pact("web-74", "1", "api-74", "what it expects");
    assert!(store.verify("web-74", "1", "api-74", "2", false));
    broker.faults().add(Fault::status(403).method("POST").path("web-74"));
    setup.running(environment, "web-74", "web-74", "1").await;
    wait_member(&setup, environment, "web-74", "1").await;
    let text =
        format!("api-74 2 may not be deployed to {}: it failed to verify the pact of web-74 1", environment.name);
    assert!(wait_said(&setup, environment, "api-74", "2", &text).await);
}

#[tokio::test]
async fn case_75_a_consumer_whose_pods_fail_counts_before_it_was_ever_recorded() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let store = setup.cluster.broker.store();
    store.publish_pact("web-75", "1", "api-75", "what it expects");
    assert!(store.verify("web-75", "1", "api-75", "2", false));
    in_flight(&setup, environment, "web-75", "1").await;
    let text = "it failed to verify the pact of web-75 1 (rolling out now)";
    assert!(wait_said(&setup, environment, "api-75", "2", text).await);
}

#[tokio::test]
async fn a_version_that_runs_counts_though_somebody_took_its_record_away() {
    let setup = GateSetup::shared().await;
    let environment = &setup.gated(json!({"mode": "Enforce"})).await;
    let store = setup.cluster.broker.store();
    store.publish_pact("web-lost", "1", "api-lost", "what it expects");
    assert!(store.verify("web-lost", "1", "api-lost", "2", false));
    setup.running(environment, "web-lost", "web-lost", "1").await;
    setup.cluster.wait_recorded(&environment.name, "web-lost", "1").await;
    store.undeploy("web-lost", &environment.name, None);
    assert!(wait_said(&setup, environment, "api-lost", "2", "it failed to verify the pact of web-lost 1").await);
}
