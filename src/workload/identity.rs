//! Which pacticipants a workload runs, at which version: one function for the recorder and the gate.

use thiserror::Error;

use super::version;
use super::version_rules::OwnInstance;
use super::{ResolvedVersion, StaleSource, VersionProblem, VersionRules, Workload, WorkloadRef};
use crate::api::annotations;
use crate::api::names::{ApplicationInstance, NameError, Pacticipant};

/// The longest pacticipant annotation accepted, in bytes: room for [`MAX_PACTICIPANTS`] names of the greatest length.
pub const MAX_ANNOTATION_BYTES: usize = 4096;
/// The most pacticipants that one workload may run (case 23). Each costs requests at the broker.
pub const MAX_PACTICIPANTS: usize = 16;

/// The identity of a workload at the broker, under the rules of one environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The pacticipants it runs, each once, in the order written; never empty.
    pub pacticipants: Vec<Pacticipant>,
    /// The version of all pacticipants, or why there is none.
    pub version: Result<ResolvedVersion, VersionProblem>,
    /// The workload's own application instance; `Ok(None)` leaves it to the environment.
    pub application_instance: Result<Option<ApplicationInstance>, IdentityProblem>,
}

/// Why the annotation does not name the pacticipants of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdentityProblem {
    /// The annotation, or an item between its commas, is empty.
    #[error(
        "the annotation {} holds an empty name: write the pacticipant's name as it published its pacts under, several \
         separated by single commas, or remove the annotation",
        annotations::PACTICIPANT
    )]
    EmptyPacticipant,
    /// An item is not a name that a broker can hold.
    #[error("the annotation {annotation}: {0}: correct the name", annotation = annotations::PACTICIPANT)]
    InvalidPacticipant(#[source] NameError),
    /// More names than one workload may run.
    #[error(
        "the annotation {} holds {count} names, more than the {MAX_PACTICIPANTS} that one workload may run: split the \
         workload, or name fewer",
        annotations::PACTICIPANT
    )]
    TooMany {
        /// How many different names the annotation holds.
        count: usize,
    },
    /// The annotation is longer than any sensible list of names.
    #[error(
        "the annotation {} has {bytes} bytes, more than the {MAX_ANNOTATION_BYTES} allowed: it should hold nothing but \
         pacticipant names",
        annotations::PACTICIPANT
    )]
    TooLong {
        /// How many bytes the annotation has.
        bytes: usize,
    },
    /// A Rollout is annotated, and the Deployment whose pod template it uses is not, or otherwise.
    #[error(
        "the {0}, whose pod template it uses, does not have the same annotations: the gate judges changes of that one, so \
         annotate it, and not the Rollout"
    )]
    OtherThanTemplate(WorkloadRef),
    /// The application instance is invalid.
    #[error("the annotation {annotation}: {0}: correct or remove it", annotation = annotations::APPLICATION_INSTANCE)]
    InvalidApplicationInstance(#[source] NameError),
    /// The environment refuses application instances of workloads.
    #[error(
        "the environment refuses the annotation {}: remove it, or have version.applicationInstance of the \
         PactEnvironment set to Allow",
        annotations::APPLICATION_INSTANCE
    )]
    ApplicationInstanceRefused,
    /// The environment records releases.
    #[error(
        "the environment records releases, which have no application instance at the broker: remove the annotation {}",
        annotations::APPLICATION_INSTANCE
    )]
    ApplicationInstanceOfRelease,
}

impl IdentityProblem {
    /// The reason in a condition or an Event.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::EmptyPacticipant => "PacticipantEmpty",
            Self::OtherThanTemplate(_) => "TemplateDiffers",
            Self::InvalidPacticipant(_) => "PacticipantInvalid",
            Self::TooMany { .. } | Self::TooLong { .. } => "PacticipantsTooMany",
            Self::InvalidApplicationInstance(_) => "ApplicationInstanceInvalid",
            Self::ApplicationInstanceRefused | Self::ApplicationInstanceOfRelease => "ApplicationInstanceRefused",
        }
    }
}

/// Which pacticipants a workload runs, at which version, as which instance. `Ok(None)`: the workload is not annotated,
/// so the operator ignores it; the other annotations alone mean nothing.
///
/// # Errors
/// When the pacticipant annotation exists but is invalid. A missing version, or an application instance that does not
/// count, is not such an error: it is part of the [`Identity`], because then at least the pacticipants are known.
pub fn identify(workload: &Workload, rules: &VersionRules) -> Result<Option<Identity>, IdentityProblem> {
    let Some(text) = workload.annotations.pacticipant.as_deref() else { return Ok(None) };
    let pacticipants = pacticipants(text)?;
    Ok(Some(Identity {
        pacticipants,
        version: version::resolve(workload, rules),
        application_instance: own_instance(workload, rules),
    }))
}

/// The pacticipants that the annotation of a workload names; none where it cannot be read.
#[must_use]
pub fn named(workload: &Workload) -> Vec<Pacticipant> {
    workload.annotations.pacticipant.as_deref().and_then(|text| pacticipants(text).ok()).unwrap_or_default()
}

fn own_instance(workload: &Workload, rules: &VersionRules) -> Result<Option<ApplicationInstance>, IdentityProblem> {
    let Some(text) = workload.annotations.application_instance.as_deref() else { return Ok(None) };
    match rules.own_instance {
        OwnInstance::Refused => Err(IdentityProblem::ApplicationInstanceRefused),
        OwnInstance::OfRelease => Err(IdentityProblem::ApplicationInstanceOfRelease),
        OwnInstance::Allowed => {
            ApplicationInstance::parse(text).map(Some).map_err(IdentityProblem::InvalidApplicationInstance)
        }
    }
}

/// The names in a pacticipant annotation. A name cannot hold a comma; everything else that a broker accepts is kept. An
/// empty item is refused, not skipped: it is mostly an unset template value, so a name is missing.
fn pacticipants(text: &str) -> Result<Vec<Pacticipant>, IdentityProblem> {
    if text.len() > MAX_ANNOTATION_BYTES {
        return Err(IdentityProblem::TooLong { bytes: text.len() });
    }
    let mut names: Vec<Pacticipant> = Vec::new();
    for item in text.split(',') {
        let name = Pacticipant::parse(item).map_err(|error| match error {
            NameError::Empty { .. } => IdentityProblem::EmptyPacticipant,
            other => IdentityProblem::InvalidPacticipant(other),
        })?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.len() > MAX_PACTICIPANTS {
        return Err(IdentityProblem::TooMany { count: names.len() });
    }
    Ok(names)
}

/// The annotation or label of a managed workload that stayed while the image became another build; see
/// [`version::stale_source`].
#[must_use]
pub fn stale_source(old: &Workload, new: &Workload, rules: &VersionRules) -> Option<StaleSource> {
    if new.annotated() { version::stale_source(old, new, rules) } else { None }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
