//! Which Secrets a `PactBroker` may name (case 114). Values of a Secret are sent to the broker's address, and whoever
//! may write a `PactBroker` need not be allowed to read them.

use super::{Explanation, Reason};

/// The Secret with the key of the webhook's certificate authority.
pub const WEBHOOK_AUTHORITY: &str = "pact-operator-webhook-authority";

/// The operator's own Secrets, as the chart names them: the authority, and the certificate that cert-manager makes.
const OWN: [&str; 2] = [WEBHOOK_AUTHORITY, "pact-operator-webhook-certificate"];

/// What the values of a Secret are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// They are sent to the broker: credentials, headers.
    Sent,
    /// Certificates, and a key that signs: nothing of them is sent but certificates.
    Tls,
}

impl Purpose {
    /// The types of Secret that people make for this purpose. The others are of Kubernetes, or of other programs.
    const fn types(self) -> &'static [&'static str] {
        match self {
            Self::Sent => &["Opaque", "kubernetes.io/basic-auth"],
            Self::Tls => &["Opaque", "kubernetes.io/tls"],
        }
    }
}

/// A Secret that a field of a `PactBroker` names.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// The field, below `spec`.
    pub field: &'static str,
    /// The namespace of the Secret.
    pub namespace: &'a str,
    /// The name of the Secret.
    pub name: &'a str,
    /// What its values are for.
    pub purpose: Purpose,
}

impl Named<'_> {
    /// Whether it may be read at all.
    ///
    /// # Errors
    /// When it is one of the operator's own.
    pub fn check_name(&self) -> Result<(), Explanation> {
        let Self { field, namespace, name, .. } = self;
        if !OWN.contains(name) {
            return Ok(());
        }
        Err(Explanation::new(
            Reason::SecretRefused,
            format!(
                "spec.{field}: Secret {namespace}/{name} is the operator's own, and for no broker; name another one"
            ),
        ))
    }

    /// Whether a Secret of this type may be used.
    ///
    /// # Errors
    /// When nobody makes Secrets of this type for brokers: a service account's token, a release of Helm.
    pub fn check_type(&self, type_: &str) -> Result<(), Explanation> {
        let Self { field, namespace, name, purpose } = self;
        if purpose.types().contains(&type_) {
            return Ok(());
        }
        Err(Explanation::new(
            Reason::SecretRefused,
            format!(
                "spec.{field}: Secret {namespace}/{name} is of type {type_}, which is not for brokers; name a Secret of \
                 type {}, as `kubectl create secret generic` makes it",
                purpose.types().join(" or ")
            ),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, purpose: Purpose) -> Named<'_> {
        Named { field: "headersSecretRef", namespace: "operators", name, purpose }
    }

    #[test]
    fn case_114_the_operators_own_secrets_are_refused_by_name() {
        for name in ["pact-operator-webhook-authority", "pact-operator-webhook-certificate"] {
            let why = named(name, Purpose::Tls).check_name().unwrap_err();
            let expected = "is the operator's own, and for no broker; name another one";
            assert_eq!(why.message, format!("spec.headersSecretRef: Secret operators/{name} {expected}"));
            assert_eq!(why.reason, Reason::SecretRefused);
        }
        assert_eq!(named("pact-broker", Purpose::Sent).check_name(), Ok(()));
    }

    #[test]
    fn case_114_only_types_that_people_make_for_the_purpose_are_used() {
        let rows = [
            ("Opaque", true, true),
            ("kubernetes.io/basic-auth", true, false),
            ("kubernetes.io/tls", false, true),
            ("kubernetes.io/service-account-token", false, false),
            ("helm.sh/release.v1", false, false),
            ("bootstrap.kubernetes.io/token", false, false),
            ("kubernetes.io/dockerconfigjson", false, false),
            ("kubernetes.io/ssh-auth", false, false),
            ("cluster.x-k8s.io/secret", false, false),
        ];
        for (type_, sent, tls) in rows {
            assert_eq!(named("any", Purpose::Sent).check_type(type_).is_ok(), sent, "{type_}");
            assert_eq!(named("any", Purpose::Tls).check_type(type_).is_ok(), tls, "{type_}");
        }
        let why = named("release", Purpose::Sent).check_type("helm.sh/release.v1").unwrap_err();
        let remedy =
            "name a Secret of type Opaque or kubernetes.io/basic-auth, as `kubectl create secret generic` makes it";
        assert!(why.message.ends_with(remedy) && why.message.contains("operators/release"), "{}", why.message);
    }
}
