//! The metadata of a workload, as far as the operator reads it: without `managedFields`, a third of many objects and as a
//! tree of small maps most of the time that reading one would take, and without foreign annotations and labels.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde::{Deserialize, Deserializer};

use super::OwnEntries;

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    /// The watch goes on from it.
    resource_version: Option<String>,
    generation: Option<i64>,
    annotations: Option<OwnEntries>,
    labels: Option<OwnEntries>,
    owner_references: Option<Vec<OwnerReference>>,
    deletion_timestamp: Option<Time>,
}

/// Reads the metadata; for serde's `deserialize_with`.
pub(in crate::workload) fn read<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let metadata = Metadata::deserialize(deserializer)?;
    let kept = |entries: Option<OwnEntries>| entries.map(|entries| entries.0).filter(|entries| !entries.is_empty());
    Ok(ObjectMeta {
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        resource_version: metadata.resource_version,
        generation: metadata.generation,
        annotations: kept(metadata.annotations),
        labels: kept(metadata.labels),
        owner_references: metadata.owner_references,
        deletion_timestamp: metadata.deletion_timestamp,
        ..ObjectMeta::default()
    })
}
