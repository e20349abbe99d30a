//! The rights that the chart grants: none is missing, none is superfluous, and the log reports one that is taken away.
//!
//! Each verb on each resource is taken from its account in turn, while the operator has work of every kind. The right
//! is used if the API server refuses a request for it, and its loss is reported if the log has that refusal with the
//! remedy.

use std::fmt::{self, Debug};
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchParams};
use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment, PactRecord, annotations};
use pact_operator::gate::REPORTER;
use pact_operator::workload::RecordKey;
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::chart::ChartCluster;
use super::chart_self_test::SelfTest;
use super::gate_setup::provider_that_breaks;
use super::kinds_setup::OTHERS;
use super::recorder_templates::install_kinds;
use testbed::chart::RELEASE;
use testbed::eventually::eventually;
use testbed::operator::Operator;
use testbed::process::free_port;
use testbed::test_cluster::{SOON, annotated};
use testbed::webhook::{self, Webhook};
use testbed::workload::Workload;

const BROKER_SECRET: &str = "pact-broker";
const AUTHORITY_SECRET: &str = "pact-operator-webhook-authority";
const LEASE: &str = "pact-operator-controller";

/// One verb on one resource, of one name where the role says so.
#[derive(Clone, Debug, PartialEq)]
struct Right {
    /// `controller`, `webhook` or `self-test`.
    component: &'static str,
    /// The namespace of the Role that grants it; `None`: a `ClusterRole` does.
    namespace: Option<String>,
    rule: PolicyRule,
}

impl Right {
    fn verb(&self) -> &str {
        &self.rule.verbs[0]
    }

    fn resource(&self) -> &str {
        &self.rule.resources.as_ref().unwrap()[0]
    }

    fn name(&self) -> Option<&str> {
        Some(self.rule.resource_names.as_ref()?.first()?.as_str())
    }

    /// Whether it is used only where the API server does not stream lists: a list of what may be watched as well, but for
    /// the Lease, which is watched alone.
    fn is_for_pages(&self, rights: &[Self]) -> bool {
        let watched = |right: &Self| right.verb() == "watch" && right.resource() == self.resource();
        self.verb() == "list" && self.resource() != "leases" && rights.iter().any(watched)
    }

