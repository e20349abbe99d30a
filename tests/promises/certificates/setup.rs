//! A namespace, a webhook configuration for its `ConfigMaps` that fails closed, a server behind it, and replicas.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use operator_kit::certificates::{
    self, CertificateError, CertificateSettings, Clock, OwnSource, ServingCertificate, Source,
};
use operator_kit::readiness::Readiness;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use testbed::control_plane::ControlPlane;
use testbed::eventually::eventually;
use testbed::namespace::with_namespace;

/// A generous limit for what happens soon on an idle machine.
pub const GENEROUS: Duration = Duration::from_mins(1);
/// The Secret with the authorities.
pub const SECRET: &str = "webhook-authority";
/// The name of our authorities.
pub const AUTHORITY: &str = "promise authority";

pub fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

#[derive(Clone)]
pub struct Setup {
    pub client: Client,
    pub namespace: String,
    pub address: SocketAddr,
    /// Calls that the server has answered.
    pub served: Arc<AtomicU64>,
    resolvers: Arc<Mutex<Vec<ServingCertificate>>>,
    /// Seconds by which the replicas' clocks are ahead.
    ahead: Arc<AtomicI64>,
}

pub struct Replica {
    pub serving: ServingCertificate,
    readiness: Readiness,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), CertificateError>>,
}

pub async fn with_setup(cp: &ControlPlane, test: impl AsyncFnOnce(Setup)) {
    with_namespace(cp, async |namespace| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let setup = Setup {
            client: cp.client(),
            namespace,
            address: listener.local_addr().unwrap(),
            served: Arc::default(),
            resolvers: Arc::default(),
            ahead: Arc::default(),
        };
        let server = tokio::spawn(accept(listener, setup.clone()));
        setup.create_configuration().await;
        test(setup.clone()).await;
        setup.delete_configuration().await;
        server.abort();
    })
    .await;
}

pub fn own_source(settings: &mut CertificateSettings) -> &mut OwnSource {
    match &mut settings.source {
        Source::Own(own) => own,
        Source::Mounted(_) => panic!("not an authority of our own"),
    }
}

impl Setup {
    pub fn configuration_name(&self) -> String {
        format!("promise-{}", self.namespace)
    }

    /// The defaults, with more frequent checks.
    pub fn settings(&self, source: Source) -> CertificateSettings {
        let mut settings = CertificateSettings::new(self.configuration_name(), "promises", source);
        settings.check_every = Duration::from_millis(50);
        settings.check_unready_every = Duration::from_millis(50);
        settings.overlap = Duration::from_millis(150);
        settings
    }

    pub fn own(&self) -> CertificateSettings {
        let names = vec!["127.0.0.1".to_owned(), "webhook.ns.svc".to_owned()];
        self.settings(Source::Own(OwnSource::new(&self.namespace, SECRET, AUTHORITY, names)))
    }

    pub fn replica(&self, settings: CertificateSettings) -> Replica {
        self.replica_with(self.client.clone(), settings)
    }

    pub fn replica_with(&self, client: Client, settings: CertificateSettings) -> Replica {
        let (serving, shutdown) = (ServingCertificate::new(), CancellationToken::new());
        let readiness = Readiness::new(shutdown.clone());
        let ahead = Arc::clone(&self.ahead);
        let clock: Clock =
            Arc::new(move || SystemTime::now() + Duration::from_secs(ahead.load(Ordering::Relaxed).unsigned_abs()));
        let gate = readiness.gate("certificate");
        let task = tokio::spawn(certificates::run(settings, client, serving.clone(), gate, clock, shutdown.clone()));
        Replica { serving, readiness, shutdown, task }
    }

    /// From now on connections are spread over these replicas, as a Service does it.
    pub fn serve(&self, replicas: &[&Replica]) {
        *self.resolvers.lock().unwrap() = replicas.iter().map(|replica| replica.serving.clone()).collect();
    }

    pub fn advance(&self, by: Duration) {
        self.ahead.fetch_add(i64::try_from(by.as_secs()).unwrap(), Ordering::Relaxed);
    }

    pub fn advance_back(&self, by: Duration) {
        self.ahead.fetch_sub(i64::try_from(by.as_secs()).unwrap(), Ordering::Relaxed);
    }

