//! The mutating webhook is called as the validating one is: its configuration follows, at a Service and through a rotation.

use k8s_openapi::api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use operator_kit::mutating_webhook::MutatingWebhook;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::namespace::with_namespace;
use testbed::test_cluster::SOON;

/// A configuration for objects that nobody makes, at a Service.
fn configuration(kind: &str, name: &str, path: Option<&str>, bundle: Option<&str>) -> Value {
    let mut config = json!({"service": {"name": "webhook", "namespace": "nowhere"}});
    if let Some(path) = path {
        config["service"]["path"] = json!(path);
    }
    if let Some(bundle) = bundle {
        config["caBundle"] = json!(bundle);
    }
    let rule = json!({"apiGroups": ["nobody.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["things"]});
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name},
        "webhooks": [{
            "name": "a.pact-operator.dev", "clientConfig": config, "rules": [rule],
            "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore",
        }],
    })
}

#[tokio::test]
async fn the_mutating_configuration_follows_the_validating_one_and_keeps_what_else_it_says() {
    let control_plane = ControlPlane::shared().await;
    with_namespace(&control_plane, async |name| {
        let client = control_plane.client();
        let validating = Api::<ValidatingWebhookConfiguration>::all(client.clone());
        let mutating = Api::<MutatingWebhookConfiguration>::all(client.clone());
        let how = PatchParams::apply("helm").force();
        let secret = "0123456789abcdef0123456789abcdef";
        let path = format!("/gate/{secret}");
        let written = async |bundle: &str| {
            let object = configuration("ValidatingWebhookConfiguration", &name, Some(&path), Some(bundle));
            validating.patch(&name, &how, &Patch::Apply(&object)).await.unwrap();
        };
        written("b25l").await;
        // As the chart has it, without path and caBundle.
        let bare = configuration("MutatingWebhookConfiguration", &name, None, None);
        mutating.patch(&name, &how, &Patch::Apply(&bare)).await.unwrap();

        let shutdown = CancellationToken::new();
        let kept =
            MutatingWebhook { name: name.clone(), base: "/hold", copies_bundle: true, field_manager: "test".into() };
        let keeping = tokio::spawn(kept.keep(client.clone(), shutdown.clone()));
        let wanted = format!("/hold/{secret}");
        for (bundle, bytes) in [("b25l", "one"), ("b25ldHdv", "onetwo")] {
            written(bundle).await;
            eventually("the mutating configuration to follow", SOON, async || {
                let object = mutating.get(&name).await.map_err(|error| error.to_string())?;
                let config = object.webhooks.unwrap_or_default().remove(0).client_config;
                let trusts = config.ca_bundle.as_ref().is_some_and(|it| it.0 == bytes.as_bytes());
                let service = config.service.clone().unwrap_or_default();
                let calls = (service.name.as_str(), service.path.as_deref()) == ("webhook", Some(wanted.as_str()));
                if trusts && calls { Ok(()) } else { Err(format!("{config:?}")) }
            })
            .await;
            // An upgrade of the release says nothing of either, and takes neither away.
            mutating.patch(&name, &how, &Patch::Apply(&bare)).await.unwrap();
            let object = mutating.get(&name).await.unwrap().webhooks.unwrap_or_default().remove(0).client_config;
            assert_eq!(object.service.and_then(|service| service.path).as_deref(), Some(wanted.as_str()));
        }
        shutdown.cancel();
        keeping.await.unwrap();
        drop(validating.delete(&name, &DeleteParams::default()).await);
        drop(mutating.delete(&name, &DeleteParams::default()).await);
    })
    .await;
}