    /// Whether a line has the API server's refusal that names this right.
    fn is_missing_in(&self, line: &str) -> bool {
        line.contains(&format!(r#"cannot {} resource "{}""#, self.verb(), self.resource()))
            && self.name().is_none_or(|name| line.contains(&format!(r#""{name}" is forbidden"#)))
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} of {}", self.verb(), self.resource(), self.name().unwrap_or("*"), self.component)
    }
}

/// Every right of an account, from the roles of its name as they are in the cluster.
async fn rights(cluster: &ChartCluster, component: &'static str) -> Vec<Right> {
    let name = format!("pact-operator-{component}");
    let client = cluster.control_plane.client();
    let cluster_role = Api::<ClusterRole>::all(client.clone()).get(&name).await.unwrap();
    let mut granted = vec![(None, cluster_role.rules)];
    for namespace in [RELEASE, "default"] {
        let role = Api::<Role>::namespaced(client.clone(), namespace).get_opt(&name).await.unwrap();
        granted.extend(role.map(|role| (Some(namespace.to_owned()), role.rules)));
    }
    let mut rights = Vec::new();
    for (namespace, rules) in granted {
        for rule in rules.into_iter().flatten() {
            for right in singles(&rule) {
                rights.push(Right { component, namespace: namespace.clone(), rule: right });
            }
        }
    }
    rights
}

/// A rule as rules of one verb, resource and name each.
fn singles(rule: &PolicyRule) -> Vec<PolicyRule> {
    assert_eq!(rule.api_groups.as_ref().map(Vec::len), Some(1), "{rule:?}");
    let names = rule.resource_names.clone().unwrap_or_default();
    let names: Vec<_> =
        if names.is_empty() { vec![None] } else { names.into_iter().map(|name| Some(vec![name])).collect() };
    let mut singles = Vec::new();
    for resource in rule.resources.iter().flatten() {
        for verb in &rule.verbs {
            for names in &names {
                singles.push(PolicyRule {
                    resources: Some(vec![resource.clone()]),
                    verbs: vec![verb.clone()],
                    resource_names: names.clone(),
                    ..rule.clone()
                });
            }
        }
    }
    singles
}

/// Writes the role of `right` anew, with all of its own `rights`, but without `right` if it is not to be `granted`.
/// Waits until the API server has adopted it.
async fn grant(cluster: &ChartCluster, rights: &[Right], right: &Right, granted: bool) {
    let own = rights.iter().filter(|one| one.namespace == right.namespace && (granted || *one != right));
    let rules: Vec<_> = own.map(|one| &one.rule).collect();
    let (how, rules) = (PatchParams::default(), Patch::Merge(json!({"rules": rules})));
    let (client, name) = (cluster.control_plane.client(), format!("pact-operator-{}", right.component));
    match &right.namespace {
        None => drop(Api::<ClusterRole>::all(client.clone()).patch(&name, &how, &rules).await.unwrap()),
        Some(namespace) => {
            drop(Api::<Role>::namespaced(client.clone(), namespace).patch(&name, &how, &rules).await.unwrap());
        }
    }
    let (resource, subresource) = right.resource().split_once('/').unwrap_or((right.resource(), ""));
    let asked = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            user: Some(format!("system:serviceaccount:{RELEASE}:{name}")),
            resource_attributes: Some(ResourceAttributes {
                group: right.rule.api_groups.as_ref().unwrap().first().cloned(),
                resource: Some(resource.to_owned()),
                subresource: Some(subresource.to_owned()),
                verb: Some(right.verb().to_owned()),
                name: right.name().map(str::to_owned),
                namespace: right.namespace.clone(),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews = Api::<SubjectAccessReview>::all(client);
    eventually(format!("{right} to be granted: {granted}"), SOON, async || {
        let answer = reviews.create(&PostParams::default(), &asked).await.map_err(|error| error.to_string())?;
        let SubjectAccessReviewStatus { allowed, .. } = answer.status.unwrap_or_default();
        if allowed == granted { Ok(()) } else { Err(format!("it is {allowed}")) }
    })
    .await;
}

/// A cluster with the chart, and with work that needs every right.
async fn cluster_with_work() -> ChartCluster {
    let cluster = ChartCluster::without_chart().await;
    install_kinds(&cluster.control_plane).await;
    provider_that_breaks(&cluster.broker, "production", "orders");
    let output = cluster
        .release(&json!({
            "broker": {"url": cluster.broker.url(), "auth": {"basic": {"secretRef": {"name": BROKER_SECRET}}}},
            "rbac": {"brokerSecrets": [BROKER_SECRET]},
        }))
        .await;
    assert_eq!(output.code, 0, "{output:?}");
    let signed_in = secret(BROKER_SECRET, &json!({"username": "u", "password": "p"}));
    put(Api::<Secret>::namespaced(cluster.control_plane.client(), RELEASE), BROKER_SECRET, signed_in).await;
    for name in ["recorded", "taken"] {
        annotated(name, "nobody", "1.0.0").apply(&cluster.control_plane.client(), "shop").await.wait_complete().await;
    }
    for tested in OTHERS {
        let rollout = tested.of(&tested.name("recorded"), "1.0.0").annotation(annotations::PACTICIPANT, "nobody");
        tested.wait_complete(&Workload::apply(&cluster.control_plane.client(), "shop", &rollout).await).await;
    }
    cluster
}

/// Creates the object, and deletes one of that name first.
async fn put<K>(api: Api<K>, name: &str, object: Value)
where
    K: Clone + Debug + DeserializeOwned + Serialize,
{
    remove(&api, name).await;
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}

async fn remove<K: Clone + Debug + DeserializeOwned>(api: &Api<K>, name: &str) {
    match api.delete(name, &DeleteParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        removed => drop(removed.unwrap()),
    }
}

fn secret(name: &str, data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data})
}

fn key(pacticipant: &str) -> RecordKey {
    let spec = json!({"broker": "main", "environment": "production", "pacticipant": pacticipant});
    RecordKey::of(&PactDeployment::new("any", serde_json::from_value(spec).unwrap())).unwrap()
}

/// New work for a controller: new pacticipants, an object to delete, statuses to write, a Lease with another holder or,
/// with `anew`, no Lease.
async fn work_for_a_controller(cluster: &ChartCluster, number: usize, anew: bool) {
    let (client, how) = (cluster.control_plane.client(), PatchParams::default());
    for name in ["recorded", "taken"] {
        let pacticipant = format!("{name}-{number}");
        cluster.broker.store().publish_version(&pacticipant, "1.0.0");
        let annotated = Patch::Merge(json!({"metadata": {"annotations": {annotations::PACTICIPANT: pacticipant}}}));
        Api::<Deployment>::namespaced(client.clone(), "shop").patch(name, &how, &annotated).await.unwrap();
    }
    for tested in OTHERS {
        let name = tested.name("recorded");
        let pacticipant = format!("{name}-{number}");
        cluster.broker.store().publish_version(&pacticipant, "1.0.0");
        let annotated = json!({"metadata": {"annotations": {annotations::PACTICIPANT: pacticipant}}});
        Workload::new(&client, tested.kind.kind(), "shop", &name).patch(annotated).await;
    }
    // The first object is about nothing that runs; the second has the name that belongs to the record of a Deployment.
    let [useless, taken, stranger] = ["useless", "taken", "stranger"].map(|name| key(&format!("{name}-{number}")));
    for (name, about) in [(&useless, &useless), (&taken, &stranger)] {
        let object = PactDeployment::new(&name.object_name(), about.spec());
        Api::<PactDeployment>::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
    }
    // Of the workloads of this one pods may be left.
    let gone = key(&format!("gone-{number}"));
    let records = Api::<PactDeployment>::all(client.clone());
    records.create(&PostParams::default(), &PactDeployment::new(&gone.object_name(), gone.spec())).await.unwrap();
    let member = |kind: &str| json!({"kind": kind, "namespace": "shop", "name": "gone", "rollout": "Complete"});
    let members = ["Deployment", "DaemonSet", "Rollout", "CronJob"].map(member);
    let recorded = json!({"status": {
        "members": members, "conditions": [],
        "recorded": {"version": "1.0.0", "at": "2026-01-01T00:00:00Z"},
    }});
    records.patch_status(&gone.object_name(), &how, &Patch::Merge(recorded)).await.unwrap();
    let none = Patch::Merge(json!({"status": null}));
    Api::<PactBroker>::all(client.clone()).patch_status("main", &how, &none).await.unwrap();
    Api::<PactEnvironment>::all(client.clone()).patch_status("production", &how, &none).await.unwrap();
    let waits = json!({"metadata": {"name": "recorded"}, "spec": {"workloadRef": {"name": "recorded"}}});
    put(Api::<PactRecord>::namespaced(client.clone(), "shop"), "recorded", waits).await;
    let leases = Api::<Lease>::namespaced(client, RELEASE);
    if anew {
        return remove(&leases, LEASE).await;
    }
    let spec = json!({
        "holderIdentity": "somebody", "leaseDurationSeconds": 3, "leaseTransitions": 0,
        "acquireTime": "2020-01-01T00:00:00.000000Z", "renewTime": "2020-01-01T00:00:00.000000Z",
    });
    put(leases, LEASE, json!({"metadata": {"name": LEASE}, "spec": spec})).await;
}

/// New work for a webhook: a bundle to fill in, an authority Secret that is empty or, with `anew`, missing.
async fn work_for_a_webhook(cluster: &ChartCluster, anew: bool) {
    let client = cluster.control_plane.client();
    let hooks = Api::<ValidatingWebhookConfiguration>::all(client.clone());
    let mut gate = hooks.get("pact-operator").await.unwrap();
    gate.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = None;
    hooks.replace("pact-operator", &PostParams::default(), &gate).await.unwrap();
    let secrets = Api::<Secret>::namespaced(client, RELEASE);
    if anew {
        return remove(&secrets, AUTHORITY_SECRET).await;
    }
    put(secrets, AUTHORITY_SECRET, secret(AUTHORITY_SECRET, &json!({}))).await;
}

/// Sends reviews directly to a gate: of a rollout that it denies, of one that states a bypass, of one that claims to be a
/// Canary's primary, and of one in a namespace that its watches have not delivered.
async fn ask(cluster: &ChartCluster, port: u16) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    let client = client.timeout(Duration::from_secs(10)).build().unwrap();
    // As the API server does: to a stranger, the webhook reads and writes nothing.
    let path = webhook::path(&cluster.control_plane.client(), "pact-operator").await;
    let bypass = json!({annotations::PACTICIPANT: "orders", annotations::BYPASS: "2.0.0 in need"});
    let owner = json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": "orders", "uid": "1", "controller": true}]);
    for (namespace, field, value) in [
        ("shop", "generateName", Value::Null),
        ("shop", "annotations", bypass),
        ("shop", "ownerReferences", owner),
        ("nowhere", "generateName", Value::Null),
    ] {
        let mut object = annotated("orders", "orders", "2.0.0").manifest().clone();
        object["metadata"]["namespace"] = json!(namespace);
        object["metadata"][field] = value;
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
            "uid": "1", "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": "orders", "namespace": namespace, "operation": "CREATE", "dryRun": false,
            "userInfo": {"username": "somebody"}, "object": object, "oldObject": null, "options": null,
        }});
        let request = client.post(format!("https://127.0.0.1:{port}{path}")).header(CONTENT_TYPE, "application/json");
        // It answers from its first certificate on, ready or not.
        drop(request.body(review.to_string()).send().await);
    }
}

