//! What belongs to progressive delivery and is no workload: Flagger's Canaries, and the revisions of Argo Rollouts.

use std::collections::HashSet;

use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use operator_kit::watch::{InvalidObject, WatchHandler};
use tracing::warn;

use super::{Change, OnChange, Watched};
use crate::{
    cluster::index::{Template, TemplateSource},
    workload::{CanaryView, Revision, RevisionView, WorkloadRef, target_of},
};

/// Flagger `Canary`s.
pub struct Canaries<C>(pub Watched<C>);

fn source_of(canary: &impl ResourceExt) -> TemplateSource {
    TemplateSource::Canary(canary.namespace().unwrap_or_default(), canary.name_any())
}

impl<C: OnChange> WatchHandler for Canaries<C> {
    type Object = CanaryView;
    type Id = TemplateSource;

    fn apply(&self, canary: CanaryView) -> Option<TemplateSource> {
        let source = source_of(&canary);
        let template = target_of(&canary).map(|workload| Template { workload, promoted: canary.promoted() });
        let touched = self.0.cluster.index().set_template(&source, template);
        self.0.changed(Change::Members(touched));
        Some(source)
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<TemplateSource> {
        self.0.unreadable::<CanaryView>(object);
        Some(TemplateSource::Canary(object.metadata.namespace.clone()?, object.metadata.name.clone()?))
    }

    fn delete(&self, canary: CanaryView) {
        let touched = self.0.cluster.index().set_template(&source_of(&canary), None);
        self.0.changed(Change::Members(touched));
    }

    fn retain(&self, listed: &HashSet<TemplateSource>) {
        let of_kind = |source: &TemplateSource| matches!(source, TemplateSource::Canary(..));
        let touched = self.0.cluster.index().retain_templates(listed, of_kind);
        self.0.changed(Change::Members(touched));
    }
}

/// Reads the Deployment whose pod template a Rollout uses, and takes it in. The watch has told of it when nobody named it,
/// and it was not annotated, so it was not kept. When it cannot be read now, the next change of the Rollout brings it here
/// again.
pub(super) async fn read_template<C: OnChange>(watched: Watched<C>, rollout: WorkloadRef, template: WorkloadRef) {
    let read = match watched.cluster.live_workload(&template).await {
        Ok(Some(read)) => read,
        Ok(None) => return,
        Err(why) => return warn!(rollout = %rollout, template = %template, "{}", why.message),
    };
    let change = {
        let mut index = watched.cluster.index();
        // What the watch has told meanwhile is newer.
        if index.unseen_template(&rollout).as_ref() != Some(&template) {
            return;
        }
        let touched = index.apply_workload(read);
        let invalid = index.invalid_workload(&rollout).cloned().map(Box::new);
        Change::Workload { workload: rollout, touched, counted: true, invalid, stale: None, stray: None, held: None }
    };
    watched.changed(change);
}

/// The `ReplicaSet`s of Argo Rollouts: their revisions.
pub struct RolloutRevisions<C>(pub Watched<C>);

impl<C: OnChange> RolloutRevisions<C> {
    fn set(&self, object: &RevisionView, revision: Option<Revision>) -> Option<(WorkloadRef, String)> {
        let Some((rollout, hash)) = object.of() else {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            let touched = self.0.cluster.index().forget_revision(&namespace, &name);
            self.0.changed(Change::Members(touched));
            return None;
        };
        let touched = self.0.cluster.index().set_revision(&rollout, &hash, revision);
        self.0.changed(Change::Members(touched));
        Some((rollout, hash))
    }
}

impl<C: OnChange> WatchHandler for RolloutRevisions<C> {
    type Object = RevisionView;
    type Id = (WorkloadRef, String);

    fn apply(&self, object: RevisionView) -> Option<Self::Id> {
        self.set(&object, Some(object.observe(Timestamp::now())))
    }

    fn undecodable(&self, object: &InvalidObject) -> Option<Self::Id> {
        self.0.unreadable::<RevisionView>(object);
        None
    }

    fn delete(&self, object: RevisionView) {
        self.set(&object, None);
    }

    fn retain(&self, listed: &HashSet<Self::Id>) {
        let touched = self.0.cluster.index().retain_revisions(listed);
        self.0.changed(Change::Members(touched));
    }
}
