//! From a configuration to an HTTP client that can only connect to that broker in the configured way.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Certificate, Client, ClientBuilder, Identity, redirect};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::config::{BrokerConfig, ClientCertificate, ConfigError, Credentials, SecretText};
use super::secret::Redactor;
use crate::api::names::quoted;

/// A broker sends problem documents only on request (2.106.0 and later); without HAL every broker answers 406.
const ACCEPTED: HeaderValue = HeaderValue::from_static("application/hal+json, application/problem+json;q=0.9");

/// A broker's server closes idle connections after 65 s (puma): the client must close them earlier.
const IDLE: Duration = Duration::from_secs(50);

/// The longest time to connect, however long the request itself may take.
const LONGEST_CONNECT: Duration = Duration::from_secs(10);

/// Headers that belong to the request or the connection; the configuration may not set them.
const OURS: [&str; 9] =
    ["accept", "connection", "content-length", "content-type", "expect", "host", "te", "transfer-encoding", "upgrade"];

/// Makes the client, and the redactor of its secrets.
pub(super) fn build(config: &BrokerConfig) -> Result<(Client, Redactor), ConfigError> {
    // reqwest panics without a provider. The first caller has installed one; a second installation fails, which is
    // fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut redactor = Redactor::default();
    let headers = headers(config, &mut redactor)?;
    let user_agent = HeaderValue::from_str(&config.user_agent).map_err(|_| ConfigError::Setting {
        what: "user agent",
        problem: "holds a character that no header can carry",
    })?;
    let builder = || -> Result<ClientBuilder, ConfigError> {
        let builder = Client::builder()
            .default_headers(headers.clone())
            .user_agent(user_agent.clone())
            .redirect(redirect::Policy::none())
            .referer(false)
            .pool_idle_timeout(IDLE)
            .connect_timeout((config.request_timeout / 2).min(LONGEST_CONNECT))
            .tls_danger_accept_invalid_certs(config.tls.insecure_skip_verify);
        match &config.tls.client_certificate {
            Some(certificate) => Ok(builder.identity(identity(certificate)?)),
            None => Ok(builder),
        }
    };
    let authorities = config.tls.ca_bundle_pem.as_deref().map_or_else(|| Ok(Vec::new()), authorities)?;
    let client = match builder()?.tls_certs_merge(authorities).build() {
        // An image without certificate authorities must still reach a broker that needs none.
        Err(_) if !config.base_url.is_https() => builder()?.tls_certs_only(Vec::new()).build(),
        built => built,
    };
    let client = client.map_err(|error| ConfigError::Client { cause: chain(&error.without_url()) })?;
    Ok((client, redactor))
}

fn headers(config: &BrokerConfig, redactor: &mut Redactor) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers {
        let wrong = |problem| ConfigError::Header { name: quoted(name), problem };
        let parsed: HeaderName =
            name.parse().map_err(|_| wrong("has a name that is no header's; use letters, digits and -"))?;
        if OURS.contains(&parsed.as_str()) {
            return Err(wrong("is one that the operator sets itself; leave it out"));
        }
        if headers.contains_key(&parsed) {
            return Err(wrong("is given twice; give each header one value"));
        }
        if parsed == AUTHORIZATION && config.credentials != Credentials::None {
            return Err(wrong("contradicts the PactBroker's auth; use one of the two"));
        }
        let value = hidden(value.expose(), redactor)
            .ok_or_else(|| wrong("has a value with a line break or another character that no header can carry"))?;
        headers.insert(parsed, value);
    }
    if let Some(value) = authorization(&config.credentials, redactor)? {
        headers.insert(AUTHORIZATION, value);
    }
    headers.insert(ACCEPT, ACCEPTED);
    Ok(headers)
}

