//! What an admission review is about: which pacticipants, at which version, in which environment, and what is known of
//! that version without asking.
//!
//! The order is that of docs/contributing/rules.md#the-order-in-which-the-gate-looks: nothing changed → the version that
//! is recorded → one that was recorded before → a version to ask about.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{
    api::names::{ApplicationInstance, Pacticipant, Version},
    decide::{other_line, reason::Reason},
    workload::{
        EnvironmentRef, EnvironmentRules, Identity, IdentityProblem, NotOwned, VersionProblem, Workload, WorkloadKind,
        identify, named, stale_source,
        version::{chosen_container, image_path},
    },
};

/// One pacticipant that a workload would run in one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The `PactEnvironment` by which it lies there.
    pub object: String,
    /// The environment.
    pub environment_ref: EnvironmentRef,
    /// The kind of the workload.
    pub kind: WorkloadKind,
    /// Which pacticipant at which version, or why that is not known.
    pub identified: Result<Identified, Problem>,
    /// What is known of that version without asking.
    pub basis: Basis,
    /// The repository of the workload's image, where it obviously is not the application that is recorded under this name.
    pub other_image: Option<Box<str>>,
}

/// A pacticipant at a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The pacticipant.
    pub pacticipant: Pacticipant,
    /// The version that the workload would run.
    pub version: Version,
}

/// Why no question can be put.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The annotations do not say which pacticipants.
    #[error("{0}")]
    Identity(IdentityProblem),
    /// They do, but no version can be identified.
    #[error("{problem}")]
    Version {
        /// The first of the pacticipants.
        pacticipant: Pacticipant,
        /// Why.
        problem: VersionProblem,
    },
    /// They name a pacticipant that other namespaces own (case 103).
    #[error("{0}")]
    NotOwned(NotOwned),
}

impl From<&Problem> for Reason {
    fn from(problem: &Problem) -> Self {
        match problem {
            Problem::Identity(problem) => problem.into(),
            Problem::Version { problem, .. } => problem.into(),
            Problem::NotOwned(_) => Self::NotOwned,
        }
    }
}

/// What is known of a version without asking, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// The workload runs this pacticipant at this version already, or its version could not be identified before
    /// either, from the same image (case 2).
    Unchanged,
    /// It is the version that is recorded in the environment, under whatever instance (cases 3 and 69).
    Recorded,
    /// It was recorded there before: a rollback (case 4).
    Former,
    /// It is new there.
    New,
}

/// The versions of a pacticipant that were recorded in an environment, under whatever application instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordedVersions {
    /// Those that are recorded as deployed or released now.
    pub current: BTreeSet<Version>,
    /// Those that were recorded before.
    pub former: BTreeSet<Version>,
    /// The repositories of the images of what is recorded, but for those that are named as the pacticipant is; `None` where
    /// nobody knows them.
    pub images: Option<BTreeSet<String>>,
}

impl RecordedVersions {
    /// What is known of a version.
    pub(super) fn basis(&self, version: &Version) -> Basis {
        if self.current.contains(version) {
            Basis::Recorded
        } else if self.former.contains(version) {
            Basis::Former
        } else {
            Basis::New
        }
    }
}

/// What a review is about in one environment. Empty when the workload is not managed by the operator, and when nothing
/// changed that identifies a version. `old` is `None` when the workload is created. Where `old_waits`, nothing of it runs:
/// then what stayed must be asked about, too.
#[must_use]
pub fn subjects(
    old: Option<&Workload>,
    old_waits: bool,
    new: &Workload,
    rules: &EnvironmentRules,
    recorded: impl Fn(&EnvironmentRef, &Pacticipant) -> RecordedVersions,
) -> Vec<Subject> {
    let judged = old.map_or_else(|| new.clone(), |old| as_before(old, new));
    let runs = old.filter(|_| !old_waits);
    // Whatever is done to an object that is being deleted must pass (case 6).
    if new.deleting || runs.is_some_and(|old| says_the_same(old, new, &judged)) {
        return Vec::new();
    }
    let subject = |identified, basis| Subject {
        object: rules.object.clone(),
        environment_ref: rules.environment_ref.clone(),
        kind: new.reference.kind,
        identified,
        basis,
        other_image: None,
    };
    // What was wrong before must not block a sidecar's new image (case 2).
    let wrong = |problem| {
        let stayed = runs.is_some_and(|old| same_build(old, &judged) && is_wrong(old, rules, &problem));
        subject(Err(problem), if stayed { Basis::Unchanged } else { Basis::New })
    };
    // Only of what it names from now on: a name that others own may go together with the image.
    let mut subjects: Vec<_> = not_owned(new, rules).into_iter().map(wrong).collect();
    let resolved = match resolve(&judged, rules) {
        Ok(None) => return subjects,
        Ok(Some(resolved)) => resolved,
        Err(problem) => {
            subjects.push(wrong(problem));
            return subjects;
        }
    };
    let before = runs.and_then(|old| resolve(old, rules).ok().flatten());
    let Resolved { mut pacticipants, version, instance } = resolved;
    if let (Some(old), Some(first)) = (old, pacticipants.first())
        && let Some(problem) = stale_source(old, &judged, &rules.version).and_then(|stale| stale.mismatch())
    {
        subjects.push(subject(Err(Problem::Version { pacticipant: first.clone(), problem }), Basis::New));
        return subjects;
    }
    // A name that goes in the same change must not take the old promises away with it (case 84).
    // Where what was there waits, the version that runs is the one that is recorded: the way back is never barred.
    let is_recorded = |it: &Pacticipant| recorded(&rules.environment_ref, it).basis(&version) == Basis::Recorded;
    let same_version = before.as_ref().is_some_and(|before| before.version == version)
        || (old_waits && pacticipants.iter().all(is_recorded));
    for name in old.filter(|_| !same_version).map(named).unwrap_or_default() {
        if !pacticipants.contains(&name) && may_name(new, rules, &name) {
            pacticipants.push(name);
        }
    }
    let image = image_path(&judged);
    let named = pacticipants.into_iter().map(|pacticipant| {
        let ran = before.as_ref().is_some_and(|before| {
            before.pacticipants.contains(&pacticipant) && before.version == version && before.instance == instance
        });
        let recorded = (!ran).then(|| recorded(&rules.environment_ref, &pacticipant));
        let basis = recorded.as_ref().map_or(Basis::Unchanged, |recorded| recorded.basis(&version));
        let ran_as_it = before.as_ref().is_some_and(|before| before.pacticipants.contains(&pacticipant));
        let image_before = old.filter(|_| ran_as_it).and_then(image_path);
        let other_image = recorded.filter(|it| basis == Basis::New && !it.current.is_empty()).and_then(|it| {
            let images = it.images?;
            other_line::of_workload(image.as_deref(), image_before.as_deref(), &pacticipant, &images).map(Box::from)
        });
        Subject { other_image, ..subject(Ok(Identified { pacticipant, version: version.clone() }), basis) }
    });
    subjects.extend(named);
    subjects
}

