//! The whole play: a control plane, a stand-in broker, the operator, and the custom resources that join them.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use pact_operator::api::{PactBroker, PactDeployment, PactEnvironment, annotations};

use super::control_plane::ControlPlane;
use super::crds::install_crds;
use super::eventually::eventually;
use super::namespace;
use super::operator::{Operator, OperatorOptions, install_rights};
use super::rollout::{Rollout, deployment};
use super::standin::{Options, StandIn};

/// How long anything may take that should happen soon. Generous: machines are shared and slow at times.
pub const SOON: Duration = Duration::from_mins(1);

/// The name of the `PactBroker` of a scene.
pub const BROKER: &str = "main";

/// The operator's namespace in a scene.
pub const OPERATOR_NAMESPACE: &str = super::chart::RELEASE;

/// A control plane, a stand-in broker and (once started) the operator. Dropping it ends all three.
pub struct Scene {
    /// The control plane.
    pub control_plane: ControlPlane,
    /// The broker.
    pub broker: StandIn,
    /// The operator's processes, the first one first.
    pub operators: Vec<Operator>,
}

/// The values that make the operator fit for tests: it probes, compares and tries again within seconds.
pub fn quick() -> OperatorOptions {
    let seconds = [("probeSeconds", 1), ("resyncSeconds", 3), ("retrySeconds", 2)];
    let options = OperatorOptions::default().value("logging.format", "text");
    let options = options.value("logging.filter", "info,pact_operator=debug");
    seconds.iter().fold(options, |options, (name, value)| options.value(&format!("controller.{name}"), *value))
}

impl Scene {
    /// A scene in which no operator runs yet, with the CRDs, the rights and a `PactBroker` named [`BROKER`].
    pub async fn without_operator() -> Self {
        Self::with_broker(StandIn::start_with(Options { seed_example_environments: true, ..Options::default() }).await)
            .await
    }

    /// The same with a broker of the caller's making.
    pub async fn with_broker(broker: StandIn) -> Self {
        let control_plane = ControlPlane::start().await;
        install_crds(&control_plane).await;
        install_rights(&control_plane, OPERATOR_NAMESPACE).await;
        let scene = Self { control_plane, broker, operators: Vec::new() };
        scene.apply::<PactBroker>("PactBroker", BROKER, json!({"url": scene.broker.url()})).await;
        scene
    }

    /// A scene of its own with a running operator.
    pub async fn start() -> Self {
        let mut scene = Self::without_operator().await;
        scene.start_operator(quick()).await;
        scene
    }

    /// The scene that tests share which disturb nobody: each uses namespaces and environments of its own.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Scene> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
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

    /// Applies a cluster-scoped custom resource of ours.
    pub async fn apply<K>(&self, kind: &str, name: &str, spec: Value) -> K
    where
        K: Resource<DynamicType = ()> + DeserializeOwned + Clone + std::fmt::Debug,
    {
        let object = json!({
            "apiVersion": "pact-operator.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec,
        });
        let api = Api::<K>::all(self.client());
        let applied = api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await;
        applied.unwrap_or_else(|error| panic!("cannot apply {kind} {name}: {error}"))
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
        self.apply::<PactEnvironment>("PactEnvironment", name, spec).await;
    }

    /// A new namespace of a random name.
    pub async fn namespace(&self) -> String {
        namespace::create(&self.control_plane, &self.client(), &[]).await
    }

    /// Runs a test with a new namespace and a new environment over it. Dumps what was there when it fails.
    pub async fn act(&self, test: impl AsyncFnOnce(String, String)) {
        namespace::with_namespace(&self.control_plane, async |namespace| {
            let environment = self.environment(&[&namespace], json!({})).await;
            test(namespace, environment).await;
        })
        .await;
    }

    /// The version that the broker says is deployed, without an application instance.
    pub fn recorded(&self, environment: &str, pacticipant: &str) -> Option<String> {
        self.recorded_as(environment, pacticipant, None)
    }

