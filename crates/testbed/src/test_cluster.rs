//! A test cluster: a control plane, a stand-in broker, the operator, and the custom resources that connect them.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;
use crate::crds::install_crds;
use crate::eventually::eventually;
use crate::namespace;
use crate::operator::{Operator, OperatorOptions, install_rights};
use crate::rollout::{Rollout, deployment};
use crate::shared::{InUse, Shared};
use crate::standin::{Options, StandIn};

/// How long anything may take that should happen soon. Generous: machines are shared and slow at times.
pub const SOON: Duration = Duration::from_mins(1);

/// The name of the `PactBroker` of a test cluster.
pub const BROKER: &str = "main";

/// The operator's namespace in a test cluster.
pub const OPERATOR_NAMESPACE: &str = crate::chart::RELEASE;

/// A control plane, a stand-in broker and (once started) the operator. Dropping it ends all three.
pub struct TestCluster {
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The broker; clusters may share it.
    pub broker: Arc<StandIn>,
    /// The operator's processes, the first one first.
    pub operators: Vec<Operator>,
}

/// The operator's options for tests: it probes, compares and tries again within seconds.
pub fn quick() -> OperatorOptions {
    let seconds = [("probeSeconds", 1), ("resyncSeconds", 3), ("retrySeconds", 2)];
    let options = OperatorOptions::default().value("logging.format", "text");
    let options = options.value("logging.filter", "info,pact_operator=debug");
    seconds.iter().fold(options, |options, (name, value)| options.value(&format!("controller.{name}"), *value))
}

impl TestCluster {
    /// A test cluster without a running operator, with the CRDs, the rights and a `PactBroker` named [`BROKER`].
    pub async fn without_operator() -> Self {
        Self::with_broker(StandIn::start_with(Options { seed_example_environments: true, ..Options::default() }).await)
            .await
    }

    /// The same with a broker of the caller's making, or of another cluster.
    pub async fn with_broker(broker: impl Into<Arc<StandIn>>) -> Self {
        Self::on(ControlPlane::start().await, broker.into()).await
    }

    /// A new test cluster whose API server calls webhooks over HTTP/1.1, as one does that calls them through a Service:
    /// with a connection for each call that is under way, so that several replicas are called.
    pub async fn with_many_connections() -> Self {
        let control_plane = ControlPlane::start_with(&[("GODEBUG", "http2client=0")]).await;
        let mut cluster = Self::on(control_plane, Arc::new(StandIn::start().await)).await;
        cluster.start_operator(quick()).await;
        cluster
    }

    async fn on(control_plane: ControlPlane, broker: Arc<StandIn>) -> Self {
        install_crds(&control_plane).await;
        install_rights(&control_plane, OPERATOR_NAMESPACE).await;
        let cluster = Self { control_plane, broker, operators: Vec::new() };
        cluster.apply::<DynamicObject>("PactBroker", BROKER, json!({"url": cluster.broker.url()})).await;
        cluster
    }

    /// A new test cluster with a running operator.
    pub async fn start() -> Self {
        let mut cluster = Self::without_operator().await;
        cluster.start_operator(quick()).await;
        cluster
    }

    /// The test cluster that tests share: each uses namespaces and environments of its own, and disturbs no other.
    pub async fn shared() -> InUse<Self> {
        static SHARED: Shared<TestCluster> = Shared::new();
        SHARED.get(Self::start).await
    }

    /// Starts an operator and waits until it is ready.
    pub async fn start_operator(&mut self, options: OperatorOptions) {
        let mut operator = Operator::start(&self.control_plane, options).await;
        operator.wait_ready().await;
        self.operators.push(operator);
    }

    /// The logs of all operators that still run, for a failure.
    pub fn logs(&self) -> String {
        self.operators.iter().map(|operator| operator.logs()).collect::<Vec<_>>().join("\n---\n")
    }

    /// A client with all rights. Belongs to the caller's runtime.
    pub fn client(&self) -> Client {
        self.control_plane.client()
    }

