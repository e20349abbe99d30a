//! Mistakes of people and brokers are reported on the object concerned, change nothing at a broker, and block no other
//! workload.

use crate::objects::Objects as _;
use std::time::Duration;

use kube::Api;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use pact_operator::api::{PactBroker, PactEnvironment, annotations};
use serde_json::{Value, json};

use testbed::crds::install_crds;
use testbed::eventually::{always, eventually};
use testbed::kubectl::kubectl_ok;
use testbed::rollout::{Live, deployment};
use testbed::standin::{Auth, Effect, Fault, StandIn};
use testbed::test_cluster::{BROKER, SOON, TestCluster, annotated, image, quick};

/// Rolls out and waits until the rollout is complete: from then on the operator reports on it.
async fn roll_out(cluster: &TestCluster, namespace: &str, name: &str, version: &str) -> Live {
    cluster.broker.store().publish_version(name, version);
    let live = annotated(name, name, version).apply(&cluster.client(), namespace).await;
    live.wait_complete().await;
    live
}

/// Asserts that the operator goes on: a healthy workload of another environment is recorded, and nothing has panicked.
async fn goes_on(cluster: &TestCluster) {
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    roll_out(cluster, &namespace, "healthy", "1.0.0").await;
    cluster.wait_recorded(&environment, "healthy", "1.0.0").await;
    let logs = cluster.logs();
    assert!(!logs.contains("panicked"), "{logs}");
}

/// Stores a `PactEnvironment` that cannot be read, as a CRD of another version may have accepted it.
async fn store_unreadable(cluster: &TestCluster, name: &str) {
    const CRD: &str = "pactenvironments.pact-operator.dev";
    let kubeconfig = cluster.control_plane.kubeconfig();
    let anything = json!([{
        "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema",
        "value": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    }])
    .to_string();
    kubectl_ok(kubeconfig, &["patch", "crd", CRD, "--type", "json", "-p", &anything]).await;
    let kind = GroupVersionKind::gvk("pact-operator.dev", "v1alpha1", "PactEnvironment");
    let api = Api::<DynamicObject>::all_with(cluster.client(), &ApiResource::from_gvk(&kind));
    let object = json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactEnvironment", "metadata": {"name": name},
        "spec": {"brokerRef": {"name": BROKER}, "namespaces": 7},
    });
    eventually("the unreadable object to be stored", SOON, async || {
        let stored = api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await;
        stored.map(drop).map_err(|error| error.to_string())
    })
    .await;
    install_crds(&cluster.control_plane).await;
}

#[tokio::test]
async fn an_unreadable_pact_environment_is_reported_and_the_others_go_on_but_nothing_is_undeployed() {
    let mut cluster = TestCluster::without_operator().await;
    store_unreadable(&cluster, "unreadable").await;
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({"record": {"undeployGraceSeconds": 1}})).await;
    // Created before the operator starts, so that its initial list comes before it leads.
    let nameless = annotated("nameless", "  ", "1.0.0").apply(&cluster.client(), &namespace).await;
    let orders = roll_out(&cluster, &namespace, "orders", "1.0.0").await;
    cluster.start_operator(quick()).await;

    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    let note = cluster.wait_event("default", "unreadable", "Unreadable").await;
    assert!(note.contains("cannot be read") && note.contains("correct it"), "{note}");
    cluster.wait_event(&namespace, "nameless", "PacticipantEmpty").await;
    goes_on(&cluster).await;

    // The unreadable environment may be the one that another workload of the pacticipant belongs to.
    orders.delete().await;
    cluster.wait_condition(&environment, "orders", ("Ready", "False", "InvalidEnvironment")).await;
    always("orders stays recorded", Duration::from_secs(5), async || {
        let recorded = cluster.recorded(&environment, "orders");
        recorded.is_some().then_some(()).ok_or_else(|| "undeployed".to_owned())
    })
    .await;
    kubectl_ok(cluster.control_plane.kubeconfig(), &["delete", "pactenvironments.pact-operator.dev", "unreadable"])
        .await;
    eventually("orders to be undeployed", SOON, async || cluster.recorded(&environment, "orders").map_or(Ok(()), Err))
        .await;

    // An environment that becomes unreadable while the operator watches keeps its last good rules (case 76).
    let stock = roll_out(&cluster, &namespace, "stock", "1.0.0").await;
    cluster.wait_recorded(&environment, "stock", "1.0.0").await;
    store_unreadable(&cluster, &environment).await;
    cluster.wait_event("default", &environment, "Unreadable").await;
    cluster.broker.store().publish_version("stock", "2.0.0");
    stock.set_image(&image("2.0.0")).await;
    cluster.wait_recorded(&environment, "stock", "2.0.0").await;
    goes_on(&cluster).await;
    let readable = json!({"spec": {"namespaces": {"names": [&namespace]}}}).to_string();
    let object = format!("pactenvironments.pact-operator.dev/{environment}");
    kubectl_ok(cluster.control_plane.kubeconfig(), &["patch", &object, "--type", "merge", "-p", &readable]).await;
    nameless.annotate(annotations::PACTICIPANT, Some("orders")).await;
    cluster.wait_recorded(&environment, "orders", "1.0.0").await;
    goes_on(&cluster).await;
}

