//! A pair without a result is asked for: one call in an interval, whatever is restarted, with all that a pipeline needs to
//! verify exactly that version; and none where the broker's own webhook asks for it.

use std::{sync::atomic::Ordering, time::Duration};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testbed::{
    eventually::{always, eventually},
    operator::OperatorOptions,
    standin::Fault,
    test_cluster::{OPERATOR_NAMESPACE, SOON, TestCluster, annotated, quick},
    webhook::{Person, Webhook, WebhookOptions},
};

use super::{
    gate_setup::GateSetup,
    hold_setup::{HoldSetup, free, waits},
    objects::Objects as _,
    triggered_verification_setup::{
        Pipelines, TOKEN, github, gitlab, testbed_tail, unverified, verify, webhook, with_provider,
    },
};

const EVENT: &str = "contract_requiring_verification_published";

#[tokio::test]
async fn a_denied_version_passes_once_the_pipeline_that_was_asked_has_verified_its_pact() {
    let pipelines = Pipelines::serve().await;
    let cluster = TestCluster::without_operator().await;
    let gate = WebhookOptions::default().value("verification.hooks", json!([github()]));
    let webhook = Webhook::start(&cluster.control_plane, gate).await;
    let developer = Person::developer(&cluster.control_plane).await;
    let mut setup = GateSetup { cluster, webhook, developer };
    setup.cluster.start_operator(pipelines.options(&github(), &[])).await;
    let environment = setup.gated(json!({"mode": "Enforce"})).await;
    let store = setup.cluster.broker.store();
    store.add_to_branch("orders", "1.0.0", "release");
    store.publish_version("web", "1.0.0");
    setup.running(&environment, "orders", "orders", "1.0.0").await;
    setup.running(&environment, "web", "web", "1.0.0").await;
    setup.cluster.wait_recorded(&environment.name, "orders", "1.0.0").await;
    setup.cluster.wait_recorded(&environment.name, "web", "1.0.0").await;

    store.publish_pact("web", "2.0.0", "orders", "what is new");
    // The head of the provider's branch has verified it; that is another version than the one that is deployed.
    assert!(store.verify("web", "2.0.0", "orders", "2.0.0", true));
    let denied = setup.set_version(&environment.namespace, "web", "2.0.0", &[]).await;
    assert!(denied.denial().is_some(), "{denied:?}");

    let call = pipelines.wait("2.0.0", &setup.cluster).await;
    assert_eq!(call.path, "/repos/shop/orders/dispatches");
    assert_eq!(call.headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(call.headers["accept"], "application/vnd.github+json");
    let body: Value = serde_json::from_str(&call.body).unwrap();
    let sha = store.pact_sha("web", "2.0.0", "orders").unwrap();
    let pact_url = format!("{}/pacts/provider/orders/consumer/web/pact-version/{sha}", setup.cluster.broker.url());
    let payload = json!({
        "pact_url": pact_url, "broker_url": setup.cluster.broker.url(), "environment": environment.name,
        "consumer": "web", "consumer_version": "2.0.0", "consumer_branch": "",
        "provider": "orders", "provider_version": "1.0.0", "provider_branch": "release",
    });
    assert_eq!(body, json!({"event_type": "verify-pact", "client_payload": payload}));

    verify(&pact_url, "1.0.0").await;
    eventually("the next attempt to pass", SOON, async || {
        let output = setup.set_version(&environment.namespace, "web", "2.0.0", &[]).await;
        output.denial().map_or(Ok(()), |denial| Err(format!("{denial:?}")))
    })
    .await;
    setup.cluster.wait_recorded(&environment.name, "web", "2.0.0").await;
    assert_eq!(pipelines.taken().len(), 1, "{:?}", pipelines.taken());
    let note = setup.cluster.wait_event(&environment.namespace, "web", "VerificationRequested").await;
    assert!(note.contains("orders 1.0.0 has no result for the pact of web 2.0.0"), "{note}");
    let metrics = setup.cluster.operators[0].metrics().await;
    for metric in [
        "pact_operator_verifications_requested_total{hook=\"github\"} 1",
        "pact_operator_verification_request_failures_total{hook=\"github\"} 0",
    ] {
        assert!(metrics.contains(metric), "{metric}: {metrics}");
    }
    let logs = setup.cluster.logs();
    assert!(!logs.contains(TOKEN) && !logs.contains("Remedy: grant"), "{}", testbed_tail(&setup.cluster));
}

#[tokio::test]
async fn one_that_runs_is_asked_for_once_in_an_interval_whoever_leads() {
    let pipelines = Pipelines::serve().await;
    let lease = |options: OperatorOptions| options.value("controller.leaseSeconds", 3);
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(lease(pipelines.options(&gitlab(), &[]))).await;
    cluster.start_operator(lease(pipelines.options(&gitlab(), &[]))).await;
    let (namespace, _) = with_provider(&cluster, "stock").await;
    unverified(&cluster, &namespace, "app", "stock").await;
    let call = pipelines.wait("consumer%2Fapp%2F", &cluster).await;
    assert_eq!(call.path, "/projects/shop%2Fall/trigger/pipeline");
    assert_eq!(call.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(call.body.starts_with(&format!("token={TOKEN}&ref=main&")), "{}", call.body);
    assert!(call.body.contains("variables%5BPACT_PROVIDER_VERSION%5D=1.0.0"), "{}", call.body);

    // Each time that another process leads, it asks for what is new, and looked at the older one before: by name.
    let standby = cluster.operators.pop().unwrap();
    cluster.operators[0].kill9();
    cluster.operators = vec![standby];
    unverified(&cluster, &namespace, "mobile", "stock").await;
    pipelines.wait("consumer%2Fmobile%2F", &cluster).await;
    cluster.operators[0].terminate().await;
    cluster.operators.clear();
    cluster.start_operator(lease(pipelines.options(&gitlab(), &[]))).await;
    unverified(&cluster, &namespace, "web", "stock").await;
    pipelines.wait("consumer%2Fweb%2F", &cluster).await;
    for consumer in ["app", "mobile", "web"] {
        assert_eq!(pipelines.count(&format!("consumer%2F{consumer}%2F")), 1, "{consumer}");
    }

    // With a shorter interval, it is over.
    cluster.operators[0].terminate().await;
    cluster.operators.clear();
    cluster.start_operator(pipelines.options(&gitlab(), &[("intervalSeconds", 1)])).await;
    eventually("each to be asked for again", SOON, async || {
        let counts = ["app", "mobile", "web"].map(|consumer| pipelines.count(&format!("consumer%2F{consumer}%2F")));
        if counts.iter().all(|count| *count >= 2) { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
}

#[tokio::test]
async fn what_is_asked_for_often_without_a_result_is_said_and_what_is_verified_is_forgotten() {
    let pipelines = Pipelines::serve().await;
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(pipelines.options(&webhook(), &[("intervalSeconds", 1)])).await;
    let (namespace, environment) = with_provider(&cluster, "stock").await;
    unverified(&cluster, &namespace, "web", "stock").await;
    let object = cluster.wait_condition(&environment, "stock", ("Ready", "True", "Recorded")).await.name_any();
    let note = cluster.wait_event("default", &object, "VerificationUnanswered").await;
    assert!(note.contains("stock 1.0.0 has no result for a pact of web, although it was asked for 3 times"), "{note}");
    assert!(cluster.broker.store().verify("web", "7.0.0", "stock", "1.0.0", true));
    eventually("it to be forgotten", SOON, async || {
        let kept = Api::<ConfigMap>::namespaced(cluster.client(), OPERATOR_NAMESPACE);
        let kept = kept.get("pact-operator-verifications").await.unwrap().data.unwrap_or_default();
        if kept.is_empty() { Ok(()) } else { Err(format!("{kept:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_pact_that_is_published_anew_under_the_same_version_is_what_is_asked_for_next() {
    let pipelines = Pipelines::serve().await;
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(pipelines.options(&webhook(), &[("intervalSeconds", 1)])).await;
    let (namespace, _) = with_provider(&cluster, "shop").await;
    unverified(&cluster, &namespace, "basket", "shop").await;
    let store = cluster.broker.store();
    let content = || format!("/pact-version/{}", store.pact_sha("basket", "7.0.0", "shop").unwrap());
    let first = content();
    pipelines.wait(&first, &cluster).await;
    // A second job of the consumer's pipeline merges its pact with the first.
    store.publish_pact("basket", "7.0.0", "shop", "what both jobs expect");
    assert_ne!(content(), first);
    let call = pipelines.wait(&content(), &cluster).await;
    assert!(call.body.contains("basket@7.0.0"), "{}", call.body);
    let calls = pipelines.count(&first);
    always("the first content to be left alone", Duration::from_secs(4), async || match pipelines.count(&first) {
        same if same == calls => Ok(()),
        more => Err(format!("{more} calls instead of {calls}; {}", testbed_tail(&cluster))),
    })
    .await;
}

#[tokio::test]
async fn what_the_template_leaves_out_is_not_asked_for_and_does_not_count_as_asked_for() {
    let pipelines = Pipelines::serve().await;
    let mut hook = webhook();
    let body = hook["template"].as_str().unwrap();
    hook["template"] = json!(format!("{{% if consumer != 'apart' %}}{body}{{% endif %}}"));
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(pipelines.options(&hook, &[("callsPerMinute", 1)])).await;
    let (namespace, _) = with_provider(&cluster, "stall").await;
    unverified(&cluster, &namespace, "apart", "stall").await;
    eventually("it to be left out", SOON, async || {
        let left_out = cluster.logs().contains("left out by the template");
        if left_out { Ok(()) } else { Err(testbed_tail(&cluster)) }
    })
    .await;
    unverified(&cluster, &namespace, "whole", "stall").await;
    pipelines.wait("whole@7.0.0", &cluster).await;
    let kept = Api::<ConfigMap>::namespaced(cluster.client(), OPERATOR_NAMESPACE);
    let kept = kept.get("pact-operator-verifications").await.unwrap().data.unwrap_or_default();
    assert!(kept.values().any(|text| text.contains("whole")), "{kept:?}");
    assert!(!kept.values().any(|text| text.contains("apart")), "{kept:?}");
}

#[tokio::test]
async fn a_hook_that_is_down_is_asked_again_until_it_takes_the_call() {
    let pipelines = Pipelines::serve().await;
    pipelines.answer.store(503, Ordering::Relaxed);
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(pipelines.options(&webhook(), &[])).await;
    let (namespace, _) = with_provider(&cluster, "stock").await;
    unverified(&cluster, &namespace, "web", "stock").await;
    eventually("a call to fail", SOON, async || match pipelines.calls.lock().unwrap().len() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await;
    pipelines.answer.store(202, Ordering::Relaxed);
    let call = pipelines.wait("web@7.0.0", &cluster).await;
    let sha = cluster.broker.store().pact_sha("web", "7.0.0", "stock").unwrap();
    let pact = format!("{}/pacts/provider/stock/consumer/web/pact-version/{sha}", cluster.broker.url());
    let body: Value = serde_json::from_str(&call.body).unwrap();
    assert_eq!(body, json!({"pact": pact, "of": "web@7.0.0", "by": "1.0.0"}));
    let tries = pipelines.calls.lock().unwrap().len();
    assert!(tries <= 4, "{tries} calls within seconds");
    let logs = cluster.logs();
    assert!(logs.contains("a verification could not be asked for: it answers 503"), "{}", testbed_tail(&cluster));
    assert!(!logs.contains(TOKEN), "the token is in the log");
}

#[tokio::test]
async fn a_route_to_nothing_keeps_no_other_route_of_the_hook_waiting() {
    let pipelines = Pipelines::serve().await;
    *pipelines.nothing_at.lock().unwrap() = Some("/repos/shop/renamed".to_owned());
    let mut hook = github();
    hook["routes"] = json!([
        {"provider": "attic", "repository": "shop/renamed"}, {"provider": "zoo", "repository": "shop/zoo"},
    ]);
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(quick()).await;
    let (namespace, environment) = with_provider(&cluster, "attic").await;
    for number in 1..=9 {
        let consumer = format!("guest-{number}");
        unverified(&cluster, &namespace, &consumer, "attic").await;
        cluster.wait_recorded(&environment, &consumer, "7.0.0").await;
    }
    let (of_zoo, _) = with_provider(&cluster, "zoo").await;
    unverified(&cluster, &of_zoo, "keeper", "zoo").await;
    cluster.operators[0].terminate().await;
    cluster.operators.clear();
    cluster.start_operator(pipelines.options(&hook, &[("callsPerMinute", 3)])).await;
    let call = pipelines.wait("keeper", &cluster).await;
    assert_eq!(call.path, "/repos/shop/zoo/dispatches");
    assert!(pipelines.calls.lock().unwrap().iter().any(|call| call.answered == 404), "the other was asked, too");
}

#[tokio::test]
async fn the_brokers_own_webhook_is_waited_for_but_not_for_ever() {
    let pipelines = Pipelines::serve().await;
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(pipelines.options(&webhook(), &[("graceSeconds", 3600)])).await;
    cluster.broker.store().add_webhook(Some("alone"), &[EVENT], false);
    cluster.broker.store().add_webhook(Some("stock"), &[EVENT], true);
    let (namespace, _) = with_provider(&cluster, "stock").await;
    let (alone, _) = with_provider(&cluster, "alone").await;
    // The broker asks for the first itself: the version was deployed when the pact was published. It has no webhook that is
    // switched on for the second, which is looked at later: by name.
    unverified(&cluster, &namespace, "app", "stock").await;
    eventually("the broker's webhooks to be read", SOON, async || {
        let read = cluster.broker.count_requests(|request| request.path_and_query.starts_with("/webhooks/"));
        if read >= 2 { Ok(()) } else { Err(format!("{read}; {}", testbed_tail(&cluster))) }
    })
    .await;
    unverified(&cluster, &alone, "web", "alone").await;
    pipelines.wait("web@7.0.0", &cluster).await;
    assert_eq!(pipelines.count("app@7.0.0"), 0);

    // Once the grace is over, it is asked for.
    cluster.operators[0].terminate().await;
    cluster.operators.clear();
    cluster.start_operator(pipelines.options(&webhook(), &[("graceSeconds", 1)])).await;
    pipelines.wait("app@7.0.0", &cluster).await;
    assert_eq!(pipelines.count("web@7.0.0"), 1);

    // Whoever may not read the webhooks asks.
    cluster.operators[0].terminate().await;
    cluster.operators.clear();
    cluster.broker.faults().add(Fault::status(403).path("^/webhooks"));
    cluster.start_operator(pipelines.options(&webhook(), &[("graceSeconds", 3600)])).await;
    unverified(&cluster, &namespace, "zebra", "stock").await;
    pipelines.wait("zebra@7.0.0", &cluster).await;
}

#[tokio::test]
async fn a_held_version_is_asked_for_although_its_consumer_does_not_run_here() {
    let pipelines = Pipelines::serve().await;
    let controller = pipelines.options(&gitlab(), &[]).value("webhook.hold.enabled", true);
    let gate = WebhookOptions::default().value("verification.hooks", json!([gitlab()]));
    let setup = HoldSetup::with(controller, gate).await;
    let environment = setup.holding(json!({})).await;
    let live = setup.waiting(&environment, "parcel").await;
    // Not 2.0.0: a dry-run of that may have been denied before the webhooks knew that it is held.
    setup.set_version(&environment.namespace, "parcel", "3.0.0", &[]).await;
    live.wait("it to be held", |it| waits(it, "3.0.0")).await;

    let asked = "variables%5BPACT_PROVIDER_VERSION%5D=3.0.0";
    let call = pipelines.wait(asked, &setup.cluster).await;
    assert!(call.body.contains("consumer%2Fweb-of-parcel%2F"), "{}", call.body);
    let sha = setup.cluster.broker.store().pact_sha("web-of-parcel", "7", "parcel").unwrap();
    let pact =
        format!("{}/pacts/provider/parcel/consumer/web-of-parcel/pact-version/{sha}", setup.cluster.broker.url());
    verify(&pact, "3.0.0").await;
    live.wait("it to be resumed", free).await;
    assert_eq!(pipelines.count(asked), 1);
}

#[tokio::test]
async fn while_no_call_is_left_the_broker_is_not_asked_what_is_missing_still() {
    let pipelines = Pipelines::serve().await;
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(pipelines.options(&webhook(), &[("callsPerMinute", 1)])).await;
    let (namespace, environment) = with_provider(&cluster, "till").await;
    let consumers = ["desk", "kiosk", "phone", "watch"];
    for consumer in consumers {
        unverified(&cluster, &namespace, consumer, "till").await;
        cluster.wait_recorded(&environment, consumer, "7.0.0").await;
    }
    pipelines.wait("@7.0.0", &cluster).await;
    let asked = || {
        cluster.broker.count_requests(|request| {
            let of_both = |name: &&str| request.path_and_query.contains(&format!("={name}&"));
            let (path, of) = (&request.path_and_query, consumers.iter().any(of_both));
            path.starts_with("/matrix?") && of && path.contains("=till&") && !path.contains("environment=")
        })
    };
    let before = asked();
    // Three are due all the while, and are looked at every other second.
    always("the broker to be left alone", Duration::from_secs(8), async || match asked() - before {
        ..=2 => Ok(()),
        more => Err(format!("{more} questions; {}", testbed_tail(&cluster))),
    })
    .await;
    assert_eq!(pipelines.count("@7.0.0"), 1);
}

#[tokio::test]
async fn a_pact_that_cannot_be_read_keeps_nothing_else_from_being_forgotten() {
    let pipelines = Pipelines::serve().await;
    let mut cluster = TestCluster::without_operator().await;
    cluster.start_operator(pipelines.options(&webhook(), &[("intervalSeconds", 1)])).await;
    let (namespace, environment) = with_provider(&cluster, "shelf").await;
    let unreadable = "/pacts/provider/shelf/consumer/torn/";
    cluster.broker.faults().add(Fault::status(500).path(&format!("^{unreadable}")));
    unverified(&cluster, &namespace, "torn", "shelf").await;
    eventually("the pact to be read", SOON, async || {
        let read = cluster.broker.count_requests(|request| request.path_and_query.starts_with(unreadable));
        if read > 0 { Ok(()) } else { Err(testbed_tail(&cluster)) }
    })
    .await;
    unverified(&cluster, &namespace, "whole", "shelf").await;
    pipelines.wait("whole@7.0.0", &cluster).await;
    // What has no result runs no longer.
    cluster.broker.store().publish_version("whole", "8.0.0");
    drop(annotated("whole", "whole", "8.0.0").apply(&cluster.client(), &namespace).await);
    cluster.wait_recorded(&environment, "whole", "8.0.0").await;
    eventually("it to be forgotten", 2 * SOON, async || {
        let kept = Api::<ConfigMap>::namespaced(cluster.client(), OPERATOR_NAMESPACE);
        let kept = kept.get("pact-operator-verifications").await.unwrap().data.unwrap_or_default();
        if kept.values().any(|text| text.contains("whole")) { Err(format!("{kept:?}")) } else { Ok(()) }
    })
    .await;
    assert_eq!(pipelines.count("torn"), 0);
}
