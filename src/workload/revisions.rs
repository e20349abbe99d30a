//! What an Argo `Rollout` runs: each revision of its pod template is a `ReplicaSet`, and for minutes or days the one that
//! serves is another than the spec asks for. After an abort it is another for good. Observed of the real controller:
//! `docs/contributing/progressive-delivery.md`.

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
    jiff::{SignedDuration, Timestamp},
};
use serde::Deserialize;

use super::{
    Container, ImageReference, PactAnnotations, RolloutState, Workload, WorkloadKind, WorkloadRef,
    kinds::{PodTemplateView, metadata},
};
use crate::api::annotations;

/// How long a pod may take to terminate where its template does not say so.
const DEFAULT_GRACE_SECONDS: i64 = 30;

/// The label by which the `ReplicaSet`s of Rollouts are known; its value is the hash of the pod template.
pub const HASH_LABEL: &str = "rollouts-pod-template-hash";

/// The revisions of a Rollout, as its spec and its status name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revisions {
    /// The hash of the pod template that the spec asks for.
    pub current: String,
    /// The hash of the pod template that serves.
    pub stable: String,
    /// Whether its pod template is another workload's.
    pub by_reference: bool,
    /// The Deployment whose pod template it uses.
    pub template: Option<WorkloadRef>,
    /// The generation of that workload which the status describes.
    pub template_seen: Option<i64>,
    /// The generation that it has, where it was read together with the Rollout.
    pub template_generation: Option<i64>,
    /// Whether, after an abort, no pod of the current revision is left.
    pub back_on_stable: bool,
    /// What its controller says, where it is degraded.
    pub degraded: Option<String>,
}

/// A revision of a Rollout: its `ReplicaSet`, as far as the operator reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// The containers of its pods, in order.
    pub containers: Vec<Container>,
    /// The annotation with the version, which the Rollout had with this template.
    pub version: Option<String>,
    /// The label `app.kubernetes.io/version` of its pods.
    pub version_label: Option<String>,
    /// The annotation `kubectl.kubernetes.io/default-container` of its pods.
    pub default_container: Option<String>,
    /// Whether it has pods.
    pub has_pods: bool,
    /// The pods of it that are terminating, where the API server counts them.
    pub terminating: Option<Terminating>,
}

/// Pods that are terminating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminating {
    /// How long they are waited for at most.
    pub until: Timestamp,
    /// How many they are.
    pub remaining: i32,
}

impl Revision {
    /// The same revision as the continuation of what was known of it: what was waited for is not waited for any longer.
    #[must_use]
    pub fn continuing(mut self, before: Option<&Self>) -> Self {
        if let (Some(now), Some(then)) = (&mut self.terminating, before.and_then(|before| before.terminating)) {
            now.until = now.until.min(then.until);
        }
        self
    }
}

/// A `ReplicaSet` of a Rollout, reduced to what the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct RevisionView {
    /// Name, namespace, owners, and the annotations and labels that look like the operator's own.
    #[serde(default, deserialize_with = "metadata::read")]
    pub metadata: ObjectMeta,
    /// The spec.
    pub spec: Option<RevisionSpecView>,
    /// What its controller last reported.
    pub status: Option<RevisionStatusView>,
}

/// The part of a `ReplicaSet`'s spec that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct RevisionSpecView {
    /// The requested number of pods.
    pub replicas: Option<i32>,
    /// The pod template.
    pub template: Option<PodTemplateView>,
}

/// The part of a `ReplicaSet`'s status that the operator reads.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RevisionStatusView {
    /// The number of pods that are not terminating.
    pub replicas: Option<i32>,
    /// The number of terminating pods, where the API server reports it.
    pub terminating_replicas: Option<i32>,
}