#[tokio::test]
async fn invalid_annotations_are_reported_on_the_workload_and_nothing_is_written() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            let client = cluster.client();
            let long = "x".repeat(10 * 1024);
            for (name, pacticipant, reason) in [
                ("empty", "", "PacticipantEmpty"),
                ("blank", " \t ", "PacticipantEmpty"),
                ("gap", "orders,,stock", "PacticipantEmpty"),
                ("long", long.as_str(), "PacticipantsTooMany"),
                ("control", "ord\u{7}ers", "PacticipantInvalid"),
                ("newline", "orders\nstock", "PacticipantInvalid"),
            ] {
                annotated(name, pacticipant, "1.0.0").apply(&client, &namespace).await;
                let note = cluster.wait_event(&namespace, name, reason).await;
                assert!(note.len() <= 1024 && !note.chars().any(char::is_control), "{name}: {note}");
            }
            let control =
                annotated("instance", "orders", "1.0.0").annotation(annotations::APPLICATION_INSTANCE, "a\u{0}b");
            control.apply(&client, &namespace).await;
            cluster.wait_event(&namespace, "instance", "ApplicationInstanceInvalid").await;

            for (name, rollout, reason) in [
                ("untagged", deployment("untagged").image("registry.example.com/shop"), "VersionUnresolved"),
                ("latest", deployment("latest").image(&image("latest")), "VersionMutable"),
                ("absent", deployment("absent").annotation(annotations::CONTAINER, "none-such"), "ContainerMissing"),
                ("blur", deployment("blur").annotation(annotations::VERSION, "1\u{1b}[31m"), "VersionInvalid"),
                ("novel", deployment("novel").annotation(annotations::VERSION, &long), "VersionInvalid"),
            ] {
                rollout.annotation(annotations::PACTICIPANT, name).apply(&client, &namespace).await;
                cluster.wait_condition(&environment, name, ("Ready", "False", reason)).await;
                let note = cluster.wait_event(&namespace, name, reason).await;
                assert!(note.len() <= 1024 && !note.chars().any(char::is_control), "{name}: {note}");
            }
            assert!(cluster.broker.store().current_in(&environment).is_empty());
            goes_on(&cluster).await;
        })
        .await;
}

