//! What runs where, as far as it concerns us: workloads, namespaces and rules in, record keys and their members out.
//!
//! Synchronous and without I/O. Each change answers the keys that it may have touched; the caller looks at those again.

mod invalid;
mod limit;
mod members;
mod revisions;
mod seen;
mod templates;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

pub use self::{
    invalid::InvalidWorkload,
    limit::BeyondLimit,
    templates::{Template, TemplateSource},
};
use self::{limit::KeyLimit, members::Members};
use super::environments::{Environments, RecordedAt};
use crate::api::names::Version;
use crate::decide::{
    EnvironmentPolicy, Problem,
    record::{Hold, MemberView},
};
use crate::workload::{
    BrokenRules, BypassStatement, EnvironmentRules, Held, Identity, NamespaceMapping, Ownership, RecordKey, Revision,
    StaleSource, StrayKey, VersionRules, Workload, WorkloadKind, WorkloadRef, identify, stale_source,
    version::image_path,
};

/// A workload with keys that look like the operator's and mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StrayKeys {
    /// Which workload.
    pub workload: WorkloadRef,
    /// Its uid, for an Event about it.
    pub uid: String,
    /// The keys; never empty.
    pub keys: Box<[StrayKey]>,
}

/// How many namespaces and workloads an environment has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Namespaces, those in conflict included.
    pub namespaces: usize,
    /// Annotated workloads in them, Flagger's primaries included and template-only ones left out.
    pub workloads: usize,
}

/// The index. See the module.
#[derive(Debug, Default)]
pub struct Index {
    workloads: HashMap<WorkloadRef, Workload>,
    templates: BTreeMap<TemplateSource, Template>,
    /// The same by what is named: each workload that any watch reports is looked for.
    sources: HashMap<WorkloadRef, BTreeSet<TemplateSource>>,
    /// Of Argo Rollouts, by the hash of the pod template.
    revisions: HashMap<WorkloadRef, BTreeMap<String, Revision>>,
    environments: Environments,

    mappings: HashMap<String, NamespaceMapping>,
    members: HashMap<RecordKey, Members>,
    /// Of a workload, the keys of which it is a member.
    keys_of: HashMap<WorkloadRef, Box<[RecordKey]>>,
    invalid_workloads: HashMap<WorkloadRef, InvalidWorkload>,
    /// Of workloads that are annotated and of others.
    stray_keys: HashMap<WorkloadRef, StrayKeys>,
    limit: KeyLimit,
}

impl Index {
    /// Takes in a workload as it is now.
    pub fn apply_workload(&mut self, workload: Workload) -> BTreeSet<RecordKey> {
        let mut touched = self.set_template_of(&workload);
        touched.extend(self.take_in(workload));
        touched
    }

    fn take_in(&mut self, mut workload: Workload) -> BTreeSet<RecordKey> {
        let reference = workload.reference.clone();
        let keys = std::mem::take(&mut workload.stray_keys);
        if keys.is_empty() {
            self.stray_keys.remove(&reference);
        } else {
            let stray = StrayKeys { workload: reference.clone(), uid: workload.uid.clone(), keys };
            self.stray_keys.insert(reference.clone(), stray);
        }
        let annotated_elsewhere = workload.canary_owner.is_some()
            || workload.revisions.as_ref().is_some_and(|revisions| revisions.template.is_some())
            || self.is_template(&reference);
        if workload.annotations.pacticipant.is_none() && !annotated_elsewhere {
            return self.forget_workload(&reference);
        }
        let before = self.workloads.get(&reference);
        let workload = workload.continuing(before);
        if before == Some(&workload) {
            return BTreeSet::new();
        }
        self.workloads.insert(reference.clone(), workload);
        self.reindex_with_dependents(&reference)
    }