/// Starts the component with work to do, and waits until its log is `enough`.
async fn run_component(
    cluster: &ChartCluster,
    component: &'static str,
    number: usize,
    anew: bool,
    mut enough: impl AsyncFnMut(&str) -> Result<(), String>,
) {
    let what = format!("the {component} in run {number}");
    if component == "controller" {
        work_for_a_controller(cluster, number, anew).await;
        let controller = Operator::start_installed(&cluster.control_plane).await;
        eventually(what, SOON, async || enough(&controller.logs()).await).await;
    } else {
        work_for_a_webhook(cluster, anew).await;
        let port = free_port();
        let webhook = Webhook::start_installed(&cluster.control_plane, port).await;
        eventually(what, SOON, async || {
            ask(cluster, port).await;
            enough(&webhook.logs()).await
        })
        .await;
    }
}

/// Whether the API server sends a list as the beginning of a watch.
async fn streams_lists(cluster: &ChartCluster) -> bool {
    let namespaces: Api<Namespace> = Api::all(cluster.control_plane.client());
    namespaces.watch(&WatchParams::default().timeout(1).initial_events(), "0").await.is_ok()
}

/// With an API server that streams lists, but for the rights that are for others: `make earliest` runs it with one of those.
#[tokio::test]
async fn each_right_is_used_and_a_missing_one_is_reported_with_its_remedy() {
    let mut cluster = cluster_with_work().await;
    let streams = streams_lists(&cluster).await;
    let self_test = SelfTest::of(&cluster).await;
    let mut number = 0;
    for component in ["controller", "webhook", "self-test"] {
        let rights = rights(&cluster, component).await;
        if component == "self-test" {
            cluster.run().await;
        }
        for right in &rights {
            number += 1;
            if streams && right.is_for_pages(&rights) {
                continue;
            }
            grant(&cluster, &rights, right, false).await;
            if component == "self-test" {
                let output = self_test.run().await.out;
                assert!(output.lines().any(|line| right.is_missing_in(line)), "{right}: {output}");
            } else {
                // An existing Lease keeps a controller waiting.
                let anew = match (component, right.resource()) {
                    ("controller", "leases") | ("webhook", "secrets") => right.verb() == "create",
                    _ => component == "controller",
                };
                run_component(&cluster, component, number, anew, async |log| {
                    let log = log.replace('\\', "");
                    // The libraries log the refusal, too, without the remedy.
                    let reported = log.lines().any(|line| right.is_missing_in(line) && line.contains("Remedy: "));
                    if reported { Ok(()) } else { Err(format!("{right}: {log}")) }
                })
                .await;
            }
            grant(&cluster, &rights, right, true).await;
        }
    }
    // As many as tests/rights/ lists by verb and name: none was left out.
    assert_eq!(number, 74);
}

