//! What an admission review is about: which pacticipants, at which version, in which environment, and whether there is
//! anything to ask.
//!
//! The order is that of the gate (DESIGN 4): nothing changed → the version that is recorded → one that was recorded
//! before → a version to ask about.

use std::collections::BTreeSet;

use crate::{
    api::names::{ApplicationInstance, Pacticipant, Version},
    workload::{EnvironmentRules, Identity, IdentityProblem, Place, RecordKey, VersionProblem, Workload, identify},
};

/// One pacticipant that a workload would run in one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// The `PactEnvironment` by which it lies there.
    pub object: String,
    /// The environment.
    pub place: Place,
    /// Which pacticipant at which version, or why that cannot be told.
    pub identified: Result<Identified, Problem>,
    /// What is known of that version without asking.
    pub basis: Basis,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The annotations do not say which pacticipants.
    Identity(IdentityProblem),
    /// They do, but no version can be told.
    Version {
        /// The first of the pacticipants.
        pacticipant: Pacticipant,
        /// Why.
        problem: VersionProblem,
    },
}

/// What is known of a version without asking, in the order in which it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// The workload runs this pacticipant at this version already (domain case 2).
    Unchanged,
    /// It is the version that is recorded in the environment, under whatever instance (domain cases 3 and 69).
    Recorded,
    /// It was recorded there before: a way back (domain case 4).
    Former,
    /// It is new there.
    New,
}

/// What the operator's memory says of a pacticipant in an environment, all application instances together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remembered {
    /// The versions that are recorded as deployed or released.
    pub recorded: BTreeSet<Version>,
    /// The versions that were, before.
    pub former: BTreeSet<Version>,
}

impl Remembered {
    fn basis(&self, version: &Version) -> Basis {
        if self.recorded.contains(version) {
            Basis::Recorded
        } else if self.former.contains(version) {
            Basis::Former
        } else {
            Basis::New
        }
    }
}

/// What a review is about in one environment. Empty when the workload is not ours or no longer wants to be, and when
/// nothing that a version is told by has changed. `old` is `None` when the workload is created.
#[must_use]
pub fn subjects(
    old: Option<&Workload>,
    new: &Workload,
    rules: &EnvironmentRules,
    remembered: impl Fn(&Place, &Pacticipant) -> Remembered,
) -> Vec<Subject> {
    let judged = match old {
        // Whatever is done to an object that is being deleted must pass (domain case 6).
        _ if new.deleting => return Vec::new(),
        Some(old) if !new.annotated() && same_pods(old, new) => return Vec::new(),
        Some(old) => {
            let judged = as_before(old, new);
            if same_pods(old, &judged)
                && old.annotations == judged.annotations
                && old.version_label == judged.version_label
            {
                return Vec::new();
            }
            judged
        }
        None => new.clone(),
    };
    let subject =
        |identified, basis| Subject { object: rules.object.clone(), place: rules.place.clone(), identified, basis };
    let identity = match identify(&judged, &rules.version) {
        Ok(None) => return Vec::new(),
        Ok(Some(identity)) => identity,
        Err(problem) => return vec![subject(Err(Problem::Identity(problem)), Basis::New)],
    };
    let before = old.and_then(|old| identify(old, &rules.version).ok().flatten());
    let instance = match &identity.application_instance {
        Ok(instance) => instance.clone().or_else(|| rules.instance.clone()),
        Err(problem) => {
            let problem = IdentityProblem::InvalidApplicationInstance(problem.clone());
            return vec![subject(Err(Problem::Identity(problem)), Basis::New)];
        }
    };
    let version = match identity.version {
        Ok(resolved) => resolved.version,
        Err(problem) => {
            let Some(pacticipant) = identity.pacticipants.first().cloned() else { return Vec::new() };
            return vec![subject(Err(Problem::Version { pacticipant, problem }), Basis::New)];
        }
    };
    let keys = identity.pacticipants.into_iter().map(|pacticipant| RecordKey {
        place: rules.place.clone(),
        pacticipant,
        instance: instance.clone(),
    });
    keys.map(|key| {
        let ran = before.as_ref().is_some_and(|before| runs(before, &key, &version, rules.instance.as_ref()));
        let basis = if ran { Basis::Unchanged } else { remembered(&key.place, &key.pacticipant).basis(&version) };
        subject(Ok(Identified { pacticipant: key.pacticipant, version: version.clone() }), basis)
    })
    .collect()
}

/// The new workload with the annotations that were removed from it and say what it is: removing them together with a
/// change of the image must not be a way around the gate (domain case 39). The version annotation is not among them:
/// without it the version is told by the image, and the old one would say that nothing changes.
fn as_before(old: &Workload, new: &Workload) -> Workload {
    let mut judged = new.clone();
    if judged.annotations.pacticipant.is_none() {
        let (before, now) = (&old.annotations, &mut judged.annotations);
        now.pacticipant.clone_from(&before.pacticipant);
        now.container = now.container.take().or_else(|| before.container.clone());
        now.application_instance = now.application_instance.take().or_else(|| before.application_instance.clone());
    }
    judged
}

fn same_pods(old: &Workload, new: &Workload) -> bool {
    old.containers == new.containers
}

/// Whether a workload of this identity runs what the key and version say.
fn runs(before: &Identity, key: &RecordKey, version: &Version, default: Option<&ApplicationInstance>) -> bool {
    let Ok(instance) = &before.application_instance else { return false };
    before.pacticipants.contains(&key.pacticipant)
        && before.version.as_ref().is_ok_and(|resolved| resolved.version == *version)
        && instance.as_ref().or(default) == key.instance.as_ref()
}

#[cfg(test)]
#[path = "subject_tests.rs"]
mod tests;
