//! A namespace of its own for each test.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use serde_json::json;

use super::{dump, node, process};
use crate::control_plane::ControlPlane;

/// Runs `test` with a new namespace of a random name, and deletes it afterwards (unless `TESTBED_KEEP` is set). When
/// the test panics, it prints the state of the cluster ([`dump::dump`]) and panics again.
pub async fn with_namespace<T>(control_plane: &ControlPlane, test: impl AsyncFnOnce(String) -> T) -> T {
    let client = control_plane.client();
    let name = create(control_plane, &client, &[]).await;
    let outcome = AssertUnwindSafe(test(name.clone())).catch_unwind().await;
    if outcome.is_err() {
        dump::dump(control_plane, &name).await;
    }
    if process::kept() {
        eprintln!("testbed: keeping namespace {name}");
    } else {
        delete(&client, &name).await;
    }
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Creates a namespace of a random name with these labels; ready for pods when it returns.
pub async fn create(control_plane: &ControlPlane, client: &Client, labels: &[(&str, &str)]) -> String {
    let name = format!("t-{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
    ensure(control_plane, client, &name, labels).await;
    name
}

/// Creates the namespace unless it exists; ready for pods when it returns.
pub async fn ensure(control_plane: &ControlPlane, client: &Client, name: &str, labels: &[(&str, &str)]) {
    let labels: serde_json::Map<_, _> = labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let namespace = json!({"metadata": {"name": name, "labels": labels}});
    let api: Api<Namespace> = Api::all(client.clone());
    match api.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await {
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        other => drop(other.unwrap_or_else(|error| panic!("cannot create the namespace {name}: {error}"))),
    }
    control_plane.wait_service_account(client, name).await;
}

/// Asks for the namespace's deletion and frees its held pods; does not wait until it is gone.
pub async fn delete(client: &Client, name: &str) {
    let _ = Api::<Namespace>::all(client.clone()).delete(name, &DeleteParams::default()).await;
    node::remove_pods(client, name).await;
}