impl kube::Resource for RevisionView {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        "ReplicaSet".into()
    }

    fn group((): &()) -> std::borrow::Cow<'_, str> {
        "apps".into()
    }

    fn version((): &()) -> std::borrow::Cow<'_, str> {
        "v1".into()
    }

    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        "replicasets".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl RevisionView {
    /// The Rollout that controls it, and the hash of its pod template, which its name ends with; `None` for another's.
    #[must_use]
    pub fn of(&self) -> Option<(WorkloadRef, String)> {
        let owners = self.metadata.owner_references.iter().flatten();
        let mut rollouts = owners.filter(|owner| owner.controller == Some(true) && owner.kind == "Rollout");
        let name = &rollouts.next()?.name;
        let hash = self.metadata.name.as_deref()?.strip_prefix(name.as_str())?.strip_prefix('-')?;
        let namespace = self.metadata.namespace.clone()?;
        let rollout = WorkloadRef { kind: WorkloadKind::Rollout, namespace, name: name.clone() };
        Some((rollout, hash.to_owned()))
    }

    /// The revision at `now`, from which terminating pods are waited for as long as each of them may take.
    #[must_use]
    pub fn observe(&self, now: Timestamp) -> Revision {
        let template = self.spec.as_ref().and_then(|spec| spec.template.as_ref());
        let pod = template.and_then(|template| template.spec.as_ref());
        let pod_metadata = template.and_then(|template| template.metadata.as_ref());
        let entry = |entries: Option<&BTreeMap<String, String>>, key| entries.and_then(|all| all.get(key)).cloned();
        let asked_for = self.spec.as_ref().and_then(|spec| spec.replicas);
        let pods = self.status.as_ref().and_then(|status| status.replicas);
        Revision {
            containers: pod
                .and_then(|pod| pod.containers.as_deref())
                .unwrap_or_default()
                .iter()
                .map(Into::into)
                .collect(),
            version: entry(self.metadata.annotations.as_ref(), annotations::VERSION),
            version_label: entry(
                pod_metadata.and_then(|it| it.labels.as_ref()).map(super::kinds::OwnEntries::entries),
                annotations::VERSION_LABEL,
            ),
            default_container: entry(
                pod_metadata.and_then(|it| it.annotations.as_ref()).map(super::kinds::OwnEntries::entries),
                annotations::DEFAULT_CONTAINER,
            ),
            has_pods: asked_for.max(pods).is_some_and(|pods| pods > 0),
            terminating: self.status.as_ref().and_then(|it| it.terminating_replicas).filter(|it| *it > 0).map(
                |remaining| {
                    let grace =
                        pod.and_then(|pod| pod.termination_grace_period_seconds).unwrap_or(DEFAULT_GRACE_SECONDS);
                    let until = now.checked_add(SignedDuration::from_secs(grace.max(0))).unwrap_or(Timestamp::MAX);
                    Terminating { until, remaining }
                },
            ),
        }
    }
}

/// A Rollout as what it runs, and as what it runs besides: `revisions` are its own, by the hash of their pod template,
/// and `template` is the Deployment that it refers to, if that is known.
///
/// Where the pod template is a Deployment's, so are the annotations, unless the Rollout has some itself; and until the
/// controller has seen that Deployment as it is, the rollout counts as unfinished, because a Rollout says nothing of a
/// change that it has not seen. Nor is it finished while the status names another revision than that of its own template,
/// or there is none of it yet. A Deployment that keeps pods of its own runs beside the Rollout. After an abort, once no
/// other pod is left, it is complete again with the stable revision.
#[must_use]
pub fn own_revision(
    rollout: &Workload,
    of: &Revisions,
    revisions: &BTreeMap<String, Revision>,
    template: Option<&Workload>,
) -> (Workload, Vec<Workload>) {
    let mut now = rollout.clone();
    if let Some(template) = template.filter(|_| !now.annotated()) {
        now.annotations = PactAnnotations { bypass: now.annotations.bypass.take(), ..template.annotations.clone() };
        now.version_label.clone_from(&template.version_label);
    }
    let mut not_yet = of.by_reference.then(|| take_template(&mut now, of, revisions, template)).flatten();
    let names_another = !of.by_reference && now.rollout.finished() && names_another(&now, of, revisions);
    if names_another {
        not_yet = Some("the Rollout controller has not yet named the revision of its template".to_owned());
    }
    if let Some(message) = not_yet.filter(|_| now.rollout != RolloutState::Deleting) {
        // It is a spec that the controller finds invalid: somebody has to mend it.
        let degraded = of.degraded.clone().filter(|_| names_another);
        now.rollout =
            degraded.map_or(RolloutState::Progressing { message }, |message| RolloutState::Failed { message });
    }
    if let Some(mut stable) = on_stable(&now, of, revisions) {
        let beside = template.and_then(|template| beside(&mut stable, template));
        return (stable, beside.into_iter().collect());
    }
    let is_other = |hash: &str, revision| if names_another { !is_of(rollout, revision) } else { hash != of.current };
    let others: Vec<_> = revisions.iter().filter(|(hash, revision)| is_other(hash, revision)).collect();
    if now.rollout.finished()
        && let Some(pods) = others.iter().filter_map(|(_, revision)| revision.terminating).max_by_key(|pods| pods.until)
    {
        now.rollout = RolloutState::Terminating { until: pods.until, remaining: pods.remaining };
    }
    let beside = template.and_then(|template| beside(&mut now, template));
    let mut besides = Vec::new();
    if !now.rollout.finished() {
        let may_serve = |(hash, revision): &(&String, &Revision)| revision.has_pods || **hash == of.stable;
        besides.extend(others.into_iter().filter(may_serve).filter_map(|(_, revision)| as_of(&now, revision)));
    }
    besides.extend(beside);
    (now, besides)
}

