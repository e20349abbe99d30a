//! The record key: the broker keeps one current row for each, and the operator keeps one `PactDeployment` for each.

use std::fmt;

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

/// How many characters of an object name are the hash: 64 bits, so that nobody finds two keys of one name by trying, and
/// in base 32, so that tables fit a terminal.
const HASH_CHARACTERS: usize = 13;
/// How long the readable part of an object name may be, in bytes: with a hyphen and the hash it stays within a label's 63.
const SLUG_BYTES: usize = 62 - HASH_CHARACTERS;
/// How long it was allowed to be formerly.
const FORMER_SLUG_BYTES: usize = 50;

impl RecordKey {
    /// The name of the `PactDeployment` of this key: a readable slug and a hash of the exact key.
    #[must_use]
    pub fn object_name(&self) -> String {
        let hash = self.hash();
        let digits = (0..HASH_CHARACTERS).rev().map(|digit| (hash >> (5 * digit)) & 31);
        let digits = digits.filter_map(|digit| char::from_digit(u32::try_from(digit).ok()?, 32));
        self.name(SLUG_BYTES, &digits.collect::<String>())
    }

    /// The name that it had formerly: such an object is adopted (case 115).
    #[must_use]
    pub fn former_object_name(&self) -> String {
        self.name(FORMER_SLUG_BYTES, &format!("{:010x}", self.hash() >> 24))
    }

    fn name(&self, slug_bytes: usize, hash: &str) -> String {
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
        slug.truncate(slug_bytes);
        if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        slug + hash
    }

    /// The first 64 bits of a hash over the exact key. Each part is hashed with its length, so that different keys differ
    /// in the hashed text.
    fn hash(&self) -> u64 {
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
        hasher.finalize().iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte))
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

    #[test]
    fn case_115_the_name_has_sixty_four_bits_of_hash_and_the_former_one_is_known() {
        let key = key("production", "Order Service", None);
        let (name, former) = (key.object_name(), key.former_object_name());
        let hash = name.strip_prefix("production-order-service-").unwrap();
        let former_hash = former.strip_prefix("production-order-service-").unwrap();
        assert_eq!(former_hash, "b3290686c4", "as it was written formerly");
        let bits = u64::from_str_radix(hash, 32).unwrap();
        assert_eq!((hash.len(), format!("{:010x}", bits >> 24)), (13, former_hash.to_owned()));
    }

    proptest! {
        #[test]
        fn every_key_has_a_name_that_kubernetes_takes(environment in "[^\\s\\pC]{1,80}", pacticipant in "[^\\pC]{0,80}x", instance in proptest::option::of("[^\\pC]{0,80}y")) {
            let name = key(&environment, &pacticipant, instance.as_deref()).object_name();
            prop_assert!(name.len() <= 63);
            prop_assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{}", name);
            prop_assert!(!name.starts_with('-') && !name.ends_with('-'));
            prop_assert_ne!(name, key(&environment, &pacticipant, instance.as_deref()).former_object_name());
        }

        #[test]
        fn a_key_comes_back_from_its_object(pacticipant in "[^\\pC\\s][^\\pC]{0,40}[^\\pC\\s]", instance in proptest::option::of("[^\\pC\\s]{1,20}")) {
            let key = key("production", &pacticipant, instance.as_deref());
            prop_assert_eq!(RecordKey::of(&PactDeployment::new("x", key.spec())).unwrap(), key);
        }
    }
}
