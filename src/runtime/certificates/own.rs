//! Our own authority: one step at a time, each decided by the plan from what was just read.

use std::time::{Instant, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tracing::{info, warn};

use super::authority::{Authority, AuthorityError};
use super::hooks::Hooks;
use super::plan::{self, LeafView, RingStep, Terms};
use super::run::{Room, Round, RoundError};
use super::secret::{self, Keyring};
use super::settings::OwnSource;

/// Keeps the authorities in the Secret, the `caBundle` and this replica's leaf.
pub(super) struct Own {
    source: OwnSource,
}

impl Own {
    pub(super) fn new(source: OwnSource) -> Self {
        Self { source }
    }

    /// Reads, and does the first thing that is to be done.
    pub(super) async fn round(&mut self, room: &mut Room) -> Result<Round, RoundError> {
        // In this order: whatever authority the live bundle holds was in the Secret before, so the Secret, read later,
        // knows it, and the patch below, which is refused if the configuration changed since, cannot take it away.
        room.look().await?;
        let secret = room.store.secret(&self.source).await?;
        let now = (room.clock)();
        let terms = Terms { leaf_life: self.source.leaf_life, overlap: room.settings.overlap };
        let trusted = room.live.trusted(Instant::now());

        let keyring = self.keyring(secret.as_ref());
        let ring = keyring.as_ref().ok().map(Keyring::ring);
        let step = plan::ring_step(ring.as_ref(), &trusted, now, &terms);
        let (keyring, step) = match (keyring, step) {
            (Ok(keyring), RingStep::Keep) => (keyring, RingStep::Keep),
            (Ok(keyring), step) if step != RingStep::Found => (self.changed(keyring, step, now, &terms)?, step),
            (keyring, _) => {
                let why =
                    keyring.map_or_else(|error| error.to_string(), |_| "its authority is not valid now".to_owned());
                (self.founded(secret.as_ref(), &why, room, now, &terms)?, RingStep::Found)
            }
        };
        if step != RingStep::Keep {
            let mut written = secret.unwrap_or_else(|| self.empty_secret());
            keyring.write(&mut written);
            room.store.write_secret(&self.source, &written).await?;
            info!(secret = self.name(), authority = %keyring.current.certificate.id, "wrote the authorities: {step:?}");
            return Ok(Round::Again);
        }

        if let Some(patch) = room.live.hooks().and_then(|hooks: &Hooks| hooks.patch(&keyring.bundle())) {
            room.store.patch_hooks(&patch).await?;
            info!(webhook = room.settings.webhook, "wrote the caBundle");
            return Ok(Round::Again);
        }

        let current = keyring.ring().current;
        let served = room.serving.origin().map(|(validity, issuer)| LeafView { issuer, validity });
        if plan::renew_leaf(served, current, &trusted, now, &terms) {
            let leaf = keyring.current.issue(&self.source.names, now, self.source.leaf_life)?;
            info!(authority = %current.id, until = ?leaf.validity.until, "serving with a new certificate");
            room.serving.serve(leaf);
        }
        Ok(Round::Settled)
    }

    fn keyring(&self, secret: Option<&Secret>) -> Result<Keyring, AuthorityError> {
        let secret = secret.ok_or_else(|| AuthorityError::Foreign("it does not exist".to_owned()))?;
        Keyring::read(secret, &self.source.authority)
    }

    fn changed(
        &self,
        mut keyring: Keyring,
        step: RingStep,
        now: SystemTime,
        terms: &Terms,
    ) -> Result<Keyring, AuthorityError> {
        match step {
            RingStep::AddNext => {
                keyring.next = Some(Authority::create(&self.source.authority, now, self.source.authority_life)?);
            }
            RingStep::Promote => keyring.promote(now, terms),
            RingStep::Prune => keyring.prune(now),
            RingStep::Keep | RingStep::Found => {}
        }
        Ok(keyring)
    }

    fn founded(
        &self,
        secret: Option<&Secret>,
        why: &str,
        room: &Room,
        now: SystemTime,
        terms: &Terms,
    ) -> Result<Keyring, AuthorityError> {
        if secret.is_some() {
            warn!(secret = self.name(), why, "the Secret holds no authority that can sign; it gets a new one");
        }
        let live = room.live.hooks().map(Hooks::mentioned).unwrap_or_default();
        let previous = secret::inherited(secret, &live, &self.source.authority, now, terms);
        let current = Authority::create(&self.source.authority, now, self.source.authority_life)?;
        Ok(Keyring { current, next: None, previous })
    }

    fn empty_secret(&self) -> Secret {
        let metadata = ObjectMeta {
            name: Some(self.source.secret.clone()),
            namespace: Some(self.source.namespace.clone()),
            ..ObjectMeta::default()
        };
        Secret { metadata, type_: Some("Opaque".to_owned()), ..Secret::default() }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.source.namespace, self.source.secret)
    }
}
