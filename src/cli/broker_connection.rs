//! How the verbs for people reach a broker: the options and the environment variables of the official command line.

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::{self, Write},
    path::PathBuf,
    time::Duration,
};

use clap::{ArgAction, Args};

use super::process::{Failure, USER_AGENT};
use crate::broker::{
    BaseUrl, BrokerConfig, BrokerError, ClientCertificate, Credentials, SecretText, TlsSettings, pause::LONGEST_PAUSE,
};
use crate::{decide::Verdict, workload::EnvironmentRef};

/// How to reach a broker. Every user of a machine can read the arguments of a process: credentials are better in
/// environment variables.
#[derive(Args, Clone, Debug)]
pub(super) struct BrokerConnection {
    /// The broker's URL, with its path prefix if it has one.
    #[arg(long, short = 'b', env = "PACT_BROKER_BASE_URL", value_name = "URL", alias = "broker-url")]
    broker_base_url: Option<String>,
    /// The user name of basic auth.
    #[arg(long, short = 'u', env = "PACT_BROKER_USERNAME", value_name = "NAME", hide_env_values = true)]
    broker_username: Option<SecretArgument>,
    /// The password of basic auth.
    #[arg(long, short = 'p', env = "PACT_BROKER_PASSWORD", value_name = "PASSWORD", hide_env_values = true)]
    broker_password: Option<SecretArgument>,
    /// The bearer token; it is used where both are given.
    #[arg(long, short = 'k', env = "PACT_BROKER_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    broker_token: Option<SecretArgument>,
    /// A header to send with each request, as "Name: value"; may be repeated.
    #[arg(long, value_name = "HEADER", hide_env_values = true)]
    custom_header: Vec<SecretArgument>,
    /// A PEM file with authorities to trust besides those of the system.
    #[arg(long, short = 'c', env = "SSL_CERT_FILE", value_name = "FILE", alias = "ca-file")]
    ssl_certificate: Option<PathBuf>,
    /// Accept any certificate: anyone who intercepts the connection can then read the credentials. Also
    /// `PACT_DISABLE_SSL_VERIFICATION`.
    #[arg(long, env = "SSL_SKIP_VERIFICATION", alias = "insecure-skip-verify", action = ArgAction::SetTrue)]
    skip_ssl_verification: bool,
    /// The authorities of the system are always trusted.
    #[arg(long, env = "SSL_TRUST_STORE", hide = true, value_parser = ["true"])]
    ssl_trust_store: Option<String>,
    /// A PEM file with the client certificate to present.
    #[arg(long, env = "X509_CLIENT_CERT_FILE", value_name = "FILE", requires = "client_key_file")]
    client_certificate_file: Option<PathBuf>,
    /// A PEM file with the key of that certificate.
    #[arg(long, env = "X509_CLIENT_KEY_FILE", value_name = "FILE")]
    client_key_file: Option<PathBuf>,
    /// How long each request may take, in seconds.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout_seconds: u64,
    /// How often to ask again when the broker does not answer: after 0.5 s, 1 s, 2 s and so on.
    #[arg(long, env = "PACT_BROKER_HTTP_RETRIES", default_value_t = 8, value_name = "TIMES",
          value_parser = clap::value_parser!(u32).range(0..=20))]
    retries: u32,
}

/// A secret among the arguments: never shown again.
#[derive(Clone)]
struct SecretArgument(String);

impl From<&str> for SecretArgument {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for SecretArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// That one address is given for what is at several brokers: all but one would be asked for what others have.
#[derive(Debug, thiserror::Error)]
#[error(
    "--broker-base-url is one address, and what is meant is at several brokers: {0}; select what is at one of them, or give no \
     address (nor PACT_BROKER_BASE_URL), and each is asked at its own"
)]
pub(super) struct SeveralBrokers(String);

impl SeveralBrokers {
    /// What a verb ended with; where it was this, the command line cannot be followed.
    pub(super) fn as_usage(verb: &str, ended: Result<u8, Failure>) -> Result<u8, Failure> {
        match ended {
            Err(error) if error.is::<Self>() => {
                drop(writeln!(io::stderr(), "pact-operator {verb}: {error}"));
                Ok(super::USAGE)
            }
            ended => ended,
        }
    }
}

