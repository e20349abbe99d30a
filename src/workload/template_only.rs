//! Workloads that are only a template for something else: a Deployment that an Argo Rollout names in its workloadRef,
//! or the target of a Flagger Canary, which may be of another kind. They look finished at zero replicas before a single
//! new pod runs, so the gate judges them, but the recorder never makes one a member (case 31 and 71).
//!
//! For Argo the member is the Rollout itself ([`super::revisions`]). For Flagger it is the primary, the workload that the
//! Canary controls, with the annotations of the target: Flagger deletes the primary's at the first promotion.

use std::borrow::Cow;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::{PactAnnotations, Workload, WorkloadKind, WorkloadRef};

/// What Flagger appends to the name of a target for that of its primary.
const PRIMARY: &str = "-primary";

/// A Flagger Canary (`flagger.app/v1beta1`), reduced to the workloads that belong to it.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct CanaryView {
    /// Name and namespace.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The spec.
    pub spec: Option<CanarySpecView>,
    /// What Flagger last reported.
    pub status: Option<CanaryStatusView>,
}

/// The part of a Canary's spec that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CanarySpecView {
    /// The workload that the team applies.
    pub target_ref: Option<TargetView>,
}

/// The part of a Canary's status that the operator reads: hashes of the target's pod template.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CanaryStatusView {
    /// The template that Flagger last observed.
    pub last_applied_spec: Option<String>,
    /// The template that Flagger last promoted.
    pub last_promoted_spec: Option<String>,
}

/// The Canary that an object's owner reference names as its controller: a claim, until it was compared with a
/// [`CanaryView`] (case 88).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CanaryOwner {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether it has not said yet which of the versions that the target states was promoted.
    pub unpromoted: bool,
}

/// A reference to another object in the same namespace.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TargetView {
    /// Group and version.
    pub api_version: Option<String>,
    /// Kind.
    pub kind: Option<String>,
    /// Name.
    pub name: Option<String>,
}

impl kube::Resource for CanaryView {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Canary".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        "flagger.app".into()
    }

    fn version((): &()) -> Cow<'_, str> {
        "v1beta1".into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        "canaries".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The workload that a Canary targets; `None` for a kind that the operator does not know.
#[must_use]
pub fn target_of(canary: &CanaryView) -> Option<WorkloadRef> {
    let namespace = canary.metadata.namespace.as_deref().unwrap_or_default();
    workload(namespace, canary.spec.as_ref()?.target_ref.as_ref()?)
}

/// Where the primary of a Canary is that Flagger makes from this target; [`CanaryView::has_primary`] says whether a workload
/// is it.
#[must_use]
pub fn primary_of(target: &WorkloadRef) -> WorkloadRef {
    WorkloadRef { name: format!("{}{PRIMARY}", target.name), ..target.clone() }
}

/// The workload that an object of a namespace refers to. A missing apiVersion is read as the kind's own, for safety: it is
/// better to leave a workload out than to record from a template.
pub(super) fn workload(namespace: &str, target: &TargetView) -> Option<WorkloadRef> {
    let kind = WorkloadKind::named(target.kind.as_deref()?)?;
    let api = target.api_version.as_deref().unwrap_or_default();
    let its_own = api.is_empty() || api.split_once('/').is_some_and(|(group, _)| group == kind.group());
    let name = target.name.as_deref().filter(|name| !name.is_empty())?;
    its_own.then(|| WorkloadRef { kind, namespace: namespace.to_owned(), name: name.to_owned() })
}

impl CanaryView {
    /// Whether a workload is the primary that Flagger made from this Canary's target: the Canary controls it, and it has
    /// the name that Flagger gives a primary. A name alone, or an owner reference alone, proves nothing (case 88).
    #[must_use]
    pub fn has_primary(&self, workload: &Workload) -> bool {
        let owner = workload.canary_owner.as_ref().map(|owner| (Some(&owner.name), Some(&owner.uid)));
        let made_from = |target: WorkloadRef| {
            target.kind == workload.reference.kind
                && target.namespace == workload.reference.namespace
                && workload.reference.name.strip_suffix(PRIMARY) == Some(&target.name)
        };
        owner == Some((self.metadata.name.as_ref(), self.metadata.uid.as_ref()))
            && target_of(self).is_some_and(made_from)
    }

    /// Whether, at Flagger's last observation, the applied template was the promoted one.
    #[must_use]
    pub fn promoted(&self) -> bool {
        let Some(status) = &self.status else { return false };
        let promoted = status.last_promoted_spec.as_deref().filter(|hash| !hash.is_empty());
        promoted.is_some() && promoted == status.last_applied_spec.as_deref()
    }
}

/// A Canary's primary as what counts: with the target's annotations, because Flagger deletes the primary's own, and with
/// the target's label `app.kubernetes.io/version`, which Flagger does not copy.
///
/// What says the version is the exception. An annotation or label that was kept on the primary was copied together with its
/// template, so it is right. The target's describes the target's image, which may still be under analysis or may have been
/// rolled back: it counts only when the target is `promoted` ([`CanaryView::promoted`]) and both run the same images, because
/// Flagger's status lags behind the team by up to an interval. Otherwise an annotated version is not known yet: `None`, and
/// the record stays.
#[must_use]
pub fn effective_primary(primary: &Workload, target: &Workload, promoted: bool) -> Option<Workload> {
    let is_targets = promoted && primary.containers == target.containers;
    let version = match (&primary.annotations.version, &target.annotations.version) {
        (Some(own), _) => Some(own.clone()),
        (None, Some(theirs)) if is_targets => Some(theirs.clone()),
        (None, Some(_)) => return None,
        (None, None) => None,
    };
    let theirs = target.version_label.as_ref().filter(|_| is_targets);
    let version_label = primary.version_label.as_ref().or(theirs).cloned();
    let annotations = PactAnnotations { version, ..target.annotations.clone() };
    Some(Workload { annotations, version_label, ..primary.clone() })
}

#[cfg(test)]
#[path = "template_only_tests.rs"]
mod tests;
