//! Where it is kept what was asked for: a `ConfigMap` of the operator's own namespace. Only the leader writes it, and each
//! write fails when another process wrote since it was read: so nothing is asked for twice, whoever believes to lead.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, api::ObjectMeta};
use serde_json::json;

use crate::{cluster::as_field_manager, decide::verification::Ledger};

/// Its name; the chart grants rights for it.
const NAME: &str = "pact-operator-verifications";

/// The object. See the module.
pub(super) struct Kept {
    api: Api<ConfigMap>,
}

/// What was kept, and of which state of the object that is.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) ledger: Ledger,
    version: Option<String>,
}

impl Kept {
    pub(super) fn new(client: Client, namespace: &str) -> Self {
        Self { api: Api::namespaced(client, namespace) }
    }

    /// What is kept now; nothing where there is no such object.
    pub(super) async fn read(&self) -> Result<Read, kube::Error> {
        let Some(object) = self.api.get_opt(NAME).await? else { return Ok(Read::default()) };
        let data = object.data.unwrap_or_default();
        Ok(Read { ledger: Ledger::read(data.values()), version: object.metadata.resource_version })
    }

    /// Keeps it, unless another process wrote since it was read.
    pub(super) async fn write(&self, read: &mut Read) -> Result<(), kube::Error> {
        let label = json!({"app.kubernetes.io/part-of": "pact-operator"});
        let object = ConfigMap {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                resource_version: read.version.clone(),
                labels: serde_json::from_value(label).ok(),
                ..ObjectMeta::default()
            },
            data: Some(read.ledger.written()),
            ..ConfigMap::default()
        };
        let written = match read.version {
            Some(_) => self.api.replace(NAME, &as_field_manager(), &object).await?,
            None => self.api.create(&as_field_manager(), &object).await?,
        };
        read.version = written.metadata.resource_version;
        Ok(())
    }
}
