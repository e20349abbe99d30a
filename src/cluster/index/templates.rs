//! Workloads that are templates for others, and what the others take from them.

use std::collections::{BTreeMap, BTreeSet, HashSet, hash_map::Entry};

use super::Index;
use crate::workload::{
    CanaryOwner, IdentityProblem, PactAnnotations, RecordKey, RolloutState, VersionProblem, Workload, WorkloadKind,
    WorkloadRef, effective_primary, own_revision,
};

/// A source of the knowledge that a workload is a template only: an Argo `Rollout` or a Flagger `Canary`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TemplateSource {
    /// An Argo `Rollout` by namespace and name, which names the workload in its `workloadRef`.
    Rollout(String, String),
    /// A Flagger `Canary` by namespace and name, whose target the workload is.
    Canary(String, String),
}

/// What a source names as its template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// The workload that is a template only.
    pub workload: WorkloadRef,
    /// Whether what it says now has been promoted; for a Flagger `Canary` only.
    pub promoted: bool,
}

impl Index {
    /// Takes in what a Rollout or Canary names as its template, or that it names none any more.
    pub fn set_template(&mut self, source: &TemplateSource, template: Option<Template>) -> BTreeSet<RecordKey> {
        if self.templates.get(source) == template.as_ref() {
            return BTreeSet::new();
        }
        // By the source, not by what it names: a Canary that is gone names nothing any more.
        let mut affected: BTreeSet<_> = self.dependents_of(source).into_iter().collect();
        if let Some(before) = self.templates.remove(source) {
            if let Entry::Occupied(mut sources) = self.sources.entry(before.workload.clone()) {
                sources.get_mut().remove(source);
                if sources.get().is_empty() {
                    sources.remove();
                }
            }
            affected.insert(before.workload);
        }
        if let Some(template) = template {
            self.sources.entry(template.workload.clone()).or_default().insert(source.clone());
            affected.insert(template.workload.clone());
            self.templates.insert(source.clone(), template);
        }
        affected.iter().flat_map(|reference| self.reindex(reference)).collect()
    }

    /// Forgets every template source of a kind (recognised by `of_kind`) that a complete list did not hold.
    pub fn retain_templates(
        &mut self,
        listed: &HashSet<TemplateSource>,
        of_kind: impl Fn(&TemplateSource) -> bool,
    ) -> BTreeSet<RecordKey> {
        let gone: Vec<_> =
            self.templates.keys().filter(|source| of_kind(source) && !listed.contains(*source)).cloned().collect();
        gone.iter().flat_map(|source| self.set_template(source, None)).collect()
    }

    /// Takes in what a workload says of itself to be its template, if it is an Argo Rollout.
    pub(super) fn set_template_of(&mut self, workload: &Workload) -> BTreeSet<RecordKey> {
        let Some(revisions) = &workload.revisions else { return BTreeSet::new() };
        let template = revisions.template.clone().map(|workload| Template { workload, promoted: false });
        self.set_template(&source_of(&workload.reference), template)
    }

    /// Forgets the template of a workload that is gone.
    pub(super) fn forget_template_of(&mut self, reference: &WorkloadRef) -> BTreeSet<RecordKey> {
        if reference.kind != WorkloadKind::Rollout {
            return BTreeSet::new();
        }
        self.set_template(&source_of(reference), None)
    }

    /// Forgets the templates of Rollouts that a complete list did not hold.
    pub(super) fn retain_templates_of(
        &mut self,
        kind: WorkloadKind,
        listed: &HashSet<WorkloadRef>,
    ) -> BTreeSet<RecordKey> {
        if kind != WorkloadKind::Rollout {
            return BTreeSet::new();
        }
        let listed: HashSet<_> = listed.iter().map(source_of).collect();
        self.retain_templates(&listed, |source| matches!(source, TemplateSource::Rollout(..)))
    }

    /// Whether a workload is a template only: the pods of somebody else's workload are made from it.
    #[must_use]
    pub fn is_template(&self, reference: &WorkloadRef) -> bool {
        self.sources.contains_key(reference)
    }

    /// What is wrong with the annotations of a Rollout whose template is another workload's, as far as that is known: its own
    /// count for the record, and the gate judges those of its template.
    pub(super) fn differs_from_template(&self, workload: &Workload) -> Option<IdentityProblem> {
        let reference = workload.revisions.as_ref()?.template.as_ref()?;
        let template = self.workloads.get(reference).filter(|_| workload.annotated())?;
        let differs = !template.annotations.same_identity(&workload.annotations);
        differs.then(|| IdentityProblem::OtherThanTemplate(reference.clone()))
    }