#[tokio::test]
async fn invalid_environments_are_reported_and_block_only_themselves() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, _| {
            cluster.map("prodction", &[&namespace], json!({"overlap": "Allow"})).await;
            let known =
                cluster.wait_environment("prodction", ("EnvironmentExists", "False", "EnvironmentMissing")).await;
            let conditions = known.status.unwrap().conditions;
            let message = &conditions.iter().find(|one| one.type_ == "EnvironmentExists").unwrap().message;
            assert!(message.contains("did you mean production"), "{message}");

            let of_its_own = cluster.namespace().await;
            // RE2 knows `\Q`, the operator does not: so the CRD takes it.
            let pattern = json!({"version": {"tagPattern": r"\Qv\E(?P<version>.+)"}});
            let invalid = cluster.environment(&[&of_its_own], pattern).await;
            cluster.wait_environment(&invalid, ("Ready", "False", "InvalidSpec")).await;
            roll_out(&cluster, &of_its_own, "orders", "1.0.0").await;

            let odd = json!({"namespaces": {"selector": {"matchExpressions": [{"key": "a", "operator": "Maybe"}]}}});
            let selector = cluster.environment(&[], odd).await;
            let object = cluster.wait_environment(&selector, ("Ready", "False", "InvalidSpec")).await;
            let message =
                object.status.unwrap().conditions.iter().find(|one| one.type_ == "Ready").unwrap().message.clone();
            assert!(message.contains("namespaces.selector"), "{message}");

            let nobody = json!({"brokerRef": {"name": "nobody"}});
            let orphan = cluster.environment(&[&cluster.namespace().await], nobody).await;
            cluster.wait_environment(&orphan, ("Ready", "False", "BrokerMissing")).await;

            goes_on(&cluster).await;
            for environment in [&invalid, &selector, &orphan] {
                assert!(cluster.broker.store().current_in(environment).is_empty());
            }
            for environment in ["prodction", &invalid, &selector, &orphan] {
                let api = Api::<PactEnvironment>::all(cluster.client());
                api.delete(environment, &DeleteParams::default()).await.unwrap();
            }
        })
        .await;
}

/// A broker of its own, its `PactBroker`, and an environment over a namespace of its own, where a rollout of a
/// published version has finished.
struct Elsewhere {
    stand_in: StandIn,
    broker: String,
    environment: String,
}

impl Elsewhere {
    async fn new(cluster: &TestCluster, name: &str, spec: Value, fault: Option<Fault>, auth: Option<Auth>) -> Self {
        let stand_in = StandIn::start().await;
        let namespace = cluster.namespace().await;
        let environment = format!("{name}-{namespace}");
        stand_in.store().add_environment(&environment, false);
        stand_in.store().publish_version("orders", "1.0.0");
        stand_in.set_auth(auth);
        if let Some(fault) = fault {
            stand_in.faults().add(fault);
        }
        let broker = environment.clone();
        let mut whole = json!({"url": stand_in.url()});
        for (key, value) in spec.as_object().into_iter().flatten() {
            whole[key] = value.clone();
        }
        cluster.apply::<PactBroker>("PactBroker", &broker, whole).await;
        cluster.map(&environment, &[&namespace], json!({"brokerRef": {"name": broker}})).await;
        annotated("orders", "orders", "1.0.0").apply(&cluster.client(), &namespace).await.wait_complete().await;
        Self { stand_in, broker, environment }
    }

    /// Ends the fault, and waits until the rollout is recorded.
    async fn put_right(&self) {
        self.stand_in.faults().clear();
        eventually(format!("orders to be recorded in {}", self.environment), SOON, async || {
            let current = self.stand_in.store().current(&self.environment, "orders");
            if current.len() == 1 { Ok(()) } else { Err(format!("{current:?}")) }
        })
        .await;
        assert_eq!(self.stand_in.writes().len(), 1);
    }

    async fn pending(&self, cluster: &TestCluster, reason: &str) -> String {
        let record = cluster.wait_condition(&self.environment, "orders", ("RecordPending", "True", reason)).await;
        assert!(self.stand_in.writes().is_empty(), "{:?}", self.stand_in.writes());
        let conditions = record.status.unwrap().conditions;
        conditions.into_iter().find(|one| one.type_ == "RecordPending").unwrap().message
    }
}

