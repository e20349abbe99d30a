//! Our own authority: the plan decides one step at a time from what was just read.

use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use tracing::{info, warn};

use super::authority::{Authority, AuthorityError, Leaf};
use super::certificate::{Certificate, Id, seconds};
use super::hooks::Hooks;
use super::plan::{self, LeafView, Published, RingStep, Terms};
use super::run::{Context, Live, Step, StepError};
use super::secret::{self, Keyring};
use super::settings::OwnSource;
use super::store::StoreError;

/// How often the log says that the Secret is missing.
const REPEAT: Duration = Duration::from_mins(10);

/// Keeps the authorities in the Secret, the `caBundle` and this replica's leaf.
pub(super) struct Own {
    source: OwnSource,
    terms: Terms,
    /// What this replica goes on with while there is no Secret and it may not create one.
    alone: Option<Alone>,
}

/// Authorities that are in this replica's memory only.
struct Alone {
    /// The Secret that could not be created.
    secret: Secret,
    /// Why, and the remedy.
    why: String,
    /// When the log last said so.
    said: Option<Instant>,
}

/// What to do, and what to log once it is done.
#[derive(Debug)]
pub(super) enum Action {
    /// Create the Secret, or replace the one that was read.
    Write { secret: Box<Secret>, step: RingStep, authority: Id },
    /// Patch the webhook configuration.
    Patch(Value),
    /// Serve with this leaf from now on.
    Serve(Leaf),
    /// Nothing is due.
    Nothing,
}

/// What was read, and when, by the wall clock and by the monotonic clock.
pub(super) struct Observed<'a> {
    pub(super) live: &'a Live,
    pub(super) secret: Option<Secret>,
    pub(super) served: Option<LeafView>,
    pub(super) now: SystemTime,
    pub(super) monotonic: Instant,
}

impl Own {
    pub(super) fn new(source: OwnSource, overlap: Duration) -> Self {
        let terms = Terms { leaf_life: source.leaf_life, overlap };
        Self { source, terms, alone: None }
    }

    /// Reads the webhook configuration and the Secret, and takes the first step that is due.
    pub(super) async fn step(&mut self, context: &mut Context) -> Result<Step, StepError> {
        // The webhook configuration is read before the Secret: every authority in the live bundle was in the Secret
        // first, so the later reading of the Secret knows it. A patch is refused if the configuration has changed
        // since, so it cannot remove an authority that was added meanwhile.
        context.look().await?;
        let secret = context.store.secret(&self.source).await?;
        if secret.is_none() {
            self.say_alone();
        }
        let observed = Observed {
            live: &context.live,
            secret,
            served: context.serving.origin().map(|(validity, issuer)| LeafView { issuer, validity }),
            now: (context.clock)(),
            monotonic: Instant::now(),
        };
        match self.next(observed)? {
            Action::Write { secret, step, authority } => {
                match context.store.write_secret(&self.source, &secret).await {
                    Err(error @ StoreError::MayNotCreate { .. }) if self.may_go_on_alone(&context.live) => {
                        self.go_on_alone(*secret, error.to_string());
                    }
                    written => {
                        written?;
                        info!(secret = self.name(), signs = %authority, "wrote the authorities: {step:?}");
                    }
                }
                Ok(Step::Again)
            }
            Action::Patch(patch) => {
                context.store.patch_hooks(&patch).await?;
                info!(webhook = context.settings.webhook, "wrote the caBundle");
                Ok(Step::Again)
            }
            Action::Serve(leaf) => {
                info!(until = seconds(leaf.validity.until), authority = ?leaf.issuer, "serving with a new certificate");
                context.serving.serve(leaf);
                Ok(Step::Again)
            }
            Action::Nothing => Ok(Step::Settled),
        }
    }

    /// From now on the authorities are in this replica's memory only, until there is a Secret again.
    ///
    /// Other replicas do the same. Each finds the others' authorities in the `caBundle` and adopts them, as it adopts
    /// those of a Secret that is gone. So the `caBundle` has the authorities of all.
    pub(super) fn go_on_alone(&mut self, secret: Secret, why: String) {
        let said = self.alone.take().and_then(|alone| alone.said);
        self.alone = Some(Alone { secret, why, said });
    }

    /// Each start without a Secret adds an authority to the `caBundle`; a replica that starts again and again must not
    /// fill it.
    pub(super) fn may_go_on_alone(&self, live: &Live) -> bool {
        self.alone.is_some() || self.ours(live).len() < plan::MOST_PREVIOUS
    }

