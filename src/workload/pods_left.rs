//! Which pods are left of a workload that is gone (case 99): `kubectl delete --cascade=orphan` leaves them serving.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{RecordKey, revisions::HASH_LABEL};
use crate::api::{
    annotations::{APPLICATION_INSTANCE, PACTICIPANT},
    names::ApplicationInstance,
};

/// The label that the pods of a `StatefulSet` or a `DaemonSet` have.
/// See <https://kubernetes.io/docs/reference/labels-annotations-taints/#controller-revision-hash>.
pub const REVISION: &str = "controller-revision-hash";

/// Whether a `ReplicaSet` with these annotations runs the pacticipant of a key: it has those of its Deployment
/// (<https://kubernetes.io/docs/concepts/workloads/controllers/deployment/>), or of its Argo Rollout.
#[must_use]
pub fn runs(annotations: &BTreeMap<String, String>, key: &RecordKey) -> bool {
    let instance = annotations.get(APPLICATION_INSTANCE).map(|instance| instance.trim());
    let same_instance = instance.is_none() || instance == key.instance.as_ref().map(ApplicationInstance::as_str);
    let names = annotations.get(PACTICIPANT).map(String::as_str).unwrap_or_default();
    same_instance && names.split(',').any(|name| name.trim() == key.pacticipant.as_str())
}

/// Whether a `ReplicaSet` was a revision of the Argo Rollout of this name: Rollouts name theirs by the hash that is its
/// label, and copy no annotations of a Deployment that they refer to.
#[must_use]
pub fn was_revision_of(set: &ObjectMeta, rollout: &str) -> bool {
    let hash = set.labels.as_ref().and_then(|labels| labels.get(HASH_LABEL));
    let part = set.name.as_deref().and_then(|name| name.strip_prefix(rollout)?.strip_prefix('-'));
    hash.is_some() && part == hash.map(String::as_str)
}

/// Whether a pod with the label [`REVISION`] was one of the `StatefulSet` or `DaemonSet` of this name: it has lost its
/// owner, it is not terminating, and its name is the workload's with one more part.
#[must_use]
pub fn was_of(pod: &ObjectMeta, workload: &str) -> bool {
    let name = pod.name.as_deref().unwrap_or_default();
    let part = name.strip_prefix(workload).and_then(|rest| rest.strip_prefix('-'));
    let owned = pod.owner_references.iter().flatten().any(|owner| owner.controller == Some(true));
    !owned && pod.deletion_timestamp.is_none() && part.is_some_and(|part| !part.is_empty() && !part.contains('-'))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        apimachinery::pkg::apis::meta::v1::{OwnerReference, Time},
        jiff::Timestamp,
    };

    use super::*;
    use crate::decide::record::fixtures::{key, key_of_instance, labels};

    #[test]
    fn case_99_a_replica_set_runs_what_its_annotations_say() {
        let (plain, blue) = (key("production", "orders"), key_of_instance("production", "orders", "blue"));
        for (annotations, expected) in [
            (&[(PACTICIPANT, "orders")][..], [true, true]),
            (&[(PACTICIPANT, "web, orders")], [true, true]),
            (&[(PACTICIPANT, "orders"), (APPLICATION_INSTANCE, "blue")], [false, true]),
            (&[(PACTICIPANT, "orders-api")], [false, false]),
            (&[], [false, false]),
        ] {
            let annotations = labels(annotations);
            assert_eq!([runs(&annotations, &plain), runs(&annotations, &blue)], expected, "{annotations:?}");
        }
    }

    #[test]
    fn case_99_a_replica_set_was_a_rollouts_by_its_name_and_hash() {
        let set = |name: &str, hash: Option<&str>| ObjectMeta {
            name: Some(name.into()),
            labels: hash.map(|hash| labels(&[(HASH_LABEL, hash)])),
            ..ObjectMeta::default()
        };
        assert!(was_revision_of(&set("orders-7d9f", Some("7d9f")), "orders"));
        for (name, hash) in [("orders-7d9f", None), ("orders-api-7d9f", Some("7d9f")), ("orders-7d9f", Some("aaaa"))] {
            assert!(!was_revision_of(&set(name, hash), "orders"), "{name} {hash:?}");
        }
    }

    #[test]
    fn case_99_a_pod_without_an_owner_was_the_workloads_by_its_name() {
        let pod = |name: &str| ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        for (name, expected) in [
            ("db-0", true),
            ("db-x7k2p", true),
            ("db-replica-0", false),
            ("dba-0", false),
            ("db", false),
            ("db-", false),
        ] {
            assert_eq!(was_of(&pod(name), "db"), expected, "{name}");
        }
        let owner = OwnerReference { controller: Some(true), ..OwnerReference::default() };
        assert!(!was_of(&ObjectMeta { owner_references: Some(vec![owner]), ..pod("db-0") }, "db"));
        let gone = Some(Time(Timestamp::UNIX_EPOCH));
        assert!(!was_of(&ObjectMeta { deletion_timestamp: gone, ..pod("db-0") }, "db"));
    }
}
