//! The controller's own checks of the versions that run, however they were admitted: shown in status and columns,
//! reported once, and no more frequent than needed.

use crate::objects::Objects as _;
use std::time::Duration;

use futures::future::join_all;
use pact_operator::api::deployment::Check;

use serde_json::json;

use super::gate_setup::provider_that_breaks;
use testbed::eventually::{always, eventually};
use testbed::kubectl::{kubectl, kubectl_ok};
use testbed::rollout::Live;
use testbed::test_cluster::{SOON, TestCluster, annotated, image, quick};
use testbed::webhook::{Person, Webhook, WebhookOptions};

/// The check of a version in a pacticipant's record.
async fn checked(cluster: &TestCluster, environment: &str, pacticipant: &str, version: &str) -> Option<Check> {
    let status = cluster.record(environment, pacticipant).await?.status?;
    status.checks.into_iter().find(|check| check.version == version)
}

/// Waits until a pacticipant's record has this verdict on a version.
async fn wait_verdict(
    cluster: &TestCluster,
    environment: &str,
    pacticipant: &str,
    version: &str,
    verdict: &str,
) -> Check {
    let what = format!("{verdict} for {pacticipant} {version} in {environment}");
    eventually(what, SOON, async || match checked(cluster, environment, pacticipant, version).await {
        Some(check) if check.verdict == verdict => Ok(check),
        other => Err(format!("{other:?}")),
    })
    .await
}

/// Waits until `kubectl get pactenv` shows these: mode, would-deny, unchecked.
async fn wait_columns(cluster: &TestCluster, environment: &str, wanted: [&str; 3]) {
    let kubeconfig = cluster.control_plane.kubeconfig();
    eventually(format!("{environment} to show {wanted:?}"), SOON, async || {
        let table = kubectl_ok(kubeconfig, &["get", "pactenv", environment]).await;
        let mut lines = table.lines();
        let head: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
        let row: Vec<_> = lines.next().unwrap_or_default().split_whitespace().collect();
        let at = |column: &str| head.iter().position(|it| *it == column).and_then(|at| row.get(at)).copied();
        let shown = ["MODE", "WOULD-DENY", "UNCHECKED"].map(|column| at(column).unwrap_or("nothing"));
        if shown == wanted { Ok(()) } else { Err(table) }
    })
    .await;
}

/// How many questions were sent to the broker.
fn questions(cluster: &TestCluster) -> usize {
    cluster.broker.count_requests(|request| request.path_and_query.starts_with("/matrix?"))
}

/// How often the controller counted a verdict, with labels that hold these.
async fn counted(cluster: &TestCluster, labels: &[&str]) -> u64 {
    let metrics = cluster.operators.last().expect("an operator runs").metrics().await;
    let lines = metrics.lines().filter(|line| line.starts_with("pact_operator_version_checks_total{"));
    let lines = lines.filter(|line| labels.iter().all(|label| line.contains(label)));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

/// The consumer `web` 1 is deployed; `orders` 1.0.0 has verified its pact, 2.0.0 and 4.0.0 failed to.
fn orders_for_web(cluster: &TestCluster, environment: &str) {
    let store = cluster.broker.store();
    store.publish_pact("web", "1", "orders", "a");
    store.record_deployment("web", "1", environment, None);
    store.verify("web", "1", "orders", "1.0.0", true);
    store.verify("web", "1", "orders", "2.0.0", false);
    store.verify("web", "1", "orders", "4.0.0", false);
}

async fn enforcing(cluster: &TestCluster, mode: &str) -> (String, String) {
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({"gate": {"mode": mode}})).await;
    orders_for_web(cluster, &environment);
    cluster.wait_environment(&environment, ("MembersListed", "True", "Listed")).await;
    (namespace, environment)
}

