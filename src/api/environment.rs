//! `PactEnvironment`: which namespaces belong to which environment of a broker, and the rules for them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gate::{GateMode, GatePolicy};

/// An environment of a Pact Broker, the namespaces that belong to it, and the rules for what is recorded there.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "pact-operator.dev",
    version = "v1alpha1",
    kind = "PactEnvironment",
    shortname = "pactenv",
    category = "pact",
    status = "PactEnvironmentStatus",
    derive = "PartialEq",
    doc = "An environment of a Pact Broker and the namespaces that belong to it.",
    printcolumn(name = "Broker", type_ = "string", json_path = ".spec.brokerRef.name", priority = 1),
    printcolumn(name = "Environment", type_ = "string", json_path = ".status.environment"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".status.mode"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Namespaces", type_ = "integer", json_path = ".status.namespaces", priority = 1),
    printcolumn(name = "Workloads", type_ = "integer", json_path = ".status.workloads"),
    printcolumn(name = "Recorded", type_ = "integer", json_path = ".status.recorded"),
    printcolumn(name = "Orphaned", type_ = "integer", json_path = ".status.orphaned", priority = 1),
    printcolumn(name = "Would-Deny", type_ = "integer", json_path = ".status.wouldDeny"),
    printcolumn(name = "Unchecked", type_ = "integer", json_path = ".status.unchecked"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.environment) == has(oldSelf.environment)")
        .message("environment cannot be added or removed later: make a new PactEnvironment"),
    validation = Rule::new("has(self.applicationInstance) == has(oldSelf.applicationInstance)")
        .message("applicationInstance cannot be added or removed later: make a new PactEnvironment"),
    // An object that was stored with both goes on: the API server refuses only what changes.
    validation = Rule::new("!has(self.applicationInstance) || self.record.kind != 'Release'")
        .message("record.kind: Release takes no applicationInstance: a broker keeps releases without one")
)]
pub struct PactEnvironmentSpec {
    /// The `PactBroker` at which the environment is.
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("brokerRef cannot be changed: make a new PactEnvironment")
    )]
    pub broker_ref: BrokerRef,

    /// The environment's name at the broker. Defaults to this object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("environment cannot be changed: make a new PactEnvironment"),
        validation = Rule::new("!self.matches('[[:space:][:cntrl:]]')")
            .message("an environment's name holds no white space and no control characters")
    )]
    pub environment: Option<String>,

    /// Which permanent copy of its applications this cluster runs, where several clusters share one environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("applicationInstance cannot be changed: make a new PactEnvironment"),
        validation = Rule::new("self.matches('[^[:space:]]') && !self.matches('[[:cntrl:]]')")
            .message("an application instance is not empty and holds no control characters")
    )]
    pub application_instance: Option<String>,

    /// The namespaces whose workloads run in this environment.
    pub namespaces: Namespaces,

    /// Whether a namespace of this environment may belong to other environments, too. Each of them must allow it.
    #[serde(default)]
    pub overlap: Overlap,

    /// Which of the namespaces may speak for which pacticipants. All rules that match a pacticipant count together; one
    /// that no rule matches may be named by each namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub owners: Vec<OwnerRule>,

    /// What is recorded, and when a record is taken back.
    #[serde(default)]
    pub record: RecordPolicy,

    /// How the version of a workload is determined.
    #[serde(default)]
    pub version: VersionPolicy,

    /// What happens to a rollout for which can-i-deploy does not answer yes.
    #[serde(default)]
    pub gate: GatePolicy,

    /// Create the environment at the broker if it does not exist. Without this block it is never created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<CreateEnvironment>,
}

/// A `PactBroker` by name.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
pub struct BrokerRef {
    /// The name of the `PactBroker`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which namespaces: the named ones, and those that the selector matches.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new(
        "(has(self.all) && self.all) || !has(self.selector) || \
         (has(self.selector.matchLabels) && self.selector.matchLabels.size() > 0) || \
         (has(self.selector.matchExpressions) && self.selector.matchExpressions.size() > 0)"
    ).message("an empty selector would match every namespace: say all: true if that is meant"),
    validation = Rule::new(
        "(has(self.all) && self.all) || has(self.selector) || (has(self.names) && self.names.size() > 0)"
    ).message("name at least one namespace, give a selector, or say all: true")
)]
pub struct Namespaces {
    /// Namespaces by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), extend("x-kubernetes-list-type" = "set", "items" = namespace_name("patterns are not read: select namespaces by their labels with namespaces.selector")))]
    pub names: Vec<String>,
    /// Namespaces by their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// Every namespace of the cluster.
    #[serde(default)]
    pub all: bool,
}

