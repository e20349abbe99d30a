//! The set-up of the tests of triggered verification: a service that starts pipelines, and pacts without a result.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, StatusCode},
};
use serde_json::{Value, json};
use testbed::{
    eventually::eventually,
    operator::OperatorOptions,
    test_cluster::{SOON, TestCluster, annotated, quick},
};

use super::objects::Objects as _;

pub const TOKEN: &str = "planted-token-of-a-hook";

/// A call that a pipeline's service got.
#[derive(Clone, Debug)]
pub struct Call {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
    pub answered: u16,
}

/// A service that starts pipelines: GitHub, GitLab or another.
#[derive(Clone)]
pub struct Pipelines {
    url: String,
    pub calls: Arc<Mutex<Vec<Call>>>,
    pub answer: Arc<AtomicU16>,
    /// Below this path nothing is found.
    pub nothing_at: Arc<Mutex<Option<String>>>,
    folder: Arc<tempfile::TempDir>,
}

impl Pipelines {
    pub async fn serve() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            calls: Arc::default(),
            answer: Arc::new(AtomicU16::new(204)),
            nothing_at: Arc::default(),
            folder: Arc::new(tempfile::tempdir().unwrap()),
        };
        let service = this.clone();
        let take = async move |request: Request| service.take(request).await;
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(take)).await });
        this
    }

    async fn take(&self, request: Request) -> StatusCode {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let is_found = |nothing_at: &String| !parts.uri.path().starts_with(nothing_at);
        let is_found = self.nothing_at.lock().unwrap().as_ref().is_none_or(is_found);
        let answered = if is_found { self.answer.load(Ordering::Relaxed) } else { 404 };
        assert_eq!(parts.method, "POST");
        let body = String::from_utf8(body.to_vec()).unwrap();
        let call = Call { path: parts.uri.path().to_owned(), headers: parts.headers, body, answered };
        self.calls.lock().unwrap().push(call);
        StatusCode::from_u16(answered).unwrap()
    }

    /// The calls that were taken.
    pub fn taken(&self) -> Vec<Call> {
        self.calls.lock().unwrap().iter().filter(|call| call.answered < 300).cloned().collect()
    }

    /// Waits until a call was taken whose body holds this text; gives the first.
    pub async fn wait(&self, text: &str, cluster: &TestCluster) -> Call {
        eventually(format!("a call about {text}"), 2 * SOON, async || {
            let call = self.taken().into_iter().find(|call| call.body.contains(text));
            call.ok_or_else(|| format!("{:?}; {}", self.calls.lock().unwrap(), testbed_tail(cluster)))
        })
        .await
    }

    /// How many calls were taken whose body holds this text.
    pub fn count(&self, text: &str) -> usize {
        self.taken().iter().filter(|call| call.body.contains(text)).count()
    }

    /// The operator's options with this hook.
    pub fn options(&self, hook: &Value, more: &[(&str, u64)]) -> OperatorOptions {
        let mut hook = hook.clone();
        hook["url"] = json!(self.url);
        let mut all = json!({
            "hooks": [hook], "environments": ["env-*"], "intervalSeconds": 3600, "graceSeconds": 0, "callsPerMinute": 100,
        });
        for (name, value) in more {
            all[*name] = json!(value);
        }
        let (file, secrets) = (self.folder.path().join("verification.json"), self.folder.path());
        fs::write(&file, all.to_string()).unwrap();
        let of_hook = secrets.join(hook["name"].as_str().unwrap());
        fs::create_dir_all(&of_hook).unwrap();
        fs::write(of_hook.join("token"), TOKEN).unwrap();
        quick()
            .value("logging.filter", "info,pact_operator=trace,reqwest=trace,hyper=trace,hyper_util=trace")
            .value("verification.hooks", json!([hook]))
            .replacing("--verification", file.to_str().unwrap())
            .replacing("--verification-secrets", secrets.to_str().unwrap())
    }
}

pub fn testbed_tail(cluster: &TestCluster) -> String {
    let logs = cluster.logs();
    let ours = logs.lines().filter(|line| line.contains("pact_operator")).collect::<Vec<_>>();
    ours[ours.len().saturating_sub(20)..].join("\n")
}

pub fn github() -> Value {
    json!({"name": "github", "type": "GitHub", "secret": "dispatch", "eventType": "verify-pact",
           "routes": [{"provider": "ord*", "repository": "shop/orders"}]})
}

pub fn gitlab() -> Value {
    json!({"name": "gitlab", "type": "GitLab", "secret": "trigger",
           "routes": [{"provider": "*", "project": "shop/all", "ref": "main"}]})
}

pub fn webhook() -> Value {
    json!({"name": "others", "type": "Webhook", "routes": [{"provider": "*"}],
           "template": "{\"pact\": {{ pactUrl }}, \"of\": {{ consumer ~ '@' ~ consumerVersion }}, \"by\": {{ providerVersion }}}"})
}

/// What a pipeline does: reads the pact, and publishes the result of this version.
pub async fn verify(pact_url: &str, version: &str) {
    let client = reqwest::Client::new();
    let pact = client.get(pact_url).header("accept", "application/hal+json").send().await.unwrap();
    assert_eq!(pact.status(), 200, "{pact_url}");
    let pact: Value = serde_json::from_str(&pact.text().await.unwrap()).unwrap();
    let results = pact["_links"]["pb:publish-verification-results"]["href"].as_str().unwrap();
    let result = json!({"success": true, "providerApplicationVersion": version}).to_string();
    let sent = client.post(results).header("content-type", "application/json").body(result).send().await.unwrap();
    assert_eq!(sent.status(), 201);
}

/// A namespace in a new environment, with a provider that runs and is recorded.
pub async fn with_provider(cluster: &TestCluster, provider: &str) -> (String, String) {
    let namespace = cluster.namespace().await;
    let environment = cluster.environment(&[&namespace], json!({})).await;
    cluster.broker.store().publish_version(provider, "1.0.0");
    drop(annotated(provider, provider, "1.0.0").apply(&cluster.client(), &namespace).await);
    cluster.wait_recorded(&environment, provider, "1.0.0").await;
    cluster.wait_condition(&environment, provider, ("Ready", "True", "Recorded")).await;
    (namespace, environment)
}

/// Rolls out a consumer whose pact with the provider has no result.
pub async fn unverified(cluster: &TestCluster, namespace: &str, consumer: &str, provider: &str) {
    cluster.broker.store().publish_pact(consumer, "7.0.0", provider, &format!("what {consumer} expects"));
    drop(annotated(consumer, consumer, "7.0.0").apply(&cluster.client(), namespace).await);
}
