//! A certificate authority with its key, and the leaf certificates that it signs. All keys are ECDSA on P-256.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use thiserror::Error;
use time::OffsetDateTime;

use super::certificate::{Certificate, Id, Validity, seconds};

/// Why an authority cannot be created, read or used to sign. Never quotes a key.
#[derive(Debug, Error)]
pub(super) enum AuthorityError {
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot make a certificate that lives from {from} until {until} (seconds since 1970): set the clock right")]
    Time { from: i64, until: i64 },
    #[error("cannot use the certificate just made: {0}")]
    Use(String),
    #[error("{0}")]
    Foreign(String),
}

/// An authority that can sign.
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    key: KeyPair,
}

/// The certificate that a server presents, with its key.
#[derive(Clone)]
pub(super) struct Leaf {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) validity: Validity,
    /// Which of our authorities signed it; `None` for a certificate from another issuer.
    pub(super) issuer: Option<Id>,
}

impl Authority {
    /// Creates a self-signed authority.
    pub(super) fn create(common_name: &str, now: SystemTime, life: Duration) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate()?;
        let mut params = params(Validity::new(now, life))?;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let der = params.self_signed(&key)?.der().clone();
        let certificate = Certificate::parse(der).map_err(AuthorityError::Use)?;
        Ok(Self { certificate, key })
    }

    /// Reads an authority that was stored as PEM.
    ///
    /// # Errors
    /// [`AuthorityError::Foreign`] when [`Self::create`] cannot have made it under this name.
    pub(super) fn parse(certificate: &[u8], key: &[u8], common_name: &str) -> Result<Self, AuthorityError> {
        let foreign = |why: &str| AuthorityError::Foreign(why.to_owned());
        let der = CertificateDer::from_pem_slice(certificate).map_err(|_| foreign("the certificate is not PEM"))?;
        let certificate = Certificate::parse(der).map_err(|_| foreign("the certificate is not X.509"))?;
        let key = std::str::from_utf8(key).ok().and_then(|pem| KeyPair::from_pem(pem).ok());
        let key = key.ok_or_else(|| foreign("the key is not a PKCS#8 key in PEM"))?;
        if key.subject_public_key_info() != certificate.public_key {
            return Err(foreign("the key does not belong to the certificate"));
        }
        if !certificate.is_authority {
            return Err(foreign("the certificate is not one of an authority"));
        }
        if certificate.common_name.as_deref() != Some(common_name) {
            return Err(foreign("the authority has another name than ours"));
        }
        Ok(Self { certificate, key })
    }

    /// The private key, to be written to the Secret only.
    pub(super) fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Issues a leaf with a new key, valid for `life` but not longer than this authority.
    pub(super) fn issue(&self, names: &[String], now: SystemTime, life: Duration) -> Result<Leaf, AuthorityError> {
        let validity = self.leaf_validity(now, life);
        let mut params = params(validity)?;
        params.subject_alt_names = CertificateParams::new(names.to_vec())?.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // The caBundle may hold several authorities of one name: the key identifier names the one that signed.
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_der(&self.certificate.der, &self.key)?;
        let key = KeyPair::generate()?;
        let der = params.signed_by(&key, &issuer)?.der().clone();
        let unusable = |error: &dyn fmt::Display| AuthorityError::Use(error.to_string());
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| unusable(&error))?;
        let key = CertifiedKey::from_der(vec![der], key, &default_provider()).map_err(|error| unusable(&error))?;
        Ok(Leaf { key: Arc::new(key), validity, issuer: Some(self.certificate.id) })
    }

    fn leaf_validity(&self, now: SystemTime, life: Duration) -> Validity {
        let validity = Validity::new(now, life);
        Validity { until: validity.until.min(self.certificate.validity.until), ..validity }
    }
}

fn params(validity: Validity) -> Result<CertificateParams, AuthorityError> {
    let (from, until) = (seconds(validity.from), seconds(validity.until));
    let time = |time| OffsetDateTime::from_unix_timestamp(time).map_err(|_| AuthorityError::Time { from, until });
    let mut params = CertificateParams::default();
    params.not_before = time(from)?;
    params.not_after = time(until)?;
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key: _, validity, issuer } = self;
        f.debug_struct("Leaf").field("validity", validity).field("issuer", issuer).finish_non_exhaustive()
    }
}
