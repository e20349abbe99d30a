//! Who calls the webhook: the API server is known by the path, which only readers of the webhook configuration know.
//!
//! Anybody in the cluster may reach the webhook's port, and an API server presents no certificate unless its own
//! configuration says so. So each webhook is called by a path that ends with a secret. The first replica puts it into the
//! configuration, the others adopt what they read there. The secret is only in the configuration, and whoever removes it
//! from there gets a new one.

mod configuration;
mod secret;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhookConfiguration, WebhookClientConfig};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::refusal;
use configuration::Configuration;
use secret::PathSecret;

/// How often the configuration is read.
const PERIOD: Duration = Duration::from_secs(30);
/// How soon it is read again after somebody called who is not known, and after a failure.
const SOON: Duration = Duration::from_secs(1);
/// How long a request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);
/// How long an API server may go on with the configuration that it had: it watches it.
const LAG: Duration = Duration::from_secs(5);
/// Why a configuration with an address says nothing about who calls.
const BARE_ADDRESS: &str = "it is called by an address without a secret part. Remedy: end the address (webhook.url) with a \
                            part of 32 characters or more that nobody guesses";
/// How often the same trouble is reported.
const REPEAT: Duration = Duration::from_mins(10);

/// Whether the webhook is called by a path that ends with a secret.
#[must_use]
pub fn has_secret(client_config: &WebhookClientConfig) -> bool {
    let path = client_config.service.as_ref().and_then(|service| service.path.as_deref());
    let called = path.or(client_config.url.as_deref());
    called.is_some_and(|called| PathSecret::at_the_end_of(called).is_some())
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The API server, or somebody who may read the webhook configuration.
    Known,
    /// Somebody else.
    Stranger,
    /// Nobody can tell: the configuration has no secret.
    Unverifiable,
}

/// Knows the API server by the path that it calls. See the module.
#[derive(Debug, Default)]
pub struct ReviewPath {
    /// Something else keeps others away, such as the client certificates that the server asks for.
    everybody: bool,
    known: Mutex<Known>,
    /// Somebody called who is not known, or the configuration is to be read again soon.
    again: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// What the configuration holds.
    now: Vec<PathSecret>,
    /// What it held before, and until when that counts.
    before: Vec<(PathSecret, Instant)>,
    /// Since when each webhook has a secret in the configuration.
    complete_since: Option<Instant>,
}

impl ReviewPath {
    /// Knows nobody yet: see [`Self::keep`].
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Knows everybody: something else keeps others away, such as the client certificates that the server asks for.
    #[must_use]
    pub fn of_everybody() -> Arc<Self> {
        Arc::new(Self { everybody: true, ..Self::default() })
    }

    /// Whether callers are told apart now.
    pub fn is_verifying(&self) -> bool {
        self.everybody || self.known().complete_since.is_some()
    }

    /// Who calls this path.
    pub fn caller(&self, path: &str) -> Caller {
        if self.everybody {
            return Caller::Known;
        }
        let caller = self.known().caller(path, Instant::now());
        if caller == Caller::Stranger {
            // Or it is the API server, and somebody changed the configuration.
            self.again.notify_one();
        }
        caller
    }

    /// Keeps the secret in the configuration of this name, and this in line with it, until shutdown.
    pub async fn keep(
        self: Arc<Self>,
        client: Client,
        configuration: String,
        field_manager: &str,
        shutdown: CancellationToken,
    ) {
        if self.everybody {
            return;
        }
        let (api, manager) = (Api::<ValidatingWebhookConfiguration>::all(client), field_manager.to_owned());
        let how = PatchParams { field_manager: Some(manager), ..PatchParams::default() };
        let keeping = async {
            let mut reported: Option<Instant> = None;
            loop {
                match self.look(&api, &configuration, &how).await {
                    Ok(()) => reported = None,
                    Err(why) if reported.is_none_or(|reported| reported.elapsed() >= REPEAT) => {
                        reported = Some(Instant::now());
                        warn!(
                            configuration,
                            "who calls the webhook cannot be verified, so whoever reaches its port gets full answers: {why}"
                        );
                    }
                    Err(_) => {}
                }
                sleep(SOON).await;
                let wait = if reported.is_some() { SOON } else { PERIOD };
                tokio::select! {
                    () = sleep(wait) => {}
                    () = self.again.notified() => {}
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = keeping => {}
        }
    }

    /// Reads the configuration, and adds the secret where it is missing.
    async fn look(
        &self,
        api: &Api<ValidatingWebhookConfiguration>,
        name: &str,
        how: &PatchParams,
    ) -> Result<(), String> {
        let asked = async {
            let found = api.get_opt(name).await?;
            let mut read = found.map(Configuration::read).unwrap_or_default();
            self.set(&read);
            let secret = read.secrets().into_iter().next().or_else(PathSecret::random);
            if let Some(patch) = secret.and_then(|secret| read.patch(&secret)) {
                read = Configuration::read(api.patch(name, how, &Patch::Strategic(&patch)).await?);
                info!(configuration = name, "wrote the path by which the API server is known");
                self.set(&read);
            }
            Ok(read)
        };
        match timeout(REQUEST_LIMIT, asked).await {
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() => {
                // Another replica wrote: read again soon.
                self.again.notify_one();
                Ok(())
            }
            Ok(Err(error)) => Err(refusal::explain(&error)),
            Ok(Ok(read)) if read.has_bare_address() => Err(BARE_ADDRESS.to_owned()),
            Ok(Ok(_)) => Ok(()),
            Err(_) => Err(format!("no answer from the API server within {REQUEST_LIMIT:?}")),
        }
    }

    fn set(&self, read: &Configuration) {
        self.known().set(&read.secrets(), read.is_complete(), Instant::now());
    }

    // A panic elsewhere cannot leave this state half-written.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn set(&mut self, secrets: &[PathSecret], complete: bool, now: Instant) {
        self.before.retain(|(secret, until)| *until > now && !secrets.contains(secret));
        let gone = std::mem::replace(&mut self.now, secrets.to_vec());
        self.before.extend(gone.into_iter().filter(|gone| !secrets.contains(gone)).map(|gone| (gone, now + LAG)));
        self.complete_since = if complete { self.complete_since.or(Some(now)) } else { None };
    }

    fn caller(&self, path: &str, now: Instant) -> Caller {
        let last = path.rsplit_once('/').map_or("", |(_, last)| last);
        let before = self.before.iter().filter(|(_, until)| *until > now).map(|(secret, _)| secret);
        if self.now.iter().chain(before).any(|secret| secret.is(last)) {
            return Caller::Known;
        }
        // An API server that has not seen the secret yet calls without it.
        match self.complete_since {
            Some(since) if now.saturating_duration_since(since) >= LAG => Caller::Stranger,
            _ => Caller::Unverifiable,
        }
    }
}
