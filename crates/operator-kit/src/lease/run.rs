//! The loop that takes part in an election.

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::candidate::Candidate;
use super::decide::Decision;
use super::leadership::LeadershipSender;
use super::store::{LeaseStore, StoreError};
use super::{LeaseError, LeaseSettings};
use crate::backoff::{Backoff, entropy};
use crate::watch;

/// Takes part in the election until `shutdown`, then ends its leadership and releases the Lease.
///
/// Cancel `shutdown` only after the writes that need leadership have ended: another process may lead at once. When the
/// API server does not answer, the Lease is left to expire, and this function still returns within three request
/// limits. A missing right (403) is logged with its remedy and retried.
///
/// # Errors
/// Only for settings that cannot work.
pub async fn run(
    client: Client,
    settings: LeaseSettings,
    leadership: LeadershipSender,
    shutdown: CancellationToken,
) -> Result<(), LeaseError> {
    settings.check()?;
    let store = LeaseStore::new(client, &settings.namespace, &settings.name, settings.request_limit);
    let mut watch = watch_object(store.api(), &settings.name).default_backoff().boxed();
    let mut participant = Participant {
        candidate: Candidate::new(settings.identity.clone(), settings.terms()),
        store,
        settings,
        leadership,
        failures: Failures::default(),
        watching: true,
        following: None,
    };
    while !shutdown.is_cancelled() {
        let wait = participant.step().await;
        participant.rest(wait, &mut watch, &shutdown).await;
    }
    participant.release().await;
    Ok(())
}

struct Participant {
    candidate: Candidate,
    store: LeaseStore,
    settings: LeaseSettings,
    leadership: LeadershipSender,
    failures: Failures,
    /// Whether the watch of the Lease works; without it the Lease is read once a second.
    watching: bool,
    /// The holder that was logged last.
    following: Option<String>,
}

impl Participant {
    /// Takes one step and returns how long nothing needs to be done, unless the watch delivers a change.
    async fn step(&mut self) -> Duration {
        let now = Instant::now();
        match self.candidate.decide(now) {
            None => self.read().await,
            Some(Decision::StepDown) => {
                self.leadership.step_down();
                self.candidate.stepped_down();
                warn!(lease = %self.lease(), holder = self.candidate.holder(), "lost the leadership to another process");
                Duration::ZERO
            }
            Some(Decision::Acquire { transitions }) => self.write(transitions).await,
            Some(Decision::Renew) => self.write(self.candidate.transitions()).await,
            Some(Decision::Hold { until }) => {
                self.failures.ended(&self.lease());
                until.saturating_duration_since(now)
            }
            Some(Decision::Follow { until }) => {
                self.failures.ended(&self.lease());
                self.note_follow();
                until.saturating_duration_since(now).min(self.patience_without_news())
            }
        }
    }