    /// One admission call through the API server.
    pub async fn call(&self) -> Result<(), String> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut object = ConfigMap::default();
        object.metadata.generate_name = Some("call-".to_owned());
        let how = PostParams { dry_run: true, ..PostParams::default() };
        api.create(&how, &object).await.map(drop).map_err(|error| error.to_string())
    }

    pub fn url(&self) -> String {
        format!("https://{}/validate", self.address)
    }

    fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }

    pub async fn configuration(&self) -> ValidatingWebhookConfiguration {
        self.configurations().get(&self.configuration_name()).await.unwrap()
    }

    pub async fn create_configuration(&self) {
        let configuration = json!({
            "metadata": {"name": self.configuration_name()},
            "webhooks": [{
                "name": "configmaps.promises.dev",
                "clientConfig": {"url": self.url()},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                           "resources": ["configmaps"]}],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
                "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 10
            }]
        });
        let configuration = serde_json::from_value(configuration).unwrap();
        self.configurations().create(&PostParams::default(), &configuration).await.unwrap();
    }

    pub async fn delete_configuration(&self) {
        drop(self.configurations().delete(&self.configuration_name(), &DeleteParams::default()).await);
    }

    pub async fn patch_client_config(&self, client_config: Value) {
        let patch = json!({"webhooks": [{"name": "configmaps.promises.dev", "clientConfig": client_config}]});
        let (name, how) = (self.configuration_name(), PatchParams::default());
        self.configurations().patch(&name, &how, &Patch::Strategic(patch)).await.unwrap();
    }

    pub async fn set_url(&self, url: &str) {
        self.patch_client_config(json!({"url": url})).await;
    }

    /// The certificates in the live `caBundle`.
    pub async fn trusted(&self) -> BTreeSet<Vec<u8>> {
        let configuration = self.configuration().await;
        let bundle = configuration.webhooks.unwrap()[0].client_config.ca_bundle.clone().unwrap_or_default();
        CertificateDer::pem_slice_iter(&bundle.0).map(|der| der.unwrap().to_vec()).collect()
    }
}

impl Replica {
    pub fn is_ready(&self) -> bool {
        self.readiness.is_ready()
    }

    pub fn pending(&self) -> String {
        self.readiness.pending().iter().map(ToString::to_string).collect()
    }

    pub async fn wait_ready(&self) {
        eventually("a certificate that is ready", GENEROUS, async || {
            self.is_ready().then_some(()).ok_or_else(|| self.pending())
        })
        .await;
    }

    pub async fn wait_unready(&self, says: &str) {
        eventually(format!("readiness to report {says:?}"), GENEROUS, async || {
            let pending = self.pending();
            pending.contains(says).then_some(()).ok_or(pending)
        })
        .await;
    }

    pub async fn end(self) {
        self.shutdown.cancel();
        tokio::time::timeout(GENEROUS, self.task).await.expect("it ends").unwrap().unwrap();
    }
}

/// A connection for each call, so that each call checks the certificate anew.
async fn accept(listener: TcpListener, setup: Setup) {
    let next = AtomicUsize::new(0);
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let resolvers = setup.resolvers.lock().unwrap().clone();
        let Some(number) = next.fetch_add(1, Ordering::Relaxed).checked_rem(resolvers.len()) else { continue };
        tokio::spawn(answer(stream, resolvers[number].clone(), Arc::clone(&setup.served)));
    }
}

async fn answer(stream: TcpStream, resolver: ServingCertificate, served: Arc<AtomicU64>) {
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let Ok(stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else { return };
    let service = service_fn(|request: Request<Incoming>| {
        let served = Arc::clone(&served);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            let review: Value = serde_json::from_slice(&body).unwrap();
            let answer = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
                                "response": {"uid": review["request"]["uid"], "allowed": true}});
            served.fetch_add(1, Ordering::Relaxed);
            let response = Response::builder().header("content-type", "application/json");
            Ok::<_, hyper::Error>(response.body(Full::new(Bytes::from(answer.to_string()))).unwrap())
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    drop(http.keep_alive(false).serve_connection(TokioIo::new(stream), service).await);
}