    /// Forgets a workload that is gone.
    pub fn remove_workload(&mut self, reference: &WorkloadRef) -> BTreeSet<RecordKey> {
        self.stray_keys.remove(reference);
        let mut touched = self.forget_workload(reference);
        touched.extend(self.forget_template_of(reference));
        touched
    }

    /// Forgets what a workload that is gone or no longer annotated ran.
    fn forget_workload(&mut self, reference: &WorkloadRef) -> BTreeSet<RecordKey> {
        if self.workloads.remove(reference).is_none() {
            return BTreeSet::new();
        }
        self.reindex_with_dependents(reference)
    }

    /// Forgets every workload of a kind that a complete list of that kind did not hold.
    pub fn retain_workloads(&mut self, kind: WorkloadKind, listed: &HashSet<WorkloadRef>) -> BTreeSet<RecordKey> {
        let is_gone = |reference: &&WorkloadRef| reference.kind == kind && !listed.contains(*reference);
        let known = self.workloads.keys().chain(self.stray_keys.keys());
        let gone: BTreeSet<_> = known.filter(is_gone).cloned().collect();
        let mut touched: BTreeSet<_> = gone.iter().flat_map(|reference| self.remove_workload(reference)).collect();
        touched.extend(self.retain_templates_of(kind, listed));
        touched
    }

