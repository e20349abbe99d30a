//! The requests to the API server. Each has a time limit: kube repeats a request that was answered 429 or 503 for far
//! longer than a check may take.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;
use thiserror::Error;

use super::hooks::Hooks;
use super::settings::{CertificateSettings, OwnSource};

/// Why a request failed.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    /// Another client wrote in between: read again.
    #[error("{what} was changed by another client in between")]
    Conflict { what: String },
    #[error("not allowed to {verb} {what}: {message}. Remedy: grant this ServiceAccount {verb} on it by name (RBAC)")]
    Forbidden { verb: &'static str, what: String, message: String },
    #[error("{what} does not exist, and this ServiceAccount may not create it: {message}. Remedy: {remedy}")]
    MayNotCreate { what: String, message: String, remedy: String },
    #[error("could not {verb} {what}: no answer from the API server within {limit:?}")]
    TimedOut { verb: &'static str, what: String, limit: Duration },
    #[error(
        "the API server refuses to {verb} {what}: {message}. Remedy: if the object is immutable or otherwise unusable, \
         delete it; the operator creates it again"
    )]
    Invalid { verb: &'static str, what: String, message: String },
    #[error("could not {verb} {what}: {source}")]
    Failed { verb: &'static str, what: String, source: Box<kube::Error> },
}

/// The Secret and the webhook configuration.
pub(super) struct Store {
    client: Client,
    webhooks: Api<ValidatingWebhookConfiguration>,
    webhook: String,
    field_manager: String,
    limit: Duration,
}

impl Store {
    pub(super) fn new(client: Client, settings: &CertificateSettings) -> Self {
        Self {
            webhooks: Api::all(client.clone()),
            client,
            webhook: settings.webhook.clone(),
            field_manager: settings.field_manager.clone(),
            limit: settings.request_limit,
        }
    }

    /// The current webhook configuration, read from etcd; `None` if it does not exist.
    pub(super) async fn hooks(&self) -> Result<Option<Hooks>, StoreError> {
        let configuration = self.ask("get", self.hooks_name(), self.webhooks.get_opt(&self.webhook)).await?;
        Ok(configuration.map(Hooks::read))
    }

    pub(super) async fn patch_hooks(&self, patch: &Value) -> Result<(), StoreError> {
        let how = PatchParams { field_manager: Some(self.field_manager.clone()), ..PatchParams::default() };
        let patch = Patch::Strategic(patch);
        self.ask("patch", self.hooks_name(), self.webhooks.patch(&self.webhook, &how, &patch)).await.map(drop)
    }

    /// The current Secret, read from etcd; `None` if it does not exist.
    pub(super) async fn secret(&self, own: &OwnSource) -> Result<Option<Secret>, StoreError> {
        self.ask("get", secret_name(own), self.secrets(own).get_opt(&own.secret)).await
    }

    /// Creates the Secret, or replaces the one whose resourceVersion it carries.
    pub(super) async fn write_secret(&self, own: &OwnSource, secret: &Secret) -> Result<(), StoreError> {
        let how = PostParams { field_manager: Some(self.field_manager.clone()), ..PostParams::default() };
        let (api, what) = (self.secrets(own), secret_name(own));
        if secret.metadata.resource_version.is_none() {
            match self.ask("create", what, api.create(&how, secret)).await {
                Err(StoreError::Forbidden { what, message, .. }) => {
                    Err(StoreError::MayNotCreate { what, message, remedy: creation(own) })
                }
                created => created.map(drop),
            }
        } else {
            self.ask("update", what, api.replace(&own.secret, &how, secret)).await.map(drop)
        }
    }

    fn secrets(&self, own: &OwnSource) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &own.namespace)
    }

    fn hooks_name(&self) -> String {
        format!("the ValidatingWebhookConfiguration {}", self.webhook)
    }

    async fn ask<T>(
        &self,
        verb: &'static str,
        what: String,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.limit, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
                Err(StoreError::Conflict { what })
            }
            // The object was deleted between the reading and the writing: the next reading shows what exists now.
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() && verb != "create" => {
                Err(StoreError::Conflict { what })
            }
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => {
                Err(StoreError::Forbidden { verb, what, message: status.message })
            }
            Ok(Err(kube::Error::Api(status))) if status.code == 422 => {
                Err(StoreError::Invalid { verb, what, message: status.message })
            }
            Ok(Err(source)) => Err(StoreError::Failed { verb, what, source: Box::new(source) }),
            Err(_) => Err(StoreError::TimedOut { verb, what, limit: self.limit }),
        }
    }
}

/// What the store calls the source's Secret in its errors.
fn secret_name(own: &OwnSource) -> String {
    format!("the Secret {}/{}", own.namespace, own.secret)
}

/// How a person creates the source's Secret.
fn creation(own: &OwnSource) -> String {
    let OwnSource { namespace, secret, .. } = own;
    format!("create it, empty; the operator fills it: kubectl --namespace {namespace} create secret generic {secret}")
}
