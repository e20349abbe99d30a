//! What workloads say in their annotations and is not followed.

use super::Index;
use crate::{
    decide::Problem,
    workload::{NamespaceMapping, NotOwned, RecordKey, Workload, WorkloadRef, identify},
};

/// A workload whose annotations cannot be followed, or not in all that they say.
#[derive(Clone, Debug, PartialEq)]
pub struct InvalidWorkload {
    /// Which workload.
    pub workload: WorkloadRef,
    /// Its uid, for an Event about it.
    pub uid: String,
    /// What is wrong, each time with the name of the `PactEnvironment` whose rules say so; never empty.
    pub problems: Vec<(String, Problem)>,
}

impl Index {
    /// What is wrong with a workload's annotations, if anything.
    #[must_use]
    pub fn invalid_workload(&self, reference: &WorkloadRef) -> Option<&InvalidWorkload> {
        self.invalid_workloads.get(reference)
    }

    /// Every annotated workload whose annotations cannot be followed, or not in all that they say.
    pub fn invalid_workloads(&self) -> impl Iterator<Item = &InvalidWorkload> {
        self.invalid_workloads.values()
    }

    /// The pacticipants that workloads of a `PactEnvironment` name and that other namespaces own, by workload.
    #[must_use]
    pub fn not_owned(&self, object: &str) -> Vec<(&WorkloadRef, &NotOwned)> {
        let problems = self.invalid_workloads.values().flat_map(|invalid| {
            invalid.problems.iter().filter_map(move |(of, problem)| match problem {
                Problem::NotOwned(problem) if of == object => Some((&invalid.workload, problem)),
                _ => None,
            })
        });
        let mut problems: Vec<_> = problems.collect();
        problems.sort_by_key(|(workload, problem)| (*workload, &problem.pacticipant));
        problems
    }

    /// Why a namespace may not speak for the pacticipant of a key, if so.
    pub(super) fn objection(&self, key: &RecordKey, namespace: &str) -> Option<NotOwned> {
        let (NamespaceMapping::Mapped(objects) | NamespaceMapping::Conflicted(objects)) =
            self.mappings.get(namespace)?
        else {
            return None;
        };
        let rules = objects.iter().filter_map(|object| self.environments.rules(object));
        let mut there = rules.filter(|rules| rules.environment_ref == key.environment_ref);
        there.find_map(|rules| rules.owners.objection(&key.pacticipant, namespace))
    }

    pub(super) fn invalid(&self, workload: &Workload) -> Option<InvalidWorkload> {
        let mapping = self.mappings.get(&workload.reference.namespace)?;
        let (NamespaceMapping::Mapped(objects) | NamespaceMapping::Conflicted(objects)) = mapping else { return None };
        let effective = self.effective(workload);
        let mut problems = Vec::new();
        for rules in objects.iter().filter_map(|object| self.environments.rules(object)) {
            let mut found = |problem| problems.push((rules.object.clone(), problem));
            match identify(&effective, &rules.version) {
                Err(problem) => found(Problem::Identity(problem)),
                Ok(None) => {}
                Ok(Some(identity)) => {
                    let namespace = &workload.reference.namespace;
                    let names = identity.pacticipants.iter();
                    let objections = names.filter_map(|name| rules.owners.objection(name, namespace));
                    objections.map(Problem::NotOwned).for_each(&mut found);
                    if let Err(problem) = identity.application_instance {
                        found(Problem::Identity(problem));
                    }
                }
            }
        }
        if let Some(problem) = self.differs_from_template(workload) {
            let objects = objects.iter().filter(|object| self.environments.rules(object).is_some());
            problems.extend(objects.map(|object| (object.clone(), Problem::Identity(problem.clone()))));
        }
        let found = !problems.is_empty();
        found.then(|| InvalidWorkload { workload: workload.reference.clone(), uid: workload.uid.clone(), problems })
    }
}

#[cfg(test)]
#[path = "invalid_tests.rs"]
mod tests;
