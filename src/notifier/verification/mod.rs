//! Asks for verifications: calls GitHub, GitLab or another service for a pact that a provider version never verified. Which
//! and when is decided in [`crate::decide::verification`]; the recorder keeps what was asked for.

mod hook;
mod metrics;
mod settings;

use std::sync::{Mutex, MutexGuard, PoisonError, atomic::Ordering};

use operator_kit::{backoff::entropy, lease::Leadership, metrics::Metrics};
use reqwest::{Client, RequestBuilder};
use tokio::time::Instant;
use tracing::{debug, info, warn};

pub use self::{
    hook::Called,
    settings::{SettingsError, VerificationSettings},
};
use self::{
    hook::{Hook, Route, send},
    metrics::HookMetrics,
};
use super::{post, rest::Rest};
use crate::{api::names::Pacticipant, decide::verification::VerificationRequest};

/// A hook, and how it is doing.
struct Reached {
    hook: Hook,
    rest: Mutex<Rest>,
}

impl Reached {
    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those who are asked.
pub struct Hooks {
    all: Vec<Reached>,
    client: Client,
    leadership: Leadership,
    metrics: HookMetrics,
}

/// Who is asked for the verifications of a provider.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    reached: &'a Reached,
    route: &'a Route,
}

impl Way<'_> {
    /// The name of the hook.
    #[must_use]
    pub fn hook(&self) -> &str {
        &self.reached.hook.name
    }
}

/// A call that can be made, or why not.
pub struct Call(Result<RequestBuilder, String>);

impl Hooks {
    /// The hooks of these settings.
    ///
    /// # Errors
    /// When the TLS library refuses to start.
    pub fn new(
        settings: VerificationSettings,
        user_agent: &str,
        leadership: Leadership,
        metrics: &Metrics,
    ) -> Result<Self, reqwest::Error> {
        let reached = |hook| Reached { hook, rest: Mutex::default() };
        let all: Vec<_> = settings.hooks.into_iter().map(reached).collect();
        let metrics = HookMetrics::register(metrics, all.iter().map(|reached| reached.hook.name.as_str()));
        Ok(Self { all, client: post::client(user_agent)?, leadership, metrics })
    }

    /// Who is asked for the verifications of a provider: the first hook that has a route for it.
    #[must_use]
    pub fn way(&self, provider: &Pacticipant) -> Option<Way<'_>> {
        self.all.iter().find_map(|reached| {
            let route = reached.hook.route(provider)?;
            Some(Way { reached, route })
        })
    }

    /// Whether a hook is to be left alone.
    #[must_use]
    pub fn rests(&self, way: &Way<'_>) -> bool {
        way.reached.rest().rests(Instant::now())
    }

    /// The call that asks for a verification. `None` where the template makes nothing of it: then nobody is asked.
    #[must_use]
    pub fn prepare(&self, way: &Way<'_>, request: &VerificationRequest) -> Option<Call> {
        let made = way.reached.hook.request(&self.client, &way.route.target, request).transpose().map(Call);
        if made.is_none() {
            let VerificationRequest { consumer, provider, .. } = request;
            debug!(hook = way.hook(), consumer, provider, "left out by the template");
        }
        made
    }

    /// Asks for a verification.
    pub async fn call(&self, way: &Way<'_>, call: Call, request: &VerificationRequest) -> Called {
        let Way { reached, route } = way;
        let (hook, now) = (reached.hook.name.as_str(), Instant::now);
        if !self.leadership.is_leader() || !reached.rest().begin(now()) {
            return Called::failed("it is left alone for a moment".to_owned());
        }
        let called = send(call.0, &route.target, self.leadership.time_left()).await;
        let VerificationRequest { consumer, consumer_version, provider, provider_version, .. } = request;
        match &called {
            Called::Taken => {
                reached.rest().works();
                self.metrics.taken(hook);
                route.failing.store(false, Ordering::Relaxed);
                info!(hook, consumer, consumer_version, provider, provider_version, "a verification was asked for");
            }
            Called::Failed { why, pause, of_route } => {
                if *of_route {
                    reached.rest().works();
                } else {
                    reached.rest().failed(*pause, now(), entropy());
                }
                self.metrics.failed(hook);
                if route.failing.swap(true, Ordering::Relaxed) {
                    debug!(hook, consumer, provider, why, "not asked for yet");
                } else {
                    warn!(
                        hook,
                        consumer,
                        consumer_version,
                        provider,
                        provider_version,
                        "a verification could not be asked for: {why}; it is tried again"
                    );
                }
            }
        }
        called
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::{Router, http::StatusCode};
    use serde_json::json;

    use super::*;

    /// Hooks with a service that answers every call so.
    async fn hooks(folder: &Path, status: u16) -> Hooks {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let service = Router::new().fallback(async move || StatusCode::from_u16(status).unwrap());
        tokio::spawn(async move { axum::serve(listener, service).await });
        let hook = json!({"name": "ci", "type": "GitHub", "url": url, "secret": "s", "eventType": "e",
            "routes": [{"provider": "*", "repository": "shop/renamed"}]});
        let settings = json!({"intervalSeconds": 1, "graceSeconds": 0, "callsPerMinute": 10, "environments": ["*"],
            "hooks": [hook]});
        let file = folder.join("verification.json");
        std::fs::create_dir_all(folder.join("ci")).unwrap();
        std::fs::write(folder.join("ci/token"), "hidden").unwrap();
        std::fs::write(&file, settings.to_string()).unwrap();
        let settings = VerificationSettings::read(&file, folder).unwrap();
        Hooks::new(settings, "test", Leadership::always(), &Metrics::new("test", Vec::new())).unwrap()
    }

    #[tokio::test]
    async fn a_repository_that_is_not_there_does_not_put_the_whole_hook_to_rest() {
        let folder = tempfile::tempdir().unwrap();
        let provider = Pacticipant::parse("stock").unwrap();
        for (status, rests) in [(404, false), (422, false), (503, true)] {
            let hooks = hooks(folder.path(), status).await;
            let way = hooks.way(&provider).unwrap();
            for _ in 0..10 {
                let request = VerificationRequest::default();
                let call = hooks.prepare(&way, &request).unwrap();
                assert!(matches!(hooks.call(&way, call, &request).await, Called::Failed { .. }));
            }
            assert_eq!(hooks.rests(&way), rests, "{status}");
        }
    }
}