#[tokio::test]
async fn in_every_mode_what_would_be_denied_is_shown_reported_and_counted() {
    let cluster = TestCluster::shared().await;
    for (mode, reason) in [
        // With the gate off there are numbers, and no Events.
        ("Off", None),
        ("Audit", Some("RolloutWouldBeDenied")),
        ("Warn", Some("RolloutWouldBeDenied")),
        ("Enforce", Some("RunsUnsafe")),
    ] {
        let (namespace, environment) = enforcing(&cluster, mode).await;
        wait_columns(&cluster, &environment, [mode, "0", "0"]).await;
        // No gate runs here: the rollout is admitted in every mode.
        let client = cluster.client();
        let orders = annotated("orders", "orders", "2.0.0").apply(&client, &namespace).await;
        let check = wait_verdict(&cluster, &environment, "orders", "2.0.0", "No").await;
        assert!(check.would_deny && check.message.contains("failed to verify the pact of web 1"), "{check:?}");
        let pair = &check.pairs[0];
        let shown = (
            pair.consumer.as_str(),
            pair.consumer_version.as_str(),
            pair.provider.as_str(),
            pair.provider_version.as_deref(),
        );
        assert_eq!(shown, ("web", "1", "orders", Some("2.0.0")));
        assert_eq!((pair.result.as_str(), check.more_pairs), ("Failed", None));
        let age = k8s_openapi::jiff::Timestamp::now().duration_since(check.since.0).as_secs();
        assert!((-1..120).contains(&age), "since {age} s ago");
        wait_columns(&cluster, &environment, [mode, "1", "0"]).await;
        if let Some(reason) = reason {
            let note = cluster.wait_event(&namespace, "orders", reason).await;
            assert!(note.contains("orders 2.0.0") && note.contains("web 1") && note.contains(&environment), "{note}");
        }
        assert!(counted(&cluster, &["verdict=\"No\"", "would_deny=\"true\"", "late=\"false\""]).await > 0);

        orders.set_image(&image("1.0.0")).await;
        wait_verdict(&cluster, &environment, "orders", "1.0.0", "Yes").await;
        wait_columns(&cluster, &environment, [mode, "0", "0"]).await;
        eventually("the old version's check to go", SOON, async || {
            match checked(&cluster, &environment, "orders", "2.0.0").await {
                None => Ok(()),
                Some(check) => Err(format!("{check:?}")),
            }
        })
        .await;
        cluster.wait_recorded(&environment, "orders", "1.0.0").await;
        let events = cluster.events(&namespace, "orders", reason.unwrap_or("RolloutWouldBeDenied")).await;
        assert_eq!(events.len(), usize::from(reason.is_some()), "reported once, or not at all: {events:?}");
    }
}

async fn set_image(person: &Person, namespace: &str, name: &str, version: &str, more: &[&str]) -> (bool, String) {
    let (target, image) = (format!("deployment/{name}"), format!("app={}", image(version)));
    let arguments = [&["-n", namespace, "set", "image", &target, &image], more].concat();
    let output = kubectl(person.kubeconfig(), &arguments).await;
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test]
async fn case_65_what_was_admitted_unchecked_is_marked_and_judged_when_the_broker_is_back() {
    let cluster = TestCluster::start().await;
    let webhook = Webhook::start(&cluster.control_plane, WebhookOptions::default()).await;
    let person = Person::developer(&cluster.control_plane).await;
    let (namespace, environment) = enforcing(&cluster, "Enforce").await;
    annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    wait_verdict(&cluster, &environment, "orders", "1.0.0", "Yes").await;
    // The gate runs and denies.
    eventually("the gate to deny", SOON, async || {
        let (admitted, output) = set_image(&person, &namespace, "orders", "2.0.0", &[]).await;
        assert!(!admitted || output.contains("inventory"), "{output}");
        if admitted { Err(output) } else { Ok(()) }
    })
    .await;

    // Another version: the gate caches the answer about 2.0.0 for a moment.
    cluster.broker.stop().await;
    let (admitted, output) = set_image(&person, &namespace, "orders", "4.0.0", &[]).await;
    assert!(admitted && output.contains("Warning: orders 4.0.0"), "{output}");
    let check = wait_verdict(&cluster, &environment, "orders", "4.0.0", "Unchecked").await;
    assert!(!check.would_deny && check.pairs.is_empty(), "{check:?}");
    let note = cluster.wait_event(&namespace, "orders", "Unchecked").await;
    assert!(note.contains("orders 4.0.0") && note.contains("once the broker answers"), "{note}");
    wait_columns(&cluster, &environment, ["Enforce", "0", "1"]).await;
    assert!(cluster.events(&namespace, "orders", "RunsUnsafe").await.is_empty());

    cluster.broker.restart().await;
    let check = wait_verdict(&cluster, &environment, "orders", "4.0.0", "No").await;
    assert!(check.would_deny && check.pairs[0].consumer == "web", "{check:?}");
    let note = cluster.wait_event(&namespace, "orders", "RunsUnsafe").await;
    assert!(note.contains("would be denied now") && note.contains("web 1"), "{note}");
    wait_columns(&cluster, &environment, ["Enforce", "1", "0"]).await;
    assert_eq!(counted(&cluster, &["verdict=\"No\"", "late=\"true\""]).await, 1);
    cluster.wait_recorded(&environment, "orders", "4.0.0").await;

    // A verification corrects it: nothing has to change in the cluster.
    cluster.broker.store().verify("web", "1", "orders", "4.0.0", true);
    wait_verdict(&cluster, &environment, "orders", "4.0.0", "Yes").await;
    wait_columns(&cluster, &environment, ["Enforce", "0", "0"]).await;
    drop(webhook);
}

