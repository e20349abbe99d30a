//! The parts of the webhook configuration that concern certificates: whom the API server calls, and whom it trusts.

use std::collections::BTreeSet;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhookConfiguration, WebhookClientConfig};
use serde_json::{Value, json};
use url::{Host, Url};

use super::bundle::{self, Bundle};
use super::certificate::{Certificate, Id};

/// A `ValidatingWebhookConfiguration` as read from the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hooks {
    pub(super) name: String,
    resource_version: String,
    /// Its webhooks.
    pub(super) list: Vec<Hook>,
}

/// One of its webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hook {
    pub(super) name: String,
    /// The name that the API server expects in the certificate; `None` when the configuration names no server to call.
    pub(super) server: Option<String>,
    pub(super) bundle: Bundle,
}

impl Hooks {
    pub(super) fn read(configuration: ValidatingWebhookConfiguration) -> Self {
        let metadata = configuration.metadata;
        let list = configuration.webhooks.unwrap_or_default().into_iter().map(|hook| Hook {
            name: hook.name,
            server: server(&hook.client_config),
            bundle: Bundle::parse(hook.client_config.ca_bundle.as_ref().map_or(&[], |bundle| &bundle.0)),
        });
        Self {
            name: metadata.name.unwrap_or_default(),
            resource_version: metadata.resource_version.unwrap_or_default(),
            list: list.collect(),
        }
    }

    /// The certificates that every webhook trusts.
    pub(super) fn trusted(&self) -> BTreeSet<Id> {
        // Kubernetes cannot use a bundle with a flaw.
        let mut each = self.list.iter().map(|hook| match hook.bundle.flaw {
            None => hook.bundle.ids(),
            Some(_) => BTreeSet::new(),
        });
        let first = each.next().unwrap_or_default();
        each.fold(first, |all, these| all.intersection(&these).copied().collect())
    }

    /// The certificates that any webhook trusts, each once.
    pub(super) fn mentioned(&self) -> Vec<Certificate> {
        let mut seen = BTreeSet::new();
        let all = self.list.iter().flat_map(|hook| &hook.bundle.certificates);
        all.filter(|certificate| seen.insert(certificate.id)).cloned().collect()
    }

    /// The strategic merge patch after which each webhook trusts exactly `wanted`; `None` when each already does.
    ///
    /// The patch holds only the `caBundle` of the webhooks that differ (the list is merged by name). The API server
    /// refuses the patch if the configuration has changed since it was read.
    pub(super) fn patch(&self, wanted: &[Certificate]) -> Option<Value> {
        let pem = ByteString(bundle::render(wanted));
        let differ = self.list.iter().filter(|hook| !hook.bundle.is(wanted));
        let webhooks: Vec<Value> =
            differ.map(|hook| json!({"name": hook.name, "clientConfig": {"caBundle": pem}})).collect();
        let patch = json!({"metadata": {"resourceVersion": self.resource_version}, "webhooks": webhooks});
        (!webhooks.is_empty()).then_some(patch)
    }
}

fn server(config: &WebhookClientConfig) -> Option<String> {
    if let Some(service) = &config.service {
        return Some(format!("{}.{}.svc", service.name, service.namespace));
    }
    let url = Url::parse(config.url.as_deref()?).ok()?;
    match url.host()? {
        Host::Domain(name) => Some(name.to_owned()),
        Host::Ipv4(address) => Some(address.to_string()),
        Host::Ipv6(address) => Some(address.to_string()),
    }
}
