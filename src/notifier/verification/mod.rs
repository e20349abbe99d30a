//! Asks for verifications: calls GitHub, GitLab or another service for a pact that a provider version never verified. Which
//! and when is decided in [`crate::decide::verification`]; the recorder keeps what was asked for.

mod hook;
mod metrics;
mod settings;

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use operator_kit::{backoff::entropy, lease::Leadership, metrics::Metrics};
use reqwest::Client;
use tokio::time::Instant;
use tracing::{debug, info, warn};

pub use self::{
    hook::Called,
    settings::{SettingsError, VerificationSettings},
};
use self::{
    hook::{Hook, Target},
    metrics::HookMetrics,
};
use super::{post, rest::Rest};
use crate::{api::names::Pacticipant, decide::verification::VerificationRequest};

/// A hook, and how it is doing.
struct Reached {
    hook: Hook,
    rest: Mutex<Rest>,
    failing: AtomicBool,
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
    target: &'a Target,
}

impl Way<'_> {
    /// The name of the hook.
    #[must_use]
    pub fn hook(&self) -> &str {
        &self.reached.hook.name
    }
}

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
        let reached = |hook| Reached { hook, rest: Mutex::default(), failing: AtomicBool::default() };
        let all: Vec<_> = settings.hooks.into_iter().map(reached).collect();
        let metrics = HookMetrics::register(metrics, all.iter().map(|reached| reached.hook.name.as_str()));
        Ok(Self { all, client: post::client(user_agent)?, leadership, metrics })
    }

    /// Who is asked for the verifications of a provider: the first hook that has a route for it.
    #[must_use]
    pub fn way(&self, provider: &Pacticipant) -> Option<Way<'_>> {
        self.all.iter().find_map(|reached| {
            let target = &reached.hook.route(provider)?.target;
            Some(Way { reached, target })
        })
    }

    /// Whether a hook is to be left alone.
    #[must_use]
    pub fn rests(&self, way: &Way<'_>) -> bool {
        way.reached.rest().rests(Instant::now())
    }

    /// Asks for a verification.
    pub async fn call(&self, way: &Way<'_>, request: &VerificationRequest) -> Called {
        let Way { reached, target } = way;
        let (hook, now) = (reached.hook.name.as_str(), Instant::now);
        if !self.leadership.is_leader() || !reached.rest().begin(now()) {
            return Called::Failed { why: "it is left alone for a moment".to_owned(), pause: None };
        }
        let called = reached.hook.call(&self.client, target, request, self.leadership.time_left()).await;
        let VerificationRequest { consumer, consumer_version, provider, provider_version, .. } = request;
        match &called {
            Called::Taken => {
                reached.rest().works();
                self.metrics.taken(hook);
                reached.failing.store(false, Ordering::Relaxed);
                info!(hook, consumer, consumer_version, provider, provider_version, "a verification was asked for");
            }
            Called::LeftOut => {
                reached.rest().not_tried();
                debug!(hook, consumer, provider, "left out by the template");
            }
            Called::Failed { why, pause } => {
                reached.rest().failed(*pause, now(), entropy());
                self.metrics.failed(hook);
                if reached.failing.swap(true, Ordering::Relaxed) {
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
