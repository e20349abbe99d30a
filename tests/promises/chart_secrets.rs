//! Secrets: which of them the accounts of the chart reach, what becomes of the authority's Secret when the chart is
//! applied again, and what is said of a broker's Secret that is not granted.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::DeleteParams;
use pact_operator::api::PactBroker;
use serde_json::{Value, json};

use super::chart::ChartCluster;
use super::chart_self_test::SelfTest;
use super::gate_setup::CommandOutput;
use testbed::audit;
use testbed::chart::{RELEASE, folder, helm_ok};
use testbed::eventually::{always, eventually};
use testbed::kubectl::{apply, kubectl_reading};
use testbed::process::free_port;
use testbed::standin::StandIn;
use testbed::test_cluster::SOON;
use testbed::webhook::Webhook;

const AUTHORITY: &str = "pact-operator-webhook-authority";

fn secret(name: &str, type_: &str, annotations: &Value) -> String {
    let metadata = json!({"name": name, "annotations": annotations});
    let data = json!({"username": "u", "password": "p"});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "stringData": data}).to_string()
}

async fn broker(cluster: &ChartCluster, name: &str, secret: &str) {
    let auth = json!({"basic": {"secretRef": {"name": secret}}});
    broker_of(cluster, name, json!({"url": cluster.broker.url(), "auth": auth})).await;
}

async fn broker_of(cluster: &ChartCluster, name: &str, spec: Value) {
    let object = json!({"apiVersion": "pact-operator.dev/v1alpha1", "kind": "PactBroker", "metadata": {"name": name}, "spec": spec});
    apply(cluster.control_plane.kubeconfig(), RELEASE, &object.to_string()).await;
}

/// Waits until the broker's `Ready` has this reason; gives its message.
async fn wait_broker(cluster: &ChartCluster, name: &str, reason: &str) -> String {
    let brokers = Api::<PactBroker>::all(cluster.control_plane.client());
    eventually(format!("PactBroker {name} to be {reason}"), SOON, async || {
        let status = brokers.get(name).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let ready = status.conditions.into_iter().find(|one| one.type_ == "Ready").ok_or("no status")?;
        if ready.reason == reason { Ok(ready.message) } else { Err(format!("{ready:?}")) }
    })
    .await
}

#[tokio::test]
async fn case_113_the_accounts_make_no_secret_and_no_token_and_read_no_other_secret() {
    let cluster = ChartCluster::without_chart().await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    let admin = cluster.control_plane.kubeconfig();
    for name in ["pact-broker", "other"] {
        apply(admin, RELEASE, &secret(name, "Opaque", &json!({}))).await;
    }
    let token = |of: &str| {
        let account = json!({"kubernetes.io/service-account.name": of});
        secret("made", "kubernetes.io/service-account-token", &account)
    };
    for (component, other, own) in
        [("webhook", "pact-operator-controller", true), ("controller", "pact-operator-webhook", false)]
    {
        let account = cluster.control_plane.user_kubeconfig(RELEASE, &format!("pact-operator-{component}")).await;
        let may = async |arguments: &[&str], input: &str| {
            let arguments = [&["-n", RELEASE], arguments].concat();
            let output = CommandOutput::of(&kubectl_reading(&account, &arguments, input).await);
            assert!(output.code == 0 || output.err.contains("orbidden"), "{component}: {arguments:?}: {output:?}");
            output.code == 0
        };
        for manifest in [token(other), secret("made", "Opaque", &json!({}))] {
            assert!(!may(&["create", "-f", "-"], &manifest).await, "{component}: {manifest}");
        }
        for refused in [
            &["create", "token", other][..],
            &["get", "secret", "other"],
            &["get", "secrets"],
            &["delete", "secret", AUTHORITY],
            &["delete", "secret", "pact-broker"],
            &["label", "secret", "pact-broker", "a=b"],
            &["label", "secret", "other", "a=b"],
        ] {
            assert!(!may(refused, "").await, "{component}: {refused:?}");
        }
        assert!(may(&["get", "secret", "pact-broker"], "").await, "{component}");
        assert_eq!(may(&["get", "secret", AUTHORITY], "").await, own, "{component}");
    }
}

