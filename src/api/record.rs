//! `PactRecord`: what a team puts beside a workload in Git, to wait until the version that the workload runs is recorded.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many records of a workload are shown; the others are counted.
pub const RECORDS_LIMIT: usize = 64;

/// Shows whether the version that a workload runs is recorded at the broker, so that other tools can wait for that.
///
/// Whoever wants one creates it, beside the workload. The operator writes its status and nothing else.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "pact-operator.dev",
    version = "v1alpha1",
    kind = "PactRecord",
    namespaced,
    shortname = "pactrec",
    category = "pact",
    status = "PactRecordStatus",
    derive = "PartialEq",
    doc = "Whether the version that a workload of the same namespace runs is recorded at the broker.",
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.workloadRef.kind", priority = 1),
    printcolumn(name = "Workload", type_ = "string", json_path = ".spec.workloadRef.name"),
    printcolumn(name = "Waits-For", type_ = "string", json_path = ".spec.version", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Recorded", type_ = "string", json_path = ".status.conditions[?(@.type==\"Recorded\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PactRecordSpec {
    /// The workload, in the namespace of this object.
    pub workload_ref: WorkloadReference,
    /// The version that is waited for, as the workload states it. A change of it is a new generation of this object, so
    /// that what was true of the version before is not taken for an answer. Without it, the answer is about whatever the
    /// workload ran when the operator last looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(
        validation = Rule::new("!self.matches('[[:cntrl:]]') && !self.matches('^[[:space:]]|[[:space:]]$')")
            .message("a version holds no control characters, and no white space at its ends")
    )]
    pub version: Option<String>,
}

/// A workload by kind and name.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadReference {
    /// The API group and version of the kind, such as `apps/v1`; only the group counts. Without it, the kind alone says
    /// what is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9][a-z0-9]*$')")
            .message("not a group and version such as apps/v1")
    )]
    pub api_version: Option<String>,
    /// The kind: one that the operator records.
    #[serde(default = "deployment")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(
        validation = Rule::new("self.matches('^[A-Z][A-Za-z0-9]*$')")
            .message("not the name of a kind, such as Deployment or StatefulSet")
    )]
    pub kind: String,
    /// The name.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(
        validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')")
            .message("not the name of an object, which is made of lower-case letters, digits, - and .")
    )]
    pub name: String,
}

fn deployment() -> String {
    "Deployment".to_owned()
}

/// Whether the version that the workload runs is recorded.
// The default is for kstatus, which takes an object without a status for one that is as it should be.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = {"observedGeneration": -1}))]
pub struct PactRecordStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The generation of the workload that this status describes. Absent while there is no such workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_generation: Option<i64>,
    /// The version of the workload. Absent where it has none, or its environments find different ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What is recorded, for each environment of the namespace and each pacticipant of the workload.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = RECORDS_LIMIT))]
    pub records: Vec<WorkloadRecord>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_records: Option<i32>,
    /// `Ready` and `Recorded`, which say the same; `Reconciling` and `Stalled` while they are true.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// What is recorded of one pacticipant of a workload in one environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRecord {
    /// The name of the `PactBroker`.
    pub broker: String,
    /// The environment's name at the broker.
    pub environment: String,
    /// The pacticipant.
    pub pacticipant: String,
    /// The application instance; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_instance: Option<String>,
    /// The version that is recorded; where releases are recorded, that of the workload if it is, or else the newest. Absent
    /// while none is, and where the workload has no say in the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<String>,
    /// `Recorded`, or why the version of the workload is not recorded.
    pub reason: String,
}
