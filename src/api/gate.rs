//! The gate block of a `PactEnvironment`: what happens to a rollout for which can-i-deploy does not answer yes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What happens to a rollout for which can-i-deploy does not answer yes.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Default)]
#[serde(rename_all = "camelCase")]
pub struct GatePolicy {
    /// How far the gate may go. Until an administrator writes `Enforce`, no rollout is ever blocked.
    #[serde(default)]
    pub mode: GateMode,
    /// How far the gate may go when the request is a dry-run. Flux makes one of a whole Kustomization, and applies nothing of
    /// it when one object is denied.
    #[serde(default)]
    pub dry_run: DryRun,
    /// The action for each verdict, as far as the mode allows it.
    #[serde(default)]
    pub actions: GateActions,
    /// The action for a version that was recorded in this environment before: in an incident, blocking a rollback is
    /// mostly worse than what it may break.
    #[serde(default)]
    pub rollback: RollbackPolicy,
    /// How versions count that are rolling out and that the broker does not have yet.
    #[serde(default)]
    pub in_flight: InFlight,
    /// Applications that the check ignores, for a reason and mostly for a time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub ignore: Vec<Ignore>,
    /// Admit a Deployment paused, instead of denying it, while a verification that its version needs has no result. It
    /// counts in the mode `Enforce`, where the action for `unknown` is `Deny` and the chart's `webhook.hold.enabled` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldPolicy>,
}

/// How a rollout is held whose verification is on its way.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HoldPolicy {
    /// After how many seconds without a result this is reported. The Deployment stays paused all the same, and a result
    /// that comes later resumes it.
    #[serde(default = "default_deadline_seconds")]
    #[schemars(range(min = 1, max = 604_800))]
    pub deadline_seconds: u32,
}

fn default_deadline_seconds() -> u32 {
    1_800
}

impl Default for HoldPolicy {
    fn default() -> Self {
        Self { deadline_seconds: default_deadline_seconds() }
    }
}

/// How far the gate may go.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum GateMode {
    /// Nothing is checked at admission.
    Off,
    /// Everything is checked and reported in Events, logs and metrics; no rollout is blocked, and no verdict becomes a
    /// warning.
    #[default]
    Audit,
    /// A rollout that would be denied is admitted with a warning.
    Warn,
    /// A rollout whose action is `Deny` is denied, once all that runs in the environment was listed.
    Enforce,
}

impl GateMode {
    /// The mode as written in a `PactEnvironment`.
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

/// What a dry-run is answered.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DryRun {
    /// What the real request will be answered.
    #[default]
    Full,
    /// A warning at most: only the real request is denied.
    Warn,
}

/// The action for a verdict, from the mildest to the strictest.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateAction {
    /// Admitted without a warning.
    Allow,
    /// Admitted with a warning.
    Warn,
    /// Denied.
    Deny,
}

/// The action for each verdict. `Yes` is always allowed.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct GateActions {
    /// Nothing had to be checked: no application in the environment has a pact with this one. `Deny` requires evidence.
    #[serde(default = "warn")]
    pub yes_vacuous: GateAction,
    /// The verdict `No`: a verification failed. (Not called `no`, which YAML takes for a boolean.)
    #[serde(default = "deny")]
    pub failed: GateAction,
    /// A required verification has no result yet.
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
    /// The broker refuses the operator's credentials: the platform's fault, too.
    #[serde(default = "warn")]
    pub unauthorized: GateAction,
    /// The broker gave no answer in time.
    #[serde(default = "warn")]
    pub broker_unavailable: GateAction,
    /// The workload does not state which pacticipant it is at which version.
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

/// The action for a version that was recorded before. The currently recorded version is always allowed, without asking
/// the broker.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RollbackPolicy {
    /// Nothing is checked.
    Skip,
    /// The version is checked, and at most a warning is given.
    #[default]
    Warn,
    /// The version is treated like any other.
    Enforce,
}

/// How a version counts that is rolling out in the environment and that the broker does not have yet.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum InFlight {
    /// It counts like one that is recorded there.
    #[default]
    Count,
    /// It counts as there; a verification with it that failed or is missing only causes a warning.
    Warn,
    /// It does not count.
    Ignore,
}

/// An application, or one version of it, that the check of others ignores. What is deployed of the application itself is
/// checked all the same.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Ignore {
    /// The application's name at the broker.
    #[schemars(length(min = 1, max = 255))]
    pub pacticipant: String,
    /// Only this version of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub version: Option<String>,
    /// Only when one of these applications is deployed; without it, whichever is.
    #[serde(rename = "for", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    pub applies_to: Vec<String>,
    /// Why, for later readers.
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// Until when. Without it, permanently.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
}