/// The Secret of the authority, as it is now.
async fn authority(cluster: &ChartCluster) -> (Option<String>, BTreeMap<String, ByteString>) {
    let found = Api::<Secret>::namespaced(cluster.control_plane.client(), RELEASE).get(AUTHORITY).await.unwrap();
    (found.metadata.uid, found.data.unwrap_or_default())
}

/// The chart as it is rendered for kubectl or a GitOps controller, the Secret only.
async fn rendered(cluster: &ChartCluster, values: &Path) -> String {
    let (chart, values) = (folder().display().to_string(), values.display().to_string());
    let template = ["template", RELEASE, &chart, "--values", &values, "--set", "commonLabels.by=kubectl"];
    helm_ok(&cluster.control_plane, &[&template[..], &["-s", "templates/certificate.yaml"]].concat()).await
}

#[tokio::test]
async fn case_113_the_authority_that_the_operator_filled_in_stays_whatever_applies_the_chart() {
    let mut cluster = ChartCluster::without_chart().await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(authority(&cluster).await.1, BTreeMap::new(), "the chart holds no key");
    cluster.run().await;
    let filled = authority(&cluster).await;
    assert!(filled.1.contains_key("current.key"), "{:?}", filled.1.keys());

    let (admin, values) =
        (cluster.control_plane.kubeconfig().to_owned(), cluster.control_plane.folder().join("values.json"));
    let (chart, file) = (folder().display().to_string(), values.display().to_string());
    let upgrade = ["upgrade", RELEASE, &chart, "--values", &file, "--set"];
    for how in [
        &["commonLabels.by=server", "--server-side=true"][..],
        // As Helm 3 does it.
        &["commonLabels.by=client", "--server-side=false"],
    ] {
        helm_ok(&cluster.control_plane, &[&upgrade[..], how].concat()).await;
        assert_eq!(authority(&cluster).await, filled, "after {how:?}");
    }
    helm_ok(&cluster.control_plane, &["rollback", RELEASE, "1"]).await;
    assert_eq!(authority(&cluster).await, filled, "after a rollback");
    let manifest = rendered(&cluster, &values).await;
    for how in [&["apply", "-f", "-"][..], &["apply", "--server-side", "--force-conflicts", "-f", "-"]] {
        let output = CommandOutput::of(&kubectl_reading(&admin, &[&["-n", RELEASE], how].concat(), &manifest).await);
        assert_eq!(output.code, 0, "{output:?}");
        assert_eq!(authority(&cluster).await, filled, "after {how:?}");
    }

    // Somebody deletes it: the gate goes on, also a replica that starts now, whose log names the remedy.
    let secrets = Api::<Secret>::namespaced(cluster.control_plane.client(), RELEASE);
    secrets.delete(AUTHORITY, &DeleteParams::default()).await.unwrap();
    let mut second = Webhook::start_installed(&cluster.control_plane, free_port()).await;
    second.wait_ready().await;
    let log = second.logs();
    let remedy =
        format!("Remedy: create it, empty; the operator fills it: kubectl --namespace {RELEASE} create secret generic");
    assert!(log.contains(&remedy) && !log.contains("Remedy: grant"), "{log}");
    always("the Secret is not made by the operator", Duration::from_secs(1), async || {
        let found = secrets.get_opt(AUTHORITY).await.map_err(|error| error.to_string())?;
        if found.is_none() { Ok(()) } else { Err("it is there".to_owned()) }
    })
    .await;
    // So does the chart.
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    eventually("the Secret to be filled again", SOON, async || {
        let (_, data) = authority(&cluster).await;
        if data.contains_key("current.key") { Ok(()) } else { Err(format!("{:?}", data.keys())) }
    })
    .await;
    second.wait_ready().await;
}