/// Gives a Rollout the pod template of the workload that it refers to, as far as its controller has seen it. Says what is
/// not known yet.
fn take_template(
    now: &mut Workload,
    of: &Revisions,
    revisions: &BTreeMap<String, Revision>,
    template: Option<&Workload>,
) -> Option<String> {
    let generation = template.map(|template| template.generation).max(of.template_generation);
    if let Some(generation) = generation.filter(|generation| of.template_seen != Some(*generation)) {
        if let Some(template) = template {
            now.containers.clone_from(&template.containers);
            now.default_container.clone_from(&template.default_container);
        }
        return Some(format!("the Rollout controller has not yet seen generation {generation} of its template"));
    }
    let Some(revision) = revisions.get(&of.current) else {
        return Some("the ReplicaSet of its template has not been seen yet".to_owned());
    };
    now.containers.clone_from(&revision.containers);
    now.default_container.clone_from(&revision.default_container);
    None
}

/// A Rollout that was aborted, as its stable revision, once no pod of another one is left.
fn on_stable(now: &Workload, of: &Revisions, revisions: &BTreeMap<String, Revision>) -> Option<Workload> {
    let stable = revisions.get(&of.stable).filter(|_| of.back_on_stable && of.stable != of.current)?;
    let alone = !revisions.iter().any(|(hash, revision)| *hash != of.stable && revision.has_pods);
    if !alone || !matches!(now.rollout, RolloutState::Failed { .. }) {
        return None;
    }
    let stable = as_of(now, stable)?;
    let rollout = if stable.without_pods { RolloutState::ScaledToZero } else { RolloutState::Complete };
    Some(Workload { rollout, ..stable })
}

/// What the template of a Rollout runs itself, if that is something else: with `scaleDown: never` its pods stay. Then the
/// Rollout is not finished, however far it is.
fn beside(now: &mut Workload, template: &Workload) -> Option<Workload> {
    if template.without_pods {
        return None;
    }
    let same = template.containers == now.containers;
    if now.rollout.finished() && !(same && template.rollout.finished()) {
        let message = format!("its template {} has pods of its own, of another version", template.reference);
        now.rollout = RolloutState::Mixed { message };
    }
    let own_version = template.annotations.version.clone();
    if same || now.annotations.version.is_some() && own_version.is_none() {
        return None;
    }
    let mut beside = now.clone();
    beside.containers.clone_from(&template.containers);
    beside.default_container.clone_from(&template.default_container);
    beside.version_label.clone_from(&template.version_label);
    beside.annotations.version = own_version;
    Some(beside)
}

/// Whether the revision that the status names is not that of the template. When a pause begins or ends, the controller
/// reports that it has seen the generation before it says which revision that is; and it reports the same, all of it about
/// the revision before, for as long as there is none: of a spec that it finds invalid, or while a quota or a policy refuses
/// the `ReplicaSet`.
fn names_another(rollout: &Workload, of: &Revisions, revisions: &BTreeMap<String, Revision>) -> bool {
    !revisions.get(&of.current).is_some_and(|revision| is_of(rollout, revision))
}

/// Whether a revision is that of the Rollout's own template, as far as its version depends on it. A policy may have the
/// `ReplicaSet` take the same builds from another registry, or pin them to digests.
fn is_of(rollout: &Workload, revision: &Revision) -> bool {
    let version = rollout.annotations.version.as_ref();
    let build = |container: &Container| ImageReference::parse(&container.image);
    let runs = |container: &Container| {
        let mut same_name = revision.containers.iter().filter(|other| other.name == container.name);
        same_name.any(|other| !build(container).is_another_build(&build(other)))
    };
    rollout.containers.iter().all(runs) && (version.is_none() || revision.version.as_ref() == version)
}

/// The same workload with another revision of its pod template; `None` where an annotation says the version, and that of
/// the revision is not known.
fn as_of(workload: &Workload, revision: &Revision) -> Option<Workload> {
    if workload.annotations.version.is_some() && revision.version.is_none() {
        return None;
    }
    let mut workload = workload.clone();
    workload.containers.clone_from(&revision.containers);
    workload.default_container.clone_from(&revision.default_container);
    workload.annotations.version.clone_from(&revision.version);
    workload.version_label.clone_from(&revision.version_label);
    Some(workload)
}

#[cfg(test)]
#[path = "revisions_tests.rs"]
mod tests;
