//! Whether the API server accepts a certificate: the same check that the API server makes at every call.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError as Refusal, Error, RootCertStore};
use thiserror::Error;

use super::bundle::Bundle;
use super::hooks::{Hook, Hooks};

/// Why a certificate is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Distrust {
    #[error(
        "the ValidatingWebhookConfiguration {0} names no webhooks, so nobody calls us. Install it again with its webhooks"
    )]
    NoHooks(String),
    #[error("the webhook {0} names neither a service nor a usable url to call. Correct its clientConfig")]
    NoServer(String),
    #[error(
        "the caBundle of the webhook {hook} is empty. It is filled from our own authority, or else by the issuer of \
             the mounted certificate: check that (cert-manager: the annotation inject-ca-from)"
    )]
    NoBundle { hook: String },
    #[error("the caBundle of the webhook {hook} cannot be used: {flaw}. Empty it and let it be filled again")]
    BrokenBundle { hook: String, flaw: String },
    #[error(
        "the API server calls the webhook {hook} by the name {server}, for which our certificate was not issued. Add \
         that name to the certificate's names, or correct the webhook's clientConfig"
    )]
    Name { hook: String, server: String },
    #[error(
        "the caBundle of the webhook {hook} does not trust our certificate ({cause}). The writer of the caBundle has \
         to add the certificate's authority"
    )]
    Untrusted { hook: String, cause: String },
    #[error(
        "our certificate is {what}, now or within the margin that it has to stay valid. It must be renewed by its \
         issuer; check this machine's clock, too"
    )]
    Time { what: &'static str },
}

/// Whether every one of `hooks` accepts `chain` at `now`, and still after `margin`.
///
/// # Errors
/// With the first reason why not.
pub(super) fn verify(
    chain: &[CertificateDer<'_>],
    hooks: &Hooks,
    now: SystemTime,
    margin: Duration,
) -> Result<(), Distrust> {
    if hooks.list.is_empty() {
        return Err(Distrust::NoHooks(hooks.name.clone()));
    }
    let later = now.checked_add(margin).unwrap_or(now);
    for time in [now, later] {
        for hook in &hooks.list {
            accepts(hook, chain, time)?;
        }
    }
    Ok(())
}

fn accepts(hook: &Hook, chain: &[CertificateDer<'_>], now: SystemTime) -> Result<(), Distrust> {
    let name = || hook.name.clone();
    let server = hook.server.clone().ok_or_else(|| Distrust::NoServer(name()))?;
    if let Some(flaw) = hook.bundle.flaw.clone() {
        return Err(Distrust::BrokenBundle { hook: name(), flaw });
    }
    if hook.bundle.certificates.is_empty() {
        return Err(Distrust::NoBundle { hook: name() });
    }
    let untrusted = |cause: String| Distrust::Untrusted { hook: name(), cause };
    let Some((leaf, intermediates)) = chain.split_first() else { return Err(untrusted("no certificate".to_owned())) };
    let verifier = verifier(&hook.bundle, now).map_err(untrusted)?;
    let server_name = ServerName::try_from(server.clone()).map_err(|_| Distrust::NoServer(name()))?;
    let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let outcome =
        verifier.verify_server_cert(leaf, intermediates, &server_name, &[], UnixTime::since_unix_epoch(since_epoch));
    match outcome {
        Ok(_) => Ok(()),
        Err(Error::InvalidCertificate(Refusal::Expired | Refusal::ExpiredContext { .. })) => {
            Err(Distrust::Time { what: "expired" })
        }
        Err(Error::InvalidCertificate(Refusal::NotValidYet | Refusal::NotValidYetContext { .. })) => {
            Err(Distrust::Time { what: "not valid yet" })
        }
        Err(Error::InvalidCertificate(Refusal::NotValidForName | Refusal::NotValidForNameContext { .. })) => {
            Err(Distrust::Name { hook: name(), server })
        }
        Err(error) => Err(untrusted(error.to_string())),
    }
}

/// A verifier with the valid certificates of `bundle`: the API server checks the validity of authorities, webpki does
/// not.
fn verifier(bundle: &Bundle, now: SystemTime) -> Result<Arc<WebPkiServerVerifier>, String> {
    let mut roots = RootCertStore::empty();
    let valid = bundle.certificates.iter().filter(|certificate| certificate.validity.holds(now));
    roots.add_parsable_certificates(valid.map(|certificate| certificate.der.clone()));
    if roots.is_empty() {
        return Err("no certificate in it is valid now".to_owned());
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .build()
        .map_err(|error| error.to_string())
}