    /// Applies a cluster-scoped custom resource of the operator; returns it as the API server stores it.
    pub async fn apply<K: DeserializeOwned>(&self, kind: &str, name: &str, spec: Value) -> K {
        let object = json!({
            "apiVersion": "pact-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("pact-operator.dev", "v1alpha1", kind));
        let api = Api::<DynamicObject>::all_with(self.client(), &resource);
        let applied = api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await;
        let applied = applied.unwrap_or_else(|error| panic!("cannot apply {kind} {name}: {error}"));
        serde_json::to_value(applied).and_then(serde_json::from_value).expect("an object of that kind")
    }

    /// A new environment at the broker under a random name, with a `PactEnvironment` of that name over these
    /// namespaces; `more` is merged into its spec.
    pub async fn environment(&self, namespaces: &[&str], more: Value) -> String {
        let name = format!("env-{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        self.broker.store().add_environment(&name, false);
        self.map(&name, namespaces, more).await;
        name
    }

    /// A `PactEnvironment` over these namespaces; `more` is merged into its spec.
    pub async fn map(&self, name: &str, namespaces: &[&str], more: Value) {
        let mut spec = json!({"brokerRef": {"name": BROKER}, "namespaces": {"names": namespaces}});
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        self.apply::<DynamicObject>("PactEnvironment", name, spec).await;
    }

    /// A new namespace of a random name.
    pub async fn namespace(&self) -> String {
        namespace::create(&self.control_plane, &self.client(), &[]).await
    }

    /// Runs a test with a new namespace and a new environment over it. Prints the state of the cluster when the test
    /// fails.
    pub async fn with_namespace(&self, test: impl AsyncFnOnce(String, String)) {
        namespace::with_namespace(&self.control_plane, async |namespace| {
            let environment = self.environment(&[&namespace], json!({})).await;
            test(namespace, environment).await;
        })
        .await;
    }

    /// The version that is deployed according to the broker, without an application instance.
    pub fn recorded(&self, environment: &str, pacticipant: &str) -> Option<String> {
        self.recorded_as(environment, pacticipant, None)
    }

    /// The version that is deployed according to the broker as this application instance.
    pub fn recorded_as(&self, environment: &str, pacticipant: &str, instance: Option<&str>) -> Option<String> {
        let rows = self.broker.store().current(environment, pacticipant);
        rows.into_iter().find(|row| row.instance.as_deref() == instance).map(|row| row.version)
    }

    /// Waits until this version is deployed according to the broker.
    pub async fn wait_recorded(&self, environment: &str, pacticipant: &str, version: &str) {
        eventually(format!("{pacticipant} {version} to be recorded in {environment}"), SOON, async || {
            match self.recorded(environment, pacticipant) {
                Some(recorded) if recorded == version => Ok(()),
                other => Err(format!("the broker has {other:?}")),
            }
        })
        .await;
    }

    /// Every version that was ever recorded for a pacticipant, in order of recording.
    pub fn writes(&self, environment: &str, pacticipant: &str) -> Vec<String> {
        let rows = self.broker.writes().into_iter();
        rows.filter(|row| row.environment == environment && row.pacticipant == pacticipant)
            .map(|row| format!("{:?} {}", row.kind, row.version))
            .collect()
    }

    /// The notes of the Events on an object with this reason.
    pub async fn events(&self, namespace: &str, object: &str, reason: &str) -> Vec<String> {
        let events = Api::<Event>::namespaced(self.client(), namespace).list(&ListParams::default()).await.unwrap();
        events
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some(reason))
            .filter(|event| event.regarding.as_ref().and_then(|it| it.name.as_deref()) == Some(object))
            .filter_map(|event| event.note)
            .collect()
    }

    /// Waits until there is an Event on an object with this reason; gives its note.
    pub async fn wait_event(&self, namespace: &str, object: &str, reason: &str) -> String {
        eventually(format!("an Event {reason} on {namespace}/{object}"), SOON, async || {
            self.events(namespace, object, reason).await.pop().ok_or_else(|| "none".to_owned())
        })
        .await
    }

    /// Writes a Secret into the operator's namespace; replaces one of that name. The operator may read those of
    /// [`BROKER_SECRETS`](crate::rendered::BROKER_SECRETS).
    pub async fn secret(&self, name: &str, data: Value) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let api = Api::<Secret>::namespaced(self.client(), OPERATOR_NAMESPACE);
        drop(api.delete(name, &kube::api::DeleteParams::default()).await);
        api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }
}

/// A Deployment of one replica annotated with a pacticipant, its image tagged with the version.
pub fn annotated(name: &str, pacticipant: &str, version: &str) -> Rollout {
    deployment(name).image(&image(version)).replicas(1).annotation("pact-operator.dev/pacticipant", pacticipant)
}

/// An image with this tag.
pub fn image(tag: &str) -> String {
    format!("registry.example.com/shop:{tag}")
}
