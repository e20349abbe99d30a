//! Who is known, and when: by what the configuration holds and held.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicU32, Ordering},
};

use axum::http;
use kube::client::Body;
use serde_json::{Value, json};

use super::*;

fn secret(letter: char) -> PathSecret {
    PathSecret::at_the_end_of(&path(letter)).unwrap()
}

fn path(letter: char) -> String {
    format!("/gate/{}", letter.to_string().repeat(32))
}

#[test]
fn case_110_the_api_server_is_known_by_what_the_configuration_holds_and_held_a_moment_ago() {
    let (start, mut known) = (Instant::now(), Known::default());
    let at = |seconds| start + Duration::from_secs(seconds);
    assert_eq!(known.caller("/gate", start), Caller::Unverifiable, "nothing was read");
    known.set(&[], false, start);
    assert_eq!(known.caller(&path('a'), at(60)), Caller::Unverifiable, "nothing is there");
    known.set(&[secret('a')], false, at(60));
    assert_eq!(known.caller("/gate", at(120)), Caller::Unverifiable, "one of two webhooks has none");
    known.set(&[secret('a')], true, at(120));
    for (now, path, caller) in [
        (120, path('a'), Caller::Known),
        (124, "/gate".to_owned(), Caller::Unverifiable),
        (125, "/gate".to_owned(), Caller::Stranger),
        (125, "/".to_owned(), Caller::Stranger),
        (125, path('b'), Caller::Stranger),
        (125, format!("{}x", path('a')), Caller::Stranger),
        (125, path('a'), Caller::Known),
    ] {
        assert_eq!(known.caller(&path, at(now)), caller, "{path} after {now} s");
    }
    known.set(&[secret('b')], true, at(200));
    for (now, path, caller) in [
        (204, path('a'), Caller::Known),
        (205, path('a'), Caller::Stranger),
        (205, path('b'), Caller::Known),
        (205, "/gate".to_owned(), Caller::Stranger),
    ] {
        assert_eq!(known.caller(&path, at(now)), caller, "{path} after {now} s");
    }
    known.set(&[], false, at(300));
    assert_eq!(known.caller("/gate", at(300)), Caller::Unverifiable, "somebody took it out");
    assert_eq!(known.caller(&path('b'), at(301)), Caller::Known);
}

#[test]
fn case_110_behind_client_certificates_the_path_does_not_matter() {
    let path = ReviewPath::of_everybody();
    assert_eq!((path.caller("/gate"), path.is_verifying()), (Caller::Known, true));
}

/// An API server with a configuration that others change.
struct Server {
    hooks: Mutex<Vec<Value>>,
    version: AtomicU32,
    patches: AtomicU32,
}

impl Server {
    fn set(&self, clients: &[Value]) {
        let hooks = clients.iter().enumerate().map(|(number, client)| {
            json!({"name": format!("{number}"), "clientConfig": client, "admissionReviewVersions": ["v1"],
                "sideEffects": "None"})
        });
        *self.hooks.lock().unwrap() = hooks.collect();
        self.version.fetch_add(1, Ordering::SeqCst);
    }

    fn paths(&self) -> Vec<String> {
        let hooks = self.hooks.lock().unwrap();
        let text = |hook: &Value| hook["clientConfig"]["service"]["path"].as_str().unwrap_or_default().to_owned();
        hooks.iter().map(text).collect()
    }

    fn object(&self) -> Value {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": "gate", "resourceVersion": self.version.load(Ordering::SeqCst).to_string()},
            "webhooks": *self.hooks.lock().unwrap()})
    }

    /// Answers as far as `look` asks: a read, and a patch with a precondition.
    async fn answer(&self, request: http::Request<Body>) -> http::Response<Body> {
        let (status, body) = if request.method() == http::Method::PATCH {
            self.patches.fetch_add(1, Ordering::SeqCst);
            let patch: Value = serde_json::from_slice(&request.into_body().collect_bytes().await.unwrap()).unwrap();
            if patch["metadata"]["resourceVersion"] == self.object()["metadata"]["resourceVersion"] {
                for part in patch["webhooks"].as_array().unwrap() {
                    let mut hooks = self.hooks.lock().unwrap();
                    let hook = hooks.iter_mut().find(|hook| hook["name"] == part["name"]).unwrap();
                    hook["clientConfig"]["service"]["path"] = part["clientConfig"]["service"]["path"].clone();
                }
                self.version.fetch_add(1, Ordering::SeqCst);
                (200, self.object())
            } else {
                (
                    409,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Conflict",
                    "message": "it was changed", "code": 409}),
                )
            }
        } else {
            (200, self.object())
        };
        http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap()
    }
}

fn service(path: Option<&str>) -> Value {
    json!({"service": {"name": "w", "namespace": "n", "path": path}})
}

#[tokio::test(start_paused = true)]
async fn case_110_replicas_agree_on_one_secret_and_it_comes_back_when_it_was_taken_out() {
    let server = Arc::new(Server { hooks: Mutex::default(), version: AtomicU32::new(1), patches: AtomicU32::new(0) });
    server.set(&[service(None), service(Some("/gate"))]);
    let (replicas, shutdown): (Vec<_>, _) = ((0..3).map(|_| ReviewPath::new()).collect(), CancellationToken::new());
    let mut keeping = Vec::new();
    for replica in &replicas {
        let serving = Arc::clone(&server);
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let server = Arc::clone(&serving);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        let keep = Arc::clone(replica).keep(Client::new(service, "default"), "gate".into(), "test", shutdown.clone());
        keeping.push(tokio::spawn(keep));
    }
    sleep(2 * PERIOD).await;
    let paths = server.paths();
    assert!(paths[0] == paths[1] && paths[0].starts_with("/gate/"), "{paths:?}");
    assert!(PathSecret::at_the_end_of(&paths[0]).is_some());
    let callers = |path: &str| replicas.iter().map(|replica| replica.caller(path)).collect::<Vec<_>>();
    assert_eq!(callers(&paths[0]), [Caller::Known; 3]);
    assert_eq!(callers("/gate"), [Caller::Stranger; 3]);

    // Helm puts back what the chart says; the next call is what tells the replicas.
    server.set(&[service(None), service(Some("/gate"))]);
    assert_eq!(callers("/gate"), [Caller::Stranger; 3]);
    sleep(3 * SOON).await;
    assert_eq!(callers("/gate"), [Caller::Unverifiable; 3], "nobody is a stranger while the API server may lag behind");
    sleep(2 * PERIOD).await;
    let again = server.paths();
    assert!(again[0] == again[1] && again[0] != paths[0], "a new one: {again:?}");
    assert_eq!((callers(&again[0]), callers(&paths[0])), (vec![Caller::Known; 3], vec![Caller::Stranger; 3]));

    let patches = server.patches.load(Ordering::SeqCst);
    sleep(10 * PERIOD).await;
    assert_eq!(server.patches.load(Ordering::SeqCst), patches, "nothing is written at rest");
    shutdown.cancel();
    for keep in keeping {
        keep.await.unwrap();
    }
}
