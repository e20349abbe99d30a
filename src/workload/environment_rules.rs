//! A `PactEnvironment` parsed once: which namespaces it claims, where it records, and how it determines versions.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

use super::{
    DenyList, EnvironmentClaim, EnvironmentRef, NamespaceSelector, OwnInstance, Owners, TagPattern, VersionRules,
};
use crate::api::{
    PactEnvironment,
    annotations::CONFIRM_UNDEPLOY,
    environment::{AnnotationPolicy, ApplicationInstancePolicy, LabelPolicy, Overlap, RecordKind, Undeploy},
    gate::GatePolicy,
    names::{ApplicationInstance, EnvironmentName},
};

/// The content of a `PactEnvironment`, parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvironmentRules {
    /// The object's name.
    pub object: String,
    /// Which namespaces it claims.
    pub claim: EnvironmentClaim,
    /// Where its workloads are recorded.
    pub environment_ref: EnvironmentRef,
    /// The application instance of workloads that name none.
    pub instance: Option<ApplicationInstance>,
    /// How versions are determined.
    pub version: VersionRules,
    /// Which namespaces may speak for which pacticipants.
    pub owners: Owners,
    /// Which record is written.
    pub kind: RecordKind,
    /// When a record is taken back.
    pub removal: RemovalRules,
}

/// When the record of an application that no workload runs any more is taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovalRules {
    /// How long the workload must be gone.
    pub grace: Duration,
    /// Whether it is taken back at all.
    pub undeploys: bool,
    /// Whether that goes for records that somebody else wrote, too.
    pub adopts: bool,
    /// Up to when records may be taken back although many vanished at once, as a person confirmed.
    pub confirmed: Option<Timestamp>,
}

/// Why a `PactEnvironment` cannot be used. Its claim is kept where possible, so that it still conflicts.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokenRules {
    /// The object's name.
    pub object: String,
    /// Which namespaces it claims, if the claim can be parsed.
    pub claim: Option<EnvironmentClaim>,
    /// Where it would record, if that part can be parsed.
    pub environment_ref: Option<EnvironmentRef>,
    /// Its gate block, if the object can be read: that has no value that cannot be followed.
    pub gate: Option<GatePolicy>,
    /// What is wrong, and the remedy.
    pub problem: String,
}

impl BrokenRules {
    /// The usual rules in its place, for as long as its own cannot be followed: they say enough of a workload to see what
    /// changes. `None` when it claims nothing that can be read.
    #[must_use]
    pub fn usual_rules(&self) -> Option<EnvironmentRules> {
        // An environment is called as its object is, unless it says otherwise.
        let environment_ref = match &self.environment_ref {
            Some(known) => known.clone(),
            None => EnvironmentRef { broker: String::new(), environment: EnvironmentName::parse(&self.object).ok()? },
        };
        Some(EnvironmentRules {
            object: self.object.clone(),
            claim: self.claim.clone()?,
            environment_ref,
            instance: None,
            version: VersionRules::default(),
            owners: Owners::default(),
            kind: RecordKind::default(),
            removal: RemovalRules { grace: Duration::ZERO, undeploys: false, adopts: false, confirmed: None },
        })
    }
}

/// Parses a `PactEnvironment`.
/// # Errors
/// When a name in it is invalid, its selector is invalid, or its pattern does not compile.
pub fn parse(environment: &PactEnvironment) -> Result<EnvironmentRules, Box<BrokenRules>> {
    let spec = &environment.spec;
    let object = environment.name_any();
    let mut broken = BrokenRules {
        object: object.clone(),
        claim: None,
        environment_ref: None,
        gate: Some(spec.gate.clone()),
        problem: String::new(),
    };
    let broken_at = |mut broken: BrokenRules, field: &str, problem: String| {
        broken.problem = format!("spec.{field}: {problem}");
        Box::new(broken)
    };

    // Claim and environment are parsed independently: a fault in one must not hide the other, or more than this
    // environment would be blocked.
    let claim = NamespaceSelector::parse(
        spec.namespaces.names.iter().cloned(),
        spec.namespaces.selector.as_ref(),
        spec.namespaces.all,
    )
    .map(|selector| EnvironmentClaim {
        name: object.clone(),
        selector,
        overlap_allowed: spec.overlap == Overlap::Allow,
    });
    let environment_ref = EnvironmentName::parse(spec.environment.as_deref().unwrap_or(&object))
        .map(|environment| EnvironmentRef { broker: spec.broker_ref.name.clone(), environment });
    broken.claim = claim.as_ref().ok().cloned();
    broken.environment_ref = environment_ref.as_ref().ok().cloned();
    let claim = claim.map_err(|problem| broken_at(broken.clone(), "namespaces.selector", problem.to_string()))?;
    let environment_ref =
        environment_ref.map_err(|problem| broken_at(broken.clone(), "environment", problem.to_string()))?;

    let instance = spec
        .application_instance
        .as_deref()
        .map(ApplicationInstance::parse)
        .transpose()
        .map_err(|problem| broken_at(broken.clone(), "applicationInstance", problem.to_string()))?;
    let tag_pattern = spec
        .version
        .tag_pattern
        .as_deref()
        .map(TagPattern::parse)
        .transpose()
        .map_err(|problem| broken_at(broken.clone(), "version.tagPattern", problem.to_string()))?;

    Ok(EnvironmentRules {
        object,
        claim,
        environment_ref,
        instance,
        version: VersionRules {
            annotation_allowed: spec.version.annotation == AnnotationPolicy::Allow,
            use_label: spec.version.label == LabelPolicy::Use,
            tag_pattern,
            denied: DenyList::new(&spec.version.denied),
            own_instance: match (spec.record.kind, spec.version.application_instance) {
                (RecordKind::Release, _) => OwnInstance::OfRelease,
                (RecordKind::Deployment, ApplicationInstancePolicy::Refuse) => OwnInstance::Refused,
                (RecordKind::Deployment, ApplicationInstancePolicy::Allow) => OwnInstance::Allowed,
            },
        },
        owners: Owners::new(&spec.owners),
        kind: spec.record.kind,
        removal: RemovalRules {
            grace: Duration::from_secs(u64::try_from(spec.record.undeploy_grace_seconds).unwrap_or(0)),
            undeploys: spec.record.undeploy == Undeploy::AfterGrace,
            adopts: spec.record.adopt,
            // One that is no time confirms nothing.
            confirmed: environment.annotations().get(CONFIRM_UNDEPLOY).and_then(|time| time.trim().parse().ok()),
        },
    })
}

#[cfg(test)]
#[path = "environment_rules_tests.rs"]
mod tests;
