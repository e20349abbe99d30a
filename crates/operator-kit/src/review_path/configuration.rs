//! The part of a webhook configuration that says by which path the webhooks are called.

use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhookConfiguration, WebhookClientConfig};
use serde_json::{Value, json};

use super::secret::PathSecret;

/// A `ValidatingWebhookConfiguration` as read from the API server.
#[derive(Clone, Debug)]
pub(super) struct Configuration {
    resource_version: String,
    hooks: Vec<Hook>,
}

#[derive(Clone, Debug)]
struct Hook {
    name: String,
    target: Target,
}

/// What is called, up to and including the path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    /// The path at a Service; empty when the configuration names none.
    Service(String),
    Url(String),
}

impl Configuration {
    pub(super) fn read(configuration: ValidatingWebhookConfiguration) -> Self {
        let hooks = configuration.webhooks.unwrap_or_default().into_iter();
        let hooks = hooks.filter_map(|hook| Some(Hook { target: Target::read(hook.client_config)?, name: hook.name }));
        Self { resource_version: configuration.metadata.resource_version.unwrap_or_default(), hooks: hooks.collect() }
    }

    /// The secrets that it holds, each once.
    pub(super) fn secrets(&self) -> Vec<PathSecret> {
        let mut secrets: Vec<_> =
            self.hooks.iter().filter_map(|hook| PathSecret::at_the_end_of(hook.target.text())).collect();
        secrets.dedup();
        secrets
    }

    /// Whether every webhook is called by a path with a secret.
    pub(super) fn is_complete(&self) -> bool {
        !self.hooks.is_empty() && self.hooks.iter().all(|hook| PathSecret::at_the_end_of(hook.target.text()).is_some())
    }

    /// The strategic merge patch after which each webhook without a secret is called by a path that ends with this one;
    /// `None` when there is no such webhook. The API server refuses it if the configuration has changed since.
    pub(super) fn patch(&self, secret: &PathSecret) -> Option<Value> {
        let without = self.hooks.iter().filter(|hook| PathSecret::at_the_end_of(hook.target.text()).is_none());
        let webhooks: Vec<_> =
            without.map(|hook| json!({"name": hook.name, "clientConfig": hook.target.with(secret)})).collect();
        let patch = json!({"metadata": {"resourceVersion": self.resource_version}, "webhooks": webhooks});
        (!webhooks.is_empty()).then_some(patch)
    }
}

impl Target {
    fn read(config: WebhookClientConfig) -> Option<Self> {
        let service = config.service.map(|service| Self::Service(service.path.unwrap_or_default()));
        service.or_else(|| config.url.map(Self::Url))
    }

    fn text(&self) -> &str {
        match self {
            Self::Service(path) => path,
            Self::Url(url) => url,
        }
    }

    /// The part of a `clientConfig` that changes.
    fn with(&self, secret: &PathSecret) -> Value {
        let base = self.text().trim_end_matches('/');
        match self {
            Self::Service(_) if base.is_empty() => json!({"service": {"path": secret.after("/gate")}}),
            Self::Service(_) => json!({"service": {"path": secret.after(base)}}),
            Self::Url(_) => json!({"url": secret.after(base)}),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn configuration(targets: &[Value]) -> Configuration {
        let webhooks: Vec<_> = targets
            .iter()
            .enumerate()
            .map(|(number, target)| {
                json!({"name": format!("{number}.pact-operator.dev"), "clientConfig": target, "admissionReviewVersions": ["v1"],
                    "sideEffects": "None"})
            })
            .collect();
        let object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "pact-operator", "resourceVersion": "7"}, "webhooks": webhooks});
        Configuration::read(serde_json::from_value(object).unwrap())
    }

    fn service(path: Option<&str>) -> Value {
        json!({"service": {"name": "w", "namespace": "n", "path": path}})
    }

    #[test]
    fn case_110_each_webhook_gets_the_secret_at_the_end_of_its_path() {
        let secret = PathSecret::at_the_end_of(&format!("/{SECRET}")).unwrap();
        for (target, part) in [
            (service(None), json!({"service": {"path": format!("/gate/{SECRET}")}})),
            (service(Some("/")), json!({"service": {"path": format!("/gate/{SECRET}")}})),
            (service(Some("/gate")), json!({"service": {"path": format!("/gate/{SECRET}")}})),
            (service(Some("/behind/proxy/")), json!({"service": {"path": format!("/behind/proxy/{SECRET}")}})),
            (json!({"url": "https://h:1/gate"}), json!({"url": format!("https://h:1/gate/{SECRET}")})),
        ] {
            let read = configuration(&[service(Some(&format!("/gate/{SECRET}"))), target.clone()]);
            assert!(!read.is_complete(), "{target}");
            let patch = read.patch(&secret).unwrap();
            let expected = json!({"metadata": {"resourceVersion": "7"},
                "webhooks": [{"name": "1.pact-operator.dev", "clientConfig": part}]});
            assert_eq!(patch, expected, "{target}: only what lacks it");
        }
    }

    #[test]
    fn case_110_a_configuration_with_a_secret_of_somebodys_own_is_left_alone() {
        let own = "https://h:1/gate/some-long_secret.of-ours-1234567";
        let read = configuration(&[json!({"url": own}), service(Some(&format!("/gate/{SECRET}")))]);
        assert!(read.is_complete());
        assert_eq!(read.patch(&read.secrets()[0]), None);
        assert_eq!(read.secrets().len(), 2);
    }

    #[test]
    fn a_configuration_without_webhooks_is_not_complete_and_not_patched() {
        let read = configuration(&[]);
        assert!(!read.is_complete() && read.secrets().is_empty());
        assert_eq!(read.patch(&PathSecret::random().unwrap()), None);
    }
}
