//! A team whose deployment tool meets the gate: an application in an environment that enforces, of which 1.0.0 keeps its
//! contract and 2.0.0 breaks it until [`Team::verify`].

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DynamicObject;
use serde_json::{Value, json};
use testbed::eventually::{always, eventually};
use testbed::rollout::Live;
use testbed::shared::InUse;
use testbed::test_cluster::{SOON, annotated, image};

use crate::gate_setup::{DENIED, GateSetup, MappedEnvironment, consumer_of};

/// The set-up, and what the team has in it. Deployment and pacticipant have the same name.
pub struct Team {
    pub setup: InUse<GateSetup>,
    pub environment: MappedEnvironment,
    pub name: String,
    /// What consumes its pacticipant and is live, too.
    consumer: String,
}

impl Team {
    /// A team with a new namespace and a new environment. The name must be nobody else's.
    pub async fn new(setup: &InUse<GateSetup>, name: &str) -> Self {
        let environment = setup.gated(json!({"mode": "Enforce"})).await;
        setup.provider_that_breaks(&environment.name, name);
        Self::of(setup, environment, name)
    }

    /// The same in an environment that holds: 2.0.0 and 3.0.0 are published, and nobody has verified them.
    pub async fn holding(setup: &InUse<GateSetup>, name: &str) -> Self {
        let environment = setup.gated(json!({"mode": "Enforce", "hold": {}})).await;
        consumer_of(&setup.cluster.broker, &environment.name, name);
        let team = Self::of(setup, environment, name);
        team.verified("1.0.0", true);
        for version in ["2.0.0", "3.0.0"] {
            setup.cluster.broker.store().publish_version(name, version);
        }
        team
    }

    fn of(setup: &InUse<GateSetup>, environment: MappedEnvironment, name: &str) -> Self {
        Self { setup: setup.clone(), environment, name: name.to_owned(), consumer: format!("web-of-{name}") }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        &self.environment.namespace
    }

    /// The manifest of its Deployment at this version.
    pub fn deployment(&self, version: &str) -> Value {
        annotated(&self.name, &self.name, version).manifest().clone()
    }

    /// What it commits for a version: its Deployment, and a `ConfigMap` of that version.
    pub fn manifests(&self, version: &str) -> Vec<Value> {
        let settings = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"for": version},
        });
        vec![settings, self.deployment(version)]
    }

    /// Its Deployment.
    pub fn live(&self) -> Live {
        Live::new(&self.setup.cluster.client(), self.namespace(), &self.name)
    }

    /// The version that its Deployment is to run, and the identity of that object.
    pub async fn runs(&self) -> (String, String) {
        let live = self.live().get().await;
        let image = live.spec.unwrap().template.spec.unwrap().containers.remove(0).image.unwrap();
        (image.rsplit(':').next().unwrap_or_default().to_owned(), live.metadata.uid.unwrap())
    }

    /// For which version its `ConfigMap` is.
    pub async fn settings(&self) -> String {
        let api = Api::<ConfigMap>::namespaced(self.setup.cluster.client(), self.namespace());
        let data = api.get("settings").await.expect("the settings").data.unwrap_or_default();
        data.get("for").cloned().unwrap_or_default()
    }

    /// How the API server introduces our denial of 2.0.0, and its first line.
    pub fn denial(&self) -> String {
        let Self { name, environment, consumer, .. } = self;
        let environment = &environment.name;
        format!(
            "{DENIED}{name} 2.0.0 may not be deployed to {environment}: it failed to verify the pact of {consumer} 7"
        )
    }

    /// 2.0.0 keeps its contract from now on.
    pub fn verify(&self) {
        self.verified("2.0.0", true);
    }

    /// This version keeps its contract from now on, or breaks it.
    pub fn verified(&self, version: &str, ok: bool) {
        let store = self.setup.cluster.broker.store();
        assert!(store.verify(&self.consumer, "7", &self.name, version, ok), "the pact is there");
    }

    /// Waits until the broker has this version, and the record says so.
    pub async fn recorded(&self, version: &str) {
        self.setup.cluster.wait_recorded(&self.environment.name, &self.name, version).await;
    }

    /// All that was ever recorded of it, in order.
    pub fn writes(&self) -> Vec<String> {
        self.setup.cluster.writes(&self.environment.name, &self.name)
    }

    /// Waits until its Deployment is to run this version.
    pub async fn rolled_out(&self, version: &str) {
        let wanted = image(version);
        self.live()
            .wait(&format!("{version} to be rolled out"), |live| {
                let pod = live.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
                pod.is_some_and(|pod| pod.containers[0].image.as_deref() == Some(&wanted))
            })
            .await;
    }

    /// Checks while `ask` is not content that the Deployment stays this object of version 1.0.0.
    pub async fn stays_until(&self, uid: &str, what: &str, mut ask: impl AsyncFnMut() -> Result<(), String>) {
        eventually(what, SOON, async || {
            assert_eq!(self.runs().await, ("1.0.0".to_owned(), uid.to_owned()), "while waiting for {what}");
            ask().await
        })
        .await;
    }

    /// Checks that the gate is not called during this time.
    pub async fn at_rest(&self, time: std::time::Duration) {
        let before = self.setup.webhook.reviews().await;
        always("the gate is not called", time, async || {
            let now = self.setup.webhook.reviews().await;
            if now == before { Ok(()) } else { Err(format!("{} calls", now - before)) }
        })
        .await;
    }
}

/// An object of a kind that this crate has no type for.
pub fn api(setup: &GateSetup, group: &str, version: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let kind = kube::api::GroupVersionKind::gvk(group, version, kind);
    let resource = kube::api::ApiResource::from_gvk(&kind);
    Api::namespaced_with(setup.cluster.client(), namespace, &resource)
}
