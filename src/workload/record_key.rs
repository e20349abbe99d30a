//! The record key: the broker keeps one current row for each, and the operator keeps one `PactDeployment` for each.

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};

use crate::api::{
    PactDeployment, PactDeploymentSpec,
    names::{ApplicationInstance, EnvironmentName, NameError, Pacticipant},
};

/// An environment at a broker: the `PactBroker`'s name and the environment's own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnvironmentRef {
    /// The name of the `PactBroker`.
    pub broker: String,
    /// The environment's name at that broker.
    pub environment: EnvironmentName,
}

impl fmt::Display for EnvironmentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.environment, self.broker)
    }
}

/// The key of one record: at most one version of it is current at the broker. Work is serialised per key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The environment in which it is recorded.
    pub environment_ref: EnvironmentRef,
    /// The pacticipant whose version is recorded.
    pub pacticipant: Pacticipant,
    /// Which permanent copy of the application; `None` is a key of its own.
    pub instance: Option<ApplicationInstance>,
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.pacticipant, self.environment_ref.environment)?;
        if let Some(instance) = &self.instance {
            write!(f, " (application instance {instance})")?;
        }
        Ok(())
    }
}

/// How long the readable part of an object name may be, in bytes: with the hash it stays within a label's 63.
const SLUG_BYTES: usize = 50;

impl RecordKey {
    /// The name of the `PactDeployment` of this key: a readable slug and a hash of the exact key.
    #[must_use]
    pub fn object_name(&self) -> String {
        let mut slug = String::new();
        let parts = [Some(self.environment_ref.environment.as_str()), Some(self.pacticipant.as_str())];
        for part in parts.into_iter().chain([self.instance.as_ref().map(ApplicationInstance::as_str)]).flatten() {
            for character in part.chars() {
                match character.to_ascii_lowercase() {
                    c @ ('a'..='z' | '0'..='9') => slug.push(c),
                    _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
                    _ => {}
                }
            }
            if !slug.is_empty() && !slug.ends_with('-') {
                slug.push('-');
            }
        }
        slug.truncate(SLUG_BYTES);
        if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        slug + &self.hash()
    }

    /// Ten hexadecimal digits of a hash over the exact key, each part with its length so that different keys differ in
    /// the hashed text.
    fn hash(&self) -> String {
        let instance = self.instance.as_ref().map_or("", ApplicationInstance::as_str);
        let mut hasher = Sha256::new();
        for part in [
            self.environment_ref.broker.as_str(),
            self.environment_ref.environment.as_str(),
            self.pacticipant.as_str(),
            instance,
        ] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
        let mut hash = String::with_capacity(10);
        for byte in hasher.finalize().iter().take(5) {
            // Writing to a String cannot fail.
            let _ = write!(hash, "{byte:02x}");
        }
        hash
    }

    /// The spec of the `PactDeployment` of this key.
    #[must_use]
    pub fn spec(&self) -> PactDeploymentSpec {
        PactDeploymentSpec {
            broker: self.environment_ref.broker.clone(),
            environment: self.environment_ref.environment.as_str().to_owned(),
            pacticipant: self.pacticipant.as_str().to_owned(),
            application_instance: self.instance.as_ref().map(|instance| instance.as_str().to_owned()),
        }
    }

    /// The key of a `PactDeployment`.
    ///
    /// # Errors
    /// When a person created the object with an invalid name in it.
    pub fn of(object: &PactDeployment) -> Result<Self, NameError> {
        let spec = &object.spec;
        Ok(Self {
            environment_ref: EnvironmentRef {
                broker: spec.broker.clone(),
                environment: EnvironmentName::parse(&spec.environment)?,
            },
            pacticipant: Pacticipant::parse(&spec.pacticipant)?,
            instance: spec.application_instance.as_deref().map(ApplicationInstance::parse).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(environment: &str, pacticipant: &str, instance: Option<&str>) -> RecordKey {
        RecordKey {
            environment_ref: EnvironmentRef {
                broker: "main".into(),
                environment: EnvironmentName::parse(environment).unwrap(),
            },
            pacticipant: Pacticipant::parse(pacticipant).unwrap(),
            instance: instance.map(|i| ApplicationInstance::parse(i).unwrap()),
        }
    }

    #[test]
    fn the_name_is_readable_and_distinguishes_keys() {
        let name = key("production", "Order Service", None).object_name();
        assert!(name.starts_with("production-order-service-"), "{name}");
        for (one, other) in [
            (key("a", "b", None), key("a", "b", Some("c"))),
            (key("a", "b-c", None), key("a", "b", Some("c"))),
            (key("a", "org/app", None), key("a", "org+app", None)),
            (key("a", "B", None), key("a", "b", None)),
        ] {
            assert_ne!(one.object_name(), other.object_name());
        }
    }

    proptest! {
        #[test]
        fn every_key_has_a_name_that_kubernetes_takes(environment in "[^\\s\\pC]{1,80}", pacticipant in "[^\\pC]{0,80}x", instance in proptest::option::of("[^\\pC]{0,80}y")) {
            let name = key(&environment, &pacticipant, instance.as_deref()).object_name();
            prop_assert!(name.len() <= 63);
            prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{}", name);
            prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
        }

        #[test]
        fn a_key_comes_back_from_its_object(pacticipant in "[^\\pC\\s][^\\pC]{0,40}[^\\pC\\s]", instance in proptest::option::of("[^\\pC\\s]{1,20}")) {
            let key = key("production", &pacticipant, instance.as_deref());
            prop_assert_eq!(RecordKey::of(&PactDeployment::new("x", key.spec())).unwrap(), key);
        }
    }
}