/// Waits until the gauge shows so many versions that run and would be denied, under this mode.
async fn wait_gauge(cluster: &TestCluster, mode: &str, wanted: u32) {
    let line = format!("pact_operator_versions_would_deny{{mode=\"{mode}\"}} {wanted}");
    eventually(&line, SOON, async || {
        let metrics = cluster.operators[0].metrics().await;
        let mut gauge = metrics.lines().filter(|line| line.starts_with("pact_operator_versions_would_deny{"));
        if gauge.any(|shown| shown == line) { Ok(()) } else { Err(metrics) }
    })
    .await;
}

#[tokio::test]
async fn case_81_a_version_that_would_be_denied_is_counted_by_mode_whatever_the_way_it_came() {
    let cluster = TestCluster::start().await;
    let options = WebhookOptions::default().failure_policy("Ignore").timeout_seconds(2);
    let mut webhook = Webhook::start(&cluster.control_plane, options).await;
    let developer = Person::developer(&cluster.control_plane).await;
    let on_call = Person::on_call(&cluster.control_plane).await;
    let (auditing, audit) = enforcing(&cluster, "Audit").await;
    let (namespace, environment) = enforcing(&cluster, "Enforce").await;
    annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &auditing).await;
    for app in ["stated", "unasked", "unseen"] {
        provider_that_breaks(&cluster.broker, &environment, app);
        annotated(app, app, "1.0.0").apply(&cluster.client(), &namespace).await;
    }
    for app in ["stated", "unasked", "unseen"] {
        wait_verdict(&cluster, &environment, app, "1.0.0", "Yes").await;
        cluster.wait_recorded(&environment, app, "1.0.0").await;
    }
    eventually("the gate to deny", SOON, async || {
        let (admitted, output) = set_image(&developer, &namespace, "unseen", "2.0.0", &["--dry-run=server"]).await;
        if admitted { Err(output) } else { Ok(()) }
    })
    .await;
    wait_gauge(&cluster, "Enforce", 0).await;

    // Under Audit.
    let (admitted, output) = set_image(&developer, &auditing, "orders", "2.0.0", &[]).await;
    assert!(admitted && !output.contains("Warning"), "{output}");
    wait_gauge(&cluster, "Audit", 1).await;
    wait_columns(&cluster, &audit, ["Audit", "1", "0"]).await;

    // By a statement.
    let statement = ["-n", &namespace, "annotate", "deployment/stated", "pact-operator.dev/bypass=2.0.0 it is urgent"];
    kubectl_ok(on_call.kubeconfig(), &statement).await;
    let (admitted, output) = set_image(&on_call, &namespace, "stated", "2.0.0", &[]).await;
    assert!(admitted, "{output}");
    wait_gauge(&cluster, "Enforce", 1).await;

    // While the broker was down.
    cluster.broker.stop().await;
    let (admitted, output) = set_image(&developer, &namespace, "unasked", "2.0.0", &[]).await;
    assert!(admitted && output.contains("Warning: unasked 2.0.0"), "{output}");
    cluster.broker.restart().await;
    wait_gauge(&cluster, "Enforce", 2).await;

    // While the gate was down.
    let before = counted(&cluster, &["verdict=\"No\"", "late=\"false\""]).await;
    webhook.kill9();
    let (admitted, output) = set_image(&developer, &namespace, "unseen", "2.0.0", &[]).await;
    assert!(admitted, "{output}");
    let check = wait_verdict(&cluster, &environment, "unseen", "2.0.0", "No").await;
    assert!(check.would_deny, "{check:?}");
    let note = cluster.wait_event(&namespace, "unseen", "RunsUnsafe").await;
    assert!(note.contains("admitted while nobody could be asked"), "{note}");
    assert_eq!(counted(&cluster, &["verdict=\"No\"", "late=\"false\""]).await, before + 1);
    wait_gauge(&cluster, "Enforce", 3).await;
    wait_columns(&cluster, &environment, ["Enforce", "3", "0"]).await;

    // A verification puts it right, and the other mode's number stays.
    assert!(cluster.broker.store().verify("web-of-stated", "7", "stated", "2.0.0", true));
    wait_gauge(&cluster, "Enforce", 2).await;
    wait_gauge(&cluster, "Audit", 1).await;
}

