//! The part of a webhook configuration that says by which path the webhooks are called.

use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhookConfiguration, WebhookClientConfig};
use serde_json::{Value, json};

use super::secret::PathSecret;

/// A `ValidatingWebhookConfiguration` as read from the API server. The default: there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Configuration {
    resource_version: String,
    hooks: Vec<Hook>,
}

#[derive(Clone, Debug)]
struct Hook {
    name: String,
    called: Called,
}

/// How the API server calls.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Called {
    /// A Service, by this path; empty when the configuration names none.
    Path(String),
    /// An address. It belongs to whoever wrote it: a part of it cannot be left to somebody else.
    Url(String),
}

impl Configuration {
    pub(super) fn read(configuration: ValidatingWebhookConfiguration) -> Self {
        let hooks = configuration.webhooks.unwrap_or_default().into_iter();
        let hooks = hooks.filter_map(|hook| Some(Hook { called: Called::read(hook.client_config)?, name: hook.name }));
        Self { resource_version: configuration.metadata.resource_version.unwrap_or_default(), hooks: hooks.collect() }
    }

    /// The secrets that it holds, each once.
    pub(super) fn secrets(&self) -> Vec<PathSecret> {
        let mut secrets: Vec<_> = self.hooks.iter().filter_map(|hook| hook.called.secret()).collect();
        secrets.dedup();
        secrets
    }

    /// Whether every webhook is called by a path with a secret.
    pub(super) fn is_complete(&self) -> bool {
        !self.hooks.is_empty() && self.hooks.iter().all(|hook| hook.called.secret().is_some())
    }

    /// Whether a webhook is called by an address without a secret.
    pub(super) fn has_bare_address(&self) -> bool {
        self.hooks.iter().any(|hook| matches!(hook.called, Called::Url(_)) && hook.called.secret().is_none())
    }

    /// The strategic merge patch after which each webhook at a Service is called by a path that ends with a secret, this one
    /// where it has none; `None` when there is no such webhook. The API server refuses it if the configuration has changed
    /// since.
    pub(super) fn patch(&self, secret: &PathSecret) -> Option<Value> {
        let without = self.hooks.iter().filter(|hook| hook.called.secret().is_none());
        let webhooks: Vec<_> = without
            .filter_map(|hook| {
                let client_config = json!({"service": {"path": hook.called.path_with(secret)?}});
                Some(json!({"name": hook.name, "clientConfig": client_config}))
            })
            .collect();
        let patch = json!({"metadata": {"resourceVersion": self.resource_version}, "webhooks": webhooks});
        (!webhooks.is_empty()).then_some(patch)
    }
}

impl Called {
    fn read(config: WebhookClientConfig) -> Option<Self> {
        let service = config.service.map(|service| Self::Path(service.path.unwrap_or_default()));
        service.or_else(|| config.url.map(Self::Url))
    }

    fn secret(&self) -> Option<PathSecret> {
        let (Self::Path(text) | Self::Url(text)) = self;
        PathSecret::at_the_end_of(text)
    }

    /// The path at a Service, and this after it.
    fn path_with(&self, secret: &PathSecret) -> Option<String> {
        let Self::Path(path) = self else { return None };
        let base = path.trim_end_matches('/');
        Some(secret.after(if base.is_empty() { "/gate" } else { base }))
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
    fn case_110_each_webhook_at_a_service_gets_the_secret_at_the_end_of_its_path() {
        let secret = PathSecret::at_the_end_of(&format!("/{SECRET}")).unwrap();
        for (path, with) in
            [(None, "/gate"), (Some("/"), "/gate"), (Some("/gate"), "/gate"), (Some("/behind/proxy/"), "/behind/proxy")]
        {
            let read = configuration(&[service(Some(&format!("/gate/{SECRET}"))), service(path)]);
            assert!(!read.is_complete(), "{path:?}");
            let patch = read.patch(&secret).unwrap();
            let client_config = json!({"service": {"path": format!("{with}/{SECRET}")}});
            let expected = json!({"metadata": {"resourceVersion": "7"},
                "webhooks": [{"name": "1.pact-operator.dev", "clientConfig": client_config}]});
            assert_eq!(patch, expected, "{path:?}: only what lacks it");
        }
    }

    #[test]
    fn case_110_an_address_is_left_as_it_was_written() {
        let read = configuration(&[json!({"url": "https://h:1/gate"})]);
        assert!(!read.is_complete() && read.secrets().is_empty() && read.has_bare_address());
        assert_eq!(read.patch(&PathSecret::random().unwrap()), None);
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
