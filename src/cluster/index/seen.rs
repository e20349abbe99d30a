//! What the index knows of one workload, for whoever waits for its records.

use k8s_openapi::jiff::Timestamp;

use super::Index;
use crate::{
    api::PactDeploymentStatus,
    decide::{
        pact_record::{RecordSeen, Seen, SeenKey},
        record::{MemberView, with_strangers},
    },
    workload::{NamespaceMapping, RecordKey, Workload, WorkloadRef},
};

impl Index {
    /// A workload as it was last taken in, or as it was read since: where it is recorded, and what its records say.
    /// `status` gives the status of a key's `PactDeployment` to what asks for it.
    pub fn seen(
        &self,
        workload: &Workload,
        now: Timestamp,
        status: impl Fn(&RecordKey, &mut dyn FnMut(Option<&PactDeploymentStatus>)),
    ) -> Seen {
        let workload = &workload.clone().continuing(self.workload(&workload.reference));
        let (effective, reference) = (self.effective(workload), &workload.reference);
        let mapping = self.mappings.get(&reference.namespace).cloned().unwrap_or(NamespaceMapping::Unmapped);
        let objects = match &mapping {
            NamespaceMapping::Unmapped => &[][..],
            NamespaceMapping::Mapped(objects) | NamespaceMapping::Conflicted(objects) => objects.as_slice(),
        };
        let mut keys: Vec<SeenKey> = Vec::new();
        for (key, member) in self.placements(workload) {
            let (mut stranger, mut record) = (false, None);
            status(&key, &mut |status| {
                let others = self.members(&key).into_iter().filter(|it| it.workload != *reference);
                let members = others.chain([member.clone().at(now)]).collect();
                let strangers = |it: &MemberView| it.workload == *reference && it.stranger.is_some();
                stranger = with_strangers(members, status).iter().any(strangers);
                record = status.map(RecordSeen::of);
            });
            // Two `PactEnvironment`s may record in one environment: the first by name counts.
            if !keys.iter().any(|known| known.key == key) {
                let beyond_limit = self.limit.is_beyond(reference, &key);
                keys.push(SeenKey { version: member.version, beyond_limit, stranger, record, key });
            }
        }
        keys.sort_by(|one, other| one.key.cmp(&other.key));
        let unusable = objects.iter().filter(|object| self.environments.rules(object).is_none());
        Seen {
            workload: reference.clone(),
            generation: workload.generation,
            annotated: workload.annotated() || effective.annotated(),
            template: self.is_template(reference),
            unusable: unusable.cloned().collect(),
            problems: self
                .invalid(workload)
                .into_iter()
                .flat_map(|it| it.problems)
                .map(|(_, problem)| problem)
                .collect(),
            rollout: effective.rollout.at(now),
            mapping,
            keys,
        }
    }

    /// The workloads that are members of a key.
    pub fn workloads_of(&self, key: &RecordKey) -> impl Iterator<Item = &WorkloadRef> {
        self.members.get(key).into_iter().flat_map(|members| members.iter().map(|member| &member.workload))
    }
}

#[cfg(test)]
#[path = "seen_tests.rs"]
mod tests;
