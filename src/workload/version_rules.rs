//! What an environment allows as a version: the rules for [`crate::workload::version`].

use super::{DenyList, TagPattern};

/// Which sources of a version an environment accepts, and which texts it never accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRules {
    /// Whether the annotation `pact-operator.dev/version` may state the version.
    pub annotation_allowed: bool,
    /// Whether the label `app.kubernetes.io/version` may state the version where annotation and tag give none.
    pub use_label: bool,
    /// How a version is extracted from an image tag; without a pattern the whole tag is the version.
    pub tag_pattern: Option<TagPattern>,
    /// Texts that are never versions, on top of `latest` and digests.
    pub denied: DenyList,
    /// Whether a workload may name an application instance of its own.
    pub own_instance: OwnInstance,
}

/// Whether a workload may name an application instance of its own, beside the one of its environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OwnInstance {
    /// It may.
    #[default]
    Allowed,
    /// The environment refuses it.
    Refused,
    /// The environment records releases, which have none at the broker.
    OfRelease,
}

impl Default for VersionRules {
    /// Annotations are allowed, labels are not read, the whole tag is the version, the usual mutable names are denied.
    fn default() -> Self {
        Self {
            annotation_allowed: true,
            use_label: false,
            tag_pattern: None,
            denied: DenyList::default(),
            own_instance: OwnInstance::default(),
        }
    }
}