#[tokio::test]
async fn case_60_a_changed_verdict_is_noticed_for_the_counterpart_within_seconds() {
    let cluster = TestCluster::start().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({"gate": {"mode": "Enforce"}})).await;
    let store = cluster.broker.store();
    store.publish_pact("web", "1.0.0", "orders", "a");
    store.verify("web", "1.0.0", "orders", "1.0.0", true);
    let client = cluster.client();
    let orders = annotated("orders", "orders", "1.0.0").apply(&client, &namespace).await;
    let web = annotated("web", "web", "1.0.0").apply(&client, &namespace).await;
    orders.wait_complete().await;
    wait_verdict(&cluster, &environment, "orders", "1.0.0", "Yes").await;
    wait_verdict(&cluster, &environment, "web", "1.0.0", "Yes").await;

    // A consumer whose new pact is not verified.
    store.publish_pact("web", "2.0.0", "orders", "b");
    web.set_image(&image("2.0.0")).await;
    wait_verdict(&cluster, &environment, "web", "2.0.0", "Unknown").await;
    let check = wait_verdict(&cluster, &environment, "orders", "1.0.0", "Unknown").await;
    assert!(check.pairs.iter().any(|pair| pair.consumer_version == "2.0.0"), "{check:?}");
    cluster.wait_event(&namespace, "orders", "RunsUnsafe").await;
    // The verification arrives.
    store.verify("web", "2.0.0", "orders", "1.0.0", true);
    wait_verdict(&cluster, &environment, "web", "2.0.0", "Yes").await;
    wait_verdict(&cluster, &environment, "orders", "1.0.0", "Yes").await;
    // Another consumer version, and this time it fails.
    store.publish_pact("web", "3.0.0", "orders", "c");
    store.verify("web", "3.0.0", "orders", "1.0.0", false);
    web.set_image(&image("3.0.0")).await;
    let check = wait_verdict(&cluster, &environment, "orders", "1.0.0", "No").await;
    assert!(check.pairs[0].consumer_version == "3.0.0" && check.pairs[0].result == "Failed", "{check:?}");
    wait_columns(&cluster, &environment, ["Enforce", "2", "0"]).await;
}

#[tokio::test]
async fn a_counterpart_that_another_client_records_is_noticed_though_it_never_ran_here() {
    let cluster = TestCluster::shared().await;
    let (namespace, environment) = enforcing(&cluster, "Audit").await;
    let store = cluster.broker.store();
    annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    wait_verdict(&cluster, &environment, "orders", "1.0.0", "Yes").await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    // A consumer in another cluster, unknown to this operator.
    store.publish_pact("mobile", "7", "orders", "m");
    store.verify("mobile", "7", "orders", "1.0.0", false);
    store.record_deployment("mobile", "7", &environment, None);
    let check = wait_verdict(&cluster, &environment, "orders", "1.0.0", "No").await;
    assert_eq!(check.pairs[0].consumer, "mobile", "{check:?}");
    cluster.wait_event(&namespace, "orders", "RolloutWouldBeDenied").await;
    store.undeploy("mobile", &environment, None);
    wait_verdict(&cluster, &environment, "orders", "1.0.0", "Yes").await;
}

