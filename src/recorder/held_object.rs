//! A workload that is held, as the API server has it: read, resumed, annotated.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use operator_kit::{lease::Leadership, refusal};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    api::annotations::HELD,
    workload::{Dispatch, Held, Kind, View, Workload, WorkloadRef},
};

/// The name under which what is held is written, for `managedFields`: GitOps controllers ignore what it wrote.
const FIELD_MANAGER: &str = "pact-operator-hold";
/// How long a request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// A workload, and which state of it was read.
pub(super) struct HeldObject {
    pub(super) workload: Workload,
    resource_version: Option<String>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// It is done.
    Done,
    /// Somebody else wrote in between, or it is gone.
    Changed,
    /// This process does not lead, or not for long enough.
    NotLeading,
}

/// Reads a workload; `None` if it is gone.
pub(super) async fn read(client: &Client, reference: &WorkloadRef) -> Result<Option<HeldObject>, String> {
    reference.kind.dispatch(Read { client: client.clone(), reference }).await
}

impl HeldObject {
    /// Ends the pause, and removes the annotation.
    pub(super) async fn resume(&self, client: &Client, leadership: &Leadership) -> Result<Written, String> {
        self.write(client, leadership, json!({"metadata": {"annotations": {HELD: null}}, "spec": {"paused": null}}))
            .await
    }

    /// Writes the annotation, or removes it.
    pub(super) async fn note(
        &self,
        client: &Client,
        leadership: &Leadership,
        held: Option<&Held>,
    ) -> Result<Written, String> {
        let text = held.map(ToString::to_string);
        self.write(client, leadership, json!({"metadata": {"annotations": {HELD: text}}})).await
    }

    async fn write(&self, client: &Client, leadership: &Leadership, mut patch: Value) -> Result<Written, String> {
        patch["metadata"]["resourceVersion"] = json!(self.resource_version);
        patch["metadata"]["uid"] = json!(self.workload.uid);
        let left = leadership.time_left().min(REQUEST_LIMIT);
        if left.is_zero() {
            return Ok(Written::NotLeading);
        }
        let reference = &self.workload.reference;
        let write = reference.kind.dispatch(Write { client: client.clone(), reference, patch });
        match timeout(left, write).await {
            Ok(Ok(())) => Ok(Written::Done),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => Ok(Written::Changed),
            Ok(Err(error)) => Err(refusal::explain(&error)),
            Err(_) if leadership.is_leader() => Err(format!("no answer from the API server within {left:?}")),
            Err(_) => Ok(Written::NotLeading),
        }
    }
}

struct Read<'a> {
    client: Client,
    reference: &'a WorkloadRef,
}

impl<'a> Dispatch for Read<'a> {
    type Output = BoxFuture<'a, Result<Option<HeldObject>, String>>;

    fn with<K: Kind>(self) -> Self::Output {
        async move {
            let api: Api<View<K>> = Api::namespaced(self.client, &self.reference.namespace);
            let found = timeout(REQUEST_LIMIT, api.get_opt(&self.reference.name)).await;
            let found = found.map_err(|_| format!("no answer from the API server within {REQUEST_LIMIT:?}"))?;
            let found = found.map_err(|error| refusal::explain(&error))?;
            Ok(found.map(|view| HeldObject {
                workload: view.observe(Timestamp::now()),
                resource_version: view.metadata.resource_version,
            }))
        }
        .boxed()
    }
}

struct Write<'a> {
    client: Client,
    reference: &'a WorkloadRef,
    patch: Value,
}

impl<'a> Dispatch for Write<'a> {
    type Output = BoxFuture<'a, Result<(), kube::Error>>;

    fn with<K: Kind>(self) -> Self::Output {
        async move {
            let api: Api<View<K>> = Api::namespaced(self.client, &self.reference.namespace);
            let how = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
            api.patch(&self.reference.name, &how, &Patch::Merge(&self.patch)).await.map(drop)
        }
        .boxed()
    }
}
