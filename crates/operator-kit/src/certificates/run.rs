//! The loop that keeps the certificate valid and trusted.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kube::Client;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::authority::AuthorityError;
use super::hooks::Hooks;
use super::mounted::{Mounted, MountedError};
use super::own::Own;
use super::plan::Trusted;
use super::settings::{CertificateError, CertificateSettings, Source};
use super::store::{Store, StoreError};
use super::{Clock, ServingCertificate, trust};
use crate::backoff::{Backoff, entropy, fraction};
use crate::readiness::Gate;

/// Keeps `serving` filled with a certificate that the API server trusts, until `shutdown`.
///
/// `gate` is passed exactly while the live `caBundle` of every webhook accepts the certificate being served, now and
/// for the margin; otherwise the gate names what is missing and the remedy. While the API server does not answer, its
/// last answer counts. Failed requests are logged with their remedy and retried; they never end the loop.
///
/// # Errors
/// Only for settings that cannot work.
pub async fn run(
    settings: CertificateSettings,
    client: Client,
    serving: ServingCertificate,
    gate: Gate,
    clock: Clock,
    shutdown: CancellationToken,
) -> Result<(), CertificateError> {
    settings.check()?;
    let keeper = match &settings.source {
        Source::Own(own) => Keeper::Own(Box::new(Own::new(own.clone(), settings.overlap))),
        Source::Mounted(mounted) => Keeper::Mounted(Mounted::new(mounted.clone())),
    };
    let store = Store::new(client, &settings);
    let mut rotation =
        Rotation { context: Context { settings, store, serving, clock, live: Live::default() }, gate, keeper };
    let mut failures = Failures::default();
    let keep = async {
        loop {
            let wait = rotation.check(&mut failures).await;
            tokio::time::sleep(wait).await;
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        () = keep => Ok(()),
    }
}

/// What both kinds of source need.
pub(super) struct Context {
    pub(super) settings: CertificateSettings,
    pub(super) store: Store,
    pub(super) serving: ServingCertificate,
    pub(super) clock: Clock,
    pub(super) live: Live,
}

/// The webhook configuration as it was read last, and since when it has trusted each authority.
#[derive(Debug, Default)]
pub(super) struct Live {
    configuration: Configuration,
    since: BTreeMap<super::certificate::Id, Instant>,
}

#[derive(Debug, Default)]
enum Configuration {
    #[default]
    Unread,
    Missing,
    Read(Hooks),
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The step changed something: read again.
    Again,
    /// Nothing is due now.
    Settled,
}

/// Why a step failed.
#[derive(Debug, Error)]
pub(super) enum StepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Mounted(#[from] MountedError),
}

enum Keeper {
    Own(Box<Own>),
    Mounted(Mounted),
}

struct Rotation {
    context: Context,
    gate: Gate,
    keeper: Keeper,
}

impl Live {
    /// Records a reading; `now` is the time at which the answer arrived.
    pub(super) fn observe(&mut self, hooks: Option<Hooks>, now: Instant) {
        let trusted = hooks.as_ref().map(Hooks::trusted).unwrap_or_default();
        self.since.retain(|id, _| trusted.contains(id));
        for id in trusted {
            self.since.entry(id).or_insert(now);
        }
        self.configuration = hooks.map_or(Configuration::Missing, Configuration::Read);
    }

    pub(super) fn hooks(&self) -> Option<&Hooks> {
        match &self.configuration {
            Configuration::Read(hooks) => Some(hooks),
            Configuration::Unread | Configuration::Missing => None,
        }
    }

    pub(super) fn trusted(&self, now: Instant) -> Trusted {
        self.since.iter().map(|(id, since)| (*id, now.saturating_duration_since(*since))).collect()
    }
}

impl Context {
    /// Reads the webhook configuration.
    pub(super) async fn look(&mut self) -> Result<(), StoreError> {
        let hooks = self.store.hooks().await?;
        self.live.observe(hooks, Instant::now());
        Ok(())
    }

    /// Whether the certificate being served is accepted now and for the margin, and if not, why.
    fn verdict(&self) -> Result<(), String> {
        let Some(key) = self.serving.key() else { return Err("there is no certificate yet".to_owned()) };
        let webhook = &self.settings.webhook;
        match &self.live.configuration {
            Configuration::Unread => Err(format!("the ValidatingWebhookConfiguration {webhook} has not been read yet")),
            Configuration::Missing => Err(format!(
                "the ValidatingWebhookConfiguration {webhook} does not exist, so nobody calls us. Install it; it is \
                 never created from here"
            )),
            Configuration::Read(hooks) => trust::verify(&key.cert, hooks, (self.clock)(), self.settings.margin)
                .map_err(|distrust| distrust.to_string()),
        }
    }
}

impl Rotation {
    /// Takes the steps that are due, sets the readiness gate, and returns the time until the next check.
    async fn check(&mut self, failures: &mut Failures) -> Duration {
        let settled = self.steps().await;
        let verdict = self.context.verdict();
        let settings = &self.context.settings;
        let interval = if verdict.is_ok() { settings.check_every } else { settings.check_unready_every };
        let wait = match &settled {
            Ok(()) => {
                failures.ended();
                interval
            }
            Err(error) => failures.count(error).max(interval),
        };
        match verdict {
            Ok(()) => self.gate.pass(),
            Err(reason) => {
                let reason = match settled {
                    Ok(()) => reason,
                    Err(error) => format!("{reason}; {error}"),
                };
                failures.unready(&reason);
                self.gate.fail(reason);
            }
        }
        wait
    }

    /// Takes steps until none is due. Other replicas write as well, so this may take several; their number is limited.
    async fn steps(&mut self) -> Result<(), StepError> {
        const STEPS: usize = 10;
        for _ in 0..STEPS {
            let step = match &mut self.keeper {
                Keeper::Own(own) => own.step(&mut self.context).await,
                Keeper::Mounted(mounted) => mounted.step(&mut self.context).await,
            };
            match step {
                Ok(Step::Settled) => return Ok(()),
                Ok(Step::Again) => {}
                Err(StepError::Store(StoreError::Conflict { .. })) => {
                    tokio::time::sleep(fraction(Duration::from_millis(50), entropy())).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Failed checks in a row: how long to wait, and which messages were logged.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    logged: BTreeMap<String, Instant>,
}

impl Failures {
    const BACKOFF: Backoff = Backoff { min: Duration::from_millis(250), max: Duration::from_secs(10) };
    /// The same message is logged once in this time.
    const REPEAT: Duration = Duration::from_mins(1);

    fn count(&mut self, error: &StepError) -> Duration {
        let wait = Self::BACKOFF.delay(self.in_a_row, entropy());
        self.in_a_row = self.in_a_row.saturating_add(1);
        let text = error.to_string();
        if self.is_news(&text) {
            warn!(failures = self.in_a_row, next_try_in = ?wait, "{text}");
        }
        wait
    }

    fn unready(&mut self, reason: &str) {
        if self.is_news(reason) {
            warn!("the webhook certificate is not ready: {reason}");
        }
    }

    fn is_news(&mut self, text: &str) -> bool {
        let now = Instant::now();
        self.logged.retain(|_, when| now.saturating_duration_since(*when) < Self::REPEAT);
        if self.logged.contains_key(text) {
            return false;
        }
        self.logged.insert(text.to_owned(), now);
        true
    }

    fn ended(&mut self) {
        if self.in_a_row > 0 {
            info!(failures = self.in_a_row, "the webhook certificate can be kept again");
            self.in_a_row = 0;
        }
    }
}