impl BrokerConnection {
    /// That the address, if one is given, is that of all of these.
    ///
    /// # Errors
    /// [`SeveralBrokers`].
    pub(super) fn is_of_all<'a>(&self, places: impl IntoIterator<Item = &'a EnvironmentRef>) -> Result<(), Failure> {
        let places: BTreeSet<_> = places.into_iter().collect();
        let brokers: BTreeSet<_> = places.iter().map(|at| at.broker.as_str()).collect();
        if self.url().is_none() || brokers.len() < 2 {
            return Ok(());
        }
        Err(SeveralBrokers(places.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")).into())
    }

    /// The settings for the broker at this URL.
    ///
    /// # Errors
    /// When a file cannot be read, or a setting cannot be used.
    pub(super) fn config(&self, url: &str, verb: &str) -> Result<BrokerConfig, Failure> {
        let file = |path: &PathBuf| {
            fs::read(path).map_err(|error| format!("{} cannot be read: {error}; name another file", path.display()))
        };
        let client_certificate = match (&self.client_certificate_file, &self.client_key_file) {
            (Some(certificate), Some(key)) => {
                Some(ClientCertificate { cert_pem: file(certificate)?, key_pem: file(key)? })
            }
            _ => None,
        };
        let ruby = |value: String| value.eq_ignore_ascii_case("true") || value == "1";
        let ruby_skips = std::env::var("PACT_DISABLE_SSL_VERIFICATION").is_ok_and(ruby);
        let certificate = self.ssl_certificate.as_ref().filter(|path| !path.as_os_str().is_empty());
        Ok(BrokerConfig {
            base_url: BaseUrl::parse(url)?,
            credentials: self.credentials()?,
            headers: self.custom_header.iter().map(header).collect::<Result<_, _>>()?,
            tls: TlsSettings {
                ca_bundle_pem: certificate.map(file).transpose()?,
                client_certificate,
                insecure_skip_verify: self.skip_ssl_verification || ruby_skips,
            },
            request_timeout: Duration::from_secs(self.timeout_seconds),
            // Most brokers have five threads: one request waits while they work.
            concurrency: 6,
            longest_pause: LONGEST_PAUSE,
            user_agent: format!("{USER_AGENT} {verb}"),
        })
    }

    /// The broker's URL, if one is given: an empty variable of a pipeline is none.
    pub(super) fn url(&self) -> Option<&str> {
        self.broker_base_url.as_deref().filter(|url| !url.is_empty())
    }

    /// Whether there is anything to send that is nobody else's business.
    fn has_secrets(&self) -> bool {
        let given = |secret: &Option<SecretArgument>| secret.as_ref().is_some_and(|it| !it.0.is_empty());
        given(&self.broker_token) || given(&self.broker_username) || !self.custom_header.is_empty()
    }

    /// That credentials are given and no address: whoever writes a `PactBroker`, in a pull request perhaps, must not be sent
    /// those of a pipeline.
    ///
    /// # Errors
    /// When it is so.
    pub(super) fn keeps_its_secrets(&self) -> Result<(), Failure> {
        if self.url().is_some() || !self.has_secrets() {
            return Ok(());
        }
        Err("credentials are sent to no address but the one that is named: give --broker-base-url, or set \
             PACT_BROKER_BASE_URL"
            .into())
    }

    /// Asks a broker until it answers, or the tries are over; says on standard error what is waited for.
    ///
    /// # Errors
    /// The last one.
    pub(super) async fn ask<T, Asked>(&self, verb: &str, ask: impl Fn() -> Asked) -> Result<T, BrokerError>
    where
        Asked: Future<Output = Result<T, BrokerError>>,
    {
        let mut failures = 0;
        loop {
            match ask().await {
                Err(error) if error.retryable() => {
                    let Some(wait) = self.wait_after(failures) else { return Err(error) };
                    failures += 1;
                    let said = format!("pact-operator {verb}: {error}; asked again in {} s", wait.as_secs_f32());
                    drop(writeln!(io::stderr(), "{said}"));
                    tokio::time::sleep(wait).await;
                }
                asked => return asked,
            }
        }
    }

    /// How long to wait before a broker is asked again that failed to answer so many times before; `None` when it was asked
    /// often enough.
    pub(super) fn wait_after(&self, failures: u32) -> Option<Duration> {
        (failures < self.retries).then(|| Duration::from_millis(500 << failures.min(10)))
    }

    /// The address to ask for a broker: the one that is named here, or else what a `PactBroker` says.
    ///
    /// # Errors
    /// When credentials would be sent to an address that is not named here: whoever writes a `PactBroker`, in a pull request
    /// perhaps, must not be sent those of a pipeline.
    pub(super) fn url_or<E>(
        &self,
        of_object: impl FnOnce() -> Result<String, E>,
    ) -> Result<Result<String, E>, Failure> {
        self.keeps_its_secrets()?;
        Ok(self.url().map_or_else(of_object, |url| Ok(url.to_owned())))
    }

    fn credentials(&self) -> Result<Credentials, Failure> {
        let given = |secret: &Option<SecretArgument>| {
            secret.as_ref().filter(|it| !it.0.is_empty()).map(|it| SecretText::new(it.0.as_str()))
        };
        if let Some(token) = given(&self.broker_token) {
            return Ok(Credentials::Bearer(token));
        }
        match (given(&self.broker_username), given(&self.broker_password)) {
            (None, None) => Ok(Credentials::None),
            (Some(username), Some(password)) => Ok(Credentials::Basic { username, password }),
            (Some(_), None) => {
                Err("there is a user name for the broker and no password: set PACT_BROKER_PASSWORD, too".into())
            }
            (None, Some(_)) => {
                Err("there is a password for the broker and no user name: set PACT_BROKER_USERNAME, too".into())
            }
        }
    }
}

/// What to do when a broker could not be asked, to stand after a semicolon.
pub(super) const fn remedy(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Unauthorized => {
            "give credentials that the broker takes in PACT_BROKER_TOKEN, or PACT_BROKER_USERNAME and PACT_BROKER_PASSWORD, \
             with PACT_BROKER_BASE_URL; those of the cluster: kubectl get pactbroker"
        }
        Verdict::EnvironmentMissing => {
            "correct the name, or have the platform team create the environment at the broker"
        }
        _ => "look whether the broker answers at its address, and run it again: kubectl get pactbroker",
    }
}

/// A header as it is written on the command line.
fn header(text: &SecretArgument) -> Result<(String, SecretText), Failure> {
    let Some((name, value)) = text.0.split_once(':') else {
        return Err("a --custom-header has no colon: write it as \"Name: value\"".into());
    };
    Ok((name.trim().to_owned(), SecretText::new(value.trim())))
}

#[cfg(test)]
#[path = "broker_connection_tests.rs"]
mod tests;