#[tokio::test]
async fn fifty_keys_and_many_changes_are_a_bounded_number_of_questions_and_none_at_rest_or_after_a_restart() {
    const KEYS: usize = 50;
    const CHANGED: usize = 20;
    let mut cluster = TestCluster::start().await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    let store = cluster.broker.store();
    // One provider, of which all others are consumers: the worst case for an environment of this size.
    for number in 1..KEYS {
        for version in ["1.0.0", "2.0.0"] {
            store.publish_pact(&format!("app-{number}"), version, "app-0", "a");
        }
    }
    // Both versions of a consumer have the same pact.
    for number in 1..KEYS {
        store.verify(&format!("app-{number}"), "1.0.0", "app-0", "1.0.0", true);
    }
    let client = cluster.client();
    let lives: Vec<Live> = join_all((0..KEYS).map(async |number| {
        let name = format!("app-{number}");
        annotated(&name, &name, "1.0.0").replicas(0).apply(&client, &namespace).await
    }))
    .await;
    let all_yes = async |cluster: &TestCluster, version: &dyn Fn(usize) -> &'static str| {
        for number in 0..KEYS {
            wait_verdict(cluster, &environment, &format!("app-{number}"), version(number), "Yes").await;
            cluster.wait_recorded(&environment, &format!("app-{number}"), version(number)).await;
        }
    };
    all_yes(&cluster, &|_| "1.0.0").await;
    let rest = async |cluster: &TestCluster| {
        eventually("the questions to end", SOON, async || {
            let before = questions(cluster);
            tokio::time::sleep(Duration::from_secs(4)).await;
            let asked = questions(cluster) - before;
            if asked == 0 { Ok(()) } else { Err(format!("{asked} more")) }
        })
        .await;
    };
    rest(&cluster).await;
    let first = questions(&cluster);

    for live in &lives[1..=CHANGED] {
        live.set_image(&image("2.0.0")).await;
    }
    all_yes(&cluster, &|number| if (1..=CHANGED).contains(&number) { "2.0.0" } else { "1.0.0" }).await;
    rest(&cluster).await;
    let second = questions(&cluster) - first;
    println!("{first} questions for {KEYS} new keys, {second} for {CHANGED} changes of the consumers of one provider");
    // Each version once or twice (a yes that may hide a version is checked again); the provider once for each few
    // seconds in which its consumers change, and its consumers when it changes itself.
    assert!((KEYS..=6 * KEYS).contains(&first), "{first} questions for {KEYS} keys");
    assert!((CHANGED..=6 * CHANGED).contains(&second), "{second} questions for {CHANGED} changes");

    let before = questions(&cluster);
    always("nothing is asked at rest", Duration::from_secs(8), async || {
        let asked = questions(&cluster) - before;
        if asked == 0 { Ok(()) } else { Err(format!("{asked} questions")) }
    })
    .await;
    let mut stopped = cluster.operators.pop().expect("one runs");
    assert_eq!(stopped.terminate().await, 0);
    let start = std::time::Instant::now();
    cluster.start_operator(quick()).await;
    eventually("the new process to have read the environment", SOON, async || {
        let read = cluster.broker.count_requests(|request| {
            request.at > start && request.path_and_query.contains("/deployed-versions/currently-deployed")
        });
        if read > 2 { Ok(()) } else { Err(format!("{read} reads")) }
    })
    .await;
    always("nothing is asked again", Duration::from_secs(5), async || {
        let asked = questions(&cluster) - before;
        if asked == 0 { Ok(()) } else { Err(format!("{asked} questions")) }
    })
    .await;
}

#[tokio::test]
async fn case_74_enforce_is_in_force_once_what_runs_is_listed_with_the_broker_down() {
    let cluster = TestCluster::start().await;
    let webhook = Webhook::start(&cluster.control_plane, WebhookOptions::default()).await;
    let person = Person::developer(&cluster.control_plane).await;
    let namespace = cluster.namespace().await;
    // A broker that the operator cannot reach yet: what runs cannot be recorded.
    cluster.broker.stop().await;
    let environment = format!("env-{namespace}");
    cluster.broker.store().add_environment(&environment, false);
    orders_for_web(&cluster, &environment);
    annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await;
    let spec = json!({"gate": {"mode": "Enforce", "actions": {"brokerUnavailable": "Deny"}}});
    cluster.map(&environment, &[&namespace], spec).await;
    cluster.wait_environment(&environment, ("MembersListed", "True", "Listed")).await;
    wait_columns(&cluster, &environment, ["Enforce", "0", "1"]).await;
    eventually("the gate to enforce", SOON, async || {
        let (admitted, output) = set_image(&person, &namespace, "orders", "3.0.0", &[]).await;
        if admitted { Err(output) } else { Ok(()) }
    })
    .await;

    cluster.broker.restart().await;
    wait_columns(&cluster, &environment, ["Enforce", "0", "0"]).await;
    eventually("the gate to ask", SOON, async || {
        let (admitted, output) = set_image(&person, &namespace, "orders", "2.0.0", &[]).await;
        if !admitted && output.contains("failed to verify the pact of web 1") { Ok(()) } else { Err(output) }
    })
    .await;
    drop(webhook);
}
