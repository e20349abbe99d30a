//! The API server's own handling of the operator's kinds: what it refuses and with which message, what it defaults,
//! what it shows. The writes are dry runs, so that the operator does not see them.

use crate::objects::Objects as _;
use std::path::Path;
use std::process::Command;

use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::discovery::ApiResource;
use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment};
use serde_json::{Value, json};

use super::recorder_asserts::published;
use testbed::kubectl::kubectl_ok;
use testbed::test_cluster::{BROKER, TestCluster, annotated};

#[test]
fn the_crds_that_are_checked_in_are_those_of_the_types() {
    let folder = std::env::temp_dir().join(format!("pact-operator-crds-{}", uuid::Uuid::new_v4()));
    let binary = env!("CARGO_BIN_EXE_pact-operator");
    let made = Command::new(binary).args(["crds", "--output"]).arg(&folder).status().unwrap();
    assert!(made.success(), "{made}");
    let read = |folder: &Path| {
        let files = std::fs::read_dir(folder).unwrap().flatten();
        let mut files: Vec<_> = files
            .map(|file| (file.file_name().into_string().unwrap(), std::fs::read_to_string(file.path()).unwrap()))
            .collect();
        files.sort();
        files
    };
    let (made, kept) = (read(&folder), read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("crds")));
    std::fs::remove_dir_all(&folder).unwrap();
    for (made, kept) in made.iter().zip(&kept) {
        assert!(made == kept, "crds/{} is not what the types say: run `make crds`", kept.0);
    }
    assert_eq!(made.len(), kept.len());
}

#[tokio::test]
async fn a_pact_broker_that_cannot_work_is_refused_with_a_reason() {
    let cluster = TestCluster::shared().await;
    let url = "https://broker.example.com";
    let secret = json!({"secretRef": {"name": "secret"}});
    let absolute = "url must be an absolute http or https URL, for example https://broker.example.com";
    let bare = "url must hold no credentials, query or fragment; credentials belong in spec.auth";
    let shown = "publicUrl must hold no credentials, query or fragment: messages show it to everybody";
    for (spec, message) in [
        (json!({}), "spec.url: Required value"),
        (json!({"url": "ftp://broker.example.com"}), absolute),
        (json!({"url": "broker.example.com"}), absolute),
        (json!({"url": "/broker/path"}), absolute),
        (json!({"url": "https://user:pass@broker.example.com"}), bare),
        (json!({"url": "https://broker.example.com/?tenant=1"}), bare),
        (json!({"url": "https://broker.example.com/#top"}), bare),
        (json!({"url": url, "publicUrl": "javascript:alert(1)"}), "publicUrl must be an absolute http or https URL"),
        (json!({"url": url, "publicUrl": "https://user:pass@broker.example.com"}), shown),
        (json!({"url": url, "publicUrl": "https://broker.example.com/?token=1"}), shown),
        (json!({"url": url, "auth": {}}), "auth takes exactly one of basic (open-source broker) and bearer (PactFlow)"),
        (json!({"url": url, "auth": {"basic": secret, "bearer": secret}}), "auth takes exactly one of basic"),
        (json!({"url": url, "auth": {"basic": {}}}), "spec.auth.basic.secretRef: Required value"),
        (json!({"url": url, "headersSecretRef": {"name": ""}}), "should be at least 1 chars long"),
        (json!({"url": url, "requestTimeoutSeconds": 0}), "should be greater than or equal to 1"),
        (json!({"url": url, "requestTimeoutSeconds": 121}), "should be less than or equal to 120"),
        (json!({"url": url, "concurrency": 0}), "should be greater than or equal to 1"),
        (json!({"url": url, "concurrency": 65}), "should be less than or equal to 64"),
    ] {
        refused::<PactBroker>(&cluster, "PactBroker", spec, message).await;
    }
}