    /// The version that the broker says is deployed as this application instance.
    pub fn recorded_as(&self, environment: &str, pacticipant: &str, instance: Option<&str>) -> Option<String> {
        let rows = self.broker.store().current(environment, pacticipant);
        rows.into_iter().find(|row| row.instance.as_deref() == instance).map(|row| row.version)
    }

    /// Waits until the broker says that this version is deployed.
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

    /// The operator's memory of a pacticipant in an environment, if there is one. Without application instance.
    pub async fn memory(&self, environment: &str, pacticipant: &str) -> Option<PactDeployment> {
        let all = Api::<PactDeployment>::all(self.client()).list(&ListParams::default()).await.unwrap();
        all.into_iter().find(|one| {
            one.spec.environment == environment
                && one.spec.pacticipant == pacticipant
                && one.spec.application_instance.is_none()
        })
    }

    /// Waits until the operator's memory says this of a condition: `("Ready", "False", "VersionMissing")`.
    pub async fn wait_condition(
        &self,
        environment: &str,
        pacticipant: &str,
        wanted: (&str, &str, &str),
    ) -> PactDeployment {
        let (type_, status, reason) = wanted;
        eventually(format!("{type_}={status} ({reason}) of {pacticipant} in {environment}"), SOON, async || {
            let memory = self.memory(environment, pacticipant).await.ok_or("no PactDeployment")?;
            let conditions = memory.status.clone().unwrap_or_default().conditions;
            let found = conditions.iter().any(|c| c.type_ == type_ && c.status == status && c.reason == reason);
            if found { Ok(memory) } else { Err(shown(&conditions)) }
        })
        .await
    }

    /// Waits until a `PactEnvironment` says this of a condition.
    pub async fn wait_environment(&self, name: &str, wanted: (&str, &str, &str)) -> PactEnvironment {
        let (type_, status, reason) = wanted;
        let api = Api::<PactEnvironment>::all(self.client());
        eventually(format!("{type_}={status} ({reason}) of PactEnvironment {name}"), SOON, async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let conditions = object.status.clone().unwrap_or_default().conditions;
            let found = conditions.iter().any(|c| c.type_ == type_ && c.status == status && c.reason == reason);
            if found { Ok(object) } else { Err(shown(&conditions)) }
        })
        .await
    }

    /// Waits until a `PactBroker` says this of a condition.
    pub async fn wait_broker(&self, name: &str, wanted: (&str, &str, &str)) -> PactBroker {
        let (type_, status, reason) = wanted;
        let api = Api::<PactBroker>::all(self.client());
        eventually(format!("{type_}={status} ({reason}) of PactBroker {name}"), SOON, async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let conditions = object.status.clone().unwrap_or_default().conditions;
            let found = conditions.iter().any(|c| c.type_ == type_ && c.status == status && c.reason == reason);
            if found { Ok(object) } else { Err(shown(&conditions)) }
        })
        .await
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

    /// Writes a Secret into the operator's namespace, or over one.
    pub async fn secret(&self, name: &str, data: Value) {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data});
        let api = Api::<Secret>::namespaced(self.client(), OPERATOR_NAMESPACE);
        drop(api.delete(name, &kube::api::DeleteParams::default()).await);
        api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }
}

/// A Deployment of one replica annotated with a pacticipant, its image tagged with the version.
pub fn annotated(name: &str, pacticipant: &str, version: &str) -> Rollout {
    deployment(name).image(&image(version)).replicas(1).annotation(annotations::PACTICIPANT, pacticipant)
}

/// An image with this tag.
pub fn image(tag: &str) -> String {
    format!("registry.example.com/shop:{tag}")
}

fn shown(conditions: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition]) -> String {
    let shown: Vec<_> =
        conditions.iter().map(|c| format!("{}={} ({}): {}", c.type_, c.status, c.reason, c.message)).collect();
    format!("[{}]", shown.join("; "))
}