#[tokio::test]
async fn no_right_is_missing() {
    let cluster = cluster_with_work().await;
    let (client, store) = (cluster.control_plane.client(), cluster.broker.store());
    let (environments, deployments) =
        (Api::<PactEnvironment>::all(client.clone()), Api::<PactDeployment>::all(client.clone()));
    let events = Api::<Event>::namespaced(client, "shop");
    for (number, anew) in [(1, true), (2, false)] {
        run_component(&cluster, "controller", number, anew, async |log| {
            assert!(!log.contains("Remedy: grant"), "{log}");
            let [one, other] = OTHERS.map(|tested| tested.name("recorded"));
            let names = ["recorded", "taken", &*one, &*other];
            let recorded = names.map(|name| store.current("production", &format!("{name}-{number}")).len());
            let status = environments.get("production").await.unwrap().status.is_some();
            let useless = key(&format!("useless-{number}")).object_name();
            let given_up = deployments.get_opt(&useless).await.unwrap().is_none();
            // An object that another client made stays as it is, and the log reports that it is in the way.
            let taken = deployments.get(&key(&format!("taken-{number}")).object_name()).await.unwrap();
            let reported = log.contains(&format!("about stranger-{number} in production at main. Remedy: delete it"));
            assert!(taken.status.is_none(), "{taken:?}");
            let done = recorded == [1; 4] && status && given_up && reported;
            if done { Ok(()) } else { Err(format!("{recorded:?} {status} {given_up} {reported}: {log}")) }
        })
        .await;
        run_component(&cluster, "webhook", number, anew, async |log| {
            assert!(!log.contains("Remedy: grant"), "{log}");
            let events = events.list(&ListParams::default()).await.unwrap();
            let ours = events.iter().filter(|event| event.reporting_controller.as_deref() == Some(REPORTER));
            // It gets reviews before it is ready, too: its answer without a client for the broker is another Event.
            let verdicts = ours.filter(|event| event.reason.as_deref() == Some("RolloutWouldBeDenied")).count();
            if verdicts == 1 { Ok(()) } else { Err(format!("{verdicts} Events: {log}")) }
        })
        .await;
    }
}
