//! Client authentication: clients need a certificate of a known authority and, if configured, an accepted name.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme};
use thiserror::Error;
use tokio::time::sleep;
use tracing::{info, warn};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::TlsServerError;

/// Which client certificates are accepted. A client without one, or with another, fails in the handshake.
#[derive(Clone, Debug)]
pub struct ClientAuthentication {
    /// A file with the PEM certificates of the authorities that sign clients.
    pub bundle: PathBuf,
    /// The accepted names: one of them must be a common name of the subject, or a DNS name among the alternative names.
    /// Empty: every certificate of the authorities is accepted.
    pub accepted_names: Vec<String>,
    /// How often the file is read again. A new bundle applies to handshakes from then on; an unusable one changes
    /// nothing.
    pub poll: Duration,
}

/// The client authorities of the current bundle.
#[derive(Debug)]
pub(super) struct Clients {
    authentication: ClientAuthentication,
    pem: Vec<u8>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Clients {
    pub(super) async fn read(authentication: ClientAuthentication) -> Result<Self, TlsServerError> {
        let pem = read(&authentication.bundle).await?;
        let verifier = verifier(&authentication, &pem)?;
        Ok(Self { authentication, pem, verifier })
    }

    pub(super) fn verifier(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Waits until the file holds a different, usable bundle.
    pub(super) async fn changed(&mut self) {
        let mut complained = None;
        loop {
            sleep(self.authentication.poll).await;
            let complaint = match read(&self.authentication.bundle).await {
                Ok(pem) if pem == self.pem => continue,
                Ok(pem) => match verifier(&self.authentication, &pem) {
                    Ok(verifier) => {
                        (self.pem, self.verifier) = (pem, verifier);
                        info!(bundle = %self.authentication.bundle.display(), "the authorities of clients have changed");
                        return;
                    }
                    Err(error) => error.to_string(),
                },
                Err(error) => error.to_string(),
            };
            // Log each content of the file once, not at each poll.
            if complained.as_ref() != Some(&complaint) {
                warn!(error = complaint, "the authorities of clients stay as they were");
                complained = Some(complaint);
            }
        }
    }
}

async fn read(path: &std::path::Path) -> Result<Vec<u8>, TlsServerError> {
    let file = path.to_owned();
    let failed = |source| TlsServerError::ReadBundle { path: path.to_owned(), source };
    let reading = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
    reading.map_err(std::io::Error::other).flatten().map_err(failed)
}

fn verifier(authentication: &ClientAuthentication, pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, TlsServerError> {
    let wrong = |problem: String| TlsServerError::Bundle { path: authentication.bundle.clone(), problem };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    let chain = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()));
    let chain = chain.build().map_err(|error| wrong(error.to_string()))?;
    Ok(Arc::new(Named { chain, accepted: authentication.accepted_names.clone() }))
}

/// Checks the chain, then the name.
#[derive(Debug)]
struct Named {
    chain: Arc<dyn ClientCertVerifier>,
    accepted: Vec<String>,
}

#[derive(Debug, Error)]
#[error("its names {names:?} are not among the accepted ones")]
struct UnknownName {
    names: Vec<String>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        if self.accepted.is_empty() {
            return Ok(verified);
        }
        let names = names(end_entity)?;
        if names.iter().any(|name| self.accepted.contains(name)) {
            return Ok(verified);
        }
        // A known authority signed this certificate, so the client is probably legitimate and the list lacks its name.
        warn!(?names, accepted = ?self.accepted, "refused a client whose certificate is good but bears no accepted name");
        Err(CertificateError::Other(OtherError(Arc::new(UnknownName { names }))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// The common names of the subject and the DNS names among the alternative names.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, rustls::Error> {
    let bad = || rustls::Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| bad())?;
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternative = certificate.subject_alternative_name().map_err(|_| bad())?;
    let dns = alternative.iter().flat_map(|extension| &extension.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    Ok(common.chain(dns).map(str::to_owned).collect())
}