    fn say_alone(&mut self) {
        if let Some(Alone { why, said, .. }) = &mut self.alone
            && said.is_none_or(|said| said.elapsed() >= REPEAT)
        {
            *said = Some(Instant::now());
            warn!("{why}. Until then each replica has an authority of its own, which ends with its process");
        }
    }

    /// The first step that is due.
    pub(super) fn next(&mut self, observed: Observed<'_>) -> Result<Action, AuthorityError> {
        let Observed { live, secret, served, now, monotonic } = observed;
        if secret.is_some() {
            self.alone = None;
        }
        let alone = self.alone.is_some();
        let secret = secret.or_else(|| self.alone.as_ref().map(|alone| alone.secret.clone()));
        let ours = self.ours(live);
        let published = Published { trusted: live.trusted(monotonic), ours: ours.iter().map(secret::ca).collect() };
        let keyring = self.keyring(secret.as_ref());
        let ring = keyring.as_ref().ok().map(Keyring::ring);
        let step = plan::ring_step(ring.as_ref(), &published, now, &self.terms);
        // Leaves come before all writes: a leaf needs no request, and must not expire while requests are slow.
        if let (Ok(keyring), Some(current)) = (&keyring, ring.map(|ring| ring.current).filter(|ca| ca.usable(now)))
            && plan::renew_leaf(served, current, &published.trusted, now, &self.terms)
        {
            return Ok(Action::Serve(keyring.current.issue(&self.source.names, now, self.source.leaf_life)?));
        }
        let mut keyring = match (keyring, step) {
            (Ok(keyring), RingStep::Keep | RingStep::Prune) => keyring,
            (Ok(mut keyring), RingStep::AddNext | RingStep::Promote | RingStep::Adopt) => {
                match step {
                    RingStep::AddNext => keyring.next = Some(self.authority(now)?),
                    RingStep::Promote => keyring.promote(now, &self.terms),
                    _ => keyring.adopt(&ours, now, &self.terms),
                }
                return Ok(self.write(&keyring, secret, step));
            }
            (keyring, _) => {
                let why =
                    keyring.map_or_else(|error| error.to_string(), |_| "its authority is not valid now".to_owned());
                let founded = self.founded(secret.as_ref(), &why, &ours, now)?;
                return Ok(self.write(&founded, secret, RingStep::Found));
            }
        };
        if let Some(patch) = live.hooks().and_then(|hooks| hooks.patch(&keyring.bundle())) {
            return Ok(Action::Patch(patch));
        }
        // Pruning comes last: an authority that is trusted a little too long does no harm, one that is trusted too late
        // does. A replica on its own does not know for how long the others sign with what it has adopted.
        if step == RingStep::Prune && !alone {
            keyring.prune(&published, now);
            return Ok(self.write(&keyring, secret, step));
        }
        Ok(Action::Nothing)
    }

    fn write(&self, keyring: &Keyring, secret: Option<Secret>, step: RingStep) -> Action {
        let mut secret = secret.unwrap_or_else(|| self.empty_secret());
        keyring.write(&mut secret);
        Action::Write { secret: Box::new(secret), step, authority: keyring.current.certificate.id }
    }

    fn authority(&self, now: SystemTime) -> Result<Authority, AuthorityError> {
        Authority::create(&self.source.authority, now, self.source.authority_life)
    }

    fn keyring(&self, secret: Option<&Secret>) -> Result<Keyring, AuthorityError> {
        let secret = secret.ok_or_else(|| AuthorityError::Foreign("it does not exist".to_owned()))?;
        Keyring::read(secret, &self.source.authority)
    }

    fn founded(
        &self,
        secret: Option<&Secret>,
        why: &str,
        ours: &[Certificate],
        now: SystemTime,
    ) -> Result<Keyring, AuthorityError> {
        // An empty one is as it was installed.
        if secret.is_some_and(|secret| secret.data.as_ref().is_some_and(|data| !data.is_empty())) {
            warn!(secret = self.name(), why, "the Secret holds no authority that can sign; it gets a new one");
        }
        // Authorities that the Secret listed and those in the caBundle stay trusted: replicas may serve with their
        // leaves.
        let previous = secret.map(secret::previous).unwrap_or_default();
        let mut keyring = Keyring { current: self.authority(now)?, next: None, previous };
        keyring.adopt(ours, now, &self.terms);
        Ok(keyring)
    }

    /// The authorities in the live `caBundle` that bear our name.
    fn ours(&self, live: &Live) -> Vec<Certificate> {
        let name = Some(self.source.authority.as_str());
        let mut ours = live.hooks().map(Hooks::mentioned).unwrap_or_default();
        ours.retain(|certificate| certificate.is_authority && certificate.common_name.as_deref() == name);
        ours
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
