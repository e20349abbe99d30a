//! Annotations or labels, read without those that the operator never looks at: most objects have many.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{
    api::annotations::{DEFAULT_CONTAINER, VERSION_LABEL},
    workload::stray_keys::looks_ours,
};

/// The annotations or labels of an object or a pod template that the operator reads, and those that look like its own.
/// Others are not even copied: `kubectl apply` keeps the whole object in one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnEntries(pub(super) BTreeMap<String, String>);

impl OwnEntries {
    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

impl<'de> Deserialize<'de> for OwnEntries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = OwnEntries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OwnEntries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some(Key(key)) = map.next_key()? {
                    match key {
                        Some(key) => drop(entries.insert(key, map.next_value()?)),
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(OwnEntries(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// A key, if it is to be kept.
struct Key(Option<String>);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E>(self, key: &str) -> Result<Key, E> {
                let kept = matches!(key, DEFAULT_CONTAINER | VERSION_LABEL) || looks_ours(key);
                Ok(Key(kept.then(|| key.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}