/// What a workload is in an environment, all of it known.
struct Resolved {
    pacticipants: Vec<Pacticipant>,
    version: Version,
    instance: Option<ApplicationInstance>,
}

/// What a workload is in an environment; `None` when it names no pacticipant that it may name.
fn resolve(workload: &Workload, rules: &EnvironmentRules) -> Result<Option<Resolved>, Problem> {
    let Some(identity) = identify(workload, &rules.version).map_err(Problem::Identity)? else { return Ok(None) };
    let Identity { mut pacticipants, version, application_instance } = identity;
    pacticipants.retain(|pacticipant| may_name(workload, rules, pacticipant));
    if pacticipants.is_empty() {
        return Ok(None);
    }
    let instance = application_instance.map_err(Problem::Identity)?.or_else(|| rules.instance.clone());
    match (version, pacticipants.first()) {
        (Ok(found), _) => Ok(Some(Resolved { pacticipants, version: found.version, instance })),
        (Err(problem), Some(first)) => Err(Problem::Version { pacticipant: first.clone(), problem }),
        (Err(_), None) => Ok(None),
    }
}

/// The problems of the pacticipants that a workload names and that other namespaces own.
fn not_owned(workload: &Workload, rules: &EnvironmentRules) -> Vec<Problem> {
    let names = identify(workload, &rules.version).ok().flatten().map(|identity| identity.pacticipants);
    let objection = |name: Pacticipant| rules.owners.objection(&name, &workload.reference.namespace);
    names.into_iter().flatten().filter_map(objection).map(Problem::NotOwned).collect()
}

fn may_name(workload: &Workload, rules: &EnvironmentRules, pacticipant: &Pacticipant) -> bool {
    rules.owners.objection(pacticipant, &workload.reference.namespace).is_none()
}

fn is_wrong(workload: &Workload, rules: &EnvironmentRules, problem: &Problem) -> bool {
    resolve(workload, rules).is_err_and(|known| known == *problem) || not_owned(workload, rules).contains(problem)
}

/// Whether both run the same image where it is known which one counts.
fn same_build(one: &Workload, other: &Workload) -> bool {
    matches!((chosen_container(one), chosen_container(other)), (Ok(one), Ok(other)) if one.image == other.image)
}

/// The new workload with the annotations that were removed from it and say what it is: removing them together with a
/// change of the image must not be a way around the gate (case 39). The version annotation is not among them:
/// without it the version comes from the image, and the old annotation would say that nothing changed.
pub(in crate::decide) fn as_before(old: &Workload, new: &Workload) -> Workload {
    let mut judged = new.clone();
    if judged.annotations.pacticipant.is_none() {
        let (before, now) = (&old.annotations, &mut judged.annotations);
        now.pacticipant.clone_from(&before.pacticipant);
        now.container = now.container.take().or_else(|| before.container.clone());
        now.application_instance = now.application_instance.take().or_else(|| before.application_instance.clone());
    }
    judged
}

/// Whether nothing changes that identifies a version; `judged` is the new one as it is judged.
fn says_the_same(old: &Workload, new: &Workload, judged: &Workload) -> bool {
    let same_annotations = || {
        old.annotations.same_identity(&judged.annotations)
            && old.version_label == judged.version_label
            && old.default_container == judged.default_container
    };
    old.containers == new.containers && (!new.annotated() || same_annotations())
}

#[cfg(test)]
#[path = "subject_tests.rs"]
mod tests;
