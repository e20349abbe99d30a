//! The requests that read and write the Lease. Each has a time limit: kube repeats a request that was answered 429 or
//! 503 up to 15 times by default, far longer than a renewal may take.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::PostParams;
use kube::{Api, Client};
use thiserror::Error;

/// Why a request about the Lease failed.
#[derive(Debug, Error)]
pub(super) enum StoreError {
    /// 409: another client wrote or created the Lease since it was read.
    #[error("the Lease {lease} was changed by another client in between")]
    Conflict { lease: String },
    /// 404 on a write: the Lease, or its whole namespace, is gone.
    #[error("the Lease {lease} or its namespace does not exist (any more): {message}")]
    Gone { lease: String, message: String },
    #[error(
        "not allowed to {verb} the Lease {lease}: {message}. Remedy: a Role in that namespace that grants \
         get, list, watch, create and update on leases of coordination.k8s.io, bound to this ServiceAccount"
    )]
    Forbidden { verb: &'static str, lease: String, message: String },
    #[error("could not {verb} the Lease {lease}: no answer from the API server within {limit:?}")]
    TimedOut { verb: &'static str, lease: String, limit: Duration },
    #[error("could not {verb} the Lease {lease}: {source}")]
    Failed { verb: &'static str, lease: String, source: Box<kube::Error> },
}

/// Access to the Lease.
#[derive(Clone)]
pub(super) struct LeaseStore {
    api: Api<Lease>,
    namespace: String,
    name: String,
    limit: Duration,
}

impl LeaseStore {
    pub(super) fn new(client: Client, namespace: &str, name: &str, limit: Duration) -> Self {
        Self { api: Api::namespaced(client, namespace), namespace: namespace.to_owned(), name: name.to_owned(), limit }
    }

    pub(super) fn api(&self) -> Api<Lease> {
        self.api.clone()
    }

    /// The current Lease (a get without resourceVersion is a consistent read); `None` if it does not exist.
    pub(super) async fn read(&self) -> Result<Option<Lease>, StoreError> {
        self.ask("get", self.api.get_opt(&self.name)).await
    }

    /// Creates the Lease, or replaces the one whose resourceVersion it carries.
    pub(super) async fn write(&self, lease: &Lease) -> Result<Lease, StoreError> {
        let how = PostParams::default();
        if lease.metadata.resource_version.is_none() {
            self.ask("create", self.api.create(&how, lease)).await
        } else {
            self.ask("update", self.api.replace(&self.name, &how, lease)).await
        }
    }

    async fn ask<T>(
        &self,
        verb: &'static str,
        request: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, StoreError> {
        let lease = format!("{}/{}", self.namespace, self.name);
        match tokio::time::timeout(self.limit, request).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
                Err(StoreError::Conflict { lease })
            }
            Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {
                Err(StoreError::Gone { lease, message: status.message })
            }
            Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => {
                Err(StoreError::Forbidden { verb, lease, message: status.message })
            }
            Ok(Err(source)) => Err(StoreError::Failed { verb, lease, source: Box::new(source) }),
            Err(_) => Err(StoreError::TimedOut { verb, lease, limit: self.limit }),
        }
    }
}
