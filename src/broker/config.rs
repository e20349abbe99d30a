//! The configuration of a broker's client, and why a configuration is refused before anything is sent.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::secret::REDACTED;
pub use super::secret::SecretText;
pub use super::url::BaseUrl;

/// How to reach one broker. Equal configurations make equal clients, so a change is detected by comparing them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerConfig {
    /// The broker's URL.
    pub base_url: BaseUrl,
    /// The credentials.
    pub credentials: Credentials,
    /// Headers sent with every request, for a proxy in front of the broker. Their values are secrets.
    pub headers: Vec<(String, SecretText)>,
    /// Which authorities to trust, and our own certificate, in TLS.
    pub tls: TlsSettings,
    /// The time limit of one request: connecting, sending, and reading the whole answer. Waiting for one of the
    /// `concurrency` slots is limited by the same time, separately.
    pub request_timeout: Duration,
    /// How many requests may be in flight at once, at least 1. A broker's throughput is flat from 1 client on: 2 to 4.
    pub concurrency: usize,
    /// The longest pause that a broker may ask for (`Retry-After`): whoever stands between people and their rollouts
    /// rests for seconds, whoever only repeats a write may rest for minutes (case 80).
    pub longest_pause: Duration,
    /// The user agent: the only trace of the writer in a broker's own log.
    pub user_agent: String,
}

/// The credentials for a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// No credentials.
    None,
    /// A user of a broker's basic auth.
    Basic {
        /// The user's name.
        username: SecretText,
        /// The user's password.
        password: SecretText,
    },
    /// A bearer token, as PactFlow has them.
    Bearer(SecretText),
}

/// Which authorities to trust, and our own certificate, in TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates of authorities, PEM, trusted in addition to the system's.
    pub ca_bundle_pem: Option<Vec<u8>>,
    /// Our own certificate, where the broker or its proxy requires one.
    pub client_certificate: Option<ClientCertificate>,
    /// Accept any certificate. Anyone who intercepts the connection can then read the credentials.
    pub insecure_skip_verify: bool,
}

/// A client certificate with its key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those between it and its authority, PEM.
    pub cert_pem: Vec<u8>,
    /// Its private key, PEM (PKCS#8, PKCS#1 or SEC1), not encrypted.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").field("cert_pem", &self.cert_pem.len()).field("key_pem", &REDACTED).finish()
    }
}

/// Why a [`BrokerConfig`] is invalid. Nothing was sent; only another configuration helps.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// The broker's URL.
    #[error("the broker's URL {problem}")]
    Url {
        /// The problem and the remedy.
        problem: String,
    },
    /// User name, password or token.
    #[error("the broker's {what} {problem}; look at the Secret that the PactBroker's auth names")]
    Credentials {
        /// Which of them.
        what: &'static str,
        /// The problem.
        problem: &'static str,
    },
    /// A header of our own.
    #[error("the header {name} for the broker {problem}")]
    Header {
        /// The header's name, quoted.
        name: String,
        /// The problem and the remedy.
        problem: &'static str,
    },
    /// The bundle of certificate authorities.
    #[error("the broker's CA bundle cannot be used: {cause}; it must be one or more certificates in PEM")]
    CaBundle {
        /// The cause.
        cause: String,
    },
    /// The client certificate or its key.
    #[error(
        "the broker's client certificate cannot be used: {cause}; tls.crt and tls.key must be PEM and belong together"
    )]
    ClientCertificate {
        /// The cause.
        cause: String,
    },
    /// A number or a name.
    #[error("the broker's {what} {problem}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// The problem.
        problem: &'static str,
    },
    /// The TLS library refused to start.
    #[error("no client for the broker can be made: {cause}; are the system's certificate authorities installed?")]
    Client {
        /// The cause.
        cause: String,
    },
}
