//! A `PactBroker` and its Secrets, parsed into the configuration of the broker client. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{BaseUrl, BrokerConfig, ClientCertificate, Credentials, SecretText, TlsSettings, pause::LONGEST_PAUSE};
use crate::{
    api::PactBrokerSpec,
    decide::{
        Explanation, Reason,
        broker_secrets::{Named, Purpose},
    },
};

/// A Secret as it was read.
#[derive(Clone)]
pub struct SecretContents {
    /// Its type.
    pub type_: String,
    /// Its values by key.
    pub values: BTreeMap<String, Vec<u8>>,
}

/// What a Secret holds, or `None` when it does not exist.
pub type SecretData = Option<SecretContents>;

/// The Secrets that a `PactBroker` names, field by field.
fn named<'a>(spec: &'a PactBrokerSpec, namespace: &'a str) -> impl Iterator<Item = Named<'a>> {
    let auth = spec.auth.as_ref();
    [
        ("auth.basic.secretRef", Purpose::Sent, auth.and_then(|auth| auth.basic.as_ref()).map(|it| &it.secret_ref)),
        ("auth.bearer.secretRef", Purpose::Sent, auth.and_then(|auth| auth.bearer.as_ref()).map(|it| &it.secret_ref)),
        ("headersSecretRef", Purpose::Sent, spec.headers_secret_ref.as_ref()),
        ("tls.caSecretRef", Purpose::Tls, spec.tls.ca_secret_ref.as_ref()),
        ("tls.clientCertificateSecretRef", Purpose::Tls, spec.tls.client_certificate_secret_ref.as_ref()),
    ]
    .into_iter()
    .filter_map(move |(field, purpose, reference)| Some(Named { field, namespace, name: &reference?.name, purpose }))
}

/// The names of the Secrets that a `PactBroker` refers to.
///
/// # Errors
/// When one of them may not be read for a broker.
pub fn secrets_of(spec: &PactBrokerSpec, namespace: &str) -> Result<BTreeSet<String>, Explanation> {
    named(spec, namespace).map(|named| named.check_name().map(|()| named.name.to_owned())).collect()
}

/// The settings of the client for a `PactBroker`.
///
/// # Errors
/// When a Secret is not for brokers, when a Secret or a key in it is missing or unreadable, or when a setting is invalid.
/// The text names the Secret, the key and the remedy, never a value.
pub fn broker_config(
    spec: &PactBrokerSpec,
    namespace: &str,
    secrets: &BTreeMap<String, SecretData>,
    user_agent: &str,
) -> Result<BrokerConfig, Explanation> {
    let invalid = |field: &str, problem: &dyn std::fmt::Display| {
        Explanation::new(Reason::InvalidSpec, format!("spec.{field}: {problem}"))
    };
    let secret = |name: &str| -> Result<&BTreeMap<String, Vec<u8>>, Explanation> {
        let found = secrets.get(name).and_then(Option::as_ref).map(|found| &found.values);
        found.ok_or_else(|| {
            Explanation::new(
                Reason::SecretMissing,
                format!("there is no Secret {name} in namespace {namespace}; create it there"),
            )
        })
    };
    let no_value = |name: &str, key: &str| {
        Explanation::new(
            Reason::SecretKeyMissing,
            format!("Secret {namespace}/{name} has no value under the key {key}; add it"),
        )
    };
    let bytes = |name: &str, key: &str| -> Result<Vec<u8>, Explanation> {
        let value = secret(name)?.get(key).filter(|value| !value.is_empty());
        value.cloned().ok_or_else(|| no_value(name, key))
    };
    let text = |name: &str, key: &str| -> Result<SecretText, Explanation> {
        let text = String::from_utf8(bytes(name, key)?).map_err(|_| {
            Explanation::new(
                Reason::SecretInvalid,
                format!("Secret {namespace}/{name}, key {key}: the value is not UTF-8 text"),
            )
        })?;
        // `echo` and editors add a line break at the end; no credential ends in one on purpose.
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(no_value(name, key));
        }
        if text.chars().any(char::is_control) {
            return Err(Explanation::new(
                Reason::SecretInvalid,
                format!("Secret {namespace}/{name}, key {key}: the value holds a control character"),
            ));
        }
        Ok(SecretText::new(text))
    };

    for named in named(spec, namespace) {
        named.check_name()?;
        if let Some(Some(found)) = secrets.get(named.name) {
            named.check_type(&found.type_)?;
        }
    }
    let base_url = BaseUrl::parse(&spec.url).map_err(|problem| invalid("url", &problem))?;
    let credentials = match spec.auth.as_ref().map(|auth| (&auth.basic, &auth.bearer)) {
        None | Some((None, None)) => Credentials::None,
        Some((Some(basic), None)) => Credentials::Basic {
            username: text(&basic.secret_ref.name, &basic.username_key)?,
            password: text(&basic.secret_ref.name, &basic.password_key)?,
        },
        Some((None, Some(bearer))) => Credentials::Bearer(text(&bearer.secret_ref.name, &bearer.token_key)?),
        Some((Some(_), Some(_))) => return Err(invalid("auth", &"give basic or bearer, not both")),
    };
    let mut headers = Vec::new();
    if let Some(reference) = &spec.headers_secret_ref {
        for key in secret(&reference.name)?.keys() {
            headers.push((key.clone(), text(&reference.name, key)?));
        }
    }
    let mut ca_bundle = spec.tls.ca_bundle.clone().unwrap_or_default().into_bytes();
    if let Some(reference) = &spec.tls.ca_secret_ref {
        ca_bundle.push(b'\n');
        ca_bundle.extend(bytes(&reference.name, "ca.crt")?);
    }
    let client_certificate = match &spec.tls.client_certificate_secret_ref {
        None => None,
        Some(reference) => Some(ClientCertificate {
            cert_pem: bytes(&reference.name, "tls.crt")?,
            key_pem: bytes(&reference.name, "tls.key")?,
        }),
    };
    Ok(BrokerConfig {
        base_url,
        credentials,
        headers,
        tls: TlsSettings {
            ca_bundle_pem: (!ca_bundle.is_empty()).then_some(ca_bundle),
            client_certificate,
            insecure_skip_verify: spec.tls.insecure_skip_verify,
        },
        request_timeout: Duration::from_secs(u64::try_from(spec.request_timeout_seconds).unwrap_or(10).max(1)),
        concurrency: usize::try_from(spec.concurrency).unwrap_or(4).max(1),
        longest_pause: LONGEST_PAUSE,
        user_agent: user_agent.to_owned(),
    })
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