/// The schema of a namespace's name. The rule stands at the item, so that the refusal shows which name is meant.
fn namespace_name(remedy: &str) -> serde_json::Value {
    serde_json::json!({
        "type": "string",
        "maxLength": 63,
        "x-kubernetes-validations": [{
            "rule": "self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
            "message": format!(
                "not the name of a namespace, which is made of lower-case letters, digits and -; {remedy}"
            ),
        }],
    })
}

/// Which namespaces may speak for some pacticipants. A workload of another namespace that names one is not recorded for
/// it, and the gate treats it as one that does not say what it is.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
pub struct OwnerRule {
    /// Globs of pacticipants' names; `*` stands for any characters, and case does not count.
    #[schemars(
        length(min = 1, max = 64),
        inner(length(min = 1, max = 255), regex(pattern = r"\S")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub pacticipants: Vec<String>,
    /// The names of the namespaces that may speak for them.
    #[schemars(
        length(min = 1, max = 64),
        extend("x-kubernetes-list-type" = "set", "items" = namespace_name("patterns are not read: name each namespace"))
    )]
    pub namespaces: Vec<String>,
}

/// Whether environments may share a namespace.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Overlap {
    /// A namespace that another environment claims, too, is in conflict: nothing is recorded for it.
    #[default]
    Deny,
    /// A namespace may belong to several environments, if each of them allows it.
    Allow,
}

/// What is recorded, and when a record is taken back.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RecordPolicy {
    /// Whether versions are recorded as deployed (one at a time) or as released (several at once).
    #[serde(default)]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("record.kind cannot be changed: make a new PactEnvironment")
    )]
    pub kind: RecordKind,
    /// How long a workload must be gone before its record is taken back, in seconds.
    #[serde(default = "default_undeploy_grace_seconds")]
    #[schemars(range(min = 0, max = 604_800))]
    pub undeploy_grace_seconds: i32,
    /// Whether a record is taken back at all. `Never` is for a cluster that is being drained while another one takes over
    /// under the same record.
    #[serde(default)]
    pub undeploy: Undeploy,
    /// Whether records that were there before the operator wrote any are taken back, too, once no workload runs them. A new
    /// version that finishes replaces them in any case.
    #[serde(default)]
    pub adopt: bool,
}

impl Default for RecordPolicy {
    fn default() -> Self {
        Self {
            kind: RecordKind::default(),
            undeploy_grace_seconds: default_undeploy_grace_seconds(),
            undeploy: Undeploy::default(),
            adopt: false,
        }
    }
}

/// Whether the record of an application that no workload runs any more is taken back.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Undeploy {
    /// After the grace.
    #[default]
    AfterGrace,
    /// Never: the record stays.
    Never,
}

fn default_undeploy_grace_seconds() -> i32 {
    600
}

/// Which of Pact's two records is written.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RecordKind {
    /// `record-deployment`: one version at a time for each application instance.
    #[default]
    Deployment,
    /// `record-release`: several versions may be supported at once; support ends when no workload runs one any more.
    Release,
}