#[tokio::test]
async fn a_pact_environment_that_cannot_work_is_refused_with_a_reason() {
    let cluster = TestCluster::shared().await;
    let everything = "an empty selector would match every namespace: say all: true if that is meant";
    let nothing = "name at least one namespace, give a selector, or say all: true";
    let white = "an environment's name holds no white space and no control characters";
    let group = "tagPattern needs a group named version";
    let pattern = "tagPattern must be a regular expression in the syntax of RE2";
    let by_label = "patterns are not read: select namespaces by their labels with namespaces.selector";
    let instance = "an application instance is not empty and holds no control characters";
    let released = "record.kind: Release takes no applicationInstance: a broker keeps releases without one";
    let owners = |pacticipants: &Value, namespaces: &Value| json!({"owners": [{"pacticipants": pacticipants, "namespaces": namespaces}]});
    for (more, message) in [
        (json!({"brokerRef": null}), "spec.brokerRef: Required value"),
        (json!({"brokerRef": {"name": ""}}), "should be at least 1 chars long"),
        (json!({"namespaces": {}}), nothing),
        (json!({"namespaces": {"names": []}}), nothing),
        (json!({"namespaces": {"all": false}}), nothing),
        (json!({"namespaces": {"selector": {}}}), everything),
        (json!({"namespaces": {"names": ["shop"], "selector": {"matchLabels": {}}}}), everything),
        (json!({"namespaces": {"names": ["shop", "shop"]}}), "Duplicate value"),
        (json!({"environment": ""}), "should be at least 1 chars long"),
        (json!({"environment": "pre production"}), white),
        (json!({"environment": "production\n"}), white),
        (json!({"applicationInstance": " "}), instance),
        (json!({"applicationInstance": "eu\t1"}), instance),
        (json!({"overlap": "Perhaps"}), "Unsupported value: \"Perhaps\""),
        (json!({"record": {"kind": "Both"}}), "Unsupported value: \"Both\""),
        (json!({"record": {"undeployGraceSeconds": -1}}), "should be greater than or equal to 0"),
        (json!({"version": {"tagPattern": "^v.*$"}}), group),
        (json!({"version": {"tagPattern": r"^\(?P<version>.*$"}}), group),
        (json!({"version": {"tagPattern": "(?P<version>("}}), pattern),
        (json!({"version": {"tagPattern": "(?P<version>.+)(?=-alpine)"}}), pattern),
        (json!({"namespaces": {"names": ["shop-*"]}}), by_label),
        (json!({"namespaces": {"names": ["shop", "Shop"]}}), "spec.namespaces.names[1]: Invalid value"),
        (json!({"namespaces": {"names": [""]}}), by_label),
        (json!({"namespaces": {"names": ["-shop"]}}), by_label),
        (json!({"version": {"annotation": "Maybe"}}), "Unsupported value: \"Maybe\""),
        (json!({"version": {"label": "Maybe"}}), "Unsupported value: \"Maybe\""),
        (json!({"create": {}}), "spec.create.production: Required value"),
        (json!({"version": {"applicationInstance": "Maybe"}}), "Unsupported value: \"Maybe\""),
        (json!({"record": {"kind": "Release"}, "applicationInstance": "eu-1"}), released),
        (owners(&json!([]), &json!(["shop"])), "should have at least 1 items"),
        (owners(&json!([""]), &json!(["shop"])), "should be at least 1 chars long"),
        (owners(&json!([" "]), &json!(["shop"])), "should match '\\S'"),
        (owners(&json!(["orders", "orders"]), &json!(["shop"])), "Duplicate value"),
        (owners(&json!(["orders"]), &json!([])), "should have at least 1 items"),
        (owners(&json!(["orders"]), &json!(["shop-*"])), "patterns are not read: name each namespace"),
        (owners(&json!(["orders"]), &json!(["shop", "Shop"])), "spec.owners[0].namespaces[1]: Invalid value"),
        (owners(&json!(["orders"]), &json!(["shop", "shop"])), "Duplicate value"),
        (json!({"owners": [{"pacticipants": ["orders"]}]}), "spec.owners[0].namespaces: Required value"),
    ] {
        refused::<PactEnvironment>(&cluster, "PactEnvironment", environment(&more), message).await;
    }
}