    /// The Deployment whose pod template an annotated Rollout uses, where nothing is known of it: it is not annotated, and
    /// was seen before anybody named it.
    #[must_use]
    pub fn unseen_template(&self, rollout: &WorkloadRef) -> Option<WorkloadRef> {
        let rollout = self.workloads.get(rollout).filter(|workload| workload.annotated())?;
        let template = rollout.revisions.as_ref()?.template.as_ref()?;
        (!self.workloads.contains_key(template)).then(|| template.clone())
    }

    /// The workloads whose annotations, or more of them, come from the template of a source: a Canary's primaries, or the
    /// Rollout itself.
    fn dependents_of(&self, source: &TemplateSource) -> Vec<WorkloadRef> {
        let (namespace, name) = match source {
            TemplateSource::Canary(namespace, name) => (namespace, name),
            TemplateSource::Rollout(namespace, name) => return vec![rollout(namespace, name)],
        };
        self.workloads
            .values()
            .filter(|workload| workload.reference.namespace == *namespace)
            .filter(|workload| workload.canary_owner.as_ref().is_some_and(|owner| owner.name == *name))
            .map(|workload| workload.reference.clone())
            .collect()
    }

    /// Files a workload anew, and those that take something from it.
    pub(super) fn reindex_with_dependents(&mut self, reference: &WorkloadRef) -> BTreeSet<RecordKey> {
        let mut affected = BTreeSet::from([reference.clone()]);
        for source in self.sources.get(reference).into_iter().flatten() {
            affected.extend(self.dependents_of(source));
        }
        affected.iter().flat_map(|reference| self.reindex(reference)).collect()
    }

    /// The workload as its annotations count: a Flagger primary has those of its target. While Flagger has not reported
    /// which version it promoted, the primary counts as unfinished, so that the record stays as it is. A Rollout is what it
    /// runs.
    pub(super) fn effective(&self, workload: &Workload) -> Workload {
        self.as_it_runs(workload).0
    }

    /// The same, and what runs besides it.
    pub(super) fn as_it_runs(&self, workload: &Workload) -> (Workload, Vec<Workload>) {
        if let Some(of) = &workload.revisions {
            let none = BTreeMap::new();
            let revisions = self.revisions.get(&workload.reference).unwrap_or(&none);
            let template = of.template.as_ref().and_then(|template| self.workloads.get(template));
            return own_revision(workload, of, revisions, template);
        }
        self.as_primary(workload)
    }

    /// A Flagger primary, and its target beside it while that has pods of something else: those of an analysis are sent
    /// requests, too.
    fn as_primary(&self, workload: &Workload) -> (Workload, Vec<Workload>) {
        let of = |canary: &CanaryOwner| {
            let source = TemplateSource::Canary(workload.reference.namespace.clone(), canary.name.clone());
            let template = self.templates.get(&source)?;
            Some((self.workloads.get(&template.workload)?, template.promoted))
        };
        let Some((target, promoted)) = workload.canary_owner.as_ref().and_then(of) else {
            return (workload.clone(), Vec::new());
        };
        let mut primary = effective_primary(workload, target, promoted).unwrap_or_else(|| {
            let mut workload = workload.clone();
            workload.annotations = PactAnnotations { version: None, ..target.annotations.clone() };
            if let Some(canary) = &mut workload.canary_owner {
                canary.unpromoted = true;
                let message = VersionProblem::Unpromoted { canary: canary.name.clone() }.to_string();
                workload.rollout = RolloutState::Progressing { message };
            }
            workload
        });
        if target.without_pods || target.containers == primary.containers {
            return (primary, Vec::new());
        }
        if primary.rollout.finished() {
            let message = format!("{}, the target of its Canary, has pods of another template", target.reference);
            primary.rollout = RolloutState::Progressing { message };
        }
        (primary, vec![target.clone()])
    }
}

fn source_of(rollout: &WorkloadRef) -> TemplateSource {
    TemplateSource::Rollout(rollout.namespace.clone(), rollout.name.clone())
}

fn rollout(namespace: &str, name: &str) -> WorkloadRef {
    WorkloadRef { kind: WorkloadKind::Rollout, namespace: namespace.to_owned(), name: name.to_owned() }
}
