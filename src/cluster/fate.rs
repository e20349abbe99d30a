//! What became of a workload that a key's status lists as a member.

use super::index::Index;
use crate::{
    api::names::Version,
    decide::record::MemberFate,
    workload::{RecordKey, Workload, WorkloadRef},
};

impl Index {
    /// What became of a member of a key: `live` is the workload as the API server has it now, `pods_left` whether pods of
    /// it are left although it is gone, and `recorded` whether a version is what another key has recorded.
    #[must_use]
    pub fn fate(
        &self,
        key: &RecordKey,
        reference: &WorkloadRef,
        live: Option<&Workload>,
        pods_left: bool,
        recorded: impl Fn(&RecordKey, &Version) -> bool,
    ) -> MemberFate {
        let Some(workload) = live else { return if pods_left { MemberFate::Serving } else { MemberFate::Gone } };
        if workload.deleting || self.member_for(key, workload).is_some() {
            return MemberFate::Unknown;
        }
        // It runs on as the pods of a Rollout or a Canary's primary, which cannot be recorded from here (yet).
        if self.is_template(reference) {
            return MemberFate::Unmanaged;
        }
        // It runs on in a namespace that no environment claims: on its way to another one, or left out. What comes next
        // distinguishes the two.
        if !self.is_mapped(&reference.namespace) {
            return MemberFate::Unknown;
        }
        match self.identity(key, workload) {
            Ok(None) => MemberFate::Unmanaged,
            // Renamed, or moved to another environment or instance: gone from this key once it is recorded there.
            Ok(Some(identity)) if identity.application_instance.is_ok() => {
                let elsewhere = self.keys_for(workload);
                let there = |(key, version): &(RecordKey, Option<Version>)| {
                    version.as_ref().is_some_and(|version| recorded(key, version))
                };
                match elsewhere.as_slice() {
                    [] => MemberFate::Unknown,
                    all if all.iter().all(there) => MemberFate::Gone,
                    _ => MemberFate::Moved,
                }
            }
            // Its annotations cannot be read: somebody is about to put them right.
            Ok(Some(_)) | Err(_) => MemberFate::Unknown,
        }
    }
}