#[tokio::test]
async fn case_113_a_broker_whose_secret_is_not_granted_says_which_value_to_set() {
    let mut cluster = ChartCluster::without_chart().await;
    let output = cluster.release(&json!({})).await;
    assert_eq!(output.code, 0, "{output:?}");
    assert!(output.out.contains("these Secrets of namespace pact-operator, and no others: pact-broker."), "{output:?}");
    cluster.run().await;
    let admin = cluster.control_plane.kubeconfig().to_owned();
    for name in ["pact-broker", "second-login"] {
        apply(&admin, RELEASE, &secret(name, "Opaque", &json!({}))).await;
    }
    broker(&cluster, "usual", "pact-broker").await;
    broker(&cluster, "second", "second-login").await;
    wait_broker(&cluster, "usual", "Answering").await;
    let message = wait_broker(&cluster, "second", "SecretUnreadable").await;
    assert!(message.starts_with("Secret pact-operator/second-login cannot be read: "), "{message}");
    assert!(message.ends_with("Add those of this PactBroker: rbac.brokerSecrets: [second-login]"), "{message}");

    // The notes of an upgrade say so, too. With the value there is nothing to say.
    let output = cluster.release(&json!({})).await;
    let attention = "ATTENTION: the operator may not read what PactBroker second names: second-login.";
    assert!(output.out.contains(attention), "{output:?}");
    let output = cluster.release(&json!({"rbac": {"brokerSecrets": ["pact-broker", "second-login"]}})).await;
    assert!(output.code == 0 && !output.out.contains("ATTENTION"), "{output:?}");
    wait_broker(&cluster, "second", "Answering").await;
    wait_broker(&cluster, "usual", "Answering").await;
}

#[tokio::test]
async fn case_114_a_secret_that_is_not_for_brokers_is_sent_to_none() {
    let mut cluster = ChartCluster::without_chart().await;
    // Whatever the rights say.
    let (token, release) = ("account-token", format!("sh.helm.release.v1.{RELEASE}.v1"));
    let output = cluster.release(&json!({"rbac": {"brokerSecrets": [AUTHORITY, token, release]}})).await;
    assert_eq!(output.code, 0, "{output:?}");
    cluster.run().await;
    let account = json!({"kubernetes.io/service-account.name": "default"});
    let manifest = secret(token, "kubernetes.io/service-account-token", &account);
    apply(cluster.control_plane.kubeconfig(), RELEASE, &manifest).await;

    let elsewhere = StandIn::start().await;
    let bearer = |name: &str, key: &str| json!({"auth": {"bearer": {"secretRef": {"name": name}, "tokenKey": key}}});
    let own = format!("Secret {RELEASE}/{AUTHORITY} is the operator's own, and for no broker; name another one");
    let of_type = |name: &str, type_: &str| {
        let remedy =
            "name a Secret of type Opaque or kubernetes.io/basic-auth, as `kubectl create secret generic` makes it";
        format!("Secret {RELEASE}/{name} is of type {type_}, which is not for brokers; {remedy}")
    };
    let brokers = [
        ("headers", json!({"headersSecretRef": {"name": AUTHORITY}}), format!("spec.headersSecretRef: {own}")),
        ("key", bearer(AUTHORITY, "current.key"), format!("spec.auth.bearer.secretRef: {own}")),
        (
            "token",
            bearer(token, "token"),
            format!("spec.auth.bearer.secretRef: {}", of_type(token, "kubernetes.io/service-account-token")),
        ),
        (
            "release",
            bearer(&release, "release"),
            format!("spec.auth.bearer.secretRef: {}", of_type(&release, "helm.sh/release.v1")),
        ),
    ];
    for (name, spec, _) in &brokers {
        let mut spec = spec.clone();
        spec["url"] = json!(elsewhere.url());
        broker_of(&cluster, name, spec).await;
    }
    for (name, _, message) in &brokers {
        assert_eq!(&wait_broker(&cluster, name, "SecretRefused").await, message, "{name}");
    }
    let output = SelfTest::of(&cluster).await.run().await;
    for (name, _, message) in &brokers {
        let line = format!("FAILED  PactBroker {name}: {message}");
        assert!(output.out.lines().any(|one| one == line), "{line}: {output:?}");
    }
    assert_eq!(elsewhere.requests().len(), 0, "nothing was sent");
    // Neither process read the operator's own Secret for a broker: only the webhook reads it, as its authority.
    let read = audit::requests(&cluster.control_plane, RELEASE, "pact-operator-controller");
    let read: Vec<_> = read.iter().filter(|one| one.resource == "secrets" && one.name == AUTHORITY).collect();
    assert!(read.is_empty(), "{read:?}");
}