    /// Takes in a namespace with its labels, or forgets it.
    pub fn set_namespace(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> BTreeSet<RecordKey> {
        if self.environments.set_namespace(name, labels) { self.remap(name) } else { BTreeSet::new() }
    }

    /// Forgets every namespace that a complete list did not hold.
    pub fn retain_namespaces(&mut self, listed: &HashSet<String>) -> BTreeSet<RecordKey> {
        let gone: Vec<_> = self.environments.namespaces().filter(|name| !listed.contains(*name)).cloned().collect();
        gone.iter().flat_map(|name| self.set_namespace(name, None)).collect()
    }

    /// Takes in what a `PactEnvironment` says, or forgets it.
    pub fn set_environment(
        &mut self,
        object: &str,
        policy: Option<Result<EnvironmentPolicy, Box<BrokenRules>>>,
    ) -> BTreeSet<RecordKey> {
        let before = self.environments.recorded_at(object);
        if !self.environments.set(object, policy) {
            return BTreeSet::new();
        }
        let mut touched = self.keys_at(&before);
        let namespaces: Vec<_> = self.environments.namespaces().cloned().collect();
        touched.extend(namespaces.iter().flat_map(|name| self.remap(name)).collect::<Vec<_>>());
        touched.extend(self.keys_at(&self.environments.recorded_at(object)));
        touched
    }

    /// Takes in that a `PactEnvironment` cannot be read. What it claimed and where it recorded when it could be read is
    /// still the best that is known.
    pub fn break_environment(&mut self, object: &str, problem: String) -> BTreeSet<RecordKey> {
        let broken = self.environments.broken_as(object, problem);
        self.set_environment(object, Some(Err(Box::new(broken))))
    }

    /// The namespaces and the `PactEnvironment`s.
    #[must_use]
    pub fn environments(&self) -> &Environments {
        &self.environments
    }

    /// Where a known namespace lies; `None` when the namespace is not known.
    #[must_use]
    pub fn mapping(&self, namespace: &str) -> Option<NamespaceMapping> {
        self.environments.labels(namespace)?;
        Some(self.mappings.get(namespace).cloned().unwrap_or(NamespaceMapping::Unmapped))
    }

    /// A workload as it was last taken in.
    #[must_use]
    pub fn workload(&self, reference: &WorkloadRef) -> Option<&Workload> {
        self.workloads.get(reference)
    }

    /// The annotation or label that says the version of a workload and stayed while its image became another build, under
    /// the rules of an environment of its namespace.
    #[must_use]
    pub fn stale_source(&self, before: &Workload, now: &Workload) -> Option<StaleSource> {
        let Some(NamespaceMapping::Mapped(objects) | NamespaceMapping::Conflicted(objects)) =
            self.mappings.get(&now.reference.namespace)
        else {
            return None;
        };
        let mut rules = objects.iter().filter_map(|object| self.environments.rules(object));
        rules.find_map(|rules| stale_source(before, now, &rules.version))
    }

    /// The keys on a workload that mean nothing, where an environment claims its namespace.
    #[must_use]
    pub fn stray_keys_of(&self, reference: &WorkloadRef) -> Option<&StrayKeys> {
        self.stray_keys.get(reference).filter(|stray| self.is_mapped(&stray.workload.namespace))
    }

    /// Every workload with keys that mean nothing, where an environment claims its namespace.
    pub fn stray_keys(&self) -> impl Iterator<Item = &StrayKeys> {
        self.stray_keys.values().filter(|stray| self.is_mapped(&stray.workload.namespace))
    }

    /// The members of a key, by name.
    #[must_use]
    pub fn members(&self, key: &RecordKey) -> Vec<MemberView> {
        let members = self.members.get(key).into_iter().flat_map(Members::iter);
        let image = |member: &MemberView| image_path(self.workloads.get(&member.workload)?);
        members.map(|member| MemberView { image: image(member), ..member.clone() }).collect()
    }

    /// Whether one of a key's members is such a one.
    #[must_use]
    pub fn any_member(&self, key: &RecordKey, is_such: impl Fn(&MemberView) -> bool) -> bool {
        self.members.get(key).is_some_and(|members| members.iter().any(is_such))
    }

    /// Whether a key has members.
    #[must_use]
    pub fn has_members(&self, key: &RecordKey) -> bool {
        self.members.contains_key(key)
    }

    /// Every key that has members.
    pub fn keys(&self) -> impl Iterator<Item = &RecordKey> {
        self.members.keys()
    }

    /// Every key that has a member by way of this `PactEnvironment`.
    pub fn keys_of_environment(&self, object: &str) -> impl Iterator<Item = &RecordKey> {
        let of_object = move |members: &Members| members.iter().any(|m| m.environment_object == object);
        self.members.iter().filter(move |(_, members)| of_object(members)).map(|(key, _)| key)
    }

    /// The rules that a key is under: those of the first `PactEnvironment`, by name, that has a member of it, or that
    /// records there when it has none. `None` when no valid one records there.
    #[must_use]
    pub fn rules_for(&self, key: &RecordKey) -> Option<&EnvironmentRules> {
        let first = self.members.get(key).and_then(|members| members.iter().map(|it| &it.environment_object).min());
        first
            .and_then(|object| self.environments.rules(object))
            .or_else(|| self.environments.valid_rules().find(|rules| rules.environment_ref == key.environment_ref))
    }

    /// Whether any environment claims a namespace.
    #[must_use]
    pub fn is_mapped(&self, namespace: &str) -> bool {
        self.mappings.contains_key(namespace)
    }

    /// How many namespaces and workloads a `PactEnvironment` has, and the namespaces that others claim, too, with
    /// all who claim them.
    #[must_use]
    pub fn counts(&self, object: &str) -> (Counts, BTreeMap<String, Vec<String>>) {
        let mut conflicts = BTreeMap::new();
        let mut mine = HashSet::new();
        for (namespace, mapping) in &self.mappings {
            match mapping {
                NamespaceMapping::Conflicted(claimants) if claimants.iter().any(|name| name == object) => {
                    conflicts.insert(namespace.clone(), claimants.clone());
                    mine.insert(namespace.as_str());
                }
                NamespaceMapping::Mapped(names) if names.iter().any(|name| name == object) => {
                    mine.insert(namespace.as_str());
                }
                _ => {}
            }
        }
        let workloads = self
            .workloads
            .values()
            .filter(|workload| mine.contains(workload.reference.namespace.as_str()))
            .filter(|workload| !self.is_template(&workload.reference))
            .filter(|workload| workload.annotated() || self.effective(workload).annotated())
            .count();
        (Counts { namespaces: mine.len(), workloads }, conflicts)
    }

    /// Where a workload would be a member if it looked as given: what the live re-check before a write asks. The
    /// index is not changed.
    #[must_use]
    pub fn member_for(&self, key: &RecordKey, workload: &Workload) -> Option<MemberView> {
        let workload = workload.clone().continuing(self.workloads.get(&workload.reference));
        let member = self.placements(&workload).into_iter().find(|(at, _)| at == key).map(|(_, member)| member)?;
        Some(MemberView { image: image_path(&workload), ..member })
    }

    /// The keys of which a workload would be a member if it looked as given, with its version there.
    #[must_use]
    pub fn keys_for(&self, workload: &Workload) -> Vec<(RecordKey, Option<Version>)> {
        let placements = self.placements(workload).into_iter();
        placements.map(|(key, member)| (key, member.version.ok())).collect()
    }

    /// What a workload's annotations say under the rules that a key is under.
    ///
    /// # Errors
    /// When its annotations cannot be followed, or others own the key's pacticipant, which it names.
    pub fn identity(&self, key: &RecordKey, workload: &Workload) -> Result<Option<Identity>, Problem> {
        let effective = self.effective(workload);
        let identity = match self.rules_for(key) {
            Some(rules) => identify(&effective, &rules.version),
            None => identify(&effective, &VersionRules::default()),
        };
        let identity = identity.map_err(Problem::Identity)?;
        let names_it = identity.as_ref().is_some_and(|it| it.pacticipants.contains(&key.pacticipant));
        match self.objection(key, &workload.reference.namespace).filter(|_| names_it) {
            Some(problem) => Err(Problem::NotOwned(problem)),
            None => Ok(identity),
        }
    }

    fn placements(&self, workload: &Workload) -> Vec<(RecordKey, MemberView)> {
        if self.is_template(&workload.reference) {
            return Vec::new();
        }
        let Some(mapping) = self.mappings.get(&workload.reference.namespace) else { return Vec::new() };
        let (objects, hold) = match mapping {
            NamespaceMapping::Unmapped => return Vec::new(),
            NamespaceMapping::Mapped(objects) => (objects, None),
            NamespaceMapping::Conflicted(objects) => (objects, Some(Hold::Conflicted(objects.clone()))),
        };
        let (workload, besides) = self.as_it_runs(workload);
        let statement = BypassStatement::of(&workload).ok().flatten();
        let (mut placements, mut not_owned) = (Vec::new(), BTreeSet::new());
        for object in objects {
            let Some(rules) = self.environments.rules(object) else { continue };
            let Ok(Some(identity)) = identify(&workload, &rules.version) else { continue };
            let Ok(own_instance) = identity.application_instance else { continue };
            let version = identity.version.as_ref().ok().map(|resolved| &resolved.version);
            let bypass = statement.clone().filter(|statement| statement.covers(&workload, version));
            let instance = own_instance.or_else(|| rules.instance.clone());
            let also_runs = versions_of(&besides, &rules.version);
            for pacticipant in identity.pacticipants {
                let ownership = rules.owners.ownership(&pacticipant, &workload.reference.namespace);
                if matches!(ownership, Ownership::NotOwned(_)) {
                    not_owned.insert((rules.environment_ref.clone(), pacticipant));
                    continue;
                }
                let key = RecordKey {
                    environment_ref: rules.environment_ref.clone(),
                    pacticipant,
                    instance: instance.clone(),
                };
                let member = MemberView {
                    workload: workload.reference.clone(),
                    uid: workload.uid.clone(),
                    environment_object: object.clone(),
                    image: None,
                    version: identity.version.clone().map(|resolved| resolved.version),
                    also_runs: also_runs.clone(),
                    rollout: workload.rollout.clone(),
                    without_pods: workload.without_pods,
                    hold: hold.clone(),
                    held: Held::of(&workload),
                    bypass: bypass.clone(),
                    owner: ownership == Ownership::Owned,
                    stranger: None,
                };
                placements.push((key, member));
            }
        }
        if !not_owned.is_empty() {
            // Where two `PactEnvironment`s record in one environment, neither is a way around the other's owners.
            placements.retain(|(key, _)| !not_owned.contains(&(key.environment_ref.clone(), key.pacticipant.clone())));
        }
        placements
    }

    fn reindex(&mut self, reference: &WorkloadRef) -> BTreeSet<RecordKey> {
        let mut touched = self.reindex_within_limit(reference);
        loop {
            let next: Vec<_> = self.limit.next(&reference.namespace).into_iter().collect();
            if next.is_empty() {
                return touched;
            }
            touched.extend(next.iter().flat_map(|next| self.reindex_within_limit(next)));
        }
    }

    fn reindex_within_limit(&mut self, reference: &WorkloadRef) -> BTreeSet<RecordKey> {
        let namespace = &reference.namespace;
        self.limit.forget(reference);
        let before = self.keys_of.remove(reference).unwrap_or_default();
        for key in &before {
            if let Some(members) = self.members.get_mut(key) {
                members.remove(reference);
                if !members.are_in(namespace) {
                    self.limit.leave(namespace);
                }
                if members.is_empty() {
                    self.members.remove(key);
                }
            }
        }
        let mut touched: BTreeSet<_> = before.into_iter().collect();
        self.invalid_workloads.remove(reference);
        let Some(workload) = self.workloads.get(reference) else { return touched };
        let invalid = self.invalid(workload);
        let placements = self.placements(workload);
        if let Some(invalid) = invalid {
            self.invalid_workloads.insert(reference.clone(), invalid);
        }
        let mut keys = BTreeSet::new();
        for (key, member) in placements {
            let here = self.members.get(&key).is_some_and(|members| members.are_in(namespace));
            if !here && !self.limit.admit(reference, &key) {
                continue;
            }
            // Where two `PactEnvironment`s record in one environment, the first by name counts, as in `rules_for`.
            self.members.entry(key.clone()).or_default().add(member);
            keys.insert(key);
        }
        touched.extend(keys.iter().cloned());
        if !keys.is_empty() {
            self.keys_of.insert(reference.clone(), keys.into_iter().collect());
        }
        touched
    }

    fn remap(&mut self, namespace: &str) -> BTreeSet<RecordKey> {
        let mapping = self.environments.labels(namespace).map(|labels| self.environments.mapping(namespace, labels));
        match mapping {
            None | Some(NamespaceMapping::Unmapped) => self.mappings.remove(namespace),
            Some(mapping) => self.mappings.insert(namespace.to_owned(), mapping),
        };
        let there: Vec<_> = self.workloads.keys().filter(|w| w.namespace == namespace).cloned().collect();
        there.iter().flat_map(|reference| self.reindex(reference)).collect()
    }

    /// The keys that a `PactEnvironment` may say something about.
    fn keys_at(&self, recorded: &RecordedAt) -> BTreeSet<RecordKey> {
        let concerned = |key: &&RecordKey| match recorded {
            RecordedAt::Nowhere => false,
            RecordedAt::Environment(environment_ref) => key.environment_ref == *environment_ref,
            RecordedAt::Unknown => true,
        };
        self.members.keys().filter(concerned).cloned().collect()
    }
}

/// The versions of other revisions of a workload, as far as they are known.
fn versions_of(revisions: &[Workload], rules: &VersionRules) -> Vec<Version> {
    let identities = revisions.iter().filter_map(|revision| identify(revision, rules).ok().flatten());
    let versions: BTreeSet<_> = identities.filter_map(|identity| identity.version.ok()).map(|it| it.version).collect();
    versions.into_iter().collect()
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
