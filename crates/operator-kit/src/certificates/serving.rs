//! The certificate that a TLS server presents. It can be replaced while the server runs.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::authority::Leaf;
use super::certificate::{Id, Validity, seconds};

/// The certificate being served. Clones share it. It implements rustls' certificate resolver: every handshake after a
/// replacement uses the new certificate, and existing connections continue.
#[derive(Clone, Default)]
pub struct ServingCertificate(Arc<RwLock<Option<Leaf>>>);

impl ServingCertificate {
    /// No certificate yet: every handshake fails.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// When the certificate being served ends, in seconds since 1970; `None` before there is one.
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        self.leaf().map(|leaf| seconds(leaf.validity.until))
    }

    /// The certificate being served, without its chain; `None` before there is one.
    #[must_use]
    pub fn end_entity(&self) -> Option<CertificateDer<'static>> {
        self.leaf()?.key.cert.first().cloned()
    }

    pub(super) fn serve(&self, leaf: Leaf) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(leaf);
    }

    pub(super) fn key(&self) -> Option<Arc<CertifiedKey>> {
        self.leaf().map(|leaf| leaf.key)
    }

    /// The validity of the certificate being served, and which of our authorities signed it.
    pub(super) fn origin(&self) -> Option<(Validity, Option<Id>)> {
        self.leaf().map(|leaf| (leaf.validity, leaf.issuer))
    }

    // A panic elsewhere cannot leave this value half-written.
    fn leaf(&self) -> Option<Leaf> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.key()
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServingCertificate").field("not_after", &self.not_after()).finish_non_exhaustive()
    }
}
