//! A `MutatingWebhookConfiguration` beside the `ValidatingWebhookConfiguration` of the same name, for the same server: the API
//! server trusts and calls it in the same way.
//!
//! What it takes to call us is kept right in the validating configuration ([`crate::certificates`],
//! [`crate::review_path`]). Here it is copied: the caBundle, and the secret at the end of the path. A new authority is in
//! the validating configuration for some time before it signs, so the copy comes before that, too.

use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{refusal, review_path::has_secret};

/// How often both are read.
const PERIOD: Duration = Duration::from_secs(5);
/// The same while the copy is not made.
const SOON: Duration = Duration::from_secs(1);
/// How long a pass may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// After how many failures in a row the same trouble is reported again.
const REPEAT: u32 = 300;

/// What is kept.
#[derive(Clone, Debug)]
pub struct MutatingWebhook {
    /// The name of both configurations.
    pub name: String,
    /// The path below which the mutating webhooks are served: `/hold`.
    pub base: &'static str,
    /// Whether the caBundle is copied, too. It is not where somebody else writes both.
    pub copies_bundle: bool,
    /// The name under which the API server notes our writes.
    pub field_manager: String,
}

impl MutatingWebhook {
    /// Keeps the mutating configuration right until shutdown.
    pub async fn keep(self, client: Client, shutdown: CancellationToken) {
        let keeping = async {
            let mut failures = 0_u32;
            loop {
                let looked = timeout(REQUEST_LIMIT, self.look(&client)).await;
                let trouble = match looked {
                    Ok(Ok(())) => None,
                    Ok(Err(why)) => Some(why),
                    Err(_) => Some(format!("no answer from the API server within {REQUEST_LIMIT:?}")),
                };
                match trouble {
                    None => failures = 0,
                    Some(why) => {
                        if failures.is_multiple_of(REPEAT) {
                            let configuration = &self.name;
                            warn!(configuration, "the mutating webhook is not called, so nothing is held: {why}");
                        }
                        failures = failures.saturating_add(1);
                    }
                }
                sleep(if failures > 0 { SOON } else { PERIOD }).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = keeping => {}
        }
    }

    /// Reads both configurations, and copies what differs.
    async fn look(&self, client: &Client) -> Result<(), String> {
        let explained = |error: kube::Error| refusal::explain(&error);
        let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
        let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone());
        let missing = |kind: &str| format!("there is no {kind} {}; install it again", self.name);
        let from = validating.get_opt(&self.name).await.map_err(explained)?;
        let from = from.ok_or_else(|| missing("ValidatingWebhookConfiguration"))?;
        let to = mutating.get_opt(&self.name).await.map_err(explained)?;
        let to = to.ok_or_else(|| missing("MutatingWebhookConfiguration"))?;
        let Some(patch) = self.patch(&from, &to) else { return Ok(()) };
        let how = PatchParams { field_manager: Some(self.field_manager.clone()), ..PatchParams::default() };
        match mutating.patch(&self.name, &how, &Patch::Strategic(&patch)).await {
            Ok(_) => info!(configuration = self.name, "wrote how the mutating webhook is called"),
            // Another replica wrote: it is read again soon.
            Err(kube::Error::Api(status)) if status.is_conflict() => {}
            Err(error) => return Err(explained(error)),
        }
        Ok(())
    }

    /// The strategic merge patch after which the mutating webhooks are called as the first validating one is; `None` when they
    /// are. The API server refuses it if the configuration has changed since.
    fn patch(&self, from: &ValidatingWebhookConfiguration, to: &MutatingWebhookConfiguration) -> Option<Value> {
        let source = &from.webhooks.as_deref()?.first()?.client_config;
        let webhooks: Vec<_> = to
            .webhooks
            .iter()
            .flatten()
            .filter_map(|hook| {
                let config = self.client_config(source, &hook.client_config);
                (!config.is_empty()).then(|| json!({"name": hook.name, "clientConfig": config}))
            })
            .collect();
        let patch = json!({"metadata": {"resourceVersion": to.metadata.resource_version}, "webhooks": webhooks});
        (!webhooks.is_empty()).then_some(patch)
    }

    /// What differs.
    fn client_config(&self, from: &WebhookClientConfig, to: &WebhookClientConfig) -> Map<String, Value> {
        let mut config = Map::new();
        if self.copies_bundle && from.ca_bundle.is_some() && from.ca_bundle != to.ca_bundle {
            config.insert("caBundle".to_owned(), json!(from.ca_bundle));
        }
        // An address is one field, which belongs to whoever wrote it.
        if let Some(service) = &to.service {
            let path = from.service.as_ref().and_then(|it| it.path.as_deref()).filter(|_| has_secret(from));
            let secret = path.and_then(|path| path.rsplit_once('/')).map(|(_, secret)| secret);
            let wanted = secret.map_or_else(|| self.base.to_owned(), |secret| format!("{}/{secret}", self.base));
            if service.path.as_deref() != Some(&wanted) {
                config.insert("service".to_owned(), json!({"path": wanted}));
            }
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn kept(copies_bundle: bool) -> MutatingWebhook {
        MutatingWebhook { name: "pact-operator".into(), base: "/hold", copies_bundle, field_manager: "test".into() }
    }

    fn configuration<K: serde::de::DeserializeOwned>(config: &Value) -> K {
        let webhook = json!({"name": "a.pact-operator.dev", "clientConfig": config, "admissionReviewVersions": ["v1"],
            "sideEffects": "None"});
        let metadata = json!({"name": "pact-operator", "resourceVersion": "7"});
        serde_json::from_value(json!({"metadata": metadata, "webhooks": [webhook]})).unwrap()
    }

    fn service(path: Option<&str>, bundle: Option<&str>) -> Value {
        json!({"service": {"name": "w", "namespace": "n", "path": path}, "caBundle": bundle})
    }

    #[test]
    fn what_the_validating_webhook_is_called_by_is_copied() {
        let from = configuration(&service(Some(&format!("/gate/{SECRET}")), Some("YQ==")));
        let right = format!("/hold/{SECRET}");
        let right = Some(right.as_str());
        for (path, bundle, config) in [
            (None, None, Some(json!({"caBundle": "YQ==", "service": {"path": right}}))),
            (right, Some("Yg=="), Some(json!({"caBundle": "YQ=="}))),
            (Some("/hold/other"), Some("YQ=="), Some(json!({"service": {"path": right}}))),
            (right, Some("YQ=="), None),
        ] {
            let patch = kept(true).patch(&from, &configuration(&service(path, bundle)));
            let wanted = config.map(|config| {
                json!({"metadata": {"resourceVersion": "7"},
                    "webhooks": [{"name": "a.pact-operator.dev", "clientConfig": config}]})
            });
            assert_eq!(patch, wanted);
        }
        let unbundled = kept(false).patch(&from, &configuration(&service(right, None)));
        assert_eq!(unbundled, None, "somebody else writes it");
    }

    #[test]
    fn without_a_secret_the_path_is_the_base_and_an_address_is_left_alone() {
        let from = configuration(&service(None, None));
        let patch = kept(true).patch(&from, &configuration(&service(None, None))).unwrap();
        assert_eq!(patch["webhooks"][0]["clientConfig"], json!({"service": {"path": "/hold"}}));
        let address = configuration(&json!({"url": "https://h:1/hold"}));
        assert_eq!(kept(true).patch(&from, &address), None);
    }
}
