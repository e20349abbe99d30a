//! Which certificate, for which webhook, and for how long.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

/// Everything that [`super::run()`] needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateSettings {
    /// The name of the one `ValidatingWebhookConfiguration` whose `caBundle` is read, and written if the source
    /// requires it.
    pub webhook: String,
    /// The name under which the API server notes our writes.
    pub field_manager: String,
    /// Where the certificate comes from.
    pub source: Source,
    /// How long a new certificate's authority must have been in the live `caBundle` before the certificate replaces one
    /// that works: API servers read a new `caBundle` a little after it was written.
    pub overlap: Duration,
    /// How often everything is compared with the wall clock and the API server.
    pub check_every: Duration,
    /// The same interval while the certificate is not ready.
    pub check_unready_every: Duration,
    /// Ready only while the certificate stays valid for at least this long.
    pub margin: Duration,
    /// The limit of each single request to the API server.
    pub request_limit: Duration,
}

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// An authority of our own.
    Own(OwnSource),
    /// Files that something else updates.
    Mounted(MountedSource),
}

/// An authority of our own, shared by all replicas through a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnSource {
    /// The namespace of the Secret.
    pub namespace: String,
    /// The name of the Secret. The Secret belongs to us: an authority in it that cannot be ours is replaced.
    pub secret: String,
    /// The common name of our authorities, which distinguishes them from others in a `caBundle`.
    pub authority: String,
    /// The DNS names and IP addresses for which leaves are issued.
    pub names: Vec<String>,
    /// How long an authority lives; the next one is created after two thirds of that time.
    pub authority_life: Duration,
    /// How long a leaf lives, but never longer than its authority; it is renewed after two thirds of that time.
    pub leaf_life: Duration,
}

/// A folder that something else updates: `tls.crt`, `tls.key` and optionally `ca.crt`, all PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedSource {
    /// The folder.
    pub folder: PathBuf,
    /// Whether `ca.crt` is added to the `caBundle`. If not, the tool that made the files writes the `caBundle`
    /// (cert-manager's injector, for instance).
    ///
    /// Certificates that are in the `caBundle` already stay until they expire: another replica may still have them
    /// mounted. To remove one earlier, empty the `caBundle`; it is filled again from `ca.crt`.
    pub patch_bundle: bool,
}

/// Why certificates cannot be kept at all. Everything else is retried.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// A setting that cannot work.
    #[error("the certificate settings cannot work: {0}")]
    Settings(String),
}

impl OwnSource {
    /// An authority called `authority` in the Secret `namespace`/`secret`, that lives a year and signs leaves of seven
    /// days for `names`.
    #[must_use]
    pub fn new(
        namespace: impl Into<String>,
        secret: impl Into<String>,
        authority: impl Into<String>,
        names: Vec<String>,
    ) -> Self {
        Self {
            namespace: namespace.into(),
            secret: secret.into(),
            authority: authority.into(),
            names,
            authority_life: Duration::from_hours(365 * 24),
            leaf_life: Duration::from_hours(7 * 24),
        }
    }
}

impl CertificateSettings {
    /// Overlap 60 s, checks every 10 s (every second while not ready), margin one hour, requests limited to 5 s.
    #[must_use]
    pub fn new(webhook: impl Into<String>, field_manager: impl Into<String>, source: Source) -> Self {
        Self {
            webhook: webhook.into(),
            field_manager: field_manager.into(),
            source,
            overlap: Duration::from_mins(1),
            check_every: Duration::from_secs(10),
            check_unready_every: Duration::from_secs(1),
            margin: Duration::from_hours(1),
            request_limit: Duration::from_secs(5),
        }
    }

    pub(super) fn check(&self) -> Result<(), CertificateError> {
        let wrong = |why: &str| Err(CertificateError::Settings(why.to_owned()));
        if self.webhook.is_empty() || self.field_manager.is_empty() {
            return wrong("the names of the webhook configuration and of the field manager must not be empty");
        }
        if self.check_every.is_zero() || self.check_unready_every.is_zero() || self.request_limit.is_zero() {
            return wrong("the check intervals and the limit of a request must be above zero");
        }
        let Source::Own(own) = &self.source else { return Ok(()) };
        if own.namespace.is_empty() || own.secret.is_empty() || own.authority.is_empty() {
            return wrong("the namespace and name of the Secret and the authority's name must not be empty");
        }
        if own.names.is_empty() {
            return wrong("at least one DNS name or IP address is needed, that by which the API server calls");
        }
        if own.leaf_life < Duration::from_secs(1) || own.authority_life < own.leaf_life {
            return wrong("a leaf must live at least 1 s, and its authority at least as long as the leaf");
        }
        if own.authority_life > Duration::from_hours(20 * 365 * 24) {
            return wrong("an authority may live at most 20 years");
        }
        if self.margin >= own.leaf_life / 3 {
            return wrong(
                "the margin must be less than a third of a leaf's life, or a leaf is unready before its renewal",
            );
        }
        if self.overlap >= own.authority_life / 3 {
            return wrong(
                "the overlap must be less than a third of the authority's life, or the next one comes too late",
            );
        }
        Ok(())
    }
}
