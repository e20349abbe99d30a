//! Annotations or labels, read without those that the operator never looks at: most objects have many.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};

use crate::{api::annotations::DEFAULT_CONTAINER, workload::stray_keys::looks_ours};

/// The annotations or labels of a pod template that the operator reads, and those that look like its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnEntries(pub(super) BTreeMap<String, String>);

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
                while let Some(key) = map.next_key::<String>()? {
                    if key == DEFAULT_CONTAINER || looks_ours(&key) {
                        entries.insert(key, map.next_value()?);
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(OwnEntries(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
