//! Pure functions: from a workload to its pacticipants, version and rollout state; from a namespace to its
//! environments.
//!
//! Nothing here does I/O or waits. The recorder and the gate call the same functions, so that they can never disagree
//! about a workload: [`identify`] gives its pacticipants and version, [`View::observe`] gives the state of its rollout,
//! [`environments_of`] gives its environments.
//!
//! Another kind of workload is one more file in [`kinds`].

use std::fmt;

pub mod bypass;
pub mod deny_list;
pub mod environment_rules;
mod excerpt;
pub mod glob;
pub mod held;
pub mod identity;
pub mod image;
pub mod kinds;
pub mod mapping;
pub mod owners;
pub mod pods_left;
pub mod record_key;
pub mod revisions;
pub mod rollout;
pub mod stray_keys;
pub mod tag_pattern;
pub mod template_only;
pub mod version;
pub mod version_problem;
pub mod version_rules;

pub use bypass::{BypassStatement, StatementError};
pub use deny_list::DenyList;
pub use environment_rules::{BrokenRules, EnvironmentRules, RemovalRules};
pub use held::{Held, Told};
pub use identity::{Identity, IdentityProblem, identify, named, stale_source};
pub use image::ImageReference;
pub use kinds::{DeploymentView, Dispatch, Kind, View, WorkloadKind};
pub use mapping::{
    EnvironmentClaim, NamespaceMapping, NamespaceSelector, SelectorError, Whereabouts, environments_of,
    whereabouts_without_labels,
};
pub use owners::{NotOwned, Owners, Ownership};
pub use record_key::{EnvironmentRef, RecordKey};
pub use revisions::{Revision, RevisionView, Revisions, own_revision};
pub use rollout::RolloutState;
pub use stray_keys::StrayKey;
pub use tag_pattern::{PatternError, TagPattern};
pub use template_only::{CanaryOwner, CanaryView, effective_primary, primary_of, target_of};
pub use version::{ResolvedVersion, StaleSource, VersionSource};
pub use version_problem::VersionProblem;
pub use version_rules::{OwnInstance, VersionRules};

/// Which workload: its kind, namespace and name. It does not identify the incarnation (see [`Workload::uid`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadRef {
    /// The kind of workload.
    pub kind: WorkloadKind,
    /// The namespace it lives in.
    pub namespace: String,
    /// Its name in that namespace.
    pub name: String,
}

impl fmt::Display for WorkloadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// The operator's annotations on a workload, raw. `None` means absent; an empty text is a mistake, which is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PactAnnotations {
    /// [`crate::api::annotations::PACTICIPANT`].
    pub pacticipant: Option<String>,
    /// [`crate::api::annotations::CONTAINER`].
    pub container: Option<String>,
    /// [`crate::api::annotations::VERSION`].
    pub version: Option<String>,
    /// [`crate::api::annotations::APPLICATION_INSTANCE`].
    pub application_instance: Option<String>,
    /// [`crate::api::annotations::BYPASS`].
    pub bypass: Option<String>,
    /// [`crate::api::annotations::HELD`].
    pub held: Option<String>,
}

impl PactAnnotations {
    /// Whether both say the same of what the workload is; a bypass or a hold says nothing of that.
    #[must_use]
    pub fn same_identity(&self, other: &Self) -> bool {
        let identity = |it: &Self| {
            let Self { pacticipant, container, version, application_instance, bypass: _, held: _ } = it.clone();
            (pacticipant, container, version, application_instance)
        };
        identity(self) == identity(other)
    }
}

/// A container of the pod template. Init containers (and so native sidecars) are not among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Its name in the pod template.
    pub name: String,
    /// Its image reference, as written.
    pub image: String,
}

/// A workload of any kind, small enough to keep 10,000 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "some facts about an object, each true or false by itself")]
pub struct Workload {
    /// Which workload.
    pub reference: WorkloadRef,
    /// Which incarnation of it; empty for an object that is not stored yet.
    pub uid: String,
    /// `metadata.generation`: rises with each change of the spec. 0 for an object that is not stored yet.
    pub generation: i64,
    /// The operator's annotations on it.
    pub annotations: PactAnnotations,
    /// Its label `app.kubernetes.io/version`.
    pub version_label: Option<String>,
    /// The containers of its pod template, in order.
    pub containers: Vec<Container>,
    /// The annotation `kubectl.kubernetes.io/default-container` of its pod template.
    pub default_container: Option<String>,
    /// Keys on it that look like the operator's and mean nothing.
    pub stray_keys: Box<[StrayKey]>,
    /// The state of its rollout at the moment of observation.
    pub rollout: RolloutState,
    /// Whether its spec pauses the rollout.
    pub paused: bool,
    /// Whether its spec asks for no pods, of a kind that may be held.
    pub at_zero: bool,
    /// Whether it has no pods, but for those that [`RolloutState::Terminating`] waits for (case 92).
    pub without_pods: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether another object controls it.
    pub controlled: bool,
    /// The Flagger Canary that controls it by its own account (case 71); see [`CanaryView::has_primary`].
    pub canary_owner: Option<CanaryOwner>,
    /// Its revisions, for an Argo Rollout.
    pub revisions: Option<Box<Revisions>>,
    /// The Jobs of a `CronJob` that run and may be of an older template.
    pub jobs: Box<[String]>,
}

impl Workload {
    /// Whether it asks to be managed: it has an annotation that names pacticipants, even an invalid one.
    #[must_use]
    pub fn annotated(&self) -> bool {
        self.annotations.pacticipant.is_some()
    }

    /// The same workload as the continuation of an earlier observation of it: what was waited for then is not waited
    /// for any longer now (case 93).
    #[must_use]
    pub fn continuing(mut self, before: Option<&Self>) -> Self {
        let Some(before) = before.filter(|it| it.uid == self.uid && it.generation == self.generation) else {
            return self;
        };
        if let (RolloutState::Terminating { until, .. }, RolloutState::Terminating { until: earlier, .. }) =
            (&mut self.rollout, &before.rollout)
        {
            *until = (*until).min(*earlier);
        }
        if !self.jobs.is_empty() {
            // Those that were started since have the template of this generation.
            self.jobs = self.jobs.iter().filter(|job| before.jobs.contains(job)).cloned().collect();
            if self.jobs.is_empty() && matches!(self.rollout, RolloutState::Progressing { .. }) {
                self.rollout = RolloutState::Complete;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_can_be_shared_between_tasks_and_compared() {
        fn holds<T: Send + Sync + Clone + PartialEq + fmt::Debug + 'static>() {}
        holds::<Workload>();
        holds::<DeploymentView>();
        holds::<(View<kinds::Rollout>, CanaryView, RevisionView)>();
        holds::<(Identity, IdentityProblem, VersionRules)>();
        holds::<(EnvironmentClaim, NamespaceMapping, SelectorError, PatternError)>();
    }
}
