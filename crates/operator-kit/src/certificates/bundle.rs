//! A `caBundle`: certificates as PEM, compared as a set.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::certificate::{Certificate, Id};

/// What a `caBundle` or a `ca.crt` holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bundle {
    pub(super) certificates: Vec<Certificate>,
    /// What makes the bundle invalid: a part that is not a certificate. Kubernetes itself refuses to use such a bundle.
    pub(super) flaw: Option<String>,
}

impl Bundle {
    /// Reads PEM. Certificates before a flaw are kept.
    pub(super) fn parse(pem: &[u8]) -> Self {
        let mut bundle = Self::default();
        for (number, der) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let parsed = der.map_err(|error| error.to_string()).and_then(Certificate::parse);
            match parsed {
                Ok(certificate) => bundle.certificates.push(certificate),
                Err(error) => {
                    bundle.flaw.get_or_insert_with(|| format!("certificate {}: {error}", number + 1));
                }
            }
        }
        bundle
    }

    /// Whether the bundle holds exactly the certificates of `wanted`, in any order and form.
    pub(super) fn is(&self, wanted: &[Certificate]) -> bool {
        self.flaw.is_none() && self.ids() == wanted.iter().map(|certificate| certificate.id).collect()
    }

    pub(super) fn ids(&self) -> BTreeSet<Id> {
        self.certificates.iter().map(|certificate| certificate.id).collect()
    }
}

/// These certificates as PEM.
pub(super) fn render(certificates: &[Certificate]) -> Vec<u8> {
    certificates.iter().map(Certificate::pem).collect::<String>().into_bytes()
}
