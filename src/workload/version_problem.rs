//! Why a workload has no version that may be recorded or checked.

use thiserror::Error;

use super::excerpt::{quoted_long, quoted_names};
use crate::api::annotations;
use crate::api::names::{NameError, Version};

/// Why a workload has no version. Each message names the object, the cause and the remedy; texts from outside are
/// shortened and escaped in it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum VersionProblem {
    /// The pod template has no containers.
    #[error("the pod template has no containers, so no image tag can be the version: add one, or {STATE_IT}")]
    NoContainers,
    /// Several containers and none is named: no version, rather than a guess (case 22).
    #[error(
        "the pod template has several containers ({}): name the one whose image tag is the version in the annotation {}",
        quoted_names(names),
        annotations::CONTAINER
    )]
    AmbiguousContainer {
        /// The containers of the pod template.
        names: Vec<String>,
    },
    /// The annotation names a container that the pod template does not have.
    #[error(
        "the annotation {} names {}, but the pod template has {}: correct the annotation",
        annotations::CONTAINER,
        quoted_long(name),
        quoted_names(names)
    )]
    ContainerMissing {
        /// The container named.
        name: String,
        /// The containers of the pod template.
        names: Vec<String>,
    },
    /// The image has neither tag nor digest, which means `latest`.
    #[error(
        "the image {} has no tag, which means latest: give it a tag of its own per build, or {STATE_IT}",
        quoted_long(image)
    )]
    NoTag {
        /// The image reference.
        image: String,
    },
    /// The image has a digest and no tag; pacts are not published under a digest (case 13).
    #[error(
        "the image {} has a digest but no tag, and a digest is not a version: write it as repository:tag@digest, or \
         {STATE_IT}",
        quoted_long(image)
    )]
    DigestOnly {
        /// The image reference.
        image: String,
    },
    /// The annotation, the label or the tag is itself a digest.
    #[error("{} is a digest, not a version: use the version under which the pacts were published", quoted_long(text))]
    BareDigest {
        /// The text in question.
        text: String,
    },
    /// `latest`, or on the environment's deny-list: it names the latest build, not a fixed one (case 12 and 17).
    #[error(
        "{} is never a version, because it does not name one published build: use a tag of its own per build, or {STATE_IT}",
        quoted_long(text)
    )]
    Mutable {
        /// The text in question.
        text: String,
    },
    /// The tag does not match the environment's pattern.
    #[error(
        "the image tag {} does not match the environment's pattern {}: tag the image as the pattern asks, or have the \
         pattern in the PactEnvironment corrected",
        quoted_long(tag),
        quoted_long(pattern)
    )]
    PatternMismatch {
        /// The tag.
        tag: String,
        /// The pattern's source.
        pattern: String,
    },
    /// The annotation states another version than the image tag (case 14): it is stale, or the image is wrong.
    #[error(
        "the annotation {} says {}, but the image tag says {}: update the annotation together with the image, or remove it",
        annotations::VERSION,
        quoted_long(annotation),
        quoted_long(tag)
    )]
    Mismatch {
        /// The annotation's version.
        annotation: String,
        /// The tag's version, or the whole tag where the pattern finds none in it.
        tag: String,
    },
    /// The annotation or label stayed while an image without a tag became another build (cases 82 and 83).
    #[error(
        "{key} still says {}, but the image is {} now, which has no tag to check it against: change both together",
        quoted_long(stated),
        quoted_long(image)
    )]
    Stale {
        /// The annotation or label.
        key: &'static str,
        /// What it says.
        stated: String,
        /// The new image.
        image: String,
    },
    /// The environment refuses annotated versions, and this one does not agree with the version found without it.
    #[error(
        "the annotation {} says {}, but the environment refuses annotated versions and without it {}: remove the annotation",
        annotations::VERSION,
        quoted_long(annotation),
        otherwise_text(otherwise)
    )]
    AnnotationRefused {
        /// The annotation's text.
        annotation: String,
        /// What the workload's version would be without the annotation.
        otherwise: Result<Version, Box<VersionProblem>>,
    },
    /// A version annotation of a Canary's target describes the target, and the primary may run another version.
    #[error("Flagger's Canary {canary} has not said yet which version it promoted")]
    Unpromoted {
        /// The Canary's name.
        canary: String,
    },
    /// A text that a broker cannot hold as a version.
    #[error("{0}: use the version under which the pacts were published")]
    InvalidVersion(#[from] NameError),
}

/// The remedy that remains where the image gives no version.
const STATE_IT: &str = "state the version in the annotation pact-operator.dev/version where the environment allows it";

fn otherwise_text(otherwise: &Result<Version, Box<VersionProblem>>) -> String {
    match otherwise {
        Ok(version) => format!("the version is {}", quoted_long(version.as_str())),
        Err(problem) => format!("there is none ({problem})"),
    }
}

impl VersionProblem {
    /// The reason in a condition or an Event.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::AmbiguousContainer { .. } => "AmbiguousContainer",
            Self::ContainerMissing { .. } => "ContainerMissing",
            Self::Mismatch { .. } | Self::Stale { .. } => "VersionMismatch",
            Self::Mutable { .. } => "VersionMutable",
            Self::AnnotationRefused { .. } => "AnnotationRefused",
            Self::InvalidVersion(_) => "VersionInvalid",
            Self::Unpromoted { .. } => "RolloutInProgress",
            Self::NoContainers
            | Self::NoTag { .. }
            | Self::DigestOnly { .. }
            | Self::BareDigest { .. }
            | Self::PatternMismatch { .. } => "VersionUnresolved",
        }
    }
}