fn authorization(credentials: &Credentials, redactor: &mut Redactor) -> Result<Option<HeaderValue>, ConfigError> {
    let checked = |what, secret: &SecretText| {
        let problem = match secret.expose() {
            "" => "is empty",
            text if text.ends_with(['\n', '\r']) => "ends with a line break (made with echo? use printf)",
            text if text.chars().any(char::is_control) => "holds a control character",
            _ => return Ok(()),
        };
        Err(ConfigError::Credentials { what, problem })
    };
    match credentials {
        Credentials::None => Ok(None),
        Credentials::Bearer(token) => {
            checked("token", token)?;
            redactor.hide(token.expose());
            let value = hidden(&format!("Bearer {}", token.expose()), redactor);
            value
                .map(Some)
                .ok_or(ConfigError::Credentials { what: "token", problem: "holds a character no header can carry" })
        }
        Credentials::Basic { username, password } => {
            checked("user name", username)?;
            checked("password", password)?;
            if username.expose().contains(':') {
                return Err(ConfigError::Credentials {
                    what: "user name",
                    problem: "holds a colon, which basic auth cannot send",
                });
            }
            redactor.hide(username.expose());
            redactor.hide(password.expose());
            Ok(basic(username, password).inspect(|value| {
                if let Some(encoded) = value.to_str().ok().and_then(|value| value.strip_prefix("Basic ")) {
                    redactor.hide(encoded);
                    // Who decodes and encodes it again may leave the padding out.
                    redactor.hide(encoded.trim_end_matches('='));
                }
            }))
        }
    }
}

/// The header's value as reqwest encodes it, so that its secret form is redacted too.
fn basic(username: &SecretText, password: &SecretText) -> Option<HeaderValue> {
    let request = Client::builder().no_proxy().tls_certs_only(Vec::new()).build().ok()?.get("http://localhost/");
    let request = request.basic_auth(username.expose(), Some(password.expose())).build().ok()?;
    request.headers().get(AUTHORIZATION).cloned()
}

/// A header's value that is neither logged nor compressed, and redacted in texts.
fn hidden(value: &str, redactor: &mut Redactor) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_bytes(value.as_bytes()).ok()?;
    header.set_sensitive(true);
    redactor.hide(value);
    Some(header)
}

fn authorities(pem: &[u8]) -> Result<Vec<Certificate>, ConfigError> {
    let wrong = |cause: String| ConfigError::CaBundle { cause };
    let mut store = RootCertStore::empty();
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        found.push(Certificate::from_der(&certificate).map_err(|error| wrong(error.to_string()))?);
        store.add(certificate).map_err(|error| wrong(format!("certificate {}: {error}", found.len())))?;
    }
    if found.is_empty() { Err(wrong("it holds no certificate".to_owned())) } else { Ok(found) }
}

fn identity(certificate: &ClientCertificate) -> Result<Identity, ConfigError> {
    let wrong = |cause: String| ConfigError::ClientCertificate { cause };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&certificate.cert_pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(format!("tls.crt: {error}")))?;
    if certificates.is_empty() {
        return Err(wrong("tls.crt holds no certificate".to_owned()));
    }
    // The parser's error could quote the key.
    let key =
        PrivateKeyDer::from_pem_slice(&certificate.key_pem).map_err(|_| wrong("tls.key holds no key".to_owned()))?;
    let provider =
        CryptoProvider::get_default().map_or_else(|| Arc::new(rustls::crypto::ring::default_provider()), Arc::clone);
    CertifiedKey::from_der(certificates, key, &provider).map_err(|error| wrong(error.to_string()))?;
    let both = [certificate.cert_pem.as_slice(), b"\n", certificate.key_pem.as_slice()].concat();
    Identity::from_pem(&both).map_err(|error| wrong(chain(&error)))
}

/// An error's causes, each once, at most 100 characters.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut source = Some(error);
    while let Some(cause) = source {
        source = cause.source();
        let text = cause.to_string();
        // Many errors repeat their cause. That the request failed, and where, is part of our own text.
        let empty = text.starts_with("client error (") || text.starts_with("error sending request");
        if !(empty && source.is_some() || causes.iter().any(|before| before.contains(&text))) {
            causes.push(text);
        }
    }
    super::answer::short(&causes.join(": "), 100)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