#[tokio::test]
async fn ordinary_objects_are_taken_and_defaults_filled_in() {
    let cluster = TestCluster::shared().await;
    let url = "https://broker.example.com/path";
    let broker = taken::<PactBroker>(&cluster, "PactBroker", json!({"url": url})).await;
    assert_eq!(
        broker,
        json!({"url": url, "tls": {"insecureSkipVerify": false}, "requestTimeoutSeconds": 10, "concurrency": 6})
    );
    let reference = json!({"secretRef": {"name": "broker"}});
    let broker = taken::<PactBroker>(&cluster, "PactBroker", json!({"url": url, "auth": {"basic": reference}})).await;
    assert_eq!(broker["auth"]["basic"]["usernameKey"], "username");
    assert_eq!(broker["auth"]["basic"]["passwordKey"], "password");
    let bearer = json!({"url": "http://broker.pact.svc:9292", "auth": {"bearer": reference, "basic": null}});
    let broker = taken::<PactBroker>(&cluster, "PactBroker", bearer).await;
    assert_eq!(broker["auth"]["bearer"]["tokenKey"], "token");

    let plain = taken::<PactEnvironment>(&cluster, "PactEnvironment", environment(&json!({}))).await;
    assert_eq!(plain["overlap"], "Deny");
    let record = json!({
        "adopt": false, "kind": "Deployment", "undeploy": "AfterGrace", "undeployGraceSeconds": 600,
    });
    assert_eq!(plain["record"], record);
    assert_eq!((&plain["version"]["annotation"], &plain["version"]["label"]), (&json!("Allow"), &json!("Ignore")));
    assert_eq!(plain["version"]["applicationInstance"], "Allow");
    let denied: Vec<String> = serde_json::from_value(plain["version"]["denied"].clone()).unwrap();
    assert!(denied.iter().any(|it| it == "main") && denied.iter().any(|it| it == "*-dirty"), "{denied:?}");
    assert_eq!(plain["namespaces"]["all"], false);
    for more in [
        json!({"namespaces": {"all": true}}),
        json!({"namespaces": {"all": true, "selector": {}}}),
        json!({"namespaces": {"selector": {"matchLabels": {"stage": "production"}}}}),
        json!({"namespaces": {"selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}}),
        json!({"environment": "Produktion-ü", "applicationInstance": "eu west 1"}),
        json!({"environment": null, "applicationInstance": null, "create": null}),
        json!({"version": {"tagPattern": "^v(?P<version>.+)$"}, "overlap": "Allow"}),
        json!({"version": {"tagPattern": "^v(?<version>.+)$", "denied": []}, "record": {"kind": "Release"}}),
        json!({"version": {"tagPattern": r"^\(v\\(?P<version>.+)\)$"}}),
        json!({"namespaces": {"names": ["shop", "0-shop-eu", "x"]}}),
        json!({"create": {"production": false}}),
        json!({"owners": [{"pacticipants": ["Order Service", "web-*", "*"], "namespaces": ["shop", "0-shop-eu"]}]}),
        json!({"owners": []}),
        json!({"version": {"applicationInstance": "Refuse"}, "applicationInstance": "eu-1"}),
    ] {
        taken::<PactEnvironment>(&cluster, "PactEnvironment", environment(&more)).await;
    }
}

#[tokio::test]
async fn what_a_record_key_is_made_of_cannot_be_changed() {
    let cluster = TestCluster::shared().await;
    let plain = cluster.environment(&["not-there"], json!({})).await;
    let named = json!({"environment": plain, "applicationInstance": "eu-1"});
    let other = format!("named-{plain}");
    cluster.map(&other, &["not-there-either"], named).await;
    for (object, change, message) in [
        (&plain, json!({"brokerRef": {"name": "other"}}), "brokerRef cannot be changed: make a new PactEnvironment"),
        (&plain, json!({"record": {"kind": "Release"}}), "record.kind cannot be changed: make a new PactEnvironment"),
        (&plain, json!({"environment": "x"}), "environment cannot be added or removed later"),
        (&plain, json!({"applicationInstance": "x"}), "applicationInstance cannot be added or removed later"),
        (&other, json!({"environment": "x"}), "environment cannot be changed: make a new PactEnvironment"),
        (&other, json!({"environment": null}), "environment cannot be added or removed later"),
        (&other, json!({"applicationInstance": "x"}), "applicationInstance cannot be changed"),
        (&other, json!({"applicationInstance": null}), "applicationInstance cannot be added or removed later"),
    ] {
        let refusal =
            patch::<PactEnvironment>(&cluster, object, &change).await.expect_err(&format!("{change} is taken"));
        assert!(refusal.contains(message), "{change}: {refusal}");
    }
    let change =
        json!({"namespaces": {"names": ["another"]}, "overlap": "Allow", "record": {"undeployGraceSeconds": 5}});
    patch::<PactEnvironment>(&cluster, &plain, &change).await.expect("the rest may change");
}

#[tokio::test]
async fn the_key_of_a_pact_deployment_cannot_be_changed_and_tables_fit_a_terminal() {
    let cluster = TestCluster::shared().await;
    cluster
        .with_namespace(async |namespace, environment| {
            published(&cluster, "Order Service", &["1.12.0"]);
            let client = cluster.client();
            annotated("orders", "Order Service", "1.12.0").apply(&client, &namespace).await;
            annotated("held", "Billing Service", "1.12.0").held().apply(&client, &namespace).await;
            cluster.wait_condition(&environment, "Order Service", ("Ready", "True", "Recorded")).await;
            cluster.wait_condition(&environment, "Billing Service", ("Ready", "False", "RolloutInProgress")).await;
            let record = cluster.record(&environment, "Order Service").await.unwrap();
            let name = record.metadata.name.unwrap();
            for change in [
                json!({"pacticipant": "Other"}),
                json!({"environment": "other"}),
                json!({"broker": "other"}),
                json!({"applicationInstance": "other"}),
            ] {
                let refusal = patch::<PactDeployment>(&cluster, &name, &change).await.expect_err("the key is fixed");
                assert!(refusal.contains("the record key cannot be changed"), "{change}: {refusal}");
            }

            let kubeconfig = cluster.control_plane.kubeconfig();
            for (kind, columns, wanted) in [
                ("pb", "NAME URL READY REASON VERSION AGE", "main"),
                (
                    "pactenv",
                    "NAME ENVIRONMENT MODE READY REASON WORKLOADS RECORDED WOULD-DENY UNCHECKED AGE",
                    &*environment,
                ),
                ("pactdep", "NAME PACTICIPANT DESIRED RECORDED SINCE READY REASON", &*environment),
            ] {
                let table = kubectl_ok(kubeconfig, &["get", kind]).await;
                let header = table.lines().next().unwrap();
                assert_eq!(header.split_whitespace().collect::<Vec<_>>().join(" "), columns);
                // Other tests' objects widen the columns: so each of this test's objects is measured in a table of its
                // own.
                for name in table.lines().filter(|line| line.contains(wanted)).filter_map(|line| line.split(' ').next())
                {
                    let table = kubectl_ok(kubeconfig, &["get", kind, name]).await;
                    for line in table.lines() {
                        let width = line.trim_end().chars().count();
                        assert!(width <= 120, "{width} characters:\n{table}");
                    }
                }
            }
            // All kinds by their category.
            let all = kubectl_ok(kubeconfig, &["get", "pact", "-o", "name"]).await;
            for kind in ["pactbroker", "pactenvironment", "pactdeployment"] {
                assert!(all.contains(&format!("{kind}.pact-operator.dev/")), "{all}");
            }
        })
        .await;
}

/// The spec of a `PactEnvironment` with these fields changed; `null` removes `brokerRef` only.
fn environment(more: &Value) -> Value {
    let mut spec = json!({"brokerRef": {"name": BROKER}, "namespaces": {"names": ["shop"]}});
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

async fn create<K: kube::Resource<DynamicType = ()>>(
    cluster: &TestCluster,
    kind: &str,
    spec: Value,
) -> Result<Value, String> {
    let object = json!({
        "apiVersion": "pact-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": "tried"}, "spec": spec,
    });
    let api: Api<DynamicObject> = Api::all_with(cluster.client(), &ApiResource::erase::<K>(&()));
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    match api.create(&dry, &serde_json::from_value(object).unwrap()).await {
        Ok(created) => Ok(created.data["spec"].clone()),
        Err(error) => Err(error.to_string()),
    }
}

async fn refused<K: kube::Resource<DynamicType = ()>>(cluster: &TestCluster, kind: &str, spec: Value, message: &str) {
    let refusal = create::<K>(cluster, kind, spec.clone()).await.expect_err(&format!("{spec} is taken"));
    assert!(refusal.contains(message), "{spec}: {refusal}");
}

async fn taken<K: kube::Resource<DynamicType = ()>>(cluster: &TestCluster, kind: &str, spec: Value) -> Value {
    create::<K>(cluster, kind, spec.clone()).await.unwrap_or_else(|refusal| panic!("{spec}: {refusal}"))
}

async fn patch<K: kube::Resource<DynamicType = ()>>(
    cluster: &TestCluster,
    name: &str,
    spec: &Value,
) -> Result<(), String> {
    let api: Api<DynamicObject> = Api::all_with(cluster.client(), &ApiResource::erase::<K>(&()));
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let patch = Patch::Merge(json!({"spec": spec}));
    api.patch(name, &dry, &patch).await.map(drop).map_err(|error| error.to_string())
}
