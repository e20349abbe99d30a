//! What the chart installs besides the processes: the definitions, and the bindings of their accounts.

use futures::future::join_all;
use k8s_openapi::{
    api::rbac::v1::ClusterRoleBinding, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{Api, Client, CustomResourceExt, ResourceExt};
use operator_kit::refusal;

use crate::api::{PactBroker, PactDeployment, PactEnvironment, PactRecord};

/// The bindings of the operator's accounts in the whole cluster.
const BINDINGS: [&str; 2] = ["pact-operator-controller", "pact-operator-webhook"];

/// An object that the chart installs.
pub(super) struct Piece {
    /// What it is.
    pub(super) what: String,
    /// What is wrong with it, with the remedy; that it could not be looked at is an error.
    pub(super) trouble: Result<Option<String>, String>,
}

/// Looks at the definitions and at the bindings.
pub(super) async fn look(client: &Client, namespace: &str) -> Vec<Piece> {
    let ours = [PactBroker::crd(), PactEnvironment::crd(), PactDeployment::crd(), PactRecord::crd()];
    let definitions = join_all(ours.into_iter().map(|ours| definition(client, ours))).await;
    let bindings = join_all(BINDINGS.map(|name| binding(client, name, namespace))).await;
    definitions.into_iter().chain(bindings).collect()
}

async fn definition(client: &Client, ours: CustomResourceDefinition) -> Piece {
    let name = ours.name_any();
    let found = Api::<CustomResourceDefinition>::all(client.clone()).get_opt(&name).await;
    let trouble = found.map_err(|error| refusal::explain(&error)).map(|found| match found {
        None => Some(
            "it is missing; helm upgrade with crds.install, or pact-operator crds | kubectl apply --server-side -f -"
                .to_owned(),
        ),
        Some(found) => {
            let schemas = |it: &CustomResourceDefinition| {
                it.spec.versions.iter().map(|version| version.schema.clone()).collect::<Vec<_>>()
            };
            (schemas(&found) != schemas(&ours)).then(|| {
                "it is of another version than this program; helm upgrade brings both to the same version".to_owned()
            })
        }
    });
    Piece { what: format!("definition {name}"), trouble }
}

async fn binding(client: &Client, name: &str, namespace: &str) -> Piece {
    let found = Api::<ClusterRoleBinding>::all(client.clone()).get_opt(name).await;
    let trouble = found.map_err(|error| refusal::explain(&error)).map(|found| {
        let subjects = found.and_then(|found| found.subjects).unwrap_or_default();
        let bound = subjects.iter().any(|it| it.name == name && it.namespace.as_deref() == Some(namespace));
        (!bound).then(|| {
            format!("it does not bind the account {name} of the namespace {namespace}, which lacks its rights then; helm upgrade restores it")
        })
    });
    Piece { what: format!("ClusterRoleBinding {name}"), trouble }
}