    async fn read(&mut self) -> Duration {
        match self.leadership.while_watching(self.store.read()).await {
            Ok(lease) => {
                self.candidate.saw(lease, Instant::now());
                Duration::ZERO
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn write(&mut self, transitions: i32) -> Duration {
        let claim = self.candidate.claim(&self.settings.namespace, &self.settings.name, transitions, Timestamp::now());
        let led = self.leadership.is_leader();
        let sent = Instant::now();
        match self.leadership.while_watching(self.store.write(&claim)).await {
            Ok(lease) => {
                let until = self.candidate.claimed(lease, sent, Instant::now());
                self.leadership.lead_until(until);
                self.following = None;
                self.failures.ended(&self.lease());
                if !led {
                    info!(lease = %self.lease(), identity = self.settings.identity, transitions, "leading");
                }
                Duration::ZERO
            }
            Err(error) => {
                // Whatever the failure, the write may have been applied: read before the next one.
                self.candidate.forget();
                // Another candidate was faster, which is no failure. If it recurs, the 409 has another cause.
                if matches!(error, StoreError::Conflict { .. }) && self.failures.overtaken() {
                    debug!(%error, "reading it again");
                    return Duration::ZERO;
                }
                self.failed(&error)
            }
        }
    }

    fn failed(&mut self, error: &StoreError) -> Duration {
        let wait = self.failures.count(error);
        // A holder that cannot renew retries often; others have time.
        if self.leadership.is_leader() { wait.min(self.settings.request_limit / 2) } else { wait }
    }

    /// Waits for `wait`, for a watch event or for the shutdown, whichever comes first.
    async fn rest(
        &mut self,
        wait: Duration,
        watch: &mut (impl Stream<Item = watcher::Result<Option<Lease>>> + Unpin),
        shutdown: &CancellationToken,
    ) {
        if wait.is_zero() {
            return;
        }
        let shown = self.leadership.while_watching(async {
            tokio::select! {
                () = shutdown.cancelled() => None,
                () = tokio::time::sleep(wait) => None,
                shown = watch.next() => Some(shown),
            }
        });
        match shown.await {
            None => self.look_again(),
            Some(Some(Ok(lease))) => {
                self.watching = true;
                self.candidate.was_shown(lease, self.leadership.is_leader(), Instant::now());
            }
            Some(Some(Err(error))) => {
                // Logged once: from now on the watch is retried again and again.
                if std::mem::replace(&mut self.watching, false) {
                    let error = watch::explain(&error);
                    warn!(lease = %self.lease(), error, "cannot watch the Lease; polling it until that works");
                }
            }
            // The watch never ends by itself; an ended stream would otherwise be polled in a loop.
            Some(None) => {
                self.watching = false;
                tokio::time::sleep(wait.min(self.poll())).await;
            }
        }
    }

    /// A follower that received nothing during its rest reads the Lease before it acts.
    fn look_again(&mut self) {
        if !self.leadership.is_leader() {
            self.candidate.forget();
        }
    }

    /// How long a follower waits without a watch event before it reads the Lease. A working holder causes an event at
    /// each renewal, so silence means a dead watch; without a watch, the Lease is read once a second.
    fn patience_without_news(&self) -> Duration {
        if self.watching { self.settings.renew_every * 2 } else { self.poll() }
    }

    fn poll(&self) -> Duration {
        self.settings.renew_every.min(Duration::from_secs(1))
    }

    /// Ends the leadership here, then in the Lease, so that a standby takes over at once.
    async fn release(&mut self) {
        self.leadership.step_down();
        // Read once, in case the last write is in doubt or was overtaken, and try once more.
        for _ in 0..2 {
            if self.candidate.knows_nothing() {
                match self.store.read().await {
                    Ok(lease) => self.candidate.saw(lease, Instant::now()),
                    Err(error) => {
                        warn!(%error, "could not give the Lease back; it runs out by itself");
                        return;
                    }
                }
            }
            let Some(released) = self.candidate.release(Timestamp::now()) else { return };
            match self.store.write(&released).await {
                Ok(_) => {
                    info!(lease = %self.lease(), "gave the Lease back");
                    return;
                }
                Err(StoreError::Conflict { .. }) => self.candidate.forget(),
                Err(error) => {
                    warn!(%error, "could not give the Lease back; it runs out by itself");
                    return;
                }
            }
        }
    }

    fn note_follow(&mut self) {
        let holder = self.candidate.holder();
        if self.following.as_deref() != holder {
            self.following = holder.map(str::to_owned);
            info!(lease = %self.lease(), holder = self.following.as_deref().unwrap_or("(deleted)"), "standing by");
        }
    }

    fn lease(&self) -> String {
        format!("{}/{}", self.settings.namespace, self.settings.name)
    }
}

/// Failed requests in a row: how long to wait, and which message was logged.
#[derive(Default)]
struct Failures {
    in_a_row: u32,
    overtaken: u32,
    logged: Option<(String, Instant)>,
}

impl Failures {
    const BACKOFF: Backoff = Backoff { min: Duration::from_millis(250), max: Duration::from_secs(5) };
    /// The same failure is logged once in this time.
    const REPEAT: Duration = Duration::from_secs(30);

    fn count(&mut self, error: &StoreError) -> Duration {
        let wait = Self::BACKOFF.delay(self.in_a_row, entropy());
        self.in_a_row = self.in_a_row.saturating_add(1);
        let text = error.to_string();
        let now = Instant::now();
        if self
            .logged
            .as_ref()
            .is_none_or(|(logged, when)| *logged != text || now.duration_since(*when) >= Self::REPEAT)
        {
            warn!(failures = self.in_a_row, next_try_in = ?wait, "{text}");
            self.logged = Some((text, now));
        }
        wait
    }

    /// Counts a conflict; false when there were too many in a row for coincidence.
    fn overtaken(&mut self) -> bool {
        self.overtaken = self.overtaken.saturating_add(1);
        self.overtaken <= 3
    }

    fn ended(&mut self, lease: &str) {
        if self.logged.take().is_some() {
            info!(lease, failures = self.in_a_row, "the Lease can be reached again");
        }
        self.in_a_row = 0;
        self.overtaken = 0;
    }
}
