//! Certificates from a mounted folder that something else updates.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tracing::{info, warn};

use super::authority::Leaf;
use super::bundle::Bundle;
use super::certificate::Certificate;
use super::hooks::Hooks;
use super::run::{Context, Step, StepError};
use super::settings::MountedSource;
use super::trust;

/// Why the mounted files cannot be used. Never quotes their content.
#[derive(Debug, Error)]
pub(super) enum MountedError {
    #[error("cannot read {path}: {source}. Mount a Secret with tls.crt and tls.key there")]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the files tls.crt and tls.key in {folder} cannot be used: {why}. They must be a certificate, with its \
         intermediates after it, and its key, as PEM; the certificate served so far stays"
    )]
    Pair { folder: PathBuf, why: String },
    #[error("the file ca.crt in {folder} cannot be used: {why}. It must hold authorities as PEM")]
    Authorities { folder: PathBuf, why: String },
}

/// The content of the folder at one moment.
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authorities: Option<Vec<u8>>,
}

/// Serves the certificate that is mounted in the folder, and each replacement of it.
pub(super) struct Mounted {
    source: MountedSource,
    /// The digest of the pair that was read last.
    digest: Option<[u8; 32]>,
    /// A valid pair that is not served yet.
    waiting: Option<Leaf>,
    /// Since when the API server has accepted the waiting pair.
    accepted_since: Option<Instant>,
    reported_untrusted: bool,
}

impl Mounted {
    pub(super) fn new(source: MountedSource) -> Self {
        Self { source, digest: None, waiting: None, accepted_since: None, reported_untrusted: false }
    }

    /// Reads the folder and the webhook configuration, and takes the first step that is due.
    pub(super) async fn step(&mut self, context: &mut Context) -> Result<Step, StepError> {
        // This comes first, so that the certificate being served is checked even when the files cannot be used.
        context.look().await?;
        let now = (context.clock)();
        let files = self.read().await?;
        let taken = self.take(&files);
        let wanted = match context.live.hooks() {
            Some(hooks) if self.source.patch_bundle => {
                self.wanted(&files, hooks, now).map(|wanted| hooks.patch(&wanted))
            }
            _ => Ok(None),
        };
        if let Ok(Some(patch)) = &wanted {
            context.store.patch_hooks(patch).await?;
            info!(webhook = context.settings.webhook, "added the mounted ca.crt to the caBundle");
            return Ok(Step::Again);
        }
        self.serve(context, now);
        taken?;
        wanted?;
        Ok(Step::Settled)
    }

    async fn read(&self) -> Result<Files, MountedError> {
        let folder = self.source.folder.clone();
        let read = tokio::task::spawn_blocking(move || Files::read(&folder)).await;
        read.unwrap_or_else(|error| {
            Err(MountedError::Read { path: self.source.folder.clone(), source: io::Error::other(error) })
        })
    }

    /// Reads the pair if it differs from the last one.
    fn take(&mut self, files: &Files) -> Result<(), MountedError> {
        let digest = Sha256::new().chain_update(&files.certificate).chain_update(&files.key).finalize().into();
        if self.digest == Some(digest) {
            return Ok(());
        }
        // The folder may hold half of a file, or one file of each pair: the next check reads both whole. Only a pair
        // that stays bad is worth more than one line in the log.
        let leaf = files.leaf().map_err(|why| MountedError::Pair { folder: self.source.folder.clone(), why })?;
        self.digest = Some(digest);
        self.waiting = Some(leaf);
        self.accepted_since = None;
        self.reported_untrusted = false;
        Ok(())
    }

    /// The certificates of the live bundle that are valid, and those of `ca.crt`.
    fn wanted(&self, files: &Files, hooks: &Hooks, now: SystemTime) -> Result<Vec<Certificate>, MountedError> {
        let why = |why: &str| MountedError::Authorities { folder: self.source.folder.clone(), why: why.to_owned() };
        let authorities = files.authorities.as_ref().ok_or_else(|| why("it does not exist"))?;
        let bundle = Bundle::parse(authorities);
        if let Some(flaw) = &bundle.flaw {
            return Err(why(flaw));
        }
        let mut wanted = bundle.certificates;
        if wanted.is_empty() {
            return Err(why("it holds no certificate"));
        }
        for certificate in hooks.mentioned() {
            let known = wanted.iter().any(|wanted| wanted.id == certificate.id);
            if !known && certificate.is_authority && !certificate.validity.expired(now) {
                wanted.push(certificate);
            }
        }
        Ok(wanted)
    }

    /// Serves the waiting pair once the API server has accepted it for the overlap, or as soon as the one being served
    /// is not accepted.
    fn serve(&mut self, context: &Context, now: SystemTime) {
        let Some(waiting) = &self.waiting else { return };
        let accepted = |chain: &[CertificateDer<'static>]| {
            context.live.hooks().is_some_and(|hooks| trust::verify(chain, hooks, now, Duration::ZERO).is_ok())
        };
        let served_works = context.serving.key().is_some_and(|served| accepted(&served.cert));
        if accepted(&waiting.key.cert) {
            self.accepted_since.get_or_insert_with(Instant::now);
        } else {
            self.accepted_since = None;
        }
        let settled = self.accepted_since.is_some_and(|since| since.elapsed() >= context.settings.overlap);
        if !served_works || settled {
            info!(folder = %self.source.folder.display(), "serving with the mounted certificate");
            self.waiting.take().into_iter().for_each(|leaf| context.serving.serve(leaf));
        } else if self.accepted_since.is_none() && !self.reported_untrusted {
            self.reported_untrusted = true;
            warn!(
                folder = %self.source.folder.display(),
                "the caBundle does not trust the certificate that is mounted now; the one before it stays"
            );
        }
    }
}

impl Files {
    fn read(folder: &Path) -> Result<Self, MountedError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|source| MountedError::Read { path, source })
        };
        let authorities = match fs::read(folder.join("ca.crt")) {
            Ok(authorities) => Some(authorities),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(MountedError::Read { path: folder.join("ca.crt"), source }),
        };
        Ok(Self { certificate: read("tls.crt")?, key: read("tls.key")?, authorities })
    }

    fn leaf(&self) -> Result<Leaf, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(|error| format!("tls.crt: {error}"))?;
        let first = chain.first().ok_or("tls.crt holds no certificate")?.clone();
        let certificate = Certificate::parse(first).map_err(|error| format!("tls.crt: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|_| "tls.key holds no private key")?;
        let key = CertifiedKey::from_der(chain, key, &default_provider())
            .map_err(|error| format!("certificate and key do not belong together ({error})"))?;
        Ok(Leaf { key: Arc::new(key), validity: certificate.validity, issuer: None })
    }
}
