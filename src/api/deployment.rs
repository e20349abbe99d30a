//! `PactDeployment`: the operator's record of one record key.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many different versions that were recorded before are kept.
pub const HISTORY_LIMIT: usize = 50;

/// How many members are shown; the others are counted.
pub const MEMBERS_LIMIT: usize = 50;

/// How many earlier versions of a member are kept.
pub const EARLIER_LIMIT: usize = 5;

/// How many namespaces are remembered for which a version was recorded.
pub const RECORDED_FOR_LIMIT: usize = 100;

/// How many repositories of images are remembered of what is recorded.
pub const RECORDED_IMAGES_LIMIT: usize = 16;

/// How many announcements may wait for their delivery; when there are more, the oldest are dropped.
pub const ANNOUNCEMENTS_LIMIT: usize = 32;

/// What the operator knows of one pacticipant in one environment: the workloads that run it, the desired version, and
/// the recorded version.
///
/// Written by the operator only. It outlives its workloads and their namespaces. Deleting it loses history, and nothing
/// at the broker.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "pact-operator.dev",
    version = "v1alpha1",
    kind = "PactDeployment",
    shortname = "pactdep",
    category = "pact",
    status = "PactDeploymentStatus",
    derive = "PartialEq",
    doc = "The operator's record of one pacticipant in one environment. Written by the operator only.",
    printcolumn(name = "Pacticipant", type_ = "string", json_path = ".spec.pacticipant"),
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment", priority = 1),
    printcolumn(name = "Instance", type_ = "string", json_path = ".spec.applicationInstance", priority = 1),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".status.cluster", priority = 1),
    printcolumn(name = "Desired", type_ = "string", json_path = ".status.desiredVersion"),
    printcolumn(name = "Recorded", type_ = "string", json_path = ".status.recorded.version"),
    printcolumn(name = "Since", type_ = "date", json_path = ".status.recorded.at"),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.checks[0].verdict", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("the record key cannot be changed")
)]
pub struct PactDeploymentSpec {
    /// The name of the `PactBroker` at which the pacticipant is recorded.
    pub broker: String,
    /// The environment's name at the broker.
    pub environment: String,
    /// The pacticipant's name, exactly.
    pub pacticipant: String,
    /// The application instance, exactly; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub application_instance: Option<String>,
}

/// The desired and the recorded version.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PactDeploymentStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The name of the cluster in which the operator runs, if it has one (the chart's value `clusterName`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The workloads that run this pacticipant here.
    #[serde(default)]
    pub members: Vec<Member>,
    /// How many more workloads run it, of those that count for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_members: Option<i32>,
    /// The version that every member runs or is rolling out to; absent while they differ or none can be determined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired_version: Option<String>,
    /// The version that the operator last found recorded at the broker as desired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Recorded>,
    /// The namespaces of the workloads for which versions were recorded as deployed: a workload of another one that runs
    /// another version is a stranger. Absent while nothing is recorded, and where there are too many: then nobody is one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = RECORDED_FOR_LIMIT), extend("x-kubernetes-list-type" = "set"))]
    pub recorded_for: Vec<String>,
    /// The repositories of the images that the recorded version runs, without their registries, but for those that are named
    /// as the pacticipant is: a workload with another one probably has its name by mistake.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = RECORDED_IMAGES_LIMIT), extend("x-kubernetes-list-type" = "set"))]
    pub recorded_images: Vec<String>,
    /// The versions that the operator released and that still run, where releases are recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub supported: Vec<Recorded>,
    /// The different versions that were recorded before, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Recorded>,
    /// The gate's verdicts on the versions that run or are being rolled out, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// The versions that the operator is about to record, newest first: one of them that it finds at the broker is its own,
    /// although an answer was lost, or it ended in the middle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intended: Vec<String>,
    /// Since when no workload runs the pacticipant any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub orphaned_since: Option<Time>,
    /// The latest time of the operator's next attempt, while something is pending and tried every few seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_try: Option<Time>,
    /// The version for which the operator corrected another client's record once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_version: Option<String>,
    /// What is to be delivered to the sinks of the controller, oldest first, and the last one that was. Delivered ones are
    /// dropped with the next write. Empty where no sink is configured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = ANNOUNCEMENTS_LIMIT))]
    pub announcements: Vec<Announcement>,
    /// `Ready`, `Recorded`, `RecordPending`; `Mixed`, `VersionMissing`, `Contested`, `Orphaned`, `Bypassed`, `Stranger`,
    /// `Reconciling` and `Stalled` while they are true.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// One workload that runs the pacticipant.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// `Deployment`, `StatefulSet`, `DaemonSet`, `Rollout` or `CronJob`.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its version, if one can be determined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Versions that it had since its last finished rollout, newest first: pods of them may still run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_versions: Vec<String>,
    /// Its rollout: `Complete`, `ScaledToZero`, `Progressing`, `Terminating`, `Mixed`, `Paused`, `Failed` or `Deleting`.
    pub rollout: String,
    /// Whether it has no pods: its version does not count while another member has some.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_pods: bool,
    /// Why it has no version, why it delays the record, or that it does not count for the record (`Stranger`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// A version as it was recorded.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    /// The version.
    pub version: String,
    /// The uuid of the broker's row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// When the operator recorded it, or first saw it recorded.
    pub at: Time,
    /// Whether the operator found it recorded, by a pipeline or another cluster, and did not write it itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub found: bool,
    /// Whether the gate would have denied it all the time that it was recorded: then going back to it is no way back.
    /// Absent while there is no verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_deny: Option<bool>,
}

