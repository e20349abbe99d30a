//! Whether the API server's history went back, as it does when etcd is restored from a backup.
//!
//! A watch goes on from the resourceVersion that it saw last. If the API server has not come that far (again), the watch
//! is silent until it has, and never tells what happened before. It does not fail. So somebody has to compare: each list
//! says at which resourceVersion it was taken, and these only grow while the history goes on.

use std::{fmt::Debug, time::Duration};

use kube::{Api, Resource, api::ListParams};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often the history is looked at: one small request. A restore is noticed unless as much was written since as
/// between the backup and the last look.
const PERIOD: Duration = Duration::from_secs(10);
/// How long the request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Looks whether the history went back.
#[derive(Debug, Default)]
pub struct History {
    restored: watch::Sender<()>,
}

/// Tells that the history went back. Clones each tell it once.
#[derive(Clone, Debug)]
pub struct Restored(watch::Receiver<()>);

impl History {
    /// Not looked at yet: see [`Self::watch`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What tells that it went back.
    #[must_use]
    pub fn restored(&self) -> Restored {
        Restored(self.restored.subscribe())
    }

    /// Tells everybody that it went back.
    pub(crate) fn went_back(&self) {
        self.restored.send_replace(());
    }

    /// Looks at it again and again until shutdown, by lists of one object. `api` may be listed, and its kind is best one
    /// with few objects.
    pub async fn watch<K>(self, api: Api<K>, shutdown: CancellationToken)
    where
        K: Resource + Clone + Debug + serde::de::DeserializeOwned,
    {
        let mut known = None;
        loop {
            let answer = tokio::time::timeout(REQUEST_LIMIT, api.list_metadata(&ListParams::default().limit(1))).await;
            // That the API server does not answer is reported by whoever needs it.
            if let Ok(Ok(list)) = answer {
                let now = list.metadata.resource_version.as_deref().and_then(|text| text.parse::<u128>().ok());
                if let (Some(known), Some(now)) = (known, now)
                    && now < known
                {
                    warn!(
                        known,
                        now, "the API server's history went back: was etcd restored? Everything is listed again"
                    );
                    self.went_back();
                }
                known = now.or(known);
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }
}

impl Restored {
    /// Ends when the history went back since the last call.
    pub async fn again(&mut self) {
        if self.0.changed().await.is_err() {
            // Nobody looks any more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        sync::{
            Arc,
            atomic::{AtomicU64, Ordering},
        },
    };

    use axum::http;
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{Client, client::Body};
    use serde_json::json;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn case_107_only_a_resource_version_that_is_lower_than_the_last_one_tells_of_a_restore() {
        let version = Arc::new(AtomicU64::new(9));
        let shown = Arc::clone(&version);
        let server = tower::service_fn(move |request: http::Request<Body>| {
            assert!(request.uri().query().unwrap().contains("limit=1"), "{}", request.uri());
            let version = shown.load(Ordering::Relaxed);
            let (status, body) = match version {
                0 => (500, json!({"kind": "Status", "code": 500, "message": "etcd is away"})),
                _ => (200, json!({"metadata": {"resourceVersion": version.to_string()}, "items": []})),
            };
            let answer = http::Response::builder().status(status).body(Body::from(body.to_string().into_bytes()));
            async { Ok::<_, Infallible>(answer.unwrap()) }
        });
        let (history, shutdown) = (History::new(), CancellationToken::new());
        let (mut one, mut other) = (history.restored(), history.restored());
        let api = Api::<ConfigMap>::all(Client::new(server, "default"));
        let watching = tokio::spawn(history.watch(api, shutdown.clone()));
        // 0: no answer.
        for (next, told) in [
            (9, false),
            (10, false),
            (0, false),
            (10, false),
            (2_000, false),
            (11, true),
            (12, false),
            (0, false),
            (11, true),
        ] {
            tokio::time::sleep(PERIOD).await;
            version.store(next, Ordering::Relaxed);
            tokio::time::sleep(PERIOD + REQUEST_LIMIT).await;
            assert_eq!(one.again().now_or_never().is_some(), told, "{next}");
            assert_eq!(one.again().now_or_never(), None, "told once");
        }
        assert!(other.again().now_or_never().is_some(), "each is told");
        shutdown.cancel();
        watching.await.unwrap();
        assert_eq!(other.again().now_or_never(), None);
    }
}