/// How the version of a workload is determined.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VersionPolicy {
    /// Whether the annotation `pact-operator.dev/version` counts.
    #[serde(default)]
    pub annotation: AnnotationPolicy,
    /// A regular expression with a group named `version` that takes the version out of an image tag, such as
    /// `^release-(?P<version>.+)$`. It is searched anywhere in the tag: `^` and `$` pin it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    #[x_kube(
        // A pattern that does not compile makes the evaluation fail, which is a refusal.
        validation = Rule::new("''.matches(self) in [true, false]")
            .message("tagPattern must be a regular expression in the syntax of RE2 (no look-around, no back-references)"),
        // Without its escaped characters, or `\(?P<version>` would count as a group.
        validation = Rule::new(
            "self.replace('\\\\\\\\', '').replace('\\\\(', '').matches('[(][?]P?<version>')"
        ).message("tagPattern needs a group named version, for example ^v(?P<version>.+)$")
    )]
    pub tag_pattern: Option<String>,
    /// Whether the label `app.kubernetes.io/version` is used where the image tag gives no version.
    #[serde(default)]
    pub label: LabelPolicy,
    /// Whether the annotation `pact-operator.dev/application-instance` may make a workload a copy of its own.
    #[serde(default)]
    pub application_instance: ApplicationInstancePolicy,
    /// Texts that are never a version; `*` stands for any characters. `latest` and bare digests never are a version.
    #[serde(default = "default_denied_versions")]
    #[schemars(length(max = 100))]
    pub denied: Vec<String>,
}

impl Default for VersionPolicy {
    fn default() -> Self {
        Self {
            annotation: AnnotationPolicy::default(),
            tag_pattern: None,
            label: LabelPolicy::default(),
            application_instance: ApplicationInstancePolicy::default(),
            denied: default_denied_versions(),
        }
    }
}

/// What is never a version unless an environment's rules allow it: names that teams move from build to build, and marks
/// of builds that were not published (cases 12 and 17). `*` stands for any characters.
pub const DEFAULT_DENIED_VERSIONS: &[&str] = &[
    "dev",
    "devel",
    "develop",
    "development",
    "edge",
    "head",
    "latest-*",
    "*-latest",
    "local",
    "main",
    "master",
    "nightly",
    "prod",
    "production",
    "snapshot",
    "stable",
    "staging",
    "trunk",
    "undefined",
    "unknown",
    "unstable",
    "*-dirty",
    "*.dirty",
    "*-snapshot",
];

fn default_denied_versions() -> Vec<String> {
    DEFAULT_DENIED_VERSIONS.iter().map(|&denied| denied.to_owned()).collect()
}

/// Whether an explicit version annotation counts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AnnotationPolicy {
    /// The annotation states the version.
    #[default]
    Allow,
    /// Versions come from image tags (or the label) only.
    Refuse,
}

/// Whether the version label counts.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LabelPolicy {
    /// The label is not read.
    #[default]
    Ignore,
    /// The label states the version where the image tag does not.
    Use,
}

/// Whether a workload may name an application instance of its own.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ApplicationInstancePolicy {
    /// The annotation makes the workload a permanent copy of its own, beside the others.
    #[default]
    Allow,
    /// A workload with the annotation is not recorded, and the gate treats it as one that does not say what it is.
    Refuse,
}

/// How the environment is created at the broker.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CreateEnvironment {
    /// The display name. Defaults to the environment's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub display_name: Option<String>,
    /// Whether it is a production environment. A label at the broker; the operator decides nothing by it.
    pub production: bool,
}

/// The condition that is true once all that runs in an environment was listed: before that, nothing is denied.
pub const MEMBERS_LISTED: &str = "MembersListed";

/// What the operator observed of an environment.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct PactEnvironmentStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The environment's name at the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The environment's uuid at the broker. Read again whenever the broker no longer knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_uuid: Option<String>,
    /// How many namespaces belong to it, including those in conflict.
    #[serde(default)]
    pub namespaces: i32,
    /// How many annotated workloads run in those namespaces.
    #[serde(default)]
    pub workloads: i32,
    /// How many pacticipants (and instances of them) are recorded at the broker as they run.
    #[serde(default)]
    pub recorded: i32,
    /// The gate's effective mode: `Warn` while `Enforce` waits for what runs to be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<GateMode>,
    /// How many records no workload runs any more: they are taken back after the grace.
    #[serde(default)]
    pub orphaned: i32,
    /// How many of the running versions would be denied if the mode were `Enforce`.
    #[serde(default)]
    pub would_deny: i32,
    /// How many of the running versions have no verdict (yet).
    #[serde(default)]
    pub unchecked: i32,
    /// `Ready`, `EnvironmentExists`, `Conflicted`, `NamespacesFound`, `MembersListed`; `OwnersRespected` where
    /// `spec.owners` has rules; `UndeploysHeld`, `PacticipantsLimited` and `RolloutsHeld` while they are true.
    #[serde(default)]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}