#[tokio::test]
async fn unusable_brokers_are_reported_with_a_remedy_get_no_write_and_are_used_once_corrected() {
    let cluster = TestCluster::start().await;
    let basic = |secret: &str| json!({"auth": {"basic": {"secretRef": {"name": secret}}}});
    let auth = || Some(Auth::Basic { user: "u".into(), pass: "p".into() });
    cluster.secret("half", json!({"username": "u"})).await;
    let missing = Elsewhere::new(&cluster, "missing", basic("absent"), None, auth()).await;
    let half = Elsewhere::new(&cluster, "half", basic("half"), None, auth()).await;
    cluster.wait_broker(&missing.broker, ("Ready", "False", "SecretMissing")).await;
    cluster.wait_broker(&half.broker, ("Ready", "False", "SecretKeyMissing")).await;
    let message = missing.pending(&cluster, "SecretMissing").await;
    assert!(message.contains("absent") && message.contains("pact-operator"), "{message}");
    let message = half.pending(&cluster, "SecretKeyMissing").await;
    assert!(message.contains("password"), "{message}");
    assert_eq!(missing.stand_in.requests().len() + half.stand_in.requests().len(), 0, "nothing is sent without them");

    let html = Elsewhere::new(&cluster, "html", json!({}), Some(Fault::new(Effect::Html)), None).await;
    let elsewhere = StandIn::start().await;
    let location = elsewhere.url();
    let redirect = Some(Fault::new(Effect::Redirect { status: 302, location }));
    let redirect = Elsewhere::new(&cluster, "redirect", json!({}), redirect, None).await;
    let empty = Elsewhere::new(&cluster, "empty", json!({}), Some(Fault::new(Effect::EmptyLists)), None).await;
    let flood = Fault::new(Effect::Flood { bytes: 2 << 30 });
    let flood_of_rows = Fault::new(Effect::Flood { bytes: 2 << 30 }).path("currently-deployed");
    let flood = Elsewhere::new(&cluster, "flood", json!({}), Some(flood), None).await;
    let flood_of_rows = Elsewhere::new(&cluster, "flood-of-rows", json!({}), Some(flood_of_rows), None).await;

    cluster.wait_broker(&html.broker, ("Reachable", "False", "NotABroker")).await;
    assert!(html.pending(&cluster, "NotABroker").await.contains("check the url"));
    cluster.wait_broker(&redirect.broker, ("Reachable", "False", "Redirected")).await;
    assert!(redirect.pending(&cluster, "Redirected").await.contains(&elsewhere.url()));
    assert_eq!(elsewhere.requests().len(), 0, "a redirect is not followed");
    cluster.wait_environment(&empty.environment, ("EnvironmentExists", "False", "EnvironmentMissing")).await;
    assert!(empty.pending(&cluster, "EnvironmentMissing").await.contains("no environments at all"));
    cluster.wait_broker(&flood.broker, ("Reachable", "False", "AnswerTooLarge")).await;
    assert!(flood.pending(&cluster, "AnswerTooLarge").await.contains("32 MiB"));
    cluster.wait_environment(&flood_of_rows.environment, ("Ready", "False", "AnswerTooLarge")).await;
    flood_of_rows.pending(&cluster, "AnswerTooLarge").await;
    let resident = cluster.operators[0].rss_bytes();
    assert!(resident < 400 << 20, "{} MiB", resident >> 20);
    goes_on(&cluster).await;

    let all = [missing, half, html, redirect, empty, flood, flood_of_rows];
    for elsewhere in &all {
        assert!(elsewhere.stand_in.writes().is_empty(), "{}: {:?}", elsewhere.broker, elsewhere.stand_in.writes());
    }
    for secret in ["absent", "half"] {
        cluster.secret(secret, json!({"username": "u", "password": "p"})).await;
    }
    for elsewhere in &all {
        elsewhere.put_right().await;
    }
    assert!(!cluster.logs().contains("panicked"), "{}", cluster.logs());
    let brokers = Api::<PactBroker>::all(cluster.client()).list(&ListParams::default()).await.unwrap();
    assert_eq!(brokers.items.len(), all.len() + 1);
}