/// Something that happened to the pacticipant here and is delivered to the sinks of the controller.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Announcement {
    /// Its number, which grows with each announcement of this object.
    pub sequence: i64,
    /// `Deployed`, `Upgraded`, `RolledBack`, `Removed`, `Drift`, `WouldDeny` or `Bypassed`.
    pub kind: String,
    /// When the operator found it.
    pub at: Time,
    /// The version that it is about.
    pub version: String,
    /// The version that was recorded before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<String>,
    /// Workloads that run the pacticipant, or ran it: the first five.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<String>,
    /// For people: more about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The sinks that were configured when it happened: `cdevents`, `webhook`.
    pub sinks: Vec<String>,
}

/// How many checks are kept: for the versions that run, and for those that are being rolled out.
pub const CHECKS_LIMIT: usize = 4;
/// How many pairs of a check are kept; the others are counted.
pub const PAIRS_LIMIT: usize = 20;

/// The result of can-i-deploy for a version in this environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// The version.
    pub version: String,
    /// `Yes`, `YesVacuous`, `No`, `Unknown`, `VersionMissing`, `PacticipantUnknown`, `EnvironmentMissing`,
    /// `Unauthorized` or `BrokerUnavailable`; `Unchecked` while the broker has not answered yet.
    pub verdict: String,
    /// Why the verdict is `YesVacuous`, where that is known: `Contentless` (the version is empty at the broker),
    /// `NoCounterpart` (it has no pacts, and no application here has one with it) or `Ignored` (its pacts are with ignored
    /// applications).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vacuous: Option<String>,
    /// Whether the gate would deny the version if the environment's mode were `Enforce`.
    pub would_deny: bool,
    /// For people: the pair that fails, or why there is no answer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when the verdict has been this one.
    pub since: Time,
    /// The pairs that were checked, failing ones first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pairs: Vec<CheckedPair>,
    /// How many more pairs there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_pairs: Option<i32>,
}

/// A consumer version and a provider version that must be compatible.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CheckedPair {
    /// The consumer.
    pub consumer: String,
    /// Its version.
    pub consumer_version: String,
    /// The provider.
    pub provider: String,
    /// Its version; absent when none is deployed or released in the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_version: Option<String>,
    /// `Verified`, `Failed`, `Unverified` or `NotDeployed`.
    pub result: String,
}
