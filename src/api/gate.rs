//! The gate block of a `PactEnvironment`: what becomes of a rollout that can-i-deploy does not agree with.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of a rollout that can-i-deploy does not agree with.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct GatePolicy {
    /// How far the gate may go. Until an administrator writes `Enforce`, nobody is ever held up.
    #[serde(default)]
    pub mode: GateMode,
    /// What is done for each verdict, as far as the mode allows it.
    #[serde(default)]
    pub actions: GateActions,
    /// What is done about a version that was recorded in this environment before: in an incident, holding up the way
    /// back is mostly worse than what it may break.
    #[serde(default)]
    pub rollback: RollbackPolicy,
    /// Applications that are left out of the question, for a reason and mostly for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ignore: Vec<Ignore>,
}

/// How far the gate may go.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum GateMode {
    /// Nothing is asked at admission.
    Off,
    /// Everything is asked and told in Events, logs and metrics; nobody is held up, or warned of a verdict.
    #[default]
    Audit,
    /// What would be denied is admitted with a warning.
    Warn,
    /// What the actions deny is denied, once the environment's inventory has been recorded.
    Enforce,
}

impl GateMode {
    /// The mode as it is written in a `PactEnvironment`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "Off",
            Self::Audit => "Audit",
            Self::Warn => "Warn",
            Self::Enforce => "Enforce",
        }
    }
}

/// What is done for a verdict, in rising order.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateAction {
    /// Admitted without a word.
    Allow,
    /// Admitted with a warning.
    Warn,
    /// Denied.
    Deny,
}

/// What is done for each verdict. `Yes` is always allowed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GateActions {
    /// Nothing had to be checked: no application in the environment has a pact with this one. `Deny` asks for evidence.
    #[serde(default = "warn")]
    pub yes_vacuous: GateAction,
    /// The verdict `No`: a verification failed. (Not called `no`, which YAML takes for a boolean.)
    #[serde(default = "deny")]
    pub failed: GateAction,
    /// A verification that is needed has no result yet.
    #[serde(default = "deny")]
    pub unknown: GateAction,
    /// The broker knows the application, but not this version of it.
    #[serde(default = "deny")]
    pub version_missing: GateAction,
    /// The broker does not know the application.
    #[serde(default = "warn")]
    pub pacticipant_unknown: GateAction,
    /// The broker does not have the environment: the platform's fault, not the developer's.
    #[serde(default = "warn")]
    pub environment_missing: GateAction,
    /// The broker does not take the operator's credentials: the platform's fault, too.
    #[serde(default = "warn")]
    pub unauthorized: GateAction,
    /// The broker gave no answer in time.
    #[serde(default = "warn")]
    pub broker_unavailable: GateAction,
    /// The workload does not say which pacticipant it is at which version.
    #[serde(default = "deny")]
    pub unidentified: GateAction,
    /// The version annotation and the image tag disagree.
    #[serde(default = "deny")]
    pub version_mismatch: GateAction,
}

fn warn() -> GateAction {
    GateAction::Warn
}

fn deny() -> GateAction {
    GateAction::Deny
}

impl Default for GateActions {
    /// The recommended actions (docs/contributing/rules.md#verdicts-and-default-actions).
    fn default() -> Self {
        Self {
            yes_vacuous: GateAction::Warn,
            failed: GateAction::Deny,
            unknown: GateAction::Deny,
            version_missing: GateAction::Deny,
            pacticipant_unknown: GateAction::Warn,
            environment_missing: GateAction::Warn,
            unauthorized: GateAction::Warn,
            broker_unavailable: GateAction::Warn,
            unidentified: GateAction::Deny,
            version_mismatch: GateAction::Deny,
        }
    }
}

/// What is done about a version that was recorded before. The version that is recorded now is always allowed, without
/// asking anybody.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RollbackPolicy {
    /// Nothing is asked.
    Skip,
    /// It is asked, and warned about at most.
    #[default]
    Warn,
    /// It is treated like any other version.
    Enforce,
}

/// An application, or one version of it, that is left out of the question.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Ignore {
    /// The application's name at the broker.
    #[schemars(length(min = 1, max = 255))]
    pub pacticipant: String,
    /// Only this version of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub version: Option<String>,
    /// Why, for those who come later.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Until when. Without it, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}
